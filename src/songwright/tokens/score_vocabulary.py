"""The tokens of whole pieces: their names, limits, levels, and which kind may follow which.

The grammar is described in `tokens.score`, which spells pieces with it.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.score.grid_score import ROLES
from songwright.tokens.vocabulary import Vocabulary

MAX_BAR_STEPS = 192
"""Longest bar: sixteen quarter notes, such as 4/1; 12/4 has 144 steps."""
MAX_NUMERATOR = 64
DENOMINATORS = (1, 2, 4, 8, 16, 32, 64)
MAX_BARS = 20_000
"""Longest piece: eleven hours of 4/4 at 120."""
MAX_COPIES = 64
"""Most tracks of one role and instrument."""
NUM_VELOCITIES = 32
NUM_TEMPOS = 64

SHORT_STEPS = 48
"""Longest duration without LONG tokens."""
LONG_BASE = 64
LONG_DIGITS = 5
"""Most LONG tokens of a duration: 48 * 64**5 steps are over the largest int32."""
_TEMPOS_PER_OCTAVE = 16
_TEMPO_OF_120 = 41  # so that the lowest tempo is 20

VOCABULARY = Vocabulary(
    ["PAD", "BOS", "EOS", "BAR"]
    + [f"NUMERATOR_{numerator}" for numerator in range(1, MAX_NUMERATOR + 1)]
    + [f"DENOMINATOR_{denominator}" for denominator in DENOMINATORS]
    + [f"TEMPO_{level}" for level in range(NUM_TEMPOS)]
    + [f"ROLE_{role}" for role in ROLES]
    + [f"PROGRAM_{program}" for program in range(128)]
    + [f"KIT_{program}" for program in range(128)]
    + [f"COPY_{copy}" for copy in range(1, MAX_COPIES)]
    + [f"POSITION_{step}" for step in range(MAX_BAR_STEPS)]
    + [f"VELOCITY_{level}" for level in range(NUM_VELOCITIES)]
    + [f"LONG_{digit}" for digit in range(LONG_BASE)]
    + [f"DURATION_{steps}" for steps in range(1, SHORT_STEPS + 1)]
    + [f"PITCH_{pitch}" for pitch in range(128)]
    + [f"DRUM_{pitch}" for pitch in range(128)]
)
PAD, BOS, EOS, BAR = range(4)
NUMERATOR_1 = VOCABULARY["NUMERATOR_1"]
DENOMINATOR_1 = VOCABULARY["DENOMINATOR_1"]
TEMPO_0 = VOCABULARY["TEMPO_0"]
ROLE_0 = VOCABULARY[f"ROLE_{ROLES[0]}"]
PROGRAM_0 = VOCABULARY["PROGRAM_0"]
KIT_0 = VOCABULARY["KIT_0"]
COPY_1 = VOCABULARY["COPY_1"]
POSITION_0 = VOCABULARY["POSITION_0"]
VELOCITY_0 = VOCABULARY["VELOCITY_0"]
LONG_0 = VOCABULARY["LONG_0"]
DURATION_1 = VOCABULARY["DURATION_1"]
PITCH_0 = VOCABULARY["PITCH_0"]
DRUM_0 = VOCABULARY["DRUM_0"]


class Kind(IntEnum):
    """The kinds of token, in the order of their ids."""

    PAD = 0
    BOS = 1
    EOS = 2
    BAR = 3
    NUMERATOR = 4
    DENOMINATOR = 5
    TEMPO = 6
    ROLE = 7
    PROGRAM = 8
    KIT = 9
    COPY = 10
    POSITION = 11
    VELOCITY = 12
    LONG = 13
    DURATION = 14
    PITCH = 15
    DRUM = 16


_FIRST_IDS = (
    *(PAD, BOS, EOS, BAR, NUMERATOR_1, DENOMINATOR_1, TEMPO_0, ROLE_0, PROGRAM_0, KIT_0, COPY_1, POSITION_0),
    *(VELOCITY_0, LONG_0, DURATION_1, PITCH_0, DRUM_0, len(VOCABULARY)),
)
KIND_OF = np.repeat(np.arange(len(Kind), dtype=np.int8), np.diff(_FIRST_IDS))
"""The kind of each token, shape (len(VOCABULARY),)."""

_BAR_ENDS, _LENGTHS, _PITCHES = (Kind.BAR, Kind.EOS), (Kind.LONG, Kind.DURATION), (Kind.PITCH, Kind.DRUM)
_AFTER_NOTE = (Kind.VELOCITY, *_LENGTHS, *_PITCHES, Kind.POSITION, Kind.ROLE, *_BAR_ENDS)
_FOLLOWING: dict[Kind, tuple[Kind, ...]] = {
    Kind.PAD: (),
    Kind.BOS: _BAR_ENDS,
    Kind.EOS: (),
    Kind.BAR: (Kind.NUMERATOR, Kind.TEMPO, Kind.ROLE, *_BAR_ENDS),
    Kind.NUMERATOR: (Kind.DENOMINATOR,),
    Kind.DENOMINATOR: (Kind.TEMPO, Kind.ROLE, *_BAR_ENDS),
    Kind.TEMPO: (Kind.ROLE, *_BAR_ENDS),
    Kind.ROLE: (Kind.PROGRAM, Kind.KIT),
    Kind.PROGRAM: (Kind.COPY, Kind.POSITION),
    Kind.KIT: (Kind.COPY, Kind.POSITION),
    Kind.COPY: (Kind.POSITION,),
    Kind.POSITION: (Kind.VELOCITY, *_LENGTHS, *_PITCHES),
    Kind.VELOCITY: (*_LENGTHS, *_PITCHES),
    Kind.LONG: _LENGTHS,
    Kind.DURATION: _PITCHES,
    Kind.PITCH: _AFTER_NOTE,
    Kind.DRUM: _AFTER_NOTE,
}
MAY_FOLLOW = np.zeros((len(Kind), len(Kind)), dtype=np.bool_)
"""Whether a kind (row) may be followed by a kind (column)."""
for _kind, _kinds in _FOLLOWING.items():
    MAY_FOLLOW[_kind, list(_kinds)] = True


def tempo_level(tempo_qpm: float) -> int:
    """Return the level, 0-63, nearest to a tempo in quarter notes a minute."""
    level = round(_TEMPOS_PER_OCTAVE * math.log2(tempo_qpm / 120.0)) + _TEMPO_OF_120 if tempo_qpm > 0 else 0
    return min(max(level, 0), NUM_TEMPOS - 1)


def level_tempo(level: int) -> float:
    """Return the tempo of a level in quarter notes a minute, to a hundredth; the inverse of `tempo_level`."""
    return round(120.0 * 2.0 ** ((level - _TEMPO_OF_120) / _TEMPOS_PER_OCTAVE), 2)


def velocity_levels(velocity: ArrayLike) -> NDArray[np.int64]:
    """Return the level, 0-31, of each velocity; values outside 1-127 count as the nearest."""
    return (np.minimum(np.maximum(np.asarray(velocity, dtype=np.int64), 1), 127) - 1) >> 2


def level_velocities(level: ArrayLike) -> NDArray[np.int64]:
    """Return the velocity in the middle of each level: 2, 6, ... 126; the inverse of `velocity_levels`."""
    return np.asarray(level, dtype=np.int64) * 4 + 2
