"""How far two readings of one piece agree: keys, forms, chords.

Each measure is the field's own, named with its source; all are 1 for equal readings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from songwright.score.lead_sheet import QUALITIES, ChordChange, ChordSymbol, Form
from songwright.score.pitch import Key


def key_score(reference: Key, found: Key) -> float:
    """Return MIREX's weighted score of a key: 1 the same, .5 a fifth above, .3 relative, .2 parallel, else 0.

    Examples
    --------
    >>> key_score(Key.parse("C"), Key.parse("A minor")), key_score(Key.parse("C"), Key.parse("G"))
    (0.3, 0.5)
    """
    steps = (found.tonic - reference.tonic) % 12
    if reference.is_minor == found.is_minor:
        return {0: 1.0, 7: 0.5}.get(steps, 0.0)
    return {0: 0.2, 3 if reference.is_minor else 9: 0.3}.get(steps, 0.0)


def key_relation(reference: Key, found: Key) -> str:
    """Return in words how one key lies to another.

    Examples
    --------
    >>> key_relation(Key.parse("C"), Key.parse("A minor")), key_relation(Key.parse("C"), Key.parse("F"))
    ('the relative minor', 'a fifth below')
    """
    steps = (found.tonic - reference.tonic) % 12
    mode = "minor" if found.is_minor else "major"
    if reference.is_minor != found.is_minor:
        if steps == (3 if reference.is_minor else 9):
            return f"the relative {mode}"
        return f"the parallel {mode}" if steps == 0 else f"another key, {steps} semitones above, {mode}"
    words = {0: "the same key", 7: "a fifth above", 5: "a fifth below"}
    return words.get(steps, f"another key, {steps} semitones above")


def boundary_agreement(asked: Form, heard: Form, *, tolerance_bars: int = 1) -> float:
    """Return the F-measure of the bars where phrases start, the start of the song left out; 1 where neither has one.

    A boundary of each form matches at most one of the other, at most `tolerance_bars` apart.

    Examples
    --------
    >>> boundary_agreement(Form.parse("A4B8A4"), Form.parse("A5B7A2A2"))
    0.8
    """
    first, second = asked.start_bars[1:], heard.start_bars[1:]
    if not first and not second:
        return 1.0
    here = there = matched = 0
    while here < len(first) and there < len(second):
        gap = first[here] - second[there]
        matched += abs(gap) <= tolerance_bars
        here, there = here + (gap <= tolerance_bars), there + (gap >= -tolerance_bars)
    return 2 * matched / (len(first) + len(second))


def letter_agreement(asked: Form, heard: Form) -> float:
    """Return the F-measure of pairs of bars with the same letter, whatever the letters are called.

    Each phrase `X` or `x` (that returns nowhere) is a letter of its own; bars beyond the shorter form are left out.
    Pairwise clustering, as `mir_eval.segment.pairwise`, with a frame a bar.

    Examples
    --------
    >>> letter_agreement(Form.parse("A4B4A4"), Form.parse("C4A4C4"))
    1.0
    """
    first, second = _letter_of_bars(asked), _letter_of_bars(heard)
    num_bars = min(len(first), len(second))
    first, second = first[:num_bars], second[:num_bars]
    above = np.triu_indices(num_bars, 1)
    same_first, same_second = ((bars[:, None] == bars)[above] for bars in (first, second))
    total = int(same_first.sum() + same_second.sum())
    return 2 * int((same_first & same_second).sum()) / total if total else 1.0


def _letter_of_bars(form: Form) -> NDArray[np.int64]:
    """Return a number for the letter of each bar."""
    names = [f"{place}" if letter in "Xx" else letter for place, (letter, _) in enumerate(form.phrases)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.repeat([numbers[name] for name in names], [phrase.num_bars for phrase in form.phrases])


def chord_agreement(asked: Sequence[ChordChange], heard: Sequence[ChordChange], end_step: int) -> float:
    """Return the share of the time in which the asked chord is heard, until `end_step`.

    Major and minor triads with their sevenths and added tones must agree in root and third (MIREX's major/minor
    recall); of asked suspended, diminished and augmented chords the root.
    """
    if end_step <= 0 or not asked or not heard:
        return 0.0
    marks = np.unique(
        [0, end_step, *(change.onset_step for change in (*asked, *heard) if change.onset_step < end_step)]
    )
    right = 0
    for start, stop in zip(marks[:-1].tolist(), marks[1:].tolist(), strict=True):
        wanted, found = _chord_at(asked, start), _chord_at(heard, start)
        third = _third(wanted)
        right += (stop - start) * (wanted.root == found.root and third in (None, _third(found)))
    return right / end_step


def _chord_at(changes: Sequence[ChordChange], step: int) -> ChordSymbol:
    """Return the chord at a step; before the first change, the first."""
    sounding = changes[0].chord
    for onset, chord in changes:
        if onset > step:
            break
        sounding = chord
    return sounding


def _third(chord: ChordSymbol) -> int | None:
    """Return the third above the root of a chord with a fifth, in semitones."""
    tones = QUALITIES[chord.quality]
    return next((third for third in (4, 3) if third in tones), None) if 7 in tones else None
