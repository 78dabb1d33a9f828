"""A composed song as data: what was asked, what came out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from songwright.composition.composer import MAX_SHARED_NOTES, MAX_SHARED_PIANO_BARS, Composition
from songwright.composition.plan import SongPlan
from songwright.score.grid import STEPS_PER_BAR, STEPS_PER_BEAT
from songwright.score.spelling import chord_name


def describe_song(
    composition: Composition,
    plan: SongPlan,
    *,
    asked: dict[str, Any],
    version: str,
    fingerprint: str,
    precision: str,
    networks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the content of `song.json`.

    Parameters
    ----------
    composition : Composition
    plan : SongPlan
    asked : dict
        The wishes that the user gave, by option name.
    version, fingerprint, precision : str
        Of songwright and of the weights: with the seed they fix the song.
    networks : sequence of str
        Names of the files given in place of the style's weights, whose precision is their own.
    """
    song, originality = composition.song, composition.originality
    sheet = song.lead_sheet
    seconds_per_bar = 240 / sheet.tempo_qpm
    sections = [
        {
            "name": name,
            "letter": phrase.letter,
            "bars": phrase.num_bars,
            "first_bar": start + 1,
            "start_seconds": round(start * seconds_per_bar, 3),
        }
        for name, phrase, start in zip(
            sheet.form.section_names(), sheet.form.phrases, sheet.form.start_bars, strict=True
        )
    ]
    chords = [
        {
            "bar": change.onset_step // STEPS_PER_BAR + 1,
            "beat": change.onset_step % STEPS_PER_BAR // STEPS_PER_BEAT + 1,
            "symbol": chord_name(change.chord, sheet.key),
        }
        for change in sheet.chords
    ]
    return {
        "title": plan.title,
        "asked": asked,
        "style": plan.style,
        "key": sheet.key.name,
        "tempo_qpm": sheet.tempo_qpm,
        "time_signature": "4/4",
        "form": str(sheet.form),
        "bars": sheet.num_bars,
        "seconds": round(sheet.duration_seconds, 3),
        "sections": sections,
        "chords": chords,
        "notes": {"MELODY": len(sheet.melody), "PIANO": len(song.piano)},
        # As composed, in twelfths of a quarter note and in the order of the tracks: players join and hold notes.
        "durations": {"MELODY": sheet.melody["duration_step"].tolist(), "PIANO": song.piano["duration_step"].tolist()},
        "originality": {
            "known_songs": composition.num_known_songs,
            "longest_shared_melody_run_notes": originality.melody_run,
            "longest_shared_melody_run_allowed": MAX_SHARED_NOTES,
            "melody_6_grams_in_one_known_song": round(originality.coverage, 4),
            "longest_shared_piano_run_bars": originality.piano_run,
            "longest_shared_piano_run_allowed": MAX_SHARED_PIANO_BARS,
            "passages_written_again": composition.num_rewrites,
        },
        "endings_tried": composition.num_endings,
        "seed": plan.seed,
        "songwright": version,
        "weights": {"fingerprint": fingerprint, "precision": precision}
        | ({"networks": [*networks]} if networks else {}),
    }
