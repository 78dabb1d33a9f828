"""New training pieces from old ones: transposed, faster or slower, louder or softer, cut at phrases.

Each change keeps what makes the piece itself: intervals within a track, order and number of notes, drums. Changes of
a score return a new one; `augment` draws them all from one generator, each from its own stream, so that switching one
on or off does not move the others. Knows grid scores; leaves to others where phrases start and what becomes of copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.score.grid_score import BarTempo, GridScore, GridTrack, Meter

KEYBOARD = (21, 108)
"""Pitches of a piano, A0 to C8: transposition does not leave it."""
REGISTERS = {"melody": (48, 91), "bass": (24, 60), "chords": (28, 100), "other": (36, 100)}
"""Lowest and highest pitch that a track of a role may be moved to by octaves: about the range of 96 % of the tracks of
POP909's train split, and of 100 bass tracks of bands."""

_TIMING_BOUND = 3.0  # standard deviations

_Change = TypeVar("_Change", Meter, BarTempo)


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Which changes make a copy, and how far they go."""

    transpose: bool = True
    """Whether copies are moved to another key."""
    max_semitones: int = 6
    """Semitones up or down at most."""
    tempo: bool = True
    """Whether copies are faster or slower."""
    max_tempo_change: float = 0.1
    """Share by which the tempo grows or shrinks at most."""
    velocity: bool = True
    """Whether copies are louder or softer."""
    max_velocity_change: float = 0.15
    """Share by which all velocities grow or shrink at most."""
    velocity_jitter: float = 3.0
    """Standard deviation of the further change of each note, in velocities."""
    timing: bool = True
    """Whether copies are played a little differently in time."""
    timing_jitter: float = 0.15
    """Standard deviation of a note's shift, in steps (a twelfth of a quarter note); at most three times that."""
    octave: bool = False
    """Whether the melody, or another whole track, may move by an octave within its usual register."""
    octave_chance: float = 0.2
    """Chance of each track that can move to do so."""
    crop: bool = False
    """Whether copies are excerpts of whole phrases."""
    min_crop_bars: int = 16
    """Bars of an excerpt at least."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_semitones <= 12:
            raise ValueError(f"max_semitones must be from 0 to 12, got {self.max_semitones}")
        for name in ("max_tempo_change", "max_velocity_change"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        if not 0 <= self.octave_chance <= 1:
            raise ValueError(f"octave_chance must be from 0 to 1, got {self.octave_chance}")
        if not 0 <= self.velocity_jitter <= 127 or not 0 <= self.timing_jitter <= 6:
            raise ValueError("velocity_jitter must be from 0 to 127 and timing_jitter from 0 to 6 steps")
        if self.min_crop_bars < 1:
            raise ValueError(f"min_crop_bars must be at least 1, got {self.min_crop_bars}")


def copy_generator(seed: int, piece_id: str, copy: int) -> np.random.Generator:
    """Return the generator of a copy of a piece: the same for the same seed, id and number, whatever else is made."""
    digest = hashlib.sha256(piece_id.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, copy, int.from_bytes(digest[:16], "big")])


def augment(
    score: GridScore,
    deviations: Sequence[NDArray[np.float32]],
    config: AugmentationConfig,
    rng: np.random.Generator,
    *,
    phrase_starts: ArrayLike = (),
) -> tuple[GridScore, tuple[NDArray[np.float32], ...]]:
    """Return a changed copy of a piece.

    Parameters
    ----------
    score : GridScore
    deviations : sequence of ndarray of float32, one per track
        How far each note was played from its step, in steps; may be empty if unknown.
    config : AugmentationConfig
    rng : Generator
        Such as `copy_generator` makes.
    phrase_starts : array_like of int
        Bars where phrases start, for the crop; the piece starts one anyway.

    Returns
    -------
    GridScore, tuple of ndarray of float32
        The deviations are those of the new score's tracks; none if none were given.
    """
    crop_rng, transpose_rng, octave_rng, tempo_rng, velocity_rng, timing_rng = rng.spawn(6)
    played = tuple(deviations)
    if config.crop:
        score, played = crop(score, played, *_draw_bars(score, phrase_starts, config.min_crop_bars, crop_rng))
    if config.transpose:
        score = transpose(score, _draw_semitones(score, config.max_semitones, transpose_rng))
    if config.octave:
        for tracks, octaves in _draw_octaves(score, config.octave_chance, octave_rng):
            score = shift_octaves(score, tracks, octaves)
    if config.tempo:
        score = scale_tempo(score, _draw_factor(config.max_tempo_change, tempo_rng))
    if config.velocity:
        factor = _draw_factor(config.max_velocity_change, velocity_rng)
        score = change_velocities(score, factor, config.velocity_jitter, velocity_rng)
    if config.timing:
        played = tuple(jitter_timing(shifts, config.timing_jitter, timing_rng) for shifts in played)
    return score, played


def transpose(score: GridScore, semitones: int) -> GridScore:
    """Return the score moved by semitones; drums stay.

    Raises
    ------
    ValueError
        If a note would leave 0 to 127.
    """
    return _moved(score, [index for index, track in enumerate(score.tracks) if _is_pitched(track)], semitones)


def shift_octaves(score: GridScore, tracks: Collection[int], octaves: int) -> GridScore:
    """Return the score with some tracks, by their index, moved by octaves.

    Raises
    ------
    ValueError
        If a note would leave 0 to 127, or a track has drums.
    """
    if any(not _is_pitched(score.tracks[index]) for index in tracks):
        raise ValueError("drums cannot be moved by octaves")
    return _moved(score, tracks, 12 * octaves)


def scale_tempo(score: GridScore, factor: float) -> GridScore:
    """Return the score `factor` times as fast."""
    if not factor > 0:
        raise ValueError(f"a tempo can only be scaled by a positive factor, got {factor}")
    return replace(score, tempos=tuple(BarTempo(bar, tempo * factor) for bar, tempo in score.tempos))


def change_velocities(score: GridScore, factor: float, jitter: float, rng: np.random.Generator) -> GridScore:
    """Return the score with velocities multiplied, then changed by normal noise (`jitter`), within 1 to 127."""
    tracks: list[GridTrack] = []
    for track in score.tracks:
        notes = track.notes.copy()
        changed = notes["velocity"] * factor + jitter * rng.standard_normal(len(notes))
        notes["velocity"] = np.clip(np.rint(changed), 1, 127)
        tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks))


def jitter_timing(deviations: NDArray[np.float32], jitter: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return deviations with normal noise of standard deviation `jitter`, in steps, cut at three times that."""
    noise = np.clip(rng.standard_normal(len(deviations)), -_TIMING_BOUND, _TIMING_BOUND)
    return (deviations + jitter * noise).astype(np.float32)


