"""What a piece is recognised by: hashes of its notes and of its melodic figures.

A *figure* is six neighbouring notes of one line: five intervals and the four ratios (shorter, same, longer) between
its inter-onset intervals. So figures do not change with transposition, tempo, half or double time, a shift on the grid
or an accompaniment. A line is the melody track, and the skyline (top voice) of all pitched tracks; a piece of drums
only has one line of nine neighbouring drum strokes. Figures that many pieces share (repeated notes, trills, even drum
beats) are left out. Knows one piece; `corpus.duplicates` compares many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.sequences import mix_bits
from songwright.score.grid_score import GridScore

NUM_LINES = 2
"""Melody (or drums) and skyline."""
NUM_BANDS = 128
"""Band keys of a line. Two lines whose figures have Jaccard similarity s share one with chance 1 - (1 - s^3)^128."""
ROWS_PER_BAND = 3
MAX_FIGURES = 1024
"""Figures kept of a line: the lowest hashes. A four-minute song has about 100 in its melody, 250 in its skyline."""
MIN_FIGURES = 8
"""A line with fewer figures is too short to be recognised by them, and has no band keys."""

_FIGURE_INTERVALS = 5
_LARGEST_INTERVAL = 63
# Information in bits of an interval of 0, 1, … 12 or more semitones: unigrams of the melodies of POP909's train split.
_INTERVAL_BITS = np.array([2.1, 4.6, 2.5, 3.8, 5.7, 4.9, 8.0, 5.5, 7.7, 7.3, 8.0, 8.0, 8.0])
# Repeated notes have 10.5 bits, a trill of whole tones 12.5, a scale of two whole tones, a semitone, two more 14.6.
_MIN_FIGURE_BITS = 14.0
_SKYLINE_REACH = 6
_FIGURE_STROKES = 8
_MIN_DISTINCT_STROKES = 3

_DRUM_CLASS = np.full(128, 7, dtype=np.int64)
for _number, _pitches in enumerate(
    [
        (35, 36),  # bass drum
        (37, 38, 39, 40),  # snare, side stick, clap
        (22, 42, 44),  # closed hi-hat
        (26, 46),  # open hi-hat
        (41, 43, 45, 47, 48, 50, 58),  # toms
        (49, 52, 55, 57),  # crash, splash
        (51, 53, 59),  # ride
    ]
):
    _DRUM_CLASS[list(_pitches)] = _number

# Odd multipliers modulo 2**64, so that no two notes of one onset are likely to have one sum.
_DURATION_FACTOR, _PITCH_FACTOR = np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F)
_ROWS = mix_bits(np.arange(NUM_BANDS * ROWS_PER_BAND * 2))
# Odd multipliers and offsets modulo 2**32: each orders the (already scattered) figures in its own way.
_ROW_FACTORS = (_ROWS[::2].astype(np.uint32) | np.uint32(1))[:, None]
_ROW_OFFSETS = _ROWS[1::2].astype(np.uint32)[:, None]
_BAND_FACTORS = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D], dtype=np.uint32)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What a piece is recognised by.

    Attributes
    ----------
    notes_hash : int
        64 bits over onset, duration and pitch of all notes, onsets counted from the first one; 0 without notes.
        Tempo, loudness, instruments, names and the order of tracks do not count.
    transposed_hash : int
        The same for all transpositions; drums stay where they are.
    figures : tuple of ndarray of uint32, one per line
        Hashes of the line's figures, distinct, ascending, at most MAX_FIGURES.
    bands : ndarray of uint32, shape (NUM_LINES, NUM_BANDS)
        MinHash signatures of the figures, ROWS_PER_BAND to a key; 0 for a line with under MIN_FIGURES figures.
    """

    notes_hash: int
    transposed_hash: int
    figures: tuple[NDArray[np.uint32], NDArray[np.uint32]]
    bands: NDArray[np.uint32]


def fingerprint(score: GridScore) -> Fingerprint:
    """Return the fingerprint of a piece.

    Parameters
    ----------
    score : GridScore
        Tracks with the role `melody` make the first line, all pitched tracks the second.

    Returns
    -------
    Fingerprint

    Notes
    -----
    The first line is empty where no track has the role; the second where it would repeat the first.
    """
    pitched, drums = _columns(score, is_drum=False), _columns(score, is_drum=True)
    notes_hash, transposed_hash = _note_hashes(pitched, drums)
    empty = np.empty(0, dtype=np.uint32)
    if len(pitched[0]):
        melody = _columns(score, is_drum=False, role="melody")
        first = _melodic_figures(*melody)
        figures = first, (empty if len(melody[0]) == len(pitched[0]) else _melodic_figures(*pitched))
    else:
        figures = _drum_figures(drums[0], drums[2]), empty
    return Fingerprint(notes_hash, transposed_hash, figures, np.stack([band_keys(line) for line in figures]))


