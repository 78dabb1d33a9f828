"""The page of one judged song: the verdict first, then what it looks and sounds like, then every number.

Everything comes from the judgement, a mapping ready for JSON, and from the song's notes; what is missing is left out,
or said in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from songwright.evaluation.definitions import GROUP_LABELS, definition
from songwright.reporting.matrix import similarity_matrix
from songwright.reporting.page import (
    Cell,
    cell,
    details,
    facts,
    figure,
    heading,
    legend,
    mark,
    page,
    paragraph,
    section,
    table,
    term,
)
from songwright.reporting.passage import ClosestPassage, passage_part
from songwright.reporting.plots import place_plot, share_bars
from songwright.reporting.roll import PIANO_TINT, BarRow, phrase_tint, phrase_words, roll_part
from songwright.reporting.shared_parts import (
    YES_OR_NO,
    copy_words,
    gates_part,
    label_cell,
    mapping,
    mappings,
    notes_part,
    published_part,
    style_name,
    text,
)
from songwright.reporting.words import duration, is_number, number, percent, place_among_real, span
from songwright.score.song import Song

HASHES_ONLY = (
    "The reference that ships holds no music; evaluate with --reference CORPUS to see and hear the passage itself."
)


def song_page(
    judgement: Mapping[str, Any],
    song: Song | None,
    *,
    passage: ClosestPassage | None = None,
    sound: tuple[str, bytes] | None = None,
) -> str:
    """Return the page of a song, at most 350 kB without sound.

    Parameters
    ----------
    judgement : mapping
        name, title, file, verdict, notes, key, tempo_qpm, meter, bars, seconds, form, reading, gates, figures
        (percentiles from 0 to 100), style, originality, surprise, adherence, published; any may be missing or None.
    song : Song, optional
        Its notes; without them there is no picture and no player.
    passage : ClosestPassage, optional
        The closest passage of a training song; words without it.
    sound : (str, bytes), optional
        MIME type and content of a recording.
    """
    title = text(judgement.get("title")) or text(judgement.get("name")) or "Song without a title"
    verdicts = [gate.get("is_passed") for gate in mappings(judgement.get("gates"))]
    is_good = None if not verdicts or all(one is None for one in verdicts) else False not in verdicts
    body = [
        heading("Song, judged by songwright", title, text(judgement.get("verdict")) or None, is_good=is_good),
        _facts(judgement),
        notes_part(judgement.get("notes")),
        section("Gates", gates_part(judgement.get("gates"), what="song")),
        _music(judgement, song, title, sound),
        section("What was asked, and what came", _adherence(judgement.get("adherence"))),
        section("What returns, and when", _matrix(song)),
        section("How original it is", _originality(judgement, song, passage, title)),
        section("What style it sounds like", _style(judgement.get("style"))),
        section("Every figure, beside real songs", _figures(judgement.get("figures"))),
        published_part(judgement.get("published")),
        _sources(judgement),
    ]
    return page(f"{title}: judged", "\n".join(part for part in body if part))


def _facts(judgement: Mapping[str, Any]) -> str:
    tempo, bars = judgement.get("tempo_qpm"), judgement.get("bars")
    reading = {"written": "as written with the song", "found": "found in the notes"}
    return facts(
        [
            ("Key", text(judgement.get("key"))),
            ("Tempo", f"{number(tempo)} quarter notes a minute" if is_number(tempo) else None),
            ("Metre", text(judgement.get("meter"))),
            ("Length", duration(judgement.get("seconds")) if is_number(judgement.get("seconds")) else None),
            ("Bars", number(bars) if is_number(bars) else None),
            ("Form", text(judgement.get("form"))),
            ("Chords and phrases", reading.get(text(judgement.get("reading")))),
        ]
    )


def _music(judgement: Mapping[str, Any], song: Song | None, title: str, sound: tuple[str, bytes] | None) -> str:
    if song is None:
        return section("The notes", paragraph("There is no picture: this is no song in 4/4 with a melody and chords."))
    sheet = song.lead_sheet
    surprise = mapping(judgement.get("surprise"))
    by_bar = surprise.get("by_bar")
    rows = [BarRow("Surprise of the melody, bits per note", by_bar)] if isinstance(by_bar, list | tuple) else []
    letters = dict.fromkeys(phrase.letter for phrase in sheet.form.phrases if phrase.is_sung)
    entries = [(phrase_tint(letter), f"melody of phrase {letter}") for letter in letters]
    key = text(judgement.get("key"))
    moved = f" Shown moved from {key} to {sheet.key.name}." if key and key != sheet.key.name else ""
    caption = f"Time runs to the right, pitch upwards. Click on the notes to go there.{moved}"
    return section(
        "The notes",
        figure(roll_part(song, part_id="song", title=title, rows=rows, sound=sound), caption),
        legend([*entries, (PIANO_TINT, "piano")]),
        _surprise(surprise),
        paragraph(f"Phrases: {phrase_words(song)}.", css="small soft"),
    )


def _surprise(surprise: Mapping[str, Any]) -> str:
    value = surprise.get("bits_per_note")
    if not is_number(value):
        return ""
    real = surprise.get("real")
    words = [f"Surprise: {number(value, 'bits per note')}"]
    if isinstance(real, list | tuple) and len(real) == 5 and is_number(real[0]) and is_number(real[4]):
        words.append(f"nine in ten real songs: {span((real[0], real[4]))}")
    return f"<p>{term(words[0], definition('bits_per_note').meaning)}{''.join('; ' + one for one in words[1:])}.</p>"


def _matrix(song: Song | None) -> str:
    if song is None:
        return ""
    caption = (
        "Each point compares two bars of the song, melody and piano together. Dark lines beside the diagonal are "
        "passages that return; dark squares are loops. Frames and letters are the phrases of the form."
    )
    return figure(similarity_matrix(song), caption, css="beside")


def _originality(judgement: Mapping[str, Any], song: Song | None, passage: ClosestPassage | None, title: str) -> str:
    found = mapping(judgement.get("originality"))
    if not found:
        return paragraph("Not judged: there were no known songs to compare with.")
    run, piano_run, coverage = (found.get(name) for name in ("melody_run", "piano_run", "coverage"))
    rows: list[list[str | Cell]] = []
    for name, value, nothing in (
        ("melody_run", run, "under 7 notes"),
        ("coverage", coverage, ""),
        ("piano_run", piano_run, "none of two bars or more"),
    ):
        if is_number(value):
            words = number(value, definition(name).unit) if value or not nothing else nothing
            rows.append([label_cell(name), words])
    copied = found.get("copy")
    parts = [table(["Shared with known songs", "This song"], rows)] if rows else []
    if isinstance(copied, Mapping) and copied:
        parts.append(_copy(copied))
    if song is not None and passage is not None:
        parts.append(passage_part(song, passage, title=title))
    elif is_number(run) and run:
        start, source = found.get("melody_start_bar"), text(found.get("source"))
        where = f" from bar {number(start)} on" if is_number(start) else ""
        whose = f" with {source}" if source else " with one known song"
        parts.append(paragraph(f"It shares {number(run, 'notes')} of melody in a row{whose}{where}. {HASHES_ONLY}"))
    elif is_number(run):
        parts.append(paragraph("It shares no more than six melody notes in a row with any known song."))
    return "".join(parts)


def _copy(copied: Mapping[str, Any]) -> str:
    words = copy_words(copied)
    return f"<p>{mark(False, words=('', '✗ copied from a known song', ''))} {escape(f'{words}.' if words else '')}</p>"


def _style(style: Any) -> str:
    style = mapping(style)
    shares = {name: share for name, share in mapping(style.get("probabilities")).items() if is_number(share)}
    if not shares:
        return ""
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    name, share = ordered[0]
    parts = [
        paragraph(f"By the notes alone it is taken for {style_name(name)} ({percent(share)} % sure)."),
        share_bars((escape(style_name(one)), value, f"{percent(value)} %", "") for one, value in ordered),
    ]
    sides = {side: _known_contributions(style.get(side)) for side in ("for", "against")}
    most = max((abs(one["contribution"]) for side in sides.values() for one in side), default=0) or 1.0
    asked = style_name(text(style.get("asked")) or name)
    parts.append(_contributions(sides["for"], f"What speaks for {asked}", "", most))
    parts.append(_contributions(sides["against"], "What speaks against it", "against", most))
    return "".join(parts)


def _known_contributions(features: Any) -> list[Mapping[str, Any]]:
    return [one for one in mappings(features) if text(one.get("label")) and is_number(one.get("contribution"))]


def _contributions(features: Sequence[Mapping[str, Any]], words: str, css: str, most: float) -> str:
    lines = [
        (
            escape(text(one.get("label"))),
            abs(one["contribution"]) / most,
            _value_words(text(one.get("value_text")), text(one.get("typical_text"))),
            css,
        )
        for one in features
    ]
    return f"<h3>{escape(words)}</h3>{share_bars(lines)}" if lines else ""


def _value_words(value: str, typical: str) -> str:
    return "; ".join(part for part in (value, f"typical: {typical}" if typical else "") if part)


def _figures(figures: Any) -> str:
    known = [one for one in mappings(figures) if text(one.get("name"))]
    if not known:
        return paragraph("Nothing was measured.")
    groups = dict.fromkeys([*GROUP_LABELS, *(text(one.get("group")) for one in known)])
    rows: list[Sequence[str | Cell]] = []
    for group in groups:
        lines = [_figure_row(one) for one in known if text(one.get("group")) == group]
        if lines:
            rows += [[GROUP_LABELS.get(group, group)], *lines]
    note = paragraph(
        "Real songs of the same length: nine in ten lie in the light band, half of them in the dark box, the line is "
        "the median. The dot is this song. Point at a name, or move to it with the tab key, for what it means.",
        css="small soft",
    )
    columns = ["Figure", "#This song", "Real songs", "Where it stands"]
    return note + table(columns, rows, css="stack")


def _figure_row(one: Mapping[str, Any]) -> list[str | Cell]:
    name, value, real = text(one.get("name")), one.get("value"), one.get("real")
    unit, label = definition(name).unit, definition(name).label
    known_real = real if isinstance(real, list | tuple) and len(real) == 5 else None
    shown, plot = number(value, unit), place_plot(value, known_real, unit, label=label)
    words = place_among_real(value, one.get("percentile"), known_real)
    if not is_number(value):
        words = "not defined for this song"
    elif name in YES_OR_NO:
        shown, plot, words = "yes" if value else "no", "", ""
        if known_real and is_number(known_real[2]):
            words = "as in most real songs" if bool(known_real[2]) == bool(value) else "unlike most real songs"
    return [
        label_cell(name),
        Cell(escape(shown)),
        Cell(plot, css="band"),
        cell(escape(words) if words else None, css="words"),
    ]


def _adherence(adherence: Any) -> str:
    rows: list[list[str | Cell]] = []
    for one in mappings(adherence):
        unit = text(one.get("unit"))
        is_met = one.get("is_met")
        asked, achieved = (
            number(value, unit) if is_number(value) else text(value)
            for value in (one.get("asked"), one.get("achieved"))
        )
        verdict = mark(is_met if isinstance(is_met, bool) else None, words=("✓ yes", "✗ no", "– cannot be said"))
        why = text(one.get("finding")) or (text(one.get("measured")) if not achieved else "")
        words = f'{escape(achieved or "not measured")}<div class="small soft">{escape(why)}</div>'
        rows.append([text(one.get("control")).replace("_", " ").capitalize(), asked or "–", Cell(words), Cell(verdict)])
    return table(["Control", "Asked", "Achieved", "Kept"], rows) if rows else ""


def _sources(judgement: Mapping[str, Any]) -> str:
    file = text(judgement.get("file"))
    return details("About this page", paragraph(f"Read from {file}.")) if file else ""
