"""The songs of a prepared corpus, decoded from its token streams.

Lead sheets and piano parts are stored as two streams; here they are songs again, in C major or A minor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from songwright.errors import InputError
from songwright.preparation.catalog import read_table
from songwright.preparation.shards import open_shard, read_manifest
from songwright.score.grid import GRID_NOTE_DTYPE
from songwright.score.lead_sheet import Form
from songwright.score.pitch import Key
from songwright.score.song import Song
from songwright.tokens import arrangement, lead_sheet
from songwright.tokens.lead_sheet_state import CHANNELS


class CorpusSong(NamedTuple):
    """A song and what the corpus calls it.

    Attributes
    ----------
    piece_id, title : str
    song : Song
        As recorded: changed copies (augmentation) and alternative forms are left out.
    """

    piece_id: str
    title: str
    song: Song


def corpus_songs(
    corpus: Path, split: str, *, sources: Collection[str] = (), wanted: Collection[str] | None = None
) -> Iterator[CorpusSong]:
    """Yield the songs of a split in the corpus's order: pieces with a melody and chords in 4/4.

    Parameters
    ----------
    corpus : Path
    split : str
        One of `preparation.shards.SPLITS`.
    sources : collection of str
        Names of the collections to take from; all where empty.
    wanted : collection of str, optional
        Ids of the pieces to decode; all where absent.

    Raises
    ------
    InputError
        If the corpus is missing or damaged, or has no such collection.
    """
    folders = read_manifest(corpus)["batches"]
    rows = {(row["batch"], row["row"]): row for row in read_table(corpus / "files.csv") if row["split"] == split}
    sheets, pianos = (open_shard(corpus, name, split, sources=sources) for name in ("lead_sheet", "arrangement"))
    piano_of = {
        (int(place["batch"]), int(place["row"])): number
        for number, place in enumerate(pianos.index)
        if place["copy"] == 0
    }
    mode = CHANNELS.names.index("mode")
    seen: set[tuple[int, int]] = set()
    for number, place in enumerate(sheets.index):
        key = int(place["batch"]), int(place["row"])
        if place["copy"] or key in seen:
            continue
        seen.add(key)
        row = rows.get((folders[key[0]], str(key[1])))
        if row is None:
            raise InputError(f"{corpus}: files.csv does not list all of its pieces; prepare the corpus again")
        if wanted is not None and row["piece_id"] not in wanted:
            continue
        tokens, channels, _ = sheets.read(number)
        is_minor = bool(channels[0, mode] - CHANNELS.offsets[mode])
        sheet = lead_sheet.decode(
            tokens,
            key=Key(9 if is_minor else 0, is_minor),
            tempo_qpm=float(row["tempo_qpm"]),
            form=Form.parse(row["form"]),
        )
        piano = (
            arrangement.decode(pianos.read(piano_of[key])[0]) if key in piano_of else np.empty(0, dtype=GRID_NOTE_DTYPE)
        )
        yield CorpusSong(row["piece_id"], row["title"], Song(sheet, piano))
