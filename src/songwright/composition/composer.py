"""From plans to songs: the lead sheet first, then the piano part under it.

The networks write in C major or A minor; songs are transposed to their plan's key at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from songwright.composition.decoding import SamplingConfig, SequenceState, decode_together
from songwright.composition.plan import SongPlan
from songwright.composition.weights import PRECISIONS, STREAMS, Style, find_style
from songwright.engine.session import Decoder
from songwright.errors import ConfigError
from songwright.score.lead_sheet import LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song
from songwright.tokens import arrangement, lead_sheet
from songwright.tokens.arrangement_state import CHANNELS as ARRANGEMENT_CHANNELS
from songwright.tokens.arrangement_state import ArrangementState
from songwright.tokens.channels import SongContext
from songwright.tokens.lead_sheet_state import CHANNELS as LEAD_SHEET_CHANNELS
from songwright.tokens.lead_sheet_state import LeadSheetState

LEAD_SHEET_SAMPLING = SamplingConfig()
ARRANGEMENT_SAMPLING = SamplingConfig(cutoff=0.004)

# Tokens for which a song's buffers have room, a bar: real songs take 18 and 36 on average, 25 and 55 at most.
_TOKENS_PER_BAR = {"lead_sheet": 40, "arrangement": 80}

# Streams of random numbers, so that a change in one stage leaves the others as they were.
_LEAD_SHEET_STREAM, _ARRANGEMENT_STREAM = 11, 12

Progress = Callable[[str, int, int], None]
"""Called with (stage, bars done, bars)."""


class Composer:
    """Writes songs in one style.

    Parameters
    ----------
    style : str
    precision : {"int8", "fp32"}
        Weights to use: small and fast, or exact.
    num_threads : int
        Threads of the engine.
    weights : Path, optional
        Folder of styles, in place of the one that ships.

    Raises
    ------
    ConfigError, WeightsError
        If the style is unknown, or its weights are missing, damaged or of another version.
    """

    def __init__(
        self, style: str = "pop", *, precision: str = "int8", num_threads: int = 1, weights: Path | None = None
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
        self.style: Style = find_style(style, weights)
        self.precision = precision
        self._num_threads = num_threads

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of the weights in use."""
        digest = hashlib.sha256()
        for stream in STREAMS:
            digest.update(self.style.weights(stream, self.precision).read_bytes())
        return digest.hexdigest()[:16]

    def compose(self, plans: Sequence[SongPlan], *, progress: Progress | None = None) -> list[Song]:
        """Return one song for each plan, in its key; sampled together in one batch.

        Parameters
        ----------
        plans : sequence of SongPlan
        progress : callable, optional
            Called with (stage, bars done, bars) as the slowest song proceeds.
        """
        sheets = self._lead_sheets(plans, progress)
        songs = self._arrange(sheets, plans, progress)
        return [
            song.transpose((plan.key.tonic - song.lead_sheet.key.tonic + 6) % 12 - 6)
            for song, plan in zip(songs, plans, strict=True)
        ]

    def _lead_sheets(self, plans: Sequence[SongPlan], progress: Progress | None) -> list[LeadSheet]:
        keys = [Key(9, True) if plan.key.is_minor else Key(0) for plan in plans]
        room = max(plan.form.num_bars for plan in plans) * _TOKENS_PER_BAR["lead_sheet"]
        contexts = [SongContext(plan.form, key, plan.tempo_qpm) for plan, key in zip(plans, keys, strict=True)]
        states = [LeadSheetState(context, max_tokens=room) for context in contexts]
        written = self._decode("lead_sheet", states, plans, room, progress)
        return [
            lead_sheet.decode(tokens, key=key, tempo_qpm=plan.tempo_qpm, form=plan.form)
            for tokens, key, plan in zip(written, keys, plans, strict=True)
        ]

    def _arrange(self, sheets: Sequence[LeadSheet], plans: Sequence[SongPlan], progress: Progress | None) -> list[Song]:
        room = max(sheet.num_bars for sheet in sheets) * _TOKENS_PER_BAR["arrangement"]
        states = [
            ArrangementState(SongContext(sheet.form, sheet.key, sheet.tempo_qpm), sheet, max_tokens=room)
            for sheet in sheets
        ]
        written = self._decode("arrangement", states, plans, room, progress)
        return [Song(sheet, arrangement.decode(tokens)) for sheet, tokens in zip(sheets, written, strict=True)]

    def _decode(
        self,
        stream: str,
        states: Sequence[SequenceState],
        plans: Sequence[SongPlan],
        room: int,
        progress: Progress | None,
    ) -> list[list[int]]:
        is_melody = stream == "lead_sheet"
        tokenizer = lead_sheet if is_melody else arrangement
        number = _LEAD_SHEET_STREAM if is_melody else _ARRANGEMENT_STREAM
        bars = max(plan.form.num_bars for plan in plans)
        decoder = Decoder(
            self.style.weights(stream, self.precision),
            batch_size=len(plans),
            max_length=room,
            num_threads=self._num_threads,
            expected_fingerprint=tokenizer.VOCABULARY.fingerprint,
        )
        return decode_together(
            decoder,
            states,
            [np.random.default_rng([plan.seed, number]) for plan in plans],
            layout=LEAD_SHEET_CHANNELS if is_melody else ARRANGEMENT_CHANNELS,
            vocabulary=tokenizer.VOCABULARY,
            config=LEAD_SHEET_SAMPLING if is_melody else ARRANGEMENT_SAMPLING,
            start_token=tokenizer.BOS,
            on_bar=(lambda done: progress("melody and chords" if is_melody else "piano", done, bars))
            if progress
            else None,
        )
