"""A corpus as one page: what it holds, what was left out and why, what it looks like.

The page is one HTML file without anything fetched from elsewhere: plots are SVG, tables are sorted by a few lines of
script. Counts are of the pieces in use unless said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError
from songwright.preparation.batches import read_statistics
from songwright.preparation.catalog import read_table
from songwright.preparation.shards import SPLITS, Shard, open_shard, read_manifest
from songwright.rendering.charts import bar_chart
from songwright.rendering.piano_roll import grid_score_svg
from songwright.tokens import score as score_tokens

NUM_ROLLS = 10
MAX_TABLE_ROWS = 5000
"""Rows of the table on the page; `files.csv` has all."""
_PITCH_CLASSES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")

_STYLE = """
:root { color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #0f172a; background: #fff; }
body { max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { margin-top: 2.2rem; font-size: 1.2rem; }
p.lead { color: #475569; margin-top: .3rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; } svg.chart, svg.roll { border: 1px solid #e2e8f0; border-radius: 6px; }
svg.roll { margin-bottom: .8rem; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid #e2e8f0; vertical-align: top; }
td { overflow-wrap: anywhere; } td:first-child { min-width: 9rem; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
th button { all: unset; cursor: pointer; font-weight: 600; } th button:focus-visible { outline: 2px solid #2563eb; }
.scroll { max-height: 32rem; overflow: auto; border: 1px solid #e2e8f0; border-radius: 6px; }
.scroll thead { position: sticky; top: 0; background: #f8fafc; }
.key span { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; border-radius: 2px; }
@media print { .scroll { max-height: none; } }
"""
_SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.parentElement, column = head.cellIndex, body = head.closest("table").tBodies[0];
  const down = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "ascending" : "descending");
  const value = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
  const rows = [...body.rows].sort((a, b) => value(a).localeCompare(value(b), undefined, {numeric: true}));
  body.append(...(down ? rows : rows.reverse()));
});
"""


def inspection_page(corpus: Path, *, seed: int = 0) -> tuple[str, list[str]]:
    """Return the page of a corpus, and its counts as lines of text.

    Parameters
    ----------
    corpus : Path
    seed : int
        Chooses the pieces whose piano rolls are drawn.

    Raises
    ------
    InputError
        If the folder is no prepared corpus, or is damaged.
    """
    manifest, table = read_manifest(corpus), read_table(corpus / "files.csv")
    used = [row for row in table if row["split"]]
    left_out = [row for row in table if not row["split"]]
    lines = _summary(manifest, used, left_out)
    counts = _note_counts(corpus, manifest, used)
    groups = Counter(row["group"] for row in used)
    body = [
        f"<h1>{escape(corpus.resolve().name)}</h1>",
        f'<p class="lead">{escape(lines[0])}. Made with songwright {escape(manifest["songwright"])}; '
        f"settings {escape(manifest['config_digest'])}.</p>",
        "<h2>Collections and licences</h2>",
        _table(
            ("Collection", "Files", "As published", "Pieces", "Used", "Licence", "From"),
            [
                (
                    source["title"], source["files"], source["as_published"] if source["url"] else "",
                    source["pieces"], source["used"], source["licence"], source["url"],
                )
                for source in manifest["sources"]
            ],
        ),
        "<h2>Splits</h2>",
        "<p>Groups of pieces that resemble each other lie on one side.</p>",
        _split_table(manifest, used),
        "<h2>What the pieces are</h2>",
        '<div class="grid">' + "".join(_piece_charts(used)) + "</div>",
        "<h2>What the notes are</h2>",
        "<p>As written, before anything is moved to C major or A minor; drums not counted.</p>",
        '<div class="grid">' + "".join(_note_charts(counts)) + "</div>",
        "<h2>Ten pieces</h2>",
        f"<p>Drawn by lot (seed {seed}); up to 32 bars each. "
        '<span class="key"><span style="background:#dc2626"></span>melody<span style="background:#059669"></span>bass'
        '<span style="background:#64748b"></span>chords<span style="background:#9333ea"></span>other'
        '<span style="background:#ca8a04"></span>drums</span></p>',
        *_rolls(corpus, used, seed),
        f"<h2>Left out: {len(left_out):,}</h2>",
        _reasons(left_out),
        _long_table(("piece_id", "reason", "detail"), left_out),
        f"<h2>Duplicates</h2><p>{_duplicates(left_out, groups)}</p>",
        _long_table(
            ("group", "piece_id", "split", "title"),
            [row for row in used if groups[row["group"]] > 1],
        ),
        "<h2>Every piece in use</h2>",
        _long_table(
            ("piece_id", "split", "style", "meter", "tempo_qpm", "key", "bars", "seconds", "notes", "roles", "form",
             "labels", "beat_confidence", "share_on_grid", "warning"), used,
        ),
    ]  # fmt: skip
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>'
        f"{escape(corpus.resolve().name)}: corpus</title><style>{_STYLE}</style></head><body>"
        + "\n".join(body)
        + f"<script>{_SCRIPT}</script></body></html>\n"
    )
    return page, lines


def _summary(
    manifest: Mapping[str, Any], used: Sequence[Mapping[str, str]], left_out: Sequence[Mapping[str, str]]
) -> list[str]:
    hours = sum(_floats(used, "seconds")) / 3600
    notes = int(sum(_floats(used, "notes")))
    sides = ", ".join(f"{len(manifest['splits'][split]):,} {split}" for split in SPLITS)
    lines = [f"{len(used):,} pieces ({sides}), {hours:,.1f} hours, {notes:,} notes"]
    for name, stream in manifest["streams"].items():
        if total := sum(stream["tokens"].values()):
            lines.append(f"{name}: {total:,} tokens")
    for reason, count in Counter(row["reason"] for row in left_out).most_common():
        lines.append(f"left out, {reason}: {count:,}")
    groups = Counter(row["group"] for row in used)
    lines.append(f"groups of pieces that resemble each other: {sum(count > 1 for count in groups.values()):,}")
    return lines


def _floats(rows: Sequence[Mapping[str, str]], column: str) -> list[float]:
    return [float(row[column]) for row in rows if row[column]]


def _note_counts(
    corpus: Path, manifest: Mapping[str, Any], used: Sequence[Mapping[str, str]]
) -> dict[str, NDArray[np.int64]]:
    wanted: dict[str, list[int]] = {}
    for row in used:
        wanted.setdefault(row["batch"], []).append(int(row["row"]))
    totals: dict[str, NDArray[np.int64]] = {}
    for batch in manifest["batches"]:
        rows, counts = read_statistics(corpus / "batches" / batch)
        is_used = np.isin(rows, wanted.get(batch, []))
        for name, values in counts.items():
            totals[name] = totals.get(name, np.int64(0)) + values[is_used].sum(axis=0, dtype=np.int64)
    return totals


def _piece_charts(used: Sequence[Mapping[str, str]]) -> list[str]:
    charts = [_histogram("Length (minutes)", [value / 60 for value in _floats(used, "seconds")], 20)]
    charts.append(_histogram("Tempo (quarter notes a minute)", _floats(used, "tempo_qpm"), 24))
    charts.append(_histogram("Notes", _floats(used, "notes"), 20))
    for title, column, end in (
        ("Metre", "meter", " "),
        ("Key (the first of each piece)", "key", ";"),
        ("Style", "style", "/"),
    ):
        words = [row[column].split(end)[0] for row in used if row[column]]
        common = Counter(words).most_common(24)
        charts.append(bar_chart(title, [name for name, _ in common], [count for _, count in common], unit="pieces"))
    phrases = Counter(int(length) for row in used for length in _phrase_lengths(row["form"]) if int(length) <= 24)
    lengths = range(1, 25)
    charts.append(
        bar_chart("Phrase length (bars)", [str(n) for n in lengths], [phrases[n] for n in lengths], unit="phrases")
    )
    roles = Counter(role for row in used for role in row["roles"].split())
    charts.append(bar_chart("Roles of tracks", list(roles), list(roles.values()), unit="tracks"))
    return charts


def _phrase_lengths(form: str) -> list[str]:
    return "".join(char if char.isdigit() else " " for char in form).split()


def _histogram(title: str, values: Sequence[float], num_bars: int) -> str:
    if not values:
        return bar_chart(title, [], [])
    low, high = np.quantile(values, [0.0, 0.99])
    counts, edges = np.histogram(np.clip(values, low, high), bins=num_bars, range=(low, max(high, low + 1e-6)))
    digits = 0 if high - low > num_bars else 1
    return bar_chart(title, [f"{edge:.{digits}f}" for edge in edges[:-1]], counts.tolist(), unit="pieces")


def _note_charts(counts: Mapping[str, NDArray[np.int64]]) -> list[str]:
    if not counts:
        return []
    pitch, onset, duration = counts["pitch"], counts["onset"], counts["duration"]
    classes = [int(pitch[place::12].sum()) for place in range(12)]
    present = np.flatnonzero(pitch)
    span = range(int(present[0]), int(present[-1]) + 1) if len(present) else range(0)
    steps = [f"{step / 12 + 1:.2g}" for step in range(len(onset))]
    lengths = [f"{step / 12:.2g}" for step in range(1, len(duration))]
    return [
        bar_chart("Pitch class", _PITCH_CLASSES, classes, unit="notes"),
        bar_chart("Pitch (MIDI)", [str(value) for value in span], [int(pitch[value]) for value in span], unit="notes"),
        bar_chart("Where in the bar notes start (beat)", steps, onset.tolist(), unit="notes", label_every=12),
        bar_chart("Length (quarter notes; the last: longer)", lengths, duration[1:].tolist(), unit="notes",
                  label_every=12),
    ]  # fmt: skip


def _rolls(corpus: Path, used: Sequence[Mapping[str, str]], seed: int) -> list[str]:
    by_place = {(row["batch"], int(row["row"])): row for row in used}
    batches: list[str] = read_manifest(corpus)["batches"]
    shards: list[Shard] = [open_shard(corpus, "score", split) for split in SPLITS]
    places = [(shard, number) for shard in shards for number in np.flatnonzero(shard.index["copy"] == 0).tolist()]
    chosen = np.random.default_rng(seed).permutation(len(places))[:NUM_ROLLS]
    rolls = []
    for shard, number in (places[place] for place in chosen):
        where = shard.index[number]
        row = by_place.get((batches[int(where["batch"])], int(where["row"])))
        if row is None:
            raise InputError(f"{corpus}: table and index do not fit; run songwright prepare again")
        title = row["piece_id"] + (f": {row['title']}" if row["title"] else "")
        rolls.append(grid_score_svg(score_tokens.decode(shard.read(number)[0]), title=title))
    return rolls


def _reasons(left_out: Sequence[Mapping[str, str]]) -> str:
    counts = Counter((row["source"], row["reason"]) for row in left_out)
    by_reason = Counter(row["reason"] for row in left_out)
    chart = bar_chart("Left out, by reason", list(by_reason), list(by_reason.values()), unit="files")
    rows = [(source, reason, count) for (source, reason), count in sorted(counts.items())]
    return f'<div class="grid">{chart}<div>{_table(("Collection", "Reason", "Files"), rows)}</div></div>'


def _duplicates(left_out: Sequence[Mapping[str, str]], groups: Mapping[str, int]) -> str:
    dropped = sum(row["reason"] == "duplicate" for row in left_out)
    several = sum(count > 1 for count in groups.values())
    return (
        f"{dropped:,} files repeat another one and were left out (in the table above). {several:,} groups of pieces "
        "in use resemble each other, or are versions of one work; each group lies on one side of the split."
    )


def _split_table(manifest: Mapping[str, Any], used: Sequence[Mapping[str, str]]) -> str:
    streams = [name for name, stream in manifest["streams"].items() if sum(stream["tokens"].values())]
    rows = []
    for split in SPLITS:
        own = [row for row in used if row["split"] == split]
        tokens = [manifest["streams"][name]["tokens"][split] for name in streams]
        rows.append((split, len(own), round(sum(_floats(own, "seconds")) / 3600, 1), *tokens))
    return _table(("Split", "Pieces", "Hours", *(f"Tokens, {name}" for name in streams)), rows)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in names)
    lines = ["<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, int | float):
        return f'<td class="n" data-v="{value}">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"


def _long_table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return "<p>None.</p>"
    more = f"<p>The first {MAX_TABLE_ROWS:,} of {len(rows):,}; all are in files.csv.</p>"
    shown = [[row[column] for column in columns] for row in rows[:MAX_TABLE_ROWS]]
    names = [column.replace("_", " ") for column in columns]
    return (more if len(rows) > MAX_TABLE_ROWS else "") + f'<div class="scroll">{_table(names, shown)}</div>'
