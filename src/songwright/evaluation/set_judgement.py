"""A set of songs held against real music: gates, verdict, figures, and a row for each song.

Songs and real songs are read alike (`reading`): as written where all songs of the set have chords and phrases, else
as found in the notes. The mapping is ready for JSON; single songs are `song_judgement`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.originality import compare_within
from songwright.evaluation.excerpts import first_seconds
from songwright.evaluation.figures import MIN_SONGS, originality_figures
from songwright.evaluation.gates import set_gates, with_form_of
from songwright.evaluation.jsonable import plain
from songwright.evaluation.judging import SongNumbers
from songwright.evaluation.measuring import gather
from songwright.evaluation.mgeval import mgeval_distances, mgeval_features
from songwright.evaluation.reading import ReadingKind, song_grid
from songwright.evaluation.reference import WHOLE, RealMusic, Reference
from songwright.evaluation.report import RealSets, set_report
from songwright.evaluation.resampling import draw_divisions, real_floor, subsample_interval
from songwright.evaluation.song_judgement import Compared, Progress, measured_over
from songwright.evaluation.structure import mean_curve
from songwright.evaluation.two_sample import TwoSampleTest, two_sample_test
from songwright.evaluation.verdict import set_verdict

SAME_LENGTH = 0.1
"""Share by which lengths may differ either way before the report says so."""
_NUM_TELLING = 10
_NUM_DRAWS = 200
_NO_SONG = "None of the files is a song in 4/4 with a melody: see what was left out, and the songs' own pages."


def judge_set(
    songs: Sequence[SongNumbers],
    compared: Sequence[Compared | None],
    judgements: Sequence[dict[str, Any]],
    left_out: Sequence[tuple[Path, str]],
    reference: Reference,
    *,
    style: str,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the judgement of songs as a set.

    Parameters
    ----------
    songs, compared, judgements : sequences, one entry a file
        What `judging`, `song_judgement.compare` and `SongJudge` say of each.
    left_out : sequence of (Path, str)
        Files that could not be read, and why.
    reference : Reference
    style : str
        The style asked about.
    seed : int
        Of the random divisions behind intervals and limits.
    progress : callable, optional
    """
    places = [place for place, one in enumerate(songs) if one.measured]
    judged = [songs[place] for place in places]
    reading: ReadingKind = "written" if all("written" in one.measured for one in judged) else "found"
    refused = [{"file": str(path), "reason": reason} for path, reason in left_out]
    refused += [
        {"file": one["file"], "reason": " ".join(one["notes"])}
        for place, one in enumerate(judgements)
        if place not in places
    ]
    common = {
        "reference": reference.title,
        "reading": reading,
        "songs": [_row(one) for one in judgements],
        "left_out": refused,
        "style": _shares(judgements, style),
    }
    if not judged:
        return {**common, "seed": seed, "num_songs": 0, "verdict": _NO_SONG, "gates": [], "notes": []}
    seconds = [song.lead_sheet.duration_seconds for one in judged if (song := one.song.song)]
    middle = float(np.median(seconds))
    real, whole = (measured_over(reference, length, reading, progress) for length in (middle, WHOLE))
    generated = gather([one.measured[reading] for one in judged])
    # The network heard each song in its own reading: only those read as the real songs are go beside them.
    bits = np.array([one.bits_per_note if one.song.reading == reading else None for one in judged], dtype=np.float64)
    found = [one for place in places if (one := compared[place])]
    originality = [one.originality for one in found]
    within = compare_within([one.line for one in found]) if len(found) > 1 else []
    rng = np.random.default_rng(seed)
    told = two_sample_test(real.held_out.features, generated.features, rng, real.training.features)
    gates = set_gates(
        generated,
        with_form_of(real.held_out, whole.held_out),
        with_form_of(real.training, whole.training),
        two_sample=told,
        bits=bits,
        reference_bits=real.bits_per_note,
        originality=originality,
        within=within,
        copies=[one.copy for one in found],
        seed=seed,
    )
    report = set_report(
        generated,
        RealSets(real.held_out, whole.held_out, real.training, whole.training, real.num_short),
        originality_figures(originality, real.originality, within, []),
        durations=seconds,
        reference_seconds=real.seconds,
        num_training=reference.originality_index.num_songs,
        seed=seed,
    )
    report["notes"] += _notes(seconds, real, reading)
    report["similarity_curve"]["reference_band"] = _curve_band(real.training.curves, len(judged), rng)
    return plain(
        {
            **report,
            **common,
            "verdict": set_verdict(gates, len(judged)),
            "gates": [gate._asdict() for gate in gates],
            "two_sample": _told(told),
            "values": {
                "generated": generated.features,
                "reference": {
                    **real.held_out.features,
                    "originality": {"melody_run": [one.melody_run for one in real.originality]},
                },
            },
            "likelihood": _surprise(bits, real.bits_per_note, rng),
            "divergences": {
                name: {"kl": row["divergence"], "cross_entropy": row["cross_entropy"]}
                for features in report["features"].values()
                for name, row in features.items()
                if row["divergence"] is not None
            },
            "published": _published(judged, real, reading, reference),
        }
    )


