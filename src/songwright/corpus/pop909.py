"""POP909 and its phrase labels, read as published.

Knows the two public layouts (music-x-lab/POP909-Dataset and Dsqvival/hierarchical-structure-analysis)
and how to lay one over the other. Melody, chords and form come from the bar-aligned label files; the piano
comes from the MIDI file through its beat file, and is shifted onto the same bars by matching melodies, since the
labels' authors removed stray beats by hand. Returns songs on the grid in C major or A minor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError
from songwright.files.midi import read_midi
from songwright.score.elements import Score, Track
from songwright.score.grid import (
    DURATION_OF_STEPS,
    DURATION_STEPS,
    GRID_NOTE_DTYPE,
    STEPS_PER_BAR,
    STEPS_PER_BEAT,
    STEPS_PER_SIXTEENTH,
    grid_notes,
    quantize_onsets,
)
from songwright.score.lead_sheet import ChordChange, Form, LeadSheet, parse_chord
from songwright.score.pitch import Key
from songwright.score.song import Song
from songwright.score.timeline import ticks_to_seconds

_NEAREST_DURATION = np.array(DURATION_STEPS)[DURATION_OF_STEPS]

MIN_ALIGNED = 0.8
"""Share of melody notes of the MIDI file that must fall where the labels have them, for the piano to be used."""
MAX_BAR_MISMATCH = 2
"""Bars by which form and chords may disagree in length."""


@dataclass(frozen=True)
class LabelledSong:
    """A song of POP909 laid on its phrase labels.

    Attributes
    ----------
    song_id : str
        Three digits, as published.
    song : Song
        In C major or A minor, each phrase normalised by its own key.
    alternative_form : Form
        The second annotator's form, or the first's where its length does not fit.
    keys : tuple of Key
        Original key of each phrase.
    piano_aligned : float
        Share of melody notes on which the MIDI file and the labels agree, 0 to 1; below MIN_ALIGNED the piano is empty.
    """

    song_id: str
    song: Song
    alternative_form: Form
    keys: tuple[Key, ...]
    piano_aligned: float


def song_ids(root: Path) -> list[str]:
    """Return the ids of the songs in a folder of POP909 (three-digit folders), sorted."""
    return sorted(path.name for path in root.iterdir() if re.fullmatch(r"\d{3}", path.name) and path.is_dir())


def load_songs(root: Path, labels: Path) -> Iterator[LabelledSong | tuple[str, str]]:
    """Yield each song, or (song id, reason) for a song that cannot be used."""
    for song_id in song_ids(root):
        try:
            yield load_song(root / song_id, labels / song_id)
        except InputError as error:
            yield song_id, str(error)


def load_song(song_dir: Path, labels_dir: Path) -> LabelledSong:
    """Read one song.

    Parameters
    ----------
    song_dir : Path
        Folder `NNN` of POP909, holding `NNN.mid`, `beat_midi.txt`, `beat_audio.txt`.
    labels_dir : Path
        Folder `NNN` of the phrase labels, holding `melody.txt`, `finalized_chord.txt`, `human_label1.txt`, …

    Raises
    ------
    InputError
        If a file is missing or damaged, the song is not in 4/4, or its labels contradict each other.
    """
    song_id = song_dir.name
    if _beats_per_bar(song_dir / "beat_audio.txt") != 4:
        raise InputError(f"{song_id}: not in 4/4")
    form = _read_form(labels_dir / "human_label1.txt")
    chords, chord_beats = _read_chords(labels_dir / "finalized_chord.txt")
    melody = _read_melody(labels_dir / "melody.txt")
    tempo_qpm = float(read_numbers(labels_dir / "tempo.txt", 1)[:1].sum())
    if tempo_qpm <= 0:
        raise InputError(f"{labels_dir / 'tempo.txt'}: expected a tempo in quarter notes per minute")
    if abs(chord_beats / 4 - form.num_bars) > MAX_BAR_MISMATCH:
        raise InputError(f"{song_id}: the form has {form.num_bars} bars, the chords {chord_beats / 4:g}")
    form = _with_last_bars(form, -(-chord_beats // 4))
    end_step = form.num_bars * STEPS_PER_BAR
    chords = [change for change in chords if change.onset_step < end_step]
    melody = _clip(melody, end_step)
    if len(melody) < 16:
        raise InputError(f"{song_id}: the melody has only {len(melody)} notes")
    if not chords:
        raise InputError(f"{song_id}: there are no chords")
    piano, aligned = _read_piano(song_dir, melody, end_step)

    keys = _phrase_keys(_read_keys(labels_dir / "analyzed_key.txt"), form, melody, chords)
    shift = np.repeat([key.semitones_to_normal for key in keys], [phrase.num_bars for phrase in form.phrases])
    melody["pitch"] += shift[melody["onset_step"] // STEPS_PER_BAR].astype(np.int16)
    piano["pitch"] += shift[piano["onset_step"] // STEPS_PER_BAR].astype(np.int16)
    chords = [
        ChordChange(change.onset_step, change.chord.transpose(int(shift[change.onset_step // STEPS_PER_BAR])))
        for change in chords
    ]
    num_minor = sum(phrase.num_bars for key, phrase in zip(keys, form.phrases, strict=True) if key.is_minor)
    is_minor = num_minor * 2 > form.num_bars
    lead_sheet = LeadSheet(Key(9 if is_minor else 0, is_minor), tempo_qpm, form, tuple(chords), melody)
    alternative = form
    second = labels_dir / "human_label2.txt"
    if second.exists():
        candidate = _with_last_bars(_read_form(second), form.num_bars)
        alternative = candidate if candidate.num_bars == form.num_bars else form
    return LabelledSong(song_id, Song(lead_sheet, piano), alternative, keys, aligned)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error.__class__.__name__})") from error


def _beats_per_bar(path: Path) -> int:
    numbers = read_numbers(path, 2)[:, 1]
    return int(numbers.max()) if len(numbers) else 0


def read_numbers(path: Path, num_columns: int) -> NDArray[np.float64]:
    """Return the first columns of a table of numbers, shape (num_lines, num_columns).

    Raises
    ------
    InputError
        If the file cannot be read, or a line has too few numbers or one that is not finite.
    """
    rows = [line.split(None, num_columns)[:num_columns] for line in _read_text(path).splitlines() if line.strip()]
    try:
        if any(len(row) != num_columns for row in rows):
            raise ValueError("a number is missing")
        table = np.array([float(word) for row in rows for word in row]).reshape(-1, num_columns)
        if not np.isfinite(table).all():
            raise ValueError("a number is not finite")
    except ValueError as error:
        raise InputError(f"{path}: expected {num_columns} columns of numbers; restore the published file") from error
    return table


def _read_form(path: Path) -> Form:
    # Letters past E occur in a handful of songs; they return rarely and are treated as one-off phrases.
    text = re.sub(r"[F-WYZ]", "X", _read_text(path).strip())
    text = re.sub(r"[aefghj-np-wyz]", "x", text)
    try:
        return Form.parse(text)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _with_last_bars(form: Form, num_bars: int) -> Form:
    """Return the form with its last phrase lengthened to `num_bars`, where it lacks up to MAX_BAR_MISMATCH bars.

    In 483 of 791 songs the chords run on past the labels, in 205 the last chord starts there: the final chord.
    """
    missing = num_bars - form.num_bars
    if not 0 < missing <= MAX_BAR_MISMATCH:
        return form
    *others, last = form.phrases
    try:
        return Form((*others, last._replace(num_bars=last.num_bars + missing)))
    except ValueError:  # a phrase as long as phrases may be
        return form


def _read_chords(path: Path) -> tuple[list[ChordChange], int]:
    """Return chord changes (repeats merged) and the total length in beats."""
    changes: list[ChordChange] = []
    beat = 0
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        # A no-chord line has no root (`N []  7`); two files hold a stray control character.
        match = re.fullmatch(r"(\S+?(?:, ?\d+\))?)\s*\[.*\]\s*(?:\d+\s+)?(\d+)\s*", line.replace("\x01", ""))
        try:
            chord = parse_chord(match.group(1)) if match else None
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
        if match is None:
            raise InputError(f"{path}, line {number}: expected 'chord [tones] root beats', found {line.strip()!r}")
        if chord is not None and not (changes and changes[-1].chord == chord):
            changes.append(ChordChange(beat * STEPS_PER_BEAT, chord))
        beat += int(match.group(2))
    return changes, beat


def _read_melody(path: Path) -> NDArray[np.void]:
    table = read_numbers(path, 2)
    if table.size and not (table.min() >= 0 and table.max() < 2**15):
        raise InputError(f"{path}: expected pitches and lengths in sixteenths; restore the published file")
    table = table.astype(np.int64)
    pitch, length = table[:, 0], table[:, 1] * STEPS_PER_SIXTEENTH
    onset = np.cumsum(length) - length
    sounding = pitch > 0
    return grid_notes(onset[sounding], _snap(length[sounding]), pitch[sounding])


def _snap(length: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the nearest known duration that is no longer than each length in steps."""
    index = np.searchsorted(np.array(DURATION_STEPS), length, side="right") - 1
    return np.array(DURATION_STEPS)[np.maximum(index, 0)]


