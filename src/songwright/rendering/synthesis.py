"""Synthesis and mixing: a Score becomes stereo audio.

Every track is rendered alone by `midirenderer` (rustysynth; 48 kHz, 16 bit) from a SoundFont cut down to the notes it
plays, then mixed in float: a level for each role in loudness units, a place in the stereo picture and a send to one
reverberation. Leaves fonts to `rendering.soundfont`, final loudness and peaks to `rendering.mastering`.

The balance between tracks is the mixer's: velocities shape a track from within. Ticks follow the score; audio is
float32, shape (num_samples, 2), full scale 1.0.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.errors import SongwrightError
from songwright.rendering.filtering import filtered
from songwright.rendering.mastering import integrated_loudness
from songwright.rendering.soundfont import DRUM_BANK, Preset, SoundFont, find_soundfont, read_soundfont
from songwright.rendering.soundfont_conversion import convert_soundfont
from songwright.score.elements import DRUM_CHANNEL, Score, Track

SAMPLE_RATE = 48_000
"""Sampling rate of everything rendered, in Hz."""

_TAIL_SECONDS = 3.0  # the synthesizer stops at the last event: room for the release of the last notes
_LEAD_LOUDNESS = -20.0  # LUFS of the lead in the mix; mastering sets the final level
_FULL_VOLUME, _SAFE_VOLUME = 127, 50  # channel volumes; the second is 16 dB lower, for stems that clip
_SILENCE = 10 ** (-75 / 20)  # relative to the peak of the mix: the end is cut where it falls below
_FADE_SECONDS = 0.05
_PIECE = 1 << 17  # samples mixed at a time: they fit the cache

_PARALLEL_NOTES = 200  # below, starting processes costs more than it saves
_WORKER = (
    "import struct, sys, midirenderer; stream = sys.stdin.buffer; size, = struct.unpack('<Q', stream.read(8)); "
    "font = stream.read(size); sys.stdout.buffer.write(midirenderer.render_wave_from(font, stream.read()))"
)


@dataclass(frozen=True)
class MixSettings:
    """How the tracks of one role sit in the mix."""

    level_lu: float
    """Loudness relative to the lead, in LU."""
    reverb: float
    """Send to the reverberation, as an amplitude."""
    width: float = 0.0
    """How far the tracks of the role are spread from the middle, 0 to 1."""


MIX = {
    "lead": MixSettings(0.0, 0.25),
    "counter": MixSettings(-3.5, 0.25, 0.25),
    "keys": MixSettings(-3.0, 0.18, 0.15),
    "pad": MixSettings(-7.0, 0.3, 0.3),
    "bass": MixSettings(-4.0, 0.03),
    "drums": MixSettings(-2.5, 0.1),
}
"""Settings by role: starting points after common practice, tuned on no listeners."""

_NAMED_ROLES = {"MELODY": "lead", "LEAD": "lead", "VOCAL": "lead", "BRIDGE": "counter"}
_BASS_PROGRAMS, _PAD_PROGRAMS = range(32, 40), (*range(48, 55), *range(88, 96))

# Reverberation: band edges in Hz and seconds to -60 dB, like a small hall with soft walls.
_REVERB_BANDS = (
    (180, 500, 1.5),
    (500, 1000, 1.6),
    (1000, 2000, 1.4),
    (2000, 4000, 1.1),
    (4000, 7000, 0.8),
    (7000, 12000, 0.5),
)
_REVERB_DELAY_SECONDS, _REVERB_RISE_SECONDS, _REVERB_SECONDS = 0.02, 0.01, 1.6


def render_score(
    score: Score, *, soundfont: Path | None = None, progress: Callable[[float], None] | None = None
) -> NDArray[np.float32]:
    """Return the sound of a score, mixed but not mastered.

    Parameters
    ----------
    score : Score
        Played at its own tempos. A note is cut where the next of its pitch starts in the same track.
    soundfont : Path, optional
        SF2 or SF3 file; by default what `find_soundfont` finds.
    progress : callable, optional
        Told the fraction done, 0 to 1.

    Returns
    -------
    array of float32, shape (num_samples, 2)
        At `SAMPLE_RATE`; longer than the score by the decay of the last notes. Silence of 0.5 s if there are no notes.

    Raises
    ------
    InputError
        If there is no SoundFont, or it is damaged.
    SongwrightError
        If the synthesizer fails.
    """
    tracks = [track for track in score.tracks if len(track.notes)]
    report = progress if progress is not None else _ignore
    if not tracks:
        report(1.0)
        return np.zeros((SAMPLE_RATE // 2, 2), dtype=np.float32)
    font = read_soundfont(find_soundfont(soundfont))
    stems: list[NDArray[np.float32]] = []
    for stem in _render_stems(font, score, tracks):
        stems.append(stem)
        report(0.7 * len(stems) / len(tracks))
    mix = _mix(tracks, stems)
    report(1.0)
    return mix


def _ignore(fraction: float) -> None:
    del fraction


def _stem_midi(score: Score, track: Track, volume: int) -> bytes:
    """Return a Standard MIDI File with one track, dry, on one channel."""
    channel = DRUM_CHANNEL if track.is_drum else 0
    tempos = score.tempos or ((0, 120.0),)
    # Order within a tick: tempo and set-up, ends of notes, starts of notes.
    events = [(max(tick, 0), 0, b"\xff\x51\x03" + round(60e6 / qpm).to_bytes(3, "big")) for tick, qpm in tempos]
    events.append((0, 0, bytes([0xC0 | channel, track.program])))
    events += [(0, 0, bytes([0xB0 | channel, *setting])) for setting in ((7, volume), (91, 0), (93, 0))]
    notes = track.notes[np.lexsort((track.notes["onset_tick"], track.notes["pitch"]))]
    onset, pitch = notes["onset_tick"].astype(np.int64), notes["pitch"]
    end = onset + np.maximum(notes["duration_tick"], 1)
    struck_again = np.r_[pitch[1:] == pitch[:-1], False]
    end = np.where(struck_again, np.minimum(end, np.r_[onset[1:], 0]), end)
    for start, stop, key, velocity in zip(
        onset.tolist(), end.tolist(), pitch.tolist(), notes["velocity"].tolist(), strict=True
    ):
        if stop > start >= 0:
            events.append((start, 2, bytes([0x90 | channel, key, velocity])))
            events.append((stop, 1, bytes([0x80 | channel, key, 0])))
    events.sort(key=lambda event: event[:2])
    last_tick = max(event[0] for event in events)
    tail = round(_TAIL_SECONDS * score.ticks_per_quarter * tempos[-1][1] / 60)
    events.append((last_tick + tail, 3, b"\xff\x2f\x00"))
    body, now = bytearray(), 0
    for tick, _, message in events:
        body += _variable_length(tick - now) + message
        now = tick
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, score.ticks_per_quarter)
    return header + b"MTrk" + struct.pack(">I", len(body)) + bytes(body)


def _variable_length(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def _render_stems(font: SoundFont, score: Score, tracks: list[Track]) -> Iterator[NDArray[np.float32]]:
    """Yield the sound of each track in order, shape (num_samples, 2); in processes where that is faster."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    num_workers = min(len(tracks), num_cores)
    if num_workers > 1 and sum(len(track.notes) for track in tracks) > _PARALLEL_NOTES:
        with ThreadPoolExecutor(num_workers) as pool:
            yield from pool.map(partial(_stem, _render_in_process, font, score), tracks)
    else:
        for track in tracks:
            yield _stem(_render_here, font, score, track)


