"""What a network would rather have written at a note: the most probable choices, in musical words.

A note is three decisions: when it starts, how high it is, how long it lasts. For each the network's probabilities are
taken where the note was written, what the grammar forbids there is removed, and the rest is scaled to one. Choices are
named in the song's own key (`G5, chord tone of C (fifth)`), and where the same place in an earlier bar has the choice,
that bar is named. Everything here is ready for JSON: bars count from 1, steps as in `score.grid`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from songwright.explanation.likelihood import Reading
from songwright.score.grid import (
    BEATS_PER_BAR,
    DURATION_STEPS,
    GRID_NOTE_DTYPE,
    POSITION_STEPS,
    STEPS_PER_BAR,
    STEPS_PER_BEAT,
)
from songwright.score.lead_sheet import QUALITIES, ChordSymbol, LeadSheet
from songwright.score.spelling import chord_name, note_name, spell_melody
from songwright.tokens.channels import SongContext
from songwright.tokens.lead_sheet import BAR, BASS_0, BEAT_0, CHORD_0, DUR_0, EOS, PITCH_0, POS_0
from songwright.tokens.lead_sheet_state import LeadSheetState

_DEGREES = {0: "root", 2: "ninth", 3: "third", 4: "third", 5: "fourth", 6: "fifth", 7: "fifth", 8: "fifth",
            9: "sixth", 10: "seventh", 11: "seventh"}  # fmt: skip
_QUALITY_DEGREES = {("sus2", 2): "second", ("dim7", 9): "seventh"}
_DURATIONS = {
    3: "a sixteenth", 4: "a triplet eighth", 6: "an eighth", 8: "a triplet quarter", 9: "a dotted eighth",
    12: "a quarter", 16: "a triplet half", 18: "a dotted quarter", 24: "a half", 36: "a dotted half", 48: "a whole bar",
    72: "a bar and a half", 96: "two bars", 144: "three bars", 192: "four bars",
}  # fmt: skip


@dataclass(frozen=True)
class Alternative:
    """One choice at one decision.

    Attributes
    ----------
    text : str
        In words, without the probability: `G5, chord tone of C (fifth), as in bar 5`.
    probability : float
        Among what the grammar allows.
    is_chosen : bool
        Whether the song has it.
    pitch : int or None
        For a pitch, in the song's key.
    onset_step : int or None
        For an onset, from the start of the song.
    duration_step : int or None
        For a duration.
    as_in_bar : int or None
        The earlier bar, from 1, that has this choice at the same place.
    """

    text: str
    probability: float
    is_chosen: bool
    pitch: int | None = None
    onset_step: int | None = None
    duration_step: int | None = None
    as_in_bar: int | None = None

    def __str__(self) -> str:
        percent = 100 * self.probability
        return f"{self.text}, {'under 1' if percent < 1 else f'{percent:.0f}'} %"


@dataclass(frozen=True)
class Decision:
    """One of a note's three decisions.

    Attributes
    ----------
    kind : {"onset", "pitch", "duration"}
    chosen : Alternative
        What the song has, however improbable.
    alternatives : tuple of Alternative
        The most probable choices, the best first; the chosen one is among them if it is one of the best.
    rank : int
        Place of the chosen one, 1 for the most probable.
    forbidden : float
        Probability that the network gave to what the grammar forbids. It is removed before the rest is scaled to one,
        so that bits = -log2(probability * (1 - forbidden)).
    """

    kind: str
    chosen: Alternative
    alternatives: tuple[Alternative, ...]
    rank: int
    forbidden: float


@dataclass(frozen=True)
class NoteAlternatives:
    """The decisions of one melody note.

    Attributes
    ----------
    note : int
        Index in the melody, from 0.
    bar : int
        From 1.
    onset_step : int
    onset, pitch, duration : Decision
    """

    note: int
    bar: int
    onset_step: int
    onset: Decision
    pitch: Decision
    duration: Decision


def note_alternatives(
    reading: Reading, notes: Iterable[int] | None = None, *, count: int = 5
) -> list[NoteAlternatives]:
    """Return what a network held probable at some melody notes.

    Parameters
    ----------
    reading : Reading
        From `likelihood.read`.
    notes : iterable of int, optional
        Indices in the melody; all where absent.
    count : int
        Most alternatives at each decision.

    Returns
    -------
    list of NoteAlternatives
        In the order of the melody.

    Raises
    ------
    ValueError
        If the melody has no such note.
    """
    rows = reading.note_rows
    wanted = sorted(set(range(len(rows)) if notes is None else notes))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < len(rows):
        raise ValueError(f"notes must be indices from 0 to {len(rows) - 1}, got {wanted[0]} to {wanted[-1]}")
    masks = _masks(reading, [int(rows[note]) + step for note in wanted for step in range(3)])
    words = _Words(reading)
    found: list[NoteAlternatives] = []
    for note in wanted:
        row = int(rows[note])
        onset, pitch, duration = (
            _decision(words, kind, note, row + step, masks[row + step], count)
            for step, kind in enumerate(("onset", "pitch", "duration"))
        )
        bar = int(reading.bars[row])
        found.append(
            NoteAlternatives(note, bar + 1, int(reading.sheet.melody["onset_step"][note]), onset, pitch, duration)
        )
    return found


def _masks(reading: Reading, rows: list[int]) -> dict[int, NDArray[np.bool_]]:
    """Return what the grammar allows at some rows, in one walk through the song."""
    normal, wanted = reading.normal, set(rows)
    state = LeadSheetState(SongContext(normal.form, normal.key, normal.tempo_qpm))
    found: dict[int, NDArray[np.bool_]] = {}
    for row, token in enumerate(reading.tokens[: max(wanted, default=-1) + 1].tolist()):
        if row:
            state.advance(token)
        if row in wanted:
            found[row] = state.mask()
    return found


def _decision(words: _Words, kind: str, note: int, row: int, allowed: NDArray[np.bool_], count: int) -> Decision:
    reading = words.reading
    chosen = int(reading.targets[row])
    # A song from elsewhere may hold what the grammar forbids, such as a chord tone held past the end.
    allowed[chosen] = True
    probability = np.exp(reading.log_probabilities[row].astype(np.float64))
    kept = np.where(allowed, probability, 0.0)
    share = float(kept.sum())
    kept /= share
    order = np.argsort(-kept, kind="stable")
    best = [token for token in order[:count].tolist() if allowed[token]]
    return Decision(
        kind,
        words.alternative(note, row, chosen, float(kept[chosen])),
        tuple(words.alternative(note, row, token, float(kept[token])) for token in best),
        int(np.flatnonzero(order == chosen)[0]) + 1,
        max(0.0, 1.0 - share),
    )


class _Words:
    """Names the tokens of a reading in the song's own key."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._sheet: LeadSheet = reading.sheet
        normal = reading.normal
        self._references = SongContext(normal.form, normal.key, normal.tempo_qpm).reference_bars
        rows, targets = reading.note_rows, reading.targets
        self._notes = np.stack([reading.bars[rows], targets[rows], targets[rows + 1], targets[rows + 2]], axis=1)
        self._by_place = {(bar, place): (place, *rest) for bar, place, *rest in self._notes.tolist()}
        self._chord_starts = [change.onset_step for change in self._sheet.chords]

    def alternative(self, note: int, row: int, token: int, probability: float) -> Alternative:
        """Return a token as a choice at a note."""
        bar = int(self.reading.bars[row])
        pitch = onset = duration = None
        if token >= DUR_0:
            duration = DURATION_STEPS[token - DUR_0]
            text = _DURATIONS.get(duration, f"{duration / STEPS_PER_BEAT:g} beats")
        elif token >= PITCH_0:
            # The chosen note may have been moved by octaves to fit the vocabulary; the others move back with it.
            written = int(self._sheet.melody["pitch"][note])
            pitch = written + token - int(self.reading.targets[row])
            text = self._pitch(note, pitch)
        elif token >= POS_0:
            step = POSITION_STEPS[token - POS_0]
            onset = bar * STEPS_PER_BAR + step
            text = _position(step)
        else:
            text = _other(token)
        source = self._source(note, bar, token)
        if source is not None:
            text += f", as in bar {source}"
        is_chosen = token == int(self.reading.targets[row])
        return Alternative(text, probability, is_chosen, pitch, onset, duration, source)

    def _source(self, note: int, bar: int, token: int) -> int | None:
        """Return the first of the bar's references, from 1, that has this choice at the same place."""
        place = token if POS_0 <= token < PITCH_0 else int(self._notes[note, 1])
        for source in self._references[bar]:
            there = self._by_place.get((source, place))
            if there is not None and token in there:
                return source + 1
        return None

    def _pitch(self, note: int, pitch: int) -> str:
        melody, key = self._sheet.melody, self._sheet.key
        pair = np.zeros(2 if note + 1 < len(melody) else 1, dtype=GRID_NOTE_DTYPE)
        pair[:] = melody[note : note + len(pair)]
        pair["pitch"][0] = pitch
        spelled = spell_melody(pair, self._sheet.chords, key)[0]
        name = note_name(spelled.letter, spelled.alteration) + str(spelled.octave)
        place = max(bisect_right(self._chord_starts, int(melody["onset_step"][note])) - 1, 0)
        chord = self._sheet.chords[place].chord
        symbol = chord_name(chord, key)
        if degree := chord_degree(chord, pitch):
            return f"{name}, chord tone of {symbol} ({degree})"
        scale = "in the scale" if pitch % 12 in key.pitch_classes else "outside the scale"
        return f"{name}, {_beside(chord, pitch)} of {symbol}, {scale}"


