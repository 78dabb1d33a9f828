"""A convolutional network that hears notes: spectrogram in, onset and frame logits of each pitch out.

In the spirit of Onsets and Frames [1]_ (two heads, the frames told of the onsets), basic-pitch [2]_ (harmonics stacked
as channels, so that small kernels see whole notes) and HPPNet [3]_ (convolutions that jump along the harmonic
series). Differs from them: no recurrence, two spectrograms of unequal windows, shifts and a mixing 1 x 1 convolution in
place of dilated harmonic kernels. Knows tensors only; what the bins mean is told by `TranscriptionConfig`.

Axes: batch, channel, frame (time), bin or pitch (frequency, low to high).

References
----------
.. [1] C. Hawthorne et al., "Onsets and Frames: dual-objective piano transcription", ISMIR 2018.
.. [2] R. M. Bittner et al., "A lightweight instrument-agnostic model for polyphonic note transcription and multipitch
   estimation", ICASSP 2022.
.. [3] W. Wei et al., "HPPNet: modeling the harmonic structure and pitch invariance in piano transcription",
   ISMIR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class TranscriptionConfig:
    """Sizes of the network."""

    num_resolutions: int = 2
    """Spectrograms in the input."""
    num_bins: int = 294
    """Bins of each."""
    bins_per_semitone: int = 3
    num_pitches: int = 88
    """Pitches told; the first is in the first bins."""
    channels: int = 48
    jump_channels: int = 16
    """Channels that are told to other pitches."""
    head_channels: int = 24
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    """Steps in time of the residual blocks."""
    harmonics: tuple[int, ...] = (-12, 0, 12, 19, 24, 28, 31, 34)
    """Semitones from a pitch to what is stacked from the first spectrogram: an octave below, then its harmonics."""
    short_harmonics: tuple[int, ...] = (0, 12, 19, 24)
    """The same for the others."""
    jumps: tuple[int, ...] = (-24, -19, -12, 12, 19, 24)
    """Semitones across which pitches tell each other what they found."""

    def __post_init__(self) -> None:
        if self.num_bins < self.bins_per_semitone * self.num_pitches:
            raise ValueError(f"{self.num_bins} bins cannot hold {self.num_pitches} pitches")


class TranscriptionNetwork(nn.Module):
    """The whole network.

    Its receptive field is 18 frames on either side.
    """

    def __init__(self, config: TranscriptionConfig) -> None:
        super().__init__()
        self.config = config
        self.shifts = (config.harmonics, *[config.short_harmonics] * (config.num_resolutions - 1))
        num_planes = sum(map(len, self.shifts)) * config.bins_per_semitone + 2  # and the place on the keyboard, twice
        self.level_scale = nn.Parameter(torch.full((1, config.num_resolutions, 1, config.num_bins), 1 / 20))
        self.level_bias = nn.Parameter(torch.full((1, config.num_resolutions, 1, config.num_bins), 2.0))
        self.stem = Convolution(num_planes, config.channels)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(config.channels, dilation, config.jumps if number % 2 else (), config.jump_channels)
                for number, dilation in enumerate(config.dilations)
            )
        )
        self.onset_hidden = Convolution(config.channels, config.head_channels)
        self.onset_out = nn.Conv2d(config.head_channels, 1, 1)
        self.frame_hidden = Convolution(config.channels, config.head_channels)
        self.frame_out = nn.Conv2d(config.head_channels + 1, 1, 1)
        nn.init.constant_(self.onset_out.bias, -5.0)  # pyright: ignore[reportArgumentType]: onsets are rare
        nn.init.constant_(self.frame_out.bias, -3.0)  # pyright: ignore[reportArgumentType]

    @property
    def num_parameters(self) -> int:
        """Trained numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    def residual_blocks(self) -> list[ResidualBlock]:
        """Return the blocks in order."""
        return [block for block in self.blocks if isinstance(block, ResidualBlock)]

    def forward(self, levels: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        levels : Tensor, shape (batch, num_resolutions, num_frames, num_bins)
            In dB relative to the loud moments of the recording.

        Returns
        -------
        Tensor, shape (batch, 2, num_frames, num_pitches)
            Of an onset in that frame, and of a note that sounds.
        """
        config = self.config
        batch, _, num_frames, num_bins = levels.shape
        scaled = torch.clamp(levels * self.level_scale + self.level_bias, min=-2.0)
        # (batch, resolution, bin within the semitone, frame, semitone)
        scaled = scaled.view(batch, config.num_resolutions, num_frames, -1, config.bins_per_semitone).movedim(4, 2)
        width, num_semitones = config.num_pitches, num_bins // config.bins_per_semitone
        planes: list[Tensor] = []
        for resolution, shifts in enumerate(self.shifts):
            low, high = max(0, -min(shifts)), max(0, max(shifts) + width - num_semitones)
            padded = F.pad(scaled[:, resolution], (low, high), value=-2.0)
            planes += [padded[..., low + shift : low + shift + width] for shift in shifts]
        place = torch.linspace(-1, 1, width, dtype=scaled.dtype, device=scaled.device)
        place = place.expand(batch, 1, num_frames, width)
        hidden = self.stem(torch.cat([*planes, place, place * place], dim=1))
        hidden = self.blocks(hidden)
        onset = self.onset_out(self.onset_hidden(hidden))
        frame = self.frame_out(torch.cat([self.frame_hidden(hidden), onset], dim=1))
        return torch.cat([onset, frame], dim=1)


class Convolution(nn.Module):
    """A 3 x 3 convolution over (frame, pitch), dilated in time, then batch normalisation and ReLU."""

    def __init__(self, num_in: int, num_out: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(num_in, num_out, 3, padding=(dilation, 1), dilation=(dilation, 1), bias=False)
        self.norm = nn.BatchNorm2d(num_out)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (batch, num_out, frame, pitch) of (batch, num_in, frame, pitch)."""
        return F.relu(self.norm(self.convolution(hidden)))


class ResidualBlock(nn.Module):
    """A residual step: a convolution dilated in time, then a mixture of channels, with `jumps` of other pitches too."""

    def __init__(self, channels: int, dilation: int, jumps: tuple[int, ...], jump_channels: int) -> None:
        super().__init__()
        self.jumps, self.jump_channels = jumps, jump_channels
        self.near = Convolution(channels, channels, dilation=dilation)
        self.mix = nn.Conv2d(channels + jump_channels * len(jumps), channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the same shape, (batch, channel, frame, pitch)."""
        near = self.near(hidden)
        if self.jumps:
            low, high = max(0, -min(self.jumps)), max(0, max(self.jumps))
            width = near.shape[-1]
            padded = F.pad(near[:, : self.jump_channels], (low, high))
            near = torch.cat([near, *(padded[..., low + jump : low + jump + width] for jump in self.jumps)], dim=1)
        return F.relu(hidden + self.norm(self.mix(near)))
