"""The page of an explained song: the sentence first, then the surprises on the roll, then every bar and note.

One HTML file that fetches nothing. A bar is chosen by a click on the roll, with the arrow keys on it, or by its number;
without script, and for readers of screens, all bars stand one after the other. Printed, the chosen bar is shown.
"""

from __future__ import annotations

from collections import Counter
from html import escape

import numpy as np

from songwright.explanation.alternatives import Decision
from songwright.explanation.attention import HEAD_NAMES
from songwright.reporting.explanation import Explanation, phrase_place
from songwright.reporting.explanation_plots import (
    arcs,
    note_tints,
    sources_svg,
    stems,
    surprise_legend,
    surprise_svg,
    surprise_tint,
)
from songwright.reporting.explanation_words import (
    against_real,
    repeats_words,
    strength_words,
    taken_words,
    verdict,
)
from songwright.reporting.page import (
    Cell,
    bullets,
    details,
    facts,
    figure,
    heading,
    legend,
    page,
    paragraph,
    section,
    table,
    term,
)
from songwright.reporting.roll import PIANO_TINT, roll_part
from songwright.reporting.words import number, percent
from songwright.score.grid import STEPS_PER_BAR

_BITS = (
    "How surprised the network is by a note: minus the base-2 logarithm of the probability that it gave to when the "
    "note starts and how high it is. 0 bits: it was certain; 1: an even chance; every further bit halves the chance."
)
_SOURCE = {
    "silencing": (
        "The melody of each bar was taken out in turn and the rest read again. A bar takes from an earlier one where "
        "its own notes are less probable without it; 1 nat makes each note 2.7 times less probable."
    ),
    "attention": (
        "Where the network looked while it read the bar, and what the copy gates of earlier bars added to its notes. "
        "Quick, and close to what silencing each bar finds exactly (without --fast)."
    ),
}
_HEADS = {
    "follows repeats": "looks at the same place of an earlier phrase, or 1, 2, 4 or 8 bars back",
    "reads chords": "looks at chord symbols",
    "keeps time": "looks at bar lines, beats and positions",
    "continues the line": "looks at the pitches and lengths of this bar and the one before",
    "mixed": "looks at several of these",
}
_CURVE = "The surprise of every note; the black line is the mean of each bar."
_STEMS_HEIGHT, _ARCS_HEIGHT = 60, 90
_TOP_NOTES = 12

_STYLE = """
.strip .under { position: relative; border-top: 1px solid var(--line); }
.strip .under svg { width: 100%; display: block; } .strip .under .row-name { border: 0; }
.arc.on { stroke: #b45309; stroke-opacity: 1; stroke-width: 3; } .has-choice .arc:not(.on) { stroke-opacity: .08; }
.chooser { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .6rem 0; }
.chooser button, .chooser input { font: inherit; font-size: .875rem; padding: .3rem .7rem; min-height: 2.2rem;
  color: var(--ink); background: var(--paper); border: 1px solid var(--real); border-radius: 6px; }
.chooser input { width: 6rem; }
.chooser button { cursor: pointer; }
.bar-part { border-top: 1px solid var(--line); } .bar-part h3 { margin-top: .8rem; }
.one .bar-part:not(.chosen) { display: none; }
.bar-part a { font-weight: 600; } .bar-part ul.choices { list-style: none; padding: 0; margin: 0; font-size: .8125rem; }
.choices li.written { font-weight: 600; } .choices .chance { display: inline-block; height: .5rem; margin-right: .3rem;
  background: var(--real); border-radius: 2px; min-width: 1px; } .choices .written .chance { background: #0f766e; }
.bar-part td { vertical-align: top; }
.swatch { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .35em; }
.drawing > svg { width: 100%; height: auto; } .square { max-width: 44rem; }
"""
_SCRIPT = """
(() => {
  const root = document.querySelector(".player"), bars = document.getElementById("bars");
  const input = document.getElementById("bar-number"), last = +input.max;
  document.querySelector(".chooser").hidden = false;
  bars.classList.add("one");
  const choose = (bar, {seek = true} = {}) => {
    bar = Math.max(1, Math.min(last, Math.round(bar) || 1));
    input.value = bar;
    for (const part of bars.querySelectorAll(".bar-part")) part.classList.toggle("chosen", part.id === `bar-${bar}`);
    root.classList.add("has-choice");
    for (const arc of root.querySelectorAll(".arc")) arc.classList.toggle("on", +arc.dataset.bar === bar);
    if (seek && root.player) root.player.seek((bar - 1) * root.player.barSeconds + 0.001);
  };
  root.addEventListener("bar", event => choose(event.detail, {seek: false}));
  root.querySelector(".roll-scroll").addEventListener("keydown", event => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight")
      choose(1 + Math.floor(root.player.position / root.player.barSeconds + 1e-6), {seek: false});
  });
  input.addEventListener("change", () => choose(+input.value));
  for (const button of document.querySelectorAll("[data-move]"))
    button.addEventListener("click", () => choose(+input.value + +button.dataset.move));
  for (const link of document.querySelectorAll("a[href^='#bar-']")) link.addEventListener("click", event => {
    event.preventDefault();
    choose(+link.hash.slice(5));
    document.querySelector(".chooser").scrollIntoView({block: "nearest"});
  });
  choose(+(location.hash.match(/^#bar-(\\d+)$/)?.[1] ?? input.value));
})();
"""


