from __future__ import annotations

import xml.etree.ElementTree as ET

from songwright.rendering.piano_roll import piano_roll_svg
from tests.music import make_song

_SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_shows_every_note_and_every_phrase():
    song = make_song(3, "i4A8B8o4")
    root = ET.fromstring(piano_roll_svg(song, title="Rain & <Snow>"))
    rounded = [rect for rect in root.iter(f"{_SVG}rect") if rect.get("rx")]
    assert len(rounded) == len(song.piano) + len(song.lead_sheet.melody)
    texts = [text.text for text in root.iter(f"{_SVG}text")]
    assert texts[0] == "Rain & <Snow>"
    assert texts[2:] == ["Intro", "A", "B", "Outro"]
    width, height = (float(size) for size in root.get("viewBox", "").split()[2:])
    for rect in rounded:
        assert 0 <= float(rect.get("x", "")) < width
        assert 0 <= float(rect.get("y", "")) < height
