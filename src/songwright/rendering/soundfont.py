"""SoundFonts: finding one and reading SF2 and SF3.

Knows where fonts are kept and the tables of the SoundFont 2.04 file format [1]_ and of its compressed variant SF3
(samples are Ogg Vorbis streams, as written by MuseScore). Leaves the meaning of the tables to
`rendering.soundfont_conversion`.

References
----------
.. [1] "SoundFont Technical Specification", version 2.04, E-mu Systems, 2006.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError

SOUNDFONT_VARIABLE = "SONGWRIGHT_SOUNDFONT"
DRUM_BANK = 128

_BAG = [("generator", "<u2"), ("modulator", "<u2")]
_MODULATOR = [("source", "<u2"), ("target", "<u2"), ("amount", "<i2"), ("amount_source", "<u2"), ("transform", "<u2")]
_GENERATOR = [("kind", "<u2"), ("amount", "<i2")]
_PRESET = [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("reserved", "<u4", 3)]
_INSTRUMENT = [("name", "S20"), ("bag", "<u2")]
_SAMPLE = [("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"),
           ("rate", "<u4"), ("pitch", "u1"), ("correction", "i1"), ("link", "<u2"), ("type", "<u2")]  # fmt: skip
RECORDS = {
    name: np.dtype(fields)
    for name, fields in {
        b"phdr": _PRESET, b"pbag": _BAG, b"pmod": _MODULATOR, b"pgen": _GENERATOR, b"inst": _INSTRUMENT,
        b"ibag": _BAG, b"imod": _MODULATOR, b"igen": _GENERATOR, b"shdr": _SAMPLE,
    }.items()
}  # fmt: skip


class Preset(NamedTuple):
    """A preset of General MIDI: `bank` 0, or 128 for drum kits; `program` 0-127 counted from zero."""

    bank: int
    program: int


@dataclass(frozen=True, eq=False)
class SoundFont:
    """An SF2 or SF3 file in memory.

    Attributes
    ----------
    path : Path
    records : dict of bytes to structured ndarray
        The tables of the `pdta` list by chunk name, terminal records included.
    samples : ndarray of uint8, shape (num_bytes,)
        The `smpl` chunk: 16-bit points, or Ogg Vorbis streams in SF3.
    """

    path: Path
    records: dict[bytes, NDArray[np.void]]
    samples: NDArray[np.uint8]

    @cached_property
    def presets(self) -> dict[Preset, int]:
        """Index of every preset by bank and program."""
        headers = self.records[b"phdr"][:-1]
        return {Preset(int(header["bank"]), int(header["program"])): row for row, header in enumerate(headers)}

    def preset_index(self, preset: Preset) -> int:
        """Return the index of the preset, or of what General MIDI plays in its place."""
        standard = Preset(DRUM_BANK, 0) if preset.bank >= DRUM_BANK else Preset(0, preset.program)
        for candidate in (preset, standard):
            if candidate in self.presets:
                return self.presets[candidate]
        return self.presets[min(self.presets)]


def find_soundfont(path: Path | None = None) -> Path:
    """Return the SoundFont to play with.

    In this order: `path`; the environment variable `SONGWRIGHT_SOUNDFONT`; the font inside the package; the user's
    cache; the system's fonts; the plain font in the wheel of `pretty_midi`.

    Raises
    ------
    InputError
        If a font was named and is not there, or none is found.
    """
    named = path if path is not None else os.environ.get(SOUNDFONT_VARIABLE)
    if named:
        if not Path(named).is_file():
            origin = "" if path is not None else f" (from {SOUNDFONT_VARIABLE})"
            raise InputError(f"SoundFont {named}{origin} does not exist: name an .sf2 or .sf3 file")
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "songwright" / "fonts"
    places = [(Path(__file__).parent / "fonts", "*.sf[23]"), (cache, "*/*.sf[23]")]
    places += [(Path("/usr/share/sounds") / kind, f"*.{kind}") for kind in ("sf2", "sf3")]
    pretty_midi = find_spec("pretty_midi")
    for folder in (pretty_midi.submodule_search_locations if pretty_midi else None) or []:
        places.append((Path(folder), "*.sf2"))
    for folder, pattern in places:
        found = sorted(candidate for candidate in folder.glob(pattern) if candidate.is_file())
        if found:
            return found[0]
    raise InputError(f"no SoundFont to play with: set {SOUNDFONT_VARIABLE} to an .sf2 or .sf3 file")


def read_soundfont(path: Path) -> SoundFont:
    """Read the tables of an SF2 or SF3 file; its samples stay on disk until they are used.

    Raises
    ------
    InputError
        If the file cannot be read or is no sound SoundFont.
    """
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r")
        if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"sfbk":
            raise ValueError("it does not start as a SoundFont does")
        chunks: dict[bytes, NDArray[np.uint8]] = {}
        for name, body in _chunks(data[12:]):
            if name == b"LIST":
                chunks.update(_chunks(body[4:]))
        records = {}
        for name, dtype in RECORDS.items():
            body = chunks[name]
            records[name] = np.frombuffer(body.tobytes(), dtype, len(body) // dtype.itemsize)
        font = SoundFont(path, records, chunks[b"smpl"])
        if not font.presets:
            raise ValueError("it holds no preset")
    except KeyError as error:
        raise InputError(f"SoundFont {path} is damaged (no {error.args[0].decode()} chunk): use another font") from None
    except (OSError, ValueError, struct.error) as error:
        raise InputError(f"SoundFont {path} cannot be read ({error}): use another font") from None
    return font


def _chunks(data: NDArray[np.uint8]) -> Iterator[tuple[bytes, NDArray[np.uint8]]]:
    """Yield (name, body) of each RIFF chunk. MuseScore writes odd chunks without the padding byte."""
    start = 0
    while start + 8 <= len(data):
        name, size = bytes(data[start : start + 4]), int.from_bytes(bytes(data[start + 4 : start + 8]), "little")
        if start + 8 + size > len(data):
            raise ValueError("it is cut short")
        yield name, data[start + 8 : start + 8 + size]
        start += 8 + size
        if size % 2 and not bytes(data[start : start + 4]).isalpha():
            start += 1