def _notes(seconds: Sequence[float], real: RealMusic, reading: ReadingKind) -> list[str]:
    notes: list[str] = []
    middle = float(np.median(seconds))
    if reading == "found":
        notes.append("chords, phrases and keys were found in the notes, of these songs and of the real ones alike.")
    if abs(real.seconds - middle) > 0.05 * middle:
        notes.append(
            f"real songs were measured over {real.seconds:.0f} s, the nearest length that is known, "
            f"not {middle:.0f} s: figures of repetition depend on length."
        )
    if max(seconds) > (1 + 2 * SAME_LENGTH) * min(seconds):
        notes.append(
            f"lengths differ ({min(seconds):.0f} to {max(seconds):.0f} s), and repetition depends on length: "
            "read the set's figures of repetition with care; each song's own page compares with its own length."
        )
    return notes


def _published(
    judged: Sequence[SongNumbers], real: RealMusic, reading: ReadingKind, reference: Reference
) -> dict[str, Any]:
    """Return means of the field's metrics; mgeval's divergences where the reference holds its music."""
    ours = [one.measured[reading].published for one in judged]
    found: dict[str, Any] = {
        family: {
            name: {"generated": _mean([one[family][name] for one in ours]), "reference": _mean(values.tolist())}
            for name, values in real.published[family].items()
        }
        for family in ("MusPy", "MusDr")
    }
    known = reference.songs(reference.held_out_ids)
    if known and len(judged) > 1:
        songs = [one.song.song for one in judged if one.song.song]
        cut = [first_seconds(one.song, real.seconds) for one in known.values()]
        num_bars = int(np.median([song.lead_sheet.num_bars for song in songs]))
        sides = [[mgeval_features(song_grid(song), num_bars=num_bars) for song in side] for side in (cut, songs)]
        found["mgeval"] = {
            name: {"kld": one.kld, "overlap": one.overlap} for name, one in mgeval_distances(*sides).items()
        }
    return found


def _row(judgement: dict[str, Any]) -> dict[str, Any]:
    style, shared = judgement["style"], judgement["originality"] or {}
    return {
        **{name: judgement[name] for name in ("name", "title", "verdict", "seconds", "bars", "key", "form")},
        "failed": [gate["label"] for gate in judgement["gates"] if gate["is_passed"] is False],
        "style": max(style["probabilities"], key=style["probabilities"].get) if style else None,
        "bits_per_note": judgement["surprise"]["bits_per_note"],
        "melody_run": shared.get("melody_run"),
        "copy": shared["copy"]["source"] if shared.get("copy") else False,
    }


def _shares(judgements: Sequence[dict[str, Any]], asked: str) -> dict[str, Any] | None:
    """Return how many songs are taken for each style, and how surely for the one asked about."""
    found = [one["style"]["probabilities"] for one in judgements if one["style"]]
    if not found:
        return None
    taken = Counter(max(one, key=one.__getitem__) for one in found)
    shares = {name: taken[name] / len(found) for name in found[0]}
    return {
        "num_songs": len(found),
        "shares": shares,
        "asked": asked,
        "share": shares.get(asked),
        "probability": _mean([one.get(asked) for one in found]),
    }


def _told(found: TwoSampleTest) -> dict[str, Any]:
    return {
        "auc": found.auc,
        "interval": found.interval,
        "real": found.real,
        "floor": found.real_range,
        "features": [
            {"name": one.name, "weight": one.alone - 0.5, "direction": one.alone_direction}
            for one in sorted(found.telling, key=lambda one: -one.alone)[:_NUM_TELLING]
        ],
    }


def _curve_band(curves: NDArray[np.float64], num_songs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return between which values the curves of as many real songs lie in 95 % of draws, shape (2, num_lags)."""
    _, draws = draw_divisions(len(curves), num_songs, rng, num_others=len(curves), num_draws=_NUM_DRAWS)
    drawn = np.array([mean_curve(curves[draw]) for draw in draws])
    # Past the length of a draw's longest song there is nothing to say.
    return np.quantile(drawn[:, np.isfinite(drawn).all(axis=0)], [0.025, 0.975], axis=0)


def _surprise(bits: NDArray[np.float64], real: NDArray[np.float64], rng: np.random.Generator) -> dict[str, Any] | None:
    """Return the mean bits per note of the songs and of real ones, with their 95 % ranges over as many songs."""
    ours, reals = (side[np.isfinite(side)] for side in (bits, real))
    if not len(ours) or not len(reals):
        return None
    found: dict[str, Any] = {"bits_per_note": float(ours.mean()), "real": float(reals.mean())}
    if min(len(ours), len(reals)) >= MIN_SONGS:
        own = subsample_interval(lambda drawn: ours[drawn].mean(), len(ours), rng)
        floor = real_floor(lambda _, drawn: reals[drawn].mean(), len(reals), len(ours), rng)
        found["interval"] = [float(own.low), float(own.high)]
        found["real_range"] = [float(floor.low), float(floor.high)]
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if known else None
