"""Made-up music for tests: hypothesis strategies of songs on the grid."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from songwright.score.grid import DURATION_STEPS, POSITION_STEPS, STEPS_PER_BAR, STEPS_PER_BEAT, grid_notes
from songwright.score.lead_sheet import QUALITIES, ChordChange, ChordSymbol, Form, LeadSheet, Phrase
from songwright.score.pitch import Key
from songwright.score.song import Song

NORMAL_KEYS = (Key(0), Key(9, True))


@st.composite
def forms(draw: st.DrawFn, max_phrases: int = 5, max_bars: int = 4) -> Form:
    """Forms of a few short phrases."""
    count = draw(st.integers(1, max_phrases))
    return Form(tuple(Phrase(draw(st.sampled_from("iABCbxo")), draw(st.integers(1, max_bars))) for _ in range(count)))


@st.composite
def melodies(draw: st.DrawFn, num_bars: int, *, lowest: int = 36, highest: int = 100) -> np.ndarray:
    """One voice on allowed positions with allowed durations."""
    end = num_bars * STEPS_PER_BAR
    slots = [bar * STEPS_PER_BAR + step for bar in range(num_bars) for step in POSITION_STEPS]
    onsets = sorted(draw(st.sets(st.sampled_from(slots), max_size=24)))
    rows = []
    for onset, following in zip(onsets, [*onsets, end][1:], strict=True):
        fitting = [duration for duration in DURATION_STEPS if duration <= following - onset]
        if fitting:
            rows.append((onset, draw(st.sampled_from(fitting)), draw(st.integers(lowest, highest))))
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return grid_notes(table[:, 0], table[:, 1], table[:, 2])


@st.composite
def chord_changes(draw: st.DrawFn, num_bars: int) -> tuple[ChordChange, ...]:
    """Changes on beats, the first at the start, no chord twice in a row."""
    beats = sorted({0, *draw(st.sets(st.integers(0, num_bars * 4 - 1), max_size=8))})
    changes: list[ChordChange] = []
    for beat in beats:
        root = draw(st.integers(0, 11))
        chord = ChordSymbol(
            root, draw(st.sampled_from(sorted(QUALITIES))), draw(st.sampled_from([root, (root + 7) % 12]))
        )
        if not changes or changes[-1].chord != chord:
            changes.append(ChordChange(beat * STEPS_PER_BEAT, chord))
    return tuple(changes)


@st.composite
def lead_sheets(draw: st.DrawFn, **pitches: int) -> LeadSheet:
    """Valid lead sheets in C major or A minor."""
    form = draw(forms())
    return LeadSheet(
        draw(st.sampled_from(NORMAL_KEYS)),
        float(draw(st.integers(50, 140))),
        form,
        draw(chord_changes(form.num_bars)),
        draw(melodies(form.num_bars, **pitches)),
    )


@st.composite
def songs(draw: st.DrawFn) -> Song:
    """Valid songs: a lead sheet and a polyphonic piano part."""
    sheet = draw(lead_sheets())
    slots = [bar * STEPS_PER_BAR + step for bar in range(sheet.num_bars) for step in POSITION_STEPS]
    pairs = draw(st.sets(st.tuples(st.sampled_from(slots), st.integers(21, 108)), max_size=40))
    end = sheet.num_bars * STEPS_PER_BAR
    rows = [
        (onset, draw(st.sampled_from([duration for duration in DURATION_STEPS if duration <= end - onset])), pitch)
        for onset, pitch in sorted(pairs)
    ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Song(sheet, grid_notes(table[:, 0], table[:, 1], table[:, 2]))
