"""Requested against achieved on composed songs: every control that `compose` takes, measured from the MIDI it wrote.

    python benchmarks/adherence.py [--songs 60] [--first-seed 50000] [--keep FOLDER] [--json FILE]
    python benchmarks/adherence.py --tolerances      (form and chords of real training songs, as the finders hear them)
    python benchmarks/adherence.py --meters          (metres of OpenEWLD's files, heard in the notes alone)

Each song gets a key (of all 24), a tempo (60 to 140) and one of seconds (60 to 120), bars (20 to 40) or a form (as real
songs have them), drawn from the seed; it is composed, written as MIDI, read back and measured by
`evaluation.adherence`. 4/4 is asked of all; the chords that the song itself wrote are measured as if asked for, which
says how well chords are heard in composed piano parts. Seeds are consecutive; every song counts. --tolerances needs
POP909, --meters OpenEWLD (SONGWRIGHT_DATA, or ../shared/data).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from songwright import __version__
from songwright.composition.composer import Composer
from songwright.composition.form import sample_form
from songwright.composition.plan import plan_song
from songwright.composition.summary import describe_song
from songwright.corpus.pop909 import LabelledSong, load_songs
from songwright.corpus.splits import split_of
from songwright.errors import InputError
from songwright.evaluation.adherence import HEARD_METERS, Adherence, heard_meters, measure_adherence
from songwright.evaluation.agreement import boundary_agreement, chord_agreement, letter_agreement
from songwright.evaluation.reading import found_reading, read_song
from songwright.files.midi import read_midi, write_midi
from songwright.rendering.performance import perform
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.pitch import Key

DATA = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))


def draw_request(seed: int) -> dict[str, Any]:
    """Return what is asked of the song of a seed."""
    rng = np.random.default_rng([seed, 4])
    tempo = float(rng.integers(60, 141))
    asked: dict[str, Any] = {"key": Key(int(rng.integers(12)), bool(rng.integers(2))).name, "tempo_qpm": tempo}
    kind = ("seconds", "num_bars", "form")[seed % 3]
    if kind == "seconds":
        asked["seconds"] = float(rng.integers(60, 121))
    elif kind == "num_bars":
        asked["num_bars"] = int(rng.integers(20, 41))
    else:
        asked["form"] = str(sample_form(int(rng.integers(20, 41)), rng, tempo_qpm=tempo))
    return asked


def compose(seed: int, folder: Path, composer: Composer) -> tuple[Path, dict[str, Any]]:
    """Write a song and its plan, as `songwright compose` does; return the MIDI file and what was asked."""
    asked = draw_request(seed)
    plan = plan_song(seed=seed, **asked)
    composition = composer.compose(plan)
    path = folder / f"{seed}.mid"
    write_midi(path, perform(composition.song, seed=seed), title=plan.title)
    summary = describe_song(
        composition, plan, asked=asked, version=__version__, fingerprint=composer.fingerprint, precision="int8"
    )
    path.with_suffix(".json").write_text(json.dumps(summary))
    return path, asked


def written_chords(plan: dict[str, Any]) -> list[str]:
    """Return the chords that a song wrote, bar by bar, each half of a bar with the chord that sounds there."""
    changes = [(4 * (change["bar"] - 1) + change["beat"] - 1, change["symbol"]) for change in plan["chords"]]
    sounding, symbols = changes[0][1], dict(changes)
    beats = []
    for beat in range(4 * plan["bars"]):
        sounding = symbols.get(beat, sounding)
        beats.append(sounding)
    return [" ".join(beats[4 * bar : 4 * bar + 4]) for bar in range(plan["bars"])]


def summarise(rows: Sequence[Adherence]) -> dict[str, Any]:
    """Return the figures of one control over songs."""
    errors = [row.error for row in rows if row.error is not None]
    return {
        "songs": len(rows),
        "met": sum(row.is_met is True for row in rows),
        "not measured": sum(row.is_met is None for row in rows),
        "mean error": round(float(np.mean(errors)), 4) if errors else None,
        "largest error": round(max(errors), 4) if errors else None,
        "unit": rows[0].unit,
    }


def measure_meters() -> None:
    """Print the metres heard in real files that keep one written metre."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted((DATA / "openewld_midi").rglob("*.mid")):
        try:
            score = read_midi(path)
        except InputError:
            continue
        written = {f"{meter.numerator}/{meter.denominator}" for meter in score.time_signatures}
        if len(written) == 1 and written <= set(HEARD_METERS):
            shares = heard_meters(score)
            counts[written.pop(), max(shares, key=shares.__getitem__, default="none")] += 1
    for (meter, heard), count in sorted(counts.items()):
        print(f"{meter} heard as {heard}: {count} files")


def measure_tolerances() -> None:
    """Print how the finders hear real songs whose labels are the request."""
    labelled = [song for song in load_songs(DATA / "POP909", DATA / "POP909-phrases") if isinstance(song, LabelledSong)]
    songs = [one.song for one in labelled if split_of(one.song_id) == "train"][::3]
    scores = []
    for song in songs:
        sheet, heard = song.lead_sheet, found_reading(song).lead_sheet
        chords = chord_agreement(sheet.chords, heard.chords, sheet.num_bars * STEPS_PER_BAR)
        scores.append((boundary_agreement(sheet.form, heard.form), letter_agreement(sheet.form, heard.form), chords))
    for name, values in zip(("boundaries, F", "letters, F", "chords, share"), np.transpose(scores), strict=True):
        print(f"{name:15} tenth percentile {np.percentile(values, 10):.3f}, mean {values.mean():.3f}, n = {len(songs)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=60)
    parser.add_argument("--first-seed", type=int, default=50_000)
    parser.add_argument(
        "--keep", type=Path, help="folder for the songs; those of an earlier run are read, not composed"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tolerances", action="store_true")
    parser.add_argument("--meters", action="store_true")
    arguments = parser.parse_args()
    if arguments.tolerances or arguments.meters:
        measure_tolerances() if arguments.tolerances else measure_meters()
        return
    composer = Composer("pop")
    by_control: dict[str, list[Adherence]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.songs):
            path, asked = folder / f"{seed}.mid", draw_request(seed)
            if not path.exists():
                path, asked = compose(seed, folder, composer)
            song = read_song(path)
            plan = dict(song.plan or {})
            for row in measure_adherence({**asked, "meter": "4/4", "chords": written_chords(plan)}, song):
                by_control.setdefault(row.control, []).append(row)
                if not row.is_met and row.control != "chords":
                    print(
                        f"seed {seed}: {row.control} asked {row.asked}, found {row.achieved} ({row.finding})",
                        flush=True,
                    )
    report = {control: summarise(rows) for control, rows in by_control.items()}
    for control, figures in report.items():
        print(
            f"{control:18} {figures['met']:3} of {figures['songs']:3} met; "
            f"mean error {figures['mean error']}, largest {figures['largest error']} {figures['unit']}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
