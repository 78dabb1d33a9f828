"""Roles of tracks with their names hidden: how often the melody, the bass and drum kits are found, and how fast.

    python benchmarks/roles.py [--fit] [--json FILE]

The truth is what the hidden names say. POP909, its `versions/` and OpenEWLD are reported on validation and test
songs, the others whole. No melody weight was fitted on Simutrans, on the Lieder, or on files of Freedoom and Tanner
Helland that name a lead, no drum weight on Simutrans; but the features, size and decay of the network, the features
of the drums and the thresholds of the bass were chosen looking at these figures. Baselines in the same run: the track
of the highest mean pitch, the one that is most often on top (the skyline's), the one with the fewest chords, and the
highest of those with few. "Top line": `melody_line` where melody and piano are one track.

`--fit` first fits the weights anew (`weights/analysis/track_roles.npz`). Melody: training songs of POP909, its
versions and OpenEWLD, each also with its melody varied (octave, speed, thirds and sixths below, parts left out) among
one to seven basses and accompaniments of Freedoom and Tanner Helland, and parts that are no melody. Drums: Groove's
training side, Freedoom and Tanner Helland, and the training songs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.notes import clean_notes
from songwright.analysis.roles import (
    FIRST_EFFECT_PROGRAM,
    MIN_DRUM_NOTES,
    drum_features,
    melody_line,
    track_roles,
)
from songwright.analysis.track_features import TRACK_FEATURES, track_features
from songwright.corpus.pop909 import load_song, song_ids
from songwright.corpus.splits import split_of
from songwright.errors import InputError
from songwright.files.midi import read_midi
from songwright.files.musicxml_reading import read_musicxml
from songwright.score.elements import Score, Track, sort_notes
from songwright.score.grid_score import TRACK_NOTE_DTYPE, GridScore, GridTrack

DATA = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
WEIGHTS = Path(__file__).parents[1] / "src" / "songwright" / "weights" / "analysis" / "track_roles.npz"
BANDS = ("simutrans", "freedoom", "tannerhelland")
# Names of General MIDI programs and of harmony parts say nothing about the melody.
LEAD = re.compile(r"\b(melod\w*|lead ?\d*|led\d?|vocals?|vox|solo(ist)?( \d+)?|voice 1 .*)(?!\w)", re.IGNORECASE)
NO_LEAD = re.compile(
    r"(sawtooth|square|bass|charang|calliope|fifths) lead|lead \d+ [\[(]|solo vox|harmony|support|echo", re.IGNORECASE
)
VOICE = re.compile(r"voice|sing|chant|gesang|stimme|canto", re.IGNORECASE)
BASS = re.compile(r"\b(bass|base|baixo|basse|bas|basu)\b(?! (lead|drum))", re.IGNORECASE)
BASS_PROGRAMS = range(32, 40)
ACCOMPANYING_PROGRAMS = {*range(8), *range(16, 29), 30, *range(44, 56), *range(88, 104)}
NUM_HIDDEN, DECAY = 12, 1e-3


@dataclass(frozen=True)
class Piece:
    """A score, and the tracks that may be called its melody (empty: not known)."""

    source: str
    split: str
    score: Score
    melodies: frozenset[int]


def pieces(*, num_lieder: int) -> Iterator[Piece]:
    """Yield the pieces of all sources, cleaned."""

    def piece(source: str, split_id: str, file: Path, is_melody: Callable[[Track], bool]) -> Iterator[Piece]:
        try:
            score = clean_notes(read_musicxml(file) if file.suffix == ".mxl" else read_midi(file))[0]
        except InputError:
            return
        found = frozenset(i for i, track in enumerate(score.tracks) if not track.is_drum and is_melody(track))
        split = split_of(split_id, source="POP909" if source == "versions" else source)
        yield Piece(source, split, score, found)

    def named(track: Track) -> bool:
        return track.name.strip().upper() == "MELODY"

    def leads(track: Track) -> bool:
        return bool(LEAD.search(track.name)) and not NO_LEAD.search(track.name)

    for file in sorted((DATA / "POP909").glob("*/*.mid")):
        yield from piece("POP909", file.stem, file, named)
    for file in sorted((DATA / "POP909").glob("*/versions/*.mid")):
        yield from piece("versions", file.parents[1].name, file, named)
    for file in sorted((DATA / "openewld_midi").glob("*.mid")):
        yield from piece("openewld", file.stem, file, named)
    lieder = sorted((DATA / "openscore_lieder").rglob("*.mxl"))
    for file in lieder[:: max(1, len(lieder) // max(1, num_lieder))][:num_lieder]:
        yield from piece("lieder", file.stem, file, lambda track: bool(VOICE.search(track.name)))
    for source in BANDS:
        for file in sorted((DATA / source).rglob("*.mid")):
            yield from piece(source, file.stem, file, leads)


def pitched_tracks(piece: Piece) -> tuple[list[NDArray[np.void]], NDArray[np.bool_], list[Track]]:
    """Return the notes of the tracks among which the melody is sought, which are it, and the tracks."""
    kept = [i for i, t in enumerate(piece.score.tracks) if not t.is_drum and t.program < FIRST_EFFECT_PROGRAM]
    tracks = [piece.score.tracks[i] for i in kept]
    return [track.notes for track in tracks], np.array([i in piece.melodies for i in kept]), tracks


# --- fitting ----------------------------------------------------------------------------------------------------------

Example = tuple[NDArray[np.float64], NDArray[np.bool_], float]
"""Features of the tracks of a piece, which of them is the melody (none: no melody), and its weight."""


def scaled(notes: NDArray[np.void], factor: float) -> NDArray[np.void]:
    """Return notes in another resolution."""
    notes = notes.copy()
    notes["onset_tick"] = np.rint(notes["onset_tick"] * factor)
    notes["duration_tick"] = np.maximum(1, np.rint(notes["duration_tick"] * factor))
    return notes


def varied(notes: NDArray[np.void], rng: np.random.Generator) -> NDArray[np.void]:
    """Return a melody as another instrument might have it."""
    notes = notes.copy()
    notes["pitch"] = np.clip(notes["pitch"] + rng.choice([-12, 0, 0, 0, 12, 12]), 36, 108)
    if rng.random() < 0.5:
        notes["duration_tick"] = np.maximum(1, notes["duration_tick"] * rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        second = notes[rng.random(len(notes)) < rng.random() ** 2].copy()
        second["pitch"] -= rng.choice(np.array([3, 4, 5, 7, 8, 9, 12], dtype=np.int16), len(second))
        notes = sort_notes(np.concatenate([notes, second]))
    if rng.random() < 0.4:
        first, last = np.sort(rng.random(2)) * notes["onset_tick"].max()
        rest = notes[(notes["onset_tick"] < first) | (notes["onset_tick"] > last)]
        notes = rest if len(rest) > 30 else notes
    return notes


def repeated(notes: NDArray[np.void], end: int) -> NDArray[np.void]:
    """Return notes (480 ticks a quarter) said again, whole bars later, up to `end`."""
    length = -(-int(notes["onset_tick"].max()) // 1920) * 1920 or 1920
    parts = []
    for number in range(min(8, -(-end // length))):
        parts.append(notes.copy())
        parts[-1]["onset_tick"] += number * length
    joined = np.concatenate(parts)
    kept = joined[joined["onset_tick"] <= end]
    return kept if len(kept) >= 8 else notes


def melody_examples(corpus: list[Piece], rng: np.random.Generator) -> list[Example]:
    """Return what the network is fitted on."""
    basses: list[NDArray[np.void]] = []
    others: list[NDArray[np.void]] = []
    for piece in corpus:
        if piece.source in BANDS[1:] and not piece.melodies:
            for track in piece.score.tracks:
                if not track.is_drum and len(track.notes) >= 40:
                    notes = scaled(track.notes, 480 / piece.score.ticks_per_quarter)
                    if track.program in BASS_PROGRAMS:
                        basses.append(notes)
                    elif track.program in ACCOMPANYING_PROGRAMS:
                        others.append(notes)
    weight_of = {"POP909": 1.0, "versions": 0.3, "openewld": 0.2}
    examples: list[Example] = []

    def add(tracks: list[NDArray[np.void]], is_melody: list[bool], weight: float, ticks: int = 480) -> None:
        examples.append((track_features(tracks, ticks), np.array(is_melody), weight))

    for piece in corpus:
        if piece.split != "train" or piece.source not in weight_of or not piece.melodies:
            continue
        tracks, is_melody, _ = pitched_tracks(piece)
        weight, ticks = weight_of[piece.source], piece.score.ticks_per_quarter
        add(tracks, is_melody.tolist(), weight, ticks)
        if piece.source == "versions":
            continue
        melody, last = tracks[int(np.argmax(is_melody))], tracks[-1]  # the last track is the piano, or the chords
        add([melody], [True], 0.2, ticks)
        add([last], [False], 0.3, ticks)
        for _ in range(2):
            lead = varied(scaled(melody, 480 / ticks), rng)
            parts = [
                scaled(t, 480 / ticks) for t, m in zip(tracks, is_melody, strict=True) if not m and rng.random() < 0.4
            ]
            end = int(lead["onset_tick"].max())
            for pool, low, high in ((basses, 0, 3), (others, 1, 6)):
                parts += [repeated(pool[rng.integers(len(pool))], end) for _ in range(rng.integers(low, high))]
            speed = int(rng.choice([240, 480, 480, 960]))  # quarters may be counted at half or double speed
            add([sort_notes(part) for part in [lead, *parts]], [True] + [False] * len(parts), 0.6, speed)
    return examples


def fit_melody(examples: list[Example], rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return the weights that make the melodies most likely: softmax over the tracks of a piece and 'none'."""
    from scipy.optimize import minimize

    x = np.concatenate([features for features, _, _ in examples])
    mean, scale = x.mean(axis=0), 1 / x.std(axis=0)
    x = np.clip((x - mean) * scale, -4, 4)
    truth = np.concatenate([is_melody for _, is_melody, _ in examples]).astype(float)
    sizes = np.array([len(features) for features, _, _ in examples])
    starts = np.cumsum(sizes) - sizes
    piece = np.repeat(np.arange(len(sizes)), sizes)
    weight = np.array([w for _, _, w in examples])
    weight /= weight.sum()
    has_melody = np.add.reduceat(truth, starts) > 0
    num_features = x.shape[1]
    bounds = np.cumsum([num_features * NUM_HIDDEN, NUM_HIDDEN, NUM_HIDDEN])

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        first, bias, second, last = np.split(parameters, bounds)
        first = first.reshape(num_features, NUM_HIDDEN)
        hidden = np.tanh(x @ first + bias)
        logits = hidden @ second + last[0]
        peak = np.maximum(np.maximum.reduceat(logits, starts), 0)
        odds = np.exp(logits - peak[piece])
        total = np.add.reduceat(odds, starts) + np.exp(-peak)
        right = np.where(has_melody, np.add.reduceat(odds * truth, starts), np.exp(-peak))
        value = -(weight * (np.log(right) - np.log(total))).sum()
        slope = weight[piece] * (odds / total[piece] - odds * truth / right[piece])
        back = slope[:, None] * second * (1 - hidden**2)
        gradient = [(x.T @ back).ravel(), back.sum(axis=0), hidden.T @ slope, [slope.sum()]]
        penalty = np.concatenate([first.ravel(), np.zeros(NUM_HIDDEN), second, [0.0]])
        return value + DECAY * (penalty @ penalty), np.concatenate(gradient) + 2 * DECAY * penalty

    start = np.concatenate(
        [rng.normal(0, 0.2, int(bounds[0])), np.zeros(NUM_HIDDEN), rng.normal(0, 0.3, NUM_HIDDEN), [0]]
    )
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 600})
    first, bias, second, last = np.split(found.x, bounds)
    print(f"melody: {len(examples)} pieces, loss {found.fun:.4f} nats after {found.nit} steps")
    return {
        "melody_mean": mean,
        "melody_scale": scale,
        "melody_hidden": first.reshape(num_features, NUM_HIDDEN),
        "melody_bias": bias,
        "melody_output": np.concatenate([second, last]),
    }


