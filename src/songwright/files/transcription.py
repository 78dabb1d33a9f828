"""Recordings to notes: the sound of an audio file -> `Score`, without PyTorch.

Knows how sound is read, brought to one rate, shown to a small convolutional network as a spectrogram of 1/3 semitones,
and how the network's posteriors become notes. Which network, and how it was trained: `model.transcription` and
`training.transcription`. Leaves beats, tempo and metre to `analysis`: the score has 480 ticks a quarter note at 120
quarter notes a minute, so that 960 ticks are one second. Drums and other unpitched sounds are not transcribed.

Frames are `HOP` samples apart at `SAMPLE_RATE`; pitches are MIDI notes from `LOWEST_PITCH` on.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError, WeightsError
from songwright.score.elements import NOTE_DTYPE, Score, TempoChange, Track, sort_notes

if TYPE_CHECKING:
    import onnxruntime as ort

SAMPLE_RATE = 16_000
"""Rate at which the network hears, in Hz."""
HOP = 256
"""Samples from one frame to the next: 16 ms."""
LOWEST_PITCH, NUM_PITCHES = 21, 88
"""The keys of a piano: A0 to C8."""
BINS_PER_SEMITONE = 3
NUM_BINS = 294
"""Bins of the spectrogram, a third of a semitone each; bin 3 p + 1 is the middle of pitch `LOWEST_PITCH` + p."""
NUM_RESOLUTIONS = 2
"""Spectrograms in a feature: one fine in frequency, one fine in time."""

MIN_SECONDS, MAX_SECONDS = 0.3, 30 * 60.0
"""Shortest and longest recording that is read."""
TICKS_PER_SECOND = 960

# Windows in samples: fine in frequency below and above the split, and fine in time.
_LOW_WINDOW, _HIGH_WINDOW, _SHORT_WINDOW = 8192, 4096, 1024
_SPLIT_BIN = 3 * (57 - LOWEST_PITCH)  # 220 Hz
_FLOOR = 1e-9  # power added before the logarithm, 90 dB under full scale
_PIECE_FRAMES = 512  # frames transcribed at a time: 8 s
_CONTEXT_FRAMES = 32  # more frames read on either side than the network sees
_HALF_TAPS = 16  # zero crossings of the resampling sinc on either side
_LEVEL_SECONDS = 0.1
_LEVEL_DB = -20.0  # to which the loud moments are brought
_SILENCE_DB = -75.0  # a recording whose loud moments stay below this holds no sound


def read_recording(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Read a recording as one channel at `SAMPLE_RATE`, piece by piece.

    Parameters
    ----------
    path : path
        A file that libsndfile reads: WAV, FLAC, MP3, Ogg Vorbis and others.

    Returns
    -------
    array of float32, shape (num_samples,)
        The mean of the channels.

    Raises
    ------
    InputError
        If the file is missing, no sound, damaged, or its length is not from `MIN_SECONDS` to `MAX_SECONDS`.
    """
    import soundfile

    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file} does not exist: give the path of a recording.")
    pieces: list[NDArray[np.float32]] = []
    try:
        with soundfile.SoundFile(file) as sound:
            rate = int(sound.samplerate)
            _check_rate(rate, str(file))
            resampler = _Resampler(rate, SAMPLE_RATE)
            block, num_read = max(1 << 10, (1 << 18) // sound.channels), 0
            while len(samples := sound.read(block, dtype="float32", always_2d=True)):
                num_read += len(samples)
                _check_length(max(num_read, rate), rate, str(file))
                _check_finite(samples, str(file))
                pieces.append(resampler.push(samples.mean(axis=1)))
            pieces.append(resampler.finish())
    except (OSError, TypeError, soundfile.SoundFileError) as error:  # TypeError: a file without a header
        reason = str(getattr(error, "error_string", None) or error).rstrip(".")
        raise InputError(f"{file} cannot be read as sound ({reason}): convert it to WAV, FLAC, MP3 or Ogg.") from None
    audio = np.concatenate(pieces)
    _check_length(num_read, rate, str(file))
    return audio


def _check_length(num_samples: int, rate: int, name: str) -> None:
    if num_samples < MIN_SECONDS * rate:
        raise InputError(f"{name} is shorter than {MIN_SECONDS} seconds: there is nothing to transcribe.")
    if num_samples > MAX_SECONDS * rate:
        raise InputError(f"{name} is longer than {MAX_SECONDS / 60:.0f} minutes: cut it into pieces.")


def _check_rate(rate: int, name: str) -> None:
    if not 4000 <= rate <= 384_000:
        raise InputError(f"{name} has {rate} samples a second; rates from 4,000 to 384,000 are read: convert it.")


def _check_finite(samples: NDArray[np.floating], name: str) -> None:
    if not np.isfinite(samples).all():
        raise InputError(f"{name} holds values that are not finite: export it again.")


def resample(samples: NDArray[np.floating], from_rate: float, to_rate: float) -> NDArray[np.float32]:
    """Return samples at another rate, by a windowed sinc that cuts at 94 % of the lower Nyquist frequency.

    Parameters
    ----------
    samples : array, shape (num_samples,)
    from_rate, to_rate : float
        In Hz. Their ratio is taken to the nearest fraction of a denominator up to 1,000.

    Returns
    -------
    array of float32, shape (ceil(num_samples * to_rate / from_rate),)

    Examples
    --------
    >>> len(resample(np.zeros(44_100), 44_100, 16_000))
    16000
    """
    resampler = _Resampler(from_rate, to_rate)
    return np.concatenate([resampler.push(samples), resampler.finish()])


class _Resampler:
    """Resampling of sound that comes in pieces: blocks of `step` samples times one banded matrix.

    The matrix holds the filter once for each phase, so that all the work is one matrix product.
    """

    def __init__(self, from_rate: float, to_rate: float) -> None:
        self.ratio = Fraction(to_rate / from_rate).limit_denominator(1000)
        repeat = max(1, 128 // max(self.ratio.numerator, self.ratio.denominator))
        self.num_out, self.step = self.ratio.numerator * repeat, self.ratio.denominator * repeat
        cutoff = 0.94 * min(1.0, to_rate / from_rate)
        self.half = math.ceil(_HALF_TAPS / cutoff)
        source = np.arange(self.step + 2 * self.half) - self.half
        distance = source[:, None] - np.arange(self.num_out) * self.step / self.num_out
        window = np.i0(9.0 * np.sqrt(np.clip(1 - (distance / self.half) ** 2, 0, None))) / np.i0(9.0)
        window[np.abs(distance) > self.half] = 0
        matrix = cutoff * np.sinc(cutoff * distance) * window
        self.matrix = (matrix / matrix.sum(axis=0)).astype(np.float32)
        self.waiting = np.zeros(self.half, dtype=np.float32)
        self.num_in = 0
        self.num_done = 0

    def push(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return what can be told by now."""
        self.num_in += len(samples)
        self.waiting = np.concatenate([self.waiting, samples.astype(np.float32)])
        num_blocks = max(0, (len(self.waiting) - 2 * self.half) // self.step)
        if num_blocks == 0:
            return np.zeros(0, dtype=np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self.waiting, self.step + 2 * self.half)
        out = (windows[: num_blocks * self.step : self.step] @ self.matrix).reshape(-1)
        self.waiting = self.waiting[num_blocks * self.step :]
        self.num_done += len(out)
        return out

    def finish(self) -> NDArray[np.float32]:
        """Return the end, as if silence followed."""
        wanted = math.ceil(self.num_in * self.ratio) - self.num_done
        num_in = self.num_in
        end = self.push(np.zeros(2 * self.half + 2 * self.step, dtype=np.float32))[:wanted]
        self.num_in = num_in
        return end


@cache
def _window(length: int) -> NDArray[np.float32]:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return (window / window.sum() * 2).astype(np.float32)  # a sine of amplitude 1 has a peak of power 1


@cache
def _filters(window: int, first_bin: int, end_bin: int) -> NDArray[np.float32]:
    """Return triangles over the logarithm of frequency, shape (window / 2 + 1, num_bins), of peak 1.

    They are a third of a semitone wide on either side, or one line of the spectrum where that is more.
    """
    pitch = LOWEST_PITCH + (np.arange(first_bin, end_bin) - 1) / BINS_PER_SEMITONE
    centre = 440 * 2 ** ((pitch - 69) / 12)
    frequency = np.arange(window // 2 + 1)[:, None] * SAMPLE_RATE / window
    width = np.maximum(centre * (2 ** (1 / (12 * BINS_PER_SEMITONE)) - 1), SAMPLE_RATE / window)
    return np.clip(1 - np.abs(frequency - centre) / width, 0, None).astype(np.float32)


_PLAN = (  # resolution, window, first and last bin
    (0, _LOW_WINDOW, 0, _SPLIT_BIN),
    (0, _HIGH_WINDOW, _SPLIT_BIN, NUM_BINS),
    (1, _SHORT_WINDOW, 0, NUM_BINS),
)


def num_frames(num_samples: int) -> int:
    """Return how many frames a recording has: one at every multiple of `HOP` samples, the first at 0."""
    return num_samples // HOP + 1


def spectrogram(audio: NDArray[np.float32], first_frame: int = 0, end_frame: int | None = None) -> NDArray[np.float32]:
    """Return the level of each third of a semitone in each frame.

    Parameters
    ----------
    audio : array, shape (num_samples,)
        At `SAMPLE_RATE`.
    first_frame, end_frame : int
        Frames wanted; frame t is centred on sample t * HOP. Beyond both ends of the audio there is silence.

    Returns
    -------
    array of float32, shape (NUM_RESOLUTIONS, num_frames, NUM_BINS)
        In dB relative to a sine at full scale, at least -90.
    """
    end_frame = num_frames(len(audio)) if end_frame is None else end_frame
    count = end_frame - first_frame
    half = _LOW_WINDOW // 2
    start, stop = first_frame * HOP - half, (end_frame - 1) * HOP + half
    inside = audio[max(start, 0) : max(stop, 0)]
    padded = np.zeros(stop - start, dtype=np.float32)
    offset = max(start, 0) - start
    padded[offset : offset + len(inside)] = inside
    levels = np.empty((NUM_RESOLUTIONS, count, NUM_BINS), dtype=np.float32)
    for resolution, window, first_bin, end_bin in _PLAN:
        skip = half - window // 2
        frames = np.lib.stride_tricks.sliding_window_view(padded[skip : len(padded) - skip], window)[::HOP]
        spectrum = np.fft.rfft(frames * _window(window))
        power = spectrum.real**2 + spectrum.imag**2
        levels[resolution, :, first_bin:end_bin] = power @ _filters(window, first_bin, end_bin)
    levels += np.float32(_FLOOR)
    return 10 * np.log10(levels, out=levels)


def reference_level(audio: NDArray[np.float32]) -> float:
    """Return the level of the loud moments of a recording, in dB: the 90th percentile over tenths of a second."""
    length = round(_LEVEL_SECONDS * SAMPLE_RATE)
    blocks = np.pad(audio, (0, -len(audio) % length)).reshape(-1, length)
    power = np.einsum("ij,ij->i", blocks, blocks) / length
    return float(10 * np.log10(np.percentile(power, 90) + 1e-12))


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
    the frame's probability stays below its threshold for two frames, or where its pitch is struck again.

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
    next_quiet = np.minimum.accumulate(instant[::-1], axis=0)[::-1]
    # The frames of a soft start may lag behind its onset: look for the end two frames later.
    end = next_quiet[np.minimum(start + 2, count - 1), key].astype(np.float64)
    struck_again = np.r_[key[1:] == key[:-1], False] if len(key) else np.zeros(0, dtype=np.bool_)
    end = np.where(struck_again, np.minimum(end, np.r_[start[1:], 0][: len(start)]), end)
    begin = np.maximum(start + np.clip(fraction, -0.5, 0.5), 0)
    seconds = np.stack([begin, np.maximum(end, begin + 2)], axis=1) * (HOP / SAMPLE_RATE)
    return np.column_stack([seconds, key + LOWEST_PITCH, top])


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
    _check_rate(sample_rate, name)
    mono = np.asarray(samples, dtype=np.float32)
    mono = mono.mean(axis=1) if mono.ndim == 2 else mono
    _check_length(len(mono), sample_rate, name)
    _check_finite(mono, name)
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
    peak = float(np.abs(audio).max(initial=0.0))
    audio = audio / np.float32(peak) if peak > 1 else audio
    level = reference_level(audio)
    if level < _SILENCE_DB:
        raise InputError(f"{name} is silent: there is nothing to transcribe.")
    model = load_model(weights)
    heard = listen(audio * np.float32(10 ** ((_LEVEL_DB - level) / 20)), model, progress=progress)
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
