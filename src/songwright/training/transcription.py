"""Training of the network that transcribes recordings, and its export to ONNX.

Two steps: `prepare_excerpts` writes excerpts as spectrograms and notes, `train_transcription` learns from what lies
there. Excerpts are varied again while training, where it costs little: mixed in pairs, moved by semitones, filtered,
raised above a floor of noise. Leaves sound to `training.transcription_excerpts`, the network to `model.transcription`,
reading and decoding to `files.transcription`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from songwright.errors import InputError
from songwright.files.recordings import SAMPLE_RATE
from songwright.files.spectrogram import HOP, LOWEST_PITCH, NUM_PITCHES
from songwright.model.transcription import TranscriptionConfig, TranscriptionNetwork
from songwright.training.transcription_excerpts import make_excerpt, training_material

FRAMES_PER_SECOND = SAMPLE_RATE / HOP
_SILENT_DB = -80.0


@dataclass(frozen=True, kw_only=True)
class TranscriptionTraining:
    """How to learn."""

    num_steps: int = 4000
    """Steps; the learning rate falls to nothing by then. A step takes 0.6 s of one core."""
    batch_size: int = 8
    """Crops a step."""
    num_frames: int = 160
    """Frames a crop: 2.6 s."""
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    onset_weight: float = 4.0
    """Weight of the onsets' loss; that of the frames is 1."""
    positive_weight: float = 2.0
    """Weight of frames that hold an onset; that of others is 1."""
    average: float = 0.998
    """Memory of the running mean of the weights, a step."""
    report_steps: int = 200
    """Steps from one report, with the averaged network saved, to the next."""
    seed: int = 1


def prepare_excerpts(data: Path, out_dir: Path, first: int, end: int) -> None:
    """Write excerpts `first` to `end` - 1 into a folder: NNNN.notes.npy and NNNN.levels.npy, 1.8 MB each.

    An excerpt depends on its number and the data only; those that are there already are kept.
    """
    material = training_material(data)
    out_dir.mkdir(parents=True, exist_ok=True)
    for number in range(first, end):
        levels, unfinished = out_dir / f"{number:04d}.levels.npy", out_dir / f"{number:04d}.part.npy"
        if levels.exists():
            continue
        excerpt = make_excerpt(material, np.random.default_rng([7, number]))
        np.save(out_dir / f"{number:04d}.notes.npy", excerpt.notes)
        np.save(unfinished, excerpt.levels)
        unfinished.rename(levels)


