"""Where the bar lines fall among known beats: metrical features and a bar-pointer model.

Knows how downbeats sound: notes counted on a fine pulse give features (bass attacks, harmonic change, long notes,
entries of instruments …), a small learned network turns those around a beat into the odds of a downbeat, and a
Viterbi search over the position in the bar joins them, so that a stray short bar is possible at a cost. Finding the
pulse itself is `analysis.beats`'s. The weights are learned on the training split of POP909 by `benchmarks/beats.py
--fit`.

Units: a *pulse* is a quarter note divided by `division` (4: sixteenths, 6: triplet sixteenths).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from songwright.analysis.weights import stored_arrays

FEATURES = (
    "attacks", "loudness", "bass", "bass_length", "bass_depth", "bass_change", "change_1", "change_2", "change_4",
    "change_16", "held", "longest", "melody", "melody_length", "melody_gap", "density_change", "bass_tonic",
    "bass_fifth", "bass_gap", "lowest_of_bar", "melody_rest", "melody_entry", "thick", "entry", "rhythm_repeats",
)  # fmt: skip
"""Names of the columns of `pulse_features`."""

TAPS = (-4, -3, -2, -1.5, -1, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4)
"""Where around a beat the network looks, in quarters."""

# General MIDI percussion: kicks, snares with claps and side sticks, crashes.
_KICKS, _SNARES, _CRASHES = (35, 36), (37, 38, 39, 40), (49, 52, 55, 57)
# POP909 has no drums, so that these are set by hand: nats for a kick on the downbeat and two quarters later, for a
# snare one and three quarters later, for a crash on the downbeat.
_KICK_NATS, _BACKBEAT_NATS, _CRASH_NATS = 0.6, 0.4, 1.0


class PulseNotes(NamedTuple):
    """Notes on the pulse, all of one length: what the features are computed from.

    `onset` whole pulses from 0, `duration` pulses, `pitch`, `velocity`, `track` index, `is_melody`, `is_drum`.
    """

    onset: NDArray[np.int64]
    duration: NDArray[np.float64]
    pitch: NDArray[np.int64]
    velocity: NDArray[np.float64]
    track: NDArray[np.int64]
    is_melody: NDArray[np.bool_]
    is_drum: NDArray[np.bool_]


class Bars(NamedTuple):
    """Bar lines among beats.

    `starts` holds the beat at which each bar starts, `beats_per_bar` the usual length; `nats` is the score of the path
    and `margin` what it leads the best path shifted by whole beats by, in nats a bar.
    """

    starts: NDArray[np.int64]
    beats_per_bar: int
    nats: float
    margin: float


def _next_gap(index: NDArray[np.int64], num_pulses: int, longest: int) -> NDArray[np.int64]:
    """Return the pulses from each onset to the next, at most `longest`."""
    return np.minimum(np.diff(index, append=num_pulses), longest)


def pulse_features(notes: PulseNotes, num_pulses: int, division: int) -> NDArray[np.float32]:
    """Return what happens at each pulse, shape (num_pulses, len(FEATURES))."""
    quarter, bar, num = division, 4 * division, num_pulses
    features = np.zeros((len(FEATURES), num), dtype=np.float32)
    column: dict[str, NDArray[np.float32]] = dict(zip(FEATURES, features, strict=True))
    pitched = ~notes.is_drum
    onset, pitch, track = notes.onset[pitched], notes.pitch[pitched], notes.track[pitched]
    if not len(onset):
        return features.T
    duration, velocity = notes.duration[pitched], notes.velocity[pitched]
    melody = np.unique(notes.onset[notes.is_melody & pitched])

    attacks = np.bincount(onset, minlength=num).astype(np.float32)
    is_attack = attacks > 0
    column["attacks"][:] = np.log1p(attacks)
    mean_velocity = np.bincount(onset, velocity, num)[is_attack] / attacks[is_attack]
    spread = max(float(mean_velocity.std()), 4.0)
    column["loudness"][is_attack] = np.clip((mean_velocity - mean_velocity.mean()) / spread, -2, 2)
    column["thick"][:] = attacks >= 4

    # Bass: attacks that are (nearly) the lowest within a quarter on either side.
    order = np.argsort(onset * 128 + pitch, kind="stable")
    first = order[np.diff(onset[order], prepend=-1) > 0]
    low = np.full(num + 2 * bar, 128, dtype=np.int16)
    low[bar + onset[first]] = pitch[first]
    near = sliding_window_view(low, 2 * quarter + 1).min(axis=1)[bar - quarter : bar - quarter + num]
    wide = sliding_window_view(near, 2 * bar - 2 * quarter + 1).min(axis=1)
    wide = np.pad(wide, bar - quarter, mode="edge")[:num] if len(wide) else near
    low = low[bar : bar + num]
    bass = np.flatnonzero(is_attack & (low <= near + 1))
    bass_class = low[bass].astype(np.int64) % 12
    gap = _next_gap(bass, num, bar)
    column["bass"][bass] = 1
    column["bass_length"][bass] = gap / bar
    column["bass_depth"][bass] = np.clip((np.median(low[bass]) - low[bass]) / 12, -1.5, 1.5)
    column["bass_change"][bass[1:]] = bass_class[1:] != bass_class[:-1]
    column["bass_fifth"][bass[1:]] = (bass_class[:-1] - bass_class[1:]) % 12 == 7
    column["bass_gap"][bass[1:]] = gap[:-1] / bar
    weight = np.bincount(bass_class, gap, 12)
    column["bass_tonic"][bass] = (weight / weight.max())[bass_class]
    column["lowest_of_bar"][:] = is_attack & (low <= wide)

    # Harmony: pitch classes sounding before and after each pulse. A note counts for a bar at most, like a pedal.
    offset = np.minimum(onset + np.clip(np.rint(duration), 1, bar).astype(np.int64), num)
    size = (num + 1) * 12
    pitch_class = pitch % 12
    change = np.bincount(onset * 12 + pitch_class, minlength=size) - np.bincount(
        offset * 12 + pitch_class, minlength=size
    )
    sounding = np.cumsum(change.reshape(num + 1, 12), axis=0)[:num]
    total = np.zeros((num + 1, 12))
    np.cumsum(np.sqrt(np.maximum(sounding, 0)), axis=0, out=total[1:])
    pulses = np.arange(num)
    for quarters in (1, 2, 4, 16):
        reach = quarters * quarter
        before = total[:num] - total[np.maximum(pulses - reach, 0)]
        after = total[np.minimum(pulses + reach, num)] - total[:num]
        length = np.sqrt(np.einsum("tc,tc->t", before, before) * np.einsum("tc,tc->t", after, after))
        column[f"change_{quarters}"][:] = 1 - np.einsum("tc,tc->t", before, after) / np.maximum(length, 1e-9)
    num_sounding = np.maximum(sounding.sum(axis=1), 1)
    column["held"][:] = np.clip((num_sounding - attacks) / num_sounding, 0, 1)
    np.maximum.at(column["longest"], onset, (np.minimum(duration, bar) / bar).astype(np.float32))

    if len(melody):
        gap = _next_gap(melody, num, bar)
        column["melody"][melody] = 1
        column["melody_length"][melody] = gap / bar
        column["melody_gap"][melody[1:]] = gap[:-1] / bar
        column["melody_rest"][melody] = gap >= 2 * quarter
        column["melody_entry"][melody[1:]] = gap[:-1] >= 2 * quarter

    running = np.concatenate([[0], np.cumsum(attacks)])
    before = running[:num] - running[np.maximum(pulses - 2 * bar, 0)]
    after = running[np.minimum(pulses + 2 * bar, num)] - running[:num]
    column["density_change"][:] = np.abs(after - before) / np.maximum(after + before, 1)

    key = np.unique(track * np.int64(num) + onset)
    at, of = key % num, key // num
    rests = np.diff(at, prepend=-num) >= 2 * bar
    is_entry = rests | (np.diff(of, prepend=-1) != 0)
    column["entry"][:] = np.bincount(at[is_entry], minlength=num)

    size = np.minimum(attacks, 3)
    both = np.zeros(num + 1)
    np.cumsum(np.concatenate([np.zeros(min(bar, num)), size[bar:] * size[:-bar]]), out=both[1:])
    power = np.concatenate([[0], np.cumsum(size * size)])
    end, start = np.minimum(pulses + bar, num), np.maximum(pulses - bar, 0)
    norm = (power[end] - power[:num]) * (power[np.minimum(start + bar, num)] - power[start])
    column["rhythm_repeats"][:] = (both[end] - both[:num]) / np.maximum(np.sqrt(norm), 1)
    return features.T


@cache
def _weights() -> dict[str, NDArray[np.float32]]:
    return stored_arrays("meter")


# Which of the pulses of a quarter is the beat: weights of the sums over the piece of some features at the beat and at
# the half beat (columns), learned as the rest.
_BEAT_WEIGHTS = {
    "attacks": (0.52, 0.45),
    "bass": (2.91, -0.37),
    "bass_length": (9.59, -5.03),
    "change_1": (8.28, -5.79),
    "held": (-1.85, 0.03),
    "longest": (7.99, -3.93),
    "melody": (1.39, 0.56),
    "thick": (2.61, -0.9),
    "bass_change": (5.72, -2.92),
}


def beat_phase_scores(features: NDArray[np.float32], division: int) -> NDArray[np.float64]:
    """Return how well each of the `division` pulses of a quarter serves as the beat, shape (division,), in nats."""
    columns = [FEATURES.index(name) for name in _BEAT_WEIGHTS]
    weights = np.array(list(_BEAT_WEIGHTS.values()))
    whole = len(features) // division * division
    folded = features[:whole, columns].reshape(-1, division, len(columns))
    has_notes = folded[:, :, 0].any(axis=1)
    mean = folded[has_notes].mean(axis=0) if has_notes.any() else np.zeros(folded.shape[1:])
    return mean @ weights[:, 0] + np.roll(mean, -(division // 2), axis=0) @ weights[:, 1]


def tap_features(features: NDArray[np.float32], beats: NDArray[np.int64], division: int) -> NDArray[np.float32]:
    """Return the features around each beat (given as a pulse), shape (num_beats, len(TAPS) * len(FEATURES))."""
    reach = int(TAPS[-1]) * division
    padded = np.zeros((len(features) + 2 * reach, len(FEATURES)), dtype=np.float32)
    padded[reach : reach + len(features)] = features
    taps = np.rint(np.array(TAPS) * division).astype(np.int64)
    return padded[beats[:, None] + (reach + taps)].reshape(len(beats), -1)


def downbeat_scores(
    features: NDArray[np.float32], notes: PulseNotes, beats: NDArray[np.int64], division: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each beat (given as a pulse) the nats for a downbeat and for a bar ending early before it."""
    model = _weights()
    inputs = tap_features(features, beats, division)
    hidden = np.maximum(inputs @ model["hidden_weight"] + model["hidden_bias"], 0)
    scores = (hidden @ model["out_weight"] + model["out_bias"]).astype(np.float64)
    downbeat = scores[:, 0] + inputs @ model["skip_weight"]
    return downbeat + _drum_scores(notes, beats, len(features), division), scores[:, 1]


