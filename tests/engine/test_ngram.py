from __future__ import annotations

import io
import json

import numpy as np
import pytest

from songwright.engine import ngram
from songwright.engine.ngram import NgramDecoder, NgramModel
from songwright.engine.ngram_counts import NgramCounts, NgramSizes, discounts
from songwright.errors import WeightsError

VOCAB = 7
# Counts of counts too few for the formula: half a count is taken from one, one from two, one and a half from more.
SONG = [1, 2, 3, 2, 3, 4]


def model_of(songs, *, order=3, cache_order=0, vocab_size=VOCAB, **metadata) -> NgramModel:
    sizes = NgramSizes(vocab_size=vocab_size, order=order, cache_order=cache_order)
    counts = NgramCounts.of([np.array(song) for song in songs], vocab_size=vocab_size, order=order)
    return NgramModel(counts, sizes, metadata=metadata)


def random_songs(seed: int, *, count: int = 12, length: int = 60) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[0, *np.minimum(rng.geometric(0.4, length), VOCAB - 1).tolist()] for _ in range(count)]


@pytest.fixture(scope="module")
def model() -> NgramModel:
    return model_of(random_songs(1), order=4, cache_order=12, fingerprint="abc", stream="toy")


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("ngrams") / "toy.npz"
    file.write_bytes(model.to_bytes())
    return file


def test_a_unigram_follows_the_formula():
    # Tokens but the first: 2 twice, 3 twice, 4 once. One is taken of a count of two, a half of a count of one.
    found = model_of([SONG], order=1).probabilities([1])
    left = (1 + 1 + 0.5) / 5 / VOCAB
    assert found.tolist() == pytest.approx([left, left, 1 / 5 + left, 1 / 5 + left, 0.5 / 5 + left, left, left])


def test_a_bigram_rests_on_how_many_tokens_came_before_each_other_one():
    # Before 2 came 1 and 3, before 3 came 2 (twice, which does not matter), before 4 came 3.
    unigram = np.full(VOCAB, (1 + 0.5 + 0.5) / 4 / VOCAB)
    unigram[[2, 3, 4]] += np.array([1, 0.5, 0.5]) / 4
    # After 3 came 2 once and 4 once: half a count is taken from each.
    expected = (0.5 + 0.5) / 2 * unigram
    expected[[2, 4]] += 0.5 / 2
    found = model_of([SONG], order=2).probabilities([1, 2, 3])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_start_of_a_song_counts_each_time():
    # In two songs 2 follows 1 at the start; before 1 there is nothing, so both starts count: one of two is taken.
    found = model_of([[1, 2], [1, 2]], order=3).probabilities([1])
    unigram = 1 / 1 * 0.5 + 0.5 / VOCAB  # one token, 1, came before 2
    assert found[2] == pytest.approx(1 / 2 + 1 / 2 * unigram)


def test_a_context_that_was_never_seen_leaves_the_shorter_one():
    toy = model_of([SONG], order=3)
    np.testing.assert_array_equal(toy.probabilities([1, 5, 2]), toy.probabilities([6, 2]))
    assert not np.array_equal(toy.probabilities([1, 3, 2]), toy.probabilities([6, 2]))


def test_the_song_so_far_follows_the_formula_from_two_tokens_on(monkeypatch):
    monkeypatch.setattr(ngram, "_NOVELTY", 2.0)
    history = [1, 2, 3, 5, 2, 3, 6, 4, 2, 3]
    base = model_of([SONG], order=2).probabilities(history)
    # After 2 3 came 5 and 6: two followers of two kinds; no longer context is met again.
    expected = 4 * base / 6
    expected[[5, 6]] += 1 / 6
    np.testing.assert_allclose(model_of([SONG], order=2, cache_order=9).probabilities(history), expected, atol=1e-12)
    np.testing.assert_array_equal(model_of([SONG], order=2, cache_order=2).probabilities(history), base)


