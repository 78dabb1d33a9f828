from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from songwright.score.grid import STEPS_PER_BAR
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.tokens import lead_sheet
from songwright.tokens.channels import SongContext
from songwright.tokens.lead_sheet import BAR, EOS, VOCABULARY
from songwright.tokens.lead_sheet_state import LeadSheetState
from songwright.tokens.phrases import (
    CHANNELS,
    MAX_BARS,
    PhraseState,
    phrase_notes,
    pieces,
    song_phrase,
    trace_phrase,
)
from tests.music import lead_sheets, make_song


@given(lead_sheets(), st.data())
def test_a_phrase_keeps_every_note_of_its_bars(sheet, data):
    first = data.draw(st.integers(0, sheet.num_bars - 1))
    num_bars = data.draw(st.integers(1, min(MAX_BARS, sheet.num_bars - first)))
    tokens, setting = song_phrase(sheet, first, num_bars)
    bar = sheet.melody["onset_step"] // STEPS_PER_BAR
    wanted = sheet.melody[(bar >= first) & (bar < first + num_bars)].copy()
    wanted["onset_step"] -= first * STEPS_PER_BAR
    np.testing.assert_array_equal(phrase_notes(tokens), wanted)
    assert (tokens == BAR).sum() == num_bars == setting.num_bars
    assert setting.chords[0][0] == 0


@given(lead_sheets(), st.data())
def test_the_grammar_allows_the_melody_that_is_there(sheet, data):
    first = data.draw(st.integers(0, sheet.num_bars - 1))
    tokens, setting = song_phrase(sheet, first, min(MAX_BARS, sheet.num_bars - first))
    state = PhraseState(setting)
    for token in tokens[1:].tolist():
        assert state.mask()[token], VOCABULARY.names[token]
        state.advance(token)
    assert state.is_finished
    assert not state.mask().any()


@given(lead_sheets(), st.integers(0, 2**32 - 1))
def test_whatever_the_grammar_allows_is_a_valid_melody_in_the_song(sheet, seed):
    rng = np.random.default_rng(seed)
    num_bars = min(MAX_BARS, sheet.num_bars)
    _, setting = song_phrase(sheet, 0, num_bars)
    state, tokens = PhraseState(setting), [BAR]
    while not state.is_finished:
        allowed = np.flatnonzero(state.mask())
        # Bars are long: prefer their ends.
        tokens.append(int(allowed[0] if allowed[0] in (BAR, EOS) and rng.random() < 0.4 else rng.choice(allowed)))
        state.advance(tokens[-1])
    later = sheet.melody[sheet.melody["onset_step"] >= num_bars * STEPS_PER_BAR]
    varied = replace(sheet, melody=np.concatenate([phrase_notes(np.array(tokens)), later]))
    assert varied.problems() == []
    song = LeadSheetState(SongContext(varied.form, varied.key, varied.tempo_qpm))
    for token in lead_sheet.encode(varied)[1:].tolist():
        assert song.mask()[token], VOCABULARY.names[token]
        song.advance(token)


def test_each_step_is_told_the_beat_and_the_chords_of_its_place():
    chords = (ChordChange(0, ChordSymbol(0, "maj", 0)), ChordChange(72, ChordSymbol(7, "maj", 7)))
    melody = np.array([(12, 12, 60), (72, 24, 62)], dtype=make_song(0).lead_sheet.melody.dtype)
    tokens, setting = song_phrase(LeadSheet(Key(0), 90, Form.parse("A2"), chords, melody), 0, 2)
    rows = trace_phrase(tokens, setting) - np.array(CHANNELS.offsets)
    place, bars_left, chord, following = (
        rows[:, CHANNELS.names.index(name)].tolist() for name in ("place", "bars_left", "chord", "next_chord")
    )
    names = [VOCABULARY.names[token].split("_")[0] for token in tokens[:-1].tolist()]
    assert names == ["BAR", "POS", "PITCH", "DUR", "BAR", "POS", "PITCH", "DUR"]
    assert place == [0, 1, 1, 2, 4, 6, 6, 7]  # after a bar line and a note: where the next may start
    assert bars_left == [1, 1, 1, 1, 0, 0, 0, 0]
    first, second = chord[0], chord[-1]
    assert chord == [first, first, first, first, first, second, second, second]
    assert following == [second] * 5 + [0] * 3


def test_channels_stay_within_their_table():
    sheet = make_song(4).lead_sheet
    for first, num_bars in pieces(np.array(sheet.form.start_bars), sheet.num_bars):
        rows = trace_phrase(*song_phrase(sheet, first, num_bars)) - np.array(CHANNELS.offsets)
        assert (rows >= 0).all()
        assert (rows < np.array(CHANNELS.sizes)).all()


def test_a_note_of_the_phrase_before_keeps_its_place_and_the_last_one_stops_at_the_next():
    melody = np.array([(36, 24, 60), (84, 12, 62), (108, 12, 64)], dtype=make_song(0).lead_sheet.melody.dtype)
    chords = (ChordChange(0, ChordSymbol(0, "maj", 0)),)
    _, setting = song_phrase(LeadSheet(Key(0), 90, Form.parse("A1B1A1"), chords, melody), 1, 1)
    assert (setting.free_step, setting.end_step) == (12, 60)
    mask = PhraseState(setting).mask()
    starts = [name for name, allowed in zip(VOCABULARY.names, mask, strict=True) if allowed and name.startswith("POS")]
    assert starts[0] == "POS_6"  # the second beat
