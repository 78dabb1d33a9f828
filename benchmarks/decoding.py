"""Tokens decoded a second: our engine against Hugging Face `generate`, with the same weights, in one run.

Two Llama-style decoders with random weights: one of 26 million parameters, and one of the shape we ship (which is
also measured with its side channels and copy hints, that Hugging Face has no place for). Both sides draw with
top-p .95 from the whole vocabulary, keep a KV cache, and use the same number of threads. Logits are compared first.
Sides take turns, and ratios are taken within a round: by the clock, and by processor time, which other work on the
machine disturbs less.

    python benchmarks/decoding.py [--tokens 2048] [--batch 1] [--threads 1] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import transformers
from machine import processor_name

from songwright.engine.config import GraphConfig
from songwright.engine.graph import build_graph
from songwright.engine.sampling import sample, top_p
from songwright.engine.session import Decoder

NUCLEUS = 0.95
CHANNELS, CHANNEL_ROWS, HINTS = 31, 2600, 6
SHAPES = {
    "26M": {"vocab_size": 1024, "dim": 512, "num_layers": 8, "num_heads": 8, "num_kv_heads": 8, "hidden_dim": 1408},
    "shipped": {"vocab_size": 315, "dim": 192, "num_layers": 6, "num_heads": 3, "num_kv_heads": 1, "hidden_dim": 512},
}


Run = Callable[[int], None]
"""Decodes the given number of tokens for each sequence of a batch."""


@dataclass(frozen=True)
class Rate:
    """Tokens a second over the whole batch, by the clock and by processor time."""

    per_second: float
    per_cpu_second: float


def timed(run: Run, batch: int, tokens: int) -> Rate:
    """Return the rate of one run."""
    clock, processor = time.perf_counter(), time.process_time()
    run(tokens)
    total = batch * tokens
    return Rate(total / (time.perf_counter() - clock), total / (time.process_time() - processor))


def make_llama(shape: dict[str, int], length: int) -> transformers.LlamaForCausalLM:
    """Return a decoder with random weights."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=shape["vocab_size"],
        hidden_size=shape["dim"],
        intermediate_size=shape["hidden_dim"],
        num_hidden_layers=shape["num_layers"],
        num_attention_heads=shape["num_heads"],
        num_key_value_heads=shape["num_kv_heads"],
        max_position_embeddings=length,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return transformers.LlamaForCausalLM(config).eval()


def our_weights(llama: transformers.LlamaForCausalLM, num_layers: int) -> dict[str, np.ndarray]:
    """Return the same weights under our names."""
    state = {name.removeprefix("model."): tensor.float().numpy() for name, tensor in llama.state_dict().items()}
    weights = {"token_embedding.weight": state["embed_tokens.weight"], "output_norm.weight": state["norm.weight"]}
    for layer in range(num_layers):
        for ours, theirs in [
            ("attention_norm", "input_layernorm"),
            ("feed_forward_norm", "post_attention_layernorm"),
            *((f"attention.{name}", f"self_attn.{name[0]}_proj") for name in ("query", "key", "value", "output")),
            *((f"feed_forward.{name}", f"mlp.{name}_proj") for name in ("gate", "up", "down")),
        ]:
            weights[f"blocks.{layer}.{ours}.weight"] = state[f"layers.{layer}.{theirs}.weight"]
    return weights


def run_llama(llama: transformers.LlamaForCausalLM, batch: int, tokens: int) -> None:
    """Decode with Hugging Face."""
    prompt = torch.ones(batch, 1, dtype=torch.long)
    options: dict[str, Any] = {
        "do_sample": True,
        "top_k": 0,
        "top_p": NUCLEUS,
        "attention_mask": torch.ones_like(prompt),
    }
    with torch.no_grad():
        result = llama.generate(prompt, max_new_tokens=tokens, min_new_tokens=tokens, **options)  # type: ignore[misc]
    assert result.shape == (batch, tokens + 1)


def run_decoder(decoder: Decoder, tokens: int) -> None:
    """Decode with our engine."""
    config, batch = decoder.config, decoder.batch_size
    rng = np.random.default_rng(0)
    allowed = np.ones(config.vocab_size, dtype=bool)
    samplers = [top_p(NUCLEUS)]
    side = [
        rng.integers(0, CHANNEL_ROWS, (batch, config.num_channels)) if config.num_channels else None,
        rng.integers(0, config.vocab_size, (batch, config.num_hints)) if config.num_hints else None,
    ]
    decoder.reset()
    current = [1] * batch
    for _ in range(tokens):
        logits = decoder.step(current, *side)
        current = [sample(row, allowed, rng, samplers) for row in logits]


