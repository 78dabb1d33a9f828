"""Whether a song comes home: its last melody note and its last chord on the tonic.

Of 797 songs of POP909, 81 % end their melody on the tonic and 67 % their harmony.
"""

from __future__ import annotations

from songwright.score.grid import STEPS_PER_BAR
from songwright.score.lead_sheet import LeadSheet

MAX_ENDINGS = 20
"""Endings that are tried for one that comes home."""


def failed_ending(sheet: LeadSheet, attempt: int) -> int | None:
    """Return the bar from which to write again, counted from zero; None if the song comes home.

    It does if its last note is the tonic and its last chord has it as its root. Two bars are written again at first;
    where those stay what they are because an earlier phrase is repeated, four and then eight.

    Parameters
    ----------
    sheet : LeadSheet
    attempt : int
        Endings written so far, at least 1.
    """
    last_bars: list[int] = []
    if len(sheet.melody) and int(sheet.melody["pitch"][-1]) % 12 != sheet.key.tonic:
        last_bars.append(int(sheet.melody["onset_step"][-1]) // STEPS_PER_BAR)
    if sheet.chords and sheet.chords[-1].chord.root != sheet.key.tonic:
        last_bars.append(sheet.num_bars - 1)
    if not last_bars:
        return None
    num_bars = 2 if attempt <= 5 else 4 if attempt <= 10 else 8
    return max(0, min(last_bars) + 1 - num_bars)
