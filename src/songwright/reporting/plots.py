"""Plots as SVG: a value's place in real music, spreads of two sets of songs, curves, counts.

Real music is always grey and behind, what is judged blue and in front; blue and grey differ in lightness, too, and
every plot has a text alternative. Knows numbers, labels and units, nothing of songs. Values that are no numbers are
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.reporting.words import is_number, number, percent, span

TINT = "#2563eb"
REAL_TINT = "#94a3b8"
_REAL_FILL, _BOX_FILL, _GOAL_TINT, _INK, _SOFT = "#dbe2ea", "#a9b6c6", "#047857", "#0f172a", "#475569"
_WIDTH, _PLACE_HEIGHT = 260, 22
_GRID = 96
_MIN_SPREAD = 4
"""With fewer values a spread is drawn as single strokes."""


def numbers_of(values: Any) -> NDArray[np.float64]:
    """Return the finite numbers of a list, which may be missing."""
    return np.array([value for value in values or () if is_number(value)], dtype=np.float64)


def place_plot(value: Any, real: Sequence[Any] | None, unit: str, *, label: str) -> str:
    """Return where a song's value lies among real songs: a band, a box, a median and the value's dot.

    Parameters
    ----------
    value : any
    real : sequence of five numbers, optional
        5th, 25th, 50th, 75th and 95th percentile of real songs.
    unit, label : str
        Of the value, for the text alternative.
    """
    marks = numbers_of(real)
    if not is_number(value) or len(marks) != 5:
        return ""
    at = _scale([value, marks[0], marks[-1]])
    words = (
        f"{label}: {number(value, unit)}; nine in ten real songs: {span((marks[0], marks[4]), unit)}; "
        f"half of them: {span((marks[1], marks[3]), unit)}; median {number(marks[2], unit)}"
    )
    return _place(
        f'<rect x="{at(marks[0]):.1f}" y="5" width="{max(at(marks[4]) - at(marks[0]), 1):.1f}" height="12" rx="2" '
        f'fill="{_REAL_FILL}"/>'
        f'<rect x="{at(marks[1]):.1f}" y="5" width="{max(at(marks[3]) - at(marks[1]), 1):.1f}" height="12" '
        f'fill="{_BOX_FILL}"/>'
        f'<path d="M{at(marks[2]):.1f} 3v16" stroke="{_INK}" stroke-width="1.5"/>' + _dot(at(value)),
        words,
    )


def range_plot(
    value: Any, interval: Any, real_range: Any, goal: Any, unit: str, *, label: str, real: Any = None
) -> str:
    """Return a figure of a set: the range of real music as a band, the goal as a bracket, the value with its interval.

    Intervals and ranges are pairs of numbers or nothing; a goal may be open at one end.
    """
    reals, ours = numbers_of(real_range), numbers_of(interval)
    goals = [bound if is_number(bound) else None for bound in goal or ()]
    goals = goals if len(goals) == 2 else [None, None]
    if not is_number(value):
        return ""
    known = [value, *reals, *ours, *(bound for bound in goals if bound is not None)]
    known += [real] if is_number(real) else []
    if len(known) == 1:
        return ""
    at = _scale(known)
    parts: list[str] = []
    words = [f"{label}: {number(value, unit)}"]
    if len(reals) == 2:
        parts.append(
            f'<rect x="{at(reals[0]):.1f}" y="5" width="{max(at(reals[1]) - at(reals[0]), 2):.1f}" height="12" rx="2" '
            f'fill="{_BOX_FILL}"/>'
        )
        words.append(f"real music {span(reals.tolist(), unit)}")
    elif is_number(real):
        parts.append(f'<path d="M{at(real):.1f} 3v16" stroke="{REAL_TINT}" stroke-width="4"/>')
        words.append(f"real music {number(real, unit)}")
    if any(bound is not None for bound in goals):
        left = at(goals[0]) if goals[0] is not None else 0
        right = at(goals[1]) if goals[1] is not None else _WIDTH
        ends = "".join(f"M{x:.1f} 17v4" for x, bound in zip((left, right), goals, strict=True) if bound is not None)
        parts.append(
            f'<path d="M{left:.1f} 21H{right:.1f}{ends}" stroke="{_GOAL_TINT}" stroke-width="1.5" fill="none"/>'
        )
        words.append(f"goal {span(goals, unit)}")
    if len(ours) == 2:
        parts.append(f'<path d="M{at(ours[0]):.1f} 11H{at(ours[1]):.1f}" stroke="{TINT}" stroke-width="2"/>')
    return _place("".join(parts) + _dot(at(value)), "; ".join(words))


def _text(x: float, y: float, words: str, *, anchor: str = "middle", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{_SOFT}">{escape(words)}</text>'
    )


def _share_lines(highest: float, shares: Sequence[float], left: float, right: float, top: float, base: float) -> str:
    """Return lines across a plot whose height is a share, with their percent at the left."""
    heights = [(share, base - share * (base - top)) for share in shares]
    return "".join(
        f'<path d="M{left} {y:.1f}H{right}" stroke="#e2e8f0"/>'
        + _text(left - 6, y + 4, f"{percent(highest * share)} %", anchor="end")
        for share, y in heights
    )


def _place(content: str, words: str) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_PLACE_HEIGHT}" role="img" aria-label="{escape(words, quote=True)}">'
        f'<path d="M0 11H{_WIDTH}" stroke="#e2e8f0"/>{content}</svg>'
    )


def _dot(x: float) -> str:
    return f'<circle cx="{x:.1f}" cy="11" r="5" fill="{TINT}" stroke="#fff" stroke-width="1.5"/>'


def _scale(known: Iterable[float]) -> Callable[[float], float]:
    """Return a function from a value to its place across a plot that shows all these values."""
    values = list(known)
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    low, high = low - room, high + room

    def place(value: float) -> float:
        return 6 + (value - low) / (high - low) * (_WIDTH - 12)

    return place


def spread_plot(ours: Any, reals: Any, unit: str, *, label: str) -> str:
    """Return the spread of a set's values over that of real songs; empty without either.

    Spreads are Gaussian kernel densities with Scott's bandwidth, as the overlapping area takes them, to the same
    height; fewer than four values, or equal ones, are strokes.
    """
    our_values, real_values = numbers_of(ours), numbers_of(reals)
    if not len(our_values):
        return ""
    every = np.concatenate([our_values, real_values])
    # One song far off must not squeeze the others: the plot shows all but the outermost hundredths.
    low, high = np.quantile(every, [0.005, 0.995]) if len(every) > 50 else (every.min(), every.max())
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    # Nothing lies beyond the ends of a share, nor below no notes at all.
    low = float(low - room) if every.min() < 0 else max(float(low - room), 0.0)
    is_share = unit in ("share", "0 to 1", "-1 to 1") and every.max() <= 1
    high = min(float(high + room), 1.0) if is_share else float(high + room)
    height, base = 64, 76
    parts = [f'<path d="M0 {base}.5H{_WIDTH}" stroke="#cbd5e1"/>']
    for values, style in (
        (real_values, f'fill="{_REAL_FILL}" stroke="{REAL_TINT}" stroke-width="1"'),
        (our_values, f'fill="none" stroke="{TINT}" stroke-width="2.2"'),
    ):
        parts.append(_spread_path(values, low, high, height, base, style))
    words = f"{label}: median {number(float(np.median(our_values)), unit)}"
    if len(real_values):
        words += f"; real songs {number(float(np.median(real_values)), unit)}"
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} 92" role="img" aria-label="{escape(words, quote=True)}">'
        + "".join(parts)
        + _text(0, 89, number(low, unit), anchor="start", size=11)
        + _text(_WIDTH, 89, number(high, unit), anchor="end", size=11)
        + "</svg>"
    )


def _spread_path(values: NDArray[np.float64], low: float, high: float, height: int, base: int, style: str) -> str:
    if not len(values):
        return ""
    bandwidth = float(values.std(ddof=1)) * len(values) ** -0.2 if len(values) > 1 else 0.0
    if len(values) < _MIN_SPREAD or bandwidth < (high - low) / _GRID:  # narrower than a point of the picture
        strokes = "".join(
            f"M{(value - low) / (high - low) * _WIDTH:.1f} {base}v-{height}" for value in np.unique(values)
        )
        return f'<path d="{strokes}" {style}/>'
    grid = np.linspace(low, high, _GRID)
    density = np.exp(-0.5 * ((grid[:, None] - values) / bandwidth) ** 2).sum(axis=1)
    tops = base - height * density / density.max()
    line = "".join(f"L{x:.1f} {y:.1f}" for x, y in zip(np.linspace(0, _WIDTH, _GRID), tops, strict=True))
    return f'<path d="M0 {base}{line}L{_WIDTH} {base}" {style}/>'


def curve_plot(ours: Any, reals: Any, *, label: str, band: tuple[Any, Any] | None = None) -> str:
    """Return the similarity curves of a set and of real songs by distance in bars, the first being one bar.

    Parameters
    ----------
    ours, reals : sequence of float or None
    label : str
    band : (sequence, sequence), optional
        Lowest and highest curve of as many real songs.
    """
    sides = [list(side or ()) for side in (ours, reals, *(band or ()))]
    values = numbers_of([value for side in sides for value in side])
    if not len(numbers_of(sides[0])):
        return ""
    width, height, left, top, base = 720, 260, 44, 10, 226
    num_lags, highest = max(map(len, sides)), max(float(values.max()), 1e-6) * 1.05

    def place(lag: int, value: float) -> str:
        x, y = left + (lag - 1) / max(num_lags - 1, 1) * (width - left - 10), base - value / highest * (base - top)
        return f"{x:.1f} {y:.1f}"

    def line(side: list[Any]) -> str:
        points = [place(lag, value) for lag, value in enumerate(side, start=1) if is_number(value)]
        return "M" + "L".join(points) if points else ""

    step = next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if highest <= 5 * step), highest / 4)
    lines = [place * step / highest for place in range(int(highest / step + 1e-9) + 1)]
    parts = [_share_lines(highest, lines, left, width - 10, top, base)]
    parts += [_text(float(place(lag, 0).split()[0]), base + 16, str(lag)) for lag in (1, *range(4, num_lags + 1, 4))]
    parts.append(_text((left + width) / 2, height - 4, "bars apart"))
    if band is not None and len(sides) == 4:
        lower, upper = (
            [place(lag, value) for lag, value in enumerate(side, start=1) if is_number(value)] for side in sides[2:]
        )
        if lower and upper:
            parts.append(f'<path d="M{"L".join([*upper, *reversed(lower)])}Z" fill="{_REAL_FILL}"/>')
    parts.append(f'<path d="{line(sides[1])}" fill="none" stroke="{REAL_TINT}" stroke-width="3"/>')
    parts.append(f'<path d="{line(sides[0])}" fill="none" stroke="{TINT}" stroke-width="2.2"/>')
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label, quote=True)}">'
        + "".join(parts)
        + "</svg>"
    )


def counts_plot(ours: Any, reals: Any, *, label: str, unit: str, limit: float | None = None) -> str:
    """Return how often whole numbers occur in a set (columns) and in real songs (grey behind), as shares.

    `limit` is drawn as a line that values should stay under.
    """
    our_values, real_values = (np.rint(numbers_of(side)).astype(np.int64) for side in (ours, reals))
    if not len(our_values):
        return ""
    every = np.concatenate([our_values, real_values])
    highest = int(max(every.max(), limit or 0))
    size = max(1, -(-(highest + 1) // 40))
    num_bins = highest // size + 1
    shares = [
        np.bincount(np.clip(side, 0, None) // size, minlength=num_bins) / max(len(side), 1)
        for side in (our_values, real_values)
    ]
    width, left, top, base = 720, 44, 10, 186
    tallest = max(float(share.max()) for share in shares) or 1.0
    step = (width - left - 10) / num_bins
    line_step = next((step for step in (0.05, 0.1, 0.2) if tallest <= 4 * step), 0.25)
    lines = [place * line_step / tallest for place in range(int(tallest / line_step + 1e-9) + 1)]
    parts = [_share_lines(tallest, lines, left, width - 10, top, base)]
    for share, inset, tint in ((shares[1], 0.04, _BOX_FILL), (shares[0], 0.26, TINT)):
        parts += [
            f'<rect x="{left + (place + inset) * step:.1f}" y="{base - value / tallest * (base - top):.1f}" '
            f'width="{(1 - 2 * inset) * step:.1f}" height="{value / tallest * (base - top):.1f}" fill="{tint}"/>'
            for place, value in enumerate(share)
            if value > 0
        ]
    every_label = max(1, -(-num_bins // 16))
    parts += [
        _text(left + (place + 0.5) * step, base + 16, str(place * size)) for place in range(0, num_bins, every_label)
    ]
    parts.append(_text((left + width) / 2, base + 34, unit))
    if limit is not None:
        x = left + limit / size * step
        parts.append(f'<path d="M{x:.1f} {top}V{base}" stroke="#b91c1c" stroke-width="1.5" stroke-dasharray="5 3"/>')
    words = (
        f"{label}: median {number(float(np.median(our_values)), unit)}, highest {number(int(our_values.max()), unit)}"
    )
    if len(real_values):
        words += (
            f"; real songs {number(float(np.median(real_values)), unit)} and {number(int(real_values.max()), unit)}"
        )
    return (
        f'<svg class="plot" viewBox="0 0 {width} {base + 40}" role="img" aria-label="{escape(words, quote=True)}">'
        + "".join(parts)
        + "</svg>"
    )


def share_bars(lines: Iterable[tuple[str, float, str, str]]) -> str:
    """Return horizontal bars as HTML: (label as HTML, length from 0 to 1, words at its end, class of its colour)."""
    rows = "".join(
        f'<span>{label}</span><span class="bar">'
        f'<i class="{css}" style="width:{min(max(length, 0), 1) * 100:.1f}%"></i></span>'
        f"<span>{escape(words)}</span>"
        for label, length, words, css in lines
    )
    return f'<div class="bars">{rows}</div>' if rows else ""
