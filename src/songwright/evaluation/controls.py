"""Songs that a judge must reject: music spoilt in a known way, and copies in disguise.

Real songs are the other half of the judge's own examination: they must pass. Each control is a pure function of a song,
a pool of other songs and a random generator, and returns a valid song. Controls of the kind `distribution` are new but
wrong, and made from songs that the judge's reference does not hold; those of the kind `copy` sound right but are not
new, and are made from songs that the model learned from. Copies are changed in melody and piano alike, so that neither
gives the other away. Knows how to spoil songs; judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.sequences import decode_melody_token, melody_tokens
from songwright.evaluation.excerpts import loop_bars, rearrange_bars, shuffle_bars
from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR, STEPS_PER_BEAT, STEPS_PER_SIXTEENTH, grid_notes
from songwright.score.lead_sheet import ChordChange, Form, LeadSheet, Phrase
from songwright.score.pitch import Key
from songwright.score.song import Song

_LONGEST_PHRASE = 64
_LONGEST_MARKOV_NOTE = 2 * STEPS_PER_BEAT


class Control(NamedTuple):
    """A way to make a song that must be rejected.

    Attributes
    ----------
    name : str
        For files and JSON.
    label : str
        In words, for tables.
    kind : {"distribution", "copy"}
        What is wrong with the result: it is not like real music, or it is not new.
    make : callable
        (song, pool, rng) -> Song. `pool` holds real songs, at least one, for controls that mix songs.
    """

    name: str
    label: str
    kind: Literal["distribution", "copy"]
    make: Callable[[Song, Sequence[Song], np.random.Generator], Song]


def shuffle_blocks(song: Song, rng: np.random.Generator, *, block_bars: int = 4) -> Song:
    """Return the song with its blocks of `block_bars` bars in random order (the last block may be shorter)."""
    num_bars = song.lead_sheet.num_bars
    starts = rng.permutation(np.arange(0, num_bars, block_bars))
    return rearrange_bars(
        song, np.concatenate([np.arange(start, min(start + block_bars, num_bars)) for start in starts])
    )


def randomize_notes(song: Song, rng: np.random.Generator, *, keeps_rhythm: bool = True) -> Song:
    """Return the song's chords under a melody and a piano of random pitches of its scale, each in its own range.

    Parameters
    ----------
    song : Song
    rng : numpy.random.Generator
    keeps_rhythm : bool
        Whether onsets and durations stay; otherwise as many notes start on random sixteenths.
    """
    end = song.lead_sheet.num_bars * STEPS_PER_BAR
    lines: list[NDArray[np.void]] = []
    for notes in (song.lead_sheet.melody, song.piano):
        changed = notes.copy()
        if len(notes):
            changed["pitch"] = rng.choice(_scale_in_range(song.lead_sheet.key, notes["pitch"]), len(notes))
            if not keeps_rhythm:
                changed["onset_step"] = rng.integers(0, end // STEPS_PER_SIXTEENTH, len(notes)) * STEPS_PER_SIXTEENTH
        lines.append(changed)
    return _with_notes(song, lines[0], lines[1])


def markov_melody(song: Song, pool: Sequence[Song], rng: np.random.Generator) -> Song:
    """Return the song with a melody from a first-order Markov chain over the melody tokens of the pool.

    The chain starts on the song's own first note and stays in its range and its scale; chords and piano are the song's.
    A song without melody is returned as it is.
    """
    melody = song.lead_sheet.melody
    chain = _successors(tuple(pool))
    if not len(melody) or not chain:
        return song
    scale = _scale_in_range(song.lead_sheet.key, melody["pitch"])
    low, high = int(scale[0]), int(scale[-1])
    onset, pitch = int(melody["onset_step"][0]), int(melody["pitch"][0])
    tokens = np.concatenate(list(chain.values()))
    token = int(rng.choice(tokens))
    notes: list[tuple[int, int, int]] = []
    while onset < song.lead_sheet.num_bars * STEPS_PER_BAR:
        interval, inter_onset = decode_melody_token(token)
        notes.append((onset, min(inter_onset * STEPS_PER_SIXTEENTH, _LONGEST_MARKOV_NOTE), pitch))
        onset += inter_onset * STEPS_PER_SIXTEENTH
        pitch += interval if low <= pitch + interval <= high else -interval
        pitch = int(scale[np.argmin(np.abs(scale - pitch))])
        token = int(rng.choice(chain.get(token, tokens)))
    return _with_notes(song, grid_notes(*np.array(notes, dtype=np.int64).T), song.piano)


def stitch_phrases(song: Song, pool: Sequence[Song], rng: np.random.Generator) -> Song:
    """Return the song's form filled with whole phrases of the pool, each letter from another song.

    Phrases of one letter are equal; melody, chords and piano stay together. As far as the pool goes, a phrase comes
    from a song of the same mode, is sung or not as its letter asks, and has the right length; else it is cut or
    repeated.
    """
    form = song.lead_sheet.form
    others = [pool[place] for place in rng.permutation(len(pool)) if pool[place] is not song] or [song]
    donors = [*_of_mode(others, song), *_of_mode(others, song, is_same=False)]
    chosen: dict[str, tuple[Song, int, int]] = {}
    for phrase in form.phrases:
        if phrase.letter not in chosen:
            chosen[phrase.letter] = _best_phrase(phrase, donors)
            donors = [donor for donor in donors if donor is not chosen[phrase.letter][0]] or donors
    parts = [part for phrase in form.phrases for part in _repeat_bars(*chosen[phrase.letter], phrase.num_bars)]
    melody, chords, piano = _join(parts)
    sheet = song.lead_sheet
    return Song(LeadSheet(sheet.key, sheet.tempo_qpm, form, chords, melody), piano)


def swap_melody(song: Song, pool: Sequence[Song], rng: np.random.Generator) -> Song:
    """Return the song with the melody of another one of its mode, cut or repeated to its length.

    Chords, piano and form stay. Other modes serve where the pool has no song of the same one.
    """
    others = [other for other in pool if other is not song] or [song]
    same_mode = _of_mode(others, song) or others
    donor = same_mode[int(rng.integers(len(same_mode)))]
    melody, _, _ = _join(_repeat_bars(donor, 0, donor.lead_sheet.num_bars, song.lead_sheet.num_bars))
    return _with_notes(song, melody, song.piano)


def transpose_copy(song: Song, rng: np.random.Generator) -> Song:
    """Return the song in another key, 1 to 6 semitones up or down, by octaves too where pitches would leave MIDI's."""
    semitones = int(rng.integers(1, 7)) * int(rng.choice([-1, 1]))
    pitches = np.concatenate([song.lead_sheet.melody["pitch"], song.piano["pitch"]])
    for moved in (semitones, -semitones):
        if not len(pitches) or (pitches.min() + moved >= 0 and pitches.max() + moved <= 127):
            return song.transpose(moved)
    return song


