from __future__ import annotations

import math

import numpy as np
import pytest

from songwright.rendering.mastering import integrated_loudness, master, true_peak

RATE = 48_000


def sine(frequency: float, seconds: float, level_db: float, rate: int = RATE, phase: float = 0.0) -> np.ndarray:
    """Return a sine in both channels, faded in and out over 20 ms."""
    time = np.arange(round(seconds * rate)) / rate
    fade = np.clip(np.minimum(time, seconds - time) / 0.02, 0, 1)
    mono = 10 ** (level_db / 20) * np.sin(2 * np.pi * frequency * time + phase) * fade
    return np.stack([mono, mono], axis=1)


def music_like(seconds: float, seed: int) -> np.ndarray:
    """Return decaying noise and tones with high peaks, at no particular level."""
    random = np.random.default_rng(seed)
    audio = np.zeros((round(seconds * RATE), 2))
    for start in np.sort(random.integers(0, len(audio) - RATE // 2, round(4 * seconds))):
        time = np.arange(RATE // 2) / RATE
        tone = np.sin(2 * np.pi * random.uniform(80, 3000) * time) + 0.5 * random.standard_normal(len(time)) * np.exp(
            -60 * time
        )
        audio[start : start + len(time)] += (tone * np.exp(-6 * time))[:, None] * random.uniform(0.05, 0.5, 2)
    return audio


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_a_997_hz_sine_reads_its_level_as_bs_1770_says(rate: int) -> None:
    audio = sine(997, 5, -23.0, rate)
    assert integrated_loudness(audio, rate) == pytest.approx(-23.0, abs=0.05)
    assert integrated_loudness(audio[:, :1], rate) == pytest.approx(-26.01, abs=0.05)
    assert integrated_loudness(audio[:, 0], rate) == pytest.approx(-26.01, abs=0.05)


@pytest.mark.parametrize(("frequency", "weight_db"), [(100.0, -1.8), (4000.0, 2.6), (30.0, -8.9)])
def test_lows_weigh_less_and_highs_more(frequency: float, weight_db: float) -> None:
    difference = integrated_loudness(sine(frequency, 5, -20), RATE) - integrated_loudness(sine(997, 5, -20), RATE)
    assert difference == pytest.approx(weight_db, abs=1.0)


def test_quiet_passages_do_not_count() -> None:
    # Cases 3 and 4 of EBU Tech 3341, shortened: relative and absolute gate.
    quiet, loud, faint = sine(1000, 5, -36), sine(1000, 30, -23), sine(1000, 5, -72)
    assert integrated_loudness(np.concatenate([quiet, loud, quiet]), RATE) == pytest.approx(-23.0, abs=0.1)
    assert integrated_loudness(np.concatenate([faint, quiet, loud, quiet, faint]), RATE) == pytest.approx(
        -23.0, abs=0.1
    )


def test_silence_has_no_loudness_and_no_peak() -> None:
    assert integrated_loudness(np.zeros((RATE, 2)), RATE) == -math.inf
    assert integrated_loudness(sine(997, 0.3, -10), RATE) == -math.inf
    assert true_peak(np.zeros((RATE, 2))) == -math.inf
    assert true_peak(np.zeros((0, 2))) == -math.inf


@pytest.mark.parametrize(
    ("frequency", "phase"), [(997.0, 0.0), (RATE / 4, math.pi / 4), (RATE / 6, math.pi / 6), (15_000.0, 1.0)]
)
def test_the_peak_between_samples_is_found(frequency: float, phase: float) -> None:
    audio = sine(frequency, 1, -6.0, phase=phase)
    assert true_peak(audio) == pytest.approx(-6.0, abs=0.1)
    if frequency == RATE / 4:
        assert 20 * math.log10(np.abs(audio).max()) == pytest.approx(-9.01, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("level", [1e-3, 1.0, 30.0])
def test_mastered_music_has_the_loudness_asked_for_under_the_ceiling(seed: int, level: float) -> None:
    mastered = master(level * music_like(8, seed))
    assert mastered.dtype == np.float32
    assert mastered.shape == (8 * RATE, 2)
    assert integrated_loudness(mastered, RATE) == pytest.approx(-14.0, abs=0.3)
    assert true_peak(mastered) <= -1.0


def test_the_ceiling_holds_where_the_loudness_is_out_of_reach() -> None:
    clicks = np.zeros((5 * RATE, 2))
    clicks[::RATE] = 1.0
    assert true_peak(master(clicks)) <= -1.0
    assert true_peak(master(music_like(5, 0), target_lufs=-3.0, ceiling_dbtp=-2.0)) <= -2.0


def test_music_that_needs_no_limiting_is_not_distorted() -> None:
    power = np.abs(np.fft.rfft(master(sine(440, 4, -30))[RATE : 3 * RATE, 0] * np.hanning(2 * RATE))) ** 2
    tone = power[875:886].sum()  # 440 Hz
    assert 10 * math.log10((power.sum() - tone) / tone) < -90


def test_a_constant_offset_and_rumble_are_removed() -> None:
    audio = sine(440, 6, -20) + 0.3 + sine(5, 6, -20)
    spectrum = np.abs(np.fft.rfft(master(audio)[2 * RATE : 4 * RATE, 0])) / RATE
    assert spectrum[0] < 0.01  # 0 Hz
    assert spectrum[880] > 10 * spectrum[10]  # 440 Hz over 5 Hz, equally loud at first


def test_silence_stays_silent_and_the_shape_is_kept() -> None:
    assert not master(np.zeros((RATE, 2))).any()
    assert master(np.zeros((0, 2))).shape == (0, 2)
    assert master(music_like(2, 1)[:, 0]).shape == (2 * RATE,)


def test_what_is_too_short_to_have_a_loudness_is_only_kept_under_the_ceiling() -> None:
    assert true_peak(master(4 * sine(997, 0.2, 0))) <= -1.0
