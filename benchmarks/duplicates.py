"""Duplicates found in POP909, its versions and other collections, in edited copies, and how finding them scales.

    python benchmarks/duplicates.py [--songs 200] [--seed 0] [--grid found|ticks] [--pieces 100000] [--json FILE]

Songs are all main files of POP909, the `versions/` of `--songs` of them drawn by the seed, OpenEWLD and the band sets
(SONGWRIGHT_DATA, or ../shared/data). Every song is laid on beats found in its notes, its roles found too (names are not
looked at); `--grid ticks` lays it on the file's own ticks, which POP909 does not keep to.

A version shares the melody of its song if at least half of the song's melodic 5-grams of intervals (track MELODY)
occur in some track of the version. A false alarm is a piece grouped with a piece of another work; works that are the
same music under two names, found by their titles and by how much they share, are listed in SAME_MUSIC.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.beats import find_beats
from songwright.analysis.notes import clean_notes
from songwright.analysis.quantization import quantize
from songwright.analysis.roles import track_roles
from songwright.corpus.augmentation import transpose
from songwright.corpus.duplicates import DuplicateGroups, Fingerprint, fingerprint, stack_fingerprints
from songwright.corpus.pop909 import song_ids
from songwright.errors import InputError
from songwright.files.midi import read_midi
from songwright.score.elements import Score
from songwright.score.grid import STEPS_PER_BEAT
from songwright.score.grid_score import TRACK_NOTE_DTYPE, BarTempo, GridScore, GridTrack

POP909_PAIRS = (("017", "018"), ("262", "805"), ("492", "666"), ("101", "103"))
SAME_MUSIC = {
    "703-v2": "704",  # 703-v2 and 703-v3 are files of song 704, note for note
    "703-v3": "704",
    "229_O_mio_babbino_caro": "040_Oh_My_Beloved_Father",  # one aria under its Italian and its English title
    "d_introa": "d_intro",  # the same notes
    "Defiance (long remix)": "Defiance",
    "Find You (march remix)": "Find You",
    "Remember": "Cyaron's Gate",  # quotes its theme: 90 % of its figures
}


MELODY_NOTES, OTHER_NOTES = 130, 170
"""Notes of a made-up song that are not repeated: about as many figures as in a song of POP909."""
SHARE_OF_COPIES = 0.2


@dataclass
class Piece:
    """A file, the work it belongs to, its notes in ticks and on the grid."""

    name: str
    work: str
    score: Score
    laid: GridScore


def data_folder() -> Path:
    return Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))


def read_pieces(data: Path, *, num_songs: int, seed: int, grid: str) -> tuple[list[Piece], set[str]]:
    """Return all pieces and the ids of the songs whose versions are among them."""
    root = data / "POP909"
    ids = song_ids(root)
    drawn = set(np.random.default_rng(seed).permutation(ids)[:num_songs].tolist())
    same = {later: earlier for earlier, later in POP909_PAIRS}
    files = [(same.get(song, song), root / song / f"{song}.mid") for song in ids]
    files += [
        (same.get(song, song), path) for song in sorted(drawn) for path in sorted((root / song).rglob("*-v*.mid"))
    ]
    for folder in ("openewld_midi", "freedoom", "simutrans", "tannerhelland"):
        files += [(path.stem, path) for path in sorted((data / folder).rglob("*.mid"))]
    pieces: list[Piece] = []
    for work, path in files:
        try:
            score = clean_notes(read_midi(path))[0]
        except InputError as error:
            print(f"left out: {error}")
            continue
        laid = lay(score, grid)
        if laid is not None and score.num_notes:
            pieces.append(Piece(path.stem, SAME_MUSIC.get(path.stem, work), score, laid))
    return pieces, drawn


def lay(score: Score, grid: str) -> GridScore | None:
    """Return a score on found beats, or on its own ticks."""
    roles = track_roles(score)
    if grid == "found":
        beats = find_beats(score, roles)
        return None if beats is None else quantize(score, beats, roles).grid_score
    tracks: list[GridTrack] = []
    scale = STEPS_PER_BEAT / score.ticks_per_quarter
    for track, role in zip(score.tracks, roles, strict=True):
        notes = np.empty(len(track.notes), dtype=TRACK_NOTE_DTYPE)
        notes["onset_step"] = np.rint(track.notes["onset_tick"] * scale)
        notes["duration_step"] = np.maximum(np.rint(track.notes["duration_tick"] * scale), 1)
        notes["pitch"], notes["velocity"] = track.notes["pitch"], track.notes["velocity"]
        tracks.append(GridTrack(track.name, notes, role, track.program, track.is_drum))
    end = max((int((track.notes["onset_step"] + track.notes["duration_step"]).max()) for track in tracks), default=0)
    return GridScore(tuple(tracks), -(-end // 48))


def interval_grams(score: Score, track: int) -> set[tuple[int, ...]]:
    """Return the 5-grams of intervals of the highest notes of a track."""
    notes = score.tracks[track].notes
    intervals = np.diff(notes["pitch"][np.append(np.diff(notes["onset_tick"]) != 0, True)].astype(int)).tolist()
    return {tuple(intervals[start : start + 5]) for start in range(len(intervals) - 4)}


def shares_melody(song: Score, version: Score) -> bool:
    melody = interval_grams(song, [track.name.strip().upper() for track in song.tracks].index("MELODY"))
    found = (len(melody & interval_grams(version, track)) for track in range(len(version.tracks)))
    return max(found, default=0) >= 0.5 * max(len(melody), 1)


def measure_collections(pieces: Sequence[Piece], drawn: set[str]) -> dict[str, object]:
    times: list[float] = []
    fingerprints: list[Fingerprint] = []
    for piece in pieces:
        start = time.perf_counter()
        fingerprints.append(fingerprint(piece.laid))
        times.append(time.perf_counter() - start)
    groups = DuplicateGroups()
    start = time.perf_counter()
    groups.add(fingerprints)
    seconds = time.perf_counter() - start
    of_piece = {place: number for number, group in enumerate(groups.groups()) for place in group}
    place_of = {piece.name: place for place, piece in enumerate(pieces)}

    def is_together(one: str, other: str) -> bool:
        return of_piece.get(place_of[one], -1) == of_piece.get(place_of[other], -2)

    sharing = found = all_versions = all_found = 0
    missed: list[str] = []
    for piece in pieces:
        song = piece.name[:3]
        if song in drawn and piece.name.startswith(f"{song}-v"):
            all_versions += 1
            all_found += is_together(song, piece.name)
            if shares_melody(pieces[place_of[song]].score, piece.score):
                sharing += 1
                found += is_together(song, piece.name)
                missed += [] if is_together(song, piece.name) else [piece.name]
    alarms = [
        (pieces[one].name, pieces[other].name)
        for group in groups.groups()
        for index, one in enumerate(group)
        for other in group[:index]
        if pieces[one].work != pieces[other].work
    ]
    num_pairs = len(pieces) * (len(pieces) - 1) // 2
    num_false = len({name for pair in alarms for name in pair})
    kinds = [relation.kind for relation in groups.relations()]
    main_times = [seconds for piece, seconds in zip(pieces, times, strict=True) if piece.name in drawn]
    return {
        "pieces": len(pieces),
        "fingerprint_ms": round(float(np.median(main_times)) * 1e3, 3),
        "grouping_seconds": round(seconds, 3),
        "known_pairs_found": sum(is_together(*pair) for pair in POP909_PAIRS),
        "versions": all_versions,
        "versions_found": all_found,
        "versions_sharing_melody": sharing,
        "versions_sharing_melody_found": found,
        "versions_missed": missed,
        "kinds": {kind: kinds.count(kind) for kind in ("exact", "transposed", "near")},
        "pieces_with_false_alarm": num_false,
        "share_of_pieces_with_false_alarm": round(num_false / len(pieces), 6),
        "share_of_pairs_with_false_alarm": len(alarms) / num_pairs,
        "false_alarms": alarms[:20],
    }


def edited(score: GridScore, share: float, rng: np.random.Generator) -> GridScore:
    """Return a score with `share` of its notes edited: a third each moved in pitch, left out, followed by another."""
    tracks: list[GridTrack] = []
    for track in score.tracks:
        draw = rng.random(len(track.notes))
        notes = track.notes.copy()
        step = rng.integers(1, 8, len(notes)) * rng.choice([-1, 1], len(notes))
        notes["pitch"] = np.where(draw < share / 3, np.clip(notes["pitch"] + step, 0, 127), notes["pitch"])
        added = track.notes[(draw >= share / 3) & (draw < share * 2 / 3)].copy()
        added["onset_step"] += rng.integers(1, 12, len(added))
        added["pitch"] = np.clip(added["pitch"] + rng.integers(-5, 6, len(added)), 0, 127)
        both = np.concatenate([notes[~((draw >= share * 2 / 3) & (draw < share))], added])
        key = both["onset_step"].astype(np.int64) * 128 + both["pitch"]
        tracks.append(replace(track, notes=both[np.unique(key, return_index=True)[1]]))
    return replace(score, tracks=tuple(tracks))


def stretched(score: GridScore, factor: int, delay: int) -> GridScore:
    """Return a score on a grid that counts beats `factor` times as fast and starts `delay` steps earlier."""
    tracks: list[GridTrack] = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["onset_step"] = notes["onset_step"] * factor + delay
        notes["duration_step"] *= factor
        tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks), num_bars=score.num_bars * factor + 1)


def measure_copies(pieces: Sequence[Piece], drawn: set[str], *, seed: int) -> dict[str, object]:
    """Return the share of changed copies of songs that are grouped with their song, and of which kind."""
    rng = np.random.default_rng(seed)
    songs = [piece.laid for piece in pieces if piece.name in drawn]
    changes: dict[str, Callable[[GridScore], GridScore]] = {
        "transposed": lambda score: transpose(score, 3),
        "tempo scaled": lambda score: replace(score, tempos=(BarTempo(0, 77.0),)),
        "double time, shifted": lambda score: stretched(score, 2, 18),
        "5 % of notes edited": lambda score: edited(score, 0.05, rng),
        "10 % of notes edited": lambda score: edited(score, 0.1, rng),
        "20 % of notes edited": lambda score: edited(score, 0.2, rng),
        "transposed, 10 % edited, double time": lambda score: stretched(edited(transpose(score, 2), 0.1, rng), 2, 5),
    }
    originals = [fingerprint(song) for song in songs]
    results: dict[str, object] = {}
    for name, change in changes.items():
        groups = DuplicateGroups()
        groups.add(originals)
        groups.add([fingerprint(change(song)) for song in songs])
        found = [relation for relation in groups.relations() if relation.later - relation.earlier == len(songs)]
        results[name] = {
            "found": f"{len(found)} of {len(songs)}",
            "kinds": {kind: sum(r.kind == kind for r in found) for kind in ("exact", "transposed", "near")},
        }
    return results


def made_up_scores(pieces: Sequence[Piece], count: int, rng: np.random.Generator) -> list[GridScore]:
    """Return songs of two lines drawn from a Markov chain over melodies; a fifth are edited copies of others."""
    chain = MarkovChain(pieces)
    interval, ratio = chain.draw(count, MELODY_NOTES + OTHER_NOTES, rng)
    place = np.abs(np.cumsum(np.array([0, -1, 1])[ratio], axis=1) % 12 - 6)
    onset = np.cumsum(np.array([1, 2, 3, 6, 12, 24, 48])[place], axis=1)
    pitch = 64 + np.abs(np.cumsum(interval, axis=1) % 48 - 24)
    scores: list[GridScore] = []
    for number in range(count):
        if number and rng.random() < SHARE_OF_COPIES:
            scores.append(edited(scores[int(rng.integers(number))], 0.1, rng))
            continue
        notes = np.empty(onset.shape[1], dtype=TRACK_NOTE_DTYPE)
        notes["onset_step"], notes["duration_step"], notes["pitch"], notes["velocity"] = (
            onset[number],
            1,
            pitch[number],
            80,
        )
        tracks = GridTrack("", notes[:MELODY_NOTES], "melody"), GridTrack("", notes[MELODY_NOTES:], "other")
        scores.append(GridScore(tracks, int(onset[number, -1]) // 48 + 1))
    return scores


class MarkovChain:
    """Intervals and rhythm classes as they follow each other in the melodies of pieces."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        lines: list[NDArray[np.int64]] = []
        for piece in pieces:
            melody = piece.laid.notes_of("melody")
            melody = melody[np.append(np.diff(melody["onset_step"]) != 0, True)[: len(melody)]]
            if len(melody) > 8 and "-v" not in piece.name:
                inter_onset = np.log2(np.diff(melody["onset_step"]))
                ratio = np.digitize(np.diff(inter_onset), [-0.5, 0.5])
                lines.append((np.clip(np.diff(melody["pitch"]), -12, 12)[1:] + 12) * 3 + np.array([1, 0, 2])[ratio])
        self._contexts = np.concatenate([line[:-2] * 75 + line[1:-1] for line in lines])
        self._following = np.concatenate([line[2:] for line in lines])[np.argsort(self._contexts, kind="stable")]
        self._first = np.searchsorted(np.sort(self._contexts), np.arange(75 * 75 + 1))

    def draw(self, count: int, length: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return intervals and rhythm classes (0 same, 1 shorter, 2 longer), shape (count, length) each."""
        drawn = np.empty((count, length), dtype=np.int64)
        state = rng.choice(self._contexts, count)
        for place in range(length):
            is_end = self._first[state] == self._first[state + 1]
            state[is_end] = rng.choice(self._contexts, int(is_end.sum()))
            choices = self._first[state + 1] - self._first[state]
            drawn[:, place] = self._following[self._first[state] + (rng.random(count) * choices).astype(np.int64)]
            state = state % 75 * 75 + drawn[:, place]
        return drawn // 3 - 12, drawn % 3


def measure_scale(pieces: Sequence[Piece], count: int, *, seed: int) -> dict[str, object]:
    """Return time and memory of grouping many made-up songs: all at once, then 1,000 more."""
    rng = np.random.default_rng(seed)
    fingerprints: list[Fingerprint] = []
    for start in range(0, count + 1000, 10_000):
        scores = made_up_scores(pieces, min(10_000, count + 1000 - start), rng)
        fingerprints += [fingerprint(score) for score in scores]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    groups = DuplicateGroups()
    times: dict[str, float] = {}
    for name, work in (
        ("add_all", lambda: groups.add(fingerprints[:count])),
        ("add_1000_more", lambda: groups.add(fingerprints[count:])),
        ("relations", groups.relations),
    ):
        start_time = time.process_time()
        work()
        times[f"{name}_seconds"] = round(time.process_time() - start_time, 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sizes = sum(array.nbytes for array in stack_fingerprints(fingerprints).values())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "groups.npz"
        groups.save(path)
        is_same = DuplicateGroups.load(path).groups() == groups.groups()
        file_bytes = path.stat().st_size
    found = groups.groups()
    return {
        "pieces": len(groups),
        **times,
        "bytes_a_fingerprint": round(sizes / len(fingerprints)),
        "file_megabytes": round(file_bytes / 1e6),
        "peak_megabytes_while_grouping": round((peak - before) / 1e3),
        "groups": len(found),
        "pieces_in_groups": sum(map(len, found)),
        "largest_group": max(map(len, found), default=0),
        "same_after_loading": is_same,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=200, help="songs whose versions are looked for (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grid", choices=("found", "ticks"), default="found")
    parser.add_argument("--pieces", type=int, default=0, help="made-up songs to group (default: none)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    pieces, drawn = read_pieces(data_folder(), num_songs=options.songs, seed=options.seed, grid=options.grid)
    report: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "grid": options.grid,
        "seed": options.seed,
        "collections": measure_collections(pieces, drawn),
        "copies": measure_copies(pieces, drawn, seed=options.seed),
    }
    if options.pieces:
        report["scale"] = measure_scale(pieces, options.pieces, seed=options.seed)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
