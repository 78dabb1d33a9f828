"""A batch of files becomes a folder of arrays, written whole; the same files always become the same bytes.

The unit of work of one process, of a cluster's worker, and of going on after an interruption: a batch whose folder is
there is done. Its name is a digest of its files' contents and of the settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.corpus.duplicates import Fingerprint, stack_fingerprints, unstack_fingerprints
from songwright.corpus.sources import SourceFile
from songwright.errors import InputError
from songwright.preparation.records import Hashes, Record, read_records, rejected
from songwright.preparation.settings import CorpusConfig
from songwright.preparation.shards import write_shard
from songwright.tokens.streams import STREAMS

BATCH_SIZE = 64
"""Files in a batch: 10 MB of arrays for songs of POP909."""
AUDIO_BATCH_SIZE = 4
"""Recordings in a batch: each takes seconds."""
DAMAGED = "{}: a part of the corpus is damaged; prepare all its collections again, with --force"
AUDIO_PATIENCE = 10
"""How much longer than other files a recording may take."""


@dataclass(frozen=True)
class Batch:
    """Files that are done together.

    Attributes
    ----------
    files : tuple of (SourceFile, content digest)
    config : CorpusConfig
    folder : Path
        Where batches lie.
    again : bool
        Whether it is done even if its folder is there.
    """

    files: tuple[tuple[SourceFile, str], ...]
    config: CorpusConfig
    folder: Path
    again: bool = False

    @property
    def name(self) -> str:
        """Name of the batch's folder."""
        parts = [self.config.digest, *(f"{file.piece_id} {digest}" for file, digest in self.files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    @property
    def seconds(self) -> float:
        """Time after which something must be stuck: each file is stopped after its own, unless code of C holds it."""
        return sum(patience(file, self.config) / (1 if file.format == "audio" else 10) for file, _ in self.files) + 30


def batch_size(file: SourceFile) -> int:
    """Return how many files of its kind go into a batch."""
    return AUDIO_BATCH_SIZE if file.format == "audio" else BATCH_SIZE


def patience(file: SourceFile, config: CorpusConfig) -> float:
    """Return the seconds that a file may take."""
    return config.file_seconds * (AUDIO_PATIENCE if file.format == "audio" else 1)


class _TimeIsUp(BaseException):
    """Raised by the alarm; no handler of ordinary errors may swallow it."""


@contextmanager
def _at_most(seconds: float) -> Generator[None]:
    """Raise `_TimeIsUp` in code of Python that takes longer. Code of C is stopped from outside (`workers`)."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def process_file(task: tuple[SourceFile, CorpusConfig]) -> list[Record]:
    """Return the records of one file, within its time."""
    file, config = task
    try:
        with _at_most(patience(file, config)):
            return read_records(file, config)
    except _TimeIsUp:
        return [rejected(file, "timed out", f"took longer than {patience(file, config):g} seconds")]


def process_batch(batch: Batch) -> str:
    """Do all files of a batch and write its folder; return its name. Does nothing where it is done already."""
    if batch.again or not is_done(batch.folder / batch.name):
        write_batch(batch, [process_file((file, batch.config)) for file, _ in batch.files])
    return batch.name


def is_done(folder: Path) -> bool:
    """Whether a batch's folder was written whole and has not lost anything since."""
    try:
        values = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
        sizes = values["sizes"]
        return {"config", "rows"} <= set(values) and sizes == _sizes(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size of each array file of a batch."""
    return {path.name: path.stat().st_size for path in sorted(folder.glob("*.np[yz]"))}


def write_batch(batch: Batch, results: Sequence[list[Record]]) -> None:
    """Write the records of a batch's files, in their order, as its folder, whole or not at all."""
    folder = batch.folder / batch.name
    temporary = batch.folder / f".{batch.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        records: list[Record] = []
        for (_, digest), found in zip(batch.files, results, strict=True):
            for record in found:
                record.row["digest"] = digest
                records.append(record)
        for name, stream in STREAMS.items():
            write_shard(
                temporary,
                stream,
                [
                    (row, copy, arrays)
                    for row, record in enumerate(records)
                    for of_stream, copy, arrays in record.sequences
                    if of_stream == name
                ],
            )
        if deviations := [array for record in records for array in record.deviations]:
            np.save(temporary / "score.deviations.npy", np.concatenate(deviations))
        _write_features(temporary, records)
        for record in records:
            record.row["tokens"] = {name: len(arrays[0]) for name, copy, arrays in record.sequences if not copy}
        rows = [record.row for record in records]
        values = {"config": batch.config.digest, "sizes": _sizes(temporary), "rows": rows}
        text = json.dumps(values, ensure_ascii=False, indent=0)
        (temporary / "rows.json").write_text(text, encoding="utf-8")
        if folder.exists() and (batch.again or not is_done(folder)):
            aside = batch.folder / f".{batch.name}.0.tmp"
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        try:
            temporary.rename(folder)
        except OSError:
            if not is_done(folder):  # another worker was first: the bytes are the same
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_features(folder: Path, records: Sequence[Record]) -> None:
    known = [row for row, record in enumerate(records) if record.fingerprint is not None]
    fingerprints = [record.fingerprint for record in records if record.fingerprint is not None]
    _save(folder / "fingerprints.npz", {"rows": np.array(known, np.int32), **stack_fingerprints(fingerprints)})
    with_hashes = [(row, record.hashes) for row, record in enumerate(records) if record.hashes is not None]
    arrays: dict[str, NDArray[Any]] = {"rows": np.array([row for row, _ in with_hashes], np.int32)}
    for place, name in enumerate(("melody", "piano")):
        found = [hashes[place] for _, hashes in with_hashes]
        arrays[f"{name}_hashes"] = np.concatenate([np.empty(0, np.uint64), *found])
        arrays[f"{name}_lengths"] = np.array([len(array) for array in found], np.int64)
    _save(folder / "hashes.npz", arrays)
    counted = [(row, record.counts) for row, record in enumerate(records) if record.counts]
    names = sorted(counted[0][1]) if counted else []
    columns = {name: np.stack([counts[name] for _, counts in counted]).astype(np.int32) for name in names}
    _save(folder / "statistics.npz", {"rows": np.array([row for row, _ in counted], np.int32), **columns})


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    np.savez(path, allow_pickle=False, **arrays)


@dataclass(frozen=True)
class DoneBatch:
    """What a batch's folder says of its pieces, without the tokens.

    Attributes
    ----------
    name : str
    rows : list of dict
    fingerprints : dict of int to Fingerprint
        By row.
    """

    name: str
    rows: list[dict[str, Any]]
    fingerprints: dict[int, Fingerprint]


def read_batch(folder: Path) -> DoneBatch:
    """Read what is needed to find duplicates and splits.

    Raises
    ------
    InputError
        If the folder is damaged.
    """
    try:
        rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))["rows"]
        arrays = load_arrays(folder, "fingerprints.npz")
        known = arrays.pop("rows").tolist()
        return DoneBatch(folder.name, rows, dict(zip(known, unstack_fingerprints(arrays), strict=True)))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(DAMAGED.format(folder)) from error


def load_arrays(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a `.npz` of a batch by name, or the one of a `.npy` under the empty name.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    try:
        found = np.load(folder / name)
        if isinstance(found, np.ndarray):
            return {"": found}
        with found:
            return {key: found[key] for key in found.files}
    except Exception as error:  # a damaged archive raises a dozen kinds, from BadZipFile to NotImplementedError
        raise InputError(DAMAGED.format(folder)) from error


def read_hashes(folder: Path) -> dict[int, Hashes]:
    """Return the originality hashes of a batch's songs, by row."""
    arrays = load_arrays(folder, "hashes.npz")
    columns = [
        np.split(arrays[f"{name}_hashes"], np.cumsum(arrays[f"{name}_lengths"])[:-1]) for name in ("melody", "piano")
    ]
    return dict(zip(arrays["rows"].tolist(), zip(*columns, strict=True), strict=False))


def read_statistics(folder: Path) -> tuple[NDArray[np.int32], dict[str, NDArray[np.int32]]]:
    """Return rows and, for each kind of count, an array of shape (num_rows, num_values)."""
    arrays = load_arrays(folder, "statistics.npz")
    return arrays.pop("rows"), arrays
