"""Whether a song repeats another one.

An `OriginalityIndex` holds songs as 64-bit hashes of n-grams, not as music, and tells for another song:

- the longest run of melody tokens (`analysis.sequences.melody_tokens`: interval and inter-onset interval, so a
  transposed copy is the same) shared with one of them;
- the share of its melody's n-grams that a single one of them contains (a copy in pieces);
- the longest run of piano bars (onsets and pitches) found in one of them, moved by any one transposition.

Runs are exact: the index keeps each song's n-grams in order, and a run of L >= n tokens is L - n + 1 n-grams that
follow one another in both songs. Shorter runs are too common to mean anything and count as 0. For the piano n is
two bars.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.index_files import open_index
from songwright.analysis.sequences import melody_tokens, mix_bits, ngram_hashes
from songwright.errors import OutputError
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.song import Song

NGRAM_LENGTH = 6
"""Melody tokens in an n-gram; n for the melody."""
MIN_PIANO_NOTES = 4
"""A piano bar with fewer notes is too plain to count, and ends a run."""
_FORMAT_VERSION = 1


class Originality(NamedTuple):
    """What a song shares with the songs of an index.

    Attributes
    ----------
    melody_run : int
        Notes of the longest shared run (one more than its tokens); 0 for fewer than NGRAM_LENGTH + 1.
    melody_source : int
        Place in the index of the song that shares it; -1 without a run.
    melody_start : int
        Where the run starts in the melody, in notes counted from zero; -1 without a run.
    coverage : float
        Highest share of the melody's n-grams that one song of the index contains, 0 to 1.
    piano_run : int
        Bars of the longest shared run of piano bars, all moved by one transposition; 0 for fewer than two.
    piano_source : int
        Place in the index of the song that shares it; -1 without a run.
    piano_start : int
        Bar where the run starts, counted from zero; -1 without a run.
    melody_source_start : int
        Where the melody run starts in the song that shares it, in notes counted from zero; -1 without a run.
    piano_source_start : int
        Bar where the piano run starts in the song that shares it, counted from zero; -1 without a run.
    """

    melody_run: int
    melody_source: int
    melody_start: int
    coverage: float
    piano_run: int
    piano_source: int
    piano_start: int
    melody_source_start: int = -1
    piano_source_start: int = -1


class OriginalityIndex:
    """Songs, hashed, to compare others with.

    Parameters
    ----------
    melody_hashes, piano_hashes : sequence of ndarray of uint64
        For each song the hashes of its melody n-grams and of its pairs of piano bars, in order, as `from_songs` makes
        them.

    Examples
    --------
    >>> index = OriginalityIndex.from_songs(training_songs)  # doctest: +SKIP
    >>> index.compare(song).melody_run  # doctest: +SKIP
    7
    """

    def __init__(self, melody_hashes: Sequence[NDArray[np.uint64]], piano_hashes: Sequence[NDArray[np.uint64]]) -> None:
        self._melody = _Sequences(melody_hashes)
        self._piano = _Sequences(piano_hashes)

    @classmethod
    def from_songs(cls, songs: Iterable[Song]) -> OriginalityIndex:
        """Return the index of some songs, numbered from zero in their order."""
        pairs = [song_hashes(song) for song in songs]
        return cls([melody for melody, _ in pairs], [piano for _, piano in pairs])

    @property
    def num_songs(self) -> int:
        """Songs in the index."""
        return len(self._melody.lengths)

    def compare(self, song: Song, *, excluded: Collection[int] = ()) -> Originality:
        """Return what a song shares with the songs of the index.

        Parameters
        ----------
        song : Song
        excluded : collection of int
            Places of songs to leave out, such as that of `song` itself.
        """
        melody = _melody_hashes(song)
        num_grams, melody_source, melody_start, melody_source_start = self._melody.longest_run(melody, excluded)
        num_pairs, piano_source, piano_start, piano_source_start = self._piano.longest_run(
            _piano_hashes(song), excluded
        )
        return Originality(
            melody_run=num_grams + NGRAM_LENGTH if num_grams else 0,
            melody_source=melody_source,
            melody_start=melody_start,
            coverage=self._melody.coverage(melody, excluded),
            piano_run=num_pairs + 1 if num_pairs else 0,
            piano_source=piano_source,
            piano_start=piano_start,
            melody_source_start=melody_source_start,
            piano_source_start=piano_source_start,
        )

    def compare_with_others(self, song: Song) -> Originality:
        """Return what a song shares with other songs, leaving out itself and its versions where they are in the index.

        Itself is whatever holds more than half of its n-grams: different songs of POP909 share at most 13 %.
        """
        same: list[int] = []
        found = self.compare(song)
        while found.coverage > 0.5:
            same.append(found.melody_source)
            found = self.compare(song, excluded=same)
        return found

    def save(self, path: Path) -> None:
        """Write the index as a compressed `.npz` (1.0 MB for 628 songs of POP909).

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            version=np.array([_FORMAT_VERSION, NGRAM_LENGTH, MIN_PIANO_NOTES]),
            melody_hashes=self._melody.hashes,
            melody_lengths=self._melody.lengths,
            piano_hashes=self._piano.hashes,
            piano_lengths=self._piano.lengths,
        )
        temporary = path.with_name(f".{path.name}.part")
        try:
            temporary.write_bytes(buffer.getvalue())
            temporary.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: the originality index cannot be written ({error.strerror})") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> OriginalityIndex:
        """Read an index written by `save`.

        Raises
        ------
        InputError
            If the file is missing, damaged, or of another version.
        """
        version = [_FORMAT_VERSION, NGRAM_LENGTH, MIN_PIANO_NOTES]
        with open_index(path, what="originality index", version=version) as arrays:
            melody, piano = (
                np.split(arrays[f"{part}_hashes"], np.cumsum(arrays[f"{part}_lengths"])[:-1])
                for part in ("melody", "piano")
            )
        return cls(melody, piano)


