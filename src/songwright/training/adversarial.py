"""What the adversarial pair of `model.dcgan` learns, how its bars are judged, and melodies from it.

Bars come from `training.bars`, in C major or A minor. The pair has no likelihood, so validation compares its bars with
held-out ones by what can be counted in them; such figures cannot be set beside another family's nats a note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from songwright.errors import ConfigError, InputError
from songwright.model.config import DcganConfig
from songwright.model.dcgan import Dcgan, Verdicts
from songwright.preparation.shards import data_fingerprint, open_shard
from songwright.score.lead_sheet import ChordChange
from songwright.score.pitch import MAJOR_STEPS, Key
from songwright.tokens.lead_sheet import VOCABULARY
from songwright.training.bars import (
    NUM_STEPS,
    BarSampler,
    bar_batch,
    bar_chroma,
    melody_of_steps,
    read_bars,
    rolls,
    steps_of_rolls,
)
from songwright.training.checkpoints import read_checkpoint
from songwright.training.config import TrainingConfig
from songwright.training.networks import load_config
from songwright.training.task import Sampler, TensorBatch

MAX_VALIDATED = 2000
"""Held-out bars that the generator's are compared with."""
_WIDEST_INTERVAL = 12


def discriminator_loss(verdicts: Verdicts) -> Tensor:
    """Return Σ -log σ(real) - log(1 - σ(made)) over the bars of a batch [1]_, σ the logistic function.

    References
    ----------
    .. [1] Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, equation 1.
    """
    return F.softplus(-verdicts.real).sum() + F.softplus(verdicts.made).sum()


def generator_loss(verdicts: Verdicts) -> Tensor:
    """Return Σ -log σ(contested) over the bars of a batch: the non-saturating loss [1]_.

    log(1 - σ) has the same fixed point, and almost no gradient where the discriminator is sure.

    References
    ----------
    .. [1] Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, section 3.
    """
    return F.softplus(-verdicts.contested).sum()


def matching_loss(real: Tensor, made: Tensor) -> Tensor:
    """Return N ‖mean(real) - mean(made)‖² of N bars each: feature matching [1]_.

    Means are over the part of a batch that is read at once, so this one loss depends, a little, on its size.

    Parameters
    ----------
    real, made : Tensor, shape (batch, ...)

    References
    ----------
    .. [1] Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, section 3.1; MidiNet (Yang, Chou and
       Yang, ISMIR 2017) matches the bars themselves too.
    """
    return len(real) * (real.mean(dim=0) - made.mean(dim=0)).square().sum()


