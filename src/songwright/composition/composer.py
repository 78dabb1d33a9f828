"""From a plan to a song: the lead sheet first, then the piano part under it.

The networks write in C major or A minor; the song is transposed to the plan's key at the end. What they have written
is checked, and written again from the bar where a check fails: a melody and harmony that do not come home at the
end, and passages that a song of the corpus has too.

Songs are written one by one, each from its own seed alone, so a song of many is the same as that song by itself.
Batches of four would make a step 1.4 times as fast, but round differently; several songs use several processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from songwright.analysis.originality import Originality, OriginalityIndex
from songwright.composition.decoding import SamplingConfig, SequenceState, Writer
from songwright.composition.ending import MAX_ENDINGS, failed_ending
from songwright.composition.plan import SongPlan
from songwright.composition.weights import PRECISIONS, STREAMS, Style, find_style, open_decoder, stream_of
from songwright.errors import ConfigError, WeightsError
from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR
from songwright.score.lead_sheet import LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song
from songwright.tokens import arrangement, lead_sheet
from songwright.tokens.arrangement_state import CHANNELS as ARRANGEMENT_CHANNELS
from songwright.tokens.arrangement_state import ArrangementState
from songwright.tokens.channels import SongContext
from songwright.tokens.lead_sheet_state import CHANNELS as LEAD_SHEET_CHANNELS
from songwright.tokens.lead_sheet_state import LeadSheetState

LEAD_SHEET_SAMPLING = SamplingConfig(cutoff=0.005)
ARRANGEMENT_SAMPLING = SamplingConfig(cutoff=0.004)

MAX_SHARED_NOTES = 19
"""Longest run of melody notes that a song may share with a known song; real songs share 17 at most."""
MAX_SHARED_PIANO_BARS = 3
"""The same for bars of the piano part; real songs share 3 at most."""
MAX_REWRITES = 4
"""Times that a copied passage is written again before the song is given up to the report."""

# Tokens for which a song's buffers have room, a bar: real songs take 18 and 36 on average, 25 and 55 at most.
_TOKENS_PER_BAR = {"lead_sheet": 40, "arrangement": 80}

# Streams of random numbers, so that a change in one stage leaves the others as they were.
_LEAD_SHEET_STREAM, _ARRANGEMENT_STREAM = 11, 12

Progress = Callable[[str, int, int], None]
"""Called with (stage, bars done, bars); bars done fall when a passage is written again."""


@dataclass(frozen=True)
class Composition:
    """A song and what was found in checking it.

    Attributes
    ----------
    song : Song
        In the plan's key.
    originality : Originality
        What it shares with the songs of the corpus that the networks learned from, held-out ones included.
    num_known_songs : int
    num_endings : int
        Endings written, 1 if the first came home.
    num_rewrites : int
        Passages written again because a known song has them.
    """

    song: Song
    originality: Originality
    num_known_songs: int
    num_endings: int
    num_rewrites: int


class Composer:
    """Writes songs in one style.

    Parameters
    ----------
    style : str
    precision : {"int8", "fp32"}
        Weights to use: small and fast, or exact.
    weights : Path, optional
        Folder of styles, in place of the one that ships.
    networks : sequence of Path
        Exported networks of any family, such as `lead_sheet.int8.onnx`, in place of the style's for the same stream.

    Raises
    ------
    ConfigError, WeightsError, InputError
        If the style is unknown, or its weights or its originality index are missing, damaged or of another version.
    """

    def __init__(
        self,
        style: str = "pop",
        *,
        precision: str = "int8",
        weights: Path | None = None,
        networks: Sequence[Path] = (),
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
        self.style: Style = find_style(style, weights)
        self.precision = precision
        self._given = {stream_of(path): path for path in networks}
        self._index = OriginalityIndex.load(self.style.originality_index)
        self.style.check(self.style.originality_index)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of the weights in use."""
        digest = hashlib.sha256()
        for stream in STREAMS:
            digest.update(self._path(stream).read_bytes())
        return digest.hexdigest()[:16]

    def _path(self, stream: str) -> Path:
        return self._given.get(stream) or self.style.weights(stream, self.precision)

    def compose(self, plan: SongPlan, *, progress: Progress | None = None) -> Composition:
        """Return the song of a plan."""
        sheet, num_endings, melody_rewrites = self._write_lead_sheet(plan, progress)
        song, piano_rewrites = self._write_piano(sheet, plan, progress)
        return Composition(
            song=_on_keyboard(song.transpose((plan.key.tonic - sheet.key.tonic + 6) % 12 - 6)),
            originality=self._index.compare(song),
            num_known_songs=self._index.num_songs,
            num_endings=num_endings,
            num_rewrites=melody_rewrites + piano_rewrites,
        )

    def _write_lead_sheet(self, plan: SongPlan, progress: Progress | None) -> tuple[LeadSheet, int, int]:
        key = Key(9, True) if plan.key.is_minor else Key(0)
        context = SongContext(plan.form, key, plan.tempo_qpm)
        room = plan.form.num_bars * _TOKENS_PER_BAR["lead_sheet"]
        writer = self._writer("lead_sheet", lambda: LeadSheetState(context, max_tokens=room), plan, room)
        on_bar = partial(_report, progress, "melody and chords", plan.form.num_bars) if progress else None
        num_endings, num_rewrites = 1, 0
        while True:
            tokens = writer.write(on_bar=on_bar)
            sheet = lead_sheet.decode(tokens, key=key, tempo_qpm=plan.tempo_qpm, form=plan.form)
            found = self._index.compare(Song(sheet, np.empty(0, dtype=GRID_NOTE_DTYPE)))
            ending_bar = failed_ending(sheet, num_endings)
            if found.melody_run > MAX_SHARED_NOTES and num_rewrites < MAX_REWRITES:
                num_rewrites += 1
                # What leads into the run stays, its first notes too: they are nobody's.
                note = sheet.melody[found.melody_start + MAX_SHARED_NOTES // 2]
                writer.go_back(int(note["onset_step"]) // STEPS_PER_BAR)
            elif ending_bar is not None and num_endings < MAX_ENDINGS:
                num_endings += 1
                writer.go_back(ending_bar)
            else:
                return sheet, num_endings, num_rewrites

    def _write_piano(self, sheet: LeadSheet, plan: SongPlan, progress: Progress | None) -> tuple[Song, int]:
        context = SongContext(sheet.form, sheet.key, sheet.tempo_qpm)
        room = sheet.num_bars * _TOKENS_PER_BAR["arrangement"]
        writer = self._writer("arrangement", lambda: ArrangementState(context, sheet, max_tokens=room), plan, room)
        on_bar = partial(_report, progress, "piano", sheet.num_bars) if progress else None
        num_rewrites = 0
        while True:
            song = Song(sheet, arrangement.decode(writer.write(on_bar=on_bar)))
            found = self._index.compare(song)
            if found.piano_run <= MAX_SHARED_PIANO_BARS or num_rewrites == MAX_REWRITES:
                return song, num_rewrites
            num_rewrites += 1
            writer.go_back(found.piano_start + MAX_SHARED_PIANO_BARS // 2)

    def _writer(self, stream: str, new_state: Callable[[], SequenceState], plan: SongPlan, room: int) -> Writer:
        is_melody = stream == "lead_sheet"
        tokenizer = lead_sheet if is_melody else arrangement
        layout = LEAD_SHEET_CHANNELS if is_melody else ARRANGEMENT_CHANNELS
        path = self._path(stream)
        decoder = open_decoder(path, max_length=room, expected_fingerprint=tokenizer.VOCABULARY.fingerprint)
        if tuple(decoder.metadata.get("channel_sizes", layout.sizes)) != layout.sizes:
            raise WeightsError(f"{path}: trained with other side channels; train again or use this version's weights")
        if stream not in self._given:
            self.style.check(path)
        return Writer(
            decoder,
            new_state,
            np.random.default_rng([plan.seed, _LEAD_SHEET_STREAM if is_melody else _ARRANGEMENT_STREAM]),
            layout=layout,
            vocabulary=tokenizer.VOCABULARY,
            config=LEAD_SHEET_SAMPLING if is_melody else ARRANGEMENT_SAMPLING,
            bar_token=tokenizer.BAR,
            start_token=tokenizer.BOS,
        )


def _on_keyboard(song: Song) -> Song:
    """Return the song without the piano notes that transposition has moved past either end of the keyboard."""
    pitch = song.piano["pitch"]
    lowest, highest = arrangement.LOWEST_PITCH, arrangement.HIGHEST_PITCH
    return Song(song.lead_sheet, song.piano[(pitch >= lowest) & (pitch <= highest)])


def _report(progress: Progress, stage: str, num_bars: int, done: int) -> None:
    progress(stage, done, num_bars)
