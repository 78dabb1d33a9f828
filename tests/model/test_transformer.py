from __future__ import annotations

from math import log

import pytest
import torch
import torch.nn.functional as F

from songwright.model.transformer import Transformer, TransformerConfig


@pytest.fixture(scope="module")
def network() -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=50,
        num_channel_rows=20,
        num_hints=2,
        dim=48,
        num_layers=2,
        num_heads=3,
        hidden_dim=64,
        context_length=32,
    )
    network = Transformer(config).eval()
    assert network.copy_gate is not None
    torch.nn.init.normal_(network.copy_gate.weight)
    return network


def inputs(time: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randint(1, 50, (2, time), generator=generator),
        torch.randint(0, 20, (2, time, 3), generator=generator),
        torch.randint(0, 50, (2, time, 2), generator=generator),
    )


def test_the_past_ignores_the_future(network):
    embedded: list[torch.Tensor] = []

    def remember(module, arguments, output):
        output.retain_grad()
        embedded.append(output)

    tokens, channels, hints = inputs(16)
    hook = network.token_embedding.register_forward_hook(remember)
    logits = network(tokens, channels, hints)
    hook.remove()
    logits[:, 7].sum().backward()
    gradient = embedded[0].grad
    assert gradient is not None
    assert torch.all(gradient[:, 8:] == 0)
    assert torch.all(gradient[:, :8].abs().sum(-1) > 0)


def test_later_tokens_channels_and_hints_change_no_earlier_logits(network):
    tokens, channels, hints = inputs(16)
    before = network(tokens, channels, hints)
    tokens[:, 9:], channels[:, 9:], hints[:, 9:] = 1, 0, 0
    after = network(tokens, channels, hints)
    assert torch.allclose(before[:, :9], after[:, :9], atol=1e-6)
    assert not torch.allclose(before[:, 9:], after[:, 9:], atol=1e-2)


def test_a_hint_moves_only_the_logit_of_its_token(network):
    tokens, channels, hints = inputs(4)
    without = network(tokens, channels, torch.zeros_like(hints))
    hints[:] = 0
    hints[0, 3, 0] = 17
    with_hint = network(tokens, channels, hints)
    changed = (with_hint != without).nonzero().tolist()
    assert changed == [[0, 3, 17]]


@torch.no_grad()
def test_two_hints_of_one_token_add_up(network):
    tokens, channels, hints = inputs(4)
    hints[:] = 0
    without = network(tokens, channels, hints)[0, 3, 17]
    moves = []
    for pair in ((17, 0), (0, 17), (17, 17)):
        hints[0, 3] = torch.tensor(pair)
        moves.append(float(network(tokens, channels, hints)[0, 3, 17] - without))
    assert moves[2] == pytest.approx(moves[0] + moves[1], abs=1e-5)


@torch.no_grad()
def test_an_untrained_network_is_nearly_indifferent():
    torch.manual_seed(3)
    vocab = 315
    network = Transformer(TransformerConfig(vocab_size=vocab, num_channel_rows=40, num_hints=6, num_layers=2)).eval()
    tokens = torch.randint(0, vocab, (4, 64))
    logits = network(tokens, torch.randint(0, 40, (4, 64, 5)), torch.randint(0, vocab, (4, 64, 6)))
    loss = F.cross_entropy(logits.flatten(0, 1), torch.randint(0, vocab, (256,)))
    assert float(loss) == pytest.approx(log(vocab), abs=0.1)


@pytest.mark.parametrize("wrong", [{"num_layers": 0}, {"dim": 100}, {"num_kv_heads": 2}, {"dim": 24}, {"dropout": 1.0}])
def test_impossible_sizes_are_errors(wrong):
    with pytest.raises(ValueError, match="must be"):
        TransformerConfig(**{"vocab_size": 10, **wrong})
