"""`songwright prepare`: recorded music to a corpus."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from songwright.preparation.build import Engine
    from songwright.preparation.settings import CorpusConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH",
        help="collections of `songwright sources`, folders of any music (MIDI, MusicXML, ABC, recordings), files",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus; one that is there grows")
    parser.add_argument("--config", type=Path, help="TOML file, such as configs/corpus.toml (default: the same)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
                        help="replace a value of the config, such as cleaning.min_notes=50")  # fmt: skip
    parser.add_argument("--labels", type=Path, help="POP909's phrase labels; found beside the songs by default")
    parser.add_argument("--force", action="store_true", help="make a corpus that is there anew")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="this machine, or a Ray cluster")
    parser.add_argument("--address", help="of a running Ray cluster (default: a cluster of this machine alone)")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")


def run(arguments: argparse.Namespace) -> None:
    """Make the corpus; say what it holds and what was left out and why."""
    from songwright.config import from_overrides, load_config
    from songwright.errors import ConfigError
    from songwright.preparation.settings import CorpusConfig

    workers = arguments.workers if arguments.workers is not None else os.cpu_count() or 1
    if workers < 1:
        raise ConfigError(f"--workers must be at least 1, got {workers}")
    if arguments.address and arguments.engine != "ray":
        raise ConfigError("--address is of a Ray cluster; add --engine ray")
    if arguments.config:
        config = load_config(CorpusConfig, arguments.config, overrides=arguments.overrides)
    else:
        config = from_overrides(CorpusConfig, arguments.overrides)

    def engine() -> Engine:
        from songwright.preparation.build import local_engine

        if arguments.engine != "ray":
            return local_engine(workers)
        from songwright.preparation.cluster import ray_engine

        return ray_engine(arguments.address, num_workers=arguments.workers)

    manifest = prepare_corpus(
        arguments.paths, arguments.out, config, engine=engine, labels=arguments.labels, afresh=arguments.force
    )
    summarise(manifest, arguments.out)


def prepare_corpus(
    paths: Sequence[Path],
    out: Path,
    config: CorpusConfig,
    *,
    engine: Callable[[], Engine],
    labels: Path | None = None,
    afresh: bool = False,
) -> dict[str, object]:
    """Make a corpus of collections, folders and files, with a progress bar; return its manifest."""
    from tqdm import tqdm

    from songwright.corpus.sources import find_files
    from songwright.errors import OutputError
    from songwright.preparation.build import build
    from songwright.preparation.folder import is_corpus, read_before

    if out.exists() and not is_corpus(out):
        raise OutputError(f"{out} exists and is no corpus, so nothing is written there; choose another --out")
    read_before(out, config, afresh=afresh)  # what is wrong with it is said before any work
    files = [file for path in paths for file in find_files(path, labels=labels)]
    versions = [file for file in files if file.is_version]
    if not config.versions:
        files = [file for file in files if not file.is_version]
    try:
        with tqdm(total=len(files), desc="prepare", unit=" files", file=sys.stderr, leave=False, disable=None) as bar:

            def progress(done: int, total: int) -> None:
                del total
                bar.update(done - bar.n)

            manifest = build(
                files, out, config, engine=engine(), afresh=afresh, progress=progress, notice=tqdm.write
            )  # fmt: skip
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or 'is the disk full?'})") from error
    if versions and not config.versions:
        print(f"{len(versions):,} other versions of songs were not read; --set versions=true trains on them too")
    return manifest


def summarise(manifest: dict[str, object], out: Path) -> None:
    """Print what a corpus holds."""
    splits, rejected = manifest["splits"], manifest["rejected"]
    assert isinstance(splits, dict)
    assert isinstance(rejected, dict)
    sides = ", ".join(f"{len(ids):,} {split}" for split, ids in splits.items())
    print(f"{sum(map(len, splits.values())):,} pieces: {sides}")
    for source in manifest["sources"]:  # pyright: ignore[reportGeneralTypeIssues]
        published = f", {source['as_published']:,} of {source['files']:,} files as published" if source["url"] else ""
        print(f"  {source['name']}: {source['used']:,} of {source['pieces']:,}; {source['licence']} licence{published}")
    for name, stream in manifest["streams"].items():  # pyright: ignore[reportAttributeAccessIssue]
        if total := sum(stream["tokens"].values()):
            print(f"{name}: {total:,} tokens")
    if rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in rejected.items())
        print(f"left out: {sum(rejected.values()):,} ({reasons}); each with its reason in {out / 'files.csv'}")
    print(f"corpus in {out}; songwright inspect {out} shows it")
