"""A file of music as a song to be judged.

Songs come in two readings. *Written*: chords, phrases and key as the song was made with them (the plan in the JSON file
that `songwright compose` leaves beside its MIDI). *Found*: all three found again from the notes (`analysis`), as for
any file of unknown music. Songs and the real music beside them must be read alike: `found_reading` reads a song again.

What cannot be judged is said in words (`problems`) and never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.chords import find_chords
from songwright.analysis.half_bars import measure_half_bars
from songwright.analysis.keys import KeyRegion, find_keys
from songwright.analysis.phrases import find_phrases
from songwright.corpus.cleaning import CleaningConfig, Rejection
from songwright.corpus.piece import MAX_BARS, MIN_BARS, MIN_MELODY_NOTES, Piece, analyse, lead_song
from songwright.corpus.reading import read_scores
from songwright.corpus.sources import FORMATS, SourceFile
from songwright.errors import InputError
from songwright.score.elements import Score, Track
from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR, STEPS_PER_BEAT, grid_notes
from songwright.score.grid_score import TRACK_NOTE_DTYPE, BarTempo, BeatGrid, GridScore, GridTrack
from songwright.score.lead_sheet import ChordChange, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song
from songwright.score.spelling import read_chord_name

ReadingKind = Literal["written", "found"]

MELODY_TRACK = "MELODY"
"""Name of the melody's track in composed files."""

# Judging takes what a corpus would leave out; only what is no music at all is refused.
_LENIENT = CleaningConfig(
    min_notes=1, min_seconds=0, max_seconds=7200, min_distinct_pitches=1, max_simultaneous=10_000,
    min_beat_confidence=0, min_share_on_grid=0,
)  # fmt: skip
_FOUND = "chords and form were found from the notes"
_VELOCITY = 80  # of songs on the grid, which have no loudness


@dataclass(frozen=True, eq=False)
class JudgedSong:
    """A song as read from a file.

    Attributes
    ----------
    name : str
        Of the file, without its ending.
    path : Path
    score : Score
        The notes in ticks, as in the file.
    piece : Piece or None
        All that analysis finds in the notes; None where it finds nothing to work on.
    key : Key or None
        As written, else as found at the start; not normalised.
    song : Song or None
        In C major or A minor; None where it is no song in 4/4 with a melody.
    reading : {"written", "found"}
        Where the chords and phrases of `song` come from.
    plan : mapping
        Content of the JSON file that `songwright compose` wrote beside the music; None without one.
    problems : tuple of str
        What cannot be judged and why, as sentences without a full stop.
    """

    name: str
    path: Path
    score: Score
    piece: Piece | None = None
    key: Key | None = None
    song: Song | None = None
    reading: ReadingKind = "found"
    plan: Mapping[str, Any] | None = None
    problems: tuple[str, ...] = ()

    @property
    def grid(self) -> GridScore | None:
        """The notes on the grid, in any metre."""
        return self.piece.score if self.piece else None

    @property
    def title(self) -> str:
        """Title of the plan, else the name of the file."""
        title = (self.plan or {}).get("title")
        return title if isinstance(title, str) and title.strip() else self.name


