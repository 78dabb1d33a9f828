"""Lines as SVG, for the documentation: no library, a text alternative, colours that differ in lightness too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

COLOURS = ("#0f172a", "#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#64748b", "#db2777")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 58, 150, 34, 46


def line_plot(
    title: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    dots: bool = True,
) -> str:
    """Return lines through points, each with its name at its right end, as an SVG document."""
    every = np.array([point for points in lines.values() for point in points], dtype=float)
    place_x = np.log10 if log_x else np.asarray
    low_x, high_x = float(place_x(every[:, 0].min())), float(place_x(every[:, 0].max()))
    low_y, high_y = float(every[:, 1].min()), float(every[:, 1].max())
    margin = 0.05 * (high_y - low_y)
    low_y, high_y = low_y - margin, high_y + margin

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across = (float(place_x(point[0])) - low_x) / (high_x - low_x)
        up = (point[1] - low_y) / (high_y - low_y)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    alternative = f"{title}: " + "; ".join(f"{name} ends at {points[-1][1]:.3f}" for name, points in lines.items())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(alternative)}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" font-size="12" text-anchor="middle">'
        f"{escape(x)}</text>",
        f'<text x="14" y="{HEIGHT / 2}" font-size="12" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">'
        f"{escape(y)}</text>",
    ]
    for share in np.linspace(0, 1, 5):
        value = low_y + share * (high_y - low_y)
        _, height = at((every[0, 0], value))
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" stroke="#e2e8f0"/>'
            f'<text x="{LEFT - 6}" y="{height + 4:.1f}" font-size="11" text-anchor="end">{value:.2f}</text>'
        )
        value = 10 ** (low_x + share * (high_x - low_x)) if log_x else low_x + share * (high_x - low_x)
        across, _ = at((value, low_y))
        label = f"{value:.1e}" if log_x else f"{value:.3g}"
        parts.append(
            f'<text x="{across:.1f}" y="{HEIGHT - BOTTOM + 16}" font-size="11" text-anchor="middle">{label}</text>'
        )
    ends: list[float] = []
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        places = [at(point) for point in points]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        if dots and len(points) < 20:
            parts += [f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3.2" fill="{colour}"/>' for across, up in places]
        label = places[-1][1] + 4
        while any(abs(label - other) < 13 for other in ends):
            label += 3
        ends.append(label)
        parts.append(
            f'<text x="{WIDTH - RIGHT + 8}" y="{label:.1f}" font-size="12" fill="{colour}">'
            f"{escape(name)} {points[-1][1]:.3f}</text>"
        )
    return "".join([*parts, "</svg>\n"])
