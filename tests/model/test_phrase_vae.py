from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from songwright.model.config import PhraseVaeConfig, StreamSizes  # noqa: E402
from songwright.model.phrase_vae import PhraseVae  # noqa: E402

SIZES = StreamSizes(vocab_size=20, num_channel_rows=12)
CONFIG = PhraseVaeConfig(dim=16, latent_dim=5, code_dim=6, dropout=0.0, word_dropout=0.0)


@pytest.fixture
def network() -> PhraseVae:
    torch.manual_seed(0)
    return PhraseVae(CONFIG, SIZES, num_places=4)


def phrases(batch: int = 3, time: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    tokens = torch.from_numpy(rng.integers(1, 20, (batch, time)))
    places = np.sort(rng.integers(0, 4, (batch, time)))
    return tokens, torch.from_numpy(np.stack([places, rng.integers(4, 12, (batch, time))], axis=-1))


def test_a_phrase_has_logits_for_every_step_and_a_posterior(network):
    logits, mean, log_variance = network(*phrases())
    assert logits.shape == (3, 9, 20)
    assert mean.shape == log_variance.shape == (3, 5)


def test_what_comes_later_changes_the_code_but_no_earlier_logit_under_a_given_code(network):
    tokens, channels = phrases()
    changed = tokens.clone()
    changed[:, 5] = tokens[:, 5] % 19 + 1
    z = torch.randn(3, 5)
    before, after = (network.decode(z, given, channels)[0] for given in (tokens, changed))
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any()
    assert (network.encode(tokens, channels)[0] != network.encode(changed, channels)[0]).all()


def test_padding_changes_nothing(network):
    tokens, channels = phrases()
    padded = torch.nn.functional.pad(tokens, (0, 4)), torch.nn.functional.pad(channels, (0, 0, 0, 4))
    for alone, together in zip(network.encode(tokens, channels), network.encode(*padded), strict=True):
        torch.testing.assert_close(alone, together)
    torch.testing.assert_close(network(tokens, channels)[0], network(*padded)[0][:, :9])


def test_step_by_step_is_as_all_at_once(network):
    tokens, channels = phrases()
    z = torch.randn(3, 5)
    whole, _ = network.decode(z, tokens, channels)
    state = None
    for step in range(9):
        logits, state = network.decode(z, tokens[:, step : step + 1], channels[:, step : step + 1], state)
        torch.testing.assert_close(logits[:, 0], whole[:, step])


def test_a_code_speaks_at_its_own_place_first(network):
    tokens, channels = phrases()
    z = torch.randn(3, 5)
    before, _ = network.decode(z, tokens, channels)
    with torch.no_grad():
        network.writer.codes.bias[3 * CONFIG.code_dim :] += 1  # the last place
    after, _ = network.decode(z, tokens, channels)
    is_before = channels[..., 0] < 3
    torch.testing.assert_close(before[is_before], after[is_before])
    assert (before[~is_before] != after[~is_before]).any()


def test_noise_moves_the_code_by_its_deviation(network):
    tokens, channels = phrases()
    noise = torch.randn(3, 5)
    mean, log_variance = network.encode(tokens, channels)
    moved, _ = network.decode(mean + torch.exp(log_variance / 2) * noise, tokens, channels)
    torch.testing.assert_close(network(tokens, channels, noise)[0], moved)


def test_a_hidden_token_is_hidden_from_the_writer_alone(network):
    tokens, channels = phrases()
    shown = tokens.clone()
    shown[:, 4] = 0
    logits, mean, _ = network(tokens, channels, None, shown)
    torch.testing.assert_close(mean, network.encode(tokens, channels)[0])
    torch.testing.assert_close(logits, network.decode(mean, shown, channels)[0])
    assert (logits[:, 4] != network(tokens, channels)[0][:, 4]).any()


@pytest.mark.parametrize("wrong", [{"num_layers": 2}, {"dim": 15}, {"kl_warmup": 1.5}, {"latent_dim": 0}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must|has one layer"):
        PhraseVaeConfig(**wrong)
