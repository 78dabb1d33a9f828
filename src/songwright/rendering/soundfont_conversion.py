"""SoundFonts cut down to the notes of a song, for a synthesizer that reads plain SF2 and ignores modulators.

Knows zones, generators and modulators. Every zone written is *flat*: preset and instrument generators are added up,
and modulators driven by velocity or key are evaluated and baked into the generators, band by band. Leaves files to
`rendering.soundfont`. Units are those of the format: cents, timecents, centibels.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError
from songwright.rendering.soundfont import RECORDS, Preset, SoundFont

# Generator numbers (specification, 8.1.2).
_INSTRUMENT_INDEX, _KEY_RANGE, _VELOCITY_RANGE, _ATTENUATION, _SAMPLE_INDEX = 41, 43, 44, 48, 53
_NUM_GENERATORS = 59
_DEFAULTS = {8: 13500, 21: -12000, 23: -12000, 25: -12000, 26: -12000, 27: -12000, 28: -12000, 30: -12000, 33: -12000,
             34: -12000, 35: -12000, 36: -12000, 38: -12000, 46: -1, 47: -1, 56: 100, 58: -1}  # fmt: skip
# Sample addresses, ranges and the like: allowed in instruments only, never added to.
_NOT_ADDED = frozenset({0, 1, 2, 3, 4, 12, 41, 43, 44, 45, 46, 47, 50, 53, 54, 57, 58})
_CUTOFF, _ENVELOPE_TO_CUTOFF = 8, 11
_ENVELOPE_ATTACK, _ENVELOPE_HOLD, _ENVELOPE_DECAY, _ENVELOPE_SUSTAIN, _ENVELOPE_RELEASE = 26, 27, 28, 29, 30
_OPEN = 13500  # cutoff of an open filter, 20 kHz, in cents
_BRIGHT, _AT_ONCE = 12300, -7973  # 10 kHz in cents; 10 ms in timecents
# Limits that modulators may not push a generator past: a negative filter Q makes the synthesizer's filter explode.
_LIMITS = {_CUTOFF: (1500, _OPEN), 9: (0, 960), 17: (-500, 500), 29: (0, 1000), 37: (0, 1440)}
_CHORUS, _REVERB = 15, 16  # sends to the synthesizer's own effects, which we replace

# Sources of modulators: controller in bits 0-6, then flags (specification, 8.2).
_VELOCITY, _KEY, _CONTROLLER, _DESCENDING, _BIPOLAR = 2, 3, 0x80, 0x100, 0x200
_VELOCITY_TO_ATTENUATION = (0x0502, _ATTENUATION, 0, 0)
_EMU_ATTENUATION = 0.4  # E-mu hardware, and every synthesizer since, applies 40 % of the attenuation generator
_BAND = 4  # width of the velocity and key bands over which a baked modulator is constant

_COMPRESSED, _ROM = 0x10, 0x8000  # sample types
_GUARD = 46  # silent sample points the specification asks for after each sample

_Modulators: TypeAlias = dict[tuple[int, int, int, int], int]


class _Zone(NamedTuple):
    keys: tuple[int, int]
    velocities: tuple[int, int]
    generators: dict[int, int]
    modulators: _Modulators


_SILENT_ZONE = _Zone((0, 127), (0, 0), {_SAMPLE_INDEX: -1}, {})


def convert_soundfont(font: SoundFont, notes: Mapping[Preset, NDArray[np.integer]] | None = None) -> bytes:
    """Return an SF2 holding what the given notes need, its modulators baked into the zones.

    Parameters
    ----------
    font : SoundFont
    notes : mapping of Preset to array of int, shape (num_notes, 2)
        Pitch and velocity of the notes to be played with each preset. A preset that the font lacks is
        replaced by its General MIDI stand-in. None converts every preset for every note.

    Returns
    -------
    bytes
        An SF2 file, 16 bit.

    Raises
    ------
    InputError
        If the tables or a sample are damaged.

    Notes
    -----
    Curves of modulators, and the velocity law that a modulator of the font may replace, follow FluidSynth.
    Modulators driven by MIDI controllers are left out: we play without controllers.
    """
    wanted = dict.fromkeys(font.presets) if notes is None else dict(notes)
    try:
        instruments = [
            (preset, list(_flat_zones(font, font.preset_index(preset), _sounding(played))))
            for preset, played in wanted.items()
        ]
        return _write(font, instruments)
    except (IndexError, KeyError, ValueError, struct.error, OverflowError) as error:
        raise InputError(f"SoundFont {font.path} is damaged ({error}): use another font") from None


def _zones(font: SoundFont, kind: bytes, index: int) -> list[_Zone]:
    """Return the zones of a preset (`kind` b"p") or instrument (b"i") that play, the global zone merged in."""
    headers = font.records[b"phdr" if kind == b"p" else b"inst"]
    bags, generators, modulators = (font.records[kind + name] for name in (b"bag", b"gen", b"mod"))
    last_generator = _INSTRUMENT_INDEX if kind == b"p" else _SAMPLE_INDEX
    shared, zones = _Zone((0, 127), (0, 127), {}, {}), []
    first, end = int(headers["bag"][index]), int(headers["bag"][index + 1])
    for bag in range(first, end):
        rows = generators[int(bags["generator"][bag]) : int(bags["generator"][bag + 1])].tolist()
        ranges = {kind: (amount & 0xFF, amount >> 8 & 0xFF) for kind, amount in rows if kind in (43, 44)}
        own = {kind: amount for kind, amount in rows if kind not in (43, 44) and kind < _NUM_GENERATORS}
        rules: _Modulators = {
            (source, target, amount_source, transform): amount
            for source, target, amount, amount_source, transform in modulators[
                int(bags["modulator"][bag]) : int(bags["modulator"][bag + 1])
            ].tolist()
        }
        zone = _Zone(
            ranges.get(_KEY_RANGE, shared.keys),
            ranges.get(_VELOCITY_RANGE, shared.velocities),
            shared.generators | own,
            shared.modulators | rules,
        )
        if last_generator in own:
            zones.append(zone)
        elif bag == first:
            shared = zone
    return zones


def _sounding(played: NDArray[np.integer] | None) -> NDArray[np.bool_]:
    """Return which of the (pitch, velocity) pairs are played, shape (128, 128)."""
    if played is None:
        return np.ones((128, 128), dtype=np.bool_)
    sounding = np.zeros((128, 128), dtype=np.bool_)
    sounding[played[:, 0], played[:, 1]] = True
    return sounding


def _flat_zones(font: SoundFont, preset: int, sounding: NDArray[np.bool_]) -> Iterator[_Zone]:
    """Yield the zones of a preset that the notes sound, absolute and without modulators."""
    for outer in _zones(font, b"p", preset):
        for inner in _zones(font, b"i", outer.generators[_INSTRUMENT_INDEX]):
            keys = (max(outer.keys[0], inner.keys[0]), min(outer.keys[1], inner.keys[1]))
            velocities = (max(outer.velocities[0], inner.velocities[0]), min(outer.velocities[1], inner.velocities[1]))
            if not sounding[keys[0] : keys[1] + 1, velocities[0] : velocities[1] + 1].any():
                continue
            if int(font.records[b"shdr"]["type"][inner.generators[_SAMPLE_INDEX]]) & _ROM:
                continue
            generators = _DEFAULTS | inner.generators
            for kind, amount in outer.generators.items():
                if kind not in _NOT_ADDED:
                    generators[kind] = generators.get(kind, 0) + amount
            modulators = {_VELOCITY_TO_ATTENUATION: 960} | inner.modulators
            for rule, amount in outer.modulators.items():
                modulators[rule] = modulators.get(rule, 0) + amount
            yield from _bake(_Zone(keys, velocities, generators, modulators), sounding)


def _bake(zone: _Zone, sounding: NDArray[np.bool_]) -> Iterator[_Zone]:
    """Yield the zone in bands of key and velocity, the modulators added to the generators of each band."""
    rules = {
        rule: amount
        for rule, amount in zone.modulators.items()
        if amount and rule[1] < _NUM_GENERATORS and all(_is_of_note(source) for source in (rule[0], rule[2]))
    }
    if rules.get(_VELOCITY_TO_ATTENUATION) == 960:
        del rules[_VELOCITY_TO_ATTENUATION]  # the synthesizer's own law
        is_own_law = True
    else:
        is_own_law = False
    sources = {source & 0x7F for rule in rules for source in (rule[0], rule[2])}
    key_step = _BAND if _KEY in sources else 128
    velocity_step = _BAND if _VELOCITY in sources or not is_own_law else 128
    for low_key, high_key in _bands(zone.keys, key_step):
        for low_velocity, high_velocity in _bands(zone.velocities, velocity_step):
            if not sounding[low_key : high_key + 1, low_velocity : high_velocity + 1].any():
                continue
            key, velocity = (low_key + high_key) / 2, max((low_velocity + high_velocity) / 2, 1.0)
            generators, attenuation = dict(zone.generators), 0.0
            for (source, target, amount_source, _), amount in rules.items():
                change = (
                    amount
                    * _curve(source, key, velocity)
                    * (_curve(amount_source, key, velocity) if amount_source else 1)
                )
                if target == _ATTENUATION:
                    attenuation += change
                else:
                    generators[target] = generators.get(target, 0) + round(change)
            own_law = 0.0 if is_own_law else 400 * math.log10(127 / velocity)
            attenuation += _EMU_ATTENUATION * generators.get(_ATTENUATION, 0)
            generators[_ATTENUATION] = round((max(attenuation, 0.0) - own_law) / _EMU_ATTENUATION)
            yield _Zone((low_key, high_key), (low_velocity, high_velocity), _calm_filter(generators), {})


def _calm_filter(generators: dict[int, int]) -> dict[int, int]:
    """Return the generators with a filter envelope that the synthesizer plays without ringing or clicking.

    Its filter rings where the cutoff falls through 24 kHz, and clicks where it leaps far up to the highs: it may only
    double every 64 samples. An envelope that would rise past the open filter and sink back therefore becomes one that
    holds it open for as long; one that rises at once above 10 kHz starts an octave below, and sinks no further.
    """
    cutoff, rise = generators[_CUTOFF], generators.get(_ENVELOPE_TO_CUTOFF, 0)
    top = min(cutoff + rise, _OPEN)
    if rise <= 0 or top <= _BRIGHT:
        return generators
    floor = min(max(cutoff, top - 1200) if generators[_ENVELOPE_ATTACK] <= _AT_ONCE else cutoff, top - 1)
    share = (top - floor) / rise  # of the envelope that is left
    hold, decay = (2 ** (generators[kind] / 1200) for kind in (_ENVELOPE_HOLD, _ENVELOPE_DECAY))
    time_above = min((cutoff + rise - top) / rise, 1.0) * decay
    sustained = cutoff + rise * (1 - generators.get(_ENVELOPE_SUSTAIN, 0) / 1000)
    shorter = round(1200 * math.log2(share))
    return generators | {
        _CUTOFF: floor,
        _ENVELOPE_TO_CUTOFF: top - floor,
        _ENVELOPE_ATTACK: generators[_ENVELOPE_ATTACK] + shorter,
        _ENVELOPE_HOLD: round(1200 * math.log2(hold + time_above)),
        _ENVELOPE_DECAY: generators[_ENVELOPE_DECAY] + shorter,
        _ENVELOPE_SUSTAIN: round(1000 * (1 - min(max((sustained - floor) / (top - floor), 0.0), 1.0))),
        _ENVELOPE_RELEASE: generators[_ENVELOPE_RELEASE] + shorter,
    }


def _bands(span: tuple[int, int], step: int) -> Iterator[tuple[int, int]]:
    for low in range(span[0] - span[0] % step, span[1] + 1, step):
        yield max(low, span[0]), min(low + step - 1, span[1])


def _is_of_note(source: int) -> bool:
    """Whether a modulator's source is fixed by the note itself (or absent), not by a MIDI controller."""
    return not source & _CONTROLLER and source & 0x7F in (0, _VELOCITY, _KEY)


