"""Recordings to notes: the sound of an audio file -> `Score`, without PyTorch.

Knows how a small convolutional network is run over a recording and how its posteriors become notes. Which network, and
how it was trained: `model.transcription` and `training.transcription`. Leaves reading of sound to `files.recordings`,
what the network is shown to `files.spectrogram`, beats, tempo and metre to `analysis`: the score has 480 ticks a
quarter note at 120 quarter notes a minute, so that 960 ticks are one second. Drums and other unpitched sounds are not
transcribed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError, WeightsError
from songwright.files.recordings import (
    SAMPLE_RATE,
    check_finite,
    check_length,
    check_rate,
    read_recording,
    resample,
)
from songwright.files.spectrogram import (
    BINS_PER_SEMITONE,
    HOP,
    LOWEST_PITCH,
    NUM_BINS,
    NUM_PITCHES,
    num_frames,
    reference_level,
    spectrogram,
)
from songwright.score.elements import NOTE_DTYPE, Score, TempoChange, Track, sort_notes

if TYPE_CHECKING:
    import onnxruntime as ort

TICKS_PER_SECOND = 960

TRANSCRIPTION_WARNING = (
    "Notes heard in recordings are estimates: of piano songs that our synthesizer plays, 99 % of what is written down "
    "is right and 95 % of the notes are found (other instruments: F1 .71 to .96), recordings of real bands and voices "
    "could not be measured and come out worse, and drums are left out."
)
"""What to tell whoever takes notes from recordings. Measured by `benchmarks/transcription.py`."""

_PIECE_FRAMES = 512  # frames transcribed at a time: 8 s
_CONTEXT_FRAMES = 20  # frames read beyond either end: the network sees 18
_MIN_FRAMES = 2.5
_LEVEL_DB = -20.0  # to which the loud moments are brought
_SILENCE_DB = -75.0  # a recording whose loud moments stay below this holds no sound


class Heard(NamedTuple):
    """What the network hears in a recording; each array has the shape (num_frames, NUM_PITCHES)."""

    onset: NDArray[np.float32]
    """Probability that a note starts."""
    frame: NDArray[np.float32]
    """Probability that a note sounds."""
    strength: NDArray[np.float32]
    """Level of the pitch and its next two harmonics, in dB relative to the loud moments of the recording."""


@dataclass(frozen=True)
class TranscriptionModel:
    """The shipped network and what is known of it.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        Levels in dB, (1, NUM_RESOLUTIONS, num_frames, NUM_BINS), to logits, (1, 2, num_frames, NUM_PITCHES).
    onset_threshold, frame_threshold : float
        Probabilities from which a note starts and goes on.
    """

    session: ort.InferenceSession
    onset_threshold: float
    frame_threshold: float


def weights_folder() -> Path:
    """Return the folder of `network.onnx` and `transcription.json`."""
    return Path(str(files("songwright") / "weights" / "transcription"))


@lru_cache(maxsize=2)
def load_model(folder: Path | None = None) -> TranscriptionModel:
    """Return the network in a folder, by default the shipped one, checked against its checksum.

    Raises
    ------
    WeightsError
        If a file is missing or damaged, or made for another spectrogram.
    """
    import onnxruntime

    place = folder or weights_folder()
    try:
        data = (place / "network.onnx").read_bytes()
        facts: dict[str, Any] = json.loads((place / "transcription.json").read_text(encoding="utf-8"))
        shape = (int(facts["sample_rate"]), int(facts["hop"]), int(facts["num_bins"]))
        thresholds = float(facts["onset_threshold"]), float(facts["frame_threshold"])
        checksum = str(facts["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{place}: the weights of transcription cannot be read ({error}): install again") from None
    if hashlib.sha256(data).hexdigest() != checksum:
        raise WeightsError(f"{place / 'network.onnx'}: damaged (its checksum is not that of its json): install again")
    if shape != (SAMPLE_RATE, HOP, NUM_BINS):
        raise WeightsError(f"{place}: made for another version of songwright: install again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return TranscriptionModel(onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"]), *thresholds)


def listen(
    audio: NDArray[np.float32], model: TranscriptionModel, *, progress: Callable[[float], None] | None = None
) -> Heard:
    """Return what the network hears, 8 seconds at a time.

    Parameters
    ----------
    audio : array, shape (num_samples,)
        At `SAMPLE_RATE`.
    model : TranscriptionModel
    progress : callable, optional
        Told the fraction done, 0 to 1.
    """
    count = num_frames(len(audio))
    reference = np.float32(reference_level(audio))
    probability = np.empty((2, count, NUM_PITCHES), dtype=np.float32)
    strength = np.empty((count, NUM_PITCHES), dtype=np.float32)
    for start in range(0, count, _PIECE_FRAMES):
        stop = min(start + _PIECE_FRAMES, count)
        inside = slice(_CONTEXT_FRAMES, _CONTEXT_FRAMES + stop - start)
        levels = spectrogram(audio, start - _CONTEXT_FRAMES, stop + _CONTEXT_FRAMES) - reference
        logits: Any = model.session.run(None, {"levels": levels[None]})[0]
        probability[:, start:stop] = logits[0, :, inside]
        strength[start:stop] = _strength(levels[-1, inside])
        if progress is not None:
            progress(stop / count)
    np.clip(probability, -30, 30, out=probability)
    np.exp(np.negative(probability, out=probability), out=probability)
    probability += 1
    np.reciprocal(probability, out=probability)
    return Heard(probability[0], probability[1], strength)


def _strength(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the level of each pitch with its second and third harmonic, from levels of shape (frames, NUM_BINS)."""
    power = 10 ** (levels / 10)
    by_semitone = power.reshape(len(power), -1, BINS_PER_SEMITONE).max(axis=2)
    total = by_semitone[:, :NUM_PITCHES].copy()
    for semitones in (12, 19):
        higher = by_semitone[:, semitones : semitones + NUM_PITCHES]
        total[:, : higher.shape[1]] += higher
    return (10 * np.log10(total)).astype(np.float32)


