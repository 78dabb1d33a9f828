"""Clean notes: what files get wrong, put right before anything is concluded from the notes.

Knows notes in ticks and their faults, track by track; leaves roles, beats and the sustain pedal (`files.midi`) to
others. A fault is repaired where the music behind it is clear, and the note dropped where it is not; every repair is
counted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from songwright.score.elements import Score, Track, sort_notes

LOWEST_KEY, HIGHEST_KEY = 21, 108
"""The keyboard of a piano, A0 to C8."""
NOTES_PER_QUARTER = 8
"""A note without length becomes a 32nd note, of which this many make a quarter."""
STUCK_QUARTERS = 16
"""Only notes of over four whole bars of 4/4 are suspected of a lost end; the others are ordinary."""
STUCK_RATIO = 4
"""A suspect is stuck if it is that many times as long as the longest ordinary note of its track ..."""
STUCK_RATIO_AT_END = 2
"""... or that many times, if it rings until the last note of the piece has started ..."""
STUCK_ONSETS = 8
"""... and at least so many notes of its own track start after it."""
ORDINARY_PER_STUCK = 4
"""A track with more suspects than one to so many ordinary notes plays long notes: none of them is stuck."""

_MAX_TICK = 2**31 - 1


@dataclass(frozen=True)
class NoteRepairs:
    """How many notes (last: tracks) were repaired, by kind.

    Attributes
    ----------
    invalid : int
        Dropped: before the start of the piece or at the last tick that can be counted, or with a pitch or velocity
        outside 0 to 127.
    silent : int
        Dropped: velocity 0.
    out_of_range : int
        Moved by octaves onto the keyboard of a piano (not in drum tracks).
    duplicates : int
        Dropped: a note of the same pitch starts at the same tick of the track and lasts at least as long.
    zero_length : int
        Given a 32nd note, or the time up to the next note of the pitch.
    overlaps : int
        Cut where the next note of the same pitch starts.
    stuck : int
        Far too long, as if the end had been lost: cut to the median length of the track's ordinary notes.
    empty_tracks : int
        Dropped.
    """

    invalid: int = 0
    silent: int = 0
    out_of_range: int = 0
    duplicates: int = 0
    zero_length: int = 0
    overlaps: int = 0
    stuck: int = 0
    empty_tracks: int = 0

    @property
    def total(self) -> int:
        """Repairs of all kinds."""
        return sum(getattr(self, field.name) for field in fields(self))


def clean_notes(score: Score) -> tuple[Score, NoteRepairs]:
    """Return the score with its notes repaired, and what was repaired.

    Afterwards every track has notes; every note has a pitch of the keyboard (drums: 0 to 127), a velocity from 1 to 127
    and a length of at least a tick; and notes of one pitch in a track neither overlap nor start together. Repairing
    again changes nothing. A score without faults is returned as it is.

    Parameters
    ----------
    score : Score
        Any values that its arrays can hold.

    Returns
    -------
    score : Score
    repairs : NoteRepairs

    Examples
    --------
    >>> from songwright.score.elements import Note, note_array
    >>> notes = note_array([Note(0, 960, 60), Note(480, 480, 60), Note(480, 0, 64)])
    >>> cleaned, repairs = clean_notes(Score(480, (Track("PIANO", notes),)))
    >>> cleaned.tracks[0].notes["duration_tick"].tolist()
    [480, 480, 60]
    >>> repairs.overlaps, repairs.zero_length
    (1, 1)
    """
    tracks = [track for track in score.tracks if len(track.notes)]
    num_empty = len(score.tracks) - len(tracks)
    if not tracks:
        return (replace(score, tracks=()) if num_empty else score), NoteRepairs(empty_tracks=num_empty)
    # All tracks in one array, so that the work does not grow with the number of tracks.
    sizes = np.array([len(track.notes) for track in tracks])
    notes = np.concatenate([track.notes for track in tracks]) if len(tracks) > 1 else tracks[0].notes
    ends = np.cumsum(sizes)
    track_index = np.repeat(np.arange(len(tracks)), sizes)
    is_drum = np.repeat([track.is_drum for track in tracks], sizes)
    onset = notes["onset_tick"].astype(np.int64)
    duration = notes["duration_tick"].astype(np.int64)
    pitch, velocity = notes["pitch"].astype(np.int64), notes["velocity"]

    invalid = (onset < 0) | (onset == _MAX_TICK) | (pitch < 0) | (pitch > 127) | (velocity < 0) | (velocity > 127)
    silent = (velocity == 0) & ~invalid
    keep = ~(invalid | silent)
    folded = _onto_keyboard(pitch)
    out_of_range = (folded != pitch) & keep & ~is_drum
    pitch = np.where(out_of_range, folded, pitch)

    # Notes of one pitch of one track side by side, by onset, the longest first among those that start together.
    key = (track_index * 128 + pitch) * 2**31 + onset
    order = np.argsort(key, kind="stable")
    if not keep.all():
        order = order[keep[order]]
    ordered = key[order]
    is_duplicate = np.zeros(len(order), dtype=bool)
    is_duplicate[1:] = ordered[1:] == ordered[:-1]
    if is_duplicate.any():
        together = is_duplicate.copy()
        together[:-1] |= is_duplicate[1:]
        equal = order[together]
        order[together] = equal[np.lexsort((-velocity[equal], -duration[equal], ordered[together]))]
        keep[order[is_duplicate]] = False
        order = order[~is_duplicate]

    length = duration[order]
    voice = track_index[order] * 128 + pitch[order]
    gap = _MAX_TICK - onset[order]
    gap[:-1] = np.where(voice[1:] == voice[:-1], np.diff(onset[order]), gap[:-1])
    no_length = length <= 0
    overlapping = length > gap
    length = np.where(no_length, max(1, score.ticks_per_quarter // NOTES_PER_QUARTER), length)
    duration[order] = np.minimum(length, gap)
    num_stuck = 0
    last_onset = int(onset[order].max(initial=0))
    limit = STUCK_QUARTERS * score.ticks_per_quarter
    for track in np.unique(track_index[keep & (duration > limit)]).tolist():
        mine = np.flatnonzero(keep[ends[track] - sizes[track] : ends[track]]) + ends[track] - sizes[track]
        stuck = mine[_is_stuck(onset[mine], duration[mine], limit, last_onset)]
        ordinary = duration[mine][duration[mine] <= limit]
        if len(stuck):
            duration[stuck] = max(1, int(np.median(ordinary)))
            num_stuck += len(stuck)

    repairs = NoteRepairs(
        invalid=int(invalid.sum()),
        silent=int(silent.sum()),
        out_of_range=int(out_of_range.sum()),
        duplicates=int(is_duplicate.sum()),
        zero_length=int(no_length.sum()),
        overlaps=int(overlapping.sum()),
        stuck=num_stuck,
        empty_tracks=num_empty,
    )
    if not repairs.total:
        return score, repairs
    cleaned: list[Track] = []
    for number, track in enumerate(tracks):
        chosen = np.flatnonzero(keep[ends[number] - sizes[number] : ends[number]]) + ends[number] - sizes[number]
        if not len(chosen):
            repairs = replace(repairs, empty_tracks=repairs.empty_tracks + 1)
            continue
        array = notes[chosen]
        array["duration_tick"], array["pitch"] = duration[chosen], pitch[chosen]
        cleaned.append(replace(track, notes=sort_notes(array) if repairs.out_of_range else array))
    return replace(score, tracks=tuple(cleaned)), repairs


def _onto_keyboard(pitch: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pitches moved by the fewest octaves onto the keyboard."""
    up = np.maximum(0, -((pitch - LOWEST_KEY) // 12))
    down = np.maximum(0, -((HIGHEST_KEY - pitch) // 12))
    return pitch + 12 * (up - down)


def _is_stuck(onset: NDArray[np.int64], duration: NDArray[np.int64], limit: int, last_onset: int) -> NDArray[np.bool_]:
    """Return which notes of one track (sorted by onset) are far too long."""
    ordinary = duration <= limit
    num_ordinary = int(ordinary.sum())
    if (len(duration) - num_ordinary) * ORDINARY_PER_STUCK > num_ordinary:
        return np.zeros(len(duration), dtype=bool)
    longest = int(duration[ordinary].max())
    num_after = len(onset) - np.searchsorted(onset, onset, side="right")
    rings_on = (onset + duration >= last_onset) & (num_after >= STUCK_ONSETS)
    ratio = np.where(rings_on, STUCK_RATIO_AT_END, STUCK_RATIO)
    return ~ordinary & (duration > ratio * longest)
