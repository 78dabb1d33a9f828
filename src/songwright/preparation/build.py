"""Collections of files to a corpus: what is new is done in batches, then duplicates, splits and the index are settled.

Batches of files are independent (`batches`), so any engine may do them in any order: this machine's processes, or
a cluster (`cluster`). What depends on all files, groups of duplicates and the split, is settled at the end from
fingerprints alone. A corpus that is there grows: what it holds of other collections stays, files that have not
changed are not done again, and a piece never changes its side of the split.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from songwright.corpus.sources import ONE_FILE, SOURCES, SourceFile
from songwright.errors import InputError
from songwright.preparation.batches import (
    DAMAGED,
    Batch,
    batch_size,
    is_done,
    patience,
    process_batch,
    process_file,
    write_batch,
)
from songwright.preparation.folder import Before, is_batch_name, locked, read_before
from songwright.preparation.records import content_digest, rejected
from songwright.preparation.settings import CorpusConfig
from songwright.preparation.settling import settle_corpus
from songwright.workers import run_isolated

WORKER_BYTES = 3 * 2**29
"""Memory that a process may take: ten times what a batch of songs needs."""
_REASONS = {"crashed": "crashed", "timed out": "timed out", "out of memory": "out of memory", "raised": "unsupported"}

Progress = Callable[[int, int], None]
Engine = Callable[[Sequence[Batch]], Iterable[Batch]]
"""Does batches and yields each one that is done or that failed; what failed has no folder."""


def local_engine(num_workers: int) -> Engine:
    """Return the engine of this machine: isolated processes, so that a file that crashes one costs one file."""

    def run(batches: Sequence[Batch]) -> Iterator[Batch]:
        seconds = max((batch.seconds for batch in batches), default=1.0)
        outcomes = run_isolated(
            process_batch, batches, num_workers=num_workers, timeout_s=seconds, memory_bytes=WORKER_BYTES
        )
        for batch, _ in zip(batches, outcomes, strict=True):
            yield batch

    return run


def build(
    files: Sequence[SourceFile],
    out: Path,
    config: CorpusConfig,
    *,
    engine: Engine,
    afresh: bool = False,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Make a corpus of files, or add them to one.

    Parameters
    ----------
    files : sequence of SourceFile
        Of one or more collections, each complete: what a corpus holds of these collections and is not among the files
        leaves it. Single files (source ONE_FILE) are added one by one and never leave.
    out : Path
        Folder of the corpus. Batches that are done stay there when the work is interrupted, and are not done again.
    config : CorpusConfig
    engine : callable
    afresh : bool
        Whether every file is done again, and nothing of a corpus that is there is kept.
    progress : callable, optional
        Called with (files done, files).
    notice : callable, optional
        Called with a sentence that the user should read.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        If no file can be used, two have one id, or the corpus that is there is damaged or holds another collection of
        the same name.
    ConfigError
        If the corpus that is there was made with other settings.
    OutputError
        If another process works on it.
    """
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(out):
            return _build(files, out, config, engine, afresh, progress, notice)
    except InputError:
        if is_new:  # nothing came of it: only what could be gone on with stays
            shutil.rmtree(out, ignore_errors=True)
        raise


def _build(
    files: Sequence[SourceFile],
    out: Path,
    config: CorpusConfig,
    engine: Engine,
    afresh: bool,
    progress: Progress | None,
    notice: Callable[[str], None] | None,
) -> dict[str, Any]:
    before = read_before(out, config, afresh=afresh)
    files = _distinct(files)
    _check_sources(files, before, out, notice)
    folder = out / "batches"
    folder.mkdir(exist_ok=True)
    known = {} if afresh else _known_files(folder, config)
    wanted: dict[str, set[tuple[str, str]]] = defaultdict(set)
    fresh: dict[tuple[str, int], list[tuple[SourceFile, str]]] = defaultdict(list)
    for file in files:
        try:
            digest = content_digest(file)
        except InputError:
            digest = "unreadable"
        name = known.get((file.piece_id, digest))
        if name is None:
            fresh[file.source, batch_size(file)].append((file, digest))
        else:
            wanted[name].add((file.piece_id, digest))
    batches = [
        Batch(tuple(pairs[start : start + size]), config, folder, again=afresh)
        for (_, size), pairs in sorted(fresh.items(), key=lambda item: item[0])
        for start in range(0, len(pairs), size)
    ]
    done = len(files) - sum(len(batch.files) for batch in batches)
    if progress:
        progress(done, len(files))
    for batch in engine(batches):
        if not is_done(folder / batch.name):
            _do_one_by_one(batch)
        wanted[batch.name] |= {(file.piece_id, digest) for file, digest in batch.files}
        done += len(batch.files)
        if progress:
            progress(done, len(files))
    return settle_corpus(out, _current_rows(folder, files, before, wanted), config, sides=before.sides)


