"""Phrases varied and compared by the latent numbers of an autoencoder.

A phrase is coded (mean of its posterior), the code moved towards a random one, and written again under the same chords.
Writing couples two decoders over the new melody: one reads the old code, one the new. A token of the old melody stays
with probability min(1, p_new / p_old), else one is drawn from the part of p_new above p_old: a maximal coupling [1]_.
So an unmoved code keeps every note, those too that the code alone would not give back, and a moved one changes what it
disagrees with.
Knows lead sheets in C major or A minor, and scores in ticks to put a phrase into.

References
----------
.. [1] Thorisson, "Coupling, Stationarity, and Regeneration", Springer 2000, chapter 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.composition.weights import find_style
from songwright.engine.phrases import PhraseCoder
from songwright.errors import InputError
from songwright.score.elements import NOTE_DTYPE, Score, Track, sort_notes
from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR, STEPS_PER_SIXTEENTH
from songwright.score.grid_score import BeatGrid
from songwright.score.lead_sheet import LeadSheet
from songwright.tokens.lead_sheet import BAR, DUR_0, EOS, PITCH_0, POS_0, VOCABULARY
from songwright.tokens.phrases import (
    CHANNELS,
    PhraseSetting,
    PhraseState,
    phrase_notes,
    pieces,
    song_phrase,
    trace_phrase,
)

CUTOFF = 0.02
"""Tokens less likely than this under the new code are not drawn in place of an old one."""


@dataclass(frozen=True, eq=False)
class Variation:
    """A phrase written again.

    Attributes
    ----------
    sheet : LeadSheet
        The song with the new phrase.
    notes : ndarray of GRID_NOTE_DTYPE
        Of the phrase, steps counted from the start of the song.
    similarity : float
        Cosine of the codes of the old phrase and the new one, -1 to 1.
    overlap : float
        `note_overlap` of both.
    num_changed : int
        Notes of the old phrase that are not in the new one (onset and pitch).
    """

    sheet: LeadSheet
    notes: NDArray[np.void]
    similarity: float
    overlap: float
    num_changed: int


class PhraseModel:
    """The autoencoder of a style, as songs see it.

    Parameters
    ----------
    style : str
    weights : Path, optional
        Folder of styles, in place of the one that ships.

    Raises
    ------
    ConfigError, WeightsError
        If the style is unknown, or its network of phrases is missing, damaged or of another version.
    """

    def __init__(self, style: str = "pop", *, weights: Path | None = None) -> None:
        folder = find_style(style, weights).path
        self._coder = PhraseCoder(folder, fingerprint=VOCABULARY.fingerprint, channel_sizes=CHANNELS.sizes)

    def code(self, sheet: LeadSheet, phrase: int) -> NDArray[np.float32]:
        """Return the code of a phrase of the form, counted from 0: one row for each of its pieces of eight bars.

        Parameters
        ----------
        sheet : LeadSheet
            In C major or A minor.

        Returns
        -------
        ndarray, shape (num_pieces, latent_dim)
        """
        means = [self._mean(*song_phrase(sheet, *piece)) for piece in phrase_pieces(sheet, phrase)]
        return np.array(means, dtype=np.float32).reshape(len(means), self._coder.latent_dim)

    def vary(self, sheet: LeadSheet, phrase: int, amount: float, rng: np.random.Generator) -> Variation:
        """Write a phrase again.

        Parameters
        ----------
        sheet : LeadSheet
            In C major or A minor.
        phrase : int
            Of the form, counted from 0.
        amount : float
            0 keeps the phrase, 1 forgets it: the code becomes sqrt(1 - amount²) mean + amount * noise.
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            If there is no such phrase or it has no notes.
        """
        old = notes_of_phrase(sheet, phrase)
        varied = sheet
        for first_bar, num_bars in phrase_pieces(sheet, phrase):
            tokens, setting = song_phrase(varied, first_bar, num_bars)
            mean = self._mean(tokens, setting)
            noise = rng.standard_normal(mean.shape).astype(np.float32)
            moved = np.sqrt(1 - amount**2) * mean + amount * noise
            notes = phrase_notes(self._write(tokens, setting, mean, moved, rng))
            notes["onset_step"] += first_bar * STEPS_PER_BAR
            varied = _with_notes(varied, first_bar, num_bars, notes)
        new = notes_of_phrase(varied, phrase, may_be_empty=True)
        common = len(_places(old) & _places(new))
        return Variation(
            varied,
            new,
            code_similarity(self.code(sheet, phrase), self.code(varied, phrase)),
            note_overlap(old, new),
            len(old) - common,
        )

    def _mean(self, tokens: NDArray[np.integer], setting: PhraseSetting) -> NDArray[np.float32]:
        return self._coder.encode(tokens[:-1], trace_phrase(tokens, setting)).mean

    def _write(
        self,
        old_tokens: NDArray[np.integer],
        setting: PhraseSetting,
        old_code: NDArray[np.float32],
        new_code: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Return the tokens of a phrase under a new code, coupled to the old one."""
        writer, state, old = self._coder.write(np.stack([old_code, new_code])), PhraseState(setting), _Old(old_tokens)
        offsets = np.array(CHANNELS.offsets)
        written = [BAR]
        while not state.is_finished:
            channels = np.array(state.channels()) + offsets
            logits = writer.step(np.full((2, 1), written[-1]), np.tile(channels, (2, 1, 1)))[:, 0]
            mask = state.mask()
            if len(written) == setting.num_bars and mask[POS_0:].any():
                mask[EOS] = False  # only bar lines so far: a phrase has a note
            old_chance, new_chance = (_chances(row, mask) for row in logits)
            token = _coupled(old.following(written[-1], mask), old_chance, new_chance, rng)
            state.advance(token)
            old.advance(token)
            written.append(token)
        return np.array(written)


