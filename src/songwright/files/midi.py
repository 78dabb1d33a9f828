"""Standard MIDI files: bytes to `Score` and back.

Knows the file format and nothing of music. Reading is symusic's (13 million notes a second); writing is our own,
because the same score must give the same bytes with every version of every library.

Written files are format 1: track 0 is the conductor (tempo, meter, key, markers), then one file track per `Track`.
Text is UTF-8. Drum tracks are on channel 9, the others on 0-8 and 10-15 in turn: with more than fifteen, channels
are shared. A score that was written reads back equal, except for what the format or symusic cannot hold: a track
without notes and a marker without text are lost, a tempo is rounded to whole microseconds a quarter note, and of
notes of one pitch that overlap in one track the first to start is the first to end.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError
from songwright.files.writing import write_whole
from songwright.score.elements import (
    DRUM_CHANNEL,
    KeySignature,
    Marker,
    Score,
    TempoChange,
    TimeSignature,
    Track,
    notes_from_columns,
)

MAX_FILE_BYTES = 16 * 2**20
"""Largest file that is read. POP909 files have 30 kB; a three-hour orchestral score has 2 MB."""

MAX_PEDAL_QUARTERS = 16
"""Longest hold of the sustain pedal that is believed: 99.5 % of POP909's are under 13 quarter notes."""

_LAST_TICK = 2**31 - 1
_MICROSECONDS_PER_MINUTE = 60_000_000
_MAX_MICROSECONDS = 2**24 - 1  # three bytes in the tempo event: 3.58 quarter notes a minute
_MELODIC_CHANNELS = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)

_TEXT_TRACK_NAME, _TEXT_MARKER = 0x03, 0x06
_META_END, _META_TEMPO, _META_TIME, _META_KEY = 0x2F, 0x51, 0x58, 0x59


def read_midi(path: str | os.PathLike[str], *, apply_sustain: bool = False) -> Score:
    """Read a Standard MIDI File.

    Parameters
    ----------
    path : path
        A file of format 0 or 1 with ticks per quarter note (not SMPTE time).
    apply_sustain : bool
        Lengthen notes that end while the sustain pedal (controller 64 at 64 or more) is down until it is released, or
        until their pitch is struck again. The pedal acts on the notes of its own channel and file track; one that is
        never released, or held for more than MAX_PEDAL_QUARTERS, is taken for stuck and ignored, as is one in a
        percussion track.

    Returns
    -------
    Score
        In the ticks of the file. A file track with several channels or programs becomes several tracks. Tempos of 0,
        meters without beats and keys of more than seven accidentals are left out, as are tracks without notes.

    Raises
    ------
    InputError
        If the file is missing, too large, no MIDI file, or damaged.
    """
    file = Path(path)
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{file} is larger than {MAX_FILE_BYTES // 2**20} MiB: that is no MIDI file of a song.")
        data = file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{file} does not exist: give the path of a MIDI file.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): give the path of a MIDI file.") from None
    return score_from_midi_bytes(data, name=str(file), apply_sustain=apply_sustain)


def score_from_midi_bytes(data: bytes, *, name: str = "MIDI data", apply_sustain: bool = False) -> Score:
    """Read the bytes of a Standard MIDI File; `name` stands for them in errors. See `read_midi`."""
    _check_header(data, name)
    from symusic import Score as SymusicScore  # typed in part only, hence Any below

    try:
        parsed: Any = SymusicScore.from_midi(data)
        longest_pedal = MAX_PEDAL_QUARTERS * parsed.ticks_per_quarter if apply_sustain else 0
        tracks = tuple(_track(track, longest_pedal) for track in parsed.tracks if len(track.notes))
    except (RuntimeError, ValueError, OverflowError, UnicodeDecodeError, MemoryError) as error:
        reason = str(error).removeprefix("MiniMidi: ").splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{name} is a damaged MIDI file ({reason}): export it again.") from None
    score = Score(
        ticks_per_quarter=parsed.ticks_per_quarter,
        tracks=tracks,
        tempos=tuple(TempoChange(e.time, _tempo_from_microseconds(e.mspq)) for e in parsed.tempos if e.mspq > 0),
        time_signatures=tuple(
            TimeSignature(e.time, e.numerator, e.denominator)
            for e in parsed.time_signatures
            if e.numerator > 0 and e.denominator > 0
        ),
        key_signatures=tuple(
            KeySignature(e.time, e.key, e.tonality == 1) for e in parsed.key_signatures if -7 <= e.key <= 7
        ),
        markers=tuple(Marker(e.time, e.text) for e in parsed.markers),
    )
    if any(track.notes["onset_tick"][0] < 0 or track.notes["duration_tick"].min() < 0 for track in score.tracks):
        raise InputError(f"{name} is a damaged MIDI file (a note lies outside of time): export it again.")
    return score


