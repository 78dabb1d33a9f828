"""Collections of files to a corpus: what is new is done in batches, then duplicates, splits and the index are settled.

Batches of files are independent (`batches`), so any engine may do them in any order: this machine's processes, or
a cluster (`cluster`). What depends on all files, groups of duplicates and the split, is settled at the end from
fingerprints alone. A corpus that is there grows: what it holds of other collections stays, files that have not
changed are not read again, and a piece never changes its side of the split.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright import __version__
from songwright.analysis.originality import OriginalityIndex
from songwright.corpus.sources import SOURCES, SourceFile, checksum, known_digests
from songwright.errors import ConfigError, InputError
from songwright.files.writing import write_whole
from songwright.preparation.batches import (
    BATCH_SIZE,
    Batch,
    is_done,
    patience,
    process_batch,
    process_file,
    read_batch,
    read_hashes,
    write_batch,
)
from songwright.preparation.catalog import Entry, read_table, settle, write_table
from songwright.preparation.records import content_digest, rejected
from songwright.preparation.settings import CorpusConfig
from songwright.preparation.shards import FORMAT_VERSION, INDEX_DTYPE, SPLITS
from songwright.tokens.streams import STREAMS
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
) -> dict[str, Any]:
    """Make a corpus of files, or add them to one.

    Parameters
    ----------
    files : sequence of SourceFile
        Of one or more collections, each complete: what a corpus holds of these collections and is not among the files
        leaves it.
    out : Path
        Folder of the corpus. Batches that are done stay there when the work is interrupted, and are not done again.
    config : CorpusConfig
    engine : callable
    afresh : bool
        Whether a corpus that is there is replaced, once the new one is whole.
    progress : callable, optional
        Called with (files done, files).

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        If no file can be used, or the corpus that is there is damaged.
    ConfigError
        If the corpus that is there was made with other settings.
    """
    before = read_before(out, config, afresh=afresh)
    folder = out / "batches"
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted({file.source for file in files})
    known = _known_files(folder, config)
    wanted: dict[str, set[tuple[str, str]]] = defaultdict(set)
    fresh: list[tuple[SourceFile, str]] = []
    done = 0
    for file in sorted(files, key=lambda file: (file.source, file.piece_id)):
        try:
            digest = content_digest(file)
        except InputError:
            digest = "unreadable"
        name = known.get((file.piece_id, digest))
        if name is None:
            fresh.append((file, digest))
        else:
            wanted[name].add((file.piece_id, digest))
            done += 1
    batches = [
        Batch(tuple(group), config, folder)
        for source in sources
        for group in _chunks([pair for pair in fresh if pair[0].source == source], BATCH_SIZE)
    ]
    if progress:
        progress(done, len(files))
    for batch in engine(batches):
        if not is_done(folder / batch.name):
            _do_one_by_one(batch)
        wanted[batch.name] |= {(file.piece_id, digest) for file, digest in batch.files}
        done += len(batch.files)
        if progress:
            progress(done, len(files))
    current = {name: rows for name in before.batches if (rows := before.rows_of_other_sources(name, sources))}
    for name, pairs in wanted.items():
        rows = [row for row, entry in enumerate(_rows(folder / name)) if (entry["file"], entry["sha256"]) in pairs]
        current[name] = sorted({*current.get(name, []), *rows})
    names = [name for name in before.batches if name in current]
    names += sorted(set(current) - set(names))
    return _settle(out, {name: current[name] for name in names}, config, before)


@dataclass(frozen=True)
class Before:
    """The corpus that is there: its manifest and the rows of its table, both empty for a new one."""

    manifest: Mapping[str, Any]
    table: Sequence[Mapping[str, str]]

    @property
    def batches(self) -> Sequence[str]:
        """Names of its batches, in order."""
        return self.manifest.get("batches", ())

    def rows_of_other_sources(self, batch: str, sources: Collection[str]) -> list[int]:
        """Return the rows of a batch that the corpus holds and that are of none of these collections."""
        return [int(row["row"]) for row in self.table if row["batch"] == batch and row["source"] not in sources]


def read_before(out: Path, config: CorpusConfig, *, afresh: bool) -> Before:
    """Return the corpus in a folder, to be added to; nothing of it with `afresh`.

    Raises
    ------
    InputError
        If it is damaged.
    ConfigError
        If it was made with other settings or by another version.
    """
    if afresh or not (out / "manifest.json").is_file():
        return Before({}, ())
    try:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        if manifest["config_digest"] != config.digest:
            raise ConfigError(
                f"{out}: was prepared with other settings or another version; prepare with the same, or add --force "
                "to make it anew"
            )
        return Before(manifest, read_table(out / "files.csv"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{out}: a damaged corpus (manifest.json, files.csv); add --force to make it anew") from error


def _rows(folder: Path) -> list[dict[str, Any]]:
    try:
        return json.loads((folder / "rows.json").read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{folder}: a damaged part of the corpus; delete it and run songwright prepare again"
        ) from error


def _known_files(folder: Path, config: CorpusConfig) -> dict[tuple[str, str], str]:
    """Return the batch that holds each (file, content digest) already done with these settings."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(folder.glob("*/rows.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["config"] == config.digest:
                found.update(((row["file"], row["sha256"]), path.parent.name) for row in values["rows"])
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(path.parent, ignore_errors=True)  # damaged: its files are done again
    return found


