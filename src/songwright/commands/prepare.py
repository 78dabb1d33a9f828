"""`songwright prepare`: recorded music to a corpus."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("path", type=Path, help="a clone of POP909 (the folder with 001, 002, ...)")
    parser.add_argument(
        "--labels", type=Path, help="its phrase labels (NNN/human_label1.txt); found beside it by default"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")
    parser.add_argument("--force", action="store_true", help="replace an existing corpus")


def run(arguments: argparse.Namespace) -> None:
    """Write the corpus and say what was left out and why."""
    from tqdm import tqdm

    from songwright.errors import ConfigError, OutputError
    from songwright.tokens.packing import prepare_pop909

    out: Path = arguments.out
    if arguments.workers is not None and arguments.workers < 1:
        raise ConfigError(f"--workers must be at least 1, got {arguments.workers}")
    if out.exists() and not arguments.force:
        raise OutputError(f"{out} exists already; choose another --out, or add --force to replace it")
    target = out.resolve()
    temporary, old = (target.parent / f".{target.name}.{os.getpid()}.{name}" for name in ("tmp", "old"))
    try:
        # Only a corpus, or an empty folder, is replaced: the folder goes with all that is in it.
        if out.exists() and not (out / "manifest.json").is_file() and not (out.is_dir() and not os.listdir(out)):
            raise OutputError(f"{out} is no corpus, so it is not replaced; choose another --out")
        temporary.mkdir(parents=True, exist_ok=True)
        with tqdm(desc="prepare", unit=" songs", file=sys.stderr, leave=False, disable=None) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            manifest = prepare_pop909(
                arguments.path, temporary, labels=arguments.labels, num_workers=arguments.workers, progress=progress
            )
        if target.exists():
            target.rename(old)
        temporary.rename(target)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)
    songs, left_out = manifest["songs"], manifest["left_out"]
    print(f"{sum(map(len, songs.values()))} songs: " + ", ".join(f"{len(ids)} {split}" for split, ids in songs.items()))
    for name, stream in manifest["streams"].items():
        print(f"{name}: {sum(stream['tokens'].values()):,} tokens")
    if left_out:
        print(f"left out: {len(left_out)}")
        for reason in left_out.values():
            print(f"  {reason}")
    print(f"corpus in {out}")
