"""The passage of a training song that a song comes closest to, side by side with it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.sequences import melody_tokens
from songwright.reporting.page import legend, paragraph
from songwright.reporting.roll import OTHER_TINT, MarkedSpan, roll_part
from songwright.reporting.words import bars_words
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.song import Song

_SHARED_TINT = "#b45309"
_LEAST_BARS = 4


@dataclass(frozen=True, eq=False)
class ClosestPassage:
    """A run of melody notes that a song shares with a training song, in any key.

    Attributes
    ----------
    source : Song
        The training song.
    source_id, title : str
        What the corpus calls it; the title may be empty.
    start, source_start : int
        Melody note, counted from zero, where the run starts in the judged song and in the training song.
    num_notes : int
    """

    source: Song
    source_id: str
    title: str
    start: int
    source_start: int
    num_notes: int


def closest_passage(song: Song, source: Song, *, source_id: str, title: str = "") -> ClosestPassage | None:
    """Return the longest run of melody tokens that two songs share, or None if they share none.

    Tokens are (interval, inter-onset interval), as originality counts them, so the run may be transposed.
    """
    ours, theirs = melody_tokens(song.lead_sheet.melody), melody_tokens(source.lead_sheet.melody)
    run = np.zeros(len(theirs) + 1, dtype=np.int64)  # run[j + 1]: equal tokens that end at the current one and at j
    length, end, source_end = 0, 0, 0
    for place, token in enumerate(ours.tolist()):
        run[1:] = np.where(theirs == token, run[:-1] + 1, 0)
        best = int(run.argmax())
        if run[best] > length:
            length, end, source_end = int(run[best]), place + 1, best
    if not length:
        return None
    return ClosestPassage(source, source_id, title, end - length, source_end - length, length + 1)


def passage_part(song: Song, passage: ClosestPassage, *, title: str) -> str:
    """Return both passages as rolls that play, the shared notes marked, and in words what is shared."""
    own = _bars_of(song, passage.start, passage.num_notes)
    theirs = _bars_of(passage.source, passage.source_start, passage.num_notes)
    name = f"“{passage.title}” ({passage.source_id})" if passage.title else passage.source_id
    shift = int(passage.source.lead_sheet.melody["pitch"][passage.source_start]) - int(
        song.lead_sheet.melody["pitch"][passage.start]
    )
    words = (
        f"The most that this song has in common with any known song is {passage.num_notes} melody notes in a row, "
        f"in {bars_words(*own)} here and in {bars_words(*theirs)} of {name}{_shift_words(shift)}."
    )
    rolls = "".join(
        f"<div><h3>{escape(heading)}</h3>"
        f"{_roll(one, start, passage.num_notes, bars, part_id=part_id, title=heading)}</div>"
        for one, start, bars, part_id, heading in (
            (song, passage.start, own, "passage-here", f"{title}, {bars_words(*own)}"),
            (passage.source, passage.source_start, theirs, "passage-there", f"{name}, {bars_words(*theirs)}"),
        )
    )
    key = legend([(_SHARED_TINT, "shared melody notes"), (OTHER_TINT, "other melody notes"), ("#94a3b8", "piano")])
    return f'{paragraph(words)}<div class="halves">{rolls}</div>{key}'


def _bars_of(song: Song, start: int, num_notes: int) -> tuple[int, int]:
    """Return the bars of a run of melody notes, first and last counted from one."""
    onsets: NDArray[np.int32] = song.lead_sheet.melody["onset_step"]
    return int(onsets[start]) // STEPS_PER_BAR + 1, int(onsets[start + num_notes - 1]) // STEPS_PER_BAR + 1


def _roll(song: Song, start: int, num_notes: int, bars: tuple[int, int], *, part_id: str, title: str) -> str:
    first, after = bars[0] - 1, bars[1]
    after = min(max(after, first + _LEAST_BARS), song.lead_sheet.num_bars)
    tints = [
        _SHARED_TINT if start <= place < start + num_notes else OTHER_TINT
        for place in range(len(song.lead_sheet.melody))
    ]
    shared = song.lead_sheet.melody[start : start + num_notes]
    left, last = int(shared["onset_step"][0]), shared[-1]
    right = int(last["onset_step"]) + int(last["duration_step"])
    offset = first * STEPS_PER_BAR
    span = MarkedSpan(left - offset, right - offset, "shared notes")
    return roll_part(
        song, part_id=part_id, title=title, bars=(first, after), melody_tints=tints, marks=[span], height=150
    )


def _shift_words(semitones: int) -> str:
    if not semitones:
        return ", at the same pitch (both moved to C major or A minor)"
    size = f"{abs(semitones)} {'semitone' if abs(semitones) == 1 else 'semitones'}"
    return f", there {size} {'higher' if semitones > 0 else 'lower'}"
