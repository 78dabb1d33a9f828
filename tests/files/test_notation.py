"""Written rhythm: values a musician expects to read."""

from __future__ import annotations

import numpy as np
import pytest

from songwright.files.notation import WrittenNote, written_bars
from songwright.score.grid import grid_notes


def bars(*lengths: int) -> list[list[WrittenNote]]:
    """Write consecutive lengths in steps from bar 1 on; negative lengths are rests."""
    ends = np.cumsum(np.abs(lengths))
    sounding = np.array(lengths) > 0
    onsets = (ends - np.abs(lengths))[sounding]
    notes = grid_notes(onsets, np.array(lengths)[sounding], np.full(sounding.sum(), 60))
    return written_bars(notes, int(-(-ends[-1] // 48)))


def words(bar: list[WrittenNote]) -> str:
    """Return a bar as `q e. | r` words: value, dots, `r` for a rest, `~` for a tie on."""
    letters = {"whole": "w", "half": "h", "quarter": "q", "eighth": "e", "16th": "s"}
    return " ".join(
        ("r" if note.note_index is None else "")
        + letters[note.value]
        + "." * note.num_dots
        + ("3" if note.tuplet and note.tuplet.actual == 3 else "6" if note.tuplet else "")
        + ("~" if note.is_tied_on else "")
        for note in bar
    )


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ((48,), "w"),
        ((36, 12), "h. q"),
        ((12, 36), "q h."),
        ((12, 24, 12), "q h q"),
        ((6, 12, 12, 12, 6), "e q e~ e q e"),  # a note over the half-bar shows it
        ((18, 18, 12), "q. e~ q q"),
        ((18, 30), "q. e~ h"),
        ((3, 6, 3, 36), "s e s h."),
        ((9, 3, 36), "e. s h."),
        ((6, 18, 24), "e q. h"),
        ((15, 9, 24), "q~ s e. h"),
        ((30, 18), "h~ e q."),
        ((3, 45), "s e.~ h."),
        ((12, -12, 24), "q rq h"),
        ((12, -24, 12), "q rq rq q"),  # a rest never hides the half-bar
        ((18, -30), "q. re rh"),
        ((-36, 3, 3, 3, 3), "rh rq s s s s"),
        ((-3, 9, 36), "rs e. h."),
        ((-48,), "rw"),
    ],
)
def test_values_show_beat_and_half_bar(lengths: tuple[int, ...], expected: str) -> None:
    assert words(bars(*lengths)[0]) == expected


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ((4, 4, 4, 36), "e3 e3 e3 h."),
        ((8, 4, 36), "q3 e3 h."),
        ((4, 8, 36), "e3 q3 h."),
        ((8, 8, 8, 24), "q3 q3 q3 h"),
        ((16, 8, 24), "h3 q3 h"),
        ((12, 16, 8, 12), "q q~ e3 q3 q"),
        ((4, 4, -4, 36), "e3 e3 re3 h."),
        ((12, 4, 4, 4, 24), "q e3 e3 e3 h"),
        ((3, 1, 2, 2, 1, 3, 36), "s6 s6 s6 s6 s6 s6 h."),  # six onsets in a beat: 0 3 4 6 8 9
    ],
)
def test_triplets_are_written_as_such(lengths: tuple[int, ...], expected: str) -> None:
    assert words(bars(*lengths)[0]) == expected


def test_a_tuplet_begins_and_ends_once() -> None:
    bar = bars(4, 4, 4, 8, 8, 8, 12)[0]
    assert [note.starts_tuplet for note in bar] == [True, False, False, True, False, True, False, False]
    assert [note.ends_tuplet for note in bar] == [False, False, True, False, True, False, True, False]


def test_a_note_over_the_bar_line_is_tied() -> None:
    first, second = bars(36, 24, -36)
    assert words(first) == "h. q~"
    assert words(second) == "q rq rh"
    assert second[0].is_tied_back
    assert not second[0].is_tied_on


def test_a_gap_of_a_sixteenth_is_written_through_and_a_rest_starts_on_an_eighth() -> None:
    assert words(bars(3, -3, 3, -3, 9, -3, 24)[0]) == "e e q h"
    assert words(bars(15, -33)[0]) == "q. re rh"
    assert words(bars(3, -45)[0]) == "e re rq rh"


def test_a_beat_mixing_sixteenths_and_triplets_is_written_plainly() -> None:
    assert words(bars(3, 5, 4, 36)[0]) == "s e s h."
    assert [note.onset_step for note in bars(3, 5, 4, 36)[0]] == [0, 3, 9, 12]


def test_flags_are_joined_by_beat() -> None:
    bar = bars(9, 3, 3, 6, 3, 6, 6, 12)[0]
    assert [note.beams for note in bar] == [
        ("begin",),
        ("end", "backward hook"),
        ("begin", "forward hook"),
        ("continue",),
        ("end", "backward hook"),
        ("begin",),
        ("end",),
        (),
    ]


def test_four_eighths_share_a_beam_in_a_half_bar_only() -> None:
    assert [note.beams for note in bars(6, 6, 6, 6, 24)[0]][:4] == [("begin",), ("continue",), ("continue",), ("end",)]
    beams = [note.beams for note in bars(12, 6, 6, 6, 6, 12)[0]]
    assert beams == [(), ("begin",), ("end",), ("begin",), ("end",), ()]


def test_two_voices_or_a_note_outside_are_refused() -> None:
    overlapping = grid_notes(np.array([0, 12]), np.array([24, 12]), np.array([60, 62]))
    with pytest.raises(ValueError, match="one voice"):
        written_bars(overlapping, 1)
    with pytest.raises(ValueError, match="one voice"):
        written_bars(grid_notes(np.array([36]), np.array([24]), np.array([60])), 1)
