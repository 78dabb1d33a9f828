"""`songwright train`: a corpus to a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", type=Path, help="TOML file, such as configs/lead-sheet.toml")
    parser.add_argument("--corpus", type=Path, required=True, help="folder written by songwright prepare")
    parser.add_argument(
        "--out", type=Path, help="folder for checkpoints and the log (default: runs/NAME of the config)"
    )
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
                        help="replace a value of the config, such as network.num_layers=4")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")


def run(arguments: argparse.Namespace) -> None:
    """Train, and say where the checkpoints are."""
    from songwright.config import load_config
    from songwright.errors import ConfigError, OutputError

    try:
        from songwright.training.trainer import Trainer
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"training needs {error.name}: pip install 'songwright[train]' (constraints.txt names a CPU build)"
        ) from error
    from songwright.training.config import TrainingConfig

    config = load_config(TrainingConfig, arguments.config, overrides=arguments.overrides)
    out: Path = arguments.out or Path("runs") / arguments.config.stem
    if (out / "last.pt").exists() and not arguments.resume:
        raise OutputError(f"{out} holds a run already; add --resume to go on with it, or choose another --out")
    try:
        trainer = Trainer(
            config, arguments.corpus, out, report=lambda line: print(line, flush=True), resume=arguments.resume
        )
        trainer.train()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from error
    print(f"checkpoints in {out}: best.pt (lowest held-out loss), last.pt")
