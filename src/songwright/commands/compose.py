"""`songwright compose`: new songs as MIDI, sound, sheet music and data."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from songwright.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from songwright.composition.plan import SongPlan

AUDIO_FORMATS = ("wav", "flac", "mp3", "ogg", "none")
# What the files of a song end in, those included that this run does not write: an earlier run may have left them.
_SUFFIXES = (".mid", ".json", ".musicxml", ".svg", "-roll.svg", ".wav", ".flac", ".mp3", ".ogg")
MAX_COUNT = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--style", default="pop", help="style, one of `songwright styles` (default: pop)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="length in minutes (default: 3)")
    length.add_argument("--seconds", type=float, help="length in seconds")
    length.add_argument("--bars", type=int, help="length in bars of 4/4")
    parser.add_argument("--key", help='key, such as "A minor" or Eb (default: drawn)')
    parser.add_argument("--tempo", type=float, help="quarter notes per minute, 40 to 240 (default: drawn)")
    parser.add_argument(
        "--form", help="phrase letters and bars, such as i4A8B8A8B8o4, or names: 'intro 4, verse 8, chorus 8'"
    )
    parser.add_argument("--seed", type=int, help="the same seed gives the same song (default: drawn and printed)")
    parser.add_argument(
        "--count", type=int, default=1, help="number of songs; song k has seed SEED + k - 1 (default: 1)"
    )
    parser.add_argument("--audio", choices=AUDIO_FORMATS, default="wav", help="sound file to write (default: wav)")
    parser.add_argument("--sheet", action=argparse.BooleanOptionalAction, default=True,
                        help="write the lead sheet as MusicXML and SVG (default: yes)")  # fmt: skip
    parser.add_argument("--roll", action="store_true", help="write a picture of the notes too, song-roll.svg")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the files (default: out)")
    parser.add_argument("--force", action="store_true", help="replace songs that are there already")
    parser.add_argument(
        "--precision", choices=("int8", "fp32"), default="int8", help="weights (default: int8, small and fast)"
    )
    parser.add_argument("--weights", type=Path, help="folder of your own styles, as songwright export writes them")
    parser.add_argument("--network", type=Path, action="append", default=[], metavar="FILE",
                        help="exported network of any family, such as lead_sheet.int8.onnx, "
                             "in place of the style's")  # fmt: skip
    parser.add_argument("--soundfont", type=Path, help="SF2 or SF3 file to play with (default: the one that ships)")


@dataclass(frozen=True)
class _Order:
    """What each song is to become, in plain values that go to worker processes."""

    style: str
    precision: str
    weights: Path | None
    networks: tuple[Path, ...]
    audio: str
    sheet: bool
    roll: bool
    soundfont: Path | None
    asked: dict[str, Any]


def run(arguments: argparse.Namespace) -> None:
    """Compose, write, and say what was written."""
    began = time.monotonic()
    from songwright.composition.plan import plan_song
    from songwright.composition.weights import find_style

    if not 1 <= arguments.count <= MAX_COUNT:
        raise ConfigError(f"--count must be from 1 to {MAX_COUNT}, got {arguments.count}")
    if arguments.seed is not None and not 0 <= arguments.seed < 2**32:
        raise ConfigError(f"--seed must be from 0 to {2**32 - 1}, got {arguments.seed}")
    find_style(arguments.style, arguments.weights)
    if arguments.audio != "none":
        from songwright.rendering.soundfont import find_soundfont, read_soundfont

        read_soundfont(find_soundfont(arguments.soundfont))
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(10**6)
    seconds = arguments.seconds if arguments.minutes is None else arguments.minutes * 60
    wishes = {
        "seconds": seconds,
        "num_bars": arguments.bars,
        "key": arguments.key,
        "tempo_qpm": arguments.tempo,
        "form": arguments.form,
    }
    plans = [plan_song(style=arguments.style, seed=seed + index, **wishes) for index in range(arguments.count)]
    names = ["song"] if arguments.count == 1 else [f"song-{index + 1:03d}" for index in range(arguments.count)]
    order = _Order(
        style=arguments.style,
        precision=arguments.precision,
        weights=arguments.weights,
        networks=tuple(arguments.network),
        audio=arguments.audio,
        sheet=arguments.sheet,
        roll=arguments.roll,
        soundfont=arguments.soundfont,
        asked={name: value for name, value in {**wishes, "seed": arguments.seed}.items() if value is not None},
    )
    _refuse_overwriting(arguments.out, names, force=arguments.force)
    with _staging(arguments.out) as folder:
        if arguments.count == 1:
            written = [_compose_one(plans[0], names[0], order, folder)]
        else:
            written = _compose_many(plans, names, order, folder)
        _publish(folder, arguments.out, names)
    if arguments.count == 1:
        _print_song(written[0], arguments.out, names[0], order, time.monotonic() - began)
    else:
        seeds = f"seeds {seed} to {seed + len(plans) - 1}"
        print(f"{len(written)} songs in {arguments.out} in {time.monotonic() - began:.1f} s ({seeds})")


def _suffixes(order: _Order) -> list[str]:
    suffixes = [".mid", ".json"]
    if order.audio != "none":
        suffixes.append(f".{order.audio}")
    if order.sheet:
        suffixes += [".musicxml", ".svg"]
    if order.roll:
        suffixes.append("-roll.svg")
    return suffixes


def _refuse_overwriting(out: Path, names: Sequence[str], *, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; choose a folder with --out")
    if force:
        return
    for name in names:
        for suffix in _SUFFIXES:
            path = out / f"{name}{suffix}"
            if path.exists():
                raise OutputError(f"{path} exists already; choose another --out, or add --force to replace it")


@contextmanager
def _staging(out: Path) -> Generator[Path]:
    """Give a folder inside `out` to write into. Afterwards it is gone, and so is `out` if made here and still empty."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".songwright-", dir=out))
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        yield folder
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for created in missing:
            if created.is_dir() and not any(created.iterdir()):
                created.rmdir()


