"""Judgements in a few lines for a terminal: the verdict, what did not pass, what was copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from songwright.evaluation.figures import MIN_SONGS
from songwright.evaluation.judgement import Judgements
from songwright.reporting.shared_parts import capital, copy_words
from songwright.reporting.words import is_number, number, span

_MAX_COPIES = 5


def judgement_lines(judgements: Judgements) -> list[str]:
    """Return the verdict and what a reader must know, a line each; of a few songs the verdict of each."""
    songs = judgements.judgements
    judged = judgements.report or songs[0]
    lines = [str(judged["verdict"])]
    lines += [f"  {_gate(gate)}" for gate in judged["gates"] if gate["is_passed"] is False]
    if judgements.report and len(songs) < MIN_SONGS:
        lines += [f"  {one['title']}: {one['verdict']}" for one in songs]
    copies = [f"  copied: {one['title']}: {words}" for one in songs if (words := _copy(one))]
    lines += copies[:_MAX_COPIES]
    if len(copies) > _MAX_COPIES:
        lines.append(f"  copied: {len(copies) - _MAX_COPIES:,} more songs, see the page")
    return lines + [f"  note: {note}" for note in judged["notes"]]


def _gate(gate: Mapping[str, Any]) -> str:
    unit = "" if "=" in gate["unit"] else gate["unit"]
    value = number(gate["value"], unit) if is_number(gate["value"]) else "not measured"
    return f"{capital(gate['label'])}: {value}; real music: {span((gate['low'], gate['high']), unit)}"


def _copy(judgement: Mapping[str, Any]) -> str:
    return copy_words((judgement["originality"] or {}).get("copy") or {})
