"""An explanation in sentences: the first one, a few lines for a terminal, a bar, a note."""

from __future__ import annotations

import math
from collections.abc import Sequence

from songwright.explanation.alternatives import Decision
from songwright.reporting.explanation import Explanation, phrase_place
from songwright.reporting.words import number

_PARTS = {"onset": "when it starts", "pitch": "its pitch", "duration": "how long it lasts"}
_GIVEN = {"onset": "its start", "pitch": "its pitch", "duration": "its length"}
_EXPECTED_BITS = 1.0  # an even chance


def verdict(explanation: Explanation) -> str:
    """Return the first sentence: how much of the melody was expected, and where the surprises lie."""
    bits = explanation.surprise.bits_per_note
    if bits is None:
        return "There is no melody that could surprise the network."
    bars = sorted(bar + 1 for bar in explanation.most_surprising_bars(2))
    where = f"; it was most surprised in {_bars(bars)}" if bars else ""
    if explanation.real is None:
        return f"The melody cost the network {bits_words(bits)} a note{where}."
    low, _, _, high, _ = explanation.real.percentiles
    how = "nearly all" if bits < low else "most" if bits <= high else "only part"
    return f"The network expected {how} of this melody: {bits_words(bits)} a note{where}."


def bits_words(bits: float) -> str:
    """Return bits as they are said: `1 bit`, `1.6 bits`."""
    said = number(bits)
    return f"{said} bit" if said == "1" else f"{said} bits"


def against_real(explanation: Explanation) -> str:
    """Return how the surprise lies to that of real songs."""
    bits = explanation.surprise.bits_per_note
    if bits is None or explanation.real is None:
        return ""
    low, first, middle, third, high = explanation.real.percentiles
    steps = ((low, "less than nearly all real songs do"), (first, "less than three in four real songs do"),
             (third, "as much as real songs do"), (high, "more than three in four real songs do"))  # fmt: skip
    words = next((words for bound, words in steps if bits < bound), "more than nearly all real songs do")
    count = explanation.real.num_songs
    return f"It surprises the network {words} (the middle one of {count} held-out songs: {bits_words(middle)} a note)."


def repeats_words(explanation: Explanation) -> str:
    """Return what the first and the later phrases of a letter cost; empty without both."""
    first, later = explanation.surprise.bits_per_note_first, explanation.surprise.bits_per_note_later
    if first is None or later is None:
        return ""
    return f"The first phrase of each letter costs {bits_words(first)} a note, its returns {number(later)}."


def overview_lines(explanation: Explanation) -> list[str]:
    """Return a few lines for a terminal."""
    lines = [explanation.title, f"  {verdict(explanation)}"]
    lines += [f"  {words}" for words in (against_real(explanation), repeats_words(explanation)) if words]
    lines += [f"  {words}" for words in explanation.remarks]
    if taken := taken_words(explanation):
        lines.append(f"  {taken}")
    for note in explanation.most_surprising_notes(3):
        lines.append(f"  {note_sentence(explanation, note)}")
    return lines


def taken_words(explanation: Explanation) -> str:
    """Return how many bars take from earlier ones; empty where that was not asked of all."""
    sung = [found for found in explanation.sources if explanation.surprise.bar_notes[found.bar - 1]]
    if not all(found.text for found in sung):
        return ""
    if not sung:
        return ""
    taking = [found for found in sung if found.sources]
    repeats = sum(found.sources[0].relation == "exact repeat" for found in taking)
    return (
        f"{len(taking)} of {len(sung)} bars with melody take from an earlier one; "
        f"{repeats} most of all from a bar that they repeat exactly."
    )


def bar_lines(explanation: Explanation, bar: int) -> list[str]:
    """Return what there is to say about a bar (from 0): surprise, sources, notes."""
    form = explanation.song.lead_sheet.form
    bits = explanation.bar_surprise[bar]
    cost = "no melody" if bits is None else f"{bits_words(bits)} a note"
    lines = [f"Bar {bar + 1} ({phrase_place(form, bar)}): {cost}"]
    if explanation.sources[bar].text:
        lines.append(f"  {explanation.sources[bar].text}")
        lines += [
            f"    {strength_words(explanation, bar, place)}" for place in range(len(explanation.sources[bar].sources))
        ]
    for count, note in enumerate(explanation.notes_of_bar(bar), start=1):
        lines.append(f"  {count}. {note_sentence(explanation, note, with_bar=False)}")
    return lines


def strength_words(explanation: Explanation, bar: int, place: int) -> str:
    """Return how much a bar (from 0) takes from its source of some place in the list."""
    source = explanation.sources[bar].sources[place]
    factor = number(math.exp(min(source.nats_per_note, 20.0)))
    if explanation.method == "silencing":
        return f"without bar {source.bar}, each note would be {factor} times less probable"
    return f"bar {source.bar} makes each note about {factor} times as probable"


def note_sentence(explanation: Explanation, note: int, *, with_bar: bool = True) -> str:
    """Return a note (from 0) with its surprise and what was expected instead."""
    found = explanation.notes[note]
    bits = float(explanation.surprise.note_bits[note])
    where = f"bar {found.bar}, {_plain(found.onset.chosen.text)}" if with_bar else _plain(found.onset.chosen.text)
    name = _plain(found.pitch.chosen.text)
    return f"{name}, {where}: {bits_words(bits)}; {expected_words(explanation, note)}"


def expected_words(explanation: Explanation, note: int) -> str:
    """Return which decision of a note (from 0) surprised most, and what was expected there."""
    found, surprise = explanation.notes[note], explanation.surprise
    wait = float(surprise.wait_bits[note])
    onset, pitch = float(surprise.onset_bits[note]), float(surprise.pitch_bits[note])
    if max(wait, onset, pitch) < _EXPECTED_BITS:
        return "expected"
    if wait >= max(onset, pitch):
        return f"that no other note came before it had {_percent(2**-wait)}"
    decision = found.onset if onset >= pitch else found.pitch
    others = " or ".join(str(one) for one in [one for one in decision.alternatives if not one.is_chosen][:2])
    likelier = f"; {'likelier' if decision.rank > 1 else 'next'}: {others}" if others else ""
    return f"the network gave {_GIVEN[decision.kind]} {_percent(decision.chosen.probability)}{likelier}"


def note_lines(explanation: Explanation, note: int) -> list[str]:
    """Return the three decisions of a note (from 0) with what was most probable at each."""
    found = explanation.notes[note]
    lines = [
        f"Note {note + 1} of the melody, in bar {found.bar}: {bits_words(float(explanation.surprise.note_bits[note]))}"
    ]
    for decision in (found.onset, found.pitch, found.duration):
        lines.append(f"  {_PARTS[decision.kind]}: {decision.chosen}{_rank(decision)}")
        lines += [f"    {'>' if one.is_chosen else ' '} {one}" for one in decision.alternatives]
    return lines


def _rank(decision: Decision) -> str:
    if decision.rank == 1:
        return " (the most probable choice)"
    return f" (number {decision.rank} of the choices)"


def _plain(text: str) -> str:
    """Return a choice without the bar it recalls."""
    return text.split(", as in bar ")[0]


def _percent(probability: float) -> str:
    return f"{'under 1' if probability < 0.01 else f'{100 * probability:.0f}'} %"


def _bars(bars: Sequence[int]) -> str:
    if len(bars) == 1:
        return f"bar {bars[0]}"
    return f"bars {', '.join(str(bar) for bar in bars[:-1])} and {bars[-1]}"
