"""Learn the form, tempo and key of pop songs from phrase labels.

Reads a folder of songs labelled as in Dai, Zhang and Dannenberg's POP909 phrases: `NNN/human_label1.txt`
(`i4A8B8o2`), `tempo.txt` and `analyzed_key.txt`. What comes out are counts and interpolation weights
(`analysis.form_model`), no song. `composition.form` and `composition.plan` draw from them. The shipped file is
rebuilt with

    python -m songwright.training.forms ../shared/data/POP909-phrases --beats ../shared/data/POP909
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.form_model import (
    LETTERS,
    MAX_LENGTH,
    SUNG_LETTERS,
    FormModel,
    PhraseContext,
    instrumental_share,
    length_keys,
    letter_group,
    letter_keys,
    phrase_context,
    repeated_share,
    return_components,
    return_group,
)
from songwright.corpus.splits import split_of
from songwright.errors import InputError
from songwright.score.pitch import Key

TEMPO_RANGE = (60, 140)
"""Slowest and fastest tempo that is learned, in quarter notes per minute."""

_NUM_FOLDS = 5
_PRIOR_EVENTS = 30.0  # a group's weights start from those of all groups, worth this many events
_NUM_EM_STEPS = 60
_OUT = Path(__file__).parents[1] / "composition" / "pop_forms.json"

_Sample = tuple[tuple[tuple[str, int], ...], float]
"""Phrases (letter, bars) and tempo in quarter notes per minute."""


def read_label(text: str) -> tuple[tuple[str, int], ...]:
    """Return the phrases of a label such as `i4A8B8o2`, with the letters that forms are drawn from.

    Sung letters that return are named A to E in the order they come, as the labels nearly always do; one of
    them past E becomes `X`. Returning instrumental letters become `b`, other ones `x`; so does an `i` past the start
    or an `o` before the end.

    Raises
    ------
    ValueError
        If the text is no phrase label.

    Examples
    --------
    >>> read_label("i4B8A8c4c4B8o2")
    (('i', 4), ('A', 8), ('B', 8), ('b', 4), ('b', 4), ('A', 8), ('o', 2))
    """
    text = text.strip()
    if not re.fullmatch(r"(?:[A-Za-z][1-9]\d*)+", text):
        raise ValueError(f"not a phrase label: {text[:40]!r}")
    found = [(letter, int(bars)) for letter, bars in re.findall(r"([A-Za-z])(\d+)", text)]
    names: dict[str, str] = {"X": "X"}
    for letter, _ in found:
        if letter.isupper() and letter not in names:
            names[letter] = SUNG_LETTERS[len(names) - 1] if len(names) <= len(SUNG_LETTERS) else "X"
    count = Counter(letter for letter, _ in found)
    phrases = []
    for place, (letter, bars) in enumerate(found):
        if letter.isupper():
            letter = names[letter]
        elif (letter, place) not in (("i", 0), ("o", len(found) - 1)):
            letter = "b" if letter not in "iox" and count[letter] > 1 else "x"
        phrases.append((letter, bars))
    return tuple(phrases)


def learn_forms(labels_dir: str | os.PathLike[str], *, song_ids: Collection[str] | None = None) -> dict[str, Any]:
    """Return the statistics of the labelled songs in a folder, ready for JSON.

    Parameters
    ----------
    labels_dir : path
        Holds a folder per song with `human_label1.txt`, `tempo.txt` and `analyzed_key.txt`.
    song_ids : collection of str, optional
        Folders to learn from; all of them by default.

    Returns
    -------
    dict
        `num_songs`; `model`, the fields of a `FormModel`; `shares`, how the instrumental share of bars and the repeated
        share of phrases depend on a song's length (intercept, slope by ln bars, standard deviation); `tempos`, songs
        at each whole tempo in TEMPO_RANGE; `keys`, songs in each key of either mode, by tonic.

    Raises
    ------
    InputError
        If the folder holds no labelled songs, or a file in it cannot be read.

    Notes
    -----
    Songs without a sung phrase that returns, and those with a phrase longer than MAX_LENGTH bars, are left out. Tempos
    below 50 are doubled, above 150 halved, and those still outside TEMPO_RANGE reflected at its ends, so that
    none piles up there. Of songs that change key the first counts.
    """
    root = Path(labels_dir)
    songs, keys = [], []
    for path in sorted(root.glob("*/human_label1.txt")):
        if song_ids is not None and path.parent.name not in song_ids:
            continue
        try:
            phrases = read_label(path.read_text(encoding="utf-8"))
            tempo = float((path.parent / "tempo.txt").read_text(encoding="utf-8"))
            keys.append(Key.parse((path.parent / "analyzed_key.txt").read_text(encoding="utf-8").split()[0]))
        except (OSError, ValueError, IndexError) as error:
            raise InputError(f"cannot learn from {path.parent}: {error}") from error
        if any(letter == "A" for letter, _ in phrases) and max(bars for _, bars in phrases) <= MAX_LENGTH:
            songs.append((phrases, tempo))
    if len(songs) < _NUM_FOLDS:
        raise InputError(
            f"found {len(songs)} labelled songs (NNN/human_label1.txt) in {root}: need {_NUM_FOLDS} or more"
        )
    tempos = Counter(_usual_tempo(tempo) for _, tempo in songs)
    return {
        "num_songs": len(songs),
        "model": _learn_model(songs),
        "shares": {
            "instrumental": _trend(songs, instrumental_share),
            "repeated": _trend(songs, repeated_share),
        },
        "tempos": {str(tempo): tempos[tempo] for tempo in sorted(tempos)},
        "keys": {
            mode: [sum(key == Key(tonic, is_minor) for key in keys) for tonic in range(12)]
            for mode, is_minor in (("major", False), ("minor", True))
        },
    }


def _trend(songs: Sequence[_Sample], share: Callable[[Sequence[tuple[str, int]]], float]) -> list[float]:
    """Return intercept, slope and residual standard deviation of a share of a song against ln(bars)."""
    log_bars = np.log([sum(bars for _, bars in phrases) for phrases, _ in songs])
    shares = np.array([share(phrases) for phrases, _ in songs])
    spread = np.var(log_bars)
    slope = np.cov(log_bars, shares, bias=True)[0, 1] / spread if spread else 0.0
    intercept = shares.mean() - slope * log_bars.mean()
    deviation = max(np.std(shares - intercept - slope * log_bars), 0.02)
    return [round(float(value), 4) for value in (intercept, slope, deviation)]


def _usual_tempo(tempo: float) -> int:
    if tempo < 50:
        tempo *= 2
    elif tempo > 150:
        tempo /= 2
    slowest, fastest = TEMPO_RANGE
    if tempo < slowest:
        tempo = 2 * slowest - tempo
    elif tempo > fastest:
        tempo = 2 * fastest - tempo
    return round(tempo)


def _events(songs: Iterable[_Sample]) -> Iterator[tuple[PhraseContext, str, int, float]]:
    """Yield the context, letter, length and tempo of every phrase."""
    for phrases, tempo in songs:
        num_bars = sum(bars for _, bars in phrases)
        for place, (letter, bars) in enumerate(phrases):
            yield phrase_context(phrases[:place], num_bars), letter, bars, tempo


def _count(songs: Sequence[_Sample]) -> tuple[list[dict[str, Counter[str]]], list[dict[str, Counter[str]]]]:
    """Return the letter tables and the length tables."""
    letters: list[dict[str, Counter[str]]] = []
    lengths: list[dict[str, Counter[str]]] = []

    def add(tables: list[dict[str, Counter[str]]], names: tuple[str, ...], value: str) -> None:
        while len(tables) < len(names):
            tables.append(defaultdict(Counter))
        for table, name in zip(tables, names, strict=True):
            table[name][value] += 1

    for context, letter, bars, tempo in _events(songs):
        add(letters, letter_keys(context), letter)
        if letter in "Xx" or letter not in context.lengths:
            add(lengths, length_keys(context, letter, tempo), str(bars))
    return letters, lengths


def _learn_model(songs: Sequence[_Sample]) -> dict[str, Any]:
    """Return the fields of a FormModel: counts of all songs, weights that fit songs left out of the counts."""
    uniform = {"*": [1.0]}
    letter_rows: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    length_rows: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    returns: list[tuple[str, str, NDArray[np.float64], NDArray[np.float64]]] = []
    for fold in range(_NUM_FOLDS):
        counted = [song for index, song in enumerate(songs) if index % _NUM_FOLDS != fold]
        held_out = FormModel(*_count(counted), uniform, uniform, uniform, {})
        for context, letter, bars, tempo in _events(songs[fold::_NUM_FOLDS]):
            letter_rows[letter_group(context)].append(held_out.letter_components(context)[:, LETTERS.index(letter)])
            fresh = held_out.length_components(context, letter, tempo)[:, bars]
            if letter in "Xx" or letter not in context.lengths:
                length_rows[letter].append(fresh)
            if letter in context.lengths:
                old = return_components(context, letter, np.zeros(MAX_LENGTH + 1))[:, bars]
                returns.append((return_group(context, letter), letter, old, fresh))
    length_weights = _weights(length_rows)
    return_rows: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for group, letter, old, fresh in returns:
        old[3] = fresh @ length_weights[letter]
        return_rows[group].append(old)
    letters, lengths = _count(songs)
    ends = Counter(phrases[-1][0] for phrases, _ in songs)
    totals = Counter(letter for phrases, _ in songs for letter, _ in phrases)
    return {
        "letter_tables": letters,
        "length_tables": lengths,
        "letter_weights": _weights(letter_rows),
        "length_weights": length_weights,
        "return_weights": _weights(return_rows),
        "end_share": {letter: round(ends[letter] / totals[letter], 5) for letter in LETTERS if totals[letter]},
    }


def _weights(rows: Mapping[str, Sequence[NDArray[np.float64]]]) -> dict[str, list[float]]:
    """Return interpolation weights by group (`*`: all events), fitted by expectation-maximisation.

    `rows` holds, by group, the probabilities that the components gave to each event, shape (num_components,).
    """

    def fit(events: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = prior
        for _ in range(_NUM_EM_STEPS):
            shares = events * weights
            shares /= np.maximum(shares.sum(1, keepdims=True), 1e-300)
            weights = shares.sum(0) + _PRIOR_EVENTS * prior
            weights = weights / weights.sum()
        return weights

    every = np.concatenate([np.array(group) for group in rows.values()])
    shared = fit(every, np.full(every.shape[1], 1 / every.shape[1]))
    fitted = {"*": shared} | {group: fit(np.array(rows[group]), shared) for group in sorted(rows)}
    return {group: [round(float(weight), 4) for weight in weights] for group, weights in fitted.items()}


def songs_in_four(beats_dir: str | os.PathLike[str]) -> set[str]:
    """Return the songs of POP909 whose `beat_audio.txt` counts mostly four beats to a bar."""
    found = set()
    for path in Path(beats_dir).glob("*/beat_audio.txt"):
        counts = [int(float(line.split()[1])) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        bars = Counter(last for last, first in pairwise(counts) if first == 1)
        if bars and bars.most_common(1)[0][0] == 4:
            found.add(path.parent.name)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn forms from the training songs in 4/4 of a folder of labels and write them as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("labels_dir", type=Path)
    parser.add_argument("--beats", type=Path, required=True, help="folder of POP909, to leave out songs not in 4/4")
    parser.add_argument("--out", type=Path, default=_OUT)
    options = parser.parse_args(arguments)
    song_ids = {song_id for song_id in songs_in_four(options.beats) if split_of(song_id) == "train"}
    learned = learn_forms(options.labels_dir, song_ids=song_ids)
    partial = options.out.with_suffix(".partial")
    partial.write_text(json.dumps(learned, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, options.out)


if __name__ == "__main__":
    main()
