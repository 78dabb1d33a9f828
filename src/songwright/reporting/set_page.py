"""The page of a set of songs: the verdict first, then gates, figures beside real music, pictures, and every song.

Everything comes from the report, a mapping ready for JSON; what is missing is left out, or said in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from songwright.evaluation.definitions import FEATURE_GROUPS, GROUP_LABELS, definition
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
from songwright.reporting.plots import (
    REAL_TINT,
    TINT,
    counts_plot,
    curve_plot,
    numbers_of,
    range_plot,
    share_bars,
    spread_plot,
)
from songwright.reporting.shared_parts import (
    YES_OR_NO,
    capital,
    gates_part,
    label_cell,
    mapping,
    mappings,
    notes_part,
    number_cell,
    published_part,
    style_name,
    text,
    texts,
)
from songwright.reporting.words import duration, is_number, number, percent, span

_LONGEST_RUN = 19
"""Melody notes in a row that are no quotation yet, where the report sets no goal."""
_COLOURS = [(TINT, "these songs"), (REAL_TINT, "real songs")]


def set_page(report: Mapping[str, Any], *, links: Mapping[str, str]) -> str:
    """Return the page of a set of songs.

    Parameters
    ----------
    report : mapping
        What `evaluation.report.evaluate_songs` returns, and verdict, gates, two_sample, values, divergences, published,
        style, songs, left_out, likelihood; any key may be missing or None.
    links : mapping
        Address of each song's page by the song's name.
    """
    count = report.get("num_songs")
    title = text(report.get("title")) or (number(count, "songs") if is_number(count) else "Songs")
    verdicts = [gate.get("is_passed") for gate in mappings(report.get("gates"))]
    is_good = None if not verdicts or all(one is None for one in verdicts) else False not in verdicts
    body = [
        heading("Set of songs, judged by songwright", title, text(report.get("verdict")) or None, is_good=is_good),
        _facts(report),
        notes_part(report.get("notes")),
        section("Gates", gates_part(report.get("gates"), what="set")),
        section("Every figure, beside real music", _figures(report.get("figures"))),
        section("Can they be told from real music?", _two_sample(report.get("two_sample"))),
        section("When music comes back", _curve(report.get("similarity_curve"))),
        section("How original they are", _originality(report)),
        section("What style they sound like", _style(report.get("style"))),
        section("How surprising they are", _likelihood(report.get("likelihood"))),
        section("The spread of every feature", _spreads(report)),
        section("The songs", _songs(report.get("songs"), links)),
        section("Left out", _left_out(report.get("left_out"))),
        published_part(report.get("published")),
        _divergences(report),
    ]
    return page(f"{title}: judged", "\n".join(part for part in body if part))


def _facts(report: Mapping[str, Any]) -> str:
    seconds = mapping(report.get("seconds"))
    lowest, highest = (seconds.get(name) for name in ("lowest", "highest"))
    length = duration(seconds.get("median")) if is_number(seconds.get("median")) else None
    if length and is_number(lowest) and is_number(highest) and round(lowest) != round(highest):
        length += f" (from {duration(lowest)} to {duration(highest)})"
    cut, reals, training = (report.get(name) for name in ("reference_seconds", "num_reference", "num_training"))
    against = number(reals, "songs") if is_number(reals) else None
    if against and is_number(cut):
        against += f", their first {duration(cut)}"
    return facts(
        [
            ("Songs", number(report["num_songs"]) if is_number(report.get("num_songs")) else None),
            ("Length", length),
            ("Held against real music", text(report.get("reference")) or None),
            ("Real music", against),
            ("Known songs compared with", number(training) if is_number(training) and training else None),
            ("Seed of random draws", str(report["seed"]) if isinstance(report.get("seed"), int) else None),
        ]
    )


def _figures(figures: Any) -> str:
    known = [one for one in mappings(figures) if text(one.get("name"))]
    if not known:
        return paragraph("Nothing was measured.")
    rows: list[Sequence[str | Cell]] = []
    for group in dict.fromkeys(text(one.get("section")) for one in known):
        rows.append([GROUP_LABELS.get(group, capital(group))])
        rows += [_figure_row(one) for one in known if text(one.get("section")) == group]
    judged = [one["is_met"] for one in known if isinstance(one.get("is_met"), bool)]
    met = f" {sum(judged)} of {len(judged)} goals are met." if judged else ""
    note = paragraph(
        "The dot is this set, with its 95 % interval over songs; the grey band is where as many real songs would lie "
        f"in 95 of 100 draws; the green bracket is the goal.{met} Point at a name for what it means.",
        css="small soft",
    )
    columns = ["Figure", "#Value", "#95 % interval", "#Real music", "#Real range", "Picture", "Goal", "Met"]
    return f'{note}<div class="wide">{table(columns, rows, css="figures")}</div>'


def _figure_row(one: Mapping[str, Any]) -> list[str | Cell]:
    name, unit = text(one.get("name")), text(one.get("unit"))
    known = definition(name)
    value, interval, real, reals, goal = (one.get(key) for key in ("value", "interval", "real", "real_range", "goal"))
    # Distances and areas run from 0 to 1 too, but nobody says them in percent.
    unit = known.unit if unit == "share" and known.unit else unit or known.unit
    is_met = one.get("is_met")
    label = text(one.get("label")) if not known.meaning else known.label
    plot = range_plot(value, interval, reals, goal, unit, label=label, real=real)
    return [
        label_cell(name, label=label),
        _run_cell(value, unit),
        cell(_span_words(interval, unit)),
        _run_cell(real, unit),
        cell(_span_words(reals, unit)),
        Cell(plot, css="band"),
        cell(_span_words(goal, unit)),
        Cell(mark(is_met, words=("✓ yes", "✗ no", "")) if isinstance(is_met, bool) else ""),
    ]


def _run_cell(value: Any, unit: str) -> Cell:
    """Return a cell of a number; no shared notes means fewer than can be told from chance."""
    words = "under 7" if value == 0 and unit == "notes" else number(value, unit) if is_number(value) else ""
    return cell(f'<span class="nowrap">{escape(words)}</span>' if words else None)


def _span_words(bounds: Any, unit: str) -> str | None:
    words = span(bounds, unit, has_unit=unit == "share")
    return f'<span class="nowrap">{escape(words)}</span>' if len(words) > 1 else None


def _two_sample(found: Any) -> str:
    found = mapping(found)
    auc = found.get("auc")
    if not is_number(auc):
        return paragraph("Not tried: a judge that tells two sets apart needs more songs.") if found else ""
    interval, floor = found.get("interval"), found.get("floor")
    words = f"A judge trained to tell these songs from real ones ranks a pair rightly {percent(auc)} times in 100"
    words += f" (95 % interval {span(interval, 'share')})" if len(span(interval)) > 1 else ""
    words += "; 50 is a coin toss"
    words += f", and two sets of real songs reach {span(floor, 'share')}" if len(span(floor)) > 1 else ""
    plot = range_plot(auc, interval, floor, None, "0 to 1", label=definition("auc").label)
    features = [one for one in mappings(found.get("features")) if is_number(one.get("weight"))]
    most = max((abs(one["weight"]) for one in features), default=0) or 1.0
    lines = [
        (
            term(capital(definition(text(one.get("name"))).label), definition(text(one.get("name"))).meaning),
            abs(one["weight"]) / most,
            f"{text(one.get('direction'))} here" if text(one.get("direction")) else number(one["weight"]),
            "",
        )
        for one in features
    ]
    told = "<h3>What tells most by itself</h3>" + share_bars(lines) if lines else ""
    return f'{paragraph(words + ".")}<div style="max-width:30rem">{plot}</div>{told}'


def _curve(curve: Any) -> str:
    curve = mapping(curve)
    band = curve.get("reference_band")
    plot = curve_plot(
        curve.get("generated"),
        curve.get("reference"),
        label="Similarity of bars by their distance, these songs and real songs",
        band=(band[0], band[1]) if isinstance(band, list | tuple) and len(band) == 2 else None,
    )
    if not plot:
        return ""
    caption = (
        "How many of their notes two bars have in common, by how far they lie apart: peaks at 4 and 8 are phrases."
    )
    return legend(_COLOURS) + figure(plot, caption, css="chart")


def _originality(report: Mapping[str, Any]) -> str:
    reals = mapping(mapping(mapping(report.get("values")).get("reference")).get("originality")).get("melody_run")
    ours = [one.get("melody_run") for one in mappings(report.get("songs"))]
    goals = [one.get("goal") for one in mappings(report.get("figures")) if one.get("name") == "run_max"]
    highest = next((goal[1] for goal in goals if isinstance(goal, list | tuple) and is_number(goal[1])), _LONGEST_RUN)
    plot = counts_plot(ours, reals, label="Longest shared melody run", unit="notes", limit=highest + 1)
    if not plot:
        return paragraph("Not judged: there were no known songs to compare with.") if ours else ""
    caption = (
        "The most melody notes in a row that each song shares with a known song; under 7 counts as 0. Songs at "
        "or right of the red line are taken for quotations."
    )
    return legend(_COLOURS) + figure(plot, caption, css="chart")


def _style(style: Any) -> str:
    style = mapping(style)
    shares = {name: share for name, share in mapping(style.get("shares")).items() if is_number(share)}
    if not shares:
        return ""
    words = ""
    if is_number(style.get("share")):
        asked = style_name(text(style.get("asked")))
        words = f"By their notes alone, {percent(style['share'])} % of the songs are taken for {asked}."
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    bars = share_bars((escape(style_name(name)), share, f"{percent(share)} %", "") for name, share in ordered)
    return (paragraph(words) if words else "") + bars


def _likelihood(found: Any) -> str:
    found = mapping(found)
    value = found.get("bits_per_note", found.get("value"))
    if not is_number(value):
        return ""
    known = definition("bits_per_note")
    interval, real, reals = (found.get(key) for key in ("interval", "real", "real_range"))
    words = f"Surprise: {number(value, known.unit)}"
    words += f" (95 % interval {span(interval)})" if len(span(interval)) > 1 else ""
    words += f"; real songs {number(real)}" if is_number(real) else ""
    words += f" ({span(reals)})" if len(span(reals)) > 1 else ""
    plot = range_plot(value, interval, reals, None, known.unit, label=known.label, real=real)
    return (
        f'{paragraph(words + ".")}<div style="max-width:30rem">{plot}</div>{paragraph(known.meaning, css="small soft")}'
    )


def _spreads(report: Mapping[str, Any]) -> str:
    values = mapping(report.get("values"))
    ours, reals = mapping(values.get("generated")), mapping(values.get("reference"))
    parts = [
        f"<h3>{escape(GROUP_LABELS[group])}</h3>" + f'<div class="grid">{"".join(panels)}</div>'
        for group in FEATURE_GROUPS
        if (panels := list(_panels(report, group, mapping(ours.get(group)), mapping(reals.get(group)))))
    ]
    return legend(_COLOURS) + "".join(parts) if parts else ""


def _panels(report: Mapping[str, Any], group: str, ours: Mapping[str, Any], reals: Mapping[str, Any]) -> Iterator[str]:
    table_of_group = mapping(mapping(report.get("features")).get(group))
    for name, values in ours.items():
        known = definition(name)
        plot = spread_plot(values, reals.get(name), known.unit, label=known.label)
        if not plot:
            continue
        means = [numbers_of(side) for side in (values, reals.get(name))]
        if name in YES_OR_NO:
            plot = share_bars(
                (escape(whose), float(side.mean()), "", css)
                for whose, side, css in (("these songs", means[0], ""), ("real songs", means[1], "real"))
                if len(side)
            )
        words = f"mean {number(float(means[0].mean()), known.unit)}"
        words += f", real {number(float(means[1].mean()), known.unit)}" if len(means[1]) else ""
        area = mapping(table_of_group.get(name)).get("overlapping_area")
        words += f" · overlap {number(area)}" if is_number(area) else ""
        yield (
            f'<div class="panel"><h4>{term(capital(known.label), known.meaning)}</h4>{plot}'
            f'<div class="small soft">{escape(words)}</div></div>'
        )


def _songs(songs: Any, links: Mapping[str, str]) -> str:
    known = mappings(songs)
    if not known:
        return ""
    rows = [_song_row(one, links) for one in known]
    columns = ["Song", "#Failed", "Failed gates", "#Length", "#Bars", "Key", "Form", "Style", "#Surprise",
               "#Shared run", "Copy"]  # fmt: skip
    songs_table = table(columns, rows, css="songs", is_sortable=True)
    note = paragraph(
        "Click on a column's name to sort. Surprise in bits per note, the shared run in notes.", css="small soft screen"
    )
    return f'{note}<div class="scroll" tabindex="0" role="group" aria-label="Songs">{songs_table}</div>'


def _song_row(one: Mapping[str, Any], links: Mapping[str, str]) -> list[str | Cell]:
    name = text(one.get("name"))
    title = text(one.get("title")) or name or "song without a name"
    shown = f'<a href="{escape(links[name], quote=True)}">{escape(title)}</a>' if name in links else escape(title)
    verdict = text(one.get("verdict"))
    failed = texts(one.get("failed"))
    was_judged = isinstance(one.get("failed"), list | tuple)
    reasons = ", ".join(definition(gate).label for gate in failed)
    none = mark(True, words=("✓ none", "", ""))
    copied = one.get("copy")
    words = _copy_words(copied)
    return [
        Cell(f'{shown}<div class="small soft">{escape(verdict)}</div>', sort_by=title, css="song"),
        Cell(str(len(failed)) if was_judged else "", sort_by=len(failed)),
        Cell(escape(reasons) if failed else none, sort_by=reasons) if was_judged else cell(None, sort_by=""),
        cell(duration(one["seconds"]) if is_number(one.get("seconds")) else None, sort_by=_sort(one.get("seconds"))),
        number_cell(one.get("bars"), ""),
        cell(escape(text(one.get("key")))),
        Cell(f'<span class="small">{escape(text(one.get("form")))}</span>'),
        cell(escape(style_name(text(one.get("style"))))),
        number_cell(one.get("bits_per_note"), ""),
        number_cell(one.get("melody_run"), ""),
        cell(escape(words) if words else None),
    ]


def _sort(value: Any) -> float | str:
    return value if is_number(value) else ""


def _copy_words(copied: Any) -> str:
    if isinstance(copied, bool):
        return "yes" if copied else "no"
    if isinstance(copied, Mapping):
        return ", ".join(text(value) for value in copied.values() if isinstance(value, str)) or "yes"
    return text(copied)


def _left_out(left_out: Any) -> str:
    rows: list[list[str | Cell]] = [
        [text(one.get("file")), capital(text(one.get("reason")) or "no reason is known")] for one in mappings(left_out)
    ]
    return table(["File", "Why"], rows) if rows else ""


def _divergences(report: Mapping[str, Any]) -> str:
    found = mapping(report.get("divergences"))
    rows: list[list[str | Cell]] = [
        [label_cell(name), *(number_cell(mapping(one).get(key), "") for key in ("kl", "cross_entropy"))]
        for name, one in found.items()
        if any(is_number(mapping(one).get(key)) for key in ("kl", "cross_entropy"))
    ]
    words = " ".join(definition(name).label.capitalize() + ": " + definition(name).meaning
                     for name in ("kl", "cross_entropy"))  # fmt: skip
    if not rows:
        return ""
    columns = ["Feature", "#KL divergence", "#Cross-entropy"]
    return details(
        "Divergence of every feature from real songs", paragraph(words, css="small soft"), table(columns, rows)
    )
