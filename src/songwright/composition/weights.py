"""The trained weights that ship with the package, by style, and weights of one's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from songwright.engine.ngram import NgramDecoder
from songwright.engine.session import Decoder
from songwright.errors import ConfigError, WeightsError

PRECISIONS = ("int8", "fp32")
STREAMS = ("lead_sheet", "arrangement")


@dataclass(frozen=True)
class Style:
    """A style and the folder of its weights.

    Attributes
    ----------
    name, description : str
    path : Path
        Holds `style.json`, `originality.npz`, `copies.npz` and `reference.npz` (what songs are compared with), and for
        each stream `STREAM.int8.onnx` and `STREAM.fp32.onnx`.
    checksums : mapping of str to str
        SHA-256 of each of these files, by name.
    """

    name: str
    description: str
    path: Path
    checksums: Mapping[str, str]

    def check(self, path: Path) -> None:
        """Compare one of the style's files with its checksum.

        Raises
        ------
        WeightsError
            If they differ, which no other check would see for a changed bit.
        """
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.checksums.get(path.name):
            raise WeightsError(f"{path}: damaged (its checksum is not that of style.json); install or export it again")

    @property
    def originality_index(self) -> Path:
        """Hashes of the training songs, against which new songs are checked."""
        return self.path / "originality.npz"

    @property
    def copy_index(self) -> Path:
        """Hashes of the same songs, in which altered copies are found."""
        return self.path / "copies.npz"

    def weights(self, stream: str, precision: str) -> Path:
        """Return the file of a stream's weights."""
        return self.path / f"{stream}.{precision}.onnx"


def weights_root() -> Path:
    """Return the folder of all shipped styles."""
    return Path(str(files("songwright") / "weights"))


def list_styles(root: Path | None = None) -> list[Style]:
    """Return the styles found, sorted by name.

    Raises
    ------
    WeightsError
        If there is none, or a style's description is damaged.
    """
    styles: list[Style] = []
    for path in sorted((root or weights_root()).glob("*/style.json")):
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            styles.append(Style(path.parent.name, str(values["description"]), path.parent, dict(values["sha256"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"{path}: damaged; install songwright again") from error
    if not styles:
        advice = "name the folder that holds your styles" if root else "install songwright again"
        raise WeightsError(f"no trained weights in {root or weights_root()}; {advice}")
    return styles


def find_style(name: str, root: Path | None = None) -> Style:
    """Return a style by its name.

    Raises
    ------
    WeightsError
        If no weights are installed.
    ConfigError
        If the style is unknown.
    """
    styles = list_styles(root)
    for style in styles:
        if style.name == name:
            return style
    raise ConfigError(f"unknown style {name!r}; known: {', '.join(style.name for style in styles)}")


def stream_of(path: Path) -> str:
    """Return the stream that an exported network writes, which its name says.

    Raises
    ------
    ConfigError
        If the name says none.
    """
    stream = path.name.split(".")[0]
    if stream not in STREAMS:
        raise ConfigError(
            f"{path}: an exported network is named after its stream ({' or '.join(STREAMS)}), "
            "as songwright export writes"
        )
    return stream


def open_decoder(path: Path, *, max_length: int, expected_fingerprint: str) -> Decoder | NgramDecoder:
    """Open an exported network, or an n-gram model, for one sequence.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another vocabulary.
    """
    kind = NgramDecoder if path.suffix == ".npz" else Decoder
    return kind(path, max_length=max_length, expected_fingerprint=expected_fingerprint)
