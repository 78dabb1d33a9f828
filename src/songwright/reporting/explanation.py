"""A song explained: what surprised the network, what it would rather have written, where each bar comes from.

`explain` gathers all facts of one song, as numbers and words ready for JSON; `explanation_page`, `explanation_plots`
and `explanation_words` show them. Bars and notes count from 1 in words and JSON, from 0 in arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.corpus.piece import MAX_BARS, Piece, lead_song
from songwright.errors import ConfigError, InputError
from songwright.evaluation.norms import MIN_REAL_SONGS
from songwright.evaluation.reading import JudgedSong
from songwright.explanation.alternatives import NoteAlternatives, note_alternatives
from songwright.explanation.attention import SongAttention, lead_sheet_weights, song_attention
from songwright.explanation.likelihood import Reading, ShippedNetwork, Surprise, read, surprise_of
from songwright.explanation.sources import (
    BarSources,
    Source,
    bar_relation,
    bar_sources,
    source_matrix,
)
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.grid_score import GridScore
from songwright.score.lead_sheet import Form, Phrase
from songwright.score.song import Song

Method = Literal["silencing", "attention"]
Progress = Callable[[int, int], None]

MAX_SONG_BARS: Mapping[Method, int] = {"silencing": 160, "attention": MAX_BARS}
"""Bars that are explained: the time of silencing grows with their square (half a minute for 160)."""
NUM_ALTERNATIVES = 4
"""Choices named at each decision."""


class RealSurprise(NamedTuple):
    """Bits per note of held-out real songs under the same network: how many songs, and 5, 25, 50, 75, 95 % of them."""

    num_songs: int
    percentiles: tuple[float, float, float, float, float]

    @classmethod
    def of(cls, bits_per_note: NDArray[np.float64]) -> RealSurprise | None:
        """Return what songs cost, NaN left out; None where fewer than MIN_REAL_SONGS are left."""
        known = bits_per_note[np.isfinite(bits_per_note)]
        if len(known) < MIN_REAL_SONGS:
            return None
        low, first, middle, third, high = np.percentile(known, [5, 25, 50, 75, 95]).tolist()
        return cls(len(known), (low, first, middle, third, high))


@dataclass(frozen=True, eq=False)
class Explanation:
    """A song and all that explains it.

    Attributes
    ----------
    title : str
    song : Song
        In the key that it starts in.
    reading : Reading
    surprise : Surprise
    notes : tuple of NoteAlternatives
        Of every melody note, in order.
    attention : SongAttention or None
        Where every bar looked, and what came through the copy gates; None where the network is no Transformer.
    matrix : ndarray, shape (num_bars, num_bars)
        What each bar (row) takes from each earlier one (column), nats a note: by silencing how far its notes lose in
        log-probability without the earlier bar, by attention `SongAttention.looked_at`.
    sources : tuple of BarSources
        Of every bar, in order; without text where they were not asked for.
    method : {"silencing", "attention"}
        Where `matrix` comes from.
    network : str
        Which network was asked, in words.
    remarks : tuple of str
        What a reader should know of the song as it was read, as sentences.
    real : RealSurprise or None
        What real songs cost the network; None where that is not known.
    """

    title: str
    song: Song
    reading: Reading
    surprise: Surprise
    notes: tuple[NoteAlternatives, ...]
    attention: SongAttention | None
    matrix: NDArray[np.float64]
    sources: tuple[BarSources, ...]
    method: Method
    network: str
    remarks: tuple[str, ...]
    real: RealSurprise | None = None

    @property
    def num_bars(self) -> int:
        """Bars explained."""
        return self.song.lead_sheet.num_bars

    @property
    def bar_surprise(self) -> list[float | None]:
        """Bits a note of each bar; None without notes."""
        counts = self.surprise.bar_notes.tolist()
        return [
            bits / count if count else None for bits, count in zip(self.surprise.bar_bits.tolist(), counts, strict=True)
        ]

    def most_surprising_bars(self, count: int) -> list[int]:
        """Return the bars (from 0) of at least two notes with the most bits a note, the highest first."""
        values = np.array([value or 0.0 for value in self.bar_surprise])
        values[self.surprise.bar_notes < 2] = 0
        return [int(bar) for bar in np.argsort(-values, kind="stable")[:count] if values[bar] > 0]

    def most_surprising_notes(self, count: int) -> list[int]:
        """Return the notes (from 0) with the most bits, the highest first."""
        return np.argsort(-self.surprise.note_bits, kind="stable")[:count].tolist()

    def notes_of_bar(self, bar: int) -> list[int]:
        """Return the notes (from 0) that start in a bar (from 0)."""
        return np.flatnonzero(self.surprise.note_bars == bar).tolist()


def explain(
    song: Song,
    network: ShippedNetwork,
    *,
    title: str,
    network_name: str = "pop, int8",
    method: Method = "silencing",
    bar: int | None = None,
    is_whole: bool = True,
    remarks: tuple[str, ...] = (),
    real: RealSurprise | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Return all that explains a song.

    Parameters
    ----------
    song : Song
        In any key; a file gives one by `explainable_song`.
    network : ShippedNetwork
    title, network_name : str
        As they are to be shown.
    method : {"silencing", "attention"}
        How the sources of bars are found: exactly, by silencing each bar in turn, or by where the network looked.
    bar : int, optional
        A bar (from 0) that is looked into more closely: bars that stand in for each other are told apart.
    is_whole : bool
        Whether the sources of all bars are found; by silencing this takes most of the time.
    remarks : tuple of str
        What to know of the song as it was read.
    real : RealSurprise, optional
        What real songs cost the network.
    progress : callable, optional
        Called with (bars done, bars to do).

    Raises
    ------
    InputError
        If the song has no such bar, no chords, or notes that a lead sheet cannot have.
    ConfigError
        If attention is to be the method, and the network is no Transformer.
    """
    num_bars = song.lead_sheet.num_bars
    if bar is not None and not 0 <= bar < num_bars:
        raise InputError(f"there is no bar {bar + 1} among the {num_bars} bars that are explained")
    has_attention = network.family == "transformer"
    if method == "attention" and not has_attention:
        raise ConfigError(
            f"--fast reads the attention of a transformer, and {network_name} is of the family {network.family}: "
            "leave it out"
        )
    reading = read(song, network)
    attention = song_attention(song, lead_sheet_weights(path=network.path)) if has_attention else None
    matrix = np.zeros((num_bars, num_bars))
    sources = [BarSources(number + 1, (), "") for number in range(num_bars)]
    if method == "attention" and attention is not None:
        matrix = attention.looked_at
        sources = [_looked_at(attention, number) for number in range(num_bars)]
    else:
        if is_whole:
            found = source_matrix(song, network, progress=progress)
            matrix = found.nats_per_note
            sources = [found.sources(number) for number in range(num_bars)]
        if bar is not None:
            sources[bar] = bar_sources(song, bar, network)
    return Explanation(
        title, song, reading, surprise_of(reading), tuple(note_alternatives(reading, count=NUM_ALTERNATIVES)),
        attention, matrix, tuple(sources), method, network_name, remarks, real,
    )  # fmt: skip


