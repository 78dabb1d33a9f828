"""The pulse of a score: evenly counted sixteenths or triplets, from the file's ticks or tracked in the notes.

Knows onsets only, nothing of pitch, metre or bars. A *pulse* is a quarter note divided by 4 (sixteenths) or 6 (triplet
sixteenths); which pulse of a quarter is the beat is left to `analysis.meter`.

Tracking reads the onsets as a sum of impulses. In windows of some seconds its Fourier coefficients at a quarter's
frequency and its multiples tell how well a tempo fits, a Viterbi search through the windows lets the tempo change
slowly, and the phase of the coefficient at the pulse's frequency, unwrapped, counts the pulses. This is the idea of
the predominant local pulse [1]_, on onsets instead of audio.

References
----------
.. [1] P. Grosche and M. Müller, "Extracting predominant local pulse information from music recordings", IEEE
   Transactions on Audio, Speech and Language Processing 19, 2011.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.score.elements import Score
from songwright.score.timeline import ticks_to_seconds

MIN_CONCENTRATION = 0.45
"""Mean resultant length of the onsets' phases on the pulse from which the file's ticks are believed (1: all equal)."""
MIN_CLICK_CONCENTRATION = 0.15
"""The same for drumming to a click: human timing, but the ticks are the click's."""
MIN_TRACKED_STRENGTH = 0.4
"""Strength of a tracked pulse under which music has no beat; see `track_pulse`."""
MIN_TRACKED_LEAD = 1.8
"""The same, times the root of the onsets in a window: random onsets reach 1.2 +- 0.05, at any density."""
MIN_TRACKED_ONSETS = 16
MAX_TRACKED_SECONDS = 14_400.0
"""Longest piece that is tracked, in seconds."""

_LEAD_QUARTERS = 8  # before the first onset, so that windows around it lie inside
_EXACT_SHARE = 0.4  # of onsets exactly on the file's grid, for its bar lines to be considered; by chance 0.01
_EXACT_TICKS = 0.5  # rounding to ticks
_MAX_CLICK_PHASE = 0.35  # of a sixteenth: drummers play about this early or late of a click at most

_BINS_PER_OCTAVE = 72
_LOWEST_HERTZ = 0.62  # quarter notes a second: 37 to 180 a minute
_NUM_TEMPOS = 164
_HARMONICS = (1, 2, 3, 4, 6)
_WINDOW_SECONDS = 8.0
_HOP_SECONDS = 2.0
_TEMPO_PRIOR_QPM = 84.0
_BLOCK = 64  # windows at a time, to bound memory
_MOST_ONSETS = 4_000  # in a block of two minutes; of more, every second, third ... is used
# Of `octave_features`: a logistic choice fitted on the training split of POP909, played with human timing.
_OCTAVE_WEIGHTS = (0.52, -2.34, -0.49, -1.8, -6.38, -0.57, -1.34, 6.61)


class Pulse(NamedTuple):
    """A counted pulse.

    `ticks` of every pulse from before the first onset to after the last, strictly increasing; `division` pulses a
    quarter; `is_exact`: the notes lie exactly on the file's own grid, and pulse 0 modulo `division` is its quarter.
    """

    ticks: NDArray[np.float64]
    division: int
    is_exact: bool


def _resultant(phase: NDArray[np.floating], weight: NDArray[np.floating] | None = None) -> complex:
    """Return the mean of unit vectors at phases in cycles."""
    return complex(np.average(np.exp(2j * np.pi * phase), weights=weight))


def file_pulse(score: Score, onsets: NDArray[np.integer], *, has_click: bool = False) -> Pulse | None:
    """Return the pulse of the file's own quarter notes, moved to where the onsets are; None if they do not fit.

    Parameters
    ----------
    score : Score
    onsets : array of int, shape (num_onsets,)
        Distinct onset ticks, ascending.
    has_click : bool
        Whether this is drumming with a time signature, whose ticks are then a metronome's.
    """
    quarters = onsets / score.ticks_per_quarter
    exact = np.minimum(abs(quarters * 4 - np.rint(quarters * 4)) / 4, abs(quarters * 6 - np.rint(quarters * 6)) / 6)
    is_exact = bool((exact * score.ticks_per_quarter <= _EXACT_TICKS).mean() >= _EXACT_SHARE)
    fits = {division: _resultant(quarters * division) for division in (3, 4, 6)}
    is_ternary = max(abs(fits[3]), abs(fits[6])) > abs(fits[4]) + 0.1
    division = 6 if is_ternary else 4
    fit = fits[division] if abs(fits[division]) >= abs(fits[3]) or not is_ternary else fits[3] ** 2
    phase = float(np.angle(fit)) / (2 * np.pi)
    if has_click and abs(fit) >= MIN_CLICK_CONCENTRATION and abs(phase) <= _MAX_CLICK_PHASE:
        is_exact = True
    elif not is_exact and max(map(abs, fits.values())) < MIN_CONCENTRATION:
        return None
    first = -(_LEAD_QUARTERS - np.floor(quarters[0])) * division
    last = np.floor(quarters[-1] + _LEAD_QUARTERS + 1) * division
    ticks = (np.arange(first, last + 1) + (0.0 if is_exact else phase)) * (score.ticks_per_quarter / division)
    return Pulse(ticks, division, is_exact)


