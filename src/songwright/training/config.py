"""What a training run is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from songwright.corpus.augmentation import AugmentationConfig
from songwright.model.config import AnyNetworkConfig, TransformerConfig

STREAM_NAMES = ("lead_sheet", "arrangement", "harmony", "score")
OPTIMIZERS = ("muon", "adamw")
PRECISIONS = ("auto", "bf16", "fp32")
DISTRIBUTIONS = ("ddp", "fsdp")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights are moved."""

    kind: str = "muon"
    """muon: Muon for the matrices of the blocks and AdamW for everything else; adamw: AdamW for all."""
    learning_rate: float = 0.003
    """Peak learning rate of both."""
    weight_decay: float = 0.1
    """Decoupled decay, on matrices of the blocks only."""
    beta1: float = 0.9
    """Decay of AdamW's mean of gradients."""
    beta2: float = 0.98
    """Decay of AdamW's mean of squared gradients."""
    warmup_steps: int = 100
    """Steps of linear warm-up; afterwards the rate falls linearly to zero at the end of the run."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    average_decay: float = 0.998
    """Decay of the running average of the weights, which is what validation and export use."""

    def __post_init__(self) -> None:
        if self.kind not in OPTIMIZERS:
            raise ValueError(f"kind must be one of {', '.join(OPTIMIZERS)}, got {self.kind!r}")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_steps"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("beta1", "beta2", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """What is learned from teachers, where a run has any."""

    weight: float = 0.7
    """Weight of the KL divergence from the teachers; the cross-entropy with the music itself has the rest."""
    temperature: float = 1.5
    """Flattens both distributions, so that the unlikely tokens teach too."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be from 0 to 1, got {self.weight}")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0, got {self.temperature}")


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
    """Sequences a step, over all processes."""
    accumulate: int = 1
    """Parts in which each process reads its share of a batch, one after the other, to save memory."""
    validate_every: int = 250
    """Steps between validations and checkpoints."""
    save_every: int = 0
    """Steps between further checkpoints; 0 for none."""
    log_every: int = 10
    """Steps between lines of steps.csv."""
    patience: int = 0
    """Validations without a better figure after which the run stops; 0 for never."""
    precision: str = "auto"
    """bf16 (products in bfloat16), fp32, or auto: bf16 where the processor has it."""
    num_threads: int = 0
    """Threads for PyTorch; 0 for all cores."""
    distribution: str = "ddp"
    """Where torchrun starts several processes: ddp (each holds all weights) or fsdp (each holds a share)."""
    channel_dropout: float = 0.0
    """Probability that a sequence is shown without a given reference (its hint, flag and pitch)."""
    label_smoothing: float = 0.0
    """Share of each target that is spread over all tokens."""
    teachers: tuple[str, ...] = ()
    """Larger networks to learn from, as checkpoints or exported Transformers (`STREAM.fp32.onnx`); the mean of their
    probabilities where there are several."""
    augment: bool = False
    """Whether each visit to a piece of the stream `score` sees it changed, as `augmentation` says."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    network: AnyNetworkConfig = field(default_factory=TransformerConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)

    def __post_init__(self) -> None:
        for name, known in (("stream", STREAM_NAMES), ("precision", PRECISIONS), ("distribution", DISTRIBUTIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.augment and self.stream != "score":
            raise ValueError(f"augment is for the stream score; {self.stream} is in C major or A minor throughout")
        if self.augmentation.crop:
            raise ValueError("augmentation.crop is for stored copies; a window of the context length is a crop already")
        for name in ("num_steps", "batch_size", "accumulate", "validate_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("minutes", "seed", "num_threads", "save_every", "patience"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("channel_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.distribution == "fsdp" and self.optimizer.kind != "adamw":
            raise ValueError('distribution "fsdp" needs optimizer.kind = "adamw": Muon needs whole matrices')
