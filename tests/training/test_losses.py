from __future__ import annotations

from math import exp, log

import pytest
import torch

from songwright.training.losses import IGNORED, cross_entropy, distillation, gaussian_kl

# Two positions over three tokens, the second without a target.
LOGITS = torch.tensor([[[log(1.0), log(2.0), log(5.0)], [9.0, 9.0, 0.0]]])
TARGETS = torch.tensor([[2, IGNORED]])


def test_cross_entropy_is_the_negative_logarithm_of_the_target_and_counts_targets_only():
    total, count = cross_entropy(LOGITS, TARGETS)
    assert int(count) == 1
    assert float(total) == pytest.approx(-log(5 / 8))


def test_smoothed_labels_spread_a_share_over_all_tokens():
    total, _ = cross_entropy(LOGITS, TARGETS, label_smoothing=0.3)
    assert float(total) == pytest.approx(-0.7 * log(5 / 8) - 0.1 * (log(1 / 8) + log(2 / 8) + log(5 / 8)))


def test_distillation_is_the_divergence_from_the_teacher():
    teacher = torch.tensor([[[log(2.0), log(2.0), log(4.0)], [0.0, 0.0, 0.0]]])
    total, count = distillation(LOGITS, teacher, TARGETS)
    by_hand = 0.25 * log(0.25 / 0.125) + 0.25 * log(0.25 / 0.25) + 0.5 * log(0.5 / 0.625)
    assert int(count) == 1
    assert float(total) == pytest.approx(by_hand)
    assert float(distillation(LOGITS, LOGITS, TARGETS)[0]) == pytest.approx(0, abs=1e-6)


def test_distillation_at_a_temperature_compares_flatter_distributions_and_keeps_the_size_of_gradients():
    teacher = torch.tensor([[[0.0, 0.0, 2 * log(3.0)], [0.0, 0.0, 0.0]]])
    student = torch.zeros(1, 2, 3)
    by_hand = 4 * (0.2 * log(0.2 * 3) * 2 + 0.6 * log(0.6 * 3))
    assert float(distillation(student, teacher, TARGETS, temperature=2.0)[0]) == pytest.approx(by_hand)


def test_the_divergence_of_a_gaussian_is_the_closed_form():
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, log(2.0)]])
    assert float(gaussian_kl(mean, log_variance)) == pytest.approx(0.5 + (2 - 1 - log(2)) / 2)
    samples = torch.distributions.Normal(1.0, exp(0.25))
    standard = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(samples, standard)
    assert float(gaussian_kl(torch.tensor([[1.0]]), torch.tensor([[0.5]]))) == pytest.approx(float(expected), rel=1e-6)


def test_free_bits_are_free_for_each_number_and_stop_its_gradient():
    mean = torch.tensor([[0.1, 2.0]], requires_grad=True)
    loss = gaussian_kl(mean, torch.zeros(1, 2), free_bits=0.5)
    assert float(loss.detach()) == pytest.approx(0.5 + 2.0)
    loss.backward()
    assert mean.grad is not None
    assert mean.grad[0].tolist() == pytest.approx([0.0, 2.0])
