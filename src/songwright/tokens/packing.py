"""Songs to shards: token ids, side channels and hints as flat arrays that training maps into memory.

Layout of a prepared corpus, for each stream (`lead_sheet`, `arrangement`) and split (`train`, `validation`, `test`):

    STREAM/SPLIT.tokens.npy    int16, shape (num_tokens,)
    STREAM/SPLIT.channels.npy  int16, shape (num_tokens, num_channels), offsets of the layout added
    STREAM/SPLIT.hints.npy     int16, shape (num_tokens, num_hints)
    STREAM/SPLIT.starts.npy    int64, shape (num_songs + 1,): where each song begins; its last entry is num_tokens
    originality.npz            hashes of all songs, to tell copies (`analysis.originality`)
    manifest.json              fingerprints, channel layouts, song ids, and the reason for each song left out

Row t of channels and hints describes the prediction of token t + 1. The songs themselves are not kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.originality import OriginalityIndex, song_hashes
from songwright.corpus.pop909 import LabelledSong, load_song, song_ids
from songwright.corpus.splits import split_of
from songwright.errors import InputError
from songwright.files.writing import write_whole
from songwright.score.lead_sheet import Form, LeadSheet
from songwright.tokens import arrangement, lead_sheet
from songwright.tokens.arrangement_state import CHANNELS as ARRANGEMENT_CHANNELS
from songwright.tokens.arrangement_state import ArrangementState
from songwright.tokens.channels import NUM_REFERENCES, ChannelLayout, SongContext
from songwright.tokens.lead_sheet_state import CHANNELS as LEAD_SHEET_CHANNELS
from songwright.tokens.lead_sheet_state import LeadSheetState
from songwright.tokens.vocabulary import Vocabulary
from songwright.workers import run_in_processes

SPLITS = ("train", "validation", "test")
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Stream:
    """What a network of one kind reads: a vocabulary and a channel layout."""

    name: str
    vocabulary: Vocabulary
    channels: ChannelLayout
    num_hints: int = NUM_REFERENCES


STREAMS = {
    "lead_sheet": Stream("lead_sheet", lead_sheet.VOCABULARY, LEAD_SHEET_CHANNELS),
    "arrangement": Stream("arrangement", arrangement.VOCABULARY, ARRANGEMENT_CHANNELS),
}


class SequenceState(Protocol):
    """What the two states share: hints, channels, and the next token."""

    hints: list[int]

    def channels(self) -> list[int]:
        """Return channel values, offsets not added."""
        ...

    def advance(self, token: int) -> None:
        """Take the next token."""
        ...


Sequence3 = tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]


def trace(token_ids: NDArray[np.int16], state: SequenceState, layout: ChannelLayout) -> Sequence3:
    """Walk a state through a sequence; return (tokens, channels, hints) as they go into a shard."""
    channels = np.zeros((len(token_ids), len(layout.sizes)), dtype=np.int16)
    hints = np.zeros((len(token_ids), NUM_REFERENCES), dtype=np.int16)
    for index, token in enumerate(token_ids.tolist()):
        if index:
            state.advance(token)
        channels[index] = state.channels()
        hints[index] = state.hints
    channels += np.array(layout.offsets, dtype=np.int16)
    return token_ids, channels, hints


def lead_sheet_sequence(sheet: LeadSheet) -> Sequence3:
    """Return the arrays of a lead sheet in C major or A minor."""
    context = SongContext(sheet.form, sheet.key, sheet.tempo_qpm)
    return trace(lead_sheet.encode(sheet), LeadSheetState(context), LEAD_SHEET_CHANNELS)


def arrangement_sequence(sheet: LeadSheet, piano: NDArray[np.void]) -> Sequence3:
    """Return the arrays of a piano part under its lead sheet, in C major or A minor."""
    context = SongContext(sheet.form, sheet.key, sheet.tempo_qpm)
    tokens = arrangement.encode(piano, sheet.num_bars)
    return trace(tokens, ArrangementState(context, sheet), ARRANGEMENT_CHANNELS)


def song_sequences(labelled: LabelledSong, *, both_forms: bool) -> Iterator[tuple[str, Sequence3]]:
    """Yield (stream name, arrays) of a song; with `both_forms`, the lead sheet under each annotator's form."""
    sheet = labelled.song.lead_sheet
    forms: list[Form] = [sheet.form]
    if both_forms and labelled.alternative_form != sheet.form:
        forms.append(labelled.alternative_form)
    for form in forms:
        yield "lead_sheet", lead_sheet_sequence(LeadSheet(sheet.key, sheet.tempo_qpm, form, sheet.chords, sheet.melody))
    if len(labelled.song.piano):
        yield "arrangement", arrangement_sequence(sheet, labelled.song.piano)


Hashes = tuple[NDArray[np.uint64], NDArray[np.uint64]]
_Prepared = tuple[str, str, list[tuple[str, Sequence3]], Hashes | None]


def _prepare_song(paths: tuple[Path, Path]) -> _Prepared:
    """Return (song id, reason left out or "", sequences, hashes)."""
    song_dir, labels_dir = paths
    try:
        labelled = load_song(song_dir, labels_dir)
    except InputError as error:
        return song_dir.name, str(error), [], None
    both = split_of(song_dir.name) == "train"
    sequences = list(song_sequences(labelled, both_forms=both))
    return song_dir.name, "", sequences, song_hashes(labelled.song)


def find_labels(root: Path, labels: Path | None) -> Path:
    """Return the folder of phrase labels: the one given, or one beside POP909 or beside its clone, by its usual names.

    Raises
    ------
    InputError
        If there is none.
    """
    names = ("POP909-phrases", "hierarchical-structure-analysis/POP909")
    usual = [folder / name for folder in root.resolve().parents[:2] for name in names]
    for candidate in [labels] if labels else usual:
        if any(candidate.glob("*/human_label1.txt")):
            return candidate
    where = labels or root.parent
    raise InputError(f"{where}: no phrase labels (NNN/human_label1.txt) found; name their folder with --labels")


