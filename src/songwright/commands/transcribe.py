"""`songwright transcribe`: a recording to MIDI."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recording", type=Path, help="WAV, FLAC, MP3 or Ogg, up to half an hour")
    parser.add_argument("--out", type=Path, help="MIDI file to write (default: beside the recording)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def run(arguments: argparse.Namespace) -> None:
    """Write the notes that are heard; say how many, and how far to trust them."""
    from tqdm import tqdm

    from songwright.errors import OutputError
    from songwright.files.midi import write_midi
    from songwright.files.transcription import TRANSCRIPTION_WARNING, transcribe

    out: Path = arguments.out or arguments.recording.with_suffix(".mid")
    if out.exists() and not arguments.force:
        raise OutputError(f"{out} exists already; choose another --out, or add --force to replace it")
    with tqdm(total=100, desc="transcribe", unit=" %", file=sys.stderr, leave=False, disable=None) as bar:

        def progress(share: float) -> None:
            bar.update(round(share * 100) - bar.n)

        score = transcribe(arguments.recording, progress=progress)
    write_midi(out, score, title=arguments.recording.stem)
    print(f"{score.num_notes:,} notes in {out}")
    print(TRANSCRIPTION_WARNING)
