from __future__ import annotations

import builtins
import hashlib
import json
import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from songwright.commands import explain
from songwright.errors import ConfigError, InputError, OutputError
from songwright.files.midi import write_midi
from songwright.rendering.performance import perform
from songwright.reporting import raster
from songwright.score.elements import Note, Score, TimeSignature, Track, note_array
from tests.music import make_song


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "song.mid"
    write_midi(path, perform(make_song(5, "A4B4A4B4").transpose(3), seed=0), title="Made up")
    return path


def run(song: Path, **options: object) -> None:
    defaults = {
        "bar": None, "note": None, "out": None, "json": None, "plots": None, "style": "pop", "precision": "int8",
        "weights": None, "fast": False,
    }  # fmt: skip
    explain.run(SimpleNamespace(song=song, **{**defaults, **options}))


def test_the_page_the_numbers_and_the_pictures_are_written(song, tmp_path, capsys):
    page, numbers, plots = tmp_path / "page.html", tmp_path / "song.json", tmp_path / "plots"
    run(song, out=page, json=numbers, plots=plots, bar=9, note=1)
    printed = capsys.readouterr().out
    assert "Bar 9 (" in printed
    assert str(page) in printed
    found = json.loads(numbers.read_text())
    assert "NaN" not in numbers.read_text()
    assert found["bits_per_note"] > 0
    assert len(found["bars"]) == 16
    assert all(one["bar"] < row["bar"] for row in found["bars"] for one in row["sources"])
    assert found["bars"][8]["sources"][0]["bar"] == 1
    for note in found["notes"]:
        chances = [one["probability"] for one in note["pitch"]["alternatives"]]
        assert chances == sorted(chances, reverse=True)
        assert 0 <= sum(chances) <= 1.001
    assert {path.name for path in plots.glob("*.svg")} == {
        "surprise.svg", "roll.svg", "sources.svg", "alternatives.svg"
    }  # fmt: skip
    assert 'id="bar-9"' in page.read_text()


