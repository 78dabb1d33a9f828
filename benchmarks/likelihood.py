"""Likelihood of held-out songs under exported networks, and what 8-bit weights cost.

    python benchmarks/likelihood.py WEIGHTS_FOLDER CORPUS [--stream lead_sheet] [--split validation] [--songs 20]

Every song is read from its first to its last token as the engine reads it while composing, in windows. *Bits a note*
counts onset and pitch: the tokens POS, BAR, EOS and PITCH (`training.validation`); *first* and *later* are
first and later occurrences of a phrase letter.
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
from songwright.preparation.shards import open_shard
from songwright.tokens.streams import STREAMS


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def measure(folder: Path, corpus: Path, stream: str, split: str, num_songs: int | None) -> dict[str, Any]:
    """Return nats of each precision and the divergence of int8 from fp32, in nats a token."""
    shard = open_shard(corpus, stream, split)
    names = STREAMS[stream].vocabulary.names
    note_kinds = ("POS", "BAR", "EOS", "PITCH", "DUR")
    of_note = np.array([name.split("_")[0] in note_kinds for name in names])
    of_onset_and_pitch = np.array([name.split("_")[0] in ("POS", "BAR", "EOS", "PITCH") for name in names])
    layout = STREAMS[stream].channels
    occurrence = layout.names.index("occurrence")
    is_pitch = np.array([name.startswith("PITCH") for name in names])
    lengths = shard.lengths.tolist()[:num_songs]
    longest = max(lengths)
    fingerprint = STREAMS[stream].vocabulary.fingerprint
    decoders = {
        precision: Decoder(folder / f"{stream}.{precision}.onnx", max_length=longest, expected_fingerprint=fingerprint)
        for precision in ("fp32", "int8")
    }
    nats = dict.fromkeys(decoders, 0.0)
    nats_of_notes = dict.fromkeys(decoders, 0.0)
    bits_of = np.zeros((2, 2))  # int8: (first, later occurrences) x (bits, notes)
    tokens, notes, divergence, same_choice = 0, 0, 0.0, 0
    began = time.perf_counter()
    for song in range(len(lengths)):
        read = shard.read(song)
        arrays = [array[None, :-1].astype(np.int64) for array in read]
        targets = read[0][1:].astype(np.int64)
        found = {}
        for precision, decoder in decoders.items():
            decoder.reset()
            found[precision] = log_softmax(decoder.prefill(*arrays)[0])
            loss = -found[precision][np.arange(len(targets)), targets]
            nats[precision] += float(loss.sum())
            nats_of_notes[precision] += float(loss[of_note[targets]].sum())
            if precision == "int8":
                is_later = arrays[1][0, :, occurrence] > layout.offsets[occurrence]
                for row, part in enumerate((~is_later, is_later)):
                    bits_of[row] += (
                        loss[part & of_onset_and_pitch[targets]].sum() / np.log(2),
                        is_pitch[targets[part]].sum(),
                    )
        divergence += float((np.exp(found["fp32"]) * (found["fp32"] - found["int8"])).sum())
        same_choice += int((found["fp32"].argmax(-1) == found["int8"].argmax(-1)).sum())
        tokens += len(targets)
        notes += int(is_pitch[targets].sum())
    return {
        "stream": stream,
        "split": split,
        "step": decoders["fp32"].metadata["step"],
        "songs": len(lengths),
        "tokens": tokens,
        "notes": notes,
        "nats_per_token": {precision: round(value / tokens, 5) for precision, value in nats.items()},
        "nats_per_note": {precision: round(value / notes, 5) for precision, value in nats_of_notes.items()},
        "bits_per_note_int8": {
            "all": round(float(bits_of[:, 0].sum() / bits_of[:, 1].sum()), 3),
            "first": round(float(bits_of[0, 0] / bits_of[0, 1]), 3),
            "later": round(float(bits_of[1, 0] / bits_of[1, 1]), 3),
        },
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
    parser.add_argument("--songs", type=int, help="the first so many (default: all)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.folder, arguments.corpus, arguments.stream, arguments.split, arguments.songs)
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
