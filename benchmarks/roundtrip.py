"""Score to tokens and back on the grid, for every file of every MIDI source: exact or not.

Each file is read, cleaned and laid on a grid: POP909's recordings on their beat files, the others on their own ticks
and metres. Then the piece that tokens decode to must equal its canonical form in every field, the decoded piece must
encode to the same tokens, and each note must be found where `note_index` and `note_order` say.

    python benchmarks/roundtrip.py [--every 1] [--json FILE]

Files come from the real data (SONGWRIGHT_DATA, or ../shared/data).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np

from songwright.analysis.notes import clean_notes
from songwright.analysis.quantization import quantize
from songwright.analysis.roles import track_roles
from songwright.corpus.reading import read_scores
from songwright.corpus.sources import find_files
from songwright.errors import InputError
from songwright.score.elements import Score
from songwright.score.grid_score import BeatGrid, GridScore, Meter
from songwright.tokens.score import canonical, decode, encode, note_index, note_order
from songwright.tokens.score_vocabulary import DRUM_0, PITCH_0

DATA = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
SOURCES = ("POP909", "groove", "simutrans", "freedoom", "tannerhelland", "openewld_midi")


def grid_of_ticks(score: Score) -> BeatGrid:
    """Return the file's own quarter notes, with its time signatures from the bar lines nearest to them."""
    num_quarters = score.end_tick // score.ticks_per_quarter + 2
    meters = [Meter(0)]
    step = 0  # where the last metre begins
    for tick, numerator, denominator in score.time_signatures:
        last = meters[-1]
        bars = max(round((tick * 12 / score.ticks_per_quarter - step) / last.bar_steps), 0)
        if bars == 0:
            meters.pop()
        step += bars * last.bar_steps
        meters.append(Meter(last.bar + bars, numerator, denominator))
    return BeatGrid(np.arange(num_quarters, dtype=np.float64) * score.ticks_per_quarter, tuple(meters))


def content(piece: GridScore) -> tuple[object, ...]:
    tracks = [(part.name, part.role, part.program, part.is_drum, part.notes.tobytes()) for part in piece.tracks]
    return tracks, piece.num_bars, piece.meters, piece.tempos


def problems(piece: GridScore) -> tuple[list[str], int]:
    """Return what the way to tokens and back changed, and how many tokens there are."""
    tokens = encode(piece)
    back = decode(tokens)
    found: list[str] = []
    if content(back) != content(canonical(piece)):
        found.append("the decoded piece differs")
    if not np.array_equal(encode(back), tokens):
        found.append("the decoded piece has other tokens")
    pitch = np.concatenate([part.notes["pitch"] for part in piece.tracks]) if piece.tracks else np.zeros(0, np.int16)
    spelled = tokens[note_index(tokens)]
    if not np.array_equal(spelled - np.where(spelled >= DRUM_0, DRUM_0, PITCH_0), pitch[note_order(piece)]):
        found.append("a note is not where note_index says")
    return found, len(tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take one file in so many")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, dict[str, object]] = {}
    began = time.perf_counter()
    for source in SOURCES:
        counts: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        different: list[str] = []
        for file in find_files(DATA / source)[:: arguments.every]:
            counts["files"] += 1
            try:
                reading = read_scores(file)[0]
                score, _ = clean_notes(reading.score)
                grid = reading.grid or grid_of_ticks(score)
                piece = quantize(score, grid, track_roles(score)).grid_score
                found, num_tokens = problems(piece)
            except InputError as error:
                reasons[str(error).partition(": ")[2] or str(error)] += 1
                continue
            counts["exact"] += not found
            counts["notes"] += piece.num_notes
            counts["tokens"] += num_tokens
            counts["bars"] += piece.num_bars
            different += [f"{file.piece_id}: {problem}" for problem in found]
        result[source] = {
            **counts,
            "tokens_per_note": round(counts["tokens"] / max(counts["notes"], 1), 3),
            "refused": dict(reasons),
            "different": different[:10],
        }
        print(source, json.dumps(result[source]), flush=True)
    print(f"{time.perf_counter() - began:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
