from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from songwright import __version__
from songwright.config import from_mapping
from songwright.engine.session import Decoder
from songwright.errors import InputError, OutputError
from songwright.tokens.streams import STREAMS
from songwright.training.config import TrainingConfig
from songwright.training.export import export_network
from songwright.training.networks import build_network, load_network

STREAM = STREAMS["lead_sheet"]


SIZES: dict[str, dict[str, Any]] = {
    "transformer": {"dim": 48, "num_layers": 1, "num_heads": 3, "hidden_dim": 64},
    "hybrid": {"dim": 48, "num_layers": 1, "num_heads": 3, "hidden_dim": 64, "kernel_size": 2},
    "convolution": {"dim": 32, "num_layers": 3},
    "lstm": {"dim": 32},
    "gru": {"dim": 32},
    "rnn": {"dim": 32},
}


def write_checkpoint(folder: Path, family: str, *, stream: str = "lead_sheet") -> Path:
    torch.manual_seed(0)
    network = {"family": family, "context_length": 64, **SIZES[family]}
    config = from_mapping(TrainingConfig, {"stream": stream, "network": network})
    fresh = build_network(config)
    for parameter in fresh.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    state = {
        "config": asdict(config),
        "fingerprint": STREAMS[stream].vocabulary.fingerprint,
        "average": fresh.state_dict(),
        "step": 30,
    }
    torch.save(state, folder / "best.pt")
    (folder / "log.csv").write_text("step,nats_per_token,bits_per_note\n20,1.5,2.5\n30,1.25,2.25\n40,1.4,2.4\n")
    return folder / "best.pt"


@pytest.fixture(scope="module", params=SIZES)
def checkpoint(request, tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("run"), request.param)


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory) -> list[Path]:
    return export_network(checkpoint, tmp_path_factory.mktemp("weights") / "pop")


def test_both_precisions_are_written_and_nothing_else(exported):
    assert [path.name for path in exported] == ["lead_sheet.fp32.onnx", "lead_sheet.int8.onnx"]
    assert sorted(exported[0].parent.iterdir()) == sorted(exported)


def test_exported_weights_say_what_they_are_and_where_they_come_from(checkpoint, exported):
    for path, precision in zip(exported, ("fp32", "int8"), strict=True):
        metadata = Decoder(path, max_length=8, expected_fingerprint=STREAM.vocabulary.fingerprint).metadata
        assert metadata["config"]["family"] == load_network(checkpoint)[1].network.family
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


def test_a_stream_without_channels_exports_without_them(tmp_path):
    (path,) = export_network(write_checkpoint(tmp_path, "lstm", stream="score"), tmp_path, precisions=("fp32",))
    decoder = Decoder(path, max_length=8)
    assert (path.name, decoder.config.num_channels, decoder.config.num_hints) == ("score.fp32.onnx", 0, 0)
    assert np.isfinite(decoder.step([3])).all()


def test_a_run_without_a_log_exports_without_figures(tmp_path):
    checkpoint = write_checkpoint(tmp_path, "rnn")
    (tmp_path / "log.csv").unlink()
    (path,) = export_network(checkpoint, tmp_path, precisions=("int8",))
    assert Decoder(path, max_length=8).metadata["figures"] == {}


def test_unusable_checkpoints_and_folders_are_one_clear_sentence(tmp_path):
    checkpoint = write_checkpoint(tmp_path, "gru")
    with pytest.raises(InputError, match="no checkpoint here"):
        export_network(tmp_path / "none.pt", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        export_network(checkpoint, tmp_path / "file")