def drum_kits(split: str) -> Iterator[Score]:
    """Yield every third performance of Groove, on the published sides of its split."""
    rows = (DATA / "groove" / "info.csv").read_text().splitlines()
    columns = rows[0].split(",")
    file, side = columns.index("midi_filename"), columns.index("split")
    for row in rows[1::3]:
        cells = row.split(",")
        if (cells[side] == "train") == (split == "train"):
            path = DATA / "groove" / cells[file]
            if path.exists():
                yield read_midi(path)


def fit_drums(corpus: list[Piece]) -> dict[str, NDArray[np.float64]]:
    """Return the weights of the logistic regression that tells drum kits."""
    from scipy.optimize import minimize

    groups: list[tuple[Score, float]] = [(score, 0.2) for score in drum_kits("train")]
    groups += [(p.score, 1.0) for p in corpus if p.source in BANDS[1:]]
    groups += [(p.score, 0.3) for p in corpus if p.source in ("POP909", "openewld") and p.split == "train"]
    rows, truth, weight = [], [], []
    for score, value in groups:
        for track in score.tracks:
            if len(track.notes) >= MIN_DRUM_NOTES and track.program < FIRST_EFFECT_PROGRAM:
                rows.append(drum_features(track.notes, score.ticks_per_quarter))
                truth.append(track.is_drum)
                weight.append(value)
    x = np.array(rows)
    mean, scale = x.mean(axis=0), 1 / x.std(axis=0)
    x = np.column_stack([np.clip((x - mean) * scale, -4, 4), np.ones(len(x))])
    sign, weights = np.where(truth, 1.0, -1.0), np.array(weight) / np.sum(weight)

    def loss(output: NDArray[np.float64]) -> float:
        return float((weights * np.logaddexp(0, -sign * (x @ output))).sum() + 1e-4 * (output @ output))

    found = minimize(loss, np.zeros(x.shape[1]))
    print(f"drums: {len(x)} tracks, loss {found.fun:.4f} nats")
    return {"drum_mean": mean, "drum_scale": scale, "drum_output": found.x}


