"""Keys and chords found in POP909 against its labels, with music21's key analysers on the same songs.

Reads each song's MIDI (MELODY, BRIDGE, PIANO) through its beat file, lays it on the bars of the human phrase labels by
matching melodies, hides every label, and asks `find_keys` and `find_chords`. Measured on validation and test songs; the
weights come from the training songs alone. Keys: songs whose `analyzed_key.txt` names one key. Chords: mir_eval's
major/minor weighted recall, weighted by beats, against `finalized_chord.txt` (corrected by hand) and POP909's own
`chord_midi.txt` and `chord_audio.txt`. OpenEWLD's MIDI names key signatures only, so the signature is compared there.

    python benchmarks/harmony.py [--split held-out|all] [--no-music21] [--json FILE]
    python benchmarks/harmony.py --fit       (trains the weights again, about two minutes; needs torch)
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pop909_pieces import MIN_ALIGNED, VARIANTS, Piece, Segment, load_pieces, number_of, pitch_class_weights

from songwright.analysis.chords import chord_confidence, find_chords
from songwright.analysis.half_bars import measure_half_bars
from songwright.analysis.keys import KeyRegion, find_key, find_keys
from songwright.files.midi import read_midi
from songwright.score.grid import STEPS_PER_BEAT
from songwright.score.grid_score import TRACK_NOTE_DTYPE, GridScore, GridTrack, Meter
from songwright.score.lead_sheet import ChordChange
from songwright.score.pitch import Key


def mirex_score(reference: Key, found: Key) -> float:
    """Return MIREX's weighted score: 1 exact, .5 a fifth above, .3 relative, .2 parallel, else 0."""
    steps = (found.tonic - reference.tonic) % 12
    if reference.is_minor == found.is_minor:
        return {0: 1.0, 7: 0.5}.get(steps, 0.0)
    return {0: 0.2, 3 if reference.is_minor else 9: 0.3}.get(steps, 0.0)


def longest(regions: Sequence[KeyRegion], num_bars: int) -> Key:
    bars = Counter[Key]()
    for region, end in zip(regions, [*(other.bar for other in regions[1:]), num_bars], strict=True):
        bars[region.key] += end - region.bar
    return bars.most_common(1)[0][0]


def music21_keys(score: GridScore) -> dict[str, Key]:
    import music21

    stream = music21.stream.Stream()
    for note in score.notes_of():
        element = music21.note.Note(int(note["pitch"]))
        element.quarterLength = int(note["duration_step"]) / STEPS_PER_BEAT
        stream.insert(int(note["onset_step"]) / STEPS_PER_BEAT, element)
    found = {}
    for name in ("key", "key.krumhansl", "key.temperley"):
        key = stream.analyze(name)
        found[f"music21 {name}"] = Key(key.tonic.pitchClass, key.mode == "minor")
    return found


def measure_keys(pieces: Sequence[Piece], *, with_music21: bool) -> dict[str, Any]:
    songs = [piece for piece in pieces if len(piece.keys) == 1]
    results: dict[str, list[float]] = {}
    mirex: dict[str, list[float]] = {}

    def note_result(name: str, reference: Key, key: Key, is_right: bool | None = None) -> None:
        results.setdefault(name, []).append(key == reference if is_right is None else is_right)
        mirex.setdefault(name, []).append(mirex_score(reference, key))

    for piece in songs:
        reference = piece.keys[0]
        for variant, names in VARIANTS.items():
            score = piece.part(names)
            regions = find_keys(score)
            note_result(f"find_keys, longest region, {variant}", reference, longest(regions, score.num_bars))
            key = longest(regions, score.num_bars)
            is_right = len(regions) == 1 and key == reference
            note_result(f"find_keys, one region and right, {variant}", reference, key, is_right)
        note_result("find_key, summed durations", reference, find_key(pitch_class_weights(piece.score)))
        if with_music21:
            for name, key in music21_keys(piece.score).items():
                note_result(name, reference, key)
    rows: dict[str, Any] = {
        name: {"exact": round(float(np.mean(values)), 4), "mirex": round(float(np.mean(mirex[name])), 4)}
        for name, values in results.items()
    }
    rows["songs"] = len(songs)
    changing = [
        piece
        for piece in pieces
        if len(piece.keys) > 1
        and {key for _, key in piece.key_changes} == set(piece.keys)
        and piece.aligned >= MIN_ALIGNED
    ]
    right = []
    for piece in changing:
        bars = piece.score.num_bars
        found, expected = np.zeros(bars, dtype=np.int64), np.zeros(bars, dtype=np.int64)
        for bar, key in find_keys(piece.score):
            found[bar:] = number_of(key)
        for index, (step, key) in enumerate(piece.key_changes):
            start = round(step / piece.score.meters[0].bar_steps) if index else 0
            expected[max(start, 0) :] = number_of(key)
        right.append(float((found == expected).mean()))
    rows["songs that change key"] = {"songs": len(changing), "bars right": round(float(np.mean(right)), 4)}
    return rows


