"""Roles of tracks, and the two parts that a piece is learned as: one-voice melody and accompaniment.

Knows what the notes of a track say about what it does in the piece (`analysis.track_features`), not what it is called:
names are looked at only on request. A small network, fitted by `benchmarks/roles.py --fit`, gives each pitched track a
score for being the melody against there being none (0); drum-like notes are told by a logistic regression fitted
there too; bass and chords follow from plain thresholds. Tracks should be clean (`analysis.notes`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.track_features import TRACK_FEATURES, track_features
from songwright.analysis.weights import stored_arrays
from songwright.score.elements import Score
from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BEAT
from songwright.score.grid_score import GridScore

MIN_DRUM_NOTES = 16
"""Tracks with fewer notes are drums only if they say so."""
FIRST_EFFECT_PROGRAM = 119
"""From reverse cymbal on, the programs of General MIDI are noises: breath, seashore, gunshot."""

_KIT_FAMILIES = ((35, 36), (37, 38, 39, 40), (42, 44, 46, 51, 53, 59))  # bass drum; snare and claps; hi-hat and ride
_KIT = range(35, 60)
_MAJOR_SCALES = np.array([[(pitch - key) % 12 in (0, 2, 4, 5, 7, 9, 11) for pitch in range(12)] for key in range(12)])
_MAX_KIT_PITCH = 55  # mean pitch: 95 % of the kits of our bands are under 54.6, all of Groove's under 48
_MELODY_NAME = re.compile(r"\b(melody|melodie|lead|vocals?|voice|vox|singer|solo)\b", re.IGNORECASE)
_BASS_NAME = re.compile(r"\bbass\b(?! drum)", re.IGNORECASE)
_CHORDS_NAME = re.compile(r"\b(chords?|pads?|accompaniment)\b", re.IGNORECASE)

_MAX_BASS_PITCH, _MAX_BASS_CHORDAL, _MIN_BASS_BOTTOM = 50, 0.3, 0.3
_MIN_CHORDAL, _MIN_VOICES = 0.35, 1.5
_MAX_FIGURE_STEPS, _MIN_FIGURE_RATE = 0.4, 1.5
_SKYLINE_NOTES = 8  # how far back a held higher note is looked for
# Semitones below the mean; chosen on 50 validation songs of POP909, melody and piano in one track.
_SKYLINE_DEPTH = 4
_LONG_NOTE = 2 * STEPS_PER_BEAT
_COLUMN = {name: column for column, name in enumerate(TRACK_FEATURES)}


def track_roles(score: Score, *, use_names: bool = False) -> tuple[str, ...]:
    """Return what each track does in the piece: `melody`, `bass`, `chords`, `drums` or `other`.

    Parameters
    ----------
    score : Score
    use_names : bool
        Let a name that says `melody`, `bass` or `chords` (or the like) decide before the notes do.

    Returns
    -------
    tuple of str
        One of `score.grid_score.ROLES` per track. At most one track is the melody: the main one; its doubles and other
        leads are `other`, as are noises and tracks without notes.

    Notes
    -----
    Where a track says that it is percussion, all the others are taken to be pitched. Where none does, tracks with the
    notes of a drum kit are drums.

    Examples
    --------
    >>> from songwright.score.elements import Note, Track, note_array
    >>> pitches = [67, 69, 67, 64, 65, 67, 62, 64, 65, 60, 62, 64] * 4
    >>> tune = [Note(480 * i, 400, pitch) for i, pitch in enumerate(pitches)]
    >>> chords = [Note(960 * i, 900, pitch) for i in range(24) for pitch in (48, 52, 55)]
    >>> track_roles(Score(480, (Track("1", note_array(chords)), Track("2", note_array(tune)))))
    ('chords', 'melody')
    """
    roles = ["drums" if track.is_drum else "other" for track in score.tracks]
    pitched = [
        index
        for index, track in enumerate(score.tracks)
        if len(track.notes) and not track.is_drum and track.program < FIRST_EFFECT_PROGRAM
    ]
    if not pitched:
        return tuple(roles)
    features = track_features([score.tracks[index].notes for index in pitched], score.ticks_per_quarter)
    if "drums" not in roles:
        low = np.flatnonzero(features[:, _COLUMN["mean_pitch"]] < _MAX_KIT_PITCH)
        kits = [pitched[row] for row in low if _is_kit(score.tracks[pitched[row]].notes, score.ticks_per_quarter)]
        if kits:  # without them, as a drum is no one's bass
            quiet = tuple(replace(track, is_drum=index in kits) for index, track in enumerate(score.tracks))
            return track_roles(replace(score, tracks=quiet), use_names=use_names)
    accompanying = _accompanying_roles(features)
    logits = melody_logits(features)
    if len(score.tracks) > 1:
        logits[np.array(accompanying) == "bass"] = -np.inf
    if use_names:
        accompanying, logits = _heeding_names([score.tracks[index].name for index in pitched], accompanying, logits)
    for index, role in zip(pitched, accompanying, strict=True):
        roles[index] = role
    best = int(np.argmax(logits))
    if logits[best] > 0:
        roles[pitched[best]] = "melody"
    return tuple(roles)


def melody_logits(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log odds that each track is the melody, against no track being it.

    Parameters
    ----------
    features : ndarray, shape (num_tracks, len(TRACK_FEATURES))
        From `track_features`.

    Returns
    -------
    ndarray, shape (num_tracks,)
        With a 0 for no melody appended, the softmax gives the probabilities.
    """
    weights = _weights()
    hidden = np.tanh(_standardized(features, weights, "melody") @ weights["melody_hidden"] + weights["melody_bias"])
    return hidden @ weights["melody_output"][:-1] + weights["melody_output"][-1]


