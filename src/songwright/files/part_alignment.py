"""Parts of one piece whose measures are not equally long, laid side by side.

Measures of the same number sound together, and last as long as the longest part makes them. Two kinds of files need
more: parts with a metre of their own (a voice in 4/4 over a piano in 12/8), whose bars last equally long; and parts in
which rests fill up more than the bar, as some programs write them. Knows no file format.
"""

from __future__ import annotations

from collections.abc import Sequence

from songwright.files.written_music import WrittenMeasure, WrittenPart, bar_length


def align_parts(
    parts: Sequence[WrittenPart],
    lengths: Sequence[Sequence[int]],
    meters: Sequence[Sequence[tuple[int, int]]],
    measures: Sequence[WrittenMeasure],
    units_per_quarter: int,
) -> None:
    """Give each measure its length, and bring the notes of all parts into step.

    Parameters
    ----------
    parts : sequence of WrittenPart
        Changed in place where they disagree.
    lengths, meters : sequences, one of each part
        Units that the part fills in each of its measures, 0 for none, and its metre there.
    measures : sequence of WrittenMeasure
        Of the piece; their lengths, and the metre where parts have different ones, are set.
    units_per_quarter : int
    """
    for index, measure in enumerate(measures):
        here = [place for place, own in enumerate(lengths) if index < len(own)]
        filled = {lengths[place][index] for place in here} - {0}
        measure.length = max(filled, default=0)
        if len(filled) < 2:
            continue
        full = {place: bar_length(meters[place][index], units_per_quarter) for place in here}
        longest = max(full.values())
        measure.length = 0
        for place in here:
            own, notes = full[place], parts[place].measures[index]
            end = max((onset + duration for onset, duration, *_ in notes), default=0)
            length = max(min(lengths[place][index], own or lengths[place][index]), end)
            if 0 < own < longest:
                parts[place].measures[index] = [
                    (note[0] * longest // own, max(note[1] * longest // own, 1), *note[2:]) for note in notes
                ]
                length = length * longest // own
            measure.length = max(measure.length, length)
        if measure.meter is not None and len(set(full.values()) - {0}) > 1:
            measure.meter = max(
                (meters[place][index] for place in here), key=lambda m: bar_length(m, units_per_quarter)
            )
