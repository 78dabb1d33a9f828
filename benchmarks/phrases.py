"""Phrases found in POP909 against the human labels, and the fit of what finds them.

    python benchmarks/phrases.py [--fit] [--split validation|test|both] [--json FILE]

Labels are hidden: find_phrases gets the melody and chords in their own key (the loader's key per phrase is undone).
Reference is annotator 1; the second annotator is measured by the same code. Figures are means over songs.
Boundaries are the bars where phrases start, without the start and end of the song; a found and a labelled one match,
one to one, when at most one bar (or none) apart, as many pairs as can be; F is the harmonic mean of precision (matched
/ found) and recall (matched / labelled). Letters: pairs of bars with the same letter, as mir_eval.segment.pairwise
counts them, each phrase X or x being a letter of its own. --fit trains on the training songs alone and writes the
weights (it needs PyTorch).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.beats import find_beats
from songwright.analysis.chords import find_chords
from songwright.analysis.notes import clean_notes
from songwright.analysis.phrase_features import PieceBars
from songwright.analysis.phrase_letters import NUM_PAIR_FEATURES, SUNG_SHARE, pair_features, sung_share
from songwright.analysis.phrases import (
    MAX_PHRASE_BARS,
    PhraseWeights,
    boundary_log_odds,
    find_phrases,
    segment,
)
from songwright.analysis.quantization import quantize
from songwright.analysis.roles import accompaniment, melody_line, track_roles
from songwright.corpus.pop909 import LabelledSong, load_songs
from songwright.corpus.splits import Split, split_of
from songwright.files.midi import read_midi
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.grid_score import TRACK_NOTE_DTYPE, GridScore, GridTrack
from songwright.score.lead_sheet import ChordChange, Form

WEIGHTS = Path(__file__).parents[1] / "src" / "songwright" / "weights" / "analysis" / "phrases.npz"
NUM_CHANNELS, NUM_HIDDEN, WIDE_BARS, LAST_BARS = 24, 16, 17, 9
NUM_VIEWS, NUM_EPOCHS, BATCH_SONGS = 8, 48, 32
FIRST_SHARE = 0.6  # weight of annotator 1's boundaries among the targets; the rest is annotator 2's
LENGTH_WEIGHT, START_BONUS = 0.2, 0.5  # of the score of lengths; these and the next chosen on the validation songs
LONG_BARS, LONG_COST = 12, 0.3  # each bar beyond counts against a phrase: long ones are seldom right in unknown styles


@dataclass(frozen=True, eq=False)
class Piece:
    """A song in its own keys, and both annotators' forms."""

    song_id: str
    melody: NDArray[np.void]
    chords: tuple[ChordChange, ...]
    found_chords: tuple[ChordChange, ...]
    accompaniment: NDArray[np.void]
    bar_starts: NDArray[np.int64]
    forms: tuple[Form, Form]

    @property
    def split(self) -> Split:
        """Side of the split."""
        return split_of(self.song_id)