def write_midi(path: str | os.PathLike[str], score: Score, *, title: str = "") -> None:
    """Write a score as a Standard MIDI File, whole or not at all. See `midi_bytes`.

    Raises
    ------
    OutputError
        If the file cannot be written there.
    """
    write_whole(path, midi_bytes(score, title=title))


def midi_bytes(score: Score, *, title: str = "") -> bytes:
    """Return a score as the bytes of a Standard MIDI File, format 1; equal scores give equal bytes.

    Parameters
    ----------
    score : Score
    title : str
        Name of the conductor track, which players show as the name of the piece; none if empty.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If a value has no place in a MIDI file: more than 32,767 ticks a quarter, a tempo under 3.58 or over 60 million,
        a pitch above 127, a velocity of 0.

    Examples
    --------
    >>> midi_bytes(Score(480, ()))[:14].hex()
    '4d546864000000060001000101e0'
    """
    if score.ticks_per_quarter > 0x7FFF:
        raise ValueError(f"a MIDI file has at most 32767 ticks a quarter note, got {score.ticks_per_quarter}")
    chunks = [_chunk(_conductor_events(score, title))]
    num_melodic = 0
    for track in score.tracks:
        channel = DRUM_CHANNEL if track.is_drum else _MELODIC_CHANNELS[num_melodic % len(_MELODIC_CHANNELS)]
        num_melodic += not track.is_drum
        chunks.append(_chunk(_track_events(track, channel)))
    header = struct.pack(">4sIHHH", b"MThd", 6, 1, len(chunks), score.ticks_per_quarter)
    return header + b"".join(chunks)


def _check_header(data: bytes, name: str) -> None:
    if len(data) < 22 or data[:4] != b"MThd":
        raise InputError(f"{name} is not a MIDI file: a MIDI file starts with MThd.")
    length, midi_format, num_tracks, division = struct.unpack(">IHHH", data[4:14])
    if length != 6 or midi_format > 1:
        raise InputError(f"{name} is a MIDI file of a kind we cannot read (format {midi_format}): save it as format 1.")
    if division & 0x8000 or division == 0:
        raise InputError(f"{name} counts time in film frames, not in beats: save it with ticks per quarter note.")
    # A chunk is at least 8 bytes: a header that promises more tracks than fit is damaged.
    if num_tracks * 8 > len(data) - 14:
        raise InputError(f"{name} is a damaged MIDI file (it ends too early): export it again.")


def _track(track: Any, longest_pedal: int) -> Track:
    columns = track.notes.numpy()
    notes = notes_from_columns(columns["time"], columns["duration"], columns["pitch"], columns["velocity"])
    if longest_pedal and not track.is_drum and len(track.pedals):
        pedals = track.pedals.numpy()
        is_sound = (pedals["duration"] > 0) & (pedals["duration"] <= longest_pedal)
        notes["duration_tick"] = _sustained(notes, pedals["time"][is_sound], pedals["duration"][is_sound])
    return Track(track.name, notes, track.program, track.is_drum)


