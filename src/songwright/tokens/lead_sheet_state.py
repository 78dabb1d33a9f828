"""What may come next in a lead sheet, and what the network is told about where it stands.

`LeadSheetState` walks a token sequence one token at a time. It serves training (channels of real songs) and
composing (the same channels, and the grammar mask) alike, so both see the same numbers. After each token it offers:

mask      which tokens keep the sequence a valid lead sheet
channels  values of CHANNELS for the next prediction
hints     the token each reference bar would write next (0 where it has none): the network may copy it

"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import BEATS_PER_BAR, DURATION_STEPS, POSITION_STEPS, STEPS_PER_BAR, STEPS_PER_BEAT
from songwright.tokens.channels import FORM_CHANNELS, NUM_REFERENCES, ChannelLayout, SongContext
from songwright.tokens.lead_sheet import (
    BAR,
    BASS_0,
    BEAT_0,
    BOS,
    CHORD_0,
    DUR_0,
    EOS,
    NUM_CHORDS,
    NUM_PITCHES,
    NUM_POSITIONS,
    PITCH_0,
    POS_0,
    QUALITY_NAMES,
    VOCABULARY,
)
from songwright.tokens.references import NUM_FLAGS, References

_CHANNELS = (
    *FORM_CHANNELS,
    ("onset", NUM_POSITIONS + BEATS_PER_BAR + 1),
    ("free_from", NUM_POSITIONS + 1),
    ("last_pitch", NUM_PITCHES + 1),
    ("chord", NUM_CHORDS + 1),
    *((f"reference_{r}_hint", len(VOCABULARY)) for r in range(NUM_REFERENCES)),
    *((f"reference_{r}_flag", NUM_FLAGS) for r in range(NUM_REFERENCES)),
    *((f"reference_{r}_pitch", NUM_PITCHES + 1) for r in range(NUM_REFERENCES)),
)
CHANNELS = ChannelLayout(tuple(name for name, _ in _CHANNELS), tuple(size for _, size in _CHANNELS))

# First position at or after each step of a bar; NUM_POSITIONS where none is left.
_FIRST_POSITION = np.searchsorted(np.array(POSITION_STEPS), np.arange(STEPS_PER_BAR + 1)).tolist()
_UNLIMITED = 1 << 60


class _Bar:
    """A bar as written so far: chords as (beat, chord token, bass token or 0), notes as (position, pitch, duration)."""

    __slots__ = ("chords", "notes")

    def __init__(self) -> None:
        self.chords: list[tuple[int, int, int]] = []
        self.notes: list[tuple[int, int, int]] = []


class LeadSheetState:
    """The grammar and the side channels of one song.

    Parameters
    ----------
    context : SongContext
    max_tokens : int, optional
        Length that the sequence must not pass: near it the mask leaves only bar lines and plain chords.
    """

    def __init__(self, context: SongContext, *, max_tokens: int | None = None) -> None:
        self.context = context
        self._tokens_left = max_tokens if max_tokens is not None else _UNLIMITED
        self.bars: list[_Bar] = []
        self.is_finished = False
        self._last = BOS
        self._beat = -1
        self._position = -1
        self._free_step = 0  # step of the current bar from which a note may start
        self._last_pitch = 0
        self._chord = 0
        self._references: References[_Bar] = References()
        self.hints: list[int] = [0] * NUM_REFERENCES
        self.hints = self._next_hints()

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
            elif token < CHORD_0:
                self._beat = token - BEAT_0
            elif token < BASS_0:
                self.bars[-1].chords.append((self._beat, token, 0))
                self._chord = token - CHORD_0 + 1
            elif token < POS_0:
                beat, chord, _ = self.bars[-1].chords[-1]
                self.bars[-1].chords[-1] = (beat, chord, token)
            elif token < PITCH_0:
                self._position = token - POS_0
                self._chord = self._chord_at(POSITION_STEPS[self._position])
            elif token < DUR_0:
                self._last_pitch = token
            else:
                self.bars[-1].notes.append((self._position, self._last_pitch, token))
                self._free_step = POSITION_STEPS[self._position] + DURATION_STEPS[token - DUR_0]
        self._last = token
        self.hints = self._next_hints()

    def _start_bar(self) -> None:
        if self.bars:
            self._free_step = max(0, self._free_step - STEPS_PER_BAR)
        self.bars.append(_Bar())
        sources = self.context.reference_bars[len(self.bars) - 1]
        self._references.start_bar(self.bars, sources, ended_with=[hint == BAR for hint in self.hints])
        self._beat = self._position = -1

    def _chord_at(self, step: int) -> int:
        """Return 1 + chord index sounding at a step of the current bar."""
        found = 0
        for beat, chord, _ in self.bars[-1].chords:
            if beat * STEPS_PER_BEAT > step:
                break
            found = chord - CHORD_0 + 1
        return found

    def _next_hints(self) -> list[int]:
        """Return for each reference the token it would write next from here, 0 where it has none."""
        last = self._last
        if last == BOS:
            return [0] * NUM_REFERENCES
        hints: list[int] = []
        for reference in self._references.bars:
            if reference is None:
                hints.append(0)
            elif BEAT_0 <= last < CHORD_0:
                hints.append(next((c for b, c, _ in reversed(reference.chords) if b <= self._beat), 0))
            elif POS_0 <= last < PITCH_0:
                hints.append(next((p for o, p, _ in reference.notes if o >= self._position), 0))
            elif PITCH_0 <= last < DUR_0:
                hints.append(next((d for o, _, d in reference.notes if o >= self._position), 0))
            else:
                hints.append(self._event_hint(reference, last))
        return hints

    def _event_hint(self, reference: _Bar, last: int) -> int:
        """Return the reference's next event (bass, beat, position or bar line) after what was written."""
        if CHORD_0 <= last < BASS_0:
            for beat, chord, bass in reference.chords:
                if beat == self._beat and chord == last and bass:
                    return bass
        if not self.bars[-1].notes:
            for beat, _, _ in reference.chords:
                if beat > self._beat:
                    return BEAT_0 + beat
        first = max(_FIRST_POSITION[min(self._free_step, STEPS_PER_BAR)], self._position + 1)
        for position, _, _ in reference.notes:
            if position >= first:
                return POS_0 + position
        return BAR if len(self.bars) < self.context.num_bars else EOS

    def channels(self) -> list[int]:
        """Return the value of each of CHANNELS for the next prediction (offsets not added)."""
        bar = max(len(self.bars) - 1, 0)
        position = self._position
        onset = 1 + BEATS_PER_BAR + position if position >= 0 else 1 + self._beat
        values = list(self.context.form_rows[bar])
        values.append(onset)
        values.append(_FIRST_POSITION[min(self._free_step, STEPS_PER_BAR)])
        values.append(self._last_pitch - PITCH_0 + 1 if self._last_pitch else 0)
        values.append(self._chord)
        values.extend(self.hints)
        pitches: list[int] = []
        values.extend(self._references.flags())
        for reference in self._references.bars:
            if reference is None:
                pitches.append(0)
                continue
            # The pitch that follows the hint: seen one note ahead while an onset or a duration is chosen.
            at_note = POS_0 <= self._last < DUR_0
            first = (
                position + (1 if at_note else 0)
                if at_note
                else max(_FIRST_POSITION[min(self._free_step, STEPS_PER_BAR)], position + 1)
            )
            pitches.append(next((p - PITCH_0 + 1 for o, p, _ in reference.notes if o >= first), 0))
        values.extend(pitches)
        return values

    def mask(self) -> NDArray[np.bool_]:
        """Return which tokens may come next, shape (vocabulary,)."""
        allowed = np.zeros(len(VOCABULARY), dtype=np.bool_)
        last = self._last
        if self.is_finished:
            return allowed
        if last == BOS:
            allowed[BAR] = True
        elif last == BAR:
            allowed[BEAT_0] = True
        elif BEAT_0 <= last < CHORD_0:
            allowed[CHORD_0:BASS_0] = True
        elif POS_0 <= last < PITCH_0:
            allowed[PITCH_0:DUR_0] = True
        elif PITCH_0 <= last < DUR_0:
            left = (self.context.num_bars - len(self.bars) + 1) * STEPS_PER_BAR - POSITION_STEPS[self._position]
            allowed[DUR_0 : DUR_0 + int(np.searchsorted(DURATION_STEPS, left, side="right"))] = True
        else:
            allowed[BAR if len(self.bars) < self.context.num_bars else EOS] = True
            # A further event takes up to three tokens; each bar after it needs its line and one chord.
            if self._tokens_left < 3 + 3 * (self.context.num_bars - len(self.bars)) + 1:
                return allowed
            if CHORD_0 <= last < BASS_0:
                allowed[BASS_0:POS_0] = True
                allowed[BASS_0 + (last - CHORD_0) // len(QUALITY_NAMES)] = False
            if last < POS_0:
                allowed[BEAT_0 + self._beat + 1 : CHORD_0] = True
            first = max(_FIRST_POSITION[min(self._free_step, STEPS_PER_BAR)], self._position + 1)
            # The last position at which the shortest note still ends by the end of the song is the last of the bar.
            allowed[POS_0 + first : PITCH_0] = True
        return allowed
