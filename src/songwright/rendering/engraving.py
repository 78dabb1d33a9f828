"""Score -> page: MusicXML engraved as one SVG picture.

verovio does the engraving; this module chooses the layout: A4 width, one page as tall as the music, line breaks as
the MusicXML asks. The picture stands alone: notes are outlines, words take the viewer's Times or serif font, flats and
sharps in chord symbols are the characters that such fonts have. The same MusicXML gives the same bytes.
"""

from __future__ import annotations

import os
import re

from songwright.errors import InputError
from songwright.files.writing import write_whole

# Lengths in tenths of a millimetre before `scale`; `unit` is half a staff space.
_OPTIONS = {
    "breaks": "encoded",
    "pageWidth": 2100,
    "pageHeight": 60000,  # the most verovio allows, about 600 systems
    "adjustPageHeight": True,
    "unit": 8,  # a staff 6.4 mm high
    "pageMarginLeft": 150,
    "pageMarginRight": 120,
    "pageMarginTop": 120,
    "pageMarginBottom": 120,
    "spacingSystem": 8,
    "scale": 50,
    "font": "Leland",
    "smuflTextFont": "none",
    "svgViewBox": True,
    "svgCss": ".harm tspan {font-weight: bold;}",
    "footer": "none",
    "xmlIdSeed": 1,
}


def engrave_svg(musicxml: bytes) -> str:
    """Return the page of a MusicXML document as one SVG document.

    Parameters
    ----------
    musicxml : bytes
        UTF-8, as of `files.musicxml.musicxml_bytes`.

    Returns
    -------
    str
        SVG of A4 width (210 mm) and of the height of the music, 100 to 300 kB.

    Raises
    ------
    InputError
        If the bytes are no MusicXML that can be engraved.
    """
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions(_OPTIONS)
    try:
        text = musicxml.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("The MusicXML cannot be engraved: it is not UTF-8 text.") from None
    if not toolkit.loadData(text) or not toolkit.loadData(_amended(str(toolkit.getMEI()))):
        raise InputError("The MusicXML cannot be engraved: verovio finds no score in it.")
    svg = _with_plain_text(str(toolkit.renderToSVG(1)))
    match = re.search(r'<svg viewBox="0 0 (\d+) (\d+)"[^>]*>', svg)
    if match is None:
        raise InputError("The MusicXML cannot be engraved: verovio draws no page of it.")
    width, height = (int(size) for size in match.groups())
    size = f'width="210mm" height="{210 * height / width:.1f}mm" '
    ground = f'\n   <rect width="{width}" height="{height}" style="fill: white; stroke: none"/>'
    head = match.group(0).replace("<svg ", f"<svg {size}", 1)
    return svg[: match.start()] + head + ground + svg[match.end() :]


# Characters of music fonts within words (SMuFL) and what every text font has in their place.
# 405 is the size that verovio gives to words.
_PLAIN = {"\uea64": "♭", "\uea65": "♮", "\uea66": "♯", "\ueca5": "♩"}


def _with_plain_text(svg: str) -> str:
    """Replace music-font characters within words, which many viewers cannot show, and name common text fonts."""
    svg = re.sub(
        r' font-family="(?:Leipzig|Leland)" font-size="\d+px">([\ue000-\uf8ff]+)<',
        lambda found: (
            ' font-size="405px">' + "".join(_PLAIN.get(character, character) for character in found.group(1)) + "<"
        ),
        svg,
    )
    return svg.replace('font-family="Times, serif"', 'font-family="Liberation Serif, Times New Roman, Times, serif"')


def _amended(mei: str) -> str:
    """Set what verovio does not read from MusicXML: large title, hidden chord degrees, tempo clear of the meter."""

    def enlarge(title: re.Match[str]) -> str:
        percent = min(200, 8000 // max(len(title.group(2)), 1))  # 80 letters of normal size fill the width
        return f'{title.group(1)} fontsize="{percent}%">{title.group(2)}<'

    mei = re.sub(r'(<rend [^>]*halign="center"[^>]*)>([^<]*)<', enlarge, mei, count=1)
    mei = re.sub(r"7sus4\(7\)|add9\(add9\)", lambda degrees: degrees.group().split("(")[0], mei)
    return re.sub(r"<tempo ", '<tempo vo="0.4" ', mei, count=1)


def write_svg(path: str | os.PathLike[str], musicxml: bytes) -> None:
    """Engrave MusicXML into an SVG file, whole or not at all. See `engrave_svg`.

    Raises
    ------
    InputError
        If the bytes are no MusicXML that can be engraved.
    OutputError
        If the file cannot be written there.
    """
    write_whole(path, engrave_svg(musicxml).encode())
