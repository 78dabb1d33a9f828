"""Made-up songs with phrases that return, so that structure can be judged without real music."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from songwright.score.grid import STEPS_PER_BAR, grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song

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


@pytest.fixture(scope="session")
def song_of_seed() -> Callable[..., Song]:
    """The builder of made-up songs."""
    return make_song


@pytest.fixture(scope="session")
def real_songs() -> list[Song]:
    """Forty made-up songs that play the real ones."""
    return [make_song(seed) for seed in range(40)]
