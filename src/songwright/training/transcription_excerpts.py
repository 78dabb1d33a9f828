"""Excerpts to learn transcription from: pieces of training songs, played by our own synthesizer, then spoilt.

Each excerpt takes a stretch of a song of the train split of POP909, gives its tracks instruments of General MIDI at
random, moves, detunes and reshapes them, mixes them at random levels, sometimes under drums of the Groove MIDI
Dataset (its train split), and spoils the sound as recordings are spoilt: rooms, noise, filters, codecs, clipping.
Returns what `files.transcription` shows to the network, and the notes that sound. Leaves learning to
`training.transcription`.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.corpus.pop909 import song_ids
from songwright.corpus.splits import Split, split_of
from songwright.files.midi import read_midi
from songwright.files.recordings import SAMPLE_RATE, resample
from songwright.files.spectrogram import LOWEST_PITCH, NUM_PITCHES, reference_level, spectrogram
from songwright.rendering.synthesis import SAMPLE_RATE as RENDERED_RATE
from songwright.rendering.synthesis import render_score
from songwright.score.elements import Score, TempoChange, Track, note_array
from songwright.score.timeline import ticks_to_seconds
from songwright.training.transcription_timbres import random_timbre, random_voice, sung

PLAYED_DTYPE = np.dtype([("onset", np.float32), ("offset", np.float32), ("pitch", np.int16), ("velocity", np.int16)])
"""A note that sounds: seconds, MIDI pitch, velocity."""
EXCERPT_SECONDS = 24.0

FAMILIES: dict[str, tuple[int, ...]] = {
    "piano": tuple(range(8)),
    "mallets": (8, 10, 11, 12, 13),
    "organ": tuple(range(16, 24)),
    "guitar": tuple(range(24, 31)),
    "bass": tuple(range(32, 40)),
    "strings": (*range(40, 47), *range(48, 52)),
    "voice": (52, 53, 54),
    "brass": tuple(range(56, 64)),
    "reed": tuple(range(64, 72)),
    "flute": tuple(range(72, 80)),
    "synthesizer": (80, 81, 82, 83, 84, 85, 87, *range(88, 96)),
    "folk": tuple(range(104, 109)),
}
"""Programs of General MIDI that sound at their pitch, counted from zero, by family."""
_FAMILY_WEIGHTS = {"piano": 4.0, "guitar": 2.5, "strings": 2.0, "voice": 2.0}  # of the others: 1
_MADE_UP_SHARE = 0.3  # of the parts that are not in an excerpt for pianos
_WAVERING = ("voice", "strings", "reed", "flute", "brass", "synthesizer", "folk")
_TICKS, _TEMPO = 480, 120.0
_TICKS_PER_SECOND = _TICKS * _TEMPO / 60


@dataclass(frozen=True)
class Excerpt:
    """What the network hears and should write down."""

    levels: NDArray[np.float16]
    """Spectrogram relative to the reference level, dB, shape (NUM_RESOLUTIONS, num_frames, NUM_BINS)."""
    notes: NDArray[np.void]
    """Notes of PLAYED_DTYPE, without drums."""


@dataclass(frozen=True)
class Material:
    """Where excerpts are taken from."""

    songs: tuple[Path, ...]
    drums: tuple[Path, ...]


def training_material(data: Path) -> Material:
    """Return the training songs of POP909 and the training drums of Groove in a folder of data."""
    pop909 = data / "POP909"
    songs = tuple(pop909 / song_id / f"{song_id}.mid" for song_id in song_ids(pop909) if split_of(song_id) == "train")
    return Material(songs, drum_files(data, "train"))


def drum_files(data: Path, split: Split) -> tuple[Path, ...]:
    """Return the files of Groove's own split that hold a beat longer than an excerpt."""
    with (data / "groove" / "info.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    return tuple(
        data / "groove" / row["midi_filename"]
        for row in rows
        if row["split"] == split and row["beat_type"] == "beat" and float(row["duration"]) > EXCERPT_SECONDS
    )


