"""How surprised a sequence network is by a song: bits of every note, bar and chord.

Any network that gives the log-probability of each next token of the lead sheet stream can be asked (`Network`), be it
ONNX weights (`ShippedNetwork`) or a torch LSTM, convolution or Transformer wrapped in three lines. Songs are read in
C major or A minor, as networks learned them, whatever their own key. Knows nothing of why a network is surprised.

Bits are counted as in `training.validation`: *bits per note* are those of onsets (`POS`), of the bar lines that were
written instead of a further note (`BAR`, `EOS`), and of pitches; durations and chords are counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from songwright.composition.weights import find_style
from songwright.engine.session import Decoder
from songwright.errors import InputError
from songwright.score.grid import POSITION_OF_STEP, POSITION_STEPS, STEPS_PER_BAR
from songwright.score.lead_sheet import LeadSheet
from songwright.score.song import Song
from songwright.tokens.lead_sheet import BAR, BEAT_0, CHORD_0, DUR_0, EOS, PITCH_0, POS_0, VOCABULARY
from songwright.tokens.lead_sheet_state import CHANNELS
from songwright.tokens.streams import Sequence3, lead_sheet_sequence


class Network(Protocol):
    """What a sequence network of the lead sheet stream must offer to be explained.

    Examples
    --------
    A network of PyTorch with `forward(tokens, channels, hints) -> logits`, in three lines::

        class Wrapped(MyNetwork):
            def log_probabilities(self, tokens, channels, hints):
                arrays = [torch.from_numpy(array.astype("int64"))[None] for array in (tokens, channels, hints)]
                return self(*arrays)[0].log_softmax(-1).detach().numpy()
    """

    def log_probabilities(
        self, tokens: NDArray[np.integer], channels: NDArray[np.integer], hints: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Return the natural log-probabilities of each next token.

        Parameters
        ----------
        tokens : ndarray of int, shape (time,)
        channels : ndarray of int, shape (time, num_channels)
            Rows of the channel table (layout offsets added); row t describes the prediction of token t + 1.
        hints : ndarray of int, shape (time, num_hints)

        Returns
        -------
        ndarray of float32, shape (time, vocab)
            Row t is about token t + 1, and depends on rows 0 to t alone.
        """
        ...


@runtime_checkable
class WindowedNetwork(Network, Protocol):
    """A network whose predictions depend on the latest tokens only, and that says on which: the rest need not be read.

    Optional: a `Network` without it is read from the start of the song.
    """

    def window_start(self, row: int) -> int:
        """Return a token from which the sequence may be read to get rows `row` and later as from its start."""
        ...


