"""Pieces of any metre and instruments as sequences of tokens, exactly and back.

Knows the grid (`score.grid_score`) and the grammar of the sequence; which notes are worth learning from is decided
before (`analysis`, `corpus`). Nothing here loops over notes: a song of 1,700 notes takes a fifth of a millisecond.

Grammar (`[x]` none or one, `x*` any number, `x+` one or more)::

    piece    = BOS bar* EOS
    bar      = BAR [NUMERATOR_n DENOMINATOR_d] [TEMPO_t] section*      metre and tempo where they change
    section  = ROLE_r (PROGRAM_p | KIT_p) [COPY_c] onset+              one track in one bar
    onset    = POSITION_s note+                                        steps from the bar line, ascending
    note     = [VELOCITY_v] [LONG_q* DURATION_d] (PITCH_p | DRUM_p)    pitches ascending

A bar holds the tracks that start notes in it, one after the other: melody, bass, chords, drums, other, then by program.
That is REMI-z's order [1]_; it needs fewer tokens than REMI+'s order by time, in which each change of instrument at an
onset costs a token. Velocity and duration stand before the pitch and hold until they change, within the section, as
running status does in MIDI. The first note of a section states both, so that any bar reads alone once its metre and
tempo are known: bars can be cut out, moved and copied. Drums have tokens of their own, as they do not transpose.

What tokens hold of a piece is `canonical`: velocities in 32 levels, tempos in 64 (a sixteenth of an octave apart, 20
to 311 quarter notes a minute), tracks with notes only, in the order above, without names. Everything else is exact.
`COPY_c` tells the second and later tracks of one role and instrument apart. A duration of n steps is
`DURATION_(1 + (n - 1) % 48)` after the digits of `(n - 1) // 48` to base 64, `LONG_q`, none up to 48 steps.

References
----------
.. [1] L. Ou et al., "Unifying Symbolic Music Arrangement" (REMI-z), arXiv, 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.errors import InputError
from songwright.score.grid_score import ROLES, TRACK_NOTE_DTYPE, BarTempo, GridScore, GridTrack, Meter, bar_starts
from songwright.tokens.score_vocabulary import (
    BAR,
    BOS,
    COPY_1,
    DENOMINATOR_1,
    DENOMINATORS,
    DRUM_0,
    DURATION_1,
    EOS,
    KIND_OF,
    KIT_0,
    LONG_0,
    LONG_BASE,
    LONG_DIGITS,
    MAX_BAR_STEPS,
    MAX_BARS,
    MAX_COPIES,
    MAX_NUMERATOR,
    MAY_FOLLOW,
    NUMERATOR_1,
    PAD,
    PITCH_0,
    POSITION_0,
    PROGRAM_0,
    ROLE_0,
    SHORT_STEPS,
    TEMPO_0,
    VELOCITY_0,
    VOCABULARY,
    Kind,
    level_tempo,
    level_velocities,
    tempo_level,
    velocity_levels,
)

_LONG_FROM = LONG_BASE ** np.arange(LONG_DIGITS, dtype=np.int64)  # least number with as many digits

_Change = TypeVar("_Change", Meter, BarTempo)


def canonical(grid_score: GridScore) -> GridScore:
    """Return what tokens can hold of a piece: `decode(encode(piece))` equals `canonical(piece)`.

    Velocities and tempos are those of their levels, metres and tempos stand at their changes only, and tracks with
    notes are ordered by role (as in ROLES), pitched before drums, and program; their names are empty.
    """
    tracks: list[GridTrack] = []
    for index, _ in _track_order(grid_score.tracks):
        track = grid_score.tracks[index]
        notes = track.notes.copy()
        notes["velocity"] = level_velocities(velocity_levels(notes["velocity"]))
        tracks.append(GridTrack("", notes, track.role, track.program, track.is_drum))
    if not grid_score.num_bars:
        return GridScore(tuple(tracks), 0)
    tempos = tuple(BarTempo(bar, level_tempo(level)) for bar, level in _tempo_changes(grid_score))
    return GridScore(tuple(tracks), grid_score.num_bars, tuple(_meter_changes(grid_score)), tempos)


def encode(grid_score: GridScore) -> NDArray[np.int16]:
    """Return the token ids of a piece, shape (num_tokens,).

    Raises
    ------
    InputError
        If the piece is past a limit of the vocabulary (MAX_BARS, MAX_BAR_STEPS, MAX_NUMERATOR, DENOMINATORS,
        MAX_COPIES), or a note is no note of a `GridTrack` within its bars.

    Examples
    --------
    >>> notes = np.array([(0, 12, 60, 80), (0, 12, 64, 80), (12, 96, 67, 80)], dtype=TRACK_NOTE_DTYPE)
    >>> print(VOCABULARY.spell(encode(GridScore((GridTrack("Lead", notes, "melody"),), 1))))
    ... # doctest: +NORMALIZE_WHITESPACE
    BOS BAR NUMERATOR_4 DENOMINATOR_4 TEMPO_41 ROLE_melody PROGRAM_0
    POSITION_0 VELOCITY_19 DURATION_12 PITCH_60 PITCH_64 POSITION_12 LONG_1 DURATION_48 PITCH_67 EOS
    """
    ordered = _track_order(grid_score.tracks)
    tracks = [grid_score.tracks[index] for index, _ in ordered]
    copies = [copy for _, copy in ordered]
    _check_limits(grid_score, tracks, copies)
    num_bars = grid_score.num_bars
    key, order = _sorted_keys(grid_score, tracks)
    duration = _column(tracks, "duration_step")[order] - 1
    level = velocity_levels(_column(tracks, "velocity"))[order]
    if len(key) and duration.min() < 0:
        raise InputError("a note has no duration: clean the piece first.")
    pitch, onset, section = key & 127, key >> 7, key >> 15
    bar, rank = np.divmod(section, max(len(tracks), 1))

    # How many tokens each bar has before its sections, and each note with what it opens and states.
    meters, tempos = _meter_changes(grid_score), _tempo_changes(grid_score)
    meter_bar = np.array([meter.bar for meter in meters], dtype=np.int64)
    tempo_bar = np.array([bar for bar, _ in tempos], dtype=np.int64)
    header = np.ones(num_bars, dtype=np.int64)
    header[meter_bar] += 2
    header[tempo_bar] += 1
    copy_of = np.array(copies, dtype=np.int64)
    opening = (2 + (copy_of > 0))[rank]  # role, instrument, perhaps copy
    opens_section, opens_onset = _changes(section), _changes(onset)
    states_velocity = opens_section | _changes(level)
    states_duration = opens_section | _changes(duration)
    quotient = duration // SHORT_STEPS
    digits = np.zeros_like(quotient)
    is_long = np.flatnonzero(quotient)
    digits[is_long] = np.searchsorted(_LONG_FROM, quotient[is_long], side="right")
    length = states_duration * (1 + digits)
    width = 1 + length + states_velocity + opens_onset + opens_section * opening

    headers, widths = np.cumsum(header), np.cumsum(width)
    pitch_at = widths + headers[bar]  # BOS is at 0: the sums point at the last token of each note
    first_note = np.searchsorted(bar, np.arange(num_bars))
    bar_at = 1 + headers - header + np.concatenate([[0], widths])[first_note]
    tokens = np.empty(2 + headers[-1:].sum() + widths[-1:].sum(), dtype=np.int16)
    tokens[0], tokens[-1] = BOS, EOS
    tokens[bar_at] = BAR
    tokens[bar_at[meter_bar] + 1] = [NUMERATOR_1 + meter.numerator - 1 for meter in meters]
    tokens[bar_at[meter_bar] + 2] = [DENOMINATOR_1 + DENOMINATORS.index(meter.denominator) for meter in meters]
    tokens[bar_at[tempo_bar] + header[tempo_bar] - 1] = [TEMPO_0 + level for _, level in tempos]

    of = np.flatnonzero(opens_section)
    at = pitch_at[of] - width[of] + 1
    tokens[at] = np.array([ROLE_0 + ROLES.index(track.role) for track in tracks], dtype=np.int16)[rank[of]]
    instrument = [track.program + (KIT_0 if track.is_drum else PROGRAM_0) for track in tracks]
    tokens[at + 1] = np.array(instrument, dtype=np.int16)[rank[of]]
    copy = copy_of[rank[of]]
    is_copy = copy > 0
    tokens[at[is_copy] + 2] = COPY_1 - 1 + copy[is_copy]
    of = np.flatnonzero(states_duration)
    tokens[pitch_at[of] - 1] = DURATION_1 + (duration - quotient * SHORT_STEPS)[of]
    at = pitch_at - length - 1  # before the duration
    of = np.flatnonzero(states_velocity)
    tokens[at[of]] = VELOCITY_0 + level[of]
    at -= states_velocity
    of = np.flatnonzero(opens_onset)
    tokens[at[of]] = POSITION_0 + (onset[of] & 255)
    for digit in range(int(digits.max(initial=0))):
        of = np.flatnonzero(states_duration & (digits > digit))
        tokens[pitch_at[of] - 2 - digit] = LONG_0 + quotient[of] // LONG_BASE**digit % LONG_BASE
    first_pitch = np.array([DRUM_0 if track.is_drum else PITCH_0 for track in tracks], dtype=np.int64)
    tokens[pitch_at] = first_pitch[rank] + pitch
    return tokens


def decode(token_ids: ArrayLike) -> GridScore:
    """Return the piece that a sequence spells, canonical; PAD after EOS is passed over.

    Parameters
    ----------
    token_ids : array_like of int, shape (num_tokens,)

    Raises
    ------
    ValueError
        If the sequence breaks the grammar; the message names the token.
    """
    tokens = _checked(token_ids)
    kind = KIND_OF[tokens]
    bar_at = np.flatnonzero(kind == Kind.BAR)
    if not len(bar_at):
        return GridScore((), 0)
    meters, tempos = _read_changes(tokens, kind, bar_at)

    # Each note takes its place, velocity and duration from the last token of each kind before it.
    pitch_at = note_index(tokens)
    bar, section, onset, velocity, duration = (
        np.cumsum(kind == of)[pitch_at] - 1 for of in (Kind.BAR, Kind.ROLE, Kind.POSITION, Kind.VELOCITY, Kind.DURATION)
    )
    section_at, onset_at, velocity_at, duration_at = (
        np.flatnonzero(kind == of) for of in (Kind.ROLE, Kind.POSITION, Kind.VELOCITY, Kind.DURATION)
    )
    for stated_at, last in ((velocity_at, velocity), (duration_at, duration)):
        is_stated = np.append(stated_at, 0)[last] > section_at[section]  # -1, none before, finds the 0
        _raise_at(pitch_at[~is_stated], tokens, "has no velocity or no duration in its section")
    is_drum = kind[section_at + 1] == Kind.KIT
    _raise_at(pitch_at[is_drum[section] != (kind[pitch_at] == Kind.DRUM)], tokens, "is not of its section's instrument")
    program = tokens[section_at + 1] - np.where(is_drum, KIT_0, PROGRAM_0)
    copy = np.where(kind[section_at + 2] == Kind.COPY, tokens[section_at + 2] - COPY_1 + 1, 0)
    identity = (((tokens[section_at] - ROLE_0) * 2 + is_drum) * 128 + program) * MAX_COPIES + copy
    identities, rank = np.unique(identity, return_inverse=True)

    starts = bar_starts(meters, len(bar_at))
    position = (tokens[onset_at] - POSITION_0)[onset]
    pitch = (tokens[pitch_at] - PITCH_0) & 127
    note_rank = rank[section]
    _raise_at(pitch_at[position >= np.diff(starts)[bar]], tokens, "starts after the end of its bar")
    key = ((bar * len(identities) + note_rank) * 256 + position) * 128 + pitch
    _raise_at(pitch_at[1:][key[1:] <= key[:-1]], tokens, "is out of order")
    notes = np.empty(len(pitch_at), dtype=TRACK_NOTE_DTYPE)
    notes["onset_step"], notes["pitch"] = starts[bar] + position, pitch
    notes["duration_step"] = _read_durations(tokens, kind, duration_at)[duration]
    notes["velocity"] = level_velocities(tokens[velocity_at] - VELOCITY_0)[velocity]
    notes = notes[np.argsort(note_rank.astype(np.int16), kind="stable")]
    end = np.cumsum(np.bincount(note_rank, minlength=len(identities))).tolist()
    tracks: list[GridTrack] = []
    for number, first, last in zip(identities.tolist(), [0, *end], end, strict=False):
        role_and_drum, instrument = divmod(number // MAX_COPIES, 128)
        role, of_drums = divmod(role_and_drum, 2)
        tracks.append(GridTrack("", notes[first:last], ROLES[role], instrument, bool(of_drums)))
    return GridScore(tuple(tracks), len(bar_at), meters, tempos)


def note_index(token_ids: ArrayLike) -> NDArray[np.intp]:
    """Return where the PITCH or DRUM token of each note is, shape (num_notes,), to keep what else is known of it."""
    return np.flatnonzero(np.asarray(token_ids) >= PITCH_0)


def note_order(grid_score: GridScore) -> NDArray[np.intp]:
    """Return the order in which `encode` spells the notes, shape (num_notes,).

    Indices into the notes of all tracks put one after the other, as the piece has them: what is known of each note,
    such as its deviation from the grid, stands at `note_index(encode(piece))` in this order.
    """
    ordered = [index for index, _ in _track_order(grid_score.tracks)]
    _, order = _sorted_keys(grid_score, [grid_score.tracks[index] for index in ordered])
    ends = np.cumsum([len(track.notes) for track in grid_score.tracks])
    sources = [np.arange(ends[index] - len(grid_score.tracks[index].notes), ends[index]) for index in ordered]
    return np.concatenate(sources)[order] if sources else np.zeros(0, dtype=np.intp)


def _changes(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each value differs from the one before; the first does."""
    found = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def _column(tracks: Sequence[GridTrack], field: str) -> NDArray[np.int64]:
    """Return a field of the notes of all tracks, one after the other."""
    columns = [track.notes[field] for track in tracks]
    return np.concatenate(columns).astype(np.int64) if columns else np.zeros(0, dtype=np.int64)


