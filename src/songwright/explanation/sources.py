"""Which earlier bars a bar takes from, found by removing them; and how the bar resembles those.

A bar is *silenced*: its melody notes leave the song, its chords stay, and tokens, channels and hints are made anew from
that song, as if it had been written so. How far the log-probability of a later bar's notes falls is what that bar takes
from the silenced one. Nothing inside the network is looked at, so a Transformer, an LSTM and a convolution are
explained alike [1]_. Knows no more of a network than `likelihood.Network`.

*Nats per note*: natural log-probability of the bar's note tokens (onset, pitch, duration, and the bar line that ends
it) over its notes. Bars are counted from 0; in words from 1.

References
----------
.. [1] The method is occlusion (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014),
   in text also leave-one-out context attribution (Cohen-Wang et al., "ContextCite", NeurIPS 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from songwright.explanation.likelihood import Network, WindowedNetwork, bar_sums, normal_sheet
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.lead_sheet import Form, LeadSheet
from songwright.score.song import Song
from songwright.tokens.channels import SongContext
from songwright.tokens.lead_sheet import BAR, BEAT_0, POS_0, encode
from songwright.tokens.lead_sheet_state import CHANNELS, LeadSheetState
from songwright.tokens.streams import trace

MIN_NATS = 0.05
"""Nats per note below which a source is not named. Taking tokens out moves the windows in which the shipped network
reads, which alone changes a quarter of the bars by over 0.01 and one in a hundred by 0.05."""
NUM_CANDIDATES = 12
"""Bars among which a second source is sought."""

_REPEAT = "exact repeat"
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def silence(sheet: LeadSheet, bars: Collection[int]) -> LeadSheet:
    """Return the lead sheet without the notes that start in some bars; its chords stay."""
    bar = sheet.melody["onset_step"] // STEPS_PER_BAR
    kept = sheet.melody[~np.isin(bar, list(bars))]
    return LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, kept)


def sounding_bars(sheet: LeadSheet) -> NDArray[np.int64]:
    """Return the bars in which a melody note starts, in order."""
    return np.unique(sheet.melody["onset_step"].astype(np.int64) // STEPS_PER_BAR)


def bar_log_probabilities(
    normal: LeadSheet, network: Network, *, first_bar: int = 0, last_bar: int | None = None
) -> NDArray[np.float64]:
    """Return the log-probability of each bar's notes.

    Parameters
    ----------
    normal : LeadSheet
        In C major or A minor.
    network : Network
    first_bar, last_bar : int
        The bars that are wanted; all where absent.

    Returns
    -------
    ndarray of float64, shape (num_bars,)
        In nats: onsets, pitches, durations and the bar line; 0 for bars that are not wanted.
    """
    tokens = encode(normal)
    lines = np.append(np.flatnonzero(tokens == BAR), len(tokens) - 1)
    end = int(lines[normal.num_bars if last_bar is None else last_bar + 1]) + 1
    context = SongContext(normal.form, normal.key, normal.tempo_qpm)
    tokens, channels, hints = trace(tokens[:end], LeadSheetState(context), CHANNELS)
    first = int(lines[first_bar]) if first_bar else 0
    start = network.window_start(first) if isinstance(network, WindowedNetwork) else 0
    found = network.log_probabilities(tokens[start:-1], channels[start:-1], hints[start:-1])[first - start :]
    targets = tokens[first + 1 :].astype(np.int64)
    chosen = found[np.arange(len(targets)), targets].astype(np.float64)
    bars = first_bar + np.maximum(np.cumsum(tokens[first:-1] == BAR) - 1, 0)
    is_note = (targets < BEAT_0) | (targets >= POS_0)
    return bar_sums(bars, np.where(is_note, chosen, 0), normal.num_bars)


@dataclass(frozen=True)
class Source:
    """An earlier bar from which a bar takes.

    Attributes
    ----------
    bar : int
        Counted from 1.
    nats_per_note : float
        How far the log-probability of the bar's notes falls without it.
    place : str
        Where it lies, such as `the same place in the first A` or `4 bars before`.
    relation : str
        How the bar resembles it; see `bar_relation`.
    """

    bar: int
    nats_per_note: float
    place: str
    relation: str


@dataclass(frozen=True)
class BarSources:
    """What one bar takes from.

    Attributes
    ----------
    bar : int
        Counted from 1.
    sources : tuple of Source
        Those that matter, the strongest first.
    text : str
        In words.
    """

    bar: int
    sources: tuple[Source, ...]
    text: str


@dataclass(frozen=True, eq=False)
class SourceMatrix:
    """What every bar of a song takes from every earlier one.

    Attributes
    ----------
    sheet : LeadSheet
    nats_per_note : ndarray of float64, shape (num_bars, num_bars)
        Row: the bar; column: the earlier bar that was silenced. How far the log-probability of the bar's notes fell,
        negative where it rose; 0 where either has no notes.
    """

    sheet: LeadSheet
    nats_per_note: NDArray[np.float64]

    def sources(self, bar: int, *, count: int = 2) -> BarSources:
        """Return the bars (at most `count`) whose silence, one at a time, costs a bar (from 0) most.

        Of two earlier bars with the same notes neither may be missed: `bar_sources` finds both.
        """
        falls = self.nats_per_note[bar]
        strongest = np.argsort(-falls, kind="stable")[:count].tolist()
        return describe_sources(self.sheet, bar, [(other, float(falls[other])) for other in strongest])


def source_matrix(
    music: Song | LeadSheet, network: Network, *, progress: Callable[[int, int], None] | None = None
) -> SourceMatrix:
    """Silence every bar of a song in turn and return what that does to the later ones.

    Parameters
    ----------
    music : Song or LeadSheet
    network : Network
    progress : callable, optional
        Called with (bars done, bars to do).

    Raises
    ------
    InputError
        If the song has no chords, or notes that a lead sheet cannot have.
    """
    normal = normal_sheet(music)
    sounding = sounding_bars(normal).tolist()
    last_bar = sounding[-1] if sounding else 0
    whole = bar_log_probabilities(normal, network, last_bar=last_bar)
    notes = np.bincount(normal.melody["onset_step"] // STEPS_PER_BAR, minlength=normal.num_bars)
    falls = np.zeros((normal.num_bars, normal.num_bars))
    # The latest bars first: what a network keeps of the song before them is then used again.
    for done, source in enumerate(reversed(sounding[:-1]), start=1):
        silent = silence(normal, [source])
        without = bar_log_probabilities(silent, network, first_bar=source + 1, last_bar=last_bar)
        falls[source + 1 :, source] = (whole - without)[source + 1 :]
        if progress is not None:
            progress(done, len(sounding) - 1)
    falls[notes == 0] = 0
    sheet = music.lead_sheet if isinstance(music, Song) else music
    return SourceMatrix(sheet, falls / np.maximum(notes, 1)[:, None])


def bar_sources(music: Song | LeadSheet, bar: int, network: Network, *, count: int = 2) -> BarSources:
    """Return the earlier bars (at most `count`) from which one bar, from 0, takes most.

    Raises
    ------
    InputError
        If the song has no chords, or notes that a lead sheet cannot have.
    ValueError
        If the song has no such bar.
    """
    normal = normal_sheet(music)
    if not 0 <= bar < normal.num_bars:
        raise ValueError(f"bar must be from 0 to {normal.num_bars - 1}, got {bar}")
    sheet = music.lead_sheet if isinstance(music, Song) else music
    return describe_sources(sheet, bar, strongest_sources(normal, bar, network, count=count))


def strongest_sources(normal: LeadSheet, bar: int, network: Network, *, count: int = 2) -> list[tuple[int, float]]:
    """Return the earlier bars whose silence lowers the probability of a bar's notes most.

    Two bars with the same notes stand in for each other, so that neither is missed alone. The first bar is therefore
    the one whose silence costs most, and each further one that whose silence costs most when those before are silent
    too; it is sought among the NUM_CANDIDATES that cost most in the round before.

    Parameters
    ----------
    normal : LeadSheet
        In C major or A minor.
    bar : int
        From 0.
    network : Network
    count : int
        Bars wanted.

    Returns
    -------
    list of (int, float)
        Bars from 0, with the nats per note that their silence costs beyond that of the bars before.
    """
    notes = int(np.sum(normal.melody["onset_step"] // STEPS_PER_BAR == bar))
    if not notes:
        return []
    candidates = [other for other in sounding_bars(normal).tolist() if other < bar]

    def nats(sheet: LeadSheet) -> float:
        return float(bar_log_probabilities(sheet, network, first_bar=bar, last_bar=bar)[bar]) / notes

    left = nats(normal)
    chosen: list[tuple[int, float]] = []
    while candidates and len(chosen) < count:
        silent = [other for other, _ in chosen]
        falls: dict[int, float] = {}
        # The latest first: what the network keeps of the song before them is then used again.
        for other in sorted(candidates, reverse=True):
            falls[other] = left - nats(silence(normal, [*silent, other]))
        candidates = sorted(candidates, key=lambda other: -falls[other])[: NUM_CANDIDATES + 1]
        first = candidates.pop(0)
        chosen.append((first, falls[first]))
        left -= falls[first]
    return chosen


def describe_sources(sheet: LeadSheet, bar: int, found: Sequence[tuple[int, float]]) -> BarSources:
    """Return the sources of a bar in words.

    Parameters
    ----------
    sheet : LeadSheet
    bar : int
        From 0.
    found : sequence of (int, float)
        Earlier bars from 0 with their nats per note, the strongest first; those under MIN_NATS are left out.
    """
    number = bar + 1
    if not np.any(sheet.melody["onset_step"] // STEPS_PER_BAR == bar):
        return BarSources(number, (), f"Bar {number} has no melody.")
    sources = tuple(
        Source(other + 1, nats, place_of(sheet.form, bar, other), bar_relation(sheet, bar, other))
        for other, nats in found
        if nats >= MIN_NATS
    )
    if not sources:
        alike = [other for other in sounding_bars(sheet).tolist() if other < bar and is_repeat(sheet, bar, other)]
        if alike:
            places = ", ".join(str(other + 1) for other in alike)
            which, without = ("bars", "any one of them") if len(alike) > 1 else ("bar", "it")
            text = f"Bar {number} repeats {which} {places}, but would be about as probable without {without}."
            return BarSources(number, (), text)
        return BarSources(number, (), f"Bar {number} takes from no earlier bar: it is new.")
    named = [f"bar {source.bar} ({source.place}; {source.relation})" for source in sources]
    return BarSources(number, sources, f"Bar {number} takes most from {', then '.join(named)}.")


def place_of(form: Form, bar: int, other: int) -> str:
    """Return where an earlier bar lies, seen from a bar.

    Examples
    --------
    >>> place_of(Form.parse("A4B4A4B4"), 9, 1), place_of(Form.parse("A4B4A4B4"), 9, 5)
    ('the same place in the first A', '4 bars before')
    """
    starts = form.start_bars
    phrase, earlier = (int(np.searchsorted(starts, place, side="right")) - 1 for place in (bar, other))
    letters = [found.letter for found in form.phrases]
    if earlier != phrase and letters[earlier] == letters[phrase] and bar - starts[phrase] == other - starts[earlier]:
        rank = letters[:earlier].count(letters[earlier])
        ordinal = _ORDINALS[rank] if rank < len(_ORDINALS) else f"{rank + 1}th"
        return f"the same place in the {ordinal} {letters[earlier]}"
    return f"{bar - other} bars before" if bar - other > 1 else "the bar before"


def bar_relation(sheet: LeadSheet, bar: int, other: int) -> str:
    """Return how the melody of a bar relates to that of another.

    Returns
    -------
    str
        `exact repeat` (onsets and pitches), `transposed` with the interval, `varied` (at least half of all their notes
        are common), `same rhythm`, `same contour` (three or more notes that rise and fall alike), `varied a lot` (at
        least a quarter common), or `not alike`.
    """
    (onset, pitch), (other_onset, other_pitch) = (_bar_notes(sheet, place) for place in (bar, other))
    if not len(onset) or not len(other_onset):
        return "not alike"
    own, others = (
        set(zip(a.tolist(), b.tolist(), strict=True)) for a, b in ((onset, pitch), (other_onset, other_pitch))
    )
    if own == others:
        return _REPEAT
    alike = len(own & others) / len(own | others)
    is_same_rhythm = np.array_equal(onset, other_onset)
    moved = pitch - other_pitch if is_same_rhythm else np.zeros(0, dtype=np.int64)
    if len(moved) > 1 and (moved == moved[0]).all():
        steps = abs(int(moved[0]))
        return f"transposed {'up' if moved[0] > 0 else 'down'} {steps} semitone{'s' if steps > 1 else ''}"
    if alike >= 0.5:
        return f"varied, {len(own & others)} of {len(own)} notes the same"
    if is_same_rhythm:
        return "same rhythm"
    if len(pitch) == len(other_pitch) >= 3 and np.array_equal(np.sign(np.diff(pitch)), np.sign(np.diff(other_pitch))):
        return "same contour"
    return f"varied a lot, {len(own & others)} of {len(own)} notes the same" if alike >= 0.25 else "not alike"


def is_repeat(sheet: LeadSheet, bar: int, other: int) -> bool:
    """Return whether two bars have melodies with the same onsets and pitches."""
    return bar_relation(sheet, bar, other) == _REPEAT


def _bar_notes(sheet: LeadSheet, bar: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return onsets within a bar and pitches."""
    place, onset = np.divmod(sheet.melody["onset_step"].astype(np.int64), STEPS_PER_BAR)
    inside = place == bar
    return onset[inside], sheet.melody["pitch"][inside].astype(np.int64)
