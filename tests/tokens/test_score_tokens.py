"""Whole pieces as tokens and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.errors import InputError
from songwright.files.midi import read_midi
from songwright.score.grid_score import TRACK_NOTE_DTYPE, BarTempo, GridScore, GridTrack, Meter
from songwright.tokens.score import VOCABULARY, canonical, decode, encode, note_index, note_order
from songwright.tokens.score_vocabulary import (
    MAX_BARS,
    MAX_COPIES,
    NUM_TEMPOS,
    level_tempo,
    level_velocities,
    tempo_level,
    velocity_levels,
)
from tests.music import grid_scores


def track(*notes: tuple[int, int, int, int], role: str = "other", program: int = 0, is_drum: bool = False) -> GridTrack:
    return GridTrack("named", np.array(list(notes), dtype=TRACK_NOTE_DTYPE), role, program, is_drum)


def content(piece: GridScore) -> tuple[object, ...]:
    parts = [(part.name, part.role, part.program, part.is_drum, part.notes.tolist()) for part in piece.tracks]
    return parts, piece.num_bars, piece.meters, piece.tempos


def spelled(piece: GridScore) -> str:
    return VOCABULARY.spell(encode(piece))


@given(grid_scores())
def test_tokens_keep_a_piece_as_its_canonical_form(piece):
    tokens = encode(piece)
    assert content(decode(tokens)) == content(canonical(piece))
    assert np.array_equal(encode(decode(tokens)), tokens)


@given(grid_scores())
def test_the_canonical_form_keeps_every_onset_duration_and_pitch(piece):
    kept, given_notes = canonical(piece), [part for part in piece.tracks if len(part.notes)]
    exact = ["onset_step", "duration_step", "pitch"]

    def signature(part: GridTrack) -> tuple[object, ...]:
        return part.role, part.is_drum, part.program, part.notes[exact].tolist()

    assert sorted(map(signature, kept.tracks)) == sorted(map(signature, given_notes))
    assert content(canonical(kept)) == content(kept)


@given(grid_scores())
def test_each_note_is_found_in_the_order_told(piece):
    tokens = encode(piece)
    at, order = note_index(tokens), note_order(piece)
    assert sorted(order.tolist()) == list(range(piece.num_notes))
    pitches = [int(pitch) for part in piece.tracks for pitch in part.notes["pitch"]]
    kinds = ["DRUM" if part.is_drum else "PITCH" for part in piece.tracks for _ in part.notes]
    assert [VOCABULARY.names[tokens[i]] for i in at] == [f"{kinds[i]}_{pitches[i]}" for i in order]


def test_a_bar_is_spelled_track_by_track_with_velocity_and_duration_stated_once():
    piano = track((0, 12, 60, 80), (0, 12, 64, 80), (12, 96, 67, 40), (48, 12, 60, 40))
    drums = track((6, 1, 38, 127), role="drums", is_drum=True)
    piece = GridScore((drums, piano), 3, (Meter(0), Meter(1, 3, 4)), (BarTempo(0, 120.0), BarTempo(2, 240.0)))
    assert spelled(piece) == (
        "BOS BAR NUMERATOR_4 DENOMINATOR_4 TEMPO_41 ROLE_drums KIT_0 POSITION_6 VELOCITY_31 DURATION_1 DRUM_38 "
        "ROLE_other PROGRAM_0 POSITION_0 VELOCITY_19 DURATION_12 PITCH_60 PITCH_64 "
        "POSITION_12 VELOCITY_9 LONG_1 DURATION_48 PITCH_67 "
        "BAR NUMERATOR_3 DENOMINATOR_4 ROLE_other PROGRAM_0 POSITION_0 VELOCITY_9 DURATION_12 PITCH_60 "
        "BAR TEMPO_57 EOS"
    )


def test_a_bar_reads_alone_once_its_metre_and_tempo_are_known():
    """The second bar's notes are the same tokens whatever came before."""
    alone = GridScore((track((0, 12, 60, 80)),), 1)
    after = GridScore((track((0, 12, 60, 80), (48, 12, 60, 80)),), 2)
    assert spelled(after).split(" BAR ")[2] == spelled(alone).partition("TEMPO_41 ")[2]


def test_equal_tracks_stay_apart_and_keep_their_order():
    twice = GridScore((track((0, 5, 60, 80), (60, 1, 60, 80)), track((0, 9, 60, 80)), track()), 2)
    back = decode(encode(twice))
    assert [part.notes["duration_step"].tolist() for part in back.tracks] == [[5, 1], [9]]
    assert "COPY_1" in spelled(twice)
    assert "COPY_2" not in spelled(twice)


