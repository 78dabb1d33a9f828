from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from songwright.corpus.sources import find_files
from songwright.errors import ConfigError, InputError
from songwright.preparation.batches import process_batch
from songwright.preparation.build import local_engine
from songwright.preparation.catalog import read_table
from songwright.preparation.settings import CorpusConfig
from songwright.preparation.shards import SPLITS, open_shard, read_manifest
from songwright.tokens import score as score_tokens
from songwright.tokens.streams import STREAMS
from tests.corpora import bytes_of, make, serial, write_song


def row_of(corpus: Path, piece_id: str) -> dict[str, str]:
    return next(row for row in read_table(corpus / "files.csv") if row["piece_id"] == piece_id)


def test_every_file_is_used_or_has_a_reason(mixed_corpus):
    reasons = {row["piece_id"]: row["reason"] for row in read_table(mixed_corpus / "files.csv")}
    assert reasons == {
        "mixed/song0.mid": "", "mixed/song1.mid": "", "mixed/song2.mid": "", "mixed/song3.mid": "",
        "mixed/tunes.abc/1": "", "mixed/tunes.abc/2": "",
        "mixed/zz/copy.MID": "duplicate", "mixed/zz/same.mid": "duplicate", "mixed/zz transposed.mid": "duplicate",
        "mixed/nothing.mid": "empty", "mixed/cut.mid": "broken bytes", "mixed/broken.mxl": "broken bytes",
        "mixed/drone.mid": "one note", "mixed/short.mid": "too few notes",
    }  # fmt: skip
    for row in read_table(mixed_corpus / "files.csv"):
        assert bool(row["detail"]) == bool(row["reason"])
        assert (row["split"] in SPLITS) == (row["status"] == "ok")
    assert row_of(mixed_corpus, "mixed/zz/copy.MID")["detail"] == "the same notes as mixed/song1.mid"
    assert row_of(mixed_corpus, "mixed/zz/same.mid")["detail"] == "the same file as mixed/song1.mid"
    assert row_of(mixed_corpus, "mixed/zz transposed.mid")["detail"] == "a transposition of mixed/song2.mid"


