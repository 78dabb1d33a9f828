"""One song held against real music: gates, verdict, the place of every number, what it shares with known songs.

Real songs are taken over about the song's own length and read as the song is (`reading`), so that a judgement is the
same whatever songs are judged beside it. Mappings are ready for JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.copies import CopyFinding
from songwright.analysis.features import FeatureGroups
from songwright.analysis.originality import Originality
from songwright.evaluation.figures import MeasuredSongs
from songwright.evaluation.gates import FEW_SONGS, song_gates, with_form_of
from songwright.evaluation.jsonable import plain
from songwright.evaluation.judging import SongNumbers
from songwright.evaluation.norms import MIN_REAL_SONGS, SongNorms
from songwright.evaluation.reading import JudgedSong, ReadingKind, melody_only
from songwright.evaluation.reference import COMMON_LENGTHS, WHOLE, RealMusic, Reference
from songwright.evaluation.verdict import song_verdict
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.song import Song

_PERCENTILES = (5, 25, 50, 75, 95)
_NUM_EVIDENCE = 5

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


class Compared(NamedTuple):
    """What a song shares with the known songs of a reference.

    Attributes
    ----------
    line : Song
        The song; of a piece in another metre than 4/4, its melody alone.
    originality : Originality
    copy : CopyFinding
    """

    line: Song
    originality: Originality
    copy: CopyFinding


def compare(numbers: SongNumbers, reference: Reference) -> Compared | None:
    """Return what a song shares with known songs; None where it has no melody to compare."""
    line = numbers.song.song
    if line is None and numbers.song.piece is not None:
        line = melody_only(numbers.song.piece)
    if line is None:
        return None
    return Compared(line, reference.originality_index.compare(line), reference.copy_index.compare(line))


def measured_over(
    reference: Reference, seconds: float, reading: ReadingKind, progress: Progress | None = None
) -> RealMusic:
    """Return the reference's songs over some seconds; measuring them for the first time is a stage of its own."""

    def report(done: int, total: int) -> None:
        if progress:
            progress("real music", done, total)

    return reference.at(seconds, reading, progress=report)


class _Beside(NamedTuple):
    """Real songs of about the length of one, read alike, and what is usual in them."""

    songs: MeasuredSongs
    norms: SongNorms | None
    bits_per_note: NDArray[np.float64]


class SongJudge:
    """Judges songs one by one.

    Parameters
    ----------
    reference : Reference
    style : str
        The style asked about: "is this pop?"
    progress : callable, optional
    """

    def __init__(self, reference: Reference, style: str, progress: Progress | None = None) -> None:
        self._reference, self._style, self._progress = reference, style, progress
        self._found: dict[tuple[float, ReadingKind], _Beside] = {}

    def judge(self, numbers: SongNumbers, compared: Compared | None, name: str, *, is_alone: bool) -> dict[str, Any]:
        """Return the judgement of a song.

        Parameters
        ----------
        numbers : SongNumbers
        compared : Compared or None
            Of `compare`.
        name : str
            Of its page.
        is_alone : bool
            Whether no other song is judged with it, which the notes then say.
        """
        song, piece = numbers.song, numbers.song.piece
        sheet = song.song.lead_sheet if song.song else None
        reading: ReadingKind = "written" if "written" in numbers.measured else "found"
        beside = self._beside(sheet.duration_seconds, reading) if sheet else None
        features: FeatureGroups = numbers.measured[reading].features if beside else {}
        gates = song_gates(
            features,
            beside.norms if beside else None,
            originality=compared.originality if compared else None,
            copy=compared.copy if compared else None,
        )
        return plain(
            {
                "name": name,
                "title": song.title,
                "file": str(song.path),
                "verdict": song_verdict(gates, kind=self._style),
                "notes": _notes(song, is_alone=is_alone),
                "key": song.key.name if song.key else None,
                "tempo_qpm": piece.tempo_qpm if piece else None,
                "meter": _meter(song),
                "bars": sheet.num_bars if sheet else piece.score.num_bars if piece else None,
                "seconds": sheet.duration_seconds if sheet else piece.seconds if piece else None,
                "form": str(sheet.form) if sheet else None,
                "reading": reading if sheet else None,
                "gates": [gate._asdict() for gate in gates],
                "figures": _places(features, beside.songs) if beside else [],
                "style": _style_beside(numbers.style, self._style),
                "originality": _shared(compared, self._reference.known_ids) if compared else None,
                "surprise": {
                    "bits_per_note": numbers.bits_per_note,
                    "by_bar": numbers.bar_bits,
                    "real": _band(beside.bits_per_note) if beside else None,
                },
                "adherence": numbers.adherence,
                "published": {family: numbers.published.get(family) for family in ("MusPy", "MusDr")},
            }
        )

    def _beside(self, seconds: float, reading: ReadingKind) -> _Beside:
        nearest = min(COMMON_LENGTHS, key=lambda one: abs(np.log(one / seconds)))
        if (nearest, reading) not in self._found:
            real, whole = (
                measured_over(self._reference, length, reading, self._progress) for length in (nearest, WHOLE)
            )
            songs = with_form_of(real.training, whole.training)
            norms = SongNorms.fit(songs) if songs.num_songs >= MIN_REAL_SONGS else None
            self._found[nearest, reading] = _Beside(songs, norms, real.bits_per_note)
        return self._found[nearest, reading]


def _notes(song: JudgedSong, *, is_alone: bool) -> list[str]:
    notes = [f"{problem[0].upper()}{problem[1:]}." for problem in song.problems]
    if is_alone and song.song is not None:
        notes.append(
            "One song has no distribution: it is held against the range of real songs here. How songs spread is "
            f"judged of a set, reliably from {FEW_SONGS} songs on."
        )
    return notes


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


def _shared(compared: Compared, known_ids: tuple[str, ...]) -> dict[str, Any]:
    """Return what is shared with known songs, bars counted from 1."""
    line, found, copy = compared
    start = found.melody_start
    shared: dict[str, Any] = {
        "melody_run": found.melody_run,
        "melody_start_bar": int(line.lead_sheet.melody["onset_step"][start]) // STEPS_PER_BAR + 1
        if start >= 0
        else None,
        "source": known_ids[found.melody_source] if found.melody_source >= 0 else None,
        "coverage": found.coverage,
        "piano_run": found.piano_run,
        "copy": None,
    }
    if copy.is_copy:
        shared["source"] = known_ids[copy.source]
        shared["copy"] = {
            "score": copy.score,
            "source": known_ids[copy.source],
            "alteration": copy.alteration,
            "bars": len(copy.bars),
            "first_bar": copy.bars[0][0] + 1,
            "first_source_bar": copy.bars[0][1] + 1,
        }
    return shared
