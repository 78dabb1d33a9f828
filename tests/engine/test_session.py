from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from songwright.composition.weights import find_style
from songwright.engine.session import Decoder
from songwright.errors import WeightsError
from songwright.model.config import ConvolutionConfig, HybridConfig
from songwright.model.network import SequenceNetwork
from songwright.training.export import graph_config
from tests.model.networks import CHANNELS, CONTEXT, FAMILIES, VOCAB, random_network, random_songs, write_graph

LENGTH = 90  # the window moves four times
HALF = CONTEXT // 2
Songs = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=FAMILIES)
def network(request) -> SequenceNetwork:
    return random_network(request.param)


@pytest.fixture(scope="module")
def paths(network, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {precision: write_graph(network, folder / f"{precision}.onnx", precision) for precision in ("fp32", "int8")}


@pytest.fixture(scope="module")
def songs() -> Songs:
    return random_songs(3, LENGTH)


@pytest.fixture(scope="module")
def expected(network, songs) -> np.ndarray:
    """Logits of the network in PyTorch, each token read in the window the engine promises."""
    result = np.zeros((3, LENGTH, VOCAB), dtype=np.float32)
    done = 0
    while done < LENGTH:
        start = max((done // HALF - 1) * HALF, 0)
        stop = min(start + CONTEXT, LENGTH)
        with torch.no_grad():
            logits = network(*(torch.from_numpy(array[:, start:stop]) for array in songs)).numpy()
        result[:, done:stop] = logits[:, done - start :]
        done = stop
    return result


def steps(decoder: Decoder, songs, begin: int = 0, end: int = LENGTH) -> np.ndarray:
    return np.stack([decoder.step(*(array[:, time] for array in songs)).copy() for time in range(begin, end)], axis=1)


def test_steps_equal_the_full_forward_pass(paths, songs, expected):
    decoder = Decoder(paths["fp32"], batch_size=3, max_length=LENGTH)
    np.testing.assert_allclose(steps(decoder, songs), expected, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_channels_and_hints_steps_equal_the_full_forward_pass(family, tmp_path, songs):
    network = random_network(family, bare=True)
    decoder = Decoder(write_graph(network, tmp_path / "bare.onnx", "fp32"), batch_size=3, max_length=CONTEXT)
    found = np.stack([decoder.step(songs[0][:, time]).copy() for time in range(CONTEXT)], axis=1)
    with torch.no_grad():
        np.testing.assert_allclose(found, network(torch.from_numpy(songs[0][:, :CONTEXT])).numpy(), atol=1e-4)


def test_int8_stays_close_to_fp32(paths, songs, expected):
    decoder = Decoder(paths["int8"], batch_size=3, max_length=LENGTH)
    found = torch.from_numpy(steps(decoder, songs)).log_softmax(-1)
    wanted = torch.from_numpy(expected).log_softmax(-1)
    divergence = float((wanted.exp() * (wanted - found)).sum(-1).mean())
    assert 0 < divergence < 1e-3  # nats a token
    assert paths["int8"].stat().st_size < 0.5 * paths["fp32"].stat().st_size


def test_a_prompt_equals_as_many_steps(paths, songs, expected):
    decoder = Decoder(paths["fp32"], batch_size=3, max_length=LENGTH)
    first = decoder.prefill(*(array[:, :50] for array in songs))
    then = steps(decoder, songs, 50, 70)
    last = decoder.prefill(*(array[:, 70:] for array in songs))
    np.testing.assert_allclose(np.concatenate([first, then, last], axis=1), expected, atol=1e-4)


def test_a_sequence_does_not_depend_on_its_batch(paths, songs, expected):
    decoder = Decoder(paths["fp32"], batch_size=1, max_length=LENGTH)
    np.testing.assert_allclose(steps(decoder, [array[1:2] for array in songs])[0], expected[1], atol=1e-4)


def test_in_int8_too_a_sequence_depends_neither_on_its_batch_nor_on_being_a_prompt(paths, songs):
    together = steps(Decoder(paths["int8"], batch_size=3, max_length=LENGTH), songs)[2]
    alone = Decoder(paths["int8"], batch_size=1, max_length=LENGTH)
    only = [array[2:] for array in songs]
    np.testing.assert_allclose(alone.prefill(*only)[0], together, atol=1e-3)
    alone.reset()
    np.testing.assert_allclose(steps(alone, only)[0], together, atol=1e-3)


@pytest.mark.parametrize("length", [0, 3, 20, CONTEXT, 60, 89])
def test_after_rewinding_logits_are_those_of_a_fresh_decoder(paths, songs, expected, length):
    decoder = Decoder(paths["fp32"], batch_size=3, max_length=LENGTH)
    steps(decoder, [array[:, ::-1] for array in songs], 0, 40)
    decoder.reset()
    decoder.prefill(*songs)
    decoder.rewind(length)
    assert decoder.positions.tolist() == [length] * 3
    np.testing.assert_allclose(steps(decoder, songs, length), expected[:, length:], atol=1e-4)


def test_sequences_rewind_on_their_own(paths, songs, expected):
    decoder = Decoder(paths["fp32"], batch_size=3, max_length=LENGTH)
    steps(decoder, songs, 0, 70)
    lengths = np.array([70, 10, 40])
    decoder.rewind(lengths)
    rows = np.arange(3)
    for _ in range(20):
        found = decoder.step(*(array[rows, lengths] for array in songs))
        np.testing.assert_allclose(found, expected[rows, lengths], atol=1e-4)
        lengths += 1


def test_a_full_or_too_short_sequence_is_an_error(paths, songs):
    decoder = Decoder(paths["fp32"], batch_size=3, max_length=10)
    with pytest.raises(ValueError, match="max_length, 10"):
        decoder.prefill(*(array[:, :11] for array in songs))
    steps(decoder, songs, 0, 10)
    with pytest.raises(ValueError, match="max_length, 10"):
        steps(decoder, songs, 10, 11)
    with pytest.raises(ValueError, match="cannot rewind"):
        decoder.rewind(11)
    with pytest.raises(ValueError, match="channels and hints"):
        Decoder(paths["fp32"], batch_size=3, max_length=10).step(songs[0][:, 0])


def test_the_metadata_and_a_fingerprint_of_the_file_are_known(paths):
    decoder = Decoder(paths["int8"], max_length=8, expected_fingerprint="abc")
    assert decoder.metadata["precision"] == "int8"
    assert decoder.config.context_length == CONTEXT
    assert decoder.weights_fingerprint != Decoder(paths["fp32"], max_length=8).weights_fingerprint


def test_weights_that_cannot_be_used_are_one_clear_sentence(paths, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(paths["int8"].read_bytes()[:5000])
    empty = tmp_path / "empty.onnx"
    empty.write_bytes(b"")
    for path, message in [(tmp_path / "none.onnx", "no weights"), (damaged, "damaged"), (empty, "damaged")]:
        with pytest.raises(WeightsError, match=message) as caught:
            Decoder(path, max_length=8)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="trained with vocabulary abc"):
        Decoder(paths["int8"], max_length=8, expected_fingerprint="other")


@pytest.mark.parametrize("config", [
    HybridConfig(dim=32, num_layers=1, num_heads=2, hidden_dim=16, kernel_size=1, context_length=CONTEXT),
    ConvolutionConfig(dim=32, num_layers=2, kernel_size=1, context_length=CONTEXT),
    ConvolutionConfig(dim=32, num_layers=5, kernel_size=2, max_dilation=64, context_length=5),
])  # fmt: skip
def test_convolutions_of_any_width_step_as_they_read(config, tmp_path, songs):
    network = random_network(config.family, config=config)
    decoder = Decoder(write_graph(network, tmp_path / "wide.onnx", "fp32"), batch_size=3, max_length=CONTEXT)
    length = 2 * decoder.config.half_window
    with torch.no_grad():
        expected = network(*(torch.from_numpy(array[:, :length]) for array in songs)).numpy()
    np.testing.assert_allclose(steps(decoder, songs, 0, length), expected, atol=1e-4)


def test_a_network_is_known_by_what_its_file_says(network, paths):
    assert Decoder(paths["int8"], max_length=8).config == graph_config(network, num_channels=CHANNELS)


def test_files_of_the_first_versions_hold_transformers():
    assert Decoder(find_style("pop").weights("lead_sheet", "int8"), max_length=8).config.family == "transformer"