def test_a_few_lines_say_the_same_in_the_terminal(song, capsys):
    run(song, fast=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "song"
    assert re.match(
        r"  The network expected .* of this melody: [\d.]+ bits a note; it was most surprised in bars ", lines[1]
    )
    assert any(re.fullmatch(r"  \d+ of \d+ bars with melody take from an earlier one; .*", line) for line in lines)


def test_a_note_is_told_in_musical_words(song, capsys):
    run(song, note=5, fast=True)
    printed = capsys.readouterr().out
    assert printed.startswith("Note 5 of the melody, in bar ")
    assert re.search(r"[A-G][#b]?\d, (chord tone|a (half )?step) .*, (\d+|under 1) %", printed)
    for part in ("when it starts", "its pitch", "how long it lasts"):
        assert part in printed


def test_a_bar_alone_does_not_wait_for_the_others(song, capsys, monkeypatch):
    monkeypatch.setattr(
        "songwright.reporting.explanation.source_matrix", lambda *_, **__: pytest.fail("all bars silenced")
    )
    run(song, bar=9)
    assert "Bar 9 takes most from bar 1 (the same place in the first A" in capsys.readouterr().out


def waltz() -> Score:
    notes = [
        Note(beat * 480, 470, 60 + (0, 4, 7)[beat % 3] + beat % 5, 100 if beat % 3 == 0 else 60) for beat in range(90)
    ]
    chords = [Note(bar * 1440, 1430, pitch) for bar in range(30) for pitch in (36, 48, 52, 55)]
    tracks = (Track("MELODY", note_array(notes)), Track("PIANO", note_array(chords)))
    return Score(480, tracks, time_signatures=(TimeSignature(0, 3, 4),))


def drums() -> Score:
    return Score(480, (Track("d", note_array([Note(i * 240, 100, 36 + i % 3, 90) for i in range(400)]), is_drum=True),))


def five_seconds() -> Score:
    return Score(480, (Track("a", note_array([Note(beat * 480, 470, 60 + beat % 8) for beat in range(10)])),))


@pytest.mark.parametrize(
    ("make", "words"),
    [(waltz, "3/4"), (drums, "no melody"), (five_seconds, "bars|notes"), (lambda: Score(480, ()), "no note")],
)
def test_what_cannot_be_explained_is_one_sentence_and_nothing_is_written(make, words, tmp_path):
    path, page = tmp_path / "song.mid", tmp_path / "page.html"
    write_midi(path, make())
    with pytest.raises(InputError, match=words) as caught:
        run(path, out=page, fast=True)
    assert "\n" not in str(caught.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["song.mid"]


@pytest.mark.parametrize("content", [b"", b"hello", b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x01\xe0"])
def test_a_file_that_is_no_music_is_one_sentence(content, tmp_path):
    (tmp_path / "song.mid").write_bytes(content)
    with pytest.raises(InputError, match=r"song\.mid"):
        run(tmp_path / "song.mid", fast=True)


def test_of_a_long_song_the_first_bars_are_explained_and_this_is_said(tmp_path, capsys, monkeypatch):
    path = tmp_path / "long.mid"
    write_midi(path, perform(make_song(2, "A8B8A8B8A8B8"), seed=0))
    monkeypatch.setattr("songwright.reporting.explanation.MAX_SONG_BARS", {"attention": 20})
    run(path, fast=True, json=tmp_path / "long.json")
    assert "Of 48 bars the first 20 are explained." in capsys.readouterr().out
    assert len(json.loads((tmp_path / "long.json").read_text())["bars"]) == 20


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bar": 0}, ConfigError, "counts from 1"),
        ({"note": -3}, ConfigError, "counts from 1"),
        ({"bar": 99}, InputError, "no bar 99 among the 16"),
        ({"bar": 9, "note": 40}, InputError, "no note 40 in bar 9"),
        ({"style": "jazz"}, ConfigError, "unknown style"),
    ],
)
def test_options_that_cannot_be_met_are_refused(song, options, error, words):
    with pytest.raises(error, match=words):
        run(song, fast=True, **options)


def test_places_that_cannot_be_written_are_refused_before_the_work(song, tmp_path, monkeypatch):
    monkeypatch.setattr("songwright.evaluation.reading.read_song", lambda _: pytest.fail("the song was read"))
    (tmp_path / "file").write_text("")
    for options, words in (
        ({"out": tmp_path / "none" / "page.html"}, "there is no folder"),
        ({"out": tmp_path}, "is a folder"),
        ({"out": song}, "in use"),
        ({"out": tmp_path / "a", "json": tmp_path / "a"}, "in use"),
        ({"plots": tmp_path / "file"}, "choose a folder"),
    ):
        with pytest.raises(OutputError, match=words):
            run(song, **options)


def test_png_is_written_where_the_extra_is_and_missed_in_a_sentence_where_not(song, tmp_path, capsys, monkeypatch):
    if find_spec("resvg_py") is not None:
        run(song, plots=tmp_path / "with", fast=True)
        pictures = list((tmp_path / "with").glob("*.png"))
        assert len(pictures) == 3
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    capsys.readouterr()
    monkeypatch.setattr(raster, "find_spec", lambda _: None)
    run(song, plots=tmp_path / "without", fast=True)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert 'pip install "songwright[plots]"' in error
    assert {path.suffix for path in (tmp_path / "without").iterdir()} == {".svg"}


def test_the_options_are_those_that_the_help_names():
    import argparse

    parser = argparse.ArgumentParser()
    explain.add_arguments(parser)
    words = ["song.mid", "--bar", "3", "--note", "2", "--out", "p.html", "--json", "p.json", "--plots", "p", "--fast"]
    parsed = parser.parse_args([*words, "--style", "pop", "--precision", "fp32"])
    assert (parsed.bar, parsed.note, parsed.fast, parsed.precision) == (3, 2, True, "fp32")
    assert isinstance(parsed.out, Path)
    assert builtins.set(vars(parsed)) >= {"song", "weights", "style"}


@pytest.mark.parametrize("option", ["out", "json"])
def test_the_songs_own_plan_is_never_written_over(song, option):
    song.with_suffix(".json").write_text("{")
    with pytest.raises(OutputError, match="in use"):
        run(song, fast=True, **{option: song.with_suffix(".json")})
    assert song.with_suffix(".json").read_text() == "{"
    song.with_suffix(".json").unlink()


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of styles with an LSTM of random weights, `other`."""
    torch = pytest.importorskip("torch")
    from songwright.engine.graph import build_graph
    from songwright.model.config import LstmConfig
    from songwright.model.network import SequenceNetwork
    from songwright.tokens.streams import STREAMS
    from songwright.training.export import graph_config
    from songwright.training.networks import stream_sizes

    stream = STREAMS["lead_sheet"]
    torch.manual_seed(0)
    network = SequenceNetwork(LstmConfig(dim=32, num_layers=1), stream_sizes(stream))
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    sizes = graph_config(network, num_channels=len(stream.channels.sizes))
    metadata = {"fingerprint": stream.vocabulary.fingerprint, "stream": stream.name}
    data = build_graph(weights, sizes, precision="int8", metadata=metadata).SerializeToString()
    folder = tmp_path_factory.mktemp("styles") / "other"
    folder.mkdir()
    (folder / "lead_sheet.int8.onnx").write_bytes(data)
    checksums = {"lead_sheet.int8.onnx": hashlib.sha256(data).hexdigest()}
    (folder / "style.json").write_text(json.dumps({"description": "random", "sha256": checksums}))
    return folder.parent


def test_a_network_without_attention_is_explained_without_it(song, recurrent, tmp_path, capsys):
    page, numbers = tmp_path / "page.html", tmp_path / "song.json"
    run(song, weights=recurrent, style="other", out=page, json=numbers)
    assert "other, int8" in page.read_text()
    assert "attention heads" not in page.read_text()
    found = json.loads(numbers.read_text())
    assert found["heads"] == []
    assert found["bits_per_note"] > 0
    assert all(row["looked_at"] == "" for row in found["bars"])
    assert len(found["notes"][0]["pitch"]["alternatives"]) > 1
    assert capsys.readouterr().out


def test_fast_explanations_need_attention(song, recurrent):
    with pytest.raises(ConfigError, match="attention of a transformer, and other, int8 is of the family lstm"):
        run(song, weights=recurrent, style="other", fast=True)
