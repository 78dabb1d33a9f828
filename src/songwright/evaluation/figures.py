"""The figures by which a set of songs is judged: what each one is, of which songs, and what is asked of it.

A figure is one number for a set of songs. Figures of single songs are averaged here; distances between sets come from
`distributions` and `structure`. Goals are those set for 200 unselected songs of three minutes against POP909 and
are two-sided where more is not better.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.features import FeatureGroups, form_features, song_features
from songwright.analysis.originality import Originality
from songwright.evaluation.distributions import (
    cross_entropy,
    group_overlap,
    kullback_leibler_divergence,
    overlapping_areas,
)
from songwright.evaluation.resampling import (
    Estimate,
    draw_divisions,
    draw_halves,
    interval_of,
    range_of,
    real_floor,
    subsample_interval,
)
from songwright.evaluation.structure import mean_curve, similarity_curves, similarity_error
from songwright.score.song import Song

MIN_SONGS = 4
"""Fewer songs have no distribution: distances and intervals are left out."""
_REPORTED_LAGS = (1, 4, 8, 16)

Goal = tuple[float | None, float | None]
Unit = Literal["share", "notes", "bars", "bits"]


class Figure(NamedTuple):
    """One row of a report; None where a number is undefined or not asked.

    Attributes
    ----------
    section, name, label : str
        `name` is for programs, `label` for people.
    value : float or None
        Of the judged songs.
    interval : (float, float) or None
        95 % interval of `value` over songs.
    real : float or None
        Of the reference songs; of a distance, the mean between real songs and other real songs.
    real_range : (float, float) or None
        95 % range of the same for as many real songs as were judged (at most half of those there are).
    goal : (float or None, float or None)
        Lowest and highest value asked for.
    unit : str
        `share` for numbers from 0 to 1, `notes` and `bars` for counts, `bits`.
    """

    section: str
    name: str
    label: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    real: float | None = None
    real_range: tuple[float, float] | None = None
    goal: Goal = (None, None)
    unit: Unit = "share"

    @property
    def is_met(self) -> bool | None:
        """Whether the value lies within the goal; None without value or goal."""
        low, high = self.goal
        if self.value is None or (low is None and high is None):
            return None
        return (low is None or self.value >= low) and (high is None or self.value <= high)


@dataclass(frozen=True, eq=False)
class MeasuredSongs:
    """What was measured on each song: features by group and name, shape (num_songs,), and similarity curves."""

    features: dict[str, dict[str, NDArray[np.float64]]]
    curves: NDArray[np.float64]

    @classmethod
    def measure(cls, songs: Sequence[Song]) -> MeasuredSongs:
        """Measure a set of at least one song."""
        return cls(gather_features([song_features(song) for song in songs]), similarity_curves(songs))

    @classmethod
    def measure_form(cls, songs: Sequence[Song]) -> MeasuredSongs:
        """Measure only what whole songs are asked for: the features of "form", and no curves."""
        return cls(gather_features([{"form": form_features(song)} for song in songs]), np.empty((len(songs), 0)))

    @property
    def num_songs(self) -> int:
        """Songs in the set."""
        return len(self.curves)


def gather_features(measured: Sequence[FeatureGroups]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the features of at least one song as arrays over songs, by group and name."""
    return {
        group: {name: np.array([one[group][name] for one in measured]) for name in names}
        for group, names in measured[0].items()
    }


class _SongFigure(NamedTuple):
    section: str
    group: str
    name: str
    label: str
    goal: Goal
    unit: Unit = "share"


_SONG_FIGURES = (
    _SongFigure("structure", "structure", "repeated_windows", "4-bar repeat", (0.46, 0.56)),
    _SongFigure("structure", "structure", "longest_repeat", "longest melodic repeat, median", (60, 90), "notes"),
    _SongFigure("structure", "structure", "repeated_melody_bars", "exactly repeated melody bars", (0.38, 0.50)),
    _SongFigure("structure", "structure", "distinct_melodic_4_grams", "distinct melodic 4-grams", (0.42, 0.55)),
    _SongFigure("harmony", "harmony", "chord_tone_ratio", "chord-tone ratio", (0.61, 0.70)),
    _SongFigure("harmony", "harmony", "semitone_clash", "semitone clash", (None, 0.075)),
    _SongFigure("harmony", "form", "melody_in_key", "melody in key", (0.97, None)),
    _SongFigure("form", "form", "same_letter_similarity", "same-letter phrase similarity", (0.70, 0.82)),
    _SongFigure("form", "form", "other_letter_similarity", "other-letter phrase similarity", (0.07, 0.13)),
    _SongFigure("form", "form", "copied_phrase_share", "phrases copied whole", (0.18, 0.34)),
    _SongFigure("form", "form", "melody_ends_on_tonic", "melody ends on the tonic", (0.75, None)),
    _SongFigure("form", "form", "final_chord_on_tonic", "final chord on the tonic", (0.70, None)),
)
_OVERLAP_GOALS = {"local": 0.91, "harmony": 0.91, "structure": 0.90}


