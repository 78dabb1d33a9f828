"""Earlier bars that the bar being written may follow, and how well it has followed each so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from songwright.tokens.channels import NUM_REFERENCES

Bar = TypeVar("Bar")

NUM_FLAGS = 7
"""Values of a flag: 0 no reference, else 1 + 2 * (whole bars followed just before, up to 2) + (follows here)."""


class References(Generic[Bar]):
    """The references of the current bar.

    Attributes
    ----------
    bars : list
        The bar at each reference, None where there is none.
    """

    def __init__(self) -> None:
        self.bars: list[Bar | None] = [None] * NUM_REFERENCES
        self._follows = [True] * NUM_REFERENCES
        self._bars_followed = [0] * NUM_REFERENCES

    def start_bar(self, written: Sequence[Bar], sources: Sequence[int], *, ended_with: Sequence[bool]) -> None:
        """Move on to the next bar.

        Parameters
        ----------
        written : sequence
            All bars so far.
        sources : sequence of int
            Index of the bar at each reference of the new bar, -1 for none.
        ended_with : sequence of bool
            Whether each old reference, too, ends where the old bar did.
        """
        for r in range(NUM_REFERENCES):
            kept = self.bars[r] is not None and self._follows[r] and ended_with[r]
            self._bars_followed[r] = min(self._bars_followed[r] + 1, 2) if kept else 0
            self._follows[r] = True
        self.bars = [written[source] if source >= 0 else None for source in sources]

    def compare(self, token: int, hints: Sequence[int]) -> None:
        """Note which references would have written this token."""
        for r in range(NUM_REFERENCES):
            if hints[r] != token:
                self._follows[r] = False

    def flags(self) -> list[int]:
        """Return the flag of each reference."""
        return [
            0 if bar is None else 1 + 2 * followed + follows
            for bar, followed, follows in zip(self.bars, self._bars_followed, self._follows, strict=True)
        ]