def load_pieces(data: Path) -> list[Piece]:
    """Return POP909 without the normalisation of keys, which would give away phrases."""
    pieces = []
    for labelled in load_songs(data / "POP909", data / "POP909-phrases"):
        if not isinstance(labelled, LabelledSong):
            continue
        sheet = labelled.song.lead_sheet
        lengths = [phrase.num_bars for phrase in sheet.form.phrases]
        shift = np.repeat([key.semitones_to_normal for key in labelled.keys], lengths)
        melody, piano = sheet.melody.copy(), labelled.song.piano.copy()
        for notes in (melody, piano):
            notes["pitch"] -= shift[notes["onset_step"] // STEPS_PER_BAR].astype(np.int16)
        chords = tuple(
            ChordChange(onset, chord.transpose(-int(shift[onset // STEPS_PER_BAR]))) for onset, chord in sheet.chords
        )
        bar_starts = np.arange(sheet.num_bars + 1, dtype=np.int64) * STEPS_PER_BAR
        forms = (sheet.form, labelled.alternative_form)
        parts = ((melody, "melody"), (piano, "chords"))
        tracks = tuple(GridTrack(role, with_velocity(notes), role) for notes, role in parts)
        found_chords = find_chords(GridScore(tracks, sheet.num_bars))
        pieces.append(Piece(labelled.song_id, melody, chords, found_chords, piano, bar_starts, forms))
    return pieces


def with_velocity(notes: NDArray[np.void]) -> NDArray[np.void]:
    """Return notes as a track holds them."""
    found = np.empty(len(notes), dtype=TRACK_NOTE_DTYPE)
    found["velocity"] = 80
    for field in ("onset_step", "duration_step", "pitch"):
        found[field] = notes[field]
    return found


def boundary_scores(labelled: Sequence[float], ours: Sequence[float], tolerance: float) -> tuple[float, float, float]:
    """Return precision, recall and F of boundaries, sorted places in bars."""
    first = second = matched = 0
    while first < len(labelled) and second < len(ours):
        gap = labelled[first] - ours[second]
        matched += -tolerance <= gap <= tolerance
        first, second = first + (gap <= tolerance), second + (gap >= -tolerance)
    return _scores(matched, len(ours), len(labelled))


def letter_scores(reference: NDArray[np.str_], found: NDArray[np.str_]) -> tuple[float, float, float]:
    """Return precision, recall and F of pairs of bars with the same letter, from the labels of the same bars."""
    bars = min(len(reference), len(found))
    labelled, ours = (np.triu(row[:bars, None] == row[:bars], 1) for row in (reference, found))
    return _scores(int((labelled & ours).sum()), int(ours.sum()), int(labelled.sum()))


def _scores(matched: int, found: int, labelled: int) -> tuple[float, float, float]:
    precision, recall = matched / max(found, 1), matched / max(labelled, 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


def scores_of_form(piece: Piece, form: Form) -> list[float]:
    """Return the figures of a row of the table for one song."""
    labelled, ours = piece.forms[0].start_bars[1:], form.start_bars[1:]
    return [
        *boundary_scores(labelled, ours, 1),
        boundary_scores(labelled, ours, 0)[2],
        *letter_scores(bar_labels(piece.forms[0]), bar_labels(form)),
    ]


def scores_of_midi(piece: Piece, data: Path) -> list[float]:
    """Return the same figures where all that is known is the MIDI file, its track names hidden.

    Found bar lines are laid on the labelled bars through the melody notes that file and labels share, and may be a
    sixteenth off: "0 bars" is within a sixteenth, "1 bar" within a bar and a sixteenth.
    """
    score = read_midi(data / "POP909" / piece.song_id / f"{piece.song_id}.mid")
    played = next(track for track in score.tracks if track.name == "MELODY").notes
    nameless = replace(score, tracks=tuple(replace(track, name="") for track in score.tracks))
    score, _ = clean_notes(nameless)
    roles = track_roles(score)
    grid = find_beats(score, roles)
    if grid is None:
        return [0.0] * 7
    piece_found = quantize(score, grid, roles).grid_score
    starts = piece_found.bar_starts
    chords = find_chords(piece_found)
    form = find_phrases(melody_line(piece_found), chords, starts, accompaniment=accompaniment(piece_found))
    matcher = SequenceMatcher(None, played["pitch"].tolist(), piece.melody["pitch"].tolist(), autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if block.size > 2]
    pairs = np.concatenate([np.arange(block.size)[:, None] + [block.a, block.b] for block in blocks])
    tick, bar = played["onset_tick"][pairs[:, 0]], piece.melody["onset_step"][pairs[:, 1]] / STEPS_PER_BAR
    pace = (bar[-1] - bar[0]) / (tick[-1] - tick[0])

    def labelled_bars(ticks: NDArray[np.floating]) -> NDArray[np.float64]:
        outside = np.where(ticks < tick[0], ticks - tick[0], np.maximum(ticks - tick[-1], 0)) * pace
        return np.interp(ticks, tick, bar) + outside

    places = labelled_bars(grid.steps_to_ticks(starts))
    labelled, ours = piece.forms[0].start_bars[1:], places[list(form.start_bars[1:])].tolist()
    middles = np.arange(piece.forms[0].num_bars) + 0.5
    found_bar = np.clip(np.searchsorted(places, middles, side="right") - 1, 0, form.num_bars - 1)
    return [
        *boundary_scores(labelled, ours, 1 + 1 / 16),
        boundary_scores(labelled, ours, 1 / 16)[2],
        *letter_scores(bar_labels(piece.forms[0]), bar_labels(form)[found_bar]),
    ]


def every(bars: int, piece: Piece) -> Form:
    """Return the baseline: a phrase each `bars` bars from the first bar with melody."""
    total = len(piece.bar_starts) - 1
    first = int(piece.melody["onset_step"][0]) // STEPS_PER_BAR
    marks = np.unique(np.concatenate([[0], np.arange(first, total, bars), [total]]))
    return Form.parse("".join(f"A{length}" for length in np.diff(marks)))


def view(piece: Piece, rng: np.random.Generator) -> tuple[NDArray[np.float32], slice]:
    """Return features of a piece with parts of it missing or wrong, and the bars they are of."""
    total = len(piece.bar_starts) - 1
    begin, end = (0, total)
    if rng.random() < 0.25 and total > 16:
        begin = int(rng.integers(0, total - 16))
        end = int(rng.integers(begin + 16, total + 1))
    melody = piece.melody if rng.random() < 0.8 else piece.melody[:0]
    chords = (piece.chords, piece.found_chords, ())[rng.choice(3, p=[0.3, 0.5, 0.2])]
    accompaniment = piece.accompaniment if rng.random() < 0.5 else None
    bars = PieceBars(melody, chords, piece.bar_starts[begin : end + 1], accompaniment)
    return bars.features(bars.contents()), slice(begin, end)


def targets(piece: Piece) -> NDArray[np.float32]:
    """Return for each bar how much the annotators hold that a phrase starts there, 0 to 1."""
    found = np.zeros(len(piece.bar_starts) - 1, dtype=np.float32)
    for form, share in zip(piece.forms, (FIRST_SHARE, 1 - FIRST_SHARE), strict=True):
        starts = [bar for bar in form.start_bars if bar < len(found)]
        found[starts] += share
    return found


def fit_boundaries(pieces: list[Piece]) -> dict[str, NDArray[np.float32]]:
    """Return the layers and lengths fitted to the pieces."""
    import torch

    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    views = [[view(piece, rng) for _ in range(NUM_VIEWS)] for piece in pieces]
    stacked = np.concatenate([features for features, _ in chain.from_iterable(views)])
    # Columns that hardly vary are not blown up: they may vary elsewhere.
    mean, scale = stacked.mean(axis=0), np.maximum(stacked.std(axis=0), 0.2)
    dense = torch.nn.Linear(len(mean), NUM_CHANNELS)
    wide = torch.nn.Conv1d(NUM_CHANNELS, NUM_HIDDEN, WIDE_BARS, padding=WIDE_BARS // 2)
    last = torch.nn.Conv1d(NUM_HIDDEN, 1, LAST_BARS, padding=LAST_BARS // 2)
    dropout = torch.nn.Dropout(0.3)
    parameters = [*dense.parameters(), *wide.parameters(), *last.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.02)
    num_batches = -(-len(pieces) // BATCH_SONGS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=NUM_EPOCHS * num_batches)
    goal = [targets(piece) for piece in pieces]
    for _ in range(NUM_EPOCHS):
        for chosen in np.array_split(rng.permutation(len(pieces)), num_batches):
            picked = [(views[song][rng.integers(NUM_VIEWS)], goal[song]) for song in chosen]
            longest = max(len(features) for (features, _), _ in picked)
            inputs = np.zeros((len(picked), longest, len(mean)), dtype=np.float32)
            wanted, counted = np.zeros((2, len(picked), longest), dtype=np.float32)
            for row, ((features, bars), target) in enumerate(picked):
                inputs[row, : len(features)] = (features - mean) / scale
                wanted[row, : len(features)] = target[bars]
                counted[row, 1 : len(features)] = 1
            channels = dropout(torch.relu(dense(torch.from_numpy(inputs)))).transpose(1, 2)
            # Beyond the end of a song the layers see zeros, as at run time.
            inside = torch.from_numpy(counted.copy())
            inside[:, 0] = 1
            hidden = dropout(torch.relu(wide(channels * inside[:, None]))) * inside[:, None]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                last(hidden)[:, 0], torch.from_numpy(wanted), weight=torch.from_numpy(counted), reduction="sum"
            )
            optimizer.zero_grad()
            (loss / counted.sum()).backward()
            optimizer.step()
            schedule.step()
    lengths = [phrase.num_bars for piece in pieces for form in piece.forms for phrase in form.phrases]
    share = np.bincount(lengths, minlength=MAX_PHRASE_BARS + 1)[: MAX_PHRASE_BARS + 1] + 0.3
    long_bars = np.maximum(np.arange(MAX_PHRASE_BARS + 1) - LONG_BARS, 0)
    score = LENGTH_WEIGHT * np.log(share / share.sum()) + START_BONUS - LONG_COST * long_bars
    arrays = {
        "mean": mean,
        "scale": scale,
        "dense": dense.weight.T,
        "dense_bias": dense.bias,
        "wide": wide.weight.permute(2, 1, 0).reshape(-1, NUM_HIDDEN),
        "wide_bias": wide.bias,
        "last": last.weight.permute(2, 1, 0).reshape(-1, 1),
        "last_bias": last.bias,
        "length_score": score,
    }
    return {
        name: np.asarray(table.detach() if isinstance(table, torch.Tensor) else table, dtype=np.float32)
        for name, table in arrays.items()
    }


def fit_letters(pieces: list[Piece], arrays: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return weights of the log odds that two phrases share a letter, by Newton's method.

    Pairs are those of both annotators' phrases and of the found ones, which take the letter that annotator 1 gives most
    of their bars; with and without the labelled chords, the accompaniment and the melody.
    """
    rows: list[list[NDArray[Any]]] = [[], [], []]
    weights = PhraseWeights(**arrays, same=np.zeros((3, NUM_PAIR_FEATURES), np.float32))
    for piece in pieces:
        labels = bar_labels(piece.forms[0])
        melody, chords, other = piece.melody, piece.chords, piece.accompaniment
        heard = piece.found_chords
        views = ((melody, chords, None), (melody, heard, other), (melody, (), None), (melody[:0], heard, other))
        for view_melody, view_chords, view_other in views:
            bars = PieceBars(view_melody, view_chords, piece.bar_starts, view_other)
            contents = bars.contents()
            found = np.diff(segment(boundary_log_odds(bars.features(contents), weights), weights.length_score))
            cases = [(np.array([phrase.num_bars for phrase in form.phrases]), bar_labels(form)) for form in piece.forms]
            for lengths, names in (*cases, (found, labels)):
                starts = np.cumsum(lengths) - lengths
                inside = np.split(names[: lengths.sum()], starts[1:])
                letters = np.array([Counter(part.tolist()).most_common(1)[0][0] for part in inside])
                everyone = np.arange(len(lengths))
                features = pair_features(contents, starts, lengths, everyone, everyone)
                is_sung = sung_share(contents, starts, lengths) >= SUNG_SHARE
                first, second = np.triu_indices(len(lengths), 1)
                weight = np.minimum(lengths[first], lengths[second]) / 8
                table = np.column_stack([features[first, second], letters[first] == letters[second], weight])
                kind = is_sung.astype(np.int64) if is_sung.any() else np.full(len(lengths), 2)
                kind[(kind == 0) & ((letters == "i") | (letters == "o"))] = -1
                for index, kept in enumerate(rows):
                    kept.append(table[(kind[first] == index) & (kind[second] == index)])
    solutions = []
    for kept in rows:
        table = np.concatenate(kept)
        inputs, same, weight = table[:, :-2], table[:, -2], table[:, -1]
        solution = np.zeros(inputs.shape[1])
        penalty = 1e-4 * len(table) * np.eye(len(solution))
        for _ in range(30):
            chance = 1 / (1 + np.exp(-inputs @ solution))
            slope = inputs.T @ (weight * (chance - same)) + penalty @ solution
            curve = (inputs * (weight * chance * (1 - chance))[:, None]).T @ inputs + penalty
            solution -= np.linalg.solve(curve, slope)
        solutions.append(solution)
    return np.array(solutions, dtype=np.float32)


def bar_labels(form: Form) -> NDArray[np.str_]:
    """Return the letter of each bar; each phrase X or x is a letter of its own."""
    names = [f"{letter}{index}" if letter in "xX" else letter for index, (letter, _) in enumerate(form.phrases)]
    return np.repeat(names, [phrase.num_bars for phrase in form.phrases])


def methods(data: Path) -> dict[str, Callable[[Piece], list[float]]]:
    """Return what is compared, by name: functions from a song to its figures."""
    empty: tuple[ChordChange, ...] = ()
    found: dict[str, Callable[[Piece], Form]] = {
        "annotator 2": lambda piece: piece.forms[1],
        "labelled chords": lambda piece: find_phrases(piece.melody, piece.chords, piece.bar_starts),
        "found chords": lambda piece: find_phrases(piece.melody, piece.found_chords, piece.bar_starts),
        "found chords, accompaniment": lambda piece: find_phrases(
            piece.melody, piece.found_chords, piece.bar_starts, accompaniment=piece.accompaniment
        ),
        "no chords": lambda piece: find_phrases(piece.melody, empty, piece.bar_starts),
        "no melody": lambda piece: find_phrases(
            piece.melody[:0], piece.found_chords, piece.bar_starts, accompaniment=piece.accompaniment
        ),
        "accompaniment alone": lambda piece: find_phrases(
            piece.melody[:0], empty, piece.bar_starts, accompaniment=piece.accompaniment
        ),
        "every 4 bars": lambda piece: every(4, piece),
        "every 8 bars": lambda piece: every(8, piece),
    }
    rows: dict[str, Callable[[Piece], list[float]]] = {
        name: lambda piece, method=method: scores_of_form(piece, method(piece)) for name, method in found.items()
    }
    return {"the MIDI file alone": lambda piece: scores_of_midi(piece, data)} | rows


def report(pieces: list[Piece], data: Path, json_path: Path | None) -> None:
    """Measure all methods, print a table, and write it if asked to."""
    print(f"{len(pieces)} songs of {sorted({piece.split for piece in pieces})}; reference annotator 1")
    print(f"{'':34}{'+-1 bar: P':>12}{'R':>7}{'F':>7}{'0 bars: F':>12}{'letters: P':>13}{'R':>7}{'F':>7}")
    table: dict[str, dict[str, float]] = {}
    for name, method in methods(data).items():
        row = np.mean([method(piece) for piece in pieces], axis=0)
        keys = ("precision_1", "recall_1", "f_1", "f_0", "letter_precision", "letter_recall", "letter_f")
        table[name] = dict(zip(keys, map(float, row), strict=True))
        print("{:34}{:12.3f}{:7.3f}{:7.3f}{:12.3f}{:13.3f}{:7.3f}{:7.3f}".format(name, *row))
    began = time.process_time()
    for piece in pieces:
        find_phrases(piece.melody, piece.found_chords, piece.bar_starts)
    table["a song"] = {"seconds": (time.process_time() - began) / len(pieces)}
    print(f"find_phrases on a song: {table['a song']['seconds'] * 1e3:.2f} ms")
    for bars in (1_000, 10_000):
        seconds = time_of(pieces, bars)
        table[f"{bars} bars"] = {"seconds": seconds}
        print(f"{bars} bars of songs one after the other: {seconds:.2f} s")
    if json_path is not None:
        json_path.write_text(json.dumps(table, indent=2) + "\n")


def time_of(pieces: list[Piece], bars: int) -> float:
    """Return the processor time that one piece of that many bars takes."""
    melodies, chords, begin = [], [], 0
    for piece in chain.from_iterable(iter(lambda: pieces, None)):
        if begin >= bars:
            break
        melody = piece.melody.copy()
        melody["onset_step"] += begin * STEPS_PER_BAR
        melodies.append(melody)
        chords += [ChordChange(onset + begin * STEPS_PER_BAR, chord) for onset, chord in piece.chords]
        begin += len(piece.bar_starts) - 1
    melody = np.concatenate(melodies)
    bar_starts = np.arange(bars + 1) * STEPS_PER_BAR
    began = time.process_time()
    find_phrases(melody, chords, bar_starts)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="train first, and write the weights")
    parser.add_argument("--split", choices=("validation", "test", "both"), default="both")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    pieces = load_pieces(data)
    if arguments.fit:
        train = [piece for piece in pieces if piece.split == "train"]
        began = time.perf_counter()
        arrays = fit_boundaries(train)
        arrays["same"] = fit_letters(train, arrays)
        np.savez_compressed(WEIGHTS, **{name: table.astype(np.float16) for name, table in arrays.items()})
        print(f"fitted to {len(train)} songs in {time.perf_counter() - began:.0f} s: {WEIGHTS}")
    sides = ("validation", "test") if arguments.split == "both" else (arguments.split,)
    held_out = [piece for piece in pieces if piece.split in sides]
    report(held_out, data, arguments.json)


if __name__ == "__main__":
    main()
