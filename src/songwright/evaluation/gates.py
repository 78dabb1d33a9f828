"""Gates that real music passes: whether a set of songs, or one song, is where real music is.

Goals (`figures`) say where generated songs should be; real halves of the data miss some of them. Gates say where real
songs are: the limits of a *set* come from drawing as many other real songs (training songs, say) and holding them
against the same reference by the same numbers (`set_numbers`), so that nearly all draws stay within all limits at once.
The limits of a *song* are those of `norms`. Gates of originality are exact: fixed numbers that no two different
training songs reach. The sentence that sums gates up is `verdict`'s; measuring is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.copies import COPY_BITS, CopyFinding
from songwright.analysis.features import FeatureGroups
from songwright.analysis.originality import Originality
from songwright.evaluation.figures import MIN_SONGS, MeasuredSongs
from songwright.evaluation.norms import Deviation, SongNorms
from songwright.evaluation.resampling import draw_divisions
from songwright.evaluation.set_numbers import GROUPS, Column, compare_sets, real_range, set_columns, usable_features
from songwright.evaluation.two_sample import TwoSampleTest

FEW_SONGS = 50
"""With fewer songs distributions are noisy and limits wide."""
FAMILY_SHARE = 0.99
"""Of the draws of real songs that stay within all limits of a set. Of sets of songs that limits were not drawn from
somewhat fewer do: `benchmarks/judge.py`."""
# Of 628 training songs of POP909, versions of one song left out, each against all others.
LONGEST_RUN = 19
"""Notes that a song may share in a row with another one; real songs share at most 17."""
LONGEST_PIANO_RUN = 3
"""Bars of piano that a song may share in a row with another one, as real songs do."""
HIGHEST_COVERAGE = 0.2
"""Share of a melody's figures of seven notes that one other song may hold; real songs hold at most 0.125."""
_USUAL_SHARE_OVER_10 = 0.043  # of real songs share more than 10 notes in a row
_NUM_DRAWS = 300
_UNUSUAL = "1 = one real song in twenty"


class Gate(NamedTuple):
    """One gate, judged.

    Attributes
    ----------
    name, label : str
        For programs and for people.
    section : str
        What it is about: `notes`, `harmony`, `structure`, `form`, `melody and accompaniment`, `coherence`,
        `likeness`, `variety`, `originality`.
    value : float or None
    low, high : float or None
        Range in which real music lies; None without a limit on that side.
    is_passed : bool or None
        None if it could not be judged; `meaning` says why.
    meaning : str
        What it measures and what failing it means, in one sentence.
    unit : str
        `share`, `notes`, `bars`, `songs`, `bits`, `0 to 1`, `ratio`, `deviations` (standard deviations of real songs),
        or what 1 stands for.
    deviations : tuple of Deviation
        Features behind the judgement, the farthest out first.
    """

    name: str
    label: str
    section: str
    value: float | None
    low: float | None
    high: float | None
    is_passed: bool | None
    meaning: str
    unit: str = ""
    deviations: tuple[Deviation, ...] = ()


def set_gates(
    generated: MeasuredSongs,
    reference: MeasuredSongs,
    others: MeasuredSongs | None = None,
    *,
    two_sample: TwoSampleTest | None = None,
    bits: NDArray[np.float64] | None = None,
    reference_bits: NDArray[np.float64] | None = None,
    originality: Sequence[Originality] = (),
    within: Sequence[Originality] = (),
    copies: Sequence[CopyFinding] = (),
    seed: int = 0,
) -> tuple[Gate, ...]:
    """Return the gates of a set of songs.

    Parameters
    ----------
    generated, reference : MeasuredSongs
        Songs to judge and real ones, measured over the same length; "form" best over whole songs (`with_form_of`).
    others : MeasuredSongs, optional
        More real songs, measured alike, that play the generated set; without them the reference is divided.
    two_sample : TwoSampleTest, optional
        Of the same sets.
    bits, reference_bits : ndarray, shape (num_songs,), optional
        Bits per note of each song under a network that learned from none of them; NaN where there is no melody.
    originality, copies : sequence of Originality and of CopyFinding
        Of each generated song against the training songs; no gate of originality without them.
    within : sequence of Originality
        Of each generated song against the others of its set.
    seed : int
        Of the draws.

    Returns
    -------
    tuple of Gate
        Gates of distributions are not judged (`is_passed` None) for fewer than MIN_SONGS songs on a side, nor are
        numbers that a fifth of the songs leave undefined.
    """
    fewest = min(songs.num_songs for songs in (generated, reference, others) if songs is not None)
    if fewest < MIN_SONGS:
        reason = f"Not judged: a distribution needs at least {MIN_SONGS} songs, and there are {fewest}."
        found = [_unjudged(column, reason) for column in set_columns(generated)]
    else:
        found, width = _distribution_gates(generated, reference, others, seed)
        if two_sample is not None:
            found.append(_two_sample_gate(two_sample, generated.num_songs, reference.num_songs, width))
        if bits is not None and reference_bits is not None:
            found.append(_bits_gate(bits, reference_bits, width))
    if copies:
        found.append(_judged(_COPIES, sum(one.is_copy for one in copies), None, 0))
    if originality:
        found += _originality_gates(originality)
    if len(originality) >= MIN_SONGS:
        share = float(np.mean([one.melody_run > 10 for one in originality]))
        room = 3 * (_USUAL_SHARE_OVER_10 * (1 - _USUAL_SHARE_OVER_10) / len(originality)) ** 0.5
        found.append(_judged(_RUN_OVER_10, share, None, _USUAL_SHARE_OVER_10 + room))
    if within:
        found.append(_judged(_WITHIN, max(one.melody_run for one in within), None, LONGEST_RUN))
    return tuple(found)


