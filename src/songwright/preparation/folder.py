"""The folder of a corpus: what belongs there, who works on it, what it held before.

Nothing that is not ours is ever removed: a folder is written to only if it is empty, or all that is known of a corpus
is there, and only entries with our names go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from songwright.errors import ConfigError, InputError, OutputError
from songwright.preparation.catalog import read_table
from songwright.preparation.settings import CorpusConfig

LOCK = ".lock"
_BATCH_NAME = re.compile(r"[0-9a-f]{24}|\.[0-9a-f]{24}\.\d+\.tmp")
_LEFTOVER = re.compile(r"\..+\.(?:part|tmp)")
_OWN_NAME = re.compile(
    r"batches|manifest\.json|files\.csv|corpus\.html|originality\.npz|index\.\w+\.[0-9a-f]{12}\.npy|\.lock"
)


def is_batch_name(name: str) -> bool:
    """Whether a folder has the name of a batch, or of one that is being written."""
    return _BATCH_NAME.fullmatch(name) is not None


def is_leftover(name: str) -> bool:
    """Whether a file has the name of one that was never written to its end."""
    return _LEFTOVER.fullmatch(name) is not None


def is_corpus(folder: Path) -> bool:
    """Whether a folder is empty, a corpus, or the beginning of one that was interrupted."""
    try:
        names = [path.name for path in folder.iterdir()]
        batches = [path.name for path in (folder / "batches").iterdir()] if "batches" in names else []
    except OSError:
        return False
    if not all(map(is_batch_name, batches)):
        return False
    return _has_manifest(folder) or all(_OWN_NAME.fullmatch(name) or is_leftover(name) for name in names)


def _has_manifest(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"format", "config_digest", "batches", "streams"} <= set(manifest)


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold a corpus for this process; the lock goes with the process, however it ends.

    Raises
    ------
    OutputError
        If another process holds it.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # not on Windows
        yield
        return
    with (folder / LOCK).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"{folder}: another songwright prepare is at work here; wait for its end") from None
        yield


@dataclass(frozen=True)
class Before:
    """The corpus that is there: its manifest and the rows of its table, both empty for a new one."""

    manifest: Mapping[str, Any]
    table: Sequence[Mapping[str, str]]

    @property
    def batches(self) -> Sequence[str]:
        """Names of its batches, in order."""
        return self.manifest.get("batches", ())

    @property
    def sides(self) -> dict[str, str]:
        """Piece id -> side of the split."""
        return {row["piece_id"]: row["split"] for row in self.table if row["split"]}


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
    damaged = f"{out}: a damaged corpus (manifest.json, files.csv); add --force to make it anew"
    try:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        if manifest["config_digest"] != config.digest:
            raise ConfigError(
                f"{out}: was prepared with other settings or another version; prepare with the same, or add --force "
                "to make it anew"
            )
        table = read_table(out / "files.csv")
        if not all(row["row"].isdigit() for row in table):
            raise ValueError("a row is not a number")
        return Before(manifest, table)
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise InputError(damaged) from error