class ShippedNetwork:
    """The weights of a style, or any exported lead sheet weights, as a `Network`.

    What a song shares with the one read before it, from the start on, is not computed again.

    Parameters
    ----------
    style : str
        A style that ships.
    precision : {"int8", "fp32"}
    path : path, optional
        Another file of exported weights, instead of a style's.

    Raises
    ------
    ConfigError
        If the style is unknown.
    WeightsError
        If the weights are missing or damaged, or belong to another vocabulary.
    """

    def __init__(self, style: str = "pop", *, precision: str = "int8", path: Path | None = None) -> None:
        self.path = path or find_style(style).weights("lead_sheet", precision)
        self._decoder = self._open(2048)
        self._read: Sequence3 | None = None
        self._found = np.zeros((0, len(VOCABULARY)), dtype=np.float32)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any byte of the weights."""
        return self._decoder.weights_fingerprint

    @property
    def family(self) -> str:
        """What kind of network it is, such as `transformer`."""
        return self._decoder.config.family

    def log_probabilities(
        self, tokens: NDArray[np.integer], channels: NDArray[np.integer], hints: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Return the natural log-probabilities of each next token; see `Network`."""
        length = len(tokens)
        if length > self._decoder.max_length:
            self._decoder, self._read = self._open(2 * length), None
        known = 0
        if self._read is not None:
            shared = min(length, len(self._read[0]))
            differs = self._read[0][:shared] != tokens[:shared]
            differs |= (self._read[1][:shared] != channels[:shared]).any(axis=1)
            differs |= (self._read[2][:shared] != hints[:shared]).any(axis=1)
            known = int(np.argmax(differs)) if differs.any() else shared
        self._decoder.rewind(known)
        found = self._found[:known]
        if known < length:
            logits = self._decoder.prefill(*(array[None, known:] for array in (tokens, channels, hints)))[0]
            found = np.concatenate([found, log_softmax(logits)])
        self._read = (tokens.astype(np.int16), channels.astype(np.int16), hints.astype(np.int16))
        self._found = found
        return found.copy()

    def window_start(self, row: int) -> int:
        """Return a token from which the sequence may be read to get rows `row` and later as from its start."""
        # The windows of engine.session start at multiples of half the context, and so do those of the shorter sequence.
        half = max(self._decoder.config.context_length // 2, 1)
        return max((row // half - 1) * half, 0)

    def _open(self, max_length: int) -> Decoder:
        return Decoder(self.path, max_length=max_length, expected_fingerprint=VOCABULARY.fingerprint)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithms of softmax over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Reading:
    """A song as a network read it.

    Attributes
    ----------
    sheet : LeadSheet
        In the song's own key.
    normal : LeadSheet
        The same in C major or A minor, as it was read.
    tokens, channels, hints : ndarrays of int16, shapes (time,), (time, num_channels), (time, num_hints)
        Of the whole sequence; the last token, EOS, predicts nothing.
    log_probabilities : ndarray of float32, shape (time - 1, vocab)
        Row t is about token t + 1.
    """

    sheet: LeadSheet
    normal: LeadSheet
    tokens: NDArray[np.int16]
    channels: NDArray[np.int16]
    hints: NDArray[np.int16]
    log_probabilities: NDArray[np.float32]

    @property
    def targets(self) -> NDArray[np.int64]:
        """The token that each row predicted, shape (time - 1,)."""
        return self.tokens[1:].astype(np.int64)

    @property
    def bits(self) -> NDArray[np.float64]:
        """Bits of the token that each row predicted, shape (time - 1,)."""
        chosen = self.log_probabilities[np.arange(len(self.tokens) - 1), self.targets]
        return -chosen.astype(np.float64) / np.log(2)

    @property
    def bars(self) -> NDArray[np.int64]:
        """The bar (from 0) in which each row was decided: a bar line belongs to the bar that it ends."""
        return np.maximum(np.cumsum(self.tokens[:-1] == BAR) - 1, 0)

    @property
    def note_rows(self) -> NDArray[np.int64]:
        """The row that predicted each melody note's onset; pitch and duration are the two after it."""
        return np.flatnonzero((self.targets >= POS_0) & (self.targets < PITCH_0))


def normal_sheet(music: Song | LeadSheet) -> LeadSheet:
    """Return the lead sheet in C major or A minor, after checking that it can be read.

    Raises
    ------
    InputError
        If it has no chords, or notes that a lead sheet cannot have.
    """
    sheet = music.lead_sheet if isinstance(music, Song) else music
    if not sheet.chords:
        raise InputError("the song has no chords, and the network reads melodies over chords; give it chord symbols")
    if problems := sheet.problems():
        raise InputError(f"the song cannot be read: {problems[0]}; mend it or export it again")
    bar, step = np.divmod(sheet.melody["onset_step"].astype(np.int64), STEPS_PER_BAR)
    place = bar * len(POSITION_STEPS) + POSITION_OF_STEP[step]
    if (np.diff(place) <= 0).any():
        number = int(bar[1:][np.diff(place) <= 0][0]) + 1
        raise InputError(
            f"the song cannot be read: two melody notes of bar {number} lie closer than a triplet; mend it"
        )
    return sheet.transpose(sheet.key.semitones_to_normal)


def read(music: Song | LeadSheet, network: Network) -> Reading:
    """Return a song as a network reads it, token by token.

    Raises
    ------
    InputError
        If the song has no chords, or notes that a lead sheet cannot have.
    """
    sheet = music.lead_sheet if isinstance(music, Song) else music
    normal = normal_sheet(sheet)
    tokens, channels, hints = lead_sheet_sequence(normal)
    found = network.log_probabilities(tokens[:-1], channels[:-1], hints[:-1])
    return Reading(sheet, normal, tokens, channels, hints, found)


@dataclass(frozen=True, eq=False)
class Surprise:
    """Bits of a song under a network.

    Attributes
    ----------
    onset_bits, pitch_bits, duration_bits : ndarrays of float64, shape (num_notes,)
        Of each melody note, in order.
    wait_bits : ndarray of float64, shape (num_notes,)
        Of the bar lines between the note before and this one: the decisions that a bar ends without a further note.
        With `onset_bits` they are all that says when the note starts.
    note_bars : ndarray of int64, shape (num_notes,)
        The bar of each note, from 0.
    bar_bits, bar_duration_bits, bar_chord_bits : ndarrays of float64, shape (num_bars,)
        Of the notes of each bar (onsets, pitches, and its bar line), of their durations, and of its chords.
    bar_notes : ndarray of int64, shape (num_bars,)
        Notes that start in each bar.
    is_later : ndarray of bool, shape (num_bars,)
        Whether the bar lies in a second or later phrase of its letter.
    num_chords : int
        Chord symbols as read: one at each bar line and at each change.
    """

    onset_bits: NDArray[np.float64]
    wait_bits: NDArray[np.float64]
    pitch_bits: NDArray[np.float64]
    duration_bits: NDArray[np.float64]
    note_bars: NDArray[np.int64]
    bar_bits: NDArray[np.float64]
    bar_duration_bits: NDArray[np.float64]
    bar_chord_bits: NDArray[np.float64]
    bar_notes: NDArray[np.int64]
    is_later: NDArray[np.bool_]
    num_chords: int

    @property
    def note_bits(self) -> NDArray[np.float64]:
        """Bits of when each note starts and how high it is, shape (num_notes,): the surprise curve."""
        return self.onset_bits + self.wait_bits + self.pitch_bits

    @property
    def total_bits(self) -> float:
        """Bits of the whole sequence: notes, durations and chords."""
        return float(self.bar_bits.sum() + self.bar_duration_bits.sum() + self.bar_chord_bits.sum())

    @property
    def bits_per_note(self) -> float | None:
        """Bits of onset and pitch per note of the song; None without notes."""
        return self._per_note(np.ones(len(self.bar_notes), dtype=np.bool_))

    @property
    def bits_per_note_first(self) -> float | None:
        """The same in the first phrase of each letter; None without notes there."""
        return self._per_note(~self.is_later)

    @property
    def bits_per_note_later(self) -> float | None:
        """The same in later phrases of a letter; None without notes there."""
        return self._per_note(self.is_later)

    @property
    def bits_per_chord(self) -> float:
        """Bits of the chords, their beats included, per chord symbol."""
        return float(self.bar_chord_bits.sum()) / self.num_chords

    def _per_note(self, bars: NDArray[np.bool_]) -> float | None:
        notes = int(self.bar_notes[bars].sum())
        return float(self.bar_bits[bars].sum()) / notes if notes else None


def bar_sums(bars: NDArray[np.int64], values: NDArray[np.float64], num_bars: int) -> NDArray[np.float64]:
    """Return the sum of the values of each bar, shape (num_bars,)."""
    return np.bincount(bars, values, num_bars).astype(np.float64)


def surprise(music: Song | LeadSheet, network: Network) -> Surprise:
    """Return the bits of every note, bar and chord of a song under a network.

    Parameters
    ----------
    music : Song or LeadSheet
        In any key.
    network : Network

    Raises
    ------
    InputError
        If the song has no chords, or notes that a lead sheet cannot have.
    """
    return surprise_of(read(music, network))


def surprise_of(reading: Reading) -> Surprise:
    """Return the bits of every note, bar and chord of a song that was read already."""
    targets, bits, bars, rows = reading.targets, reading.bits, reading.bars, reading.note_rows
    num_bars = reading.normal.num_bars
    is_line = (targets == BAR) | (targets == EOS)
    is_pitch = (targets >= PITCH_0) & (targets < DUR_0)
    is_duration = targets >= DUR_0
    is_chord = (targets >= BEAT_0) & (targets < POS_0)
    is_note = ~(is_duration | is_chord)
    line_bits = np.concatenate([[0.0], np.cumsum(np.where(is_line, bits, 0.0))])[rows]
    occurrence = CHANNELS.names.index("occurrence")
    first_row = np.searchsorted(bars, np.arange(num_bars))
    return Surprise(
        onset_bits=bits[rows],
        wait_bits=np.diff(line_bits, prepend=0.0),
        pitch_bits=bits[rows + 1],
        duration_bits=bits[rows + 2],
        note_bars=bars[rows],
        bar_bits=bar_sums(bars, np.where(is_note, bits, 0), num_bars),
        bar_duration_bits=bar_sums(bars, np.where(is_duration, bits, 0), num_bars),
        bar_chord_bits=bar_sums(bars, np.where(is_chord, bits, 0), num_bars),
        bar_notes=np.bincount(bars[is_pitch], minlength=num_bars),
        is_later=reading.channels[first_row, occurrence] > CHANNELS.offsets[occurrence],
        num_chords=int(np.sum((targets >= BEAT_0) & (targets < CHORD_0))),
    )
