"""The parts that the pages of songs and of sets share: gates, notes, the field's own metrics.

Input comes from reports: any key may be missing or None, and is then left out or said in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from songwright.evaluation.definitions import PUBLISHED, definition
from songwright.reporting.page import Cell, bullets, cell, details, mark, paragraph, table, term
from songwright.reporting.words import is_number, number, span

_FAMILY_NOTES: Mapping[str, str] = {
    "MusPy": "As the library MusPy computes them (Dong and others, 2020), so that published tables can be compared.",
    "MusDr": "As MusDr computes them (Wu and Yang, 2020), so that published tables can be compared.",
    "mgeval": "As mgeval computes them (Yang and Lerch, 2020), so that published tables can be compared.",
}

_ALTERATIONS: Mapping[str, str] = {
    "exact": "note for note, in any key",
    "transposed": "note for note, moved to another pitch",
    "stretched": "in notes twice or half as long",
    "ornamented": "with notes added or moved in time",
    "changed": "with other notes here and there",
}
YES_OR_NO = ("melody_ends_on_tonic", "final_chord_on_tonic")
"""Features that a single song has or has not."""


def gates_part(gates: Any, *, what: str) -> str:
    """Return the gates, failed ones first, as plain words with a tick or a cross.

    Parameters
    ----------
    gates : sequence of mapping or None
        name, label, value, low, high, is_passed, meaning, unit.
    what : str
        What is judged: "song" or "set".
    """
    known = [gate for gate in gates or () if isinstance(gate, Mapping)]
    if not known:
        return paragraph(f"This {what} was not held against gates.")
    order: dict[bool | None, int] = {False: 0, True: 1, None: 2}

    def place(gate: Mapping[str, Any]) -> int:
        return order[_verdict(gate)]

    counts = [sum(_verdict(gate) is wanted for gate in known) for wanted in (True, False, None)]
    words = f"{counts[0]} passed, {counts[1]} failed" + (f", {counts[2]} could not be judged" if counts[2] else "")
    items = "".join(_gate(gate, what) for gate in sorted(known, key=place))
    return f'{paragraph(words + ".")}<ul class="gates">{items}</ul>'


def _verdict(gate: Mapping[str, Any]) -> bool | None:
    found = gate.get("is_passed")
    return found if isinstance(found, bool) else None


def _gate(gate: Mapping[str, Any], what: str) -> str:
    name = text(gate.get("name"))
    known = definition(name)
    unit = text(gate.get("unit")) or known.unit
    # A unit may say what 1 stands for ("1 = one real song in twenty"), which is no word to put behind numbers.
    unit, scale = ("", unit) if "=" in unit else (unit, "")
    is_passed = _verdict(gate)
    meaning = text(gate.get("meaning")) or known.meaning
    value = gate.get("value")
    measured = number(value, unit) if is_number(value) else text(value)
    allowed = span((gate.get("low"), gate.get("high")), unit)
    if name in YES_OR_NO and what == "song" and is_number(value):
        measured, allowed = "yes" if value else "no", ""
    words = " · ".join(part for part in (measured, f"allowed: {allowed}" if len(allowed) > 1 else "") if part)
    words += f" ({scale})" if scale and words else ""
    css = {True: "good", False: "bad", None: "open"}[is_passed]
    lines = "".join(paragraph(line) for line in (words, meaning) if line)
    label = text(gate.get("label")) or known.label
    return f'<li class="{css}">{mark(is_passed)}<b>{term(capital(label), known.meaning)}</b>{lines}</li>'


def text(value: Any) -> str:
    """Return a value of a report as plain text; empty for None, truth values and numbers that are none."""
    if isinstance(value, str):
        return value
    return number(value) if is_number(value) else ""


def texts(values: Any) -> list[str]:
    """Return the texts of a list of a report, which may be missing."""
    return [text(value) for value in values if text(value)] if isinstance(values, Sequence) else []


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping of a report; empty where it is missing."""
    return value if isinstance(value, Mapping) else {}


