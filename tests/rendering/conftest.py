"""A tiny SoundFont, written here byte by byte so that the tests need no other's samples."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 44_000  # 100 points a cycle of 440 Hz
CYCLE = RATE // 440

# Generators and modulator sources of the SoundFont specification.
CUTOFF, RESONANCE, RELEASE, INSTRUMENT, KEYS, VELOCITIES, ATTENUATION, SAMPLE, MODES, ROOT = (
    8,
    9,
    38,
    41,
    43,
    44,
    48,
    53,
    54,
    58,
)
FALLING_CONCAVE_VELOCITY, RISING_VELOCITY = 0x0502, 0x0002
ENVELOPE_TO_CUTOFF, ENVELOPE_DECAY, ENVELOPE_SUSTAIN = 11, 28, 29


def _samples() -> list[np.ndarray]:
    points = np.arange(CYCLE * 200)
    sine = 0.5 * np.sin(2 * np.pi * points / CYCLE)
    noise = 0.3 * np.random.default_rng(1).uniform(-1, 1, len(points))
    return [sine, noise, 0.5 * sine]


# Program: instrument zones as (generators, modulators); the sample comes last, as the format asks.
PRESETS = {
    (0, 0): [([(MODES, 1), (SAMPLE, 0)], [])],
    (0, 1): [([(MODES, 1), (SAMPLE, 0)], [(FALLING_CONCAVE_VELOCITY, ATTENUATION, 0)])],  # velocity changes nothing
    (0, 2): [([(CUTOFF, 5500), (MODES, 1), (SAMPLE, 1)], [(RISING_VELOCITY, CUTOFF, 6000)])],  # brighter when louder
    (0, 3): [([(CUTOFF, 9000), (RESONANCE, 60), (MODES, 1), (SAMPLE, 1)], [(RISING_VELOCITY, RESONANCE, -160)])],
    (0, 5): [
        (
            [
                (CUTOFF, 6500),
                (ENVELOPE_TO_CUTOFF, 10500),
                (ENVELOPE_DECAY, 0),
                (ENVELOPE_SUSTAIN, 1000),
                (MODES, 1),
                (SAMPLE, 0),
            ],
            [],
        )
    ],
    (0, 4): [  # two layers
        ([(KEYS, 0 | 69 << 8), (MODES, 1), (SAMPLE, 0)], []),
        ([(KEYS, 70 | 127 << 8), (MODES, 1), (SAMPLE, 2)], []),
    ],
    (128, 0): [([(SAMPLE, 1)], [])],
}


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def write_tiny_font(path: Path, *, compressed: bool) -> Path:
    """Write the font as SF3 (Ogg Vorbis samples) or SF2."""
    wave, headers = b"", b""
    for number, sample in enumerate(_samples()):
        if compressed:
            stream = io.BytesIO()
            soundfile.write(stream, sample, RATE, format="OGG", subtype="VORBIS")
            start, body, origin, unit = len(wave), stream.getvalue(), 0, 1
        else:
            start, unit = len(wave) // 2, 2
            body, origin = np.rint(sample * 32767).astype("<i2").tobytes(), start
        wave += body
        loop = (origin + 50 * CYCLE, origin + 150 * CYCLE)
        headers += struct.pack(
            "<20sIIIIIBbHH", f"sample {number}".encode(), start, start + len(body) // unit, *loop, RATE, 69, 0, 0,
            0x11 if compressed else 1,
        )  # fmt: skip
        wave += b"" if compressed else bytes(92)
    headers += struct.pack("<20sIIIIIBbHH", b"EOS", *[0] * 9)
    presets = preset_bags = preset_generators = instruments = bags = modulators = generators = b""
    num_bags = num_modulators = num_generators = 0
    for number, ((bank, program), zones) in enumerate(PRESETS.items()):
        presets += struct.pack("<20sHHHIII", b"preset", program, bank, number, 0, 0, 0)
        preset_bags += struct.pack("<HH", number, 0)
        preset_generators += struct.pack("<Hh", INSTRUMENT, number)
        instruments += struct.pack("<20sH", b"instrument", num_bags)
        for zone_generators, zone_modulators in zones:
            bags += struct.pack("<HH", num_generators, num_modulators)
            num_bags += 1
            for kind, amount in zone_generators:
                generators += struct.pack("<Hh", kind, amount)
                num_generators += 1
            for source, target, amount in zone_modulators:
                modulators += struct.pack("<HHhHH", source, target, amount, 0, 0)
                num_modulators += 1
    tables = {
        b"phdr": presets + struct.pack("<20sHHHIII", b"EOP", 0, 0, len(PRESETS), 0, 0, 0),
        b"pbag": preset_bags + struct.pack("<HH", len(PRESETS), 0),
        b"pmod": bytes(10),
        b"pgen": preset_generators + bytes(4),
        b"inst": instruments + struct.pack("<20sH", b"EOI", num_bags),
        b"ibag": bags + struct.pack("<HH", num_generators, num_modulators),
        b"imod": modulators + bytes(10),
        b"igen": generators + bytes(4),
        b"shdr": headers,
    }
    lists = [
        (b"INFO", _chunk(b"ifil", struct.pack("<HH", 3 if compressed else 2, 1))),
        (b"sdta", _chunk(b"smpl", wave)),
        (b"pdta", b"".join(_chunk(name, body) for name, body in tables.items())),
    ]
    path.write_bytes(_chunk(b"RIFF", b"sfbk" + b"".join(_chunk(b"LIST", name + body) for name, body in lists)))
    return path


@pytest.fixture(scope="session")
def tiny_sf3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_font(tmp_path_factory.mktemp("fonts") / "tiny.sf3", compressed=True)


@pytest.fixture(scope="session")
def tiny_sf2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_font(tmp_path_factory.mktemp("fonts") / "tiny.sf2", compressed=False)