def _distinct(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Return the files in a fixed order, each once.

    Raises
    ------
    InputError
        If two different files have one id.
    """
    distinct: list[SourceFile] = []
    for file in sorted(files, key=lambda file: (file.source, file.piece_id, str(file.path))):
        if distinct and distinct[-1].piece_id == file.piece_id:
            if distinct[-1].path.resolve() == file.path.resolve():
                continue
            raise InputError(
                f"{distinct[-1].path} and {file.path} would both be {file.piece_id} in the corpus; "
                "rename one, or put both into one folder and give that"
            )
        distinct.append(file)
    return distinct


def _check_sources(
    files: Sequence[SourceFile], before: Before, out: Path, notice: Callable[[str], None] | None
) -> None:
    """Refuse a folder whose name another one has in the corpus; say how many pieces leave."""
    held: dict[str, set[str]] = defaultdict(set)
    for row in before.table:
        held[row["source"]].add(row["file"])
    given: dict[str, set[str]] = defaultdict(set)
    for file in files:
        given[file.source].add(file.piece_id)
    for source, ids in given.items():
        gone = held[source] - ids
        if source == ONE_FILE or not gone:
            continue
        if source not in SOURCES and gone == held[source]:
            raise InputError(
                f"{out} holds a collection {source!r} with none of these files; rename the folder to add it beside"
            )
        if notice:
            notice(f"{len(gone):,} files of {source} are no longer there and leave the corpus")


def _current_rows(
    folder: Path, files: Sequence[SourceFile], before: Before, wanted: dict[str, set[tuple[str, str]]]
) -> dict[str, list[int]]:
    """Return the rows of each batch that the corpus now holds: those kept of other collections, and those wanted."""
    renewed = {file.source for file in files} - {ONE_FILE}
    replaced = {file.piece_id for file in files}
    current: dict[str, set[int]] = defaultdict(set)
    for row in before.table:
        if row["source"] not in renewed and row["file"] not in replaced:
            current[row["batch"]].add(int(row["row"]))
    for name, pairs in wanted.items():
        current[name].update(
            row for row, entry in enumerate(_rows(folder / name)) if (entry["file"], entry["digest"]) in pairs
        )
    names = [name for name in before.batches if name in current]
    return {name: sorted(current[name]) for name in [*names, *sorted(set(current) - set(names))]}


def _rows(folder: Path) -> list[dict[str, Any]]:
    try:
        return json.loads((folder / "rows.json").read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(DAMAGED.format(folder)) from error


def _known_files(folder: Path, config: CorpusConfig) -> dict[tuple[str, str], str]:
    """Return the batch that holds each (file, content digest) already done with these settings."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(path for path in folder.iterdir() if is_batch_name(path.name)):
        if path.name.startswith("."):
            continue
        if not is_done(path):
            shutil.rmtree(path, ignore_errors=True)  # damaged: its files are done again
            continue
        values = json.loads((path / "rows.json").read_text(encoding="utf-8"))
        if values["config"] == config.digest:
            found.update(((row["file"], row["digest"]), path.name) for row in values["rows"])
    return found


def _do_one_by_one(batch: Batch) -> None:
    """Do the files of a batch that failed as a whole, each in an isolated process: only the culprit is lost."""
    seconds = max(patience(file, batch.config) for file, _ in batch.files) + 10
    tasks = [(file, batch.config) for file, _ in batch.files]
    outcomes = run_isolated(process_file, tasks, num_workers=1, timeout_s=seconds, memory_bytes=WORKER_BYTES)
    results = [
        outcome.result
        if outcome.result is not None
        else [rejected(file, _REASONS[outcome.failure or "raised"], f"its reader was stopped ({outcome.detail})")]
        for (file, _), outcome in zip(tasks, outcomes, strict=True)
    ]
    write_batch(batch, results)