def mappings(values: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list of a report, which may be missing."""
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, Sequence) else []


def label_cell(name: str, *, family: str = "", label: str = "") -> Cell:
    """Return the cell that names a number, with its definition on hover and focus."""
    known = definition(name, family=family)
    shown = capital(label or known.label)
    return Cell(term(shown, known.meaning), sort_by=shown)


def capital(label: str) -> str:
    """Return a label with a capital at its start."""
    return label[:1].upper() + label[1:]


def notes_part(notes: Any) -> str:
    """Return what to know when reading, as a list."""
    return bullets(_sentence(note) for note in texts(notes))


def _sentence(words: str) -> str:
    words = capital(words.strip())
    return words if words.endswith((".", "!", "?")) else f"{words}."


def published_part(published: Any) -> str:
    """Return the field's own metrics, folded away: one table a family.

    A metric's value is a number (of a song), or a mapping with `generated` and `reference`, or `kld` and `overlap`.
    """
    tables: list[str] = []
    for family, metrics in mapping(published).items():
        rows = [(name, value) for name, value in mapping(metrics).items() if value is not None]
        if rows:
            note = paragraph(_FAMILY_NOTES.get(family, ""), css="small soft")
            tables.append(f"<h3>{family if family in PUBLISHED else ''}</h3>{note}{_metrics(family, rows)}")
    return details("The field's own metrics, by the names under which they are published", *tables)


def _metrics(family: str, rows: Iterable[tuple[str, Any]]) -> str:
    rows = list(rows)
    columns = _columns(value for _, value in rows)
    heads = {"": "value", "generated": "these songs", "reference": "real songs", "kld": "KL divergence",
             "overlap": "overlapping area"}  # fmt: skip
    body: list[list[str | Cell]] = []
    for name, value in rows:
        unit = definition(name, family=family).unit
        values = value if isinstance(value, Mapping) else {"": value}
        units = {"kld": "", "overlap": ""}
        cells = [number_cell(values.get(column), units.get(column, unit)) for column in columns]
        body.append([label_cell(name, family=family), *cells])
    return table(["Metric", *(f"#{heads.get(column, column)}" for column in columns)], body)


def _columns(values: Iterable[Any]) -> list[str]:
    found = [list(value) if isinstance(value, Mapping) else [""] for value in values]
    return list(dict.fromkeys(column for columns in found for column in columns))


def number_cell(value: Any, unit: str) -> Cell:
    """Return a cell of a number, a dash where there is none."""
    return cell(number(value, unit) if is_number(value) else None, sort_by=value if is_number(value) else "")


def copy_words(copied: Mapping[str, Any]) -> str:
    """Return in words what a song was copied from, and where; empty where it is not known.

    Parameters
    ----------
    copied : mapping
        source, alteration, bars, first_bar, first_source_bar.

    Examples
    --------
    >>> copy_words({"source": "pop909/001", "alteration": "exact", "bars": 9, "first_bar": 5, "first_source_bar": 4})
    '9 bars from bar 5 on follow pop909/001 (from its bar 4 on) note for note, in any key'
    """
    bars, first, first_source = (copied.get(name) for name in ("bars", "first_bar", "first_source_bar"))
    source = text(copied.get("source"))
    if not source or not is_number(bars):
        return ""
    start = f" from bar {number(first)} on" if is_number(first) else ""
    there = f" (from its bar {number(first_source)} on)" if is_number(first_source) else ""
    how = _ALTERATIONS.get(text(copied.get("alteration")), "")
    noun, verb = ("bar", "follows") if bars == 1 else ("bars", "follow")
    return f"{number(bars)} {noun}{start} {verb} {source}{there}" + (f" {how}" if how else "")


def style_name(name: str) -> str:
    """Return the name of a style in words."""
    return name.replace("_", " ")