def drum_features(notes: NDArray[np.void], ticks_per_quarter: int) -> NDArray[np.float64]:
    """Return what tells the notes of a drum kit (at least one) from pitched ones, shape (8,).

    Shares of bass drum, snare and hi-hat, of all the pitches of a kit and of the best major scale; how many of the
    three families play; the entropy of the pitches in bits; the mean log2 duration in quarters.
    """
    shares = np.bincount(np.clip(notes["pitch"], 0, 127), minlength=128) / len(notes)
    families = [float(shares[list(family)].sum()) for family in _KIT_FAMILIES]
    classes = np.pad(shares, (0, 4)).reshape(11, 12).sum(axis=0)
    played = shares[shares > 0]
    return np.array(
        [
            *families,
            shares[_KIT.start : _KIT.stop].sum(),
            (_MAJOR_SCALES @ classes).max(),
            sum(share > least for share, least in zip(families, (0.03, 0.03, 0.1), strict=True)),
            -(played * np.log2(played)).sum(),
            np.log2(np.maximum(notes["duration_tick"], 1) / ticks_per_quarter).mean(),
        ]
    )


def melody_line(grid_score: GridScore) -> NDArray[np.void]:
    """Return the melody as one voice.

    That is the melody track, where notes that start together leave the highest and a note ends where the next starts;
    without one, the top of the chords (or else of the other pitched tracks but the bass): at each onset the highest
    note, unless a higher one is held, or it lies more than four semitones below the mean of these notes (weighted by
    duration): then it is taken for accompaniment sounding while the melody rests.

    Parameters
    ----------
    grid_score : GridScore

    Returns
    -------
    ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
        Sorted, without overlaps; empty where nothing pitched plays but a bass.
    """
    notes = grid_score.notes_of("melody")
    if len(notes):
        return _one_voice(_highest(notes))
    for role in ("chords", "other"):
        notes = grid_score.notes_of(role)
        if len(notes):
            return _one_voice(_skyline(_highest(notes)))
    return np.empty(0, dtype=GRID_NOTE_DTYPE)


def accompaniment(grid_score: GridScore) -> NDArray[np.void]:
    """Return all pitched notes that are not in `melody_line`, as one piano part.

    Of notes of one pitch that start together the longest stays, and a note ends where the next of its pitch starts.

    Parameters
    ----------
    grid_score : GridScore

    Returns
    -------
    ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
        Sorted by (onset, pitch).
    """
    has_melody = any(track.role == "melody" and len(track.notes) for track in grid_score.tracks)
    notes = _without_velocity(grid_score.notes_of("bass", "chords", "other"))
    if not has_melody:
        melody = melody_line(grid_score)
        notes = notes[~np.isin(_key(notes), _key(melody))]
    order = np.lexsort((-notes["duration_step"], notes["onset_step"], notes["pitch"]))
    notes = notes[order]
    key = notes["pitch"].astype(np.int64) * 2**32 + notes["onset_step"]
    is_first = np.ones(len(key), dtype=bool)
    is_first[1:] = key[1:] != key[:-1]
    notes, key = notes[is_first], key[is_first]
    if len(notes):
        gap = np.where(np.diff(notes["pitch"]) == 0, np.diff(notes["onset_step"].astype(np.int64)), 2**31 - 1)
        notes["duration_step"][:-1] = np.minimum(notes["duration_step"][:-1], gap)
    return notes[np.argsort(_key(notes), kind="stable")]


