"""Songs to tokens and back, and the grammar that guards the way."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from songwright.score.lead_sheet import LeadSheet
from songwright.score.song import Song
from songwright.tokens import arrangement, lead_sheet
from songwright.tokens.arrangement_state import CHANNELS as ARRANGEMENT_CHANNELS
from songwright.tokens.arrangement_state import ArrangementState
from songwright.tokens.channels import SongContext
from songwright.tokens.lead_sheet_state import CHANNELS as LEAD_SHEET_CHANNELS
from songwright.tokens.lead_sheet_state import LeadSheetState
from tests.music import forms, lead_sheets, songs


def decode(tokens, sheet: LeadSheet) -> LeadSheet:
    return lead_sheet.decode(tokens, key=sheet.key, tempo_qpm=sheet.tempo_qpm, form=sheet.form)


@given(lead_sheets())
def test_lead_sheet_tokens_keep_every_note_and_chord(sheet):
    back = decode(lead_sheet.encode(sheet), sheet)
    assert np.array_equal(back.melody, sheet.melody)
    assert back.chords == sheet.chords


@given(songs())
def test_arrangement_tokens_keep_every_note(song):
    tokens = arrangement.encode(song.piano, song.lead_sheet.num_bars)
    assert np.array_equal(arrangement.decode(tokens), song.piano)


def walk(tokens, state, layout):
    assert tokens[0] == lead_sheet.BOS
    for token in tokens[1:].tolist():
        assert state.mask()[token], f"mask forbids a token of a valid song at bar {state.bar}"
        values = state.channels()
        assert len(values) == len(layout.sizes)
        assert all(0 <= value < size for value, size in zip(values, layout.sizes, strict=True))
        state.advance(token)
    assert state.is_finished
    assert not state.mask().any()


@given(songs())
def test_the_grammar_allows_every_valid_song(song):
    sheet = song.lead_sheet
    context = SongContext(sheet.form, sheet.key, sheet.tempo_qpm)
    walk(lead_sheet.encode(sheet), LeadSheetState(context), LEAD_SHEET_CHANNELS)
    walk(arrangement.encode(song.piano, sheet.num_bars), ArrangementState(context, sheet), ARRANGEMENT_CHANNELS)


def random_walk(state, rng):
    tokens = []
    while not state.is_finished:
        token = int(rng.choice(np.flatnonzero(state.mask())))
        state.advance(token)
        tokens.append(token)
    return tokens


@settings(max_examples=40)
@given(forms(), st.sampled_from([0, 1]), st.integers(0, 2**32 - 1))
def test_whatever_the_grammar_allows_is_a_valid_song(form, is_minor, seed):
    from tests.music import NORMAL_KEYS

    rng = np.random.default_rng(seed)
    key = NORMAL_KEYS[is_minor]
    context = SongContext(form, key, 90.0)
    room = form.num_bars * 40
    tokens = random_walk(LeadSheetState(context, max_tokens=room), rng)
    assert len(tokens) <= room
    sheet = lead_sheet.decode(tokens, key=key, tempo_qpm=90.0, form=form)
    room = form.num_bars * 80
    piano_tokens = random_walk(ArrangementState(context, sheet, max_tokens=room), rng)
    assert len(piano_tokens) <= room
    assert Song(sheet, arrangement.decode(piano_tokens)).problems() == []


@given(lead_sheets())
def test_a_repeated_phrase_is_hinted_token_by_token(sheet):
    """Where a phrase repeats the one before it exactly, the first reference hints each of its tokens."""
    from songwright.score.grid import STEPS_PER_BAR
    from songwright.score.lead_sheet import ChordChange, Form, Phrase

    bars = sheet.num_bars
    steps = bars * STEPS_PER_BAR
    kept = sheet.melody["onset_step"] + sheet.melody["duration_step"] <= steps
    once = sheet.melody[kept]
    twice = np.concatenate([once, once])
    twice["onset_step"][len(once) :] += steps
    chords = sheet.chords + tuple(ChordChange(onset + steps, chord) for onset, chord in sheet.chords)
    double = LeadSheet(sheet.key, 90.0, Form((Phrase("A", bars), Phrase("A", bars))), chords, twice)
    state = LeadSheetState(SongContext(double.form, double.key, 90.0))
    for token in lead_sheet.encode(double)[1:].tolist():
        # The end of the song and the bass of a chord held over the repeat are not the reference's to know.
        if state.bar >= bars and token != lead_sheet.EOS:
            assert state.hints[0] == token
        state.advance(token)
