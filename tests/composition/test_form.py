"""Forms: learned from labels, drawn to an exact length, distributed as in real songs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import numpy as np
import pytest

from songwright.analysis.form_model import (
    LETTERS,
    SUNG_LETTERS,
    FormModel,
    instrumental_share,
    phrase_context,
    repeated_share,
)
from songwright.composition.form import form_model, sample_form
from songwright.corpus.splits import split_of
from songwright.errors import InputError
from songwright.training.forms import learn_forms, main, read_label, songs_in_four

Phrases = Sequence[tuple[str, int]]


def _drawn(num_bars: int, seed: int, **options: float) -> tuple[tuple[str, int], ...]:
    return sample_form(num_bars, np.random.default_rng(seed), **options).phrases


@pytest.fixture(scope="module")
def many_forms() -> list[tuple[tuple[str, int], ...]]:
    return [_drawn(64 + seed % 9, seed) for seed in range(200)]


@pytest.mark.parametrize("num_bars", [1, 2, 3, *range(4, 121), 150, 225, 400, 900])
def test_a_form_fills_the_bars_exactly(num_bars):
    form = sample_form(num_bars, np.random.default_rng(num_bars))
    assert form.num_bars == num_bars
    assert any(letter == "A" for letter, _ in form.phrases)
    assert instrumental_share(form.phrases) <= 0.5


@pytest.mark.parametrize("num_bars", [0, -4, 1001])
def test_a_length_out_of_range_is_refused(num_bars):
    with pytest.raises(ValueError, match="from 1 to 1000 bars"):
        sample_form(num_bars, np.random.default_rng(0))


def test_the_same_generator_state_gives_the_same_form():
    assert _drawn(68, 3) == _drawn(68, 3)
    assert len({_drawn(68, seed) for seed in range(25)}) > 22


def test_a_form_of_68_bars_is_drawn_quickly():
    form_model.cache_clear()
    start = time.perf_counter()
    _drawn(68, 1)
    assert time.perf_counter() - start < 1.0  # 0.1 s on an idle machine; others may share this one


def test_sung_letters_come_in_order(many_forms):
    for phrases in many_forms:
        first = list(dict.fromkeys(letter for letter, _ in phrases if letter in SUNG_LETTERS))
        assert first == list(SUNG_LETTERS[: len(first)])


def test_intro_and_outro_stand_at_the_ends_only(many_forms):
    for phrases in many_forms:
        assert all(letter != "i" for letter, _ in phrases[1:])
        assert all(letter != "o" for letter, _ in phrases[:-1])
        assert phrases[-1][0] not in "xb"
    assert np.mean([phrases[0][0] == "i" for phrases in many_forms]) > 0.85
    assert np.mean([phrases[-1][0] in "oX" for phrases in many_forms]) > 0.85


def test_returning_letters_keep_their_lengths_mostly(many_forms):
    assert 0.88 < np.mean(_kept_lengths(many_forms)) < 0.99


def test_slow_songs_have_shorter_phrases():
    context = phrase_context([("i", 4)], 80)
    slow, fast = (form_model().length_distribution(context, "A", tempo_qpm) for tempo_qpm in (60, 120))
    assert slow[4] > 1.1 * fast[4]
    assert slow @ np.arange(len(slow)) < fast @ np.arange(len(fast))


def _kept_lengths(songs: Sequence[Phrases]) -> list[bool]:
    kept = []
    for phrases in songs:
        lengths: dict[str, set[int]] = {}
        for letter, bars in phrases:
            if letter in lengths and letter in SUNG_LETTERS:
                kept.append(bars in lengths[letter])
            lengths.setdefault(letter, set()).add(bars)
    return kept


def _total_variation(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    counts = Counter(one), Counter(other)
    names = {*counts[0], *counts[1]}
    return sum(abs(counts[0][name] / len(one) - counts[1][name] / len(other)) for name in names) / 2


FEATURES: dict[str, Callable[[Phrases], list[Hashable]]] = {
    "number of phrases, in twos": lambda song: [len(song) // 2],
    "distinct sung letters": lambda song: [len({letter for letter, _ in song if letter in SUNG_LETTERS})],
    "instrumental share of bars, in steps of .05": lambda song: [int(instrumental_share(song) / 0.05)],
    "repeated share of phrases, in steps of .05": lambda song: [int(repeated_share(song) / 0.05)],
    "last letter": lambda song: [song[-1][0]],
    "phrase lengths": lambda song: [bars for _, bars in song],
    "sung phrase lengths": lambda song: [bars for letter, bars in song if letter in SUNG_LETTERS],
    "pairs of letters": lambda song: [song[i][0] + song[i + 1][0] for i in range(len(song) - 1)],
}


def _distances(ones: Sequence[Phrases], others: Sequence[Phrases]) -> dict[str, float]:
    return {
        name: _total_variation(
            [value for song in ones for value in feature(song)], [value for song in others for value in feature(song)]
        )
        for name, feature in FEATURES.items()
    }


@pytest.mark.data
def test_forms_are_distributed_as_in_real_songs_of_their_length(music_data: Path, many_forms):
    real = []
    for song_id in sorted(songs_in_four(music_data / "POP909")):
        label = music_data / "POP909-phrases" / song_id / "human_label1.txt"
        if label.exists():
            phrases = read_label(label.read_text())
            if 64 <= sum(bars for _, bars in phrases) <= 72:
                real.append(phrases)
    assert len(real) > 150
    distances = _distances(many_forms, real)
    rng = np.random.default_rng(0)
    halves = []
    for _ in range(20):
        order = rng.permutation(len(real))
        half = len(real) // 2
        halves.append(_distances([real[i] for i in order[:half]], [real[i] for i in order[half:]]))
    for name, distance in distances.items():
        floor = np.mean([half[name] for half in halves])
        print(f"{name}: {distance:.3f} (two halves of the real songs: {floor:.3f})")
        assert distance < 0.25, name
    assert np.mean(list(distances.values())) < 0.16


def test_the_label_of_a_song_is_read_with_known_letters():
    assert read_label("i4B8A8c4c4B8o2\n") == tuple(zip("iABbbAo", (4, 8, 8, 4, 4, 8, 2), strict=True))
    assert [letter for letter, _ in read_label("A4B4C4D4E4F4X1")] == list("ABCDEXX")
    assert [letter for letter, _ in read_label("x4i4A4o4A4g2")] == list("xxAxAx")
    with pytest.raises(ValueError, match="not a phrase label"):
        read_label("A4 B")


def _write_songs(root: Path, labels: Sequence[str], *, tempo: str = "80", key: str = "D:maj\n") -> Path:
    for index, label in enumerate(labels):
        folder = root / f"{index:03}"
        folder.mkdir(parents=True)
        (folder / "human_label1.txt").write_text(label + "\n")
        (folder / "tempo.txt").write_text(tempo)
        (folder / "analyzed_key.txt").write_text(key)
    return root


def test_what_is_learned_follows_the_labels(tmp_path):
    learned = learn_forms(_write_songs(tmp_path, ["i4A8B8A8B8o4"] * 10, tempo="45"))
    assert learned["num_songs"] == 10
    assert learned["tempos"] == {"90": 10}  # below 50 counts as twice as fast
    assert learned["keys"]["major"][2] == 10
    model = FormModel(**json.loads(json.dumps(learned))["model"])
    context = phrase_context([("i", 4), ("A", 8)], 40)
    assert LETTERS[int(np.argmax(model.letter_distribution(context)))] == "B"
    assert int(np.argmax(model.length_distribution(context, "B", 90))) == 8
    assert model.end_share == {"i": 0, "A": 0, "B": 0, "o": 1}


def test_distributions_sum_to_one_in_every_context():
    model = form_model()
    phrases: tuple[tuple[str, int], ...] = _drawn(70, 5)
    for place in range(len(phrases)):
        context = phrase_context(phrases[:place], 70)
        letters = model.letter_distribution(context)
        assert letters.sum() == pytest.approx(1, abs=1e-3)  # weights are kept to four decimals
        for letter in LETTERS:
            assert model.length_distribution(context, letter, 80).sum() == pytest.approx(1, abs=1e-3)
        assert letters[LETTERS.index("i")] == 0 or place == 0


def test_broken_labels_are_named(tmp_path):
    with pytest.raises(InputError, match="found 0 labelled songs"):
        learn_forms(tmp_path)
    _write_songs(tmp_path, ["A8B8A8o2"] * 5)
    (tmp_path / "003" / "tempo.txt").write_text("quick")
    with pytest.raises(InputError, match="003"):
        learn_forms(tmp_path)


def test_the_command_writes_statistics_of_training_songs(tiny_pop909, tmp_path):
    out = tmp_path / "forms.json"
    main([str(tiny_pop909 / "POP909-phrases"), "--beats", str(tiny_pop909 / "POP909"), "--out", str(out)])
    train = [folder.name for folder in (tiny_pop909 / "POP909").iterdir() if split_of(folder.name) == "train"]
    assert json.loads(out.read_text())["num_songs"] == len(train) < 8
    assert list(tmp_path.iterdir()) == [out]
