"""Songs held against real music: verdict, gates and figures of each song and of the set they make.

Takes what `judging` says of each song on its own and what `reference` says of real songs, and puts together mappings
that are ready for JSON, as `reporting` turns them into pages. A set is judged with its songs and the real ones read
alike: as written where all songs come with chords and phrases, else as found in the notes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.copies import CopyFinding
from songwright.analysis.features import FeatureGroups
from songwright.analysis.originality import Originality, compare_within
from songwright.errors import InputError
from songwright.evaluation.excerpts import first_seconds
from songwright.evaluation.figures import MIN_SONGS, MeasuredSongs, originality_figures
from songwright.evaluation.gates import FEW_SONGS, Gate, set_gates, song_gates, with_form_of
from songwright.evaluation.judging import SongNumbers, judge_file, plain
from songwright.evaluation.measuring import gather
from songwright.evaluation.mgeval import mgeval_distances, mgeval_features
from songwright.evaluation.norms import MIN_REAL_SONGS, SongNorms
from songwright.evaluation.reading import JudgedSong, ReadingKind, melody_only, song_grid
from songwright.evaluation.reference import COMMON_LENGTHS, WHOLE, RealMusic, Reference
from songwright.evaluation.report import RealSets, set_report
from songwright.evaluation.resampling import real_floor, subsample_interval
from songwright.evaluation.two_sample import TwoSampleTest, two_sample_test
from songwright.evaluation.verdict import set_verdict, song_verdict
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.song import Song
from songwright.workers import run_in_processes

Progress = Callable[[str, int, int], None]

SAME_LENGTH = 0.1
"""Songs whose lengths differ by a smaller share from the set's middle one are held against the same real songs."""
_PERCENTILES = (5, 25, 50, 75, 95)
_NUM_EVIDENCE = 5
_NUM_TELLING = 10
_MAX_NAME_BYTES = 200


@dataclass(frozen=True, eq=False)
class Judgements:
    """Songs, judged.

    Attributes
    ----------
    songs : tuple of SongNumbers
    judgements : tuple of dict
        Of each song, ready for JSON; `name` is unique.
    report : dict or None
        Of the set; None for one file.
    left_out : tuple of (Path, str)
        Files that could not be read, and why, such as "is not a MIDI file".
    """

    songs: tuple[SongNumbers, ...]
    judgements: tuple[dict[str, Any], ...]
    report: dict[str, Any] | None
    left_out: tuple[tuple[Path, str], ...]


def judge_songs(
    files: Sequence[Path],
    reference: Reference,
    weights: Path,
    *,
    style: str = "pop",
    seed: int = 0,
    num_workers: int = 1,
    progress: Progress | None = None,
) -> Judgements:
    """Judge files of music, each for itself and, if there are several, as a set.

    Parameters
    ----------
    files : sequence of Path
        At least one.
    reference : Reference
    weights : Path
        Lead sheet weights whose surprise is measured.
    style : str
        The style asked about: "is this pop?"
    seed : int
        Of the random divisions behind intervals and limits.
    num_workers : int
    progress : callable, optional
        Called with (stage, done, total).

    Raises
    ------
    InputError
        If none of the files can be read.
    """
    songs: list[SongNumbers] = []
    left_out: list[tuple[Path, str]] = []
    tasks = [(path, weights) for path in files]
    # Results carry the notes of whole songs: too large for a process to be cut off while it sends one.
    for path, found in zip(files, run_in_processes(judge_file, tasks, num_workers=num_workers), strict=True):
        if isinstance(found, SongNumbers):
            songs.append(found)
        else:
            left_out.append((path, found.removeprefix(str(path)).lstrip(": ")))
        if progress:
            progress("songs", len(songs) + len(left_out), len(files))
    if not songs:
        first = f"{left_out[0][0]}: {left_out[0][1]}"
        raise InputError(
            first if len(files) == 1 else f"none of the {len(files)} files can be judged; the first: {first}"
        )
    judge = _Judge(songs, reference, style, seed, progress)
    judgements = [judge.song(place) for place in range(len(songs))]
    report = judge.set(judgements, left_out) if len(files) > 1 else None
    return Judgements(tuple(songs), tuple(judgements), report, tuple(left_out))


