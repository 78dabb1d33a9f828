"""The field's own metrics of one piece, by their names and definitions, so that published tables can be compared.

MusPy's [1]_ and MusDr's [2]_; those of mgeval are `mgeval`'s. Each follows the authors' code, oddities included; what
`analysis.features` measures under a similar name differs, and how is said here:

==========================  ==============================  ========================================================
published                   ours                            difference
==========================  ==============================  ========================================================
MusPy polyphony             polyphony                       MusPy: distinct pitches; ours: notes
MusPy pitch_class_entropy   pitch_class_entropy (a bar)     MusPy: of the whole piece
MusPy groove_consistency    groove                          MusPy: neighbouring bars on the file's own grid, nearly 1
                                                            for all music; ours: all pairs of bars in sixteenths
MusPy pitch_in_scale_rate   melody_in_key                   MusPy: all notes; ours: the melody
MusDr H1, H4                pitch_class_entropy (_4)        none
MusDr GS                    groove                          MusDr: 64 places a bar of 4/4; ours: 16
MusDr CPI                   chord_trigram_irregularity      MusDr: bass counts too, the last trigram does not
==========================  ==============================  ========================================================

MusDr's structureness indicator (SI) is left out: it works on sound (fitness scape plots of recordings).

References
----------
.. [1] H.-W. Dong, K. Chen, J. McAuley and T. Berg-Kirkpatrick, "MusPy: A toolkit for symbolic music generation",
   ISMIR 2020 (version 0.5.0).
.. [2] S.-L. Wu and Y.-H. Yang, "The Jazz Transformer on the front line", ISMIR 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.averages import entropy, mean, ratio
from songwright.evaluation.mgeval import mgeval_means
from songwright.score.elements import Score
from songwright.score.grid import STEPS_PER_BEAT
from songwright.score.grid_score import GridScore
from songwright.score.lead_sheet import ChordChange
from songwright.score.pitch import Key

_SCALES = np.array([[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10]])  # major, natural minor
_MUSDR_PLACES = 16  # a quarter note

_Columns = NDArray[np.int64]  # onset, end, pitch of notes: shape (3, num_notes)


def published_metrics(
    grid: GridScore, *, key: Key | None = None, chords: Sequence[ChordChange] = ()
) -> dict[str, dict[str, float | None]]:
    """Return the field's metrics of a piece by family, None where one is undefined.

    Parameters
    ----------
    grid : GridScore
        Any metre; what needs bars of one length is undefined where the metre changes.
    key : Key, optional
        For MusPy's `pitch_in_scale_rate`.
    chords : sequence of ChordChange
        For MusDr's CPI.

    Returns
    -------
    dict
        "MusPy", "MusDr", "mgeval" -> name -> value.
    """
    families = {
        "MusPy": muspy_metrics(grid, key),
        "MusDr": musdr_metrics(grid, chords),
        "mgeval": mgeval_means(grid),
    }
    return {
        family: {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        for family, metrics in families.items()
    }


def muspy_metrics(music: Score | GridScore, key: Key | None = None) -> dict[str, float]:
    """Return MusPy's metrics, NaN where undefined.

    Parameters
    ----------
    music : Score or GridScore
        In ticks, the values are those of `muspy.read_midi` (which counts pedal changes after the last note into the
        length of a piece); on the grid, those of the same notes at 12 steps a quarter.
    key : Key, optional
        Its scale is the one of `pitch_in_scale_rate`.

    Returns
    -------
    dict
        pitch_range : highest - lowest pitch.
        n_pitches_used, n_pitch_classes_used : distinct ones.
        polyphony : mean number of pitches sounding where any sounds.
        polyphony_rate : share of the time in which more than two pitches sound.
        pitch_in_scale_rate : share of notes in the scale of the key.
        scale_consistency : highest such share over all major and natural minor scales.
        pitch_entropy, pitch_class_entropy : of all notes, bits.
        empty_beat_rate, empty_measure_rate : share of quarter notes, of bars, that no note touches; a note that ends
            where one starts touches it. Drums count here and in the next.
        groove_consistency : share of steps of the bar on which neighbouring bars agree about having an onset.
    """
    if isinstance(music, Score):
        resolution = music.ticks_per_quarter
        first = music.time_signatures[0] if music.time_signatures else None
        quarters = 4 * first.numerator / first.denominator if first else 4.0
        bar = round(resolution * quarters)
        is_regular = len({(one.numerator, one.denominator) for one in music.time_signatures}) < 2
        tracks = [
            (track.is_drum, track.notes["onset_tick"], track.notes["duration_tick"], track.notes["pitch"])
            for track in music.tracks
        ]
    else:
        resolution, bar = STEPS_PER_BEAT, music.meters[0].bar_steps
        is_regular = len({(one.numerator, one.denominator) for one in music.meters}) == 1
        tracks = [
            (track.is_drum, track.notes["onset_step"], track.notes["duration_step"], track.notes["pitch"])
            for track in music.tracks
        ]
    pitched, every = (_columns([track for track in tracks if with_drums or not track[0]]) for with_drums in (0, 1))
    length = int(every[1].max(initial=0))
    counts = np.bincount(pitched[2], minlength=128)
    chroma = np.bincount(pitched[2] % 12, minlength=12)
    in_scale = [float(chroma[(scale + root) % 12].sum()) for scale in _SCALES for root in range(12)]
    polyphony, polyphony_rate = _polyphony(pitched, length)
    return {
        "pitch_range": float(np.ptp(pitched[2])) if pitched.size else 0.0,
        "n_pitches_used": float(np.count_nonzero(counts)),
        "n_pitch_classes_used": float(np.count_nonzero(chroma)),
        "polyphony": polyphony,
        "polyphony_rate": polyphony_rate,
        "pitch_in_scale_rate": ratio(in_scale[12 * key.is_minor + key.tonic], chroma.sum()) if key else math.nan,
        "scale_consistency": ratio(max(in_scale), chroma.sum()),
        "pitch_entropy": float(entropy(counts)),
        "pitch_class_entropy": float(entropy(chroma)),
        "empty_beat_rate": _empty_share(every, length, resolution),
        "empty_measure_rate": _empty_share(every, length, bar) if is_regular else math.nan,
        "groove_consistency": _groove_consistency(every[0], length, bar) if is_regular else math.nan,
    }


def musdr_metrics(grid: GridScore, chords: Sequence[ChordChange] = ()) -> dict[str, float]:
    """Return MusDr's symbolic metrics, NaN where undefined.

    Parameters
    ----------
    grid : GridScore
    chords : sequence of ChordChange
        Chord symbols; CPI is undefined without.

    Returns
    -------
    dict
        H1, H4 : entropy, in bits, of the pitch classes that start in a window of one bar, of four (of the whole piece
            where it is shorter); mean over windows with notes.
        GS : share of the places of a bar on which two bars agree about having an onset, mean over all pairs of bars
            (the authors' code draws 1,000 pairs where there are more).
        CPI : distinct ÷ all successions of three chords; as in the authors' code the last one is left out, and three
            chords or fewer give 1.
    """
    starts, notes = grid.bar_starts, grid.notes_of()
    onset, num_bars = notes["onset_step"].astype(np.int64), grid.num_bars
    if not len(notes) or not num_bars:
        return {"H1": math.nan, "H4": math.nan, "GS": math.nan, "CPI": _irregularity(chords)}
    bar = np.minimum(np.searchsorted(starts, onset, side="right") - 1, num_bars - 1)
    histogram = np.bincount(bar * 12 + notes["pitch"] % 12, minlength=num_bars * 12).reshape(num_bars, 12)
    entropies = {}
    for name, size in (("H1", 1), ("H4", 4)):
        windows = np.lib.stride_tricks.sliding_window_view(histogram, min(size, num_bars), axis=0).sum(axis=-1)
        entropies[name] = mean(entropy(windows[windows.any(axis=1)]))
    groove = math.nan
    if num_bars > 1 and len({(meter.numerator, meter.denominator) for meter in grid.meters}) == 1:
        num_places = max(grid.meters[0].bar_steps * _MUSDR_PLACES // STEPS_PER_BEAT, 1)
        places = np.rint((onset - starts[bar]) * _MUSDR_PLACES / STEPS_PER_BEAT).astype(np.int64)
        has_onset = np.zeros((num_bars, num_places))
        has_onset[bar, np.minimum(places, num_places - 1)] = 1
        count = has_onset.sum(axis=1)
        differing = count[:, None] + count - 2 * has_onset @ has_onset.T
        groove = float(1 - differing.sum() / (num_bars * (num_bars - 1) * num_places))
    return {**entropies, "GS": groove, "CPI": _irregularity(chords)}


def _irregularity(chords: Sequence[ChordChange]) -> float:
    if not chords:
        return math.nan
    symbols = [change.chord for change in chords]
    num_trigrams = len(symbols) - 3
    if num_trigrams <= 0:
        return 1.0
    return len({tuple(symbols[place : place + 3]) for place in range(num_trigrams)}) / num_trigrams


def _columns(tracks: Sequence[tuple[bool, NDArray[np.void], NDArray[np.void], NDArray[np.void]]]) -> _Columns:
    if not tracks:
        return np.empty((3, 0), dtype=np.int64)
    onset, duration, pitch = (
        np.concatenate([track[place] for track in tracks]).astype(np.int64) for place in (1, 2, 3)
    )
    return np.stack([onset, onset + duration, pitch])


def _polyphony(notes: _Columns, length: int) -> tuple[float, float]:
    """Return the mean number of pitches where any sounds, and the share of `length` in which more than two do."""
    if not length:
        return math.nan, math.nan
    if not notes.size:
        return math.nan, 0.0
    # Notes of one pitch that overlap are one; pitches are set apart by more than any time.
    apart = length + 1
    onset, end = notes[:, np.lexsort((notes[0], notes[2]))][:2] + np.sort(notes[2]) * apart
    reach = np.maximum.accumulate(end)
    is_new = np.append(True, onset[1:] > reach[:-1])
    onset, end = onset[is_new] % apart, reach[np.append(is_new[1:], True)] % apart
    times, place = np.unique(np.concatenate([onset, end]), return_inverse=True)
    change = np.bincount(place, np.repeat([1.0, -1.0], len(onset)), len(times))
    sounding, lasting = np.cumsum(change)[:-1].round(), np.diff(times)
    return ratio((sounding * lasting).sum(), lasting[sounding > 0].sum()), lasting[sounding > 2].sum() / length


def _empty_share(notes: _Columns, length: int, unit: int) -> float:
    if not length:
        return math.nan
    first, last = np.sort(notes[0]) // unit, notes[1][np.argsort(notes[0])] // unit
    reach = np.maximum.accumulate(last)
    num_touched = np.maximum(reach - np.maximum(np.append(-1, reach[:-1]), first - 1), 0).sum()
    return float(1 - num_touched / (length // unit + 1))


def _groove_consistency(onset: NDArray[np.int64], length: int, bar: int) -> float:
    num_bars = length // bar + 1
    if num_bars < 2:
        return math.nan
    places = np.unique(onset)
    num_ended = np.count_nonzero(places < bar) + np.count_nonzero(places >= bar * (num_bars - 1))  # with one neighbour
    num_shared = np.count_nonzero(np.isin(places + bar, places))
    return float(1 - (2 * len(places) - num_ended - 2 * num_shared) / (bar * (num_bars - 1)))
