"""Real music to compare with, measured once: a prepared corpus, or the numbers of one that ship with a style.

A reference has *held-out* songs, which networks did not learn from and which judged songs are compared with, and
*training* songs, which copies are looked for in and which show how far real songs are from real songs (the floor).
Repetition depends on length, so both are measured over their first seconds, as many as the judged songs last, and
whole. Both readings of chords and phrases (`reading`) are known: the labels', and what analysis finds in the notes.

What ships with a style are these numbers and hashes: no note of the music can be told from them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.copies import CopyIndex
from songwright.analysis.originality import Originality, OriginalityIndex
from songwright.composition.weights import Style
from songwright.errors import InputError, WeightsError
from songwright.evaluation.cache import kept_arrays
from songwright.evaluation.excerpts import first_seconds
from songwright.evaluation.figures import MeasuredSongs
from songwright.evaluation.measuring import measure, open_network
from songwright.evaluation.reading import ReadingKind, found_reading
from songwright.explanation.likelihood import Surprise, surprise
from songwright.preparation.shards import SPLITS, read_manifest
from songwright.preparation.songs import CorpusSong, corpus_songs
from songwright.score.song import Song
from songwright.workers import run_in_processes

WHOLE = 0
"""Stands for the whole length of songs, among lengths in seconds."""
COMMON_LENGTHS = (30, 45, 60, 90, 120, 150, 180, 210, 240)
"""Seconds over which the songs of a shipped reference are measured, beside their whole length."""
LENGTH_STEP = 5
"""Songs of a corpus are cut to the nearest multiple of so many seconds."""
MAX_SONGS = 2000
"""Songs of each side that are measured; of more, as many are drawn."""
MIN_HELD_OUT = 20
_FORMAT_VERSION = 1
_SHORT = 0.98  # of the length asked: a cut ends on a bar line

Progress = Callable[[int, int], None]
Columns = dict[str, dict[str, NDArray[np.float64]]]


@dataclass(frozen=True, eq=False)
class RealMusic:
    """Real songs measured at one length, in one reading.

    Attributes
    ----------
    seconds : float
        To which songs were cut; 0 for whole songs.
    held_out, training : MeasuredSongs
    originality : tuple of Originality
        Of each held-out song, compared with all other songs; sources and places are left out (-1).
    bits_per_note : ndarray of float64, shape (num_held_out,)
        Of each held-out song's melody under the style's network; NaN without a melody.
    published : dict of family -> name -> ndarray of float64, shape (num_held_out,)
        The field's own metrics of the held-out songs; NaN where undefined.
    num_short : int
        Held-out songs shorter than `seconds`.
    """

    seconds: float
    held_out: MeasuredSongs
    training: MeasuredSongs
    originality: tuple[Originality, ...]
    bits_per_note: NDArray[np.float64]
    published: Columns
    num_short: int


class Reference(Protocol):
    """Real music that songs are compared with.

    Attributes
    ----------
    title : str
        What it is, in words.
    digest : str
        Changes with any number in it.
    held_out_ids, training_ids : tuple of str
    known_ids : tuple of str
        Of the songs in the indices, in their order.
    originality_index : OriginalityIndex
    copy_index : CopyIndex
        Both of all held-out and training songs.
    """

    title: str
    digest: str
    held_out_ids: tuple[str, ...]
    training_ids: tuple[str, ...]
    known_ids: tuple[str, ...]
    originality_index: OriginalityIndex
    copy_index: CopyIndex

    def at(self, seconds: float, reading: ReadingKind, *, progress: Progress | None = None) -> RealMusic:
        """Return the songs measured over about so many seconds (`WHOLE`: all), chords and phrases read alike."""
        ...

    def songs(self, piece_ids: Collection[str]) -> dict[str, CorpusSong]:
        """Return songs of the reference by their ids; none where it holds no music."""
        ...


class _Block(NamedTuple):
    """The numbers of all songs at one length, in one reading; held-out songs first."""

    features: NDArray[np.floating]  # (num_songs, num_features)
    published: NDArray[np.floating]  # (num_held_out, num_metrics)
    curves: NDArray[np.floating]  # (num_songs, 40)
    originality: NDArray[np.floating]  # (num_held_out, 3): melody run, coverage, piano run
    bits: NDArray[np.floating]  # (num_held_out,)
    short: NDArray[np.floating]  # (1,)
    names: NDArray[np.uint8]  # `group/name` of the features, as text with a line for each
    published_names: NDArray[np.uint8]


class CorpusReference:
    """A prepared corpus as reference.

    Parameters
    ----------
    corpus : Path
    network : Path
        Lead sheet weights, under which the held-out songs' bits per note are measured.
    sources : sequence of str
        Collections to take songs from; all of them where empty.
    num_workers : int
        Processes that measure.

    Raises
    ------
    InputError
        If the corpus is missing, damaged, or has too few held-out songs.
    """

    def __init__(self, corpus: Path, network: Path, *, sources: Sequence[str] = (), num_workers: int = 1) -> None:
        manifest = read_manifest(corpus)
        self._corpus, self._network, self._num_workers = corpus, network, num_workers
        held_out = [
            *corpus_songs(corpus, "validation", sources=sources),
            *corpus_songs(corpus, "test", sources=sources),
        ]
        training = list(corpus_songs(corpus, "train", sources=sources))
        if len(held_out) < MIN_HELD_OUT or len(training) < MIN_HELD_OUT:
            raise InputError(
                f"{corpus}: it has {len(training)} songs to learn from and {len(held_out)} held out; a reference needs "
                f"{MIN_HELD_OUT} of each, so prepare more music (pieces in 4/4 with a melody count)"
            )
        known = sorted([*held_out, *training], key=lambda song: song.piece_id.partition("/")[::2])  # as in a corpus
        self.known_ids = tuple(song.piece_id for song in known)
        self.originality_index = OriginalityIndex.from_songs(song.song for song in known)
        self.copy_index = CopyIndex.from_songs(song.song for song in known)
        self._held_out, self._training = _at_most(held_out), _at_most(training)
        self.held_out_ids = tuple(song.piece_id for song in self._held_out)
        self.training_ids = tuple(song.piece_id for song in self._training)
        names = sorted({piece_id.partition("/")[0] for piece_id in self.known_ids})
        titles = {source["name"]: source["title"] for source in manifest["sources"]}
        self.title = ", ".join(titles.get(name, name) for name in names)
        content = json.dumps(manifest, sort_keys=True) + "|".join(sources)
        self.digest = hashlib.sha256(f"{open_network(network).fingerprint}{content}".encode()).hexdigest()[:16]
        self._known: dict[tuple[float, ReadingKind], RealMusic] = {}

    def at(self, seconds: float, reading: ReadingKind, *, progress: Progress | None = None) -> RealMusic:
        """Return the songs measured; kept for the next time (`cache`)."""
        length = max(LENGTH_STEP, LENGTH_STEP * round(seconds / LENGTH_STEP)) if seconds != WHOLE else WHOLE
        if (length, reading) not in self._known:
            key = f"reference-{self.digest}-{reading}-{length}"
            arrays = kept_arrays(key, lambda: self._measure((length,), reading, progress)[length]._asdict())
            self._known[length, reading] = _real_music(_Block(**arrays), length, len(self._held_out))
        return self._known[length, reading]

    def songs(self, piece_ids: Collection[str]) -> dict[str, CorpusSong]:
        """Return songs of the corpus by their ids; those that it does not have are left out."""
        wanted = set(piece_ids) & set(self.known_ids)
        splits = SPLITS if wanted else ()
        return {song.piece_id: song for split in splits for song in corpus_songs(self._corpus, split, wanted=wanted)}

    def _measure(self, lengths: tuple[int, ...], reading: ReadingKind, progress: Progress | None) -> dict[int, _Block]:
        songs = [*self._held_out, *self._training]
        num_held_out = len(self._held_out)
        tasks: list[_Task] = [
            (song.song, lengths, reading, self._network if place < num_held_out else None)
            for place, song in enumerate(songs)
        ]
        rows: list[list[_Row]] = []
        for row in run_in_processes(_measure_real, tasks, num_workers=self._num_workers, chunk_size=16):
            rows.append(row)
            if progress:
                progress(len(rows), len(tasks))
        columns = zip(*rows, strict=True)
        return {length: self._block(length, column) for length, column in zip(lengths, columns, strict=True)}

    def _block(self, length: int, rows: Sequence[_Row]) -> _Block:
        num_held_out = len(self._held_out)
        cut = [_cut(song.song, length) for song in self._held_out]
        found = [self.originality_index.compare_with_others(song) for song in cut]
        short = sum(song.lead_sheet.duration_seconds < length * _SHORT for song in cut)
        return _Block(
            features=np.array([row.features for row in rows]),
            published=np.array([row.published for row in rows[:num_held_out]]),
            curves=np.array([row.curve for row in rows]),
            originality=np.array([(one.melody_run, one.coverage, one.piano_run) for one in found]),
            bits=np.array([row.bits for row in rows[:num_held_out]]),
            short=np.array([float(short)]),
            names=np.frombuffer("\n".join(rows[0].names).encode(), dtype=np.uint8),
            published_names=np.frombuffer("\n".join(rows[0].published_names).encode(), dtype=np.uint8),
        )

    def shipped_files(self, *, progress: Progress | None = None) -> dict[str, bytes]:
        """Return what a style ships of this reference, by file name: `reference.npz` and `copies.npz`.

        The first holds the numbers at COMMON_LENGTHS and of whole songs, in both readings, as float16.
        """
        about = {
            "version": _FORMAT_VERSION,
            "title": self.title,
            "known": self.known_ids,
            "held_out": self.held_out_ids,
            "training": self.training_ids,
        }
        arrays: dict[str, NDArray[Any]] = {"about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)}
        readings: tuple[ReadingKind, ...] = ("written", "found")
        for number, reading in enumerate(readings):

            def in_this_reading(done: int, total: int, number: int = number) -> None:
                if progress:
                    progress(number * total + done, len(readings) * total)

            for length, block in self._measure((*COMMON_LENGTHS, WHOLE), reading, in_this_reading).items():
                for name, array in block._asdict().items():
                    is_number = array.dtype != np.uint8
                    arrays[f"{reading}.{length}.{name}"] = array.astype(np.float16) if is_number else array
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return {"reference.npz": buffer.getvalue(), "copies.npz": self.copy_index.to_bytes()}


class ShippedReference:
    """The measured reference of a style, `reference.npz`.

    Parameters
    ----------
    style : Style

    Raises
    ------
    WeightsError
        If the style has none, or it is damaged.
    """

    def __init__(self, style: Style) -> None:
        path = style.path / "reference.npz"
        if not path.is_file():
            raise WeightsError(
                f"style {style.name!r} ships no reference ({path}); name a prepared corpus with --reference"
            )
        style.check(path)
        with np.load(path) as stored:
            self._arrays: dict[str, NDArray[Any]] = {name: stored[name] for name in stored.files}
        about = json.loads(self._arrays.pop("about").tobytes())
        if about["version"] != _FORMAT_VERSION:
            raise WeightsError(f"{path}: of another version; install songwright again or export the style again")
        self.title = str(about["title"])
        self.held_out_ids, self.training_ids = tuple(about["held_out"]), tuple(about["training"])
        self.known_ids = tuple(about["known"])
        self.originality_index = OriginalityIndex.load(style.originality_index)
        self.copy_index = CopyIndex.load(style.copy_index)
        self.digest = style.checksums[path.name][:16]
        self._known: dict[tuple[float, ReadingKind], RealMusic] = {}

    def at(self, seconds: float, reading: ReadingKind, *, progress: Progress | None = None) -> RealMusic:
        """Return the songs at the shipped length nearest to `seconds`."""
        del progress
        length = WHOLE
        if seconds != WHOLE:
            length = min(COMMON_LENGTHS, key=lambda one: abs(np.log(one / max(seconds, 1.0))))
        if (length, reading) not in self._known:
            block = _Block(**{name: self._arrays[f"{reading}.{length}.{name}"] for name in _Block._fields})
            self._known[length, reading] = _real_music(block, length, len(self.held_out_ids))
        return self._known[length, reading]

    def songs(self, piece_ids: Collection[str]) -> dict[str, CorpusSong]:
        """Return nothing: numbers and hashes are all there is."""
        del piece_ids
        return {}


def bits_over_first_bars(found: Surprise, num_bars: int) -> float:
    """Return the bits per note of a song's first bars; NaN without a note in them."""
    notes = int(found.bar_notes[:num_bars].sum())
    return float(found.bar_bits[:num_bars].sum()) / notes if notes else np.nan


