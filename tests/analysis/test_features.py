from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from songwright.analysis.features import (
    form_features,
    harmony_features,
    local_features,
    song_features,
    song_similarity_curve,
    structure_features,
)
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song
from tests.music import songs

C, F, G7 = ChordSymbol(0, "maj", 0), ChordSymbol(5, "maj", 5), ChordSymbol(7, "7", 7)


def notes(*rows: tuple[int, int, int]) -> np.ndarray:
    return grid_notes(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)


def hand_made_song() -> Song:
    """Two bars of C, F | G7: melody C4 (half) E4 (quarter, then quarter rest) | B4 (whole); bass notes with fifths."""
    melody = notes((0, 24, 60), (24, 12, 64), (48, 48, 71))
    piano = notes((0, 24, 48), (0, 24, 55), (24, 24, 41), (24, 24, 48), (48, 48, 43), (48, 48, 60))
    chords = (ChordChange(0, C), ChordChange(24, F), ChordChange(48, G7))
    return Song(LeadSheet(Key(0), 80.0, Form.parse("A2"), chords, melody), piano)


def test_local_features_of_two_bars_by_hand():
    found = local_features(hand_made_song())
    # Bar 1 starts C C G E F C: C three times, G, E, F once; bar 2 starts G C B.
    entropy = (-(0.5 * np.log2(0.5) + 3 * (1 / 6) * np.log2(1 / 6)) + np.log2(3)) / 2
    assert found["pitch_class_entropy"] == pytest.approx(entropy)
    assert found["groove"] == pytest.approx(15 / 16)  # they differ at the third quarter
    assert found["polyphony"] == pytest.approx((24 * 3 + 12 * 3 + 12 * 2 + 48 * 3) / 96)
    assert found["melody_notes_per_bar"] == 1.5
    assert found["piano_notes_per_bar"] == 3
    assert found["piano_duration"] == pytest.approx((4 * 24 + 2 * 48) / 6 / 12)
    assert found["melody_range"] == 11
    assert found["interval_size"] == 5.5  # +4, +7
    assert found["step_share"] == 0
    assert found["interval_entropy"] == 1
    assert found["rhythm_entropy"] == 0
    assert found["melody_on_beat_share"] == 1
    assert found["melody_rest_share"] == pytest.approx(12 / 96)


def test_harmony_features_of_two_bars_by_hand():
    found = harmony_features(hand_made_song())
    assert found["chord_tone_ratio"] == pytest.approx(2 / 3)  # E over F is none
    assert found["piano_chord_tone_ratio"] == pytest.approx(5 / 6)  # C over G7 is none
    assert found["bass_agreement"] == 1
    # E over F (12 steps) and B over C (48 steps) clash, of 84 steps where both sound.
    assert found["semitone_clash"] == pytest.approx(60 / 84)
    assert found["chord_change_rate"] == 1.5
    assert found["chord_entropy"] == pytest.approx(np.log2(3))
    assert found["num_chords"] == 3
    assert 0.5 < found["key_strength"] < 1


def test_structure_features_of_a_passage_sung_twice():
    phrase = [60, 62, 64, 65, 67, 69, 71, 72]
    melody = notes(*[(index * 12, 12, pitch) for index, pitch in enumerate(phrase * 2)])
    chords = tuple(ChordChange(48 * bar, chord) for bar, chord in enumerate([C, F, C, G7]))
    found = structure_features(Song(LeadSheet(Key(0), 80.0, Form.parse("A2A2"), chords, melody), melody[:0]))
    # 15 tokens make 12 windows of four; the four windows inside the second passage are those inside the first.
    assert found["distinct_melodic_4_grams"] == pytest.approx(8 / 12)
    assert found["longest_repeat"] == 8
    assert found["repeated_melody_bars"] == 0.5
    assert found["chord_trigram_irregularity"] == 1
    assert np.isnan(found["bar_similarity_4"])


def test_the_ending_is_judged_by_the_last_note_and_chord():
    found = form_features(hand_made_song())
    assert (found["melody_in_key"], found["melody_ends_on_tonic"], found["final_chord_on_tonic"]) == (1, 0, 0)
    sheet = hand_made_song().lead_sheet
    cadence = Song(
        LeadSheet(Key(7), 80.0, sheet.form, sheet.chords, notes((0, 12, 65), (12, 12, 67))), hand_made_song().piano
    )
    found = form_features(cadence)
    assert (found["melody_in_key"], found["melody_ends_on_tonic"], found["final_chord_on_tonic"]) == (0.5, 1, 1)


def test_the_curve_counts_melody_and_piano_together():
    melody, piano = notes((0, 12, 60), (48, 12, 62)), notes((0, 12, 48), (48, 12, 48))
    song = Song(LeadSheet(Key(0), 80.0, Form.parse("A2"), (), melody), piano)
    assert song_similarity_curve(song, num_lags=1).tolist() == pytest.approx([1 / 3])


@given(songs())
def test_any_valid_song_has_features_and_transposing_it_changes_none(song):
    found = song_features(song)
    assert [len(found[group]) for group in ("local", "harmony", "structure", "form")] == [14, 9, 9, 6]
    moved = song_features(song.transpose(2))
    for group, values in found.items():
        for name, value in values.items():
            assert np.isnan(value) or np.isfinite(value)
            assert moved[group][name] == pytest.approx(value, nan_ok=True), name


@given(songs())
def test_shares_lie_between_zero_and_one(song):
    found = song_features(song)
    for group in ("harmony", "structure", "form"):
        for name, value in found[group].items():
            if not name.startswith(("pitch_class_entropy", "chord_change", "chord_entropy", "num_", "longest", "key_")):
                assert np.isnan(value) or 0 <= value <= 1, name