def fit(corpus: list[Piece], *, seed: int) -> None:
    """Fit the weights and write them."""
    rng = np.random.default_rng(seed)
    weights = {**fit_melody(melody_examples(corpus, rng), rng), **fit_drums(corpus)}
    np.savez(WEIGHTS, **{name: array.astype(np.float32) for name, array in weights.items()})


# --- reporting --------------------------------------------------------------------------------------------------------


def melodies_found(corpus: list[Piece]) -> dict[str, dict[str, float]]:
    """Return by source the share of pieces whose melody track is found, by us and by the baselines."""
    column = {name: index for index, name in enumerate(TRACK_FEATURES)}
    baselines = {
        "highest mean pitch": lambda f: f[:, column["mean_pitch"]],
        "most often on top": lambda f: f[:, column["top_share"]],
        "fewest chords": lambda f: -f[:, column["log_chordal"]],
        "fewest chords, then highest": lambda f: f[:, column["mean_pitch"]] - 1e3 * (f[:, column["log_chordal"]] > -1),
    }
    found: dict[str, dict[str, list[bool]]] = {}
    for piece in corpus:
        is_held_out = piece.split != "train" or piece.source in ("lieder", *BANDS)
        notes, truth, _ = pitched_tracks(piece)
        if not piece.melodies or not is_held_out or truth.all():
            continue
        rows = found.setdefault(piece.source, {name: [] for name in ("songwright", *baselines)})
        roles = track_roles(hidden_names(piece.score))
        rows["songwright"].append("melody" in roles and roles.index("melody") in piece.melodies)
        features = track_features(notes, piece.score.ticks_per_quarter)
        for name, baseline in baselines.items():
            rows[name].append(bool(truth[np.argmax(baseline(features))]))
    return {
        source: {"pieces": len(rows["songwright"]), **{name: round(float(np.mean(r)), 4) for name, r in rows.items()}}
        for source, rows in found.items()
    }


