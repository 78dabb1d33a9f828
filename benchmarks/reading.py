"""Reading scores: files a second of our MusicXML and ABC readers, and their notes against music21's of the same files.

Speed is processor time of one core over a sample of each source. The comparison reads each file as written (repeats
not played, tied notes merged, sounding pitch, grace notes left out) and compares the notes of all parts together as
(onset, pitch, duration) in exact fractions of a quarter note; then, with the same files, with repeats played, where
music21 can play them. Files that differ are listed with how many notes are ours only and theirs only.

    python benchmarks/reading.py [--speed 100] [--compare 20] [--seed 0] [--json FILE]

Sources are the OpenScore Lieder (SONGWRIGHT_DATA, or ../shared/data) and the corpus that music21 installs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import time
import warnings
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

from songwright.errors import InputError
from songwright.files.abc import read_abc
from songwright.files.musicxml_reading import read_musicxml
from songwright.score.elements import Score

Notes = Counter[tuple[Fraction, int, Fraction]]
"""How often each (onset, pitch, duration) occurs; times in quarter notes."""


def find_files() -> dict[str, list[Path]]:
    """Return the files of each source."""
    import music21

    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    corpus = Path(music21.__file__).parent / "corpus"
    found = {
        "OpenScore Lieder": (data / "openscore_lieder").rglob("*.mxl"),
        "music21 MusicXML": (path for kind in ("*.mxl", "*.xml", "*.musicxml") for path in corpus.rglob(kind)),
        "music21 ABC": corpus.rglob("*.abc"),
    }
    return {source: sorted(paths) for source, paths in found.items()}


def read(path: Path, *, repeats: bool) -> list[Score]:
    """Return the scores of a file: one, or one a tune."""
    if path.suffix == ".abc":
        return [score for _, score in read_abc(path, repeats=repeats)]
    return [read_musicxml(path, repeats=repeats)]


def measure_speed(paths: list[Path]) -> dict[str, Any]:
    """Return how many files and notes a second are read, and what is refused."""
    num_notes = num_scores = 0
    refused: Counter[str] = Counter()
    slowest = 0.0
    begin = time.process_time()
    for path in paths:
        start = time.process_time()
        try:
            scores = read(path, repeats=True)
        except InputError as error:
            refused[str(error).replace(str(path), "FILE")] += 1
            continue
        slowest = max(slowest, time.process_time() - start)
        num_scores += len(scores)
        num_notes += sum(score.num_notes for score in scores)
    seconds = time.process_time() - begin
    return {
        "files": len(paths),
        "read": len(paths) - refused.total(),
        "refused": dict(refused),
        "scores": num_scores,
        "ms a file": round(1000 * seconds / len(paths), 2),
        "files/s": round(len(paths) / seconds, 1),
        "notes/s": round(num_notes / seconds),
        "slowest ms": round(1000 * slowest, 1),
    }


def our_notes(score: Score) -> Notes:
    """Return the notes of all tracks but drums."""
    ticks = score.ticks_per_quarter
    return Counter(
        (Fraction(onset, ticks), pitch, Fraction(duration, ticks))
        for track in score.tracks
        if not track.is_drum
        for onset, duration, pitch, _ in track.notes.tolist()
    )


def their_notes(score: Any, *, repeats: bool) -> Notes:
    """Return the notes of a score of music21."""
    from music21.chord import Chord
    from music21.harmony import ChordSymbol
    from music21.note import Note

    if repeats:
        score = score.expandRepeats()
    found: Notes = Counter()
    for part in list(score.toSoundingPitch().parts) or [score]:
        # Ties are followed pitch by pitch, through all voices: stripTies joins a chord as a whole or not at all.
        waiting: dict[tuple[int, Fraction], list[Fraction]] = {}  # (pitch, end) to onsets
        flat = part.flatten().notes
        for element in sorted(flat, key=lambda element: element.offset):
            if isinstance(element, ChordSymbol) or element.duration.isGrace or not isinstance(element, Chord | Note):
                continue
            onset = Fraction(element.offset).limit_denominator(20_160)
            end = onset + Fraction(element.quarterLength).limit_denominator(20_160)
            for note in element.notes if isinstance(element, Chord) else (element,):
                tie = note.tie.type if note.tie else ""
                begin = onset
                if waiting.get((note.pitch.midi, onset)):
                    begin = waiting[note.pitch.midi, onset].pop()
                if tie in ("start", "continue"):
                    waiting.setdefault((note.pitch.midi, end), []).append(begin)
                elif end > begin:
                    found[begin, note.pitch.midi, end - begin] += 1
        for (pitch, end), onsets in waiting.items():  # ties that end nowhere
            found.update((onset, pitch, end - onset) for onset in onsets)
    return found


def compare(path: Path) -> list[dict[str, Any]]:
    """Return, for each score of a file, how its notes agree with music21's."""
    from music21 import converter
    from music21.stream import Opus

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        parsed = converter.parse(path, forceSource=True, storePickle=False)
        seconds = time.process_time() - start
        theirs = [score for score in parsed.scores if score.flatten().notes] if isinstance(parsed, Opus) else [parsed]
        written, played = (read(path, repeats=repeats) for repeats in (False, True))
        rows: list[dict[str, Any]] = []
        for index, score in enumerate(theirs[: len(written)]):
            row: dict[str, Any] = {"file": f"{path.name}#{index}", "music21 s": seconds / len(theirs)}
            for name, ours, repeats in (("written", written, False), ("played", played, True)):
                if name == "played" and played[index].num_notes == written[index].num_notes:
                    continue
                try:
                    their = their_notes(score, repeats=repeats)
                except Exception as error:  # music21 raises many kinds where repeats are unusual
                    row[name] = f"music21: {type(error).__name__}"
                    continue
                our = our_notes(ours[index])
                row[name] = ((our & their).total(), (our - their).total(), (their - our).total())
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", type=int, default=100, help="files of each source that are timed; 0: all")
    parser.add_argument("--compare", type=int, default=20, help="files of each source that music21 reads too")
    parser.add_argument("--tunes", type=int, default=20, help="tunes of a tune book that are compared")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    result: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "seed": arguments.seed}
    for source, paths in find_files().items():
        rng = random.Random(arguments.seed)
        timed = rng.sample(paths, min(arguments.speed, len(paths))) if arguments.speed else paths
        speed = measure_speed(timed)
        print(f"{source}: {speed}", flush=True)
        rows: list[dict[str, Any]] = []
        for path in rng.sample(paths, min(arguments.compare, len(paths))):
            rows.extend(compare(path)[: arguments.tunes])
        summary: dict[str, Any] = {"speed": speed}
        for name in ("written", "played"):
            counted = [row for row in rows if isinstance(row.get(name), tuple)]
            same = [row for row in counted if row[name][1:] == (0, 0)]
            notes = sum(sum(row[name]) for row in counted)
            summary[name] = {
                "scores": len(counted),
                "equal": len(same),
                "notes in both": round(sum(row[name][0] for row in counted) / notes, 5) if notes else None,
                "music21 failed": sum(isinstance(row.get(name), str) for row in rows),
                "different (both, ours only, theirs only)": {r["file"]: r[name] for r in counted if r not in same},
            }
            print(f"  {name}: {summary[name]}", flush=True)
        summary["music21 ms a score"] = round(1000 * sum(row["music21 s"] for row in rows) / max(len(rows), 1), 1)
        print(f"  music21 reads a score in {summary['music21 ms a score']} ms", flush=True)
        result[source] = summary
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
