"""Counting instead of a network: an n-gram model that also learns the song it reads, behind the engine's interface.

The first row of a table of networks: no training and no PyTorch, on the very tokens that the networks read, side
channels and hints unseen. Knows ids only; corpora are counted by `training.counting`.

Of all songs counted, the last `order - 1` tokens are looked up, with modified Kneser-Ney smoothing [1]_. The discounts
follow from counts of counts by the closed form of the paper, for each length of context: nothing is tuned for a corpus.

Of the song so far (all of it: a network has a window, this has none), every place is looked up where the last two to
`cache_order - 1` tokens were the same. On top of the corpus's p, for each length of context from 2 on, after Witten and
Bell [2]_ with a heavier novelty: p(w) = (c(w) + k t p(w)) / (n + k t), where the context was heard n times before t
different tokens, c(w) times before w. One sighting proves little; each further token that matches raises its share.

References
----------
.. [1] S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech
   and Language 13, 1999, section 3.
.. [2] I. H. Witten and T. C. Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37, 1991.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.engine.ngram_counts import NgramCounts, NgramSizes
from songwright.engine.sequences import Logits, SequenceDecoder
from songwright.errors import WeightsError

Probabilities = NDArray[np.float64]

# Of 2, 3 and 4, and of 4, 8 and 16: the best on held-out lead sheets and piano parts (POP909).
_SHORTEST_MATCH = 2
_NOVELTY = 8.0


class NgramModel:
    """Probabilities of the next token by what followed the same tokens before.

    Parameters
    ----------
    counts : NgramCounts
    sizes : NgramSizes
    metadata : mapping, optional
        Facts to be stored: stream, fingerprint of the vocabulary, figures and so on.

    Raises
    ------
    ValueError
        If the counts do not fit the sizes.
    """

    def __init__(self, counts: NgramCounts, sizes: NgramSizes, *, metadata: Mapping[str, Any] | None = None) -> None:
        counts.check(sizes)
        self.counts, self.sizes = counts, sizes
        self.metadata: dict[str, Any] = {**(metadata or {}), "family": "ngram", "config": asdict(sizes)}
        self._shares, self._rests = counts.shares()
        self._starts = np.concatenate([[0], counts.ends[:-1]]).tolist()
        self._ends = counts.ends.tolist()
        self._followers = counts.followers.astype(np.int64)  # an index that NumPy need not widen at each step

    def probabilities(self, history: ArrayLike) -> Probabilities:
        """Return the probability of each token of the vocabulary after a song's first tokens.

        Parameters
        ----------
        history : array_like of int, shape (time,)
            From the start of the song.

        Returns
        -------
        ndarray of float64, shape (vocab,)
            Positive; they sum to one.
        """
        past = np.asarray(history, dtype=np.int64)
        found = np.full(self.sizes.vocab_size, 1 / self.sizes.vocab_size)
        for context in self._contexts(past[::-1][: self.sizes.order - 1].tolist()):
            here = slice(self._starts[context], self._ends[context])
            found *= self._rests[context]
            found[self._followers[here]] += self._shares[here]
        return _with_song(found, past, self.sizes.cache_order)

    def to_bytes(self) -> bytes:
        """Return the content of a file for `load`, the same for the same model."""
        file = io.BytesIO()
        text = np.frombuffer(json.dumps(self.metadata).encode(), dtype=np.uint8)
        np.savez_compressed(file, metadata=text, **vars(self.counts))
        return file.getvalue()

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, expected_fingerprint: str | None = None) -> NgramModel:
        """Return the model in a file.

        Raises
        ------
        WeightsError
            If the file is missing or damaged, or belongs to another vocabulary.
        """
        return _load(Path(path), expected_fingerprint)[0]

    def _contexts(self, backwards: list[int]) -> list[int]:
        """Return the contexts that were counted, shortest first, for the latest tokens, latest first."""
        keys, found = self.counts.keys, [0]
        for token in backwards:
            key = found[-1] * self.sizes.vocab_size + token
            place = int(keys.searchsorted(key))
            if place == len(keys) or keys[place] != key:
                break
            found.append(place + 1)
        return found


def _with_song(probabilities: Probabilities, past: NDArray[np.int64], order: int) -> Probabilities:
    """Add what followed the latest tokens earlier in the song."""
    vocab_size = len(probabilities)
    # Places whose `length` tokens before are the latest `length` tokens.
    places = np.flatnonzero(past[:-1] == past[-1]) + 1 if len(past) else past
    for length in range(1, order):
        if not len(places):
            break
        if length >= _SHORTEST_MATCH:
            heard = np.bincount(past[places], minlength=vocab_size)
            novelty = _NOVELTY * np.count_nonzero(heard)
            probabilities = (heard + novelty * probabilities) / (len(places) + novelty)
        places = places[places > length]
        places = places[past[places - length - 1] == past[-length - 1]]
    return probabilities


class NgramDecoder(SequenceDecoder):
    """An n-gram model with the songs so far, used as `engine.session.Decoder` is.

    Nothing but tokens is kept, so logits after `rewind` are exactly those of a fresh decoder.

    Parameters
    ----------
    path : path
        A file of `NgramModel.to_bytes`.
    batch_size : int
        Sequences decoded together.
    max_length : int
        Longest sequence, in tokens.
    expected_fingerprint : str, optional
        Fingerprint of the vocabulary the caller will use.

    Attributes
    ----------
    model : NgramModel
    metadata : dict
        What is stored with the counts: stream, fingerprint, figures and so on.
    weights_fingerprint : str
        Sixteen hexadecimal digits that change with any byte of the file.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another vocabulary.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        batch_size: int = 1,
        max_length: int,
        expected_fingerprint: str | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, max_length=max_length)
        self.model, self.weights_fingerprint = _load(Path(path), expected_fingerprint)
        self.metadata = self.model.metadata

    def step(self, tokens: ArrayLike, channels: ArrayLike | None = None, hints: ArrayLike | None = None) -> Logits:
        """Feed one token to each sequence and return the log-probabilities of the next.

        Parameters
        ----------
        tokens : array_like of int, shape (batch,)
        channels, hints : array_like, optional
            Ignored: an n-gram model reads tokens alone.

        Returns
        -------
        ndarray of float32, shape (batch, vocab)

        Raises
        ------
        ValueError
            If a sequence is full (`max_length`), or a token is outside the vocabulary.
        """
        return self.prefill(np.asarray(tokens, dtype=np.int64)[:, None])[:, 0]

    def prefill(self, tokens: ArrayLike, channels: ArrayLike | None = None, hints: ArrayLike | None = None) -> Logits:
        """Feed several tokens to each sequence; the result is that of as many steps.

        Parameters
        ----------
        tokens : array_like of int, shape (batch, time)
        channels, hints : array_like, optional
            Ignored.

        Returns
        -------
        ndarray of float32, shape (batch, time, vocab)

        Raises
        ------
        ValueError
            If a sequence would exceed `max_length`, or a token is outside the vocabulary.
        """
        tokens = np.asarray(tokens, dtype=np.int64)
        vocab_size, time = self.model.sizes.vocab_size, tokens.shape[1]
        self._require_room(time)
        if ((tokens < 0) | (tokens >= vocab_size)).any():
            raise ValueError(f"token ids must be from 0 to {vocab_size - 1}")
        result = np.empty((self.batch_size, time, vocab_size), dtype=np.float32)
        for row, first in enumerate(self._positions.tolist()):
            self._tokens[row, first : first + time] = tokens[row]
            for place in range(time):
                result[row, place] = np.log(self.model.probabilities(self._tokens[row, : first + place + 1]))
        self._positions += time
        return result


def _load(path: Path, expected_fingerprint: str | None) -> tuple[NgramModel, str]:
    """Return (model, fingerprint of the file)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: no weights can be read here ({error.strerror}); count the corpus again") from None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            metadata = json.loads(arrays["metadata"].tobytes())
            if metadata.pop("family") != "ngram":
                raise ValueError("not an n-gram model")
            counts = NgramCounts(*(arrays[field.name] for field in fields(NgramCounts)))
        model = NgramModel(counts, NgramSizes(**metadata.pop("config")), metadata=metadata)
    except Exception as error:  # zipfile, zlib, json and NumPy know a dozen ways to say damaged
        raise WeightsError(f"{path}: these n-grams are damaged or not songwright's; count the corpus again") from error
    found = model.metadata.get("fingerprint")
    if expected_fingerprint is not None and found != expected_fingerprint:
        raise WeightsError(
            f"{path}: counted with vocabulary {found}, this version writes {expected_fingerprint}; "
            "count a corpus of this version"
        )
    return model, hashlib.sha256(data).hexdigest()[:16]
