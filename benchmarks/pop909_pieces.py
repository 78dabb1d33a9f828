"""POP909 as pieces on the grid with its key and chord labels, for the measurements of keys and chords.

Reads each song's MIDI (MELODY, BRIDGE, PIANO) through its beat file and lays it on the bars of the human phrase labels
by matching melodies, since the labels' authors removed stray beats by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.corpus.pop909 import beats_of_seconds, quantize_track, read_numbers, song_ids
from songwright.corpus.splits import split_of
from songwright.errors import InputError
from songwright.files.midi import read_midi
from songwright.score.grid import STEPS_PER_BEAT, STEPS_PER_SIXTEENTH
from songwright.score.grid_score import TRACK_NOTE_DTYPE, GridScore, GridTrack, Meter
from songwright.score.pitch import Key

ROLES = {"MELODY": "melody", "BRIDGE": "other", "PIANO": "chords"}
VARIANTS = {"whole": tuple(ROLES), "melody": ("MELODY",), "piano": ("PIANO",)}
MIN_ALIGNED = 0.8
"""Share of melody notes that must fall where the labels have them, for the chord labels to be used."""

Segment = tuple[float, float, str]
"""Start and end in steps, and a chord label."""


@dataclass(frozen=True)
class Piece:
    """A song on its labels' bars, and its labels."""

    song_id: str
    score: GridScore
    keys: tuple[Key, ...]
    key_changes: tuple[tuple[float, Key], ...]
    chords: dict[str, list[Segment]]
    aligned: float

    @property
    def split(self) -> str:
        """Side of the split."""
        return split_of(self.song_id)

    def part(self, names: Sequence[str]) -> GridScore:
        """Return the piece with the tracks of these names alone."""
        return replace(self.score, tracks=tuple(track for track in self.score.tracks if track.name in names))


def load_piece(song: Path, labels: Path) -> Piece:
    meter = Meter(0, int(read_numbers(song / "beat_audio.txt", 2)[:, 1].max()), 4)
    score = read_midi(song / f"{song.name}.mid")
    beats = read_numbers(song / "beat_midi.txt", 1)[:, 0]
    played = {name: quantize_track(score, score.track(name), beats) for name in ROLES}  # type: ignore[arg-type]
    written = read_numbers(labels / "melody.txt", 2).astype(np.int64)
    onset = (np.cumsum(written[:, 1]) - written[:, 1]) * STEPS_PER_SIXTEENTH
    chords = read_chords(labels / "finalized_chord.txt")
    bounds, shift, aligned = align(played["MELODY"], written[:, 0], onset, meter.bar_steps)

    def move(step: NDArray[Any]) -> NDArray[Any]:
        return step - shift[np.searchsorted(bounds, step, side="right") - 1]

    tracks = []
    for name, notes in played.items():
        moved = np.zeros(len(notes), dtype=TRACK_NOTE_DTYPE)
        moved["onset_step"] = move(notes["onset_step"])
        moved["duration_step"], moved["pitch"], moved["velocity"] = notes["duration_step"], notes["pitch"], 80
        inside = (moved["onset_step"] >= 0) & ((moved["onset_step"] < chords[-1][1]) | (aligned < MIN_ALIGNED))
        moved = moved[inside]
        moved = moved[np.lexsort((-moved["duration_step"], moved["pitch"], moved["onset_step"]))]
        same = (np.diff(moved["onset_step"], prepend=-1) == 0) & (np.diff(moved["pitch"], prepend=-1) == 0)
        tracks.append(GridTrack(name, moved[~same], ROLES[name]))
    ends = [int((track.notes["onset_step"] + track.notes["duration_step"]).max(initial=0)) for track in tracks]
    num_bars = -(-max(*ends, int(chords[-1][1])) // meter.bar_steps)
    lines = (labels / "analyzed_key.txt").read_text().splitlines()
    key_rows = [line.split() for line in (song / "key_audio.txt").read_text().splitlines() if line.strip()]
    key_steps = move(beats_of_seconds(np.array([float(row[0]) for row in key_rows]), beats) * STEPS_PER_BEAT)
    found = {"finalized_chord": chords}
    for name in ("chord_midi", "chord_audio"):
        rows = [line.split() for line in (song / f"{name}.txt").read_text().splitlines() if line.strip()]
        # The end is looked up just before it, on the same side of a stray beat as what it ends.
        times = np.array([[float(row[0]), float(row[1]) - 1e-4] for row in rows])
        steps = move(beats_of_seconds(times.reshape(-1), beats) * STEPS_PER_BEAT).reshape(-1, 2)
        found[name] = in_order((start, end, row[2]) for (start, end), row in zip(steps.tolist(), rows, strict=True))
    return Piece(
        song.name,
        GridScore(tuple(tracks), num_bars, (meter,)),
        tuple(dict.fromkeys(Key.parse(line) for line in lines if line.strip())),
        tuple((float(step), Key.parse(row[2])) for step, row in zip(key_steps, key_rows, strict=True)),
        found,
        aligned,
    )


def read_chords(path: Path) -> list[Segment]:
    segments: list[Segment] = []
    step = 0
    for line in path.read_text().splitlines():
        match = re.fullmatch(r"(\S+?)(?:, ?\d+\))?\s*\[.*\]\s*(?:\d+\s+)?(\d+)\s*", line.replace("\x01", ""))
        if match:
            segments.append((step, step + int(match.group(2)) * STEPS_PER_BEAT, match.group(1)))
            step = int(segments[-1][1])
        elif line.strip():
            raise InputError(f"{path}: cannot read {line!r}")
    return [segment for segment in segments if segment[1] > segment[0]]


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    kept: list[Segment] = []
    now = 0.0
    for start, end, label in segments:
        if end > max(start, now):
            kept.append((max(start, now), end, label))
            now = end
    return kept


def align(
    played: NDArray[np.void], pitch: NDArray[np.int64], onset: NDArray[np.int64], bar_steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Return from which played step on which shift brings notes to the labels' bars, and the share that fits."""
    onset, pitch = onset[pitch > 0], pitch[pitch > 0]
    matcher = SequenceMatcher(None, played["pitch"].tolist(), pitch.tolist(), autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if block.size > 2]
    if not blocks:
        return np.array([-(10**9)]), np.array([0]), 0.0
    pairs = np.concatenate([np.arange(block.size)[:, None] + [block.a, block.b] for block in blocks])
    position = played["onset_step"][pairs[:, 0]].astype(np.int64)
    shift = position - onset[pairs[:, 1]]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(shift, 4, mode="edge"), 9)
    smooth = np.median(windows, axis=1).astype(np.int64)
    share = float((np.abs(shift - smooth) <= STEPS_PER_SIXTEENTH).sum()) / max(len(played), len(pitch))
    first = np.flatnonzero(np.diff(smooth, prepend=smooth[0] - 1))
    bounds = (position[first] - smooth[first]) // bar_steps * bar_steps + smooth[first]
    bounds[0] = -(10**9)
    return bounds, smooth[first], share


def load_pieces(data: Path) -> list[Piece]:
    pieces = []
    for song_id in song_ids(data / "POP909"):
        try:
            pieces.append(load_piece(data / "POP909" / song_id, data / "POP909-phrases" / song_id))
        except (InputError, ValueError) as error:
            print(f"left out: {song_id} ({error})")
    return pieces


def pitch_class_weights(score: GridScore) -> NDArray[np.float64]:
    notes = score.notes_of()
    total = np.bincount(notes["pitch"] % 12, notes["duration_step"], minlength=12)
    return total / max(total.sum(), 1)


def number_of(key: Key) -> int:
    return key.tonic * 2 + key.is_minor
