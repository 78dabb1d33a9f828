"""What each number is called, its unit, and what it means to a musician, in one sentence.

The words are in `definitions.toml`. Names are those of `analysis.features`, of `evaluation.figures` and of the
report and, under the name of their family, those of the field's own metrics (MusPy, MusDr, mgeval), which share some
names with ours but differ. The exact definitions are the docstrings of the modules that measure.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple


class Definition(NamedTuple):
    """How to speak of a number.

    Attributes
    ----------
    label : str
        Its name in a table.
    unit : str
        `share` (0 to 1, said in percent), `0 to 1` for an index that is no share, `notes`, `bars`, `bits` and other
        counts; empty for none.
    meaning : str
        One sentence; empty if the name is unknown.
    """

    label: str
    unit: str
    meaning: str


def _read() -> dict[str, dict[str, Definition]]:
    text = files("songwright.evaluation").joinpath("definitions.toml").read_text(encoding="utf-8")
    return {
        group: {name: Definition(**fields) for name, fields in members.items()}
        for group, members in tomllib.loads(text).items()
    }


_ALL = _read()
FEATURE_GROUPS: Mapping[str, Mapping[str, Definition]] = {
    group: _ALL[group] for group in ("local", "harmony", "structure", "form", "accompaniment", "coherence")
}
"""Features of a song by group, as `analysis.features` and `analysis.coherence` name them."""
PUBLISHED: Mapping[str, Mapping[str, Definition]] = {family: _ALL[family] for family in ("MusPy", "MusDr", "mgeval")}
"""The field's own metrics, by family and by the names that their authors use."""
GROUP_LABELS: Mapping[str, str] = {
    "local": "Notes and rhythm", "harmony": "Harmony", "structure": "Repetition", "form": "Form and endings",
    "accompaniment": "Melody and accompaniment", "coherence": "How the phrases belong together",
    "distributions": "Likeness to real music", "originality": "Originality",
    "within the set": "Sameness within the set", "style": "Style", "likelihood": "Surprise",
    "two_sample": "Told apart from real music", "adherence": "What was asked",
}  # fmt: skip
"""Headings for groups of features and sections of figures."""
_OURS = {name: one for group in (*FEATURE_GROUPS.values(), _ALL["figures"]) for name, one in group.items()}


def definition(name: str, *, family: str = "") -> Definition:
    """Return how to speak of a number.

    Parameters
    ----------
    name : str
        Of a feature or figure. A figure within the set (`within_…`) is that of the name behind, one at a lag
        (`similarity_lag_8`) that of its kind.
    family : str
        `MusPy`, `MusDr` or `mgeval` for the field's own metrics; ours without it.

    Returns
    -------
    Definition
        With an empty meaning and the name in words if it is unknown.

    Examples
    --------
    >>> definition("melody_range").unit, definition("similarity_lag_8").label, definition("new_one").label
    ('semitones', 'bar similarity, 8 bars apart', 'new one')
    """
    known = PUBLISHED.get(family, {}) if family else _OURS
    if name in known:
        return known[name]
    if not family and name.startswith("similarity_lag_"):
        lag = name.removeprefix("similarity_lag_")
        general = _OURS["similarity_lag"]
        return general._replace(label=f"{general.label}, {lag} {'bar' if lag == '1' else 'bars'} apart")
    behind = name.removeprefix("within_")
    if not family and behind != name and behind in known:
        meaning = f"The same, with the other songs of the set in place of known songs: {known[behind].meaning}"
        return known[behind]._replace(meaning=meaning)
    return Definition(name.replace("_", " "), "", "")