class _Old:
    """What the old melody has at the place where the new one is being written."""

    def __init__(self, tokens: NDArray[np.integer]) -> None:
        self._notes: dict[tuple[int, int], tuple[int, int]] = {}
        bar, position, pitch = -1, -1, -1
        for token in tokens.tolist():
            if token == BAR:
                bar += 1
            elif POS_0 <= token < PITCH_0:
                position = token
            elif PITCH_0 <= token < DUR_0:
                pitch = token
            elif token >= DUR_0:
                self._notes[bar, position] = pitch, token
        self._bar, self._position = 0, -1

    def advance(self, token: int) -> None:
        if token == BAR:
            self._bar, self._position = self._bar + 1, -1
        elif POS_0 <= token < PITCH_0:
            self._position = token

    def following(self, last: int, mask: NDArray[np.bool_]) -> int | None:
        """Return the token that the old melody has next, None where it has no note here."""
        if POS_0 <= last < DUR_0:
            pitch, duration = self._notes.get((self._bar, self._position), (None, None))
            token = pitch if last < PITCH_0 else duration
            return token if token is not None and mask[token] else None
        starts = [position for bar, position in self._notes if bar == self._bar and mask[position]]
        if starts:
            return min(starts)
        return next((token for token in (BAR, EOS) if mask[token]), None)


def _chances(logits: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    weights = np.where(mask, np.exp(logits.astype(np.float64) - logits[mask].max()), 0.0)
    return weights / weights.sum()


def _coupled(token: int | None, old: NDArray[np.float64], new: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Draw a token by its chances `new`, coupled to one that was drawn by its chances `old`."""
    if token is not None:
        if rng.random() * old[token] <= new[token]:
            return token
        new = np.maximum(new - old, 0.0)
        new = new / new.sum()
    kept = np.where(new >= min(CUTOFF, new.max()), new, 0.0)
    return int(rng.choice(len(kept), p=kept / kept.sum()))


def phrase_pieces(sheet: LeadSheet, phrase: int) -> list[tuple[int, int]]:
    """Return (first bar, bars) of the pieces of a phrase, counted from 0, that hold notes."""
    start, num_bars = sheet.form.start_bars[phrase], sheet.form.phrases[phrase].num_bars
    bars = sheet.melody["onset_step"] // STEPS_PER_BAR
    found = pieces(np.array([start]), start + num_bars)
    return [(first, length) for first, length in found if ((bars >= first) & (bars < first + length)).any()]


def notes_of_phrase(sheet: LeadSheet, phrase: int, *, may_be_empty: bool = False) -> NDArray[np.void]:
    """Return the melody notes of a phrase, counted from 0, steps from the start of the song.

    Raises
    ------
    InputError
        If there is no such phrase, or it has no notes.
    """
    form = sheet.form
    if not 0 <= phrase < len(form.phrases):
        raise InputError(f"there is no phrase {phrase + 1}: the song has {len(form.phrases)} ({form})")
    start = form.start_bars[phrase] * STEPS_PER_BAR
    end = start + form.phrases[phrase].num_bars * STEPS_PER_BAR
    onset = sheet.melody["onset_step"]
    notes = sheet.melody[(onset >= start) & (onset < end)]
    if not len(notes) and not may_be_empty:
        sung = [str(number + 1) for number in range(len(form.phrases)) if phrase_pieces(sheet, number)]
        raise InputError(f"phrase {phrase + 1} has no melody to vary; these have: {', '.join(sung)}")
    return notes


def code_similarity(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return how alike two phrases are by `PhraseModel.code`: the mean cosine of their pieces, as many as both have."""
    cosines = [
        float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-9))
        for one, other in zip(first, second, strict=False)
    ]
    return float(np.mean(cosines)) if cosines else 0.0


def note_overlap(first: NDArray[np.void], second: NDArray[np.void]) -> float:
    """Return |common notes| / |union| of two melodies, a note being (onset, pitch); 1 if both are empty.

    Examples
    --------
    >>> one = np.array([(0, 12, 60), (12, 12, 62)], dtype=GRID_NOTE_DTYPE)
    >>> other = np.array([(0, 24, 60), (12, 12, 64)], dtype=GRID_NOTE_DTYPE)
    >>> round(note_overlap(one, other), 3)
    0.333
    """
    ours, theirs = _places(first), _places(second)
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0


