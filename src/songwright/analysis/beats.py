"""Beats and bar lines of a score in ticks: `find_beats`.

A file's own quarter notes are believed where the onsets gather on their sixteenths or triplets, at whatever offset;
else the pulse is tracked in seconds through changing tempo, so that human timing is followed. Its bar lines are
believed where the notes lie exactly on its grid (notation, sequencers; drumming to a click) and do not contradict
them; else `analysis.meter` finds metre and downbeats from the notes. Knows nothing of rounding notes to the grid:
`analysis.quantization`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.meter import (
    Bars,
    PulseNotes,
    bars_margin,
    beat_phase_scores,
    downbeat_scores,
    find_bars,
    pulse_features,
)
from songwright.analysis.pulse import Pulse, file_pulse, track_pulse
from songwright.score.elements import Score
from songwright.score.grid import STEPS_PER_BEAT
from songwright.score.grid_score import BeatGrid, Meter

MIN_ONSETS = 4
"""Distinct onsets under which no beat is looked for."""
MAX_QUARTERS = 40_000
"""Longest piece, in quarters (over five hours at 120): beyond, a stray note at a far tick is likelier."""
MAX_BAR_DOUBT = 0.3
"""Nats a bar by which moved bar lines must fit the notes better than the file's own for those to be given up."""
MAX_DEFAULT_BAR_DOUBT = 0.06
"""The same where the file has no time signature, so that its bars are only what the standard says by default."""
MAX_BEAT_DOUBT = 2.5
"""Nats by which other pulses must fit better as the beat for the file's quarters to be given up."""

# Log-odds that the bar lines are right: a line in the margin of nats a bar, fitted on the training split.
_CONFIDENCE_OFFSET, _CONFIDENCE_SLOPE = -0.09, 7.24
_CONFIDENCE_OF_FILE = 0.98  # bar lines of notation and sequencers that the notes do not contradict

_DENOMINATORS = (4, 8, 16)
_LONGEST_TAIL = 64  # quarters of bars after the last onset


class _FileBars(NamedTuple):
    """Bar lines as the file says, in quarters from tick 0: `starts` of the bars, the first whole, and the metres."""

    starts: NDArray[np.float64]
    meters: tuple[Meter, ...]


def find_beats(score: Score, roles: Sequence[str]) -> BeatGrid | None:
    """Return where the quarter notes and bar lines of a score fall.

    Parameters
    ----------
    score : Score
    roles : sequence of str
        What each track does, one of ROLES each: `melody` and `drums` are used.

    Returns
    -------
    BeatGrid or None
        None where no beat is found: too few onsets, or onsets that follow no pulse. `origin` is `ticks` where metre
        and bar lines are the file's own, else `notes`. `confidence` is the share of pieces with such a lead of the
        best bar lines over moved ones whose bar lines are right (POP909).
    """
    if len(roles) != len(score.tracks):
        raise ValueError(f"expected a role for each of {len(score.tracks)} tracks, got {len(roles)}")
    if not score.num_notes:
        return None
    onsets = np.unique(np.concatenate([track.notes["onset_tick"] for track in score.tracks]))
    if len(onsets) < MIN_ONSETS or (onsets[-1] - onsets[0]) / score.ticks_per_quarter > MAX_QUARTERS:
        return None
    is_drums = all(role == "drums" for role in roles)
    pulse = file_pulse(score, onsets, has_click=is_drums and bool(score.time_signatures))
    if pulse is None:
        pulse = track_pulse(score, onsets)
    if pulse is None or len(pulse.ticks) > MAX_QUARTERS * pulse.division:
        return None
    notes = _notes_on_pulse(score, roles, pulse)
    features = pulse_features(notes, len(pulse.ticks), pulse.division)
    if pulse.is_exact:
        grid = _grid_of_file(score, pulse, notes, features)
        if grid is not None:
            return grid
    phase = int(beat_phase_scores(features, pulse.division).argmax())
    beats = np.arange(phase, len(pulse.ticks), pulse.division)
    near = (beats > notes.onset.min() - pulse.division) & (beats <= notes.onset.max() + pulse.division)
    beats = beats[near]
    if len(beats) < 2:
        return None
    bars = find_bars(*downbeat_scores(features, notes, beats, pulse.division))
    return _grid_of_bars(pulse.ticks[beats], bars, float(onsets[0]))


def _notes_on_pulse(score: Score, roles: Sequence[str], pulse: Pulse) -> PulseNotes:
    sizes = [len(track.notes) for track in score.tracks]
    notes = np.concatenate([track.notes for track in score.tracks])
    onset_tick = notes["onset_tick"].astype(np.float64)
    count = np.arange(len(pulse.ticks), dtype=np.float64)
    exact = np.interp(onset_tick, pulse.ticks, count)
    end = np.interp(onset_tick + notes["duration_tick"], pulse.ticks, count)
    is_melody = np.array([role == "melody" for role in roles])
    is_drum = np.array([role == "drums" for role in roles])
    return PulseNotes(
        np.rint(exact).astype(np.int64),
        end - exact,
        notes["pitch"].astype(np.int64),
        notes["velocity"].astype(np.float64),
        np.repeat(np.arange(len(sizes)), sizes),
        np.repeat(is_melody, sizes),
        np.repeat(is_drum, sizes),
    )


