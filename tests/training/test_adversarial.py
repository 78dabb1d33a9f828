from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402

from songwright.errors import ConfigError, InputError  # noqa: E402
from songwright.model.config import DcganConfig  # noqa: E402
from songwright.model.dcgan import Dcgan  # noqa: E402
from songwright.preparation.shards import open_shard  # noqa: E402
from songwright.score.grid import STEPS_PER_BAR, grid_notes  # noqa: E402
from songwright.score.lead_sheet import ChordChange, ChordSymbol  # noqa: E402
from songwright.score.pitch import Key  # noqa: E402
from songwright.training.adversarial import (  # noqa: E402
    AdversarialTask,
    bar_distributions,
    compose_melody,
    discriminator_loss,
    distances,
    generator_loss,
    load_dcgan,
    matching_loss,
)
from songwright.training.bars import (  # noqa: E402
    BarSampler,
    bar_chroma,
    melody_of_steps,
    melody_steps,
    read_bars,
    rolls,
    steps_of_rolls,
)
from songwright.training.config import OptimizerConfig, TrainingConfig  # noqa: E402
from songwright.training.trainer import Trainer  # noqa: E402

CONFIG = TrainingConfig(
    network=DcganConfig(latent_dim=6, channels=8),
    optimizer=OptimizerConfig(kind="adamw", beta1=0.5),
    batch_size=6,
    num_threads=1,
    precision="fp32",
)
C, G7 = ChordSymbol(0, "maj", 0), ChordSymbol(7, "7", 7)


@pytest.fixture
def task(corpus: Path) -> AdversarialTask:
    torch.manual_seed(0)
    return AdversarialTask(CONFIG, corpus)


@st.composite
def sixteenths(draw: st.DrawFn, num_bars: int = 3) -> np.ndarray:
    edges = sorted(draw(st.sets(st.integers(0, 16 * num_bars), max_size=20)))
    spans = [span for span in itertools.pairwise(edges) if draw(st.booleans())]
    pitches = [draw(st.integers(48, 95)) for _ in spans]
    first, end = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    return grid_notes(first * 3, (end - first) * 3, np.array(pitches, dtype=np.int64))


@given(sixteenths())
def test_a_melody_in_sixteenths_comes_back_from_its_bars(melody):
    row, starts = melody_steps(melody, 3)
    np.testing.assert_array_equal(melody_of_steps(row, starts), melody)
    again = steps_of_rolls(rolls(row, starts))
    np.testing.assert_array_equal(again[0], row)
    np.testing.assert_array_equal(again[1], starts)


def test_pitches_outside_the_roll_move_by_octaves_and_triplets_to_sixteenths():
    melody = grid_notes(np.array([0, 4, 12, 45]), np.array([4, 4, 12, 12]), np.array([45, 97, 60, 36]))
    row, starts = melody_steps(melody, 1)
    assert row[0].tolist() == [9, 37, 37, -1, 12, 12, 12, 12, *[-1] * 7, 0]
    assert np.flatnonzero(starts).tolist() == [0, 1, 4, 15]


def test_chroma_is_the_share_of_the_bar_that_a_pitch_class_is_in_the_chord():
    chroma = bar_chroma([ChordChange(0, C), ChordChange(36, G7)], 2)
    expected = np.zeros((2, 12))
    expected[0, [0, 4]] = 0.75
    expected[0, 7] = 1.0
    expected[0, [11, 2, 5]] = 0.25
    expected[1, [7, 11, 2, 5]] = 1.0
    np.testing.assert_allclose(chroma, expected)


def test_bars_are_read_with_a_silent_one_before_each_song(corpus):
    shard = open_shard(corpus, "lead_sheet", "train")
    bars = read_bars(shard)
    assert len(bars.row) == len(bars.starts) == len(bars.chroma) == 17 * len(shard)  # songs of 16 bars
    numbers = bars.with_notes()
    assert len(numbers) == 16 * len(shard)
    assert (bars.row[::17] == -1).all()
    assert not bars.chroma[::17].any()
    assert (bars.starts[numbers].sum(axis=1) == 4).all()  # in quarters
    assert np.isin(bars.row[numbers] % 12, (0, 2, 4, 5, 7, 9, 11)).all()  # in C major


def test_a_sampler_goes_on_where_it_was_left(corpus):
    bars = read_bars(open_shard(corpus, "lead_sheet", "train"))
    sampler = BarSampler(bars, batch_size=3, latent_dim=5, seed=1)
    sampler.next_batch()
    state = json.loads(json.dumps(sampler.state()))
    wanted = [sampler.next_batch() for _ in range(2)]
    other = BarSampler(bars, batch_size=3, latent_dim=5, seed=2)
    other.restore(state)
    for batch in wanted:
        for found, expected in zip(other.next_batch(), batch, strict=True):
            assert torch.equal(found, expected)
    assert [tuple(tensor.shape) for tensor in wanted[0]] == [(3, 2, 16, 48), (3, 2, 16, 48), (3, 12), (3, 5)]
    assert (wanted[0][0][:, 0].sum((1, 2)) > 0).all()  # a note starts


