"""The collections that songwright knows, and how a folder is recognised as one of them.

Knows public layouts and licences; reads no music (`corpus.reading`). A folder that is no known layout is searched for
known ones inside, and what remains is a plain folder of music files. Every file gets an id that depends on its place
in the collection and never on where the collection lies.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from songwright.errors import InputError

FORMATS = {
    ".mid": "midi", ".midi": "midi", ".kar": "midi",
    ".xml": "musicxml", ".musicxml": "musicxml", ".mxl": "musicxml",
    ".abc": "abc",
    ".wav": "audio", ".flac": "audio", ".mp3": "audio", ".ogg": "audio",
}  # fmt: skip
"""File name endings that are read, in lower case, and how."""

LABEL_FOLDERS = ("POP909-phrases", "hierarchical-structure-analysis/POP909")
"""Where POP909's phrase labels usually lie, beside the songs or beside their clone."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a collection.

    Attributes
    ----------
    source : str
        Name of the collection.
    piece_id : str
        `source/place in the collection`; without the ending in known collections.
    path : Path
    format : str
        `midi`, `musicxml`, `abc`, `audio`, `billboard`, or `pop909` (a MIDI file with beats, perhaps labels).
    work : str
        Id shared by versions of one composition; they never lie on two sides of a split.
    is_version : bool
        Whether another file of the collection is the work's main recording.
    style : str
        What the collection says of the music, such as `pop` or `funk/groove1`; empty if nothing.
    split : str
        The side on which the collection itself puts the file; empty if it does not say.
    beats, labels : Path or None
        POP909 only: the beat file, and the folder of phrase labels.
    """

    source: str
    piece_id: str
    path: Path
    format: str
    work: str
    is_version: bool = False
    style: str = ""
    split: str = ""
    beats: Path | None = None
    labels: Path | None = None

    @property
    def sidecars(self) -> tuple[Path, ...]:
        """Further files whose content matters for this one."""
        found = [self.beats] if self.beats else []
        if self.labels:
            found += sorted(path for path in self.labels.iterdir() if path.suffix == ".txt")
        if self.beats and self.format == "pop909":
            found.append(self.beats.with_name("beat_audio.txt"))
        return tuple(path for path in found if path.is_file())


@dataclass(frozen=True)
class Source:
    """A known collection.

    Attributes
    ----------
    name, title, url, licence, contents : str
        `licence` is of the files; the notice goes with trained weights.
    is_here : callable
        Path -> whether a folder is this collection.
    files : callable
        (folder, labels folder or None) -> its files.
    """

    name: str
    title: str
    url: str
    licence: str
    contents: str
    is_here: Callable[[Path], bool]
    files: Callable[[Path, Path | None], Iterator[SourceFile]]


def _walk(root: Path) -> Iterator[Path]:
    """Yield music files below a folder in a fixed order; hidden files and folders, and links to folders, are passed by.

    Raises
    ------
    OSError
        If a folder cannot be read: a share that is gone for a moment must not look empty.
    """

    def stop(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=stop):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if name.startswith(".") or path.suffix.lower() not in FORMATS:
                continue
            if path.is_file() or path.is_symlink():  # no pipe or device; a broken link is said to be unreadable
                yield path


def _text(path: str | Path) -> str:
    r"""Return a path as text that can be written: bytes that are no UTF-8 become `\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace(os.sep, "/")


def _plain(
    name: str, root: Path, *, below: str = "", style: str = "", keeps_ending: bool = False
) -> Iterator[SourceFile]:
    for path in _walk(root / below):
        place = path.relative_to(root)
        piece_id = f"{name}/{_text(place if keeps_ending else place.with_suffix(''))}"
        yield SourceFile(name, piece_id, path, FORMATS[path.suffix.lower()], piece_id, style=style)


def find_labels(root: Path, labels: Path | None) -> Path | None:
    """Return the folder of POP909's phrase labels: the one given, or one at a usual place, or None.

    Raises
    ------
    InputError
        If a folder is given and holds no labels.
    """
    usual = [folder / name for folder in root.resolve().parents[:2] for name in LABEL_FOLDERS]
    for candidate in [labels] if labels else usual:
        if any(candidate.glob("*/human_label1.txt")):
            return candidate
    if labels:
        raise InputError(f"{labels}: no phrase labels (NNN/human_label1.txt) found; name their folder with --labels")
    return None


def _pop909(root: Path, labels: Path | None) -> Iterator[SourceFile]:
    folder_of_labels = find_labels(root, labels)
    for folder in sorted(path for path in root.iterdir() if re.fullmatch(r"\d{3}", path.name) and path.is_dir()):
        work = f"pop909/{folder.name}"
        beats = folder / "beat_midi.txt"
        song_labels = folder_of_labels / folder.name if folder_of_labels else None
        yield SourceFile(
            "pop909", work, folder / f"{folder.name}.mid", "pop909", work, style="pop",
            beats=beats if beats.is_file() else None,
            labels=song_labels if song_labels and song_labels.is_dir() else None,
        )  # fmt: skip
        for path in sorted((folder / "versions").glob("*.mid")):
            yield SourceFile("pop909", f"{work}/{path.stem}", path, "midi", work, is_version=True, style="pop")


def _groove(root: Path, labels: Path | None) -> Iterator[SourceFile]:
    del labels
    try:
        with (root / "info.csv").open(encoding="utf-8", newline="") as file:
            rows = {row["midi_filename"]: row for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise InputError(f"{root / 'info.csv'}: cannot be read; restore the published file") from error
    for file in _plain("groove", root):
        row = rows.get(file.path.relative_to(root).as_posix(), {})
        yield SourceFile(
            "groove", file.piece_id, file.path, "midi", file.work,
            style=row.get("style", ""), split=split if (split := row.get("split", "")) in _SPLITS else "",
        )  # fmt: skip


def _openewld(root: Path, labels: Path | None) -> Iterator[SourceFile]:
    del labels
    yield from _plain("openewld", root, below="dataset" if (root / "dataset").is_dir() else "", style="jazz standard")


def _lieder(root: Path, labels: Path | None) -> Iterator[SourceFile]:
    del labels
    for path in _walk(root / "scores"):
        if path.suffix.lower() == ".mxl":
            piece_id = f"lieder/{path.stem}"
            yield SourceFile("lieder", piece_id, path, "musicxml", piece_id, style="art song")


def _billboard(root: Path, labels: Path | None) -> Iterator[SourceFile]:
    del labels
    for path in sorted(root.glob("*/salami_chords.txt")):
        piece_id = f"billboard/{path.parent.name}"
        yield SourceFile("billboard", piece_id, path, "billboard", piece_id, style="pop")


_SPLITS = ("train", "validation", "test")
_FOLK = ("airdsAirs", "essenFolksong", "nottingham-dataset", "oneills1850", "ryansMammoth", "miscFolk")


def _music21(root: Path, labels: Path | None) -> Iterator[SourceFile]:
    del labels
    for file in _plain("music21", root):
        place = file.path.relative_to(root)
        # Bach's chorales are numbered by Riemenschneider's index too: `bach/bwvN.N`.
        if place.parts[0] == "bach" and place.name.startswith("bwv"):
            style = "chorale"
        elif place.parts[0] in _FOLK:
            style = "folk"
        else:
            continue
        yield SourceFile("music21", file.piece_id, file.path, file.format, file.work, style=style)


def _band(name: str, below: str, style: str) -> Callable[[Path, Path | None], Iterator[SourceFile]]:
    return lambda root, labels: _plain(name, root, below=below, style=style)


def _has(pattern: str, *needed: str) -> Callable[[Path], bool]:
    return lambda root: all((root / name).exists() for name in needed) and next(root.glob(pattern), None) is not None


SOURCES = {
    source.name: source
    for source in (
        Source(
            "pop909", "POP909, with the phrase labels of Dai, Zhang and Dannenberg",
            "https://github.com/music-x-lab/POP909-Dataset, "
            "https://github.com/Dsqvival/hierarchical-structure-analysis",
            "MIT", "909 pop songs: melody, bridge, piano; beats, chords, keys, phrases; versions",
            _has("[0-9][0-9][0-9]/[0-9][0-9][0-9].mid"), _pop909,
        ),
        Source(
            "groove", "Groove MIDI Dataset", "https://magenta.tensorflow.org/datasets/groove", "CC-BY 4.0",
            "1,150 performances of human drumming, 13.6 hours", _has("drummer*", "info.csv"), _groove,
        ),
        Source(
            "openewld", "OpenEWLD", "https://github.com/00sapo/OpenEWLD", "MIT",
            "502 lead sheets of jazz-age standards: melody and chords",
            lambda root: _has("dataset/*/*/*.mxl")(root) or _has("[0-9][0-9][0-9]_*.mid", "index.json")(root),
            _openewld,
        ),
        Source(
            "lieder", "OpenScore Lieder Corpus", "https://github.com/OpenScore/Lieder", "CC0",
            "1,460 art songs for voice and piano", _has("scores/*/*/*/lc*.mxl"), _lieder,
        ),
        Source(
            "billboard", "McGill Billboard", "https://ddmal.music.mcgill.ca/research/The_McGill_Billboard_Project_"
            "(Chord_Analysis_Dataset)", "CC0", "890 chart songs: chords, metre and section names",
            _has("[0-9][0-9][0-9][0-9]/salami_chords.txt"), _billboard,
        ),
        Source(
            "simutrans", "Simutrans music", "https://github.com/simutrans/simutrans", "Artistic",
            "53 pieces for a full band", _has("music/*.mid", "music/music.tab"),
            _band("simutrans", "music", "game"),
        ),
        Source(
            "freedoom", "Freedoom music", "https://github.com/freedoom/freedoom", "BSD-3",
            "112 pieces, mostly rock bands", _has("musics/d_*.mid"), _band("freedoom", "musics", "rock"),
        ),
        Source(
            "tannerhelland", "Tanner Helland's free music", "https://github.com/tannerhelland/free-music", "CC-BY 4.0",
            "43 pieces of film and game music", _has("midi/*.mid", "README.md", "LICENSE.md"),
            _band("tannerhelland", "midi", "game"),
        ),
        Source(
            "music21", "music21's corpus", "https://github.com/cuthbertLab/music21", "see its notices",
            "Bach's chorales and folk tunes (traditional or old)",
            lambda root: (root / "bach").is_dir() and (root / "essenFolksong").is_dir(), _music21,
        ),
    )
}  # fmt: skip
"""The known collections, by name."""

_KNOWN_FILES = Path(__file__).parent / "known_files.npz"


@cache
def known_digests(source: str) -> frozenset[int]:
    """Return the 64-bit digests (`file_digest`) of a collection's files as published; empty for an unknown one."""
    with np.load(_KNOWN_FILES) as arrays:
        return frozenset(arrays[source].tolist()) if source in arrays.files else frozenset()


def checksum(digests: Iterable[int]) -> str:
    """Return sixteen digits of a set of file digests, whatever their order."""
    ordered = np.sort(np.fromiter(digests, dtype=np.uint64))
    return hashlib.sha256(ordered.astype(">u8").tobytes()).hexdigest()[:16]


def file_digest(path: Path) -> int:
    """Return the first 64 bits of the SHA-256 of a file.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as opened:
            return int.from_bytes(hashlib.file_digest(opened, "sha256").digest()[:8], "big")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


ONE_FILE = "file"
"""Source of files that are given by themselves."""
MAX_DEPTH = 3
"""Folders below a given one in which known layouts are looked for."""


def recognise(root: Path) -> Source | None:
    """Return the known collection whose layout a folder has, or None."""
    return next((source for source in SOURCES.values() if source.is_here(root)), None)


def find_files(path: Path, *, labels: Path | None = None) -> list[SourceFile]:
    """Return the files of a collection, of collections inside a folder, of a plain folder, or one file.

    A plain folder gives its files their ids with its own name, and keeps their endings.

    Parameters
    ----------
    path : Path
    labels : Path, optional
        Folder of POP909's phrase labels.

    Raises
    ------
    InputError
        If the path does not exist, cannot be read, or holds no music.
    """
    try:
        return _find_files(path, labels)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from error


def _find_files(path: Path, labels: Path | None) -> list[SourceFile]:
    if path.is_file():
        if path.suffix.lower() not in FORMATS:
            raise InputError(f"{path}: not a music file ({', '.join(FORMATS)})")
        piece_id = f"{ONE_FILE}/{_text(path.resolve().parent.name)}/{_text(path.name)}"
        return [SourceFile(ONE_FILE, piece_id, path, FORMATS[path.suffix.lower()], piece_id)]
    if not path.is_dir():
        raise InputError(f"{path} does not exist; give a folder of music or a music file")
    files, known = [], []
    for folder, source in _known_below(path, MAX_DEPTH, set()):
        files += list(source.files(folder, labels))
        known.append(folder)
    if path not in known:
        name = _text(path.resolve().name) or "folder"
        if name in SOURCES or name == ONE_FILE:  # the name alone does not make it that collection
            name += " (folder)"
        covered = {folder.resolve() for folder in known} | _label_folders(path)
        files += [
            file
            for file in _plain(name, path, keeps_ending=True)
            if not any(parent in covered for parent in file.path.resolve().parents)
        ]
    if not files:
        raise InputError(f"{path}: no music found here ({', '.join(FORMATS)}, or a collection of `songwright sources`)")
    return files


def _known_below(folder: Path, depth: int, seen: set[Path]) -> Iterator[tuple[Path, Source]]:
    if folder.resolve() in seen:  # a link back up
        return
    seen.add(folder.resolve())
    source = recognise(folder)
    if source:
        yield folder, source
    elif depth:
        for child in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            yield from _known_below(child, depth - 1, seen)


def _label_folders(root: Path) -> set[Path]:
    # The labels' own repository holds MIDI files of the songs: they are not music of their own.
    return {(root / name).resolve() for name in LABEL_FOLDERS}
