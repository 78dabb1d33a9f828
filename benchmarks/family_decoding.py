"""Steps decoded a second by networks of every family, and LSTMs against PyTorch's own, with the same weights.

Weights are random; every side makes whole steps: embeddings, blocks, output layer, one sequence, one thread. First come
two LSTMs, step by step by `torch.nn.LSTM` (as PyTorch chooses, which is oneDNN on most processors, and without oneDNN)
and by our engine; logits are compared before. Then every family at about six million parameters, reading the channels
and hints of a lead sheet: in its first window, and over a song of 1,300 tokens, whose windows are read again as they
move on. Sides take turns; rates are medians over the rounds, by the clock and by processor time, which other work on
the machine disturbs less, and of the fastest tenth of single steps.

    python benchmarks/family_decoding.py [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from machine import processor_name
from torch import Tensor

from songwright.engine.builder import Precision
from songwright.engine.graph import build_graph
from songwright.engine.session import Decoder
from songwright.model.config import (
    ConvolutionConfig,
    GruConfig,
    HybridConfig,
    LstmConfig,
    NetworkConfig,
    RnnConfig,
    StreamSizes,
    TransformerConfig,
)
from songwright.model.network import SequenceNetwork
from songwright.model.recurrent import RecurrentBlock
from songwright.tokens.streams import STREAMS
from songwright.training.export import graph_config
from songwright.training.networks import stream_sizes

STREAM = STREAMS["lead_sheet"]
SONG_LENGTH, WINDOW = 1300, 512
_HEADS: dict[str, Any] = {"dim": 256, "num_layers": 8, "num_heads": 4, "num_kv_heads": 1, "hidden_dim": 704}
FAMILIES: dict[str, NetworkConfig] = {
    "transformer": TransformerConfig(**_HEADS),
    "hybrid": HybridConfig(**_HEADS),
    "convolution": ConvolutionConfig(dim=256, num_layers=11),
    "lstm": LstmConfig(dim=576, num_layers=2),
    "gru": GruConfig(dim=640, num_layers=2),
    "rnn": RnnConfig(dim=800, num_layers=3),
}
LSTMS: dict[str, tuple[NetworkConfig, StreamSizes]] = {
    "lstm_512_x_2_without_channels": (LstmConfig(dim=512, num_layers=2), StreamSizes(vocab_size=315)),
    "lstm_576_x_2_with_channels": (FAMILIES["lstm"], stream_sizes(STREAM)),
}
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")

Step = Callable[[int], Any]
"""Reads the token at a place of the song."""


def random_network(config: NetworkConfig, sizes: StreamSizes) -> SequenceNetwork:
    """Return a network with its initial weights."""
    torch.manual_seed(0)
    return SequenceNetwork(config, sizes).eval()


def random_song(sizes: StreamSizes) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return tokens, channel rows and hints, each (1, SONG_LENGTH, ...)."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, sizes.vocab_size, (1, SONG_LENGTH))
    if not sizes.num_channel_rows:
        return tokens, None, None
    channels = rng.integers(0, STREAM.channels.sizes, (1, SONG_LENGTH, len(STREAM.channels.sizes)))
    hints = rng.integers(0, sizes.vocab_size, (1, SONG_LENGTH, sizes.num_hints))
    return tokens, channels + np.array(STREAM.channels.offsets), hints


class TorchLstm:
    """The network step by step, its cells by `torch.nn.LSTM`."""

    def __init__(self, network: SequenceNetwork, song: tuple[np.ndarray | None, ...]) -> None:
        self.network, self.song = network, [None if part is None else torch.from_numpy(part) for part in song]
        self.states: list[Any] = [None] * len(network.blocks)

    @torch.inference_mode()
    def step(self, place: int) -> Tensor:
        """Return logits, (1, vocab); a song begins at place 0."""
        network = self.network
        tokens, channels, hints = (None if part is None else part[:, place : place + 1] for part in self.song)
        assert tokens is not None
        if not place:
            self.states = [None] * len(network.blocks)
        x = network.token_embedding(tokens)
        if network.channel_embedding is not None and channels is not None:
            x = x + network.channel_embedding(channels[0])
        for number, block in enumerate(network.blocks):
            assert isinstance(block, RecurrentBlock)
            x, self.states[number] = block.cell(x, self.states[number])
        x = network.output_norm(x)
        logits = torch.nn.functional.linear(x, network.token_embedding.weight)
        if network.copy_gate is not None and hints is not None:
            logits = logits.scatter_add(-1, hints, network.copy_gate(x) * (hints > 0))
        return logits[0]


@contextmanager
def one_dnn(is_on: bool) -> Iterator[None]:
    """Let PyTorch use oneDNN, or not."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = is_on
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def engine_step(decoder: Decoder, song: tuple[np.ndarray | None, ...]) -> Step:
    """Return what decodes a step with our engine."""

    def step(place: int) -> np.ndarray:
        if not place:
            decoder.reset()
        return decoder.step(*(None if part is None else part[:, place] for part in song))  # type: ignore[arg-type]

    return step


