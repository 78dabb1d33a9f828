"""A file of any known format to scores in ticks, with what the collection knows of its beats.

Chooses the reader of `files` by the kind of file; music in it is judged by `corpus.piece`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from songwright.corpus.pop909 import beats_of_seconds, labelled_phase, read_numbers
from songwright.corpus.sources import SourceFile
from songwright.errors import InputError
from songwright.files.midi import read_midi
from songwright.score.elements import Score
from songwright.score.grid_score import BeatGrid, Meter
from songwright.score.timeline import seconds_to_ticks


@dataclass(frozen=True)
class Reading:
    """One score of a file.

    Attributes
    ----------
    title : str
        Empty where the file has none.
    score : Score
    grid : BeatGrid or None
        Beats where they are known.
    warning : str
        What a user should know of how it was read; empty if nothing.
    """

    title: str
    score: Score
    grid: BeatGrid | None = None
    warning: str = ""


def read_scores(file: SourceFile, *, apply_sustain: bool = True) -> list[Reading]:
    """Return the scores in a file: one, or every tune of an ABC tune book.

    Parameters
    ----------
    file : SourceFile
        Not of format `billboard`, which holds no notes.
    apply_sustain : bool
        Whether the sustain pedal lengthens the notes of MIDI files.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    if file.format == "midi":
        return [Reading("", read_midi(file.path, apply_sustain=apply_sustain))]
    if file.format == "pop909":
        score = read_midi(file.path, apply_sustain=apply_sustain)
        return [Reading("", score, known_beats(file, score))]
    if file.format == "musicxml":
        from songwright.files.musicxml_reading import read_musicxml

        return [Reading("", read_musicxml(file.path))]
    if file.format == "abc":
        from songwright.files.abc import read_abc

        return [Reading(title, score) for title, score in read_abc(file.path)]
    if file.format == "audio":
        from songwright.files.transcription import TRANSCRIPTION_WARNING, transcribe

        return [Reading("", transcribe(file.path), warning=TRANSCRIPTION_WARNING)]
    raise ValueError(f"no reader of notes for format {file.format!r}")


def known_beats(file: SourceFile, score: Score) -> BeatGrid | None:
    """Return the beats of a POP909 beat file as a grid; None without one.

    Bars in 4/4 start where most of the labels' do (the file's own downbeats fall on those in seven songs of ten), else
    where most of the file's downbeats fall.

    Raises
    ------
    InputError
        If the beats are damaged.
    """
    if file.beats is None:
        return None
    table = read_numbers(file.beats, 3)  # second, and whether a bar of two or of more beats starts there
    seconds = table[:, 0]
    if len(seconds) < 8:
        return None
    if (np.diff(seconds) <= 0).any():
        raise InputError(f"{file.beats}: the beats are not in order; restore the published file")
    audio = file.beats.with_name("beat_audio.txt")
    beats_per_bar = int(read_numbers(audio, 2)[:, 1].max()) if audio.is_file() else 4
    numerator = beats_per_bar if beats_per_bar in (2, 3, 4) else 4
    downbeats = np.flatnonzero(table[:, 1 if numerator == 2 else 2] > 0)
    phase = labelled_phase(score, seconds, file.labels) if file.labels and numerator == 4 else None
    if phase is None:
        phase = int(np.bincount(downbeats % numerator, minlength=numerator).argmax())
    # Bar 0 starts on a bar line at or before the first beat and the first note.
    first_note = min((int(track.notes["onset_tick"][0]) for track in score.tracks if len(track.notes)), default=0)
    first_beat = float(beats_of_seconds(np.array([first_note * _second_per_tick(score)]), seconds)[0])
    lead = phase - numerator * int(np.ceil(max(phase - min(round(first_beat), 0), 0) / numerator))
    index = np.arange(lead, len(seconds))
    times = np.where(index < 0, seconds[0] + index * (seconds[1] - seconds[0]), seconds[np.maximum(index, 0)])
    ticks = _exact_ticks(score, times)
    if (np.diff(ticks) <= 0).any():
        raise InputError(f"{file.beats}: two beats fall on one tick of the MIDI file; restore the published files")
    return BeatGrid(ticks, (Meter(0, numerator, 4),), origin="beats")


def _second_per_tick(score: Score) -> float:
    tempo_qpm = score.tempos[0].tempo_qpm if score.tempos else 120.0
    return 60.0 / (tempo_qpm * score.ticks_per_quarter)


def _exact_ticks(score: Score, seconds: np.ndarray) -> np.ndarray:
    """Return instants as ticks, not rounded where the tempo is constant; before 0 at the first tempo."""
    if len(score.tempos) == 1 and score.tempos[0].tick == 0:
        return seconds / _second_per_tick(score)
    ticks = seconds_to_ticks(score, np.maximum(seconds, 0)).astype(np.float64)
    return np.where(seconds < 0, seconds / _second_per_tick(score), ticks)
