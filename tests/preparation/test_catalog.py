from __future__ import annotations

import pytest

from songwright.corpus.duplicates import fingerprint
from songwright.corpus.piece import analyse
from songwright.corpus.splits import split_of_work
from songwright.preparation.catalog import Entry, settle
from songwright.preparation.settings import CorpusConfig
from songwright.rendering.performance import perform
from tests.music import make_song


@pytest.fixture(scope="module")
def prints():
    return [fingerprint(analyse(perform(make_song(seed), seed=0)).score) for seed in range(3)]


def entry(piece_id, found=None, *, work="", is_version=False, published_split="", digest=""):
    values = {
        "file": piece_id, "digest": digest or piece_id,
        "piece_id": piece_id, "source": piece_id.split("/")[0], "status": "ok", "work": work or piece_id,
        "is_version": is_version, "published_split": published_split,
    }  # fmt: skip
    return Entry(0, "batch", 0, values, found)


def named_on(side: str, count: int = 1) -> list[str]:
    """Return piece ids whose own hash puts them on a side."""
    names = (f"a/{number}" for number in range(1000))
    return [name for name in names if split_of_work(name) == side][:count]


def settled(*entries, sides=None, **settings):
    settle(entries, CorpusConfig(**settings), sides=sides or {})
    return [(one.split or one.values["reason"]) for one in entries]


def test_equal_pieces_stay_once(prints):
    first, second = named_on("train", 2)
    assert settled(entry(second, prints[0]), entry(first, prints[0]), entry("b/1", prints[1]))[:2] == [
        "duplicate",
        "train",
    ]


def test_equal_files_stay_once():
    first, second = named_on("test", 2)
    assert settled(entry(second, digest="1"), entry(first, digest="1")) == ["duplicate", "test"]


def test_versions_of_a_work_share_its_side_and_held_out_ones_are_left_out():
    for side in ("train", "test"):
        work = named_on(side)[0]
        version = entry(f"{work}/v1", work=work, is_version=True)
        assert settled(version, entry(work)) == [{"train": "train", "test": "version"}[side], side]


def test_a_piece_that_has_a_side_keeps_it():
    held_out = named_on("test")[0]
    assert settled(entry(held_out), sides={held_out: "train"}) == ["train"]


def test_a_new_piece_takes_the_side_of_its_work():
    on_train, work = named_on("train")[0], named_on("test")[0]
    assert settled(entry(work), entry(on_train, work=work), sides={work: "test"}) == ["test", "test"]


def test_a_new_piece_between_two_sides_is_left_out():
    one, other = named_on("train", 2)
    parts = [entry(one, work="w/1"), entry(other, work="w/1"), entry("z/new", work="w/1")]
    assert settled(*parts, sides={one: "train", other: "test"}) == ["train", "test", "duplicate"]
    assert "two sides" in parts[2].values["detail"]


def test_a_collection_may_say_the_side():
    assert settled(entry(named_on("train")[0], published_split="validation")) == ["validation"]


def test_the_side_that_a_collection_says_wins_over_a_duplicate_without(prints):
    plain, said = named_on("train", 2)
    assert settled(entry(plain, prints[0]), entry(said, prints[0], published_split="test")) == ["duplicate", "test"]


def test_pieces_without_fingerprint_follow_their_hash():
    names = [named_on(side)[0] for side in ("train", "validation", "test")]
    assert settled(*map(entry, names)) == ["train", "validation", "test"]
