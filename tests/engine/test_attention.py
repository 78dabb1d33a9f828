from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from songwright.composition.weights import find_style
from songwright.engine.attention import attend
from songwright.engine.builder import Precision
from songwright.engine.session import Decoder
from songwright.engine.weights_file import read_weights
from songwright.errors import WeightsError
from songwright.tokens.streams import lead_sheet_sequence
from tests.model.networks import CHANNELS, CONTEXT, FAMILIES, HINTS, ROWS, VOCAB, random_network, write_graph
from tests.music import make_song

LENGTH = 90
SHIPPED = find_style("pop")


def write_network(path: Path, precision: Precision, *, bare: bool = False) -> Path:
    return write_graph(random_network("transformer", bare=bare, std=0.2), path, precision)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> dict[Precision, Path]:
    folder = tmp_path_factory.mktemp("weights")
    precisions: tuple[Precision, ...] = ("fp32", "int8")
    return {precision: write_network(folder / f"{precision}.onnx", precision) for precision in precisions}


@pytest.fixture(scope="module")
def sequence() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    hints = rng.integers(0, VOCAB, (LENGTH, HINTS)) * rng.integers(0, 2, (LENGTH, HINTS))
    hints[:, 1] = np.where(rng.random(LENGTH) < 0.5, hints[:, 0], hints[:, 1])  # two hints for one token
    return rng.integers(1, VOCAB, LENGTH), rng.integers(0, ROWS, (LENGTH, CHANNELS)), hints


def decoded(path: Path, *arrays: np.ndarray) -> np.ndarray:
    return Decoder(path, max_length=max(len(arrays[0]), 1)).prefill(*(array[None] for array in arrays))[0]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).log_softmax(-1).numpy()


@pytest.mark.parametrize("length", [1, 3, CONTEXT, CONTEXT + 1, LENGTH])
def test_logits_are_those_of_the_decoder(paths, sequence, length):
    arrays = [array[:length] for array in sequence]
    np.testing.assert_allclose(attend(paths["fp32"], *arrays).logits, decoded(paths["fp32"], *arrays), atol=1e-3)


def test_logits_without_channels_and_hints_are_those_of_the_decoder(tmp_path, sequence):
    path = write_network(tmp_path / "bare.onnx", "fp32", bare=True)
    np.testing.assert_allclose(attend(path, sequence[0]).logits, decoded(path, sequence[0]), atol=1e-3)


def test_int8_weights_are_widened_as_they_were_narrowed(paths):
    fine, coarse = (read_weights(paths[precision]) for precision in ("fp32", "int8"))
    assert fine.arrays.keys() == coarse.arrays.keys()
    for name, array in fine.arrays.items():
        step = np.abs(array).max() / 127
        np.testing.assert_allclose(coarse.arrays[name], array, atol=0.51 * step, err_msg=name)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("int8", 0.3)])
def test_shipped_weights_give_the_log_probabilities_of_the_decoder(precision, tolerance):
    path = SHIPPED.weights("lead_sheet", precision)
    arrays = lead_sheet_sequence(make_song(3).lead_sheet)
    assert len(arrays[0]) > read_weights(path).config.context_length  # more than one window
    found, expected = attend(path, *arrays).logits, decoded(path, *arrays)
    if precision == "fp32":
        np.testing.assert_allclose(found, expected, atol=1e-3)
    rows, targets = np.arange(len(arrays[0]) - 1), arrays[0][1:]
    difference = np.abs(log_softmax(found) - log_softmax(expected))[rows, targets]
    assert difference.mean() < tolerance / 10
    assert np.percentile(difference, 99) < tolerance


