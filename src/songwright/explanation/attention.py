"""Which earlier bars each bar looked at: attention gathered by bar, what came through the copy gates, kinds of heads.

The shipped network takes from earlier bars in two ways. Its *attention* looks back over the tokens of its window; its
*references* (`tokens.references`) tell it what chosen earlier bars would write next, and a copy gate for each raises
that token. Attention shows the first way only. `looked_at` counts both: when the two bars that it names are silenced
(`explanation.sources`), a bar loses many times what it loses without the two that attention names alone
(benchmarks/looking.py).

Bars are counted from 0 in arrays and from 1 in words. Bars without melody have empty rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from songwright.composition.weights import find_style
from songwright.engine.attention import attend
from songwright.engine.weights_file import StoredWeights, read_weights
from songwright.errors import WeightsError
from songwright.explanation.copying import copied_nats
from songwright.explanation.likelihood import normal_sheet
from songwright.explanation.sources import place_of
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.lead_sheet import LeadSheet
from songwright.score.song import Song
from songwright.tokens.channels import NUM_REFERENCES, SongContext
from songwright.tokens.lead_sheet import BAR, BEAT_0, CHORD_0, PITCH_0, POS_0, VOCABULARY
from songwright.tokens.streams import lead_sheet_sequence

ATTENTION_WEIGHT = 0.3
"""Nats per note that the whole attention of a bar is worth beside the copy gates, in `looked_at`: chosen on 90 bars of
30 training songs, where from 0.1 to 1 the bars that are named are about equally faithful."""
MIN_SHARE = 0.05
"""Share of attention to earlier bars below which a bar is not worth naming."""
MIN_COPIED = 0.02
"""Nats per note below which a copy is not worth naming."""

HEAD_NAMES: Mapping[str, str] = {
    "repeats": "follows repeats",
    "chords": "reads chords",
    "time": "keeps time",
    "line": "continues the line",
    "other": "mixed",
}
"""What a head looks at, and how a head that looks at it far more than chance is called."""
_KINDS = tuple(HEAD_NAMES)
# A head has a kind when that takes at least this much more attention than of a head that looks everywhere alike.
_MIN_LIFT, _MIN_EXCESS = 1.5, 0.1
_CHORDS, _TIME, _NOTES = range(3)  # kinds of tokens


@dataclass(frozen=True)
class HeadKind:
    """What one head looks at while melody is written.

    Attributes
    ----------
    layer, head : int
        Counted from 1.
    name : str
        One of `HEAD_NAMES`.
    shares : dict
        Share of its attention by kind. In this bar and the one before: `chords` (chord and bass tokens), `time` (bar
        lines, beats, positions) and `line` (pitches and durations). `repeats`: the bar at the same place in the latest
        or the first earlier phrase of the letter, and those 2, 4 and 8 bars back. `other`: everything else.
    lifts : dict
        Each share over that of a head that looks everywhere alike; None where there is nothing of the kind.
    text : str
        In words.
    """

    layer: int
    head: int
    name: str
    shares: dict[str, float]
    lifts: dict[str, float | None]
    text: str


@dataclass(frozen=True)
class LookedAtBar:
    """An earlier bar and what a bar had from it.

    Attributes
    ----------
    bar : int
        Counted from 1.
    place : str
        Where it lies, such as `the same place in the first A`.
    attention : float
        Share of the attention that goes to earlier bars.
    copied_nats_per_note : float
        What its copy gates add to the log-probability of a note.
    """

    bar: int
    place: str
    attention: float
    copied_nats_per_note: float


@dataclass(frozen=True)
class BarAttention:
    """Where one bar looked.

    Attributes
    ----------
    bar : int
        Counted from 1.
    own_share, start_share : float or None
        Share of all attention that stays in the bar, or goes to the start of the song; None for a bar without melody.
    looked_at : tuple of LookedAtBar
        The earlier bars that matter most, the first the most.
    text : str
        In words.
    """

    bar: int
    own_share: float | None
    start_share: float | None
    looked_at: tuple[LookedAtBar, ...]
    text: str


@dataclass(frozen=True, eq=False)
class SongAttention:
    """Where every bar of a song looked.

    Attributes
    ----------
    sheet : LeadSheet
    by_bar : ndarray of float64, shape (num_bars, num_bars)
        Row: the bar being written; column: the earlier bar. Share of the attention that goes to earlier bars, mean over
        layers and heads and over the steps that predict the bar's notes; a row sums to 1, or 0 if it looked at none.
    own_share, start_share : ndarrays of float64, shape (num_bars,)
        Share of all attention that stays in the bar, and that goes to the token before the first bar.
    copied : ndarray of float64, shape (num_bars, num_bars)
        Nats per note that the copy gates of an earlier bar add to the log-probability (`explanation.copying`).
    copied_by_reference : ndarray of float64, shape (num_bars, NUM_REFERENCES)
        The same by reference: the latest and the first phrase of the letter, then 1, 2, 4 and 8 bars back.
    has_melody : ndarray of bool, shape (num_bars,)
    heads : tuple of HeadKind
        By layer, then head; empty for a song without melody.
    """

    sheet: LeadSheet
    by_bar: NDArray[np.float64]
    own_share: NDArray[np.float64]
    start_share: NDArray[np.float64]
    copied: NDArray[np.float64]
    copied_by_reference: NDArray[np.float64]
    has_melody: NDArray[np.bool_]
    heads: tuple[HeadKind, ...]

    @property
    def looked_at(self) -> NDArray[np.float64]:
        """Both ways in one score, shape (num_bars, num_bars); see `looked_at`."""
        earlier_share = np.maximum(1 - self.own_share - self.start_share, 0)
        score = np.maximum(self.copied, 0) + ATTENTION_WEIGHT * earlier_share[:, None] * self.by_bar
        return score * self.has_melody

    def bar(self, bar: int, *, count: int = 2) -> BarAttention:
        """Return where one bar, from 0, looked: at most `count` earlier bars with melody, in words too."""
        number = bar + 1
        if not self.has_melody[bar]:
            return BarAttention(number, None, None, (), f"Bar {number} has no melody.")
        score = self.looked_at[bar]
        named = tuple(
            LookedAtBar(
                other + 1,
                place_of(self.sheet.form, bar, other),
                float(self.by_bar[bar, other]),
                float(self.copied[bar, other]),
            )
            for other in np.argsort(-score, kind="stable")[:count].tolist()
            if self.copied[bar, other] >= MIN_COPIED or (score[other] > 0 and self.by_bar[bar, other] >= MIN_SHARE)
        )
        own, start = float(self.own_share[bar]), float(self.start_share[bar])
        return BarAttention(number, own, start, named, _bar_text(number, named))


def looked_at(music: Song | LeadSheet, network: StoredWeights | None = None) -> NDArray[np.float64]:
    """Return how much each bar had from each earlier bar: copy gates and attention in one score.

    Parameters
    ----------
    music : Song or LeadSheet
        In any key.
    network : StoredWeights, optional
        Of the lead sheet stream; the shipped pop weights if not given.

    Returns
    -------
    ndarray of float64, shape (num_bars, num_bars)
        Row: the bar; column: the earlier bar. Nats per note through the copy gates, where positive, and
        `ATTENTION_WEIGHT` times the share of all attention. 0 from bars without melody.

    Raises
    ------
    InputError
        If the song has no chords, or notes that a lead sheet cannot have.
    WeightsError
        If the weights are missing or damaged, or belong to another vocabulary.
    """
    return song_attention(music, network).looked_at


def song_attention(music: Song | LeadSheet, network: StoredWeights | None = None) -> SongAttention:
    """Return where every bar of a song looked; parameters and errors are those of `looked_at`."""
    normal = normal_sheet(music)
    network = network or lead_sheet_weights()
    tokens, channels, hints = lead_sheet_sequence(normal)
    tokens, targets = tokens[:-1].astype(np.int64), tokens[1:].astype(np.int64)
    channels, hints = channels[:-1], hints[:-1].astype(np.int64)
    num_bars = normal.num_bars
    bar = np.cumsum(tokens == BAR) - 1  # -1 for the token before the first
    notes = np.bincount(normal.melody["onset_step"] // STEPS_PER_BAR, minlength=num_bars)
    # The steps that decide a bar's notes: onsets, pitches, durations, and the bar line instead of a further note.
    decides = ((targets >= POS_0) | (targets < BEAT_0)) & (bar >= 0)
    rows = np.where(decides & (notes[bar] > 0), bar, -1)
    kind = np.where(tokens >= PITCH_0, _NOTES, np.where((tokens >= CHORD_0) & (tokens < POS_0), _CHORDS, _TIME))
    found = attend(
        network,
        tokens,
        channels,
        hints,
        np.where(bar < 0, 0, 1 + 3 * bar + kind),
        rows=rows,
        num_groups=1 + 3 * num_bars,
        num_rows=num_bars,
    )
    mean = found.shares.mean(axis=(0, 1), dtype=np.float64)
    by_bar = mean[:, 1:].reshape(num_bars, num_bars, 3).sum(axis=2)
    own = by_bar.diagonal().copy()
    np.fill_diagonal(by_bar, 0)
    earlier = by_bar.sum(axis=1, keepdims=True)

    nats = copied_nats(found.logits[decides], found.gates[decides], hints[decides], targets[decides])
    by_reference = np.zeros((num_bars, NUM_REFERENCES))
    np.add.at(by_reference, bar[decides], nats)
    by_reference[notes == 0] = 0
    by_reference /= np.maximum(notes, 1)[:, None]
    references = np.array(SongContext(normal.form, normal.key, normal.tempo_qpm).reference_bars)
    copied = np.zeros((num_bars, num_bars))
    for bars, values in zip(references.T, by_reference.T, strict=True):
        copied[bars >= 0, bars[bars >= 0]] += values[bars >= 0]

    sheet = music.lead_sheet if isinstance(music, Song) else music
    by_bar = np.divide(by_bar, earlier, out=np.zeros_like(by_bar), where=earlier > 0)
    steps = np.bincount(rows[rows >= 0], minlength=num_bars)
    heads = _head_kinds(found.shares, found.uniform, references, steps)
    return SongAttention(sheet, by_bar, own, mean[:, 0], copied, by_reference, notes > 0, heads)


def lead_sheet_weights(style: str = "pop", *, precision: str = "int8", path: Path | None = None) -> StoredWeights:
    """Return the weights of a style's lead sheet network, or of another file of exported weights.

    Raises
    ------
    ConfigError
        If the style is unknown.
    WeightsError
        If the weights are missing or damaged, or belong to another vocabulary.
    """
    path = path or find_style(style).weights("lead_sheet", precision)
    weights = read_weights(path)
    if weights.metadata.get("fingerprint") != VOCABULARY.fingerprint:
        raise WeightsError(f"{path}: trained with another vocabulary; use the weights of this version or train again")
    return weights


def _head_kinds(
    shares: NDArray[np.float32], uniform: NDArray[np.float32], references: NDArray[np.int64], steps: NDArray[np.int64]
) -> tuple[HeadKind, ...]:
    """Return the kind of each head.

    Parameters
    ----------
    shares : ndarray, shape (num_layers, num_heads, num_bars, 1 + 3 * num_bars)
        Groups: the start, then chords, time and notes of each bar.
    uniform : ndarray, shape (num_bars, 1 + 3 * num_bars)
    references : ndarray of int, shape (num_bars, NUM_REFERENCES)
        Earlier bars, -1 for none.
    steps : ndarray of int, shape (num_bars,)
        Steps that were averaged in each row.
    """
    num_bars = len(references)
    if not steps.any():
        return ()
    kind = np.empty((num_bars, num_bars, 3), dtype=np.int64)
    kind[:] = _KINDS.index("other")
    rows = np.arange(num_bars)
    for bars in references.T:
        kind[rows[bars >= 0], bars[bars >= 0]] = _KINDS.index("repeats")
    for back in (0, 1):
        near = [_KINDS.index(name) for name in ("chords", "time", "line")]
        kind[rows[back:], rows[: num_bars - back]] = near
    kind = np.concatenate([np.full((num_bars, 1), _KINDS.index("other")), kind.reshape(num_bars, -1)], axis=1)
    weight = steps / steps.sum()

    def by_kind(table: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.array([(table * weight[:, None])[kind == place].sum() for place in range(len(_KINDS))])

    chance = by_kind(uniform)
    return tuple(
        _head_kind(layer, head, by_kind(shares[layer, head]), chance)
        for layer in range(shares.shape[0])
        for head in range(shares.shape[1])
    )


def _head_kind(layer: int, head: int, share: NDArray[np.float64], chance: NDArray[np.float64]) -> HeadKind:
    """Return the kind of one head from its shares and those of chance, shape (kinds,)."""
    lift = np.divide(share, chance, out=np.zeros_like(share), where=chance > 0)
    excess = np.where(lift >= _MIN_LIFT, share - chance, 0)[: _KINDS.index("other")]
    found = int(excess.argmax())
    is_mixed = excess[found] < _MIN_EXCESS
    name = HEAD_NAMES["other" if is_mixed else _KINDS[found]]
    text = f"Layer {layer + 1}, head {head + 1}: {name}"
    if not is_mixed:
        text += f", with {share[found]:.0%} of its attention, {lift[found]:.1f} times chance"
    return HeadKind(
        layer + 1,
        head + 1,
        name,
        {kind: float(value) for kind, value in zip(_KINDS, share, strict=True)},
        {kind: float(lift[i]) if chance[i] > 0 else None for i, kind in enumerate(_KINDS)},
        f"{text}.",
    )


def _bar_text(number: int, named: tuple[LookedAtBar, ...]) -> str:
    if not named:
        return f"Bar {number} looked at no earlier bar in particular."
    parts: list[str] = []
    for other in named:
        part = f"bar {other.bar} ({other.place}"
        if other.copied_nats_per_note >= MIN_COPIED:
            part += f"; copying from it makes each note {_times(other.copied_nats_per_note)} as likely"
        parts.append(f"{part})")
    return f"Bar {number} looked most at {' and '.join(parts)}."


def _times(nats: float) -> str:
    factor = float(np.exp(min(nats, 50.0)))
    return f"{factor:.2f} times" if factor < 2 else f"{factor:.1f} times" if factor < 10 else f"{factor:.3g} times"
