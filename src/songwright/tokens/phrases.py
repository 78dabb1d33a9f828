"""Phrases of a melody as sequences: what the network that varies phrases reads.

A phrase is 1 to `MAX_BARS` bars; a longer one of the form is cut into pieces. Its melody is spelled in the tokens of
the lead sheet, `BAR (POS PITCH DUR)* BAR ... EOS`, without the chords: these are known beforehand and told at each step
(`PhraseState.channels`), so that a code of the phrase need not hold the harmony. Steps count from the phrase's start.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import BEATS_PER_BAR, DURATION_STEPS, POSITION_STEPS, STEPS_PER_BAR, STEPS_PER_BEAT
from songwright.score.lead_sheet import Form, LeadSheet, Phrase
from songwright.score.pitch import Key
from songwright.tokens import lead_sheet
from songwright.tokens.channels import ChannelLayout
from songwright.tokens.lead_sheet import (
    BAR,
    BASS_0,
    BEAT_0,
    CHORD_0,
    DUR_0,
    EOS,
    NUM_CHORDS,
    NUM_PITCHES,
    NUM_POSITIONS,
    PITCH_0,
    POS_0,
    VOCABULARY,
)

MAX_BARS = 8
"""Bars of the longest piece of a phrase that is read at once."""

NUM_PLACES = MAX_BARS * BEATS_PER_BAR
"""Beats of the longest piece."""

_CHANNELS = (
    ("place", NUM_PLACES),
    ("bars_left", MAX_BARS),
    ("onset", NUM_POSITIONS + 1),
    ("free_from", NUM_POSITIONS + 1),
    ("last_pitch", NUM_PITCHES + 1),
    ("chord", NUM_CHORDS + 1),
    ("next_chord", NUM_CHORDS + 1),
)
CHANNELS = ChannelLayout(tuple(name for name, _ in _CHANNELS), tuple(size for _, size in _CHANNELS))
"""What is told at each step. `place` is the beat, counted from the phrase's start, of the note being written, or where
the next one may start; `chord` is what sounds there."""

# First position at or after each step of a bar; NUM_POSITIONS where none is left.
_FIRST_POSITION = np.searchsorted(np.array(POSITION_STEPS), np.arange(STEPS_PER_BAR + 1)).tolist()


@dataclass(frozen=True)
class PhraseSetting:
    """What is known of a phrase before its melody.

    Attributes
    ----------
    num_bars : int
        At most `MAX_BARS`.
    chords : tuple of (int, int)
        Step and 1 + index of the chord (token less `CHORD_0`) of each change; the first at step 0.
    free_step : int
        Step from which a note may start: later than 0 where one of the phrase before still sounds.
    end_step : int or None
        Step by which the last note has ended; None for the end of the phrase.
    """

    num_bars: int
    chords: tuple[tuple[int, int], ...]
    free_step: int = 0
    end_step: int | None = None


def pieces(starts: NDArray[np.integer], num_bars: int) -> list[tuple[int, int]]:
    """Return (first bar, bars) of each piece of phrases that start at these bars of a song.

    Examples
    --------
    >>> pieces(np.array([0, 4]), 22)
    [(0, 4), (4, 8), (12, 8), (20, 2)]
    """
    found: list[tuple[int, int]] = []
    for start, end in zip(starts.tolist(), [*starts.tolist()[1:], num_bars], strict=True):
        found += [(first, min(MAX_BARS, end - first)) for first in range(start, end, MAX_BARS)]
    return found


def read_phrase(bar_tokens: NDArray[np.integer], *, free_step: int = 0) -> tuple[NDArray[np.int16], PhraseSetting]:
    """Return the melody and the setting of some bars of a lead sheet's tokens (`tokens.lead_sheet`).

    Parameters
    ----------
    bar_tokens : ndarray, shape (num_tokens,)
        Whole bars, the first token a bar line.
    free_step : int
        Step from which a note may start.

    Returns
    -------
    tokens : ndarray of int16, shape (num_melody_tokens,)
        From the first bar line to `EOS`.
    setting : PhraseSetting
    """
    bar = np.cumsum(bar_tokens == BAR) - 1
    is_chord = (bar_tokens >= CHORD_0) & (bar_tokens < BASS_0)
    beat = bar_tokens[np.flatnonzero(is_chord) - 1] - BEAT_0
    steps = bar[is_chord] * STEPS_PER_BAR + beat * STEPS_PER_BEAT
    chord = bar_tokens[is_chord] - CHORD_0 + 1
    is_change = np.append(True, chord[1:] != chord[:-1])  # bar lines state the chord that goes on
    chords = tuple(zip(steps[is_change].tolist(), chord[is_change].tolist(), strict=True))
    melody = bar_tokens[(bar_tokens == BAR) | (bar_tokens >= POS_0)]
    return np.append(melody, EOS).astype(np.int16), PhraseSetting(int(bar[-1]) + 1, chords, free_step)


def song_phrase(sheet: LeadSheet, first_bar: int, num_bars: int) -> tuple[NDArray[np.int16], PhraseSetting]:
    """Return melody and setting of some bars of a lead sheet in C major or A minor.

    The last note may sound until the next one of the song.
    """
    tokens = lead_sheet.encode(sheet)
    lines = np.append(np.flatnonzero(tokens == BAR), len(tokens) - 1)
    start, end = first_bar * STEPS_PER_BAR, (first_bar + num_bars) * STEPS_PER_BAR
    onset = sheet.melody["onset_step"]
    before, after = sheet.melody[onset < start], onset[onset >= end]
    sounding = int((before["onset_step"] + before["duration_step"]).max()) if len(before) else 0
    found, setting = read_phrase(tokens[lines[first_bar] : lines[first_bar + num_bars]])
    end_step = (int(after[0]) if len(after) else sheet.num_bars * STEPS_PER_BAR) - start
    return found, replace(setting, free_step=max(sounding - start, 0), end_step=end_step)


def phrase_notes(tokens: NDArray[np.integer]) -> NDArray[np.void]:
    """Return the notes of a phrase's tokens, an array of GRID_NOTE_DTYPE.

    Raises
    ------
    ValueError
        If a token is out of place.
    """
    form = Form((Phrase("A", max(int((tokens == BAR).sum()), 1)),))
    return lead_sheet.decode(tokens.tolist(), key=Key(0), tempo_qpm=120, form=form).melody


def trace_phrase(tokens: NDArray[np.integer], setting: PhraseSetting) -> NDArray[np.int64]:
    """Return the channels of each step but the last, offsets added, shape (num_tokens - 1, num_channels)."""
    state = PhraseState(setting)
    rows = [state.channels()]
    for token in tokens[1:-1].tolist():
        state.advance(token)
        rows.append(state.channels())
    return np.array(rows, dtype=np.int64) + np.array(CHANNELS.offsets)


class PhraseState:
    """The grammar of one phrase and its channels, from just after its first bar line.

    Parameters
    ----------
    setting : PhraseSetting
    """

    def __init__(self, setting: PhraseSetting) -> None:
        self.setting = setting
        self.is_finished = False
        self._bar, self._last, self._position, self._last_pitch = 0, BAR, -1, 0
        self._free_step = setting.free_step  # counted from the current bar's start
        self._end_step = setting.num_bars * STEPS_PER_BAR if setting.end_step is None else setting.end_step
        self._chord_steps = [step for step, _ in setting.chords]

    def advance(self, token: int) -> None:
        """Take the next token. It is trusted to satisfy the mask."""
        if token == EOS:
            self.is_finished = True
        elif token == BAR:
            self._bar += 1
            self._position = -1
            self._free_step = max(0, self._free_step - STEPS_PER_BAR)
        elif token < PITCH_0:
            self._position = token - POS_0
        elif token < DUR_0:
            self._last_pitch = token - PITCH_0 + 1
        else:
            self._free_step = POSITION_STEPS[self._position] + DURATION_STEPS[token - DUR_0]
        self._last = token

    @property
    def _first_position(self) -> int:
        """First position of the bar at which the next note may start."""
        return max(_FIRST_POSITION[min(self._free_step, STEPS_PER_BAR)], self._position + 1)

    def channels(self) -> list[int]:
        """Return the value of each of CHANNELS for the next prediction, offsets not added."""
        in_note = POS_0 <= self._last < DUR_0
        first = self._first_position
        step = POSITION_STEPS[self._position if in_note else min(first, NUM_POSITIONS - 1)]
        change = bisect_right(self._chord_steps, self._bar * STEPS_PER_BAR + step)
        chords = self.setting.chords
        return [
            self._bar * BEATS_PER_BAR + step // STEPS_PER_BEAT,
            self.setting.num_bars - 1 - self._bar,
            self._position + 1,
            first,
            self._last_pitch,
            chords[change - 1][1] if change else 0,
            chords[change][1] if change < len(chords) else 0,
        ]

    def mask(self) -> NDArray[np.bool_]:
        """Return which tokens may come next, shape (vocabulary,)."""
        allowed = np.zeros(len(VOCABULARY), dtype=np.bool_)
        if self.is_finished:
            return allowed
        room = self._end_step - self._bar * STEPS_PER_BAR
        if POS_0 <= self._last < PITCH_0:
            allowed[PITCH_0:DUR_0] = True
        elif PITCH_0 <= self._last < DUR_0:
            left = room - POSITION_STEPS[self._position]
            allowed[DUR_0 : DUR_0 + int(np.searchsorted(DURATION_STEPS, left, side="right"))] = True
        else:
            allowed[BAR if self._bar + 1 < self.setting.num_bars else EOS] = True
            last = int(np.searchsorted(POSITION_STEPS, room - DURATION_STEPS[0], side="right"))
            allowed[POS_0 + self._first_position : POS_0 + max(last, self._first_position)] = True
        return allowed
