"""How faithful `explanation.attention` is, how fast, and how much memory it takes.

    python benchmarks/looking.py [--bars 60] [--seed 0] [--train] [--json OUT]

Bars with melody and at least eight earlier ones are drawn from POP909's validation and test songs (labelled, 4/4;
SONGWRIGHT_DATA or ../shared/data), or with --train from its training songs. Each score names two earlier bars with
melody; both are silenced together (`explanation.sources.silence`), and the fall is what the log-probability of the
bar's notes loses, in nats per bar, under the shipped int8 weights:

    looked_at    copy gates and attention in one score
    copied       copy gates alone (Shapley's value)
    attention    attention alone, mean over layers and heads
    random       two random earlier bars with melody, mean of five draws
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from songwright.corpus.pop909 import LabelledSong, load_songs
from songwright.corpus.splits import split_of
from songwright.explanation.attention import lead_sheet_weights, song_attention
from songwright.explanation.likelihood import ShippedNetwork, normal_sheet
from songwright.explanation.sources import bar_log_probabilities, silence, sounding_bars
from songwright.score.lead_sheet import LeadSheet
from songwright.tokens.streams import lead_sheet_sequence

MIN_EARLIER = 8
NUM_NAMED = 2
NUM_DRAWS = 5
NUM_BOOTSTRAP = 2000


def labelled_sheets(data: Path, *, is_train: bool) -> list[LeadSheet]:
    songs = load_songs(data / "POP909", data / "POP909-phrases")
    return [
        normal_sheet(song.song)
        for song in songs
        if isinstance(song, LabelledSong) and (split_of(song.song_id) == "train") == is_train
    ]


def measure(sheets: list[LeadSheet], count: int, rng: np.random.Generator) -> dict[str, Any]:
    places = [(song, bar) for song, sheet in enumerate(sheets) for bar in sounding_bars(sheet)[MIN_EARLIER:].tolist()]
    drawn = sorted(rng.choice(len(places), size=min(count, len(places)), replace=False).tolist())
    network, weights = ShippedNetwork(), lead_sheet_weights()
    falls: dict[str, list[float]] = {name: [] for name in ("looked_at", "copied", "attention", "random")}
    seconds: list[float] = []
    for song, bar in (places[index] for index in drawn):
        sheet = sheets[song]
        earlier = [other for other in sounding_bars(sheet).tolist() if other < bar]
        started = time.perf_counter()
        found = song_attention(sheet, weights)
        seconds.append(time.perf_counter() - started)
        whole = float(bar_log_probabilities(sheet, network, last_bar=bar)[bar])

        def fall(bars: list[int], sheet: LeadSheet = sheet, bar: int = bar, whole: float = whole) -> float:
            return float(whole - bar_log_probabilities(silence(sheet, bars), network, last_bar=bar)[bar])

        for name, score in (("looked_at", found.looked_at), ("copied", found.copied), ("attention", found.by_bar)):
            falls[name].append(fall(sorted(earlier, key=lambda other: -score[bar, other])[:NUM_NAMED]))
        draws = [rng.choice(earlier, NUM_NAMED, replace=False).tolist() for _ in range(NUM_DRAWS)]
        falls["random"].append(float(np.mean([fall(bars) for bars in draws])))
    table = np.array([falls[name] for name in falls])
    resampled = table[:, rng.integers(0, len(drawn), (NUM_BOOTSTRAP, len(drawn)))].mean(axis=2)
    result: dict[str, Any] = {"bars": len(drawn), "seconds_per_song_median": float(np.median(seconds))}
    for row, name in enumerate(falls):
        low, high = np.quantile(resampled[row] / resampled[-1], [0.025, 0.975])
        result[name] = {
            "fall_nats_per_bar": float(table[row].mean()),
            "median": float(np.median(table[row])),
            "share_over_0.1": float((table[row] > 0.1).mean()),
            "ratio_to_random": float(table[row].mean() / table[-1].mean()),
            "ratio_interval": [float(low), float(high)],
        }
    return result


def speed(sheets: list[LeadSheet]) -> dict[str, float]:
    """Seconds for the song whose length is nearest to 1,600 tokens."""
    lengths = [len(lead_sheet_sequence(sheet)[0]) for sheet in sheets]
    chosen = int(np.argmin(np.abs(np.array(lengths) - 1600)))
    weights = lead_sheet_weights()
    times: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        song_attention(sheets[chosen], weights)
        times.append(time.perf_counter() - started)
    return {"tokens": float(lengths[chosen]), "seconds": min(times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    sheets = labelled_sheets(data, is_train=args.train)
    result = measure(sheets, args.bars, np.random.default_rng(args.seed))
    result["speed"] = speed(sheets)
    result["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    text = json.dumps(result, indent=1)
    print(text)
    if args.json is not None:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
