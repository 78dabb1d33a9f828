"""Recordings to notes: tones and rendered music are recognised, poor files are refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from songwright.errors import InputError, WeightsError
from songwright.files.recordings import SAMPLE_RATE, read_recording, resample
from songwright.files.spectrogram import HOP, num_frames, reference_level, spectrogram
from songwright.files.transcription import (
    TICKS_PER_SECOND,
    decode_notes,
    load_model,
    transcribe,
    transcribe_audio,
    weights_folder,
)
from songwright.score.elements import Note, Score, TempoChange, Track, note_array

Tone = tuple[float, float, int]  # onset and offset in seconds, pitch

MELODY: list[Tone] = [
    (0.4 * i + 0.2, 0.4 * i + 0.55, pitch) for i, pitch in enumerate([60, 64, 67, 72, 69, 65, 62, 59])
]
CHORDS: list[Tone] = [(0.8 * i + 0.2, 0.8 * i + 0.95, pitch)
                      for i, chord in enumerate([(48, 55, 64), (53, 57, 60), (43, 55, 59), (48, 52, 60)])
                      for pitch in chord]  # fmt: skip


def played(tones: list[Tone], rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """Return tones of eight harmonics that decay as a plucked string does, -20 dB."""
    audio = np.zeros(round((max(end for _, end, _ in tones) + 0.4) * rate))
    for onset, offset, pitch in tones:
        start, seconds = round(onset * rate), np.arange(round((offset - onset) * rate)) / rate
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        envelope = (
            np.minimum(seconds / 0.004, 1) * np.exp(-3 * seconds) * np.minimum((offset - onset - seconds) / 0.02, 1)
        )
        for harmonic in range(1, 9):
            if harmonic * frequency < 7000:
                tone = np.sin(2 * np.pi * harmonic * frequency * seconds) / harmonic**1.3
                audio[start : start + len(seconds)] += 0.1 * envelope * tone
    return audio.astype(np.float32)


def found(score: Score) -> list[Tone]:
    notes = score.tracks[0].notes
    onset, end = notes["onset_tick"], notes["onset_tick"] + notes["duration_tick"]
    return list(zip((onset / TICKS_PER_SECOND).tolist(), (end / TICKS_PER_SECOND).tolist(), notes["pitch"].tolist(),
                    strict=True))  # fmt: skip


def f1(wanted: list[Tone], heard: list[Tone]) -> float:
    """Return the F1 of notes with the right pitch within 50 ms; each counts once."""
    left = list(heard)
    hits = 0
    for onset, _, pitch in wanted:
        match = next((note for note in left if note[2] == pitch and abs(note[0] - onset) <= 0.05), None)
        if match is not None:
            left.remove(match)
            hits += 1
    return 2 * hits / (len(wanted) + len(heard))


@pytest.mark.parametrize(("tones", "floor"), [(MELODY, 0.9), (CHORDS, 0.8)], ids=["melody", "chords"])
def test_plucked_tones_are_written_down(tones: list[Tone], floor: float) -> None:
    score = transcribe_audio(played(tones), SAMPLE_RATE)
    assert f1(tones, found(score)) >= floor


def test_a_score_of_seconds_comes_out_whatever_the_rate_and_the_channels() -> None:
    for rate in (8000, 44_100, 48_000):
        audio = played(MELODY, rate)
        score = transcribe_audio(np.stack([audio, 0.5 * audio], axis=1), rate)
        assert f1(MELODY, found(score)) >= 0.85, rate
        assert (score.ticks_per_quarter, score.tempos) == (480, (TempoChange(0, 120.0),))
        assert [track.name for track in score.tracks] == ["Transcription"]


@pytest.mark.slow
def test_rendered_piano_music_is_written_down() -> None:
    from songwright.rendering.synthesis import SAMPLE_RATE as RENDERED_RATE
    from songwright.rendering.synthesis import render_score

    tones = [*MELODY, *((onset, end, pitch - 24) for onset, end, pitch in CHORDS)]
    notes = [Note(round(960 * on), round(960 * (off - on)), pitch, 90) for on, off, pitch in tones]
    score = Score(480, (Track("PIANO", note_array(notes)),), (TempoChange(0, 120.0),))
    assert f1(tones, found(transcribe_audio(render_score(score), RENDERED_RATE))) >= 0.75


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_every_format_gives_the_notes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"melody.{suffix}"
    soundfile.write(path, played(MELODY, 44_100), 44_100)
    told: list[float] = []
    assert f1(MELODY, found(transcribe(path, progress=told.append))) >= 0.85
    assert told[-1] == 1.0


def test_the_same_recording_gives_the_same_score_at_any_level() -> None:
    audio = played(CHORDS)
    first = transcribe_audio(audio, SAMPLE_RATE)
    assert transcribe_audio(audio, SAMPLE_RATE) == first
    assert f1(found(first), found(transcribe_audio(0.01 * audio, SAMPLE_RATE))) > 0.9
    assert f1(found(first), found(transcribe_audio(1e6 * audio, SAMPLE_RATE))) > 0.9


def test_louder_notes_get_higher_velocities() -> None:
    audio = played(MELODY)
    half = round(1.7 * SAMPLE_RATE)
    audio[:half] *= 0.4
    notes = transcribe_audio(audio, SAMPLE_RATE).tracks[0].notes
    soft = notes["onset_tick"] < 1.7 * TICKS_PER_SECOND
    assert notes["velocity"][soft].mean() + 15 < notes["velocity"][~soft].mean()
    assert notes["velocity"].min() >= 1
    assert notes["velocity"].max() <= 127


def test_pieces_join_without_a_seam() -> None:
    """Longer than one piece of 8 seconds: notes around the seam are found as elsewhere."""
    tones = [(0.4 * i + 0.1, 0.4 * i + 0.45, 60 + i % 12) for i in range(30)]
    assert f1(tones, found(transcribe_audio(played(tones), SAMPLE_RATE))) >= 0.9


def test_noise_alone_has_hardly_a_note() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE)
    assert transcribe_audio(noise, SAMPLE_RATE).num_notes <= 3


def sentence(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_unusable_sound_is_refused_in_one_sentence() -> None:
    second = np.zeros(SAMPLE_RATE, dtype=np.float32)
    broken = played(MELODY)
    broken[1000] = np.nan
    for samples, rate, reason in (
        (second, SAMPLE_RATE, "silent"),
        (second[:1000], SAMPLE_RATE, "shorter than"),
        (second[:0], SAMPLE_RATE, "shorter than"),
        (np.zeros(4000 * 1801, dtype=np.float32), 4000, "longer than 30 minutes"),
        (broken, SAMPLE_RATE, "not finite"),
        (second, 100, "samples a second"),
    ):
        with pytest.raises(InputError, match=reason) as error:
            transcribe_audio(samples, rate)
        sentence(error)


def test_unusable_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    good = tmp_path / "good.wav"
    soundfile.write(good, played(MELODY), SAMPLE_RATE)
    files = {
        "text.wav": b"this is no sound" * 20,
        "empty.mp3": b"",
        "headless.raw": b"\0" * 4000,
        "header.wav": good.read_bytes()[:44],
        "zeros.ogg": b"OggS" + b"\0" * 4000,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name) as error:
            transcribe(tmp_path / name)
        sentence(error)
    for missing in (tmp_path / "missing.wav", tmp_path):
        with pytest.raises(InputError, match="does not exist") as error:
            transcribe(missing)
        sentence(error)
    unfinished = played(MELODY)
    unfinished[5] = np.inf
    soundfile.write(tmp_path / "infinite.wav", unfinished, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(InputError, match="not finite"):
        read_recording(tmp_path / "infinite.wav")


def test_a_file_cut_short_gives_what_it_holds(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.wav", tmp_path / "cut.wav"
    soundfile.write(whole, played(MELODY), SAMPLE_RATE)
    cut.write_bytes(whole.read_bytes()[: 44 + 2 * SAMPLE_RATE])
    assert abs(len(read_recording(cut)) - SAMPLE_RATE) < 16
    assert f1([tone for tone in MELODY if tone[0] < 0.9], found(transcribe(cut))) > 0.6


def test_resampling_keeps_a_tone_and_removes_what_would_fold_back() -> None:
    for rate in (8000, 22_050, 44_100, 48_000, 96_000):
        seconds = np.arange(2 * rate) / rate
        heard = resample(np.sin(2 * np.pi * 1000 * seconds), rate, SAMPLE_RATE)
        expected = np.sin(2 * np.pi * 1000 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)
        assert len(heard) == len(expected)
        assert np.abs(heard - expected)[200:-200].max() < 1e-3
    seconds = np.arange(48_000) / 48_000
    assert np.abs(resample(np.sin(2 * np.pi * 9500 * seconds), 48_000, SAMPLE_RATE))[200:-200].max() < 1e-3


def test_files_read_in_pieces_are_the_whole_file(tmp_path: Path) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(400_000)).astype(np.float32)  # more than one block
    soundfile.write(tmp_path / "noise.wav", noise, 44_100, subtype="FLOAT")
    np.testing.assert_allclose(read_recording(tmp_path / "noise.wav"), resample(noise, 44_100, SAMPLE_RATE), atol=1e-5)


def test_a_sine_is_loudest_in_the_bin_of_its_pitch() -> None:
    for pitch in (33, 48, 69, 96):
        tone = 0.1 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)
        levels = spectrogram(tone.astype(np.float32))
        assert levels.shape == (2, num_frames(len(tone)), 294)
        assert levels[0, 60].argmax() == 3 * (pitch - 21) + 1
        assert abs(levels[0, 60].max() + 20) < 2.0
    assert abs(reference_level(tone.astype(np.float32)) + 23) < 0.1


def test_a_part_of_the_spectrogram_is_the_part_of_the_whole() -> None:
    audio = played(CHORDS)
    np.testing.assert_allclose(spectrogram(audio, 50, 80), spectrogram(audio)[:, 50:80], atol=1e-3)


def test_notes_start_at_peaks_and_end_in_quiet_or_where_struck_again() -> None:
    onset, frame = np.zeros((100, 88), dtype=np.float32), np.zeros((100, 88), dtype=np.float32)
    onset[9:12, 39] = 0.4, 0.9, 0.6  # the instant lies a little after frame 10
    onset[40, 39] = 0.8
    onset[60, 50] = 0.3  # below the threshold
    frame[10:80, 39] = 0.9
    frame[30, 39] = 0.0  # one quiet frame is no end
    notes = decode_notes(onset, frame, onset_threshold=0.5, frame_threshold=0.4)
    seconds = HOP / SAMPLE_RATE
    assert notes[:, 2].tolist() == [60, 60]
    assert 10 * seconds < notes[0, 0] < 10.5 * seconds
    np.testing.assert_allclose(notes[:, 1], [40 * seconds, 80 * seconds])
    assert len(decode_notes(onset[:0], frame[:0], onset_threshold=0.5, frame_threshold=0.4)) == 0


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        load_model(tmp_path)
    for name in ("network.onnx", "transcription.json"):
        (tmp_path / name).write_bytes((weights_folder() / name).read_bytes())
    changed = bytearray((tmp_path / "network.onnx").read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "network.onnx").write_bytes(changed)
    with pytest.raises(WeightsError, match="checksum"):
        load_model(tmp_path)
