"""Bars of lead sheets as piano rolls, for networks that see a bar as an image.

A bar has 16 steps, sixteenths as in MidiNet, and 48 rows, the pitches from C3 to B6; a note outside moves by octaves, a
triplet to the nearest sixteenth (the lead sheets of POP909 have none). Its *roll* has two layers: where a note starts,
and where it sounds. A song's key is C major or A minor here, as in the stream that bars are read from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from songwright.preparation.shards import Shard
from songwright.score.grid import STEPS_PER_BAR, STEPS_PER_SIXTEENTH, grid_notes
from songwright.score.lead_sheet import ChordChange, Form, Phrase
from songwright.score.pitch import Key
from songwright.tokens import lead_sheet

NUM_STEPS = STEPS_PER_BAR // STEPS_PER_SIXTEENTH
"""Sixteenths of a bar."""
LOWEST_PITCH = 48
NUM_ROWS = 48
ROLL_SHAPE = (2, NUM_STEPS, NUM_ROWS)
"""Layers (starts, sounds), sixteenths, pitches."""

BarBatch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Rolls (batch, *ROLL_SHAPE), rolls of the bars before, chroma (batch, 12), random numbers (batch, latent_dim)."""


@dataclass(frozen=True, eq=False)
class Bars:
    """The bars of songs one after another, a silent one before each song.

    Attributes
    ----------
    row : ndarray of int8, shape (num_bars, 16)
        Row of the roll that sounds at each step, -1 where none does.
    starts : ndarray of bool, shape (num_bars, 16)
        Whether a note starts there.
    chroma : ndarray of float32, shape (num_bars, 12)
        Share of the bar during which a chord with that pitch class sounds.
    """

    row: NDArray[np.int8]
    starts: NDArray[np.bool_]
    chroma: NDArray[np.float32]

    def with_notes(self) -> NDArray[np.intp]:
        """Return the numbers of the bars in which a note starts; the bar before each is one less."""
        return np.flatnonzero(self.starts.any(axis=1))

    def rolls(self, numbers: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return rolls of 0 and 1, shape (len(numbers), *ROLL_SHAPE)."""
        return rolls(self.row[numbers], self.starts[numbers])


def read_bars(shard: Shard) -> Bars:
    """Return the bars of every lead sheet of a split."""
    songs = [_song_bars(shard.read(number)[0]) for number in range(len(shard))]
    return Bars(*(np.concatenate(column) for column in zip(*songs, strict=True)))


def _song_bars(tokens: NDArray[np.int16]) -> tuple[NDArray[np.int8], NDArray[np.bool_], NDArray[np.float32]]:
    num_bars = int((tokens == lead_sheet.BAR).sum())
    form = Form(tuple(Phrase("A", 1) for _ in range(num_bars)))
    sheet = lead_sheet.decode(tokens, key=Key(0), tempo_qpm=120, form=form)
    row, starts = melody_steps(sheet.melody, num_bars)
    chroma = bar_chroma(sheet.chords, num_bars)
    silent = np.full((1, NUM_STEPS), -1, np.int8), np.zeros((1, NUM_STEPS), np.bool_), np.zeros((1, 12), np.float32)
    return (
        np.concatenate([silent[0], row]),
        np.concatenate([silent[1], starts]),
        np.concatenate([silent[2], chroma]),
    )


def melody_steps(melody: NDArray[np.void], num_bars: int) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return the row that sounds at each sixteenth, and whether a note starts there, both (num_bars, 16).

    Parameters
    ----------
    melody : ndarray of GRID_NOTE_DTYPE
        One voice in the order of its onsets; of two notes on one sixteenth the later one stays.
    num_bars : int
        Bars to return; notes are cut at the end of the last.
    """
    row = np.full(num_bars * NUM_STEPS, -1, np.int8)
    starts = np.zeros(num_bars * NUM_STEPS, np.bool_)
    for onset, duration, pitch in melody.tolist():
        first = round(onset / STEPS_PER_SIXTEENTH)
        end = max(round((onset + duration) / STEPS_PER_SIXTEENTH), first + 1)
        row[first:end] = _row_of_pitch(pitch)
        starts[first : first + 1] = True
    return row.reshape(num_bars, NUM_STEPS), starts.reshape(num_bars, NUM_STEPS)


def _row_of_pitch(pitch: int) -> int:
    row = pitch - LOWEST_PITCH
    return row if 0 <= row < NUM_ROWS else row % 12 + (NUM_ROWS - 12 if row > 0 else 0)


def melody_of_steps(row: NDArray[np.integer], starts: NDArray[np.bool_]) -> NDArray[np.void]:
    """Return the melody of bars, as notes on the grid; the inverse of `melody_steps`.

    A note ends where the next one starts or silence begins, if need be in a later bar.

    Parameters
    ----------
    row : ndarray of int, shape (num_bars, 16)
        -1 for silence.
    starts : ndarray of bool, shape (num_bars, 16)
        Wherever another row sounds than a step before, and where the same one starts again.
    """
    flat = row.ravel().astype(np.int64)
    onset = np.flatnonzero(starts)
    boundary = np.append(np.flatnonzero(starts.ravel() | (flat < 0)), len(flat))
    end = boundary[np.searchsorted(boundary, onset, side="right")]
    return grid_notes(onset * STEPS_PER_SIXTEENTH, (end - onset) * STEPS_PER_SIXTEENTH, flat[onset] + LOWEST_PITCH)


def rolls(row: NDArray[np.integer], starts: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return rolls of 0 and 1, shape (num_bars, *ROLL_SHAPE), of the rows that sound and the steps that start."""
    sounds = row[..., None] == np.arange(NUM_ROWS)
    return np.stack([sounds & starts[..., None], sounds], axis=1).astype(np.float32)


def steps_of_rolls(rolls: NDArray[np.floating]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return the row that sounds at each step, -1 for silence, and whether a note starts there; undoes `rolls`."""
    sounds = rolls[:, 1].max(axis=-1) > 0
    row = np.where(sounds, rolls[:, 1].argmax(axis=-1), -1).astype(np.int8)
    return row, rolls[:, 0].max(axis=-1) > 0


def bar_chroma(chords: Sequence[ChordChange], num_bars: int) -> NDArray[np.float32]:
    """Return the share of each bar during which a chord with each pitch class sounds, shape (num_bars, 12)."""
    chroma = np.zeros((num_bars * STEPS_PER_BAR, 12), np.float32)
    ends = [change.onset_step for change in chords[1:]] + [num_bars * STEPS_PER_BAR]
    for (onset, chord), end in zip(chords, ends, strict=True):
        chroma[onset:end, sorted(chord.pitch_classes)] = 1
    return chroma.reshape(num_bars, STEPS_PER_BAR, 12).mean(axis=1)


class BarSampler:
    """Batches for ever: bars in which a note starts, each as likely as any other, and random numbers for the generator.

    The random numbers are part of the batch, so a run is the same over however many processes its batches are spread.

    Parameters
    ----------
    bars : Bars
    batch_size, latent_dim, seed : int
    """

    def __init__(self, bars: Bars, *, batch_size: int, latent_dim: int, seed: int) -> None:
        self._bars, self._batch_size, self._latent_dim = bars, batch_size, latent_dim
        self._numbers = bars.with_notes()
        self._rng = np.random.default_rng(seed)

    def next_batch(self) -> BarBatch:
        """Return the next batch."""
        numbers = self._rng.choice(self._numbers, self._batch_size)
        latents = self._rng.standard_normal((self._batch_size, self._latent_dim), np.float32)
        return bar_batch(self._bars, numbers, latents)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on exactly here."""
        return {"rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._rng.bit_generator.state = state["rng"]


def bar_batch(bars: Bars, numbers: NDArray[np.integer], latents: NDArray[np.float32]) -> BarBatch:
    """Return the bars of these numbers as a batch."""
    arrays = bars.rolls(numbers), bars.rolls(numbers - 1), bars.chroma[numbers], latents
    roll, previous, chroma, noise = (torch.from_numpy(array) for array in arrays)
    return roll, previous, chroma, noise