def hidden_names(score: Score) -> Score:
    """Return a score whose tracks have no names."""
    return replace(score, tracks=tuple(replace(track, name="") for track in score.tracks))


def basses_found(corpus: list[Piece]) -> dict[str, float]:
    """Return precision and recall of `bass` in Simutrans: named so, or on a bass program."""
    hits = said = real = 0
    for piece in corpus:
        if piece.source == "simutrans":
            for track, role in zip(piece.score.tracks, track_roles(hidden_names(piece.score)), strict=True):
                is_bass = not track.is_drum and (track.program in BASS_PROGRAMS or bool(BASS.search(track.name)))
                hits, said, real = hits + (is_bass and role == "bass"), said + (role == "bass"), real + is_bass
    return {"tracks": real, "precision": round(hits / said, 3), "recall": round(hits / real, 3)}


def drums_found(corpus: list[Piece]) -> dict[str, dict[str, float]]:
    """Return precision and recall of `drums` where no track says that it is percussion."""
    kits = {
        "simutrans": [p.score for p in corpus if p.source == "simutrans"],
        "groove, validation and test": list(drum_kits("held out")),
        "POP909, validation and test": [p.score for p in corpus if p.source == "POP909" and p.split != "train"],
    }
    result = {}
    for name, scores in kits.items():
        hits = said = real = 0
        for score in scores:
            hidden = replace(score, tracks=tuple(replace(track, is_drum=False) for track in score.tracks))
            for track, role in zip(score.tracks, track_roles(hidden), strict=True):
                if len(track.notes) >= MIN_DRUM_NOTES:
                    is_kit = role == "drums"
                    hits, said, real = hits + (is_kit and track.is_drum), said + is_kit, real + track.is_drum
        precision, recall = (round(hits / count, 3) if count else None for count in (said, real))
        result[name] = {"kits": real, "false": said - hits, "precision": precision, "recall": recall}
    return result