def _columns(
    score: GridScore, *, is_drum: bool, role: str = ""
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return onsets, durations and pitches of the pitched notes or the drums, of one role if given."""
    tracks = [
        track.notes
        for track in score.tracks
        if (track.is_drum or track.role == "drums") == is_drum and role in ("", track.role)
    ]
    onset, duration, pitch = (
        np.concatenate([np.empty(0, np.int64), *(notes[name] for notes in tracks)])
        for name in ("onset_step", "duration_step", "pitch")
    )
    return onset, duration, pitch


def _note_hashes(pitched: tuple[NDArray[np.int64], ...], drums: tuple[NDArray[np.int64], ...]) -> tuple[int, int]:
    """Return hashes of all notes, as they are and free of transposition: sums, so that no order counts."""
    if not len(pitched[0]) and not len(drums[0]):
        return 0, 0
    onset, duration, pitch = (np.concatenate(pair) for pair in zip(pitched, drums, strict=True))
    first = onset.min()
    is_drum = np.arange(len(onset)) >= len(pitched[0])
    lowest = int(pitched[2].min()) if len(pitched[2]) else 0
    time = mix_bits((onset - first) * 2 + is_drum) + duration.astype(np.uint64) * _DURATION_FACTOR
    result: list[int] = []
    for shift in (0, lowest):
        moved = (pitch - np.where(is_drum, 0, shift)).astype(np.uint64)
        result.append(max(int(mix_bits(time + moved * _PITCH_FACTOR).sum()), 1))
    return result[0], result[1]


def _skyline(
    onset: NDArray[np.int64], duration: NDArray[np.int64], pitch: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return onsets and pitches of the top voice: the highest note of each onset, unless a higher one still sounds."""
    # Packed into one integer, notes sort by onset and pitch several times as fast as with argsort and three takes.
    packed = np.sort(onset << 24 | pitch << 17 | np.minimum(duration, 0x1FFFF))
    onset = packed >> 24
    is_highest = np.ones(len(onset), dtype=bool)
    is_highest[:-1] = onset[1:] != onset[:-1]
    packed, onset = packed[is_highest], onset[is_highest]
    pitch, duration = packed >> 17 & 127, packed & 0x1FFFF
    # The last tenth of a note may overlap the next one, as legato does, in any tempo.
    release = onset + duration - duration // 10
    is_top = np.ones(len(onset), dtype=bool)
    for back in range(1, min(_SKYLINE_REACH + 1, len(onset))):
        is_top[back:] &= (pitch[:-back] <= pitch[back:]) | (release[:-back] <= onset[back:])
    return onset[is_top], pitch[is_top]


def _rhythm(onset: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class of each inter-onset interval beside the one before: 0 about the same, 1 shorter, 2 longer."""
    inter_onset = np.diff(onset)
    # 7 : 5 is half an octave, between a triplet's 4 : 3 and a dotted note's 3 : 2.
    is_shorter = 7 * inter_onset[1:] < 5 * inter_onset[:-1]
    is_longer = 5 * inter_onset[1:] > 7 * inter_onset[:-1]
    return is_shorter + 2 * is_longer


def _melodic_figures(
    onset: NDArray[np.int64], duration: NDArray[np.int64], pitch: NDArray[np.int64]
) -> NDArray[np.uint32]:
    onset, pitch = _skyline(onset, duration, pitch)
    interval = np.diff(pitch)
    num_figures = len(interval) - _FIGURE_INTERVALS + 1
    if num_figures < 1:
        return np.empty(0, dtype=np.uint32)
    bits = _INTERVAL_BITS[np.minimum(np.abs(interval), len(_INTERVAL_BITS) - 1)]
    # An interval takes 7 bits of the code, a ratio 2.
    code = np.clip(interval, -_LARGEST_INTERVAL, _LARGEST_INTERVAL) + 64
    code[:-1] += _rhythm(onset) * 128
    figures = code[:num_figures].copy()
    information = bits[:num_figures].copy()
    for place in range(1, _FIGURE_INTERVALS):
        last = place == _FIGURE_INTERVALS - 1
        window = code[place : place + num_figures]
        figures = figures * 512 + (window & 127 if last else window)
        information += bits[place : place + num_figures]
    return _lowest_hashes(figures[information > _MIN_FIGURE_BITS])


def _drum_figures(onset: NDArray[np.int64], pitch: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return figures of strokes (the classes of drums struck at an onset) and their rhythm."""
    hits = np.unique(onset * 8 + _DRUM_CLASS[pitch])
    onset = hits // 8
    starts = np.flatnonzero(np.diff(onset, prepend=-1))
    if len(starts) < _FIGURE_STROKES + 1:
        return np.empty(0, dtype=np.uint32)
    stroke = np.add.reduceat(1 << (hits % 8), starts)[1:]
    code = stroke * 4
    code[1:] += _rhythm(onset[starts])
    windows = np.lib.stride_tricks.sliding_window_view(code, _FIGURE_STROKES)
    ordered = np.sort(np.lib.stride_tricks.sliding_window_view(stroke, _FIGURE_STROKES), axis=1)
    num_distinct = 1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1)
    figures = np.zeros(len(windows), dtype=np.uint64)
    for place in range(_FIGURE_STROKES):
        figures = mix_bits(figures + windows[:, place].astype(np.uint64))
    return _lowest_hashes(figures[num_distinct >= _MIN_DISTINCT_STROKES])


def _lowest_hashes(figures: NDArray[np.int64] | NDArray[np.uint64]) -> NDArray[np.uint32]:
    hashes = np.sort((mix_bits(figures) >> np.uint64(32)).astype(np.uint32))
    is_first = np.ones(len(hashes), dtype=bool)
    is_first[1:] = hashes[1:] != hashes[:-1]
    return hashes[is_first][:MAX_FIGURES]


def band_keys(figures: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the band keys of a line, shape (NUM_BANDS,), from the hashes of its figures."""
    if len(figures) < MIN_FIGURES:
        return np.zeros(NUM_BANDS, dtype=np.uint32)
    signature = (figures * _ROW_FACTORS + _ROW_OFFSETS).min(axis=1)
    return signature.reshape(NUM_BANDS, ROWS_PER_BAND) @ _BAND_FACTORS
