"""MIDI files to token ids: our tokenizer against MidiTok's REMI, in one run, one process.

Both start from the same MIDI files on disk and end with token ids of every note of every track. Ours also lays the
notes on known beats (POP909's beat files, read beforehand), which MidiTok does not do.

    python benchmarks/tokenizing.py [--files 100] [--json FILE]

Files come from the real POP909 (SONGWRIGHT_DATA, or ../shared/data) where it is, else they are made up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.corpus.pop909 import quantize_track, read_numbers
from songwright.files.midi import read_midi, write_midi
from songwright.score.elements import Note, Score, TempoChange, Track, note_array
from songwright.score.grid import STEPS_PER_BAR
from songwright.tokens import arrangement

ROUNDS = 3

Song = tuple[Path, NDArray[np.float64]]
"""A MIDI file and the times of its beats, in seconds."""


def find_files(count: int, folder: Path) -> list[tuple[Path, Path]]:
    """Return (MIDI file, beat file) pairs: real ones, or made-up songs written into `folder`."""
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "POP909"
    if data.is_dir():
        songs = sorted(path for path in data.iterdir() if path.name.isdigit())[:count]
        return [(song / f"{song.name}.mid", song / "beat_midi.txt") for song in songs]
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(count):
        tracks = []
        for name, size in (("MELODY", 350), ("BRIDGE", 250), ("PIANO", 1100)):
            onsets = np.sort(rng.integers(0, 2400, size)) * 60
            notes = [
                Note(int(on), 120, int(pitch)) for on, pitch in zip(onsets, rng.integers(48, 84, size), strict=True)
            ]
            tracks.append(Track(name, note_array(notes)))
        midi, beats = folder / f"{index}.mid", folder / f"{index}.txt"
        write_midi(midi, Score(480, tuple(tracks), (TempoChange(0, 120.0),)))
        beats.write_text("".join(f"{i * 0.5} 1.0 1.0\n" for i in range(310)))
        pairs.append((midi, beats))
    return pairs


def tokenize_ours(songs: list[Song]) -> int:
    """Return the number of notes tokenised."""
    notes = 0
    for midi, times in songs:
        score = read_midi(midi)
        for track in score.tracks:
            if not len(track.notes):
                continue
            grid = quantize_track(score, track, times)
            grid = grid[grid["onset_step"] >= 0]
            num_bars = int(grid["onset_step"].max()) // STEPS_PER_BAR + 1
            arrangement.encode(grid, num_bars)
            notes += len(grid)
    return notes


def measure(function: Callable[[list[Song]], int], songs: list[Song]) -> tuple[float, int]:
    """Return median files a second over ROUNDS rounds, and notes a round."""
    for midi, _ in songs:  # from the disk into the operating system's cache
        midi.read_bytes()
    function(songs[:3])
    rates = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        notes = function(songs)
        rates.append(len(songs) / (time.perf_counter() - began))
    return statistics.median(rates), notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from miditok import REMI
    from symusic import Score as SymusicScore

    tokenizer = REMI()

    def tokenize_remi(songs: list[Song]) -> int:
        total = 0
        for midi, _ in songs:
            score = SymusicScore(str(midi))
            tokenizer(score)
            total += sum(len(track.notes) for track in score.tracks)
        return total

    with tempfile.TemporaryDirectory() as folder:
        songs = [(midi, read_numbers(beats, 1)[:, 0]) for midi, beats in find_files(arguments.files, Path(folder))]
        ours, our_notes = measure(tokenize_ours, songs)
        remi, remi_notes = measure(tokenize_remi, songs)
    result = {
        "processor": platform.processor() or platform.machine(),
        "files": len(songs),
        "songwright_files_per_second": round(ours, 1),
        "songwright_notes": our_notes,
        "miditok_remi_files_per_second": round(remi, 1),
        "miditok_notes": remi_notes,
        "ratio": round(ours / remi, 1),
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