def song_figures(
    generated: MeasuredSongs,
    cut: MeasuredSongs,
    full: MeasuredSongs,
    rng: np.random.Generator,
    others: MeasuredSongs | None = None,
    full_others: MeasuredSongs | None = None,
) -> list[Figure]:
    """Return the figures that each song has, averaged: counts by the median, shares by the mean.

    `cut` are the reference songs at the length of the generated ones, `full` the whole ones, against which phrases and
    endings ("form") are held. Where other real songs are given, cut and whole, the real ranges are theirs.
    """
    figures: list[Figure] = []
    for section, group, name, label, goal, unit in _SONG_FIGURES:
        is_form = group == "form"
        reals, beside = (full, full_others) if is_form else (cut, others)
        figures.append(
            _compared(
                Figure(section, name, label, goal=goal, unit=unit),
                generated.features[group][name],
                reals.features[group][name],
                beside.features[group][name] if beside else None,
                np.median if unit == "notes" else np.mean,
                rng,
            )
        )
    return figures


def overlap_figures(
    generated: MeasuredSongs, cut: MeasuredSongs, rng: np.random.Generator, others: MeasuredSongs | None = None
) -> list[Figure]:
    """Return the mean overlapping area of each group of features, and the lowest of all features.

    `cut` are the reference songs and `others` more real songs, both at the length of the generated ones. The floor
    holds the others against the whole reference; without any, parts of the reference against the rest.
    """
    figures = [
        Figure("distributions", f"overlap_{group}", f"overlapping area, {group}", goal=(goal, None))
        for group, goal in _OVERLAP_GOALS.items()
    ]
    figures.append(Figure("distributions", "overlap_worst", "overlapping area, worst feature", goal=(0.85, None)))
    sets = (generated, cut) if others is None else (generated, cut, others)
    if min(one.num_songs for one in sets) < MIN_SONGS:
        return figures
    whole = np.arange(cut.num_songs)[None]
    halves = draw_halves(generated.num_songs, rng)
    divided, judged = draw_divisions(
        cut.num_songs, generated.num_songs, rng, num_others=others.num_songs if others else None
    )

    def areas(ours: MeasuredSongs, real_draws: NDArray[np.intp], draws: NDArray[np.intp]) -> NDArray[np.float64]:
        return _by_group(
            [
                [
                    overlapping_areas(reals, ours.features[group][name], real_draws, draws)
                    for name, reals in cut.features[group].items()
                ]
                for group in _OVERLAP_GOALS
            ]
        )

    exact = [
        [np.array([area]) for area in group_overlap(cut.features[group], generated.features[group]).values()]
        for group in _OVERLAP_GOALS
    ]
    estimate = interval_of(_by_group(exact)[0], areas(generated, whole, halves))
    floor = range_of(areas(others or cut, divided, judged))
    return [_filled(figure, estimate, floor, place) for place, figure in enumerate(figures)]