class _Judge:
    """The songs of a run beside their reference."""

    def __init__(
        self, songs: Sequence[SongNumbers], reference: Reference, style: str, seed: int, progress: Progress | None
    ) -> None:
        self._songs, self._reference, self._style, self._seed, self._progress = songs, reference, style, seed, progress
        self._names = _unique([_file_name(one.song.name) for one in songs])
        self._judged = [place for place, one in enumerate(songs) if one.measured]
        is_written = all("written" in songs[place].measured for place in self._judged)
        self._reading: ReadingKind = "written" if is_written else "found"
        self._seconds = [one.song.song.lead_sheet.duration_seconds if one.song.song else np.nan for one in songs]
        self._middle = float(np.nanmedian(self._seconds)) if self._judged else float(WHOLE)
        self._lines = [_line(one) for one in songs]
        self._originality = [reference.originality_index.compare(line) if line else None for line in self._lines]
        self._copies = [reference.copy_index.compare(line) if line else None for line in self._lines]
        self._norms: dict[float, SongNorms | None] = {}

    def song(self, place: int) -> dict[str, Any]:
        """Return the judgement of one song."""
        one = self._songs[place]
        song, sheet = one.song, one.song.song.lead_sheet if one.song.song else None
        piece, originality, copy = song.piece, self._originality[place], self._copies[place]
        gates: tuple[Gate, ...] = song_gates({}, None, originality=originality, copy=copy)
        figures: list[dict[str, Any]] = []
        if sheet is not None:
            features = one.measured[self._reading].features
            real = self._real(self._seconds_beside(place))
            gates = song_gates(features, self._norms_of(real), originality=originality, copy=copy)
            figures = _places(features, self._with_whole_form(real))
        return plain(
            {
                "name": self._names[place],
                "title": song.title,
                "file": str(song.path),
                "verdict": song_verdict(gates, kind=self._style),
                "notes": self._notes_of(song),
                "key": song.key.name if song.key else None,
                "tempo_qpm": piece.tempo_qpm if piece else None,
                "meter": _meter(song),
                "bars": sheet.num_bars if sheet else piece.score.num_bars if piece else None,
                "seconds": sheet.duration_seconds if sheet else piece.seconds if piece else None,
                "form": str(sheet.form) if sheet else None,
                "reading": self._reading if sheet else None,
                "gates": [gate._asdict() for gate in gates],
                "figures": figures,
                "style": _style_beside(one.style, self._style),
                "originality": self._shared(originality, copy, self._lines[place]),
                "surprise": {
                    "bits_per_note": one.bits_per_note,
                    "by_bar": one.bar_bits,
                    "real": _band(self._real(self._seconds_beside(place)).bits_per_note) if sheet else None,
                },
                "adherence": one.adherence,
                "published": {name: one.published.get(name) for name in ("MusPy", "MusDr")},
            }
        )

    def set(self, judgements: Sequence[dict[str, Any]], left_out: Sequence[tuple[Path, str]]) -> dict[str, Any]:
        """Return the judgement of all songs together."""
        places = self._judged
        refused = [{"file": str(path), "reason": reason} for path, reason in left_out]
        refused += [
            {"file": one["file"], "reason": " ".join(one["notes"])}
            for place, one in enumerate(judgements)
            if place not in places
        ]
        common = {
            "reference": self._reference.title,
            "reading": self._reading,
            "songs": [_row(one) for one in judgements],
            "left_out": refused,
            "style": _shares(judgements, self._style),
        }
        lines = [line for place in places if (line := self._lines[place])]
        within = compare_within(lines) if len(lines) > 1 else []
        originality = [self._originality[place] for place in places]
        copies = [self._copies[place] for place in places]
        if not places:
            reason = (
                "None of the files is a song in 4/4 with a melody: see what was left out, and the songs' own pages."
            )
            return {**common, "seed": self._seed, "num_songs": 0, "verdict": reason, "gates": [], "notes": []}
        real, whole = self._real(self._middle), self._real(WHOLE)
        generated = gather([self._songs[place].measured[self._reading] for place in places])
        bits = np.array([self._songs[place].bits_per_note for place in places], dtype=np.float64)
        rng = np.random.default_rng(self._seed)
        told = two_sample_test(real.held_out.features, generated.features, rng, real.training.features)
        gates = set_gates(
            generated,
            with_form_of(real.held_out, whole.held_out),
            with_form_of(real.training, whole.training),
            two_sample=told,
            bits=bits,
            reference_bits=real.bits_per_note,
            originality=[one for one in originality if one],
            within=within,
            copies=[one for one in copies if one],
            seed=self._seed,
        )
        report = set_report(
            generated,
            RealSets(real.held_out, whole.held_out, real.training, whole.training, real.num_short),
            originality_figures([one for one in originality if one], real.originality, within, []),
            durations=[self._seconds[place] for place in places],
            reference_seconds=real.seconds,
            num_training=self._reference.originality_index.num_songs,
            seed=self._seed,
        )
        report["notes"] += self._notes(real)
        report["similarity_curve"]["reference_band"] = _curve_band(real.training.curves)
        return plain(
            {
                **report,
                **common,
                "verdict": set_verdict(gates, len(places)),
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
                "published": self._published(real),
            }
        )

    def _notes_of(self, song: JudgedSong) -> list[str]:
        notes = [f"{problem[0].upper()}{problem[1:]}." for problem in song.problems]
        if len(self._songs) == 1 and song.song is not None:
            notes.append(
                "One song has no distribution: it is held against the range of real songs here. How songs spread is "
                f"judged of a set, reliably from {FEW_SONGS} songs on."
            )
        return notes

    def _seconds_beside(self, place: int) -> float:
        """Return the length over which real songs are measured for a song: the set's, unless its own differs."""
        seconds = self._seconds[place]
        if abs(seconds - self._middle) <= SAME_LENGTH * self._middle:
            return self._middle
        return float(min(COMMON_LENGTHS, key=lambda one: abs(np.log(one / seconds))))

    def _real(self, seconds: float) -> RealMusic:
        def progress(done: int, total: int) -> None:
            if self._progress:
                self._progress("real music", done, total)

        return self._reference.at(seconds, self._reading, progress=progress)

    def _with_whole_form(self, real: RealMusic) -> MeasuredSongs:
        return with_form_of(real.training, self._real(WHOLE).training)

    def _norms_of(self, real: RealMusic) -> SongNorms | None:
        if real.seconds not in self._norms:
            songs = self._with_whole_form(real)
            self._norms[real.seconds] = SongNorms.fit(songs) if songs.num_songs >= MIN_REAL_SONGS else None
        return self._norms[real.seconds]

    def _shared(
        self, originality: Originality | None, copy: CopyFinding | None, line: Song | None
    ) -> dict[str, Any] | None:
        if originality is None or copy is None or line is None:
            return None
        known = self._reference.known_ids
        start = originality.melody_start
        found: dict[str, Any] = {
            "melody_run": originality.melody_run,
            "melody_start_bar": int(line.lead_sheet.melody["onset_step"][start]) // STEPS_PER_BAR + 1
            if start >= 0
            else None,
            "source": known[originality.melody_source] if originality.melody_source >= 0 else None,
            "coverage": originality.coverage,
            "piano_run": originality.piano_run,
            "copy": None,
        }
        if copy.is_copy:
            found["source"] = known[copy.source]
            found["copy"] = {
                "score": copy.score,
                "source": known[copy.source],
                "alteration": copy.alteration,
                "bars": len(copy.bars),
                "first_bar": copy.bars[0][0] + 1,
                "first_source_bar": copy.bars[0][1] + 1,
            }
        return found

    def _notes(self, real: RealMusic) -> list[str]:
        notes: list[str] = []
        seconds = [self._seconds[place] for place in self._judged]
        if self._reading == "found":
            notes.append("chords, phrases and keys were found in the notes, of these songs and of the real ones alike.")
        if abs(real.seconds - self._middle) > 0.05 * self._middle:
            notes.append(
                f"real songs were measured over {real.seconds:.0f} s, the nearest length that is known, "
                f"not {self._middle:.0f} s: figures of repetition depend on length."
            )
        if max(seconds) > (1 + 2 * SAME_LENGTH) * min(seconds):
            notes.append(
                f"lengths differ ({min(seconds):.0f} to {max(seconds):.0f} s), and repetition depends on length: "
                "read the set's figures of repetition with care; each song's own page compares with its own length."
            )
        return notes

    def _published(self, real: RealMusic) -> dict[str, Any]:
        """Return means of the field's metrics; mgeval's divergences where the reference holds its music."""
        ours = [self._songs[place].measured[self._reading].published for place in self._judged]
        found: dict[str, Any] = {
            family: {
                name: {"generated": _mean([one[family][name] for one in ours]), "reference": _mean(values.tolist())}
                for name, values in real.published[family].items()
            }
            for family in ("MusPy", "MusDr")
        }
        songs = self._reference.songs(self._reference.held_out_ids)
        if songs and len(ours) > 1:
            cut = [first_seconds(one.song, real.seconds) for one in songs.values()]
            judged = [song for place in self._judged if (song := self._songs[place].song.song)]
            num_bars = int(np.median([song.lead_sheet.num_bars for song in judged]))
            sides = [[mgeval_features(song_grid(song), num_bars=num_bars) for song in side] for side in (cut, judged)]
            found["mgeval"] = {
                name: {"kld": one.kld, "overlap": one.overlap} for name, one in mgeval_distances(*sides).items()
            }
        return found


