"""Judge a set of songs against real ones, and say so in a table.

`evaluate_songs` measures, `format_report` prints. The result is plain dictionaries, lists and numbers, ready for JSON:
a number that is undefined is None, never NaN. It names the seed, the number of songs and the reference, without which
a figure says nothing; whether the songs are unselected only the caller knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from songwright.analysis.originality import OriginalityIndex, compare_within
from songwright.errors import InputError
from songwright.evaluation.distributions import cross_entropy, group_overlap, kullback_leibler_divergence
from songwright.evaluation.excerpts import first_seconds
from songwright.evaluation.figures import (
    MIN_SONGS,
    Figure,
    MeasuredSongs,
    curve_figures,
    divergence_figures,
    originality_figures,
    overlap_figures,
    song_figures,
)
from songwright.evaluation.jsonable import plain
from songwright.evaluation.structure import mean_curve
from songwright.score.song import Song

MIN_RELIABLE_SONGS = 100
"""With fewer songs figures are noisy, and the report says so."""


def evaluate_songs(
    songs: Sequence[Song],
    reference_songs: Sequence[Song],
    training_songs: Sequence[Song] | OriginalityIndex | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Return every figure of a set of songs beside real songs' and beside its goal.

    Parameters
    ----------
    songs : sequence of Song
        Songs to judge, unselected.
    reference_songs : sequence of Song
        Real songs; compared over their first bars, as many seconds as the judged songs last (median).
    training_songs : sequence of Song or OriginalityIndex, optional
        Songs that the model learned from; without them originality is judged within the set only. Reference songs
        may be among them: each is compared with the others.
    seed : int
        Of the random divisions behind intervals and floors.

    Returns
    -------
    dict
        seed, num_songs, seconds (of the judged songs: median, lowest, highest), num_reference, reference_seconds,
        num_short_reference (real songs shorter than that), num_training, notes : what to know when reading.
        figures : list of dict
            The fields of `figures.Figure`, and `is_met`. A shared run of 0 notes means under 7.
        features : dict of group -> name -> {"generated", "reference" (means), "overlapping_area", "divergence",
            "cross_entropy" (bits)}
        similarity_curve : {"generated", "reference"}, lists of 40.

    Raises
    ------
    InputError
        If there is no song to judge or none to compare with.
    """
    if not songs:
        raise InputError("there is no song to evaluate")
    if not reference_songs:
        raise InputError("there is no reference song to evaluate against")
    rng = np.random.default_rng(seed)
    durations = [song.lead_sheet.duration_seconds for song in songs]
    seconds = float(np.median(durations))
    cut_songs = [first_seconds(song, seconds) for song in reference_songs]
    generated, cut = MeasuredSongs.measure(songs), MeasuredSongs.measure(cut_songs)
    full = MeasuredSongs.measure_form(reference_songs)

    if training_songs is None or isinstance(training_songs, OriginalityIndex):
        index = training_songs
    else:
        index = OriginalityIndex.from_songs(training_songs)
    ours = [index.compare(song) for song in songs] if index else []
    reals = [index.compare_with_others(song) for song in cut_songs] if index else []
    within = compare_within(songs) if len(songs) > 1 else []
    # As many real songs: the longest run within a set grows with the set.
    real_sample = rng.permutation(len(cut_songs))[: len(songs)]
    real_within = compare_within([cut_songs[place] for place in real_sample]) if len(real_sample) > 1 else []
    return set_report(
        generated,
        RealSets(cut, full, num_short=sum(song.lead_sheet.duration_seconds < seconds * 0.98 for song in cut_songs)),
        originality_figures(ours, reals, within, real_within),
        durations=durations,
        reference_seconds=seconds,
        num_training=index.num_songs if index else 0,
        seed=seed,
        rng=rng,
    )


class RealSets(NamedTuple):
    """Real songs that a set is held against.

    Attributes
    ----------
    cut, full : MeasuredSongs
        Reference songs over the length of the judged ones, and whole (of these only "form" is read).
    others, full_others : MeasuredSongs, optional
        More real songs, measured alike, which show how far real songs are from the reference.
    num_short : int
        Reference songs shorter than the judged ones.
    """

    cut: MeasuredSongs
    full: MeasuredSongs
    others: MeasuredSongs | None = None
    full_others: MeasuredSongs | None = None
    num_short: int = 0