def prepare_pop909(
    root: Path,
    out: Path,
    *,
    labels: Path | None = None,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Turn POP909 and its labels into shards.

    Parameters
    ----------
    root : Path
        The clone's folder with `001`, `002`, ….
    out : Path
        Folder to write; made if absent. Nothing is written until every song has been read.
    labels : Path, optional
        Folder of the phrase labels.
    num_workers : int, optional
        Processes; all cores by default.
    progress : callable, optional
        Called with (songs done, songs).

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        If the folder holds no POP909 songs or no labels, or none of the songs can be used.
    """
    if not root.is_dir() or not (ids := song_ids(root)):
        raise InputError(f"{root}: no POP909 songs (folders 001, 002, ...) found here")
    labels = find_labels(root, labels)
    tasks = [(root / song_id, labels / song_id) for song_id in ids]
    collected: dict[tuple[str, str], list[Sequence3]] = {(stream, split): [] for stream in STREAMS for split in SPLITS}
    songs: dict[str, list[str]] = {split: [] for split in SPLITS}
    left_out: dict[str, str] = {}
    hashes: list[Hashes] = []
    workers = num_workers or os.cpu_count() or 1
    for done, (song_id, reason, sequences, song_hash) in enumerate(_run(tasks, workers), 1):
        split = split_of(song_id)
        if reason:
            left_out[song_id] = reason
        else:
            songs[split].append(song_id)
        if song_hash is not None:
            hashes.append(song_hash)
        for stream, arrays in sequences:
            collected[stream, split].append(arrays)
        if progress:
            progress(done, len(tasks))
    if not any(songs.values()):
        first = next(iter(left_out.items()))
        raise InputError(f"{root}: none of the {len(ids)} songs can be used (the first: {first[1]})")
    manifest: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "source": "POP909",
        "streams": {
            name: {
                "fingerprint": stream.vocabulary.fingerprint,
                "channel_names": stream.channels.names,
                "channel_sizes": stream.channels.sizes,
                "tokens": {split: sum(len(arrays[0]) for arrays in collected[name, split]) for split in SPLITS},
            }
            for name, stream in STREAMS.items()
        },
        "songs": songs,
        "left_out": left_out,
    }
    for (stream, split), sequences in collected.items():
        write_shard(out / stream / split, sequences, STREAMS[stream])
    OriginalityIndex([melody for melody, _ in hashes], [piano for _, piano in hashes]).save(out / "originality.npz")
    write_whole(out / "manifest.json", json.dumps(manifest, indent=1).encode())
    return manifest


def _run(tasks: Sequence[tuple[Path, Path]], workers: int) -> Iterable[_Prepared]:
    if workers == 1:
        yield from map(_prepare_song, tasks)
        return
    yield from run_in_processes(_prepare_song, tasks, num_workers=workers, chunk_size=4)


def write_shard(prefix: Path, sequences: Sequence[Sequence3], stream: Stream) -> None:
    """Write sequences as one shard: `prefix` with `.tokens.npy`, `.channels.npy`, `.hints.npy`, `.starts.npy`."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    empty: Sequence3 = (
        np.zeros(0, np.int16),
        np.zeros((0, len(stream.channels.sizes)), np.int16),
        np.zeros((0, stream.num_hints), np.int16),
    )
    columns = list(zip(*(sequences or [empty]), strict=True))
    starts = np.cumsum([0] + [len(arrays[0]) for arrays in sequences]).astype(np.int64)
    for name, array in zip(
        ("tokens", "channels", "hints", "starts"),
        [*(np.concatenate(column) for column in columns), starts],
        strict=True,
    ):
        target = prefix.with_name(f"{prefix.name}.{name}.npy")
        temporary = target.with_name(f".{target.name}.tmp")
        with temporary.open("wb") as file:
            np.save(file, array)
        os.replace(temporary, target)


@dataclass(frozen=True)
class Shard:
    """A split of a stream, mapped into memory. Arrays as in the module's layout."""

    tokens: NDArray[np.int16]
    channels: NDArray[np.int16]
    hints: NDArray[np.int16]
    starts: NDArray[np.int64]


def read_manifest(corpus: Path) -> dict[str, Any]:
    """Return the manifest of a prepared corpus.

    Raises
    ------
    InputError
        If the folder is no prepared corpus, or was prepared by another version of the tokenizers.
    """
    try:
        manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
        streams = manifest["streams"]
        for name, stream in STREAMS.items():
            found = streams[name]["fingerprint"], tuple(streams[name]["channel_sizes"])
            if found != (stream.vocabulary.fingerprint, stream.channels.sizes):
                raise InputError(f"{corpus}: prepared by another version of songwright; run songwright prepare again")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{corpus}: not a prepared corpus (manifest.json); run songwright prepare first") from error
    return manifest


def open_shard(corpus: Path, stream: str, split: str) -> Shard:
    """Map a split of a stream into memory.

    Raises
    ------
    InputError
        If a file of the shard is missing or damaged.
    """
    try:
        arrays = [
            np.load(corpus / stream / f"{split}.{name}.npy", mmap_mode="r")
            for name in ("tokens", "channels", "hints", "starts")
        ]
        if {len(array) for array in arrays[:3]} != {int(arrays[3][-1])}:
            raise ValueError("the arrays differ in length")
    except (OSError, EOFError, ValueError, TypeError, IndexError) as error:
        raise InputError(
            f"{corpus}: shard {stream}/{split} is missing or damaged; run songwright prepare again"
        ) from error
    return Shard(*arrays)
