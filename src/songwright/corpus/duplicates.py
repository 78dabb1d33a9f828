"""Pieces that are the same music: exact, transposed and near-duplicates among many, without comparing all pairs.

Two pieces are compared only if a line of one and a line of the other share a band key (locality-sensitive hashing);
they are near-duplicates if the figures of the two lines then prove alike. What belongs together is joined, whatever
the order of the pieces. Knows fingerprints (`corpus.fingerprints`) and their places; leaves names, files and sides of
a split to others.

A group is a connected set: two songs that differ are in one group where a medley holds both, for all three must stay
on one side of a split. `Relation.similarity` tells such links from repeats.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.corpus.fingerprints import MAX_FIGURES, MIN_FIGURES, NUM_BANDS, NUM_LINES, Fingerprint, fingerprint
from songwright.errors import InputError
from songwright.files.writing import write_whole

__all__ = [
    "DuplicateGroups", "Fingerprint", "Relation", "find_duplicates", "fingerprint", "stack_fingerprints",
    "unstack_fingerprints",
]  # fmt: skip

MIN_SIMILARITY = 0.15
"""Jaccard similarity of the figures of two lines from which they are near-duplicates. Melodies of different songs of
POP909 reach 0.06, their piano parts 0.13; a melody with a tenth of its notes edited keeps 0.37 (0.24 in the worst of a
hundred)."""
MIN_CONTAINMENT = 0.6
"""Share of the figures of the shorter line that the longer one has, from which it is an excerpt."""
MIN_SHARED = 8
"""Figures that near-duplicates share at least."""

_KINDS = ("exact", "transposed", "near")
_FORMAT_VERSION = 1
# Neighbours in a bucket that are compared with a line. Only a bucket of over a thousand lines that are not alike has
# more; there the order of the pieces may count.
_MAX_NEIGHBOURS = 1000
_PAIRS_AT_ONCE = 2_000  # 40 MB for songs of 350 figures
_MAX_COMPARED = 32


class Relation(NamedTuple):
    """What makes a piece a duplicate of an earlier one.

    Attributes
    ----------
    earlier, later : int
        Places of the two pieces.
    kind : str
        `exact`: the same notes (tempo, loudness, instruments and names may differ); `transposed`: the same notes moved;
        `near`: figures in common.
    similarity : float
        Highest Jaccard similarity of their lines, 0 to 1; below MIN_SIMILARITY where one is an excerpt of the other,
        or where only further pieces link the two.
    """

    earlier: int
    later: int
    kind: str
    similarity: float


def find_duplicates(fingerprints: Sequence[Fingerprint]) -> tuple[Relation, ...]:
    """Return for each piece that resembles an earlier one what links it; see `DuplicateGroups.relations`."""
    groups = DuplicateGroups()
    groups.add(fingerprints)
    return groups.relations()


def stack_fingerprints(fingerprints: Sequence[Fingerprint]) -> dict[str, NDArray[np.generic]]:
    """Return fingerprints as a few arrays, for `numpy.savez`."""
    lines = [line for found in fingerprints for line in found.figures]
    bands = [found.bands for found in fingerprints]
    return {
        "notes_hash": np.array([found.notes_hash for found in fingerprints], dtype=np.uint64),
        "transposed_hash": np.array([found.transposed_hash for found in fingerprints], dtype=np.uint64),
        "lengths": np.array([len(line) for line in lines], dtype=np.int32),
        "figures": np.concatenate([np.empty(0, np.uint32), *lines]),
        "bands": np.concatenate([np.empty((0, NUM_BANDS), np.uint32), *bands]),
    }


def unstack_fingerprints(arrays: Mapping[str, NDArray[np.generic]]) -> list[Fingerprint]:
    """Return the fingerprints of arrays that `stack_fingerprints` made.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    starts = np.concatenate([[0], np.cumsum(arrays["lengths"])]).tolist()
    num_pieces = len(arrays["notes_hash"])
    if (
        len(starts) != NUM_LINES * num_pieces + 1
        or starts[-1] != len(arrays["figures"])
        or arrays["bands"].shape != (NUM_LINES * num_pieces, NUM_BANDS)
    ):
        raise ValueError("the arrays of fingerprints do not fit each other")
    lines = [arrays["figures"][start:end].astype(np.uint32) for start, end in pairwise(starts)]
    bands = arrays["bands"].astype(np.uint32).reshape(num_pieces, NUM_LINES, NUM_BANDS)
    hashes = zip(arrays["notes_hash"].tolist(), arrays["transposed_hash"].tolist(), strict=True)
    return [
        Fingerprint(notes_hash, transposed_hash, (lines[NUM_LINES * place], lines[NUM_LINES * place + 1]), bands[place])
        for place, (notes_hash, transposed_hash) in enumerate(hashes)
    ]