def make_excerpt(material: Material, rng: np.random.Generator) -> Excerpt:
    """Return one excerpt of `EXCERPT_SECONDS`."""
    parts = _parts(read_midi(material.songs[rng.integers(len(material.songs))]), rng)
    cents = float(rng.choice([0.0, rng.uniform(-12, 12), rng.uniform(-45, 45)], p=[0.3, 0.4, 0.3]))
    speed = 2 ** (cents / 1200)  # a tape that runs faster
    num_samples = round(EXCERPT_SECONDS * SAMPLE_RATE)
    mix = np.zeros(num_samples, dtype=np.float32)
    notes: list[NDArray[np.void]] = []
    for number, (family, program, played) in enumerate(parts):
        gain_db = rng.uniform(-9, 3) if number else 0.0
        if program >= 0:
            stem = _render(played, program, rng, speed, num_samples)
        else:
            stem = _made_up(played, family, rng, speed, num_samples)
        if family in _WAVERING and rng.random() < 0.5:
            stem = _wavering(stem, rng)
        mix += stem * np.float32(10 ** (gain_db / 20))
        sounding = played.copy()
        sounding["onset"] /= speed
        sounding["offset"] /= speed
        notes.append(sounding)
    if material.drums and rng.random() < 0.3:
        drums = drum_sound(material.drums[rng.integers(len(material.drums))], num_samples)
        mix += at_level(drums, reference_level(mix) + rng.uniform(-15, 2))
    mix = _spoil(mix, rng)
    levels = spectrogram(mix) - reference_level(mix)
    return Excerpt(levels.astype(np.float16), np.concatenate(notes))


def _parts(score: Score, rng: np.random.Generator) -> list[tuple[str, int, NDArray[np.void]]]:
    """Return family, program and notes of each part of an arrangement of a stretch of a song."""
    tracks = {track.name: _seconds(score, track) for track in score.tracks if len(track.notes) and not track.is_drum}
    end = max(float(notes["offset"].max()) for notes in tracks.values())
    start = rng.uniform(0, max(end - EXCERPT_SECONDS, 0.1))
    pace = float(np.exp(rng.normal(0, 0.12)))
    shift = int(rng.integers(-6, 7))
    chosen: list[NDArray[np.void]] = []
    for name in [str(name) for name in rng.permutation(list(tracks))]:
        notes = tracks[name].copy()
        notes["onset"] = (notes["onset"] - start) * pace
        notes["offset"] = (notes["offset"] - start) * pace
        notes = notes[(notes["onset"] >= 0) & (notes["onset"] < EXCERPT_SECONDS - 0.3)]
        notes["pitch"] += shift
        if not len(notes) or (chosen and rng.random() < 0.15):
            continue
        if len(notes) > 40 and rng.random() < 0.3:
            low = notes["pitch"] < 52 + shift
            chosen += [notes[low], notes[~low]] if low.any() and not low.all() else [notes]
        else:
            chosen.append(notes)
    if len(chosen) > 1 and rng.random() < 0.2:
        chosen = chosen[: 1 + int(rng.random() < 0.5)]
    all_piano = rng.random() < 0.35
    return [(*chosen_part, _played(notes, chosen_part[0], rng)) for notes in chosen
            for chosen_part in [_instrument(rng, all_piano)]]  # fmt: skip


def _seconds(score: Score, track: Track) -> NDArray[np.void]:
    notes = np.empty(len(track.notes), dtype=PLAYED_DTYPE)
    notes["onset"] = ticks_to_seconds(score, track.notes["onset_tick"])
    notes["offset"] = ticks_to_seconds(score, track.notes["onset_tick"] + track.notes["duration_tick"])
    notes["pitch"], notes["velocity"] = track.notes["pitch"], track.notes["velocity"]
    return notes


def _made_up(
    notes: NDArray[np.void], kind: str, rng: np.random.Generator, speed: float, num_samples: int
) -> NDArray[np.float32]:
    """Return the sound of one part sung or played by nobody, one channel at SAMPLE_RATE."""
    make = random_voice if kind == "made-up voice" else random_timbre
    sound = make(notes, round(num_samples * speed) + 1, rng)
    return _fitted(at_level(resample(sound, SAMPLE_RATE * speed, SAMPLE_RATE), -20.0), num_samples)


def _instrument(rng: np.random.Generator, all_piano: bool) -> tuple[str, int]:
    """Return family and program; program -1 is a sound that we make up."""
    if all_piano:
        return "piano", 0 if rng.random() < 0.7 else int(rng.integers(0, 8))
    if rng.random() < _MADE_UP_SHARE:
        return ("made-up voice" if rng.random() < 0.5 else "made-up timbre"), -1
    names = list(FAMILIES)
    weights = np.array([_FAMILY_WEIGHTS.get(name, 1.0) for name in names])
    family = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    return family, int(rng.choice(FAMILIES[family]))


