"""One piece of music with everything found in it: the grid, roles, key, chords, melody, phrases.

`analyse` runs the stages of `analysis` one after another on a score in ticks, and stops with a reason where the piece
is not fit to learn from (`corpus.cleaning`). `lead_song` narrows a piece to what songs are composed in: 4/4, one
melody, chord symbols, C major or A minor. Knows no tokens and writes no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.beats import find_beats
from songwright.analysis.chords import find_chords
from songwright.analysis.half_bars import measure_half_bars
from songwright.analysis.keys import KeyRegion, find_keys
from songwright.analysis.notes import clean_notes
from songwright.analysis.phrases import find_phrases
from songwright.analysis.quantization import quantize
from songwright.analysis.roles import accompaniment, melody_line, track_roles
from songwright.corpus.cleaning import CleaningConfig, Rejection, measure, rejection
from songwright.score.elements import ChordLabel, Score
from songwright.score.grid import (
    DURATION_STEPS,
    GRID_NOTE_DTYPE,
    POSITION_OF_STEP,
    POSITION_STEPS,
    STEPS_PER_BAR,
    STEPS_PER_BEAT,
)
from songwright.score.grid_score import BeatGrid, GridScore
from songwright.score.lead_sheet import ChordChange, Form, LeadSheet, parse_chord
from songwright.score.pitch import Key
from songwright.score.song import Song
from songwright.score.timeline import ticks_to_seconds

MIN_MELODY_NOTES = 16
"""Notes that a melody needs for its song to be learned from."""
MIN_BARS = 4
MAX_BARS = 400
"""Bars of a song: fewer have no form, more are no song (twenty minutes at 80 quarter notes a minute)."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece that is fit to learn from.

    Attributes
    ----------
    title : str
    score : GridScore
    deviations : tuple of float32 arrays, one per track
        How far each note was played from its step, in steps.
    keys : tuple of KeyRegion
        The first at bar 0; empty for drums alone.
    chords : tuple of ChordChange
        Written ones where the file has them, else found.
    melody, piano : ndarray of GRID_NOTE_DTYPE
        One voice, and everything else that has a pitch.
    form : Form or None
        Phrases; None without melody and chords.
    seconds : float
        Length as played.
    grid : BeatGrid
    share_on_grid : float
        Share of onsets close to their step.
    swing : float
        How much longer the first of two swung eighths is; 1 if straight.
    num_repairs : int
        Notes that were mended or dropped.
    """

    title: str
    score: GridScore
    deviations: tuple[NDArray[np.float32], ...]
    keys: tuple[KeyRegion, ...]
    chords: tuple[ChordChange, ...]
    melody: NDArray[np.void]
    piano: NDArray[np.void]
    form: Form | None
    seconds: float
    grid: BeatGrid
    share_on_grid: float
    swing: float
    num_repairs: int

    @property
    def tempo_qpm(self) -> float:
        """Quarter notes per minute, the middle one over the bars."""
        bars = np.array([tempo.bar for tempo in self.score.tempos] + [max(self.score.num_bars, 1)])
        return weighted_median([tempo.tempo_qpm for tempo in self.score.tempos], np.diff(bars))


def weighted_median(values: list[float], weights: NDArray[np.integer]) -> float:
    """Return the value at half of the summed weights."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[int(order[np.searchsorted(cumulative, cumulative[-1] / 2)])])


def analyse(
    score: Score,
    *,
    title: str = "",
    grid: BeatGrid | None = None,
    cleaning: CleaningConfig | None = None,
) -> Piece | Rejection:
    """Return all that is found in a score, or why it is not fit to learn from.

    Parameters
    ----------
    score : Score
    title : str
    grid : BeatGrid, optional
        Known beats; found from the notes where absent.
    cleaning : CleaningConfig, optional
        Thresholds; the usual ones where absent.
    """
    config = cleaning or CleaningConfig()
    score, repairs = clean_notes(score)
    seconds = float(ticks_to_seconds(score, score.end_tick))
    if found := rejection(measure(score, seconds), config):
        return found
    roles = track_roles(score)
    if grid is None:
        grid = find_beats(score, roles)
    if grid is None:
        return Rejection("no beat", "no regular beat was found in its notes")
    quantized = quantize(score, grid, roles)
    laid = quantized.grid_score
    if found := rejection(
        measure(score, seconds, roles=roles, confidence=grid.confidence, share_on_grid=quantized.share_on_grid), config
    ):
        return found
    melody, piano = melody_line(laid), accompaniment(laid)
    is_pitched = bool(len(melody) or len(piano))
    keys: tuple[KeyRegion, ...] = ()
    chords = _written_chords(score.chord_labels, grid)
    if is_pitched:
        half_bars = measure_half_bars(laid)
        keys = find_keys(laid, half_bars)
        chords = chords or find_chords(laid, half_bars)
    form = find_phrases(melody, chords, laid.bar_starts, accompaniment=piano) if chords and laid.num_bars else None
    return Piece(
        title, laid, quantized.deviations, keys, chords, melody, piano, form, seconds, grid, quantized.share_on_grid,
        quantized.swing, repairs.total,
    )  # fmt: skip