def _curve(source: int, key: float, velocity: float) -> float:
    """Return the value of a modulator's source, 0 to 1 or -1 to 1 (FluidSynth's curves); 0 for no controller."""
    controller = source & 0x7F
    if controller == 0:
        return 0.0
    value = (velocity if controller == _VELOCITY else key) / 127
    if source & _DESCENDING:
        value = 1 - value
    if not source & _BIPOLAR:
        return _shape(source >> 10, value)
    value = 2 * value - 1
    return math.copysign(_shape(source >> 10, abs(value)), value) if source >> 10 < 3 else math.copysign(1.0, value)


def _shape(kind: int, value: float) -> float:
    if kind == 0:
        return value
    if kind == 1:  # concave: decibels of a falling amplitude, full scale at 96 dB
        return min(-400 / 960 * math.log10(max(1 - value, 1e-9)), 1.0)
    if kind == 2:  # convex
        return 1 - min(-400 / 960 * math.log10(max(value, 1e-9)), 1.0)
    return 1.0 if value >= 0.5 else 0.0


def _sample_points(font: SoundFont, header: np.void) -> tuple[NDArray[np.int16], int]:
    """Return the points of a sample and the point that its loop addresses count from."""
    import soundfile

    start, end = int(header["start"]), int(header["end"])
    if not header["type"] & _COMPRESSED:
        points = np.frombuffer(font.samples[2 * start : 2 * end].tobytes(), "<i2")
        if len(points) != end - start:
            raise ValueError(f"sample {header['name'].decode(errors='replace')} is cut short")
        return points, start
    try:
        decoded, _ = soundfile.read(io.BytesIO(font.samples[start:end].tobytes()), dtype="int16", always_2d=True)
    except soundfile.LibsndfileError:
        raise ValueError(f"sample {header['name'].decode(errors='replace')} cannot be decoded") from None
    return np.ascontiguousarray(decoded[:, 0], dtype=np.int16), 0


