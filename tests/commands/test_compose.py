from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from songwright.cli import main
from songwright.composition.weights import weights_root
from songwright.files.midi import read_midi
from songwright.score.timeline import ticks_to_seconds
from songwright.tokens.channels import ChannelLayout

QUICK = ["--audio", "none", "--no-sheet", "--seconds", "15"]


def run(*words: object) -> int:
    return main([str(word) for word in words])


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command that must end with exit code 2 and one sentence; return the sentence."""
    try:
        code = run(*words)
    except SystemExit as stop:  # argparse
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("songwright: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def test_a_song_is_written_with_everything_about_it(tmp_path, capsys):
    out = tmp_path / "out"
    assert run("compose", "--seed", 3, "--seconds", 20, "--audio", "flac", "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "song.flac", "song.json", "song.mid", "song.musicxml", "song.svg"
    ]  # fmt: skip
    summary = json.loads((out / "song.json").read_text())
    printed = capsys.readouterr().out
    for word in (summary["title"], summary["key"], summary["form"], "seed 3", str(out / "song.flac")):
        assert word in printed
    score = read_midi(out / "song.mid")
    assert score.ticks_per_quarter == 480
    assert {track.name: len(track.notes) for track in score.tracks} == summary["notes"]
    assert [marker.text for marker in score.markers] == [section["name"] for section in summary["sections"]]
    assert score.tempos[0].tempo_qpm == pytest.approx(summary["tempo_qpm"], abs=0.01)
    assert summary["seconds"] == pytest.approx(20, abs=240 / summary["tempo_qpm"])
    assert float(ticks_to_seconds(score, score.end_tick)) <= summary["seconds"] + 0.01
    assert summary["asked"] == {"seconds": 20.0, "seed": 3}
    import soundfile

    with soundfile.SoundFile(str(out / "song.flac")) as sound:
        assert (sound.channels, sound.samplerate) == (2, 48_000)
        assert summary["seconds"] - 2 < sound.frames / sound.samplerate < summary["seconds"] + 6
        assert np.abs(sound.read()).max() > 0.1
    assert "<svg" in (out / "song.svg").read_text()[:300]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        assert run("compose", "--seed", 11, *QUICK, "--out", tmp_path / name) == 0
    assert (tmp_path / "a" / "song.mid").read_bytes() == (tmp_path / "b" / "song.mid").read_bytes()
    assert run("compose", "--seed", 12, *QUICK, "--out", tmp_path / "c") == 0
    assert (tmp_path / "c" / "song.mid").read_bytes() != (tmp_path / "a" / "song.mid").read_bytes()


def test_wishes_are_kept(tmp_path):
    out = tmp_path / "out"
    words = ["--key", "F# minor", "--tempo", "100", "--form", "intro 2, verse 4, chorus 4, outro 2", "--seed", "1"]
    assert run("compose", *words, "--audio", "none", "--out", out) == 0
    summary = json.loads((out / "song.json").read_text())
    assert (summary["key"], summary["tempo_qpm"], summary["form"], summary["bars"]) == ("F# minor", 100, "i2A4B4o2", 12)
    assert "<fifths>3</fifths>" in (out / "song.musicxml").read_text()
    assert read_midi(out / "song.mid").key_signatures[0][1:] == (3, True)


def test_several_songs_are_numbered_and_have_seeds_in_a_row(tmp_path, capsys):
    out = tmp_path / "out"
    assert run("compose", "--count", 3, "--seed", 5, *QUICK, "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        f"song-{number:03d}.{suffix}" for number in (1, 2, 3) for suffix in ("json", "mid")
    ]
    assert [json.loads((out / f"song-{n:03d}.json").read_text())["seed"] for n in (1, 2, 3)] == [5, 6, 7]
    assert "3 songs" in capsys.readouterr().out


def test_songs_are_not_overwritten_unless_forced(tmp_path, capsys):
    assert run("compose", "--seed", 1, *QUICK, "--out", tmp_path) == 0
    before = (tmp_path / "song.mid").read_bytes()
    assert "exists already" in refused(capsys, "compose", "--seed", 2, *QUICK, "--out", tmp_path)
    assert (tmp_path / "song.mid").read_bytes() == before
    assert run("compose", "--seed", 2, *QUICK, "--out", tmp_path, "--force") == 0
    assert (tmp_path / "song.mid").read_bytes() != before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--style", "polka"], "unknown style 'polka'; known: pop"),
        (["--key", "H minor"], "'H minor' is no key"),
        (["--form", "i4A8B8", "--seconds", "180"], "20 bars in 180 seconds need tempo 27"),
        (["--form", "i4A8B8", "--tempo", "90", "--seconds", "180"], "seconds"),
        (["--form", "Q9"], "unknown phrase letter 'Q'"),
        (["--tempo", "-5"], "tempo"),
        (["--tempo", "900"], "tempo"),
        (["--tempo", "nan"], "tempo"),
        (["--minutes", "0"], "from 10 seconds to 15 minutes"),
        (["--minutes", "600"], "from 10 seconds to 15 minutes"),
        (["--seconds", "-3"], "from 10 seconds to 15 minutes"),
        (["--seconds", "nan"], "from 10 seconds to 15 minutes"),
        (["--bars", "0"], "bars"),
        (["--bars", "100000"], "bars"),
        (["--count", "0"], "--count must be from 1"),
        (["--seed", "-1"], "--seed must be from 0"),
        (["--audio", "aiff"], "aiff"),
        (["--minutes", "x"], "--minutes"),
        (["--minutes", "1", "--bars", "3"], "not allowed with"),
        (["--colour", "red"], "unrecognized arguments"),
        (["--soundfont", "/nowhere.sf2"], "nowhere.sf2"),
    ],
)
def test_a_bad_wish_is_refused_and_nothing_is_written(tmp_path, capsys, words, said):
    out = tmp_path / "out"
    assert said in refused(capsys, "compose", *words, "--out", out)
    assert not out.exists()


def test_files_of_other_formats_are_not_removed_unless_forced(tmp_path, capsys):
    (tmp_path / "song.mp3").write_bytes(b"mine")
    assert "song.mp3 exists already" in refused(capsys, "compose", *QUICK, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["song.mp3"]
    assert run("compose", "--seed", 1, *QUICK, "--out", tmp_path, "--force") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["song.json", "song.mid"]


def test_a_file_that_is_no_soundfont_is_refused_before_composing(tmp_path, capsys, monkeypatch):
    font = tmp_path / "font.sf2"
    font.write_bytes(b"RIFF" + bytes(100))
    monkeypatch.setattr("songwright.commands.compose._compose_one", None)
    assert "font.sf2" in refused(capsys, "compose", "--soundfont", font, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert "is a file" in refused(capsys, "compose", *QUICK, "--out", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(capsys, "compose", *QUICK, "--out", tmp_path / "file" / "out")


@pytest.fixture
def own_weights(tmp_path, monkeypatch):
    root = tmp_path / "weights"
    shutil.copytree(weights_root(), root)
    monkeypatch.setattr("songwright.composition.weights.weights_root", lambda: root)
    return root


def test_missing_weights_are_named(own_weights, tmp_path, capsys):
    (own_weights / "pop" / "arrangement.int8.onnx").unlink()
    out = tmp_path / "out"
    assert "arrangement.int8.onnx" in refused(capsys, "compose", *QUICK, "--out", out)
    assert not out.exists()


def test_damaged_weights_are_named(own_weights, tmp_path, capsys):
    path = own_weights / "pop" / "lead_sheet.int8.onnx"
    path.write_bytes(path.read_bytes()[:1000])
    assert "damaged" in refused(capsys, "compose", *QUICK, "--out", tmp_path / "out")


def test_a_single_changed_bit_of_the_weights_is_noticed(own_weights, tmp_path, capsys):
    path = own_weights / "pop" / "lead_sheet.int8.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert "damaged" in refused(capsys, "compose", *QUICK, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused(own_weights, tmp_path, capsys):
    shutil.copy(own_weights / "pop" / "arrangement.int8.onnx", own_weights / "pop" / "lead_sheet.int8.onnx")
    assert "vocabulary" in refused(capsys, "compose", *QUICK, "--out", tmp_path / "out")


def test_weights_with_other_side_channels_are_refused(tmp_path, capsys, monkeypatch):
    layout = ChannelLayout(("letter",), (12,))
    monkeypatch.setattr("songwright.composition.composer.LEAD_SHEET_CHANNELS", layout)
    assert "other side channels" in refused(capsys, "compose", *QUICK, "--out", tmp_path / "out")


def test_a_damaged_originality_index_is_named(own_weights, tmp_path, capsys):
    (own_weights / "pop" / "originality.npz").write_bytes(b"nothing")
    assert "originality.npz" in refused(capsys, "compose", *QUICK, "--out", tmp_path / "out")


def test_no_weights_at_all_is_said(own_weights, tmp_path, capsys):
    shutil.rmtree(own_weights / "pop")
    assert "no trained weights" in refused(capsys, "styles")
    assert "no trained weights" in refused(capsys, "compose", *QUICK, "--out", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_control_c_leaves_no_partial_file(tmp_path, count):
    out = tmp_path / "out"
    words = ["compose", "--minutes", "10", "--count", str(count), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "songwright", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (out.exists() and any(out.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    import os

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in error
    assert not out.exists()


def test_help_loads_nothing_heavy():
    code = (
        "import sys, songwright.cli as cli\n"
        "try: cli.main(['compose', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'onnxruntime', 'verovio', 'symusic', 'torch', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--form" in result.stdout
    assert "Compose a new song: MIDI, sound, sheet music." in result.stdout


def test_styles_are_listed(capsys):
    assert run("styles") == 0
    assert capsys.readouterr().out.startswith("pop  ")


def test_every_command_of_the_readme_is_one_that_exists():
    import re
    import shlex

    from songwright.cli import build_parser
    from tests.conftest import ROOT

    texts = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    commands = [
        shlex.split(line.strip(), comments=True)[1:]
        for path in texts
        for block in re.findall(r"```(?:sh|bash|console)?\n(.*?)```", path.read_text(), flags=re.S)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip().startswith("songwright ")
    ]
    assert len(commands) >= 3
    for words in commands:
        build_parser(words[0]).parse_args(words)


def test_output_goes_where_a_relative_path_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("compose", *QUICK, "--seed", 4) == 0
    assert (Path("out") / "song.mid").exists()
