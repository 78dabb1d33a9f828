"""Preparing a corpus: files a second with all the analysis, growth with the number of files, memory.

    python benchmarks/preparing.py speed [--files 400]
    python benchmarks/preparing.py growth [--counts 1000 10000 50000] [--workers 1]

`speed` reads unknown MIDI files (POP909's versions, OpenEWLD, the band sets; nothing known of their beats) in one
process: notes, roles, beats, grid, key, chords, phrases, fingerprint and score tokens, file by file. `growth` runs
`songwright prepare` on copies of the same files, each with five per cent of its notes left out and moved by some
semitones, so that the notes are never the same twice. Real music from SONGWRIGHT_DATA or ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from songwright.corpus.sources import SourceFile, find_files
from songwright.files.midi import read_midi, write_midi
from songwright.preparation.records import read_records
from songwright.preparation.settings import CorpusConfig
from songwright.score.elements import Score, Track

DATA = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))


def unknown_files() -> list[SourceFile]:
    files = [file for file in find_files(DATA) if file.format == "midi" and file.source != "groove"]
    random.Random(0).shuffle(files)
    return files


def speed(num_files: int) -> dict[str, object]:
    files, config = unknown_files()[:num_files], CorpusConfig(streams=("score",))
    for file in files[:10]:
        read_records(file, config)
    began, processor = time.perf_counter(), time.process_time()
    records = [record for file in files for record in read_records(file, config)]
    processor, wall = time.process_time() - processor, time.perf_counter() - began
    return {
        "files": len(files),
        "notes": sum(record.row.get("notes", 0) for record in records),
        "left_out": sum(record.row["status"] != "ok" for record in records),
        "files_per_second": round(len(files) / wall, 1),
        "files_per_processor_second": round(len(files) / processor, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def edited(score: Score, rng: np.random.Generator) -> Score:
    shift = int(rng.integers(-5, 7))
    tracks = []
    for track in score.tracks:
        notes = track.notes[rng.random(len(track.notes)) > 0.05].copy()
        if not track.is_drum:
            notes["pitch"] = np.clip(notes["pitch"] + shift, 0, 127)
        tracks.append(Track(track.name, notes, track.program, track.is_drum))
    return Score(score.ticks_per_quarter, tuple(tracks), score.tempos, score.time_signatures, score.key_signatures)


def write_copies(folder: Path, count: int) -> None:
    scores = [read_midi(file.path) for file in unknown_files()[:1000]]
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.mid"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_midi(path, edited(scores[number % len(scores)], np.random.default_rng(number)))


RUN = """
import resource, sys
from songwright.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def growth(counts: list[int], workers: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for count in counts:
        folder = Path(tempfile.mkdtemp(prefix="growth"))
        try:
            write_copies(folder / "music", count)
            words = ["prepare", str(folder / "music"), "--out", str(folder / "corpus"), "--workers", str(workers)]
            words += ["--set", 'streams=["score"]']
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=True)
            wall = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            main_kb, worker_kb = map(int, done.stdout.split()[-2:])
            rows.append(
                {
                    "files": count,
                    "ms_a_file": round(wall / count * 1000, 2),
                    "processor_ms_a_file": round(processor / count * 1000, 2),
                    "memory_mb": round(main_kb / 1024),
                    "memory_of_a_worker_mb": round(worker_kb / 1024),
                    "corpus_mb": round(sum(path.stat().st_size for path in folder.glob("corpus/**/*")) / 2**20),
                    "load": round(os.getloadavg()[0], 1),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
        finally:
            shutil.rmtree(folder)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "growth"))
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    print(platform.processor() or platform.machine())
    if arguments.what == "speed":
        print(json.dumps(speed(arguments.files), indent=1))
    else:
        growth(arguments.counts, arguments.workers)


if __name__ == "__main__":
    main()