class Crops:
    """Batches of crops from the excerpts in a folder, which may still be growing."""

    def __init__(self, folder: Path, config: TranscriptionTraining) -> None:
        self.folder, self.config = folder, config
        self.random = np.random.default_rng(config.seed)
        self.levels: dict[str, NDArray[np.float16]] = {}
        self.notes: dict[str, NDArray[np.void]] = {}
        self.refresh()
        if not self.levels:
            raise InputError(f"{folder} holds no excerpts: prepare some first.")

    def refresh(self) -> None:
        """Read excerpts that have come since."""
        for path in sorted(self.folder.glob("*.levels.npy")):
            name = path.name.split(".")[0]
            if name not in self.levels:
                self.notes[name] = np.load(self.folder / f"{name}.notes.npy")
                self.levels[name] = np.load(path)
        self.names = sorted(self.levels)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return levels (batch, resolution, frame, bin) and targets (batch, onset or frame, frame, pitch)."""
        crops = [self._crop() for _ in range(self.config.batch_size)]
        levels, targets = (np.stack(arrays) for arrays in zip(*crops, strict=True))
        return torch.from_numpy(levels), torch.from_numpy(targets)

    def _crop(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        random = self.random
        levels, targets = self._plain_crop()
        if random.random() < 0.15:
            other, other_targets = self._plain_crop()
            levels = _power_sum(levels, other - np.float32(random.uniform(0, 12)))
            targets = np.maximum(targets, other_targets)
        levels = levels + np.float32(random.normal(0, 4))
        if random.random() < 0.5:
            knots = np.linspace(0, levels.shape[-1], 7)
            levels += np.interp(np.arange(levels.shape[-1]), knots, random.normal(0, 4, 7)).astype(np.float32)
        if random.random() < 0.3:
            slope = np.linspace(0, random.uniform(-20, 10), levels.shape[-1])
            floor = random.uniform(-70, -30) + slope + random.normal(0, 2, levels.shape)
            levels = _power_sum(levels, floor.astype(np.float32))
        return levels, targets

    def _plain_crop(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        random, length = self.random, self.config.num_frames
        name = self.names[random.integers(len(self.names))]
        levels = self.levels[name]
        first = int(random.integers(0, levels.shape[1] - length + 1))
        crop = levels[:, first : first + length].astype(np.float32)
        targets = note_targets(self.notes[name], first, length)
        shift = int(random.integers(-3, 4))
        if shift:
            crop, targets = _moved(crop, 3 * shift, _SILENT_DB), _moved(targets, shift, 0.0)
        return crop, targets


def _moved(array: NDArray[np.float32], places: int, fill: float) -> NDArray[np.float32]:
    moved = np.roll(array, places, axis=-1)
    if places > 0:
        moved[..., :places] = fill
    else:
        moved[..., places:] = fill
    return moved


def _power_sum(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.float32(10 / np.log(10)) * np.logaddexp(*(np.float32(np.log(10) / 10) * part for part in (one, other)))


def note_targets(notes: NDArray[np.void], first_frame: int, num_frames: int) -> NDArray[np.float32]:
    """Return what the network should say: onsets and frames, shape (2, num_frames, NUM_PITCHES), 0 to 1.

    An onset is spread over the frames around it, falling by half a frame's distance, so that its instant can be read
    between frames.
    """
    targets = np.zeros((2, num_frames, NUM_PITCHES), dtype=np.float32)
    onset = notes["onset"] * FRAMES_PER_SECOND - first_frame
    offset = notes["offset"] * FRAMES_PER_SECOND - first_frame
    pitch = notes["pitch"].astype(np.int64) - LOWEST_PITCH
    kept = (offset > 0) & (onset < num_frames + 3) & (pitch >= 0) & (pitch < NUM_PITCHES)
    onset, offset, pitch = onset[kept], offset[kept], pitch[kept]
    frame = np.arange(num_frames)
    nearest = np.rint(onset).astype(np.int64)
    for step in range(-2, 3):
        at = nearest + step
        inside = (at >= 0) & (at < num_frames)
        value = np.clip(1.2 - 0.5 * np.abs(at - onset), 0, 1)
        np.maximum.at(targets[0], (at[inside], pitch[inside]), value[inside].astype(np.float32))
    for begin, end, key in zip(np.rint(onset), np.rint(offset), pitch, strict=True):
        targets[1, (frame >= begin) & (frame < max(end, begin + 1)), key] = 1
    return targets


def transcription_loss(logits: Tensor, targets: Tensor, config: TranscriptionTraining) -> Tensor:
    """Return the weighted cross-entropy of onsets and frames, nats a frame of a pitch."""
    loss = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    onset = (loss[:, 0] * (1 + (config.positive_weight - 1) * targets[:, 0])).mean()
    return config.onset_weight * onset + loss[:, 1].mean()


def train_transcription(
    folder: Path,
    out_dir: Path,
    config: TranscriptionTraining,
    *,
    network_config: TranscriptionConfig | None = None,
    start: Path | None = None,
    report: Callable[[str], None] = print,
) -> TranscriptionNetwork:
    """Learn from the excerpts in a folder, on one thread, and return the averaged network.

    Parameters
    ----------
    folder : Path
        As written by `prepare_excerpts`; read again at each report.
    out_dir : Path
        Where `network.pt`, the averaged network, is saved at each report.
    config : TranscriptionTraining
    network_config : TranscriptionConfig, optional
    start : Path, optional
        A `network.pt` of the same sizes to go on from.
    report : callable
        Told a line at each report.
    """
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    crops = Crops(folder, config)
    network_config = network_config or TranscriptionConfig()
    network = TranscriptionNetwork(network_config).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if start is not None:
        network.load_state_dict(torch.load(start, weights_only=True))
    averaged = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    began, total = time.monotonic(), 0.0
    for step in range(config.num_steps):
        rate = config.learning_rate * min(1, (step + 1) / config.warmup_steps)
        rate *= 0.5 * (1 + np.cos(np.pi * step / config.num_steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        levels, targets = crops.batch()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(levels)
        loss = transcription_loss(logits, targets, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        memory = min(config.average, 1 - 10 / (10 + step))
        with torch.no_grad():
            for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - memory)
                else:
                    mean.copy_(value)
        if (step + 1) % config.report_steps == 0 or step + 1 == config.num_steps:
            minutes, mean_loss = (time.monotonic() - began) / 60, total / (step % config.report_steps + 1)
            report(f"step {step + 1}, {minutes:.1f} min, {len(crops.names)} excerpts, loss {mean_loss:.4f}")
            total = 0.0
            torch.save(averaged.state_dict(), out_dir / "network.part")
            (out_dir / "network.part").replace(out_dir / "network.pt")
            crops.refresh()
    return averaged.eval()
