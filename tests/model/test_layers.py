from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from songwright.model.layers import (
    NORM_EPSILON,
    QUERY_BLOCK,
    CausalConvolution,
    Dropout,
    FeedForward,
    Norm,
    ShortConvolution,
    causal_attention,
    rotary_tables,
    rotate,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (2, 5), (4, 3)])
def test_a_causal_convolution_is_that_of_pytorch_with_zeros_before(kernel_size, dilation):
    ours = CausalConvolution(6, 10, kernel_size=kernel_size, dilation=dilation)
    nn.init.normal_(ours.taps.bias)
    x = torch.randn(2, 20, 6)
    kernel = ours.taps.weight.view(10, kernel_size, 6).transpose(1, 2)  # (outputs, inputs, taps)
    padded = F.pad(x.transpose(1, 2), ((kernel_size - 1) * dilation, 0))
    expected = F.conv1d(padded, kernel, ours.taps.bias, dilation=dilation).transpose(1, 2)
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=0)


def test_a_short_convolution_adds_that_of_each_channel_and_starts_as_the_identity():
    ours = ShortConvolution(6, kernel_size=4)
    x = torch.randn(2, 20, 6)
    assert torch.equal(ours(x), x)
    nn.init.normal_(ours.kernel)
    kernel = ours.kernel.T[:, None]  # (channels, 1, taps)
    expected = x + F.conv1d(F.pad(x.transpose(1, 2), (3, 0)), kernel, groups=6).transpose(1, 2)
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("time", [1, 7, QUERY_BLOCK, QUERY_BLOCK + 30])
def test_attention_is_the_softmax_of_scaled_products_with_the_past(time):
    query, key, value = torch.randn(2, 6, time, 16), torch.randn(2, 2, time, 16), torch.randn(2, 2, time, 16)
    keys, values = (tensor.repeat_interleave(3, dim=1) for tensor in (key, value))  # three query heads share one
    scores = query @ keys.transpose(-1, -2) / 4
    scores = scores.masked_fill(torch.ones(time, time).triu(1).bool(), float("-inf"))
    torch.testing.assert_close(causal_attention(query, key, value), scores.softmax(-1) @ values, atol=1e-5, rtol=1e-5)


def test_a_product_of_turned_vectors_depends_on_their_distance_only():
    cos, sin = rotary_tables(40, 16)
    query, key = torch.randn(16), torch.randn(16)
    products = rotate(query.expand(40, 16), cos, sin) @ rotate(key.expand(40, 16), cos, sin).T
    for distance in (0, 3, 17):
        diagonal = products.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=0)
    assert not torch.allclose(products[0, 0], products[17, 0], atol=1e-2)


def test_a_feed_forward_layer_gates_with_silu():
    layer, x = FeedForward(8, 12), torch.randn(3, 8)
    gate, up = x @ layer.gate.weight.T, x @ layer.up.weight.T
    torch.testing.assert_close(layer(x), (gate * gate.sigmoid() * up) @ layer.down.weight.T)


def test_the_norm_and_its_gradient_are_those_of_pytorch():
    ours, theirs = Norm(24), nn.RMSNorm(24, eps=NORM_EPSILON)
    nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    scale = torch.randn(5, 7, 1).exp() * 1e-2  # rows of many lengths, some near the square root of epsilon
    first, second = ((torch.randn(5, 7, 24, generator=torch.Generator().manual_seed(1)) * scale) for _ in range(2))
    first.requires_grad_()
    second.requires_grad_()
    gradient = torch.randn(5, 7, 24)
    ours(first).backward(gradient)
    theirs(second).backward(gradient)
    torch.testing.assert_close(ours(first), theirs(second))
    assert first.grad is not None
    assert second.grad is not None
    torch.testing.assert_close(first.grad, second.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-4, rtol=1e-4)


def test_the_norm_keeps_half_precision():
    x = torch.randn(3, 24).bfloat16().requires_grad_()
    result = Norm(24)(x)
    result.sum().backward()
    assert result.dtype == torch.bfloat16
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
    torch.testing.assert_close(result.float().square().mean(-1), torch.ones(3), atol=0.02, rtol=0)


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_dropout_drops_its_share_and_scales_the_rest(probability):
    x = torch.ones(300, 333)
    dropped = Dropout(probability).train()(x)
    share = float((dropped == 0).float().mean())
    assert share == pytest.approx(round(256 * probability) / 256, abs=0.008)  # 5 standard deviations
    kept = dropped[dropped > 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 256 / (256 - round(256 * probability))))
    assert not torch.equal(dropped, Dropout(probability).train()(x))


def test_dropout_is_off_outside_of_training_and_at_zero():
    x = torch.randn(30, 33)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)