def _places(notes: NDArray[np.void]) -> set[tuple[int, int]]:
    return set(zip(notes["onset_step"].tolist(), notes["pitch"].tolist(), strict=True))


def _with_notes(sheet: LeadSheet, first_bar: int, num_bars: int, notes: NDArray[np.void]) -> LeadSheet:
    """Return the lead sheet with other notes in some bars."""
    bar = sheet.melody["onset_step"] // STEPS_PER_BAR
    melody = np.concatenate([sheet.melody[bar < first_bar], notes, sheet.melody[bar >= first_bar + num_bars]])
    return replace(sheet, melody=melody.astype(GRID_NOTE_DTYPE))


def put_phrase(
    score: Score, grid: BeatGrid, old: NDArray[np.void], new: NDArray[np.void], *, is_joined: bool = False
) -> Score:
    """Return a score in which the notes of a phrase are replaced; all others stay as they are.

    Parameters
    ----------
    score : Score
    grid : BeatGrid
        Where the steps of the notes fall in the score.
    old, new : ndarray of GRID_NOTE_DTYPE
        In the score's own key, steps from the start of the song. A new note is as loud as the old one nearest in time,
        and goes into the track that had most of the old ones.
    is_joined : bool
        Lengthen a new note over a gap of a sixteenth to where the next one starts, as `rendering.performance` does.

    Raises
    ------
    InputError
        If the old notes are not found in the score.
    """
    ticks = np.rint(grid.steps_to_ticks(old["onset_step"])).astype(np.int64).tolist()
    places = list(zip(ticks, old["pitch"].tolist(), strict=True))
    # Parts double the melody: each note is looked for first in the track that has most of them.
    reach = score.ticks_per_quarter // 2
    counts = [sum(_row(track, place, reach) is not None for place in places) for track in score.tracks]
    order = sorted(range(len(counts)), key=lambda number: -counts[number])
    gone: list[set[int]] = [set() for _ in score.tracks]
    velocities: list[tuple[int, int]] = []
    for place in places:
        rows = ((number, _row(score.tracks[number], place, reach)) for number in order)
        number, row = next(((number, row) for number, row in rows if row is not None), (0, None))
        if row is not None:
            gone[number].add(row)
            velocities.append((place[0], int(score.tracks[number].notes["velocity"][row])))
    if not velocities:
        raise InputError("the melody of this phrase is not found among the notes of the file")
    home = order[0]
    added = _played(new, grid, score.ticks_per_quarter, velocities, is_joined=is_joined)
    tracks: list[Track] = []
    for number, (track, rows) in enumerate(zip(score.tracks, gone, strict=True)):
        kept = np.delete(track.notes, sorted(rows))
        notes = sort_notes(np.concatenate([kept, added])) if number == home else kept
        tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks))


def _row(track: Track, place: tuple[int, int], reach: int) -> int | None:
    """Return the note of a track nearest to (tick, pitch), None where none of that pitch starts within reach."""
    tick, pitch = place
    rows = np.flatnonzero(track.notes["pitch"] == pitch)
    if track.is_drum or not len(rows):
        return None
    distance = np.abs(track.notes["onset_tick"][rows].astype(np.int64) - tick)
    return int(rows[distance.argmin()]) if distance.min() <= reach else None


def _played(
    notes: NDArray[np.void],
    grid: BeatGrid,
    ticks_per_quarter: int,
    velocities: Sequence[tuple[int, int]],
    *,
    is_joined: bool,
) -> NDArray[np.void]:
    """Return notes in ticks, as loud as the old ones (tick, velocity) nearest in time."""
    onset, end = notes["onset_step"], notes["onset_step"] + notes["duration_step"]
    if is_joined:
        gap = onset[1:] - end[:-1]
        end[:-1] += np.where(gap <= STEPS_PER_SIXTEENTH, gap, 0)
    played = np.empty(len(notes), dtype=NOTE_DTYPE)
    played["onset_tick"] = np.rint(grid.steps_to_ticks(onset))
    played["duration_tick"] = np.maximum(np.rint(grid.steps_to_ticks(end)) - played["onset_tick"], 1)
    # A pitch that is struck again needs a moment of silence before.
    room = np.diff(played["onset_tick"]) - ticks_per_quarter // 24
    is_again = notes["pitch"][1:] == notes["pitch"][:-1]
    shorter = np.minimum(played["duration_tick"][:-1], np.maximum(room, 1))
    played["duration_tick"][:-1] = np.where(is_again, shorter, played["duration_tick"][:-1])
    played["pitch"] = notes["pitch"]
    known = np.array(velocities)
    nearest = np.abs(played["onset_tick"][:, None] - known[:, 0]).argmin(axis=1)
    played["velocity"] = known[nearest, 1]
    return played
