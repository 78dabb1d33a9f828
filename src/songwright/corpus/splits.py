"""Train, validation and test by song, with near-duplicates kept on one side.

A song's side follows from a hash of the name of its group, so it never depends on which
other songs are present. Versions of a song carry the song's own id.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]

# Songs of POP909 that are near-duplicates of another one: each id -> the id that names its group.
POP909_GROUPS = {"018": "017", "805": "262", "666": "492", "103": "101"}


def split_of(song_id: str, *, source: str = "POP909") -> Split:
    """Return the side of the split on which a song falls: 80 % train, 10 % validation, 10 % test.

    Examples
    --------
    >>> split_of("017") == split_of("018")
    True
    """
    group = POP909_GROUPS.get(song_id, song_id) if source == "POP909" else song_id
    share = int.from_bytes(hashlib.sha256(f"{source}/{group}".encode()).digest()[:4], "big") / 2**32
    if share < 0.8:
        return "train"
    return "validation" if share < 0.9 else "test"


def split_of_work(work: str) -> Split:
    """Return the side of a work, named `source/id` as in `corpus.sources`.

    Examples
    --------
    >>> split_of_work("pop909/018") == split_of("017")
    True
    """
    source, _, place = work.partition("/")
    return split_of(place, source="POP909" if source == "pop909" else source)