def test_pieces_without_notes_or_bars_are_tokens_too():
    assert spelled(GridScore((), 0)) == "BOS EOS"
    assert content(decode(encode(GridScore((), 0)))) == content(GridScore((), 0))
    silent = GridScore((track(),), 2, (Meter(0, 6, 8), Meter(1, 6, 8)), (BarTempo(0, 1e-9), BarTempo(1, 1e9)))
    assert spelled(silent) == "BOS BAR NUMERATOR_6 DENOMINATOR_8 TEMPO_0 BAR TEMPO_63 EOS"
    assert decode(encode(silent)).num_bars == 2


def test_levels_are_within_their_width_of_what_they_stand_for():
    velocities = np.arange(1, 128)
    assert np.abs(level_velocities(velocity_levels(velocities)) - velocities).max() <= 2
    assert velocity_levels([-5, 0, 200]).tolist() == [0, 0, 31]
    assert [tempo_level(level_tempo(level)) for level in range(NUM_TEMPOS)] == list(range(NUM_TEMPOS))
    assert level_tempo(tempo_level(120.0)) == 120.0
    assert all(abs(np.log2(level_tempo(tempo_level(qpm)) / qpm)) < 1 / 31 for qpm in range(20, 318))


def piece_of(*notes, num_bars=1, **options):
    return GridScore((track(*notes),), num_bars, **options)


@pytest.mark.parametrize(
    ("piece", "sentence"),
    [
        (piece_of((0, 1, 60, 1), num_bars=MAX_BARS + 1), "split it"),
        (piece_of((0, 1, 60, 1), meters=(Meter(0, 17, 4), Meter(1))), "bar 1 is in 17/4.*at most 16 quarter notes"),
        (piece_of((0, 1, 60, 1), meters=(Meter(0, 65, 64),)), "65/64"),
        (piece_of((0, 1, 60, 1), meters=(Meter(0, 1, 64),)), "1/64"),
        (piece_of((0, 1, 60, 1), meters=(Meter(0, 4, 3),)), "4/3"),
        (piece_of((0, 1, 60, 1), meters=(Meter(0, 4, 0),)), "4/0"),
        (piece_of((48, 1, 60, 1)), "outside of the bars"),
        (piece_of((0, 1, 60, 1), num_bars=0), "outside of the bars"),
        (piece_of((-1, 1, 60, 1)), "outside of the bars"),
        (piece_of((0, 1, 128, 1)), "no MIDI pitch"),
        (piece_of((0, 0, 60, 1)), "no duration"),
        (piece_of((0, 1, 60, 1), (0, 2, 60, 1)), "two notes of one pitch"),
        (GridScore((track((0, 1, 60, 1)),) * (MAX_COPIES + 1), 1), "over 64 tracks have role other and program 0"),
    ],
)
def test_a_piece_past_a_limit_is_one_sentence(piece, sentence):
    with pytest.raises(InputError, match=sentence):
        encode(piece)


def test_the_limits_themselves_are_within():
    tracks = tuple(track((0, 2**31 - 1, 127, 127)) for _ in range(MAX_COPIES))
    piece = GridScore(tracks, MAX_BARS, (Meter(0, 4, 1), Meter(1, 64, 64)))
    assert content(decode(encode(piece))) == content(canonical(piece))