def _looked_at(attention: SongAttention, bar: int) -> BarSources:
    """Return where a bar looked as its sources."""
    found, score = attention.bar(bar), attention.looked_at[bar]
    return BarSources(
        bar + 1,
        tuple(
            Source(one.bar, float(score[one.bar - 1]), one.place, bar_relation(attention.sheet, bar, one.bar - 1))
            for one in found.looked_at
        ),
        found.text,
    )


def explainable_song(judged: JudgedSong, *, max_bars: int) -> tuple[Song, tuple[str, ...]]:
    """Return a song of at most `max_bars` bars in the key it starts in, and what to know of it.

    Raises
    ------
    InputError
        If it is no song in 4/4 with a melody.
    """
    piece, song, key = judged.piece, judged.song, judged.key
    remarks: list[str] = []
    if piece is not None and piece.score.num_bars > max_bars and piece.score.is_common_time and piece.keys:
        song = lead_song(first_bars(piece, max_bars))
        key = piece.keys[0].key
        remarks.append(f"Of {piece.score.num_bars} bars the first {max_bars} are explained.")
    if song is None or key is None:
        reason = judged.problems[0] if judged.problems else "no song in 4/4 with a melody was found in it"
        raise InputError(f"{judged.path}: {reason}; a melody in 4/4 over chords can be explained")
    if judged.reading == "found" or remarks:
        remarks.append("Melody, chords, phrases and key were found in the notes.")
    if judged.song is not None:
        remarks += [f"{problem[0].upper()}{problem[1:]}." for problem in judged.problems]
    changes = (
        {region.key.fifths for region in piece.keys} if piece is not None and judged.reading == "found" else set[int]()
    )
    if len(changes) > 1:
        remarks.append(f"It changes key; everything is shown as if it stayed in {key.name}, as the network reads it.")
    return song.transpose(-key.semitones_to_normal), tuple(remarks)


