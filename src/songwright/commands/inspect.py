"""`songwright inspect`: a corpus as one page with plots."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("corpus", type=Path, help="folder written by songwright prepare")
    parser.add_argument("--out", type=Path, help="the page (default: corpus.html in the corpus)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the ten pieces that are drawn")


def run(arguments: argparse.Namespace) -> None:
    """Write the page; print the counts."""
    from songwright.errors import ConfigError
    from songwright.files.writing import write_whole
    from songwright.preparation.inspection import inspection_page

    if arguments.seed < 0:
        raise ConfigError(f"--seed must not be negative, got {arguments.seed}")
    page, lines = inspection_page(arguments.corpus, seed=arguments.seed)
    out: Path = arguments.out or arguments.corpus / "corpus.html"
    write_whole(out, page.encode(errors="replace"))
    print("\n".join(lines))
    print(f"page in {out}")