def read_song(path: Path) -> JudgedSong:
    """Read a file of music to judge it.

    Parameters
    ----------
    path : Path
        MIDI, MusicXML or ABC (the first tune of a book).

    Raises
    ------
    InputError
        If the file cannot be read or is of another kind.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file of notes")
    kind = FORMATS.get(path.suffix.lower())
    if kind in (None, "audio"):
        raise InputError(f"{path}: not a file of notes; give a MIDI, MusicXML or ABC file")
    if not path.is_file():
        raise InputError(f"{path} does not exist: give a file of notes")
    found = read_scores(SourceFile(source="", piece_id=path.stem, path=path, format=kind, work=path.stem))
    if not found:
        raise InputError(f"{path}: there is no music in it")
    score = found[0].score
    plan, doubts = read_plan(path)
    grid = _grid_in_ticks(score) if plan else None
    piece = analyse(score, title=path.stem, grid=grid, cleaning=_LENIENT)
    if isinstance(piece, Rejection):
        return JudgedSong(path.stem, path, score, plan=plan, problems=(piece.detail, *doubts))
    if plan:
        written = _as_planned(piece, score, plan)
        song = lead_song(written) if written else None
        if written and song:
            return JudgedSong(path.stem, path, score, piece, written.keys[0].key, song, "written", plan)
    song = lead_song(piece)
    problems = doubts if song else (why_no_song(piece), *doubts)
    if plan:
        problems += (f"the plan in {path.with_suffix('.json').name} does not fit the notes, so {_FOUND}",)
    key = piece.keys[0].key if piece.keys else None
    return JudgedSong(path.stem, path, score, piece, key, song, "found", plan, problems)


def read_plan(path: Path) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    """Return the JSON that `songwright compose` wrote beside a song, None where there is none, and what is wrong."""
    file = path.with_suffix(".json")
    if not file.is_file():
        return None, ()
    try:
        plan = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # no JSON, or a thousand brackets deep
        return None, (f"the plan in {file.name} cannot be read, so {_FOUND}",)
    is_plan = isinstance(plan, dict) and {"songwright", "form", "key", "chords"} <= plan.keys()
    return (plan if is_plan else None), ()


def has_plan(path: Path) -> bool:
    """Whether a plan lies beside a song, readable or damaged: nothing may be written over it."""
    plan, doubts = read_plan(path)
    return plan is not None or bool(doubts)


def why_no_song(piece: Piece) -> str:
    """Return why a piece is no song (`corpus.piece.lead_song`), in words."""
    score = piece.score
    if not score.is_common_time:
        meters = list(dict.fromkeys(f"{meter.numerator}/{meter.denominator}" for meter in score.meters))
        words = f"it is in {meters[0]}" if len(meters) == 1 else f"its metre changes ({', '.join(meters)})"
        return f"{words}, and songs are judged in 4/4"
    if score.num_bars < MIN_BARS:
        return f"it has {score.num_bars} bar{'s' * (score.num_bars != 1)}; a song is judged from {MIN_BARS} bars on"
    if score.num_bars > MAX_BARS:
        return f"it has {score.num_bars} bars; a song is judged up to {MAX_BARS}"
    if len(piece.melody) < MIN_MELODY_NOTES:
        return f"no melody was found in it ({len(piece.melody)} notes; {MIN_MELODY_NOTES} are needed)"
    return "no chords were found in its notes"


def melody_only(piece: Piece) -> Song | None:
    """Return the melody of a piece in any metre as a song without bars of its own, to be compared with other melodies.

    None where it has fewer than two notes, or ends after the last bar that a form can hold.
    """
    if len(piece.melody) < 2:
        return None
    melody = piece.melody.astype(GRID_NOTE_DTYPE)
    num_bars = int((melody["onset_step"] + melody["duration_step"]).max()) // STEPS_PER_BAR + 1
    phrases = ["A64"] * (num_bars // 64) + ([f"A{num_bars % 64}"] if num_bars % 64 else [])
    sheet = LeadSheet(Key(0), piece.tempo_qpm, Form.parse("".join(phrases)), (), melody)
    return Song(sheet, np.empty(0, dtype=GRID_NOTE_DTYPE))


def found_reading(song: Song) -> Song:
    """Return the song with key, chords and phrases found again from its notes, as those of any file are.

    Where nothing is found (too few notes), the song stays as it is.
    """
    sheet, score = song.lead_sheet, song_grid(song)
    if not score.num_notes:
        return song
    half_bars = measure_half_bars(score)
    chords = find_chords(score, half_bars)
    form = find_phrases(sheet.melody, chords, score.bar_starts, accompaniment=song.piano)
    piece = Piece(
        "", score, (), find_keys(score, half_bars), chords, sheet.melody, song.piano, form, sheet.duration_seconds,
        BeatGrid(np.arange(2.0)), 1.0, 1.0, 0,
    )  # fmt: skip
    return lead_song(piece) or song


def song_grid(song: Song) -> GridScore:
    """Return a song as a piece on the grid: melody and piano, all equally loud."""
    tracks = (
        GridTrack(MELODY_TRACK, _as_track(song.lead_sheet.melody), "melody"),
        GridTrack("PIANO", _as_track(song.piano), "chords"),
    )
    return GridScore(tracks, song.lead_sheet.num_bars, tempos=(BarTempo(0, song.lead_sheet.tempo_qpm),))


def _as_track(notes: NDArray[np.void]) -> NDArray[np.void]:
    track = np.empty(len(notes), dtype=TRACK_NOTE_DTYPE)
    for name in ("onset_step", "duration_step", "pitch"):
        track[name] = notes[name]
    track["velocity"] = _VELOCITY
    return track


def _grid_in_ticks(score: Score) -> BeatGrid:
    """Return the grid of the file's own quarter notes, in 4/4 from tick 0."""
    num_quarters = max(score.end_tick // score.ticks_per_quarter + 2, 8)
    return BeatGrid(np.arange(num_quarters, dtype=np.float64) * score.ticks_per_quarter)


def _as_planned(piece: Piece, score: Score, plan: Mapping[str, Any]) -> Piece | None:
    """Return the piece with durations, key, chords and form as planned; None where plan and notes do not fit.

    Onsets are taken from the ticks themselves: composed songs lie on the grid, which quantising may not see in swing.
    """
    try:
        key, form = Key.parse(str(plan["key"])), Form.parse(str(plan["form"]))
        chords = tuple(
            ChordChange(
                (int(change["bar"]) - 1) * STEPS_PER_BAR + (int(change["beat"]) - 1) * STEPS_PER_BAR // 4,
                read_chord_name(str(change["symbol"])),
            )
            for change in plan["chords"]
        )
        durations = [np.array(plan["durations"][name], dtype=np.int32) for name in (MELODY_TRACK, "PIANO")]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    melody = [track for track in score.tracks if track.name == MELODY_TRACK]
    steps = [change.onset_step for change in chords]
    if (
        len(melody) != 1
        or form.num_bars > MAX_BARS
        or not chords
        or steps != sorted(set(steps))
        or not 0 <= steps[0] <= steps[-1] < form.num_bars * STEPS_PER_BAR
    ):
        return None
    others = [track for track in score.tracks if track.name != MELODY_TRACK and not track.is_drum]
    parts = [_in_steps(tracks, score.ticks_per_quarter) for tracks in (melody, others)]
    for notes, duration in zip(parts, durations, strict=True):
        if notes is None or notes.shape != duration.shape or (duration < 1).any():
            return None
        notes["duration_step"] = duration
        if len(notes) and int(notes["onset_step"].max()) >= form.num_bars * STEPS_PER_BAR:
            return None
    return replace(
        piece,
        score=replace(piece.score, num_bars=form.num_bars),
        keys=(KeyRegion(0, key),),
        chords=chords,
        form=form,
        melody=parts[0],
        piano=parts[1],
    )


def _in_steps(tracks: Sequence[Track], ticks_per_quarter: int) -> NDArray[np.void] | None:
    """Return the notes of some tracks by (onset, pitch), durations 0; None where one lies off the grid."""
    onset, pitch = (
        np.concatenate([np.empty(0, np.int64), *(track.notes[name].astype(np.int64) for track in tracks)])
        for name in ("onset_tick", "pitch")
    )
    step, rest = np.divmod(onset * STEPS_PER_BEAT, ticks_per_quarter)
    if rest.any():
        return None
    return grid_notes(step, np.zeros(len(step), dtype=np.int64), pitch)
