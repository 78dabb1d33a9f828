"""Where the bar lines of a POP909 song are in its MIDI file, from the human labels: the reference of `beats.py`.

The labels count bars from their own first bar; the melody of the MIDI file, read through its beat file, is matched
with the labelled melody, which gives the shift between the two in steps. The shift holds for a stretch of the song
and then jumps where the labels' authors left out stray beats; where in the rest around a jump, the labelled chords
decide. `as_labelled` is that shift as it is; `on_beats` rounds it to whole beats of the beat file, since in 38 songs
the labelled melody lies a sixteenth or two beside the beats (bass and chords fall on the beat file's beats there).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.corpus import pop909
from songwright.errors import InputError
from songwright.files.midi import read_midi
from songwright.score.elements import Score
from songwright.score.timeline import ticks_to_seconds

ROLES = {"MELODY": "melody", "BRIDGE": "other", "PIANO": "chords"}
_CHANGE_COST = 30.0  # of a jump, in sixteenths of disagreement with the notes
MIN_ALIGNED = 0.8


@dataclass(frozen=True)
class Reference:
    """A song with its beats and bar lines in seconds; `score_beats` are those of the published beat file."""

    song_id: str
    score: Score
    beats_per_bar: int
    beats: NDArray[np.float64]
    file_downbeats: NDArray[np.float64]
    on_beats: NDArray[np.float64]
    as_labelled: NDArray[np.float64]

    @property
    def roles(self) -> list[str]:
        """The role of each track, by its name."""
        return [ROLES[track.name] for track in self.score.tracks]


def load(data: Path, song_id: str) -> Reference | None:
    """Return a song with its bar lines; None where the labels do not tell them (damaged, odd metre, no alignment)."""
    song, labels = data / "POP909" / song_id, data / "POP909-phrases" / song_id
    try:
        score = read_midi(song / f"{song_id}.mid")
        table = pop909.read_numbers(song / "beat_midi.txt", 3)
        chords, num_beats = pop909._read_chords(labels / "finalized_chord.txt")
        written = pop909._read_melody(labels / "melody.txt")
        num_bars = sum(map(int, re.findall(r"\d+", (labels / "human_label1.txt").read_text())))
    except (InputError, OSError):
        return None
    beats = table[:, 0]
    beats_per_bar = round(num_beats / num_bars)
    melody = score.track("MELODY")
    if melody is None or beats_per_bar not in (3, 4) or abs(num_beats / num_bars - beats_per_bar) > 0.15:
        return None
    played = pop909.quantize_track(score, melody, beats)
    pairs = _pairs(played["pitch"], written["pitch"])
    if not len(pairs):
        return None
    shift = played["onset_step"][pairs[:, 0]].astype(np.int64) - written["onset_step"][pairs[:, 1]]
    pieces = _pieces(shift)
    if pieces is None or (abs(shift - pieces) <= 3).sum() / max(len(played), len(written)) < MIN_ALIGNED:
        return None
    bar_of = written["onset_step"][pairs[:, 1]] // (12 * beats_per_bar)
    chroma = _played_chroma(score, beats), _written_chroma(chords, num_beats)
    bars = [_bars(score, beats, s, bar_of, beats_per_bar, chroma) for s in (np.floor(pieces / 12 + 0.5) * 12, pieces)]
    return Reference(song_id, score, beats_per_bar, beats, beats[table[:, 2] > 0], *bars)


def _pairs(played: NDArray[np.integer], written: NDArray[np.integer]) -> NDArray[np.int64]:
    if np.array_equal(played, written):
        return np.arange(len(played))[:, None].repeat(2, axis=1)
    matcher = SequenceMatcher(None, played.tolist(), written.tolist(), autojunk=False)
    blocks = [np.arange(b.size)[:, None] + [b.a, b.b] for b in matcher.get_matching_blocks() if b.size > 2]
    return np.concatenate(blocks) if blocks else np.empty((0, 2), dtype=np.int64)


def _pieces(shift: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the shift as stretches of equal multiples of three steps; None if it drifts all the time."""
    values = np.unique(np.rint(shift / 3).astype(np.int64) * 3)
    if len(values) > 60:
        return None
    costs = np.minimum(abs(shift[:, None] - values) / 3, 4.0)
    best, back = costs[0], []
    for row in costs[1:]:
        cheapest = int(best.argmin())
        stays = best <= best[cheapest] + _CHANGE_COST
        back.append(np.where(stays, np.arange(len(values)), cheapest))
        best = np.where(stays, best, best[cheapest] + _CHANGE_COST) + row
    path = [int(best.argmin())]
    for row in reversed(back):
        path.append(int(row[path[-1]]))
    return values[path[::-1]]


