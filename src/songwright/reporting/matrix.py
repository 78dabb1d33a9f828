"""The self-similarity matrix of a song's bars as a picture, with its form drawn on it.

One pixel a pair of bars, written as a PNG by hand: 400 bars would be 160,000 elements in any other way.
"""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.repetition import bar_contents, bar_similarity
from songwright.reporting.roll import phrase_tint
from songwright.score.song import Song

# From white (nothing in common) to dark blue (equal); the page's script reads the share back from red.
_NONE, _EQUAL = np.array([255, 255, 255]), np.array([30, 58, 138])


def similarity_matrix(song: Song) -> str:
    """Return the matrix as HTML: picture, phrase borders and letters, legend, words for the bars under the pointer."""
    notes = np.concatenate([song.lead_sheet.melody, song.piano])
    num_bars = song.lead_sheet.num_bars
    similarity = bar_similarity(bar_contents(notes, num_bars))
    picture = base64.b64encode(tinted_png(np.rint(similarity * 255).astype(np.uint8))).decode("ascii")
    form = song.lead_sheet.form
    borders = "".join(f"M{start} 0V{num_bars}M0 {start}H{num_bars}" for start in form.start_bars[1:])
    squares = "".join(
        f'<rect x="{start}" y="{start}" width="{phrase.num_bars}" height="{phrase.num_bars}" fill="none" '
        f'stroke="{phrase_tint(phrase.letter)}" stroke-width="2.5" vector-effect="non-scaling-stroke"/>'
        for phrase, start in zip(form.phrases, form.start_bars, strict=True)
    )
    letters = "".join(
        f'<span class="{side}" style="{begin}:{start / num_bars * 100:.2f}%;'
        f"{extent}:{phrase.num_bars / num_bars * 100:.2f}%;"
        f'color:{phrase_tint(phrase.letter)}">{phrase.letter}</span>'
        for side, begin, extent in (("across", "left", "width"), ("down", "top", "height"))
        for phrase, start in zip(form.phrases, form.start_bars, strict=True)
    )
    words = escape(f"Similarity of all pairs of {num_bars} bars, form {form}; dark lines are passages that return")
    idle = "Point at the picture to compare two bars."
    return (
        f'<div class="picture"><div class="matrix" data-bars="{num_bars}" role="img" aria-label="{words}">'
        f'<img alt="" src="data:image/png;base64,{picture}">'
        f'<svg viewBox="0 0 {num_bars} {num_bars}" aria-hidden="true"><path d="{borders}" '
        f'stroke="#0f172a" stroke-opacity=".35" '
        f'vector-effect="non-scaling-stroke"/>{squares}</svg><div aria-hidden="true">{letters}</div></div>'
        f'<p class="small soft">Nothing in common <span class="ramp"></span> all notes the same. '
        f'<output class="screen" data-idle="{idle}">{idle}</output></p></div>'
    )


def tinted_png(values: NDArray[np.uint8]) -> bytes:
    """Return a picture of bytes (0 to 255), shape (height, width), as PNG, from white to dark blue.

    Source: W3C, "Portable Network Graphics (PNG) Specification", colour type 3.
    """
    height, width = values.shape
    ramp = np.rint(_NONE + np.linspace(0, 1, 256)[:, None] * (_EQUAL - _NONE)).astype(np.uint8)
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row starts with its filter, 0: none
    rows[:, 1:] = values
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", ramp.tobytes()),
            (b"IDAT", zlib.compress(rows.tobytes(), 6)),
            (b"IEND", b""),
        )
    )
