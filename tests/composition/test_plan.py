"""Plans: lengths that fit, wishes kept, decisions independent, errors in one sentence; titles."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from songwright.composition.plan import plan_song
from songwright.composition.title import draw_title
from songwright.errors import InputError
from songwright.score.lead_sheet import Form
from songwright.score.pitch import Key


def test_three_hundred_songs_last_three_minutes_within_a_bar():
    plans = [plan_song(seed=seed) for seed in range(300)]
    for plan in plans:
        assert abs(plan.duration_seconds - 180) <= 240 / plan.tempo_qpm
        assert 60 <= plan.tempo_qpm <= 140
        assert plan.tempo_qpm == round(plan.tempo_qpm)
    assert len({plan.form for plan in plans}) > 250
    assert len({plan.title for plan in plans}) > 280
    assert len({plan.key for plan in plans}) == 24
    minor = np.mean([plan.key.is_minor for plan in plans])
    assert 0.3 < minor < 0.5  # 40 % of the labelled songs
    assert 70 < np.median([plan.tempo_qpm for plan in plans]) < 85


@pytest.mark.parametrize("seconds", [10, 15, 30, 61.5, 247, 600, 900])
@pytest.mark.parametrize("tempo_qpm", [None, 40, 92.5, 240])
def test_any_duration_is_met_within_a_bar(seconds, tempo_qpm):
    plan = plan_song(seconds=seconds, tempo_qpm=tempo_qpm, seed=2)
    assert abs(plan.duration_seconds - seconds) <= 240 / plan.tempo_qpm
    assert tempo_qpm in (None, plan.tempo_qpm)


def test_the_same_wish_and_seed_give_the_same_plan():
    assert plan_song(seed=11) == plan_song(seed=11)
    assert plan_song(seed=11) != plan_song(seed=12)


def test_a_decision_made_leaves_the_others_as_the_seed_had_them():
    free = plan_song(seed=5)
    assert plan_song(seed=5, tempo_qpm=91).key == free.key
    assert plan_song(seed=5, key="C").tempo_qpm == free.tempo_qpm
    assert plan_song(seed=5, key="C").form == free.form
    assert plan_song(seed=5, form="i4A8B8A8B8o4").key == free.key


def test_wishes_are_kept():
    plan = plan_song(key="A minor", tempo_qpm=92, form="intro 4, verse 8, chorus 8, outro 2", seed=0)
    assert (plan.key, plan.tempo_qpm, str(plan.form)) == (Key(9, is_minor=True), 92, "i4A8B8o2")
    plan = plan_song(key=Key(3), num_bars=64, seed=0)
    assert (plan.key, plan.num_bars) == (Key(3), 64)


def test_a_form_and_a_duration_decide_the_tempo():
    plan = plan_song(form="i4A8B8A8B8b4B8o4", seconds=150, seed=0)
    assert plan.num_bars == 52
    assert plan.tempo_qpm == 83
    long = plan_song(num_bars=225, seconds=897.3, seed=0)  # a whole tempo would miss by more than half a bar
    assert abs(long.duration_seconds - 897.3) <= 120 / long.tempo_qpm


def test_a_few_or_very_many_bars_take_a_tempo_that_makes_them_a_song():
    assert plan_song(num_bars=2, seed=0).tempo_qpm == 48
    assert plan_song(num_bars=900, seed=0).tempo_qpm == 240


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"seconds": 0}, "10 seconds to 15 minutes"),
        ({"seconds": 36000}, "10 seconds to 15 minutes"),
        ({"seconds": float("nan")}, "10 seconds to 15 minutes"),
        ({"tempo_qpm": -1}, "tempo -1 is out of range: choose from 40 to 240"),
        ({"tempo_qpm": 241}, "out of range"),
        ({"num_bars": 0}, "ask for 2 to 900 bars"),
        ({"num_bars": 0, "seconds": 60}, "other bars|2 to 900 bars"),
        ({"num_bars": -3}, "ask for 2 to 900 bars"),
        ({"num_bars": 500, "tempo_qpm": 60}, "choose a tempo from 134 to 240"),
        ({"key": "H"}, "'H' is no key"),
        ({"form": "i4Q8"}, "unknown phrase letter 'Q'"),
        ({"form": "hello"}, "cannot read 'hello'"),
        ({"form": "A0"}, "from 1 to 64 bars"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"form": "A8", "num_bars": 9}, "has 8 bars, not 9"),
        ({"form": "i4A8B8o4", "seconds": 500}, "ask for 24 to 144 seconds"),
        ({"form": "i4A8B8o4", "seconds": 10}, "ask for 24 to 144 seconds"),
        ({"form": "i4A8B8o4", "seconds": 180, "tempo_qpm": 120}, "last 48.0 seconds, not 180.*90 bars"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_sentence(wish, message):
    with pytest.raises(InputError, match=message) as error:
        plan_song(**{"seed": 0, **wish})
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith(".")


@pytest.mark.parametrize("style", ["mine", "my-style", "../pop"])
def test_a_style_without_statistics_of_its_own_is_planned_like_pop(style):
    plan = plan_song(style=style, seed=4)
    assert plan.style == style
    assert replace(plan, style="pop") == plan_song(style="pop", seed=4)


def test_a_form_within_a_bar_of_duration_and_tempo_is_taken_as_it_is():
    form = Form.parse("i4A8B8A8B8b4B8o4")
    assert plan_song(form=form, tempo_qpm=70, seconds=180, seed=0).form == form


def test_titles_are_varied_and_read_as_titles():
    titles = [
        draw_title(np.random.default_rng(seed), is_minor=bool(seed & 1), tempo_qpm=70 + seed % 60)
        for seed in range(2000)
    ]
    assert len(set(titles)) > 1800
    for title in titles:
        assert 2 <= len(title.split()) <= 8
        stems = [word.lower()[:5] for word in title.split() if len(word) > 3]
        assert len(set(stems)) == len(stems), title
        assert title == title.strip()
        assert title[0].isupper()


def test_the_mood_of_a_title_follows_mode_and_tempo():
    def words(is_minor: bool, tempo_qpm: float) -> Counter[str]:
        drawn = (draw_title(np.random.default_rng(s), is_minor=is_minor, tempo_qpm=tempo_qpm) for s in range(400))
        return Counter(word.lower() for title in drawn for word in title.split())

    assert words(True, 70)["lonely"] > 0 == words(False, 70)["lonely"]
    assert words(False, 120)["jubilant"] > 0 == words(True, 120)["jubilant"]
    assert words(True, 120)["neon"] > 0 == words(True, 70)["neon"]