def _by_group(found: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Return the mean of each group's features and the lowest of all, shape (num_draws, num_groups + 1)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of no feature the mean is NaN, as wished
        means = [np.nanmean(features, axis=0) if features else np.full(1, np.nan) for features in found]
        lowest = np.nanmin(list(itertools.chain.from_iterable(found)), axis=0)
    return np.stack([*np.broadcast_arrays(*means), lowest], axis=1)


def divergence_figures(
    generated: MeasuredSongs, cut: MeasuredSongs, rng: np.random.Generator, others: MeasuredSongs | None = None
) -> list[Figure]:
    """Return the KL divergence from the real songs and the cross-entropy, means over each group's features, in bits.

    The floor is that of `overlap_figures`. No goal is set: the overlapping area judges the same.
    """
    sides = others or cut

    def bits(ours: MeasuredSongs, real: NDArray[np.intp], judged: NDArray[np.intp]) -> list[float]:
        found: list[float] = []
        for statistic in (kullback_leibler_divergence, cross_entropy):
            for group in _OVERLAP_GOALS:
                pairs = (
                    (reals[real], ours.features[group][name][judged]) for name, reals in cut.features[group].items()
                )
                defined = [pair for pair in pairs if all(np.isfinite(values).any() for values in pair)]
                found.append(float(np.mean([statistic(*pair) for pair in defined])) if defined else np.nan)
        return found

    figures = [
        Figure("distributions", f"{name}_{group}", f"{label}, {group}", unit="bits")
        for name, label in (("divergence", "KL divergence"), ("cross_entropy", "cross-entropy"))
        for group in _OVERLAP_GOALS
    ]
    if min(generated.num_songs, cut.num_songs, sides.num_songs) < MIN_SONGS:
        return figures
    whole = np.arange(cut.num_songs)
    estimate = subsample_interval(lambda judged: bits(generated, whole, judged), generated.num_songs, rng)
    floor = real_floor(
        lambda real, judged: bits(sides, real, judged),
        cut.num_songs,
        generated.num_songs,
        rng,
        num_others=others.num_songs if others else None,
    )
    return [_filled(figure, estimate, floor, place) for place, figure in enumerate(figures)]


def curve_figures(
    generated: MeasuredSongs, cut: MeasuredSongs, rng: np.random.Generator, others: MeasuredSongs | None = None
) -> list[Figure]:
    """Return the similarity error, and the similarity at some lags with the real one ± 0.02 as goal.

    The floor is that of `overlap_figures`.
    """
    ours, reals, judges = generated.curves, cut.curves, (others or cut).curves
    error = Figure("structure", "similarity_error", "similarity error SE", goal=(None, 0.006))
    if min(len(ours), len(reals), len(judges)) >= MIN_SONGS:
        estimate = subsample_interval(lambda judged: similarity_error(reals, ours[judged]), len(ours), rng)
        floor = real_floor(
            lambda reference, judged: similarity_error(reals[reference], judges[judged]),
            len(reals),
            len(ours),
            rng,
            num_others=len(judges) if others else None,
        )
        error = _filled(error, estimate, floor, ())
    figures = [error]
    for lag in _REPORTED_LAGS:
        real = float(mean_curve(reals)[lag - 1])
        goal = (real - 0.02, real + 0.02) if np.isfinite(real) else (None, None)
        figure = Figure("structure", f"similarity_lag_{lag}", f"bar similarity at lag {lag}", goal=goal)
        beside = judges[:, lag - 1] if others else None
        figures.append(_compared(figure, ours[:, lag - 1], reals[:, lag - 1], beside, np.mean, rng))
    return figures


def originality_figures(
    against_training: Sequence[Originality],
    real_against_training: Sequence[Originality],
    within: Sequence[Originality],
    real_within: Sequence[Originality],
) -> list[Figure]:
    """Return runs and coverage shared with training songs, and within the set (no goal); either may be empty."""
    figures: list[Figure] = []
    for section, prefix, ours, reals in (
        ("originality", "", against_training, real_against_training),
        ("within the set", "within_", within, real_within),
    ):
        for name, label, statistic, goal, unit in _ORIGINALITY_FIGURES if ours else ():
            figure = Figure(section, prefix + name, label, goal=(None, None) if prefix else goal, unit=unit)
            real = float(statistic(reals)) if reals else None
            figures.append(figure._replace(value=float(statistic(ours)), real=real))
    return figures


def _median_run(found: Sequence[Originality]) -> float:
    return float(np.median([one.melody_run for one in found]))


def _share_over_10(found: Sequence[Originality]) -> float:
    return float(np.mean([one.melody_run > 10 for one in found]))


def _coverage_99(found: Sequence[Originality]) -> float:
    return float(np.percentile([one.coverage for one in found], 99))


def _longest_piano_run(found: Sequence[Originality]) -> float:
    return max(one.piano_run for one in found)


def _longest_run(found: Sequence[Originality]) -> float:
    return max(one.melody_run for one in found)


_ORIGINALITY_FIGURES: tuple[tuple[str, str, Callable[[Sequence[Originality]], float], Goal, Unit], ...] = (
    ("run_median", "longest shared run, median", _median_run, (None, None), "notes"),
    ("run_max", "longest shared run, maximum", _longest_run, (None, 19), "notes"),
    ("run_over_10", "songs sharing more than 10 notes", _share_over_10, (None, 0.05), "share"),
    ("coverage_99", "6-gram coverage, 99th percentile", _coverage_99, (None, 0.10), "share"),
    ("piano_run_max", "longest shared piano run", _longest_piano_run, (None, 3), "bars"),
)


def _compared(
    figure: Figure,
    ours: NDArray[np.float64],
    reals: NDArray[np.float64],
    others: NDArray[np.float64] | None,
    average: Callable[[NDArray[np.float64]], np.floating],
    rng: np.random.Generator,
) -> Figure:
    """Return the figure with an average of values of single songs, NaN left out; no goal for fewer than MIN_SONGS.

    The real value is the reference's, its range that of as many of the others (of the reference without any).
    """
    ours, reals = ours[np.isfinite(ours)], reals[np.isfinite(reals)]
    judges = reals if others is None else others[np.isfinite(others)]
    if len(reals):
        figure = figure._replace(real=float(average(reals)))
    if len(judges) >= MIN_SONGS and len(ours):
        floor = real_floor(lambda _, judged: average(judges[judged]), len(judges), len(ours), rng, num_draws=200)
        figure = figure._replace(real_range=(float(floor.low), float(floor.high)))
    if len(ours):
        figure = figure._replace(value=float(average(ours)))
    if len(ours) < MIN_SONGS:
        return figure._replace(goal=(None, None))
    estimate = subsample_interval(lambda judged: average(ours[judged]), len(ours), rng, num_draws=200)
    return figure._replace(interval=(float(estimate.low), float(estimate.high)))


def _filled(figure: Figure, estimate: Estimate, floor: Estimate, place: int | tuple[()]) -> Figure:
    return figure._replace(
        value=float(estimate.value[place]),
        interval=(float(estimate.low[place]), float(estimate.high[place])),
        real=float(floor.value[place]),
        real_range=(float(floor.low[place]), float(floor.high[place])),
    )