def _unique(names: Sequence[str]) -> list[str]:
    """Return names of files that differ, in capitals or not, numbered where they were equal."""
    total, seen = Counter(name.casefold() for name in names), Counter[str]()
    found: list[str] = []
    for name in names:
        seen[name.casefold()] += 1
        found.append(f"{name}-{seen[name.casefold()]}" if total[name.casefold()] > 1 else name)
    if len({name.casefold() for name in found}) == len(found):
        return found
    return [f"{place + 1:04d}-{name}" for place, name in enumerate(names)]


def _file_name(name: str) -> str:
    """Return a name that files can be given: text, with room for a number and an ending."""
    return name.encode(errors="replace")[:_MAX_NAME_BYTES].decode(errors="ignore").strip() or "song"


def _line(one: SongNumbers) -> Song | None:
    if one.song.song is not None:
        return one.song.song
    return melody_only(one.song.piece) if one.song.piece else None


def _meter(song: JudgedSong) -> str | None:
    if song.grid is None:
        return None
    return ", ".join(dict.fromkeys(f"{meter.numerator}/{meter.denominator}" for meter in song.grid.meters))


def _places(features: FeatureGroups, real: MeasuredSongs) -> list[dict[str, Any]]:
    """Return where each number of a song lies among those of real songs."""
    rows: list[dict[str, Any]] = []
    for group, names in features.items():
        for name, value in names.items():
            reals = real.features[group][name]
            reals = reals[np.isfinite(reals)]
            has_place = np.isfinite(value) and len(reals)
            rows.append(
                {
                    "group": group,
                    "name": name,
                    "value": value,
                    "percentile": 50 * float(np.mean(reals < value) + np.mean(reals <= value)) if has_place else None,
                    "real": np.percentile(reals, _PERCENTILES) if len(reals) else None,
                }
            )
    return rows


