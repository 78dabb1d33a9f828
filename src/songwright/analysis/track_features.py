"""What a track is like, in numbers: pitches, voices, rhythm, and its place among the other tracks of the piece.

Knows notes in ticks only; no names, no instruments, no loudness. All tracks of a score are measured together, in arrays
of all their notes. `analysis.roles` decides from these numbers what each track does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TRACK_FEATURES = (
    "log_notes",
    "mean_pitch",
    "std_pitch",
    "vocal_share",
    "log_num_pitches",
    "log_chordal",
    "log_voices",
    "log_overlap",
    "coverage",
    "long_rests",
    "log_onset_rate",
    "std_log_gap",
    "main_gap_share",
    "log_num_gaps",
    "log_variety",
    "log_mean_interval",
    "steps",
    "repeats",
    "leaps",
    "mean_log_duration",
    "std_log_duration",
    "top_share",
    "bottom_share",
)
"""Columns of `track_features`.

Shares are from 0 to 1. Pitch: log of the number of notes; mean and deviation in semitones; share of notes in F3-A5,
where voices and most leads lie; log of the number of different pitches. Voices: log share of notes that start together
with another (plus 0.03); log of how many sound together on average while any sounds, and log of that less one (plus
0.03). Rhythm: share of the piece in which the track sounds; share of notes after a rest of over four quarters; log of
onsets a sounding quarter; deviation of log2 gaps between onsets, share of the commonest gap, log of the number of gaps
that make up 2 % or more; log of the share of different (interval, gap) pairs of successive steps: arpeggios and riffs
repeat themselves, melodies less. Motion of the top line: log of the mean interval plus one; shares of steps of one or
two semitones, of repeated pitches, of leaps of eight semitones or more. Durations: mean and deviation of their log2 in
quarters. Place: share of the quarters in which it plays where it has the highest (lowest) note of all tracks.
"""

_LOWEST_VOICE, _HIGHEST_VOICE = 53, 81
_LONG_REST_QUARTERS = 4
_MAX_INTERVAL = 24
_NUM_GAP_CLASSES = 32  # half octaves of log2 gap, from 2**-8 to 2**7.5 quarters


def track_features(tracks: list[NDArray[np.void]], ticks_per_quarter: int) -> NDArray[np.float64]:
    """Return the features of each track among all the pitched tracks of a piece.

    Parameters
    ----------
    tracks : list of ndarray of NOTE_DTYPE
        The notes of each track, at least one each, sorted by (onset, pitch).
    ticks_per_quarter : int

    Returns
    -------
    ndarray of float64, shape (num_tracks, len(TRACK_FEATURES))
    """
    num_tracks = len(tracks)
    sizes = np.array([len(notes) for notes in tracks])
    starts = np.cumsum(sizes) - sizes
    notes = np.concatenate(tracks)
    index = np.repeat(np.arange(num_tracks), sizes)
    onset = notes["onset_tick"].astype(np.int64)
    duration = np.maximum(notes["duration_tick"].astype(np.int64), 0)
    pitch = np.clip(notes["pitch"].astype(np.int64), 0, 127)
    end = onset + duration
    piece_end = int(end.max()) + 1
    piece_length = max(1, piece_end - int(onset.min()))

    def mean_of(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.add.reduceat(values.astype(np.float64), starts) / sizes

    def std_of(values: NDArray[Any], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(mean_of((values - mean[index]) ** 2))

    # Each track moved behind the one before it, so that running maxima and differences stop at its end.
    apart = piece_end + ticks_per_quarter
    moved_onset, moved_end = onset + index * apart, end + index * apart
    before = np.empty_like(moved_end)
    before[0] = moved_onset[0]
    np.maximum.accumulate(moved_end[:-1], out=before[1:])
    before[starts] = moved_onset[starts]
    rest = np.maximum(moved_onset - before, 0)
    sounding = np.maximum(np.add.reduceat(np.maximum(moved_end - np.maximum(moved_onset, before), 0), starts), 1)
    voices = np.maximum(np.add.reduceat(duration, starts) / sounding, 1.0)

    # Chords: notes that start within a twelfth of a quarter of the one before.
    is_new = np.ones(len(onset), dtype=bool)
    is_new[1:] = np.diff(moved_onset) > ticks_per_quarter // 12
    first = np.flatnonzero(is_new)
    chord_track, chord_onset = index[first], onset[first]
    chord_size = np.diff(np.append(first, len(onset)))
    top = np.maximum.reduceat(pitch, first)
    num_chords = np.bincount(chord_track, minlength=num_tracks)
    in_chords = np.bincount(chord_track, np.where(chord_size > 1, chord_size, 0), num_tracks) / sizes

    # The line of the highest notes, as steps (interval, gap) within a track.
    inside = chord_track[1:] == chord_track[:-1]
    step_track = chord_track[1:][inside]
    signed = np.diff(top)[inside]
    interval = np.minimum(np.abs(signed), _MAX_INTERVAL)
    log_gap = np.log2(np.maximum(np.diff(chord_onset)[inside], 1) / ticks_per_quarter)
    num_steps = np.maximum(np.bincount(step_track, minlength=num_tracks), 1)

    def share_of(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(step_track, values, num_tracks) / num_steps

    mean_log_gap = share_of(log_gap)
    gap_class = np.clip(np.rint(log_gap * 2) + _NUM_GAP_CLASSES // 2, 0, _NUM_GAP_CLASSES - 1).astype(np.int64)
    gap_counts = np.bincount(step_track * _NUM_GAP_CLASSES + gap_class, minlength=num_tracks * _NUM_GAP_CLASSES)
    gap_counts = gap_counts.reshape(num_tracks, _NUM_GAP_CLASSES)
    symbol = (signed + 128) * _NUM_GAP_CLASSES + gap_class
    num_symbols = 256 * _NUM_GAP_CLASSES
    follows = step_track[1:] == step_track[:-1]
    pair = ((step_track[1:] * num_symbols + symbol[1:]) * num_symbols + symbol[:-1])[follows]
    num_pairs = np.bincount(_distinct(pair) // num_symbols**2, minlength=num_tracks)

    mean_pitch = mean_of(pitch)
    num_pitches = np.bincount(_distinct(index * 128 + pitch) // 128, minlength=num_tracks)
    log_duration = np.log2(np.maximum(duration, 1) / ticks_per_quarter)
    mean_log_duration = mean_of(log_duration)
    top_share, bottom_share = _outer_shares(onset // ticks_per_quarter, pitch, index, num_tracks)
    return np.column_stack(
        [
            np.log(sizes),
            mean_pitch,
            std_of(pitch, mean_pitch),
            mean_of((pitch >= _LOWEST_VOICE) & (pitch <= _HIGHEST_VOICE)),
            np.log(num_pitches),
            np.log(in_chords + 0.03),
            np.log(voices),
            np.log(voices - 0.97),
            sounding / piece_length,
            mean_of(rest > _LONG_REST_QUARTERS * ticks_per_quarter),
            np.log(num_chords * ticks_per_quarter / sounding),
            np.sqrt(share_of((log_gap - mean_log_gap[step_track]) ** 2)),
            gap_counts.max(axis=1) / num_steps,
            np.log1p((gap_counts > 0.02 * num_steps[:, None]).sum(axis=1)),
            np.log((num_pairs + 1) / (num_steps + 1)),
            np.log1p(share_of(interval)),
            share_of((interval == 1) | (interval == 2)),
            share_of(interval == 0),
            share_of(interval >= 8),
            mean_log_duration,
            std_of(log_duration, mean_log_duration),
            top_share,
            bottom_share,
        ]
    )


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    ordered = np.sort(keys)
    is_new = np.ones(len(ordered), dtype=bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_new]


def _outer_shares(
    quarter: NDArray[np.int64], pitch: NDArray[np.int64], index: NDArray[np.intp], num_tracks: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of the quarters in which each track plays where no track is higher, and where none is lower."""
    is_new = np.ones(len(quarter), dtype=bool)
    is_new[1:] = (np.diff(quarter) != 0) | (np.diff(index) != 0)
    first = np.flatnonzero(is_new)
    track, cell = index[first], quarter[first]
    highest, lowest = np.maximum.reduceat(pitch, first), np.minimum.reduceat(pitch, first)
    order = np.argsort(cell, kind="stable")
    track, cell, highest, lowest = track[order], cell[order], highest[order], lowest[order]
    is_new = np.ones(len(cell), dtype=bool)
    is_new[1:] = cell[1:] != cell[:-1]
    first = np.flatnonzero(is_new)
    sizes = np.diff(np.append(first, len(cell)))
    is_top = highest == np.repeat(np.maximum.reduceat(highest, first), sizes)
    is_bottom = lowest == np.repeat(np.minimum.reduceat(lowest, first), sizes)
    played = np.bincount(track, minlength=num_tracks)
    return np.bincount(track, is_top, num_tracks) / played, np.bincount(track, is_bottom, num_tracks) / played