class AdversarialTask:
    """Bars that a discriminator takes for real ones; a `training.task.Task`.

    Parameters
    ----------
    config : TrainingConfig
        Whose network is a DcganConfig.
    corpus : Path
        A prepared corpus.

    Raises
    ------
    ConfigError
        If the stream is not `lead_sheet`, or weights are to be spread over processes.
    InputError
        If the corpus is missing or damaged, or a split of it has no melody.
    """

    criterion = "distance"

    def __init__(self, config: TrainingConfig, corpus: Path) -> None:
        if config.stream != "lead_sheet":
            raise ConfigError(f'a dcgan learns from stream = "lead_sheet", not {config.stream!r}')
        if config.distribution != "ddp":
            raise ConfigError('a dcgan judges with weights held constant, which needs them whole: distribution = "ddp"')
        self.config = cast(DcganConfig, config.network)
        shards = tuple(
            open_shard(corpus, config.stream, split, sources=config.sources) for split in ("train", "validation")
        )
        if not all(len(shard) for shard in shards):
            raise InputError(f"{corpus}: no melodies to train on or to validate with; prepare a larger corpus")
        bars, self._held_out = (read_bars(shard) for shard in shards)
        self.network: nn.Module = Dcgan(self.config)
        self.sampler: Sampler = BarSampler(
            bars, batch_size=config.batch_size, latent_dim=self.config.latent_dim, seed=config.seed
        )
        self.vocabulary_fingerprint = VOCABULARY.fingerprint
        self.data_fingerprint = data_fingerprint(*shards)

    def loss(self, network: nn.Module, batch: TensorBatch, *, progress: float) -> tuple[Tensor, Tensor]:
        """Return (sum, count) over the bars of a part of a batch, both networks' losses in one.

        Its gradient for the discriminator is that of `discriminator_loss` alone, its gradient for the generator that
        of `generator_loss` and what is matched: see `model.dcgan.Dcgan`.
        """
        verdicts: Verdicts = network(*batch)
        total = discriminator_loss(verdicts) + generator_loss(verdicts)
        total = total + self.config.feature_weight * matching_loss(verdicts.real_features, verdicts.contested_features)
        # Rows one by one say little of how much sounds: a rest is missing from each of 48 by a few percent.
        for real, made in ((batch[0], verdicts.rolls), (batch[0].sum(dim=-1), verdicts.rolls.sum(dim=-1))):
            total = total + self.config.roll_weight * matching_loss(real, made)
        return total, torch.tensor(len(batch[0]))

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return how far made bars are from held-out ones, made after the same bars and to the same chords.

        Returns
        -------
        dict
            distance : mean of the distances below, 0 to 1; two real sets of this size are 0.03 to 0.04 apart.
            distance_NAME : `distances` of each of `bar_distributions`.
            notes_per_bar : notes that start in a made bar.
            distinct : share of made bars that differ from all others.
            told_apart : share of bars, made and held-out, that the discriminator is right about; 0.5 is a guess.
        """
        dcgan = cast(Dcgan, network.eval())
        bars, numbers = self._held_out, self._held_out.with_notes()
        numbers = numbers[np.linspace(0, len(numbers) - 1, min(len(numbers), MAX_VALIDATED)).astype(np.int64)]
        latents = np.random.default_rng(0).standard_normal((len(numbers), self.config.latent_dim), np.float32)
        batch = tuple(tensor.to(device) for tensor in bar_batch(bars, numbers, latents))
        verdicts = dcgan(*batch)
        row, starts = steps_of_rolls(verdicts.rolls.float().cpu().numpy())
        chroma = bars.chroma[numbers]
        found = distances(
            bar_distributions(row, starts, chroma), bar_distributions(bars.row[numbers], bars.starts[numbers], chroma)
        )
        right = torch.cat([verdicts.real > 0, verdicts.made < 0]).float().mean()
        return {
            "distance": float(np.mean(list(found.values()))),
            **{f"distance_{name}": value for name, value in found.items()},
            "notes_per_bar": float(starts.sum(axis=1).mean()),
            "distinct": len(np.unique(np.concatenate([row, starts], axis=1), axis=0)) / len(row),
            "told_apart": float(right),
        }


def bar_distributions(
    row: NDArray[np.integer], starts: NDArray[np.bool_], chroma: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    """Return what is counted in bars, each as shares that sum to 1 (or zeros, where there is nothing to count).

    Parameters
    ----------
    row : ndarray of int, shape (num_bars, 16)
        What sounds at each step, -1 for silence.
    starts : ndarray of bool, shape (num_bars, 16)
    chroma : ndarray of float, shape (num_bars, 12)

    Returns
    -------
    dict
        notes : bars with 0 to 16 notes.
        sounding : bars with 0 to 16 steps at which something sounds.
        onset : notes that start at each step.
        pitch_class : notes of each pitch class.
        interval : semitones from a note to the next of its bar, -12 to 12; wider ones count as those.
        in_scale : notes outside and inside C major.
        in_chord : notes outside and inside the chord, or any of the bar's chords.
    """
    bar, step = np.nonzero(starts)
    pitch = row[bar, step].astype(np.int64)
    pitch_class = pitch % 12  # row 0 is a C
    interval = np.clip(np.diff(pitch), -_WIDEST_INTERVAL, _WIDEST_INTERVAL)[np.diff(bar) == 0]
    return {
        "notes": _shares(starts.sum(axis=1), NUM_STEPS + 1),
        "sounding": _shares((row >= 0).sum(axis=1), NUM_STEPS + 1),
        "onset": _shares(step, NUM_STEPS),
        "pitch_class": _shares(pitch_class, 12),
        "interval": _shares(interval + _WIDEST_INTERVAL, 2 * _WIDEST_INTERVAL + 1),
        "in_scale": _shares(np.isin(pitch_class, MAJOR_STEPS), 2),
        "in_chord": _shares(chroma[bar, pitch_class] > 0, 2),
    }


def _shares(values: NDArray[np.generic], size: int) -> NDArray[np.float64]:
    return np.bincount(values.astype(np.int64), minlength=size) / max(len(values), 1)


def distances(made: Mapping[str, NDArray[np.float64]], real: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Return the total-variation distance of each distribution, 0 (the same) to 1 (nothing in common).

    It is the share that would have to move, Σ |p - q| / 2; 1 where there was nothing to count.
    """
    return {name: float(1 - np.minimum(made[name], real[name]).sum()) for name in real}