def top_lines() -> dict[str, float]:
    """Return how well `melody_line` finds the melody in test songs of POP909 whose melody and piano are one track.

    F1 of (onset, pitch), averaged over songs; beside the plain skyline, the highest note at each onset.
    """
    ours, plain = [], []
    for song_id in song_ids(DATA / "POP909"):
        if split_of(song_id) == "test":
            try:
                song = load_song(DATA / "POP909" / song_id, DATA / "POP909-phrases" / song_id).song
            except InputError:
                continue
            melody = {(onset, pitch) for onset, _, pitch in song.lead_sheet.melody.tolist()}
            lengths: dict[tuple[int, int], int] = {}
            for onset, length, pitch in [*song.piano.tolist(), *song.lead_sheet.melody.tolist()]:
                lengths[onset, pitch] = max(lengths.get((onset, pitch), 0), length)
            rows = [(onset, lengths[onset, pitch], pitch, 80) for onset, pitch in sorted(lengths)]
            track = GridTrack("", np.array(rows, dtype=TRACK_NOTE_DTYPE), "chords")
            line = melody_line(GridScore((track,), song.lead_sheet.num_bars))
            found = {(onset, pitch) for onset, _, pitch in line.tolist()}
            top = set(dict(sorted(lengths)).items())  # of each onset the last, so the highest
            ours.append(2 * len(found & melody) / (len(found) + len(melody)))
            plain.append(2 * len(top & melody) / (len(top) + len(melody)))
    return {
        "songs": len(ours),
        "f1": round(statistics.mean(ours), 3),
        "f1 of skyline": round(statistics.mean(plain), 3),
    }


def milliseconds(function: Callable[[Score], object], scores: list[Score]) -> float:
    """Return the median time of a call, each the best of three."""
    best = [min(timeit.repeat(lambda: function(score), number=1, repeat=3)) for score in scores]  # noqa: B023
    return round(statistics.median(best) * 1e3, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="fit the weights anew first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lieder", type=int, default=100, help="how many of the 1,460 Lieder are read")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    corpus = list(pieces(num_lieder=arguments.lieder))
    if arguments.fit:
        fit(corpus, seed=arguments.seed)
    songs = [read_midi(file) for file in sorted((DATA / "POP909").glob("*/*.mid"))[::8]]
    result = {
        "melody": melodies_found(corpus),
        "bass": basses_found(corpus),
        "drums": drums_found(corpus),
        "top line of one track": top_lines(),
        "milliseconds": {
            "songs": len(songs),
            "clean_notes": milliseconds(clean_notes, songs),
            "track_roles": milliseconds(track_roles, [clean_notes(song)[0] for song in songs]),
        },
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
