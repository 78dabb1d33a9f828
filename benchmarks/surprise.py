"""How much real songs surprise the shipped network: the figures that turn bits into words (`explanation_words`).

    python benchmarks/surprise.py [--split held-out|train] [--precision int8|fp32] [--random]

Bits a note of POP909's labelled songs (SONGWRIGHT_DATA, or ../shared/data), counted as `explanation.likelihood` does:
onsets, the bar lines between, and pitches. --random gives the same rhythms random notes of the C major scale (seed 0).
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from songwright.corpus.pop909 import LabelledSong, load_songs
from songwright.corpus.splits import split_of
from songwright.explanation.likelihood import ShippedNetwork, surprise

SCALE = np.array([60, 62, 64, 65, 67, 69, 71, 72, 74, 76])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("held-out", "train"), default="held-out")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument("--random", action="store_true")
    arguments = parser.parse_args()
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    network, rng = ShippedNetwork("pop", precision=arguments.precision), np.random.default_rng(0)
    rows = []
    for song in load_songs(data / "POP909", data / "POP909-phrases"):
        if not isinstance(song, LabelledSong) or (split_of(song.song_id) == "train") != (arguments.split == "train"):
            continue
        sheet = song.song.lead_sheet
        if arguments.random:
            melody = sheet.melody.copy()
            melody["pitch"] = rng.choice(SCALE, len(melody))
            sheet = replace(sheet, melody=melody)
        found = surprise(sheet, network)
        rows.append((found.bits_per_note, found.bits_per_note_first, found.bits_per_note_later))
    table = np.array(rows, dtype=np.float64)  # None becomes NaN
    print(f"{len(table)} songs, {arguments.split}, {arguments.precision}{', random notes' if arguments.random else ''}")
    for name, values in zip(("all", "first phrases", "later phrases"), table.T, strict=True):
        points = np.nanpercentile(values, (5, 25, 50, 75, 95))
        print(f"{name:14} bits a note at 5, 25, 50, 75, 95 %: " + ", ".join(f"{point:.2f}" for point in points))


if __name__ == "__main__":
    main()
