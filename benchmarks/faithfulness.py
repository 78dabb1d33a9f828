"""Whether removing the bars that an explanation names hurts more than removing as many random bars.

    python benchmarks/faithfulness.py [--bars 200] [--network pop|lstm|convolution] [--folder NETWORKS] [--json OUT]

Bars with melody and at least eight earlier bars with melody are drawn from POP909's validation and test songs
(labelled, 4/4; SONGWRIGHT_DATA or ../shared/data). Each way of naming gives two earlier bars:

    ablation     `explanation.sources.bar_sources`: the bar whose silence costs most, then the one that does when the
                 first is silent
    attention    the two looked at most (`explanation.attention`; the shipped network only)
    same_place   the same place in the two latest phrases of the letter, filled up with the bars just before
    previous     the two bars just before

and both are removed together, in three ways. Ablation chose its bars by the first; the others are its fair test:

    silenced     their notes are taken away
    replaced     they get the notes of a bar with melody of another song
    altered      each of their notes is moved to another pitch of the scale

Beside them stand pairs of random earlier bars with melody (several draws; they may hit the named ones). *Fall* is the
mean over bars of the nats per note lost; *ratio* is fall named over fall at random, with a bootstrap over songs; the
same with the mean probability of a note (geometric within the bar) is *probability_ratio*.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from songwright.corpus.piece import one_voice
from songwright.corpus.pop909 import LabelledSong, load_songs
from songwright.corpus.splits import split_of
from songwright.explanation.attention import looked_at
from songwright.explanation.likelihood import Network, ShippedNetwork, normal_sheet
from songwright.explanation.sources import bar_log_probabilities, silence, sounding_bars, strongest_sources
from songwright.score.grid import STEPS_PER_BAR, grid_notes
from songwright.score.lead_sheet import LeadSheet

MIN_EARLIER = 8
NUM_NAMED = 2
NUM_BOOTSTRAP = 2000
SCALE = np.array([0, 2, 4, 5, 7, 9, 11])

Removal = Callable[[LeadSheet, list[int], np.random.Generator], LeadSheet]


def held_out_songs(data: Path) -> list[LeadSheet]:
    songs = load_songs(data / "POP909", data / "POP909-phrases")
    held = [song for song in songs if isinstance(song, LabelledSong) and split_of(song.song_id) != "train"]
    return [normal_sheet(song.song) for song in held]


def draw_bars(sheets: list[LeadSheet], count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return (song, bar) pairs in the order of the songs, drawn without replacement from all that qualify."""
    eligible = [
        (song, int(bar)) for song, sheet in enumerate(sheets) for bar in sounding_bars(sheet)[MIN_EARLIER:].tolist()
    ]
    drawn = rng.choice(len(eligible), size=min(count, len(eligible)), replace=False)
    return [eligible[index] for index in sorted(drawn.tolist())]


def with_melody(sheet: LeadSheet, onset: NDArray[Any], duration: NDArray[Any], pitch: NDArray[Any]) -> LeadSheet:
    melody = one_voice(grid_notes(onset, duration, pitch))
    return LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, melody)


