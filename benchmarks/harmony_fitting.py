"""The weights of `analysis/half_bars` and `analysis/keys`, trained on the training songs of POP909.

Used by `benchmarks/harmony.py --fit`; needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pop909_pieces import VARIANTS, Piece, Segment, number_of, pitch_class_weights
from torch import nn

from songwright.analysis import half_bars as half_bars_module
from songwright.analysis.half_bars import HalfBars, measure_half_bars, song_presence
from songwright.analysis.keys import CHORD_FAMILY
from songwright.score.lead_sheet import QUALITIES, parse_chord

WEIGHTS = Path(half_bars_module.__file__).parents[1] / "weights" / "analysis"
NUM_HIDDEN, EPOCHS, BATCH = 12, 6, 512
ROTATION = (np.arange(12)[:, None] + np.arange(12)) % 12  # row: root; column: semitones above it


def half_bar_labels(segments: Sequence[Segment], half_bars: HalfBars) -> NDArray[np.int64]:
    """Return the number of the chord that fills over 60 % of each half bar, or -1."""
    names = list(QUALITIES)
    labels = np.full(len(half_bars.bar), -1)
    edges = half_bars.start_step
    for start, end, label in segments:
        chord = parse_chord(label)
        overlap = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
        if chord is not None:
            labels[overlap > 0.6 * np.diff(edges)] = chord.root * len(names) + names.index(chord.quality)
    return np.where(half_bars.is_sounding, labels, -1)


def fit_chords(pieces: Sequence[Piece]) -> None:
    inputs, seconds, targets = [], [], []
    for piece in pieces:
        for names in VARIANTS.values():
            halves = measure_half_bars(piece.part(names))
            label = half_bar_labels(piece.chords["finalized_chord"], halves)
            song = np.broadcast_to(song_presence(halves.presence), halves.presence.shape)
            values = np.stack([halves.presence, halves.bass, halves.early_presence, song], axis=1)
            inputs.append(values[label >= 0])
            seconds.append(halves.is_second[label >= 0].astype(np.float32))
            targets.append(label[label >= 0])
    x, second, y = (torch.from_numpy(np.concatenate(rows)) for rows in (inputs, seconds, targets))
    print(f"chords: {len(y)} half bars of {len(pieces)} songs, as {', '.join(VARIANTS)}")
    torch.manual_seed(0)
    hidden, output = nn.Linear(49, NUM_HIDDEN), nn.Linear(12 * NUM_HIDDEN, len(QUALITIES))
    parameters = [*hidden.parameters(), *output.parameters()]
    optimizer = torch.optim.AdamW(parameters, 3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 9e-3, EPOCHS * (len(y) // BATCH) + 1)
    rotation = torch.from_numpy(ROTATION)
    for epoch in range(EPOCHS):
        total = 0.0
        order = torch.randperm(len(y))
        for begin in range(0, len(y) - BATCH + 1, BATCH):
            rows = order[begin : begin + BATCH]
            tones = x[rows][:, :, rotation].permute(0, 2, 1, 3).flatten(2)  # (batch, root, 48)
            flag = second[rows][:, None, None].expand(-1, 12, -1)
            values = torch.relu(hidden(torch.cat([tones, flag], dim=2)))
            loss = nn.functional.cross_entropy(output(values[:, rotation].flatten(2)).flatten(1), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"chords: epoch {epoch + 1}, {total / (len(y) // BATCH):.3f} nats a half bar", flush=True)
    arrays = {
        "hidden": hidden.weight,
        "hidden_bias": hidden.bias,
        "output": output.weight.reshape(len(QUALITIES), 12, NUM_HIDDEN),
        "output_bias": output.bias,
    }
    np.savez(WEIGHTS / "harmony.npz", **{name: array.detach().numpy() for name, array in arrays.items()})


def fit_keys(pieces: Sequence[Piece]) -> None:
    songs = [piece for piece in pieces if len(piece.keys) == 1]
    rows, profiles = [], []
    for names in VARIANTS.values():
        for piece in songs:
            halves = measure_half_bars(piece.part(names))
            weight = np.diff(halves.start_step) * halves.is_sounding
            mean = np.tensordot(weight / weight.sum(), key_evidence(halves), axes=1)
            last = halves.bass[np.flatnonzero(halves.is_sounding)[-1]]
            rows.append(np.concatenate([mean, last[:, None]], axis=1))
            profiles.append(pitch_class_weights(piece.part(names))[:, None])
    target = np.array([number_of(piece.keys[0]) for piece in songs] * len(VARIANTS))
    tones, bias = fit_logistic(np.array(rows), target, decay=3e-4)
    profile, profile_bias = fit_logistic(np.array(profiles), target, decay=1e-4)
    np.savez(WEIGHTS / "keys.npz", tones=tones, bias=bias, profile=profile, profile_bias=profile_bias)
    print(f"keys: fitted on {len(songs)} songs, as {', '.join(VARIANTS)}")


def key_evidence(half_bars: HalfBars) -> NDArray[np.float32]:
    """Return what `find_keys` weighs in each half bar per pitch class: presence, bass, chords on it by family."""
    chords = np.exp(half_bars.chord_log_likelihoods).reshape(-1, 12, len(QUALITIES))
    families = chords @ np.eye(CHORD_FAMILY.max() + 1, dtype=np.float32)[CHORD_FAMILY]
    return np.concatenate([half_bars.presence[:, :, None], half_bars.bass[:, :, None], families], axis=2)


def fit_logistic(
    values: NDArray[Any], target: NDArray[np.int64], *, decay: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights (2 modes, 12 steps above the tonic, values) and biases, alike for the twelve tonics."""
    x = torch.from_numpy(values[:, ROTATION].astype(np.float32)).flatten(2)
    y = torch.from_numpy(target)
    model = torch.nn.Linear(x.shape[2], 2)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x).flatten(1), y) + decay * model.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return model.weight.detach().numpy().reshape(2, 12, -1), model.bias.detach().numpy()
