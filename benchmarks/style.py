"""How well `analysis/style` tells styles, on pieces that it has not seen.

    python benchmarks/style.py CORPUS [--composed FOLDER] [--left-out] [--json FILE]

CORPUS is prepared as `style_fitting.py` says. Balanced accuracy is the mean of the recalls of the six styles; the
calibration error (ten bins of the highest probability) counts each style alike, too. Pieces are heard as they are,
with the melody alone, where there is more than the melody, as excerpts of 8 to 24 bars, and roughened as if played:
notes a quarter shorter, one onset in ten a step late. `--left-out` fits the weights again without one collection at a
time and reports how its pieces are then called; `--composed` judges a folder of MIDI files.
"""

from __future__ import annotations

import argparse
import json
import timeit
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from style_fitting import (
    GROUPS,
    Examples,
    LabelledPiece,
    Table,
    examples_of,
    excerpts_of,
    fit_all,
    labelled_pieces,
    melody_alone,
    random_excerpt,
    style_log_probabilities,
)

from songwright.analysis.style import STYLES, classify_style
from songwright.corpus.cleaning import Rejection
from songwright.corpus.piece import analyse
from songwright.files.midi import read_midi
from songwright.score.grid_score import GridScore

Probabilities = NDArray[np.float64]


def roughened(score: GridScore) -> GridScore:
    """Return a piece as if played: notes a quarter shorter, one onset in ten a step late."""
    rng = np.random.default_rng(0)
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["onset_step"] += rng.random(len(notes)) < 0.1
        notes["duration_step"] = np.maximum(notes["duration_step"] * 3 // 4, 1)
        key = notes["onset_step"].astype(np.int64) * 128 + notes["pitch"]
        tracks.append(replace(track, notes=notes[np.unique(key, return_index=True)[1]]))
    return replace(score, tracks=tuple(tracks), num_bars=score.num_bars + 1)


def probabilities(scores: Sequence[GridScore]) -> Probabilities:
    """Return the judgements, shape (num_pieces, num_styles); NaN for pieces with too few notes."""
    rows = []
    for score in scores:
        judgement = classify_style(score)
        rows.append([judgement.probabilities[s] if judgement else np.nan for s in STYLES])
    return np.array(rows)


def figures(found: Probabilities, style: NDArray[np.int64]) -> dict[str, Any]:
    """Return recalls, balanced accuracy and calibration error."""
    heard = np.isfinite(found[:, 0])
    found, style = found[heard], style[heard]
    count = np.bincount(style, minlength=len(STYLES))
    is_right = found.argmax(axis=1) == style
    recall = {name: float(is_right[style == i].mean()) for i, name in enumerate(STYLES) if count[i]}
    confusion = [[int(((style == i) & (found.argmax(axis=1) == j)).sum()) for j in range(6)] for i in range(6)]
    return {
        "balanced accuracy": float(np.mean(list(recall.values()))),
        "calibration error": calibration_error(found, is_right, 1 / count[style]),
        "calibration error, by piece": calibration_error(found, is_right, np.ones(len(style))),
        "recall": recall,
        "pieces": dict(zip(STYLES, count.tolist(), strict=True)),
        "too few notes": int((~heard).sum()),
        "confusion": confusion,
    }


def calibration_error(found: Probabilities, is_right: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    """Return the mean distance of the highest probability from how often it is right, over ten bins."""
    highest = found.max(axis=1)
    place = np.minimum((highest * 10).astype(int), 9)
    distance = np.abs(np.bincount(place, weight * (highest - is_right), 10))
    return float(distance.sum() / weight.sum())


def resampled_interval(
    found: Probabilities, style: NDArray[np.int64], figure: str, *, repeats: int = 500
) -> list[float]:
    """Return the 95 % interval of a figure over pieces drawn again, within each style."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(style == index) for index in range(len(STYLES))]
    drawn = []
    for _ in range(repeats):
        rows = np.concatenate([rng.choice(rows, len(rows)) for rows in members if len(rows)])
        drawn.append(figures(found[rows], style[rows])[figure])
    return np.percentile(drawn, [2.5, 97.5]).tolist()


def report(title: str, figure: dict[str, Any], interval: Sequence[float] = ()) -> None:
    said = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    recalls = ", ".join(f"{name} {value:.3f} ({figure['pieces'][name]})" for name, value in figure["recall"].items())
    print(
        f"{title}: balanced accuracy {figure['balanced accuracy']:.3f}{said}, calibration error "
        f"{figure['calibration error']:.3f} (by piece {figure['calibration error, by piece']:.3f}); {recalls}"
    )


def measure(pieces: Sequence[LabelledPiece]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    variants: dict[str, Callable[[GridScore], GridScore]] = {
        "as it is": lambda score: score,
        "melody alone": melody_alone,
        "excerpts": lambda score: random_excerpt(score, rng),
        "roughened": roughened,
    }
    style = np.array([STYLES.index(piece.style) for piece in pieces])
    is_test = np.array([piece.split == "test" for piece in pieces])
    collection = np.array([piece.collection for piece in pieces])
    results: dict[str, Any] = {}
    whole: Probabilities | None = None
    for title, change in variants.items():
        found = probabilities([change(piece.score) for piece in pieces])
        for split, rows in (("test", is_test), ("validation and test", np.ones(len(pieces), dtype=bool))):
            results[f"{title}, {split}"] = figure = figures(found[rows], style[rows])
            figure["interval"] = resampled_interval(found[rows], style[rows], "balanced accuracy")
            report(f"{title}, {split}", figure, figure["interval"])
        if whole is None:
            whole = found
            heard = [judgement.heard if (judgement := classify_style(piece.score)) else () for piece in pieces]
            for row, group in enumerate(GROUPS):
                rows = np.array([len(groups) == row + 1 for groups in heard])
                results[f"heard up to {group}"] = figures(found[rows], style[rows])
                report(f"heard up to {group}, validation and test", results[f"heard up to {group}"])
            rows = np.array([len(groups) > 1 for groups in heard])
            results["with harmony"] = figures(found[rows], style[rows])
            report("more than the melody, validation and test", results["with harmony"])
        else:
            both = np.isfinite(whole[:, 0]) & np.isfinite(found[:, 0])
            same = (whole.argmax(axis=1) == found.argmax(axis=1))[both]
            print(f"    called as before: {np.mean([same[style[both] == i].mean() for i in range(6)]):.3f}")
        by = {
            name: round(float((found.argmax(axis=1) == style)[collection == name].mean()), 3)
            for name in sorted(set(collection.tolist()))
        }
        print(f"    by collection: {by}")
        results[f"{title}, by collection"] = by
    return results


def measure_left_out(pieces: Sequence[LabelledPiece]) -> dict[str, Any]:
    """Return how the pieces of each collection are called by weights fitted without it."""
    excerpts = excerpts_of([piece for piece in pieces if piece.split == "train"])
    collections = sorted({piece.collection for piece in pieces})
    examples: dict[tuple[str, str], Examples] = {}
    for name in collections:
        for split in ("train", "validation", "test"):
            members = [piece for piece in pieces if (piece.collection, piece.split) == (name, split)]
            examples[name, split] = examples_of(members, excerpts if split == "train" else ())
    styles_of = {name: {piece.style for piece in pieces if piece.collection == name} for name in collections}
    results: dict[str, Any] = {}

    def together(names: Sequence[str], splits: Sequence[str]) -> Examples:
        parts = [examples[name, split] for name in names for split in splits]
        return {key: reduce(Table.__add__, [part[key] for part in parts]) for key in ("whole", "alone")}

    for name in collections:
        others = [other for other in collections if other != name]
        is_held_out = any(piece.collection == name and piece.split != "train" for piece in pieces)
        if not is_held_out or not styles_of[name] <= set().union(*(styles_of[other] for other in others)):
            continue
        models = fit_all(
            together(others, ["train"]), together(others, ["validation"]), smoothnesses=(0.01,), report=False
        )
        held = together([name], ["validation", "test"])
        for part, table in held.items():
            called = np.empty(len(table.kind), dtype=np.int64)
            last = np.array([[table.has(group)] for group in GROUPS])[:, 0].sum(axis=0) - 1
            for row, group in enumerate(GROUPS):
                at = last == row
                if at.any():
                    called[at] = style_log_probabilities(models[group].scores(table.values[at])).argmax(axis=1)
            right = float(np.mean(called == table.style))
            counts = dict(Counter(STYLES[style] for style in called.tolist()).most_common())
            results[f"{name}, {part}"] = {"recall": right, "called": counts}
            print(f"fitted without {name}, {part}: {right:.3f} of {len(called)} called right; {counts}", flush=True)
    return results


def measure_composed(folder: Path) -> dict[str, Any]:
    called: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    pop, reasons = [], Counter()
    for file in sorted(folder.glob("*.mid")):
        piece = analyse(read_midi(file))
        judgement = None if isinstance(piece, Rejection) else classify_style(piece.score)
        if isinstance(piece, Rejection) or judgement is None:
            called["rejected"] += 1
            continue
        called[judgement.style] += 1
        pop.append(judgement.probabilities["pop"])
        if bare := classify_style(melody_alone(piece.score)):
            alone[bare.style] += 1
        reasons.update(one.feature.words for one in judgement.evidence("pop")[:8] if one.log_odds < 0)
    result = {"called": dict(called), "melody alone": dict(alone), "mean probability of pop": float(np.mean(pop))}
    print(f"composed: {result}; most often against pop: {reasons.most_common(8)}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a prepared corpus of all the collections")
    parser.add_argument("--composed", type=Path, help="a folder of MIDI files to judge")
    parser.add_argument("--left-out", action="store_true", help="fit without each collection in turn (minutes)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    pieces = list(labelled_pieces(arguments.corpus))
    held_out = [piece for piece in pieces if piece.split != "train"]
    results = measure(held_out)
    times = np.array([timeit.timeit(lambda piece=piece: classify_style(piece.score), number=1) for piece in held_out])
    results["ms a piece"] = [float(1e3 * np.median(times)), float(1e3 * np.percentile(times, 95))]
    print(f"ms a piece: median {results['ms a piece'][0]:.1f}, 95 % under {results['ms a piece'][1]:.1f}")
    if arguments.composed:
        results["composed"] = measure_composed(arguments.composed)
    if arguments.left_out:
        results["left out"] = measure_left_out(pieces)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