def song_hashes(song: Song) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return what an index keeps of a song: hashes of its melody n-grams and of its pairs of piano bars, in order."""
    return _melody_hashes(song), _piano_hashes(song)


def compare_within(songs: Sequence[Song]) -> list[Originality]:
    """Return what each song shares with the others of the same set, which shows when a model repeats itself."""
    index = OriginalityIndex.from_songs(songs)
    return [index.compare(song, excluded=(place,)) for place, song in enumerate(songs)]


class _Sequences:
    """Sequences of hashes, searchable for runs in common with another sequence; the hash 0 equals nothing."""

    def __init__(self, sequences: Sequence[NDArray[np.uint64]]) -> None:
        self.lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        self.hashes = np.concatenate([np.empty(0, np.uint64), *sequences])
        order = np.argsort(self.hashes, kind="stable")
        owner = np.repeat(np.arange(len(sequences)), self.lengths)
        self._sorted = self.hashes[order]
        self._owner = owner[order]
        # One free place between sequences, so that no run goes from one into the next.
        self._place = order + self._owner

    def _matches(
        self, query: NDArray[np.uint64], excluded: Collection[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return (place in the query, place here, sequence) of every pair of equal hashes."""
        first = np.searchsorted(self._sorted, query)
        count = np.searchsorted(self._sorted, query, side="right") - first
        count[query == 0] = 0
        in_query = np.repeat(np.arange(len(query)), count)
        here = np.arange(len(in_query)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
        kept = ~np.isin(self._owner[here], list(excluded))
        return in_query[kept], self._place[here[kept]], self._owner[here[kept]]

    def longest_run(self, query: NDArray[np.uint64], excluded: Collection[int]) -> tuple[int, int, int, int]:
        """Return (length, sequence, start in the query, start in the sequence) of the longest run in common.

        (0, -1, -1, -1) without one.
        """
        in_query, here, owner = self._matches(query, excluded)
        if not len(here):
            return 0, -1, -1, -1
        # Pairs of one run lie on one diagonal, next to each other.
        order = np.lexsort((in_query, here - in_query))
        in_query, here, owner = in_query[order], here[order], owner[order]
        is_start = np.ones(len(here), dtype=bool)
        is_start[1:] = (np.diff(in_query) != 1) | (np.diff(here) != 1)
        starts = np.flatnonzero(is_start)
        lengths = np.diff(np.append(starts, len(here)))
        best = int(lengths.argmax())
        first = starts[best]
        sequence = int(owner[first])
        start_here = int(here[first]) - int(self.lengths[:sequence].sum()) - sequence
        return int(lengths[best]), sequence, int(in_query[first]), start_here

    def coverage(self, query: NDArray[np.uint64], excluded: Collection[int]) -> float:
        """Return the highest share of the query's places whose hash occurs in one sequence."""
        in_query, _, owner = self._matches(query, excluded)
        if not len(owner):
            return 0.0
        pairs = np.unique(owner * len(query) + in_query)
        return int(np.bincount(pairs // len(query)).max()) / len(query)


def _melody_hashes(song: Song) -> NDArray[np.uint64]:
    return ngram_hashes(melody_tokens(song.lead_sheet.melody), NGRAM_LENGTH)


def _piano_hashes(song: Song) -> NDArray[np.uint64]:
    """Return a hash of each pair of neighbouring piano bars, free of transposition; 0, which matches nothing, if plain.

    A bar is its set of (onset in bar, pitch - lowest pitch of the bar); a pair also holds how far the lowest moves.
    """
    num_bars = song.lead_sheet.num_bars
    bar, onset = np.divmod(song.piano["onset_step"].astype(np.int64), STEPS_PER_BAR)
    pitch = song.piano["pitch"].astype(np.int64)
    lowest = np.full(num_bars, 128, dtype=np.int64)
    np.minimum.at(lowest, bar, pitch)
    # The sum of scattered contents is the same for any order of the notes.
    shape = np.zeros(num_bars, dtype=np.uint64)
    np.add.at(shape, bar, mix_bits(onset * 128 + pitch - lowest[bar]))
    is_plain = np.bincount(bar, minlength=num_bars) < MIN_PIANO_NOTES
    pairs = mix_bits(mix_bits(mix_bits(shape[:-1]) ^ shape[1:]) ^ mix_bits(np.diff(lowest)))
    pairs[is_plain[:-1] | is_plain[1:]] = 0
    return pairs
