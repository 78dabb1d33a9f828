"""Digests of the files of the known collections as published, by which `prepare` tells whether a copy is complete.

    python benchmarks/known_files.py FOLDER...      writes src/songwright/corpus/known_files.npz

FOLDER holds the collections as downloaded, one below another (such as ../shared/data), or is one. A collection found
in several folders is taken from all of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from songwright.corpus import sources


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    found: dict[str, set[int]] = {}
    for folder in parser.parse_args().folders:
        for file in sources.find_files(folder):
            if file.source in sources.SOURCES:
                found.setdefault(file.source, set()).add(sources.file_digest(file.path))
    arrays = {name: np.sort(np.fromiter(digests, np.uint64)) for name, digests in sorted(found.items())}
    np.savez(Path(sources.__file__).with_name("known_files.npz"), **arrays)
    for name, digests in found.items():
        print(f"{name}: {len(digests):,} files, checksum {sources.checksum(digests)}")


if __name__ == "__main__":
    main()
