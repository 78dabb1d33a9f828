from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from songwright.errors import OutputError
from songwright.files.audio import AUDIO_FORMATS, write_audio

RATE = 48_000


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    time = np.arange(3 * RATE) / RATE
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * time), 0.25 * np.sin(2 * np.pi * 660 * time)], axis=1)


@pytest.mark.parametrize("format", AUDIO_FORMATS)
def test_every_format_keeps_the_sound_and_the_tags(format: str, tone: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / f"song.{format}"
    write_audio(path, tone, RATE, format=format, title="Été à Paris", artist="songwright")
    with soundfile.SoundFile(path) as sound:
        assert (sound.samplerate, sound.channels) == (RATE, 2)
        assert sound.title == "Été à Paris"
        assert sound.artist == "songwright"
        audio = sound.read()
    assert abs(len(audio) - len(tone)) < 3000  # MP3 pads
    window = np.hanning(RATE)[:, None]
    spectrum = np.abs(np.fft.rfft(audio[RATE : 2 * RATE] * window, axis=0))
    assert spectrum.argmax(axis=0).tolist() == [440, 660]
    assert np.sqrt(np.mean(audio[RATE : 2 * RATE] ** 2, axis=0)) == pytest.approx([0.3536, 0.1768], rel=0.02)


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_lossless_formats_are_exact_to_the_dither_and_the_same_every_time(
    format: str, tone: np.ndarray, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.{format}" for number in range(2)]
    for path in paths:
        write_audio(path, tone, RATE, format=format)
    audio, _ = soundfile.read(paths[0])
    assert np.abs(audio - tone).max() < 2.1 / 32768
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_silence_is_written_as_silence_and_excess_is_clipped(tmp_path: Path) -> None:
    audio = np.zeros((RATE, 2))
    audio[100:200] = [3.0, -3.0]
    write_audio(tmp_path / "a.wav", audio, RATE, format="wav")
    written, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert not written[200:].any()
    assert (written[150].tolist()) == [32767, -32768]


def test_one_channel_is_written_as_one(tone: np.ndarray, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.flac", tone[:, 0], RATE, format="flac")
    assert soundfile.info(tmp_path / "a.flac").channels == 1


def test_an_unknown_format_is_one_clear_error(tone: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="unknown audio format 'aiff': use one of wav, flac, mp3, ogg"):
        write_audio(tmp_path / "a.aiff", tone, RATE, format="aiff")


def test_a_folder_that_is_not_there_is_one_clear_error(tone: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_audio(tmp_path / "none" / "a.wav", tone, RATE, format="wav")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tone: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(b"old")
    with pytest.raises(OutputError):
        write_audio(path, tone, 12_345, format="mp3")  # no such rate in MP3
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp3"]


def test_an_interrupt_leaves_nothing_half_written(
    tone: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("songwright.files.audio._to_16_bit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_audio(tmp_path / "a.wav", tone, RATE, format="wav")
    assert not list(tmp_path.iterdir())
