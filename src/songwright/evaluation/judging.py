"""One file to numbers: everything that can be said of a song without looking at another.

`judge_file` reads a song, measures it in both readings, asks the network how surprised it is, hears its style and holds
it against what was asked. It knows no reference and no verdict (`judgement`), so its numbers are kept under a name made
of the file's content and of all that they depend on, and are ready the next time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.style import STYLES, StyleJudgement, classify_style
from songwright.corpus.sources import FORMATS
from songwright.errors import InputError
from songwright.evaluation.adherence import measure_adherence
from songwright.evaluation.cache import kept_arrays
from songwright.evaluation.jsonable import plain
from songwright.evaluation.measuring import Measured, measure, open_network
from songwright.evaluation.published import published_metrics
from songwright.evaluation.reading import JudgedSong, ReadingKind, found_reading, read_song
from songwright.explanation.likelihood import surprise

NOTE_FORMATS = tuple(suffix for suffix, kind in FORMATS.items() if kind != "audio")
"""Endings of the files that are judged, the first of a song's files first."""


class SongNumbers(NamedTuple):
    """What is known of a song on its own.

    Attributes
    ----------
    song : JudgedSong
    measured : dict
        By reading; empty where it is no song in 4/4.
    bits_per_note : float or None
        Of its melody under the network.
    bar_bits : list of (float or None)
        Bits per note of each bar; None in bars without a note.
    style : dict or None
        `probabilities`, and the features that spoke for and against each style; None with too few notes.
    adherence : list of dict
        The fields of `Adherence`.
    published : dict
        The field's metrics of the notes as they are, in any metre: family -> name -> number or None.
    """

    song: JudgedSong
    measured: dict[ReadingKind, Measured]
    bits_per_note: float | None
    bar_bits: list[float | None]
    style: dict[str, Any] | None
    adherence: list[dict[str, Any]]
    published: dict[str, dict[str, float | None]]


def find_songs(paths: Iterable[Path]) -> list[Path]:
    """Return the files of notes among paths and below folders, sorted, one for each name in a folder.

    Where a song lies there in several formats, as `songwright compose` writes it, its MIDI file is taken; what is named
    twice is taken once.

    Raises
    ------
    InputError
        If a path does not exist or holds no file of notes.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist: name folders or files of notes")
        files = _below(path) if path.is_dir() else [path]
        if not files:
            raise InputError(f"{path}: there is no MIDI, MusicXML or ABC file in it")
        for file in files:
            name = file.parent.resolve() / file.stem
            if _rank(file) < _rank(found.setdefault(name, file)):
                found[name] = file
    return list(found.values())


def _below(folder: Path) -> list[Path]:
    """Return the files of notes below a folder, hidden ones left out."""
    files = [file for file in folder.rglob("*") if file.suffix.lower() in NOTE_FORMATS and file.is_file()]
    shown = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    return sorted(shown, key=lambda file: (file.parent, file.stem, _rank(file)))


def _rank(file: Path) -> int:
    """Return the place of a file among those of its song: the first is judged."""
    suffix = file.suffix.lower()
    return NOTE_FORMATS.index(suffix) if suffix in NOTE_FORMATS else len(NOTE_FORMATS)


def judge_file(task: tuple[Path, Path]) -> SongNumbers | str:
    """Return the numbers of a file, or why it cannot be read.

    Parameters
    ----------
    task : (Path, Path)
        The file, and the lead sheet weights whose surprise is measured.
    """
    path, weights = task
    try:
        song = read_song(path)
        stored = kept_arrays(_key(path, weights), lambda: {"numbers": _packed(_measure(song, weights))})
        return _unpacked(song, json.loads(stored["numbers"].tobytes()))
    except InputError as error:
        return str(error)


def _key(path: Path, weights: Path) -> str:
    digest = hashlib.sha256(f"{path.suffix} {open_network(weights).fingerprint} ".encode())
    for file in (path, path.with_suffix(".json")):
        content = file.read_bytes() if file.is_file() else b""
        digest.update(f"{len(content)} ".encode() + content)
    return f"song-{digest.hexdigest()[:32]}"


def _measure(song: JudgedSong, weights: Path) -> dict[str, Any]:
    """Return the numbers of a song, ready for JSON."""
    measured: dict[str, Any] = {}
    bits, bar_bits = None, []
    if song.song is not None:
        readings = {"found": song.song if song.reading == "found" else found_reading(song.song)}
        if song.reading == "written":
            readings["written"] = song.song
        measured = {reading: measure(one)._asdict() for reading, one in readings.items()}
        found = surprise(song.song, open_network(weights))
        bits = found.bits_per_note
        bar_bits = [
            float(total) / notes if notes else None
            for total, notes in zip(found.bar_bits, found.bar_notes.tolist(), strict=True)
        ]
    asked = (song.plan or {}).get("asked")
    chords = song.piece.chords if song.piece else ()
    return {
        "measured": measured,
        "bits_per_note": bits,
        "bar_bits": bar_bits,
        "style": _style(song),
        "adherence": [asdict(one) for one in measure_adherence(asked, song)] if isinstance(asked, Mapping) else [],
        "published": published_metrics(song.grid, key=song.key, chords=chords) if song.grid else {},
    }


def _style(song: JudgedSong) -> dict[str, Any] | None:
    if song.grid is None:
        return None
    try:
        judged = classify_style(song.grid)
    except InputError:  # more bars than the analysis of harmony takes
        return None
    if judged is None:
        return None
    return {
        "probabilities": judged.probabilities,
        "evidence": {style: _evidence(judged, style) for style in STYLES},
    }


def _evidence(judged: StyleJudgement, style: str) -> list[dict[str, Any]]:
    return [
        {
            "label": one.feature.words,
            "value_text": one.value_text,
            "typical_text": one.typical_text,
            "contribution": one.log_odds,
        }
        for one in judged.evidence(style)[:12]
    ]


def _packed(numbers: dict[str, Any]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(plain(numbers)).encode(), dtype=np.uint8)


def _unpacked(song: JudgedSong, numbers: dict[str, Any]) -> SongNumbers:
    measured: dict[ReadingKind, Measured] = {}
    for reading, one in numbers.pop("measured").items():
        features = {
            group: {name: np.nan if value is None else value for name, value in found.items()}
            for group, found in one["features"].items()
        }
        measured[reading] = Measured(features, np.array(one["curve"], dtype=np.float64), one["published"])
    return SongNumbers(song, measured, **numbers)
