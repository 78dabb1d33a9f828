"""Songs cut to length, and songs spoilt on purpose.

Repetition depends on length, so real songs are cut to the length of the generated ones before they are compared.
Shuffled and looped songs are the controls that every judgement of structure must reject. All are one operation: a new
song from chosen bars of another. The form of the result is that of the original (cut, if shorter); a note is
shortened where the bar that followed it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR
from songwright.score.lead_sheet import ChordChange, Form, LeadSheet, Phrase
from songwright.score.song import Song


def rearrange_bars(song: Song, bars: Sequence[int] | NDArray[np.integer]) -> Song:
    """Return a song made of some bars of another.

    Parameters
    ----------
    song : Song
    bars : sequence of int, shape (num_bars,)
        Bar of the original (counted from zero) for each new bar; at most as many as the original has.

    Raises
    ------
    ValueError
        If there is no bar, more than the original has, or one outside it.
    """
    source = np.asarray(bars, dtype=np.int64)
    num_bars = song.lead_sheet.num_bars
    if not 1 <= len(source) <= num_bars or source.min() < 0 or source.max() >= num_bars:
        raise ValueError(f"bars must be 1 to {num_bars} numbers from 0 to {num_bars - 1}")
    lead_sheet = song.lead_sheet
    return Song(
        LeadSheet(
            lead_sheet.key,
            lead_sheet.tempo_qpm,
            _cut_form(lead_sheet.form, len(source)),
            _rearrange_chords(lead_sheet.chords, source),
            _rearrange_notes(lead_sheet.melody, source),
        ),
        _rearrange_notes(song.piano, source),
    )


def first_seconds(song: Song, seconds: float) -> Song:
    """Return the first bars of a song that last `seconds` to the nearest bar: at least one, at most the whole song."""
    num_bars = round(seconds * song.lead_sheet.tempo_qpm / 240)
    return rearrange_bars(song, np.arange(min(max(num_bars, 1), song.lead_sheet.num_bars)))


def shuffle_bars(song: Song, rng: np.random.Generator) -> Song:
    """Return the song with its bars in random order: a control that no judgement of structure may pass."""
    return rearrange_bars(song, rng.permutation(song.lead_sheet.num_bars))


def loop_bars(song: Song, rng: np.random.Generator, *, num_looped: int = 8) -> Song:
    """Return as many bars as the song has, all taken from one passage of `num_looped` bars with melody throughout.

    Where no passage has melody in each bar, the one with the most such bars serves.
    """
    num_bars = song.lead_sheet.num_bars
    num_looped = min(num_looped, num_bars)
    sung = np.zeros(num_bars)
    sung[song.lead_sheet.melody["onset_step"] // STEPS_PER_BAR] = 1
    sung_in_passage = np.convolve(sung, np.ones(num_looped), mode="valid")
    start = int(rng.choice(np.flatnonzero(sung_in_passage == sung_in_passage.max())))
    return rearrange_bars(song, start + np.arange(num_bars) % num_looped)


def _cut_form(form: Form, num_bars: int) -> Form:
    phrases: list[Phrase] = []
    for phrase, start in zip(form.phrases, form.start_bars, strict=True):
        if start < num_bars:
            phrases.append(Phrase(phrase.letter, min(phrase.num_bars, num_bars - start)))
    return Form(tuple(phrases))


def _rearrange_notes(notes: NDArray[np.void], source: NDArray[np.int64]) -> NDArray[np.void]:
    # First new bar of the next stretch that does not continue, for each new bar.
    breaks = np.append(np.flatnonzero(np.diff(source) != 1) + 1, len(source))
    stretch_end = breaks[np.searchsorted(breaks, np.arange(len(source)), side="right")]
    bar = notes["onset_step"] // STEPS_PER_BAR
    firsts, lasts = np.searchsorted(bar, source), np.searchsorted(bar, source, side="right")
    pieces: list[NDArray[np.void]] = [np.empty(0, dtype=GRID_NOTE_DTYPE)]
    for new_bar, old_bar in enumerate(source):
        piece = notes[firsts[new_bar] : lasts[new_bar]].copy()
        piece["onset_step"] += (new_bar - old_bar) * STEPS_PER_BAR
        room = stretch_end[new_bar] * STEPS_PER_BAR - piece["onset_step"]
        piece["duration_step"] = np.minimum(piece["duration_step"], room)
        pieces.append(piece)
    return np.concatenate(pieces)


def _rearrange_chords(chords: tuple[ChordChange, ...], source: NDArray[np.int64]) -> tuple[ChordChange, ...]:
    onsets = np.array([onset for onset, _ in chords], dtype=np.int64)
    changes: list[ChordChange] = []
    firsts = np.searchsorted(onsets, source * STEPS_PER_BAR).tolist()
    lasts = np.searchsorted(onsets, (source + 1) * STEPS_PER_BAR).tolist()
    continues = np.diff(source, prepend=-2) == 1
    for new_bar, (old_bar, first, last) in enumerate(zip(source.tolist(), firsts, lasts, strict=True)):
        start = old_bar * STEPS_PER_BAR
        inside = list(chords[first:last])
        if not continues[new_bar] and first > 0 and not (inside and inside[0].onset_step == start):
            inside.insert(0, ChordChange(start, chords[first - 1].chord))
        for onset, chord in inside:
            if continues[new_bar] or not changes or changes[-1].chord != chord:
                changes.append(ChordChange(onset - start + new_bar * STEPS_PER_BAR, chord))
    return tuple(changes)
