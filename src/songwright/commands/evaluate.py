"""`songwright evaluate`: songs judged against real music, as pages to read and numbers to work with."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from songwright.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from songwright.evaluation.judgement import Judgements

MAX_SOUNDS = 3
"""Songs up to which sound is put into the pages where nothing else is asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("paths", type=Path, nargs="+", metavar="PATH", help="folders or files: MIDI, MusicXML or ABC")
    add("--reference", type=Path, metavar="CORPUS", help="prepared corpus to compare with (default: the style's own)")
    add("--sources", default="", help="collections of the corpus to compare with, such as pop909 (default: all)")
    add("--style", default="pop", help="style whose network and reference are used (default: pop)")
    add("--weights", type=Path, help="folder of your own styles, as songwright export writes them")
    add("--out", type=Path, default=Path("report.html"), help="page to write; numbers beside it as JSON")
    boolean = argparse.BooleanOptionalAction
    add("--song-pages", action=boolean, default=True, help="a page for each song, in a folder beside (default: yes)")
    add("--sound", action=boolean, help=f"sound in the song pages, 1.5 MB each (default: for up to {MAX_SOUNDS} songs)")
    add("--seed", type=int, default=0, help="of the random divisions behind intervals (default: 0)")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")


def run(arguments: argparse.Namespace) -> None:
    """Judge, write the pages, and say in a few lines what came out."""
    began = time.monotonic()
    from tqdm import tqdm

    from songwright.composition.weights import find_style
    from songwright.evaluation.judgement import judge_songs
    from songwright.evaluation.judging import find_songs
    from songwright.evaluation.reference import CorpusReference, ShippedReference
    from songwright.reporting.writing import write_reports

    if arguments.workers < 1:
        raise ConfigError(f"--workers must be at least 1, got {arguments.workers}")
    if arguments.seed < 0:
        raise ConfigError(f"--seed must be 0 or more, got {arguments.seed}")
    if arguments.sources and not arguments.reference:
        raise ConfigError("--sources chooses from a corpus: name it with --reference")
    style = find_style(arguments.style, arguments.weights)
    network = style.weights("lead_sheet", "int8")
    files = find_songs(arguments.paths)
    _check_places(arguments.out, files, with_folder=len(files) > 1 and arguments.song_pages)
    sources = [name.strip() for name in arguments.sources.split(",") if name.strip()]
    with tqdm(total=len(files), unit=" songs", file=sys.stderr, leave=False, disable=None) as bar:
        stages = [""]

        def progress(stage: str, done: int, total: int) -> None:
            if stage != stages[-1]:
                stages.append(stage)
                bar.reset(total)
                bar.set_description_str(stage)
            bar.update(done - bar.n)

        reference = (
            CorpusReference(arguments.reference, network, sources=sources, num_workers=arguments.workers)
            if arguments.reference
            else ShippedReference(style)
        )
        judgements = judge_songs(
            files,
            reference,
            network,
            style=arguments.style,
            seed=arguments.seed,
            num_workers=arguments.workers,
            progress=progress,
        )
        with_sound = len(files) <= MAX_SOUNDS if arguments.sound is None else arguments.sound
        written = write_reports(
            judgements,
            reference,
            arguments.out,
            with_song_pages=arguments.song_pages,
            with_sound=with_sound,
            num_workers=arguments.workers,
            progress=progress,
        )
    _print(judgements, written, time.monotonic() - began)


def _check_places(out: Path, files: list[Path], *, with_folder: bool) -> None:
    """Refuse before an hour of work what could not be written after it, or only over the songs' own files."""
    from songwright.evaluation.reading import has_plan

    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: name an .html file")
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent} is no folder; make it first, or choose another --out")
    if not os.access(out.parent, os.W_OK):
        raise OutputError(f"nothing can be written in {out.parent.absolute()}; choose another --out")
    numbers, folder = out.with_suffix(".json"), out.with_suffix("")
    for path in (out, numbers):
        if path.is_dir():
            raise OutputError(f"{path} is a folder; choose another --out")
    if any(file.with_suffix(".json").resolve() == numbers.resolve() and has_plan(file) for file in files):
        raise OutputError(f"{numbers}, with the numbers, would lie where a song's own plan lies; choose another --out")
    if not with_folder:
        return
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"the songs' pages go into the folder {folder}, and that is a file; choose another --out")
    if folder.resolve() in {file.parent.resolve() for file in files}:
        raise OutputError(f"the songs' pages would go into {folder}, among the songs themselves; choose another --out")


def _print(judgements: Judgements, written: list[Path], seconds: float) -> None:
    from songwright.reporting.terminal import judgement_lines

    for path, reason in judgements.left_out:
        sys.stderr.write(f"songwright: left out {path}: {reason}\n")
    print("\n".join(judgement_lines(judgements)))
    pages = f" and {len(written) - 2:,} more" if len(written) > 2 else ""
    print(f"{written[0]}, {written[1].name}{pages} in {seconds:.1f} s")