def separate_gradients(network: Dcgan, batch: tuple[torch.Tensor, ...], config: DcganConfig) -> list[torch.Tensor]:
    """The gradient of each network's own loss, from a backward pass of its own."""
    network.zero_grad()
    discriminator_loss(network(*batch)).backward(inputs=list(network.discriminator.parameters()))
    verdicts = network(*batch)
    total = generator_loss(verdicts)
    total = total + config.feature_weight * matching_loss(verdicts.real_features, verdicts.contested_features)
    total = total + config.roll_weight * matching_loss(batch[0], verdicts.rolls)
    total = total + config.roll_weight * matching_loss(batch[0].sum(-1), verdicts.rolls.sum(-1))
    total.backward(inputs=list(network.generator.parameters()))
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


def test_one_backward_pass_gives_each_network_the_gradient_of_its_own_loss(task):
    network, batch = task.network, task.sampler.next_batch()
    expected = separate_gradients(network, batch, task.config)
    network.zero_grad()
    total, count = task.loss(network, batch, progress=0.0)
    total.backward()
    assert count == 6
    assert len(expected) == len(list(network.parameters()))
    for (name, parameter), gradient in zip(network.named_parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient), name
        assert gradient.any(), name


def test_neither_loss_moves_the_other_network(task):
    network, batch = task.network, task.sampler.next_batch()
    discriminator_loss(network(*batch)).backward()
    assert all(parameter.grad is None for parameter in network.generator.parameters())
    network.zero_grad()
    generator_loss(network(*batch)).backward()
    assert all(parameter.grad is None for parameter in network.discriminator.parameters())