def as_segments(changes: Sequence[ChordChange], end: float) -> list[Segment]:
    names = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
    spelled = {"7sus4": "sus4(b7)", "add9": "maj(9)"}
    degrees = ("1", "b2", "2", "b3", "3", "4", "b5", "5", "b6", "6", "b7", "7")
    segments = []
    for change, stop in zip(changes, [*(other.onset_step for other in changes[1:]), end], strict=True):
        chord = change.chord
        bass = "" if chord.bass == chord.root else f"/{degrees[(chord.bass - chord.root) % 12]}"
        label = f"{names[chord.root]}:{spelled.get(chord.quality, chord.quality)}{bass}"
        segments.append((change.onset_step, max(stop, change.onset_step + 1), label))
    return segments


def known_label(label: str) -> str:
    """Return a label that mir_eval reads: a damaged end (`sus4(b7,`, `min(2)/`) is cut, or `X`, never compared."""
    import mir_eval

    for candidate in (label, label.rstrip("/"), label.partition("(")[0]):
        try:
            mir_eval.chord.validate_chord_label(candidate)
        except mir_eval.chord.InvalidChordException:
            continue
        return candidate
    return "X"


def chord_scores(
    reference: Sequence[Segment], found: Sequence[Segment], kinds: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Return for each kind of comparison of mir_eval the steps right and the steps compared."""
    import mir_eval

    silent = mir_eval.chord.NO_CHORD
    first, last = reference[0][0], reference[-1][1]
    intervals, labels = np.array([row[:2] for row in found], dtype=float), [known_label(row[2]) for row in found]
    intervals, labels = mir_eval.util.adjust_intervals(intervals, labels, first, last, silent, silent)
    expected, names = np.array([row[:2] for row in reference], dtype=float), [known_label(row[2]) for row in reference]
    expected, names = mir_eval.util.adjust_intervals(expected, names, first, last, silent, silent)
    merged, names, labels = mir_eval.util.merge_labeled_intervals(expected, names, intervals, labels)
    lengths = mir_eval.util.intervals_to_durations(merged)
    totals = {}
    for kind in kinds:
        right = getattr(mir_eval.chord, kind)(names, labels)
        totals[kind] = np.array([(right * lengths)[right >= 0].sum(), lengths[right >= 0].sum()])
    return totals


KINDS = ("majmin", "root", "thirds", "sevenths", "majmin_inv")


def measure_chords(pieces: Sequence[Piece]) -> dict[str, Any]:
    songs = [piece for piece in pieces if piece.aligned >= MIN_ALIGNED]
    sums: dict[str, dict[str, NDArray[np.float64]]] = {}
    per_song: dict[str, list[float]] = {}
    changes_a_bar: dict[str, list[float]] = {}
    confidence: dict[str, list[float]] = {}

    def add(row: str, totals: dict[str, NDArray[np.float64]]) -> None:
        known = sums.setdefault(row, {kind: np.zeros(2) for kind in KINDS})
        for kind, total in totals.items():
            known[kind] += total
        if totals["majmin"][1]:
            per_song.setdefault(row, []).append(float(totals["majmin"][0] / totals["majmin"][1]))

    for piece in songs:
        for variant, names in VARIANTS.items():
            score = piece.part(names)
            changes = find_chords(score)
            found = as_segments(changes, float(score.bar_starts[-1]))
            for source in piece.chords if variant == "whole" else ("finalized_chord",):
                add(f"{variant}, {source}", chord_scores(piece.chords[source], found, KINDS))
            changes_a_bar.setdefault(variant, []).append(len(changes) / score.num_bars)
            confidence.setdefault(variant, []).append(float(chord_confidence(changes, measure_half_bars(score)).mean()))
        for source in ("chord_midi", "chord_audio"):
            totals = chord_scores(piece.chords["finalized_chord"], piece.chords[source], KINDS)
            add(f"({source} against finalized_chord)", totals)
    rows: dict[str, Any] = {}
    for row, totals in sums.items():
        rows[row] = {kind: round(float(right / total), 4) for kind, (right, total) in totals.items()}
        rows[row]["majmin, mean of songs"] = round(float(np.mean(per_song[row])), 4)
    rows["songs"] = len(songs)
    rows["changes a bar"] = {name: round(float(np.mean(values)), 2) for name, values in changes_a_bar.items()}
    rows["mean confidence"] = {name: round(float(np.mean(values)), 2) for name, values in confidence.items()}
    return rows


def measure_signatures(folder: Path) -> dict[str, Any]:
    """Return how often the key signature of OpenEWLD's files is found; only files that have one and keep it."""
    right, files = 0, 0
    for path in sorted(folder.glob("*.mid")):
        score = read_midi(path)
        if len(score.key_signatures) != 1 or not score.num_notes or len(score.time_signatures) != 1:
            continue
        steps = STEPS_PER_BEAT / score.ticks_per_quarter
        tracks = []
        for track in score.tracks:
            notes = np.zeros(len(track.notes), dtype=TRACK_NOTE_DTYPE)
            notes["onset_step"] = np.rint(track.notes["onset_tick"] * steps)
            notes["duration_step"] = np.maximum(np.rint(track.notes["duration_tick"] * steps), 1)
            notes["pitch"], notes["velocity"] = track.notes["pitch"], 80
            tracks.append(GridTrack(track.name, notes))
        signature = score.time_signatures[0]
        meter = Meter(0, signature.numerator, signature.denominator)
        num_bars = int(np.ceil(score.end_tick * steps / meter.bar_steps))
        key = longest(find_keys(GridScore(tuple(tracks), num_bars, (meter,))), num_bars)
        right += (key.fifths - score.key_signatures[0].fifths) % 12 == 0
        files += 1
    return {"files": files, "signature right": round(right / max(files, 1), 4)}


def milliseconds(run: Callable[[GridScore], object], scores: Sequence[GridScore]) -> float:
    run(scores[0])
    rounds = []
    for _ in range(3):
        start = time.process_time()  # other work on the machine disturbs it less than the clock
        for score in scores:
            run(score)
        rounds.append((time.process_time() - start) / len(scores) * 1e3)
    return round(min(rounds), 3)


def measure_speed(pieces: Sequence[Piece]) -> dict[str, Any]:
    scores = [piece.score for piece in pieces[:150]]

    def both(score: GridScore) -> object:
        halves = measure_half_bars(score)
        return find_keys(score, halves), find_chords(score, halves)

    return {
        "songs": len(scores),
        "notes a song": round(float(np.mean([score.num_notes for score in scores]))),
        "processor ms a song: measure_half_bars": milliseconds(measure_half_bars, scores),
        "processor ms a song: find_keys": milliseconds(find_keys, scores),
        "processor ms a song: find_chords": milliseconds(find_chords, scores),
        "processor ms a song: both, half bars measured once": milliseconds(both, scores),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="train the weights on the training songs first")
    parser.add_argument("--split", choices=["held-out", "train", "all"], default="held-out")
    parser.add_argument("--no-music21", action="store_true", help="leave out music21 (half a second a song)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="mir_eval")
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    pieces = load_pieces(data)
    if arguments.fit:
        from harmony_fitting import fit_chords, fit_keys

        train = [piece for piece in pieces if piece.split == "train"]
        fit_chords([piece for piece in train if piece.aligned >= MIN_ALIGNED])
        fit_keys(train)
    if arguments.split != "all":
        pieces = [piece for piece in pieces if (piece.split == "train") == (arguments.split == "train")]
    figures = {
        "songs": f"{len(pieces)} ({arguments.split})",
        "speed": measure_speed(pieces),
        "keys": measure_keys(pieces, with_music21=not arguments.no_music21),
        "chords": measure_chords(pieces),
    }
    if (data / "openewld_midi").is_dir():
        figures["openewld_midi"] = measure_signatures(data / "openewld_midi")
    text = json.dumps(figures, indent=1)
    print(re.sub(r"\{\s+([^{}]*?)\s+\}", lambda match: "{" + " ".join(match.group(1).split()) + "}", text))
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
