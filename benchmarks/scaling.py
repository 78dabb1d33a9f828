"""Loss against compute: Transformers of half a million to 25 million parameters, and the law that fits them.

    python benchmarks/scaling.py train CORPUS FOLDER     # an hour of one core; goes on where it stopped
    python benchmarks/scaling.py fit   FOLDER [--plot docs/scaling.svg]

Each run has its own schedule to its end, so every point is the loss of a finished run. The same settings at every
size (`configs/families/transformer.toml`), one seed. Compute is 6 x parameters outside the embeddings (the output layer
counts) x tokens, in floating-point operations; attention's own products are left out. The law is that of Hoffmann et
al., "Training Compute-Optimal Large Language Models", 2022: L(N, D) = E + A / N^a + B / D^b, fitted by least squares of
logarithms from many starts; its uncertainty by leaving out one point at a time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from families import config_of, in_a_process
from plotting import line_plot

TOKENS_A_STEP = 4096
RUNS = {"0.5M": (80, 240, 720), "2M": (80, 240, 480), "6M": (80,), "12M": (80,), "25M": (80,)}
"""Steps of the runs of each size; the table of families adds 6M with its own."""


def outside_embeddings(size: str) -> int:
    """Return the parameters of the blocks and the output layer."""
    from songwright.model.sizes import count_parameters
    from songwright.tokens.streams import STREAMS
    from songwright.training.networks import stream_sizes

    config = config_of("transformer", size=size)
    sizes = stream_sizes(STREAMS[config.stream])
    return count_parameters(config.network, sizes) - sizes.num_channel_rows * config.network.dim


def train(corpus: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for size, runs in RUNS.items():
        for steps in runs:
            result = folder / f"{size}-{steps}.json"
            if not result.exists():
                words = ["--families", "transformer", "--size", size, "--seeds", str(steps), "--steps", str(steps)]
                figures = in_a_process("one-train", str(corpus), str(folder), *words)
                result.write_text(json.dumps(figures, indent=1) + "\n")


def points(folder: Path, more: list[Path]) -> list[dict[str, Any]]:
    """Return size, parameters, tokens, compute and held-out nats a token of every finished run."""
    found = []
    for path in [*sorted(folder.glob("*-*.json")), *more]:
        values = json.loads(path.read_text())
        if "validation" not in values:
            continue
        size, tokens = values["size"], values["steps"] * TOKENS_A_STEP
        parameters = outside_embeddings(size)
        loss = values["test"]["nats_per_token"]
        found.append({"size": size, "N": parameters, "D": tokens, "C": 6 * parameters * tokens, "loss": loss})
    return found


def fit(found: list[dict[str, Any]]) -> dict[str, float]:
    """Return E, A, a, B, b."""
    from scipy.optimize import least_squares

    n, d, loss = (np.array([point[name] for point in found]) for name in ("N", "D", "loss"))

    def predicted(values: np.ndarray) -> np.ndarray:
        floor, log_a, a, log_b, b = values
        return np.exp(floor) + np.exp(log_a - a * np.log(n)) + np.exp(log_b - b * np.log(d))

    def residuals(values: np.ndarray) -> np.ndarray:
        return np.log(predicted(values)) - np.log(loss)

    rng, best = np.random.default_rng(0), None
    bounds = ([-4, -5, 0.01, -5, 0.05], [0, 25, 1.5, 30, 2.0])
    for _ in range(60):
        start = [np.log(0.4), rng.uniform(0, 8), rng.uniform(0.1, 0.7), rng.uniform(2, 12), rng.uniform(0.2, 1.2)]
        result = least_squares(residuals, start, bounds=bounds, loss="soft_l1", f_scale=0.02)
        if best is None or result.cost < best.cost:
            best = result
    assert best is not None
    floor, log_a, a, log_b, b = best.x
    error = float(np.sqrt(np.mean(residuals(best.x) ** 2)))
    return {
        "E": float(np.exp(floor)),
        "A": float(np.exp(log_a)),
        "a": a,
        "B": float(np.exp(log_b)),
        "b": b,
        "error": error,
    }


def loss_at(law: dict[str, float], n: float, d: float) -> float:
    return law["E"] + law["A"] / n ** law["a"] + law["B"] / d ** law["b"]


def best_at(law: dict[str, float], compute: float) -> tuple[float, float]:
    """Return the lowest loss that a budget allows, and the parameters that reach it."""
    sizes = np.geomspace(1e5, 1e9, 400)
    losses = np.array([loss_at(law, n, compute / (6 * n)) for n in sizes])
    place = int(losses.argmin())
    return float(losses[place]), float(sizes[place])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "fit"))
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="results of benchmarks/families.py")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "train":
        train(*arguments.paths)
        return
    found = points(arguments.paths[0], arguments.more)
    law = fit(found)
    print("| size | N outside embeddings | tokens | compute | test nats a token | law |\n|---|---|---|---|---|---|")
    for point in sorted(found, key=lambda point: (point["N"], point["D"])):
        print(
            f"| {point['size']} | {point['N'] / 1e6:.2f} M | {point['D'] / 1e6:.2f} M | {point['C']:.2g} "
            f"| {point['loss']:.3f} | {loss_at(law, point['N'], point['D']):.3f} |"
        )
    print(json.dumps({name: round(value, 4) for name, value in law.items()}))
    without = [fit(found[:place] + found[place + 1 :]) for place in range(len(found))]
    for name in ("E", "a", "b"):
        values = sorted(other[name] for other in without)
        print(f"{name}: {law[name]:.3f}, {values[0]:.3f} to {values[-1]:.3f} with one point left out")
    largest = max(point["C"] for point in found)
    for factor in (1, 2, 4):
        loss, size = best_at(law, factor * largest)
        print(f"compute {factor * largest:.2g}: best {loss:.3f} at {size / 1e6:.1f} M parameters outside embeddings")
    if arguments.plot:
        lines = {
            size: [
                (point["C"], point["loss"]) for point in sorted(found, key=lambda p: p["D"]) if point["size"] == size
            ]
            for size in dict.fromkeys(point["size"] for point in sorted(found, key=lambda p: p["N"]))
        }
        arguments.plot.write_text(
            line_plot(
                "Held-out loss against compute", lines, x="floating-point operations", y="nats a token", log_x=True
            )
        )


if __name__ == "__main__":
    main()
