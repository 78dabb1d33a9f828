"""MIDI files to token ids, beats known: our path against MidiTok's REMI, in one run, one process.

Both start from the same MIDI files on disk and end with token ids of every note of every track. Ours also lays the
notes on known beats (POP909's beat files, made into grids beforehand), which MidiTok does not do. All files are gone
through ROUNDS times; the rate is that of the middle round, and, undisturbed by other work on the machine, that of each
file's quickest round.

    python benchmarks/tokenizing.py [--files 200] [--profile] [--json FILE]

Files come from the real POP909 (SONGWRIGHT_DATA, or ../shared/data) where it is, else they are made up.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from songwright.analysis.quantization import quantize
from songwright.corpus.reading import known_beats
from songwright.corpus.sources import SourceFile
from songwright.files.midi import read_midi, score_from_midi_bytes, write_midi
from songwright.score.elements import Note, Score, TempoChange, Track, note_array
from songwright.score.grid_score import BeatGrid
from songwright.tokens.score import encode

ROUNDS = 20
ROLE_OF_NAME = {"MELODY": "melody", "PIANO": "chords"}

Song = tuple[Path, BeatGrid]
Counts = tuple[int, int]
"""Notes and tokens."""


def find_songs(count: int, folder: Path) -> list[Song]:
    """Return MIDI files with their beats: real ones, or made-up songs written into `folder`."""
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "POP909"
    if not data.is_dir():
        return [made_up_song(index, folder) for index in range(count)]
    songs = []
    for song in sorted(path for path in data.iterdir() if path.name.isdigit())[:count]:
        midi = song / f"{song.name}.mid"
        beats = song / "beat_midi.txt"
        grid = known_beats(SourceFile("pop909", song.name, midi, "pop909", song.name, beats=beats), read_midi(midi))
        if grid is not None:
            songs.append((midi, grid))
    return songs


def made_up_song(index: int, folder: Path) -> Song:
    rng = np.random.default_rng(index)
    tracks = []
    for name, size in (("MELODY", 350), ("BRIDGE", 250), ("PIANO", 1100)):
        onsets = np.sort(rng.integers(0, 2400, size)) * 60
        pitches, velocities = rng.integers(48, 84, size), rng.integers(40, 100, size)
        notes = [
            Note(int(on), 120, int(pitch), int(v)) for on, pitch, v in zip(onsets, pitches, velocities, strict=True)
        ]
        tracks.append(Track(name, note_array(notes)))
    path = folder / f"{index}.mid"
    write_midi(path, Score(240, tuple(tracks), (TempoChange(0, 120.0),)))
    return path, BeatGrid(np.arange(620) * 240.0)


def tokenize_ours(song: Song, stages: dict[str, float]) -> Counts:
    """Tokenise a song; add the seconds of each stage to `stages`."""
    path, grid = song
    began = time.perf_counter()
    score = score_from_midi_bytes(path.read_bytes())
    read = time.perf_counter()
    roles = tuple(ROLE_OF_NAME.get(track.name, "other") for track in score.tracks)
    grid_score = quantize(score, grid, roles).grid_score
    laid = time.perf_counter()
    tokens = encode(grid_score)
    stages["read"] += read - began
    stages["quantize"] += laid - read
    stages["tokens"] += time.perf_counter() - laid
    return grid_score.num_notes, len(tokens)


def tokenize_remi(song: Song, tokenizer: Any) -> Counts:
    from symusic import Score as SymusicScore

    score = SymusicScore(str(song[0]))
    sequences = tokenizer(score)
    num_tokens = sum(map(len, sequences)) if isinstance(sequences, list) else len(sequences)
    return sum(len(track.notes) for track in score.tracks), num_tokens


def measure(function: Callable[[Song], Counts], songs: list[Song]) -> dict[str, float]:
    for song in songs:  # from the disk into the operating system's cache
        song[0].read_bytes()
    function(songs[0])
    seconds = np.empty((ROUNDS, len(songs)))
    counts = np.zeros((len(songs), 2), dtype=np.int64)
    for row in seconds:
        for index, song in enumerate(songs):
            began = time.perf_counter()
            counts[index] = function(song)
            row[index] = time.perf_counter() - began
    num_notes, num_tokens = counts.sum(axis=0).tolist()
    return {
        "files": len(songs),
        "files_per_second": round(len(songs) / float(np.median(seconds.sum(axis=1))), 1),
        "files_per_second_undisturbed": round(len(songs) / float(seconds.min(axis=0).sum()), 1),
        "notes": num_notes,
        "tokens_per_note": round(num_tokens / num_notes, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--profile", action="store_true", help="print where our time goes; no MidiTok")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    stages = dict.fromkeys(("read", "quantize", "tokens"), 0.0)

    def ours(song: Song) -> Counts:
        return tokenize_ours(song, stages)

    with tempfile.TemporaryDirectory() as folder:
        songs = find_songs(arguments.files, Path(folder))
        if arguments.profile:
            with cProfile.Profile() as profile:
                for song in songs:
                    ours(song)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            return
        result: dict[str, Any] = {"processor": platform.processor() or platform.machine()}
        result["songwright"] = measure(ours, songs)
        total = sum(stages.values())
        result["share_of_time"] = {stage: round(seconds / total, 3) for stage, seconds in stages.items()}
        from miditok import REMI, TokenizerConfig

        # REMI as published, one sequence a track; and with the instruments in one sequence (REMI+).
        for name, options in (("miditok_remi", {}), ("miditok_remi_plus", {"use_programs": True})):
            tokenizer = REMI(TokenizerConfig(**options))
            result[name] = measure(partial(tokenize_remi, tokenizer=tokenizer), songs[:40])
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
