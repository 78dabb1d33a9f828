"""The engraved page: one standing-alone picture with everything on it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from songwright.errors import InputError
from songwright.files.musicxml import musicxml_bytes
from songwright.rendering.engraving import engrave_svg, write_svg
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key

_SVG = "{http://www.w3.org/2000/svg}"


def lead_sheet_bytes(num_phrases: int = 3) -> bytes:
    """Four-bar phrases of eighths, triplets and rests in F major."""
    form = Form.parse("A4B4" * num_phrases)
    lengths = np.tile([6, 6, 4, 4, 4, 15, 9, -48, -24, 24, 48, -12, 36], num_phrases * 2)[: 26 * num_phrases]
    ends = np.cumsum(np.abs(lengths))
    keep = (lengths > 0) & (ends <= form.num_bars * 48)
    onsets, durations = (ends - np.abs(lengths))[keep], lengths[keep]
    pitches = 60 + np.arange(len(onsets)) % 13
    chords = (ChordChange(0, ChordSymbol(5, "7sus4", 5)), ChordChange(60, ChordSymbol(10, "add9", 2)))
    sheet = LeadSheet(Key(5), 74.0, form, chords, grid_notes(onsets, durations, pitches))
    return musicxml_bytes(sheet, title="Night & Day", composer="songwright")


def words(svg: str) -> str:
    """Return all text of the picture."""
    return "\n".join("".join(text.itertext()).strip() for text in ET.fromstring(svg).iter(f"{_SVG}text"))


def test_title_composer_sections_and_chords_stand_on_the_page() -> None:
    text = re.sub(r"\s+", "", words(engrave_svg(lead_sheet_bytes())))
    for expected in ("Night&Day", "songwright", "A(1)", "B(3)", "=74", "F7sus4", "add9/D"):
        assert expected in text
    assert "(7)" not in text
    assert "(add9)" not in text


def test_the_picture_stands_alone_on_white_at_the_width_of_a4() -> None:
    svg = engrave_svg(lead_sheet_bytes())
    root = ET.fromstring(svg)
    assert root.get("width") == "210mm"
    ground = root.find(f"{_SVG}rect")
    assert ground is not None
    assert "fill: white" in ground.get("style", "")
    assert (ground.get("width"), ground.get("height")) == tuple(root.get("viewBox", "").split()[2:])
    assert not re.search("[\ue000-\uf8ff]", svg), "a character of a music font, which text fonts lack"
    links = re.findall(r'(?:href|src|url)\s*[=(:]\s*["\']?([a-z]+:[^"\') ]{0,20})', svg)
    assert all(link.startswith("data:") for link in links)


def test_the_page_grows_with_the_music_and_holds_all_bars() -> None:
    heights = {}
    for num_phrases in (1, 12):
        root = ET.fromstring(engrave_svg(lead_sheet_bytes(num_phrases)))
        measures = [group for group in root.iter(f"{_SVG}g") if group.get("class") == "measure"]
        assert len(measures) == num_phrases * 8
        heights[num_phrases] = float(root.get("viewBox", "").split()[3])
    assert heights[12] > 5 * heights[1]


def test_verovio_has_nothing_to_complain_of(capfd: pytest.CaptureFixture[str]) -> None:
    import verovio

    verovio.enableLog(verovio.LOG_WARNING)
    toolkit = verovio.toolkit()
    toolkit.setOptions({"breaks": "encoded"})
    assert toolkit.loadData(lead_sheet_bytes().decode())
    toolkit.renderToSVG(1)
    assert "rror" not in toolkit.getLog() + capfd.readouterr().err
    assert "arning" not in toolkit.getLog()


def test_the_same_page_gives_the_same_bytes_and_one_file(tmp_path: Path) -> None:
    write_svg(tmp_path / "song.svg", lead_sheet_bytes())
    assert (tmp_path / "song.svg").read_text(encoding="utf-8") == engrave_svg(lead_sheet_bytes())
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("data", [b"", b"no music", b"\xff\xfe", b"<score-partwise/>"])
def test_what_is_no_music_is_refused_and_nothing_written(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match="cannot be engraved"):
        write_svg(tmp_path / "song.svg", data)
    assert not list(tmp_path.iterdir())
