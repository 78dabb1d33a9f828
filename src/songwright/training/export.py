"""Checkpoints to ONNX files that the engine runs without PyTorch.

Knows checkpoints and where their figures lie; leaves the graph itself to `engine.graph`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import songwright
from songwright.engine.builder import Precision
from songwright.engine.config import GraphConfig
from songwright.engine.graph import build_graph
from songwright.errors import InputError
from songwright.files.writing import make_folder, write_whole
from songwright.model.config import ConvolutionConfig, HybridConfig, TransformerConfig
from songwright.model.layers import NORM_EPSILON, ROTARY_BASE
from songwright.model.network import SequenceNetwork
from songwright.preparation.shards import read_manifest
from songwright.tokens.streams import STREAMS
from songwright.training.checkpoints import read_checkpoint
from songwright.training.graphs import require_onnx
from songwright.training.logs import figures_at
from songwright.training.networks import load_network

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


def graph_config(network: SequenceNetwork, *, num_channels: int) -> GraphConfig:
    """Return a network's sizes as the engine describes them.

    Parameters
    ----------
    network : SequenceNetwork
    num_channels : int
        Rows of the channel table that are summed at each step; 0 for a network without channels.
    """
    config, sizes = network.config, network.sizes
    of_family: dict[str, Any] = {}
    if isinstance(config, TransformerConfig):  # a hybrid is one too
        of_family |= {"num_heads": config.num_heads, "num_kv_heads": config.num_kv_heads, "rotary_base": ROTARY_BASE}
    if isinstance(config, HybridConfig | ConvolutionConfig):
        of_family["kernel_size"] = config.kernel_size
    if isinstance(config, ConvolutionConfig):
        of_family["dilations"] = config.dilations
    return GraphConfig(
        family=config.family,
        vocab_size=sizes.vocab_size,
        num_channels=num_channels if sizes.num_channel_rows else 0,
        num_hints=sizes.num_hints,
        dim=config.dim,
        num_layers=config.num_layers,
        context_length=config.context_length,
        norm_epsilon=NORM_EPSILON,
        **of_family,
    )


def export_network(checkpoint: Path, out_dir: Path, *, precisions: tuple[Precision, ...] = PRECISIONS) -> list[Path]:
    """Write a checkpoint's averaged network as `STREAM.fp32.onnx` and `STREAM.int8.onnx`.

    Networks of any family. Each file carries the stream, the vocabulary's fingerprint, the channel layout, the family
    and its sizes, the training step and its validation figures (the checkpoint's row of `log.csv` beside it), and this
    package's version.

    Parameters
    ----------
    checkpoint : Path
        `best.pt` or `last.pt` of a run.
    out_dir : Path
        Folder to write; made if absent.
    precisions : tuple of {"fp32", "int8"}
        Files to write.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        If the checkpoint is missing or damaged, or was trained with another vocabulary.
    ConfigError
        If its network reads no tokens in sequence.
    OutputError
        If a file cannot be written, or the package `onnx` is not installed.
    """
    network, config = load_network(checkpoint)
    stream = STREAMS[config.stream]
    step = int(read_checkpoint(checkpoint).get("step", 0))
    require_onnx()
    metadata: dict[str, Any] = {
        "stream": stream.name,
        "fingerprint": stream.vocabulary.fingerprint,
        "channel_names": stream.channels.names,
        "channel_sizes": stream.channels.sizes,
        "step": step,
        "figures": figures_at(checkpoint.with_name("log.csv"), step),
        "parameters": network.num_parameters,
        "version": songwright.__version__,
    }
    weights = {name: tensor.float().numpy() for name, tensor in network.state_dict().items()}
    sizes = graph_config(network, num_channels=len(stream.channels.sizes))
    make_folder(out_dir)
    written: list[Path] = []
    for precision in precisions:
        path = out_dir / f"{stream.name}.{precision}.onnx"
        model = build_graph(weights, sizes, precision=precision, metadata=metadata)
        write_whole(path, model.SerializeToString())
        written.append(path)
    return written


def export_style(
    corpus: Path, out_dir: Path, *, description: str | None = None, measured: Mapping[str, bytes] | None = None
) -> list[Path]:
    """Write what a style holds beside its weights: `originality.npz` of its corpus, and `style.json` with checksums.

    Parameters
    ----------
    corpus : Path
        A prepared corpus.
    out_dir : Path
        The style's folder, named as the style.
    description : str, optional
        One line about it.
    measured : mapping of str to bytes, optional
        Further files of the style by name, such as `reference.npz`: what was measured of the corpus.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        If the folder is no prepared corpus.
    OutputError
        If a file cannot be written.
    """
    manifest = read_manifest(corpus)
    num_songs = sum(len(pieces) for pieces in manifest["splits"].values())
    text = (
        description
        or f"learned from {num_songs:,} pieces of {', '.join(source['title'] for source in manifest['sources'])}"
    )
    try:
        index = (corpus / "originality.npz").read_bytes()
    except OSError as error:
        raise InputError(
            f"{corpus}: originality.npz cannot be read ({error.strerror}); prepare the corpus again"
        ) from None
    further = {"originality.npz": index, **(measured or {})}
    for name, content in further.items():
        write_whole(out_dir / name, content)
    weights = [path for path in out_dir.glob("*.onnx") if path.stem.split(".")[0] in STREAMS]
    checked = sorted([*weights, *(out_dir / name for name in further)])
    checksums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in checked}
    values = {"description": text, "sha256": checksums}
    write_whole(out_dir / "style.json", json.dumps(values, indent=1).encode() + b"\n")
    return [*(out_dir / name for name in further), out_dir / "style.json"]
