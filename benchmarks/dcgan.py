"""Look at and listen to what the adversarial pair writes: figures, bars as text, a song over a composed song's chords.

python benchmarks/dcgan.py runs/dcgan/best.pt --corpus corpus --seed 1 --out /tmp/dcgan.mid
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from songwright.composition.composer import Composer
from songwright.composition.plan import plan_song
from songwright.files.midi import write_midi
from songwright.preparation.shards import open_shard
from songwright.rendering.performance import perform
from songwright.score.song import Song
from songwright.training.adversarial import bar_distributions, compose_melody, distances, load_dcgan
from songwright.training.bars import Bars, bar_batch, read_bars, steps_of_rolls

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
NUM_BARS = 2000


def as_text(row: NDArray[np.integer], starts: NDArray[np.bool_]) -> str:
    lines: list[str] = []
    for pitch in sorted(set(row[row >= 0].tolist()), reverse=True):
        marks = np.where(row == pitch, np.where(starts, "O", "-"), ".")
        lines.append(f"{NAMES[pitch % 12] + str(pitch // 12 + 3):>4} " + " ".join("".join(bar) for bar in marks))
    return "\n".join(lines)


def describe(name: str, row: NDArray[np.integer], starts: NDArray[np.bool_], chroma: NDArray[np.floating]) -> None:
    found = bar_distributions(row, starts, chroma)
    distinct = len(np.unique(np.concatenate([row[:500], starts[:500]], axis=1), axis=0))
    print(
        f"{name:5} {starts.sum(axis=1).mean():.2f} notes a bar, {distinct} of 500 distinct, "
        f"{found['in_scale'][1]:.1%} in the scale, {found['in_chord'][1]:.1%} in the chord, "
        f"{(row >= 0).mean():.1%} of steps sound"
    )


def sample(bars: Bars) -> NDArray[np.intp]:
    return np.random.default_rng(0).permutation(bars.with_notes())[:NUM_BARS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dcgan = load_dcgan(arguments.checkpoint)
    rng = np.random.default_rng(arguments.seed)
    train, held_out = (
        read_bars(open_shard(arguments.corpus, "lead_sheet", split)) for split in ("train", "validation")
    )
    numbers, others = sample(held_out), sample(train)
    real = held_out.row[numbers], held_out.starts[numbers], held_out.chroma[numbers]
    latents = rng.standard_normal((len(numbers), dcgan.config.latent_dim), np.float32)
    _, previous, chroma, noise = bar_batch(held_out, numbers, latents)
    with torch.no_grad():
        made = (*steps_of_rolls(dcgan.write_bars(previous, chroma, noise).numpy()), real[2])
        many = dcgan.write_bars(previous[:1].expand(500, -1, -1, -1), chroma[:1].expand(500, -1), noise[:500])
    describe("real", *real)
    describe("made", *made)
    print(f"{len(many.unique(dim=0))} bars from 500 numbers after one bar and to one chord")
    learned = (train.row[others], train.starts[others], train.chroma[others])
    for name, bars in (("made", made), ("training bars", learned)):
        found = distances(bar_distributions(*bars), bar_distributions(*real))
        print(f"distance of {name}: {np.mean(list(found.values())):.3f} ({found})")
    print("made", as_text(made[0][:8], made[1][:8]), "real", as_text(real[0][:8], real[1][:8]), sep="\n")
    if arguments.out:
        song = Composer().compose(plan_song(seed=arguments.seed, seconds=120)).song
        sheet = song.lead_sheet
        is_sung = [phrase.is_sung for phrase in sheet.form.phrases for _ in range(phrase.num_bars)]
        melody = compose_melody(dcgan, sheet.chords, key=sheet.key, num_bars=sheet.num_bars, rng=rng, is_sung=is_sung)
        written = Song(replace(sheet, melody=melody), song.piano)
        assert not written.lead_sheet.problems()
        write_midi(arguments.out, perform(written, seed=arguments.seed), title="Bar by bar")


if __name__ == "__main__":
    main()
