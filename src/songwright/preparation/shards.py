"""Token shards: the arrays of a corpus, written once per batch of files and mapped into memory to be read.

Layout of a prepared corpus:

    manifest.json          what it was made of and with which settings; ids of every split; totals
    files.csv              one row for each file: what was found in it, or why it was left out
    index.STREAM.*.npy     INDEX_DTYPE: where each sequence of a stream lies, and its split
    originality.npz        hashes of all songs, to tell copies (`analysis.originality`)
    batches/DIGEST/        what a batch of files became; never changed once written
        rows.json              the rows of the table, before splits and duplicates are known
        STREAM.tokens.npy      int16, shape (num_tokens,)
        STREAM.channels.npy    int16, shape (num_tokens, num_channels), offsets of the layout added; if it has any
        STREAM.hints.npy       int16, shape (num_tokens, num_hints); if it has hints
        score.deviations.npy   int16, shape (num_tokens,): how far each note was played from its step, at its pitch
        STREAM.sequences.npy   SEQUENCE_DTYPE: row, copy, start and end of each sequence
        fingerprints.npz, hashes.npz, statistics.npz

Which sequences are for training is in the index alone, so a corpus grows by further batches and nothing is rewritten.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError
from songwright.tokens.streams import STREAMS, Sequence3, Stream

SPLITS = ("train", "validation", "test")
FORMAT_VERSION = 2
MAX_OPEN_BATCHES = 64
"""Batches mapped at a time by one reader: each takes three file handles."""

SEQUENCE_DTYPE = np.dtype([("row", np.int32), ("copy", np.int32), ("start", np.int64), ("end", np.int64)])
INDEX_DTYPE = np.dtype(
    [("batch", np.int32), ("row", np.int32), ("copy", np.int32), ("start", np.int64), ("end", np.int64),
     ("split", np.int8), ("source", np.int16)]
)  # fmt: skip
"""`batch` and `source` count in the manifest's lists, `split` in SPLITS."""


def write_shard(folder: Path, stream: Stream, sequences: Sequence[tuple[int, int, Sequence3]]) -> None:
    """Write the sequences of one stream into a batch's folder; each is (row, copy, arrays)."""
    if not sequences:
        return
    arrays = [np.concatenate(column) for column in zip(*(found for _, _, found in sequences), strict=True)]
    ends = np.cumsum([len(found[0]) for _, _, found in sequences])
    places = np.empty(len(sequences), dtype=SEQUENCE_DTYPE)
    places["row"], places["copy"] = [row for row, _, _ in sequences], [copy for _, copy, _ in sequences]
    places["start"], places["end"] = np.concatenate([[0], ends[:-1]]), ends
    np.save(folder / f"{stream.name}.sequences.npy", places)
    np.save(folder / f"{stream.name}.tokens.npy", arrays[0])
    if stream.channels.sizes:
        np.save(folder / f"{stream.name}.channels.npy", arrays[1])
    if stream.num_hints:
        np.save(folder / f"{stream.name}.hints.npy", arrays[2])


def read_manifest(corpus: Path) -> dict[str, Any]:
    """Return the manifest of a prepared corpus.

    Raises
    ------
    InputError
        If the folder is no prepared corpus, or was prepared by another version of the tokenizers.
    """
    try:
        manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT_VERSION:
            raise InputError(f"{corpus}: prepared by another version of songwright; run songwright prepare again")
        streams = manifest["streams"]
        for name, stream in STREAMS.items():
            found = streams[name]["fingerprint"], tuple(streams[name]["channel_sizes"])
            if found != (stream.vocabulary.fingerprint, stream.channels.sizes):
                raise InputError(f"{corpus}: prepared by another version of songwright; run songwright prepare again")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{corpus}: not a prepared corpus (manifest.json); run songwright prepare first") from error
    return manifest


