"""Judgements to files: a page and its numbers for a set, and the same for each of its songs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from songwright.errors import OutputError
from songwright.evaluation.judgement import Judgements
from songwright.evaluation.reference import Reference
from songwright.files.audio import write_audio
from songwright.files.writing import write_whole
from songwright.preparation.songs import CorpusSong
from songwright.reporting.passage import ClosestPassage, closest_passage
from songwright.reporting.set_page import set_page
from songwright.reporting.song_page import song_page
from songwright.score.elements import Score
from songwright.score.song import Song
from songwright.workers import run_in_processes

_SOUND_TYPES = {".mp3": "audio/mpeg", ".ogg": "audio/ogg"}
"""Recordings that go into a page as they are."""
_OTHER_SOUND = (".wav", ".flac")

Progress = Callable[[str, int, int], None]


class _PageTask(NamedTuple):
    page: Path
    judgement: Mapping[str, Any]
    song: Song | None
    passage: ClosestPassage | None
    sound_of: tuple[Path, Score] | None  # the song's file and notes, if sound goes into the page


def write_reports(
    judgements: Judgements,
    reference: Reference,
    out: Path,
    *,
    with_song_pages: bool = True,
    with_sound: bool = False,
    num_workers: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the page of a set, or of the song if there is but one, with its numbers beside it.

    Parameters
    ----------
    judgements : Judgements
    reference : Reference
        Gives the passages that songs come closest to, where it holds music.
    out : Path
        The page, ending in .html. Numbers go to the same name ending in .json; pages and numbers of the songs of a set
        into a folder of the name without ending.
    with_song_pages : bool
        Whether each song of a set gets its page.
    with_sound : bool
        Whether recordings go into the song pages: one beside the song, else one made here, five seconds a song.
    num_workers : int
    progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    list of Path
        The files written, the page and its numbers first.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    written: list[Path] = []
    pages = _song_pages(judgements, out)
    if judgements.report is None or with_song_pages:
        written = _write_song_pages(judgements, reference, pages, with_sound, num_workers, progress)
    if judgements.report is None:
        return written
    # The page of the set comes last: where it lies, all that it links to lies, too.
    links = {name: quote(page.relative_to(out.parent).as_posix()) for name, page in pages.items() if written}
    write_whole(out, _text(set_page(judgements.report, links=links)))
    write_whole(out.with_suffix(".json"), _json(judgements.report))
    return [out, out.with_suffix(".json"), *written]


def _write_song_pages(
    judgements: Judgements,
    reference: Reference,
    pages: Mapping[str, Path],
    with_sound: bool,
    num_workers: int,
    progress: Progress | None,
) -> list[Path]:
    folder = next(iter(pages.values())).parent
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    written: list[Path] = []
    sources = reference.songs({str(source) for one in judgements.judgements if (source := _source(one))})
    tasks = [
        _PageTask(
            pages[str(judgement["name"])],
            judgement,
            one.song.song,
            _passage(one.song.song, sources.get(_source(judgement))),
            (one.song.path, one.song.score) if with_sound else None,
        )
        for judgement, one in zip(judgements.judgements, judgements.songs, strict=True)
    ]
    # Pages with sound take seconds each: Ctrl-C waits for no more than those that are being made.
    chunk_size = 1 if with_sound else 4
    pages_done = run_in_processes(_write_page, tasks, num_workers=num_workers, chunk_size=chunk_size)
    for done, page in enumerate(pages_done, 1):
        written += [page, page.with_suffix(".json")]
        if progress:
            progress("pages", done, len(tasks))
    return written


def _song_pages(judgements: Judgements, out: Path) -> dict[str, Path]:
    if judgements.report is None:
        return {str(judgement["name"]): out for judgement in judgements.judgements}
    return {
        str(judgement["name"]): out.with_suffix("") / f"{judgement['name']}.html" for judgement in judgements.judgements
    }


def _source(judgement: Mapping[str, Any]) -> str:
    return str((judgement.get("originality") or {}).get("source") or "")


def _passage(song: Song | None, source: CorpusSong | None) -> ClosestPassage | None:
    if song is None or source is None:
        return None
    return closest_passage(song, source.song, source_id=source.piece_id, title=source.title)


def _write_page(task: _PageTask) -> Path:
    sound = _sound(*task.sound_of) if task.sound_of else None
    html = song_page(task.judgement, task.song, passage=task.passage, sound=sound)
    write_whole(task.page, _text(html))
    write_whole(task.page.with_suffix(".json"), _json(task.judgement))
    return task.page


def _sound(path: Path, score: Score) -> tuple[str, bytes]:
    """Return a recording as (MIME type, bytes): the one beside a song, else the song played here."""
    import soundfile

    for suffix, kind in _SOUND_TYPES.items():
        if path.with_suffix(suffix).is_file():
            return kind, path.with_suffix(suffix).read_bytes()
    beside = next((file for suffix in _OTHER_SOUND if (file := path.with_suffix(suffix)).is_file()), None)
    if beside is not None:
        recorded, sample_rate = soundfile.read(beside, dtype="float32", always_2d=True)
        audio = np.asarray(recorded, dtype=np.float32)
    else:
        from songwright.rendering.mastering import master
        from songwright.rendering.synthesis import SAMPLE_RATE, render_score

        audio, sample_rate = master(render_score(score), SAMPLE_RATE), SAMPLE_RATE
    with tempfile.TemporaryDirectory() as folder:
        write_audio(Path(folder) / "song.mp3", audio, sample_rate, format="mp3")
        return _SOUND_TYPES[".mp3"], (Path(folder) / "song.mp3").read_bytes()


def _json(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return _text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _text(words: str) -> bytes:
    """Return UTF-8; a question mark for each byte of a file's name that is no text."""
    return words.encode(errors="replace")