def track_pulse(score: Score, onsets: NDArray[np.integer]) -> Pulse | None:
    """Return the pulse that the onsets follow in seconds, through changing tempo; None if there is none.

    The strength of a pulse is the mean over time of the resultant length of the onsets' phases on it.
    """
    if len(onsets) < MIN_TRACKED_ONSETS:
        return None
    seconds = ticks_to_seconds(score, onsets)
    if not 1 < seconds[-1] - seconds[0] <= MAX_TRACKED_SECONDS:
        return None
    sizes = _attack_sizes(score, onsets)
    centres, spectrum, mass = _spectra(seconds, sizes)
    tempo = _tempo_path(spectrum, mass)
    windows = np.arange(len(centres))
    shifts = {harmonic: _shift_of(harmonic) for harmonic in _HARMONICS}
    lengths = {h: float(np.average(abs(spectrum[windows, tempo + shifts[h]]), weights=mass)) for h in (2, 3, 4, 6)}
    division = 6 if max(lengths[3], lengths[6]) > max(lengths[2], lengths[4]) + 0.05 else 4
    bins = tempo + shifts[division]
    crowd = float(np.average(mass / np.mean(sizes), weights=mass))
    if lengths[division] < max(MIN_TRACKED_STRENGTH, MIN_TRACKED_LEAD / np.sqrt(crowd)):
        return None
    hertz = _LOWEST_HERTZ * 2 ** (tempo / _BINS_PER_OCTAVE) * division
    count = _unwrap(centres, hertz, np.angle(spectrum[windows, bins]) / (2 * np.pi))
    if not (np.diff(count) > 0).all():
        return None
    hertz, count = _with_octave(hertz, count, np.interp(seconds, centres, count), sizes, division)
    return _pulse_of_counts(score, onsets, seconds, centres, hertz, count, division)


def octave_features(
    quarter_hertz: float, counts: NDArray[np.float64], sizes: NDArray[np.float64], division: int
) -> NDArray[np.float64]:
    """Return what tells whether a quarter is half, once or twice the tracked one: shape (3, 8).

    Of each: its tempo in octaves and that squared, the same of the onsets a quarter, and how the onsets gather at its
    double, at it, its half and its quarter.
    """
    rows: list[list[float]] = []
    for ratio in (0.5, 1.0, 2.0):
        octave = float(np.log2(quarter_hertz * 60 / _TEMPO_PRIOR_QPM / ratio))
        cycles = [ratio * division * length for length in (2.0, 1.0, 0.5, 0.25)]
        crowd = float(np.log2(len(counts) * ratio * division / max(counts[-1] - counts[0], 1) / 4))
        rows.append([octave, octave**2, crowd, crowd**2, *(abs(_resultant(counts / cycle, sizes)) for cycle in cycles)])
    return np.array(rows)


