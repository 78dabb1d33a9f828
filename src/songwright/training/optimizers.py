"""Optimizers and their schedule."""

from __future__ import annotations

import torch
from torch import nn

from songwright.training.config import OptimizerConfig


def make_optimizers(network: nn.Module, options: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Return Muon [1]_ for the matrices of the blocks and AdamW [2]_ for embeddings, norms and gates, or AdamW for all.

    A matrix is a parameter of two axes in `network.blocks`, kernels of short convolutions aside; a network without
    blocks has none.

    References
    ----------
    .. [1] Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; learning rate scaled to
       AdamW's as in Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982, 2025.
    .. [2] Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    matrices = [
        parameter
        for name, parameter in network.named_parameters()
        if "blocks." in name and parameter.ndim == 2 and not name.endswith(".kernel")
    ]
    chosen = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    betas = (options.beta1, options.beta2)
    if options.kind == "muon" and matrices:
        return [
            torch.optim.Muon(
                matrices,
                lr=options.learning_rate,
                weight_decay=options.weight_decay,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(others, lr=options.learning_rate, betas=betas, weight_decay=0.0),
        ]
    groups = [
        {"params": matrices, "weight_decay": options.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [torch.optim.AdamW([g for g in groups if g["params"]], lr=options.learning_rate, betas=betas)]


def learning_rate_factor(step: int, done: float, warmup_steps: int) -> float:
    """Return the share of the peak learning rate: linear warm-up over steps, linear decay to zero over the run.

    Parameters
    ----------
    step : int
        Steps taken.
    done : float
        Share of the run that is over, 0 to 1.
    warmup_steps : int
    """
    return min((step + 1) / warmup_steps if warmup_steps else 1.0, max(0.0, 1.0 - done))