def crop(
    score: GridScore, deviations: Sequence[NDArray[np.float32]], first_bar: int, end_bar: int
) -> tuple[GridScore, tuple[NDArray[np.float32], ...]]:
    """Return the notes that start in bars `first_bar` to before `end_bar`, as a piece of its own.

    Notes are cut at the end; metre and tempo of the first bar hold from the start; tracks without notes are dropped.
    The piece ends with the bar in which its last note does.

    Raises
    ------
    ValueError
        If the bars are none of the score's.
    """
    if not 0 <= first_bar < end_bar <= max(score.num_bars, 1):
        raise ValueError(f"bars {first_bar} to {end_bar} do not lie in a piece of {score.num_bars} bars")
    if first_bar == 0 and end_bar >= score.num_bars:
        return score, tuple(deviations)
    start, end = score.bar_starts[[first_bar, end_bar]].tolist()
    tracks: list[GridTrack] = []
    played: list[NDArray[np.float32]] = []
    last = 0
    for index, track in enumerate(score.tracks):
        low, high = np.searchsorted(track.notes["onset_step"], [start, end])
        if low == high:
            continue
        notes = track.notes[low:high].copy()
        notes["duration_step"] = np.minimum(notes["duration_step"], end - notes["onset_step"])
        notes["onset_step"] -= start
        last = max(last, int((notes["onset_step"] + notes["duration_step"]).max()))
        tracks.append(replace(track, notes=notes))
        if len(deviations):
            played.append(deviations[index][low:high])
    num_bars = int(np.searchsorted(score.bar_starts[first_bar : end_bar + 1] - start, last))
    meters = tuple(
        Meter(max(meter.bar - first_bar, 0), meter.numerator, meter.denominator)
        for meter in _in_force(score.meters, first_bar, first_bar + num_bars)
    )
    tempos = tuple(
        BarTempo(max(tempo.bar - first_bar, 0), tempo.tempo_qpm)
        for tempo in _in_force(score.tempos, first_bar, first_bar + num_bars)
    )
    return GridScore(tuple(tracks), num_bars, meters, tempos), tuple(played)