def ornament_copy(song: Song, rng: np.random.Generator, *, ornamented: float = 0.2, shifted: float = 1 / 3) -> Song:
    """Return the song with passing and neighbour notes in the melody and a shifted rhythm.

    Parameters
    ----------
    song : Song
    rng : numpy.random.Generator
    ornamented : float
        Share of melody notes that give their second half to another note of the scale: the one between it and the next
        note, or a neighbour. Notes shorter than an eighth have no room.
    shifted : float
        Share of the onsets, of melody and piano each, that move by a sixteenth or an eighth, where notes do not meet.
    """
    melody = _shift_onsets(_add_ornaments(song.lead_sheet, rng, ornamented), rng, shifted)
    return _with_notes(song, melody, _shift_onsets(song.piano, rng, shifted))


def delay_copy(song: Song, rng: np.random.Generator) -> Song:
    """Return the song with melody and piano moved by a sixteenth, an eighth or a quarter against the bar lines."""
    steps = int(rng.choice([-4, -2, -1, 1, 2, 4])) * STEPS_PER_SIXTEENTH
    melody, piano = song.lead_sheet.melody.copy(), song.piano.copy()
    melody["onset_step"] += steps
    piano["onset_step"] += steps
    return _with_notes(song, melody, piano)


def stretch_copy(song: Song, *, is_doubled: bool) -> Song:
    """Return the song in note values of twice or half the length; tempo stays.

    Halved onsets fall on whole sixteenths (the earlier one), so of two notes that meet the first stays. Phrases keep
    their letters; of halved phrases of one bar every second one is gone.
    """

    def moved(step: NDArray[np.int32]) -> NDArray[np.int32]:
        return step * 2 if is_doubled else step // (2 * STEPS_PER_SIXTEENTH) * STEPS_PER_SIXTEENTH

    lines: list[NDArray[np.void]] = []
    for notes in (song.lead_sheet.melody, song.piano):
        changed = notes.copy()
        changed["onset_step"] = moved(notes["onset_step"])
        changed["duration_step"] = np.maximum(moved(notes["duration_step"]), STEPS_PER_SIXTEENTH)
        lines.append(changed)
    sheet = song.lead_sheet
    bounds = np.array([*sheet.form.start_bars, sheet.num_bars])
    bounds = bounds * 2 if is_doubled else (bounds + 1) // 2
    phrases = [
        Phrase(phrase.letter, int(length))
        for phrase, num_bars in zip(sheet.form.phrases, np.diff(bounds), strict=True)
        for length in [*[_LONGEST_PHRASE] * (num_bars // _LONGEST_PHRASE), num_bars % _LONGEST_PHRASE]
        if length
    ]
    chords: dict[int, ChordChange] = {}
    for onset, chord in sheet.chords:
        step = onset * 2 if is_doubled else onset // (2 * STEPS_PER_BEAT) * STEPS_PER_BEAT
        chords.setdefault(step, ChordChange(step, chord))
    new_sheet = LeadSheet(sheet.key, sheet.tempo_qpm, Form(tuple(phrases)), tuple(chords.values()), sheet.melody[:0])
    return _with_notes(Song(new_sheet, song.piano[:0]), lines[0], lines[1])


def change_notes(song: Song, rng: np.random.Generator, *, share: float = 0.15) -> Song:
    """Return the song with a share of its notes on other pitches of the scale in the range of their line."""
    lines: list[NDArray[np.void]] = []
    for notes in (song.lead_sheet.melody, song.piano):
        changed = notes.copy()
        if len(notes):
            scale = _scale_in_range(song.lead_sheet.key, notes["pitch"])
            new_pitch = rng.choice(scale, len(notes))
            # A note that draws its own pitch takes the next one of the scale.
            same = new_pitch == notes["pitch"]
            new_pitch[same] = scale[(np.searchsorted(scale, new_pitch[same]) + 1) % len(scale)]
            is_changed = rng.permutation(len(notes)) < round(share * len(notes))
            changed["pitch"][is_changed] = new_pitch[is_changed]
        lines.append(changed)
    return _with_notes(song, lines[0], lines[1])


def _scale_in_range(key: Key, pitches: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the pitches of the scale from the lowest to the highest of some; those themselves if there are under two.

    The result is ascending and not empty.
    """
    between = np.arange(int(pitches.min()), int(pitches.max()) + 1)
    in_scale = between[np.isin(between % 12, list(key.pitch_classes))]
    return in_scale if len(in_scale) > 1 else np.unique(pitches).astype(np.int64)


@lru_cache(maxsize=1)
def _successors(pool: tuple[Song, ...]) -> dict[int, NDArray[np.int64]]:
    """Return for each melody token of the pool the tokens that follow it, once per occurrence."""
    sequences = [melody_tokens(song.lead_sheet.melody) for song in pool]
    first = np.concatenate([np.empty(0, np.int64), *(tokens[:-1] for tokens in sequences)])
    second = np.concatenate([np.empty(0, np.int64), *(tokens[1:] for tokens in sequences)])
    order = np.argsort(first, kind="stable")
    tokens, starts = np.unique(first[order], return_index=True)
    return dict(zip(tokens.tolist(), np.split(second[order], starts[1:]), strict=False)) if len(tokens) else {}


def _of_mode(others: Sequence[Song], song: Song, *, is_same: bool = True) -> list[Song]:
    """Return the songs whose mode is that of a song, or the other one."""
    is_minor = song.lead_sheet.key.is_minor
    return [other for other in others if (other.lead_sheet.key.is_minor == is_minor) == is_same]


def _best_phrase(wanted: Phrase, donors: Sequence[Song]) -> tuple[Song, int, int]:
    """Return (song, start bar, length) of the phrase that suits best: first sung alike, then length, then the order."""
    best: tuple[Song, int, int] = donors[0], 0, donors[0].lead_sheet.form.phrases[0].num_bars
    least = 2 * _LONGEST_PHRASE + 1
    for donor in donors:
        form = donor.lead_sheet.form
        for phrase, start in zip(form.phrases, form.start_bars, strict=True):
            cost = _LONGEST_PHRASE * (phrase.is_sung != wanted.is_sung) + abs(phrase.num_bars - wanted.num_bars)
            if cost < least:
                least, best = cost, (donor, start, phrase.num_bars)
        if least == 0:
            break
    return best


def _repeat_bars(song: Song, start: int, length: int, num_bars: int) -> list[Song]:
    """Return passages of a song, each from bar `start` and at most `length` bars, that fill `num_bars` together."""
    whole, rest = divmod(num_bars, length)
    lengths = [length] * whole + [rest] * (rest > 0)
    return [rearrange_bars(song, start + np.arange(count)) for count in lengths]


def _join(parts: Sequence[Song]) -> tuple[NDArray[np.void], tuple[ChordChange, ...], NDArray[np.void]]:
    """Return melody, chords and piano of songs one after another."""
    melody, piano = [np.empty(0, dtype=GRID_NOTE_DTYPE)], [np.empty(0, dtype=GRID_NOTE_DTYPE)]
    chords: list[ChordChange] = []
    start = 0
    for part in parts:
        for line, notes in ((melody, part.lead_sheet.melody), (piano, part.piano)):
            moved = notes.copy()
            moved["onset_step"] += start
            line.append(moved)
        for onset, chord in part.lead_sheet.chords:
            if not chords or chords[-1].chord != chord:
                chords.append(ChordChange(onset + start, chord))
        start += part.lead_sheet.num_bars * STEPS_PER_BAR
    return np.concatenate(melody), tuple(chords), np.concatenate(piano)


def _add_ornaments(sheet: LeadSheet, rng: np.random.Generator, share: float) -> NDArray[np.void]:
    """Return the melody with ornaments on a share of its notes: see `ornament_copy`."""
    melody = sheet.melody
    room = np.flatnonzero(melody["duration_step"][:-1] >= 2 * STEPS_PER_SIXTEENTH)
    if not len(room):
        return melody
    chosen = np.sort(rng.choice(room, min(len(room), round(share * len(melody))), replace=False))
    changed, added = melody.copy(), melody[chosen].copy()
    half = melody["duration_step"][chosen] // (2 * STEPS_PER_SIXTEENTH) * STEPS_PER_SIXTEENTH
    changed["duration_step"][chosen] = half
    added["onset_step"] += half
    added["duration_step"] -= half
    pitch, following = (melody["pitch"][places].astype(np.int64) for places in (chosen, chosen + 1))
    # Towards the next note if that is a third away or more, else a neighbour on a random side.
    is_step = np.abs(following - pitch) < 3
    direction = np.where(is_step, rng.choice([-1, 1], len(chosen)), np.sign(following - pitch))
    scale = np.isin(np.arange(140) % 12, list(sheet.key.pitch_classes))
    ornament = np.where(scale[np.clip(pitch + direction, 0, 127)], pitch + direction, pitch + 2 * direction)
    added["pitch"] = np.where((ornament < 0) | (ornament > 127), pitch, ornament)
    return np.concatenate([changed, added])


def _shift_onsets(notes: NDArray[np.void], rng: np.random.Generator, share: float) -> NDArray[np.void]:
    """Return notes with a share of the onsets moved by a sixteenth or an eighth, never to or past another onset."""
    notes = notes[np.argsort(notes["onset_step"], kind="stable")]
    onsets, group = np.unique(notes["onset_step"], return_inverse=True)
    moved = onsets.astype(np.int64)
    limits = np.concatenate([[-1], moved, [np.iinfo(np.int32).max]])
    for place in np.flatnonzero(rng.permutation(len(onsets)) < round(share * len(onsets))):
        for sixteenths in rng.permutation([-2, -1, 1, 2]):
            new = moved[place] + int(sixteenths) * STEPS_PER_SIXTEENTH
            if limits[place] < new < limits[place + 2]:
                moved[place] = limits[place + 1] = new
                break
    shifted = notes.copy()
    shifted["onset_step"] = moved[group]
    return shifted


def _with_notes(song: Song, melody: NDArray[np.void], piano: NDArray[np.void]) -> Song:
    """Return the song with other notes, made valid.

    Notes outside the bars go, the melody becomes one voice (of notes that start together the first given stays, and a
    note ends where the next one starts), and the piano strikes a pitch once at a time.
    """
    sheet = song.lead_sheet
    end = sheet.num_bars * STEPS_PER_BAR
    lines: list[NDArray[np.void]] = []
    for notes, keys in ((melody, ["onset_step"]), (piano, ["onset_step", "pitch"])):
        inside = notes[(notes["onset_step"] >= 0) & (notes["onset_step"] < end)]
        code = inside["onset_step"].astype(np.int64) * 128
        code += inside["pitch"] if "pitch" in keys else 0
        _, first = np.unique(code, return_index=True)
        kept = inside[first].copy()
        following = np.append(kept["onset_step"][1:], end)[: len(kept)] if len(keys) == 1 else end
        kept["duration_step"] = np.minimum(kept["duration_step"], following - kept["onset_step"])
        lines.append(kept)
    return Song(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, lines[0]), lines[1])


def _alone(make: Callable[..., Song], **options: object) -> Callable[[Song, Sequence[Song], np.random.Generator], Song]:
    """Return a control that needs no pool."""

    def control(song: Song, pool: Sequence[Song], rng: np.random.Generator) -> Song:
        return make(song, rng, **options)

    return control


def _stretched(song: Song, pool: Sequence[Song], rng: np.random.Generator, *, is_doubled: bool) -> Song:
    return stretch_copy(song, is_doubled=is_doubled)


CONTROLS: Mapping[str, Control] = MappingProxyType(
    {
        control.name: control
        for control in (
            Control("bars_shuffled", "bars shuffled", "distribution", _alone(shuffle_bars)),
            Control("blocks_shuffled", "4-bar blocks shuffled", "distribution", _alone(shuffle_blocks)),
            Control("bars_looped", "eight bars looped", "distribution", _alone(loop_bars)),
            Control("random_pitches", "random pitches in key, real rhythm", "distribution", _alone(randomize_notes)),
            Control("random_notes", "random notes in key", "distribution", _alone(randomize_notes, keeps_rhythm=False)),
            Control("markov_melody", "Markov melody", "distribution", markov_melody),
            Control("melodies_swapped", "swapped melodies", "distribution", swap_melody),
            Control("phrase_pastiche", "phrase pastiche", "copy", stitch_phrases),
            Control("transposed", "transposed copy", "copy", _alone(transpose_copy)),
            Control("ornamented", "copy with ornaments and shifted rhythm", "copy", _alone(ornament_copy)),
            Control("delayed", "copy shifted against the bar lines", "copy", _alone(delay_copy)),
            Control("stretched_double", "time-stretched copy, × 2", "copy", partial(_stretched, is_doubled=True)),
            Control("stretched_half", "time-stretched copy, × 1/2", "copy", partial(_stretched, is_doubled=False)),
            Control("changed_15", "copy with 15 % of the notes changed", "copy", _alone(change_notes)),
            Control("changed_25", "copy with 25 % of the notes changed", "copy", _alone(change_notes, share=0.25)),
        )
    }
)
"""Controls by name. All but `changed_25`, kept for information, must be caught."""