def altered(sheet: LeadSheet, bars: list[int], rng: np.random.Generator) -> LeadSheet:
    """Move each note of some bars to another pitch of the scale, within the song's range."""
    pitch = sheet.melody["pitch"].copy()
    scale = np.arange(pitch.min(), pitch.max() + 1)
    scale = scale[np.isin(scale % 12, SCALE)]
    for note in np.flatnonzero(np.isin(sheet.melody["onset_step"] // STEPS_PER_BAR, bars)).tolist():
        others = scale[scale != pitch[note]]
        if len(others):
            pitch[note] = rng.choice(others)
    return with_melody(sheet, sheet.melody["onset_step"], sheet.melody["duration_step"], pitch)


def replaced_from(sheets: list[LeadSheet], song: int) -> Removal:
    """Return the removal that gives bars the notes of a random bar of another song."""

    def replaced(sheet: LeadSheet, bars: list[int], rng: np.random.Generator) -> LeadSheet:
        parts = [silence(sheet, bars).melody]
        for bar in bars:
            other = sheets[int(rng.choice([index for index in range(len(sheets)) if index != song]))]
            source = int(rng.choice(sounding_bars(other)))
            notes = other.melody[other.melody["onset_step"] // STEPS_PER_BAR == source].copy()
            onset = notes["onset_step"] % STEPS_PER_BAR
            notes["duration_step"] = np.minimum(notes["duration_step"], STEPS_PER_BAR - onset)
            notes["onset_step"] = bar * STEPS_PER_BAR + onset
            parts.append(notes)
        notes = np.concatenate(parts)
        return with_melody(sheet, notes["onset_step"], notes["duration_step"], notes["pitch"])

    return replaced


def silenced(sheet: LeadSheet, bars: list[int], _rng: np.random.Generator) -> LeadSheet:
    return silence(sheet, bars)


def same_places(sheet: LeadSheet, bar: int, earlier: list[int]) -> list[int]:
    """Return the same place in the latest two phrases of the letter that have melody there, then the bars before."""
    starts = np.array(sheet.form.start_bars)
    phrases = sheet.form.phrases
    own = int(np.searchsorted(starts, bar, side="right")) - 1
    places = [
        int(starts[other]) + bar - int(starts[own])
        for other in reversed(range(own))
        if phrases[other].letter == phrases[own].letter and bar - starts[own] < phrases[other].num_bars
    ]
    found = [place for place in places if place in earlier]
    return [*found, *(place for place in reversed(earlier) if place not in found)][:NUM_NAMED]


def measure_bar(
    sheets: list[LeadSheet], song: int, bar: int, network: Network, draws: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Return for each removal the nats per note of the bar as it is and without each pair of bars."""
    sheet = sheets[song]

    def nats(changed: LeadSheet) -> float:
        return float(bar_log_probabilities(changed, network, first_bar=bar, last_bar=bar)[bar]) / notes

    earlier = [other for other in sounding_bars(sheet).tolist() if other < bar]
    notes = int(np.sum(sheet.melody["onset_step"] // STEPS_PER_BAR == bar))
    named: dict[str, list[int]] = {
        "ablation": [other for other, _ in strongest_sources(sheet, bar, network, count=NUM_NAMED)],
        "same_place": same_places(sheet, bar, earlier),
        "previous": earlier[-NUM_NAMED:],
    }
    if isinstance(network, ShippedNetwork):
        weights = looked_at(sheet)[bar]
        named["attention"] = sorted(earlier, key=lambda other: -weights[other])[:NUM_NAMED]
    random = [sorted(rng.choice(earlier, NUM_NAMED, replace=False).tolist()) for _ in range(draws)]
    whole = nats(sheet)
    removals: dict[str, Removal] = {
        "silenced": silenced, "replaced": replaced_from(sheets, song), "altered": altered,
    }  # fmt: skip

    def without(remove: Removal, bars: list[int]) -> float:
        return nats(remove(sheet, bars, rng))

    found = {
        removal: {
            **{way: [without(remove, bars)] for way, bars in named.items()},
            "random": [without(remove, bars) for bars in random],
        }
        for removal, remove in removals.items()
    }
    return {"song": song, "bar": bar, "notes": notes, "named": named, "whole": whole, "without": found}


def summarise(rows: list[dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Return falls and ratios of each way of naming under each removal."""
    songs = np.array([row["song"] for row in rows])
    members = [np.flatnonzero(songs == song) for song in np.unique(songs)]
    samples = [
        np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        for _ in range(NUM_BOOTSTRAP)
    ]
    result: dict[str, Any] = {}
    for removal in rows[0]["without"]:
        nats: dict[str, NDArray[np.float64]] = {}
        probability: dict[str, NDArray[np.float64]] = {}
        for way in rows[0]["without"][removal]:
            values = [(row["whole"], np.array(row["without"][removal][way])) for row in rows]
            nats[way] = np.array([np.mean(whole - left) for whole, left in values])
            probability[way] = np.array([np.mean(np.exp(whole) - np.exp(left)) for whole, left in values])
        result[removal] = {"random": {"fall": round(float(nats["random"].mean()), 4)}}
        for way in nats:
            if way == "random":
                continue
            cell: dict[str, Any] = {"fall": round(float(nats[way].mean()), 4)}
            for name, values in (("ratio", nats), ("probability_ratio", probability)):
                ratios = [values[way][sample].mean() / values["random"][sample].mean() for sample in samples]
                cell[name] = round(float(values[way].mean() / values["random"].mean()), 2)
                cell[f"{name}_interval"] = [round(float(edge), 2) for edge in np.percentile(ratios, [2.5, 97.5])]
            cell["named_falls_more"] = round(float(np.mean(nats[way] > nats["random"])), 3)
            result[removal][way] = cell
    return result


def open_network(name: str, folder: Path | None) -> Network:
    if name in ("lstm", "convolution"):
        from benchmarks.small_networks import load

        if folder is None:
            raise SystemExit("--network lstm and convolution need --folder, made by benchmarks/small_networks.py")
        return load(folder / f"{name}.pt", name)
    return ShippedNetwork(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=200)
    parser.add_argument("--draws", type=int, default=5, help="random pairs for each bar")
    parser.add_argument("--network", default="pop", help="a style that ships, lstm or convolution")
    parser.add_argument("--folder", type=Path, help="of the networks of benchmarks/small_networks.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    sheets = held_out_songs(data)
    network = open_network(arguments.network, arguments.folder)
    rng = np.random.default_rng(arguments.seed)
    began = time.perf_counter()
    bars = tqdm(draw_bars(sheets, arguments.bars, rng), unit="bar")
    rows = [measure_bar(sheets, song, bar, network, arguments.draws, rng) for song, bar in bars]
    report = {
        "network": arguments.network,
        "bars": len(rows),
        "songs": len({row["song"] for row in rows}),
        "seed": arguments.seed,
        "draws": arguments.draws,
        "nats_per_note": round(-float(np.mean([row["whole"] for row in rows])), 4),
        "removals": summarise(rows, rng),
        "seconds": round(time.perf_counter() - began),
    }
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps({**report, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
