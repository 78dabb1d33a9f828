"""The shell of every page, and the parts that pages are made of.

A page is one HTML file that fetches nothing: style and script lie inside, pictures are SVG or data. It opens from disk,
prints without controls and is usable by keyboard. Functions take plain text and escape it, except parameters named
`body`, `parts`, `content` and `cells` made by `cell`, which take HTML that other functions here made.

House classes: `verdict`, `facts`, `gates`, `grid` (small panels), `halves` (two columns), `panel`, `legend`, `soft`,
`small`, `scroll` (a long table), `stack` (a table that becomes blocks on a phone), `screen` (not printed).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import NamedTuple

GOOD, BAD, OPEN = "✓ passed", "✗ failed", "– not judged"


class Cell(NamedTuple):
    """A cell of a table: its HTML, what it sorts by, and its class."""

    content: str
    sort_by: str | float | None = None
    css: str = ""


def page(title: str, body: str, *, script: str = "", style: str = "") -> str:
    """Return a whole page.

    Parameters
    ----------
    title : str
        Of the window; the body carries its own `<h1>`.
    body : str
        HTML.
    script, style : str
        JavaScript and CSS of this page, after those of the house: sortable tables, definitions on hover and focus,
        `.player` parts that play.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f"<style>{_asset('page.css')}{style}</style></head>\n"
        f'<body><a class="skip" href="#main">To the content</a>\n<main id="main">\n{body}\n</main>\n'
        f'<div id="tip" role="tooltip" hidden></div>\n'
        f"<script>{_asset('page.js')}{_asset('player.js')}{script}</script></body></html>\n"
    )


@cache
def _asset(name: str) -> str:
    return files("songwright.reporting").joinpath("assets", name).read_text(encoding="utf-8")


def heading(kicker: str, title: str, verdict: str | None, *, is_good: bool | None = None) -> str:
    """Return the top of a page: what it is, its title, and the verdict in one sentence."""
    css = {True: " good", False: " bad", None: ""}[is_good]
    words = f'<p class="verdict{css}">{escape(verdict)}</p>' if verdict else ""
    return f'<p class="kicker">{escape(kicker)}</p><h1>{escape(title)}</h1>{words}'


def section(name: str, *parts: str, intro: str = "") -> str:
    """Return a section with its heading; empty without content."""
    content = "\n".join(part for part in parts if part)
    words = f"<p>{escape(intro)}</p>" if intro else ""
    return f"<section><h2>{escape(name)}</h2>{words}\n{content}</section>" if content else ""


def figure(content: str, caption: str, *, css: str = "") -> str:
    """Return a picture with the words under it."""
    return f'<figure class="{css}">{content}<figcaption>{escape(caption)}</figcaption></figure>'


def details(summary: str, *parts: str, is_open: bool = False) -> str:
    """Return a part that is folded away on the screen, and printed."""
    content = "\n".join(part for part in parts if part)
    return (
        f"<details{' open' if is_open else ''}><summary>{escape(summary)}</summary>{content}</details>"
        if content
        else ""
    )


def facts(pairs: Iterable[tuple[str, str | None]]) -> str:
    """Return names with their values side by side; pairs without a value are left out."""
    lines = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs if value)
    return f'<dl class="facts">{lines}</dl>' if lines else ""


def paragraph(text: str, *, css: str = "") -> str:
    """Return a paragraph of plain text."""
    return f'<p class="{css}">{escape(text)}</p>' if css else f"<p>{escape(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of plain texts; empty without any."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return colours (CSS) and what they stand for."""
    items = "".join(f'<span><i style="background:{tint}"></i>{escape(words)}</span>' for tint, words in entries)
    return f'<p class="legend small">{items}</p>'


def term(label: str, meaning: str) -> str:
    """Return a label whose meaning shows on hover and on focus."""
    if not meaning:
        return escape(label)
    return f'<span class="term" tabindex="0" title="{escape(meaning, quote=True)}">{escape(label)}</span>'


def mark(is_passed: bool | None, *, words: tuple[str, str, str] = (GOOD, BAD, OPEN)) -> str:
    """Return a tick or a cross, with the word for it: passed, failed, not judged."""
    css, word = {True: ("good", words[0]), False: ("bad", words[1]), None: ("open", words[2])}[is_passed]
    return f'<span class="mark {css}">{escape(word)}</span>'


def cell(content: str | None, *, sort_by: str | float | None = None, css: str = "") -> Cell:
    """Return a cell of HTML; a dash where there is none."""
    return Cell(content or '<span class="soft">–</span>', sort_by, css)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Cell]], *, css: str = "", caption: str = "",
    is_sortable: bool = False,
) -> str:  # fmt: skip
    """Return a table; the first cell of each row is its name.

    Parameters
    ----------
    columns : sequence of str
        Names; those that start with "#" stand over numbers, at the right.
    rows : iterable of sequences of str or Cell
        Text is escaped, a `Cell` is not. A row of one cell heads a group.
    css, caption : str
    is_sortable : bool
        Whether a click on a column's name sorts.
    """
    heads: list[str] = []
    for name in columns:
        words = escape(name.removeprefix("#"))
        button = f'<button type="button">{words}</button>' if is_sortable and words else words
        heads.append(f'<th scope="col"{" class=n" if name.startswith("#") else ""}>{button}</th>')
    lines: list[str] = []
    for row in rows:
        cells = [one if isinstance(one, Cell) else Cell(escape(one)) for one in row]
        if len(cells) == 1:
            lines.append(
                f'<tr class="group"><th scope="rowgroup" colspan="{len(columns)}">{cells[0].content}</th></tr>'
            )
            continue
        parts = [_cell_html(one, is_name=place == 0, column=columns[place]) for place, one in enumerate(cells)]
        lines.append(f"<tr>{''.join(parts)}</tr>")
    words = f"<caption>{escape(caption)}</caption>" if caption else ""
    opened = f'<table class="{css}">' if css else "<table>"
    return f"{opened}{words}<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cell_html(one: Cell, *, is_name: bool, column: str) -> str:
    css = " ".join(word for word in (one.css, "n" if column.startswith("#") else "") if word)
    attributes = f' class="{css}"' if css else ""
    if one.sort_by is not None:
        attributes += f' data-v="{escape(str(one.sort_by), quote=True)}"'
    return f'<th scope="row"{attributes}>{one.content}</th>' if is_name else f"<td{attributes}>{one.content}</td>"