def _track_order(tracks: Sequence[GridTrack]) -> list[tuple[int, int]]:
    """Return the tracks with notes in canonical order: the index of each, and how many like it come before."""

    def identity(index: int) -> tuple[int, bool, int]:
        return ROLES.index(tracks[index].role), tracks[index].is_drum, tracks[index].program

    counts: dict[tuple[int, bool, int], int] = {}
    ordered: list[tuple[int, int]] = []
    for index in sorted((index for index, track in enumerate(tracks) if len(track.notes)), key=identity):
        copy = counts.get(identity(index), 0)
        counts[identity(index)] = copy + 1
        ordered.append((index, copy))
    return ordered


def _sorted_keys(grid_score: GridScore, tracks: Sequence[GridTrack]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return bar, track, position and pitch of each note as one number, ascending, and the order that sorts them."""
    onset, pitch = _column(tracks, "onset_step"), _column(tracks, "pitch")
    if not len(onset):
        return onset, np.zeros(0, dtype=np.intp)
    starts = grid_score.bar_starts
    if onset.min() < 0 or onset.max() >= starts[-1] or pitch.min() < 0 or pitch.max() > 127:
        raise InputError("a note lies outside of the bars or has no MIDI pitch: clean the piece first.")
    if len(grid_score.meters) == 1:
        bar, position = np.divmod(onset, starts[1])
    else:
        bar = np.searchsorted(starts, onset, side="right") - 1
        position = onset - starts[bar]
    rank = np.repeat(np.arange(len(tracks)), [len(track.notes) for track in tracks])
    key = ((bar * len(tracks) + rank) * 256 + position) * 128 + pitch
    order = np.argsort(key, kind="stable")
    key = key[order]
    if (key[1:] == key[:-1]).any():
        raise InputError("two notes of one pitch start together in a track: clean the piece first.")
    return key, order


def _at_bars(changes: Sequence[_Change], num_bars: int) -> list[_Change]:
    """Return the changes within the piece; of several at one bar the last."""
    return list({change.bar: change for change in changes if change.bar < num_bars}.values())


def _meter_changes(grid_score: GridScore) -> list[Meter]:
    """Return the metres that differ from the one before."""
    changes: list[Meter] = []
    for meter in _at_bars(grid_score.meters, grid_score.num_bars):
        if not changes or changes[-1][1:] != meter[1:]:
            changes.append(meter)
    return changes


def _tempo_changes(grid_score: GridScore) -> list[tuple[int, int]]:
    """Return the bars where the level of the tempo changes, with the level."""
    changes: list[tuple[int, int]] = []
    for bar, tempo_qpm in _at_bars(grid_score.tempos, grid_score.num_bars):
        level = tempo_level(tempo_qpm)
        if not changes or changes[-1][1] != level:
            changes.append((bar, level))
    return changes


def _check_limits(grid_score: GridScore, tracks: Sequence[GridTrack], copies: Sequence[int]) -> None:
    """Raise InputError for a piece past the limits of the vocabulary."""
    if not 0 <= grid_score.num_bars <= MAX_BARS:
        raise InputError(f"the piece has {grid_score.num_bars} bars, tokens hold at most {MAX_BARS}: split it.")
    for bar, numerator, denominator in grid_score.meters:
        steps = numerator * 48 // denominator if denominator in DENOMINATORS else 0
        if not (0 < numerator <= MAX_NUMERATOR and 0 < steps <= MAX_BAR_STEPS):
            raise InputError(
                f"bar {bar + 1} is in {numerator}/{denominator}: tokens hold up to {MAX_NUMERATOR} beats, of 1/1 to "
                f"1/64, in a bar, and at most {MAX_BAR_STEPS // 12} quarter notes; write shorter bars."
            )
    for track, copy in zip(tracks, copies, strict=True):
        if copy >= MAX_COPIES:
            raise InputError(f"over {MAX_COPIES} tracks have role {track.role} and program {track.program}: join some.")


def _raise_at(at: NDArray[np.intp], tokens: NDArray[np.int64], problem: str) -> None:
    """Raise ValueError if there is a place where the problem is."""
    if len(at):
        raise ValueError(f"token {at[0]}, {VOCABULARY.names[tokens[at[0]]]}, {problem}")


def _checked(token_ids: ArrayLike) -> NDArray[np.int64]:
    """Return tokens in a possible order of kinds, without PAD at the end."""
    tokens = np.asarray(token_ids, dtype=np.int64)
    if tokens.ndim != 1 or not len(tokens) or tokens.min() < 0 or tokens.max() >= len(VOCABULARY):
        raise ValueError(f"token ids must be one row of numbers from 0 to {len(VOCABULARY) - 1}")
    tokens = tokens[: int(np.flatnonzero(tokens != PAD)[-1:].sum()) + 1]
    if tokens[0] != BOS or tokens[-1] != EOS:
        raise ValueError("a piece begins with BOS and ends with EOS")
    kind = KIND_OF[tokens]
    _raise_at(np.flatnonzero(~MAY_FOLLOW[kind[:-1], kind[1:]]) + 1, tokens, "cannot stand here")
    return tokens


def _read_changes(
    tokens: NDArray[np.int64], kind: NDArray[np.int8], bar_at: NDArray[np.intp]
) -> tuple[tuple[Meter, ...], tuple[BarTempo, ...]]:
    """Return the metres and tempos that the bars state."""
    numerator_at, tempo_at = np.flatnonzero(kind == Kind.NUMERATOR), np.flatnonzero(kind == Kind.TEMPO)
    if numerator_at[:1].sum() != bar_at[0] + 1 or tempo_at[:1].sum() != bar_at[0] + 3:
        raise ValueError("the first bar does not state metre and tempo")
    meter_bar = (np.searchsorted(bar_at, numerator_at) - 1).tolist()
    numerators = (tokens[numerator_at] - NUMERATOR_1 + 1).tolist()
    denominators = [DENOMINATORS[index] for index in (tokens[numerator_at + 1] - DENOMINATOR_1).tolist()]
    meters = tuple(map(Meter, meter_bar, numerators, denominators))
    if not all(0 < meter.bar_steps <= MAX_BAR_STEPS for meter in meters):
        raise ValueError(f"a bar must have from 1 to {MAX_BAR_STEPS} steps")
    tempo_bar = (np.searchsorted(bar_at, tempo_at) - 1).tolist()
    return meters, tuple(map(BarTempo, tempo_bar, map(level_tempo, (tokens[tempo_at] - TEMPO_0).tolist())))


def _read_durations(
    tokens: NDArray[np.int64], kind: NDArray[np.int8], duration_at: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Return the steps of each DURATION token with the LONG tokens before it."""
    steps = tokens[duration_at] - DURATION_1 + 1
    is_longer = np.ones(len(duration_at), dtype=np.bool_)
    for digit in range(LONG_DIGITS + 1):
        at = duration_at - 1 - digit
        is_longer &= kind[at] == Kind.LONG
        if not is_longer.any():
            break
        steps[is_longer] += SHORT_STEPS * LONG_BASE**digit * (tokens[at[is_longer]] - LONG_0)
    else:
        _raise_at(duration_at[is_longer], tokens, "follows too many LONG tokens")
    _raise_at(duration_at[steps > np.iinfo(np.int32).max], tokens, "ends too long a duration")
    return steps
