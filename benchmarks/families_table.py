"""The table of docs/architectures.md from the results of `benchmarks/families.py`, and its plots.

python benchmarks/families_table.py FOLDER [--size 6M] [--decoding decoding.json] [--plots docs]
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from families import FAMILIES, SIZE
from plotting import line_plot

FIGURES = (
    ("nats_per_note", "nats a note"),
    ("bits_per_note", "bits a note"),
    ("bits_per_note_first", "first"),
    ("bits_per_note_later", "later"),
    ("nats_per_chord", "nats a chord"),
)


def spread(values: list[float]) -> str:
    """Return mean ± standard deviation over seeds."""
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default=SIZE)
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    folder, size = arguments.folder, arguments.size
    speeds = json.loads((folder / f"speed-{size}.json").read_text())
    for side in ("test", "validation"):
        names = " | ".join(name for _, name in FIGURES)
        print(f"\n{side}\n\n| family | parameters | seeds | steps | {names} | tokens/s | memory MB |")
        print("|" + "---|" * (len(FIGURES) + 6))
        rows = []
        for family in FAMILIES:
            found = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{family}-{size}-[0-9].json"))]
            if not found:
                continue
            cells = [spread([run[side][name] for run in found]) for name, _ in FIGURES]
            memory = max(run["peak_megabytes"] for run in found)
            speed = speeds[family]["tokens_per_second"]
            row = [
                family,
                f"{found[0]['parameters']:,}",
                str(len(found)),
                str(found[0]["steps"]),
                *cells,
                f"{speed:,}",
                f"{memory:,}",
            ]
            rows.append((np.mean([run[side]["nats_per_note"] for run in found]), row))
        for _, row in sorted(rows, key=lambda pair: -pair[0]):
            print("| " + " | ".join(row) + " |")
    if arguments.plots:
        lines = {}
        for family in FAMILIES:
            path = folder / f"{family}-{size}-0" / "steps.csv"
            if not path.exists():
                continue
            with path.open() as file:
                rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
            minutes = speeds[family]["step_seconds"] / 60
            smooth, kept = rows[0][1], []
            for step, loss in rows:
                smooth = 0.7 * smooth + 0.3 * loss
                kept.append((step * minutes, smooth))
            lines[family] = [point for point in kept if point[1] < 2.5]
        plot = line_plot("Training loss, seed 0", lines, x="minutes of one core", y="nats a token", dots=False)
        (arguments.plots / "families.svg").write_text(plot)


if __name__ == "__main__":
    main()