def compare(runs: dict[str, Run], *, batch: int, tokens: int, rounds: int) -> dict[str, float]:
    """Let each side run in turn, `rounds` times; return medians, and ratios to the first side within a round."""
    for run in runs.values():
        run(min(16, tokens))  # warm
    results = [{name: timed(run, batch, tokens) for name, run in runs.items()} for _ in range(rounds)]
    reference = next(iter(runs))
    row: dict[str, float] = {}
    for name in runs:
        row[f"{name}_tokens_per_second"] = round(statistics.median(r[name].per_second for r in results), 1)
    for name in list(runs)[1:]:
        by_clock = [r[name].per_second / r[reference].per_second for r in results]
        by_processor = [r[name].per_cpu_second / r[reference].per_cpu_second for r in results]
        row[f"{name}_ratio"] = round(statistics.median(by_clock), 2)
        row[f"{name}_processor_time_ratio"] = round(statistics.median(by_processor), 2)
    return row


def measure(name: str, shape: dict[str, int], arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the figures of one shape."""
    tokens, length = arguments.tokens, arguments.tokens + 1
    llama = make_llama(shape, length)
    sizes = GraphConfig(
        **{key: value for key, value in shape.items() if key != "hidden_dim"},
        num_channels=0,
        num_hints=0,
        context_length=2 * length,  # one window: the whole past stays in view, as in `generate`
        norm_epsilon=1e-6,
        rotary_base=10_000.0,
    )
    weights = our_weights(llama, sizes.num_layers)
    paths = {"fp32": folder / f"{name}.fp32.onnx", "int8": folder / f"{name}.int8.onnx"}
    for precision, path in paths.items():
        path.write_bytes(build_graph(weights, sizes, precision=precision).SerializeToString())  # type: ignore[arg-type]
    if name == "shipped":
        rng = np.random.default_rng(2)
        weights["channel_embedding.weight"] = rng.normal(0, 0.02, (CHANNEL_ROWS, sizes.dim)).astype(np.float32)
        weights["copy_gate.weight"] = rng.normal(0, 0.02, (HINTS, sizes.dim)).astype(np.float32)
        weights["copy_gate.bias"] = np.zeros(HINTS, dtype=np.float32)
        whole = replace(sizes, num_channels=CHANNELS, num_hints=HINTS, context_length=512)
        paths["int8_channels_hints_windows_of_512"] = path = folder / "whole.onnx"
        path.write_bytes(build_graph(weights, whole, precision="int8").SerializeToString())
    prompt = np.random.default_rng(1).integers(0, sizes.vocab_size, (1, min(64, length)))
    with torch.no_grad():
        expected = llama(torch.from_numpy(prompt)).logits.numpy()
    figures: dict[str, Any] = {"parameters": sum(parameter.numel() for parameter in llama.parameters())}
    for precision in ("fp32", "int8"):
        found = Decoder(paths[precision], max_length=length).prefill(prompt)
        figures[f"{precision}_largest_logit_difference"] = float(np.abs(found - expected).max())
    for batch in arguments.batch:
        runs: dict[str, Run] = {"hugging_face_fp32": partial(run_llama, llama, batch)}
        for precision, path in paths.items():
            decoder = Decoder(path, batch_size=batch, max_length=length, num_threads=arguments.threads)
            runs[f"songwright_{precision}"] = partial(run_decoder, decoder)
        figures[f"batch_{batch}"] = row = compare(runs, batch=batch, tokens=tokens, rounds=arguments.rounds)
        for key, value in row.items():
            if key.endswith("ratio"):
                print(f"{name}, batch {batch}: {key} {value}", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=list(SHAPES))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", module="transformers")
    result: dict[str, Any] = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": arguments.threads,
        "tokens": arguments.tokens,
        "rounds": arguments.rounds,
        "versions": {module.__name__: module.__version__ for module in (torch, transformers, onnxruntime)},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.shapes:
            result[name] = measure(name, SHAPES[name], arguments, Path(folder))
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