def chord_degree(chord: ChordSymbol, pitch: int) -> str:
    """Return which tone of a chord a pitch is (`root`, `third`, `bass` …), empty if it is none.

    Examples
    --------
    >>> chord_degree(ChordSymbol(0, "maj", 0), 79), chord_degree(ChordSymbol(0, "maj", 0), 81)
    ('fifth', '')
    """
    interval = (pitch - chord.root) % 12
    if interval in QUALITIES[chord.quality]:
        return _QUALITY_DEGREES.get((chord.quality, interval), _DEGREES[interval])
    return "bass" if pitch % 12 == chord.bass else ""


def _beside(chord: ChordSymbol, pitch: int) -> str:
    """Return a pitch outside a chord by the nearest tone of the chord: `a step above the fifth`."""
    for distance, name in ((1, "a half step"), (2, "a step")):
        for sign, side in ((-1, "above"), (1, "below")):
            if degree := chord_degree(chord, pitch + sign * distance):
                return f"{name} {side} the {degree}"
    return "away from the tones"


def _position(step: int) -> str:
    """Name a position of the bar.

    Examples
    --------
    >>> _position(24), _position(30), _position(45)
    ('on beat 3', 'on the and of beat 3', 'a sixteenth before the bar line')
    """
    beat, offset = divmod(step, STEPS_PER_BEAT)
    following = f"beat {beat + 2}" if beat + 1 < BEATS_PER_BAR else "the bar line"
    return {
        0: f"on beat {beat + 1}",
        3: f"a sixteenth after beat {beat + 1}",
        4: f"on the second triplet of beat {beat + 1}",
        6: f"on the and of beat {beat + 1}",
        8: f"on the third triplet of beat {beat + 1}",
        9: f"a sixteenth before {following}",
    }[offset]


def _other(token: int) -> str:
    """Name what may come instead of a note."""
    if token == BAR:
        return "rests until the next bar"
    if token == EOS:
        return "the song ends"
    if BEAT_0 <= token < CHORD_0:
        return f"first a chord change on beat {token - BEAT_0 + 1}"
    return "first another bass under the chord" if BASS_0 <= token < POS_0 else "a chord"