def test_a_longer_match_in_the_song_comes_on_top(monkeypatch):
    monkeypatch.setattr(ngram, "_NOVELTY", 1.0)
    history = [4, 2, 3, 5, 1, 2, 3, 6, 4, 2, 3]
    base = model_of([SONG], order=2).probabilities(history)
    pair = 2 * base / 4
    pair[[5, 6]] += 1 / 4  # after 2 3
    expected = pair / 2
    expected[5] += 1 / 2  # after 4 2 3
    np.testing.assert_allclose(model_of([SONG], order=2, cache_order=9).probabilities(history), expected, atol=1e-12)


def test_discounts_follow_the_closed_form_within_their_bounds():
    assert discounts([60, 20, 10, 5]) == pytest.approx((0.6, 1.1, 1.8))
    assert discounts([10, 0, 3, 1]) == (0.5, 1.0, 1.5)
    # y = 5 / 105: 1 - 2 * 10 y is 0.05, 2 - 3 * 30 y is negative.
    assert discounts([5, 50, 1500, 15000]) == pytest.approx((0.1, 0.1, 3 - 4 * 10 * 5 / 105))


@pytest.mark.parametrize("cache_order", [0, 12])
@pytest.mark.parametrize("order", [1, 2, 5, 30])
def test_probabilities_sum_to_one_and_none_is_zero(order, cache_order):
    toy = model_of(random_songs(2), order=order, cache_order=cache_order)
    song = random_songs(3, count=1)[0] * 2
    for length in range(len(song)):
        found = toy.probabilities(song[:length])
        assert abs(found.sum() - 1) < 1e-9
        assert found.min() > 0


def test_the_song_so_far_makes_a_repeat_cheap():
    with_song, without = (model_of(random_songs(1), order=4, cache_order=order) for order in (16, 0))
    phrase = random_songs(5, count=1, length=30)[0][1:]

    def nats(model: NgramModel, start: int) -> float:
        song = [0, *phrase, *phrase]
        return -sum(np.log(model.probabilities(song[:place])[song[place]]) for place in range(start, start + 30))

    assert nats(with_song, 31) < 0.5 * nats(without, 31)
    assert nats(with_song, 1) < 1.2 * nats(without, 1)


def test_nothing_of_the_future_is_used(path):
    songs = np.array([[0, 1, 2, 3, 1, 2, 3, 1], [0, 1, 2, 3, 6, 5, 4, 4]])
    first, second = NgramDecoder(path, batch_size=2, max_length=8).prefill(songs)
    np.testing.assert_array_equal(first[:4], second[:4])
    assert not np.array_equal(first[4:], second[4:])


def test_the_whole_song_is_looked_back_on(path):
    phrase = [5, 6, 5, 6, 6, 5]
    far = [0, *phrase, *[1, 1, 2, 1] * 500, *phrase[:-1]]
    decoder = NgramDecoder(path, max_length=3000)
    assert decoder.model.probabilities(far)[phrase[-1]] > 2 * decoder.model.probabilities(far[7:])[phrase[-1]]


def test_logits_are_the_logarithms_of_the_probabilities(model, path):
    decoder = NgramDecoder(path, batch_size=2, max_length=9, expected_fingerprint="abc")
    songs = np.array(random_songs(6, count=2))[:, :9]
    found = np.stack([decoder.step(songs[:, place], np.zeros((2, 31)), np.zeros((2, 6))) for place in range(9)], axis=1)
    assert found.dtype == np.float32
    for row in range(2):
        wanted = [np.log(model.probabilities(songs[row, : place + 1])) for place in range(9)]
        np.testing.assert_allclose(found[row], wanted, atol=1e-6)
    decoder.reset()
    np.testing.assert_array_equal(decoder.prefill(songs), found)