def set_report(
    generated: MeasuredSongs,
    real: RealSets,
    originality: Sequence[Figure],
    *,
    durations: Sequence[float],
    reference_seconds: float,
    num_training: int,
    seed: int,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Return the report of songs that are measured already; see `evaluate_songs`.

    Parameters
    ----------
    generated : MeasuredSongs
    real : RealSets
    originality : sequence of Figure
        Of `figures.originality_figures`.
    durations : sequence of float
        Seconds of each judged song.
    reference_seconds : float
        To which the reference was cut.
    num_training : int
        Songs in which copies were looked for.
    seed : int
        Of the random divisions.
    rng : numpy Generator, optional
        To go on with; one of `seed` where absent.
    """
    rng = rng or np.random.default_rng(seed)
    figures = [
        *overlap_figures(generated, real.cut, rng, real.others),
        *divergence_figures(generated, real.cut, rng, real.others),
        *curve_figures(generated, real.cut, rng, real.others),
        *song_figures(generated, real.cut, real.full, rng, real.others, real.full_others),
        *originality,
    ]
    return {
        "seed": seed,
        "num_songs": generated.num_songs,
        "seconds": {"median": float(np.median(durations)), "lowest": min(durations), "highest": max(durations)},
        "num_reference": real.cut.num_songs,
        "reference_seconds": reference_seconds,
        "num_short_reference": real.num_short,
        "num_training": num_training,
        "notes": _notes(generated.num_songs, real, has_training=bool(num_training)),
        "figures": [plain({**figure._asdict(), "is_met": figure.is_met}) for figure in figures],
        "features": plain(_feature_table(generated, real.cut)),
        "similarity_curve": plain(
            {"generated": mean_curve(generated.curves).tolist(), "reference": mean_curve(real.cut.curves).tolist()}
        ),
    }


def _notes(num_songs: int, real: RealSets, *, has_training: bool) -> list[str]:
    notes: list[str] = []
    if num_songs < MIN_SONGS:
        count = "one song has" if num_songs == 1 else f"{num_songs} songs have"
        notes.append(f"{count} no distribution: distances and intervals need at least {MIN_SONGS}.")
    elif num_songs < MIN_RELIABLE_SONGS:
        notes.append(f"{num_songs} songs give wide intervals: judge {MIN_RELIABLE_SONGS} or more to publish figures.")
    pool, source = (real.cut, "the reference") if real.others is None else (real.others, "the other real songs")
    if pool.num_songs < 2 * num_songs:
        notes.append(
            f"the real ranges hold for {pool.num_songs // 2} songs (half of {source}), not {num_songs}: too wide."
        )
    num_reference = real.cut.num_songs
    if real.num_short * 10 > num_reference:
        notes.append(f"{real.num_short} of {num_reference} reference songs are shorter than the judged songs.")
    if not has_training:
        notes.append("no training songs were given: copies of them are not detected.")
    return notes


def _feature_table(generated: MeasuredSongs, cut: MeasuredSongs) -> dict[str, dict[str, dict[str, float | None]]]:
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    for group, features in cut.features.items():
        ours = generated.features[group]
        areas = group_overlap(features, ours) if group != "form" else {}
        table[group] = {
            name: {
                "generated": _mean(ours[name]),
                "reference": _mean(values),
                "overlapping_area": areas.get(name),
                "divergence": kullback_leibler_divergence(values, ours[name]) if name in areas else None,
                "cross_entropy": cross_entropy(values, ours[name]) if name in areas else None,
            }
            for name, values in features.items()
        }
    return table


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def format_report(report: dict[str, Any]) -> str:
    """Return a report of `evaluate_songs` as a table in plain text: value, real songs, goal and whether it is met."""
    seconds = report["seconds"]
    lines = [
        f"{report['num_songs']} songs of {seconds['median']:.0f} s ({seconds['lowest']:.0f} to "
        f"{seconds['highest']:.0f}) against {report['num_reference']} real songs, "
        f"first {report['reference_seconds']:.0f} s, seed {report['seed']}",
        "95 % intervals over songs; for real songs the 95 % range of as many songs, of distances between real songs",
        "",
        f"{'':36}{'value':>7}  {'interval':<15}{'real':>7}  {'range':<15}{'goal':<16}met",
    ]
    section = ""
    for figure in report["figures"]:
        if figure["section"] != section:
            section = figure["section"]
            lines.append(section)
        unit = figure["unit"]
        met = {True: "yes", False: "NO", None: ""}[figure["is_met"]]
        lines.append(
            f"  {figure['label']:34}{_number(figure['value'], unit):>7}  {_interval(figure['interval'], unit):<15}"
            f"{_number(figure['real'], unit):>7}  {_interval(figure['real_range'], unit):<15}"
            f"{_goal(figure['goal'], unit):<16}{met}".rstrip()
        )
    judged = [figure["is_met"] for figure in report["figures"] if figure["is_met"] is not None]
    lines += [
        "",
        f"{sum(judged)} of {len(judged)} goals met; a shared run of 0 notes means under 7",
        *(f"Note: {note}" for note in report["notes"]),
    ]
    return "\n".join(lines)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if unit in ("share", "bits") else f"{value:.0f}"


def _interval(bounds: list[float] | None, unit: str) -> str:
    return f"{_number(bounds[0], unit)} to {_number(bounds[1], unit)}" if bounds else ""


def _goal(bounds: list[float | None], unit: str) -> str:
    low, high = bounds
    if low is not None and high is not None:
        return f"{_number(low, unit)} to {_number(high, unit)}"
    if low is not None:
        return f"≥ {_number(low, unit)}"
    return f"≤ {_number(high, unit)}" if high is not None else ""
