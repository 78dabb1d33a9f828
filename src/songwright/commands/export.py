"""`songwright export`: a checkpoint to weights for the engine."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoint", type=Path, help="best.pt or last.pt of a run")
    parser.add_argument("--out", type=Path, required=True, help="folder for STREAM.int8.onnx and STREAM.fp32.onnx")


def run(arguments: argparse.Namespace) -> None:
    """Write the weights and say where they are."""
    from songwright.errors import ConfigError

    try:
        from songwright.training.export import export_network
    except ModuleNotFoundError as error:
        raise ConfigError(f"export needs {error.name}: pip install 'songwright[train]'") from error
    for path in export_network(arguments.checkpoint, arguments.out):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
