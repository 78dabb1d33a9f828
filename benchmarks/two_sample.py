"""How well the two-sample test tells songs from real ones: its false alarms, the songs it must tell, composed songs.

    python benchmarks/two_sample.py [--composed FOLDER] [--draws 200]

Needs the real POP909 and its labels (SONGWRIGHT_DATA, or ../shared/data): 169 validation and test songs, cut to 180 s.
False alarms are random halves of them against each other.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from songwright.corpus.pop909 import LabelledSong, load_songs
from songwright.corpus.splits import split_of
from songwright.evaluation.excerpts import first_seconds, loop_bars, shuffle_bars
from songwright.evaluation.figures import MeasuredSongs
from songwright.evaluation.reading import read_song
from songwright.evaluation.two_sample import Features, two_sample_test


def chosen(features: Features, places: np.ndarray) -> Features:
    """Return the features of some songs."""
    return {group: {name: values[places] for name, values in columns.items()} for group, columns in features.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--composed", type=Path, help="a folder of composed songs with their JSON files")
    parser.add_argument("--draws", type=int, default=200)
    arguments = parser.parse_args()
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    loaded = [song for song in load_songs(data / "POP909", data / "POP909-phrases") if isinstance(song, LabelledSong)]
    cut = {
        is_train: [first_seconds(song.song, 180) for song in loaded if (split_of(song.song_id) == "train") == is_train]
        for is_train in (True, False)
    }
    real, others = MeasuredSongs.measure(cut[False]).features, MeasuredSongs.measure(cut[True]).features
    num_songs, rng = len(cut[False]), np.random.default_rng(0)
    found: list[float | None] = []
    for _ in range(arguments.draws):
        order = rng.permutation(num_songs)
        halves = [chosen(real, part) for part in (order[: num_songs // 2], order[num_songs // 2 :])]
        found.append(two_sample_test(halves[0], halves[1], rng, with_floor=False).auc)
    print(
        f"real halves of {num_songs} songs, {arguments.draws} draws: AUC {np.mean(found):.3f}, 95th percentile "
        f"{np.quantile(found, 0.95):.3f}, standard deviation {np.std(found):.3f}"
    )
    judged = {
        "bars shuffled": MeasuredSongs.measure([shuffle_bars(song, rng) for song in cut[False]]).features,
        "8 bars looped": MeasuredSongs.measure([loop_bars(song, rng) for song in cut[False]]).features,
    }
    if arguments.composed:
        songs = [read_song(path).song for path in sorted(arguments.composed.glob("*.mid"))]
        judged["composed"] = MeasuredSongs.measure([song for song in songs if song]).features
    for name, ours in judged.items():
        began = time.process_time()
        test = two_sample_test(real, ours, np.random.default_rng(0), others)
        interval, real_range = (" to ".join(f"{end:.3f}" for end in ends or ()) for ends in test[1:4:2])
        print(
            f"{name}: AUC {test.auc:.3f} ({interval}); real {test.real:.3f} ({real_range}); "
            f"{time.process_time() - began:.2f} s"
        )
        for one in test.telling[:6]:
            print(
                f"  {one.name:26}{one.direction:8}without it {-one.loss:+.3f}; alone {one.alone:.3f} "
                f"{one.alone_direction}; median {one.generated:.3f}, real {one.reference:.3f}"
            )


if __name__ == "__main__":
    main()