def first_bars(piece: Piece, num_bars: int) -> Piece:
    """Return the notes, chords and phrases that start in the first bars of a piece."""
    end = int(piece.score.bar_starts[num_bars])

    def cut(notes: NDArray[np.void]) -> NDArray[np.void]:
        kept = notes[notes["onset_step"] < end].copy()
        kept["duration_step"] = np.minimum(kept["duration_step"], end - kept["onset_step"])
        return kept

    score = GridScore(
        tuple(replace(track, notes=cut(track.notes)) for track in piece.score.tracks),
        num_bars,
        tuple(meter for meter in piece.score.meters if meter.bar < num_bars),
        tuple(tempo for tempo in piece.score.tempos if tempo.bar < num_bars),
    )
    form = None
    if piece.form is not None:
        spans = zip(piece.form.phrases, piece.form.start_bars, strict=True)
        form = Form(
            tuple(
                Phrase(phrase.letter, min(phrase.num_bars, num_bars - start))
                for phrase, start in spans
                if start < num_bars
            )
        )
    return replace(
        piece,
        score=score,
        keys=tuple(region for region in piece.keys if region.bar < num_bars),
        chords=tuple(change for change in piece.chords if change.onset_step < end),
        melody=cut(piece.melody),
        piano=cut(piece.piano),
        form=form,
    )


def phrase_place(form: Form, bar: int) -> str:
    """Return where a bar (from 0) lies in the form, such as `B (2), bar 3 of 8`.

    Examples
    --------
    >>> phrase_place(Form.parse("A4B8A4"), 13)
    'A (2), bar 2 of 4'
    """
    place = int(np.searchsorted(form.start_bars, bar, side="right")) - 1
    return f"{form.section_names()[place]}, bar {bar - form.start_bars[place] + 1} of {form.phrases[place].num_bars}"


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Return the whole explanation as values for JSON."""
    surprise, sheet = explanation.surprise, explanation.song.lead_sheet
    bars: list[dict[str, Any]] = [
        {
            "bar": bar + 1,
            "place": phrase_place(sheet.form, bar),
            "notes": int(surprise.bar_notes[bar]),
            "bits_per_note": _rounded(value),
            "chord_bits": _rounded(float(surprise.bar_chord_bits[bar])),
        }
        for bar, value in enumerate(explanation.bar_surprise)
    ]
    for row, found in zip(bars, explanation.sources, strict=False):
        row["takes_from"] = found.text
        row["looked_at"] = "" if explanation.attention is None else explanation.attention.bar(found.bar - 1).text
        row["sources"] = [
            {"bar": one.bar, "nats_per_note": _rounded(one.nats_per_note), "place": one.place, "relation": one.relation}
            for one in found.sources
        ]  # fmt: skip
    notes = [
        {
            "note": note.note + 1,
            "bar": note.bar,
            "step_in_bar": note.onset_step % STEPS_PER_BAR,
            "pitch": int(sheet.melody["pitch"][note.note]),
            "bits": _rounded(float(surprise.note_bits[note.note])),
            **{
                decision.kind: {
                    "chosen": decision.chosen.text,
                    "probability": _rounded(decision.chosen.probability, 4),
                    "rank": decision.rank,
                    "alternatives": [
                        {"text": one.text, "probability": _rounded(one.probability, 4), "is_chosen": one.is_chosen}
                        for one in decision.alternatives
                    ],
                }
                for decision in (note.onset, note.pitch, note.duration)
            },
        }
        for note in explanation.notes
    ]
    return {
        "title": explanation.title,
        "network": explanation.network,
        "method": explanation.method,
        "remarks": list(explanation.remarks),
        "key": sheet.key.name,
        "tempo_qpm": round(float(sheet.tempo_qpm), 3),
        "form": str(sheet.form),
        "bits_per_note": _rounded(surprise.bits_per_note),
        "bits_per_note_first": _rounded(surprise.bits_per_note_first),
        "bits_per_note_later": _rounded(surprise.bits_per_note_later),
        "bits_per_chord": _rounded(surprise.bits_per_chord),
        "bars": bars,
        "notes": notes,
        "heads": [
            {
                "layer": head.layer,
                "head": head.head,
                "name": head.name,
                "shares": {k: _rounded(v) for k, v in head.shares.items()},
            }
            for head in (() if explanation.attention is None else explanation.attention.heads)
        ],
    }


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), digits)
