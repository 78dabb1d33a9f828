"""The table of a corpus: one row a piece, its group of duplicates, its side of the split, or why it was left out.

Duplicates come from fingerprints (`corpus.duplicates`), sides from a stable hash of the group (`corpus.splits`). A
piece that had a side keeps it; a new piece takes the side of those it resembles.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from songwright.corpus.duplicates import MIN_SIMILARITY, DuplicateGroups, Fingerprint, Relation
from songwright.corpus.splits import split_of_work
from songwright.errors import InputError
from songwright.files.writing import write_whole
from songwright.preparation.settings import CorpusConfig

COLUMNS = (
    "piece_id", "source", "status", "reason", "detail", "split", "group", "title", "style", "work", "is_version",
    "meter", "tempo_qpm", "key", "seconds", "bars", "tracks", "roles", "notes", "melody_notes", "form", "labels",
    "beats", "beat_confidence", "share_on_grid", "swing", "repairs", "warning", "published_split", "file", "digest",
    "batch", "row",
)  # fmt: skip
"""Columns of `files.csv`, then `tokens.STREAM` for each stream."""


@dataclass(slots=True)
class Entry:
    """A piece of a corpus.

    Attributes
    ----------
    batch_number, row : int
        Where it lies.
    batch : str
    values : dict
        What its record says.
    fingerprint : Fingerprint or None
    group : str
        Id of the first piece of its group; empty if it is left out.
    split : str
        Empty if it is left out.
    """

    batch_number: int
    batch: str
    row: int
    values: dict[str, Any]
    fingerprint: Fingerprint | None
    group: str = ""
    split: str = ""

    def leave_out(self, reason: str, detail: str) -> None:
        """Mark the piece as left out."""
        self.values.update(status="rejected", reason=reason, detail=detail)
        self.group = self.split = ""


def settle(entries: Sequence[Entry], config: CorpusConfig, *, sides: Mapping[str, str]) -> None:
    """Give every usable piece its group and its side, and leave duplicates out.

    Parameters
    ----------
    entries : sequence of Entry
        Changed in place.
    config : CorpusConfig
    sides : mapping
        Piece id -> side, of pieces that have one already.
    """
    # Pieces that have a side come first, then those whose collection says one, main recordings before versions: the
    # first of equal pieces stays.
    usable = sorted(
        (entry for entry in entries if entry.values["status"] == "ok"),
        key=lambda entry: (
            entry.values["piece_id"] not in sides,
            not entry.values["published_split"],
            bool(entry.values["is_version"]),
            entry.values["source"],
            entry.values["piece_id"],
        ),
    )
    groups = _Groups(len(usable))
    first_of_work: dict[str, int] = {}
    first_of_file: dict[tuple[str, str], int] = {}
    for place, entry in enumerate(usable):
        groups.join(first_of_work.setdefault(entry.values["work"], place), place)
        tune = entry.values["piece_id"].removeprefix(entry.values["file"])
        first = first_of_file.setdefault((entry.values["digest"][:16], tune), place)
        if first != place:
            entry.leave_out("duplicate", f"the same file as {usable[first].values['piece_id']}")
            groups.join(first, place)
    with_prints = [place for place, entry in enumerate(usable) if entry.fingerprint is not None]
    for relation in _relations(usable):
        earlier, later = with_prints[relation.earlier], with_prints[relation.later]
        known = usable[earlier].values["piece_id"]
        is_same_work = usable[earlier].values["work"] == usable[later].values["work"]
        # What only a third piece links to an earlier one shares less than MIN_SIMILARITY with it: no repeat of it.
        is_repeat = relation.similarity >= MIN_SIMILARITY and config.near_duplicates == "reject" and not is_same_work
        if relation.kind != "near" or is_repeat:
            kind = {"exact": "the same notes as", "transposed": "a transposition of", "near": "nearly repeats"}
            if usable[later].values["status"] == "ok":
                usable[later].leave_out("duplicate", f"{kind[relation.kind]} {known}")
        groups.join(earlier, later)
    members: dict[int, list[Entry]] = {}
    for place, entry in enumerate(usable):
        if entry.values["status"] == "ok":
            members.setdefault(groups.first(place), []).append(entry)
    for group in members.values():
        _settle_group(group, sides)


def _relations(entries: Sequence[Entry]) -> tuple[Relation, ...]:
    """Return the relations of the fingerprints that entries have, and take these from them to save memory."""
    known, resembling = DuplicateGroups(), [entry for entry in entries if entry.fingerprint is not None]
    size = max(2000, len(resembling) // 16 + 1)
    for start in range(0, len(resembling), size):
        part = resembling[start : start + size]
        known.add([entry.fingerprint for entry in part if entry.fingerprint is not None])
        for entry in part:
            entry.fingerprint = None
    return known.relations()


def _settle_group(group: Sequence[Entry], sides: Mapping[str, str]) -> None:
    first = group[0]
    held = {sides[entry.values["piece_id"]] for entry in group if entry.values["piece_id"] in sides}
    split = (
        sides.get(first.values["piece_id"]) or first.values["published_split"] or split_of_work(first.values["work"])
    )
    for entry in group:
        own = sides.get(entry.values["piece_id"])
        if own is None and len(held) > 1:
            entry.leave_out("duplicate", f"resembles pieces of two sides of the split ({' and '.join(sorted(held))})")
        elif entry.values["is_version"] and split != "train":
            entry.leave_out("version", f"another version of a held-out piece ({first.values['piece_id']})")
        else:
            entry.group, entry.split = first.values["piece_id"], own or split


class _Groups:
    """Union of sets of places; the first place names a set."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def first(self, place: int) -> int:
        while self._parent[place] != place:
            self._parent[place] = self._parent[self._parent[place]]
            place = self._parent[place]
        return place

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.first(one), self.first(other)))
        self._parent[second] = first


def write_table(path: Path, entries: Sequence[Entry]) -> None:
    """Write the table as CSV (UTF-8), whole or not at all."""
    streams = sorted({name for entry in entries for name in entry.values.get("tokens", {})})
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [*COLUMNS, *(f"tokens.{name}" for name in streams)], lineterminator="\r\n"
    )  # which quotes \r in names too
    writer.writeheader()
    for entry in entries:
        values = {column: entry.values.get(column, "") for column in COLUMNS}
        values.update(split=entry.split, group=entry.group, batch=entry.batch, row=entry.row)
        values["is_version"] = "yes" if entry.values["is_version"] else ""
        values.update({f"tokens.{name}": count for name, count in entry.values.get("tokens", {}).items()})
        writer.writerow(values)
    write_whole(path, text.getvalue().encode())


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a corpus's table, values as text.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read; run songwright prepare again") from error
    if rows and not set(COLUMNS) <= set(rows[0]):
        raise InputError(f"{path}: columns are missing; run songwright prepare again")
    return rows
