"""How predictable are melodies without a network? The row of every likelihood table that must be beaten.

An interpolated n-gram model over melody tokens (`analysis.sequences.melody_tokens`: interval and inter-onset interval),
alone or with a cache: a second n-gram model that learns the song as it goes, since pop melodies repeat themselves.
It predicts from earlier notes alone; chords, form and durations are unknown to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.sequences import MAX_INTER_ONSET, melody_tokens
from songwright.score.song import Song

_NUM_TOKENS = 255 * MAX_INTER_ONSET  # intervals from -127 to 127


class NgramModel:
    """Melody tokens predicted from the `order - 1` tokens before.

    Probabilities of each order are interpolated with the next shorter one after Witten and Bell [1]_, down to a uniform
    distribution over all tokens.

    Parameters
    ----------
    songs : iterable of Song
        Songs to learn from.
    order : int
        4 for four-grams, 2 for bigrams; at least 1.
    has_cache : bool
        Whether each song, as far as heard, is learned too: its counts are interpolated with the model's probability.

    References
    ----------
    .. [1] I. H. Witten and T. C. Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37, 1991.
    """

    def __init__(self, songs: Iterable[Song], *, order: int = 4, has_cache: bool = True) -> None:
        if order < 1:
            raise ValueError(f"order must be at least 1, got {order}")
        self._order = order
        self._has_cache = has_cache
        self._corpus = _Counts(order)
        for song in songs:
            tokens = melody_tokens(song.lead_sheet.melody).tolist()
            for place in range(len(tokens)):
                self._corpus.add(tokens, place)

    def token_bits(self, song: Song) -> NDArray[np.float64]:
        """Return -log2 of the probability of each melody token of a song, shape (num_notes - 1,), in order."""
        tokens = melody_tokens(song.lead_sheet.melody).tolist()
        heard = _Counts(self._order)
        probabilities = np.empty(len(tokens))
        for place in range(len(tokens)):
            probability = self._corpus.probability(tokens, place, 1 / _NUM_TOKENS)
            if self._has_cache:
                probability = heard.probability(tokens, place, probability)
                heard.add(tokens, place)
            probabilities[place] = probability
        return -np.log2(probabilities)

    def bits_per_note(self, songs: Sequence[Song]) -> float:
        """Return the mean of `token_bits` over all notes of some songs but the first of each.

        Raises
        ------
        ValueError
            If no song has two notes.
        """
        bits = np.concatenate([np.empty(0), *(self.token_bits(song) for song in songs)])
        if not len(bits):
            raise ValueError("no song has two melody notes")
        return float(bits.mean())


class _Counts:
    """How often each token followed each context of every length below `order`."""

    def __init__(self, order: int) -> None:
        self._order = order
        self._followers: defaultdict[tuple[int, ...], dict[int, int]] = defaultdict(dict)
        self._totals: defaultdict[tuple[int, ...], int] = defaultdict(int)

    def add(self, tokens: list[int], place: int) -> None:
        """Count the token at a place under its contexts."""
        for length in range(min(self._order - 1, place) + 1):
            context = tuple(tokens[place - length : place])
            followers = self._followers[context]
            followers[tokens[place]] = followers.get(tokens[place], 0) + 1
            self._totals[context] += 1

    def probability(self, tokens: list[int], place: int, unseen: float) -> float:
        """Return the probability of the token at a place after its context; `unseen` is that of any uncounted token."""
        probability = unseen
        for length in range(min(self._order - 1, place) + 1):
            context = tuple(tokens[place - length : place])
            total = self._totals.get(context)
            if total is None:  # a longer context was not seen either
                break
            followers = self._followers[context]
            novelty = len(followers)
            probability = (followers.get(tokens[place], 0) + novelty * probability) / (total + novelty)
        return probability
