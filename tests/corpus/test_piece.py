from __future__ import annotations

import numpy as np
import pytest

from songwright.corpus.cleaning import CleaningConfig, Rejection
from songwright.corpus.piece import Piece, analyse, known_duration, lead_song, one_voice, weighted_median
from songwright.corpus.reading import known_beats, read_scores
from songwright.corpus.sources import SourceFile, find_files
from songwright.errors import InputError
from songwright.rendering.performance import perform
from songwright.score.elements import ChordLabel, Note, Score, TempoChange, Track, note_array
from songwright.score.grid import DURATION_STEPS, grid_notes
from tests.music import make_song


@pytest.fixture(scope="module")
def piece() -> Piece:
    found = analyse(perform(make_song(0), seed=0), title="Made up")
    assert isinstance(found, Piece)
    return found


def test_a_performance_comes_back_as_the_song_it_was(piece):
    song = make_song(0)
    assert piece.score.num_bars == song.lead_sheet.num_bars
    assert piece.tempo_qpm == pytest.approx(80, abs=0.5)
    played = set(zip(piece.melody["onset_step"].tolist(), piece.melody["pitch"].tolist(), strict=True))
    melody = song.lead_sheet.melody
    written = set(zip(melody["onset_step"].tolist(), melody["pitch"].tolist(), strict=True))
    assert len(played & written) > 0.97 * len(written)
    assert piece.keys[0].key.semitones_to_normal == song.lead_sheet.key.semitones_to_normal


def test_the_song_in_a_piece_is_in_c_major_or_a_minor_wherever_it_was(piece):
    plain = lead_song(piece)
    moved = lead_song(analyse(perform(make_song(0).transpose(5), seed=0)))
    assert plain is not None
    assert moved is not None
    assert not plain.problems()
    assert not moved.problems()
    here, there = plain.lead_sheet, moved.lead_sheet
    assert here.key == there.key
    assert here.melody["pitch"].tolist() == there.melody["pitch"].tolist()
    assert here.chords == there.chords
    assert str(here.form) == str(there.form)


def test_written_chord_symbols_are_kept(piece):
    del piece
    score = perform(make_song(1), seed=0)
    labels = tuple(
        ChordLabel(bar * 4 * score.ticks_per_quarter, label)
        for bar, label in enumerate(["C:maj", "C:maj", "nonsense!", "N", "G:7", "A:min/b3"])
    )
    found = analyse(Score(score.ticks_per_quarter, score.tracks, score.tempos, chord_labels=labels))
    names = [(change.onset_step // 48, change.chord.root, change.chord.quality) for change in found.chords]
    assert names == [(0, 0, "maj"), (4, 7, "7"), (5, 9, "min")]


def test_unfit_music_says_why():
    chaos = np.sort(np.random.default_rng(0).integers(0, 200_000, 400))
    notes = note_array([Note(int(tick), 100, 40 + index % 40) for index, tick in enumerate(chaos)])
    found = analyse(Score(480, (Track("Chaos", notes),)))
    assert isinstance(found, Rejection)
    assert found.reason in ("no beat", "off-grid")
    short = analyse(perform(make_song(0), seed=0), cleaning=CleaningConfig(min_seconds=500.0))
    assert isinstance(short, Rejection)
    assert short.reason == "too short"


def test_waltzes_and_pieces_without_melody_are_no_songs():
    beats = [Note(480 * beat, 460, 48 if beat % 3 == 0 else 64) for beat in range(96)]
    tune = [Note(960 * index, 900, 72 + (index * 5) % 7) for index in range(48)]
    waltz = analyse(Score(480, (Track("a", note_array(beats)), Track("b", note_array(tune))), (TempoChange(0, 150.0),)))
    if isinstance(waltz, Piece) and not waltz.score.is_common_time:
        assert lead_song(waltz) is None
    drums = Track(
        "Kit", note_array([Note(240 * index, 60, (36, 42, 38, 42)[index % 4]) for index in range(128)]), 0, True
    )
    beat = analyse(Score(480, (drums,), (TempoChange(0, 100.0),)))
    assert isinstance(beat, Piece)
    assert beat.keys == ()
    assert lead_song(beat) is None


def test_one_voice_takes_the_highest_and_never_overlaps():
    voice = one_voice(grid_notes(np.array([0, 0, 3, 4]), np.array([48, 48, 12, 12]), np.array([60, 67, 62, 64])))
    assert voice["pitch"].tolist() == [67, 64]  # one step is too short for any known duration
    assert voice["duration_step"].tolist() == [3, 12]


def test_durations_are_rounded_down_to_known_ones():
    assert known_duration(np.array([1, 3, 5, 47, 10_000])).tolist() == [3, 3, 4, 45, DURATION_STEPS[-1]]


def test_the_middle_value_counts_weights():
    assert weighted_median([60.0, 90.0, 120.0], np.array([1, 1, 5])) == 120.0


@pytest.fixture
def beat_file(tiny_pop909) -> SourceFile:
    return find_files(tiny_pop909 / "POP909")[0]


def test_known_beats_are_taken_and_bars_start_on_downbeats(beat_file):
    (reading,) = read_scores(beat_file)
    assert reading.grid is not None
    assert reading.grid.origin == "beats"
    assert (reading.grid.meters[0].numerator, len(reading.grid.meters)) == (4, 1)
    onsets = reading.grid.ticks_to_steps(reading.score.tracks[0].notes["onset_tick"])
    assert np.abs(onsets - np.rint(onsets / 12) * 12).max() < 0.1
    assert onsets[0] == pytest.approx(0, abs=0.1)


def test_bars_start_where_the_labels_have_them(beat_file, tmp_path):
    table = [line.split() for line in beat_file.beats.read_text().splitlines()]
    beats = tmp_path / "beat_midi.txt"  # its downbeats two beats late
    beats.write_text("".join(f"{time} 1.0 {float(index % 4 == 2)}\n" for index, (time, *_) in enumerate(table)))
    phases = []
    for labels in (None, beat_file.labels):
        file = SourceFile("pop909", "pop909/001", beat_file.path, "pop909", "pop909/001", beats=beats, labels=labels)
        (reading,) = read_scores(file)
        phases.append(reading.grid.ticks_to_steps(reading.score.tracks[0].notes["onset_tick"][0]) / 12)
    assert phases == pytest.approx([2, 0], abs=0.01)


def test_damaged_beats_are_named(beat_file, tmp_path):
    table = beat_file.beats.read_text().splitlines()
    beats = tmp_path / "beat_midi.txt"
    beats.write_text("\n".join([table[1], table[0], *table[2:]]))
    file = SourceFile("pop909", "pop909/001", beat_file.path, "pop909", "pop909/001", beats=beats)
    with pytest.raises(InputError, match="not in order"):
        read_scores(file)
    beats.write_text("\n".join(table[:3]))
    assert known_beats(file, read_scores(beat_file)[0].score) is None
