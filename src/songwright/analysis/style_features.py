"""What the notes of a piece say about its style: named numbers about its melody, its harmony and its accompaniment.

Made to tell styles and not files: nothing here looks at tempo, instruments, names, loudness, drums, number of tracks,
register of the melody or length. Times are snapped to the usual divisions of a beat, so that played and written music
read alike; lengths of notes count only through the time to the next one and through clear rests. Repetition is
looked for in the last notes only, so that a long piece does not seem to repeat more. A beat is a quarter, in 6/8 and
the like a dotted one.

Three groups, each there or not: the melody (always), the harmony (only where something accompanies the melody), and
the accompaniment as it is played (not for the bare chords of a lead sheet). What they mean is left to `style`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.averages import mean
from songwright.analysis.chords import find_chords
from songwright.analysis.half_bars import measure_half_bars
from songwright.analysis.keys import KeyRegion, find_keys
from songwright.analysis.roles import accompaniment, melody_line
from songwright.analysis.style_catalog import CHORD_CLASSES, HARMONY_FEATURES, MELODY_FEATURES, STYLE_FEATURES
from songwright.score.grid import STEPS_PER_BEAT
from songwright.score.grid_score import GridScore
from songwright.score.lead_sheet import QUALITIES, ChordChange

MIN_MELODY_NOTES = 16
"""Notes that a melody needs for anything to be said."""
MIN_ACCOMPANIMENT_NOTES = 16

# Divisions of a beat: 0 the beat, 1 its half, 2 quarters (sixteenths), 3 thirds; for each twelfth of a beat.
_SIMPLE_DIVISION = np.array([0, 0, 2, 2, 3, 1, 1, 1, 3, 2, 2, 0])
_COMPOUND_DIVISION = np.array([0, 0, 2, 3, 3, 3, 2, 3, 3, 3, 2, 0])
_SCALE = np.array([True, False, True, False, True, True, False, True, False, True, False, True])
_PENTATONIC = np.array([True, False, True, False, True, False, False, True, False, True, False, False])
_TRIADS = np.array([[step in (0, 4, 7) for step in range(12)], [step in (0, 3, 7) for step in range(12)]])
_LENGTH_EDGES = np.array([4.5, 7.5, 10.5, 13.5, 21.0, 30.0])  # steps
_REST_STEPS, _LONG_STEPS = 10, 22  # a rest of about a quarter, a note of about a half: played ones are a little short
_LONGEST_STEPS = 96
_MEMORY = 32
"""Notes back that a motif is looked for; no phrase counts as longer."""
_BLOCK_SHARE = 0.98
_QUALITY_CLASS = np.array(
    [next(row for row, names in enumerate(CHORD_CLASSES.values()) if quality in names) for quality in QUALITIES]
)
_CHORD_TONES = np.array([[step in steps for step in range(12)] for steps in QUALITIES.values()])


class _Meter(NamedTuple):
    """The bars of a piece, and its beat in each."""

    starts: NDArray[np.int64]
    beat_steps: NDArray[np.int64]
    is_compound: NDArray[np.bool_]

    def bar_of(self, step: NDArray[np.integer]) -> NDArray[np.int64]:
        return np.clip(np.searchsorted(self.starts, step, side="right") - 1, 0, len(self.beat_steps) - 1)

    def division_of(self, step: NDArray[np.int64], bar: NDArray[np.int64]) -> NDArray[np.int64]:
        beat_steps = self.beat_steps[bar]
        twelfth = (step - self.starts[bar]) % beat_steps * 12 // beat_steps
        return np.where(self.is_compound[bar], _COMPOUND_DIVISION[twelfth], _SIMPLE_DIVISION[twelfth])


class _Line(NamedTuple):
    """Notes, with where they stand in their bar."""

    onset: NDArray[np.int64]
    end: NDArray[np.int64]
    pitch: NDArray[np.int64]
    bar: NDArray[np.int64]
    division: NDArray[np.int64]


def style_features(score: GridScore) -> NDArray[np.float64] | None:
    """Return the numbers of STYLE_FEATURES of a piece; NaN where it does not define one, None for too few notes.

    Parameters
    ----------
    score : GridScore
        Any metre. Roles of tracks should be known: they say what is melody and what accompanies it.

    Returns
    -------
    ndarray of float64, shape (len(STYLE_FEATURES),), or None
        None if the melody (`roles.melody_line`) has under MIN_MELODY_NOTES notes. Without an accompaniment of
        MIN_ACCOMPANIMENT_NOTES the groups `harmony` and `accompaniment` are NaN, and the latter also where it is
        nothing but chords struck and released as wholes, as a lead sheet's symbols are played.

    Raises
    ------
    InputError
        If the piece has more bars than `half_bars.MAX_BARS`.
    """
    melody_notes = melody_line(score)
    if len(melody_notes) < MIN_MELODY_NOTES:
        return None
    half_bars = measure_half_bars(score)
    regions = find_keys(score, half_bars)
    meter = _meter_of(score)
    melody = _line(melody_notes, meter)
    values = np.full(len(STYLE_FEATURES), np.nan)
    split = len(MELODY_FEATURES), len(MELODY_FEATURES) + len(HARMONY_FEATURES)
    tonic = _do(regions, melody.bar)
    values[: split[0]] = _melody_features(melody, meter, tonic, _is_minor(regions, melody.bar))
    notes = accompaniment(score)
    if len(notes) < MIN_ACCOMPANIMENT_NOTES:
        return values
    changes = find_chords(score, half_bars)
    values[split[0] : split[1]] = _harmony_features(changes, melody, meter, regions)
    if _block_share(notes) < _BLOCK_SHARE:
        values[split[1] :] = _accompaniment_features(_line(notes, meter), melody, meter)
    return values


def _meter_of(score: GridScore) -> _Meter:
    num_bars = max(score.num_bars, 1)
    beat_steps = np.full(num_bars, STEPS_PER_BEAT, dtype=np.int64)
    is_compound = np.zeros(num_bars, dtype=bool)
    for meter in score.meters:
        compound = meter.numerator % 3 == 0 and meter.numerator > 3 and meter.denominator >= 4
        is_compound[meter.bar :] = compound
        beat_steps[meter.bar :] = 3 * meter.bar_steps // meter.numerator if compound else STEPS_PER_BEAT
    starts = score.bar_starts if score.num_bars else np.array([0, 4 * STEPS_PER_BEAT])
    return _Meter(starts, np.maximum(beat_steps, 1), is_compound)


def _line(notes: NDArray[np.void], meter: _Meter) -> _Line:
    onset = notes["onset_step"].astype(np.int64)
    bar = meter.bar_of(onset)
    duration = np.minimum(notes["duration_step"].astype(np.int64), 2 * _LONGEST_STEPS)
    return _Line(onset, onset + duration, notes["pitch"].astype(np.int64), bar, meter.division_of(onset, bar))


def _do(regions: tuple[KeyRegion, ...], bar: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pitch class of do (the tonic of the key signature's major key) in each bar."""
    starts = np.array([region.bar for region in regions])
    do = np.array([(region.key.tonic + 3 * region.key.is_minor) % 12 for region in regions])
    return do[np.searchsorted(starts, bar, side="right") - 1]


