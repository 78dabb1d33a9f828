"""Side channels: small integers that tell the network where it stands in the music at each step.

A `ChannelLayout` gives each channel a range of its own in one embedding table, so the network sums rows
and knows nothing about their meaning. `SongContext` holds what both tokenizers know before a note is
written: form, mode, tempo, and which earlier bars each bar may be compared with (its *references*).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from songwright.score.lead_sheet import SECTION_LETTERS, Form
from songwright.score.pitch import Key

NUM_TEMPO_BANDS = 8
BAR_CAP = 16
SONG_BAR_CAP = 32
LAGS = (1, 2, 4, 8)
"""Bars back to which a bar is compared, beside the earlier phrases of its letter."""
NUM_REFERENCES = 2 + len(LAGS)


@dataclass(frozen=True)
class ChannelLayout:
    """Names and sizes of side channels.

    Attributes
    ----------
    names : tuple of str
    sizes : tuple of int
        Number of values of each channel; a value is 0 <= value < size.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Row of the common table where each channel starts."""
        return tuple(accumulate(self.sizes, initial=0))[:-1]

    @property
    def num_rows(self) -> int:
        """Rows of the common table."""
        return sum(self.sizes)


FORM_CHANNELS = (
    ("letter", len(SECTION_LETTERS)),
    ("occurrence", 5),
    ("bar_in_phrase", BAR_CAP + 1),
    ("bars_left_in_phrase", BAR_CAP + 1),
    ("bars_left_in_song", SONG_BAR_CAP + 1),
    ("next_letter", len(SECTION_LETTERS) + 1),
    ("sung_phrases_left", 6),
    ("mode", 2),
    ("tempo_band", NUM_TEMPO_BANDS),
)
"""Channels that follow from the plan alone, the same for both tokenizers."""


def tempo_band(tempo_qpm: float) -> int:
    """Return the tempo as one of eight bands (edges 60, 66, 72, 78, 86, 96, 112 quarter notes per minute)."""
    return sum(tempo_qpm >= edge for edge in (60, 66, 72, 78, 86, 96, 112))


class SongContext:
    """What is known of every bar of a song before it is written.

    Attributes
    ----------
    num_bars : int
    form_rows : list of tuple of int
        For each bar, the values of FORM_CHANNELS.
    reference_bars : list of tuple of int
        For each bar the earlier bar at each of NUM_REFERENCES references, -1 where there is none:
        the aligned bar of the latest and of the first earlier phrase with the same letter, then the bars at LAGS.
    """

    def __init__(self, form: Form, key: Key, tempo_qpm: float) -> None:
        self.num_bars = form.num_bars
        self.form_rows: list[tuple[int, ...]] = []
        self.reference_bars: list[tuple[int, ...]] = []
        last_of_song = form.num_bars - 1
        starts_by_letter: dict[str, list[tuple[int, int]]] = {}
        sung_left = sum(phrase.is_sung for phrase in form.phrases)
        song_values = (int(key.is_minor), tempo_band(tempo_qpm))
        for index, (start, phrase) in enumerate(zip(form.start_bars, form.phrases, strict=True)):
            earlier = starts_by_letter.setdefault(phrase.letter, [])
            is_last = index + 1 == len(form.phrases)
            next_letter = 0 if is_last else 1 + SECTION_LETTERS.index(form.phrases[index + 1].letter)
            for bar_in_phrase in range(phrase.num_bars):
                bar = start + bar_in_phrase
                self.form_rows.append(
                    (
                        SECTION_LETTERS.index(phrase.letter),
                        min(len(earlier), 4),
                        min(bar_in_phrase, BAR_CAP),
                        min(phrase.num_bars - 1 - bar_in_phrase, BAR_CAP),
                        min(last_of_song - bar, SONG_BAR_CAP),
                        next_letter,
                        min(sung_left, 5),
                        *song_values,
                    )
                )
                aligned = [other for other, length in earlier if bar_in_phrase < length]
                same_letter = (
                    (aligned[-1] + bar_in_phrase, aligned[0] + bar_in_phrase if len(aligned) > 1 else -1)
                    if aligned
                    else (-1, -1)
                )
                self.reference_bars.append((*same_letter, *(max(bar - lag, -1) for lag in LAGS)))
            earlier.append((start, phrase.num_bars))
            sung_left -= phrase.is_sung
