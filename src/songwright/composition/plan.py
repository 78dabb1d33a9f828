"""Plan a song before any note: key, tempo, form, title and length, from what was wished and a seed.

Knows how wishes fit together, and the distributions of what was left open (`composition.form`'s statistics). Every
decision has its own random stream, so that fixing one leaves the others as the seed had them. Bars have four quarters:
a bar lasts 240 / tempo seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from songwright.composition.form import load_statistics, sample_form
from songwright.composition.title import draw_title
from songwright.errors import InputError
from songwright.score.lead_sheet import Form
from songwright.score.pitch import Key

DEFAULT_SECONDS = 180.0
SECONDS_RANGE = (10.0, 900.0)
TEMPO_RANGE = (40.0, 240.0)
"""Tempos that may be asked for; drawn ones lie where the corpus has them, from 60 to 140."""

_STREAMS = {"key": 0, "tempo": 1, "form": 2, "title": 3}
_MIN_DRAWN_BARS = 4  # a drawn tempo is quick enough for this many bars
_TEMPO_KERNEL = (1, 2, 3, 2, 1)  # spreads each song's tempo over its neighbours


@dataclass(frozen=True)
class SongPlan:
    """What is decided about a song before its first note.

    Attributes
    ----------
    style : str
    key : Key
    tempo_qpm : float
        Quarter notes per minute.
    form : Form
    seed : int
        Also the seed of what is composed on the plan.
    title : str
    """

    style: str
    key: Key
    tempo_qpm: float
    form: Form
    seed: int
    title: str

    @property
    def num_bars(self) -> int:
        """Length in bars."""
        return self.form.num_bars

    @property
    def duration_seconds(self) -> float:
        """Length of all the bars at the tempo."""
        return _seconds(self.form.num_bars, self.tempo_qpm)


def plan_song(
    *,
    style: str = "pop",
    seconds: float | None = None,
    num_bars: int | None = None,
    key: Key | str | None = None,
    tempo_qpm: float | None = None,
    form: Form | str | None = None,
    seed: int,
) -> SongPlan:
    """Plan a song, drawing what is not given from the distributions of the style.

    Parameters
    ----------
    style : str
        Style whose statistics are drawn from; pop's, if it has none of its own.
    seconds : float, optional
        Wished duration, 10 to 900; the song comes within one bar of it. 180 by default, unless `num_bars` or
        `form` decides it.
    num_bars : int, optional
        Wished length in bars.
    key, form : optional
        As values, or as text that `Key.parse` and `Form.parse` read.
    tempo_qpm : float, optional
        Quarter notes per minute, 40 to 240.
    seed : int
        0 or more. The same arguments give the same plan.

    Returns
    -------
    SongPlan

    Raises
    ------
    InputError
        If a wish cannot be read, is out of range, or does not fit the others.

    Examples
    --------
    >>> plan = plan_song(seconds=60, tempo_qpm=80, key="E minor", seed=7)
    >>> plan.num_bars, plan.duration_seconds, plan.key.name
    (20, 60.0, 'E minor')
    """
    if seed < 0:
        raise InputError(f"seed {seed} is negative: choose 0 or a positive whole number")
    statistics = load_statistics(style)
    if seconds is not None and not SECONDS_RANGE[0] <= seconds <= SECONDS_RANGE[1]:
        raise InputError(f"a song lasts from 10 seconds to 15 minutes: {seconds:g} seconds cannot be composed")
    if tempo_qpm is not None and not TEMPO_RANGE[0] <= tempo_qpm <= TEMPO_RANGE[1]:
        raise InputError(f"tempo {tempo_qpm:g} is out of range: choose from 40 to 240 quarter notes per minute")
    given_form = _read_form(form)
    given_key = _read_key(key)
    if given_form is not None:
        if num_bars not in (None, given_form.num_bars):
            raise InputError(
                f"form {given_form} has {given_form.num_bars} bars, not {num_bars}: leave out one of the two"
            )
        num_bars = given_form.num_bars

    def rng(decision: str) -> np.random.Generator:
        return np.random.default_rng([seed, _STREAMS[decision]])

    tempo_qpm, num_bars = _fit_length(seconds, num_bars, tempo_qpm, statistics["tempos"], rng("tempo"))
    song_key = given_key or _draw_key(statistics["keys"], rng("key"))
    song_form = given_form or sample_form(num_bars, rng("form"), tempo_qpm=tempo_qpm, style=style)
    title = draw_title(rng("title"), is_minor=song_key.is_minor, tempo_qpm=tempo_qpm)
    return SongPlan(style, song_key, tempo_qpm, song_form, seed, title)


def _seconds(num_bars: int, tempo_qpm: float) -> float:
    return num_bars * 240.0 / tempo_qpm


def _read_key(key: Key | str | None) -> Key | None:
    if not isinstance(key, str):
        return key
    try:
        return Key.parse(key)
    except ValueError:
        raise InputError(f"{key!r} is no key: write for example C, A minor, F#m or Bb major") from None


def _read_form(form: Form | str | None) -> Form | None:
    if not isinstance(form, str):
        return form
    try:
        return Form.parse(form)
    except ValueError as error:
        raise InputError(f"the form cannot be used: {error}") from None


def _fit_length(
    seconds: float | None,
    num_bars: int | None,
    tempo_qpm: float | None,
    tempos: Mapping[str, int],
    rng: np.random.Generator,
) -> tuple[float, int]:
    """Return a tempo and a number of bars that agree with each other and with what is given."""
    if num_bars is None:
        seconds = DEFAULT_SECONDS if seconds is None else seconds
        if tempo_qpm is None:
            tempo_qpm = _draw_tempo(tempos, rng, slowest=(_MIN_DRAWN_BARS - 0.5) * 240 / seconds)
        return tempo_qpm, max(1, round(seconds * tempo_qpm / 240))
    if seconds is not None:
        if tempo_qpm is None:
            return _solve_tempo(num_bars, seconds), num_bars
        if abs(_seconds(num_bars, tempo_qpm) - seconds) > _seconds(1, tempo_qpm):
            raise InputError(
                f"{num_bars} bars at tempo {tempo_qpm:g} last {_seconds(num_bars, tempo_qpm):.1f} seconds, "
                f"not {seconds:g}: leave out the tempo or the duration, "
                f"or use {max(1, round(seconds * tempo_qpm / 240))} bars"
            )
        return tempo_qpm, num_bars
    # The tempos at which that many bars make a song of a length we compose
    slowest = max(TEMPO_RANGE[0], num_bars * 240 / SECONDS_RANGE[1])
    fastest = min(TEMPO_RANGE[1], num_bars * 240 / SECONDS_RANGE[0])
    if slowest > fastest:
        raise InputError(f"{num_bars} bars do not make a song of 10 seconds to 15 minutes: ask for 2 to 900 bars")
    if tempo_qpm is None:
        return _draw_tempo(tempos, rng, slowest=slowest, fastest=fastest), num_bars
    if not slowest <= tempo_qpm <= fastest:
        raise InputError(
            f"{num_bars} bars at tempo {tempo_qpm:g} last {_seconds(num_bars, tempo_qpm):.1f} seconds, and a song "
            "lasts from 10 seconds to 15 minutes: "
            f"choose a tempo from {math.ceil(slowest)} to {math.floor(fastest)}, or other bars"
        )
    return tempo_qpm, num_bars


def _solve_tempo(num_bars: int, seconds: float) -> float:
    """Return the roundest tempo at which the bars last as long as wished, within half a bar."""
    exact = num_bars * 240 / seconds
    slowest, fastest = TEMPO_RANGE
    if not slowest <= exact <= fastest:
        shortest, longest = (
            max(_seconds(num_bars, fastest), SECONDS_RANGE[0]),
            min(_seconds(num_bars, slowest), SECONDS_RANGE[1]),
        )
        raise InputError(
            f"{num_bars} bars in {seconds:g} seconds need tempo {exact:.0f}, outside 40 to 240: "
            + (
                f"ask for {math.ceil(shortest)} to {math.floor(longest)} seconds, or other bars"
                if shortest <= longest
                else "ask for 2 to 900 bars"
            )
        )
    decimals = 0
    while abs(_seconds(num_bars, round(exact, decimals)) - seconds) > _seconds(1, exact) / 2:
        decimals += 1
    return round(exact, decimals) * 1.0


def _draw_tempo(
    tempos: Mapping[str, int], rng: np.random.Generator, *, slowest: float = 0.0, fastest: float = math.inf
) -> float:
    """Draw a whole tempo from the songs' tempos, smoothed, between two bounds; the nearest one if none lies there."""
    counts = np.zeros(int(max(TEMPO_RANGE)) + 1)
    for tempo, count in tempos.items():
        counts[int(tempo)] = count
    known = np.flatnonzero(counts)
    counts = np.convolve(counts, _TEMPO_KERNEL, mode="same")
    values = np.arange(len(counts))
    counts[(values < known[0]) | (values > known[-1]) | (values < slowest) | (values > fastest)] = 0
    if not counts.any():
        return float(math.ceil(slowest) if slowest > known[-1] else math.floor(fastest))
    total = np.cumsum(counts)
    return float(np.searchsorted(total, rng.random() * total[-1], side="right"))


def _draw_key(keys: Mapping[str, list[int]], rng: np.random.Generator) -> Key:
    """Draw a key from the songs' keys."""
    total = np.cumsum(np.add([*keys["major"], *keys["minor"]], 1))
    index = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
    return Key(index % 12, is_minor=index >= 12)