def _is_minor(regions: tuple[KeyRegion, ...], bar: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the key of each bar is minor."""
    starts = np.array([region.bar for region in regions])
    return np.array([region.key.is_minor for region in regions])[np.searchsorted(starts, bar, side="right") - 1]


def _melody_features(melody: _Line, meter: _Meter, do: NDArray[np.int64], is_minor: NDArray[np.bool_]) -> list[float]:
    onset, end, pitch, bar, division = melody
    interval = np.diff(pitch)
    size = np.abs(interval)
    direction = np.sign(interval)
    is_leap = size > 2
    length = np.minimum(np.diff(onset), _LONGEST_STEPS)
    log_length = np.log2(length / STEPS_PER_BEAT)
    length_shares = np.bincount(np.searchsorted(_LENGTH_EDGES, length), minlength=7) / len(length)
    ratio = np.diff(log_length)
    rest = onset[1:] - end[:-1]
    is_phrase_end = np.append((rest >= _REST_STEPS) | (length >= _LONG_STEPS), True)
    beat_steps = meter.beat_steps[bar]
    until_beat = beat_steps - (onset - meter.starts[bar]) % beat_steps
    until_bar = meter.starts[bar + 1] - onset
    following = np.append(onset[1:], np.int64(2**40))
    is_held = (division > 0) & (following > onset + until_beat) & (end > onset + until_beat)
    over_bar = (following > onset + until_bar) & (end > onset + until_bar)
    struck = np.unique(bar[onset == meter.starts[bar]])
    sung_bars = np.unique(bar)
    beats = np.unique(bar * 64 + (onset - meter.starts[bar]) // beat_steps)
    on_beat = (onset - meter.starts[bar]) % beat_steps == 0
    degree = (pitch - do) % 12
    degrees = np.bincount(degree, minlength=12) / len(degree)
    tonic = (do - 3 * is_minor) % 12
    codes = np.clip(interval, -13, 13) + 13
    rhythm = np.searchsorted(_LENGTH_EDGES, length)
    same_rhythm, same_bar = _bar_repeats(melody, meter)
    return [
        mean(size == 0),
        mean(size == 1),
        mean(size == 2),
        mean((size == 3) | (size == 4)),
        mean(size == 5),
        mean((size == 6) | (size == 7)),
        mean((size > 7) & (size < 12)),
        mean(size >= 12),
        mean(direction[is_leap] > 0),
        mean(direction[1:] * direction[:-1] < 0),
        mean(is_leap[1:] & is_leap[:-1] & (direction[1:] == direction[:-1])),
        float(np.subtract(*np.percentile(pitch, [95, 5]))),
        float(2 ** log_length.mean()),
        float(log_length.std()),
        *length_shares.tolist(),
        mean(np.abs(ratio) < 0.4),
        mean((ratio < -0.8) & (ratio > -1.3)),
        mean(ratio <= -1.3),
        mean((ratio > 0.8) & (ratio < 1.3)),
        mean(ratio >= 1.3),
        mean(division == 0),
        mean(division == 1),
        mean(division == 2),
        mean(division == 3),
        len(struck) / len(sung_bars),
        len(np.unique((bar * 64 + (onset - meter.starts[bar]) // beat_steps)[on_beat])) / len(beats),
        mean(is_held),
        mean(over_bar),
        mean(rest >= _REST_STEPS),
        mean(is_phrase_end[:-1]),
        min(len(onset) / int(is_phrase_end.sum()), _MEMORY),
        _recent_share(codes[:-2] * 729 + codes[1:-1] * 27 + codes[2:]),
        _recent_share(rhythm[:-2] * 49 + rhythm[1:-1] * 7 + rhythm[2:]),
        same_rhythm,
        same_bar,
        *degrees.tolist(),
        mean(~_SCALE[degree]),
        mean(_PENTATONIC[degree]),
        mean((pitch % 12 == tonic)[is_phrase_end]),
        mean(is_minor),
        mean((pitch[2:] == pitch[:-2]) & (interval[1:] != 0)),
        mean(direction[(size == 1) | (size == 2)] < 0),
        float(np.minimum(size, 12).mean()),
        *_phrase_features(melody, meter, is_phrase_end, (pitch - tonic) % 12),
        _difference(log_length, (division == 0)[:-1]),
        _difference(log_length, (onset == meter.starts[bar])[:-1]),
        mean(_TRIADS[is_minor.astype(int), (pitch - tonic) % 12]),
    ]  # fmt: skip


def _phrase_features(melody: _Line, meter: _Meter, is_end: NDArray[np.bool_], degree: NDArray[np.int64]) -> list[float]:
    """Return how phrases (up to a rest or a long note) end, begin and follow each other."""
    ends = np.flatnonzero(is_end)
    ends = ends[ends > 0]
    last = np.diff(melody.pitch)[ends - 1]
    starts = np.append(0, np.flatnonzero(is_end[:-1]) + 1)
    bar = melody.bar[starts]
    in_bar = melody.onset[starts] - meter.starts[bar]
    bar_steps = meter.starts[bar + 1] - meter.starts[bar]
    spans = np.diff(melody.onset[starts])
    alike = np.zeros(len(spans), dtype=bool)
    for lag in range(1, min(2, len(spans) - 1) + 1):
        alike[lag:] |= np.abs(spans[lag:] - spans[:-lag]) <= STEPS_PER_BEAT // 2
    return [
        mean(degree[ends] == 7),
        mean(degree[ends] == 2),
        mean((last == -1) | (last == -2)),
        mean(last == 1),
        mean(last == 0),
        mean(2 * in_bar >= bar_steps),
        float(np.log2(np.clip(np.median(spans), 12, 768) / STEPS_PER_BEAT)) if len(spans) else np.nan,
        mean(alike[1:]),
    ]


def _difference(values: NDArray[np.float64], is_one: NDArray[np.bool_]) -> float:
    """Return the mean of some values minus that of the others; NaN where either has none."""
    return mean(values[is_one]) - mean(values[~is_one])


def _harmony_features(
    changes: tuple[ChordChange, ...], melody: _Line, meter: _Meter, regions: tuple[KeyRegion, ...]
) -> list[float]:
    if not changes:
        return [np.nan] * len(HARMONY_FEATURES)
    names = list(QUALITIES)
    onset = np.array([change.onset_step for change in changes], dtype=np.int64)
    root = np.array([change.chord.root for change in changes])
    bass = np.array([change.chord.bass for change in changes])
    quality = np.array([names.index(change.chord.quality) for change in changes])
    bar = meter.bar_of(onset)
    length = np.diff(onset, append=max(int(meter.starts[-1]), int(onset[-1]) + 1)).astype(np.float64)
    weight = length / length.sum()
    degree = (root - _do(regions, bar)) % 12
    motion = np.diff(root) % 12
    owner = np.searchsorted(onset, melody.onset, side="right") - 1
    tones = _CHORD_TONES[quality]
    is_tone = tones[owner, (melody.pitch - root[owner]) % 12][owner >= 0]
    in_scale = _SCALE[(degree[:, None] + np.arange(12)) % 12]
    return [
        *np.bincount(_QUALITY_CLASS[quality], weight, len(CHORD_CLASSES)).tolist(),
        *np.bincount(degree, weight, 12).tolist(),
        mean(motion == 5),
        mean(motion == 7),
        mean(np.isin(motion, (1, 2, 10, 11))),
        mean(np.isin(motion, (3, 4, 8, 9))),
        float(weight @ (bass != root)),
        float(weight @ ((quality == names.index("7")) & (degree != 7))),
        (len(changes) - 1) / (length.sum() / (4 * STEPS_PER_BEAT)),
        mean((onset == meter.starts[bar])[1:]),
        mean(is_tone),
        float(weight @ ((tones & ~in_scale).sum(axis=1) / tones.sum(axis=1))),
    ]


def _accompaniment_features(notes: _Line, melody: _Line, meter: _Meter) -> list[float]:
    strikes, first, count = np.unique(notes.onset, return_index=True, return_counts=True)
    bar, division = notes.bar[first], notes.division[first]
    played_bars = np.unique(bar)
    played_quarters = (meter.starts[played_bars + 1] - meter.starts[played_bars]).sum() / STEPS_PER_BEAT
    gap = np.minimum(np.diff(strikes), _LONGEST_STEPS)
    bass = notes.pitch[first]  # the lowest of each strike, as notes are sorted
    is_low = bass <= np.median(bass)
    low = bass[is_low]
    move = np.abs(np.diff(low))
    shared = np.isin(melody.onset, strikes)
    at = np.searchsorted(melody.onset, notes.onset, side="right") - 1
    under = (at >= 0) & (melody.end[at] > notes.onset)
    below = (melody.pitch[at] - notes.pitch)[under]
    key = notes.onset * 12 + notes.pitch % 12
    is_doubled = np.isin(melody.onset * 12 + melody.pitch % 12, key)
    digest = np.bitwise_xor.reduceat(_mix(notes.pitch), first)
    single = count == 1
    pairs = single[1:] & single[:-1]
    same_rhythm, same_bar = _bar_repeats(notes, meter, bars_back=1)
    beats = np.unique(bar * 64 + (strikes - meter.starts[bar]) // meter.beat_steps[bar])
    beat_count = (np.diff(meter.starts)[played_bars] / meter.beat_steps[played_bars]).sum()
    return [
        len(strikes) / played_quarters,
        float(count.mean()),
        mean(single),
        float((notes.end - notes.onset).sum() / STEPS_PER_BEAT / played_quarters),
        mean(shared),
        float(np.isin(strikes, melody.onset).mean()),
        mean(is_doubled),
        mean(division == 0),
        mean(division == 1),
        mean(division == 2),
        mean(division == 3),
        mean(gap[1:] == gap[:-1]),
        len(beats) / beat_count,
        mean(digest[1:] == digest[:-1]),
        mean((np.abs(np.diff(bass)) > 2)[pairs]),
        mean(below < 0),
        mean(below),
        float(melody.pitch.mean() - low.mean()),
        mean(move == 0),
        mean((move == 1) | (move == 2)),
        mean((move == 5) | (move == 7)),
        mean(move == 12),
        len(low) / played_quarters,
        same_rhythm,
        same_bar,
    ]


def _block_share(notes: NDArray[np.void]) -> float:
    """Return the share of strikes of three and more notes that also end together."""
    onset = notes["onset_step"].astype(np.int64)
    end = onset + notes["duration_step"]
    _, first, count = np.unique(onset, return_index=True, return_counts=True)
    together = np.maximum.reduceat(end, first) == np.minimum.reduceat(end, first)
    return mean(together & (count >= 3))


def _bar_repeats(notes: _Line, meter: _Meter, *, bars_back: int = 2) -> tuple[float, float]:
    """Return the shares of bars with notes that repeat the rhythm of one of the last bars, and all of one of four."""
    bars, first = np.unique(notes.bar, return_index=True)
    place = notes.onset - meter.starts[notes.bar]
    is_new = np.append(True, np.diff(notes.onset) != 0)
    rhythm = np.add.reduceat(np.where(is_new, _mix(place), 0), first)
    content = np.add.reduceat(_mix(place * 128 + notes.pitch), first)
    return _near_share(bars, rhythm, bars_back), _near_share(bars, content, 4)


def _near_share(bars: NDArray[np.int64], digest: NDArray[np.int64], bars_back: int) -> float:
    """Return the share of bars (but the first) whose digest one of the `bars_back` bars before has."""
    found = np.zeros(len(bars), dtype=bool)
    for lag in range(1, min(bars_back, len(bars) - 1) + 1):
        found[lag:] |= (digest[lag:] == digest[:-lag]) & (bars[lag:] - bars[:-lag] <= bars_back)
    return mean(found[1:])


def _recent_share(codes: NDArray[np.int64]) -> float:
    """Return the share of codes (from the eighth on) that occur among the _MEMORY before."""
    found = np.zeros(len(codes), dtype=bool)
    for lag in range(1, min(_MEMORY, len(codes) - 1) + 1):
        found[lag:] |= codes[lag:] == codes[:-lag]
    return mean(found[8:])


def _mix(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return well-spread 62-bit numbers for small ones, so that sums of them tell sets apart."""
    mixed = (values.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(2)).astype(np.int64)