def explanation_page(explanation: Explanation, *, bar: int | None = None, note: int | None = None) -> str:
    """Return the page of an explained song, about 600 kB for three minutes.

    Parameters
    ----------
    explanation : Explanation
    bar : int, optional
        The bar (from 0) that is shown first; else that of `note`, else the most surprising one.
    note : int, optional
        A melody note (from 0).
    """
    if bar is None:
        surprising = explanation.most_surprising_bars(1) or [0]
        bar = int(explanation.surprise.note_bars[note]) if note is not None else surprising[0]
    body = [
        heading("Song, explained by songwright", explanation.title, verdict(explanation)),
        _facts(explanation),
        *(paragraph(words) for words in (against_real(explanation), repeats_words(explanation)) if words),
        bullets(explanation.remarks),
        section("What surprised the network", _roll(explanation)),
        section("Bar by bar", _bars(explanation, bar)),
        section("The greatest surprises", _surprises(explanation)),
        section("Where each bar comes from", _sources(explanation)),
        section("The curve with its scale", figure(surprise_svg(explanation), _CURVE, css="drawing")),
        section("What the heads of the network do", _heads(explanation)),
        section("How to read this page", _reading(explanation)),
    ]
    return page(
        f"{explanation.title}: explained", "\n".join(part for part in body if part), script=_SCRIPT, style=_STYLE
    )


def _facts(explanation: Explanation) -> str:
    sheet, surprise = explanation.song.lead_sheet, explanation.surprise

    def bits(value: float | None) -> str | None:
        return None if value is None else f"{number(value)} bits"

    return facts(
        [
            ("A note", bits(surprise.bits_per_note)),
            ("First phrases, a note", bits(surprise.bits_per_note_first)),
            ("Returns, a note", bits(surprise.bits_per_note_later)),
            ("A chord", bits(surprise.bits_per_chord)),
            ("Melody", f"{len(sheet.melody)} notes in {sheet.num_bars} bars"),
            ("Key", sheet.key.name),
            ("Form", str(sheet.form)),
            ("Network", explanation.network),
        ]
    )


def _roll(explanation: Explanation) -> str:
    num_bars = explanation.num_bars
    surprise = (
        '<div class="under"><span class="row-name" aria-hidden="true">surprise of each note, up to 8 bits</span>'
        f'<svg viewBox="0 0 {num_bars * STEPS_PER_BAR} {_STEMS_HEIGHT}" style="height:{_STEMS_HEIGHT}px" '
        f'preserveAspectRatio="none" role="img" aria-label="Surprise of each note in bits">'
        f"{stems(explanation, height=_STEMS_HEIGHT)}</svg></div>"
    )
    taken = (
        '<div class="under"><span class="row-name" aria-hidden="true">arcs: the bars that each bar takes from</span>'
        f'<svg viewBox="0 0 {num_bars} {_ARCS_HEIGHT}" style="height:{_ARCS_HEIGHT}px" preserveAspectRatio="none" '
        f'role="img" aria-label="Bars and the bars that they take from">'
        f"{arcs(explanation, height=_ARCS_HEIGHT)}</svg></div>"
    )
    roll = roll_part(
        explanation.song, part_id="roll", title=explanation.title, melody_tints=note_tints(explanation),
        under=surprise + taken,
    )  # fmt: skip
    return roll + legend([*surprise_legend(), (PIANO_TINT, "accompaniment (not judged)")])


def _bars(explanation: Explanation, chosen: int) -> str:
    chooser = (
        '<div class="chooser screen" hidden><button type="button" data-move="-1">← Bar before</button>'
        f'<label>Bar <input type="number" id="bar-number" min="1" max="{explanation.num_bars}" value="{chosen + 1}">'
        "</label>"
        '<button type="button" data-move="1">Next bar →</button></div>'
    )
    parts = "".join(_bar(explanation, bar) for bar in range(explanation.num_bars))
    return f'{chooser}<div id="bars" aria-live="polite">{parts}</div>'


def _bar(explanation: Explanation, bar: int) -> str:
    form, value = explanation.song.lead_sheet.form, explanation.bar_surprise[bar]
    cost = "no melody" if value is None else f"{number(value)} bits a note"
    found = explanation.sources[bar]
    words: list[str] = []
    for place, source in enumerate(found.sources):
        words.append(
            f'<li><a href="#bar-{source.bar}">Bar {source.bar}</a>: {escape(source.place)}; {escape(source.relation)}; '
            f'<span class="soft">{escape(strength_words(explanation, bar, place))}</span></li>'
        )
    taken = f"<ul>{''.join(words)}</ul>" if words else ""
    attention = explanation.attention if explanation.method == "silencing" and value is not None else None
    looked = "" if attention is None else attention.bar(bar).text
    notes = explanation.notes_of_bar(bar)
    return (
        f'<article class="bar-part" id="bar-{bar + 1}">'
        f"<h3>Bar {bar + 1} · {escape(phrase_place(form, bar))} · {cost}</h3>"
        + (paragraph(found.text) if found.text else "")
        + taken
        + (paragraph(looked, css="soft small") if looked else "")
        + (_notes(explanation, notes) if notes else "")
        + "</article>"
    )


