"""What a training run is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from songwright.corpus.augmentation import AugmentationConfig
from songwright.model.config import NetworkConfig

STREAM_NAMES = ("lead_sheet", "arrangement", "harmony", "score")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Muon for the matrices of the blocks, AdamW for everything else."""

    learning_rate: float = 0.003
    """Peak learning rate of both."""
    weight_decay: float = 0.1
    """Decoupled decay, on matrices of the blocks only."""
    warmup_steps: int = 100
    """Steps of linear warm-up; afterwards the rate falls linearly to zero at the end of the run."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    average_decay: float = 0.998
    """Decay of the running average of the weights, which is what validation and export use."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_steps"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"average_decay must be from 0 to 1, got {self.average_decay}")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One run, one TOML file."""

    stream: str = "lead_sheet"
    """What to learn: lead_sheet, arrangement, harmony, or score (whole pieces of any kind, without side channels)."""
    sources: tuple[str, ...] = ()
    """Collections of the corpus to learn from and to validate with; all of them if empty."""
    seed: int = 0
    """Seed of initial weights, order of songs, dropout."""
    num_steps: int = 4000
    """Optimizer steps, unless `minutes` is given."""
    minutes: float = 0.0
    """Time budget: the schedule is fitted to it and training stops when it is used up; 0 for `num_steps`."""
    batch_size: int = 16
    """Sequences a step."""
    validate_every: int = 250
    """Steps between validations and checkpoints."""
    num_threads: int = 0
    """Threads for PyTorch; 0 for all cores."""
    channel_dropout: float = 0.0
    """Probability that a sequence is shown without a given reference (its hint, flag and pitch)."""
    augment: bool = False
    """Whether each visit to a piece of the stream `score` sees it changed, as `augmentation` says."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        if self.stream not in STREAM_NAMES:
            raise ValueError(f"stream must be one of {', '.join(STREAM_NAMES)}, got {self.stream!r}")
        if self.augment and self.stream != "score":
            raise ValueError(f"augment is for the stream score; {self.stream} is in C major or A minor throughout")
        if self.augmentation.crop:
            raise ValueError("augmentation.crop is for stored copies; a window of the context length is a crop already")
        for name in ("num_steps", "batch_size", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("minutes", "seed", "num_threads"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.channel_dropout < 1:
            raise ValueError(f"channel_dropout must be from 0 to 1, got {self.channel_dropout}")
