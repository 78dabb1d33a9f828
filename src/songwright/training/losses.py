"""Every loss, once: its formula, and sums rather than means, so that parts of a batch add up.

All take logits of shape (batch, time, vocab) and targets of shape (batch, time) with `IGNORED` where there is nothing
to predict, and return (sum, count): the loss of a batch is sum / count, whatever processes and parts it is spread over.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""Target where there is nothing to predict."""


def cross_entropy(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy with smoothed labels [1]_.

    For a target y among V tokens with probabilities p = softmax(logits) and smoothing s:
    -(1 - s) log p_y - (s / V) Σ_v log p_v, summed over positions.

    References
    ----------
    .. [1] Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7.
    """
    total = F.cross_entropy(
        logits.flatten(0, -2),
        targets.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return total, (targets != IGNORED).sum()


def distillation(
    logits: Tensor, teacher_logits: Tensor, targets: Tensor, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the KL divergence of a student from its teacher [1]_.

    With q = softmax(teacher_logits / T) and p = softmax(logits / T): T² Σ_v q_v (log q_v - log p_v), summed over the
    positions that have a target. T² keeps the gradients' size the same at any temperature.

    References
    ----------
    .. [1] Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, 2015.
    """
    kept = targets.flatten() != IGNORED
    student = F.log_softmax(logits.flatten(0, -2)[kept].float() / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.flatten(0, -2)[kept].float() / temperature, dim=-1)
    return F.kl_div(student, teacher, reduction="sum", log_target=True) * temperature**2, kept.sum()


def gaussian_kl(mean: Tensor, log_variance: Tensor, *, free_bits: float = 0.0) -> Tensor:
    """Return the KL divergence of N(mean, exp(log_variance)) from N(0, 1), summed over the latent numbers [1]_.

    (mean² + exp(log_variance) - 1 - log_variance) / 2 for each number. With free bits [2]_ the mean over the batch of
    each number costs at least `free_bits` nats, so that none is switched off to save less than that.

    Parameters
    ----------
    mean, log_variance : Tensor, shape (batch, latent_dim)
    free_bits : float
        Nats of each number that cost nothing.

    Returns
    -------
    Tensor, shape ()
        Mean over the batch, in nats.

    References
    ----------
    .. [1] Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    .. [2] Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", NeurIPS 2016, appendix C.8.
    """
    each = (mean.square() + log_variance.exp() - 1 - log_variance).mean(dim=0) / 2
    return torch.clamp(each, min=free_bits).sum() if free_bits else each.sum()
