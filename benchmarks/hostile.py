"""Damaged files through the readers and the analysis: what crashes, hangs or fills the memory.

Each real file is damaged (bits flipped, cut off, spliced with another, a stretch overwritten or repeated, digits or
numbers of text changed) and goes through what `songwright prepare` does with a file: reader, analysis, tokens, in a
process that may be lost. It must be accepted or rejected with a reason (`InputError`, `Rejection`). Every file is
number n of a seed and can be made again: `--only n --keep FILE` writes it.

    python benchmarks/hostile.py [--files 10000] [--seed 0] [--workers 1] [--readers-only] [--json FILE]

Files come from the real data (SONGWRIGHT_DATA, or ../shared/data). ABC tunes are made up.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import re
import resource
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from songwright.corpus.reading import read_scores
from songwright.corpus.sources import SourceFile
from songwright.errors import InputError
from songwright.score.elements import Score
from songwright.tokens.score import encode
from songwright.workers import run_isolated

DATA = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
KINDS = {"mid": 0.45, "xml": 0.2, "mxl": 0.1, "wav": 0.15, "flac": 0.02, "mp3": 0.02, "ogg": 0.02, "abc": 0.04}
"""Shares of the kinds of file; `xml` is what is packed in the .mxl files."""
FORMATS = {"mid": "midi", "xml": "musicxml", "mxl": "musicxml", "abc": "abc"}
TIMEOUT_S = 5.0
MEMORY_BYTES = 2**30
ODD_NUMBERS = (b"", b"-1", b"0", b"1e309", b"nan", b"99999999999999999999", b"0.0000001", b"-2147483648", b"16384")
ABC_TUNE = b'X:1\nT:Reel\nM:4/4\nL:1/8\nQ:1/4=120\nK:Dmix\n|:d2ab (3cBA [FA]2 | "G"g4 f>e^d=c :|1 D8 :|2 A,8 |]\n' * 3


@dataclass(frozen=True)
class Task:
    """One file to damage and try."""

    number: int
    seed: int
    folder: str
    readers_only: bool


@dataclass(frozen=True)
class Verdict:
    """What became of a file that neither crashed nor hung."""

    kind: str
    reason: str  # empty if accepted
    seconds: float
    peak_bytes: int


@cache
def sources(kind: str) -> list[Path]:
    if kind in ("xml", "mxl"):
        return sorted((DATA / "openscore_lieder").rglob("*.mxl"))
    if kind == "mid":
        folders = ("POP909", "groove", "simutrans", "freedoom", "tannerhelland", "openewld_midi")
        by_folder = [sorted((DATA / folder).rglob("*.mid")) for folder in folders]
        return [path for files in by_folder for path in files[:: max(len(files) // 100, 1)]]
    return sorted((DATA / "audio_fixtures").glob("*.wav"))


def sound(kind: str, rng: np.random.Generator) -> bytes:
    """Return one to eight seconds of a recording in a format."""
    import soundfile

    files = sources(kind)
    samples, rate = soundfile.read(files[int(rng.integers(len(files)))], dtype="int16")
    begin = int(rng.integers(max(len(samples) - 8 * rate, 1)))
    file = io.BytesIO()
    soundfile.write(file, samples[begin : begin + int(rate * rng.uniform(1, 8))], rate, format=kind.upper())
    return file.getvalue()


def real_bytes(kind: str, rng: np.random.Generator) -> bytes:
    if kind == "abc":
        return ABC_TUNE
    if FORMATS.get(kind) is None:
        return sound(kind, rng)
    files = sources(kind)
    data = files[int(rng.integers(len(files)))].read_bytes()
    if kind == "xml":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            name = next(name for name in archive.namelist() if not name.startswith("META-INF"))
            data = archive.read(name)
    return data


def damage(kind: str, rng: np.random.Generator) -> bytes:
    """Return a real file, damaged in one way (in two, one time in four)."""
    if kind == "mxl" and rng.random() < 0.5:  # else nearly all are stopped by the archive's checksums
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("score.xml", damage("xml", rng))
        return file.getvalue()
    data = real_bytes(kind, rng)
    for _ in range(2 if rng.random() < 0.25 else 1):
        # Numbers stand for nothing in sound, and most changes to XML are stopped by its syntax.
        way = int(rng.integers(5 if kind in ("wav", "flac", "mp3", "ogg") else 8 if kind == "mid" else 10))
        data = damage_once(data, way, lambda: real_bytes(kind, rng), rng)
    return data


def damage_once(data: bytes, way: int, another: Callable[[], bytes], rng: np.random.Generator) -> bytes:
    size = len(data)
    if not size:
        return data
    begin, length = int(rng.integers(size)), int(rng.geometric(0.02))
    if way == 0:  # cut off
        return data[:begin]
    if way == 1:  # spliced
        other = another()
        return (data[:begin] + other[int(rng.integers(max(len(other), 1))) :])[: 2 * size]
    if way == 2:  # repeated
        return data[:begin] + data[begin : begin + length] * 20 + data[begin:]
    array = np.frombuffer(data, dtype=np.uint8).copy()
    if way == 3:  # overwritten
        stretch = array[begin : begin + length]
        stretch[:] = rng.integers(0, 256, len(stretch)) if rng.random() < 0.5 else rng.choice([0, 127, 128, 255])
    elif way < 8:  # bits flipped
        at = rng.integers(size, size=int(rng.choice([1, 2, 8, 64])))
        array[at] ^= (1 << rng.integers(8, size=len(at))).astype(np.uint8)
    elif way == 8:  # digits changed
        is_digit = np.flatnonzero((array >= ord("0")) & (array <= ord("9")))
        some = is_digit[rng.random(len(is_digit)) < rng.choice([0.001, 0.05])]
        array[some] = rng.integers(ord("0"), ord("9") + 1, len(some))
    else:  # numbers replaced
        share = rng.choice([0.001, 0.02])
        return re.sub(
            rb"(?<=>)\d+(?=<)",
            lambda found: ODD_NUMBERS[int(rng.integers(len(ODD_NUMBERS)))] if rng.random() < share else found.group(),
            data,
        )
    return array.tobytes()


def make(number: int, seed: int) -> tuple[str, bytes]:
    """Return the ending and the bytes of a task's file."""
    rng = np.random.default_rng([seed, number])
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    return kind, damage(kind, rng)


