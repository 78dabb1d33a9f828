"""Likelihood of held-out songs, in the units musicians' papers use: one definition for all networks and n-grams.

For a lead sheet, *bits a note* counts what fixes when a note starts and how high it is: onset tokens (`POS`) with the
decisions to end a bar or the song instead (`BAR`, `EOS`), and `PITCH`. Durations and chords are reported on their own.
Free of PyTorch.
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

from songwright.tokens.streams import Stream

GROUPS = ("POS", "PITCH", "DUR", "BAR", "EOS", "BEAT", "CHORD", "BASS", "BOS", "PAD", "OTHER")
"""Kinds of tokens whose nats are kept apart."""

_ONSET_AND_PITCH = [GROUPS.index(name) for name in ("POS", "BAR", "EOS", "PITCH")]
_CHORD = [GROUPS.index(name) for name in ("BEAT", "CHORD", "BASS")]


def token_groups(stream: Stream) -> NDArray[np.int64]:
    """Return for each token of the vocabulary the index of its group in `GROUPS`, shape (vocab,)."""
    kinds = [name.split("_")[0] for name in stream.vocabulary.names]
    return np.array([GROUPS.index(kind if kind in GROUPS else "OTHER") for kind in kinds])


def is_later(channels: NDArray[np.integer], stream: Stream) -> NDArray[np.bool_]:
    """Return which predictions lie in a second or later phrase of their letter; none in a stream without form.

    Parameters
    ----------
    channels : ndarray of int, shape (..., num_channels)
        Rows of the channel table (layout offsets added), as in a shard.
    stream : Stream

    Returns
    -------
    ndarray of bool, shape (...)
    """
    if "occurrence" not in stream.channels.names:
        return np.zeros(channels.shape[:-1], dtype=np.bool_)
    column = stream.channels.names.index("occurrence")
    return channels[..., column] > stream.channels.offsets[column]


class Totals:
    """Nats of predicted tokens, summed by group.

    Parameters
    ----------
    stream : Stream
        Of the tokens.
    """

    def __init__(self, stream: Stream) -> None:
        self._groups = token_groups(stream)
        # Row 0: first occurrences of a phrase letter, and all of a stream without form; row 1: later ones.
        self._nats = np.zeros((2, len(GROUPS)))
        self._counts = np.zeros((2, len(GROUPS)), dtype=np.int64)

    def add(
        self, nats: NDArray[np.floating], targets: NDArray[np.integer], later: NDArray[np.bool_] | None = None
    ) -> None:
        """Add some predictions, each of them once.

        Parameters
        ----------
        nats : ndarray of float, shape (num_predictions,)
            -log of the probability of each token that came.
        targets : ndarray of int, shape (num_predictions,)
            These tokens.
        later : ndarray of bool, shape (num_predictions,), optional
            Which lie in a second or later phrase of their letter (`is_later`); none by default.
        """
        cell = self._groups[targets]
        if later is not None:
            cell = cell + len(GROUPS) * later
        self._nats += np.bincount(cell, nats, self._nats.size).reshape(2, -1)
        self._counts += np.bincount(cell, minlength=self._counts.size).reshape(2, -1)

    def figures(self) -> dict[str, float]:
        """Return the figures of everything added.

        Returns
        -------
        dict
            `nats_per_token`; `nats_per_note` (position, pitch and duration); `bits_per_note` (onset and pitch); for a
            lead sheet `bits_per_note_first` and `bits_per_note_later` (in the first and in later occurrences of a
            phrase letter) and `nats_per_chord`. What nothing was added for is 0.
        """
        nats, counts = self._nats, self._counts
        notes = np.maximum(counts[:, GROUPS.index("PITCH")], 1)
        onset_and_pitch = nats[:, _ONSET_AND_PITCH].sum(axis=1)
        duration = nats[:, GROUPS.index("DUR")]
        result = {
            "nats_per_token": float(nats.sum() / max(counts.sum(), 1)),
            "nats_per_note": float((onset_and_pitch + duration).sum() / notes.sum()),
            "bits_per_note": float(onset_and_pitch.sum() / notes.sum() / log(2)),
        }
        if num_chords := int(counts[:, GROUPS.index("CHORD")].sum()):
            first, later = onset_and_pitch / notes / log(2)
            result["bits_per_note_first"], result["bits_per_note_later"] = float(first), float(later)
            result["nats_per_chord"] = float(nats[:, _CHORD].sum() / num_chords)
        return result
