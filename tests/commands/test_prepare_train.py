from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from songwright.cli import main
from tests.conftest import ROOT

pytest.importorskip("torch")

SMALL = [
    "--set", "num_steps=3", "--set", "minutes=0", "--set", "batch_size=2", "--set", "num_threads=1",
    "--set", "network.dim=32", "--set", "network.num_heads=2", "--set", "network.num_layers=1",
    "--set", "network.hidden_dim=32", "--set", "network.context_length=64",
]  # fmt: skip


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.mark.pipeline
@pytest.mark.slow
def test_recorded_music_becomes_weights_that_compose_uses(tiny_pop909, tmp_path, capsys):
    corpus = tmp_path / "corpus"
    assert run("prepare", tiny_pop909 / "POP909", "--out", corpus) == 0
    assert "8 pieces: 5 train, 2 validation, 1 test" in capsys.readouterr().out
    weights = tmp_path / "weights" / "mine"
    for name in ("lead-sheet", "arrangement"):
        runs = tmp_path / name
        assert run("train", ROOT / "configs" / f"{name}.toml", "--corpus", corpus, "--out", runs, *SMALL) == 0
        assert "bits_per_note" in (runs / "log.csv").read_text()
    checkpoints = [tmp_path / name / "best.pt" for name in ("lead-sheet", "arrangement")]
    assert run("export", *checkpoints, "--corpus", corpus, "--out", weights) == 0
    for precision in ("int8", "fp32"):
        out = tmp_path / precision
        words = ["--seed", 1, "--seconds", 12, "--audio", "none", "--no-sheet", "--precision", precision]
        assert run("compose", *words, "--weights", weights.parent, "--style", "mine", "--out", out) == 0
        assert (out / "song.mid").stat().st_size > 100
    capsys.readouterr()
    assert run("styles", "--weights", weights.parent) == 0
    assert (
        capsys.readouterr().out
        == "mine  learned from 8 pieces of POP909, with the phrase labels of Dai, Zhang and Dannenberg\n"
    )
    again = tmp_path / "again"
    assert "two checkpoints" in refused(capsys, "export", *[checkpoints[0]] * 2, "--corpus", corpus, "--out", again)
    assert "no checkpoint" in refused(
        capsys, "export", checkpoints[0], tmp_path / "none.pt", "--corpus", corpus, "--out", again
    )
    assert not again.exists()


def refused(capsys, *words):
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_folder_without_music_is_refused(tmp_path, capsys):
    assert "no music found" in refused(capsys, "prepare", tmp_path, "--out", tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_songs_without_labels_are_analysed(tiny_pop909, tmp_path, capsys):
    shutil.copytree(tiny_pop909 / "POP909", tmp_path / "POP909")
    assert run("prepare", tmp_path / "POP909", "--out", tmp_path / "corpus", "--workers", 1) == 0
    assert "8 pieces" in capsys.readouterr().out
    table = (tmp_path / "corpus" / "files.csv").read_text()
    assert ",beats," in table  # the beat files
    assert ",human," not in table


def test_labels_that_are_not_there_are_refused(tiny_pop909, tmp_path, capsys):
    words = ["prepare", tiny_pop909 / "POP909", "--labels", tmp_path, "--out", tmp_path / "corpus"]
    assert "--labels" in refused(capsys, *words)
    assert not (tmp_path / "corpus").exists()


def test_a_corrupt_file_is_left_out_and_said_so(tiny_pop909, tmp_path, capsys):
    shutil.copytree(tiny_pop909, tmp_path / "x")
    (tmp_path / "x" / "POP909" / "002" / "002.mid").write_bytes(b"MThd\x00\x00")
    assert run("prepare", tmp_path / "x" / "POP909", "--out", tmp_path / "corpus", "--workers", 1) == 0
    printed = capsys.readouterr().out
    assert "left out: 1 (1 broken bytes)" in printed
    assert "002.mid" in (tmp_path / "corpus" / "files.csv").read_text()


def test_only_a_corpus_is_added_to_or_replaced(tiny_pop909, tmp_path, capsys):
    out = tmp_path / "corpus"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    for words in ([], ["--force"]):
        assert "is no corpus" in refused(capsys, "prepare", tiny_pop909 / "POP909", "--out", out, *words)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    for words in ([], [], ["--force"]):  # an empty folder, then a corpus
        assert run("prepare", tiny_pop909 / "POP909", "--out", out, "--workers", 1, *words) == 0
        assert (out / "manifest.json").exists()
        assert list(tmp_path.iterdir()) == [out]
    words = ["prepare", tiny_pop909 / "POP909", "--out", out, "--set", "cleaning.min_notes=20"]
    assert "other settings" in refused(capsys, *words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--workers", 0], "--workers"),
        (["--set", "cleaning.min_note=3"], "known keys: allow_drums_only"),
        (["--set", "streams=[1]"], "list of words"),
        (["--set", 'streams=["leadsheet"]'], "streams must be some of"),
        (["--set", "copies=-1"], "copies"),
        (["--config", "none.toml"], "none.toml"),
        (["--address", "auto"], "--engine ray"),
    ],
)
def test_impossible_settings_are_refused(tiny_pop909, tmp_path, capsys, words, expected):
    assert expected in refused(capsys, "prepare", tiny_pop909 / "POP909", "--out", tmp_path / "corpus", *words)
    assert not (tmp_path / "corpus").exists()


