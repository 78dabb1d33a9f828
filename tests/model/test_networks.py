from __future__ import annotations

from math import log

import pytest
import torch
import torch.nn.functional as F

from songwright.model.config import (
    ConvolutionConfig,
    GruConfig,
    HybridConfig,
    LstmConfig,
    NetworkConfig,
    RnnConfig,
    StreamSizes,
    TransformerConfig,
)
from songwright.model.network import FAMILIES as KNOWN
from songwright.model.network import SequenceNetwork
from songwright.model.recurrent import RecurrentBlock
from tests.model.networks import CONFIGS, CONTEXT, FAMILIES, VOCAB, random_network, random_songs

TIME = 16


@pytest.fixture(scope="module", params=FAMILIES)
def network(request) -> SequenceNetwork:
    return random_network(request.param)


def inputs(time: int) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in random_songs(2, time)]


def test_every_family_is_tested():
    assert set(FAMILIES) == set(KNOWN)


@torch.no_grad()
def test_steps_equal_the_reading_of_the_whole_sequence(network):
    songs = inputs(CONTEXT)
    state = network.initial_state(2)
    found: list[torch.Tensor] = []
    for time in range(CONTEXT):
        tokens, channels, hints = (array[:, time] for array in songs)
        logits, state = network.step(tokens, state, channels, hints)
        found.append(logits)
    torch.testing.assert_close(torch.stack(found, dim=1), network(*songs), atol=1e-4, rtol=0)


def test_the_past_ignores_the_future(network):
    embedded: list[torch.Tensor] = []

    def remember(module, arguments, output):
        output.retain_grad()
        embedded.append(output)

    hook = network.token_embedding.register_forward_hook(remember)
    logits = network(*inputs(TIME))
    hook.remove()
    logits[:, 5].sum().backward()
    gradient = embedded[0].grad
    assert gradient is not None
    assert torch.all(gradient[:, 6:] == 0)
    assert torch.all(gradient[:, :6].abs().sum(-1) > 0)


@torch.no_grad()
def test_later_tokens_channels_and_hints_change_no_earlier_logits(network):
    tokens, channels, hints = inputs(TIME)
    before = network(tokens, channels, hints)
    tokens[:, 9:], channels[:, 9:], hints[:, 9:] = 1, 0, 0
    after = network(tokens, channels, hints)
    torch.testing.assert_close(before[:, :9], after[:, :9], atol=1e-5, rtol=0)
    assert not torch.allclose(before[:, 9:], after[:, 9:], atol=1e-2)


@torch.no_grad()
def test_a_hint_moves_only_the_logit_of_its_token(network):
    tokens, channels, hints = inputs(4)
    without = network(tokens, channels, torch.zeros_like(hints))
    hints[:] = 0
    hints[0, 3, 0] = 17
    changed = (network(tokens, channels, hints) != without).nonzero().tolist()
    assert changed == [[0, 3, 17]]


@torch.no_grad()
def test_two_hints_of_one_token_add_up(network):
    tokens, channels, hints = inputs(4)
    hints[:] = 0
    without = network(tokens, channels, hints)[0, 3, 17]
    moves: list[float] = []
    for pair in ((17, 0), (0, 17), (17, 17)):
        hints[0, 3, :2] = torch.tensor(pair)
        moves.append(float(network(tokens, channels, hints)[0, 3, 17] - without))
    assert moves[2] == pytest.approx(moves[0] + moves[1], abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_an_untrained_network_is_nearly_indifferent(family):
    torch.manual_seed(3)
    vocab = 315
    network = SequenceNetwork(CONFIGS[family], StreamSizes(vocab_size=vocab, num_channel_rows=40, num_hints=6)).eval()
    tokens, channels = torch.randint(0, vocab, (4, CONTEXT)), torch.randint(0, 40, (4, CONTEXT, 5))
    logits = network(tokens, channels, torch.randint(0, vocab, (4, CONTEXT, 6)))
    loss = F.cross_entropy(logits.flatten(0, 1), torch.randint(0, vocab, (4 * CONTEXT,)))
    assert float(loss) == pytest.approx(log(vocab), abs=0.1)


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_falls_in_training_only(family):
    network = random_network(family)
    songs = inputs(TIME)
    assert torch.equal(network(*songs), network(*songs))
    network.train()
    assert not torch.allclose(network(*songs), network(*songs), atol=1e-3)


@torch.no_grad()
def test_a_stream_without_channels_and_hints_needs_none():
    network = random_network("lstm", bare=True)
    tokens = inputs(TIME)[0]
    assert network(tokens).shape == (2, TIME, VOCAB)


@torch.no_grad()
@pytest.mark.parametrize("family", ["lstm", "gru", "rnn"])
def test_a_recurrent_cell_steps_as_that_of_pytorch(family):
    block = random_network(family).blocks[0]
    assert isinstance(block, RecurrentBlock)
    x = torch.randn(3, 12, block.dim)
    expected, last = block.cell(x)
    state = block.initial_state(3)
    for time in range(12):
        found, state = block.step(x[:, time], state)
        torch.testing.assert_close(found, expected[:, time], atol=1e-5, rtol=0)
    for ours, theirs in zip(state, last if isinstance(last, tuple) else (last,), strict=True):
        torch.testing.assert_close(ours, theirs[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_lstm_remembers_at_first():
    torch.manual_seed(1)
    block = SequenceNetwork(LstmConfig(dim=32), StreamSizes(vocab_size=10)).blocks[0]
    assert isinstance(block, RecurrentBlock)
    zeros = torch.zeros(1, 32)
    _, (_, cell) = block.step(zeros, (zeros, torch.ones(1, 32)))
    torch.testing.assert_close(cell, torch.full((1, 32), 0.731), atol=1e-3, rtol=0)  # sigmoid(1): its forget bias


@torch.no_grad()
def test_an_rnn_keeps_the_length_of_its_state_at_first():
    block = SequenceNetwork(RnnConfig(dim=32), StreamSizes(vocab_size=10)).blocks[0]
    assert isinstance(block, RecurrentBlock)
    matrix = block.weights[1]
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(32), atol=1e-5, rtol=0)


def test_dilations_double_and_start_again():
    assert ConvolutionConfig(num_layers=7, max_dilation=8).dilations == (1, 2, 4, 8, 1, 2, 4)


@torch.no_grad()
def test_a_convolution_sees_as_far_as_its_dilations_reach():
    network = random_network("convolution")  # 3 taps, dilations 1, 2, 4: itself and 14 steps before
    tokens = inputs(TIME)[0]
    before = network(tokens)
    tokens[:, 0] = tokens[:, 0] % (VOCAB - 1) + 1  # another token
    changed = (network(tokens) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.tolist() == [True] * 15 + [False]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (TransformerConfig, {"num_layers": 0}),
        (TransformerConfig, {"dim": 100}),
        (TransformerConfig, {"num_kv_heads": 2}),
        (TransformerConfig, {"dim": 24}),
        (TransformerConfig, {"dropout": 1.0}),
        (HybridConfig, {"kernel_size": 0}),
        (HybridConfig, {"num_heads": 0}),
        (ConvolutionConfig, {"max_dilation": 0}),
        (LstmConfig, {"dim": 0}),
        (GruConfig, {"context_length": 0}),
        (RnnConfig, {"dropout": -0.1}),
    ],
)
def test_impossible_sizes_are_errors(kind: type[NetworkConfig], wrong: dict[str, float]):
    with pytest.raises(ValueError, match="must be"):
        kind(**wrong)  # pyright: ignore[reportArgumentType]
