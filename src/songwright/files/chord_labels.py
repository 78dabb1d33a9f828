"""Chords as files write them, as chord labels in the syntax of MIREX that `score.lead_sheet.parse_chord` reads.

Two ways of writing: MusicXML's `<harmony>` kinds (`dominant`, with degrees added) and the symbols over a lead sheet
(`F#m7b5/A`), as in ABC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NATURAL_STEP = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_LETTERS = "CDEFGAB"
_ALTERATION = {"#": 1, "♯": 1, "b": -1, "♭": -1, "+": 1}

KIND_QUALITY = {
    "major": "maj", "minor": "min", "augmented": "aug", "diminished": "dim", "dominant": "7", "major-seventh": "maj7",
    "minor-seventh": "min7", "diminished-seventh": "dim7", "augmented-seventh": "aug(b7)", "half-diminished": "hdim7",
    "major-minor": "minmaj7", "major-sixth": "maj6", "minor-sixth": "min6", "dominant-ninth": "9",
    "major-ninth": "maj9", "minor-ninth": "min9", "dominant-11th": "11", "major-11th": "maj7(11)",
    "minor-11th": "min11", "dominant-13th": "13", "major-13th": "maj13", "minor-13th": "min13",
    "suspended-second": "sus2", "suspended-fourth": "sus4", "power": "maj", "Neapolitan": "maj", "Italian": "7",
    "French": "7", "German": "7", "pedal": "maj", "Tristan": "hdim7", "other": "maj",
}  # fmt: skip
"""MIREX quality of each kind of MusicXML. A power chord has none: the major triad stands for it."""

# Lead sheet symbols after the root: the first pattern that fits names the quality. Minor is tried before major.
_SUFFIXES = tuple(
    (re.compile(pattern), quality)
    for pattern, quality in (
        (r"(?:m|mi|min|-)7?(?:b5|-5|\(b5\))|[øØ]7?|h7?$|hdim7?", "hdim7"),
        (r"(?:dim|o|°)7", "dim7"),
        (r"dim|o$|°", "dim"),
        (r"(?:m|mi|min|-)(?:\(?(?:maj|Maj|M|ma|Δ)7)", "minmaj7"),
        (r"(?:m|mi|min|-)(13|11|9|7|6)", "min{0}"),
        (r"(?:m|mi|min|-)\(?(?:add|\+)9", "min(9)"),
        (r"(?:mi|min|m(?!a)|-)", "min"),
        (r"(?:maj|Maj|MAJ|ma|M|Δ|j)(13|9|7)", "maj{0}"),
        (r"Δ", "maj7"),
        (r"(?:maj|Maj|MAJ|ma|M|j)(?:6)", "maj6"),
        (r"(?:aug|\+|7\+|7#5|7\+5|9#5)7?$", "aug"),
        (r"7\(?sus4?|9\(?sus4?|sus4?\(?7|7\(?4", "sus4(b7)"),
        (r"sus2|2$", "sus2"),
        (r"sus|4$", "sus4"),
        (r"\(?(?:add|\+)\(?(?:9|2)|6/9", "maj(9)"),
        (r"6", "maj6"),
        (r"(13|11|9|7)", "{0}"),
        (r"(?:maj|Maj|MAJ|ma|M|5|$)", "maj"),
    )
)
_SYMBOL = re.compile(r"\(?([A-G])([#♯b♭]{0,2})([^/\s()][^/\s]{0,12}?|\([^/\s]{1,12})?(?:/([A-Ga-g])([#♯b♭+]{0,2}))?\)?")


def chord_label(
    root: tuple[str, int], quality: str, *, bass: tuple[str, int] | None = None, added: Sequence[str] = ()
) -> str:
    """Return a chord label of the MIREX syntax.

    Parameters
    ----------
    root : (str, int)
        Letter and alteration in semitones: `("B", -1)` for B flat.
    quality : str
        Such as `min7`; see `score.lead_sheet.QUALITIES` and what `parse_chord` reduces to them.
    bass : (str, int), optional
        Lowest note where it is not the root; the label gives its degree.
    added : sequence of str
        Degrees added, such as `9` or `b13`.

    Examples
    --------
    >>> chord_label(("C", 0), "maj", bass=("B", -1))
    'C:maj/b7'
    """
    letter, alteration = root
    label = f"{letter}{_signs(alteration)}:{quality}"
    if added and not quality.endswith(")"):
        label += f"({','.join(added)})"
    if bass is not None and bass != root:
        steps = (_LETTERS.index(bass[0]) - _LETTERS.index(letter)) % 7
        natural = _NATURAL_STEP[_LETTERS[steps]]
        interval = _NATURAL_STEP[bass[0]] + bass[1] - _NATURAL_STEP[letter] - alteration
        label += f"/{_signs((interval - natural + 6) % 12 - 6)}{steps + 1}"
    return label


def chord_label_from_symbol(text: str) -> str | None:
    """Read a lead sheet symbol; None if the text is no chord.

    Extensions that MIREX names are kept, alterations beyond them are left out.

    Examples
    --------
    >>> chord_label_from_symbol("F#m7b5/A"), chord_label_from_symbol("Bbmaj7"), chord_label_from_symbol("rit.")
    ('F#:hdim7/b3', 'Bb:maj7', None)
    """
    text = text.strip()
    if text.rstrip(".").replace(".", "").upper() in ("NC", "N"):
        return "N"
    match = _SYMBOL.fullmatch(text)
    if match is None:
        return None
    letter, signs, suffix, bass_letter, bass_signs = match.groups()
    suffix = (suffix or "").strip("()") if (suffix or "").count("(") != (suffix or "").count(")") else suffix or ""
    for pattern, quality in _SUFFIXES:
        if found := pattern.match(suffix):
            bass = (bass_letter.upper(), _alteration(bass_signs)) if bass_letter else None
            return chord_label((letter, _alteration(signs)), quality.format(*found.groups()), bass=bass)
    return None


def _signs(alteration: int) -> str:
    return "#" * alteration if alteration > 0 else "b" * -alteration


def _alteration(signs: str) -> int:
    return sum(_ALTERATION[sign] for sign in signs)
