"""Sounds that no SoundFont has, to learn transcription from: made-up timbres, and a voice that slides and lisps.

Sums of sines [1]_, one channel at `files.recordings.SAMPLE_RATE`. Knows notes of
`transcription_excerpts.PLAYED_DTYPE` by their fields; leaves mixing and damage to that module.

References
----------
.. [1] X. Rodet and P. Depalle, "Spectral envelopes and inverse FFT synthesis", AES Convention 93, 1992.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from songwright.files.recordings import SAMPLE_RATE

_NYQUIST = SAMPLE_RATE / 2
_CONTROL = 100  # steps a second of what moves slowly


def random_timbre(notes: NDArray[np.void], num_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return notes played by an instrument drawn at random: spectrum, attack, decay, stiffness.

    Parameters
    ----------
    notes : array with fields onset, offset (seconds), pitch, velocity
    num_samples : int
    rng : Generator
    """
    harmonic = np.arange(1, 25)
    spectrum_db = -rng.uniform(3, 12) * np.log2(harmonic) + rng.normal(0, 5, len(harmonic))
    if rng.random() < 0.2:
        spectrum_db[1::2] -= rng.uniform(6, 30)  # a stopped pipe
    spectrum = 10 ** (spectrum_db / 20)
    stiffness = rng.choice([0.0, rng.uniform(0, 4e-4)])
    multiples = harmonic * np.sqrt(1 + stiffness * harmonic**2)
    is_struck = rng.random() < 0.5
    decay = rng.uniform(1, 6) + rng.uniform(0, 1.0) * harmonic if is_struck else np.zeros(len(harmonic))
    attack, release = rng.uniform(0.002, 0.01 if is_struck else 0.08), rng.uniform(0.02, 0.2)
    out = np.zeros(num_samples, dtype=np.float32)
    for onset, offset, pitch, velocity in notes.tolist():
        start = round(onset * SAMPLE_RATE)
        length = min(round((offset - onset + 3 * release) * SAMPLE_RATE), num_samples - start)
        if length <= 0:
            continue
        seconds = np.arange(length, dtype=np.float32) / SAMPLE_RATE
        frequency = 440 * 2 ** ((pitch - 69) / 12) * multiples
        kept = frequency < 0.95 * _NYQUIST
        phase = np.outer((2 * np.pi * frequency[kept]).astype(np.float32), seconds)
        phase += rng.uniform(0, 6.3, (len(phase), 1)).astype(np.float32)
        amplitude = spectrum[kept][:, None] * np.exp(-np.outer(decay[kept], seconds))
        sound = (np.sin(phase) * amplitude).sum(axis=0)
        envelope = np.minimum(seconds / attack, 1) * np.exp(-np.maximum(seconds - (offset - onset), 0) / release * 2)
        out[start : start + length] += (sound * envelope * (velocity / 127) ** 2).astype(np.float32)
    return out


def sung(notes: NDArray[np.void]) -> NDArray[np.void]:
    """Return the notes that one voice can sing: the highest at each instant, none over the next, in a voice's range."""
    notes = notes[np.lexsort((-notes["pitch"], notes["onset"]))].copy()
    kept = [0] if len(notes) else []
    for index in range(1, len(notes)):
        last = notes[kept[-1]]
        overlaps = notes["onset"][index] < last["offset"] - 0.05
        if notes["onset"][index] - last["onset"] > 0.09 and not (overlaps and notes["pitch"][index] < last["pitch"]):
            kept.append(index)
    notes = notes[kept]
    if len(notes):
        notes["offset"][:-1] = np.minimum(notes["offset"][:-1], notes["onset"][1:])
        notes["pitch"] += 12 * round((60 - float(np.median(notes["pitch"]))) / 12)
    return notes


def random_voice(notes: NDArray[np.void], num_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return notes of `sung` as a voice: vowels, consonants, slides, scoops, vibrato, drift and breath."""
    seconds = np.arange(num_samples // (SAMPLE_RATE // _CONTROL) + 2) / _CONTROL
    pitch = np.full(len(seconds), 60.0)
    level = np.zeros(len(seconds))
    formants = np.zeros((3, len(seconds)))
    slide, vibrato_rate, vibrato_cents = rng.uniform(0.03, 0.12), rng.uniform(4.5, 6.5), rng.uniform(0, 70)
    bounds = ((300, 850), (850, 2300), (2300, 3300))
    noise_level = np.zeros(len(seconds))
    before = -1.0
    for onset, offset, key, velocity in notes.tolist():
        inside = (seconds >= onset) & (seconds < offset)
        after = seconds - onset
        is_tied = onset - before < 0.08
        pitch[seconds >= onset - slide / 2] = key
        if not is_tied and rng.random() < 0.5:
            scoop = (after > -0.05) & (after < 0.1)
            pitch[scoop] -= rng.uniform(0.3, 2) * (1 - (after[scoop] + 0.05) / 0.15)
        swell = np.clip((after - 0.2) / 0.3, 0, 1) * vibrato_cents / 100
        pitch += np.where(inside, swell * np.sin(2 * np.pi * vibrato_rate * after), 0)
        loud = (velocity / 127) ** 1.5
        level[inside] = loud * (1 - 0.3 * np.clip(after[inside] / max(offset - onset, 0.1), 0, 1))
        consonant = rng.random()
        if consonant < 0.8 and is_tied:  # m, n, l, or a stop
            level[(after > -0.05) & (after < 0.02)] *= rng.uniform(0, 0.6)
        if consonant < 0.4:  # s, t, k
            noise_level[(after > -rng.uniform(0.03, 0.12)) & (after < 0.01)] = loud * rng.uniform(0.02, 0.3)
        formants[:, seconds >= onset - 0.04] = np.array([rng.uniform(*bound) for bound in bounds])[:, None]
        before = offset
    window = max(2, round(slide * _CONTROL))
    pitch = np.convolve(np.pad(pitch, window, mode="edge"), np.ones(window) / window, "same")[window:-window]
    pitch += rng.uniform(0, 0.2) * np.sin(2 * np.pi * rng.uniform(0.2, 0.7) * seconds) + rng.normal(
        0, 0.04, len(seconds)
    )
    level = np.convolve(level, np.hanning(7) / 3, "same")
    instant = np.arange(num_samples) / SAMPLE_RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    phase = 2 * np.pi * np.cumsum(np.interp(instant, seconds, frequency)) / SAMPLE_RATE
    tilt = rng.uniform(6, 12)
    width = np.array([rng.uniform(60, 150), rng.uniform(80, 200), rng.uniform(120, 300)])[:, None]
    out = np.zeros(num_samples)
    for harmonic in range(1, 41):
        hertz = harmonic * frequency
        resonance = (width**2 / ((hertz - formants) ** 2 + width**2) * np.array([[1.0], [0.6], [0.4]])).sum(axis=0)
        gain = level * (0.03 + resonance) * 10 ** (-tilt * np.log2(harmonic) / 20) * (hertz < 0.9 * _NYQUIST)
        if gain.max() > 1e-4:
            out += np.interp(instant, seconds, gain) * np.sin(harmonic * phase)
    hiss = np.diff(rng.standard_normal(num_samples + 1))
    breath = rng.uniform(0, 0.01)
    out += np.interp(instant, seconds, noise_level * 0.5 + breath * level) * hiss
    return out.astype(np.float32)