class DuplicateGroups:
    """Groups of pieces that are the same music; grows without comparing known pieces again.

    Pieces are numbered from zero in the order in which they are added. The groups do not depend on that order, nor on
    what was added together.

    Examples
    --------
    >>> groups = DuplicateGroups()
    >>> groups.add(fingerprints)  # doctest: +SKIP
    >>> groups.relations()  # doctest: +SKIP
    (Relation(earlier=4, later=9, kind='transposed', similarity=1.0),)
    """

    def __init__(self) -> None:
        self._root = np.empty(0, dtype=np.int64)
        self._hashes = np.empty((2, 0), dtype=np.uint64)
        # Lines of all pieces, NUM_LINES each: where their figures start, what they are, a hash of each whole line.
        self._starts = np.zeros(1, dtype=np.int64)
        self._figures = np.empty(0, dtype=np.uint32)
        self._line_hash = np.empty(0, dtype=np.uint64)
        # Band keys of the lines, one block (NUM_BANDS, num_lines) for each addition: nothing is copied to add a few.
        self._bands: list[NDArray[np.uint32]] = []

    def __len__(self) -> int:
        """Return the number of pieces."""
        return len(self._root)

    def add(self, fingerprints: Sequence[Fingerprint]) -> None:
        """Add pieces and join them with what they resemble; many at once cost less than one by one."""
        arrays = stack_fingerprints(fingerprints)
        self._add(arrays, np.arange(len(self), len(self) + len(fingerprints)))
        num_known = len(self) - len(fingerprints)
        hashes = self._hashes[1]
        bucket, piece = _shared_keys([hashes[:num_known]], hashes[num_known:], hashes != 0)
        self._join(piece[1:], piece[:-1], bucket[1:] == bucket[:-1])
        # Equal lines need no comparison, and the first of them stands for all.
        is_known_enough = np.diff(self._starts) >= MIN_FIGURES
        known_lines = num_known * NUM_LINES
        bucket, line = _shared_keys([self._line_hash[:known_lines]], self._line_hash[known_lines:], is_known_enough)
        is_same = bucket[1:] == bucket[:-1]
        self._join(line[1:] // NUM_LINES, line[:-1] // NUM_LINES, is_same)
        first = np.arange(len(self._line_hash))
        is_first = np.concatenate([[True], ~is_same])[: len(line)]
        first[line] = line[is_first][np.cumsum(is_first) - 1]
        for band in range(NUM_BANDS):
            keys = [block[band] for block in self._bands]
            bucket, line = _shared_keys(keys[:-1], keys[-1], is_known_enough)
            self._compare(bucket, first[line])
        if len(self._bands) > 8:
            self._bands = [np.concatenate(self._bands, axis=1)]

    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Return the places of the pieces of each group, ascending; pieces that resemble none are left out."""
        order = np.argsort(self._root, kind="stable")
        ends = np.flatnonzero(np.diff(self._root[order])) + 1
        return tuple(tuple(group.tolist()) for group in np.split(order, ends) if len(group) > 1)

    def relations(self) -> tuple[Relation, ...]:
        """Return one relation for each piece that has an earlier one in its group, ordered by `later`.

        It names the first equal piece, else the first transposed one, else the most similar earlier one (of the first
        32 of a group). Joining the two of every relation gives the groups.
        """
        relations: list[Relation] = []
        compared: list[tuple[int, int]] = []
        for group in self.groups():
            hashes = self._hashes[:, group].tolist()
            firsts: tuple[dict[int, int], dict[int, int]] = ({}, {})
            for rank, piece in enumerate(group):
                found = [firsts[level].setdefault(hashes[level][rank], piece) for level in range(2)]
                level = next((level for level in range(2) if found[level] != piece and hashes[level][rank]), None)
                if level is not None:
                    relations.append(Relation(found[level], piece, _KINDS[level], 1.0))
                else:
                    compared += [(earlier, piece) for earlier in group[: min(rank, _MAX_COMPARED)]]
        best: dict[int, Relation] = {}
        for start in range(0, len(compared), _PAIRS_AT_ONCE):
            pairs = np.array(compared[start : start + _PAIRS_AT_ONCE])
            for (earlier, later), similarity in zip(pairs.tolist(), self._piece_similarity(*pairs.T), strict=True):
                if later not in best or similarity > best[later].similarity:
                    best[later] = Relation(earlier, later, "near", float(similarity))
        return tuple(sorted([*relations, *best.values()], key=lambda relation: relation.later))

    def save(self, path: Path) -> None:
        """Write the groups and all that is needed to add to them, as an `.npz`.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(
            buffer,
            version=np.array([_FORMAT_VERSION, NUM_LINES, NUM_BANDS, MAX_FIGURES]),
            root=self._root,
            notes_hash=self._hashes[0],
            transposed_hash=self._hashes[1],
            lengths=np.diff(self._starts),
            figures=self._figures,
            bands=np.concatenate([np.empty((NUM_BANDS, 0), np.uint32), *self._bands], axis=1).T,
        )
        write_whole(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> DuplicateGroups:
        """Read groups written by `save`.

        Raises
        ------
        InputError
            If the file is missing, damaged, or of another version.
        """
        groups = cls()
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                if arrays["version"].tolist() != [_FORMAT_VERSION, NUM_LINES, NUM_BANDS, MAX_FIGURES]:
                    raise InputError(f"{path}: groups of duplicates of another version; build them again")
                groups._add(arrays, arrays["root"])
        except InputError:
            raise
        except Exception as error:  # a damaged archive raises a dozen kinds, from BadZipFile to NotImplementedError
            raise InputError(f"{path}: not readable as groups of duplicates ({error.__class__.__name__})") from error
        return groups

    def _add(self, arrays: Mapping[str, NDArray[np.generic]], root: NDArray[np.integer]) -> None:
        """Append stacked fingerprints whose groups are named by `root`."""
        lengths = arrays["lengths"].astype(np.int64)
        figures = arrays["figures"].astype(np.uint32)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(figures * np.uint64(0x9E3779B97F4A7C15))])
        line_hash = (sums[starts[1:]] - sums[starts[:-1]]) * np.uint64(2) ^ lengths.astype(np.uint64)
        hashes = np.stack([arrays["notes_hash"], arrays["transposed_hash"]]).astype(np.uint64)
        self._root = np.concatenate([self._root, root.astype(np.int64)])
        self._hashes = np.concatenate([self._hashes, hashes], axis=1)
        self._starts = np.concatenate([self._starts, starts[1:] + self._starts[-1]])
        self._figures = np.concatenate([self._figures, figures])
        self._line_hash = np.concatenate([self._line_hash, line_hash])
        self._bands.append(np.ascontiguousarray(arrays["bands"].astype(np.uint32, copy=False).T))

    def _compare(self, bucket: NDArray[np.integer], line: NDArray[np.int64]) -> None:
        """Join the pieces of lines in one bucket that prove alike."""
        order = np.lexsort((line, bucket))
        bucket, line = bucket[order], line[order]
        for distance in range(1, _MAX_NEIGHBOURS):
            # Buckets whose pieces are all in one group are done with: comparing them could not change the groups.
            starts = np.flatnonzero(np.diff(bucket, prepend=-1))
            if not len(starts):
                return
            root = self._root[line // NUM_LINES]
            is_mixed = np.minimum.reduceat(root, starts) != np.maximum.reduceat(root, starts)
            sizes = np.diff(np.append(starts, len(bucket)))
            kept = np.repeat(is_mixed & (sizes > distance), sizes)
            bucket, line = bucket[kept], line[kept]
            one, other = line[:-distance], line[distance:]
            is_pair = bucket[:-distance] == bucket[distance:]
            is_pair &= self._root[one // NUM_LINES] != self._root[other // NUM_LINES]
            one, other = one[is_pair], other[is_pair]
            for start in range(0, len(one), _PAIRS_AT_ONCE):
                pair = one[start : start + _PAIRS_AT_ONCE], other[start : start + _PAIRS_AT_ONCE]
                similarity, containment, num_shared = self._line_similarity(*pair)
                is_alike = (similarity >= MIN_SIMILARITY) | (containment >= MIN_CONTAINMENT)
                self._join(pair[0] // NUM_LINES, pair[1] // NUM_LINES, is_alike & (num_shared >= MIN_SHARED))

    def _join(self, one: NDArray[np.integer], other: NDArray[np.integer], is_alike: NDArray[np.bool_]) -> None:
        """Join the groups of pairs of pieces; the smallest place names a group."""
        one, other = one[is_alike], other[is_alike]
        while True:
            first, second = self._root[one], self._root[other]
            is_apart = first != second
            if not is_apart.any():
                return
            one, other = one[is_apart], other[is_apart]
            low, high = np.minimum(first, second)[is_apart], np.maximum(first, second)[is_apart]
            np.minimum.at(self._root, high, low)
            while ((root := self._root[self._root]) != self._root).any():
                self._root = root

    def _piece_similarity(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the highest Jaccard similarity of the lines of pairs of pieces."""
        pairs = [
            self._line_similarity(one * NUM_LINES + line, other * NUM_LINES + other_line)[0]
            for line in range(NUM_LINES)
            for other_line in range(NUM_LINES)
        ]
        return np.max(pairs, axis=0)

    def _line_similarity(
        self, one: NDArray[np.int64], other: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Return Jaccard similarity, containment and number of shared figures of pairs of lines.

        Where a line has more than MAX_FIGURES, only hashes up to the highest that both keep are counted, which
        estimates the same.
        """
        columns = [self._figures_of(lines) for lines in (one, other)]
        limit = np.minimum(*(last for _, _, last in columns))
        counted: list[NDArray[np.uint64]] = []
        sizes: list[NDArray[np.int64]] = []
        for pair, figures, _ in columns:
            is_counted = figures <= limit[pair]
            sizes.append(np.bincount(pair[is_counted], minlength=len(one)))
            counted.append(pair[is_counted].astype(np.uint64) << np.uint64(32) | figures[is_counted])
        both = np.sort(np.concatenate(counted), kind="stable")
        shared_pair = (both[1:][both[1:] == both[:-1]] >> np.uint64(32)).astype(np.int64)
        num_shared = np.bincount(shared_pair, minlength=len(one))
        similarity = num_shared / np.maximum(sizes[0] + sizes[1] - num_shared, 1)
        return similarity, num_shared / np.maximum(np.minimum(*sizes), 1), num_shared

    def _figures_of(self, lines: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]]:
        """Return the figures of lines one after another, the number of the line of each, and each line's limit."""
        starts, lengths = self._starts[lines], self._starts[lines + 1] - self._starts[lines]
        number = np.repeat(np.arange(len(lines)), lengths)
        place = np.arange(len(number)) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        is_full = lengths == MAX_FIGURES
        last = np.full(len(lines), 2**32 - 1, dtype=np.uint32)
        last[is_full] = self._figures[(starts + lengths - 1)[is_full]]
        return number, self._figures[place], last


def _shared_keys(
    known: Sequence[NDArray[np.unsignedinteger]], new: NDArray[np.unsignedinteger], is_usable: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (bucket, place) of all places whose key a new place shares with another one, ordered by bucket.

    Parameters
    ----------
    known : sequence of arrays
        Keys of known places, one array after another.
    new : array
        Keys of the places after those.
    is_usable : array of bool
        For each place whether its key counts.
    """
    start = sum(len(block) for block in known)
    place = start + np.flatnonzero(is_usable[start:])
    keys, places = [new[place - start]], [place]
    ordered = np.sort(keys[0])
    # Most known keys are ruled out by a table of the lowest bits of the new ones, which fits into the cache.
    mask = ordered.dtype.type((1 << min(len(ordered).bit_length() + 4, 24)) - 1)
    table = np.zeros(int(mask) + 1, dtype=bool)
    table[ordered & mask] = True
    start = 0
    for block in known if len(ordered) else ():
        hit = np.flatnonzero(table[block & mask] & is_usable[start : start + len(block)])
        found = np.minimum(np.searchsorted(ordered, block[hit]), len(ordered) - 1)
        hit = hit[ordered[found] == block[hit]]
        keys.append(block[hit])
        places.append(start + hit)
        start += len(block)
    key, place = np.concatenate(keys), np.concatenate(places)
    order = np.argsort(key, kind="stable")
    key, place = key[order], place[order]
    is_start = np.concatenate([[True], key[1:] != key[:-1]])[: len(key)]
    bucket = np.cumsum(is_start) - 1
    is_shared = np.bincount(bucket)[bucket] > 1 if len(bucket) else np.zeros(0, dtype=bool)
    return bucket[is_shared], place[is_shared]