def song_gates(
    features: FeatureGroups,
    norms: SongNorms | None,
    *,
    originality: Originality | None = None,
    copy: CopyFinding | None = None,
) -> tuple[Gate, ...]:
    """Return the gates of one song.

    Parameters
    ----------
    features : dict of group -> name -> float
        NaN where the song does not define one.
    norms : SongNorms or None
        Of real songs of about its length; None where there are too few.
    originality, copy : Originality and CopyFinding, optional
        Against the training songs; no gate of originality without them.
    """
    unusual = norms.unusual(features) if norms else {}
    away = norms.deviations(features) if norms else []
    found: list[Gate] = []
    for group, (section, words, hears) in GROUPS.items():
        if group not in features or (norms and group not in norms.limits):
            continue
        column = Column(f"usual_{group}", words, section, "high", _UNUSUAL,
                        f"How unusual the song is in {hears}: 0 is the middle real song, 1 as unusual as one in "
                        "twenty; hardly any real song lies beyond the range.")  # fmt: skip
        value = unusual.get(group, np.nan)
        if norms is None:
            found.append(_unjudged(column, "Not judged: there are too few real songs to tell what is usual."))
        elif not np.isfinite(value):
            reason = f"Not judged: the song is too short or too plain for most numbers of its {words}."
            found.append(_unjudged(column, reason))
        else:
            gate = _judged(column, value, None, norms.limits[group])
            found.append(gate._replace(deviations=tuple(one for one in away if one.group == group)))
    if copy is not None:
        found.append(_judged(_COPY, copy.bits, None, COPY_BITS)._replace(is_passed=not copy.is_copy))
    if originality is not None:
        found += _originality_gates([originality])
    return tuple(found)


def with_form_of(cut: MeasuredSongs, whole: MeasuredSongs) -> MeasuredSongs:
    """Return songs cut to length with the numbers of form from the same songs whole: a cut song has no ending."""
    return MeasuredSongs({**cut.features, "form": whole.features["form"]}, cut.curves)


def _distribution_gates(
    generated: MeasuredSongs, reference: MeasuredSongs, others: MeasuredSongs | None, seed: int
) -> tuple[list[Gate], float]:
    """Return the gates of `set_numbers`, and how many deviations wide their limits are."""
    num_songs, num_real = generated.num_songs, reference.num_songs
    pool = reference if others is None else others
    divisions = draw_divisions(
        num_real,
        num_songs,
        np.random.default_rng(seed),
        num_others=None if others is None else others.num_songs,
        num_draws=_NUM_DRAWS,
    )
    usable = usable_features(generated, [reference, pool])
    columns = set_columns(generated)
    floor = compare_sets(reference, pool, *divisions, usable, columns)
    real = real_range(floor.values, [column.sides for column in columns], share=FAMILY_SHARE)
    everything = np.arange(num_real)[None], np.arange(num_songs)[None]
    ours = compare_sets(reference, generated, *everything, usable, columns)
    # Draws of many songs from a pool that is not much larger differ less than sets of new songs do.
    size = divisions[1].shape[1]
    width = real.width * ((pool.num_songs + size) / (pool.num_songs - size)) ** 0.5
    gates: list[Gate] = []
    for place, column in enumerate(columns):
        value, middle = float(ours.values[0, place]), float(real.middle[place])
        if not np.isfinite(value) or not np.isfinite(middle):
            gates.append(_unjudged(column, "Not judged: too few of the songs have what it measures."))
            continue
        low, high = middle - width * float(real.below[place]), middle + width * float(real.above[place])
        gate = _judged(column, value, None if column.sides == "high" else low, None if column.sides == "low" else high)
        kind, _, group = column.name.partition("_")
        if kind == "shift":
            gate = gate._replace(deviations=_shifted(group, ours.shifts[group], generated, high))
        gates.append(gate)
    return gates, width