def _drum_scores(notes: PulseNotes, beats: NDArray[np.int64], num_pulses: int, division: int) -> NDArray[np.float64]:
    """Return the nats that drums give a downbeat at each beat, 0 on average."""
    if not notes.is_drum.any():
        return np.zeros(len(beats))
    onset, pitch = notes.onset[notes.is_drum], notes.pitch[notes.is_drum]
    at = beats[:, None] + division * np.arange(4)

    def hits(keys: tuple[int, ...]) -> NDArray[np.bool_]:
        hit = np.zeros(num_pulses + 4 * division, dtype=bool)
        hit[onset[np.isin(pitch, keys)]] = True
        return hit[at]

    kick, snare, crash = hits(_KICKS), hits(_SNARES), hits(_CRASHES)
    scores = _KICK_NATS * (kick[:, 0] * 1.0 + kick[:, 2]) + _CRASH_NATS * crash[:, 0]
    scores += _BACKBEAT_NATS * (snare[:, 1] * 1.0 + snare[:, 3] - snare[:, 0] - snare[:, 2])
    return scores - scores.mean()


def find_bars(downbeat: NDArray[np.float64], ends_early: NDArray[np.float64]) -> Bars:
    """Return the likeliest bar lines, of the likelier of four and three beats a bar."""
    model = _weights()
    found: list[Bars] = []
    for beats_per_bar, jump, prior in ((4, model["jump_4"], 0.0), (3, model["jump_3"], float(model["prior_3"]))):
        starts, nats = _best_path(downbeat, ends_early, beats_per_bar, jump.tolist())
        found.append(Bars(starts, beats_per_bar, nats + prior, bars_margin(downbeat, starts, beats_per_bar)))
    return max(found, key=lambda bars: bars.nats)


