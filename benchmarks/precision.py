"""What 8-bit weights cost: held-out likelihood of exported networks, and how far int8 predicts from fp32.

    python benchmarks/precision.py WEIGHTS_FOLDER CORPUS [--stream lead_sheet] [--split validation] [--songs 20]

Every song is read from its first to its last token as the engine reads it while composing, in windows.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.engine.session import Decoder
from songwright.tokens.packing import STREAMS, open_shard


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def measure(folder: Path, corpus: Path, stream: str, split: str, num_songs: int) -> dict[str, Any]:
    """Return nats of each precision and the divergence of int8 from fp32, in nats a token."""
    shard = open_shard(corpus, stream, split)
    names = STREAMS[stream].vocabulary.names
    note_kinds = ("POS", "BAR", "EOS", "PITCH", "DUR")
    of_note = np.array([name.split("_")[0] in note_kinds for name in names])
    is_pitch = np.array([name.startswith("PITCH") for name in names])
    spans = list(zip(shard.starts[:-1].tolist(), shard.starts[1:].tolist(), strict=True))[:num_songs]
    longest = max(end - begin for begin, end in spans)
    fingerprint = STREAMS[stream].vocabulary.fingerprint
    decoders = {
        precision: Decoder(folder / f"{stream}.{precision}.onnx", max_length=longest, expected_fingerprint=fingerprint)
        for precision in ("fp32", "int8")
    }
    nats = dict.fromkeys(decoders, 0.0)
    nats_of_notes = dict.fromkeys(decoders, 0.0)
    tokens, notes, divergence, same_choice = 0, 0, 0.0, 0
    began = time.perf_counter()
    for begin, end in spans:
        arrays = [
            array[None, begin : end - 1].astype(np.int64) for array in (shard.tokens, shard.channels, shard.hints)
        ]
        targets = shard.tokens[begin + 1 : end].astype(np.int64)
        found = {}
        for precision, decoder in decoders.items():
            decoder.reset()
            found[precision] = log_softmax(decoder.prefill(*arrays)[0])
            loss = -found[precision][np.arange(len(targets)), targets]
            nats[precision] += float(loss.sum())
            nats_of_notes[precision] += float(loss[of_note[targets]].sum())
        divergence += float((np.exp(found["fp32"]) * (found["fp32"] - found["int8"])).sum())
        same_choice += int((found["fp32"].argmax(-1) == found["int8"].argmax(-1)).sum())
        tokens += len(targets)
        notes += int(is_pitch[targets].sum())
    return {
        "stream": stream,
        "split": split,
        "step": decoders["fp32"].metadata["step"],
        "songs": len(spans),
        "tokens": tokens,
        "notes": notes,
        "nats_per_token": {precision: round(value / tokens, 5) for precision, value in nats.items()},
        "nats_per_note": {precision: round(value / notes, 5) for precision, value in nats_of_notes.items()},
        "nats_per_note_change_percent": round(100 * (nats_of_notes["int8"] / nats_of_notes["fp32"] - 1), 3),
        "divergence_nats_per_token": round(divergence / tokens, 6),
        "same_most_likely_token": round(same_choice / tokens, 4),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--stream", choices=sorted(STREAMS), default="lead_sheet")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.folder, arguments.corpus, arguments.stream, arguments.split, arguments.songs)
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
