"""Every family is trained, exported, sampled and refused by the same commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from songwright.cli import main
from songwright.commands.train import MODELS
from tests.corpora import write_song

torch = pytest.importorskip("torch")

from songwright.config import load_config  # noqa: E402
from songwright.model.network import FAMILIES  # noqa: E402
from songwright.training.config import TrainingConfig  # noqa: E402
from songwright.training.networks import load_network  # noqa: E402

ROOT = Path(__file__).parents[2]
QUICK = ["--set", "num_steps=2", "--set", "num_threads=1", "--set", "batch_size=2", "--set", "minutes=0"]
TINY = ["--set", "network.dim=32", "--set", "network.num_layers=1", "--set", "network.context_length=64"]
HEADS = ["--set", "network.num_heads=2", "--set", "network.hidden_dim=32"]


def run(*words: object) -> int:
    return main([str(word) for word in words])


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("songwright: ")
    return captured.err


@pytest.mark.pipeline
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_family_is_trained_exported_and_composes(corpus, tmp_path, family):
    heads = HEADS if family in ("transformer", "hybrid") else []
    words = ["--model", family, "--corpus", corpus, "--out", tmp_path / "run", *QUICK, *TINY, *heads]
    assert run("train", *words) == 0
    assert load_network(tmp_path / "run" / "best.pt")[1].network.family == family
    assert run("export", tmp_path / "run" / "best.pt", "--corpus", corpus, "--out", tmp_path / "style") == 0
    song = ["--bars", 8, "--seed", 1, "--audio", "none", "--no-sheet", "--out", tmp_path / "out"]
    assert run("compose", "--network", tmp_path / "style" / "lead_sheet.int8.onnx", *song) == 0
    summary = json.loads((tmp_path / "out" / "song.json").read_text())
    assert summary["bars"] == 8
    assert summary["weights"]["networks"] == ["lead_sheet.int8.onnx"]


@pytest.mark.pipeline
def test_an_n_gram_model_is_counted_and_composes(corpus, tmp_path, capsys):
    out = tmp_path / "run"
    assert run("train", "--model", "ngram", "--corpus", corpus, "--out", out, "--set", "network.order=4") == 0
    assert "nats_per_token" in capsys.readouterr().out
    (network,) = out.glob("lead_sheet*.npz")
    song = ["--bars", 8, "--seed", 1, "--audio", "none", "--no-sheet", "--out", tmp_path / "out"]
    assert run("compose", "--network", network, *song) == 0
    assert (tmp_path / "out" / "song.mid").exists()


@pytest.mark.pipeline
@pytest.mark.parametrize("family", ["phrase-vae", "dcgan"])
def test_families_that_are_no_sequence_networks_are_trained_by_the_same_command(corpus, tmp_path, family):
    config = ROOT / "configs" / f"{family}.toml"
    assert run("train", config, "--corpus", corpus, "--out", tmp_path, *QUICK) == 0
    assert torch.load(tmp_path / "best.pt", weights_only=True)["config"]["network"]["family"] == family


@pytest.mark.pipeline
def test_a_song_is_composed_at_each_validation(corpus, tmp_path):
    words = ["--model", "transformer", "--corpus", corpus, "--out", tmp_path, *QUICK, *TINY, *HEADS]
    assert run("train", *words, "--songs", "--set", "validate_every=1") == 0
    assert [path.name for path in sorted((tmp_path / "songs").iterdir())] == ["step-000001.mid", "step-000002.mid"]


def test_every_config_names_a_family_that_trains():
    paths = sorted({*(ROOT / "configs").rglob("*.toml")} - {ROOT / "configs" / "corpus.toml"})
    assert len(paths) > 8
    assert {load_config(TrainingConfig, path).network.family for path in paths} <= set(MODELS)


def test_hours_are_a_time_budget(corpus, tmp_path, capsys):
    words = ["--model", "rnn", "--corpus", corpus, "--out", tmp_path, *QUICK[2:-2], *TINY]
    assert run("train", *words, "--hours", 0.0002) == 0
    assert (tmp_path / "last.pt").exists()
    assert "--hours" in refused(capsys, "train", *words, "--resume", "--hours", 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--size", "six"], "--size six"),
        (["--size", "6M", "--model", "dcgan"], "--size does not fit dcgan"),
        (["--set", "network.family=perceptron"], "unknown family 'perceptron'; known: transformer, hybrid"),
        (["--model", "lstm", "--set", "network.num_heads=2"], "unknown key 'num_heads'"),
        (["--set", "network.dim=0"], "dim must be at least 1"),
        (["--set", "network.dim=100"], "multiple of"),
        (["--set", "optimizer.kind=sgd"], "kind must be one of muon, adamw"),
        (["--set", "precision=int4"], "precision must be one of"),
        (["--set", "accumulate=0"], "accumulate must be at least 1"),
        (["--teacher", "none.pt"], "no checkpoint here"),
        (["--set", "batch_size=2", "--set", "accumulate=4"], "batch_size 2 cannot be shared"),
    ],
)
def test_impossible_runs_are_one_clear_sentence(corpus, tmp_path, capsys, words, expected):
    assert expected in refused(capsys, "train", "--corpus", corpus, "--out", tmp_path / "run", *words)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_networks_that_do_not_say_what_they_write_are_refused(tmp_path, capsys):
    (tmp_path / "mine.onnx").write_bytes(b"")
    words = ["compose", "--out", tmp_path / "out", "--audio", "none", "--network"]
    assert "named after its stream" in refused(capsys, *words, tmp_path / "mine.onnx")
    (tmp_path / "lead_sheet.onnx").write_bytes(b"nothing")
    assert "damaged" in refused(capsys, *words, tmp_path / "lead_sheet.onnx")


@pytest.mark.pipeline
@pytest.mark.slow
def test_a_style_of_ones_own_is_made_by_one_command(tmp_path, capsys):
    for seed in range(12):
        write_song(tmp_path / "music" / f"{seed}.mid", seed)
    out = tmp_path / "styles" / "mine"
    assert run("finetune", tmp_path / "music", "--out", out, "--minutes", 0.1, "--threads", 1) == 0
    captured = capsys.readouterr()
    assert "nats per note" in captured.out
    assert "longest run of notes shared with your music" in captured.out
    assert "pieces are little" in captured.err
    song = ["--style", "mine", "--weights", out.parent, "--bars", 8, "--audio", "none", "--no-sheet"]
    assert run("compose", *song, "--seed", 1, "--out", tmp_path / "out") == 0
    assert "holds a style already" in refused(capsys, "finetune", tmp_path / "music", "--out", out)


def test_a_folder_with_too_little_music_is_refused(tmp_path, capsys):
    for seed in range(3):
        write_song(tmp_path / "music" / f"{seed}.mid", seed)
    assert "too little to learn from" in refused(capsys, "finetune", tmp_path / "music", "--out", tmp_path / "mine")
    assert not (tmp_path / "mine" / "style.json").exists()
