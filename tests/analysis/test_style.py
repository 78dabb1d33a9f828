"""Which style a piece is in, and what speaks for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from songwright.analysis.style import KINDS, STYLE_OF_KIND, STYLES, StyleJudgement, classify_style
from songwright.analysis.style_catalog import STYLE_FEATURES
from songwright.analysis.style_features import style_features
from songwright.analysis.weights import stored_arrays
from songwright.corpus.cleaning import Rejection
from songwright.corpus.piece import analyse
from songwright.corpus.splits import split_of_work
from songwright.files.midi import read_midi
from songwright.files.musicxml_reading import read_musicxml
from songwright.score.grid_score import TRACK_NOTE_DTYPE, BarTempo, GridScore, GridTrack, Meter
from tests.music import grid_scores

TUNE = [67, 67, 69, 71, 72, 71, 69, 67, 64, 65, 67, 67, 65, 64, 62, 60] * 3
FIGURE = (0, 7, 12, 16)


def track_of(rows: list[tuple[int, int, int]], role: str) -> GridTrack:
    return GridTrack("part", np.array([(*row, 80) for row in sorted(rows)], dtype=TRACK_NOTE_DTYPE), role)


def melody(pitches: list[int] = TUNE, step: int = 12) -> GridTrack:
    return track_of([(step * index, step, pitch) for index, pitch in enumerate(pitches)], "melody")


def roots(bar: int) -> int:
    return (48, 53, 55, 48)[bar % 4]


def block_chords(num_bars: int) -> GridTrack:
    rows = [(48 * bar, 48, roots(bar) + step) for bar in range(num_bars) for step in (0, 4, 7)]
    return track_of(rows, "chords")


def broken_chords(num_bars: int) -> GridTrack:
    rows = [(48 * bar + 6 * n, 6, roots(bar) + FIGURE[n % 4]) for bar in range(num_bars) for n in range(8)]
    return track_of(rows, "chords")


def value_of(score: GridScore, name: str) -> float:
    values = style_features(score)
    assert values is not None
    return float(values[[feature.name for feature in STYLE_FEATURES].index(name)])


def judged(score: GridScore) -> StyleJudgement:
    judgement = classify_style(score)
    assert judgement is not None
    return judgement


def test_a_few_notes_have_no_style():
    assert classify_style(GridScore((melody(TUNE[:15]),), 4)) is None
    assert classify_style(GridScore((), 0)) is None


def test_groups_are_heard_where_they_are_played():
    tune = melody()
    assert judged(GridScore((tune,), 12)).heard == ("melody",)
    assert judged(GridScore((tune, block_chords(12)), 12)).heard == ("melody", "harmony")
    assert judged(GridScore((tune, broken_chords(12)), 12)).heard == ("melody", "harmony", "accompaniment")


def test_tempo_names_instruments_loudness_and_drums_do_not_matter():
    plain = GridScore((melody(), broken_chords(12)), 12)
    tracks = []
    for number, track in enumerate(plain.tracks):
        notes = track.notes.copy()
        notes["velocity"] = 10 + number
        tracks.append(replace(track, name=f"Rock {number}", notes=notes, program=81))
    beat = [(6 * n, 3, 42) for n in range(96)]
    drums = replace(track_of(beat, "drums"), is_drum=True)
    disguised = replace(plain, tracks=(*tracks, drums), tempos=(BarTempo(0, 200.0),))
    assert judged(disguised).probabilities == judged(plain).probabilities


def test_a_transposed_piece_is_in_the_same_style():
    score = GridScore((melody(), broken_chords(12)), 12)
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["pitch"] += 3
        tracks.append(replace(track, notes=notes))
    moved = judged(replace(score, tracks=tuple(tracks)))
    np.testing.assert_allclose(moved.values, judged(score).values, rtol=1e-9)


def test_notes_played_short_and_a_little_late_read_as_written():
    tune = melody()
    notes = tune.notes.copy()
    notes["duration_step"] = 9
    notes["onset_step"][::5] += 1
    for name in ("on_beat", "quarters", "rests", "syncopation", "repeated_notes"):
        played = value_of(GridScore((replace(tune, notes=notes),), 12), name)
        assert played == value_of(GridScore((tune,), 12), name), name


def test_features_count_what_they_say():
    score = GridScore((melody(), broken_chords(12)), 12)
    assert value_of(score, "repeated_notes") == pytest.approx(6 / 47)
    assert value_of(score, "quarters") == 1
    assert value_of(score, "on_beat") == 1
    assert value_of(score, "chromatic") == 0
    assert value_of(score, "minor") == 0
    assert value_of(score, "strikes") == 2
    assert value_of(score, "notes_per_strike") == 1
    assert value_of(score, "with_melody") == 1
    assert value_of(score, "melody_with") == 0.5
    assert value_of(score, "root_0") == pytest.approx(0.5)


def test_off_beats_held_over_the_beat_are_syncopation():
    late = [(12 * index + 6, 12, pitch) for index, pitch in enumerate(TUNE)]
    assert value_of(GridScore((track_of(late, "melody"),), 13), "syncopation") == 1
    assert value_of(GridScore((track_of(late, "melody"),), 13), "half_beats") == 1


def test_the_beat_of_six_eight_is_dotted():
    eighths = GridScore((melody(step=6),), 8, (Meter(0, 6, 8),))
    assert value_of(eighths, "on_beat") == pytest.approx(1 / 3)
    assert value_of(eighths, "thirds_of_beats") == pytest.approx(2 / 3)


@pytest.mark.parametrize("style", STYLES)
def test_contributions_and_a_constant_make_the_log_odds(style: str):
    judgement = judged(GridScore((melody(), broken_chords(12)), 12))
    bias = stored_arrays("style")["accompaniment_bias"].astype(float)
    constant = 0.0
    for sign, members in (
        (1, np.equal(STYLE_OF_KIND, STYLES.index(style))),
        (-1, STYLES.index(style) != STYLE_OF_KIND),
    ):
        share = judgement.kind_probabilities[members] / judgement.kind_probabilities[members].sum()
        constant += sign * float(share @ bias[members] - share @ np.log(share))
    evidence = judgement.evidence(style)
    assert sum(one.log_odds for one in evidence) + constant == pytest.approx(judgement.log_odds(style), abs=1e-4)
    assert [abs(one.log_odds) for one in evidence] == sorted((abs(one.log_odds) for one in evidence), reverse=True)


def test_evidence_is_said_in_musical_words():
    evidence = judged(GridScore((melody(),), 12)).evidence("pop")
    repeated = next(one for one in evidence if one.feature.name == "repeated_notes")
    assert repeated.text("pop").startswith("repeated notes: 13 % (pop ")
    assert repeated.low is not None
    assert repeated.median is not None
    assert repeated.high is not None
    assert repeated.low < repeated.median < repeated.high
    assert {one.feature.group for one in evidence} == {"melody"}


def test_an_unknown_style_is_refused():
    judgement = judged(GridScore((melody(),), 12))
    with pytest.raises(ValueError, match="unknown style 'polka'"):
        judgement.evidence("polka")
    with pytest.raises(ValueError, match="unknown style 'polka'"):
        judgement.log_odds("polka")


@given(grid_scores())
def test_odd_pieces_get_probabilities_or_none(score: GridScore):
    judgement = classify_style(score)
    if judgement is None:
        return
    assert sum(judgement.probabilities.values()) == pytest.approx(1)
    assert judgement.style in STYLES
    assert len(judgement.kind_probabilities) == len(KINDS)
    for one in judgement.evidence("pop"):
        assert np.isfinite(one.value)
        assert np.isfinite(one.log_odds)


@pytest.mark.parametrize("pitches", [[60] * 40, list(range(40, 80)), [60, 61] * 200, [0, 127] * 20])
def test_monotonous_melodies_are_judged(pitches: list[int]):
    for step in (1, 12, 400):
        num_bars = step * len(pitches) // 48 + 1
        judgement = judged(GridScore((melody(pitches, step),), num_bars))
        assert np.isfinite(judgement.log_odds("pop"))


@pytest.mark.data
def test_held_out_music_is_in_its_style(music_data: Path):
    lieder = sorted((music_data / "openscore_lieder").rglob("lc*.mxl"))
    chosen = {
        "art song": [path for path in lieder if split_of_work(f"lieder/{path.stem}") == "test"][:10],
        "pop": [
            path
            for path in sorted((music_data / "POP909").glob("*/[0-9][0-9][0-9].mid"))
            if split_of_work(f"pop909/{path.stem}") == "test"
        ][:10],
    }
    for style, paths in chosen.items():
        found = []
        for path in paths:
            piece = analyse(read_musicxml(path) if path.suffix == ".mxl" else read_midi(path))
            if not isinstance(piece, Rejection):
                found.append(judged(piece.score).style == style)
        assert len(found) >= 8
        assert np.mean(found) >= 0.8
