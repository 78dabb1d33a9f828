"""The recurrent cells over whole sequences on a CPU, with their gradients written out.

PyTorch's own kernels add a gradient of the whole recurrent matrix at every step, which is what they spend their time
on; here the steps only collect what the products need, and one product at the end gives the gradient of the matrix.
Backward through time as in [1]_; formulas and order of gates are those of `model.rnn`, `model.gru` and `model.lstm`.

Axes: `batch`, `time`, `dim`; `gates` = 1, 3 or 4 times `dim`. Each function takes what the inputs add to the gates,
(batch, time, gates), the recurrent matrix, (gates, dim), and its bias, and starts from a state of zeros.

References
----------
.. [1] Werbos, "Backpropagation Through Time: What It Does and How to Do It", Proceedings of the IEEE 78, 1990.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

Function = torch.autograd.Function


def rnn(inputs: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """Return the states of a simple recurrent network, (batch, time, dim)."""
    return cast(Tensor, _Rnn.apply(inputs, matrix, bias))


def gru(inputs: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """Return the states of a GRU, (batch, time, dim)."""
    return cast(Tensor, _Gru.apply(inputs, matrix, bias))


def lstm(inputs: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """Return the outputs of an LSTM, (batch, time, dim)."""
    return cast(Tensor, _Lstm.apply(inputs, matrix, bias))


def _operand(matrix: Tensor) -> Tensor:
    """Return the matrix in the type of products under the current autocast."""
    device = matrix.device.type
    return matrix.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else matrix


class _Steps(Function):
    """What the cells share: the gradient of the recurrent matrix and its bias."""

    @staticmethod
    def totals(states: Tensor, gradients: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of matrix and bias.

        Parameters
        ----------
        states : Tensor, shape (time, batch, dim)
            After each step.
        gradients : Tensor, shape (time, batch, gates)
            Of what the states add to the gates.
        matrix : Tensor, shape (gates, dim)
            In the type of products.
        """
        later = gradients[1:].flatten(0, 1).to(matrix.dtype)  # the first step starts from zeros
        return later.t() @ states[:-1].flatten(0, 1).to(matrix.dtype), gradients.sum((0, 1))


class _Rnn(_Steps):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
        operand = _operand(matrix)
        gates = (inputs.float() + bias).transpose(0, 1).contiguous()
        states = torch.empty_like(gates)
        transposed = operand.t()
        state = torch.tanh(gates[0], out=states[0])
        for step in range(1, len(gates)):
            state = torch.tanh(gates[step] + state.to(operand.dtype) @ transposed, out=states[step])
        ctx.save_for_backward(states, operand)
        return states.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, operand = ctx.saved_tensors
        outer = gradients[0].transpose(0, 1).float()
        slopes = 1 - states * states
        found = torch.empty_like(states)
        torch.mul(outer[-1], slopes[-1], out=found[-1])
        for step in range(len(states) - 2, -1, -1):
            torch.mul(outer[step] + found[step + 1].to(operand.dtype) @ operand, slopes[step], out=found[step])
        of_matrix, of_bias = _Steps.totals(states, found, operand)
        return found.transpose(0, 1), of_matrix, of_bias


