"""Songs to sequences: token ids, side channels and hints, as the networks read them.

A *stream* is what a network of one kind reads. `lead_sheet` and `arrangement` are the two that songs are composed with,
`harmony` is a lead sheet without melody (chords and form alone), `score` is a whole piece of any kind (`tokens.score`),
without channels or hints. Row t of channels and hints describes the prediction of token t + 1. Files are written and
read by `preparation.shards`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from songwright.score.lead_sheet import Form, LeadSheet
from songwright.score.song import Song
from songwright.tokens import arrangement, lead_sheet, score
from songwright.tokens.arrangement_state import CHANNELS as ARRANGEMENT_CHANNELS
from songwright.tokens.arrangement_state import ArrangementState
from songwright.tokens.channels import NUM_REFERENCES, ChannelLayout, SongContext
from songwright.tokens.lead_sheet_state import CHANNELS as LEAD_SHEET_CHANNELS
from songwright.tokens.lead_sheet_state import LeadSheetState
from songwright.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class Stream:
    """What a network of one kind reads: a vocabulary and a channel layout."""

    name: str
    vocabulary: Vocabulary
    channels: ChannelLayout
    num_hints: int = NUM_REFERENCES


NO_CHANNELS = ChannelLayout((), ())
STREAMS = {
    "lead_sheet": Stream("lead_sheet", lead_sheet.VOCABULARY, LEAD_SHEET_CHANNELS),
    "arrangement": Stream("arrangement", arrangement.VOCABULARY, ARRANGEMENT_CHANNELS),
    "harmony": Stream("harmony", lead_sheet.VOCABULARY, LEAD_SHEET_CHANNELS),
    "score": Stream("score", score.VOCABULARY, NO_CHANNELS, num_hints=0),
}


class SequenceState(Protocol):
    """What the two states share: hints, channels, and the next token."""

    hints: list[int]

    def channels(self) -> list[int]:
        """Return channel values, offsets not added."""
        ...

    def advance(self, token: int) -> None:
        """Take the next token."""
        ...


Sequence3 = tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]


def trace(token_ids: NDArray[np.int16], state: SequenceState, layout: ChannelLayout) -> Sequence3:
    """Walk a state through a sequence; return (tokens, channels, hints) as they go into a shard."""
    channels = np.zeros((len(token_ids), len(layout.sizes)), dtype=np.int16)
    hints = np.zeros((len(token_ids), NUM_REFERENCES), dtype=np.int16)
    for index, token in enumerate(token_ids.tolist()):
        if index:
            state.advance(token)
        channels[index] = state.channels()
        hints[index] = state.hints
    channels += np.array(layout.offsets, dtype=np.int16)
    return token_ids, channels, hints


def lead_sheet_sequence(sheet: LeadSheet) -> Sequence3:
    """Return the arrays of a lead sheet in C major or A minor."""
    context = SongContext(sheet.form, sheet.key, sheet.tempo_qpm)
    return trace(lead_sheet.encode(sheet), LeadSheetState(context), LEAD_SHEET_CHANNELS)


def arrangement_sequence(sheet: LeadSheet, piano: NDArray[np.void]) -> Sequence3:
    """Return the arrays of a piano part under its lead sheet, in C major or A minor."""
    context = SongContext(sheet.form, sheet.key, sheet.tempo_qpm)
    tokens = arrangement.encode(piano, sheet.num_bars)
    return trace(tokens, ArrangementState(context, sheet), ARRANGEMENT_CHANNELS)


def score_sequence(token_ids: NDArray[np.int16]) -> Sequence3:
    """Return the arrays of a whole piece: its tokens, no channels, no hints."""
    nothing = np.zeros((len(token_ids), 0), dtype=np.int16)
    return token_ids, nothing, nothing


def song_sequences(
    song: Song, *, alternative_form: Form | None = None, wanted: Collection[str] = tuple(STREAMS)
) -> Iterator[tuple[str, Sequence3]]:
    """Yield (stream name, arrays) of the `wanted` streams of a song in C major or A minor.

    The lead sheet comes a second time in the alternative form, where there is one that differs.
    """
    sheet = song.lead_sheet
    forms = [sheet.form]
    if alternative_form is not None and alternative_form != sheet.form:
        forms.append(alternative_form)
    name = "lead_sheet" if len(sheet.melody) else "harmony"
    for form in forms if name in wanted else ():
        yield name, lead_sheet_sequence(LeadSheet(sheet.key, sheet.tempo_qpm, form, sheet.chords, sheet.melody))
    if len(song.piano) and "arrangement" in wanted:
        yield "arrangement", arrangement_sequence(sheet, song.piano)
