from __future__ import annotations

import numpy as np
import pytest

from songwright.composition.composer import Composer
from songwright.composition.decoding import SamplingConfig, token_temperatures
from songwright.composition.plan import plan_song
from songwright.score.grid import STEPS_PER_BAR
from songwright.tokens import lead_sheet


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer("pop")


def test_songs_are_valid_and_in_their_key(composer):
    for seed in range(6):
        plan = plan_song(seconds=30, seed=seed)
        song = composer.compose(plan).song
        assert song.problems() == []
        sheet = song.lead_sheet
        assert (sheet.key, sheet.form, sheet.tempo_qpm) == (plan.key, plan.form, plan.tempo_qpm)
        assert len(sheet.chords) >= 2
        assert len(song.piano) > sheet.num_bars
        assert 21 <= song.piano["pitch"].min() <= song.piano["pitch"].max() <= 108
        bars_with_piano = set((song.piano["onset_step"] // STEPS_PER_BAR).tolist())
        assert len(bars_with_piano) >= 0.9 * sheet.num_bars


def test_whole_precision_composes_too(composer):
    exact = Composer("pop", precision="fp32")
    song = exact.compose(plan_song(seconds=15, seed=1)).song
    assert song.problems() == []
    assert exact.fingerprint != composer.fingerprint


def test_progress_names_both_stages_and_reaches_the_last_bar(composer):
    plan = plan_song(seconds=15, seed=2)
    seen: dict[str, list[int]] = {}
    composer.compose(plan, progress=lambda stage, done, total: seen.setdefault(stage, []).append(done))
    bars = plan.form.num_bars
    assert list(seen) == ["melody and chords", "piano"]
    for done in seen.values():
        assert done[0] == 0
        assert done[-1] == bars


@pytest.mark.parametrize(
    "values", [{"temperature": 0}, {"temperature": 11}, {"cutoff": 1}, {"temperatures": {"DUR": -1}}]
)
def test_impossible_sampling_is_refused(values):
    with pytest.raises(ValueError, match="must be"):
        SamplingConfig(**values)


def test_a_kind_of_token_may_have_a_temperature_of_its_own():
    values = token_temperatures(lead_sheet.VOCABULARY, SamplingConfig(temperature=0.9, temperatures={"CHORD": 0.5}))
    assert values[lead_sheet.CHORD_0] == np.float32(0.5)
    assert values[lead_sheet.BAR] == np.float32(0.9)
