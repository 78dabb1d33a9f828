"""Learn the weights of `analysis.meter` and the constants of `analysis.beats` and `analysis.pulse`: see `beats.py`.

Everything is learned on the training split of POP909. The network of `meter.npz` is a conditional random field: the
state is the beat in the bar, of three or four; emissions (downbeat odds) and the score of a bar that ends early come
from one hidden layer with a skip connection; the loss is the negative log-likelihood of the labelled bars among all
paths of both metres. Several small networks, of different seeds, are averaged into one. Needs torch; three minutes on
one core.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from bar_lines import Reference, load
from numpy.typing import NDArray

import songwright.analysis.beats as beats_module
import songwright.analysis.pulse as pulse_module
from songwright.analysis import meter
from songwright.corpus.pop909 import song_ids
from songwright.corpus.splits import split_of
from songwright.score.timeline import seconds_to_ticks

NUM_NETWORKS = 4
"""Networks of the average, one of each seed from 0."""
NUM_HIDDEN, DROPOUT, NUM_EPOCHS = 24, 0.4, 12
JUMP_BONUS = 2.0
"""Summand on the scores of short bars in the search: chosen for F by cross-validation within the training split."""
_BATCH, _RATE, _DECAY = 32, 3e-3, 0.1
_NEVER = -1e4


class Example(NamedTuple):
    """`inputs` (num_beats, taps * features), `states` beat in the bar of each beat, `size` beats a bar."""

    inputs: torch.Tensor
    states: torch.Tensor
    size: int


def fit(data: Path, perform: Callable[[Reference, np.random.Generator], Reference]) -> None:
    """Learn everything; write `meter.npz` and print the constants."""
    torch.set_num_threads(1)
    ids = [song_id for song_id in song_ids(data / "POP909") if split_of(song_id) == "train"]
    songs = [song for song in (load(data, song_id) for song_id in ids) if song is not None]
    print(f"{len(songs)} songs")
    print("_BEAT_WEIGHTS", _fit_beat_phase(songs))
    examples = [example for example in map(_example, songs) if example is not None]
    deviation, mean = torch.std_mean(torch.cat([example.inputs for example in examples]), dim=0)
    deviation = deviation + 1e-6
    scaled = [example._replace(inputs=(example.inputs - mean) / deviation) for example in examples]
    networks = [_train(scaled, seed) for seed in range(NUM_NETWORKS)]
    target = Path(meter.__file__).parents[1] / "weights" / "analysis" / "meter.npz"
    np.savez(target, **_folded(networks, mean.numpy(), deviation.numpy()))
    print(f"wrote {target}")
    meter._weights.cache_clear()
    print("confidence offset and slope", _fit_confidence(songs[::3]))
    print(
        "_OCTAVE_WEIGHTS", _fit_octave([perform(song, np.random.default_rng(i)) for i, song in enumerate(songs[::4])])
    )


def _pulse(song: Reference) -> tuple[Any, Any, NDArray[np.float32]] | None:
    onsets = np.unique(np.concatenate([track.notes["onset_tick"] for track in song.score.tracks]))
    pulse = pulse_module.file_pulse(song.score, onsets)
    if pulse is None:
        return None
    notes = beats_module._notes_on_pulse(song.score, song.roles, pulse)
    return pulse, notes, meter.pulse_features(notes, len(pulse.ticks), pulse.division)


def _bar_pulses(song: Reference, pulse: Any) -> NDArray[np.int64]:
    ticks = seconds_to_ticks(song.score, song.on_beats)
    return np.rint(np.interp(ticks, pulse.ticks, np.arange(len(pulse.ticks)))).astype(np.int64)


def _example(song: Reference) -> Example | None:
    made = _pulse(song)
    if made is None:
        return None
    pulse, notes, features = made
    bars = _bar_pulses(song, pulse)
    phase = int(bars[len(bars) // 2]) % pulse.division
    beats = np.arange(phase, len(pulse.ticks), pulse.division)
    beats = beats[(beats > notes.onset.min() - pulse.division) & (beats <= notes.onset.max() + pulse.division)]
    starts = set(np.rint((bars - beats[0]) / pulse.division).astype(int).tolist())
    size, states = song.beats_per_bar, []
    state = -min((start for start in starts if start >= 0), default=0) % size - 1
    for beat in range(len(beats)):
        state = 0 if beat in starts else (state + 1) % size
        states.append(state)
    inputs = meter.tap_features(features, beats, pulse.division)
    return Example(torch.from_numpy(inputs), torch.tensor(states), size)


class Network(torch.nn.Module):
    """Odds of a downbeat, and of a bar that ends early, from what is around a beat."""

    def __init__(self, num_inputs: int, num_hidden: int, dropout: float) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(num_inputs, num_hidden)
        self.out = torch.nn.Linear(num_hidden, 2)
        self.skip = torch.nn.Linear(num_inputs, 1, bias=False)
        self.skip.weight.data.zero_()
        self.dropout = torch.nn.Dropout(dropout)
        self.kept = 1 - dropout
        self.jump = torch.nn.Parameter(torch.tensor([[-5.0, -4.0, -5.0], [-6.0, -6.0, -6.0]]))
        self.prior = torch.nn.Parameter(torch.tensor(-1.0))  # of three beats a bar

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the two scores of each beat. In training, inputs are left out for a whole song at a time."""
        if self.training:
            inputs = inputs * ((torch.rand(len(inputs), 1, inputs.shape[-1]) < self.kept) / self.kept)
        scores = self.out(self.dropout(torch.relu(self.hidden(inputs))))
        return scores[..., 0] + self.skip(inputs)[..., 0], scores[..., 1]