def test_after_rewinding_logits_are_exactly_those_of_a_fresh_decoder(path):
    songs = np.array(random_songs(7, count=3, length=40))
    expected = NgramDecoder(path, batch_size=3, max_length=41).prefill(songs)
    decoder = NgramDecoder(path, batch_size=3, max_length=41)
    decoder.prefill(songs[:, ::-1])
    decoder.reset()
    decoder.prefill(songs)
    lengths = np.array([40, 3, 17])
    decoder.rewind(lengths)
    assert decoder.positions.tolist() == lengths.tolist()
    rows = np.arange(3)
    np.testing.assert_array_equal(decoder.step(songs[rows, lengths]), expected[rows, lengths])
    decoder.rewind(2)
    np.testing.assert_array_equal(decoder.prefill(songs[:, 2:]), expected[:, 2:])


def test_a_full_or_too_short_sequence_and_a_foreign_token_are_errors(path):
    decoder = NgramDecoder(path, max_length=3)
    with pytest.raises(ValueError, match="max_length, 3"):
        decoder.prefill([[1, 2, 3, 4]])
    with pytest.raises(ValueError, match="from 0 to 6"):
        decoder.step([VOCAB])
    decoder.prefill([[1, 2, 3]])
    with pytest.raises(ValueError, match="max_length, 3"):
        decoder.step([1])
    with pytest.raises(ValueError, match="cannot rewind"):
        decoder.rewind(4)
    with pytest.raises(ValueError, match="at least 1"):
        NgramDecoder(path, max_length=0)


def test_a_stored_model_is_the_same_and_its_file_always_the_same_bytes(model, path):
    loaded = NgramModel.load(path, expected_fingerprint="abc")
    history = random_songs(8, count=1)[0]
    np.testing.assert_array_equal(loaded.probabilities(history), model.probabilities(history))
    assert loaded.metadata == model.metadata
    assert loaded.metadata["family"] == "ngram"
    assert loaded.to_bytes() == path.read_bytes()


def test_the_fingerprint_of_a_file_changes_with_its_content(path, tmp_path):
    other = tmp_path / "other.npz"
    other.write_bytes(model_of(random_songs(9), order=4, fingerprint="abc").to_bytes())
    first, second, again = (NgramDecoder(file, max_length=4).weights_fingerprint for file in (path, other, path))
    assert len(first) == 16
    assert first == again != second


def test_files_that_cannot_be_used_are_one_clear_sentence(model, path, tmp_path):
    data = path.read_bytes()
    arrays = dict(np.load(path))
    wrong = {
        "cut": data[: len(data) // 2],
        "empty": b"",
        "other": b"no zip",
        "flipped": data[:200] + bytes([data[200] ^ 255]) + data[201:],
        "followers": packed(arrays | {"followers": arrays["followers"] + 7}),
        "order": packed(arrays | {"keys": arrays["keys"][::-1]}),
        "ends": packed(arrays | {"ends": arrays["ends"] + 1}),
        "family": packed(arrays | {"metadata": np.frombuffer(json.dumps({"family": "lstm"}).encode(), np.uint8)}),
        "short": packed(arrays | {"num_contexts": arrays["num_contexts"][:-1]}),
    }
    for name, content in wrong.items():
        file = tmp_path / f"{name}.npz"
        file.write_bytes(content)
        with pytest.raises(WeightsError, match="damaged") as caught:
            NgramModel.load(file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match=r"none\.npz: no weights can be read here"):
        NgramDecoder(tmp_path / "none.npz", max_length=4)
    with pytest.raises(WeightsError, match="counted with vocabulary abc"):
        NgramDecoder(path, max_length=4, expected_fingerprint="other")


def packed(arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_songs_that_cannot_be_counted_are_refused():
    with pytest.raises(ValueError, match="no song has two tokens"):
        model_of([[1], []])
    with pytest.raises(ValueError, match="from 0 to 6"):
        model_of([[1, 7]])
    with pytest.raises(ValueError, match="at least 1"):
        NgramSizes(vocab_size=3, order=0)
