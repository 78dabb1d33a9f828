"""An adversarial pair of convolutional networks that writes melodies bar by bar, in one readable file.

Knows tensors only. Axes: `batch`, `layers` (starts, sounds), `steps` (sixteenths of a bar), `rows` (pitches),
`channels`.

A *generator* makes a bar's piano roll from random numbers, the bar before and the chord; a *discriminator* tells its
bars from real ones [1]_. Both are convolutions over time, strided instead of pooled [2]_, whose first or last layer
spans all pitches, and the bar before is read by convolutions whose output joins the generator's layers at each
resolution, as in MidiNet [3]_. Differences from these sources:

- Group normalisation [4]_ takes the place of batch normalisation. Statistics of a batch would tie its bars to each
  other: they would differ between the discriminator's passes over real and made bars, between processes that share a
  batch, and be wrong for the averaged weights, which never see a batch.
- A step of a made bar is decided, not grey: the likeliest of all pitches and silence, one voice from the start. The
  gradient passes as if the probability itself had been given, a straight-through estimate [5]_, as the binary neurons
  of [6]_. A discriminator that sees grey steps needs to know nothing about music: after 1000 steps on POP909, bars
  learned in grey are 0.38 from real ones (`training.adversarial`) and 24 % of them distinct; decided, 0.16 and 99 %.
- Notes have lengths: a layer of the roll says where they start.

There is no likelihood: the generator is a map from random numbers to bars, and what probability it gives to a bar
cannot be computed. Where other families have nats a note, this one has a dash; it is compared by its music.

References
----------
.. [1] Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014.
.. [2] Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
   Networks", ICLR 2016.
.. [3] Yang, Chou and Yang, "MidiNet: A Convolutional Generative Adversarial Network for Symbolic-domain Music
   Generation", ISMIR 2017.
.. [4] Wu and He, "Group Normalization", ECCV 2018.
.. [5] Bengio, Léonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
   Computation", arXiv:1308.3432, 2013.
.. [6] Dong and Yang, "Convolutional Generative Adversarial Networks with Binary Neurons for Polyphonic Music
   Generation", ISMIR 2018.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call  # pyright: ignore[reportPrivateImportUsage]

from songwright.model.config import DcganConfig

NUM_BEATS = 4
STEPS_PER_BEAT = 4
NUM_STEPS = NUM_BEATS * STEPS_PER_BEAT
NUM_ROWS = 48
CHROMA = 12
LEAK = 0.2
"""Slope of the leaky ReLUs below zero, as in the DCGAN."""
_CHANNELS_PER_GROUP = 16


class Verdicts(NamedTuple):
    """What the discriminator says of a batch, as logits: above zero for real.

    Attributes
    ----------
    real, made : Tensor, shape (batch,)
        Of real bars and of the generator's; their gradients reach the discriminator only.
    contested : Tensor, shape (batch,)
        Of the generator's bars again; its gradient reaches the generator only.
    real_features, contested_features : Tensor, shape (batch, channels, steps)
        First layer of the discriminator; gradients of the second reach the generator only, the first has none.
    rolls : Tensor, shape (batch, layers, steps, rows)
        The generator's bars.
    """

    real: Tensor
    made: Tensor
    contested: Tensor
    real_features: Tensor
    contested_features: Tensor
    rolls: Tensor


class Generator(nn.Module):
    """Random numbers, the bar before and a chord -> the probabilities of a bar.

    From one column a beat, two transposed convolutions [2]_ make eighths, then sixteenths.
    """

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        wide, narrow = config.channels, max(config.channels // 4, 1)
        joined = wide + narrow + CHROMA
        self.read_sixteenths = nn.Conv1d(2 * NUM_ROWS, narrow, 1)
        self.read_eighths = nn.Conv1d(narrow, narrow, 4, stride=2, padding=1)
        self.read_beats = nn.Conv1d(narrow, narrow, 4, stride=2, padding=1)
        self.write_beats = nn.Linear(config.latent_dim + CHROMA, NUM_BEATS * wide)
        self.write_eighths = nn.ConvTranspose1d(joined, wide, 4, stride=2, padding=1)
        self.write_sixteenths = nn.ConvTranspose1d(joined, wide, 4, stride=2, padding=1)
        self.beats_norm, self.eighths_norm, self.sixteenths_norm = norm(wide), norm(wide), norm(wide)
        self.output = nn.Conv1d(joined, NUM_ROWS + 2, 3, padding=1)

    def forward(self, previous: Tensor, chroma: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probabilities of each step.

        Parameters
        ----------
        previous : Tensor, shape (batch, layers, steps, rows)
            Roll of the bar before.
        chroma : Tensor, shape (batch, 12)
            Share of the bar during which each pitch class is in the chord.
        latents : Tensor, shape (batch, latent_dim)
            Standard normal numbers.

        Returns
        -------
        sounds : Tensor of float32, shape (batch, steps, rows + 1)
            Of each row to sound, and last of silence; they sum to 1.
        starts : Tensor of float32, shape (batch, steps)
            That a note starts, if one sounds.
        """
        sixteenths = F.leaky_relu(self.read_sixteenths(pitches_as_channels(previous)), LEAK)
        eighths = F.leaky_relu(self.read_eighths(sixteenths), LEAK)
        beats = F.leaky_relu(self.read_beats(eighths), LEAK)
        x = self.write_beats(torch.cat([latents, chroma], dim=1)).unflatten(1, (-1, NUM_BEATS))
        x = join(F.relu(self.beats_norm(x)), beats, chroma=chroma)
        x = join(F.relu(self.eighths_norm(self.write_eighths(x))), eighths, chroma=chroma)
        x = join(F.relu(self.sixteenths_norm(self.write_sixteenths(x))), sixteenths, chroma=chroma)
        logits = self.output(x).float().transpose(1, 2)
        return logits[..., :-1].softmax(dim=-1), logits[..., -1].sigmoid()


