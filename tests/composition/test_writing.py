from __future__ import annotations

import numpy as np
import pytest

from songwright.analysis.originality import OriginalityIndex
from songwright.composition.composer import MAX_SHARED_NOTES, MAX_SHARED_PIANO_BARS, Composer
from songwright.composition.ending import failed_ending
from songwright.composition.plan import plan_song
from songwright.score.grid import STEPS_PER_BAR, grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.tokens import lead_sheet
from songwright.tokens.channels import SongContext
from songwright.tokens.lead_sheet_state import LeadSheetState


def sheet_ending_with(pitch: int, root: int, *, key: Key | None = None, last_sung_bar: int = 10) -> LeadSheet:
    """Twelve bars in which the melody's last note stands in `last_sung_bar` and the last chord in the last bar."""
    onsets = np.arange(last_sung_bar + 1) * STEPS_PER_BAR
    pitches = np.full(len(onsets), 62)
    pitches[-1] = pitch
    melody = grid_notes(onsets, np.full(len(onsets), 48), pitches)
    chords = (
        ChordChange(0, ChordSymbol(5, "maj", 5)),
        ChordChange(11 * STEPS_PER_BAR, ChordSymbol(root, "maj", root)),
    )
    return LeadSheet(key or Key(0), 90, Form.parse("A12"), chords, melody)


@pytest.mark.parametrize(
    ("pitch", "root", "attempt", "bar"),
    [
        (60, 0, 1, None),
        (72, 0, 1, None),
        (64, 0, 1, 9),
        (60, 7, 1, 10),
        (64, 7, 1, 9),
        (64, 0, 6, 7),
        (64, 0, 11, 3),
    ],
)
def test_an_ending_off_the_tonic_is_written_again_from_ever_further_back(pitch, root, attempt, bar):
    assert failed_ending(sheet_ending_with(pitch, root), attempt) == bar


def test_the_tonic_of_a_minor_key_is_its_own():
    assert failed_ending(sheet_ending_with(69, 9, key=Key(9, True)), 1) is None
    assert failed_ending(sheet_ending_with(60, 0, key=Key(9, True)), 1) is not None


def test_going_back_never_passes_the_first_bar():
    assert failed_ending(sheet_ending_with(64, 0, last_sung_bar=1), 20) == 0


def test_going_back_forgets_what_came_after_and_all_of_the_state():
    composer = Composer(precision="fp32")
    plan = plan_song(num_bars=12, tempo_qpm=90, seed=5)
    context = SongContext(plan.form, Key(0), plan.tempo_qpm)
    writer = composer._writer("lead_sheet", lambda: LeadSheetState(context), plan, 600)
    writer._rng = np.random.default_rng(1)
    first = list(writer.write())
    lines = [place for place, token in enumerate(first) if token == lead_sheet.BAR]
    writer.go_back(7)
    assert writer.tokens == first[: lines[7]]
    again = list(writer.write())
    assert again[: lines[7]] == first[: lines[7]]
    assert again.count(lead_sheet.BAR) == 12
    assert again[-1] == lead_sheet.EOS
    writer.go_back(0)
    writer._rng = np.random.default_rng(1)
    assert list(writer.write()) == first


def test_most_songs_come_home():
    composer = Composer()
    found = [composer.compose(plan_song(seconds=20, seed=seed)) for seed in range(8)]
    home = [failed_ending(composition.song.lead_sheet, 1) is None for composition in found]
    assert sum(home) >= 6
    assert any(composition.num_endings > 1 for composition in found)


def test_a_song_that_is_known_already_is_written_again():
    composer = Composer()
    plan = plan_song(seconds=45, seed=4)
    known = composer.compose(plan)
    composer._index = OriginalityIndex.from_songs([known.song])
    assert composer._index.compare(known.song).coverage == 1.0
    written = composer.compose(plan)
    assert written.num_known_songs == 1
    assert written.num_rewrites >= 1
    assert written.originality.melody_run <= MAX_SHARED_NOTES
    assert written.originality.piano_run <= MAX_SHARED_PIANO_BARS