class _Gru(_Steps):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
        operand, dim = _operand(matrix), matrix.shape[1]
        wanted = inputs.float().transpose(0, 1).contiguous()
        time, batch, _ = wanted.shape
        states, candidates, offers = (wanted.new_empty(time, batch, dim) for _ in range(3))
        opened = wanted.new_empty(time, batch, 2 * dim)  # reset and keep
        transposed = operand.t()
        state = wanted.new_zeros(batch, dim)
        for step in range(time):
            of_state = state.to(operand.dtype) @ transposed + bias
            torch.sigmoid(wanted[step, :, : 2 * dim] + of_state[:, : 2 * dim], out=opened[step])
            reset, keep = opened[step, :, :dim], opened[step, :, dim:]
            offers[step] = of_state[:, 2 * dim :]
            torch.tanh(torch.addcmul(wanted[step, :, 2 * dim :], reset, offers[step]), out=candidates[step])
            state = torch.lerp(candidates[step], state, keep, out=states[step])
        ctx.save_for_backward(states, candidates, offers, opened, operand)
        return states.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, candidates, offers, opened, operand = ctx.saved_tensors
        time, batch, dim = states.shape
        outer = gradients[0].transpose(0, 1).float()
        reset, keep = opened[..., :dim], opened[..., dim:]
        before = torch.cat([torch.zeros_like(states[:1]), states[:-1]])
        # All that does not depend on later steps, for all steps at once.
        to_candidate = (1 - keep) * (1 - candidates * candidates)
        to_keep = (before - candidates) * keep * (1 - keep)
        to_reset = offers * reset * (1 - reset)
        of_inputs, of_states = (states.new_empty(time, batch, 3 * dim) for _ in range(2))
        carried = torch.zeros_like(states[0])
        for step in range(time - 1, -1, -1):
            change = outer[step] + carried
            candidate = torch.mul(change, to_candidate[step], out=of_inputs[step, :, 2 * dim :])
            torch.mul(candidate, to_reset[step], out=of_inputs[step, :, :dim])
            torch.mul(change, to_keep[step], out=of_inputs[step, :, dim : 2 * dim])
            of_states[step, :, : 2 * dim] = of_inputs[step, :, : 2 * dim]
            torch.mul(candidate, reset[step], out=of_states[step, :, 2 * dim :])
            carried = torch.addcmul((of_states[step].to(operand.dtype) @ operand).float(), change, keep[step])
        of_matrix, of_bias = _Steps.totals(states, of_states, operand)
        return of_inputs.transpose(0, 1), of_matrix, of_bias


class _Lstm(_Steps):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
        operand, dim = _operand(matrix), matrix.shape[1]
        gates = (inputs.float() + bias).transpose(0, 1).contiguous()
        time, batch, _ = gates.shape
        outputs, cells, shown = (gates.new_empty(time, batch, dim) for _ in range(3))
        transposed = operand.t()
        for step in range(time):
            here = gates[step]  # enter, forget, candidate, leave; kept after their functions
            if step:
                here += outputs[step - 1].to(operand.dtype) @ transposed
            here[:, : 2 * dim].sigmoid_()
            here[:, 2 * dim : 3 * dim].tanh_()
            here[:, 3 * dim :].sigmoid_()
            enter, forget, candidate, leave = here.chunk(4, dim=1)
            torch.mul(enter, candidate, out=cells[step])
            if step:
                cells[step].addcmul_(forget, cells[step - 1])
            torch.tanh(cells[step], out=shown[step])
            torch.mul(leave, shown[step], out=outputs[step])
        ctx.save_for_backward(outputs, cells, shown, gates, operand)
        return outputs.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs, cells, shown, gates, operand = ctx.saved_tensors
        outer = gradients[0].transpose(0, 1).float()
        enter, forget, candidate, leave = gates.chunk(4, dim=-1)
        before = torch.cat([torch.zeros_like(cells[:1]), cells[:-1]])
        # All that does not depend on later steps, for all steps at once: slopes of the gates towards the cell.
        slopes = torch.cat(
            [
                candidate * enter * (1 - enter),
                before * forget * (1 - forget),
                enter * (1 - candidate * candidate),
            ],
            dim=-1,
        ).unflatten(-1, (3, -1))
        to_leave = shown * leave * (1 - leave)
        to_cell = leave * (1 - shown * shown)
        found = torch.empty_like(gates)
        of_output, of_cell = torch.zeros_like(outer[0]), torch.zeros_like(outer[0])
        dim = of_cell.shape[1]
        for step in range(len(gates) - 1, -1, -1):
            change = outer[step] + of_output
            of_cell = torch.addcmul(of_cell, change, to_cell[step])
            torch.mul(of_cell[:, None], slopes[step], out=found[step, :, : 3 * dim].unflatten(-1, (3, -1)))
            torch.mul(change, to_leave[step], out=found[step, :, 3 * dim :])
            of_output = found[step].to(operand.dtype) @ operand
            of_cell = of_cell * forget[step]
        of_matrix, of_bias = _Steps.totals(outputs, found, operand)
        return found.transpose(0, 1), of_matrix, of_bias
