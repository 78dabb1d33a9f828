"""Requested against achieved: what was asked of a song, and what its notes are found to be.

Achieved values come from the notes and the tempo map of the file, by the same finders that read any music: never from
what the song says about itself. Where a control is a plan (form), both are said: what was planned, and what is heard.

Finders err, on real music too. The tolerances of form and chords are therefore what nine in ten real songs reach when
their human labels are the request: 210 training songs of POP909, every third, boundaries F .740 (mean .880), letters F
.704 (mean .887), chords .758 (mean .861); `benchmarks/adherence.py --tolerances`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from songwright.analysis.beats import find_beats
from songwright.analysis.chords import find_chords
from songwright.analysis.keys import KeyRegion, find_keys
from songwright.analysis.phrases import find_phrases
from songwright.analysis.roles import track_roles
from songwright.evaluation.agreement import (
    boundary_agreement,
    chord_agreement,
    key_relation,
    key_score,
    letter_agreement,
)
from songwright.evaluation.reading import JudgedSong
from songwright.evaluation.requests import (
    PROGRAM_NAMES,
    read_chords,
    read_instruments,
    read_meter,
    read_number,
    read_pitches,
)
from songwright.score.elements import Score, TimeSignature
from songwright.score.grid import STEPS_PER_BEAT
from songwright.score.grid_score import Meter
from songwright.score.lead_sheet import ChordChange, Form
from songwright.score.pitch import Key
from songwright.score.spelling import chord_name, pitch_name
from songwright.score.timeline import ticks_to_seconds

TEMPO_TOLERANCE = 0.01
"""Share of the asked tempo."""
DENSITY_TOLERANCE = 0.15
"""Share of the asked notes a bar."""
BOUNDARY_TOLERANCE, LETTER_TOLERANCE, CHORD_TOLERANCE = 0.26, 0.30, 0.24
"""Of 1 - F and 1 - overlap: see the module."""
HEARD_METERS = ("3/4", "4/4")
"""Metres that notes alone tell apart."""
METER_TOLERANCE = 0.1
"""Share of the time: short bars at seams are music, too."""
NO_NOTES = "cannot be measured: there are no notes"
NO_BEAT = "cannot be measured: there are no pitched notes on a regular beat"
NO_MELODY = "cannot be measured: no melody is found"
_TAIL_QUARTERS = 0.25  # of a note held past its bar line, that opens no bar
_MAX_WORDS = 80  # letters of a request that cannot be read
_NOT_CONTROLS = ("seed", "style", "title")  # wishes that no note can keep or break


@dataclass(frozen=True)
class Adherence:
    """One control: what was asked, and what is found.

    Attributes
    ----------
    control : str
    asked : str
        In words.
    achieved : str or None
        In words; None where it cannot be measured.
    error : float or None
        Distance of the two in `unit`, at least 0.
    tolerance : float or None
        Largest error that counts as kept, in `unit`.
    is_met : bool or None
        None where it cannot be measured.
    unit : str
    measured : str
        How the achieved value was measured, or why it was not.
    finding : str
        What else there is to say, such as "heard a fifth above"; may be empty.
    """

    control: str
    asked: str
    achieved: str | None
    error: float | None
    tolerance: float | None
    is_met: bool | None
    unit: str
    measured: str
    finding: str = ""


def measure_adherence(asked: Mapping[str, Any], song: JudgedSong) -> tuple[Adherence, ...]:
    """Return every control that was asked for, in the order of `asked`; a form gives two, boundaries and letters.

    Parameters
    ----------
    asked : mapping
        `key` (text), `tempo_qpm`, `seconds`, `minutes`, `num_bars` (numbers), `form` (text), `meter` ("4/4"), `chords`
        (symbols, in a list or as "C | G Am | F": one a bar unless bar lines are drawn, repeated to the end of the
        song), `range` (lowest and highest pitch of the melody, as numbers or names such as C4), `instruments` (names or
        programs), `density` (melody notes a bar, of bars that have any). Others, and requests that cannot be read, are
        answered by "cannot be measured"; `seed`, `style` and `title` are no controls and are left out.
    song : JudgedSong
    """
    found: list[Adherence] = []
    for control, value in asked.items():
        if control in _NOT_CONTROLS or value is None:
            continue
        if control not in _MEASURES:
            found.append(_open(control, _shown(value), "", f"cannot be measured: {control!r} is not a known control"))
            continue
        try:
            found += _MEASURES[control](value, song)
        except ValueError as error:
            found.append(_open(control, _shown(value), "", f"the request cannot be read: {error}"))
    return tuple(found)


def _shown(value: Any) -> str:
    """Return a request in words, whatever it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return "no number"
    words = str(value)
    return words if len(words) <= _MAX_WORDS else f"{words[:_MAX_WORDS]} …"


