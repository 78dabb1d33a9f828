from __future__ import annotations

import numpy as np
import pytest

from songwright.cli import main
from songwright.files.audio import write_audio
from songwright.files.midi import read_midi


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Three struck strings, one after another: C4, E4, G4."""
    time = np.arange(16_000) / 32_000
    tones = []
    for pitch in (60, 64, 67):
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        partials = sum(np.sin(2 * np.pi * frequency * n * time) / n**1.5 for n in range(1, 9))
        tones.append(partials * np.exp(-4 * time))
    sound = np.concatenate([*tones, np.zeros(8000)]).astype(np.float32) * 0.3
    path = tmp_path_factory.mktemp("audio") / "notes.wav"
    write_audio(path, np.stack([sound, sound], axis=1), 32_000, format="wav")
    return path


def test_what_is_heard_is_written_as_midi(recording, tmp_path, capsys):
    out = tmp_path / "notes.mid"
    assert main(["transcribe", str(recording), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "notes in" in printed
    assert "estimates" in printed
    (track,) = read_midi(out).tracks
    assert {60, 64, 67} <= set(track.notes["pitch"].tolist())


def test_a_file_is_not_overwritten_unless_forced(recording, tmp_path, capsys):
    out = tmp_path / "notes.mid"
    out.write_bytes(b"mine")
    assert main(["transcribe", str(recording), "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"


def test_what_is_no_recording_is_one_sentence(tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(b"RIFF nothing")
    for name in ("a.wav", "none.mp3"):
        assert main(["transcribe", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
