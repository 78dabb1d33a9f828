"""`songwright finetune`: your music to a style of your own, from the weights that ship."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from songwright.training.finetuning import Finetuning

NUM_SONGS = 5
"""Songs composed at the end, to see whether they copy."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", type=Path, nargs="+", metavar="FOLDER",
                        help="your music: folders or files of MIDI, MusicXML, ABC, recordings")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the new style, such as my-styles/mine")
    parser.add_argument("--minutes", type=float, default=20.0, help="time for training, at most (default: 20)")
    parser.add_argument("--style", default="pop", help="style to start from (default: pop)")
    parser.add_argument("--weights", type=Path, help="folder of styles to find it in (default: those that ship)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="for training (default: all cores)")


def run(arguments: argparse.Namespace) -> None:
    """Prepare, train, report before and after, export, and see whether new songs copy."""
    from songwright.errors import ConfigError, OutputError

    try:
        from songwright.training.finetuning import finetune
    except ModuleNotFoundError as error:
        raise ConfigError(f"finetune needs {error.name}: pip install 'songwright[train]'") from error
    from songwright.commands.prepare import prepare_corpus
    from songwright.composition.weights import STREAMS, find_style
    from songwright.preparation.build import local_engine
    from songwright.preparation.settings import CorpusConfig
    from songwright.training.export import export_network

    if not 0 < arguments.minutes < 10_000:
        raise ConfigError(f"--minutes must be above 0, got {arguments.minutes}")
    out: Path = arguments.out
    if (out / "style.json").exists():
        raise OutputError(f"{out} holds a style already; choose another --out")
    start = find_style(arguments.style, arguments.weights)
    corpus = out / "corpus"
    prepare_corpus(
        arguments.paths, corpus, CorpusConfig(streams=STREAMS), engine=lambda: local_engine(os.cpu_count() or 1)
    )
    results: list[Finetuning] = []
    streams = _usable(corpus)
    for stream in streams:
        print(f"{stream}: from {start.name}", flush=True)
        result = finetune(
            corpus, stream, start.weights(stream, "fp32"), out / "runs" / stream,
            minutes=arguments.minutes / len(streams), seed=arguments.seed, num_threads=arguments.threads,
            report=lambda line: print(f"  {line}", flush=True),
        )  # fmt: skip
        export_network(result.checkpoint, out)
        results.append(result)
    for stream in set(STREAMS) - set(streams):
        for precision in ("int8", "fp32"):  # what your music says nothing about stays as it was
            source = start.weights(stream, precision)
            (out / source.name).write_bytes(source.read_bytes())
    _export_style(corpus, out)
    _say(results)
    _listen(out, arguments.seed)


def _usable(corpus: Path) -> list[str]:
    """Return the streams that can be learned: the lead sheet, and the piano where enough pieces have one."""
    from songwright.errors import InputError
    from songwright.training.finetuning import split_pieces

    split_pieces(corpus, "lead_sheet")
    try:
        split_pieces(corpus, "arrangement")
    except InputError:
        print("too few pieces with a piano part: the old piano network stays", flush=True)
        return ["lead_sheet"]
    return ["lead_sheet", "arrangement"]


def _export_style(corpus: Path, out: Path) -> None:
    from songwright.commands.export import measure_corpus
    from songwright.training.export import export_style

    export_style(corpus, out, measured=measure_corpus(corpus, out / "lead_sheet.int8.onnx"))


def _say(results: list[Finetuning]) -> None:
    for result in results:
        train, validation, test = result.num_pieces
        print(
            f"{result.stream}: {test} held-out pieces ({train} learned from, {validation} to stop by), "
            f"{result.steps} steps"
        )
        for name in ("nats_per_note", "bits_per_note"):
            before, after = result.before[name], result.after[name]
            print(f"  {name.replace('_', ' ')}: {before:.3f} before, {after:.3f} after ({(after / before - 1):+.1%})")
    for warning in dict.fromkeys(warning for result in results for warning in result.warnings()):
        sys.stderr.write(f"songwright: {warning}\n")


def _listen(out: Path, seed: int) -> None:
    """Compose a few songs in the new style and say what they share with the music it learned from."""
    from songwright.composition.composer import MAX_SHARED_NOTES, Composer
    from songwright.composition.plan import plan_song

    composer = Composer(out.name, weights=out.parent)
    made = [composer.compose(plan_song(style="pop", seed=seed + index, seconds=90.0)) for index in range(NUM_SONGS)]
    longest = max(composition.originality.melody_run for composition in made)
    rewrites = sum(composition.num_rewrites for composition in made)
    print(
        f"{NUM_SONGS} songs composed: longest run of notes shared with your music {longest or 'under 7'}; "
        f"{rewrites} passages written again because they copied"
    )
    if longest > MAX_SHARED_NOTES or rewrites > NUM_SONGS:
        sys.stderr.write("songwright: the new weights copy; more music, or fewer --minutes, makes them freer\n")
    print(f"songwright compose --weights {out.parent} --style {out.name} --out out")
