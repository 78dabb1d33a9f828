"""One file to what a corpus keeps of it: a row of the table, sequences, fingerprint, counts.

The work of one file depends on that file and the settings alone, so that files may be done in any order and place.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.originality import song_hashes
from songwright.corpus.augmentation import augment, copy_generator
from songwright.corpus.billboard import read_billboard
from songwright.corpus.cleaning import Rejection
from songwright.corpus.duplicates import Fingerprint, fingerprint
from songwright.corpus.piece import Piece, analyse, lead_song
from songwright.corpus.pop909 import load_song
from songwright.corpus.reading import Reading, read_scores
from songwright.corpus.sources import SourceFile, file_digest
from songwright.errors import InputError
from songwright.preparation.settings import CorpusConfig
from songwright.score.grid_score import GridScore
from songwright.score.lead_sheet import Form
from songwright.score.song import Song
from songwright.tokens import score as score_tokens
from songwright.tokens.streams import Sequence3, score_sequence, song_sequences

NUM_RHYTHM_STEPS = 48
"""Onsets are counted by their step in the bar (the first 48), durations by their length in steps (the last: longer)."""
DEVIATION_UNITS = 1000
"""Stored deviations are thousandths of a step."""

SONG_STREAMS = frozenset({"lead_sheet", "arrangement", "harmony"})
"""Streams of songs in C major or A minor; the others are of any piece."""

Hashes = tuple[NDArray[np.uint64], NDArray[np.uint64]]


@dataclass
class Record:
    """What a corpus keeps of one piece.

    Attributes
    ----------
    row : dict
        What the table says of it; `status` is `ok` or `rejected`.
    sequences : list of (stream name, copy, arrays)
        Copy 0 is the piece itself.
    deviations : list of int16 arrays
        Parallel to the tokens of the sequences of the stream `score`.
    fingerprint : Fingerprint or None
    hashes : pair of arrays or None
        Of a song (`analysis.originality`).
    counts : dict of int64 arrays
        Notes by pitch class, onset step and duration.
    """

    row: dict[str, Any]
    sequences: list[tuple[str, int, Sequence3]] = field(default_factory=list)
    deviations: list[NDArray[np.int16]] = field(default_factory=list)
    fingerprint: Fingerprint | None = None
    hashes: Hashes | None = None
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def content_digest(file: SourceFile) -> str:
    """Return the digest of a file in sixteen digits, then one of what else decides what becomes of it.

    That is the files beside it, the reader, and what the collection says of it.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    others = [file_digest(path) for path in file.sidecars]
    traits = [file.format, file.work, file.is_version, file.style, file.split, others]
    return f"{file_digest(file.path):016x}+{hashlib.sha256(repr(traits).encode()).hexdigest()[:8]}"


def first_row(file: SourceFile, piece_id: str = "") -> dict[str, Any]:
    """Return the part of a row that is known before a file is read."""
    return {
        "piece_id": piece_id or file.piece_id,
        "file": file.piece_id,
        "source": file.source,
        "style": file.style,
        "work": file.work,
        "is_version": file.is_version,
        "published_split": file.split,
    }


def rejected(file: SourceFile, reason: str, detail: str) -> Record:
    """Return the record of a file that is left out."""
    return Record({**first_row(file), "status": "rejected", "reason": reason, "detail": detail})


def read_records(file: SourceFile, config: CorpusConfig) -> list[Record]:
    """Return the records of a file: one, or one for each tune of a tune book. Never raises for bad music."""
    try:
        num_bytes = file.path.stat().st_size
        if num_bytes == 0:
            return [rejected(file, "empty", "the file has no bytes")]
        if file.format != "audio" and num_bytes > config.cleaning.max_file_bytes:
            limit = config.cleaning.max_file_bytes / 2**20
            return [rejected(file, "too large", f"it has {num_bytes / 2**20:.1f} MiB; at most {limit:.1f} are taken")]
        if file.format == "billboard":
            return [_billboard_record(file, config)]
        readings = read_scores(file, apply_sustain=config.apply_sustain)
    except InputError as error:
        return [rejected(file, "broken bytes", _without_folders(error, file))]
    except OSError as error:
        return [rejected(file, "broken bytes", f"{file.path.name} cannot be read ({error.strerror})")]
    except MemoryError:
        return [rejected(file, "out of memory", "its notes do not fit into memory")]
    if not readings:
        return [rejected(file, "empty", "there is no tune in it")]
    several = len(readings) > 1
    return [
        _score_record(file, f"{file.piece_id}/{number}" if several else file.piece_id, reading, config)
        for number, reading in enumerate(readings, 1)
    ]


def _billboard_record(file: SourceFile, config: CorpusConfig) -> Record:
    try:
        return _song_record(file, read_billboard(file.path), config)
    except InputError as error:
        return rejected(file, "unsupported", _without_folders(error, file))


def _without_folders(error: InputError, file: SourceFile) -> str:
    """Return what is wrong, naming files but not where they lie: a corpus is the same wherever its music was."""
    text = str(error)
    for path in (file.path, file.beats, file.labels):
        if path is not None:
            text = text.replace(f"{path.parent}{os.sep}", "")
    return text.encode("utf-8", "backslashreplace").decode()