def _accompanying_roles(features: NDArray[np.float64]) -> list[str]:
    """Return bass, chords or other for each track."""

    def column(name: str) -> NDArray[np.float64]:
        return features[:, _COLUMN[name]]

    chordal = np.exp(column("log_chordal")) - 0.03
    is_bass = (column("mean_pitch") < _MAX_BASS_PITCH) & (chordal < _MAX_BASS_CHORDAL)
    is_bass &= column("bottom_share") > _MIN_BASS_BOTTOM
    # Broken chords: a fast line that moves by leaps.
    is_figure = (column("steps") + column("repeats") < _MAX_FIGURE_STEPS) & (
        column("log_onset_rate") > np.log(_MIN_FIGURE_RATE)
    )
    is_chords = (chordal > _MIN_CHORDAL) | (column("log_voices") > np.log(_MIN_VOICES)) | is_figure
    return [
        "bass" if bass else "chords" if chords else "other" for bass, chords in zip(is_bass, is_chords, strict=True)
    ]


def _is_kit(notes: NDArray[np.void], ticks_per_quarter: int) -> bool:
    if len(notes) < MIN_DRUM_NOTES:
        return False
    weights = _weights()
    values = _standardized(drum_features(notes, ticks_per_quarter), weights, "drum")
    return bool(values @ weights["drum_output"][:-1] + weights["drum_output"][-1] > 0)


def _heeding_names(
    names: list[str], roles: list[str], logits: NDArray[np.float64]
) -> tuple[list[str], NDArray[np.float64]]:
    """Return roles and log odds of the melody after the names that say bass, chords or melody."""
    patterns = (("bass", _BASS_NAME), ("chords", _CHORDS_NAME), ("melody", _MELODY_NAME))
    said = [next((role for role, pattern in patterns if pattern.search(name)), None) for name in names]
    roles = [
        name_role if name_role in ("bass", "chords") else role for name_role, role in zip(said, roles, strict=True)
    ]
    if "melody" in said:
        is_named = np.array([role == "melody" for role in said])
        finite = np.maximum(logits, -1e6)
        return roles, np.where(is_named, finite - finite[is_named].max() + 1, -np.inf)
    return roles, np.where(np.array([role is None for role in said]), logits, -np.inf)


def _highest(notes: NDArray[np.void]) -> NDArray[np.void]:
    """Return the highest note at each onset; `notes` are sorted by (onset, pitch)."""
    is_last = np.ones(len(notes), dtype=bool)
    is_last[:-1] = notes["onset_step"][1:] != notes["onset_step"][:-1]
    return _without_velocity(notes[is_last])


def _skyline(notes: NDArray[np.void]) -> NDArray[np.void]:
    """Return the notes of a top line (one at each onset, at least one) that may be melody: see `melody_line`."""
    onset, duration, pitch = (notes[field].astype(np.int64) for field in ("onset_step", "duration_step", "pitch"))
    end = onset + duration
    is_hidden = np.zeros(len(notes), dtype=bool)
    for lag in range(1, min(_SKYLINE_NOTES, len(notes) - 1) + 1):
        is_hidden[lag:] |= (pitch[:-lag] > pitch[lag:]) & (end[:-lag] > onset[lag:])
    mean = np.average(pitch[~is_hidden], weights=np.clip(duration[~is_hidden], 1, _LONG_NOTE))
    return notes[~is_hidden & (pitch > mean - _SKYLINE_DEPTH)]


def _one_voice(notes: NDArray[np.void]) -> NDArray[np.void]:
    """Return notes of different onsets with each cut where the next starts."""
    notes["duration_step"][:-1] = np.minimum(notes["duration_step"][:-1], np.diff(notes["onset_step"]))
    return notes


def _without_velocity(notes: NDArray[np.void]) -> NDArray[np.void]:
    plain = np.empty(len(notes), dtype=GRID_NOTE_DTYPE)
    for field in ("onset_step", "duration_step", "pitch"):
        plain[field] = notes[field]
    return plain


def _key(notes: NDArray[np.void]) -> NDArray[np.int64]:
    return notes["onset_step"].astype(np.int64) * 128 + notes["pitch"]


def _standardized(
    features: NDArray[np.float64], weights: dict[str, NDArray[np.float64]], name: str
) -> NDArray[np.float64]:
    # Clipped, so that odd tracks do not leave the range that the weights were fitted on.
    return np.clip((features - weights[f"{name}_mean"]) * weights[f"{name}_scale"], -4, 4)


@cache
def _weights() -> dict[str, NDArray[np.float64]]:
    return {name: array.astype(np.float64) for name, array in stored_arrays("track_roles").items()}
