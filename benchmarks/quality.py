"""Compose many songs, unselected, and judge them against real ones.

    python benchmarks/quality.py [--songs 100] [--first-seed 10000] [--seconds 180] [--json FILE]

Needs the real POP909 and its labels (SONGWRIGHT_DATA, or ../shared/data). Reference: its validation and test songs cut
to the same length; originality is measured against the training songs. Seeds are consecutive and every song counts.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from songwright.composition.composer import Composer, Composition
from songwright.composition.plan import SongPlan, plan_song
from songwright.corpus.pop909 import LabelledSong, load_songs
from songwright.corpus.splits import split_of
from songwright.evaluation import evaluate_songs, format_report


def compose(seed: int, *, seconds: float, precision: str) -> tuple[SongPlan, Composition, float]:
    """Return the plan, the song and the processor time it took."""
    began = time.process_time()
    plan = plan_song(seconds=seconds, seed=seed)
    composition = Composer("pop", precision=precision).compose(plan)
    return plan, composition, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    began = time.perf_counter()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.songs)
    work = partial(compose, seconds=arguments.seconds, precision=arguments.precision)
    with ProcessPoolExecutor() as pool:
        made = list(pool.map(work, seeds))
    wall = time.perf_counter() - began
    compositions = [composition for _, composition, _ in made]
    songs = [composition.song for composition in compositions]
    real = [song for song in load_songs(data / "POP909", data / "POP909-phrases") if isinstance(song, LabelledSong)]
    known = [song.song for song in real if split_of(song.song_id) == "train"]
    held_out = [song.song for song in real if split_of(song.song_id) != "train" and len(song.song.piano)]
    report = evaluate_songs(songs, held_out, known)
    bars_off = [abs(plan.duration_seconds - arguments.seconds) * plan.tempo_qpm / 240 for plan, _, _ in made]
    composing: dict[str, Any] = {
        "songs": len(songs),
        "seeds": [seeds[0], seeds[-1]],
        "invalid_songs": sum(bool(song.problems()) for song in songs),
        "most_bars_off_the_wanted_length": round(max(bars_off), 3),
        "endings_tried": dict(sorted(Counter(composition.num_endings for composition in compositions).items())),
        "passages_rewritten": sum(composition.num_rewrites for composition in compositions),
        "processor_seconds_per_song": round(float(np.mean([seconds for _, _, seconds in made])), 2),
        "wall_seconds": round(wall, 1),
    }
    print(format_report(report))
    print(json.dumps(composing, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps({"composing": composing, **report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
