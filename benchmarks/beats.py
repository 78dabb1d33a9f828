"""Beats and bar lines found from the notes, beat files hidden.

    python benchmarks/beats.py [--every N] [--json FILE]     measure, on the validation and test songs of POP909
    python benchmarks/beats.py --fit                          learn the weights from its training songs (needs torch)

Downbeat and beat F are `mir_eval.beat.f_measure` (+-70 ms), mean over songs, over the span of the notes; nothing is
trimmed, except under `from 5 s on`, which leaves out the first 5 s as mir_eval does by custom. A song in which no beat
is found scores 0. Bar lines are the human labels' (see `bar_lines.py`); the published beat file's own downbeats are
scored in the same run. `human timing` plays the songs with Gaussian jitter of 15 ms on every onset, a tempo that drifts
slowly by +-4 %, and ticks that mean nothing. Groove: human drumming, bar lines those of the click. Data:
SONGWRIGHT_DATA, or ../shared/data.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mir_eval
import numpy as np
from bar_lines import Reference, load
from numpy.typing import NDArray

from songwright.analysis.beats import find_beats
from songwright.analysis.quantization import quantize
from songwright.corpus.pop909 import song_ids
from songwright.corpus.splits import split_of
from songwright.files.midi import read_midi
from songwright.files.musicxml_reading import read_musicxml
from songwright.score.elements import Score, Track, sort_notes
from songwright.score.grid_score import BeatGrid, bar_starts
from songwright.score.timeline import ticks_to_seconds

JITTER_SECOND, DRIFT, DRIFT_PERIOD_SECONDS = 0.015, 0.04, 60.0
TICKS_PER_SECOND = 960  # of a performance: 480 a quarter at 120


def data_folder() -> Path:
    return Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))


def perform(song: Reference, rng: np.random.Generator) -> Reference:
    """Return a song as a human might play it, its beats and bar lines moved along."""
    phase = rng.uniform(0, 2 * np.pi)
    depth = DRIFT * DRIFT_PERIOD_SECONDS / (2 * np.pi)

    def warp(second: NDArray[np.float64]) -> NDArray[np.float64]:
        return 2 + second + depth * np.sin(2 * np.pi * second / DRIFT_PERIOD_SECONDS + phase)

    tracks: list[Track] = []
    for track in song.score.tracks:
        notes = track.notes.copy()
        onset = warp(ticks_to_seconds(song.score, notes["onset_tick"]))
        end = warp(ticks_to_seconds(song.score, notes["onset_tick"] + notes["duration_tick"]))
        jitter = rng.normal(0, JITTER_SECOND, len(onset))
        notes["onset_tick"] = np.maximum(np.rint((onset + jitter) * TICKS_PER_SECOND), 0)
        notes["duration_tick"] = np.maximum(np.rint((end - onset) * TICKS_PER_SECOND), 1)
        tracks.append(Track(track.name, sort_notes(notes), track.program, track.is_drum))
    times = {name: warp(getattr(song, name)) for name in ("beats", "file_downbeats", "on_beats", "as_labelled")}
    return replace(song, score=Score(TICKS_PER_SECOND // 2, tuple(tracks)), **times)


def span(score: Score) -> tuple[float, float]:
    onsets = np.concatenate([track.notes["onset_tick"] for track in score.tracks])
    first, last = ticks_to_seconds(score, [onsets.min(), onsets.max()])
    return first - 0.07, last + 0.07


def f_measure(reference: NDArray[np.float64], found: NDArray[np.float64], limits: tuple[float, float]) -> float:
    low, high = limits
    kept = [times[(times >= low) & (times <= high)] for times in (reference, found)]
    return float(mir_eval.beat.f_measure(*kept)) if all(map(len, kept)) else 0.0


def trimmed(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the times that mir_eval scores by custom: those after the first 5 s."""
    return mir_eval.beat.trim_beats(times)