def load_dcgan(path: Path) -> Dcgan:
    """Return the averaged pair of a checkpoint, ready to write.

    Raises
    ------
    InputError
        If the file is missing or damaged, of another version or of another family.
    """
    config = load_config(path).network
    if not isinstance(config, DcganConfig):
        raise InputError(f"{path}: a {config.family}, not a dcgan; name a checkpoint of configs/dcgan.toml")
    network = Dcgan(config)
    try:
        network.load_state_dict(read_checkpoint(path)["average"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"{path}: no checkpoint of this version of songwright; train anew") from error
    return network.eval()


@torch.no_grad()
def compose_melody(
    network: Dcgan,
    chords: Sequence[ChordChange],
    *,
    key: Key,
    num_bars: int,
    rng: np.random.Generator,
    threshold: float = 0.5,
    is_sung: Sequence[bool] | None = None,
) -> NDArray[np.void]:
    """Return a melody over chords, bar after bar, each after the one before.

    Parameters
    ----------
    network : Dcgan
        In evaluation mode, on the CPU.
    chords : sequence of ChordChange
        In the song's key.
    key : Key
        The bars are made in C major or A minor and moved to it.
    num_bars : int
    rng : numpy Generator
        A bar takes `latent_dim` normal numbers from it, a silent one too.
    threshold : float
        A note starts where the probability that one does is above this: a higher one ties more repeated notes.
    is_sung : sequence of bool, optional
        Whether each bar has a melody; all have by default.

    Returns
    -------
    ndarray of GRID_NOTE_DTYPE
        One voice.
    """
    semitones = key.semitones_to_normal
    normal = [ChordChange(onset, chord.transpose(semitones)) for onset, chord in chords]
    chroma = torch.from_numpy(bar_chroma(normal, num_bars))
    row = np.full((num_bars + 1, NUM_STEPS), -1, np.int8)  # a silent bar comes first
    starts = np.zeros((num_bars + 1, NUM_STEPS), np.bool_)
    for bar in range(1, num_bars + 1):
        latents = torch.from_numpy(rng.standard_normal((1, network.config.latent_dim), np.float32))
        if is_sung is not None and not is_sung[bar - 1]:
            continue
        previous = torch.from_numpy(rolls(row[bar - 1 : bar], starts[bar - 1 : bar]))
        made = network.write_bars(previous, chroma[bar - 1 : bar], latents, threshold=threshold)
        row[bar : bar + 1], starts[bar : bar + 1] = steps_of_rolls(made.numpy())
    melody = melody_of_steps(row[1:], starts[1:])
    melody["pitch"] -= semitones
    return melody
