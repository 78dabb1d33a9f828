"""A corpus to an n-gram model, and its figures on held-out songs: training without a network, or PyTorch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import songwright
from songwright.engine.ngram import NgramModel
from songwright.engine.ngram_counts import NgramCounts, NgramSizes
from songwright.errors import InputError
from songwright.files.writing import write_whole
from songwright.model.config import NgramConfig
from songwright.preparation.shards import Shard, open_shard
from songwright.tokens.streams import STREAMS
from songwright.training.figures import Totals, is_later


def count_ngrams(corpus: Path, stream: str, config: NgramConfig, *, sources: Collection[str] = ()) -> NgramModel:
    """Count the training songs of a corpus.

    A song that lies there twice with the same tokens, under two annotators' forms, counts once: an n-gram model sees
    no form, and seeing a thing twice would be taken for a habit.

    Parameters
    ----------
    corpus : Path
        A prepared corpus.
    stream : str
        A name of `tokens.streams.STREAMS`.
    config : NgramConfig
    sources : collection of str
        Collections to learn from; all by default.

    Returns
    -------
    NgramModel
        Its metadata name the stream, the vocabulary's fingerprint, the channel layout of the stream, this package's
        version, and how many songs and tokens were counted.

    Raises
    ------
    InputError
        If the corpus is missing or damaged, or has no such collection or nothing to count.
    """
    vocabulary, layout = STREAMS[stream].vocabulary, STREAMS[stream].channels
    songs = list(_distinct(open_shard(corpus, stream, "train", sources=sources)))
    sizes = NgramSizes(
        vocab_size=len(vocabulary), order=config.order, cache_order=config.cache_order if config.cache else 0
    )
    try:
        counts = NgramCounts.of(songs, vocab_size=sizes.vocab_size, order=sizes.order)
    except ValueError as error:
        raise InputError(
            f"{corpus}: nothing to count in {stream}/train ({error}); choose another stream or other collections"
        ) from error
    metadata = {
        "stream": stream,
        "fingerprint": vocabulary.fingerprint,
        "channel_names": layout.names,
        "channel_sizes": layout.sizes,
        "songs": len(songs),
        "tokens": sum(map(len, songs)),
        "parameters": len(counts.counts),
        "version": songwright.__version__,
    }
    return NgramModel(counts, sizes, metadata=metadata)


def evaluate_ngrams(model: NgramModel, shard: Shard, stream: str) -> dict[str, float]:
    """Return the figures of held-out songs, as `training.validation` does for networks.

    Every token of a song but the first counts once. Unlike a network, the model looks back on the whole song.

    Parameters
    ----------
    model : NgramModel
        Of the same stream.
    shard : Shard
    stream : str

    Returns
    -------
    dict
        As `training.figures.Totals.figures`.
    """
    totals = Totals(STREAMS[stream])
    for number in range(len(shard)):
        tokens, channels, _ = shard.read(number)
        song = np.asarray(tokens, dtype=np.int64)
        chances = [model.probabilities(song[:place])[song[place]] for place in range(1, len(song))]
        totals.add(-np.log(np.array(chances)), song[1:], is_later(channels[:-1], STREAMS[stream]))
    return totals.figures()


def export_ngrams(model: NgramModel, path: Path, *, figures: Mapping[str, Any] | None = None) -> None:
    """Write a model, with its validation figures, where `engine.ngram.NgramDecoder` will read it.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    metadata = {**model.metadata, "figures": dict(figures or {})}
    write_whole(path, NgramModel(model.counts, model.sizes, metadata=metadata).to_bytes())


def _distinct(shard: Shard) -> Iterator[NDArray[np.integer]]:
    """Yield the tokens of each sequence, once where several are the same."""
    seen: set[bytes] = set()
    for number in range(len(shard)):
        tokens = shard.read(number)[0]
        content = tokens.tobytes()
        if content not in seen:
            seen.add(content)
            yield tokens