def _played(notes: NDArray[np.void], family: str, rng: np.random.Generator) -> NDArray[np.void]:
    """Return the notes as a player of that instrument might play them: register, length, time and force."""
    notes = sung(notes) if family == "made-up voice" else notes.copy()
    if not len(notes):
        return notes
    middle = float(np.median(notes["pitch"]))
    if family == "bass":
        notes["pitch"] += 12 * round((40 - middle) / 12)
    elif rng.random() < 0.25:
        notes["pitch"] += 12 * int(rng.integers(-1, 2))
    if rng.random() < 0.6:  # some play shorter, some longer than written
        notes["offset"] = notes["onset"] + (notes["offset"] - notes["onset"]) * rng.uniform(0.4, 1.3)
    notes["onset"] += np.clip(rng.normal(0, rng.choice([0.0, 0.01, 0.025]), len(notes)), -0.05, 0.05)
    notes["onset"] = np.maximum(notes["onset"], 0)
    notes["offset"] = np.maximum(notes["offset"], notes["onset"] + 0.05)
    force = notes["velocity"] * rng.uniform(0.6, 1.15) + rng.normal(0, rng.choice([0, 5, 12]), len(notes))
    notes["velocity"] = np.clip(force, 12, 127)
    notes = notes[(notes["pitch"] >= LOWEST_PITCH) & (notes["pitch"] < LOWEST_PITCH + NUM_PITCHES)]
    # One string, one pipe: a pitch that is struck again ends there, and at one instant it is struck once.
    notes = notes[np.lexsort((notes["onset"], notes["pitch"]))]
    same = np.r_[notes["pitch"][1:] == notes["pitch"][:-1], False]
    following = np.r_[notes["onset"][1:], 0]
    notes["offset"] = np.where(same, np.minimum(notes["offset"], following), notes["offset"])
    return notes[notes["offset"] - notes["onset"] > 0.02]


def _render(
    notes: NDArray[np.void], program: int, rng: np.random.Generator, speed: float, num_samples: int
) -> NDArray[np.float32]:
    """Return the sound of one part, one channel at SAMPLE_RATE."""
    if not len(notes):
        return np.zeros(num_samples, dtype=np.float32)
    onset = np.rint(notes["onset"].astype(np.float64) * _TICKS_PER_SECOND).astype(int)
    length = np.maximum(np.rint((notes["offset"] - notes["onset"]) * _TICKS_PER_SECOND).astype(int), 1)
    array = note_array(zip(onset.tolist(), length.tolist(), notes["pitch"].tolist(), notes["velocity"].tolist(),
                           strict=True))  # fmt: skip
    # The mixer reverberates a bass least: a name decides between dry and wet.
    track = Track("BASS" if rng.random() < 0.5 else "MELODY", array, program)
    audio = render_score(Score(_TICKS, (track,), (TempoChange(0, _TEMPO),)))
    mono = audio[: round((EXCERPT_SECONDS + 1) * RENDERED_RATE)].mean(axis=1)
    return _fitted(at_level(resample(mono, RENDERED_RATE * speed, SAMPLE_RATE), -20.0), num_samples)


def _fitted(audio: NDArray[np.float32], num_samples: int) -> NDArray[np.float32]:
    return np.pad(audio[:num_samples], (0, max(0, num_samples - len(audio))))


