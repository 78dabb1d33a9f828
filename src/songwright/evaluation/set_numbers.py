"""Numbers of a whole set of songs against real ones, and how far such numbers lie apart between sets of real songs.

Each number is a *column*: overlapping areas and shifts of averages by group of features, the similarity curve, variety,
and averages that musicians know by name. Everything is vectorised over draws of songs; rows are draws. Knows sets as
arrays; `gates` judges them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.evaluation.distributions import overlapping_areas
from songwright.evaluation.figures import MeasuredSongs
from songwright.evaluation.norms import ENDINGS
from songwright.evaluation.structure import mean_curve

_MIN_DEFINED = 0.8  # of the songs of a set must define a feature for it to count
_MIN_REAL_DEFINED = 0.5
_SPREAD_GROUPS = ("local", "harmony", "structure", "accompaniment", "coherence")  # form has too few values

Sides = Literal["low", "high", "both"]


class Column(NamedTuple):
    """One number of a set; see `gates.Gate` for the fields. `sides` are those on which it can leave real music."""

    name: str
    label: str
    section: str
    sides: Sides
    unit: str
    meaning: str


class FeatureGroup(NamedTuple):
    """How to speak of a group of features: section, name in words, and what it hears."""

    section: str
    words: str
    hears: str


GROUPS: Mapping[str, FeatureGroup] = MappingProxyType(
    {
        "local": FeatureGroup("notes", "notes and rhythm", "range, intervals, rhythm and density"),
        "harmony": FeatureGroup("harmony", "harmony", "chords, key and how the melody sits in them"),
        "structure": FeatureGroup("structure", "repetition", "how much returns, and how soon"),
        "form": FeatureGroup("form", "phrases", "phrases that return and phrases that contrast"),
        "accompaniment": FeatureGroup(
            "melody and accompaniment", "melody and accompaniment", "the fit of melody, chords and piano"
        ),
        "coherence": FeatureGroup("coherence", "coherence", "what phrases have in common, and how they join"),
    }
)
"""Groups of features by name; those that a set was not measured for are passed over."""

_WHOLE_COLUMNS = (
    Column("overlap_worst", "overlap, worst of all features", "likeness", "low", "0 to 1",
           "The overlap of the one feature least like real songs; below the range it alone gives the songs away."),
    Column("similarity_error", "similarity error", "structure", "high", "0 to 1",
           "How far the habit of coming back after 1 to 40 bars is from real songs; beyond the range music returns at "
           "other distances, or not at all."),
    Column("variety", "variety of the songs", "variety", "both", "ratio",
           "How different the songs are from each other, real songs being 1; below the range they are all alike, "
           "above it they have no common style."),
)  # fmt: skip
_AVERAGES = (
    ("harmony", Column(
        "chord_tone_ratio", "chord-tone ratio", "melody and accompaniment", "both", "share",
        "Share of melody notes that belong to their chord; outside the range the melody ignores the harmony, or clings "
        "to it.")),
    ("harmony", Column(
        "semitone_clash", "semitone clash", "melody and accompaniment", "high", "share",
        "Share of time in which melody and piano rub a semitone apart; beyond the range it sounds wrong.")),
    ("structure", Column(
        "repeated_windows", "4-bar repeat", "structure", "both", "share",
        "Share of four-bar stretches that resemble an earlier one; below the range nothing returns, above it nothing "
        "is new.")),
    ("form", Column(
        "same_letter_similarity", "same-letter phrase similarity", "form", "both", "share",
        "How alike phrases of one letter are; below the range a verse is not sung again, above it never varied.")),
    ("form", Column(
        "other_letter_similarity", "other-letter phrase similarity", "form", "both", "share",
        "How alike phrases of different letters are; above the range chorus and verse do not differ.")),
    ("form", Column(
        "copied_phrase_share", "phrases copied whole", "form", "both", "share",
        "Share of returning phrases without a changed note; outside the range returns are never exact, or always.")),
    ("form", Column(
        "melody_ends_on_tonic", "melody ends on the tonic", "form", "low", "share",
        "Share of songs whose melody comes to rest on the home note; below the range songs stop instead of ending.")),
    ("form", Column(
        "final_chord_on_tonic", "final chord on the tonic", "form", "low", "share",
        "Share of songs that end on the home chord; below the range songs stop instead of ending.")),
)  # fmt: skip


class Comparison(NamedTuple):
    """Numbers of sets against their references, one row a draw.

    Attributes
    ----------
    values : ndarray, shape (num_draws, num_columns)
        NaN where a number is undefined.
    shifts : dict of group -> name -> ndarray, shape (num_draws,)
        Means less the reference's, in standard deviations of its songs.
    """

    values: NDArray[np.float64]
    shifts: dict[str, dict[str, NDArray[np.float64]]]


def set_columns(songs: MeasuredSongs) -> list[Column]:
    """Return what is known of a set that was measured like `songs`, in the order of `compare_sets`."""
    columns: list[Column] = []
    for group, (section, words, hears) in GROUPS.items():
        if group not in songs.features:
            continue
        if group in _SPREAD_GROUPS:
            meaning = f"How far the songs spread like real songs in {hears}; below the range they are another music."
            columns.append(Column(f"overlap_{group}", f"overlap, {words}", section, "low", "0 to 1", meaning))
        meaning = f"How far the average of a feature of {words} is from real songs, at most; beyond it a habit differs."
        columns.append(Column(f"shift_{group}", f"largest shift, {words}", section, "high", "deviations", meaning))
    columns += _WHOLE_COLUMNS
    for group, column in _AVERAGES:
        if column.name in songs.features.get(group, {}):
            columns.append(column)
    return columns


def usable_features(generated: MeasuredSongs, reals: Sequence[MeasuredSongs]) -> dict[str, list[str]]:
    """Return the features that count: defined in most songs of every set, and not the same in all real songs."""

    def is_usable(group: str, name: str) -> bool:
        return np.isfinite(generated.features[group][name]).mean() >= _MIN_DEFINED and all(
            np.isfinite(values).mean() >= _MIN_REAL_DEFINED and np.nanstd(values) > 0
            for values in (real.features[group][name] for real in reals)
        )

    groups = [group for group in GROUPS if all(group in songs.features for songs in (generated, *reals))]
    return {group: [name for name in generated.features[group] if is_usable(group, name)] for group in groups}


def compare_sets(
    reference: MeasuredSongs,
    judged: MeasuredSongs,
    reference_draws: NDArray[np.intp],
    judged_draws: NDArray[np.intp],
    usable: Mapping[str, Sequence[str]],
    columns: Sequence[Column],
) -> Comparison:
    """Return the numbers of many sets.

    Parameters
    ----------
    reference, judged : MeasuredSongs
    reference_draws, judged_draws : ndarray of int, shape (num_draws or 1, size) and (num_draws, size)
        Places of the songs of each set and of its reference.
    usable : dict of group -> names
        Features that count.
    columns : sequence of Column
        What to return, and in which order.
    """
    found: dict[str, NDArray[np.float64]] = {}
    shifts: dict[str, dict[str, NDArray[np.float64]]] = {}
    areas: list[NDArray[np.float64]] = []
    spreads: list[NDArray[np.float64]] = []
    with warnings.catch_warnings():
        # The mean of no value is NaN, as wished; a draw of a few equal songs has no spread.
        warnings.simplefilter("ignore", RuntimeWarning)
        for group, names in usable.items():
            shifts[group] = {}
            first_area = len(areas)
            for name in names:
                real, ours = reference.features[group][name], judged.features[group][name]
                drawn_real, drawn = real[reference_draws], ours[judged_draws]
                deviation = np.nanstd(drawn_real, axis=1)
                deviation = np.where(deviation > 0, deviation, np.nan)
                if name not in ENDINGS:
                    shifts[group][name] = (np.nanmean(drawn, axis=1) - np.nanmean(drawn_real, axis=1)) / deviation
                if group in _SPREAD_GROUPS:
                    areas.append(overlapping_areas(real, ours, reference_draws, judged_draws))
                    spreads.append(np.nanstd(drawn, axis=1) / deviation)
            if len(areas) > first_area:
                found[f"overlap_{group}"] = np.nanmean(areas[first_area:], axis=0)
            if shifts[group]:
                found[f"shift_{group}"] = np.nanmax(np.abs(list(shifts[group].values())), axis=0)
        if areas:
            found["overlap_worst"] = np.nanmin(areas, axis=0)
            found["variety"] = np.nanmedian(spreads, axis=0)
        real_curves = np.array([mean_curve(reference.curves[draw]) for draw in reference_draws])
        curves = np.array([mean_curve(judged.curves[draw]) for draw in judged_draws])
        found["similarity_error"] = np.nanmean(np.abs(curves - real_curves), axis=1)
        for group, column in _AVERAGES:
            if column.name in usable.get(group, ()):
                found[column.name] = np.nanmean(judged.features[group][column.name][judged_draws], axis=1)
    undefined = np.full(len(judged_draws), np.nan)
    return Comparison(np.stack([found.get(column.name, undefined) for column in columns], axis=1), shifts)


class RealRange(NamedTuple):
    """Where sets of real songs lie: the middle of each column and its deviations, shape (num_columns,).

    `width` is how many deviations the limits are away from the middle.
    """

    middle: NDArray[np.float64]
    below: NDArray[np.float64]
    above: NDArray[np.float64]
    width: float


def real_range(values: NDArray[np.float64], sides: Sequence[Sides], *, share: float) -> RealRange:
    """Return the range within which all columns together stay in a `share` of the draws of real songs.

    Deviations are root mean squares from the median, below and above it each by themselves. All limits are equally many
    deviations away: as many as the farthest column of a draw is in that share of the draws (max-T [1]_).

    Parameters
    ----------
    values : ndarray, shape (num_draws, num_columns)
    sides : sequence
        Sides of each column that have a limit.
    share : float

    References
    ----------
    .. [1] P. H. Westfall and S. S. Young, Resampling-Based Multiple Testing, Wiley 1993.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without values stays NaN
        middle = np.nanmedian(values, axis=0)
        away = values - middle
        below = np.sqrt(np.nanmean(np.where(away <= 0, away**2, np.nan), axis=0))
        above = np.sqrt(np.nanmean(np.where(away >= 0, away**2, np.nan), axis=0))
    low, high = -away / np.maximum(below, 1e-9), away / np.maximum(above, 1e-9)
    low[:, [side == "high" for side in sides]] = 0
    high[:, [side == "low" for side in sides]] = 0
    farthest = np.nan_to_num(np.maximum(low, high)).max(axis=1)
    return RealRange(middle, below, above, float(np.quantile(farthest, share)))