def test_losses_are_those_of_their_formulas(task):
    verdicts = task.network(*task.sampler.next_batch())
    real, made, contested = (torch.sigmoid(logits) for logits in verdicts[:3])
    torch.testing.assert_close(discriminator_loss(verdicts), -(real.log() + (1 - made).log()).sum())
    torch.testing.assert_close(generator_loss(verdicts), -contested.log().sum())
    torch.testing.assert_close(made, contested)
    one, other = torch.tensor([[1.0, 2.0], [3.0, 2.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    assert matching_loss(one, other) == 2 * (1 + 1)


def test_a_loss_adds_up_over_the_parts_of_a_batch(task):
    task.config = replace(task.config, feature_weight=0.0, roll_weight=0.0)  # those compare means of what is at hand
    batch = task.sampler.next_batch()
    whole, _ = task.loss(task.network, batch, progress=0.0)
    parts = [
        task.loss(task.network, tuple(tensor[rows] for tensor in batch), progress=0.0)[0]
        for rows in (slice(0, 2), slice(2, None))
    ]
    torch.testing.assert_close(whole, parts[0] + parts[1])


@pytest.fixture
def one_process() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_gradients_are_the_same_where_a_network_is_spread_over_processes(task):
    network, batch = task.network, task.sampler.next_batch()
    expected = separate_gradients(network, batch, task.config)
    network.zero_grad()
    wrapped = torch.nn.parallel.DistributedDataParallel(network)
    task.loss(wrapped, batch, progress=0.0)[0].backward()
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_distances_are_shares_that_would_have_to_move():
    row = np.full((2, 16), -1)
    row[0, :8], row[1, :4] = 0, 6
    starts = np.zeros((2, 16), dtype=bool)
    starts[0, [0, 4]] = starts[1, 0] = True
    chroma = bar_chroma([ChordChange(0, C)], 2)
    found = bar_distributions(row, starts, chroma)
    assert found["notes"].nonzero()[0].tolist() == [1, 2]
    assert found["sounding"].nonzero()[0].tolist() == [4, 8]
    assert found["onset"][[0, 4]].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert found["pitch_class"][[0, 6]].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert found["interval"].nonzero()[0].tolist() == [12]  # within the first bar alone: the same note again
    assert found["in_scale"].tolist() == found["in_chord"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert set(distances(found, found).values()) == {0.0}
    first = bar_distributions(row[:1], starts[:1], chroma)
    assert distances(found, first)["notes"] == pytest.approx(0.5)
    silent = bar_distributions(np.full((2, 16), -1), np.zeros((2, 16), dtype=bool), chroma)
    assert distances(silent, found)["pitch_class"] == 1.0
    assert distances(silent, found)["notes"] == 1.0


def test_validation_is_the_same_each_time_and_its_distance_the_mean_of_the_others(task):
    figures = task.validate(task.network, torch.device("cpu"))
    assert task.validate(task.network, torch.device("cpu")) == figures
    others = [value for name, value in figures.items() if name.startswith("distance_")]
    assert len(others) == 7
    assert figures[task.criterion] == pytest.approx(np.mean(others))
    assert 0 < figures["distinct"] <= 1
    assert 0 <= figures["told_apart"] <= 1


def test_a_run_that_is_resumed_ends_as_one_that_was_not(corpus, tmp_path):
    config = replace(CONFIG, num_steps=4, validate_every=2)

    def run(out: str, **options: object) -> Trainer:
        return Trainer(config, corpus, tmp_path / out, report=lambda line: None, **options)

    whole = run("whole")
    whole.train()
    broken = run("broken")
    broken.config = replace(config, patience=1)
    broken.best = -1.0  # nothing is better: it stops at its first validation
    broken.train()
    assert broken.step == 2
    rest = run("broken", resume=True)
    rest.train()
    for one, other in zip(whole.average.parameters(), rest.average.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_gives_back_the_averaged_pair_and_one_of_another_family_is_refused(corpus, tmp_path):
    trainer = Trainer(replace(CONFIG, num_steps=2), corpus, tmp_path / "dcgan", report=lambda line: None)
    trainer.train()
    loaded = load_dcgan(tmp_path / "dcgan" / "last.pt")
    assert not loaded.training
    for one, other in zip(loaded.parameters(), trainer.average.parameters(), strict=True):
        assert torch.equal(one, other)
    state = torch.load(tmp_path / "dcgan" / "last.pt", weights_only=True)
    state["config"]["network"] = {"family": "rnn"}
    torch.save(state, tmp_path / "rnn.pt")
    with pytest.raises(InputError, match="not a dcgan"):
        load_dcgan(tmp_path / "rnn.pt")


@pytest.mark.slow
def test_it_learns_to_make_bars_like_those_it_saw(corpus):
    torch.manual_seed(0)
    task = AdversarialTask(replace(CONFIG, batch_size=32, network=DcganConfig(latent_dim=8, channels=16)), corpus)
    before = task.validate(task.network, torch.device("cpu"))
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=0.003, betas=(0.5, 0.98), weight_decay=0.0)
    task.network.train()
    for _ in range(150):
        total, count = task.loss(task.network, task.sampler.next_batch(), progress=0.0)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
    after = task.validate(task.network, torch.device("cpu"))
    assert after["distance"] < 0.8 * before["distance"]


@pytest.mark.parametrize(
    ("values", "expected"), [({"stream": "arrangement"}, "lead_sheet"), ({"distribution": "fsdp"}, "ddp")]
)
def test_what_it_cannot_learn_with_is_refused(corpus, values, expected):
    with pytest.raises(ConfigError, match=expected):
        AdversarialTask(replace(CONFIG, **values), corpus)


@pytest.fixture(scope="module")
def dcgan() -> Dcgan:
    torch.manual_seed(3)
    return Dcgan(DcganConfig(latent_dim=6, channels=8)).eval()


def melody(dcgan: Dcgan, *, seed: int = 0, key: Key | None = None, **options) -> np.ndarray:
    key = key or Key(0)
    chords = [ChordChange(bar * STEPS_PER_BAR, chord) for bar, chord in enumerate([C, G7, C, G7])]
    moved = [ChordChange(onset, chord.transpose(-key.semitones_to_normal)) for onset, chord in chords]
    return compose_melody(dcgan, moved, key=key, num_bars=4, rng=np.random.default_rng(seed), **options)


def test_a_melody_is_one_voice_within_its_bars_and_the_same_for_the_same_seed(dcgan):
    found = melody(dcgan)
    np.testing.assert_array_equal(found, melody(dcgan))
    assert len(found) > 8
    assert not np.array_equal(found, melody(dcgan, seed=1))
    end = found["onset_step"] + found["duration_step"]
    assert (found["duration_step"] > 0).all()
    assert (end[:-1] <= found["onset_step"][1:]).all()
    assert end[-1] <= 4 * STEPS_PER_BAR


def test_a_melody_in_another_key_is_the_same_moved(dcgan):
    plain, moved = melody(dcgan), melody(dcgan, key=Key(2))
    plain["pitch"] += 2
    np.testing.assert_array_equal(plain, moved)


def test_bars_that_are_not_sung_are_silent_and_the_first_bar_is_as_it_was(dcgan):
    found, whole = melody(dcgan, is_sung=[True, False, False, True]), melody(dcgan)
    bars = found["onset_step"] // STEPS_PER_BAR
    assert set(bars.tolist()) == {0, 3}
    assert ((found["onset_step"] + found["duration_step"])[bars == 0] <= STEPS_PER_BAR).all()
    np.testing.assert_array_equal(found["onset_step"][bars == 0], whole["onset_step"][whole["onset_step"] < 48])


def test_a_higher_threshold_ties_repeated_notes(dcgan):
    assert len(melody(dcgan, threshold=1.0)) < len(melody(dcgan, threshold=0.0)) == 64
