from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from songwright.errors import InputError, SongwrightError
from songwright.rendering import synthesis
from songwright.rendering.mastering import integrated_loudness, master, true_peak
from songwright.rendering.soundfont import find_soundfont
from songwright.rendering.synthesis import MIX, SAMPLE_RATE, render_score
from songwright.score.elements import Note, Score, TempoChange, Track, note_array


def score_of(*tracks: Track, qpm: float = 120.0, later: tuple[TempoChange, ...] = ()) -> Score:
    return Score(480, tracks, (TempoChange(0, qpm), *later))


def track_of(name: str, *notes: Note, program: int = 0, is_drum: bool = False) -> Track:
    return Track(name, note_array(notes), program, is_drum)


def frequency_of(audio: np.ndarray, *, below: float = SAMPLE_RATE / 2) -> float:
    """Return the strongest frequency below a limit, interpolated on the logarithm of a windowed spectrum."""
    mono = audio.sum(axis=1) * np.hanning(len(audio))
    spectrum = np.log(np.abs(np.fft.rfft(mono)) + 1e-12)
    peak = int(spectrum[: int(below * len(mono) / SAMPLE_RATE)].argmax())
    left, middle, right = spectrum[peak - 1 : peak + 2]
    return (peak + 0.5 * (left - right) / (left - 2 * middle + right)) * SAMPLE_RATE / len(mono)


def power_at(audio: np.ndarray, frequency: float) -> float:
    """Return the power within 2 % of a frequency, as a share of the whole."""
    power = np.abs(np.fft.rfft(audio.sum(axis=1) * np.hanning(len(audio)))) ** 2
    bins = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    return float(power[np.abs(bins / frequency - 1) < 0.02].sum() / power.sum())


@pytest.mark.parametrize("pitch", [45, 69, 88])
def test_notes_are_in_tune(pitch: int, tiny_sf3: Path) -> None:
    audio = render_score(score_of(track_of("MELODY", Note(0, 1920, pitch))), soundfont=tiny_sf3)
    cents = 1200 * np.log2(frequency_of(audio[9600:96_000]) / (440 * 2 ** ((pitch - 69) / 12)))
    assert abs(cents) < 1


def test_a_piano_a4_of_the_font_at_hand_is_in_tune() -> None:
    try:
        font = find_soundfont()
    except InputError:
        pytest.skip("no SoundFont installed")
    audio = render_score(score_of(track_of("MELODY", Note(0, 1920, 69, 90))), soundfont=font)
    frequency = frequency_of(audio[9600:96_000], below=660)  # in some fonts the octave above is the louder
    assert abs(1200 * np.log2(frequency / 440)) < 10  # pianos are stretched a little


def test_the_audio_lasts_as_long_as_the_score_and_its_decay(tiny_sf3: Path) -> None:
    slow = score_of(track_of("MELODY", Note(0, 480, 60), Note(1920, 480, 64)), later=(TempoChange(960, 60.0),))
    audio = render_score(slow, soundfont=tiny_sf3)
    # Two quarters at 120, three at 60: 4 s. The room then rings for no more than 1.7 s.
    assert 4.0 < len(audio) / SAMPLE_RATE < 5.8
    assert audio.dtype == np.float32
    second = np.flatnonzero(np.abs(audio[: 4 * SAMPLE_RATE]).max(axis=1) > 0.3 * np.abs(audio).max())
    assert second[second > SAMPLE_RATE][0] / SAMPLE_RATE == pytest.approx(3.0, abs=0.01)


def test_the_end_dies_away_to_silence(tiny_sf3: Path) -> None:
    audio = render_score(score_of(track_of("MELODY", Note(0, 480, 60))), soundfont=tiny_sf3)
    peak = np.abs(audio).max()
    assert not audio[-1].any()
    assert np.abs(audio[-2400:]).max() < 1e-3 * peak
    assert np.abs(audio[24_000 : 24_000 + 9600]).max() > 3e-3 * peak  # a room, not a cut


def test_a_note_struck_again_while_it_sounds_is_heard_to_its_end(tiny_sf3: Path) -> None:
    audio = render_score(score_of(track_of("MELODY", Note(0, 960, 69), Note(480, 1920, 69))), soundfont=tiny_sf3)
    late = audio[round(2.0 * SAMPLE_RATE) : round(2.4 * SAMPLE_RATE)]
    assert 20 * np.log10(np.abs(late).max() / np.abs(audio).max()) > -6