def test_the_table_says_what_was_found(mixed_corpus):
    song = row_of(mixed_corpus, "mixed/song0.mid")
    assert (song["meter"], song["bars"]) == ("4/4", "56")
    assert float(song["tempo_qpm"]) == pytest.approx(80, abs=0.5)
    assert "melody" in song["roles"].split()
    tune = row_of(mixed_corpus, "mixed/tunes.abc/1")
    assert (tune["title"], tune["meter"], tune["bars"]) == ("Up and down", "3/4", "16")
    with (mixed_corpus / "files.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 15


def test_streams_hold_the_pieces_of_their_split(mixed_corpus):
    manifest = read_manifest(mixed_corpus)
    ids = {split: set(pieces) for split, pieces in manifest["splits"].items()}
    assert sum(map(len, ids.values())) == 6
    by_place = {(row["batch"], row["row"]): row for row in read_table(mixed_corpus / "files.csv")}
    for stream in STREAMS:
        for split in SPLITS:
            shard = open_shard(mixed_corpus, stream, split)
            assert shard.num_tokens == manifest["streams"][stream]["tokens"][split]
            for number in range(len(shard)):
                where = shard.index[number]
                row = by_place[manifest["batches"][where["batch"]], str(where["row"])]
                assert row["piece_id"] in ids[split]
                assert int(row[f"tokens.{stream}"]) == shard.lengths[number]
    songs = [len(open_shard(mixed_corpus, "lead_sheet", split)) for split in SPLITS]
    assert sum(songs) == 5  # the tune in 3/4 is no song
    assert sum(len(open_shard(mixed_corpus, "score", split)) for split in SPLITS) == 6


def test_scores_come_back_as_they_were(mixed_corpus):
    rows = {row["piece_id"]: row for row in read_table(mixed_corpus / "files.csv")}
    song = rows["mixed/song0.mid"]
    shard = open_shard(mixed_corpus, "score", song["split"])
    number = next(n for n in range(len(shard)) if str(shard.index[n]["row"]) == song["row"])
    score = score_tokens.decode(shard.read(number)[0])
    assert score.num_notes == int(song["notes"])
    assert score.num_bars == 56


def test_a_second_run_changes_nothing(mixed_corpus, mixed_music, tmp_path):
    corpus = shutil.copytree(mixed_corpus, tmp_path / "corpus")
    before = bytes_of(corpus)

    def idle(batches):
        assert not batches
        return iter(())

    make(find_files(mixed_music), corpus, engine=idle)
    assert bytes_of(corpus) == before


def test_another_order_and_another_process_give_the_same_bytes(mixed_corpus, mixed_music, tmp_path):
    make(find_files(mixed_music)[::-1], tmp_path / "corpus", engine=local_engine(2))
    assert bytes_of(tmp_path / "corpus") == bytes_of(mixed_corpus)


def test_an_interrupted_run_goes_on_where_it_stopped(mixed_music, tiny_pop909, tmp_path):
    files = [*find_files(mixed_music), *find_files(tiny_pop909 / "POP909")]

    def stops(batches):
        process_batch(batches[0])
        yield batches[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(files, tmp_path / "parts", engine=stops)
    assert not (tmp_path / "parts" / "manifest.json").exists()
    done: list[str] = []

    def counted(batches):
        for batch in serial(batches):
            done.append(batch.name)
            yield batch

    make(files, tmp_path / "parts", engine=counted)
    assert len(done) == 1
    make(files, tmp_path / "whole")
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")


def test_a_further_collection_rewrites_no_batch_and_moves_no_piece(mixed_corpus, tiny_pop909, tmp_path):
    corpus = shutil.copytree(mixed_corpus, tmp_path / "corpus")
    before = {name: data for name, data in bytes_of(corpus).items() if name.startswith("batches/")}
    sides = {row["piece_id"]: row["split"] for row in read_table(corpus / "files.csv")}
    manifest = make(find_files(tiny_pop909 / "POP909"), corpus)
    after = bytes_of(corpus)
    assert before.items() <= after.items()
    assert sides.items() <= {row["piece_id"]: row["split"] for row in read_table(corpus / "files.csv")}.items()
    assert [source["name"] for source in manifest["sources"]] == ["mixed", "pop909"]
    only = open_shard(corpus, "score", "train", sources=["pop909"])
    assert 0 < len(only) < len(open_shard(corpus, "score", "train"))
    with pytest.raises(InputError, match="no source 'groove'; it has mixed, pop909"):
        open_shard(corpus, "score", "train", sources=["groove"])


def test_changed_new_and_vanished_files_are_noticed(mixed_music, tmp_path):
    music, corpus = shutil.copytree(mixed_music, tmp_path / "mixed"), tmp_path / "corpus"
    make(find_files(music), corpus)
    assert row_of(corpus, "mixed/song3.mid")["status"] == "ok"
    write_song(music / "song0.mid", 11)
    write_song(music / "song9.mid", 12)
    (music / "song3.mid").unlink()
    again: list[int] = []

    def counted(batches):
        again.extend(len(batch.files) for batch in batches)
        yield from serial(batches)

    make(find_files(music), corpus, engine=counted)
    assert again == [2]
    ids = Counter(row["piece_id"] for row in read_table(corpus / "files.csv"))
    assert ids["mixed/song0.mid"] == ids["mixed/song9.mid"] == 1
    assert "mixed/song3.mid" not in ids
    make(find_files(music), tmp_path / "fresh")
    fresh = {row["piece_id"]: row["notes"] for row in read_table(tmp_path / "fresh" / "files.csv")}
    assert {row["piece_id"]: row["notes"] for row in read_table(corpus / "files.csv")} == fresh


def test_a_batch_that_fails_costs_only_the_file_at_fault(mixed_corpus, mixed_music, tmp_path):
    def fails(batches):
        yield from batches  # as if every worker had died

    make(find_files(mixed_music), tmp_path / "corpus", engine=fails)
    assert bytes_of(tmp_path / "corpus") == bytes_of(mixed_corpus)


def test_other_settings_do_not_mix(mixed_corpus, mixed_music, tmp_path):
    corpus = shutil.copytree(mixed_corpus, tmp_path / "corpus")
    other = CorpusConfig(streams=("score",))
    with pytest.raises(ConfigError, match="other settings"):
        make(find_files(mixed_music), corpus, config=other)
    assert bytes_of(corpus) == bytes_of(mixed_corpus)
    make(find_files(mixed_music), corpus, config=other, afresh=True)
    assert not list(corpus.glob("batches/*/lead_sheet.tokens.npy"))
    assert len(list(corpus.glob("batches/*"))) == 1


def test_nothing_usable_is_refused_and_no_corpus_is_left(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "bad.mid").write_bytes(b"MThd")
    with pytest.raises(InputError, match=r"none of the 1 files can be used \(the first, music/bad.mid: bad.mid"):
        make(find_files(tmp_path / "music"), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    (tmp_path / "corpus").mkdir()
    with pytest.raises(InputError):
        make(find_files(tmp_path / "music"), tmp_path / "corpus")
    assert (tmp_path / "corpus").is_dir()  # a folder that was there is left


def test_stored_copies_are_for_training_only_and_the_same_every_time(mixed_music, tmp_path):
    from songwright.corpus.augmentation import AugmentationConfig

    config = CorpusConfig(copies=2, streams=("score",), augmentation=AugmentationConfig(transpose=True, velocity=True))
    for name in ("one", "two"):
        make(find_files(mixed_music), tmp_path / name, config=config)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    train = open_shard(tmp_path / "one", "score", "train")
    assert Counter(train.index["copy"].tolist()) == {0: len(train) // 3, 1: len(train) // 3, 2: len(train) // 3}
    for split in ("validation", "test"):
        assert not open_shard(tmp_path / "one", "score", split).index["copy"].any()
    first = np.flatnonzero(train.index["row"] == train.index["row"][0])
    copies = [train.read(int(number))[0].tolist() for number in first]
    assert len({tuple(tokens) for tokens in copies}) == 3


@pytest.mark.parametrize("damage", ["manifest.json", "files.csv"])
def test_a_damaged_corpus_is_not_built_upon(mixed_corpus, mixed_music, tmp_path, damage):
    corpus = shutil.copytree(mixed_corpus, tmp_path / "corpus")
    (corpus / damage).write_bytes(b"\xff\xfe")
    with pytest.raises(InputError):
        make(find_files(mixed_music), corpus)