def _clip(notes: NDArray[np.void], end_step: int) -> NDArray[np.void]:
    """Return the notes that start before `end_step`, shortened to end by it."""
    kept = notes[(notes["onset_step"] >= 0) & (notes["onset_step"] + DURATION_STEPS[0] <= end_step)].copy()
    kept["duration_step"] = _snap(np.minimum(kept["duration_step"], end_step - kept["onset_step"]))
    return kept


def _read_keys(path: Path) -> list[Key]:
    try:
        keys = [Key.parse(line) for line in _read_text(path).splitlines() if line.strip()]
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if not keys:
        raise InputError(f"{path}: names no key")
    return list(dict.fromkeys(keys))


def _phrase_keys(keys: list[Key], form: Form, melody: NDArray[np.void], chords: list[ChordChange]) -> tuple[Key, ...]:
    """Return the key of each phrase: the best path through the song's keys, with a cost for each change."""
    if len(keys) == 1:
        return (keys[0],) * len(form.phrases)
    melody_bar = melody["onset_step"] // STEPS_PER_BAR
    scores = np.zeros((len(form.phrases), len(keys)))
    for row, (start, phrase) in enumerate(zip(form.start_bars, form.phrases, strict=True)):
        inside = (melody_bar >= start) & (melody_bar < start + phrase.num_bars)
        pitch_classes = melody["pitch"][inside] % 12
        tones = [
            tone
            for change in chords
            if start <= change.onset_step // STEPS_PER_BAR < start + phrase.num_bars
            for tone in change.chord.pitch_classes
        ]
        for column, key in enumerate(keys):
            outside = sum(int(pc) not in key.pitch_classes for pc in pitch_classes)
            outside += sum(tone not in key.pitch_classes for tone in tones)
            tonic_chords = sum(tone == key.tonic for tone in tones)
            scores[row, column] = 0.1 * tonic_chords - outside
    change_cost = 6.0
    best = scores[0]
    back: list[NDArray[np.intp]] = []
    for row in scores[1:]:
        step = best[:, None] - change_cost * (1 - np.eye(len(keys)))
        back.append(step.argmax(axis=0))
        best = step.max(axis=0) + row
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return tuple(keys[index] for index in reversed(path))