def _notes(explanation: Explanation, notes: list[int]) -> str:
    rows: list[list[str | Cell]] = []
    for note in notes:
        found, bits = explanation.notes[note], float(explanation.surprise.note_bits[note])
        swatch = f'<i class="swatch" style="background:{surprise_tint(bits)}"></i>'
        rows.append(
            [
                Cell(f"{note + 1}"),
                Cell(f"{swatch}{number(bits)}", round(bits, 3), "nowrap"),
                *(Cell(_choices(decision)) for decision in (found.onset, found.pitch, found.duration)),
            ]
        )
    return (
        f'<div class="wide">{table(["Note", "#Bits", "When it starts", "Its pitch", "How long it lasts"], rows)}</div>'
    )


def _choices(decision: Decision) -> str:
    """Return the most probable choices, the written one always among them."""
    shown = list(decision.alternatives[:3])
    if not any(one.is_chosen for one in shown):
        shown.append(decision.chosen)
    lines = "".join(
        f'<li{" class=written" if one.is_chosen else ""}><span class="chance" '
        f'style="width:{3 * one.probability:.2f}rem"></span>{escape(str(one))}{" ✓" if one.is_chosen else ""}</li>'
        for one in shown
    )
    return f'<ul class="choices">{lines}</ul>'


def _surprises(explanation: Explanation) -> str:
    notes = explanation.most_surprising_notes(_TOP_NOTES)
    form = explanation.song.lead_sheet.form
    rows: list[list[str | Cell]] = []
    for note in notes:
        found, bits = explanation.notes[note], float(explanation.surprise.note_bits[note])
        swatch = f'<i class="swatch" style="background:{surprise_tint(bits)}"></i>'
        rows.append(
            [
                Cell(f'<a href="#bar-{found.bar}">Bar {found.bar}</a>, {escape(phrase_place(form, found.bar - 1))}'),
                Cell(f"{swatch}{number(bits)}", round(bits, 3), "nowrap"),
                Cell(_choices(found.onset)),
                Cell(_choices(found.pitch)),
            ]
        )
    if not rows:
        return ""
    words = paragraph("What the network held more probable there; ✓ marks what was written.")
    return f'{words}<div class="wide bar-part">{table(["Where", "#Bits", "When it starts", "Its pitch"], rows)}</div>'


def _sources(explanation: Explanation) -> str:
    words = taken_words(explanation)
    caption = (
        "Each line is a bar, each column an earlier one; the darker, the more the bar takes from it. Squares are the "
        "phrases of the form: a slanted line below a square is a phrase that returns."
    )
    return (
        (paragraph(words) if words else "")
        + f"<p>{term('How this was found', _SOURCE[explanation.method])}.</p>"
        + figure(sources_svg(explanation), caption, css="drawing square")
    )


def _heads(explanation: Explanation) -> str:
    heads = () if explanation.attention is None else explanation.attention.heads
    if not heads:
        return ""
    counts = Counter(head.name for head in heads)
    rows: list[list[str | Cell]] = []
    for name in dict.fromkeys(HEAD_NAMES.values()):
        ours = [head for head in heads if head.name == name]
        if ours:
            named = ", ".join(f"{head.layer}.{head.head}" for head in ours)
            rows.append([name, str(counts[name]), _HEADS.get(name, ""), named])
    mean = {kind: float(np.mean([head.shares[kind] for head in heads])) for kind in heads[0].shares}
    words = ", ".join(f"{kind} {percent(share)} %" for kind, share in mean.items())
    every = table(["Head (layer.head)", "What it does"], [[f"{head.layer}.{head.head}", head.text] for head in heads])
    return (
        paragraph(
            f"The network has {len(heads)} attention heads, each a way of looking back. While the melody of this song "
            f"was read, their attention went, on average: {words}."
        )
        + f'<div class="wide">{table(["Kind", "#Heads", "What they do", "Layer.head"], rows)}</div>'
        + details("Every head", every)
    )


def _reading(explanation: Explanation) -> str:
    bits, taken = term("Bits", _BITS), term("Takes from", _SOURCE[explanation.method])
    beside = ""
    if explanation.real is not None:
        low, high = (number(explanation.real.percentiles[place]) for place in (1, 3))
        beside = (
            f" Half of {explanation.real.num_songs} real songs that the network never learned from cost {low} to "
            f"{high} bits a note."
        )
    lines = (
        f"{bits} count when a note starts and how high it is, not how long it lasts.{beside}",
        "Surprise is no fault. First phrases surprise; a phrase that returns surprises only where it is varied.",
        f"{taken} says what the network used, not what a composer thought. Two bars with the same notes stand in for "
        "each other: then neither seems needed alone.",
        "Probabilities are those of a network that learned pop songs; music of another style surprises it more.",
    )
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"