def _score_record(file: SourceFile, piece_id: str, reading: Reading, config: CorpusConfig) -> Record:
    row = {**first_row(file, piece_id), "title": reading.title}
    if len(piece_id) > len(file.piece_id):
        row["work"] = piece_id
    try:
        piece = analyse(reading.score, title=reading.title, grid=reading.grid, cleaning=config.cleaning)
        if not isinstance(piece, Rejection):
            return _piece_record(file, row, piece, reading, config)
    except InputError as error:
        piece = Rejection("unsupported", _without_folders(error, file))
    except MemoryError:
        piece = Rejection("out of memory", "its analysis does not fit into memory")
    return Record({**row, "status": "rejected", "reason": piece.reason, "detail": piece.detail})


def _piece_record(
    file: SourceFile, row: dict[str, Any], piece: Piece, reading: Reading, config: CorpusConfig
) -> Record:
    score = piece.score
    meters = dict.fromkeys(f"{meter.numerator}/{meter.denominator}" for meter in score.meters)
    record = Record(
        {
            **row,
            "status": "ok",
            "meter": " ".join(meters),
            "tempo_qpm": round(piece.tempo_qpm, 2),
            "key": "; ".join(dict.fromkeys(region.key.name for region in piece.keys)),
            "seconds": round(piece.seconds, 1),
            "bars": score.num_bars,
            "tracks": len(score.tracks),
            "roles": " ".join(track.role for track in score.tracks),
            "notes": score.num_notes,
            "melody_notes": len(piece.melody),
            "form": str(piece.form) if piece.form else "",
            "beats": piece.grid.origin,
            "beat_confidence": round(piece.grid.confidence, 3),
            "share_on_grid": round(piece.share_on_grid, 3),
            "swing": round(piece.swing, 2),
            "repairs": piece.num_repairs,
            "warning": reading.warning,
        }
    )
    record.fingerprint = fingerprint(score)
    record.counts = _counts(score)
    if SONG_STREAMS & set(config.streams):
        # A song whose labels contradict each other is learned from as a piece, not as a song: figures stay comparable.
        song, other_form = _labelled_song(file, record.row) if file.labels else (lead_song(piece), None)
        if song is not None:
            _add_song(record, song, other_form, config)
    if "score" in config.streams:
        _add_score(record, score, piece.deviations, copy=0)
        starts = np.array(piece.form.start_bars) if piece.form else np.zeros(1, dtype=int)
        for copy in range(1, config.copies + 1):
            rng = copy_generator(config.seed, row["piece_id"], copy)
            changed, deviations = augment(score, piece.deviations, config.augmentation, rng, phrase_starts=starts)
            _add_score(record, changed, deviations, copy=copy)
    return record


def _labelled_song(file: SourceFile, row: dict[str, Any]) -> tuple[Song | None, Form | None]:
    """Return a song of POP909 as its human labels have it; why not, where they cannot be used, goes into the row."""
    assert file.labels is not None
    try:
        labelled = load_song(file.path.parent, file.labels)
    except InputError as error:
        row["labels"] = f"not used: {_without_folders(error, file)}"
        return None, None
    row["labels"] = "human"
    row["form"] = str(labelled.song.lead_sheet.form)
    return labelled.song, labelled.alternative_form


def _song_record(file: SourceFile, song: Song, config: CorpusConfig) -> Record:
    """Return the record of a song that has no notes of its own: chords and form."""
    sheet = song.lead_sheet
    record = Record(
        {
            **first_row(file),
            "status": "ok",
            "meter": "4/4",
            "tempo_qpm": round(sheet.tempo_qpm, 2),
            "seconds": round(sheet.duration_seconds, 1),
            "bars": sheet.num_bars,
            "form": str(sheet.form),
            "labels": "human",
        }
    )
    _add_song(record, song, None, config)
    return record


def _add_song(record: Record, song: Song, other_form: Form | None, config: CorpusConfig) -> None:
    for name, arrays in song_sequences(song, alternative_form=other_form, wanted=config.streams):
        record.sequences.append((name, sum(other == name for other, _, _ in record.sequences), arrays))
    if len(song.lead_sheet.melody):
        record.hashes = song_hashes(song)


def _add_score(record: Record, score: GridScore, deviations: tuple[NDArray[np.float32], ...], *, copy: int) -> None:
    tokens, order = score_tokens.encode(score), score_tokens.note_order(score)
    stored = np.zeros(len(tokens), dtype=np.int16)
    units = np.concatenate([np.zeros(0, np.float32), *deviations]) * DEVIATION_UNITS
    stored[score_tokens.note_index(tokens)] = np.clip(np.rint(units), -32767, 32767).astype(np.int16)[order]
    record.sequences.append(("score", copy, score_sequence(tokens)))
    record.deviations.append(stored)


def _counts(score: GridScore) -> dict[str, NDArray[np.int64]]:
    pitched = score.notes_of()
    starts = score.bar_starts
    bar = np.searchsorted(starts, pitched["onset_step"], side="right") - 1
    step = np.minimum(pitched["onset_step"] - starts[bar], NUM_RHYTHM_STEPS - 1) if len(pitched) else bar
    length = np.minimum(pitched["duration_step"], NUM_RHYTHM_STEPS)
    return {
        "pitch": np.bincount(pitched["pitch"], minlength=128),
        "onset": np.bincount(step, minlength=NUM_RHYTHM_STEPS),
        "duration": np.bincount(length, minlength=NUM_RHYTHM_STEPS + 1),
    }