def open_decoder(network: SequenceNetwork, precision: Precision, folder: Path) -> Decoder:
    """Export a network and open it."""
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    sizes = graph_config(network, num_channels=len(STREAM.channels.sizes))
    path = folder / f"{network.config.family}.{precision}.onnx"
    path.write_bytes(build_graph(weights, sizes, precision=precision).SerializeToString())
    return Decoder(path, max_length=SONG_LENGTH)


def timed(step: Step, length: int) -> tuple[float, float, float]:
    """Return steps a second by the clock, by processor time, and of the fastest tenth of steps."""
    single = np.empty(length)
    clock, processor = time.perf_counter(), time.process_time()
    for place in range(length):
        start = time.perf_counter()
        step(place)
        single[place] = time.perf_counter() - start
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return length / clock, length / processor, 1 / float(np.percentile(single, 10))


def take_turns(sides: dict[str, Callable[[], tuple[float, float, float]]], rounds: int) -> dict[str, dict[str, float]]:
    """Return the median rates of each side."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            found[name].append(run())
    keys = ("steps_per_second", "steps_per_processor_second", "fastest_tenth_per_second")
    return {
        name: {
            key: round(statistics.median(row[place] for row in rows), 1) for place, key in enumerate(keys)
        }
        for name, rows in found.items()
    }  # fmt: skip


def against_torch(config: NetworkConfig, sizes: StreamSizes, rounds: int, folder: Path) -> dict[str, Any]:
    """Return the rates of an LSTM by PyTorch and by our engine, in one window."""
    network, song = random_network(config, sizes), random_song(sizes)
    torch_side = TorchLstm(network, song)
    expected = np.stack([torch_side.step(place).numpy()[0] for place in range(64)])
    figures: dict[str, Any] = {"parameters": network.num_parameters}

    def by_torch(is_on: bool) -> Callable[[], tuple[float, float, float]]:
        def run() -> tuple[float, float, float]:
            with one_dnn(is_on):
                return timed(torch_side.step, 256)

        return run

    sides = {"torch": by_torch(True), "torch_without_onednn": by_torch(False)}
    for precision in PRECISIONS:
        step = engine_step(open_decoder(network, precision, folder), song)
        found = np.stack([step(place)[0].copy() for place in range(64)])
        figures[f"{precision}_largest_logit_difference"] = float(np.abs(found - expected).max())
        sides[precision] = lambda step=step: timed(step, WINDOW)
    rates = take_turns(sides, rounds)
    figures["rates"] = rates
    for key in rates["torch"]:
        for reference in ("torch", "torch_without_onednn"):
            for precision in PRECISIONS:
                ratio = rates[precision][key] / rates[reference][key]
                figures.setdefault(f"ratio_to_{reference}", {})[f"{precision}_{key}"] = round(ratio, 1)
    return figures


def every_family(rounds: int, folder: Path) -> dict[str, Any]:
    """Return the rates of every family."""
    sizes = stream_sizes(STREAM)
    song = random_song(sizes)
    figures: dict[str, Any] = {}
    sides: dict[str, Callable[[], tuple[float, float, float]]] = {}
    for family, config in FAMILIES.items():
        network = random_network(config, sizes)
        figures[family] = {"parameters": network.num_parameters}
        for precision in PRECISIONS:
            step = engine_step(open_decoder(network, precision, folder), song)
            step(0)
            sides[f"{family} {precision} window"] = lambda step=step: timed(step, WINDOW)
            sides[f"{family} {precision} song"] = lambda step=step: timed(step, SONG_LENGTH)
    for name, rates in take_turns(sides, rounds).items():
        family, precision, length = name.split()
        figures[family].setdefault(precision, {})[length] = rates
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "rounds": arguments.rounds,
        "versions": {module.__name__: module.__version__ for module in (torch, onnxruntime)},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, (config, sizes) in LSTMS.items():
            result[name] = against_torch(config, sizes, arguments.rounds, Path(folder))
        result["families"] = every_family(arguments.rounds, Path(folder))
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
