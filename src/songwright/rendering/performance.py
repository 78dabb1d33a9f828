"""Song -> score as a player would play it: loudness shaped by meter, phrase and section, notes joined and held.

Onsets stay on the grid and the tempo is constant, so the score lasts as long as the song. The melody is joined
over gaps of a sixteenth, which in POP909's transcriptions separate most syllables, and what sounds last is held to the
end of the song. Velocities are sums of
small terms, each in MIDI velocity units and named below; their sizes are set by hand, not learned.
The same song and seed give the same score.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from songwright.score.elements import (
    NOTE_DTYPE,
    KeySignature,
    Marker,
    Score,
    TempoChange,
    TimeSignature,
    Track,
    sort_notes,
)
from songwright.score.grid import STEPS_PER_BAR, STEPS_PER_BEAT
from songwright.score.lead_sheet import Form
from songwright.score.song import Song

TICKS_PER_QUARTER = 480
TICKS_PER_STEP = TICKS_PER_QUARTER // STEPS_PER_BEAT
REPEAT_GAP_TICKS = TICKS_PER_QUARTER // 24
"""Silence before a repeated pitch, so that it is heard as struck again."""

PIANO_PROGRAM = 0
ALTO_SAX_PROGRAM, CLARINET_PROGRAM = 65, 71
# Measured on MuseScore General Lite and FluidR3Mono, MIDI pitches 55 to 84: the alto sax speaks within 24 ms (median;
# flute 49, oboe 72, violin 142), is even to 1.3 dB and in tune to 4.3 cents up to F5, but 19 to 24 cents flat from G5
# on; the clarinet is in tune to 2.5 cents throughout.
_ALTO_SAX_HIGHEST_PITCH = 77

_MELODY_VELOCITY, _PIANO_VELOCITY = 86, 64
_INNER_VOICE = -7  # piano notes between the lowest and the highest of a chord
_PIANO_ALONE = 7  # the piano in a bar without melody
_SECTION_ENERGY = {"i": -6, "o": -9, "x": -4, "b": -3, "c": -3, "d": -3, "A": 0, "B": 8, "C": 4, "D": 4, "E": 4, "X": 2}
_RETURN_ENERGY, _MAX_RETURN_ENERGY = 2.0, 4.0  # each return of a sung section is a little louder
_METRICAL_ACCENT = {0: 5, 24: 3, 12: 1, 36: 1}  # by step in the bar; eighths -2, the rest -4
_PHRASE_ARCH = 5.0  # middle of a phrase above its ends
_BREATH_ARCH = 4.0  # middle of the notes between two rests above the first and last
_BREATH_STEPS = STEPS_PER_BEAT // 2  # a rest that is a breath
_CONTOUR, _MAX_CONTOUR = 0.5, 5.0  # a semitone above the melody's mean
_FINAL_BAR = -5
_JOINED_STEPS = STEPS_PER_BEAT // 4
_NOISE = 1.5  # standard deviation


def perform(song: Song, *, seed: int) -> Score:
    """Return the song as a score of two tracks, MELODY and PIANO, at 480 ticks a quarter note.

    Parameters
    ----------
    song : Song
        Without `problems()`.
    seed : int
        Draws the small variation of loudness; at least 0.

    Returns
    -------
    Score
        Bar 1 at tick 0, one tempo, 4/4, the key, a marker for each section. Notes of one pitch in one track never
        overlap: the earlier ends a twenty-fourth of a beat before the later starts.
    """
    lead_sheet, form = song.lead_sheet, song.lead_sheet.form
    melody = _held(_joined(lead_sheet.melody), form.num_bars)
    piano = _held(song.piano, form.num_bars)
    melody_rng, piano_rng = (np.random.default_rng([seed, track]) for track in range(2))
    melody_shape, piano_shape = _shape(melody, form), _shape(piano, form)
    melody_velocity = _MELODY_VELOCITY + melody_shape + _breaths(melody, form) + _contour(melody)
    piano_velocity = _PIANO_VELOCITY + 0.8 * piano_shape + _voices(piano) + _alone(piano, melody, form.num_bars)
    tracks = (
        _track("MELODY", _lead_program(melody), melody, melody_velocity, melody_rng),
        _track("PIANO", PIANO_PROGRAM, piano, piano_velocity, piano_rng),
    )
    starts = (bar * STEPS_PER_BAR * TICKS_PER_STEP for bar in form.start_bars)
    return Score(
        ticks_per_quarter=TICKS_PER_QUARTER,
        tracks=tracks,
        tempos=(TempoChange(0, lead_sheet.tempo_qpm),),
        time_signatures=(TimeSignature(0, 4, 4),),
        key_signatures=(KeySignature(0, lead_sheet.key.fifths, lead_sheet.key.is_minor),),
        markers=tuple(Marker(tick, name) for tick, name in zip(starts, form.section_names(), strict=True)),
    )


def _joined(melody: NDArray[np.void]) -> NDArray[np.void]:
    """Lengthen each note that a short gap separates from the next to where that starts."""
    joined = melody.copy()
    gap = melody["onset_step"][1:] - (melody["onset_step"] + melody["duration_step"])[:-1]
    joined["duration_step"][:-1] += np.where(gap <= _JOINED_STEPS, np.maximum(gap, 0), 0)
    return joined


def _held(notes: NDArray[np.void], num_bars: int) -> NDArray[np.void]:
    """Hold the last notes to the end of the song, if they start in its last bar; under a chord its lowest too."""
    held = notes.copy()
    is_last_bar = notes["onset_step"] >= (num_bars - 1) * STEPS_PER_BAR
    if is_last_bar.any():
        in_last_bar = np.flatnonzero(is_last_bar)
        lowest = in_last_bar[notes["pitch"][in_last_bar].argmin()]
        is_held = notes["onset_step"] == notes["onset_step"].max()
        if is_held.sum() > 1:
            is_held[lowest] = True
        held["duration_step"][is_held] = num_bars * STEPS_PER_BAR - notes["onset_step"][is_held]
    return held


def _lead_program(melody: NDArray[np.void]) -> int:
    is_low = len(melody) == 0 or melody["pitch"].max() <= _ALTO_SAX_HIGHEST_PITCH
    return ALTO_SAX_PROGRAM if is_low else CLARINET_PROGRAM


def _track(
    name: str, program: int, notes: NDArray[np.void], velocity: NDArray[np.float64], rng: np.random.Generator
) -> Track:
    played = np.empty(len(notes), dtype=NOTE_DTYPE)
    played["onset_tick"] = notes["onset_step"] * TICKS_PER_STEP
    played["duration_tick"] = notes["duration_step"] * TICKS_PER_STEP
    played["pitch"] = notes["pitch"]
    noisy = velocity + np.clip(rng.standard_normal(len(notes)), -2, 2) * _NOISE
    played["velocity"] = np.clip(np.rint(noisy), 1, 127)
    played = sort_notes(played)
    for pitch in np.unique(played["pitch"]):
        rows = np.flatnonzero(played["pitch"] == pitch)
        onset = played["onset_tick"][rows]
        room = onset[1:] - onset[:-1] - REPEAT_GAP_TICKS
        played["duration_tick"][rows[:-1]] = np.minimum(played["duration_tick"][rows[:-1]], room)
    return Track(name, played, program)


def _shape(notes: NDArray[np.void], form: Form) -> NDArray[np.float64]:
    """Velocity that every part shares: meter, section, place in the phrase, the end."""
    onset = notes["onset_step"].astype(np.int64)
    in_bar = onset % STEPS_PER_BAR
    accent = np.where(in_bar % (STEPS_PER_BEAT // 2) == 0, -2.0, -4.0)
    for step, boost in _METRICAL_ACCENT.items():
        accent[in_bar == step] = boost
    starts = np.array(form.start_bars) * STEPS_PER_BAR
    lengths = np.array([phrase.num_bars for phrase in form.phrases]) * STEPS_PER_BAR
    phrase = np.searchsorted(starts, onset, side="right") - 1
    arch = _PHRASE_ARCH * (np.sin(np.pi * (onset - starts[phrase]) / lengths[phrase]) - 0.5)
    is_last_bar = onset >= (form.num_bars - 1) * STEPS_PER_BAR
    return accent + arch + _section_energy(form)[phrase] + _FINAL_BAR * is_last_bar


def _section_energy(form: Form) -> NDArray[np.float64]:
    seen: dict[str, int] = {}
    energy = []
    for phrase in form.phrases:
        returns = seen.get(phrase.letter, 0)
        seen[phrase.letter] = returns + 1
        growth = min(_RETURN_ENERGY * returns, _MAX_RETURN_ENERGY) if phrase.is_sung else 0.0
        energy.append(_SECTION_ENERGY[phrase.letter] + growth)
    return np.array(energy, dtype=np.float64)


def _breaths(melody: NDArray[np.void], form: Form) -> NDArray[np.float64]:
    """Swell and fall of the notes sung in one breath: from a rest or the start of a phrase to the next."""
    velocity = np.zeros(len(melody))
    onset = melody["onset_step"]
    gaps = onset[1:] - (onset + melody["duration_step"])[:-1]
    after_rests = np.flatnonzero(gaps >= _BREATH_STEPS) + 1
    in_phrases = np.searchsorted(onset, np.array(form.start_bars) * STEPS_PER_BAR)
    edges = {0, *after_rests.tolist(), *in_phrases.tolist(), len(melody)}
    for first, end in pairwise(sorted(edges)):
        velocity[first:end] = _BREATH_ARCH * (np.sin(np.pi * np.linspace(0, 1, end - first)) - 0.5)
    return velocity


def _contour(melody: NDArray[np.void]) -> NDArray[np.float64]:
    """Higher notes louder."""
    pitch = melody["pitch"].astype(np.float64)
    return np.clip(_CONTOUR * (pitch - pitch.mean()), -_MAX_CONTOUR, _MAX_CONTOUR) if len(pitch) else pitch


def _voices(piano: NDArray[np.void]) -> NDArray[np.float64]:
    """Bass and top of what starts together above the notes between."""
    starts = piano["onset_step"][1:] != piano["onset_step"][:-1]
    is_lowest = np.concatenate(([True], starts))[: len(piano)]  # notes are sorted by (onset, pitch)
    is_highest = np.concatenate((starts, [True]))[-len(piano) :] if len(piano) else is_lowest
    return np.where(is_lowest | is_highest, 0.0, float(_INNER_VOICE))


def _alone(piano: NDArray[np.void], melody: NDArray[np.void], num_bars: int) -> NDArray[np.float64]:
    """Bring the piano forward in bars in which no melody sounds."""
    has_melody = np.zeros(num_bars, dtype=bool)
    last_step = melody["onset_step"] + melody["duration_step"] - 1
    for first, last in zip(melody["onset_step"] // STEPS_PER_BAR, last_step // STEPS_PER_BAR, strict=True):
        has_melody[first : last + 1] = True
    return np.where(has_melody[piano["onset_step"] // STEPS_PER_BAR], 0.0, float(_PIANO_ALONE))
