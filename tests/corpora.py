"""Corpora for tests: prepared in this process, compared byte by byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from songwright.corpus.sources import SourceFile
from songwright.files.midi import write_midi
from songwright.preparation.batches import Batch, process_batch
from songwright.preparation.build import build
from songwright.preparation.settings import CorpusConfig
from songwright.rendering.performance import perform
from tests.music import make_song


def serial(batches: Sequence[Batch]) -> Iterator[Batch]:
    """Do batches here and now."""
    for batch in batches:
        process_batch(batch)
        yield batch


def make(
    files: list[SourceFile], out: Path, *, engine: Any = serial, config: CorpusConfig | None = None, **options: Any
) -> dict[str, Any]:
    return build(files, out, config or CorpusConfig(), engine=engine, **options)


def bytes_of(corpus: Path) -> dict[str, bytes]:
    return {path.relative_to(corpus).as_posix(): path.read_bytes() for path in corpus.rglob("*") if path.is_file()}


def write_song(path: Path, seed: int, *, semitones: int = 0, title: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi(path, perform(make_song(seed).transpose(semitones), seed=0), title=title)