def _in_force(changes: Sequence[_Change], first_bar: int, end_bar: int) -> list[_Change]:
    """Return the last change up to `first_bar` and those after it that start before `end_bar`."""
    first = max(index for index, change in enumerate(changes) if change.bar <= first_bar)
    return [change for index, change in enumerate(changes) if index == first or first_bar < change.bar < end_bar]


def _is_pitched(track: GridTrack) -> bool:
    return not track.is_drum and track.role != "drums"


def _moved(score: GridScore, indices: Collection[int], semitones: int) -> GridScore:
    tracks = list(score.tracks)
    for index in indices:
        notes = tracks[index].notes.copy()
        notes["pitch"] += semitones
        if len(notes) and (notes["pitch"].min() < 0 or notes["pitch"].max() > 127):
            raise ValueError(f"moved by {semitones} semitones, a note leaves the range of pitches 0 to 127")
        tracks[index] = replace(tracks[index], notes=notes)
    return replace(score, tracks=tuple(tracks))


def _pitch_range(tracks: Sequence[GridTrack]) -> tuple[int, int] | None:
    """Return the lowest and the highest pitch, or None without notes."""
    pitches = [track.notes["pitch"] for track in tracks if len(track.notes)]
    return (min(int(p.min()) for p in pitches), max(int(p.max()) for p in pitches)) if pitches else None


def _draw_semitones(score: GridScore, max_semitones: int, rng: np.random.Generator) -> int:
    """Return one of the moves, none included, that keep the piece on the keyboard (or where it already is)."""
    found = _pitch_range([track for track in score.tracks if _is_pitched(track)])
    if found is None:
        return 0
    down = min(max_semitones, max(found[0] - KEYBOARD[0], 0))
    up = min(max_semitones, max(KEYBOARD[1] - found[1], 0))
    return int(rng.integers(-down, up, endpoint=True))


def _draw_octaves(score: GridScore, chance: float, rng: np.random.Generator) -> list[tuple[list[int], int]]:
    """Return which tracks move by how many octaves: the melody's together, each other one by itself."""
    parts: dict[str, list[int]] = {}
    for index, track in enumerate(score.tracks):
        if _is_pitched(track):
            parts.setdefault("melody" if track.role == "melody" else str(index), []).append(index)
    moves: list[tuple[list[int], int]] = []
    for indices in parts.values():
        is_moved, is_up = rng.random() < chance, rng.random() < 0.5
        found = _pitch_range([score.tracks[index] for index in indices])
        low, high = REGISTERS[score.tracks[indices[0]].role]
        if is_moved and found is not None:
            octaves = 1 if is_up else -1
            possible = [
                move for move in (octaves, -octaves) if low <= found[0] + 12 * move <= found[1] + 12 * move <= high
            ]
            moves += [(indices, move) for move in possible[:1]]
    return moves


def _draw_factor(max_change: float, rng: np.random.Generator) -> float:
    """Return a factor between 1 / (1 + max_change) and 1 + max_change, as often below 1 as above."""
    return float((1 + max_change) ** rng.uniform(-1, 1))


def _draw_bars(score: GridScore, phrase_starts: ArrayLike, min_bars: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return first and end bar of a run of whole phrases that holds notes; the whole piece if it is too short."""
    starts = np.asarray(phrase_starts, dtype=np.int64).reshape(-1)
    ends = np.unique(np.concatenate([[0], starts[(starts > 0) & (starts < score.num_bars)], [score.num_bars]]))
    firsts = ends[ends + min_bars <= score.num_bars]
    whole = 0, max(score.num_bars, 1)
    if not len(firsts):
        return whole
    first = int(rng.choice(firsts))
    end = int(rng.choice(ends[ends >= first + min_bars]))
    begin, stop = score.bar_starts[[first, end]]
    has_notes = any(np.diff(np.searchsorted(track.notes["onset_step"], [begin, stop]))[0] for track in score.tracks)
    return (first, end) if has_notes else whole