def test_attention_sums_to_one_and_never_goes_to_the_future(paths, sequence):
    found = attend(paths["fp32"], *sequence)
    assert found.shares.shape == (2, 6, LENGTH, LENGTH)
    assert found.shares.dtype == np.float32
    np.testing.assert_allclose(found.shares.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(found.uniform.sum(-1), 1, atol=1e-5)
    assert not np.triu(found.shares, 1).any()
    assert not np.triu(found.uniform, 1).any()


def test_attention_stays_in_the_window_of_the_step(paths, sequence):
    found = attend(paths["fp32"], *sequence)
    half = CONTEXT // 2
    for step in range(LENGTH):
        first = max((step // half - 1) * half, 0)
        assert not found.shares[:, :, step, :first].any()
        np.testing.assert_allclose(found.uniform[step, first : step + 1], 1 / (step + 1 - first), rtol=1e-5)


def test_attention_is_that_of_the_formula(tmp_path):
    """One layer, computed again by the definition in double precision."""
    weights = read_weights(write_network(tmp_path / "bare.onnx", "fp32", bare=True))
    config = weights.config
    tokens = np.random.default_rng(0).integers(1, VOCAB, 9)
    x = weights.arrays["token_embedding.weight"][tokens].astype(np.float64)
    x *= weights.arrays["blocks.0.attention_norm.weight"] / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    heads = (x @ weights.arrays["blocks.0.qkv.weight"]).reshape(9, 10, config.head_dim)
    turns = np.exp(1j * np.arange(9)[:, None] * 10_000.0 ** (-np.arange(0, 16, 2) / 16))[:, None]
    turned = (heads[..., :8] + 1j * heads[..., 8:]) * turns
    for head in range(6):
        scores = (turned[:, None, head] * turned[None, :, 6 + head // 3].conj()).sum(-1).real / 4
        expected = np.tril(np.exp(scores))
        expected /= expected.sum(-1, keepdims=True)
        np.testing.assert_allclose(attend(weights, tokens).shares[0, head], expected, atol=1e-5)


def test_groups_and_rows_gather_the_attention_of_single_tokens(paths, sequence):
    rng = np.random.default_rng(1)
    groups, rows = rng.integers(-1, 4, LENGTH), rng.integers(-1, 3, LENGTH)
    single = attend(paths["fp32"], *sequence)
    gathered = attend(paths["fp32"], *sequence, groups, rows=rows, num_groups=6, num_rows=5)
    for table, found in ((single.shares, gathered.shares), (single.uniform, gathered.uniform)):
        assert found.shape[-2:] == (5, 6)
        assert not found[..., 3:, :].any()
        assert not found[..., 4:].any()
        for row in range(3):
            for group in range(4):
                expected = table[..., rows == row, :][..., groups == group].sum(-1).mean(-1)
                np.testing.assert_allclose(found[..., row, group], expected, atol=1e-5)
    np.testing.assert_array_equal(gathered.logits, single.logits)


def test_gates_are_what_the_hints_add(paths, sequence):
    tokens, channels, hints = sequence
    found, without = (attend(paths["fp32"], tokens, channels, given) for given in (hints, np.zeros_like(hints)))
    assert not found.gates[hints == 0].any()
    assert not without.gates.any()
    expected = without.logits.copy()
    for hint in range(HINTS):
        expected[np.arange(LENGTH), hints[:, hint]] += found.gates[:, hint]
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)


def test_an_empty_sequence_has_nothing_to_show(paths, sequence):
    found = attend(paths["fp32"], *(array[:0] for array in sequence))
    assert found.logits.shape == (0, VOCAB)
    assert found.shares.shape == (2, 6, 0, 0)


def test_what_does_not_fit_is_an_error(paths, sequence):
    tokens, channels, hints = sequence
    with pytest.raises(ValueError, match="reads channels"):
        attend(paths["fp32"], tokens)
    with pytest.raises(ValueError, match="hints must have shape"):
        attend(paths["fp32"], tokens, channels, hints[:5])
    with pytest.raises(ValueError, match="tokens must be from 0 to 60, got -1"):
        attend(paths["fp32"], np.full(LENGTH, -1), channels, hints)
    with pytest.raises(ValueError, match="groups must be from -1 to 1"):
        attend(paths["fp32"], tokens, channels, hints, np.full(LENGTH, 2), num_groups=2)


def test_a_missing_or_damaged_file_is_told_in_one_sentence(paths, tmp_path):
    with pytest.raises(WeightsError, match="no weights can be read here"):
        read_weights(tmp_path / "absent.onnx")
    data = paths["int8"].read_bytes()
    for name, damaged in {
        "empty": b"",
        "text": b"these are no weights",
        "half": data[: len(data) // 2],
        "shifted": data[1:],
        "longer": data + b"\xff",
        "other sizes": data.replace(b'"dim": 96', b'"dim": 48'),
    }.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match="damaged or not songwright's") as error:
            read_weights(path)
        assert "\n" not in str(error.value)


def test_no_changed_byte_leads_to_another_error(paths, tmp_path):
    """The read weights are then usable, or refused."""
    rng = np.random.default_rng(9)
    data, path = paths["int8"].read_bytes(), tmp_path / "damaged.onnx"
    header = data.rindex(b"blocks.1.qkv.weight")
    refused = 0
    for _ in range(150):
        changed = bytearray(data)
        # Most of the file is arrays; half of the damage falls where one is described.
        place = header + rng.integers(-20, 40) if rng.random() < 0.5 else rng.integers(len(data))
        changed[int(place)] = int(rng.integers(256))
        path.write_bytes(changed)
        try:
            assert np.isfinite(read_weights(path).arrays["output.weight"]).all()
        except WeightsError:
            refused += 1
    assert refused > 20


def test_reading_attention_needs_neither_torch_nor_onnx(paths):
    code = (
        "import sys; from songwright.engine.attention import attend; "
        f"attend({str(SHIPPED.weights('lead_sheet', 'int8'))!r}, [1], [[0] * 31], [[0] * 6]); "
        "assert not {'torch', 'onnx', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "transformer"])
def test_networks_of_other_families_are_one_clear_sentence(family, tmp_path):
    path = write_graph(random_network(family), tmp_path / "other.onnx", "int8")
    with pytest.raises(WeightsError, match=f"family {family}, and attention can be shown of a transformer only"):
        read_weights(path)
