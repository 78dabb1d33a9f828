"""MusicXML files on disk: bytes, plain or compressed (.mxl), to a tree of elements, safely and fast.

Knows XML and ZIP, and which elements of MusicXML say nothing of what sounds: those never become part of the tree. A
`<note>` becomes one element whose attributes are the texts of its leaves (`step`, `octave`, `duration` …), which
halves the time of reading a score.

Files come from strangers: everything is checked against a limit before memory is spent on it, nothing is ever unpacked
to disk, and a document that declares entities or attributes of its own is refused, so that none can grow while it is
read.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path
from xml.etree.ElementTree import Element
from xml.parsers import expat

from songwright.errors import InputError

MAX_FILE_BYTES = 32 * 2**20
"""Largest file, and largest document inside a compressed one. A string quartet of 45 minutes has 11 MB."""
MAX_TAGS = 500_000
"""Most elements of a document that are kept; that quartet has 40,000."""
MAX_RATIO = 250
"""Most bytes a compressed one may become. Scores shrink to a sixtieth at best (OpenScore, music21)."""
_MAX_MEMBERS = 1_000
_MAX_CONTAINER_BYTES = 2**16
_MAX_DEPTH = 64
_TOO_DEEP = f"nests XML elements more than {_MAX_DEPTH} deep, as no score does: export it again"

# Elements that say nothing of what sounds, with all that is in them.
_SKIPPED = frozenset({
    "identification", "defaults", "credit", "print", "figured-bass", "grouping", "link", "bookmark", "listening",
    "clef", "staff-details", "measure-style", "part-group", "part-name-display", "part-abbreviation-display",
    "midi-device", "virtual-instrument", "frame", "wedge", "dashes", "bracket", "pedal", "octave-shift",
})  # fmt: skip
# What is kept of a note. Its `tie` becomes `tie-start` or `tie-stop`, its `instrument` the id.
_NOTE_LEAVES = frozenset({
    "step", "alter", "octave", "duration", "chord", "grace", "cue", "unpitched", "tie", "instrument",
})  # fmt: skip


def read_document(path: str | os.PathLike[str]) -> Element:
    """Read a MusicXML file, plain or compressed, to its root element. See `document_from_bytes`."""
    file = Path(path)
    return document_from_bytes(read_limited(file, MAX_FILE_BYTES, "a MusicXML file"), name=str(file))


def read_limited(file: Path, max_bytes: int, kind: str) -> bytes:
    """Return the bytes of a file of at most `max_bytes`; `kind` says in errors what was expected.

    Raises
    ------
    InputError
        If the file is missing, no file, or too large.
    """
    try:
        if file.stat().st_size > max_bytes:
            raise InputError(f"{file} is larger than {max_bytes // 2**20} MiB: give {kind} of less music.")
        return file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{file} does not exist: give the path of {kind}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file} cannot be read ({reason}): give the path of {kind}.") from None


def document_from_bytes(data: bytes, *, name: str = "MusicXML data") -> Element:
    """Return the root element of a MusicXML document; tags carry no namespace.

    Parameters
    ----------
    data : bytes
        XML, or a ZIP archive whose META-INF/container.xml names the document.
    name : str
        What the data is called in errors.

    Raises
    ------
    InputError
        If the data is damaged, too large, or made to exhaust the reader.
    """
    if data[:2] == b"PK":
        data = _unpack(data, name)
    return _parse(data, name)


def _unpack(data: bytes, name: str) -> bytes:
    if data.count(b"PK\x01\x02") > _MAX_MEMBERS:
        raise InputError(f"{name} holds more than {_MAX_MEMBERS} files: that is no compressed MusicXML file.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {member.filename: member for member in archive.infolist()}
            document = None
            if "META-INF/container.xml" in members:
                container = _read_member(archive, members["META-INF/container.xml"], _MAX_CONTAINER_BYTES, name)
                roots = _parse(container, name).iter("rootfile")
                document = next(
                    (members[path] for root in roots if (path := root.get("full-path", "")) in members), None
                )
            if document is None:  # written without a container: the first score in it
                score_names = (n for n in members if n.lower().endswith((".xml", ".musicxml")) and "META-INF" not in n)
                document = next((members[score] for score in score_names), None)
            if document is None:
                raise InputError(f"{name} holds no MusicXML document: export it again.")
            return _read_member(archive, document, MAX_FILE_BYTES, name)
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
    ) as error:
        reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise InputError(f"{name} is a damaged compressed MusicXML file ({reason}): export it again.") from None


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, max_bytes: int, name: str) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{name} is compressed in a way that MusicXML does not use: export it again.")
    # What the archive says of its sizes may be a lie: no more is read than this, whatever it says.
    max_bytes = min(max_bytes, 4096 + MAX_RATIO * member.compress_size)
    with archive.open(member) as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise InputError(f"{name} unpacks to more than {max_bytes} bytes, as no score does: export it again.")
    return content


class _RefusedError(Exception):
    """Raised inside the parser; the message is what is wrong and what to do."""


def _parse(data: bytes, name: str) -> Element:
    """Return the tree of a document without what `_SKIPPED` names, each note in one element."""
    document = Element("document")
    stack = [document]
    skipped = 0  # depth inside an element that is left out
    num_tags = 0
    leaves: dict[str, str] | None = None  # of the note that is being read
    text = ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal skipped, leaves, text, num_tags
        if skipped:
            skipped += 1
            if skipped > _MAX_DEPTH:
                raise _RefusedError(
                    f"nests XML elements more than {_MAX_DEPTH} deep, as no score does: export it again"
                )
            return
        if leaves is not None:
            if tag == "pitch":
                return
            if tag not in _NOTE_LEAVES:
                skipped = 1
            elif tag == "tie":
                leaves[f"tie-{attributes.get('type', '')[:8]}"] = ""
            else:
                leaves[tag] = attributes.get("id", "") if tag == "instrument" else ""
            text = ""
            return
        if tag in _SKIPPED:
            skipped = 1
            return
        num_tags += 1
        if len(stack) > _MAX_DEPTH:
            raise _RefusedError(_TOO_DEEP)
        if num_tags > MAX_TAGS:
            raise _RefusedError(f"has more than {MAX_TAGS} XML elements: give less music")
        if tag == "note":
            attributes = leaves = {}
        element = Element(tag, attributes)
        stack[-1].append(element)
        stack.append(element)
        text = ""

    def end(tag: str) -> None:
        nonlocal skipped, leaves
        if skipped:
            skipped -= 1
        elif leaves is not None:
            if tag == "note":
                stack.pop().attrib = leaves
                leaves = None
            elif text and tag in leaves:
                leaves[tag] = text
        else:
            element = stack.pop()
            if not len(element):
                element.text = text

    def characters(data: str) -> None:
        nonlocal text
        text = data

    def refuse(*_: object) -> None:
        raise _RefusedError("declares XML entities or attributes of its own, as no score does: export it again")

    parser = expat.ParserCreate(namespace_separator=None)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    parser.EntityDeclHandler = parser.AttlistDeclHandler = parser.ElementDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except _RefusedError as error:
        raise InputError(f"{name} {error}.") from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InputError(f"{name} is no MusicXML file, or a damaged one ({error}): export it again.") from None
    if not len(document):
        raise InputError(f"{name} is no MusicXML score: export it again.")
    return document[0]
