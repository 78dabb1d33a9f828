"""What is settled over all pieces of a corpus: duplicates and splits, the index, the table, the manifest.

Everything is written before the manifest, under names that follow from the contents where a half-changed corpus would
read wrongly, so that a corpus is the old one or the new one at every instant.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright import __version__
from songwright.analysis.originality import OriginalityIndex
from songwright.corpus.sources import SOURCES, checksum, known_digests
from songwright.errors import InputError
from songwright.files.writing import write_whole
from songwright.preparation.batches import load_arrays, read_batch, read_hashes
from songwright.preparation.catalog import Entry, settle, write_table
from songwright.preparation.folder import is_batch_name, is_leftover
from songwright.preparation.settings import CorpusConfig
from songwright.preparation.shards import FORMAT_VERSION, INDEX_DTYPE, SPLITS
from songwright.tokens.streams import STREAMS


def settle_corpus(
    out: Path, current: Mapping[str, Sequence[int]], config: CorpusConfig, *, sides: Mapping[str, str]
) -> dict[str, Any]:
    """Settle duplicates and splits, write index, table, originality index and manifest; drop batches no longer used.

    Parameters
    ----------
    out : Path
    current : mapping
        Name of each batch, in order, and its rows that the corpus holds.
    config : CorpusConfig
    sides : mapping
        Piece id -> side, of pieces that have one already.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        If none of the pieces can be used, or a batch is damaged.
    """
    folder = out / "batches"
    entries: list[Entry] = []
    for number, (name, rows) in enumerate(current.items()):
        done = read_batch(folder / name)
        entries += [Entry(number, name, row, done.rows[row], done.fingerprints.get(row)) for row in rows]
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
    found = {
        (number, row): hashes
        for number, name in enumerate(current)
        for row, hashes in read_hashes(folder / name).items()
    }
    songs = [found[place] for place in by_batch if place in found]
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
    for path in out.iterdir():
        if is_leftover(path.name) or (path.match("index.*.npy") and path.name not in files.values()):
            path.unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name not in current:
            _remove_batch(path)
    return manifest


def _remove_batch(folder: Path) -> None:
    """Remove a batch's folder so that nothing of it is left half there under its name."""
    if is_batch_name(folder.name) and not folder.name.startswith("."):
        aside = folder.with_name(f".{folder.name}.0.tmp")
        shutil.rmtree(aside, ignore_errors=True)
        folder = folder.rename(aside)
    if is_batch_name(folder.name):
        shutil.rmtree(folder, ignore_errors=True)


def _index(
    folder: Path,
    names: Sequence[str],
    stream: str,
    used: Mapping[tuple[int, int], Entry],
    sources: Sequence[str],
) -> NDArray[np.void]:
    parts = [np.empty(0, dtype=INDEX_DTYPE)]
    for number, name in enumerate(names):
        if not (folder / name / f"{stream}.sequences.npy").is_file():
            continue
        places = load_arrays(folder / name, f"{stream}.sequences.npy")[""]
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
    index = np.concatenate(parts)
    # In the order of the table, whatever the batches: what training draws by chance does not depend on their names.
    rank = {place: number for number, place in enumerate(used)}
    ranks = [rank[place] for place in zip(index["batch"].tolist(), index["row"].tolist(), strict=True)]
    return index[np.lexsort([index["copy"], np.array(ranks, dtype=np.int64)])]


def _npy_bytes(array: NDArray[np.void]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _about(name: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what the manifest says of a collection."""
    source = SOURCES.get(name)
    own = [entry for entry in entries if entry.values["source"] == name]
    digest_of = {entry.values["file"]: entry.values["digest"][:16] for entry in own}
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
