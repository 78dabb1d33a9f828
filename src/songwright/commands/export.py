"""`songwright export`: checkpoints to a style that compose can use."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoints", type=Path, nargs="+", help="best.pt of a lead sheet and of an arrangement run")
    parser.add_argument("--corpus", type=Path, required=True, help="the corpus they learned from")
    parser.add_argument("--out", type=Path, required=True, help="folder of the style, such as my-weights/pop")
    parser.add_argument("--description", help="what `songwright styles` says of it")


def run(arguments: argparse.Namespace) -> None:
    """Write weights, originality index and description, and say where they are."""
    from songwright.errors import ConfigError
    from songwright.preparation.shards import read_manifest

    try:
        from songwright.training.export import export_network, export_style
        from songwright.training.networks import load_network
    except ModuleNotFoundError as error:
        raise ConfigError(f"export needs {error.name}: pip install 'songwright[train]'") from error
    # All that can be wrong is found before anything is written.
    streams = [load_network(checkpoint)[1].stream for checkpoint in arguments.checkpoints]
    read_manifest(arguments.corpus)
    if len(set(streams)) < len(streams):
        raise ConfigError(f"two checkpoints of the same kind ({streams[0]}): give one of each")
    written = [path for checkpoint in arguments.checkpoints for path in export_network(checkpoint, arguments.out)]
    weights = arguments.out / "lead_sheet.int8.onnx"
    measured = measure_corpus(arguments.corpus, weights) if weights.is_file() else {}
    written += export_style(arguments.corpus, arguments.out, description=arguments.description, measured=measured)
    for path in written:
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


def measure_corpus(corpus: Path, weights: Path) -> dict[str, bytes]:
    """Return the files of what `songwright evaluate` compares with; none, and a word, if the corpus is too small."""
    from tqdm import tqdm

    from songwright.errors import InputError
    from songwright.evaluation.reference import CorpusReference

    try:
        reference = CorpusReference(corpus, weights, num_workers=os.cpu_count() or 1)
    except InputError as error:
        sys.stderr.write(f"songwright: exported without a reference: {error}\n")
        return {}
    with tqdm(desc="measuring", unit=" songs", file=sys.stderr, leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return reference.shipped_files(progress=progress)
