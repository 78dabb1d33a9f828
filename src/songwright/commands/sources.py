"""`songwright sources`: the collections that prepare recognises."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    del parser


def run(arguments: argparse.Namespace) -> None:
    """Print name, contents, licence and address of each collection."""
    del arguments
    from songwright.corpus.sources import FORMATS, SOURCES, checksum, known_digests

    for source in SOURCES.values():
        known = known_digests(source.name)
        print(f"{source.name}: {source.title}\n  {source.contents}\n  licence: {source.licence}\n  {source.url}")
        print(f"  checksum {checksum(known)} of {len(known):,} files")
    print(f"and any folder of music: {' '.join(FORMATS)}")
