"""What may come next in a piano part, and what the network is told about the lead sheet and about itself.

`ArrangementState` is to `tokens.arrangement` what `LeadSheetState` is to `tokens.lead_sheet`: mask, channels and hints
after each token, for training and composing alike. A hint from a bar on another chord is moved by the interval
between the roots, so a pattern can be followed through a progression.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import (
    BEATS_PER_BAR,
    DURATION_STEPS,
    POSITION_OF_STEP,
    POSITION_STEPS,
    STEPS_PER_BAR,
    STEPS_PER_BEAT,
)
from songwright.score.lead_sheet import LeadSheet
from songwright.tokens.arrangement import (
    BAR,
    BOS,
    DUR_0,
    EOS,
    NUM_PITCHES,
    NUM_POSITIONS,
    PITCH_0,
    POS_0,
    VOCABULARY,
)
from songwright.tokens.arrangement import LOWEST_PITCH as LOWEST_PIANO
from songwright.tokens.channels import FORM_CHANNELS, NUM_REFERENCES, ChannelLayout, SongContext
from songwright.tokens.lead_sheet import HIGHEST_PITCH, LOWEST_PITCH, NUM_CHORDS, QUALITY_NAMES
from songwright.tokens.references import NUM_FLAGS, References

_MELODY_PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 2
_NOTES_CAP = 6
_BEATS_CAP = 8

_CHANNELS = (
    *FORM_CHANNELS,
    ("onset", NUM_POSITIONS + 1),
    ("last_pitch", NUM_PITCHES + 1),
    ("notes_at_onset", _NOTES_CAP + 1),
    ("lowest_at_onset", NUM_PITCHES + 1),
    ("last_degree", 13),
    ("chord", NUM_CHORDS + 1),
    ("bass", 13),
    ("next_chord", NUM_CHORDS + 1),
    ("beats_to_next_chord", _BEATS_CAP + 1),
    ("melody_pitch", _MELODY_PITCHES),
    ("melody_starts", 2),
    ("next_melody_onset", NUM_POSITIONS + 1),
    ("next_melody_pitch", _MELODY_PITCHES),
    ("melody_notes_in_bar", 9),
    ("melody_notes_in_next_bar", 9),
    *((f"reference_{r}_hint", len(VOCABULARY)) for r in range(NUM_REFERENCES)),
    *((f"reference_{r}_flag", NUM_FLAGS) for r in range(NUM_REFERENCES)),
)
CHANNELS = ChannelLayout(tuple(name for name, _ in _CHANNELS), tuple(size for _, size in _CHANNELS))

_UNLIMITED = 1 << 60
_POSITION_OF_STEP = POSITION_OF_STEP.tolist()


class _Lead:
    """The lead sheet as look-up tables: by beat for chords, by (bar, position) for the melody."""

    def __init__(self, lead_sheet: LeadSheet) -> None:
        num_beats = lead_sheet.num_bars * BEATS_PER_BAR
        self.chord = [0] * (num_beats + 1)
        self.bass = [0] * (num_beats + 1)
        self.root = [0] * (num_beats + 1)
        self.next_chord = [0] * (num_beats + 1)
        self.beats_to_next = [_BEATS_CAP] * (num_beats + 1)
        changes = [(change.onset_step // STEPS_PER_BEAT, change.chord) for change in lead_sheet.chords]
        for index, (beat, chord) in enumerate(changes):
            start = 0 if index == 0 else beat
            end = changes[index + 1][0] if index + 1 < len(changes) else num_beats
            chord_id = 1 + chord.root * len(QUALITY_NAMES) + QUALITY_NAMES.index(chord.quality)
            for inside in range(start, min(end, num_beats)):
                self.chord[inside] = chord_id
                self.bass[inside] = 1 + chord.bass
                self.root[inside] = chord.root
                if index + 1 < len(changes):
                    following = changes[index + 1][1]
                    self.next_chord[inside] = (
                        1 + following.root * len(QUALITY_NAMES) + QUALITY_NAMES.index(following.quality)
                    )
                    self.beats_to_next[inside] = min(end - inside, _BEATS_CAP)
        num_slots = lead_sheet.num_bars * NUM_POSITIONS
        self.pitch = [0] * num_slots
        self.starts = [0] * num_slots
        self.notes_in_bar = [0] * (lead_sheet.num_bars + 1)
        onsets: list[tuple[int, int]] = []
        for onset, duration, pitch in lead_sheet.melody.tolist():
            bar, step = divmod(onset, STEPS_PER_BAR)
            first = bar * NUM_POSITIONS + _POSITION_OF_STEP[step]
            end_bar, end_step = divmod(onset + duration, STEPS_PER_BAR)
            end = end_bar * NUM_POSITIONS + int(np.searchsorted(POSITION_STEPS, end_step))
            value = min(max(pitch - LOWEST_PITCH, 0), _MELODY_PITCHES - 2) + 1
            for slot in range(first, min(max(end, first + 1), num_slots)):
                self.pitch[slot] = value
            self.starts[first] = 1
            onsets.append((first, value))
            self.notes_in_bar[bar] = min(self.notes_in_bar[bar] + 1, 8)
        # Next melody onset after each slot within the same bar: (position + 1, pitch), 0 where none.
        self.next_onset = [(0, 0)] * num_slots
        for first, value in onsets:
            for slot in range(first - 1, first - first % NUM_POSITIONS - 1, -1):
                if slot < 0 or self.next_onset[slot][0]:
                    break
                self.next_onset[slot] = (first % NUM_POSITIONS + 1, value)


class ArrangementState:
    """The grammar and the side channels of one piano part.

    Parameters
    ----------
    context : SongContext
    lead_sheet : LeadSheet
        In C major or A minor, as long as the context.
    max_tokens : int, optional
        Length that the sequence must not pass: near it the mask leaves only bar lines.
    """

    def __init__(self, context: SongContext, lead_sheet: LeadSheet, *, max_tokens: int | None = None) -> None:
        self.context = context
        self._tokens_left = max_tokens if max_tokens is not None else _UNLIMITED
        self._lead = _Lead(lead_sheet)
        self.bars: list[list[tuple[int, int, int]]] = []
        self.is_finished = False
        self._last = BOS
        self._position = -1
        self._pitch = 0
        self._lowest = 0
        self._count = 0
        self._references: References[list[tuple[int, int, int]]] = References()
        self._shift_beats = [0] * NUM_REFERENCES
        self.hints: list[int] = [0] * NUM_REFERENCES

    @property
    def bar(self) -> int:
        """Bar being written, counted from zero; -1 before the first."""
        return len(self.bars) - 1

    def advance(self, token: int) -> None:
        """Take the next token. It is trusted to satisfy the mask."""
        self._tokens_left -= 1
        if token == BAR:
            self._start_bar()
        else:
            self._references.compare(token, self.hints)
            if token == EOS:
                self.is_finished = True
            elif token < PITCH_0:
                self._position = token - POS_0
                self._pitch = self._lowest = self._count = 0
            elif token < DUR_0:
                self._pitch = token
                self._lowest = self._lowest or token
            else:
                self.bars[-1].append((self._position, self._pitch, token))
                self._count += 1
        self._last = token
        self.hints = self._next_hints()

    def _start_bar(self) -> None:
        self.bars.append([])
        bar = len(self.bars) - 1
        sources = self.context.reference_bars[bar]
        self._references.start_bar(self.bars, sources, ended_with=[hint == BAR for hint in self.hints])
        self._shift_beats = [(bar - source) * BEATS_PER_BAR if source >= 0 else 0 for source in sources]
        self._position = -1
        self._pitch = self._lowest = self._count = 0

    def _beat(self) -> int:
        """Return the beat of the song at the cursor."""
        step = POSITION_STEPS[self._position] if self._position >= 0 else 0
        return max(len(self.bars) - 1, 0) * BEATS_PER_BAR + step // STEPS_PER_BEAT

    def _next_hints(self) -> list[int]:
        last = self._last
        position, pitch = self._position, self._pitch
        end = BAR if len(self.bars) < self.context.num_bars else EOS
        hints: list[int] = []
        for r, reference in enumerate(self._references.bars):
            if reference is None:
                hints.append(0)
                continue
            if position < 0:
                hints.append(POS_0 + reference[0][0] if reference else end)
                continue
            shift = self._shift(r)
            hint = 0
            if PITCH_0 <= last < DUR_0:
                nearest = 99
                for other_position, other_pitch, duration in reference:
                    if other_position == position and abs(other_pitch + shift - pitch) < nearest:
                        nearest, hint = abs(other_pitch + shift - pitch), duration
            else:
                for other_position, other_pitch, _ in reference:
                    if other_position == position and other_pitch + shift > pitch:
                        moved = other_pitch + shift
                        hint = moved if PITCH_0 <= moved < DUR_0 else 0
                        break
                    if other_position > position:
                        # Right after an onset that the reference lacks there is no note to offer.
                        hint = 0 if POS_0 <= last < PITCH_0 else POS_0 + other_position
                        break
                else:
                    hint = 0 if POS_0 <= last < PITCH_0 else end
            hints.append(hint)
        return hints

    def _shift(self, r: int) -> int:
        """Return the semitones from the chord root under reference r to the root here, from -5 to 6."""
        beat = self._beat()
        root, other = self._lead.root[beat], self._lead.root[beat - self._shift_beats[r]]
        return (root - other + 5) % 12 - 5

    def channels(self) -> list[int]:
        """Return the value of each of CHANNELS for the next prediction (offsets not added)."""
        bar = max(len(self.bars) - 1, 0)
        position = max(self._position, 0)
        lead, beat, slot = self._lead, self._beat(), bar * NUM_POSITIONS + position
        values = list(self.context.form_rows[bar])
        pitch = self._pitch
        degree = (pitch - PITCH_0 + LOWEST_PIANO - lead.root[beat]) % 12 + 1 if pitch else 0
        next_onset, next_pitch = lead.next_onset[slot]
        values += (
            self._position + 1,
            pitch - PITCH_0 + 1 if pitch else 0,
            min(self._count, _NOTES_CAP),
            self._lowest - PITCH_0 + 1 if self._lowest else 0,
            degree,
            lead.chord[beat],
            lead.bass[beat],
            lead.next_chord[beat],
            lead.beats_to_next[beat],
            lead.pitch[slot],
            lead.starts[slot],
            next_onset,
            next_pitch,
            lead.notes_in_bar[bar],
            lead.notes_in_bar[bar + 1],
        )
        values += self.hints
        values += self._references.flags()
        return values

    def mask(self) -> NDArray[np.bool_]:
        """Return which tokens may come next, shape (vocabulary,)."""
        allowed = np.zeros(len(VOCABULARY), dtype=np.bool_)
        last = self._last
        if self.is_finished:
            return allowed
        if last == BOS:
            allowed[BAR] = True
        elif POS_0 <= last < PITCH_0:
            allowed[PITCH_0:DUR_0] = True
        elif PITCH_0 <= last < DUR_0:
            left = (self.context.num_bars - len(self.bars) + 1) * STEPS_PER_BAR - POSITION_STEPS[self._position]
            allowed[DUR_0 : DUR_0 + int(np.searchsorted(DURATION_STEPS, left, side="right"))] = True
        else:
            allowed[BAR if len(self.bars) < self.context.num_bars else EOS] = True
            # A further onset takes up to three tokens; each bar after it needs its line.
            if self._tokens_left < 3 + self.context.num_bars - len(self.bars) + 1:
                return allowed
            if last >= DUR_0:
                allowed[self._pitch + 1 : DUR_0] = True
            allowed[POS_0 + self._position + 1 : PITCH_0] = True
        return allowed
