"""The performed song: right notes, right length, and a musical shape."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from songwright.rendering.performance import REPEAT_GAP_TICKS, perform
from songwright.score.elements import KeySignature, Marker, Score, TempoChange, TimeSignature
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song
from tests.music import songs


def steady_song(form: str = "i4A8B8A8B8o4", pitch: int = 67) -> Song:
    """One pitch in quarters through every sung phrase over the same chord in halves, so that only shaping differs."""
    parsed = Form.parse(form)
    bars = [
        bar
        for start, phrase in zip(parsed.start_bars, parsed.phrases, strict=True)
        if phrase.is_sung
        for bar in range(start, start + phrase.num_bars)
    ]
    onsets = np.array([bar * 48 + beat * 12 for bar in bars for beat in range(4)])
    melody = grid_notes(onsets, np.full(len(onsets), 12), np.full(len(onsets), pitch))
    halves = np.repeat(np.arange(parsed.num_bars * 2) * 24, 4)
    piano = grid_notes(halves, np.full(len(halves), 24), np.tile([48, 55, 60, 64], parsed.num_bars * 2))
    chords = (ChordChange(0, ChordSymbol(0, "maj", 0)),)
    return Song(LeadSheet(Key(9, True), 74.0, parsed, chords, melody), piano)


def mean_velocity(score: Score, name: str, first_bar: int, end_bar: int) -> float:
    """Mean velocity of a track in some bars."""
    track = score.track(name)
    assert track is not None
    bar = track.notes["onset_tick"] // 1920
    return float(track.notes["velocity"][(bar >= first_bar) & (bar < end_bar)].mean())


def test_the_score_has_tempo_meter_key_and_a_marker_for_each_section() -> None:
    score = perform(steady_song("i4A8o2"), seed=1)
    assert score.ticks_per_quarter == 480
    assert score.tempos == (TempoChange(0, 74.0),)
    assert score.time_signatures == (TimeSignature(0, 4, 4),)
    assert score.key_signatures == (KeySignature(0, 0, True),)
    assert score.markers == (Marker(0, "Intro"), Marker(4 * 1920, "A"), Marker(12 * 1920, "Outro"))
    assert [(track.name, track.is_drum) for track in score.tracks] == [("MELODY", False), ("PIANO", False)]
    assert score.end_tick == 14 * 1920


@given(songs(), st.integers(0, 2**31))
def test_every_note_is_played_on_time_and_never_over_itself(song: Song, seed: int) -> None:
    score = perform(song, seed=seed)
    for track, part in zip(score.tracks, (song.lead_sheet.melody, song.piano), strict=True):
        notes = track.notes
        assert np.array_equal(notes["onset_tick"], part["onset_step"] * 40)
        assert np.array_equal(notes["pitch"], part["pitch"])
        assert np.all((notes["velocity"] >= 1) & (notes["velocity"] <= 127))
        assert np.all(notes["duration_tick"] > 0)
        end_tick = song.lead_sheet.num_bars * 1920
        assert np.all(notes["onset_tick"] + notes["duration_tick"] <= end_tick)
        # A sixteenth longer at most, where notes are joined, but for the last bar, where they are held.
        before = notes["onset_tick"] < end_tick - 1920
        assert np.all(notes["duration_tick"][before] <= (part["duration_step"][before] + 3) * 40)
        for pitch in set(notes["pitch"].tolist()):
            same = notes[notes["pitch"] == pitch]
            ends = same["onset_tick"] + same["duration_tick"]
            assert np.all(same["onset_tick"][1:] - ends[:-1] >= REPEAT_GAP_TICKS)


def test_the_seed_decides_the_performance() -> None:
    song = steady_song()
    assert perform(song, seed=5) == perform(song, seed=5)
    assert perform(song, seed=5) != perform(song, seed=6)


def test_a_melody_is_legato_but_for_repeated_pitches() -> None:
    sheet = steady_song().lead_sheet
    melody = sheet.melody[:8].copy()
    melody["pitch"][4:] += [2, 4, 5, 7]
    song = Song(LeadSheet(sheet.key, 74.0, sheet.form, sheet.chords, melody), sheet.melody[:0])
    track = perform(song, seed=0).tracks[0]
    assert track.notes["duration_tick"].tolist() == [460, 460, 460, 480, 480, 480, 480, 480]


def test_choruses_are_louder_than_verses_and_ends_softer() -> None:
    score = perform(steady_song(), seed=3)
    for name in ("MELODY", "PIANO"):
        verse, chorus = mean_velocity(score, name, 4, 12), mean_velocity(score, name, 12, 20)
        assert chorus - verse > 4
        assert mean_velocity(score, name, 28, 36) > chorus
    # Outro and intro have no melody here, so the piano comes forward, but stays below the chorus.
    assert mean_velocity(score, "PIANO", 36, 40) < mean_velocity(score, "PIANO", 28, 36)


def test_melody_stands_above_the_piano_and_outer_voices_above_inner() -> None:
    score = perform(steady_song(), seed=3)
    assert mean_velocity(score, "MELODY", 4, 12) - mean_velocity(score, "PIANO", 4, 12) > 15
    notes = score.tracks[1].notes
    by_pitch = {pitch: notes["velocity"][notes["pitch"] == pitch].mean() for pitch in (48, 55, 60, 64)}
    assert min(by_pitch[48], by_pitch[64]) - max(by_pitch[55], by_pitch[60]) > 4


def test_the_first_beat_is_accented_and_the_phrase_swells() -> None:
    notes = perform(steady_song("A8"), seed=3).tracks[0].notes
    beat = notes["onset_tick"] % 1920 // 480
    assert notes["velocity"][beat == 0].mean() - notes["velocity"][beat % 2 == 1].mean() > 2
    bar = notes["onset_tick"] // 1920
    middle = notes["velocity"][(bar == 3) | (bar == 4)].mean()
    assert middle - notes["velocity"][bar == 0].mean() > 2
    assert middle - notes["velocity"][bar == 7].mean() > 2


def test_the_lead_changes_where_the_saxophone_goes_out_of_tune() -> None:
    assert perform(steady_song(pitch=77), seed=0).tracks[0].program == 65
    assert perform(steady_song(pitch=78), seed=0).tracks[0].program == 71


def test_syllables_are_joined_and_breaths_kept() -> None:
    form = Form.parse("A1")
    melody = grid_notes(np.array([0, 6, 24]), np.array([3, 3, 12]), np.array([60, 62, 64]))
    chords = (ChordChange(0, ChordSymbol(0, "maj", 0)),)
    song = Song(LeadSheet(Key(0), 90.0, form, chords, melody), melody[:0])
    played = perform(song, seed=0).tracks[0].notes
    assert played["duration_tick"].tolist() == [6 * 40, 3 * 40, 24 * 40]


def test_the_last_chord_and_the_bass_under_it_ring_to_the_end() -> None:
    form = Form.parse("A2")
    piano = grid_notes(np.array([0, 48, 60, 60]), np.array([12, 6, 6, 6]), np.array([50, 36, 60, 64]))
    chords = (ChordChange(0, ChordSymbol(0, "maj", 0)),)
    song = Song(LeadSheet(Key(0), 90.0, form, chords, piano[:0]), piano)
    score = perform(song, seed=0)
    ends = score.tracks[1].notes["onset_tick"] + score.tracks[1].notes["duration_tick"]
    assert ends.tolist() == [480, 2 * 1920, 2 * 1920, 2 * 1920]
