"""The network that transcribes recordings as an ONNX file, which `files.transcription` runs without PyTorch.

The graph is built by hand, operator by operator, as `model.transcription` computes: the same weights give the same
bytes with every version of PyTorch. Batch normalisation is folded into the convolution before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from songwright.files.recordings import SAMPLE_RATE
from songwright.files.spectrogram import HOP, NUM_BINS
from songwright.files.writing import make_folder, write_whole
from songwright.model.transcription import TranscriptionNetwork
from songwright.training.graphs import Graph, require_onnx


def export_transcription(network: TranscriptionNetwork, out_dir: Path, facts: Mapping[str, Any]) -> None:
    """Write `network.onnx` and `transcription.json`, with its checksum, into a folder.

    Parameters
    ----------
    network : TranscriptionNetwork
    out_dir : Path
        Made if absent.
    facts : mapping
        What else the JSON file says: `onset_threshold` and `frame_threshold`, which reading needs, and how the
        network was trained and measured.

    Raises
    ------
    OutputError
        If a file cannot be written, or the package `onnx` is not installed.
    """
    data = transcription_graph(network)
    make_folder(out_dir)
    write_whole(out_dir / "network.onnx", data)
    values = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "sample_rate": SAMPLE_RATE,
        "hop": HOP,
        "num_bins": NUM_BINS,
        "parameters": network.num_parameters,
        **facts,
    }
    write_whole(out_dir / "transcription.json", json.dumps(values, indent=1).encode() + b"\n")


def transcription_graph(network: TranscriptionNetwork) -> bytes:
    """Return the network as an ONNX model: `levels` (batch, resolution, frame, bin) to `logits`."""
    require_onnx()
    graph = _Graph()
    config = network.config
    scaled = graph.node("Mul", "levels", graph.constant(_numbers(network.level_scale)))
    scaled = graph.node("Add", scaled, graph.constant(_numbers(network.level_bias)))
    scaled = graph.node("Max", scaled, graph.constant(np.float32(-2.0)))
    # As in the network: (batch, resolution, bin within the semitone, frame, semitone).
    num_semitones = config.num_bins // config.bins_per_semitone
    shape = np.array([0, 0, -1, num_semitones, config.bins_per_semitone], dtype=np.int64)
    scaled = graph.node("Reshape", scaled, graph.constant(shape))
    scaled = graph.node("Transpose", scaled, perm=[0, 1, 4, 2, 3])
    planes: list[str] = []
    width = config.num_pitches
    for resolution, shifts in enumerate(network.shifts):
        plane = graph.node("Gather", scaled, graph.constant(np.int64(resolution)), axis=1)
        planes += graph.shifted(plane, shifts, width, num_semitones, fill=-2.0)
    place = np.linspace(-1, 1, width, dtype=np.float32)
    # The place on the keyboard as planes of the right size: a plane times 0, plus the place.
    single = graph.slice(planes[0], 0, 1, axis=1)
    blank = graph.node("Mul", single, graph.constant(np.float32(0)))
    planes += [graph.node("Add", blank, graph.constant(values)) for values in (place, place * place)]
    hidden = graph.node("Concat", *planes, axis=1)
    hidden = graph.node("Relu", graph.convolution(hidden, network.stem.convolution, network.stem.norm))
    for block in network.residual_blocks():
        near = graph.node("Relu", graph.convolution(hidden, block.near.convolution, block.near.norm))
        if block.jumps:
            told = graph.slice(near, 0, block.jump_channels, axis=1)
            near = graph.node("Concat", near, *graph.shifted(told, block.jumps, width, width, fill=0.0), axis=1)
        mixed = graph.convolution(near, block.mix, block.norm)
        hidden = graph.node("Relu", graph.node("Add", hidden, mixed))
    onset, frame = network.onset_hidden, network.frame_hidden
    onset_hidden = graph.node("Relu", graph.convolution(hidden, onset.convolution, onset.norm))
    onset_logits = graph.convolution(onset_hidden, network.onset_out)
    frame_hidden = graph.node("Relu", graph.convolution(hidden, frame.convolution, frame.norm))
    frame_hidden = graph.node("Concat", frame_hidden, onset_logits, axis=1)
    frame_logits = graph.convolution(frame_hidden, network.frame_out)
    logits = graph.node("Concat", onset_logits, frame_logits, axis=1)
    return graph.finish(logits, (config.num_resolutions, config.num_bins), (2, config.num_pitches))


def _numbers(tensor: Any) -> NDArray[np.float32]:
    return tensor.detach().float().numpy()


class _Graph(Graph):
    """A graph of convolutions."""

    def slice(self, value: str, start: int, end: int, *, axis: int) -> str:
        bounds = [self.constant(np.array([number], dtype=np.int64)) for number in (start, end, axis)]
        return self.node("Slice", value, *bounds)

    def shifted(self, value: str, shifts: tuple[int, ...], width: int, num_semitones: int, *, fill: float) -> list[str]:
        """Return the value moved along its last axis by each shift, cut to `width`, filled beyond its ends."""
        low, high = max(0, -min(shifts)), max(0, max(shifts) + width - num_semitones)
        pads = np.array([0, 0, 0, low, 0, 0, 0, high], dtype=np.int64)
        padded = self.node("Pad", value, self.constant(pads), self.constant(np.float32(fill)))
        return [self.slice(padded, low + shift, low + shift + width, axis=3) for shift in shifts]

    def convolution(self, value: str, convolution: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> str:
        weight = _numbers(convolution.weight)
        bias = _numbers(convolution.bias) if convolution.bias is not None else np.zeros(len(weight), dtype=np.float32)
        if norm is not None and norm.running_mean is not None and norm.running_var is not None:
            gain = _numbers(norm.weight) / np.sqrt(_numbers(norm.running_var) + np.float32(norm.eps))
            weight = weight * gain[:, None, None, None]
            bias = (bias - _numbers(norm.running_mean)) * gain + _numbers(norm.bias)
        (time, frequency), dilations = convolution.padding, list(convolution.dilation)
        return self.node(
            "Conv", value, self.constant(weight), self.constant(bias),
            kernel_shape=list(convolution.kernel_size), pads=[time, frequency, time, frequency], dilations=dilations,
        )  # fmt: skip

    def finish(self, output: str, input_sizes: tuple[int, int], output_sizes: tuple[int, int]) -> bytes:
        """Return the content of a file; sizes are (channels, width)."""
        from onnx import TensorProto, helper

        self.outputs("Identity", [output], ["logits"])
        levels, logits = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, "frames", width])
            for name, (channels, width) in (("levels", input_sizes), ("logits", output_sizes))
        )
        return self.serialize("transcription", [levels], [logits])