def _check_addresses(generators: dict[int, int], sample: tuple[Any, ...]) -> None:
    """Raise ValueError if a zone moves the ends or the loop of its sample out of the sample."""
    start, end = sample[1], sample[2]
    moved = [
        address + generators.get(fine, 0) + 32768 * generators.get(coarse, 0)
        for address, fine, coarse in zip(sample[1:5], (0, 1, 2, 3), (4, 12, 45, 50), strict=True)
    ]
    if not (start <= moved[0] < moved[1] <= end + _GUARD and start <= moved[2] < moved[3] <= end + _GUARD):
        raise ValueError(f"a zone reads outside sample {sample[0].decode(errors='replace')}")


def _write(font: SoundFont, instruments: list[tuple[Preset, list[_Zone]]]) -> bytes:
    """Return an SF2 file with one instrument for each preset."""
    headers = font.records[b"shdr"]
    used = sorted({zone.generators[_SAMPLE_INDEX] for _, zones in instruments for zone in zones})
    new_index = {old: new for new, old in enumerate(used, start=1)}
    # Sample 0 is silence: a preset that sounds none of its notes keeps one zone, for the synthesizer needs one.
    sample_rows, points, position = (
        [(b"silence", 0, 1, 0, 1, 44100, 60, 0, 0, 1)],
        [np.zeros(1 + _GUARD, np.int16)],
        1 + _GUARD,
    )
    for old in used:
        header = headers[old]
        samples, origin = _sample_points(font, header)
        loop = [min(max(int(header[name]) - origin, 0), len(samples)) for name in ("loop_start", "loop_end")]
        if loop[0] >= loop[1]:
            loop = [0, len(samples)]
        sample_rows.append(
            (header["name"], position, position + len(samples), position + loop[0], position + loop[1],
             header["rate"], header["pitch"], header["correction"], 0, 1)
        )  # fmt: skip
        points += [samples, np.zeros(_GUARD, np.int16)]
        position += len(samples) + _GUARD
    sample_rows.append((b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0))

    generator_rows: list[tuple[int, int]] = []
    bag_rows, instrument_rows, preset_rows = [], [], []
    for number, (preset, zones) in enumerate(instruments):
        instrument_rows.append((f"{preset.bank}:{preset.program}".encode(), len(bag_rows)))
        preset_rows.append((f"{preset.bank}:{preset.program}".encode(), preset.program, preset.bank, number, (0, 0, 0)))
        for zone in zones or [_SILENT_ZONE]:
            bag_rows.append((len(generator_rows), 0))
            sample = new_index.get(zone.generators[_SAMPLE_INDEX], 0)
            _check_addresses(zone.generators, sample_rows[sample])
            (low_key, high_key), (low_velocity, high_velocity) = zone.keys, zone.velocities
            generator_rows += [
                (_KEY_RANGE, low_key | high_key << 8),
                (_VELOCITY_RANGE, low_velocity | high_velocity << 8),
            ]
            for kind, amount in sorted(zone.generators.items()):
                if kind not in (_SAMPLE_INDEX, _CHORUS, _REVERB) and amount != _DEFAULTS.get(kind, 0):
                    low, high = _LIMITS.get(kind, (-32768, 32767))
                    generator_rows.append((kind, min(max(amount, low), high)))
            generator_rows.append((_SAMPLE_INDEX, sample))
    if max(len(bag_rows), len(generator_rows)) > 0xFFFF:
        raise OverflowError("more zones than an SF2 can hold")
    num_presets = len(preset_rows)
    tables = {
        b"phdr": [*preset_rows, (b"EOP", 0, 0, num_presets, (0, 0, 0))],
        b"pbag": [(number, 0) for number in range(num_presets + 1)],
        b"pmod": [(0, 0, 0, 0, 0)],
        b"pgen": [*((_INSTRUMENT_INDEX, number) for number in range(num_presets)), (0, 0)],
        b"inst": [*instrument_rows, (b"EOI", len(bag_rows))],
        b"ibag": [*bag_rows, (len(generator_rows), 0)],
        b"imod": [(0, 0, 0, 0, 0)],
        b"igen": [*generator_rows, (0, 0)],
        b"shdr": sample_rows,
    }
    info = (
        _chunk(b"ifil", struct.pack("<HH", 2, 1)) + _chunk(b"isng", b"EMU8000\0") + _chunk(b"INAM", b"songwright\0\0")
    )
    wave = _chunk(b"smpl", b"".join(part.tobytes() for part in points))
    tables_data = b"".join(_chunk(name, np.array(rows, RECORDS[name]).tobytes()) for name, rows in tables.items())
    lists = [_chunk(b"LIST", name + body) for name, body in ((b"INFO", info), (b"sdta", wave), (b"pdta", tables_data))]
    return _chunk(b"RIFF", b"sfbk" + b"".join(lists))


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