class Discriminator(nn.Module):
    """A bar, the bar before and a chord -> how real the bar is, and the features of its first layer."""

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        # Half as wide as the generator: a stronger one is soon certain, and then teaches nothing.
        narrow = max(config.channels // 2, 1)
        self.read_sixteenths = nn.Conv1d(4 * NUM_ROWS + CHROMA, narrow, 3, padding=1)
        self.read_eighths = nn.Conv1d(narrow + CHROMA, narrow, 4, stride=2, padding=1)
        self.read_beats = nn.Conv1d(narrow + CHROMA, 2 * narrow, 4, stride=2, padding=1)
        self.eighths_norm, self.beats_norm = norm(narrow), norm(2 * narrow)
        self.output = nn.Linear(2 * narrow * NUM_BEATS + CHROMA, 1)

    def forward(self, rolls: Tensor, previous: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of being real, (batch,), and features, (batch, channels, steps), both float32.

        Parameters
        ----------
        rolls, previous : Tensor, shape (batch, layers, steps, rows)
        chroma : Tensor, shape (batch, 12)
        """
        x = join(pitches_as_channels(rolls), pitches_as_channels(previous), chroma=chroma)
        features = F.leaky_relu(self.read_sixteenths(x), LEAK)
        x = F.leaky_relu(self.eighths_norm(self.read_eighths(join(features, chroma=chroma))), LEAK)
        x = F.leaky_relu(self.beats_norm(self.read_beats(join(x, chroma=chroma))), LEAK)
        logits = self.output(torch.cat([x.flatten(1), chroma], dim=1))
        return logits.squeeze(1).float(), features.float()


class Dcgan(nn.Module):
    """The generator and the discriminator, so that one optimizer and one backward pass train both."""

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)

    def forward(self, rolls: Tensor, previous: Tensor, chroma: Tensor, latents: Tensor) -> Verdicts:
        """Return what the discriminator says of real bars and of as many made ones, after the same bars and chords.

        The generator's bars are judged twice: once cut off from the generator, and once by a discriminator whose
        weights are constants. So a loss of the first and one of the second can be added up and differentiated in one
        pass, and each network has the gradient of its own loss alone.

        Parameters
        ----------
        rolls, previous : Tensor, shape (batch, layers, steps, rows)
            Real bars, and the bars before them.
        chroma : Tensor, shape (batch, 12)
        latents : Tensor, shape (batch, latent_dim)
        """
        made = self.write_bars(previous, chroma, latents)
        real, real_features = self.discriminator(rolls, previous, chroma)
        cut_off, _ = self.discriminator(made.detach(), previous, chroma)
        constants = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        contested, features = cast(
            tuple[Tensor, Tensor], functional_call(self.discriminator, constants, (made, previous, chroma))
        )
        return Verdicts(real, cut_off, contested, real_features.detach(), features, made)

    def write_bars(self, previous: Tensor, chroma: Tensor, latents: Tensor, *, threshold: float = 0.5) -> Tensor:
        """Return the generator's bars, rolls of shape (batch, layers, steps, rows); see `decided`."""
        sounds, starts = self.generator(previous, chroma, latents)
        return decided(sounds, starts, previous, threshold=threshold)

    @property
    def num_parameters(self) -> int:
        """Trained numbers of both networks."""
        return sum(parameter.numel() for parameter in self.parameters())


def decided(sounds: Tensor, starts: Tensor, previous: Tensor, *, threshold: float = 0.5) -> Tensor:
    """Return rolls of 0 and 1 whose gradient is that of the probabilities they were decided from.

    With d the decision and p its probability: d + p - constant(p), which is d and has the gradient of p.

    Parameters
    ----------
    sounds : Tensor, shape (batch, steps, rows + 1)
        Probability of each row and of silence; the likeliest is taken.
    starts : Tensor, shape (batch, steps)
        Probability that a note starts; it does above `threshold`, and wherever another row sounded a step before.
    previous : Tensor, shape (batch, layers, steps, rows)
        Roll of the bar before.

    Returns
    -------
    Tensor, shape (batch, layers, steps, rows)
    """
    likeliest = F.one_hot(sounds.argmax(dim=-1), sounds.shape[-1]).type_as(sounds)[..., :-1]
    step_before = torch.cat([previous[:, 1, -1:], likeliest[:, :-1]], dim=1)
    is_new = (likeliest > step_before).any(dim=-1)
    sounding = likeliest + (sounds - sounds.detach())[..., :-1]
    starting = ((starts > threshold) | is_new).type_as(starts) + (starts - starts.detach())
    return torch.stack([sounding * starting[..., None], sounding], dim=1)


def norm(channels: int) -> nn.GroupNorm:
    """Return group normalisation: (x - mean) / √(variance + ε) * scale + shift, 16 channels of one bar at a time."""
    return nn.GroupNorm(channels // _CHANNELS_PER_GROUP if channels % _CHANNELS_PER_GROUP == 0 else 1, channels)


def pitches_as_channels(rolls: Tensor) -> Tensor:
    """(batch, layers, steps, rows) -> (batch, layers * rows, steps)."""
    return rolls.transpose(2, 3).flatten(1, 2)


def join(*parts: Tensor, chroma: Tensor) -> Tensor:
    """Return channels side by side, those of the chord last, the same at each step."""
    return torch.cat([*parts, chroma[..., None].expand(-1, -1, parts[0].shape[-1]).type_as(parts[0])], dim=1)
