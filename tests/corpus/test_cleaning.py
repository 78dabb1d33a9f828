"""Cleaning: each fault is named, thresholds count from where they say, and nothing else is rejected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from songwright.config import from_mapping, load_config
from songwright.corpus.cleaning import REASONS, CleaningConfig, Measures, Rejection, measure, rejection
from songwright.errors import ConfigError
from songwright.score.elements import NOTE_DTYPE, Note, Score, Track, note_array

SOUND = Measures(
    num_notes=400, seconds=120.0, num_pitches=20, num_simultaneous=5, beat_confidence=0.9, share_on_grid=0.9
)
CONFIG = CleaningConfig(
    min_notes=10, max_notes=1000, min_seconds=5.0, max_seconds=600.0, min_distinct_pitches=3, max_simultaneous=20,
    min_beat_confidence=0.2, min_share_on_grid=0.5, max_file_bytes=10_000,
)  # fmt: skip


def score_of(*tracks: tuple[bool, list[int]]) -> Score:
    """A score of tracks of (whether drums, pitches in quarters)."""
    return Score(480, tuple(
        Track("", note_array([Note(480 * place, 480, pitch) for place, pitch in enumerate(pitches)]), is_drum=is_drum)
        for is_drum, pitches in tracks))  # fmt: skip


def test_a_sound_piece_is_not_rejected():
    assert rejection(SOUND, CONFIG) is None
    assert rejection(SOUND, CleaningConfig()) is None


@pytest.mark.parametrize(
    ("changes", "limit", "reason", "number"),
    [
        ({"num_notes": 9}, {"num_notes": 10}, "too few notes", "9 notes"),
        ({"num_notes": 1}, {"num_notes": 10}, "too few notes", "1 note;"),
        ({"num_notes": 1001}, {"num_notes": 1000}, "too many notes", "1,001"),
        ({"seconds": 4.9}, {"seconds": 5.0}, "too short", "4.9 s"),
        ({"seconds": 600.5}, {"seconds": 600.0}, "too long", "600 s"),
        ({"num_pitches": 2}, {"num_pitches": 3}, "one note", "2 different pitches"),
        ({"num_pitches": 1}, {"num_pitches": 3}, "one note", "1 different pitch;"),
        ({"num_simultaneous": 21}, {"num_simultaneous": 20}, "too many at once", "21 notes"),
        ({"beat_confidence": 0.19}, {"beat_confidence": 0.2}, "no beat", "0.19"),
        ({"share_on_grid": 0.4}, {"share_on_grid": 0.5}, "off-grid", "40%"),
        ({"file_bytes": 10_001}, {"file_bytes": 10_000}, "too large", "10,001"),
    ],
)
def test_each_fault_is_named_with_its_number_and_the_limit_itself_is_fine(changes, limit, reason, number):
    found = rejection(replace(SOUND, **changes), CONFIG)
    assert found is not None
    assert found.reason == reason
    assert number in found.detail
    assert rejection(replace(SOUND, **limit), CONFIG) is None


@pytest.mark.parametrize("name", ["seconds", "beat_confidence", "share_on_grid"])
def test_what_is_not_a_number_is_rejected(name: str):
    assert rejection(replace(SOUND, **{name: float("nan")}), CONFIG) is not None
    assert rejection(replace(SOUND, seconds=float("inf")), CONFIG).reason == "too long"


def test_pieces_of_drums_alone_are_taken_unless_switched_off():
    drums = measure(score_of((True, [36, 38] * 20)), 20.0)
    assert drums.is_drums_only
    assert rejection(drums, CleaningConfig()) is None
    assert rejection(drums, CleaningConfig(allow_drums_only=False)).reason == "drum only"
    assert rejection(SOUND, CleaningConfig(allow_drums_only=False)) is None


def test_the_first_reason_that_holds_is_given():
    empty = Measures(num_notes=0, seconds=0.0, num_pitches=0)
    assert rejection(empty, CONFIG).reason == "empty"
    assert rejection(replace(empty, file_bytes=10**9), CONFIG).reason == "too large"
    assert rejection(replace(SOUND, num_notes=2, seconds=0.1, num_pitches=1), CONFIG).reason == "too few notes"


def test_a_score_is_measured():
    score = score_of((False, [60, 64, 60, 67]), (True, [36, 38, 36]), (False, [48, 48]))
    expected = Measures(num_notes=9, seconds=7.5, num_pitches=4, num_simultaneous=3, file_bytes=12)
    assert measure(score, 7.5, file_bytes=12) == expected
    with_roles = measure(score, 7.5, roles=("drums", "other", "bass"), confidence=0.3, share_on_grid=0.7)
    assert with_roles == replace(
        expected, num_pitches=3, beat_confidence=0.3, share_on_grid=0.7, file_bytes=0
    )  # 36, 38 and 48


def test_roles_decide_what_drums_are():
    score = score_of((False, [60, 64, 60, 67]), (True, [36, 38, 36]))
    assert measure(score, 1.0, roles=("drums", "melody")).num_pitches == 2
    assert measure(score, 1.0, roles=("drums", "drums")).is_drums_only


def test_a_score_without_notes_is_measured_as_empty():
    for score in (Score(480, ()), score_of((False, []))):
        assert measure(score, 0.0) == Measures(num_notes=0, seconds=0.0, num_pitches=0, num_simultaneous=0)


def test_a_million_notes_at_one_tick_are_too_many():
    notes = np.zeros(1_000_000, dtype=NOTE_DTYPE)
    notes["pitch"] = np.arange(1_000_000) % 128
    found = measure(Score(480, (Track("", notes),)), 10.0)
    assert (found.num_simultaneous, found.num_pitches) == (1_000_000, 128)
    assert rejection(found, CleaningConfig()).reason == "too many notes"
    assert rejection(found, CleaningConfig(max_notes=2_000_000)).reason == "too many at once"


def test_reasons_are_distinct_and_no_other_is_accepted():
    assert len(set(REASONS)) == len(REASONS)
    assert Rejection("timed out", "took longer than 20 seconds").reason == "timed out"
    with pytest.raises(ValueError, match="unknown reason 'boring'"):
        Rejection("boring", "")


@pytest.mark.parametrize(
    "values",
    [{"min_notes": 10, "max_notes": 9}, {"min_seconds": -1.0}, {"min_share_on_grid": 1.1}, {"max_simultaneous": 0},
     {"min_beat_confidence": -0.1}, {"min_distinct_pitches": 0}, {"max_file_bytes": 0}],
)  # fmt: skip
def test_impossible_thresholds_are_refused(values: dict[str, object]):
    with pytest.raises(ConfigError):
        from_mapping(CleaningConfig, values)


def test_thresholds_are_read_from_toml(tmp_path: Path):
    path = tmp_path / "cleaning.toml"
    path.write_text("min_notes = 4\nallow_drums_only = false\nmin_seconds = 2\n")
    assert load_config(CleaningConfig, path) == CleaningConfig(min_notes=4, allow_drums_only=False, min_seconds=2.0)