def decode_notes(
    onset: NDArray[np.float32], frame: NDArray[np.float32], *, onset_threshold: float, frame_threshold: float
) -> NDArray[np.float64]:
    """Return the notes of posteriors.

    A note starts where the onset's probability is highest among its neighbours and above the threshold, and ends where
    the frame's probability stays below its threshold for two frames, or where its pitch is struck again. What would
    sound for less than `_MIN_FRAMES` is no note.

    Parameters
    ----------
    onset, frame : array, shape (num_frames, NUM_PITCHES)
    onset_threshold, frame_threshold : float

    Returns
    -------
    array of float64, shape (num_notes, 4)
        Onset and offset in seconds, pitch, and the onset's probability; by pitch, then onset.
    """
    count = len(onset)
    padded = np.pad(onset, ((1, 1), (0, 0)), constant_values=-1)
    before, after = padded[:-2], padded[2:]
    peaks = (onset >= onset_threshold) & (onset > before) & (onset >= after)
    key, start = np.nonzero(peaks.T)
    # The peak between frames, from the slopes on both sides: a target falls evenly from its top.
    early, late = np.maximum(before[start, key], 0), np.maximum(after[start, key], 0)
    top = onset[start, key]
    fraction = (late - early) / (2 * np.maximum(top - np.minimum(early, late), 1e-3))
    quiet = frame < frame_threshold
    quiet[:-1] &= frame[1:] < frame_threshold
    instant = np.where(quiet, np.arange(count, dtype=np.int32)[:, None], count)
    next_quiet = np.minimum.accumulate(instant[::-1], axis=0, out=instant[::-1])[::-1]
    # The frames of a soft start may lag behind its onset: look for the end two frames later.
    end = next_quiet[np.minimum(start + 2, count - 1), key].astype(np.float64)
    struck_again = np.r_[key[1:] == key[:-1], False] if len(key) else np.zeros(0, dtype=np.bool_)
    end = np.where(struck_again, np.minimum(end, np.r_[start[1:], 0][: len(start)]), end)
    begin = np.maximum(start + np.clip(fraction, -0.5, 0.5), 0)
    notes = np.column_stack([begin, end, key + LOWEST_PITCH, top]).astype(np.float64)
    notes = notes[end - begin >= _MIN_FRAMES]
    notes[:, :2] *= HOP / SAMPLE_RATE
    return notes


