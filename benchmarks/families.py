"""The table of families: every network at one size, on one split, with the same compute, judged alike.

    python benchmarks/families.py speed  CORPUS FOLDER    # tokens a second of each: run it on a quiet machine
    python benchmarks/families.py train  CORPUS FOLDER --minutes 4 --seeds 0 1 2
    python benchmarks/families.py songs  CORPUS FOLDER --songs 64 --keep docs/songs/families
    python benchmarks/families.py table  CORPUS FOLDER

Compute is minutes of one quiet core: `speed` measures tokens a second once, `train` turns the minutes into steps, so
that other work on the machine changes nothing. Settings are those of `configs/families`. Figures of validation and test
songs come from the averaged weights at the end of the run, none chosen. Songs are composed from the first seed's
network with the shipped piano, seeds 40000 and up, unselected, and judged by `songwright evaluate` and the goals of
`docs/evaluation.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
FAMILIES = ("rnn", "gru", "lstm", "convolution", "transformer", "hybrid")
SIZE = "6M"
FIRST_SEED = 40_000


def config_of(family: str, *, size: str, **values: Any) -> Any:
    """Return the config of a family at a size, as `songwright train --size` makes it."""
    from songwright.commands.train import read_config

    words = [f"{name}={json.dumps(value)}" for name, value in values.items()]
    path = ROOT / "configs" / "families" / f"{family}.toml"
    arguments = argparse.Namespace(config=path, model=None, size=size, hours=None, teacher=[], overrides=words)
    return read_config(arguments)


def measure_speed(corpus: Path, family: str, size: str) -> dict[str, Any]:
    """Return tokens a second of whole training steps, best of several, on one thread."""
    from songwright.training.interruption import StopRequest
    from songwright.training.trainer import Trainer

    config = config_of(family, size=size, minutes=0, num_steps=1_000_000)
    trainer = Trainer(config, corpus, Path("/tmp/songwright-speed"), report=print)
    counts, seconds = [], []
    for _ in range(7):
        began = time.process_time()  # one thread: what others do on the machine counts little
        _, _, count, _ = trainer._step(StopRequest())
        seconds.append(time.process_time() - began)
        counts.append(count)
    rates = sorted(count / second for count, second in zip(counts[2:], seconds[2:], strict=True))
    tokens = config.batch_size * config.network.context_length
    return {
        "family": family,
        "parameters": trainer.network.num_parameters,
        "tokens_per_second": round(rates[len(rates) // 2]),
        "step_seconds": round(float(np.median(seconds[2:])), 3),
        "padded_tokens_a_step": tokens,
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def train(corpus: Path, folder: Path, family: str, size: str, seed: int, num_steps: int) -> dict[str, Any]:
    """Train one network and return its figures on validation and test songs."""
    import torch

    from songwright.preparation.shards import open_shard
    from songwright.tokens.streams import STREAMS
    from songwright.training.batches import evaluation_batches
    from songwright.training.trainer import Trainer
    from songwright.training.validation import validate

    config = config_of(family, size=size, minutes=0, num_steps=num_steps, seed=seed)
    out = folder / f"{family}-{size}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    trainer = Trainer(config, corpus, out, report=lambda line: print(f"{out.name}: {line}", flush=True))
    validation = trainer.train()
    batches = evaluation_batches(
        open_shard(corpus, config.stream, "test"), batch_size=8, length=config.network.context_length
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=trainer.is_half):
        test = validate(trainer.average, batches, STREAMS[config.stream])
    return {
        "family": family,
        "size": size,
        "seed": seed,
        "parameters": trainer.network.num_parameters,
        "steps": num_steps,
        "tokens": num_steps * config.batch_size * config.network.context_length,
        "wall_seconds": round(time.perf_counter() - began),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "validation": validation,
        "test": test,
    }


def in_a_process(*words: str) -> dict[str, Any]:
    """Run this script for one network, so that its memory is its own; return what it prints last."""
    print(*words, flush=True)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def write_songs(folder: Path, family: str, size: str, num_songs: int, keep: Path | None) -> dict[str, Any]:
    """Compose with the first seed's network and judge; return the goals met and the gates passed."""
    from songwright.training.export import export_network

    songs, report = folder / "songs" / family, folder / "songs" / f"{family}.html"
    shutil.rmtree(songs, ignore_errors=True)
    if family == "ngram":
        network = folder / "lead_sheet.ngram.npz"
    else:
        (network,) = export_network(
            folder / f"{family}-{size}-0" / "last.pt", folder / "exported" / family, precisions=("int8",)
        )
    words = [
        "--count",
        str(num_songs),
        "--seed",
        str(FIRST_SEED),
        "--audio",
        "none",
        "--no-sheet",
        "--network",
        str(network),
    ]
    run = [sys.executable, "-m", "songwright"]
    began = time.perf_counter()
    subprocess.run([*run, "compose", *words, "--out", str(songs)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    subprocess.run([*run, "evaluate", str(songs), "--out", str(report), "--no-song-pages"], check=True)
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        for number in range(10):
            shutil.copyfile(songs / f"song-{number + 1:03d}.mid", keep / f"{family}-{FIRST_SEED + number}.mid")
    return {"family": family, "songs": num_songs, "seconds_per_song": round(seconds / num_songs, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "train", "songs", "one-speed", "one-train"))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--size", default=SIZE)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--songs", type=int, default=64)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    folder, size = arguments.folder, arguments.size
    folder.mkdir(parents=True, exist_ok=True)
    speeds = folder / f"speed-{size}.json"
    if arguments.what == "one-speed":
        print(json.dumps(measure_speed(arguments.corpus, arguments.families[0], size)))
    elif arguments.what == "one-train":
        seed, steps = arguments.seeds[0], arguments.steps
        print(json.dumps(train(arguments.corpus, folder, arguments.families[0], size, seed, steps)))
    elif arguments.what == "speed":
        found = {
            family: in_a_process("one-speed", str(arguments.corpus), str(folder), "--families", family, "--size", size)
            for family in arguments.families
        }
        before = json.loads(speeds.read_text()) if speeds.exists() else {}
        speeds.write_text(json.dumps(before | found, indent=1) + "\n")
        print(speeds.read_text())
    elif arguments.what == "train":
        rates = json.loads(speeds.read_text())
        for seed in arguments.seeds:
            for family in arguments.families:
                result = folder / f"{family}-{size}-{seed}.json"
                if result.exists():
                    continue
                steps = arguments.steps or round(60 * arguments.minutes / rates[family]["step_seconds"])
                words = ["--families", family, "--size", size, "--seeds", str(seed), "--steps", str(steps)]
                figures = in_a_process("one-train", str(arguments.corpus), str(folder), *words)
                result.write_text(json.dumps(figures, indent=1) + "\n")
    else:
        for family in arguments.families:
            print(json.dumps(write_songs(folder, family, size, arguments.songs, arguments.keep)), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
