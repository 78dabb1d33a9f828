"""The autoencoder of phrases as two ONNX files, which `engine.phrases` runs without PyTorch.

Each graph is built by hand, operator by operator, as `model.phrase_vae` computes: the same weights give the same bytes
with every version of PyTorch. Weights are stored in half precision and widened once, when a session loads them.

    phrases.encoder.onnx   tokens, channels -> mean, log_variance; phrases of one batch are equally long
    phrases.decoder.onnx   z, tokens, channels, hidden, cell -> logits, next_hidden, next_cell; any number of steps
    phrases.json           checksums, sizes, what the channels are, figures
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

import songwright
from songwright.config import from_mapping
from songwright.errors import ConfigError, InputError
from songwright.files.writing import make_folder, write_whole
from songwright.model.config import PhraseVaeConfig
from songwright.model.phrase_vae import PhraseVae
from songwright.tokens.lead_sheet import VOCABULARY
from songwright.tokens.phrases import CHANNELS
from songwright.training.checkpoints import read_checkpoint
from songwright.training.graphs import Graph, require_onnx
from songwright.training.logs import figures_at
from songwright.training.phrases import VALIDATED, make_network


def export_phrases(network: PhraseVae, out_dir: Path, facts: Mapping[str, Any]) -> list[Path]:
    """Write the two graphs and `phrases.json` into a folder.

    Parameters
    ----------
    network : PhraseVae
    out_dir : Path
        Made if absent.
    facts : mapping
        What else the JSON file says: how the network was trained and measured.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    OutputError
        If a file cannot be written, or the package `onnx` is not installed.
    """
    require_onnx()
    graphs = {"phrases.encoder.onnx": encoder_graph(network), "phrases.decoder.onnx": decoder_graph(network)}
    values = {
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in graphs.items()},
        "fingerprint": VOCABULARY.fingerprint,
        "channel_names": CHANNELS.names,
        "channel_sizes": CHANNELS.sizes,
        "dim": network.config.dim,
        "latent_dim": network.config.latent_dim,
        "parameters": network.num_parameters,
        "version": songwright.__version__,
        **facts,
    }
    make_folder(out_dir)
    files = graphs | {"phrases.json": json.dumps(values, indent=1).encode() + b"\n"}
    for name, data in files.items():
        write_whole(out_dir / name, data)
    return [out_dir / name for name in files]


def export_checkpoint(checkpoint: Path, out_dir: Path) -> list[Path]:
    """Write the averaged network of a checkpoint, as `export_phrases` does.

    Raises
    ------
    InputError
        If the checkpoint cannot be read or is of another network.
    OutputError
        If a file cannot be written.
    """
    state = read_checkpoint(checkpoint)
    try:
        config = state["config"]
        network = make_network(from_mapping(PhraseVaeConfig, config.get("network", config), where=str(checkpoint)))
        network.load_state_dict(state["average"])
    except (AttributeError, ConfigError, KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"{checkpoint}: no checkpoint of a phrase-vae; train with configs/phrase-vae.toml") from error
    step = int(state.get("step", 0))
    figures = state.get("figures") or figures_at(checkpoint.with_name("log.csv"), step)
    rounded = {name: round(float(value), 4) for name, value in figures.items() if name in VALIDATED}
    return export_phrases(network.eval(), out_dir, {"step": step, "figures": rounded})


def encoder_graph(network: PhraseVae) -> bytes:
    """Return the encoder as an ONNX model."""
    graph = _Graph()
    reader = network.reader
    read = graph.lstm(graph.embed(network), (reader.forward_lstm, reader.backward_lstm))[0]  # (batch, time, dim)
    read = graph.linear(read, reader.narrow)
    at_place = graph.at_place(network.num_places)
    axis = graph.constant(np.array([1], dtype=np.int64))
    steps = graph.node("Max", graph.node("ReduceSum", at_place, axis, keepdims=0), graph.constant(np.float32(1)))
    sums = graph.node("MatMul", graph.node("Transpose", at_place, perm=[0, 2, 1]), read)
    last = graph.constant(np.array([2], dtype=np.int64))
    means = graph.node("Div", sums, graph.node("Unsqueeze", steps, last))
    flat = graph.node("Reshape", means, graph.constant(np.array([0, -1], dtype=np.int64)))
    both = graph.linear(flat, reader.posterior)
    graph.outputs("Split", [both], ["mean", "log_variance"], axis=-1)
    latent = ["batch", network.config.latent_dim]
    return graph.finish("encoder", {}, {"mean": latent, "log_variance": latent})


def decoder_graph(network: PhraseVae) -> bytes:
    """Return the decoder as an ONNX model."""
    graph = _Graph()
    dim, writer = network.config.dim, network.writer
    codes = graph.silu(graph.linear("z", writer.codes))
    shape = np.array([0, network.num_places, network.config.code_dim], dtype=np.int64)
    codes = graph.linear(graph.node("Reshape", codes, graph.constant(shape)), writer.widen)
    code = graph.node("MatMul", graph.at_place(network.num_places), codes)
    x = graph.node("Add", graph.embed(network), code)
    written, hidden, cell = graph.lstm(x, (writer.lstm,), state=("hidden", "cell"))
    graph.outputs("Identity", [hidden], ["next_hidden"])
    graph.outputs("Identity", [cell], ["next_cell"])
    mixed = graph.silu(graph.linear(graph.node("Concat", written, x, axis=-1), writer.mix))
    embedding = graph.node("Transpose", graph.weight(network.token_embedding.weight), perm=[1, 0])
    logits = graph.node("MatMul", mixed, embedding)
    graph.outputs("Add", [logits, graph.weight(network.output_bias)], ["logits"])
    state = [1, "batch", dim]
    return graph.finish(
        "decoder",
        {"z": ["batch", network.config.latent_dim], "hidden": state, "cell": state},
        {"logits": ["batch", "time", network.sizes.vocab_size], "next_hidden": state, "next_cell": state},
    )


class _Graph(Graph):
    """A graph that reads tokens and channels."""

    def weight(self, tensor: Any) -> str:
        """Add trained numbers: stored as float16, used as float32."""
        from onnx import TensorProto

        numbers = tensor if isinstance(tensor, np.ndarray) else tensor.detach().float().numpy()
        return self.node("Cast", self.constant(numbers.astype(np.float16)), to=TensorProto.FLOAT)

    def linear(self, x: str, layer: nn.Linear) -> str:
        product = self.node("MatMul", x, self.weight(layer.weight.T))
        return self.node("Add", product, self.weight(layer.bias))

    def silu(self, x: str) -> str:
        return self.node("Mul", x, self.node("Sigmoid", x))

    def embed(self, network: PhraseVae) -> str:
        """Look up tokens and channels: (batch, time, dim)."""
        tokens = self.node("Gather", self.weight(network.token_embedding.weight), "tokens")
        rows = self.node("Gather", self.weight(network.channel_embedding.weight), "channels")
        axis = self.constant(np.array([2], dtype=np.int64))
        return self.node("Add", tokens, self.node("ReduceSum", rows, axis, keepdims=0))

    def at_place(self, num_places: int) -> str:
        """Say of each step at which place it is: (batch, time, places), 1 or 0."""
        from onnx import TensorProto

        bounds = [self.constant(np.array([value], dtype=np.int64)) for value in (0, 1, 2)]
        place = self.node("Slice", "channels", *bounds)
        equal = self.node("Equal", place, self.constant(np.arange(num_places, dtype=np.int64)))
        return self.node("Cast", equal, to=TensorProto.FLOAT)

    def lstm(self, x: str, readers: Sequence[nn.LSTM], *, state: tuple[str, ...] = ()) -> tuple[str, str, str]:
        """Read (batch, time, dim) forwards, and with a second LSTM backwards; return outputs and the last state."""
        hidden = readers[0].hidden_size
        parts = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        columns = [np.stack([_gates(getattr(reader, name)) for reader in readers]) for name in parts]
        weights = [self.weight(column) for column in (*columns[:2], np.concatenate(columns[2:], axis=-1))]
        names = [f"lstm_{len(self.nodes)}_{part}" for part in ("all", "hidden", "cell")]
        inputs = [self.node("Transpose", x, perm=[1, 0, 2]), *weights, *(("", *state) if state else ())]
        direction = "forward" if len(readers) == 1 else "bidirectional"
        self.outputs("LSTM", inputs, names, hidden_size=hidden, direction=direction)
        outputs = self.node("Transpose", names[0], perm=[2, 0, 1, 3])  # (batch, time, directions, hidden)
        shape = self.constant(np.array([0, 0, len(readers) * hidden], dtype=np.int64))
        return self.node("Reshape", outputs, shape), names[1], names[2]

    def finish(self, name: str, inputs: Mapping[str, list[Any]], outputs: Mapping[str, list[Any]]) -> bytes:
        """Return the content of a file; `inputs` come after tokens and channels."""
        from onnx import TensorProto, helper

        ids = {"tokens": ["batch", "time"], "channels": ["batch", "time", len(CHANNELS.sizes)]}
        return self.serialize(
            name,
            [helper.make_tensor_value_info(key, TensorProto.INT64, shape) for key, shape in ids.items()]
            + [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in inputs.items()],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in outputs.items()],
        )


def _gates(tensor: Any) -> NDArray[np.float32]:
    """Return the rows of a gate matrix in ONNX's order (input, output, forget, cell), from PyTorch's (i, f, c, o)."""
    in_gate, forget, cell, out = np.split(tensor.detach().float().numpy(), 4)
    return np.concatenate([in_gate, out, forget, cell])


def main(arguments: Sequence[str] | None = None) -> None:
    """Export a checkpoint of phrase-vae into the folder of a style."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the style, such as src/songwright/weights/pop"
    )
    options = parser.parse_args(arguments)
    for path in export_checkpoint(options.checkpoint, options.out):
        print(path)


if __name__ == "__main__":
    main()
