"""The command line: one command per stage of the pipeline.

Errors that a user can mend end in one sentence and exit code 2; Ctrl-C ends with 130 and leaves no partial file.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from songwright import __version__
from songwright.errors import SongwrightError

COMMANDS = {
    "compose": "compose a new song: MIDI, sound, sheet music",
    "vary": "write one phrase of a song again, a little or a lot changed",
    "styles": "list the styles that the installed weights know",
    "evaluate": "judge songs against real music: pages, gates, figures",
    "explain": "say what surprised the network in a song, and where each bar comes from",
    "transcribe": "write the notes of a recording as MIDI",
    "sources": "list the collections of music that prepare recognises",
    "prepare": "turn recorded music into a corpus to train on",
    "inspect": "show what a corpus holds as one page with plots",
    "train": "train a network on a corpus",
    "finetune": "make a style of your own from your music and the weights that ship",
    "export": "turn a checkpoint into weights that compose can use",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"songwright: {message}; see {self.prog} --help\n")
        raise SystemExit(2)


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """Return the parser, with the options of `command` only, so that no other command's module is loaded."""
    parser = _Parser(prog="songwright", description="Learn from recorded music, and compose new music.")
    parser.add_argument("--version", action="version", version=f"songwright {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, help_text in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        if name == command:
            importlib.import_module(f"songwright.commands.{name}").add_arguments(subparser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    # Our matrices are small: threads of the linear algebra under NumPy wait for each other more than they work, and
    # twice so where several processes have them. Two cores judge 200 songs in 21 s instead of 46.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = next((word for word in words if word in COMMANDS), None)
    parsed = build_parser(command).parse_args(words)
    try:
        importlib.import_module(f"songwright.commands.{parsed.command}").run(parsed)
        sys.stdout.flush()
    except SongwrightError as error:
        sys.stderr.write(f"songwright: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nsongwright: stopped; nothing was left half-written\n")
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone: leave the interpreter nothing to flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
