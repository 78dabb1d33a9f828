from __future__ import annotations

import os
import shutil
import sys

import pytest

from songwright.cli import main
from songwright.corpus.sources import find_files
from songwright.errors import InputError
from songwright.preparation.batches import is_done
from songwright.preparation.catalog import read_table
from songwright.preparation.inspection import inspection_page
from songwright.preparation.settings import CorpusConfig
from tests.corpora import bytes_of, make, write_song


def prepare(capsys, *words: object) -> str:
    """Run the command; return what it prints on the way to success, or its one sentence of refusal."""
    code = main(["prepare", *map(str, words), "--workers", "1"])
    printed = capsys.readouterr()
    assert code in (0, 2)
    assert code == 0 or printed.err.count("\n") == 1
    return printed.out if code == 0 else printed.err


@pytest.fixture
def music(tmp_path):
    for seed in range(3):
        write_song(tmp_path / "music" / f"{seed}.mid", seed)
    return tmp_path / "music"


@pytest.fixture
def corpus(music, tmp_path):
    make(find_files(music), tmp_path / "corpus")
    return tmp_path / "corpus"


def ids(corpus):
    return [row["piece_id"] for row in read_table(corpus / "files.csv")]


def test_nobody_elses_folder_is_written_to_or_emptied(music, tmp_path, capsys):
    precious = tmp_path / "project" / "batches" / "precious"
    precious.mkdir(parents=True)
    (precious / "thesis.txt").write_text("years")
    app = tmp_path / "app"
    app.mkdir()
    (app / "manifest.json").write_text('{"name": "a web app"}')
    (app / "index.html").write_text("")
    for out in (tmp_path / "project", app):
        for words in ([], ["--force"]):
            assert "is no corpus" in prepare(capsys, music, "--out", out, *words)
    assert (precious / "thesis.txt").read_text() == "years"
    assert len(list(app.iterdir())) == 2


def test_what_a_user_puts_into_a_corpus_stays(music, corpus):
    (corpus / "notes.txt").write_text("mine")
    make(find_files(music), corpus)
    make(find_files(music), corpus, afresh=True)
    assert (corpus / "notes.txt").read_text() == "mine"


def test_another_folder_of_the_same_name_is_refused(music, corpus, tmp_path, capsys):
    write_song(tmp_path / "elsewhere" / "music" / "other.mid", 9)
    before = bytes_of(corpus)
    assert "rename the folder" in prepare(capsys, tmp_path / "elsewhere" / "music", "--out", corpus)
    assert bytes_of(corpus) == before


def test_files_given_one_by_one_come_together(music, tmp_path, capsys):
    out = tmp_path / "singles"
    for seed in range(3):
        prepare(capsys, music / f"{seed}.mid", "--out", out)
    assert ids(out) == [f"file/music/{seed}.mid" for seed in range(3)]
    write_song(tmp_path / "other" / "music" / "0.mid", 7)
    printed = prepare(capsys, music / "0.mid", tmp_path / "other" / "music" / "0.mid", "--out", tmp_path / "both")
    assert "would both be file/music/0.mid" in printed


def test_files_that_leave_are_counted(music, corpus, capsys):
    (music / "0.mid").unlink()
    assert "1 files of music are no longer there" in prepare(capsys, music, "--out", corpus)


@pytest.mark.parametrize(
    "damage",
    ["score.tokens.npy", "score.sequences.npy", "fingerprints.npz", "hashes.npz", "statistics.npz", "rows.json"],
)
@pytest.mark.parametrize("cut", [0, 40, None])
def test_a_damaged_batch_is_done_again(music, corpus, damage, cut):
    whole = bytes_of(corpus)
    (path,) = corpus.glob(f"batches/*/{damage}")
    if cut is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:cut])
    assert not is_done(path.parent)
    make(find_files(music), corpus)
    assert bytes_of(corpus) == whole


def test_force_does_every_file_again(music, corpus):
    whole = bytes_of(corpus)
    (path,) = corpus.glob("batches/*/score.tokens.npy")
    path.write_bytes(path.read_bytes()[:-2] + b"xx")  # of the right size, and wrong
    make(find_files(music), corpus)
    assert bytes_of(corpus) != whole
    make(find_files(music), corpus, afresh=True)
    assert bytes_of(corpus) == whole


@pytest.mark.parametrize("name", ["fingerprints.npz", "hashes.npz", "statistics.npz", "score.sequences.npy"])
def test_a_damaged_batch_of_another_collection_is_named(corpus, tmp_path, name):
    write_song(tmp_path / "more" / "x.mid", 5)
    (path,) = corpus.glob(f"batches/*/{name}")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="--force"):
        make(find_files(tmp_path / "more"), corpus)