def try_file(task: Task) -> Verdict:
    """Take one file through the whole step; what is neither accepted nor rejected is raised."""
    kind, data = make(task.number, task.seed)
    path = Path(task.folder) / f"{os.getpid()}.{kind}"
    path.write_bytes(data)
    began = time.perf_counter()
    reason = ""
    try:
        readings = read_scores(SourceFile("hostile", "hostile/file", path, FORMATS.get(kind, "audio"), "file"))
        if not task.readers_only:
            reason = "; ".join(sorted({judge(reading.score) for reading in readings} - {""}))
    except InputError as error:
        reason = "unreadable: " + str(error).replace(str(path), "FILE")
    seconds = time.perf_counter() - began
    return Verdict(kind, reason, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def judge(score: Score) -> str:
    """Return why a score is not fit to learn from, empty if it is."""
    from songwright.corpus.piece import Piece, analyse

    found = analyse(score)
    if not isinstance(found, Piece):
        return found.reason
    encode(found.score)
    return ""


def plain(reason: str) -> str:
    """Return a reason without what differs from file to file."""
    return re.sub(r"\(.*\)|'[^']*'|[\d.,]*\d", "#", reason)[:110]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--readers-only", action="store_true", help="no analysis and no tokens")
    parser.add_argument("--only", type=int, help="make this one file")
    parser.add_argument("--keep", type=Path, help="where the one file is written")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.only is not None:
        kind, data = make(arguments.only, arguments.seed)
        target = arguments.keep or Path(f"hostile-{arguments.seed}-{arguments.only}.{kind}")
        target.write_bytes(data)
        print(f"{target}: {len(data)} bytes of kind {kind}")
        return
    counts: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    trouble: dict[str, list[str]] = {}
    slowest, peak = (0.0, -1), 0
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tasks = (Task(n, arguments.seed, folder, arguments.readers_only) for n in range(arguments.files))
        outcomes = run_isolated(
            try_file, tasks, num_workers=arguments.workers, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES
        )
        for number, outcome in enumerate(outcomes):
            if outcome.result is None:
                counts[outcome.failure or ""] += 1
                found = trouble.setdefault(f"{outcome.failure}: {outcome.detail}", [])
                found.append(f"{number}.{make(number, arguments.seed)[0]}")
                continue
            verdict = outcome.result
            counts["rejected" if verdict.reason else "accepted"] += 1
            reasons[verdict.kind][plain(verdict.reason) or "accepted"] += 1
            slowest, peak = max(slowest, (verdict.seconds, number)), max(peak, verdict.peak_bytes)
    result = {
        "machine": platform.machine(),
        "files": arguments.files,
        "seed": arguments.seed,
        "step": "readers" if arguments.readers_only else "readers, analysis, tokens",
        "counts": dict(counts),
        "slowest_seconds": round(slowest[0], 2),
        "slowest_file": slowest[1],
        "peak_memory_mb": round(peak / 2**20),
        "wall_seconds": round(time.perf_counter() - began, 1),
        "trouble": {
            problem: f"{len(found)} files, such as {', '.join(found[:5])}" for problem, found in trouble.items()
        },
        "reasons": {kind: dict(found.most_common()) for kind, found in reasons.items()},
    }
    for kind, found in reasons.items():
        print(f"{kind}: {sum(found.values())} files")
        for reason, count in found.most_common(12):
            print(f"    {count:5} {reason}")
    print(json.dumps({key: value for key, value in result.items() if key != "reasons"}, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