def _at_most(songs: list[CorpusSong]) -> list[CorpusSong]:
    if len(songs) <= MAX_SONGS:
        return songs
    drawn = np.sort(np.random.default_rng(0).permutation(len(songs))[:MAX_SONGS])
    return [songs[place] for place in drawn.tolist()]


def _cut(song: Song, length: int) -> Song:
    return first_seconds(song, length) if length else song


class _Row(NamedTuple):
    names: list[str]
    features: list[float]
    published_names: list[str]
    published: list[float]
    curve: NDArray[np.float64]
    bits: float


_Task = tuple[Song, tuple[int, ...], ReadingKind, Path | None]


def _measure_real(task: _Task) -> list[_Row]:
    """Return the numbers of a song at each length."""
    song, lengths, reading, network = task
    if reading == "found":
        song = found_reading(song)
    sheet = song.lead_sheet
    heard = surprise(song, open_network(network)) if network and len(sheet.melody) and sheet.chords else None
    rows: list[_Row] = []
    for length in lengths:
        cut = _cut(song, length)
        found = measure(cut)
        bits = bits_over_first_bars(heard, cut.lead_sheet.num_bars) if heard else np.nan
        rows.append(_Row(*_flat(found.features), *_flat(found.published), found.curve, bits))
    return rows