BAR_ONE = "BOS BAR NUMERATOR_4 DENOMINATOR_4 TEMPO_41"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "one row of numbers"),
        ("BAR EOS", "begins with BOS"),
        ("BOS BAR NUMERATOR_4 DENOMINATOR_4 TEMPO_41", "ends with EOS"),
        ("PAD", "begins with BOS"),
        ("BOS BAR EOS", "does not state metre and tempo"),
        ("BOS BAR NUMERATOR_4 DENOMINATOR_4 BAR TEMPO_3 EOS", "does not state metre and tempo"),
        ("BOS BAR NUMERATOR_17 DENOMINATOR_4 TEMPO_41 EOS", "1 to 192 steps"),
        (f"{BAR_ONE} EOS BAR EOS", "token 6, BAR, cannot stand here"),
        (f"{BAR_ONE} PITCH_60 EOS", "token 5, PITCH_60, cannot stand here"),
        (
            f"{BAR_ONE} ROLE_bass PROGRAM_0 POSITION_0 VELOCITY_3 DURATION_3 PITCH_60 TEMPO_3 EOS",
            "token 11, TEMPO_3, cannot",
        ),
        (f"{BAR_ONE} ROLE_bass PROGRAM_0 POSITION_0 VELOCITY_3 LONG_1 PITCH_60 EOS", "token 10, PITCH_60, cannot"),
        (f"{BAR_ONE} ROLE_bass PROGRAM_0 POSITION_0 VELOCITY_3 PITCH_60 EOS", "no velocity or no duration"),
        (f"{BAR_ONE} ROLE_bass PROGRAM_0 POSITION_0 DURATION_3 PITCH_60 EOS", "no velocity or no duration"),
        (f"{BAR_ONE} ROLE_bass KIT_0 POSITION_0 VELOCITY_3 DURATION_3 PITCH_60 EOS", "not of its section's instrument"),
        (f"{BAR_ONE} ROLE_bass PROGRAM_0 POSITION_48 VELOCITY_3 DURATION_3 PITCH_60 EOS", "after the end of its bar"),
        (f"{BAR_ONE} ROLE_bass PROGRAM_0 POSITION_0 VELOCITY_3 DURATION_3 PITCH_60 PITCH_60 EOS", "out of order"),
        (f"{BAR_ONE} ROLE_bass PROGRAM_0 POSITION_0 VELOCITY_3 {'LONG_63 ' * 5}DURATION_3 PITCH_60 EOS", "too long"),
        (
            f"{BAR_ONE} ROLE_bass PROGRAM_0 POSITION_0 VELOCITY_3 {'LONG_0 ' * 6}DURATION_3 PITCH_60 EOS",
            "too many LONG",
        ),
    ],
)
def test_a_sequence_that_breaks_the_grammar_is_refused(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        decode([VOCABULARY[name] for name in words.split()])


def test_velocity_and_duration_do_not_carry_into_the_next_section():
    words = (
        f"{BAR_ONE} ROLE_bass PROGRAM_0 POSITION_0 VELOCITY_3 DURATION_3 PITCH_60 BAR ROLE_bass PROGRAM_0 POSITION_0"
    )
    with pytest.raises(ValueError, match="token 15, PITCH_60, has no velocity"):
        decode([VOCABULARY[name] for name in f"{words} PITCH_60 EOS".split()])


@given(grid_scores(max_bars=3), st.data())
def test_damaged_sequences_are_refused_or_read(piece, data):
    tokens = encode(piece)
    at = data.draw(st.integers(0, len(tokens) - 1))
    tokens[at] = data.draw(st.integers(0, len(VOCABULARY) - 1))
    try:
        read = decode(tokens)
    except ValueError:
        return
    assert content(decode(encode(read))) == content(read)


def test_padding_after_the_end_is_passed_over():
    tokens = encode(GridScore((track((0, 1, 60, 1)),), 1))
    padded = np.concatenate([tokens, np.zeros(7, dtype=np.int16)])
    assert content(decode(padded)) == content(decode(tokens))


@pytest.mark.data
def test_files_of_every_midi_source_come_back_exactly(music_data):
    """Twelve files of each source on the grid of their own ticks; `benchmarks/roundtrip.py` takes all."""
    num_files = 0
    for source in ("POP909", "groove", "simutrans", "freedoom", "tannerhelland", "openewld_midi"):
        files = sorted(path for path in (music_data / source).rglob("*.mid"))
        for path in files[:: max(len(files) // 12, 1)][:12]:
            try:
                score = read_midi(path)
            except InputError:
                continue
            parts = []
            for part in score.tracks:
                notes = np.zeros(len(part.notes), dtype=TRACK_NOTE_DTYPE)
                onset, end = (
                    np.rint(tick * 12 / score.ticks_per_quarter).astype(np.int64)
                    for tick in (part.notes["onset_tick"], part.notes["onset_tick"] + part.notes["duration_tick"])
                )
                notes["onset_step"], notes["duration_step"] = onset, np.maximum(end - onset, 1)
                notes["pitch"], notes["velocity"] = part.notes["pitch"], part.notes["velocity"]
                _, first = np.unique(onset * 128 + notes["pitch"], return_index=True)
                parts.append(GridTrack(part.name, notes[first], "other", part.program, part.is_drum))
            last = max((int(part.notes["onset_step"].max()) for part in parts), default=-1)
            piece = GridScore(tuple(parts), last // 42 + 1, (Meter(0, 7, 8),))
            tokens = encode(piece)
            assert content(decode(tokens)) == content(canonical(piece)), path
            assert np.array_equal(encode(decode(tokens)), tokens), path
            num_files += 1
    assert num_files > 60
