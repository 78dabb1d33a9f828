from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from songwright import __version__
from songwright.engine.session import Decoder
from songwright.errors import InputError, OutputError
from songwright.tokens.streams import STREAMS
from songwright.training.config import NetworkConfig, TrainingConfig
from songwright.training.export import export_network
from songwright.training.trainer import build_network, load_network

STREAM = STREAMS["lead_sheet"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    sizes = NetworkConfig(dim=48, num_layers=1, num_heads=3, hidden_dim=64, context_length=64)
    config = TrainingConfig(stream="lead_sheet", network=sizes)
    network = build_network(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    state = {
        "config": asdict(config),
        "fingerprint": STREAM.vocabulary.fingerprint,
        "average": network.state_dict(),
        "step": 30,
    }
    torch.save(state, folder / "best.pt")
    (folder / "log.csv").write_text("step,nats_per_token,bits_per_note\n20,1.5,2.5\n30,1.25,2.25\n40,1.4,2.4\n")
    return folder / "best.pt"


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory) -> list[Path]:
    return export_network(checkpoint, tmp_path_factory.mktemp("weights") / "pop")


def test_both_precisions_are_written_and_nothing_else(exported):
    assert [path.name for path in exported] == ["lead_sheet.fp32.onnx", "lead_sheet.int8.onnx"]
    assert sorted(exported[0].parent.iterdir()) == sorted(exported)


def test_exported_weights_say_where_they_come_from(exported):
    for path, precision in zip(exported, ("fp32", "int8"), strict=True):
        metadata = Decoder(path, max_length=8, expected_fingerprint=STREAM.vocabulary.fingerprint).metadata
        assert metadata["precision"] == precision
        assert metadata["stream"] == "lead_sheet"
        assert tuple(metadata["channel_names"]) == STREAM.channels.names
        assert tuple(metadata["channel_sizes"]) == STREAM.channels.sizes
        assert metadata["version"] == __version__
        assert (metadata["step"], metadata["figures"]) == (30, {"nats_per_token": 1.25, "bits_per_note": 2.25})


def test_the_engine_predicts_what_the_checkpoint_predicts(checkpoint, exported):
    network, _ = load_network(checkpoint)
    rng = np.random.default_rng(1)
    vocab, time = len(STREAM.vocabulary), 40
    tokens = rng.integers(1, vocab, (2, time))
    channels = rng.integers(0, STREAM.channels.sizes, (2, time, len(STREAM.channels.sizes))) + STREAM.channels.offsets
    hints = rng.integers(0, vocab, (2, time, STREAM.num_hints))
    with torch.no_grad():
        expected = network(*(torch.from_numpy(array) for array in (tokens, channels, hints))).numpy()
    decoder = Decoder(exported[0], batch_size=2, max_length=time)
    found = np.stack([decoder.step(tokens[:, t], channels[:, t], hints[:, t]).copy() for t in range(time)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_run_without_a_log_exports_without_figures(checkpoint, tmp_path):
    (tmp_path / "best.pt").write_bytes(checkpoint.read_bytes())
    (path,) = export_network(tmp_path / "best.pt", tmp_path, precisions=("int8",))
    assert Decoder(path, max_length=8).metadata["figures"] == {}


def test_unusable_checkpoints_and_folders_are_one_clear_sentence(checkpoint, tmp_path):
    with pytest.raises(InputError, match="no checkpoint here"):
        export_network(tmp_path / "none.pt", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        export_network(checkpoint, tmp_path / "file")