def _with_octave(
    hertz: NDArray[np.float64],
    count: NDArray[np.float64],
    counts: NDArray[np.float64],
    sizes: NDArray[np.float64],
    division: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pulse's frequency and counts for the likeliest length of a quarter."""
    features = octave_features(float(np.median(hertz)) / division, counts, sizes, division)
    choice = int((features @ np.array(_OCTAVE_WEIGHTS)).argmax())
    if choice == 0:
        return hertz * 2, count * 2
    if choice == 2:
        odd = round(float(np.angle(_resultant(counts / 2, sizes))) / np.pi) % 2
        return hertz / 2, (count - odd) / 2
    return hertz, count


def _attack_sizes(score: Score, onsets: NDArray[np.integer]) -> NDArray[np.float64]:
    every = np.concatenate([track.notes["onset_tick"] for track in score.tracks])
    return 1 + np.log(np.bincount(np.searchsorted(onsets, every), minlength=len(onsets)))


def _shift_of(harmonic: int) -> int:
    return round(np.log2(harmonic) * _BINS_PER_OCTAVE)


def _spectra(
    seconds: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.complex128], NDArray[np.float64]]:
    """Return the centres of the windows, the resultants there at each frequency, and the mass of each window.

    The phase of a resultant is that of the onsets on a pulse which has one of its beats at the window's centre.
    """
    centres = np.arange(seconds[0] + _HOP_SECONDS / 2, seconds[-1] + _HOP_SECONDS / 2, _HOP_SECONDS)
    num_bins = _NUM_TEMPOS + _shift_of(_HARMONICS[-1]) + 1
    hertz = _LOWEST_HERTZ * 2 ** (np.arange(num_bins) / _BINS_PER_OCTAVE)
    spectrum = np.empty((len(centres), num_bins), dtype=np.complex128)
    mass = np.empty(len(centres))
    for start in range(0, len(centres), _BLOCK):
        block = centres[start : start + _BLOCK]
        low, high = np.searchsorted(seconds, [block[0] - _WINDOW_SECONDS / 2, block[-1] + _WINDOW_SECONDS / 2])
        thinned = slice(int(low), int(high), 1 + int(high - low) // _MOST_ONSETS)
        near = seconds[thinned]
        distance = near - block[:, None]
        window = np.where(abs(distance) < _WINDOW_SECONDS / 2, np.cos(np.pi * distance / _WINDOW_SECONDS) ** 2, 0.0)
        window *= sizes[thinned]
        total = window.sum(axis=1)
        waves = np.exp(2j * np.pi * np.outer(near - block[0], hertz))
        sums = (window @ waves) / np.maximum(total, 1e-9)[:, None]
        spectrum[start : start + _BLOCK] = sums * np.exp(-2j * np.pi * np.outer(block - block[0], hertz))
        mass[start : start + _BLOCK] = total
    return centres, spectrum, mass + 1e-9


def _tempo_path(spectrum: NDArray[np.complex128], mass: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of the quarter's frequency in each window: strong, near a usual tempo, changing slowly."""
    length = abs(spectrum)
    weights = {1: 0.5, 2: 1.0, 4: 1.0}
    fit = sum(weight * length[:, _shift_of(h) : _shift_of(h) + _NUM_TEMPOS] for h, weight in weights.items())
    ternary = sum(
        weight * length[:, _shift_of(h) : _shift_of(h) + _NUM_TEMPOS] for h, weight in {1: 0.5, 3: 1.0, 6: 1.0}.items()
    )
    fit = np.maximum(np.asarray(fit), np.asarray(ternary) - 0.2)
    octaves = np.arange(_NUM_TEMPOS) / _BINS_PER_OCTAVE + np.log2(_LOWEST_HERTZ * 60 / _TEMPO_PRIOR_QPM)
    reward = 4 * (fit - 0.5 * octaves**2) * np.minimum(mass / np.median(mass), 1)[:, None]
    steps = np.arange(-3, 4)
    cost = 0.25 * abs(steps) + 0.1 * (steps != 0)
    values = reward[0]
    back = np.empty((len(reward), _NUM_TEMPOS), dtype=np.int64)
    for index in range(1, len(reward)):
        padded = np.pad(values, 3, constant_values=-np.inf)
        options = np.stack([padded[3 + step : 3 + step + _NUM_TEMPOS] for step in steps]) - cost[:, None]
        choice = options.argmax(axis=0)
        back[index] = np.arange(_NUM_TEMPOS) + steps[choice]
        values = options.max(axis=0) + reward[index]
    path = np.empty(len(reward), dtype=np.int64)
    path[-1] = values.argmax()
    for index in range(len(reward) - 1, 0, -1):
        path[index - 1] = back[index, path[index]]
    return path


def _unwrap(
    centres: NDArray[np.float64], hertz: NDArray[np.float64], phase: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the count of pulses at each window's centre, whole where a pulse falls on it."""
    expected = np.diff(centres) * (hertz[1:] + hertz[:-1]) / 2
    measured = -phase
    step = expected + (np.diff(measured) - expected + 0.5) % 1 - 0.5
    return measured[0] + np.concatenate([[0.0], np.cumsum(step)])


def _pulse_of_counts(
    score: Score,
    onsets: NDArray[np.integer],
    seconds: NDArray[np.float64],
    centres: NDArray[np.float64],
    hertz: NDArray[np.float64],
    count: NDArray[np.float64],
    division: int,
) -> Pulse | None:
    ends = np.array([centres[0] - 60, centres[-1] + 60])
    times = np.concatenate([ends[:1], centres, ends[1:]])
    counts = np.concatenate([[count[0] - 60 * hertz[0]], count, [count[-1] + 60 * hertz[-1]]])
    first, last = np.interp(seconds[[0, -1]], times, counts)
    lead = _LEAD_QUARTERS * division
    pulses = np.interp(np.arange(np.floor(first) - lead, np.ceil(last) + lead + 1), counts, times)
    known = np.unique(np.concatenate([onsets, [change.tick for change in score.tempos]])).astype(np.float64)
    at = ticks_to_seconds(score, known)
    pace = score.ticks_per_quarter * 2.0  # ticks a second at 120, for pulses beyond the notes
    ticks = np.interp(pulses, at, known)
    ticks = np.where(pulses < at[0], known[0] + (pulses - at[0]) * pace, ticks)
    ticks = np.where(pulses > at[-1], known[-1] + (pulses - at[-1]) * pace, ticks)
    return Pulse(ticks, division, is_exact=False) if (np.diff(ticks) > 0).all() else None