def test_a_corpus_killed_before_its_manifest_is_finished(music, corpus, capsys):
    whole = bytes_of(corpus)
    (corpus / "manifest.json").unlink()
    (corpus / ".manifest.json.77.part").write_bytes(b"{")
    (next((corpus / "batches").iterdir()) / "x").parent.with_name("." + "0" * 24 + ".77.tmp").mkdir()
    prepare(capsys, music, "--out", corpus)
    assert bytes_of(corpus) == whole
    assert len(list((corpus / "batches").iterdir())) == 1


def test_two_cannot_work_on_one_corpus(music, corpus, capsys):
    fcntl = pytest.importorskip("fcntl")
    with (corpus / ".lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another songwright prepare" in prepare(capsys, music, "--out", corpus)
    prepare(capsys, music, "--out", corpus)


def test_files_of_one_name_and_two_endings_are_two(music, tmp_path):
    shutil.copy(music / "1.mid", music / "0.midi")
    make(find_files(music), tmp_path / "one")
    make(find_files(music)[::-1], tmp_path / "two")
    assert ids(tmp_path / "one") == ["music/0.mid", "music/0.midi", "music/1.mid", "music/2.mid"]
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_a_file_given_twice_counts_once(music, corpus, tmp_path):
    make([*find_files(music), *find_files(music)], tmp_path / "twice")
    assert bytes_of(tmp_path / "twice") == bytes_of(corpus)


def test_a_file_that_is_renamed_gets_another_reader(music, tmp_path):
    (music / "0.mid").rename(music / "0.xml")
    make(find_files(music), tmp_path / "corpus")
    assert "broken bytes" in [row["reason"] for row in read_table(tmp_path / "corpus" / "files.csv")]
    (music / "0.xml").rename(music / "0.mid")
    make(find_files(music), tmp_path / "corpus")
    assert [row["reason"] for row in read_table(tmp_path / "corpus" / "files.csv")] == ["", "", ""]


def test_a_corpus_does_not_say_where_its_music_lay(music, tmp_path, monkeypatch):
    (music / "bad.mid").write_bytes(b"MThd nothing")
    make(find_files(music), tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    make(find_files(music.relative_to(tmp_path)), tmp_path / "two")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    assert str(tmp_path).encode() not in b"".join(bytes_of(tmp_path / "one").values())


def test_too_large_a_file_is_left_out(music, tmp_path):
    from songwright.config import from_mapping

    (music / "large.mid").write_bytes((music / "0.mid").read_bytes() + bytes(10_000))
    sizes = {path.name: path.stat().st_size for path in music.iterdir()}
    config = from_mapping(CorpusConfig, {"cleaning": {"max_file_bytes": sizes["large.mid"] - 1}})
    make(find_files(music), tmp_path / "corpus", config=config)
    reasons = {row["piece_id"]: row["reason"] for row in read_table(tmp_path / "corpus" / "files.csv")}
    assert reasons["music/large.mid"] == "too large"
    assert reasons["music/0.mid"] == ""


@pytest.mark.skipif(sys.platform != "linux", reason="such names are no files elsewhere")
def test_odd_names_are_read_and_shown(music, tmp_path, capsys):
    names = [b"caf\xe9.mid", b"line\nfeed.mid", b"carriage\rreturn.mid", b'comma, "quote" =1.mid']
    for seed, name in enumerate(names):
        write_song(tmp_path / "x.mid", 10 + seed)
        os.rename(tmp_path / "x.mid", os.path.join(os.fsencode(music), name))
    prepare(capsys, music, "--out", tmp_path / "corpus")
    found = ids(tmp_path / "corpus")
    assert len(found) == 7
    assert "music/caf\\xe9.mid" in found
    assert "music/carriage\rreturn.mid" in found
    assert "caf\\xe9" in inspection_page(tmp_path / "corpus")[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_regular_file_is_passed_by(music):
    os.mkfifo(music / "pipe.mid")
    (music / "gone.mid").symlink_to(music / "nowhere.mid")
    (music / "back").symlink_to(music, target_is_directory=True)
    assert [file.path.name for file in find_files(music)] == ["0.mid", "1.mid", "2.mid", "gone.mid"]


def test_paths_that_cannot_be_read_are_one_sentence(tmp_path, capsys):
    assert "cannot be read" in prepare(capsys, tmp_path / ("x" * 300), "--out", tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_folder_named_like_a_collection_is_not_taken_for_it(music, tmp_path):
    music.rename(tmp_path / "lieder")
    manifest = make(find_files(tmp_path / "lieder"), tmp_path / "corpus")
    assert [(source["name"], source["licence"]) for source in manifest["sources"]] == [("lieder (folder)", "unknown")]