def at_level(audio: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Return the sound with its loud moments at a level in dB. See `files.spectrogram.reference_level`."""
    return audio * np.float32(10 ** ((level - max(reference_level(audio), -90)) / 20))


def drum_sound(path: Path, num_samples: int) -> NDArray[np.float32]:
    """Return the start of a drummer's MIDI file as sound, one channel at SAMPLE_RATE."""
    score = read_midi(path)
    seconds = EXCERPT_SECONDS + 1
    tracks = tuple(
        Track(track.name, track.notes[ticks_to_seconds(score, track.notes["onset_tick"]) < seconds], 0, is_drum=True)
        for track in score.tracks
    )
    audio = render_score(Score(score.ticks_per_quarter, tracks, score.tempos))
    mono = audio[: round(seconds * RENDERED_RATE)].mean(axis=1)
    return _fitted(resample(mono, RENDERED_RATE, SAMPLE_RATE), num_samples)


def _wavering(audio: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the sound with vibrato and a slow wandering of pitch, by reading it at moving instants."""
    seconds = np.arange(len(audio)) / SAMPLE_RATE
    rate, cents = rng.uniform(4.5, 7), rng.uniform(5, 60)
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * seconds + rng.uniform(0, 6))
    depth = (2 ** (cents / 1200) - 1) / (2 * np.pi * rate)
    shift = depth * swell * np.sin(2 * np.pi * rate * seconds + rng.uniform(0, 6))
    drift, slow = rng.uniform(0, 25), rng.uniform(0.2, 0.8)
    shift += (2 ** (drift / 1200) - 1) / (2 * np.pi * slow) * np.sin(2 * np.pi * slow * seconds)
    return np.interp(seconds + shift, seconds, audio).astype(np.float32)


def spoil(audio: NDArray[np.float32], kind: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the sound as a poor recording of it would be.

    Parameters
    ----------
    audio : array, shape (num_samples,)
        At SAMPLE_RATE, at about -20 dB.
    kind : {"room", "noise", "filter", "codec", "clipping"}
    rng : Generator
        Decides how strongly.
    """
    if kind == "room":
        length = round(rng.uniform(0.15, 1.0) * SAMPLE_RATE)
        tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
        size = 1 << (len(audio) + length).bit_length()
        dull = 1 / (1 + (np.fft.rfftfreq(size, 1 / SAMPLE_RATE) / rng.uniform(1500, 8000)) ** 2)
        response = np.fft.rfft(tail / np.sqrt((tail**2).sum()), size) * dull
        wet = np.fft.irfft(np.fft.rfft(audio, size) * response, size)[: len(audio)]
        return (audio + rng.uniform(0.1, 0.7) * wet).astype(np.float32)
    if kind == "noise":
        spectrum = np.fft.rfft(rng.standard_normal(len(audio)))
        frequency = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
        spectrum *= (np.maximum(frequency, 40) / 1000) ** -rng.uniform(0, 1)  # from white to brown
        noise = np.fft.irfft(spectrum, len(audio)).astype(np.float32)
        if rng.random() < 0.2:  # hum of the mains
            seconds = np.arange(len(audio), dtype=np.float32) / SAMPLE_RATE
            noise += sum(np.sin(2 * np.pi * 50 * k * seconds) / k for k in (1, 2, 3)) * noise.std()
        return audio + at_level(noise, reference_level(audio) - rng.uniform(12, 45))
    if kind == "filter":
        spectrum = np.fft.rfft(audio)
        octave = np.log2(np.maximum(np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE), 20) / 20)
        knots = np.arange(0, 9.1, 1.5)
        gain_db = np.interp(octave, knots, rng.normal(0, 5, len(knots)))
        if rng.random() < 0.4:
            gain_db -= np.maximum(octave - np.log2(rng.uniform(1500, 6000) / 20), 0) * 18  # low-pass
        if rng.random() < 0.3:
            gain_db -= np.maximum(np.log2(rng.uniform(60, 300) / 20) - octave, 0) * 12  # small loudspeaker
        return np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(audio)).astype(np.float32)
    if kind == "codec":
        import soundfile

        container, encoding = [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")][int(rng.integers(2))]
        stream = io.BytesIO()
        with soundfile.SoundFile(stream, "w", SAMPLE_RATE, 1, encoding, format=container,
                                 compression_level=float(rng.uniform(0.6, 1.0))) as sound:  # fmt: skip
            for start in range(0, len(audio), 1 << 15):
                sound.write(np.clip(audio[start : start + (1 << 15)], -1, 1))
        stream.seek(0)
        decoded = np.asarray(soundfile.read(stream, dtype="float32")[0], dtype=np.float32)
        return _fitted(decoded, len(audio))
    if kind == "clipping":
        ceiling = 10 ** ((reference_level(audio) + rng.uniform(0, 9)) / 20)
        soft = ceiling * np.tanh(audio / ceiling)
        return soft.astype(np.float32) if rng.random() < 0.5 else np.clip(audio, -ceiling, ceiling)
    raise ValueError(f"unknown kind of damage {kind!r}")


def _spoil(audio: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    for kind, share in (("room", 0.3), ("filter", 0.4), ("clipping", 0.1), ("noise", 0.4), ("codec", 0.25)):
        if rng.random() < share:
            audio = spoil(at_level(audio, -20.0), kind, rng)
    return audio