def transcribe_audio(
    samples: NDArray[np.floating],
    sample_rate: int,
    *,
    progress: Callable[[float], None] | None = None,
    name: str = "the recording",
    weights: Path | None = None,
) -> Score:
    """Return the notes of a recording.

    Parameters
    ----------
    samples : array, shape (num_samples,) or (num_samples, num_channels)
        Full scale 1.0.
    sample_rate : int
        In Hz, from 4,000 to 384,000.
    progress : callable, optional
        Told the fraction done, 0 to 1.
    name : str
        What errors call the recording.
    weights : Path, optional
        Folder of another network than the shipped one.

    Returns
    -------
    Score
        One track, `Transcription`, at 120 quarter notes a minute and 480 ticks each: 960 ticks a second. Velocities
        follow the level of each note as a synthesizer's level follows velocity; the louder quarter has 90 and more.

    Raises
    ------
    InputError
        If the recording is too short, too long or silent, or holds values that are not finite.
    WeightsError
        If the shipped network is missing or damaged.
    """
    check_rate(sample_rate, name)
    mono = np.asarray(samples, dtype=np.float32)
    mono = mono.mean(axis=1) if mono.ndim == 2 else mono
    check_length(len(mono), sample_rate, name)
    check_finite(mono, name)
    return _transcribe(resample(mono, sample_rate, SAMPLE_RATE), progress, name, weights)


def transcribe(
    path: str | os.PathLike[str], *, progress: Callable[[float], None] | None = None, weights: Path | None = None
) -> Score:
    """Return the notes of a recording in a file: WAV, FLAC, MP3 or Ogg. See `read_recording`, `transcribe_audio`.

    Raises
    ------
    InputError
        If the file cannot be read as sound, is too short or too long, or holds silence.
    WeightsError
        If the shipped network is missing or damaged.
    """
    return _transcribe(read_recording(path), progress, str(path), weights)


def _transcribe(
    audio: NDArray[np.float32], progress: Callable[[float], None] | None, name: str, weights: Path | None
) -> Score:
    check_finite(audio, name)
    peak = float(np.abs(audio).max(initial=0.0))
    if peak > 1:
        audio /= np.float32(peak)
    level = reference_level(audio)
    if level < _SILENCE_DB:
        raise InputError(f"{name} is silent: there is nothing to transcribe.")
    model = load_model(weights)
    audio *= np.float32(10 ** ((_LEVEL_DB - level) / 20))
    heard = listen(audio, model, progress=progress)
    found = decode_notes(
        heard.onset, heard.frame, onset_threshold=model.onset_threshold, frame_threshold=model.frame_threshold
    )
    notes = np.empty(len(found), dtype=NOTE_DTYPE)
    ticks = np.rint(found[:, :2] * TICKS_PER_SECOND).astype(np.int32)
    notes["onset_tick"], notes["duration_tick"] = ticks[:, 0], np.maximum(ticks[:, 1] - ticks[:, 0], 1)
    notes["pitch"] = found[:, 2]
    notes["velocity"] = _velocities(found, heard.strength)
    track = Track("Transcription", sort_notes(notes))
    return Score(TICKS_PER_SECOND // 2, (track,), (TempoChange(0, 120.0),))


def _velocities(found: NDArray[np.float64], strength: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return velocities, 10 to 127, from the highest level in the first 80 ms of each note."""
    if not len(found):
        return np.zeros(0, dtype=np.int16)
    frame = np.rint(found[:, 0] * (SAMPLE_RATE / HOP)).astype(np.int64)[:, None] + np.arange(5)
    pitch = found[:, 2].astype(np.int64)[:, None] - LOWEST_PITCH
    level = strength[np.minimum(frame, len(strength) - 1), pitch].max(axis=1)
    # Synthesizers play velocity v at 40 log10(v / 127) dB.
    return np.clip(np.rint(90 * 10 ** ((level - np.percentile(level, 75)) / 40)), 10, 127).astype(np.int16)