def _shifted(
    group: str, shifts: dict[str, NDArray[np.float64]], generated: MeasuredSongs, limit: float
) -> tuple[Deviation, ...]:
    """Return the features whose average is shifted beyond the limit, the farthest first."""
    by_name = {name: float(shift[0]) for name, shift in shifts.items() if abs(float(shift[0])) > limit}
    return tuple(
        Deviation(group, name, by_name[name] > 0, float(np.nanmean(generated.features[group][name])))
        for name in sorted(by_name, key=lambda one: -abs(by_name[one]))
    )


def _two_sample_gate(test: TwoSampleTest, num_songs: int, num_real: int, width: float) -> Gate:
    if test.auc is None or test.real is None or test.real_range is None:
        return _unjudged(
            _TWO_SAMPLE, "Not judged: there are too few songs to train a judge on some and ask it about others."
        )
    # Deviation of a judge that only guesses (Hanley and McNeil, Radiology 143, 1982), or as drawn: whichever is more.
    guessing = ((num_songs + num_real + 1) / (12 * num_songs * num_real)) ** 0.5
    deviation = max(guessing, (test.real_range[1] - test.real_range[0]) / (2 * 1.96))
    return _judged(_TWO_SAMPLE, test.auc, None, min(test.real + width * deviation, 1.0))


def _bits_gate(bits: NDArray[np.float64], reference_bits: NDArray[np.float64], width: float) -> Gate:
    ours, reals = (values[np.isfinite(values)] for values in (bits, reference_bits))
    if min(len(ours), len(reals)) < MIN_SONGS:
        return _unjudged(_BITS, "Not judged: too few of the songs have a melody.")
    room = width * float(reals.std(ddof=1)) * (1 / len(ours) + 1 / len(reals)) ** 0.5
    middle = float(reals.mean())
    return _judged(_BITS, float(ours.mean()), middle - room, middle + room)


def _originality_gates(found: Sequence[Originality]) -> list[Gate]:
    return [
        _judged(_RUN, max(one.melody_run for one in found), None, LONGEST_RUN),
        _judged(_COVERAGE, max(one.coverage for one in found), None, HIGHEST_COVERAGE),
        _judged(_PIANO_RUN, max(one.piano_run for one in found), None, LONGEST_PIANO_RUN),
    ]


def _judged(column: Column, value: float, low: float | None, high: float | None) -> Gate:
    is_passed = (low is None or value >= low) and (high is None or value <= high)
    return Gate(
        column.name, column.label, column.section, float(value), low, high, is_passed, column.meaning, column.unit
    )


def _unjudged(column: Column, reason: str) -> Gate:
    return Gate(column.name, column.label, column.section, None, None, None, None, reason, column.unit)


_TWO_SAMPLE = Column(
    "two_sample", "told apart from real songs (AUC)", "likeness", "high", "0 to 1",
    "How well a trained judge tells these songs from real ones, 0.5 being not at all and 1 always; beyond the range "
    "something gives them away.",
)  # fmt: skip
_BITS = Column(
    "bits_per_note", "surprise of the melody", "likeness", "both", "bits",
    "How much a note surprises the network, on average; below the range melodies are too predictable, above it they "
    "wander.",
)  # fmt: skip
_COPIES = Column(
    "copies", "copies of known songs", "originality", "high", "songs",
    "Songs whose melody follows a known song: note for note, transposed, stretched, ornamented or changed here and "
    "there; one is too many.",
)  # fmt: skip
_COPY = Column(
    "copy", "copy of a known song", "originality", "high", "bits",
    "Evidence that the melody follows a known song: note for note, transposed, stretched, ornamented or changed here "
    "and there; beyond the range it is a copy.",
)  # fmt: skip
_RUN = Column(
    "longest_run", "longest shared run", "originality", "high", "notes",
    "Most melody notes in a row in common with one known song, in any key; beyond the range it is a quotation.",
)  # fmt: skip
_COVERAGE = Column(
    "coverage", "melody found in one song", "originality", "high", "share",
    "How many of a melody's figures of seven notes one known song holds; beyond the range it is that song in pieces.",
)  # fmt: skip
_PIANO_RUN = Column(
    "piano_run", "longest shared piano run", "originality", "high", "bars",
    "Most bars of piano in a row in common with one known song, in any key; beyond the range it is a quotation.",
)  # fmt: skip
_RUN_OVER_10 = Column(
    "run_over_10", "songs sharing more than 10 notes", "originality", "high", "share",
    "Share of songs with more than ten melody notes in a row from one known song; beyond the range they were learned "
    "by heart.",
)  # fmt: skip
_WITHIN = Column(
    "within_run", "longest run shared within the set", "variety", "high", "notes",
    "Most melody notes in a row that two songs of the set have in common; beyond the range the set repeats itself.",
)  # fmt: skip