def test_the_working_folder_is_never_written_to(tiny_pop909, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("keep")
    for out in (".", tmp_path.parent):
        assert "is no corpus" in refused(capsys, "prepare", tiny_pop909 / "POP909", "--out", out, "--force")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_corpus_outlives_a_preparation_that_fails(tiny_pop909, tmp_path, capsys):
    out = tmp_path / "corpus"
    assert run("prepare", tiny_pop909 / "POP909", "--out", out, "--workers", 1) == 0
    assert "--labels" in refused(
        capsys, "prepare", tiny_pop909 / "POP909", "--labels", tmp_path, "--out", out, "--force"
    )
    assert (out / "manifest.json").exists()
    assert list(tmp_path.iterdir()) == [out]


def test_a_run_that_cannot_be_written_is_refused(tiny_pop909, tmp_path, capsys):
    corpus = tmp_path / "corpus"
    assert run("prepare", tiny_pop909 / "POP909", "--out", corpus, "--workers", 1) == 0
    (tmp_path / "file").write_text("")
    config = ROOT / "configs" / "lead-sheet.toml"
    assert "cannot be written" in refused(
        capsys, "train", config, "--corpus", corpus, "--out", tmp_path / "file" / "run", *SMALL
    )


def test_training_on_nothing_is_refused(tmp_path, capsys):
    config = ROOT / "configs" / "lead-sheet.toml"
    assert "not a prepared corpus" in refused(capsys, "train", config, "--corpus", tmp_path, "--out", tmp_path / "run")


def test_an_unknown_setting_is_refused(tmp_path, capsys):
    config = ROOT / "configs" / "lead-sheet.toml"
    error = refused(
        capsys, "train", config, "--corpus", tmp_path, "--set", "network.width=3", "--out", tmp_path / "run"
    )
    assert "unknown key 'width'; known keys: " in error


def test_a_run_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "last.pt").write_bytes(b"")
    config = ROOT / "configs" / "lead-sheet.toml"
    assert "--resume" in refused(capsys, "train", config, "--corpus", tmp_path, "--out", tmp_path)


def test_export_of_no_checkpoint_is_refused(tmp_path, capsys):
    assert "no checkpoint" in refused(
        capsys, "export", tmp_path / "best.pt", "--corpus", tmp_path, "--out", tmp_path / "weights"
    )
    assert not Path(tmp_path / "weights").exists()
