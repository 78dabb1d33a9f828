"""`songwright train`: a corpus to a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from songwright.training.config import TrainingConfig

MODELS = ("transformer", "hybrid", "convolution", "lstm", "gru", "rnn", "ngram", "phrase-vae", "dcgan")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", type=Path, nargs="?", help="TOML file, such as configs/lead-sheet.toml")
    parser.add_argument("--corpus", type=Path, required=True, help="folder written by songwright prepare")
    parser.add_argument("--model", choices=MODELS, help="family of networks, in place of the config's")
    parser.add_argument("--size", metavar="N", help="parameters, such as 1M, 6M, 25M or 100M; sets width and depth")
    parser.add_argument(
        "--out", type=Path, help="folder for checkpoints and logs (default: runs/NAME of the config or model)"
    )
    parser.add_argument("--hours", type=float, help="time budget, to which the schedule is fitted")
    parser.add_argument("--teacher", type=Path, action="append", default=[], metavar="CHECKPOINT",
                        help="learn from this larger network too; may be given several times")  # fmt: skip
    parser.add_argument("--songs", action="store_true", help="compose a song into OUT/songs after each validation")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
                        help="replace a value of the config, such as network.num_layers=4")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")


def run(arguments: argparse.Namespace) -> None:
    """Train, and say where the checkpoints are."""
    from songwright.errors import ConfigError, OutputError

    try:
        from songwright.training.processes import leave_processes
        from songwright.training.trainer import Trainer
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"training needs {error.name}: pip install 'songwright[train]' (constraints.txt names a CPU build)"
        ) from error
    config = read_config(arguments)
    name = arguments.config.stem if arguments.config and not arguments.model else config.network.family
    out: Path = arguments.out or Path("runs") / name
    if config.network.family == "ngram":
        _count(config, arguments.corpus, out)
        return
    if (out / "last.pt").exists() and not arguments.resume:
        raise OutputError(f"{out} holds a run already; add --resume to go on with it, or choose another --out")
    try:
        trainer = Trainer(
            config,
            arguments.corpus,
            out,
            report=lambda line: print(line, flush=True),
            resume=arguments.resume,
            on_validation=_song_writer(config, out) if arguments.songs else None,
        )
        trainer.train()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        leave_processes()
    if trainer.processes.is_first:
        print(f"checkpoints in {out}: best.pt (lowest {trainer.task.criterion}), last.pt")


def read_config(arguments: argparse.Namespace) -> TrainingConfig:
    """Return the config of a run: the file's, with --model, --size, --hours, --teacher and --set on top.

    Raises
    ------
    ConfigError
        If any of them is unknown or impossible.
    """
    from songwright.config import from_overrides, load_config
    from songwright.errors import ConfigError
    from songwright.training.config import TrainingConfig

    overrides: list[str] = list(arguments.overrides)
    if arguments.hours is not None:
        if not 0 < arguments.hours < 10_000:
            raise ConfigError(f"--hours must be above 0, got {arguments.hours}")
        overrides.append(f"minutes={60 * arguments.hours}")
    if arguments.teacher:
        # A string of a literal TOML list: paths may hold backslashes.
        overrides.append(f"teachers=[{', '.join(repr(str(path)) for path in arguments.teacher)}]")
    if arguments.model or arguments.size:
        overrides = _network(arguments, overrides)
    if arguments.config is None:
        return from_overrides(TrainingConfig, overrides)
    return load_config(TrainingConfig, arguments.config, overrides=overrides)


def _network(arguments: argparse.Namespace, overrides: list[str]) -> list[str]:
    """Return the overrides with those of --model and --size before them, so that --set has the last word."""
    from songwright.config import from_mapping, load_values
    from songwright.model.sizes import parse_size, sized
    from songwright.tokens.streams import STREAMS
    from songwright.training.config import TrainingConfig
    from songwright.training.networks import stream_sizes

    values: dict[str, Any] = load_values(arguments.config) if arguments.config else {}
    table: dict[str, Any] = values.get("network", {})
    family = arguments.model or table.get("family", "transformer")
    result = [f"network.family={family}"]
    if arguments.size:
        stream = next((o.partition("=")[2] for o in reversed(overrides) if o.startswith("stream=")), None)
        name = (stream or values.get("stream", "lead_sheet")).strip("\"'")
        checked = from_mapping(TrainingConfig, {"stream": name}, where="--set")
        config = asdict(sized(family, parse_size(arguments.size), stream_sizes(STREAMS[checked.stream])))
        result += [f"network.{key}={value}" for key, value in config.items() if isinstance(value, int)]
    return [*result, *overrides]


def _count(config: TrainingConfig, corpus: Path, out: Path) -> None:
    """Count an n-gram model and say how well it predicts."""
    from songwright.preparation.shards import open_shard
    from songwright.training.counting import count_ngrams, evaluate_ngrams, export_ngrams

    model = count_ngrams(corpus, config.stream, config.network, sources=config.sources)  # pyright: ignore
    held_out = open_shard(corpus, config.stream, "validation", sources=config.sources)
    figures = evaluate_ngrams(model, held_out, config.stream)
    print("  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{config.stream}.ngram.npz"
    export_ngrams(model, path, figures=figures)
    print(f"{path}  {path.stat().st_size / 1e6:.1f} MB; songwright compose --network {path} uses it")


def _song_writer(config: TrainingConfig, out: Path) -> Callable[[Path, int], None]:
    """Return what composes a song from a checkpoint."""
    from songwright.commands.listening import compose_from_checkpoint

    def write(checkpoint: Path, step: int) -> None:
        path = compose_from_checkpoint(checkpoint, out / "songs" / f"step-{step:06}.mid", seed=config.seed)
        if path:
            print(f"step {step}  {path}", flush=True)

    return write