def _stem(render: Callable[[bytes, bytes], bytes], font: SoundFont, score: Score, track: Track) -> NDArray[np.float32]:
    preset = Preset(DRUM_BANK if track.is_drum else 0, track.program)
    played = np.unique(np.stack([track.notes["pitch"], track.notes["velocity"]], axis=1), axis=0)
    track_font = convert_soundfont(font, {preset: played})
    for volume in (_FULL_VOLUME, _SAFE_VOLUME):
        wave = render(track_font, _stem_midi(score, track, volume))
        start = wave.index(b"data") + 8
        samples = np.frombuffer(wave, "<i2", (len(wave) - start) // 2, start).reshape(-1, 2)
        if int(samples.min(initial=0)) > -32767 and int(samples.max(initial=0)) < 32767:
            break  # the synthesizer clips at full scale: once more, softer
    return samples * np.float32((_FULL_VOLUME / volume) ** 2 / 32768)


def _render_here(font: bytes, midi: bytes) -> bytes:
    import midirenderer

    try:
        return midirenderer.render_wave_from(font, midi)
    except BaseException as error:
        # A panic in Rust arrives as an exception that is no Exception and whose class cannot be imported.
        if isinstance(error, RuntimeError) or type(error).__name__ == "PanicException":
            raise SongwrightError(f"the synthesizer failed ({error}): use another SoundFont") from None
        raise


def _render_in_process(font: bytes, midi: bytes) -> bytes:
    # midirenderer holds the interpreter's lock, so threads do not help; a bare interpreter starts in 0.03 s.
    command = [sys.executable, "-P", "-c", _WORKER]
    done = subprocess.run(command, input=struct.pack("<Q", len(font)) + font + midi, capture_output=True, check=False)
    if done.returncode < 0:  # by a signal, such as Ctrl-C: what stopped it there would stop us here
        raise SongwrightError(f"the synthesizer was stopped (signal {-done.returncode}): run the command again")
    return done.stdout if done.returncode == 0 else _render_here(font, midi)


def _role(track: Track) -> str:
    if track.is_drum:
        return "drums"
    if track.program in _BASS_PROGRAMS or track.name.upper() == "BASS":
        return "bass"
    return _NAMED_ROLES.get(track.name.upper(), "pad" if track.program in _PAD_PROGRAMS else "keys")


def _mix(tracks: list[Track], stems: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the stems levelled, placed and reverberated, cut where the sound has died away."""
    roles = [_role(track) for track in tracks]
    num_samples = max(map(len, stems)) + round((_REVERB_DELAY_SECONDS + _REVERB_SECONDS) * SAMPLE_RATE)
    mix = np.zeros((num_samples, 2), dtype=np.float32)
    send = np.zeros(num_samples, dtype=np.float32)
    for number, (role, stem) in enumerate(zip(roles, stems, strict=True)):
        settings = MIX[role]
        loudness = integrated_loudness(stem, SAMPLE_RATE)
        gain = 10 ** ((_LEAD_LOUDNESS + settings.level_lu - loudness) / 20) if np.isfinite(loudness) else 1.0
        place, num_places = roles[:number].count(role), roles.count(role)
        pan = settings.width * (2 * place / (num_places - 1) - 1) if num_places > 1 else 0.0
        gains = np.array([gain * min(1 - pan, 1), gain * min(1 + pan, 1)], dtype=np.float32)
        for start in range(0, len(stem), _PIECE):
            piece = stem[start : start + _PIECE]
            mix[start : start + len(piece)] += piece * gains
            send[start : start + len(piece)] += piece @ (gains * np.float32(settings.reverb / 2))
    for channel, reverberation in enumerate(_reverberate(send)):
        mix[:, channel] += reverberation
    return _trim(mix)


def _trim(mix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mix without the silence at its end, faded over the last samples."""
    threshold = max(float(mix.max()), -float(mix.min())) * _SILENCE
    fade = np.linspace(1, 0, round(_FADE_SECONDS * SAMPLE_RATE), dtype=np.float32)
    for start in reversed(range(0, len(mix), _PIECE)):
        sounding = np.flatnonzero((np.abs(mix[start : start + _PIECE]) > threshold).any(axis=1))
        if len(sounding):
            end = min(start + int(sounding[-1]) + len(fade), len(mix))
            mix[end - len(fade) : end] *= fade[:, None]
            return mix[:end]
    return mix[: SAMPLE_RATE // 2]


def _reverberate(send: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the reverberation of a mono signal in each ear, same length: a convolution with decaying noise [1]_.

    References
    ----------
    .. [1] J. A. Moorer, "About this reverberation business", Computer Music Journal 3(2), 1979.
    """
    return [
        np.concatenate([piece[0] for piece in filtered(response, send[:, None], 2 * _PIECE)])
        for response in _impulse_response()
    ]


@cache
def _impulse_response() -> NDArray[np.float32]:
    """Return the response of the room at `SAMPLE_RATE`, shape (2, num_samples), unit energy in each ear."""
    num_samples = round(_REVERB_SECONDS * SAMPLE_RATE)
    seconds = np.arange(num_samples) / SAMPLE_RATE
    spectrum = np.fft.rfft(np.random.default_rng(1979).standard_normal((2, num_samples)))
    frequency = np.fft.rfftfreq(num_samples, 1 / SAMPLE_RATE)
    response = np.zeros((2, num_samples))
    for low, high, decay_seconds in _REVERB_BANDS:
        band = np.fft.irfft(np.where((frequency >= low) & (frequency < high), spectrum, 0), num_samples)
        response += band * 10 ** (-3 * seconds / decay_seconds)
    response *= 1 - np.exp(-seconds / _REVERB_RISE_SECONDS)
    response /= np.sqrt((response**2).sum(axis=1, keepdims=True))
    delay = np.zeros((2, round(_REVERB_DELAY_SECONDS * SAMPLE_RATE)))
    return np.concatenate([delay, response], axis=1).astype(np.float32)
