"""What a corpus is made with: one TOML file, `configs/corpus.toml`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field

from songwright.corpus.augmentation import AugmentationConfig
from songwright.corpus.cleaning import CleaningConfig
from songwright.preparation.shards import FORMAT_VERSION
from songwright.tokens.streams import STREAMS

ANALYSIS_VERSION = 1
"""Counts up with any change of what is found in a file, so that a corpus never mixes two."""


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Settings of `songwright prepare`."""

    streams: tuple[str, ...] = ("lead_sheet", "arrangement", "harmony", "score")
    """What to write: token streams of `tokens.streams`."""
    versions: bool = False
    """Whether other versions of a song that is trained on (POP909's `versions/`) are trained on too."""
    copies: int = 0
    """Stored augmented copies of each piece's score, as `augmentation` says; only those of training pieces are used."""
    seed: int = 0
    """Seed of stored copies."""
    apply_sustain: bool = True
    """Whether the sustain pedal of MIDI files lengthens their notes."""
    near_duplicates: str = "group"
    """What becomes of a piece that nearly repeats another: `group` keeps both on one side, `reject` leaves it out."""
    file_seconds: float = 20.0
    """Time after which a file is given up; recordings may take ten times as long."""
    cleaning: CleaningConfig = field(default_factory=CleaningConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        unknown = [name for name in self.streams if name not in STREAMS]
        if unknown or not self.streams:
            raise ValueError(f"streams must be some of {', '.join(STREAMS)}, got {', '.join(unknown) or 'none'}")
        if self.near_duplicates not in ("group", "reject"):
            raise ValueError(f"near_duplicates must be group or reject, got {self.near_duplicates!r}")
        if not 0 <= self.copies <= 100:
            raise ValueError(f"copies must be from 0 to 100, got {self.copies}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be from 0 to 4294967295, got {self.seed}")
        if not self.file_seconds > 0:
            raise ValueError(f"file_seconds must be above 0, got {self.file_seconds}")

    @property
    def digest(self) -> str:
        """Sixteen digits that change with anything that changes what a file becomes."""
        fingerprints = {name: stream.vocabulary.fingerprint for name, stream in STREAMS.items()}
        values = [FORMAT_VERSION, ANALYSIS_VERSION, dataclasses.asdict(self), fingerprints]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