def _publish(folder: Path, out: Path, names: Sequence[str]) -> None:
    """Move finished files into place; what an earlier run left of these songs goes, so that all files fit together."""
    for name in names:
        for suffix in _SUFFIXES:
            source, target = folder / f"{name}{suffix}", out / f"{name}{suffix}"
            if source.exists():
                os.replace(source, target)
            else:
                target.unlink(missing_ok=True)


def _compose_one(plan: SongPlan, name: str, order: _Order, folder: Path) -> dict[str, Any]:
    from tqdm import tqdm

    with tqdm(total=1, file=sys.stderr, leave=False, disable=None, bar_format="{desc:<20}{bar:30} {postfix}") as bar:

        def progress(stage: str, done: int, total: int) -> None:
            bar.set_description_str(stage, refresh=False)
            bar.set_postfix_str(f"bar {min(done, total)} of {total}" if total > 1 else "", refresh=False)
            bar.total = total
            bar.update(done - bar.n)

        return _write_song(plan, name, order, folder, progress)


def _compose_many(plans: Sequence[SongPlan], names: Sequence[str], order: _Order, folder: Path) -> list[dict[str, Any]]:
    from tqdm import tqdm

    from songwright.workers import run_in_processes

    tasks = [(plan, name, order, folder) for plan, name in zip(plans, names, strict=True)]
    # Closed before the folder goes: no process writes into it any longer.
    with closing(run_in_processes(_write_song_of, tasks, num_workers=os.cpu_count() or 1, cuts_off=True)) as songs:
        return list(tqdm(songs, total=len(tasks), unit=" songs", file=sys.stderr, leave=False, disable=None))


def _write_song_of(task: tuple[SongPlan, str, _Order, Path]) -> dict[str, Any]:
    return _write_song(*task)


def _write_song(
    plan: SongPlan, name: str, order: _Order, folder: Path, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """Compose a song and write all its files; return what `song.json` holds."""
    from songwright import __version__
    from songwright.composition.composer import Composer
    from songwright.composition.summary import describe_song
    from songwright.files.midi import write_midi
    from songwright.rendering.performance import perform

    composer = Composer(order.style, precision=order.precision, weights=order.weights, networks=order.networks)
    composition = composer.compose(plan, progress=progress)
    song = composition.song
    score = perform(song, seed=plan.seed)
    write_midi(folder / f"{name}.mid", score, title=plan.title)
    if order.sheet:
        if progress:
            progress("sheet", 0, 1)
        _write_sheet(song, plan.title, folder / name)
    if order.roll:
        from songwright.rendering.piano_roll import piano_roll_svg

        (folder / f"{name}-roll.svg").write_text(piano_roll_svg(song, title=plan.title), encoding="utf-8")
    if order.audio != "none":
        if progress:
            progress("sound", 0, 1)
        _write_sound(score, plan.title, folder / f"{name}.{order.audio}", order)
    summary = describe_song(
        composition,
        plan,
        asked=order.asked,
        version=__version__,
        fingerprint=composer.fingerprint,
        precision=order.precision,
        networks=[path.name for path in order.networks],
    )
    (folder / f"{name}.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return summary


def _write_sheet(song: Any, title: str, stem: Path) -> None:
    from songwright.files.musicxml import musicxml_bytes
    from songwright.rendering.engraving import engrave_svg

    page = musicxml_bytes(song.lead_sheet, title=title, composer="songwright")
    stem.with_suffix(".musicxml").write_bytes(page)
    stem.with_suffix(".svg").write_text(engrave_svg(page), encoding="utf-8")


def _write_sound(score: Any, title: str, path: Path, order: _Order) -> None:
    from songwright.files.audio import write_audio
    from songwright.rendering.mastering import master
    from songwright.rendering.synthesis import SAMPLE_RATE, render_score

    audio = master(render_score(score, soundfont=order.soundfont), SAMPLE_RATE)
    write_audio(path, audio, SAMPLE_RATE, format=order.audio, title=title, artist="songwright")


def _print_song(summary: dict[str, Any], out: Path, name: str, order: _Order, seconds: float) -> None:
    minutes, rest = divmod(round(summary["seconds"]), 60)
    print(f"{summary['title']}")
    tempo = f"{summary['tempo_qpm']:g} quarter notes a minute"
    print(f"  {summary['key']}, {tempo}, {summary['bars']} bars, {minutes}:{rest:02d}")
    print(f"  form {summary['form']}: " + ", ".join(section["name"] for section in summary["sections"]))
    originality = summary["originality"]
    print(
        f"  longest run of notes shared with any of {originality['known_songs']} known songs: "
        f"{originality['longest_shared_melody_run_notes'] or 'under 7'}"
    )
    print(f"  seed {summary['seed']}, composed in {seconds:.1f} s")
    for suffix in _suffixes(order):
        print(f"  {out / (name + suffix)}")