def _best_path(
    downbeat: NDArray[np.float64], ends_early: NDArray[np.float64], beats_per_bar: int, jump: list[float]
) -> tuple[NDArray[np.int64], float]:
    """Return the beats where bars start on the best path, and its score.

    The state is the beat in the bar; `jump[state]` is the score of a bar that ends after that beat already.
    """
    last = beats_per_bar - 1
    values = [0.0] * beats_per_bar
    come_from: list[int] = []
    for downbeat_nats, early_nats in zip(downbeat.tolist(), ends_early.tolist(), strict=True):
        best, state = values[last], last
        for early in range(last):
            if (value := values[early] + jump[early] + early_nats) > best:
                best, state = value, early
        come_from.append(state)
        values = [best + downbeat_nats, *values[:last]]
    state = max(range(beats_per_bar), key=values.__getitem__)
    nats = values[state]
    starts: list[int] = []
    beat = len(come_from) - 1 - state
    while beat >= 0:
        starts.append(beat)
        beat -= come_from[beat] + 1
    return np.array(starts[::-1], dtype=np.int64), nats


def bars_margin(downbeat: NDArray[np.float64], starts: NDArray[np.int64], beats_per_bar: int) -> float:
    """Return how far bar lines lead the same moved by whole beats, in nats a bar (negative: moved ones fit better)."""
    inside = starts[starts + beats_per_bar <= len(downbeat)]
    if not len(inside):
        return 0.0
    means = [float(downbeat[inside + shift].mean()) for shift in range(beats_per_bar)]
    return means[0] - max(means[1:])
