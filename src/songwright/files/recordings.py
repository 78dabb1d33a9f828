"""Recordings: audio files -> samples of one channel at one rate.

Knows what libsndfile reads and how sound is resampled. Leaves what is heard in it to `files.transcription`. Audio is
float32, full scale 1.0, shape (num_samples,).
"""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError

SAMPLE_RATE = 16_000
"""Rate at which recordings are heard, in Hz."""
MIN_SECONDS, MAX_SECONDS = 0.3, 30 * 60.0
"""Shortest and longest recording that is read."""

_HALF_TAPS = 16  # zero crossings of the resampling sinc on either side


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
            check_rate(rate, str(file))
            resampler = _Resampler(rate, SAMPLE_RATE)
            block, num_read = max(1 << 10, (1 << 18) // sound.channels), 0
            while len(samples := np.asarray(sound.read(block, dtype="float32", always_2d=True), dtype=np.float32)):
                num_read += len(samples)
                check_length(max(num_read, rate), rate, str(file))
                check_finite(samples, str(file))
                pieces.append(resampler.push(samples.mean(axis=1)))
            pieces.append(resampler.finish())
    except (OSError, TypeError, soundfile.SoundFileError) as error:  # TypeError: a file without a header
        reason = str(getattr(error, "error_string", None) or error).rstrip(".")
        raise InputError(f"{file} cannot be read as sound ({reason}): convert it to WAV, FLAC, MP3 or Ogg.") from None
    audio = np.concatenate(pieces)
    check_length(num_read, rate, str(file))
    return audio


def check_length(num_samples: int, rate: int, name: str) -> None:
    """Raise InputError if a recording, called `name`, is too short or too long."""
    if num_samples < MIN_SECONDS * rate:
        raise InputError(f"{name} is shorter than {MIN_SECONDS} seconds: there is nothing to transcribe.")
    if num_samples > MAX_SECONDS * rate:
        raise InputError(f"{name} is longer than {MAX_SECONDS / 60:.0f} minutes: cut it into pieces.")


def check_rate(rate: int, name: str) -> None:
    """Raise InputError if a recording has too few or too many samples a second."""
    if not 4000 <= rate <= 384_000:
        raise InputError(f"{name} has {rate} samples a second; rates from 4,000 to 384,000 are read: convert it.")


def check_finite(samples: NDArray[np.floating], name: str) -> None:
    """Raise InputError if a sample is infinite or no number."""
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