def _chunks(pairs: Sequence[tuple[SourceFile, str]], size: int) -> Iterator[Sequence[tuple[SourceFile, str]]]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]


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


def _settle(out: Path, current: Mapping[str, Sequence[int]], config: CorpusConfig, before: Before) -> dict[str, Any]:
    """Settle duplicates and splits, write index, table, originality index and manifest; drop batches no longer used."""
    folder = out / "batches"
    entries: list[Entry] = []
    for number, (name, rows) in enumerate(current.items()):
        done = read_batch(folder / name)
        entries += [Entry(number, name, row, done.rows[row], done.fingerprints.get(row)) for row in rows]
    sides = {row["piece_id"]: row["split"] for row in before.table if row["split"]}
    settle(entries, config, sides=sides)
    entries.sort(key=lambda entry: (entry.values["source"], entry.values["piece_id"]))
    sources = sorted({entry.values["source"] for entry in entries})
    if not any(entry.split for entry in entries):
        first = next((entry.values for entry in entries), None)
        why = f" (the first, {first['piece_id']}: {first['detail']})" if first else ""
        raise InputError(f"none of the {len(entries)} files can be used{why}")
    by_batch = {(entry.batch_number, entry.row): entry for entry in entries if entry.split}
    files: dict[str, str] = {}
    totals: dict[str, dict[str, int]] = {}
    for stream in STREAMS:
        index = _index(folder, list(current), stream, by_batch, sources)
        content = _npy_bytes(index)
        files[stream] = f"index.{stream}.{hashlib.sha256(content).hexdigest()[:12]}.npy"
        write_whole(out / files[stream], content)
        lengths = index["end"] - index["start"]
        totals[stream] = {split: int(lengths[index["split"] == side].sum()) for side, split in enumerate(SPLITS)}
    songs = [
        hashes
        for number, name in enumerate(current)
        for row, hashes in read_hashes(folder / name).items()
        if (number, row) in by_batch
    ]
    OriginalityIndex([melody for melody, _ in songs], [piano for _, piano in songs]).save(out / "originality.npz")
    write_table(out / "files.csv", entries)
    manifest: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "songwright": __version__,
        "config_digest": config.digest,
        "config": dataclasses.asdict(config),
        "sources": [_about(name, entries) for name in sources],
        "streams": {
            name: {
                "fingerprint": stream.vocabulary.fingerprint,
                "channel_names": stream.channels.names,
                "channel_sizes": stream.channels.sizes,
                "tokens": totals[name],
                "index": files[name],
            }
            for name, stream in STREAMS.items()
        },
        "splits": {split: [e.values["piece_id"] for e in entries if e.split == split] for split in SPLITS},
        "rejected": dict(sorted(Counter(e.values["reason"] for e in entries if not e.split).items())),
        "batches": list(current),
    }
    write_whole(out / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False).encode())
    for path in out.glob("index.*.npy"):
        if path.name not in files.values():
            path.unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name not in current:
            shutil.rmtree(path, ignore_errors=True)
    return manifest


def _index(
    folder: Path,
    names: Sequence[str],
    stream: str,
    used: Mapping[tuple[int, int], Entry],
    sources: Sequence[str],
) -> NDArray[np.void]:
    parts = [np.empty(0, dtype=INDEX_DTYPE)]
    for number, name in enumerate(names):
        path = folder / name / f"{stream}.sequences.npy"
        if not path.is_file():
            continue
        places = np.load(path)
        entries = [used.get((number, row)) for row in places["row"].tolist()]
        # Second forms and stored copies are for training only.
        kept = np.array(
            [entry is not None and (not copy or entry.split == "train")
             for entry, copy in zip(entries, places["copy"].tolist(), strict=True)], dtype=bool,
        )  # fmt: skip
        found = np.empty(int(kept.sum()), dtype=INDEX_DTYPE)
        for column in ("row", "copy", "start", "end"):
            found[column] = places[column][kept]
        found["batch"] = number
        chosen = [entry for entry, is_kept in zip(entries, kept, strict=True) if entry is not None and is_kept]
        found["split"] = [SPLITS.index(entry.split) for entry in chosen]
        found["source"] = [sources.index(entry.values["source"]) for entry in chosen]
        parts.append(found)
    return np.concatenate(parts)


def _npy_bytes(array: NDArray[np.void]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _about(name: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what the manifest says of a collection."""
    source = SOURCES.get(name)
    own = [entry for entry in entries if entry.values["source"] == name]
    digest_of = {entry.values["file"]: entry.values["sha256"][:16] for entry in own}
    digests = [int(digest, 16) for digest in digest_of.values() if digest != "unreadable"]
    return {
        "name": name,
        "title": source.title if source else name,
        "url": source.url if source else "",
        "licence": source.licence if source else "unknown",
        "checksum": checksum(set(digests)),
        "as_published": sum(digest in known_digests(name) for digest in digests),
        "files": len(digest_of),
        "pieces": len(own),
        "used": sum(bool(entry.split) for entry in own),
    }
