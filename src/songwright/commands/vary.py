"""`songwright vary`: one phrase of a song written again, the rest as it was."""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from songwright.errors import ConfigError, InputError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from songwright.composition.variation import Variation
    from songwright.corpus.piece import Piece
    from songwright.evaluation.reading import JudgedSong
    from songwright.score.song import Song

MAX_COUNT = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "song", type=Path, help="a composed song (its .mid or .json), or any MIDI, MusicXML or ABC file in 4/4"
    )
    parser.add_argument("--phrase", type=int, required=True, metavar="N", help="phrase to vary, counted from 1")
    parser.add_argument("--amount", type=float, default=0.5, help="0 keeps the phrase, 1 forgets it (default: 0.5)")
    parser.add_argument("--count", type=int, default=3, help="variations to write (default: 3)")
    parser.add_argument("--seed", type=int, help="the same seed gives the same variations (default: drawn and printed)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for the MIDI files")
    parser.add_argument("--style", default="pop", help="whose network varies the phrase (default: pop)")
    parser.add_argument("--weights", type=Path, help="folder of styles, in place of the one that ships")


def run(arguments: argparse.Namespace) -> None:
    """Write the variations, and say of each how far it is from the phrase as it was."""
    if not 0 <= arguments.amount <= 1:
        raise ConfigError(f"--amount must be from 0 to 1, got {arguments.amount:g}")
    if not 1 <= arguments.count <= MAX_COUNT:
        raise ConfigError(f"--count must be from 1 to {MAX_COUNT}, got {arguments.count}")
    if arguments.seed is not None and not 0 <= arguments.seed < 2**32:
        raise ConfigError(f"--seed must be from 0 to {2**32 - 1}, got {arguments.seed}")
    if arguments.phrase < 1:
        raise ConfigError(f"--phrase counts from 1, got {arguments.phrase}")
    import numpy as np

    from songwright.composition.variation import PhraseModel, notes_of_phrase, put_phrase
    from songwright.evaluation.reading import read_song
    from songwright.files.midi import write_midi

    judged = read_song(_music_file(arguments.song))
    if judged.song is None or judged.piece is None:
        reason = judged.problems[0] if judged.problems else "no song was found in it"
        raise InputError(f"{arguments.song} cannot be varied: {reason}")
    sheet, phrase = judged.song.lead_sheet, arguments.phrase - 1
    old = notes_of_phrase(sheet, phrase)
    stems = [f"{judged.name}-phrase{arguments.phrase}-{number + 1}" for number in range(arguments.count)]
    _check_places(arguments.out, stems)
    model = PhraseModel(arguments.style, weights=arguments.weights)
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(10**6)
    form = sheet.form
    first_bar = form.start_bars[phrase] + 1
    last_bar = first_bar + form.phrases[phrase].num_bars - 1
    print(
        f"{judged.title}: phrase {arguments.phrase} of {form} ({form.section_names()[phrase]}, bars {first_bar} to "
        f"{last_bar}, {len(old)} notes), amount {arguments.amount:g}, seed {seed}"
    )
    _make_folder(arguments.out)
    for number, stem in enumerate(stems):
        varied = model.vary(sheet, phrase, arguments.amount, np.random.default_rng([seed, number]))
        score = put_phrase(
            judged.score,
            judged.piece.grid,
            in_own_keys(old, judged.piece, judged.song),
            in_own_keys(varied.notes, judged.piece, judged.song),
            is_joined=judged.reading == "written",
        )
        path = arguments.out / f"{stem}.mid"
        write_midi(path, score, title=judged.title)
        if judged.reading == "written" and judged.plan:
            _write_plan(path, judged, varied, {"phrase": arguments.phrase, "amount": arguments.amount, "seed": seed})
        print(
            f"  {path}: similarity {varied.similarity:.2f}, {varied.num_changed} of {len(old)} notes changed, "
            f"{len(varied.notes)} now (note overlap {varied.overlap:.2f})"
        )


def in_own_keys(notes: NDArray[Any], piece: Piece, song: Song) -> NDArray[Any]:
    """Return notes of a song in C major or A minor in the keys of its file, which may change from bar to bar."""
    import numpy as np

    from songwright.score.grid import STEPS_PER_BAR

    bars = np.array([region.bar for region in piece.keys])
    shifts = np.array([region.key.semitones_to_normal for region in piece.keys])
    moved = notes.copy()
    moved["pitch"] -= shifts[
        np.maximum(np.searchsorted(bars, notes["onset_step"] // STEPS_PER_BAR, side="right") - 1, 0)
    ]
    return moved


def _music_file(path: Path) -> Path:
    """Return the MIDI file beside a song's JSON file, or the file itself."""
    if path.suffix.lower() == ".json":
        if not path.with_suffix(".mid").is_file():
            raise InputError(f"{path}: there is no {path.with_suffix('.mid').name} beside it; give a file of notes")
        return path.with_suffix(".mid")
    return path


def _check_places(out: Path, stems: list[str]) -> None:
    """Refuse before anything is written over."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; choose a folder with --out")
    for stem in stems:
        for suffix in (".mid", ".json"):
            if (out / f"{stem}{suffix}").exists():
                raise OutputError(f"{out / f'{stem}{suffix}'} exists already; choose another --out")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be made ({error.strerror}); choose another --out") from None


def _write_plan(path: Path, judged: JudgedSong, varied: Variation, how: Mapping[str, Any]) -> None:
    """Write the song's plan beside a variation, so that it can be judged, explained and varied as the song itself."""
    from songwright.files.writing import write_whole

    plan = {name: value for name, value in (judged.plan or {}).items() if name != "originality"}
    melody = varied.sheet.melody
    plan["notes"] = {**plan.get("notes", {}), "MELODY": len(melody)}
    plan["durations"] = {**plan["durations"], "MELODY": melody["duration_step"].tolist()}
    plan["varied"] = dict(how)
    content = json.dumps(plan, indent=1, ensure_ascii=False) + "\n"
    write_whole(path.with_suffix(".json"), content.encode(errors="replace"))