class Shard:
    """The sequences of one stream and split, in the corpus's order, read from mapped files.

    Attributes
    ----------
    index : ndarray of INDEX_DTYPE, shape (num_sequences,)
    folders : sequence of Path
        The batches that `index` counts, named after their contents.
    lengths : ndarray of int64, shape (num_sequences,)
        Tokens in each.
    """

    def __init__(
        self, corpus: Path, stream: Stream, split: str, folders: Sequence[Path], index: NDArray[np.void]
    ) -> None:
        self._corpus, self._split = corpus, split
        self._where = f"{corpus}: shard {stream.name}/{split}"
        self._stream, self.folders = stream, folders
        self._open: OrderedDict[int, tuple[NDArray[np.int16] | None, ...]] = OrderedDict()
        self.index = index
        self.lengths: NDArray[np.int64] = index["end"] - index["start"]

    def __len__(self) -> int:
        return len(self.index)

    def select(self, kept: NDArray[np.bool_]) -> Shard:
        """Return the sequences where `kept`, shape (num_sequences,), is true."""
        return Shard(self._corpus, self._stream, self._split, self.folders, self.index[kept])

    def join(self, other: Shard) -> Shard:
        """Return these sequences and then those of another split of the same stream."""
        index = np.concatenate([self.index, other.index])
        return Shard(self._corpus, self._stream, self._split, self.folders, index)

    @property
    def pieces(self) -> NDArray[np.int64]:
        """A number for each sequence that is the same for all sequences of one piece, shape (num_sequences,)."""
        return self.index["batch"].astype(np.int64) << 32 | self.index["row"]

    @property
    def num_tokens(self) -> int:
        """Tokens in all sequences."""
        return int(self.lengths.sum())

    def read(self, sequence: int, start: int = 0, stop: int | None = None) -> Sequence3:
        """Return tokens, channels and hints from `start` to `stop` of a sequence, as views of the files.

        Raises
        ------
        InputError
            If a file of the corpus is missing or damaged.
        """
        place = self.index[sequence]
        begin = int(place["start"]) + start
        end = int(place["end"]) if stop is None else min(int(place["start"]) + stop, int(place["end"]))
        tokens, channels, hints = self._batch(int(place["batch"]))
        nothing = np.zeros((end - begin, 0), dtype=np.int16)
        assert tokens is not None
        return (
            tokens[begin:end],
            nothing if channels is None else channels[begin:end],
            nothing if hints is None else hints[begin:end],
        )

    def check(self) -> None:
        """Open every batch once.

        Raises
        ------
        InputError
            If a file is missing or damaged.
        """
        for batch in np.unique(self.index["batch"]).tolist():
            self._batch(batch)

    def _batch(self, number: int) -> tuple[NDArray[np.int16] | None, ...]:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        stream, folder = self._stream, self.folders[number]
        wanted = [("tokens", True), ("channels", bool(stream.channels.sizes)), ("hints", bool(stream.num_hints))]
        try:
            arrays = tuple(
                np.load(folder / f"{stream.name}.{name}.npy", mmap_mode="r") if is_there else None
                for name, is_there in wanted
            )
            lengths = {len(array) for array in arrays if array is not None}
            if len(lengths) != 1 or max(self.index["end"][self.index["batch"] == number]) > lengths.pop():
                raise ValueError("the arrays differ in length")
        except (OSError, EOFError, ValueError, TypeError, IndexError) as error:
            raise InputError(
                f"{self._where} is missing or damaged; prepare its collections again with --force"
            ) from error
        self._open[number] = arrays
        if len(self._open) > MAX_OPEN_BATCHES:
            self._open.popitem(last=False)
        return arrays


def open_shard(corpus: Path, stream: str, split: str, *, sources: Collection[str] = ()) -> Shard:
    """Open a split of a stream; with `sources`, only the sequences of these collections.

    Raises
    ------
    InputError
        If the corpus is missing or damaged, or has no such collection.
    """
    manifest = read_manifest(corpus)
    names = [source["name"] for source in manifest["sources"]]
    unknown = sorted(set(sources) - set(names))
    if unknown:
        raise InputError(f"{corpus}: has no source {unknown[0]!r}; it has {', '.join(names)}")
    try:
        index = np.load(corpus / manifest["streams"][stream]["index"])
        if index.dtype != INDEX_DTYPE:
            raise ValueError("not an index")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{corpus}: shard {stream}/{split} is missing or damaged; run songwright prepare again with --force"
        ) from error
    kept = index["split"] == SPLITS.index(split)
    if sources:
        kept &= np.isin(index["source"], [names.index(name) for name in sources])
    folders = [corpus / "batches" / name for name in manifest["batches"]]
    return Shard(corpus, STREAMS[stream], split, folders, index[kept])


def data_fingerprint(*shards: Shard) -> str:
    """Return sixteen hexadecimal digits that change with any sequence of some shards, their order and their lengths."""
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(shard.index.tobytes())
        digest.update("\n".join(folder.name for folder in shard.folders).encode())
    return digest.hexdigest()[:16]
