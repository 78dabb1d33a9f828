"""Whether a melody is an altered copy of a known one.

`analysis.originality` finds exact runs; a copy with shifted rhythm, with ornaments, stretched, or with a note changed
here and there has only short ones. A `CopyIndex` finds it in two steps:

1. *Long figures*, the five intervals between six neighbouring notes, vote for a diagonal: a song, a ratio of note
   values (1, 2 or 1/2) and a shift in time. Any two songs share figures, but at scattered shifts; a copy at one.
2. Along the best diagonals each note is looked up by its *short figure*, the two intervals between three notes. One
   that is found gives evidence in bits (its rarity, less if it lies off the diagonal or skips an ornament), one that is
   not found takes some away. The passage with most evidence counts.

Figures hold intervals only, so transposition does not matter; a figure of ours may skip one note, as inserted notes
demand. Each known melody also has a second line, the first note in each eighth: what half the note values leave of it
on a grid of sixteenths. The index holds onsets and hashes of 8 to 16 bits, no notes.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.index_files import open_index
from songwright.analysis.melodic_figures import (
    FIGURE_DTYPE,
    LONG_NOTES,
    NUM_LINES,
    SHORT_BITS,
    SHORT_NOTES,
    figure_readings,
    long_hash,
    melody_figures,
    melody_line,
    pitched_hash,
    short_hash,
)
from songwright.score.grid import STEPS_PER_BAR, STEPS_PER_SIXTEENTH
from songwright.score.song import Song

COPY_BITS = 85.0
"""Evidence from which on a song is called a copy. Real songs of POP909 reach 35 (held out) to 77 bits with another one:
`benchmarks/copies.py`."""
Alteration = Literal["", "exact", "transposed", "stretched", "ornamented", "changed"]

_FORMAT_VERSION = 1
_SIXTEENTHS_PER_BAR = STEPS_PER_BAR // STEPS_PER_SIXTEENTH
_RATIOS = (1.0, 2.0, 0.5)
_VOTE_WIDTH = _SIXTEENTHS_PER_BAR // 2
_PRIOR_SONGS, _MIN_LONG_RARITY = 4, 2.0
_NUM_DIAGONALS = 12
# Bits. A short figure is looked up in three readings at several onsets, which takes about three bits of its rarity.
_CHANCE, _MAX_RARITY, _SKIP_COST, _ABSENT = 3.0, 8.0, 1.5, 1.5
# Onsets on the diagonal, and onsets up to an eighth from it, in sixteenths; what the latter cost in bits.
_BANDS = ((1.0, 0.0), (4.0, 0.75))
# An ostinato says little each time it comes again, so a note counts less if its figure came often in the last notes.
_RECENT_NOTES, _FREE_REPEATS = 24, 2
_MIN_PASSAGE_BITS = 25.0
_EXACT_SHARE, _LOOSE_SHARE = 0.95, 0.2
_MAX_TRANSPOSITION = 24


class CopyFinding(NamedTuple):
    """The known song that a melody is most like.

    Attributes
    ----------
    score : float
        0 nothing in common to 1; from 0.5 on a copy. Half of `bits` / COPY_BITS, at most 1.
    bits : float
        Evidence for the passage on which the score rests.
    source : int
        Place in the index of the song; -1 if nothing is in common.
    bars : tuple of (int, int)
        Bars of ours and the bars of the source that they follow, both counted from zero, in our order.
    alteration : str
        `exact`, `transposed`, `stretched` (twice or half the note values), `ornamented` (notes inserted or onsets
        shifted) or `changed` (other pitches), for the passage; empty if nothing is in common.
    """

    score: float
    bits: float
    source: int
    bars: tuple[tuple[int, int], ...]
    alteration: Alteration

    @property
    def is_copy(self) -> bool:
        """Whether the song is called a copy."""
        return self.bits >= COPY_BITS


_NOTHING = CopyFinding(0.0, 0.0, -1, (), "")


class _Query(NamedTuple):
    """A melody and the readings of its short figures.

    `onset` (in sixteenths), `pitch` and `weight` (how much it counts) are of each note; `note` (the first one), `code`,
    `figure` (its hash) and `is_skip` (whether a note is left out) of each reading.
    """

    onset: NDArray[np.int64]
    pitch: NDArray[np.int64]
    weight: NDArray[np.float64]
    note: NDArray[np.int64]
    code: NDArray[np.uint64]
    figure: NDArray[np.int64]
    is_skip: NDArray[np.bool_]


class _Passage(NamedTuple):
    """Notes `first` to `last` of ours along a diagonal of a line, and the readings found around it.

    `pair` numbers the readings of the query, `place` the notes of the line, `deviation` is how much later than the
    diagonal ours starts; readings inside the passage deviate by at least `low` and less than `high`.
    """

    bits: float
    line: int
    ratio: float
    first: int
    last: int
    low: float
    high: float
    pair: NDArray[np.int64]
    place: NDArray[np.int64]
    deviation: NDArray[np.float64]


class CopyIndex:
    """Known melodies, hashed, to tell copies by.

    Parameters
    ----------
    figures : sequence of ndarray of FIGURE_DTYPE
        For each song what `melodic_figures.melody_figures` gives.

    Examples
    --------
    >>> index = CopyIndex.from_songs(training_songs)  # doctest: +SKIP
    >>> index.compare(song).is_copy  # doctest: +SKIP
    False
    """

    def __init__(self, figures: Sequence[NDArray[np.void]]) -> None:
        self._num_songs = len(figures)
        self._figures = np.concatenate([np.empty(0, dtype=FIGURE_DTYPE), *figures])
        song = np.repeat(np.arange(len(figures)), [len(notes) for notes in figures])
        line = song * NUM_LINES + self._figures["line"]
        self._line_starts = np.searchsorted(line, np.arange(len(figures) * NUM_LINES + 1))
        self._sixteenth = self._figures["sixteenth"].astype(np.int64)
        long, short = (self._figures[name].astype(np.int64) for name in ("long", "short"))
        self._by_long = np.argsort(long, kind="stable")
        self._long_starts = np.searchsorted(long[self._by_long], np.arange(2**16 + 1))
        self._long_line = line[self._by_long]
        holders = np.unique(long * max(len(figures), 1) + song) // max(len(figures), 1)
        num_holders = np.bincount(holders, minlength=2**16)
        # The hash 0 stands for no figure. A few songs more keep figures of small indexes from looking common.
        self._long_rarity = np.log2((len(figures) + _PRIOR_SONGS) / np.maximum(num_holders, 1))
        self._long_rarity[0] = 0
        counts = np.bincount(short, minlength=2**SHORT_BITS) + 1
        self._short_rarity = np.clip(-np.log2(counts / counts[1:].sum()) - _CHANCE, 0, _MAX_RARITY)

    @classmethod
    def from_songs(cls, songs: Iterable[Song]) -> CopyIndex:
        """Return the index of some songs, numbered from zero in their order."""
        return cls([melody_figures(song) for song in songs])

    @property
    def num_songs(self) -> int:
        """Songs in the index."""
        return self._num_songs

    def compare(self, song: Song, *, excluded: Collection[int] = ()) -> CopyFinding:
        """Return the known song that a song's melody is most like.

        Parameters
        ----------
        song : Song
        excluded : collection of int
            Places of songs to leave out, such as that of `song` itself and its versions.
        """
        onset, pitch = melody_line(song)
        note, code, is_skip = figure_readings(pitch, SHORT_NOTES, min_moves=1)
        figure = short_hash(code)
        query = _Query(
            onset, pitch, _weights(len(pitch), note[~is_skip], figure[~is_skip]), note, code, figure, is_skip
        )
        passages = [self._passage(query, *place) for place in self._diagonals(onset, pitch, excluded)]
        passages.sort(key=lambda passage: -passage.bits)
        if not passages or passages[0].bits <= 0:
            return _NOTHING
        best = passages[0]
        source = best.line // NUM_LINES
        return CopyFinding(
            score=min(best.bits / (2 * COPY_BITS), 1.0),
            bits=best.bits,
            source=source,
            bars=self._bars(query, [passage for passage in passages if passage.line // NUM_LINES == source]),
            alteration=self._alteration(query, best),
        )

    def to_bytes(self) -> bytes:
        """Return the index as the content of a compressed `.npz`, which `load` reads."""
        lengths = np.diff(self._line_starts)
        step = np.diff(self._sixteenth, prepend=0)
        first = self._line_starts[:-1][lengths > 0]
        step[first] = self._sixteenth[first]
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            version=np.array([_FORMAT_VERSION, LONG_NOTES, SHORT_NOTES]),
            lengths=lengths.reshape(-1, NUM_LINES).astype(np.int32),
            step=step.astype(np.uint16),
            long=self._figures["long"],
            short=self._figures["short"],
            pitched=self._figures["pitched"],
        )
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> CopyIndex:
        """Read an index whose content `to_bytes` gave.

        Raises
        ------
        InputError
            If the file is missing, damaged, or of another version.
        """
        version = [_FORMAT_VERSION, LONG_NOTES, SHORT_NOTES]
        with open_index(path, what="index of copies", version=version) as arrays:
            lengths = arrays["lengths"]
            figures = np.empty(int(lengths.sum()), dtype=FIGURE_DTYPE)
            for name in ("long", "short", "pitched"):
                figures[name] = arrays[name]
            figures["line"] = np.repeat(np.arange(lengths.size) % NUM_LINES, lengths.ravel())
            total = np.concatenate([[0], np.cumsum(arrays["step"].astype(np.int64))])
            starts = np.cumsum(lengths.ravel()) - lengths.ravel()
            figures["sixteenth"] = total[1:] - np.repeat(total[starts], lengths.ravel())
            return cls(np.split(figures, np.cumsum(lengths.sum(axis=1))[:-1]) if len(lengths) else [])

    def _diagonals(
        self, onset: NDArray[np.int64], pitch: NDArray[np.int64], excluded: Collection[int]
    ) -> list[tuple[int, float, float]]:
        """Return (line, ratio, shift in sixteenths of the source) of the diagonals with most votes, best first."""
        note, figure, _ = figure_readings(pitch, LONG_NOTES, min_moves=2)
        figure = long_hash(figure)
        is_rare = self._long_rarity[figure] > _MIN_LONG_RARITY
        note, figure = note[is_rare], figure[is_rare]
        pair, place = _ranges(self._long_starts[figure], self._long_starts[figure + 1])
        line = self._long_line[place]
        if excluded:
            is_kept = ~np.isin(line // NUM_LINES, list(excluded))
            pair, place, line = pair[is_kept], place[is_kept], line[is_kept]
        if not len(line):
            return []
        rarity, there = self._long_rarity[figure[pair]], self._sixteenth[self._by_long[place]]
        found: list[tuple[float, int, float, float]] = []
        for ratio in _RATIOS:
            vote = np.floor((onset[note[pair]] / ratio - there) / _VOTE_WIDTH).astype(np.int64)
            lowest = int(vote.min())
            # One empty place after the last, so that no line's votes join the next one's.
            num_votes = int(vote.max()) - lowest + 2
            votes = np.bincount(
                line * num_votes + vote - lowest, weights=rarity, minlength=self._num_songs * NUM_LINES * num_votes
            )
            votes[:-1] += votes[1:]
            # The best are among those that reach the best of the twelfth best line.
            of_line = np.sort(votes.reshape(-1, num_votes).max(axis=1))
            least = max(float(of_line[-min(_NUM_DIAGONALS, len(of_line))]), _MIN_LONG_RARITY)
            for top in np.flatnonzero(votes >= least):
                shift = (int(top) % num_votes + lowest + 1) * _VOTE_WIDTH
                found.append((float(votes[top]), int(top) // num_votes, ratio, float(shift)))
        found.sort(key=lambda diagonal: -diagonal[0])
        return [diagonal[1:] for diagonal in found[:_NUM_DIAGONALS]]

    def _passage(self, query: _Query, line: int, ratio: float, shift: float) -> _Passage:
        """Return the passage with most evidence near a diagonal."""
        start, end = self._line_starts[line : line + 2]
        there = self._sixteenth[start:end]
        expected = query.onset[query.note] / ratio - shift
        pair, place = _ranges(
            np.searchsorted(there, expected - _VOTE_WIDTH), np.searchsorted(there, expected + _VOTE_WIDTH, side="right")
        )
        short = self._figures["short"][start:end].astype(np.int64)
        is_same = short[place] == query.figure[pair]
        pair, place = pair[is_same], place[is_same]
        deviation = expected[pair] - there[place]
        rarity = self._short_rarity[query.figure[pair]] - _SKIP_COST * query.is_skip[pair]
        best = _Passage(0.0, line, ratio, 0, -1, 0.0, 0.0, pair, place, deviation)
        for width, cost in _BANDS if len(pair) else ():
            # Bands overlap by half, so that any deviations less than half a width apart share one.
            band = np.floor((deviation + _VOTE_WIDTH) * 2 / width).astype(np.int64)
            evidence = np.zeros((int(band.max()) + 2, len(query.onset)))
            gain = np.maximum(rarity - cost, 0.01)
            for shifted in (band, band + 1):
                np.maximum.at(evidence, (shifted, query.note[pair]), gain)
            evidence[evidence == 0] = -_ABSENT
            evidence *= query.weight
            # The passage with most evidence ends where its sum exceeds the lowest one before it by most.
            total = np.pad(np.cumsum(evidence, axis=1), ((0, 0), (1, 0)))
            excess = total - np.minimum.accumulate(total, axis=1)
            row, end_note = (int(number) for number in np.unravel_index(excess.argmax(), excess.shape))
            if excess[row, end_note] > best.bits:
                first = end_note - 1 - int(total[row, end_note - 1 :: -1].argmin())
                low = (row - 1) * width / 2 - _VOTE_WIDTH
                best = best._replace(
                    bits=float(excess[row, end_note]), first=first, last=end_note - 1, low=low, high=low + width
                )
        return best

    def _bars(self, query: _Query, passages: Sequence[_Passage]) -> tuple[tuple[int, int], ...]:
        """Return our bars and those of the source, from passages of one song, the best first."""
        bars: dict[int, int] = {}
        for rank, passage in enumerate(passages):
            if rank and passage.bits < _MIN_PASSAGE_BITS:
                break
            found = _inside(query, passage)
            sixteenth = self._sixteenth[self._line_starts[passage.line] + passage.place[found]]
            ours = query.onset[query.note[passage.pair[found]]] // _SIXTEENTHS_PER_BAR
            theirs = sixteenth // _SIXTEENTHS_PER_BAR
            for bar in np.unique(ours).tolist():
                bars.setdefault(bar, int(np.bincount(theirs[ours == bar]).argmax()))
        return tuple(sorted(bars.items()))

    def _alteration(self, query: _Query, passage: _Passage) -> Alteration:
        """Return how a passage differs from its source."""
        if passage.ratio != 1.0:
            return "stretched"
        found = _inside(query, passage)
        pair, place = passage.pair[found], passage.place[found]
        deviations, count = np.unique(passage.deviation[found], return_counts=True)
        is_exact = ~query.is_skip[pair] & (passage.deviation[found] == deviations[count.argmax()])
        exact, place = np.unique(query.note[pair[is_exact]]), place[is_exact]
        loose = np.setdiff1d(query.note[pair], exact)
        contiguous = np.unique(query.note[~query.is_skip])
        num_notes = np.count_nonzero((contiguous >= passage.first) & (contiguous <= passage.last))
        if len(exact) < _EXACT_SHARE * num_notes:
            return "ornamented" if len(loose) > _LOOSE_SHARE * (len(exact) + len(loose)) else "changed"
        pair = pair[is_exact]
        pitched = self._figures["pitched"][self._line_starts[passage.line] + place]
        num_same = [
            np.count_nonzero(pitched_hash(query.code[pair], query.pitch[query.note[pair]] - semitones) == pitched)
            for semitones in range(-_MAX_TRANSPOSITION, _MAX_TRANSPOSITION + 1)
        ]
        return "exact" if int(np.argmax(num_same)) == _MAX_TRANSPOSITION else "transposed"


def _weights(num_notes: int, note: NDArray[np.int64], figure: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how much each note counts, 0 to 1: less if its figure came more than twice in the last notes."""
    key = figure << 32 | note
    ordered = np.sort(key)
    first = np.searchsorted(ordered, np.maximum(key - _RECENT_NOTES, figure << 32))
    num_recent = np.searchsorted(ordered, key, side="right") - first
    weight = np.ones(num_notes)
    weight[note] = np.minimum(1.0, _FREE_REPEATS / num_recent)
    return weight


def _ranges(start: NDArray[np.integer], end: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (number, place) of every place in the ranges from `start` to before `end`, one range after another."""
    length = (end - start).astype(np.int64)
    number = np.repeat(np.arange(len(length)), length)
    return number, np.arange(len(number)) + np.repeat(start - np.cumsum(length) + length, length)


def _inside(query: _Query, passage: _Passage) -> NDArray[np.int64]:
    """Return which of the readings found around a diagonal belong to its passage."""
    note = query.note[passage.pair]
    return np.flatnonzero(
        (note >= passage.first)
        & (note <= passage.last)
        & (passage.deviation >= passage.low)
        & (passage.deviation < passage.high)
    )
