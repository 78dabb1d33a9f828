"""Lead sheets as sequences: the vocabulary, encoding and decoding.

A song is `BOS`, its bars, `EOS`. A bar is `BAR`, its chords as `BEAT_b CHORD_root:quality` with
`BASS_pc` after an inverted one (beat 0 is always stated), then its notes as `POS_p PITCH_n DUR_d`. Positions and
durations are indices into the tables of `score.grid`. Pitches are expected in C major or A minor.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import (
    BEATS_PER_BAR,
    DURATION_OF_STEPS,
    DURATION_STEPS,
    GRID_NOTE_DTYPE,
    POSITION_OF_STEP,
    POSITION_STEPS,
    STEPS_PER_BAR,
    STEPS_PER_BEAT,
)
from songwright.score.lead_sheet import QUALITIES, ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.tokens.vocabulary import Vocabulary

LOWEST_PITCH, HIGHEST_PITCH = 36, 100
NUM_PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 1
QUALITY_NAMES = tuple(QUALITIES)
NUM_CHORDS = 12 * len(QUALITY_NAMES)
NUM_POSITIONS = len(POSITION_STEPS)

VOCABULARY = Vocabulary(
    ["PAD", "BOS", "EOS", "BAR"]
    + [f"BEAT_{beat}" for beat in range(BEATS_PER_BAR)]
    + [f"CHORD_{root}:{quality}" for root in range(12) for quality in QUALITY_NAMES]
    + [f"BASS_{pitch_class}" for pitch_class in range(12)]
    + [f"POS_{position}" for position in range(NUM_POSITIONS)]
    + [f"PITCH_{pitch}" for pitch in range(LOWEST_PITCH, HIGHEST_PITCH + 1)]
    + [f"DUR_{index}" for index in range(len(DURATION_STEPS))]
)
PAD, BOS, EOS, BAR = range(4)
BEAT_0 = VOCABULARY["BEAT_0"]
CHORD_0 = VOCABULARY["CHORD_0:maj"]
BASS_0 = VOCABULARY["BASS_0"]
POS_0 = VOCABULARY["POS_0"]
PITCH_0 = VOCABULARY[f"PITCH_{LOWEST_PITCH}"]
DUR_0 = VOCABULARY["DUR_0"]


def encode(lead_sheet: LeadSheet) -> NDArray[np.int16]:
    """Return the token ids of a lead sheet in C major or A minor, shape (num_tokens,).

    Onsets and durations are taken to the nearest allowed value; a pitch outside the vocabulary moves by octaves.
    Bars before the first chord take that chord.

    Raises
    ------
    ValueError
        If the lead sheet has no chord.
    """
    if not lead_sheet.chords:
        raise ValueError("a lead sheet needs at least one chord")
    num_bars = lead_sheet.num_bars
    # Chords: those that change, on their beat, and at each bar line the one still sounding.
    change_beat = np.array([change.onset_step // STEPS_PER_BEAT for change in lead_sheet.chords])
    bar_beat = np.arange(num_bars) * BEATS_PER_BAR
    beat = np.union1d(bar_beat, change_beat[change_beat < num_bars * BEATS_PER_BAR])
    sounding = np.maximum(np.searchsorted(change_beat, beat, side="right") - 1, 0)
    table = np.array(
        [
            (CHORD_0 + chord.root * len(QUALITY_NAMES) + QUALITY_NAMES.index(chord.quality), chord.bass, chord.root)
            for _, chord in lead_sheet.chords
        ]
    )
    chord_token, bass, root = table[sounding].T
    inverted = bass != root
    notes = lead_sheet.melody
    note_bar, note_step = np.divmod(notes["onset_step"].astype(np.int64), STEPS_PER_BAR)
    position = POSITION_OF_STEP[note_step].astype(np.int64)
    duration = DURATION_OF_STEPS[np.minimum(notes["duration_step"], DURATION_STEPS[-1])].astype(np.int64)
    pitch = notes["pitch"].astype(np.int64)
    pitch += 12 * (np.maximum(0, -((pitch - LOWEST_PITCH) // 12)) - np.maximum(0, -((HIGHEST_PITCH - pitch) // 12)))
    # Sort key: bar, then bar line 0, chords 1 + 3 * beat, notes 100 + 3 * position.
    keys = np.concatenate(
        [
            np.arange(num_bars) * 1000,
            (beat // BEATS_PER_BAR) * 1000 + 1 + beat % BEATS_PER_BAR * 3,
            (beat // BEATS_PER_BAR) * 1000 + 2 + beat % BEATS_PER_BAR * 3,
            ((beat // BEATS_PER_BAR) * 1000 + 3 + beat % BEATS_PER_BAR * 3)[inverted],
            note_bar * 1000 + 100 + position * 3,
            note_bar * 1000 + 101 + position * 3,
            note_bar * 1000 + 102 + position * 3,
        ]
    )
    tokens = np.concatenate(
        [
            np.full(num_bars, BAR),
            BEAT_0 + beat % BEATS_PER_BAR,
            chord_token,
            (BASS_0 + bass)[inverted],
            POS_0 + position,
            PITCH_0 + pitch - LOWEST_PITCH,
            DUR_0 + duration,
        ]
    )
    ordered = tokens[np.argsort(keys, kind="stable")]
    return np.concatenate([[BOS], ordered, [EOS]]).astype(np.int16)


def decode(token_ids: Iterable[int], *, key: Key, tempo_qpm: float, form: Form) -> LeadSheet:
    """Return the lead sheet that a valid token sequence spells; a chord equal to the one before it is merged.

    Raises
    ------
    ValueError
        If the sequence breaks the grammar (a note without onset, a token out of place).
    """
    chords: list[ChordChange] = []
    notes: list[tuple[int, int, int]] = []
    bar, beat, onset, pitch = -1, -1, -1, -1
    for token in token_ids:
        token = int(token)
        if token in (PAD, BOS, EOS):
            continue
        if token == BAR:
            bar += 1
        elif BEAT_0 <= token < CHORD_0:
            beat = token - BEAT_0
        elif CHORD_0 <= token < BASS_0:
            if bar < 0 or beat < 0:
                raise ValueError("chord before any bar or beat")
            root, quality = divmod(token - CHORD_0, len(QUALITY_NAMES))
            start = bar * STEPS_PER_BAR + beat * STEPS_PER_BEAT
            chords.append(ChordChange(start, ChordSymbol(root, QUALITY_NAMES[quality], root)))
        elif BASS_0 <= token < POS_0:
            if not chords:
                raise ValueError("bass before any chord")
            change = chords[-1]
            chords[-1] = ChordChange(change.onset_step, change.chord._replace(bass=token - BASS_0))
        elif POS_0 <= token < PITCH_0:
            onset = bar * STEPS_PER_BAR + POSITION_STEPS[token - POS_0]
        elif PITCH_0 <= token < DUR_0:
            pitch = token - PITCH_0 + LOWEST_PITCH
        else:
            if onset < 0 or pitch < 0:
                raise ValueError("duration without onset or pitch")
            notes.append((onset, DURATION_STEPS[token - DUR_0], pitch))
            onset = pitch = -1
    merged = [change for index, change in enumerate(chords) if index == 0 or change.chord != chords[index - 1].chord]
    return LeadSheet(key, tempo_qpm, form, tuple(merged), np.array(notes, dtype=GRID_NOTE_DTYPE))