def grid_times(score: Score, grid: BeatGrid) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the seconds of quarters and of bar lines, and the lengths of the bars in steps."""
    num_steps = float(grid.ticks_to_steps(score.end_tick))
    starts = bar_starts(grid.meters, int(num_steps // 6) + 2)
    starts = starts[: int(np.searchsorted(starts, num_steps)) + 1]
    quarters = np.arange(0, starts[-1] + 1, 12)
    seconds = [ticks_to_seconds(score, grid.steps_to_ticks(steps)) for steps in (quarters, starts)]
    return seconds[0], seconds[1], np.diff(starts)


def score_songs(songs: list[Reference]) -> dict[str, float]:
    rows: list[dict[str, float]] = []
    for song in songs:
        limits = span(song.score)
        start = time.process_time()
        grid = find_beats(song.score, song.roles)
        found_ms = (time.process_time() - start) * 1e3
        row = {
            "downbeat F": 0.0,
            "downbeat F, from 5 s on": 0.0,
            "downbeat F, labels as they are": 0.0,
            "beat F": 0.0,
            "metre right": 0.0,
        }
        row |= {"no beat found": float(grid is None), "confidence": grid.confidence if grid else 0.0}
        row["file's own downbeats, F"] = f_measure(song.on_beats, song.file_downbeats, limits)
        if grid is not None:
            beats, bars, lengths = grid_times(song.score, grid)
            row["downbeat F"] = f_measure(song.on_beats, bars, limits)
            row["downbeat F, from 5 s on"] = f_measure(trimmed(song.on_beats), trimmed(bars), limits)
            row["downbeat F, labels as they are"] = f_measure(song.as_labelled, bars, limits)
            row["beat F"] = f_measure(song.beats, beats, limits)
            row["metre right"] = float(np.median(lengths) == 12 * song.beats_per_bar)
            start = time.process_time()
            quantize(song.score, grid, song.roles)
            row["quantize, ms"] = (time.process_time() - start) * 1e3
        rows.append(row | {"find_beats, ms": found_ms})
    result: dict[str, float] = {"songs": len(rows)}
    for name in rows[0]:
        values = [row[name] for row in rows if name in row]
        result[name] = statistics.median(values) if name.endswith("ms") else statistics.fmean(values)
    right = np.array([row["downbeat F"] > 0.9 for row in rows])
    sure = np.array([row["confidence"] for row in rows])
    result["songs over .90"] = float(right.mean())
    if right.any() and not right.all():
        pairs = np.sign(sure[right][:, None] - sure[~right])
        result["confidence: area under curve"] = float((pairs / 2 + 0.5).mean())
        certain = sure >= np.median(sure)
        result["right among the surer half, others"] = float(right[certain].mean())
        result["right among the others"] = float(right[~certain].mean())
    return result


def score_groove(every: int) -> dict[str, float]:
    """Return downbeat and beat F of human drumming against the click's bars, of takes of eight seconds or more."""
    folder = data_folder() / "groove"
    with (folder / "info.csv").open(encoding="utf-8") as file:
        takes = [row for row in csv.DictReader(file) if float(row["duration"]) >= 8][::every]
    downbeat, beat = [], []
    for take in takes:
        score = read_midi(folder / take["midi_filename"])
        grid = find_beats(score, ["drums"] * len(score.tracks))
        numerator, denominator = map(int, take["time_signature"].split("-"))
        quarters = np.arange(0, score.end_tick / score.ticks_per_quarter + 1)
        bars = np.arange(0, quarters[-1] + 1, numerator * 4 / denominator)
        truth = [ticks_to_seconds(score, times * score.ticks_per_quarter) for times in (quarters, bars)]
        found = grid_times(score, grid)[:2] if grid is not None else (np.empty(0), np.empty(0))
        limits = span(score)
        beat.append(f_measure(truth[0], found[0], limits))
        downbeat.append(f_measure(truth[1], found[1], limits))
    return {"takes": len(takes), "downbeat F": statistics.fmean(downbeat), "beat F": statistics.fmean(beat)}


def score_files(files: list[Path], read: Callable[[Path], Score]) -> dict[str, float]:
    """Return how often the bar lines of written or sequenced files are kept, and found when their metre is hidden."""
    kept, found, metre, lost = [], [], [], 0
    for path in files:
        score = read(path)
        if not score.num_notes:
            continue
        # Rank by mean pitch stands for the roles, which are another module's: the highest track is the melody.
        pitch = [-1.0 if track.is_drum else float(track.notes["pitch"].mean()) for track in score.tracks]
        roles = ["melody" if i == int(np.argmax(pitch)) else "other" for i in range(len(pitch))]
        roles = ["drums" if track.is_drum else role for track, role in zip(score.tracks, roles, strict=True)]
        grid = find_beats(score, roles)
        lost += grid is None
        if grid is None:
            continue
        kept.append(grid.origin == "ticks")
        # Hidden: no time signature, and the ticks begin a third of a quarter later.
        moved = [track.notes.copy() for track in score.tracks]
        late = score.ticks_per_quarter * 100 // 301
        for notes in moved:
            notes["onset_tick"] += late
        tracks = tuple(replace(track, notes=notes) for track, notes in zip(score.tracks, moved, strict=True))
        hidden = replace(score, tracks=tracks, time_signatures=())
        blind = find_beats(hidden, roles)
        if grid.origin != "ticks" or blind is None:
            continue
        _, bars, lengths = grid_times(score, grid)
        _, blind_bars, blind_lengths = grid_times(hidden, blind)
        shift = float(ticks_to_seconds(hidden, late))
        found.append(f_measure(bars, blind_bars - shift, span(score)))
        metre.append(float(np.median(lengths) == np.median(blind_lengths)))
    result = {"files": len(kept) + lost, "no beat found": lost, "file's bars kept": statistics.fmean(kept)}
    return result | {"hidden: downbeat F": statistics.fmean(found), "hidden: bar length": statistics.fmean(metre)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take every Nth song only")
    parser.add_argument("--seed", type=int, default=0, help="of the human timing")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--fit", action="store_true", help="learn the weights instead, and write meter.npz")
    arguments = parser.parse_args()
    data = data_folder()
    if arguments.fit:
        from meter_fit import fit

        fit(data, perform)
        return
    ids = [song_id for song_id in song_ids(data / "POP909") if split_of(song_id) != "train"][:: arguments.every]
    songs = [song for song in (load(data, song_id) for song_id in ids) if song is not None]
    rng = np.random.default_rng(arguments.seed)
    results = {
        f"POP909 validation and test ({len(ids) - len(songs)} of {len(ids)} without usable labels)": score_songs(songs),
        "the same with human timing": score_songs([perform(song, rng) for song in songs]),
        "groove": score_groove(4 * arguments.every),
    }
    for name, pattern, step in (
        ("freedoom", "freedoom/**/*.mid", 1),
        ("tannerhelland", "tannerhelland/**/*.mid", 1),
        ("simutrans", "simutrans/**/*.mid", 1),
        ("openewld_midi", "openewld_midi/*.mid", 4),
        ("openscore_lieder", "openscore_lieder/**/*.mxl", 25),
    ):
        files = sorted(data.glob(pattern))[:: step * arguments.every]
        results[name] = score_files(files, read_musicxml if pattern.endswith("mxl") else read_midi)
    for name, result in results.items():
        print(name)
        for figure, value in result.items():
            print(f"  {figure:45} {value:.4g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