def _open(control: str, asked: str, unit: str, why: str) -> Adherence:
    return Adherence(control, asked, None, None, None, None, unit, why)


def _closed(
    control: str, asked: str, unit: str, achieved: str, error: float, tolerance: float, measured: str, finding: str = ""
) -> Adherence:
    is_met = error <= tolerance + 1e-9  # whatever the last bit says
    return Adherence(control, asked, achieved, float(error), float(tolerance), bool(is_met), unit, measured, finding)


def _key(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    asked, unit = Key.parse(str(value)), "1 − MIREX key score"
    if song.grid is None or not len(song.grid.notes_of()):
        return [_open("key", asked.name, unit, NO_BEAT)]
    num_bars = song.grid.num_bars
    bars = _bars_of_keys(find_keys(song.grid), num_bars)
    (found, count), *others = bars.most_common()
    achieved = found.name if not others else f"{found.name} in {count} of {num_bars} bars"
    findings = [f"heard in {key_relation(asked, found)} of what was asked"] if found != asked else []
    findings += [f"{key.name} in {other} bars" for key, other in others]
    measured = "the key that most bars are heard in: pitch classes, basses and chords of all notes"
    return [_closed("key", asked.name, unit, achieved, 1 - key_score(asked, found), 0, measured, "; ".join(findings))]


def _bars_of_keys(regions: Sequence[KeyRegion], num_bars: int) -> Counter[Key]:
    bars: Counter[Key] = Counter()
    for region, end in zip(regions, [*(later.bar for later in regions[1:]), num_bars], strict=True):
        bars[region.key] += max(end - region.bar, 0)
    return bars


def _tempo(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    asked, unit = read_number(value, low=1, high=1000), "quarter notes a minute"
    seconds, words = _seconds_of(song.score), f"{asked:g} {unit}"
    if not seconds:
        return [_open("tempo", words, unit, NO_NOTES)]
    found = 60 * song.score.end_tick / song.score.ticks_per_quarter / seconds
    tempos = {round(change.tempo_qpm, 2) for change in song.score.tempos}
    finding = f"the file changes tempo: {min(tempos):g} to {max(tempos):g}" if len(tempos) > 1 else ""
    measured = "quarter notes to the end of the last note over its seconds, by the file's tempo map"
    return [
        _closed(
            "tempo", words, unit, f"{found:.4g} {unit}", abs(found - asked), TEMPO_TOLERANCE * asked, measured, finding
        )
    ]


def _seconds(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    return [_duration(read_number(value, low=0.1, high=36_000), "s", 1.0, song.score)]


def _minutes(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    return [_duration(read_number(value, low=0.001, high=600), "min", 60.0, song.score)]


def _duration(asked: float, unit: str, scale: float, score: Score) -> Adherence:
    seconds, words = _seconds_of(score), f"{asked:g} {unit}"
    if not seconds:
        return _open("duration", words, unit, NO_NOTES)
    meter = score.time_signatures[0] if score.time_signatures else TimeSignature(0)
    bar_seconds = seconds * _bar_ticks(score, meter) / score.end_tick
    measured = f"the end of the last note; one bar ({bar_seconds:.1f} s) is allowed"
    found = seconds / scale
    return _closed("duration", words, unit, f"{found:.2f} {unit}", abs(found - asked), bar_seconds / scale, measured)


def _seconds_of(score: Score) -> float:
    return float(ticks_to_seconds(score, score.end_tick))


def _bar_ticks(score: Score, meter: TimeSignature) -> float:
    return 4 * score.ticks_per_quarter * meter.numerator / meter.denominator


def _bars(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    asked = read_number(value, low=1, high=100_000)
    if not song.score.num_notes:
        return [_open("bars", f"{asked:g}", "bars", NO_NOTES)]
    found = count_bars(song.score)
    measured = "bars of the file's time signature to the end of the last note"
    return [_closed("bars", f"{asked:g}", "bars", str(found), abs(found - asked), 0, measured)]


def count_bars(score: Score) -> int:
    """Return the bars of the file's time signatures to the end of the last note; a sixteenth's overhang opens none."""
    meters = {0: TimeSignature(0)} | {meter.tick: meter for meter in score.time_signatures}
    end = score.end_tick - _TAIL_QUARTERS * score.ticks_per_quarter
    starts = [tick for tick in sorted(meters) if tick < end] or [0]
    count = 0
    for start, later in zip(starts, [*starts[1:], None], strict=True):
        length = (end if later is None else later) - start
        count += math.ceil(length / _bar_ticks(score, meters[start]))
    return max(count, 1)


def _meter(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    numerator, denominator = read_meter(value)
    asked, unit = f"{numerator}/{denominator}", "share of the time in another metre"
    written = ", ".join(f"{meter.numerator}/{meter.denominator}" for meter in song.score.time_signatures)
    finding = f"the file writes {written or 'no time signature'}"
    if asked not in HEARD_METERS:
        return [_open("metre", asked, unit, f"cannot be measured: notes tell 3/4 and 4/4 apart only; {finding}")]
    shares = heard_meters(song.score)
    if not shares:
        return [_open("metre", asked, unit, NO_BEAT)]
    found = max(shares, key=shares.__getitem__)
    measured = "bar lines found in the notes alone, without the file's time signature and grid"
    return [_closed("metre", asked, unit, found, 1 - shares.get(asked, 0), METER_TOLERANCE, measured, finding)]


def heard_meters(score: Score) -> dict[str, float]:
    """Return the share of the time in each metre that is heard in the notes alone; empty without a beat.

    The notes are moved off the grid of the file, so that its bar lines count for nothing. Of OpenEWLD's files with one
    metre 286 of 287 in 4/4 and 77 of 80 in 3/4 are heard right (`benchmarks/adherence.py --meters`).
    """
    moved = [track.notes.copy() for track in score.tracks]
    for notes in moved:
        notes["onset_tick"] += max(round(score.ticks_per_quarter / 7), 1)
    tracks = tuple(replace(track, notes=notes) for track, notes in zip(score.tracks, moved, strict=True))
    hidden = replace(score, tracks=tracks, time_signatures=())
    grid = find_beats(hidden, track_roles(hidden))
    return {} if grid is None else _shares_of_meters(grid.meters, len(grid.quarter_tick))


def _shares_of_meters(meters: Sequence[Meter], num_quarters: int) -> dict[str, float]:
    """Return the share of the time that each metre holds."""
    steps: Counter[str] = Counter()
    left = num_quarters * STEPS_PER_BEAT
    for meter, later in zip(meters, [*meters[1:], None], strict=True):
        length = left if later is None else min((later.bar - meter.bar) * meter.bar_steps, left)
        steps[f"{meter.numerator}/{meter.denominator}"] += length
        left -= length
    return {name: length / (num_quarters * STEPS_PER_BEAT) for name, length in steps.items()}


def _form(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    asked, piece, unit = Form.parse(str(value)), song.piece, "1 − F"
    controls = ("form: boundaries", "form: letters")
    if piece is None or not piece.score.num_bars or not piece.score.num_notes:
        return [_open(control, str(asked), unit, NO_BEAT) for control in controls]
    chords = find_chords(piece.score)
    heard = find_phrases(piece.melody, chords, piece.score.bar_starts, accompaniment=piece.piano)
    planned = str((song.plan or {}).get("form", "unknown"))
    finding = f"planned {'as asked' if planned == str(asked) else planned}; heard {heard}"
    rows = (
        (boundary_agreement(asked, heard), BOUNDARY_TOLERANCE, "bars where phrases are heard to start, within a bar"),
        (letter_agreement(asked, heard), LETTER_TOLERANCE, "pairs of bars heard as one phrase, whatever its letter"),
    )
    return [
        _closed(control, str(asked), unit, f"F {score:.2f}", 1 - score, tolerance, measured, finding)
        for control, (score, tolerance, measured) in zip(controls, rows, strict=True)
    ]


def _chords(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    wanted, unit = read_chords(value), "1 − share of the time"
    words = " | ".join(" ".join(chord_name(chord, Key(0)) for chord in bar) for bar in wanted)
    heard = find_chords(song.grid) if song.grid else ()
    if song.grid is None or not heard:
        return [_open("chords", words, unit, NO_BEAT)]
    starts = song.grid.bar_starts.tolist()
    asked: list[ChordChange] = []
    for bar, (start, stop) in enumerate(pairwise(starts)):
        chords = wanted[bar % len(wanted)]
        asked += [ChordChange(start + (stop - start) * i // len(chords), chord) for i, chord in enumerate(chords)]
    share = chord_agreement(asked, heard, starts[-1])
    first = " ".join(chord_name(change.chord, Key(0)) for change in heard[:8])
    measured = "chords found in the notes: root and third as asked, weighted by time"
    achieved, finding = f"{share:.0%} of the time", f"heard first: {first}"
    return [_closed("chords", words, unit, achieved, 1 - share, CHORD_TOLERANCE, measured, finding)]


def _range(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    low, high = read_pitches(value)
    words, unit = f"{pitch_name(low)} to {pitch_name(high)}", "semitones outside"
    if song.piece is None or not len(song.piece.melody):
        return [_open("range", words, unit, NO_MELODY)]
    pitches = song.piece.melody["pitch"]
    lowest, highest = int(pitches.min()), int(pitches.max())
    outside = int(np.sum((pitches < low) | (pitches > high)))
    finding = f"{outside} of {len(pitches)} notes lie outside" if outside else ""
    measured = "the lowest and the highest note of the melody"
    achieved = f"{pitch_name(lowest)} to {pitch_name(highest)}"
    return [_closed("range", words, unit, achieved, max(low - lowest, highest - high, 0), 0, measured, finding)]


def _density(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    asked, unit = read_number(value, low=0.01, high=1000), "melody notes a bar"
    if song.piece is None or not len(song.piece.melody):
        return [_open("density", f"{asked:g}", unit, NO_MELODY)]
    onsets = song.piece.melody["onset_step"]
    found = len(onsets) / len(np.unique(np.searchsorted(song.piece.score.bar_starts, onsets, side="right")))
    measured = "notes of the melody over the bars that have any"
    return [
        _closed("density", f"{asked:g}", unit, f"{found:.2f}", abs(found - asked), DENSITY_TOLERANCE * asked, measured)
    ]


def _instruments(value: Any, song: JudgedSong) -> Iterable[Adherence]:
    wanted, unit = read_instruments(value), "instruments missing or not asked for"
    playing = [track for track in song.score.tracks if len(track.notes)]
    programs = sorted({track.program for track in playing if not track.is_drum})
    has_drums = any(track.is_drum for track in playing)
    missing = [one.name for one in wanted if not (has_drums if one.is_drum else one.programs.intersection(programs))]
    known = frozenset[int]().union(*(one.programs for one in wanted))
    others = [PROGRAM_NAMES[program] for program in programs if program not in known]
    others += ["drums"] * (has_drums and not any(one.is_drum for one in wanted))
    parts = (("missing", missing), ("not asked for", others))
    finding = "; ".join(f"{words}: {', '.join(names)}" for words, names in parts if names)
    achieved = ", ".join([PROGRAM_NAMES[program] for program in programs] + ["drums"] * has_drums) or "none"
    asked, measured = ", ".join(one.name for one in wanted), "General MIDI programs of the tracks that have notes"
    return [_closed("instruments", asked, unit, achieved, len(missing) + len(others), 0, measured, finding)]


_MEASURES: Mapping[str, Callable[[Any, JudgedSong], Iterable[Adherence]]] = {
    "key": _key, "tempo_qpm": _tempo, "seconds": _seconds, "minutes": _minutes, "num_bars": _bars, "meter": _meter,
    "form": _form, "chords": _chords, "range": _range, "instruments": _instruments, "density": _density,
}  # fmt: skip
