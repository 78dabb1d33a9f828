"""Files of music, judged: each for itself, and several as a set.

Runs `judging` in processes of its own, then `song_judgement` and `set_judgement`; `reporting` turns what they say into
pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from songwright.errors import InputError
from songwright.evaluation.judging import SongNumbers, judge_file
from songwright.evaluation.reference import Reference
from songwright.evaluation.set_judgement import judge_set
from songwright.evaluation.song_judgement import Progress, SongJudge, compare
from songwright.workers import run_in_processes

_MAX_NAME_BYTES = 200


@dataclass(frozen=True, eq=False)
class Judgements:
    """Songs, judged.

    Attributes
    ----------
    songs : tuple of SongNumbers
    judgements : tuple of dict
        Of each song, ready for JSON; `name` is unique.
    report : dict or None
        Of the set; None for one file.
    left_out : tuple of (Path, str)
        Files that could not be read, and why, such as "is not a MIDI file".
    """

    songs: tuple[SongNumbers, ...]
    judgements: tuple[dict[str, Any], ...]
    report: dict[str, Any] | None
    left_out: tuple[tuple[Path, str], ...]


def judge_songs(
    files: Sequence[Path],
    reference: Reference,
    weights: Path,
    *,
    style: str = "pop",
    seed: int = 0,
    num_workers: int = 1,
    progress: Progress | None = None,
) -> Judgements:
    """Judge files of music, each for itself and, if there are several, as a set.

    Parameters
    ----------
    files : sequence of Path
        At least one.
    reference : Reference
    weights : Path
        Lead sheet weights whose surprise is measured.
    style : str
        The style asked about: "is this pop?"
    seed : int
        Of the random divisions behind intervals and limits.
    num_workers : int
    progress : callable, optional
        Called with (stage, done, total).

    Raises
    ------
    InputError
        If none of the files can be read.
    """
    songs: list[SongNumbers] = []
    left_out: list[tuple[Path, str]] = []
    tasks = [(path, weights) for path in files]
    # Results carry the notes of whole songs: too large for a process to be cut off while it sends one.
    for path, found in zip(files, run_in_processes(judge_file, tasks, num_workers=num_workers), strict=True):
        if isinstance(found, SongNumbers):
            songs.append(found)
        else:
            left_out.append((path, found.removeprefix(str(path)).lstrip(": ")))
        if progress:
            progress("songs", len(songs) + len(left_out), len(files))
    if not songs:
        first = f"{left_out[0][0]}: {left_out[0][1]}"
        raise InputError(
            first if len(files) == 1 else f"none of the {len(files)} files can be judged; the first: {first}"
        )
    names = unique_names([one.song.name for one in songs])
    compared = [compare(one, reference) for one in songs]
    judge = SongJudge(reference, style, progress)
    judgements = [
        judge.judge(one, beside, name, is_alone=len(files) == 1)
        for one, beside, name in zip(songs, compared, names, strict=True)
    ]
    report = None
    if len(files) > 1:
        report = judge_set(songs, compared, judgements, left_out, reference, style=style, seed=seed, progress=progress)
    return Judgements(tuple(songs), tuple(judgements), report, tuple(left_out))


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names that files can be given and that differ, in capitals or not, numbered where they were equal."""
    names = [_file_name(name) for name in names]
    total, seen = Counter(name.casefold() for name in names), Counter[str]()
    found: list[str] = []
    for name in names:
        seen[name.casefold()] += 1
        found.append(f"{name}-{seen[name.casefold()]}" if total[name.casefold()] > 1 else name)
    if len({name.casefold() for name in found}) == len(found):
        return found
    return [f"{place + 1:04d}-{name}" for place, name in enumerate(names)]


def _file_name(name: str) -> str:
    """Return a name that files can be given: text, with room for a number and an ending."""
    return name.encode(errors="replace")[:_MAX_NAME_BYTES].decode(errors="ignore").strip() or "song"