def _band(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    known = values[np.isfinite(values)]
    return np.percentile(known, _PERCENTILES) if len(known) else None


def _style_beside(style: dict[str, Any] | None, asked: str) -> dict[str, Any] | None:
    """Return the probabilities of all styles, and what spoke for and against the one asked about."""
    if style is None:
        return None
    evidence = style["evidence"].get(asked, [])
    return {
        "asked": asked if evidence else None,
        "probabilities": style["probabilities"],
        "for": [one for one in evidence if one["contribution"] > 0][:_NUM_EVIDENCE],
        "against": [one for one in evidence if one["contribution"] < 0][:_NUM_EVIDENCE],
    }


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
        asked: {"share": shares.get(asked), "probability": _mean([one.get(asked) for one in found])},
    }


def _told(found: TwoSampleTest) -> dict[str, Any]:
    return {
        "auc": found.auc,
        "interval": found.interval,
        "real": found.real,
        "floor": found.real_range,
        "features": [{**one._asdict(), "weight": one.alone - 0.5} for one in found.telling[:_NUM_TELLING]],
    }


def _curve_band(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return between which values 95 % of the songs lie at each lag that any reaches, shape (2, num_lags)."""
    reached = curves[:, np.isfinite(curves).any(axis=0)]
    return np.nanquantile(reached, [0.025, 0.975], axis=0)


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
