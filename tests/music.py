"""Made-up music for tests: hypothesis strategies of songs and of whole pieces on the grid."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from songwright.score.grid import DURATION_STEPS, POSITION_STEPS, STEPS_PER_BAR, STEPS_PER_BEAT, grid_notes
from songwright.score.grid_score import ROLES, TRACK_NOTE_DTYPE, BarTempo, GridScore, GridTrack, Meter, bar_starts
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


@st.composite
def grid_scores(draw: st.DrawFn, max_bars: int = 6, max_tracks: int = 5) -> GridScore:
    """Whole pieces: any metres, tempos, roles and instruments, equal tracks and tracks without notes included."""
    num_bars = draw(st.integers(1, max_bars))
    later = st.sets(st.integers(1, num_bars + 1), max_size=3)
    beats = st.sampled_from([(4, 4), (3, 4), (6, 8), (7, 8), (12, 8), (2, 2), (1, 16), (12, 4), (4, 1), (64, 32)])
    meters = tuple(Meter(bar, *draw(beats)) for bar in sorted({0, *draw(later)}))
    tempos = tuple(BarTempo(bar, draw(st.floats(5, 900))) for bar in sorted({0, *draw(later)}))
    end = int(bar_starts(meters, num_bars)[-1])
    durations = st.one_of(st.integers(1, 100), st.integers(1, 2**31 - 1))
    tracks = []
    for _ in range(draw(st.integers(0, max_tracks))):
        places = draw(st.sets(st.tuples(st.integers(0, end - 1), st.integers(0, 127)), max_size=8))
        rows = [(onset, draw(durations), pitch, draw(st.integers(1, 127))) for onset, pitch in sorted(places)]
        is_drum, program = draw(st.booleans()), draw(st.sampled_from([0, 0, 32, 127]))
        role = draw(st.sampled_from(ROLES))
        tracks.append(GridTrack("part", np.array(rows, dtype=TRACK_NOTE_DTYPE), role, program, is_drum))
    return GridScore(tuple(tracks), num_bars, meters, tempos)


_SCALE = np.array([60, 62, 64, 65, 67, 69, 71, 72, 74, 76])
_CHORDS = [ChordSymbol(0, "maj", 0), ChordSymbol(5, "maj", 5), ChordSymbol(7, "7", 7), ChordSymbol(9, "min", 9)]


def make_song(seed: int, form_text: str = "i4A8B8A8B8A8B8o4", tempo_qpm: float = 80.0) -> Song:
    """Return a song whose phrases of one letter are equal but for a few notes; melody only in sung phrases."""
    rng = np.random.default_rng(seed)
    form = Form.parse(form_text)
    material: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    melody: list[tuple[int, int, int]] = []
    piano: list[tuple[int, int, int]] = []
    chords: list[ChordChange] = []
    pattern = np.sort(rng.choice(8, size=int(rng.integers(3, 7)), replace=False)) * 6
    for phrase, start_bar in zip(form.phrases, form.start_bars, strict=True):
        if phrase.letter not in material:
            is_onset = rng.random((phrase.num_bars, 8)) < rng.uniform(0.4, 0.9)
            degrees = np.clip(np.cumsum(rng.integers(-2, 3, (phrase.num_bars, 8)).ravel()) % 10, 0, 9)
            material[phrase.letter] = is_onset, degrees.reshape(-1, 8), rng.integers(0, 4, phrase.num_bars)
        is_onset, degrees, roots = material[phrase.letter]
        for bar in range(phrase.num_bars):
            start = (start_bar + bar) * STEPS_PER_BAR
            chord = _CHORDS[int(roots[bar])]
            if not chords or chords[-1].chord != chord:
                chords.append(ChordChange(start, chord))
            piano += [(start + int(step), 6, 48 + (chord.root + third) % 12) for step in pattern for third in (0, 7)]
            if phrase.is_sung:
                shift = 1 if rng.random() < 0.2 else 0
                melody += [
                    (start + 6 * eighth, 6, int(_SCALE[(degrees[bar, eighth] + shift) % 10]))
                    for eighth in np.flatnonzero(is_onset[bar])
                ]
    arrays = [grid_notes(*np.array(sorted(set(notes)), dtype=np.int64).T) for notes in (melody, piano)]
    return Song(LeadSheet(Key(0), tempo_qpm, form, tuple(chords), arrays[0]), arrays[1])
