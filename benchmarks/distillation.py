"""Whether a small network learns more from a larger one than from the music alone.

    python benchmarks/distillation.py CORPUS FOLDER [--teacher FILE] [--size 0.75M] [--steps 400] [--seeds 0 1]

The teacher is the shipped lead sheet network (2.9 M parameters) or a checkpoint; students of a quarter of its size are
trained alike, the same batches, steps and seeds, once with cross-entropy and once with the KL divergence from the
teacher mixed in. Nats a note of test songs; the gap is what the student lacks of the teacher when trained by itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from families import config_of

from songwright.composition.weights import find_style
from songwright.preparation.shards import open_shard
from songwright.tokens.streams import STREAMS
from songwright.training.batches import evaluation_batches
from songwright.training.sequences import SequenceTask
from songwright.training.trainer import Trainer, has_bfloat16
from songwright.training.validation import validate


def figures_of(network: torch.nn.Module, corpus: Path) -> dict[str, float]:
    batches = evaluation_batches(open_shard(corpus, "lead_sheet", "test"), batch_size=8, length=512)
    with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16(torch.device("cpu"))):
        return validate(network, batches, STREAMS["lead_sheet"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teacher", type=Path, default=find_style("pop").weights("lead_sheet", "fp32"))
    parser.add_argument("--size", default="0.75M")
    parser.add_argument("--family", default="transformer")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--weight", type=float, default=0.9)
    parser.add_argument("--temperature", type=float, default=1.0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"steps": arguments.steps, "size": arguments.size, "runs": []}
    for seed in arguments.seeds:
        row: dict[str, Any] = {"seed": seed}
        for name, teachers in (("distilled", [str(arguments.teacher)]), ("alone", [])):
            config = config_of(
                arguments.family,
                size=arguments.size,
                minutes=0,
                num_steps=arguments.steps,
                seed=seed,
                teachers=teachers,
                **{
                    "distillation.weight": arguments.weight,
                    "distillation.temperature": arguments.temperature,
                    "network.dropout": 0.05,
                },
            )
            out = arguments.folder / f"{name}-{arguments.size}-{seed}"
            trainer = Trainer(config, arguments.corpus, out, report=lambda line: print(line, flush=True))
            if teachers and "teacher" not in result:
                assert isinstance(trainer.task, SequenceTask)
                teacher = trainer.task.teachers[0]
                result["teacher"] = {"parameters": teacher.num_parameters, **figures_of(teacher, arguments.corpus)}
            trainer.train()
            row["parameters"] = trainer.network.num_parameters
            row[name] = figures_of(trainer.average, arguments.corpus)
        for figure in ("nats_per_note", "nats_per_token"):
            gap = row["alone"][figure] - result["teacher"][figure]
            row[f"{figure}_gap_closed"] = (row["alone"][figure] - row["distilled"][figure]) / gap
        result["runs"].append(row)
        print(json.dumps(row), flush=True)
        (arguments.folder / "distillation.json").write_text(json.dumps(result, indent=1) + "\n")
    closed = [row["nats_per_note_gap_closed"] for row in result["runs"]]
    print(f"share of the gap closed, nats a note: {np.mean(closed):.2f} ({len(closed)} seeds)")


if __name__ == "__main__":
    main()