def _sustained(notes: NDArray[np.void], down: NDArray[np.int32], held: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the durations of sorted notes under the pedals of their channel, pressed at `down` for `held` ticks."""
    onset, pitch = notes["onset_tick"].astype(np.int64), notes["pitch"]
    end = onset + notes["duration_tick"]
    if not len(down):
        return end - onset
    release = down.astype(np.int64) + held
    # A pedal pressed at the tick where a note ends comes after it: files put both on the bar line.
    pedal = np.maximum(np.searchsorted(down, end, side="left") - 1, 0)
    key = pitch.astype(np.int64) * (_LAST_TICK + 1) + onset
    ordered = np.sort(key)
    following = np.append(ordered, np.iinfo(np.int64).max)[np.searchsorted(ordered, key, side="right")]
    longer = np.minimum(release[pedal] - onset, following - key)  # a higher pitch comes later than any tick
    return np.where(down[pedal] < end, np.maximum(end - onset, longer), end - onset)


@lru_cache(4096)
def _tempo_from_microseconds(microseconds: int) -> float:
    """Return the shortest decimal that is written as that many microseconds a quarter: 810811 gives 74.0."""
    exact = _MICROSECONDS_PER_MINUTE / microseconds
    rounded = (round(exact, digits) for digits in range(12))
    return next((q for q in rounded if q > 0 and round(_MICROSECONDS_PER_MINUTE / q) == microseconds), exact)


def _conductor_events(score: Score, title: str) -> list[tuple[int, bytes]]:
    events = [(0, _text(_TEXT_TRACK_NAME, title))] if title else []
    for tick, tempo_qpm in score.tempos:
        microseconds = round(_MICROSECONDS_PER_MINUTE / tempo_qpm) if tempo_qpm > 0 else 0
        if not 0 < microseconds <= _MAX_MICROSECONDS:
            raise ValueError(f"a MIDI file cannot hold a tempo of {tempo_qpm} quarter notes a minute")
        events.append((tick, _meta(_META_TEMPO, microseconds.to_bytes(3, "big"))))
    for tick, numerator, denominator in score.time_signatures:
        if not 0 < numerator < 256 or denominator < 1 or denominator & (denominator - 1):
            raise ValueError(f"a MIDI file cannot hold a time signature of {numerator}/{denominator}")
        # 24 MIDI clocks a metronome click and 8 thirty-seconds a quarter, the values of nearly every file.
        events.append((tick, _meta(_META_TIME, bytes((numerator, int(math.log2(denominator)), 24, 8)))))
    for tick, fifths, is_minor in score.key_signatures:
        if not -7 <= fifths <= 7:
            raise ValueError(f"a key signature has at most seven accidentals, got {fifths}")
        events.append((tick, _meta(_META_KEY, bytes((fifths & 0xFF, is_minor)))))
    events.extend((tick, _text(_TEXT_MARKER, text)) for tick, text in score.markers)
    return sorted(events, key=lambda event: event[0])  # stable: equal ticks keep this order


def _track_events(track: Track, channel: int) -> list[tuple[int, bytes]]:
    notes = track.notes
    if len(notes):
        low = [int(notes[field].min()) for field in ("onset_tick", "duration_tick", "pitch", "velocity")]
        if low[0] < 0 or low[1] < 0 or low[2] < 0 or low[3] < 1:
            raise ValueError(f"track {track.name!r} has a note with a negative value, or of velocity 0")
        if notes["pitch"].max() > 127 or notes["velocity"].max() > 127:
            raise ValueError(f"track {track.name!r} has a note of pitch or velocity above 127")
    # At one tick a note that ends comes before one that starts, so that a repeated pitch is not cut off.
    timed: list[tuple[int, int, bytes]] = []
    for onset, duration, pitch, velocity in notes.tolist():
        off = bytes((0x80 | channel, pitch, 0))
        timed.append((onset, 1, bytes((0x90 | channel, pitch, velocity))))
        timed.append((onset + duration, 1 if duration == 0 else 0, off))
    timed.sort(key=lambda event: event[:2])
    start = [(0, _text(_TEXT_TRACK_NAME, track.name)), (0, bytes((0xC0 | channel, track.program)))]
    return start + [(tick, message) for tick, _, message in timed]


def _chunk(events: Iterable[tuple[int, bytes]]) -> bytes:
    body = bytearray()
    previous_tick = 0
    for tick, message in events:
        if tick < previous_tick:
            raise ValueError(f"an event lies at tick {tick}, before the start of the piece")
        body += _variable_length(tick - previous_tick) + message
        previous_tick = tick
    body += _variable_length(0) + _meta(_META_END, b"")
    return struct.pack(">4sI", b"MTrk", len(body)) + bytes(body)


def _meta(kind: int, data: bytes) -> bytes:
    return bytes((0xFF, kind)) + _variable_length(len(data)) + data


def _text(kind: int, text: str) -> bytes:
    return _meta(kind, text.encode("utf-8", errors="replace"))


def _variable_length(value: int) -> bytes:
    if value >= 1 << 28:
        raise ValueError(f"a MIDI file cannot hold a gap of {value} ticks")
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))
