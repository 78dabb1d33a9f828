"""The network that transcribes: shapes, finite numbers, and the same answers from the exported graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from songwright.model.transcription import TranscriptionConfig, TranscriptionNetwork
from songwright.training.transcription_export import transcription_graph


@pytest.fixture(scope="module")
def network() -> TranscriptionNetwork:
    torch.manual_seed(0)
    network = TranscriptionNetwork(TranscriptionConfig(channels=16, jump_channels=8, head_channels=8))
    for module in network.modules():  # as after training: statistics that are not the initial ones
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def levels(num_frames: int, *, batch: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randn(batch, 2, num_frames, 294, generator=random) * 20 - 40


def test_every_frame_and_pitch_gets_an_onset_and_a_frame_logit(network: TranscriptionNetwork) -> None:
    with torch.no_grad():
        logits = network(levels(50, batch=3))
    assert logits.shape == (3, 2, 50, 88)
    assert torch.isfinite(logits).all()


def test_silence_and_full_scale_give_finite_answers(network: TranscriptionNetwork) -> None:
    with torch.no_grad():
        for value in (-90.0, 0.0, 60.0):
            assert torch.isfinite(network(torch.full((1, 2, 40, 294), value))).all()


def test_the_exported_graph_answers_as_the_network_does(network: TranscriptionNetwork) -> None:
    session = onnxruntime.InferenceSession(transcription_graph(network))
    for num_frames, batch in ((37, 1), (64, 2)):
        inputs = levels(num_frames, batch=batch)
        with torch.no_grad():
            expected = network(inputs).numpy()
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(session.run(None, {"levels": inputs.numpy()})[0], expected, atol=1e-4)


def test_the_same_weights_export_the_same_bytes(network: TranscriptionNetwork) -> None:
    assert transcription_graph(network) == transcription_graph(network)


def test_what_is_further_than_the_context_does_not_matter(network: TranscriptionNetwork) -> None:
    """`files.transcription` reads 20 frames on either side of a piece and cuts them off again."""
    inputs = levels(200)
    changed = inputs.clone()
    changed[:, :, 100] += 30
    with torch.no_grad():
        difference = (network(inputs) - network(changed)).abs().amax(dim=(0, 1, 3))
    reached = torch.nonzero(difference > 0).flatten()
    assert difference[100] > 0
    assert 100 - reached.min() <= 20
    assert reached.max() - 100 <= 20


def test_a_pitch_hears_its_harmonics_and_not_only_its_own_bins(network: TranscriptionNetwork) -> None:
    inputs = levels(40).requires_grad_()
    network(inputs)[0, 1, 20, 30].backward()
    assert inputs.grad is not None
    heard = inputs.grad[0, 0].abs().amax(dim=0)
    for semitones in (0, 12, 19, 24):
        assert heard[3 * (30 + semitones) + 1] > 0


def test_too_few_bins_for_the_pitches_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        TranscriptionConfig(num_bins=200)
