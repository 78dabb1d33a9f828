"""`songwright styles`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--weights", type=Path, help="folder of your own styles, as songwright export writes them")


def run(arguments: argparse.Namespace) -> None:
    """Print the styles that the installed weights know, or those of a folder."""
    from songwright.composition.weights import list_styles

    styles = list_styles(arguments.weights)
    if arguments.json:
        print(json.dumps({style.name: style.description for style in styles}, indent=1))
        return
    for style in styles:
        print(f"{style.name}  {style.description}")
