"""How much of what the processor can multiply is used in training.

    python benchmarks/training_speed.py CORPUS [--threads 1] [--sizes 6M 25M] [--batch 8]

The peak is the best of square bfloat16 products of 512 to 4,096, measured in the same run. A training step's operations
are counted as 6 for each parameter that multiplies (blocks and output layer) and token, and 12 x layers x width x
half the window for attention; everything else (embeddings, norms, softmax, the optimizer) counts as nothing but takes
its time. The median of several whole steps.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from families import config_of

from songwright.training.interruption import StopRequest
from songwright.training.trainer import Trainer


def peak(device: torch.device) -> float:
    """Return operations a second of the best product in bfloat16."""
    best = 0.0
    for size in (512, 1024, 2048, 4096):
        a, b = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
        for _ in range(6):
            began = time.perf_counter()
            a @ b
            if device.type == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def measure(corpus: Path, family: str, size: str, batch: int, threads: int) -> dict[str, Any]:
    values = {"batch_size": batch, "num_threads": threads, "minutes": 0, "num_steps": 10_000}
    config = config_of(family, size=size, **values)
    trainer = Trainer(config, corpus, Path("/tmp/songwright-speed"), report=print)
    seconds, counts = [], []
    for _ in range(8):
        began = time.perf_counter()
        counts.append(trainer._step(StopRequest())[2])
        seconds.append(time.perf_counter() - began)
    rate = float(np.median([count / second for count, second in zip(counts[2:], seconds[2:], strict=True)]))
    network = trainer.network
    multiplying = sum(parameter.numel() for parameter in network.blocks.parameters())
    multiplying += network.token_embedding.weight.numel()
    a_token = 6 * multiplying
    if family in ("transformer", "hybrid"):
        a_token += 12 * config.network.num_layers * config.network.dim * config.network.context_length / 2
    top = peak(trainer.device)
    return {
        "family": family,
        "size": size,
        "threads": threads,
        "parameters": network.num_parameters,
        "tokens_per_second": round(rate),
        "operations_per_second": round(rate * a_token / 1e9, 1),
        "peak": round(top / 1e9, 1),
        "share_of_peak": round(rate * a_token / top, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--families", nargs="+", default=["transformer"])
    parser.add_argument("--sizes", nargs="+", default=["6M", "25M"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    print(platform.processor() or platform.machine(), torch.__version__)
    for threads in arguments.threads:
        for family in arguments.families:
            for size in arguments.sizes:
                print(json.dumps(measure(arguments.corpus, family, size, arguments.batch, threads)), flush=True)


if __name__ == "__main__":
    main()