def _grid_of_file(score: Score, pulse: Pulse, notes: PulseNotes, features: NDArray[np.float32]) -> BeatGrid | None:
    """Return the file's own beats and bar lines, or None if it has no usable ones or the notes contradict them."""
    quarter_of_pulse = round(pulse.ticks[0] / score.ticks_per_quarter)
    first_onset = float(pulse.ticks[notes.onset.min()])
    # The last note may be stuck.
    last_tick = min(score.end_tick, float(pulse.ticks[notes.onset.max()]) + _LONGEST_TAIL * score.ticks_per_quarter)
    bars = _bars_of_file(score, first_onset / score.ticks_per_quarter, last_tick / score.ticks_per_quarter)
    if bars is None:
        return None
    if not notes.is_drum.all():
        beat_scores = beat_phase_scores(features, pulse.division)
        if beat_scores.max() - beat_scores[0] > MAX_BEAT_DOUBT:
            return None
    num_beats = len(pulse.ticks) // pulse.division
    beats = np.arange(num_beats) * pulse.division
    starts = np.rint(bars.starts).astype(np.int64) - quarter_of_pulse
    lengths = np.diff(starts)
    on_beats = bool((bars.starts == np.rint(bars.starts)).all()) and len(lengths) > 1
    if on_beats and (lengths == lengths[0]).mean() > 0.8 and lengths[0] > 1 and not notes.is_drum.all():
        downbeat, _ = downbeat_scores(features, notes, beats, pulse.division)
        doubt = -bars_margin(downbeat, starts[(starts >= 0) & (starts < num_beats)], int(lengths[0]))
        if doubt > (MAX_BAR_DOUBT if score.time_signatures else MAX_DEFAULT_BAR_DOUBT):
            return None
    num_quarters = int(np.ceil(last_tick / score.ticks_per_quarter - bars.starts[0])) + 1
    quarters = bars.starts[0] + np.arange(max(num_quarters, 2))
    return BeatGrid(quarters * score.ticks_per_quarter, bars.meters, "ticks", _CONFIDENCE_OF_FILE)


def _bars_of_file(score: Score, first_quarter: float, end_quarter: float) -> _FileBars | None:
    """Return the bars from the one in which the first note starts; None if a bar is no whole number of sixteenths.

    A first time signature that lasts for one bar shorter than the next is a pick-up, as notation programs write it.
    """
    signatures = {0: (4, 4)} | {change.tick: (change.numerator, change.denominator) for change in score.time_signatures}
    at = [tick for tick in sorted(signatures) if tick == 0 or tick < end_quarter * score.ticks_per_quarter]
    begins = [tick / score.ticks_per_quarter for tick in at]
    starts: list[NDArray[np.floating]] = []
    lengths: list[Meter] = []
    for begin, end, tick in zip(begins, [*begins[1:], max(end_quarter, begins[-1] + 1)], at, strict=True):
        numerator, denominator = signatures[tick]
        length = 4 * numerator / denominator
        if length * 4 % 1 or length > 64:
            return None
        num_bars = max(int(np.ceil((end - begin) / length - 1e-6)), 1)
        starts.append(begin + length * np.arange(num_bars))
        lengths.extend([Meter(0, numerator, denominator)] * num_bars)
        rest = end - starts[-1][-1]
        if end < end_quarter and abs(rest - length) > 1e-6:
            cut = next((Meter(0, round(rest * d / 4), d) for d in _DENOMINATORS if rest * d % 4 == 0), None)
            if cut is None:
                return None
            lengths[-1] = cut
    bar_starts = np.concatenate(starts).astype(np.float64)
    if len(lengths) == 1 and lengths[0].numerator == 1:
        return None
    if len(lengths) > 1 and lengths[0].bar_steps < lengths[1].bar_steps and len(starts[0]) == 1:
        bar_starts[0] = bar_starts[1] - lengths[1].bar_steps / STEPS_PER_BEAT
        lengths[0] = lengths[1]
    if all(meter.numerator == 1 for meter in lengths):
        return None
    first = max(int(np.searchsorted(bar_starts, first_quarter + 1e-6, side="right")) - 1, 0)
    return _FileBars(bar_starts[first:], _changes(lengths[first:]))


def _changes(bars: Sequence[Meter]) -> tuple[Meter, ...]:
    """Return the metres of successive bars where they change."""
    kept: list[Meter] = []
    for index, meter in enumerate(bars):
        if not kept or kept[-1][1:] != meter[1:]:
            kept.append(meter._replace(bar=index))
    return tuple(kept)


def _grid_of_bars(beat_tick: NDArray[np.float64], bars: Bars, first_onset: float) -> BeatGrid:
    """Return found bars as a grid; a pick-up makes a whole bar."""
    starts = bars.starts
    pace = beat_tick[1] - beat_tick[0]
    if not len(starts):
        starts = np.zeros(1, dtype=np.int64)
    if starts[0] > 0 and first_onset < beat_tick[starts[0]] - pace / 8:
        starts = np.concatenate([[starts[0] - bars.beats_per_bar], starts])
    lead = max(-int(starts[0]), 0)
    quarter_tick = np.concatenate([beat_tick[0] + pace * np.arange(-lead, 0), beat_tick[max(int(starts[0]), 0) :]])
    lengths = [*np.diff(starts).tolist(), bars.beats_per_bar]
    confidence = 1 / (1 + np.exp(-(_CONFIDENCE_OFFSET + _CONFIDENCE_SLOPE * bars.margin)))
    if len(quarter_tick) < 2:
        quarter_tick = quarter_tick[0] + pace * np.arange(2)
    return BeatGrid(quarter_tick, _changes([Meter(0, length) for length in lengths]), "notes", float(confidence))
