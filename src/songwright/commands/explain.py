"""`songwright explain`: what surprised the network in a song, and where each bar comes from."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from songwright.composition.weights import Style
    from songwright.evaluation.reading import ReadingKind
    from songwright.reporting.explanation import Explanation, Method, RealSurprise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "song", type=Path, help="a composed song, or any MIDI, MusicXML or ABC file in 4/4 with a melody"
    )
    parser.add_argument("--bar", type=int, help="tell more of this bar, counted from 1")
    parser.add_argument("--note", type=int, help="tell more of this melody note, counted from 1 (in --bar, if given)")
    parser.add_argument("--out", type=Path, help="write a page (HTML)")
    parser.add_argument("--json", type=Path, help="write every number")
    parser.add_argument(
        "--plots", type=Path, help="folder for the pictures: SVG, and PNG with the extra songwright[plots]"
    )
    parser.add_argument("--style", default="pop", help="whose network reads the song (default: pop)")
    parser.add_argument(
        "--precision", choices=("int8", "fp32"), default="int8", help="weights to use (default: int8, small and fast)"
    )
    parser.add_argument("--weights", type=Path, help="folder of styles, in place of the one that ships")
    parser.add_argument(
        "--fast", action="store_true", help="find sources from attention and copy gates, not by silencing"
    )


def run(arguments: argparse.Namespace) -> None:
    """Explain the song, write what was asked for, and say it in a few lines."""
    from tqdm import tqdm

    from songwright.composition.weights import find_style
    from songwright.errors import ConfigError
    from songwright.evaluation.reading import read_song
    from songwright.explanation.likelihood import ShippedNetwork
    from songwright.files.writing import write_whole
    from songwright.reporting.explanation import MAX_SONG_BARS, as_json, explain, explainable_song

    for name, value in (("--bar", arguments.bar), ("--note", arguments.note)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} counts from 1, got {value}")
    _check_places(arguments)
    method: Method = "attention" if arguments.fast else "silencing"
    judged = read_song(arguments.song)
    song, remarks = explainable_song(judged, max_bars=MAX_SONG_BARS[method])
    style = find_style(arguments.style, arguments.weights)
    weights = style.weights("lead_sheet", arguments.precision)
    network = ShippedNetwork(path=weights)
    style.check(weights)
    files = [arguments.out, arguments.json, arguments.plots]
    is_close = arguments.bar is not None or arguments.note is not None
    with tqdm(desc="silencing bars", unit=" bars", file=sys.stderr, leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        explanation = explain(
            song,
            network,
            title=judged.title,
            network_name=f"{style.name}, {arguments.precision}",
            method=method,
            bar=None if arguments.bar is None else arguments.bar - 1,
            is_whole=not is_close or any(path is not None for path in files),
            remarks=remarks,
            real=_real_surprise(style, judged.reading),
            progress=progress,
        )
    note = _note(explanation, arguments)
    written: list[Path] = []
    if arguments.plots is not None:
        written += _write_plots(explanation, note, arguments.plots)
    if arguments.json is not None:
        content = json.dumps(as_json(explanation), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(arguments.json, content.encode(errors="replace"))
        written.append(arguments.json)
    if arguments.out is not None:
        from songwright.reporting.explanation_page import explanation_page

        page = explanation_page(explanation, bar=arguments.bar and arguments.bar - 1, note=note)
        write_whole(arguments.out, page.encode(errors="replace"))
        written.append(arguments.out)
    _print(explanation, arguments, note, written)


def _real_surprise(style: Style, reading: ReadingKind) -> RealSurprise | None:
    """Return what the style's real songs cost its network; None where it ships no reference."""
    from songwright.evaluation.reference import WHOLE, ShippedReference
    from songwright.reporting.explanation import RealSurprise

    if not (style.path / "reference.npz").is_file():
        return None
    return RealSurprise.of(ShippedReference(style).at(WHOLE, reading).bits_per_note)


def _check_places(arguments: argparse.Namespace) -> None:
    """Refuse before anything is read what could not be written after it."""
    from songwright.errors import OutputError
    from songwright.evaluation.reading import has_plan

    taken = {arguments.song.resolve()}
    if has_plan(arguments.song):
        taken.add(arguments.song.with_suffix(".json").resolve())
    for path in (arguments.out, arguments.json):
        if path is None:
            continue
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{path} cannot be written: there is no folder {path.parent}")
        if path.is_dir():
            raise OutputError(f"{path} is a folder: name a file in it")
        if path.resolve() in taken:
            raise OutputError(f"{path} is in use as another file of this song or command: choose another name")
        taken.add(path.resolve())
    if arguments.plots is not None and arguments.plots.exists() and not arguments.plots.is_dir():
        raise OutputError(f"{arguments.plots} is a file: choose a folder with --plots")


def _note(explanation: Explanation, arguments: argparse.Namespace) -> int | None:
    """Return the asked note's index in the melody."""
    from songwright.errors import InputError

    if arguments.note is None:
        return None
    if arguments.bar is None:
        notes, where = list(range(len(explanation.notes))), "the melody"
    else:
        notes, where = explanation.notes_of_bar(arguments.bar - 1), f"bar {arguments.bar}"
    if arguments.note > len(notes):
        raise InputError(f"{arguments.song}: there is no note {arguments.note} in {where}, which has {len(notes)}")
    return notes[arguments.note - 1]


def _write_plots(explanation: Explanation, note: int | None, folder: Path) -> list[Path]:
    from songwright.errors import ConfigError, OutputError
    from songwright.files.writing import write_whole
    from songwright.reporting.explanation_plots import alternatives_svg, roll_svg, sources_svg, surprise_svg
    from songwright.reporting.raster import draws_text, require_raster, svg_to_png

    pictures: Mapping[str, str] = {
        "surprise": surprise_svg(explanation), "roll": roll_svg(explanation), "sources": sources_svg(explanation),
    } | ({} if note is None else {"alternatives": alternatives_svg(explanation, note)})  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror}): choose another --plots") from None
    written: list[Path] = []
    for name, picture in pictures.items():
        write_whole(folder / f"{name}.svg", picture.encode(errors="replace"))
        written.append(folder / f"{name}.svg")
    try:
        require_raster()
    except ConfigError as error:
        print(f"songwright: no PNG: {error}", file=sys.stderr)
        return written
    if not draws_text():
        print("songwright: PNG will lack its texts: no font is installed; the SVG has them", file=sys.stderr)
    for name, picture in pictures.items():
        write_whole(folder / f"{name}.png", svg_to_png(picture))
        written.append(folder / f"{name}.png")
    return written


def _print(explanation: Explanation, arguments: argparse.Namespace, note: int | None, written: list[Path]) -> None:
    from songwright.reporting.explanation_words import bar_lines, note_lines, overview_lines

    lines: list[str] = []
    if arguments.bar is None and note is None:
        lines += overview_lines(explanation)
    if arguments.bar is not None:
        lines += bar_lines(explanation, arguments.bar - 1)
    if note is not None:
        lines += note_lines(explanation, note)
    lines += [f"  {path}" for path in written]
    print("\n".join(lines))