def _product(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return products of matrices of logarithms."""
    left, right = first.amax(-1, keepdim=True), second.amax(-2, keepdim=True)
    return torch.log(((first - left).exp() @ (second - right).exp()).clamp_min(1e-12)) + left + right


def _log_partition(
    downbeat: torch.Tensor, early: torch.Tensor, mask: torch.Tensor, size: int, jump: torch.Tensor
) -> torch.Tensor:
    """Return the log of the summed exponentials of the scores of all paths, shape (batch,).

    The transition matrices of all beats are multiplied as a tree, which costs few steps.
    """
    steps = torch.full((*downbeat.shape, size, size), _NEVER)
    for state in range(size - 1):
        steps[:, :, state, state + 1] = 0
        steps[:, :, state, 0] = downbeat + early + jump[state]
    steps[:, :, size - 1, 0] = downbeat
    stay = torch.full((size, size), _NEVER).fill_diagonal_(0)
    steps = torch.where(mask[:, :, None, None], steps, stay)[:, 1:]
    while steps.shape[1] > 1:
        if steps.shape[1] % 2:
            steps = torch.cat([steps, stay.expand(len(steps), 1, size, size)], 1)
        steps = _product(steps[:, ::2], steps[:, 1::2])
    values = torch.cat([downbeat[:, :1], torch.zeros(len(downbeat), size - 1)], 1)
    return (values[:, :, None] + steps[:, 0]).logsumexp((1, 2))


def _path_score(
    downbeat: torch.Tensor, early: torch.Tensor, mask: torch.Tensor, states: torch.Tensor, size: int, jump: torch.Tensor
) -> torch.Tensor:
    before, after = states[:, :-1], states[:, 1:]
    is_early = (after == 0) & (before != size - 1) & mask[:, 1:]
    padded = torch.cat([jump[: size - 1], torch.zeros(4)])
    return (downbeat * (states == 0) * mask).sum(1) + (is_early * (padded[before] + early[:, 1:])).sum(1)


def _loss(network: Network, batch: list[Example]) -> torch.Tensor:
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = pad([example.inputs for example in batch], batch_first=True)
    states = pad([example.states for example in batch], batch_first=True)
    mask = pad([torch.ones(len(example.states)) for example in batch], batch_first=True) > 0
    downbeat, early = network(inputs)
    downbeat, early = downbeat * mask, early * mask
    totals = [_log_partition(downbeat, early, mask, size, network.jump[4 - size]) for size in (4, 3)]
    paths = [_path_score(downbeat, early, mask, states, size, network.jump[4 - size]) for size in (4, 3)]
    is_four = torch.tensor([example.size == 4 for example in batch])
    right = torch.where(is_four, paths[0], paths[1] + network.prior)
    return (torch.logaddexp(totals[0], totals[1] + network.prior) - right).mean() / 50


def _train(examples: list[Example], seed: int) -> Network:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Network(examples[0].inputs.shape[1], NUM_HIDDEN, DROPOUT)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    per_epoch = -(-len(examples) // _BATCH)
    total, step = NUM_EPOCHS * per_epoch, 0
    for epoch in range(NUM_EPOCHS):
        order = np.argsort([len(example.states) + 20 * rng.normal() for example in examples])
        batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
        losses: list[float] = []
        for index in rng.permutation(len(batches)):
            optimizer.param_groups[0]["lr"] = _RATE * min(1, (step + 1) / 10) * (1 - step / total) + 1e-5
            step += 1
            optimizer.zero_grad()
            loss = _loss(network, [examples[i] for i in batches[index]])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
        print(f"  epoch {epoch}: {np.mean(losses):.3f}", flush=True)
    return network


def _folded(networks: list[Network], mean: NDArray[Any], deviation: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """Return the average of the networks as one, for inputs that are not standardised."""
    parts = [{name: value.numpy() for name, value in network.state_dict().items()} for network in networks]
    hidden = [part["hidden.weight"].T / deviation[:, None] for part in parts]
    skip = [part["skip.weight"][0] / deviation for part in parts]
    folded = {
        "hidden_weight": np.concatenate(hidden, axis=1),
        "hidden_bias": np.concatenate([p["hidden.bias"] - mean @ w for p, w in zip(parts, hidden, strict=True)]),
        "out_weight": np.concatenate([part["out.weight"].T for part in parts]) / len(parts),
        "out_bias": np.mean([part["out.bias"] for part in parts], axis=0),
        "skip_weight": np.mean(skip, axis=0),
        "jump_4": np.mean([part["jump"][0] for part in parts], axis=0) + JUMP_BONUS,
        "jump_3": np.mean([part["jump"][1][:2] for part in parts], axis=0) + JUMP_BONUS,
        "prior_3": np.mean([part["prior"] for part in parts]),
    }
    folded["out_bias"][0] -= mean @ folded["skip_weight"]
    return {name: np.asarray(value, dtype=np.float32) for name, value in folded.items()}


def _choice(features: NDArray[np.float64], right: NDArray[np.int64], penalty: float) -> list[float]:
    """Return the weights of a linear choice among rows: features (num, choices, features), right (num,)."""
    scale = features.reshape(-1, features.shape[-1]).std(axis=0) + 1e-9
    inputs, target = torch.from_numpy(features / scale), torch.from_numpy(right)
    weights = torch.zeros(features.shape[-1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ weights, target) + penalty * (weights**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType]
    return [round(value, 2) for value in (weights.detach().numpy() / scale).tolist()]


def _fit_beat_phase(songs: list[Reference]) -> dict[str, tuple[float, float]]:
    names = list(meter._BEAT_WEIGHTS)
    columns = [meter.FEATURES.index(name) for name in names]
    rows: list[NDArray[np.float64]] = []
    for song in songs:
        made = _pulse(song)
        if made is None or made[0].division != 4:
            continue
        pulse, _, features = made
        folded = features[: len(features) // 4 * 4, columns].reshape(-1, 4, len(columns))
        mean = folded[folded[:, :, 0].any(axis=1)].mean(axis=0)
        mean = np.roll(mean, -(int(_bar_pulses(song, pulse)[0]) % 4), axis=0)
        rows.append(np.concatenate([mean, np.roll(mean, -2, axis=0)], axis=1))
    weights = _choice(np.array(rows, dtype=np.float64), np.zeros(len(rows), dtype=np.int64), 1e-3)
    return {name: (weights[i], weights[i + len(names)]) for i, name in enumerate(names)}


def _fit_confidence(songs: list[Reference]) -> list[float]:
    from beats import f_measure, grid_times, span

    margins: list[Any] = []
    original = beats_module.find_bars

    def spy(downbeat: NDArray[np.float64], early: NDArray[np.float64]) -> meter.Bars:
        bars = original(downbeat, early)
        margins.append(bars.margin)
        return bars

    beats_module.find_bars = spy
    right: list[int] = []
    for song in songs:
        before = len(margins)
        grid = beats_module.find_beats(song.score, song.roles)
        if grid is None or len(margins) == before:
            del margins[before:]
            continue
        right.append(int(f_measure(song.on_beats, grid_times(song.score, grid)[1], span(song.score)) > 0.9))
    beats_module.find_bars = original
    rows = np.zeros((len(right), 2, 2))
    rows[:, 1, 0], rows[:, 1, 1] = 1, margins
    return _choice(rows, np.array(right), 1e-4)


def _fit_octave(songs: list[Reference]) -> list[float]:
    seen: list[tuple[NDArray[np.float64], float]] = []
    original = pulse_module.octave_features

    def spy(hertz: float, counts: NDArray[np.float64], sizes: NDArray[np.float64], division: int) -> Any:
        features = original(hertz, counts, sizes, division)
        seen.append((features, hertz))
        return features

    pulse_module.octave_features = spy
    rows: list[NDArray[np.float64]] = []
    right: list[int] = []
    for song in songs:
        seen.clear()
        pulse_module.track_pulse(
            song.score, np.unique(np.concatenate([track.notes["onset_tick"] for track in song.score.tracks]))
        )
        octave = float(np.log2(seen[0][1] * np.median(np.diff(song.beats)))) if seen else 9.0
        if abs(octave - round(octave)) < 0.1 and abs(round(octave)) <= 1:
            rows.append(seen[0][0])
            right.append(round(octave) + 1)
    pulse_module.octave_features = original
    return _choice(np.array(rows), np.array(right), 3e-3)
