"""Plots as SVG, drawn to be put into a page: bars of counts, with the numbers on hover.

Knows labels and numbers, nothing of music. Every plot carries a text alternative.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 460, 190, 46, 30, 26
TINT = "#2563eb"


def bar_chart(
    title: str, labels: Sequence[str], values: Sequence[float], *, unit: str = "", label_every: int = 0
) -> str:
    """Return a bar for each value, as an `<svg>` element.

    Parameters
    ----------
    title : str
        Printed above; starts the text alternative.
    labels : sequence of str
        Of the bars, printed below.
    values : sequence of float
        Not negative.
    unit : str
        What is counted, for the hover text.
    label_every : int
        Print each n-th label only; 0 for as many as fit.

    Raises
    ------
    ValueError
        If labels and values differ in number.
    """
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels for {len(values)} values")
    top = max([*values, 0]) or 1
    width, height = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - _TOP
    step = width / max(len(values), 1)
    longest = max((len(label) for label in labels), default=1)
    every = label_every or max(1, round((longest * 6.5 + 4) / step + 0.5))
    best = labels[max(range(len(values)), key=values.__getitem__)] if len(values) else "none"
    alternative = f"{title}: {len(values)} bars, the highest {best} with {_number(top)} {unit}".strip()
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(alternative)}">',
        f'<text x="{_LEFT}" y="16" font-size="13" font-weight="600">{escape(title)}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        y = _TOP + height * (1 - share)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#cbd5e1" stroke-width="0.7"/>'
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" font-size="10" text-anchor="end" fill="#475569">'
            f"{_number(top * share)}</text>"
        )
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        x, bar = _LEFT + place * step, height * value / top
        hover = escape(f"{label}: {_number(value)} {unit}".strip())
        parts.append(
            f'<rect x="{x + step * 0.08:.1f}" y="{_TOP + height - bar:.1f}" width="{max(step * 0.84, 0.5):.1f}" '
            f'height="{bar:.1f}" fill="{TINT}"><title>{hover}</title></rect>'
        )
        if place % every == 0:
            parts.append(
                f'<text x="{x + step / 2:.1f}" y="{_HEIGHT - _BOTTOM + 14}" font-size="10" text-anchor="middle" '
                f'fill="#475569">{escape(label)}</text>'
            )
    return "".join([*parts, "</svg>"])


def _number(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