def test_the_lead_stands_out_however_softly_it_was_played(tiny_sf3: Path) -> None:
    ratios_db = []
    for lead_velocity, piano_velocity in ((30, 110), (110, 30)):
        lead = track_of("MELODY", Note(0, 3840, 69, lead_velocity))
        piano = track_of("PIANO", Note(0, 3840, 62, piano_velocity))
        audio = render_score(score_of(lead, piano), soundfont=tiny_sf3)[SAMPLE_RATE : 3 * SAMPLE_RATE]
        ratios_db.append(10 * np.log10(power_at(audio, 440) / power_at(audio, 440 * 2 ** (-7 / 12))))
    assert ratios_db[0] == pytest.approx(ratios_db[1], abs=0.2)
    assert ratios_db[0] == pytest.approx(-MIX["keys"].level_lu, abs=2)  # the room adds to each tone in its own phase


def test_two_instruments_of_one_role_stand_left_and_right(tiny_sf3: Path) -> None:
    left, right = (track_of(name, Note(0, 3840, pitch)) for name, pitch in (("PIANO", 60), ("ORGAN", 72)))
    audio = render_score(score_of(left, right), soundfont=tiny_sf3)[SAMPLE_RATE : 3 * SAMPLE_RATE]
    balance = [
        power_at(audio[:, [0, 0]], frequency) / power_at(audio[:, [1, 1]], frequency)
        for frequency in (440 * 2 ** (-9 / 12), 440 * 2 ** (3 / 12))
    ]
    assert balance[0] > 1.05
    assert balance[1] < 0.95


def test_drums_play_the_kit(tiny_sf3: Path) -> None:
    drums = render_score(score_of(track_of("DRUMS", Note(0, 240, 38), is_drum=True)), soundfont=tiny_sf3)
    assert power_at(drums[:9600], 440) < 0.2  # noise, not the sine of preset 0:0


def test_a_stem_that_clips_is_rendered_again_softer(tiny_sf3: Path) -> None:
    pitches = (45, 52, 57, 61, 64, 69)
    chord = track_of("PIANO", *(Note(0, 3840, pitch, 127) for pitch in pitches))
    audio = render_score(score_of(chord), soundfont=tiny_sf3)[SAMPLE_RATE : 3 * SAMPLE_RATE]
    assert sum(power_at(audio, 440 * 2 ** ((pitch - 69) / 12)) for pitch in pitches) > 0.9999


def test_tracks_rendered_in_processes_sound_the_same(tiny_sf3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = score_of(*(track_of(name, Note(0, 480, 60), Note(480, 480, 64)) for name in ("MELODY", "PIANO", "BASS")))
    alone = render_score(score, soundfont=tiny_sf3)
    monkeypatch.setattr(synthesis, "_PARALLEL_NOTES", 0)
    monkeypatch.setattr(synthesis.os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(synthesis, "_render_here", None)  # not used
    assert np.array_equal(render_score(score, soundfont=tiny_sf3), alone)


def test_a_synthesizer_stopped_from_outside_is_an_error_and_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    monkeypatch.setattr(synthesis, "_WORKER", f"import signal; signal.signal(2, signal.SIG_DFL); {stop}")
    monkeypatch.setattr(synthesis, "_render_here", None)  # not used
    with pytest.raises(SongwrightError, match="was stopped"):
        synthesis._render_in_process(b"", b"")


def test_progress_rises_to_one(tiny_sf3: Path) -> None:
    told: list[float] = []
    score = score_of(track_of("MELODY", Note(0, 480, 60)), track_of("PIANO", Note(0, 480, 60)))
    render_score(score, soundfont=tiny_sf3, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) >= 3


def test_a_score_without_notes_is_silence(tiny_sf3: Path) -> None:
    for score in (Score(480, ()), score_of(track_of("MELODY"))):
        audio = render_score(score, soundfont=tiny_sf3)
        assert audio.shape == (SAMPLE_RATE // 2, 2)
        assert not master(audio).any()


def test_a_missing_font_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        render_score(score_of(track_of("MELODY", Note(0, 480, 60))), soundfont=tmp_path / "none.sf2")


def test_a_song_comes_out_at_the_loudness_of_the_charts_without_clipping(tiny_sf3: Path) -> None:
    random = np.random.default_rng(3)
    melody = [Note(480 * beat, 400, int(random.integers(60, 80)), int(random.integers(60, 120))) for beat in range(32)]
    piano = [Note(960 * half, 900, pitch, 70) for half in range(16) for pitch in (48, 55, 60, 64)]
    drums = track_of("DRUMS", *(Note(480 * beat, 100, 36) for beat in range(32)), is_drum=True)
    audio = render_score(score_of(track_of("MELODY", *melody), track_of("PIANO", *piano), drums), soundfont=tiny_sf3)
    mastered = master(audio)
    assert integrated_loudness(mastered, SAMPLE_RATE) == pytest.approx(-14.0, abs=0.2)
    assert true_peak(mastered) <= -1.0
    assert np.abs(audio[:, 0] - audio[:, 1]).max() > 0  # the room is stereo
