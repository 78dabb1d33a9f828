"""Audio files: WAV, FLAC, MP3 and Ogg Vorbis, written through libsndfile.

Knows containers, encodings and tags. Leaves the sound itself to `rendering`. Audio is float, full scale 1.0, shape
(num_samples, num_channels).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.errors import OutputError

AUDIO_FORMATS = ("wav", "flac", "mp3", "ogg")
"""Formats that `write_audio` knows; each is also the usual suffix of the file."""

# Container, encoding, compression level of libsndfile (both lossy formats: about 180 kb/s for music at -14 LUFS).
_ENCODINGS = {
    "wav": ("WAV", "PCM_16", None),
    "flac": ("FLAC", "PCM_16", None),
    "mp3": ("MP3", "MPEG_LAYER_III", 0.2),
    "ogg": ("OGG", "VORBIS", 0.4),
}
_BLOCK = 1 << 16  # samples written at a time: libsndfile's Vorbis encoder overflows its stack on a whole song


def write_audio(
    path: Path,
    audio: NDArray[np.floating],
    sample_rate: int,
    *,
    format: str,
    title: str | None = None,
    artist: str | None = None,
) -> None:
    """Write audio to a file that appears only once it is complete.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    audio : array, shape (num_samples, num_channels) or (num_samples,)
        Values beyond full scale are clipped. 16-bit formats are dithered (triangular, the same noise every time).
    sample_rate : int
        In Hz. MP3 takes 8, 11.025, 12, 16, 22.05, 24, 32, 44.1 and 48 kHz.
    format : str
        One of `AUDIO_FORMATS`.
    title, artist : str, optional
        Tags.

    Raises
    ------
    OutputError
        If the format is unknown or the file cannot be written.
    """
    import soundfile

    if format not in _ENCODINGS:
        raise OutputError(f"unknown audio format {format!r}: use one of {', '.join(AUDIO_FORMATS)}")
    container, encoding, compression_level = _ENCODINGS[format]
    samples = audio if audio.ndim == 2 else audio[:, None]
    handle, temporary = None, None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        with soundfile.SoundFile(
            temporary,
            "w",
            sample_rate,
            samples.shape[1],
            subtype=encoding,
            format=container,
            compression_level=compression_level,
            bitrate_mode="VARIABLE" if format == "mp3" else None,
        ) as sound:
            if title:
                sound.title = title
            if artist:
                sound.artist = artist
            random = np.random.default_rng(0)
            for start in range(0, len(samples), _BLOCK):
                block = samples[start : start + _BLOCK]
                sound.write(_to_16_bit(block, random) if encoding == "PCM_16" else np.clip(block, -1.0, 1.0))
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write {path} ({reason.rstrip('.')}): choose another place or format") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _to_16_bit(samples: NDArray[np.floating], random: np.random.Generator) -> NDArray[np.int16]:
    """Return samples rounded to 16 bits with triangular dither; digital silence stays silent."""
    scaled = samples.astype(np.float32) * np.float32(32767)
    noise = random.random(samples.shape, dtype=np.float32) - random.random(samples.shape, dtype=np.float32)
    dithered = np.where(samples == 0, scaled, scaled + noise)
    return np.clip(np.rint(dithered), -32768, 32767).astype(np.int16)