def _played_chroma(score: Score, beats: NDArray[np.float64]) -> NDArray[np.float64]:
    notes = np.concatenate([track.notes for track in score.tracks])
    ends = [notes["onset_tick"], notes["onset_tick"] + notes["duration_tick"]]
    onset, offset = (pop909.beats_of_seconds(ticks_to_seconds(score, end), beats) for end in ends)
    chroma = np.zeros((len(beats) + 64, 12))
    for later in range(8):
        beat = np.floor(onset + 0.02).astype(np.int64) + later
        overlap = np.clip(np.minimum(offset, beat + 1) - np.maximum(onset, beat), 0, 1)
        inside = (beat >= 0) & (beat < len(chroma)) & (overlap > 0)
        np.add.at(chroma, (beat[inside], notes["pitch"][inside] % 12), overlap[inside])
    return chroma / np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-9)


def _written_chroma(chords: list[pop909.ChordChange], num_beats: int) -> NDArray[np.float64]:
    chroma = np.zeros((num_beats + 64, 12))
    ends = [change.onset_step // 12 for change in chords[1:]] + [num_beats]
    for change, end in zip(chords, ends, strict=True):
        chroma[change.onset_step // 12 : end, [tone % 12 for tone in change.chord.pitch_classes]] = 1
    return chroma


def _bars(
    score: Score,
    beats: NDArray[np.float64],
    shift: NDArray[np.floating],
    bar_of: NDArray[np.int64],
    beats_per_bar: int,
    chroma: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return the seconds of the bar lines from the first note to the last, the labels' bars continued at both ends."""
    played, written = chroma
    jumps = np.flatnonzero(np.diff(shift)) + 1
    firsts = [0]
    for jump in jumps:
        low, high = max(int(bar_of[jump - 1]) + 1, firsts[-1]), int(bar_of[jump])
        fits = [0.0]
        beat = np.arange(low * beats_per_bar, max(high, low) * beats_per_bar)
        for cut in range(low, max(high, low) + 1):
            at = (beat + np.where(beat < cut * beats_per_bar, shift[jump - 1], shift[jump]) // 12).astype(np.int64)
            inside = (at >= 0) & (at < len(played)) & (beat < len(written))
            fits.append(float((played[at[inside]] * written[beat[inside]]).sum()))
        firsts.append(low + int(np.argmax(fits[1:])) if high > low else high)
    values = shift[np.concatenate([[0], jumps]).astype(np.int64)]
    onsets = np.concatenate([track.notes["onset_tick"] for track in score.tracks])
    span = pop909.beats_of_seconds(ticks_to_seconds(score, [onsets.min(), onsets.max()]), beats) * 12
    length = 12 * beats_per_bar
    numbers = np.arange(int((span[0] - values[0]) // length), int(-((values[-1] - span[1]) // length)) + 1)
    steps = numbers * length + values[np.searchsorted(firsts, np.maximum(numbers, 0), side="right") - 1]
    steps = steps[np.concatenate([[True], np.diff(steps) > 0])] / 12
    inner = np.interp(steps, np.arange(len(beats)), beats)
    inner = np.where(steps < 0, beats[0] + steps * (beats[1] - beats[0]), inner)
    past = steps - (len(beats) - 1)
    return np.where(past > 0, beats[-1] + past * (beats[-1] - beats[-2]), inner)