def _written_chords(labels: tuple[ChordLabel, ...], grid: BeatGrid) -> tuple[ChordChange, ...]:
    """Return the chord symbols of the file on their beats, the last of each beat; unreadable ones are passed over."""
    steps = np.rint(grid.ticks_to_steps([label.tick for label in labels]) / STEPS_PER_BEAT).astype(int) * STEPS_PER_BEAT
    changes: dict[int, ChordChange] = {}
    for step, label in zip(steps.tolist(), labels, strict=True):
        try:
            chord = parse_chord(label.label)
        except ValueError:
            continue
        if chord is not None and step >= 0:
            changes[step] = ChordChange(step, chord)
    ordered = [changes[step] for step in sorted(changes)]
    return tuple(ordered[:1]) + tuple(now for before, now in pairwise(ordered) if before.chord != now.chord)


def lead_song(piece: Piece) -> Song | None:
    """Return a piece as a song in C major or A minor, or None where it is none (no 4/4, no melody, no chords)."""
    score = piece.score
    if (
        not score.is_common_time
        or not MIN_BARS <= score.num_bars <= MAX_BARS
        or len(piece.melody) < MIN_MELODY_NOTES
        or not piece.chords
        or piece.form is None
        or not piece.keys
    ):
        return None
    num_bars = score.num_bars
    shift = np.zeros(num_bars, dtype=np.int16)
    minor_bars = 0
    for region, end in zip(piece.keys, [*(later.bar for later in piece.keys[1:]), num_bars], strict=True):
        shift[region.bar : end] = region.key.semitones_to_normal
        minor_bars += (end - region.bar) * region.key.is_minor
    is_minor = minor_bars * 2 > num_bars
    melody = one_voice(_on_positions(piece.melody, num_bars))
    piano = _on_positions(piece.piano, num_bars)
    for notes in (melody, piano):
        notes["pitch"] += shift[notes["onset_step"] // STEPS_PER_BAR]
    melody, piano = (notes[(notes["pitch"] >= 0) & (notes["pitch"] <= 127)] for notes in (melody, piano))
    chords = tuple(
        ChordChange(onset, chord.transpose(int(shift[onset // STEPS_PER_BAR])))
        for onset, chord in piece.chords
        if onset < num_bars * STEPS_PER_BAR
    )
    if len(melody) < MIN_MELODY_NOTES or not chords:
        return None
    sheet = LeadSheet(Key(9 if is_minor else 0, is_minor), piece.tempo_qpm, piece.form, chords, melody)
    return Song(sheet, piano)


def _on_positions(notes: NDArray[np.void], num_bars: int) -> NDArray[np.void]:
    """Return notes on the positions and durations that songs know, within the bars; equal ones once."""
    kept = notes[notes["onset_step"] < num_bars * STEPS_PER_BAR].astype(GRID_NOTE_DTYPE)
    bar, step = np.divmod(kept["onset_step"], STEPS_PER_BAR)
    kept["onset_step"] = bar * STEPS_PER_BAR + np.array(POSITION_STEPS)[POSITION_OF_STEP[step]]
    room = num_bars * STEPS_PER_BAR - kept["onset_step"]
    kept["duration_step"] = known_duration(np.minimum(kept["duration_step"], room))
    kept = kept[kept["duration_step"] <= room]
    key = kept["onset_step"].astype(np.int64) * 128 + kept["pitch"]
    order = np.lexsort((-kept["duration_step"], key))
    is_first = np.diff(key[order], prepend=-1) != 0
    return kept[order[is_first]]


def known_duration(length: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the longest of DURATION_STEPS within each length in steps, the shortest where none is."""
    durations = np.array(DURATION_STEPS, dtype=np.int32)
    return durations[np.maximum(np.searchsorted(durations, length, side="right") - 1, 0)]


def one_voice(notes: NDArray[np.void]) -> NDArray[np.void]:
    """Return the highest note of each onset, each cut short where the next one starts."""
    if not len(notes):
        return notes
    highest = np.append(notes["onset_step"][1:] != notes["onset_step"][:-1], True)  # sorted by (onset, pitch)
    voice = notes[highest].copy()
    room = np.diff(voice["onset_step"], append=np.int32(2**30))
    voice["duration_step"] = known_duration(np.minimum(voice["duration_step"], room))
    return voice[voice["duration_step"] <= room]