def beats_of_seconds(seconds: NDArray[np.floating], beat_times: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return times as beats (beat 0 at `beat_times[0]`), going on at the outer beats' pace beyond both ends."""
    beats = np.interp(seconds, beat_times, np.arange(len(beat_times)))
    first, last = beat_times[1] - beat_times[0], beat_times[-1] - beat_times[-2]
    beats = np.where(seconds < beat_times[0], (seconds - beat_times[0]) / first, beats)
    return np.where(seconds > beat_times[-1], len(beat_times) - 1 + (seconds - beat_times[-1]) / last, beats)


def quantize_track(score: Score, track: Track, beat_times: NDArray[np.floating]) -> NDArray[np.void]:
    """Return a track on the grid, in steps from the bar line four beats or more before its first note.

    Onsets are moved by whole bars to be positive, durations rounded to the nearest known value.
    """
    notes = track.notes
    if not len(notes):
        return np.empty(0, dtype=GRID_NOTE_DTYPE)
    ends = np.concatenate([notes["onset_tick"], notes["onset_tick"] + notes["duration_tick"]])
    beats = beats_of_seconds(ticks_to_seconds(score, ends), beat_times)
    lead_in = 4 * np.ceil(max(0.0, -float(beats[0]) / 4))  # notes are sorted: the first is the earliest
    onset_beat, offset_beat = np.split(beats + lead_in, 2)
    onset_beat = np.maximum(onset_beat, 0)
    onset = quantize_onsets(onset_beat) - int(lead_in) * STEPS_PER_BEAT
    length = np.rint((offset_beat - onset_beat) * STEPS_PER_BEAT).astype(np.int64)
    length = np.minimum(np.maximum(length, 1), DURATION_STEPS[-1])
    return grid_notes(onset, _NEAREST_DURATION[length], notes["pitch"])


def _read_piano(song_dir: Path, melody: NDArray[np.void], end_step: int) -> tuple[NDArray[np.void], float]:
    """Return the PIANO track on the labels' bars, and the share of melody notes that agree."""
    score = read_midi(song_dir / f"{song_dir.name}.mid")
    beat_times = read_numbers(song_dir / "beat_midi.txt", 1)[:, 0]
    if (np.diff(beat_times) <= 0).any():
        raise InputError(f"{song_dir / 'beat_midi.txt'}: the beats are not in order; restore the published file")
    midi_melody, piano_track = score.track("MELODY"), score.track("PIANO")
    if midi_melody is None or piano_track is None or len(beat_times) < 8:
        raise InputError(f"{song_dir.name}: expected tracks MELODY and PIANO and at least 8 beats")
    played = quantize_track(score, midi_melody, beat_times)
    piano = quantize_track(score, piano_track, beat_times)
    shift, position, aligned = _alignment(played, melody)
    if aligned < MIN_ALIGNED:
        return np.empty(0, dtype=GRID_NOTE_DTYPE), aligned
    # Each stretch of equal shift starts on the bar line before its first melody note.
    starts = np.flatnonzero(np.diff(shift, prepend=shift[0] - 1))
    bounds = [-(10**9)] + [
        (int(position[i] - shift[i]) // STEPS_PER_BAR) * STEPS_PER_BAR + int(shift[i]) for i in starts[1:]
    ]
    parts = []
    for begin, end, index in zip(bounds, [*bounds[1:], 10**9], starts, strict=True):
        part = piano[(piano["onset_step"] >= begin) & (piano["onset_step"] < end)].copy()
        part["onset_step"] -= shift[index]
        if parts and len(parts[-1]):
            parts[-1] = parts[-1][parts[-1]["onset_step"] < begin - shift[index]]
        parts.append(part)
    moved = _clip(np.concatenate(parts), end_step)
    # One note of a pitch at an onset: the longest.
    order = np.lexsort((-moved["duration_step"], moved["pitch"], moved["onset_step"]))
    moved = moved[order]
    same = (np.diff(moved["onset_step"], prepend=-1) == 0) & (np.diff(moved["pitch"], prepend=-1) == 0)
    return moved[~same], aligned


def labelled_phase(score: Score, beat_times: NDArray[np.floating], labels_dir: Path) -> int | None:
    """Return the beat, 0 to 3, on which bars start by the labels through most of a song in 4/4; None if unclear.

    Parameters
    ----------
    score : Score
        Of `NNN.mid`.
    beat_times : ndarray, shape (num_beats,)
        Of `beat_midi.txt`, in seconds.
    labels_dir : Path

    Raises
    ------
    InputError
        If the labelled melody is missing or damaged.
    """
    melody = score.track("MELODY")
    if melody is None:
        return None
    shift, _, aligned = _alignment(quantize_track(score, melody, beat_times), _read_melody(labels_dir / "melody.txt"))
    if aligned < MIN_ALIGNED:
        return None
    return int(np.bincount(np.rint(shift / STEPS_PER_BEAT).astype(np.int64) % 4, minlength=4).argmax())


def _alignment(
    played: NDArray[np.void], written: NDArray[np.void]
) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Return for each matched note its smoothed shift (played - written, steps) and onset, and the share that fits."""
    if np.array_equal(played["pitch"], written["pitch"]):
        pairs = np.arange(len(played))[:, None].repeat(2, axis=1)
    else:
        matcher = SequenceMatcher(None, played["pitch"].tolist(), written["pitch"].tolist(), autojunk=False)
        blocks = [
            np.arange(block.size)[:, None] + [block.a, block.b]
            for block in matcher.get_matching_blocks()
            if block.size > 2
        ]
        if not blocks:
            return np.zeros(1, np.int64), np.zeros(1, np.int64), 0.0
        pairs = np.concatenate(blocks)
    position = played["onset_step"][pairs[:, 0]].astype(np.int64)
    shift = position - written["onset_step"][pairs[:, 1]]
    # Shifts are whole beats or sixteenths that hold for many notes: a running median removes stray rounding.
    half = 4
    padded = np.pad(shift, half, mode="edge")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1).astype(np.int64)
    fits = np.abs(shift - smooth) <= STEPS_PER_SIXTEENTH
    return smooth, position, float(fits.sum()) / max(len(played), len(written))