def _flat(groups: Mapping[str, Mapping[str, float | None]]) -> tuple[list[str], list[float]]:
    pairs = [(f"{group}/{name}", value) for group, found in groups.items() for name, value in found.items()]
    return [name for name, _ in pairs], [np.nan if value is None else value for _, value in pairs]


def _columns(names: NDArray[np.uint8], table: NDArray[np.floating]) -> Columns:
    columns: Columns = {}
    for name, column in zip(names.tobytes().decode().splitlines(), table.T, strict=True):
        group, _, feature = name.partition("/")
        columns.setdefault(group, {})[feature] = column.astype(np.float64)
    return columns


def _real_music(block: _Block, length: int, num_held_out: int) -> RealMusic:
    columns = _columns(block.names, block.features)

    def side(chosen: slice) -> MeasuredSongs:
        features = {group: {name: values[chosen] for name, values in found.items()} for group, found in columns.items()}
        return MeasuredSongs(features, block.curves[chosen].astype(np.float64))

    runs = block.originality.astype(np.float64)
    return RealMusic(
        float(length),
        side(slice(num_held_out)),
        side(slice(num_held_out, None)),
        tuple(_unplaced(*row) for row in runs.tolist()),
        block.bits.astype(np.float64),
        _columns(block.published_names, block.published),
        int(block.short[0]),
    )


def _unplaced(melody_run: float, coverage: float, piano_run: float) -> Originality:
    return Originality(round(melody_run), -1, -1, coverage, round(piano_run), -1, -1)
