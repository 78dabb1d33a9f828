from __future__ import annotations

import pytest
import torch
from torch import nn

from songwright.model import recurrence

CELLS = {"rnn": (nn.RNN, recurrence.rnn), "gru": (nn.GRU, recurrence.gru), "lstm": (nn.LSTM, recurrence.lstm)}


@pytest.mark.parametrize("family", sorted(CELLS))
@pytest.mark.parametrize("time", [1, 2, 9])
def test_states_and_all_gradients_are_those_of_pytorchs_own_cell(family, time):
    torch.manual_seed(0)
    kind, function = CELLS[family]
    cell = kind(5, 5, batch_first=True).double()
    x = torch.randn(3, time, 5, dtype=torch.float64, requires_grad=True)
    wanted = cell(x)[0]
    weight = torch.randn_like(wanted)
    parameters = [x, *cell.parameters()]
    expected = torch.autograd.grad((wanted * weight).sum(), parameters)
    of_inputs = nn.functional.linear(x, cell.weight_ih_l0, cell.bias_ih_l0)
    found = function(of_inputs, cell.weight_hh_l0, cell.bias_hh_l0)
    # Inside, states are in float32.
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)
    gradients = torch.autograd.grad((found.double() * weight).sum(), parameters)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", sorted(CELLS))
def test_products_in_half_precision_stay_near(family):
    torch.manual_seed(0)
    kind, function = CELLS[family]
    cell = kind(32, 32, batch_first=True)
    x = torch.randn(2, 20, 32)
    with torch.autocast("cpu", torch.bfloat16):
        found = function(
            nn.functional.linear(x, cell.weight_ih_l0, cell.bias_ih_l0), cell.weight_hh_l0, cell.bias_hh_l0
        )
    torch.testing.assert_close(found.float(), cell(x)[0], atol=0.03, rtol=0.05)
