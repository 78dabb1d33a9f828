"""How many altered copies of training songs are recognised, and whether any real or composed song is called one.

    python benchmarks/copies.py [--copied 100] [--seed 0] [--composed FOLDER]

Needs the real POP909 and its labels (SONGWRIGHT_DATA, or ../shared/data). The index holds its training songs. Real
songs must not be called copies: validation and test songs against it, and each training song against the others.
Versions of one song (`corpus.splits.POP909_GROUPS`, and whatever shares more than half of its 6-grams) are left aside
and listed. Copies are altered by `evaluation.controls` in the melody; the accompaniment is never looked at. Half a song
and 16 bars are judged alone; "planted" are 16 bars that replace as many of a held-out song.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from songwright.analysis.copies import COPY_BITS, CopyFinding, CopyIndex
from songwright.analysis.originality import OriginalityIndex
from songwright.corpus.pop909 import LabelledSong, load_songs
from songwright.corpus.splits import POP909_GROUPS, split_of
from songwright.evaluation.controls import CONTROLS
from songwright.evaluation.excerpts import rearrange_bars
from songwright.evaluation.reading import read_song
from songwright.score.grid import STEPS_PER_BAR, grid_notes
from songwright.score.lead_sheet import LeadSheet
from songwright.score.song import Song

Alter = Callable[[Song, np.random.Generator], Song]


def control(*names: str) -> Alter:
    """Return controls one after another."""

    def alter(song: Song, rng: np.random.Generator) -> Song:
        for name in names:
            song = CONTROLS[name].make(song, [], rng)
        return song

    return alter


def half(song: Song, rng: np.random.Generator) -> Song:
    """Return the first or the second half of the bars."""
    num_bars = song.lead_sheet.num_bars // 2
    return rearrange_bars(song, np.arange(num_bars) + int(rng.integers(2)) * num_bars)


def section(song: Song, rng: np.random.Generator) -> Song:
    """Return 16 bars, from those with melody in most bars."""
    num_bars = min(16, song.lead_sheet.num_bars)
    sung = np.zeros(song.lead_sheet.num_bars)
    sung[song.lead_sheet.melody["onset_step"] // STEPS_PER_BAR] = 1
    passages = np.convolve(sung, np.ones(num_bars), mode="valid")
    return rearrange_bars(song, np.arange(num_bars) + int(rng.choice(np.flatnonzero(passages == passages.max()))))


def plant(part: Song, host: Song, rng: np.random.Generator) -> Song:
    """Return the host with the melody of some of its bars replaced by that of a shorter song."""
    num_bars = min(part.lead_sheet.num_bars, host.lead_sheet.num_bars)
    start = int(rng.integers(host.lead_sheet.num_bars - num_bars + 1)) * STEPS_PER_BAR
    end = start + num_bars * STEPS_PER_BAR
    own = host.lead_sheet.melody.copy()
    own = own[(own["onset_step"] < start) | (own["onset_step"] >= end)]
    before = own["onset_step"] < start
    own["duration_step"][before] = np.minimum(own["duration_step"], start - own["onset_step"])[before]
    planted = part.lead_sheet.melody.copy()
    planted["onset_step"] += start
    planted = planted[planted["onset_step"] + planted["duration_step"] <= end]
    melody = np.concatenate([own, planted])
    sheet = host.lead_sheet
    notes = grid_notes(melody["onset_step"], melody["duration_step"], melody["pitch"])
    return Song(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, notes), host.piano)


def alterations(held_out: list[Song]) -> dict[str, Alter]:
    """Return the rows of the table."""

    def then(first: Alter, second: Alter) -> Alter:
        return lambda song, rng: second(first(song, rng), rng)

    def planted(song: Song, rng: np.random.Generator) -> Song:
        return plant(song, held_out[int(rng.integers(len(held_out)))], rng)

    rows = {CONTROLS[name].label: control(name) for name, one in CONTROLS.items() if one.kind == "copy"}
    del rows[CONTROLS["phrase_pastiche"].label]
    for label, part in (("half the song", half), ("16 bars", section)):
        rows[label] = part
        rows[f"{label}, 15 % changed"] = then(part, control("changed_15"))
        rows[f"{label}, ornamented and shifted"] = then(part, control("ornamented"))
    rows["16 bars planted"] = then(section, planted)
    rows["16 bars planted, 15 % changed"] = then(then(section, control("changed_15")), planted)
    rows["16 bars planted, ornamented and shifted"] = then(then(section, control("ornamented")), planted)
    rows["stretched × 2, 15 % changed"] = control("stretched_double", "changed_15")
    rows["stretched × 1/2, 15 % changed"] = control("stretched_half", "changed_15")
    rows["ornamented and shifted, 15 % changed"] = control("ornamented", "changed_15")
    return rows


def versions(song: LabelledSong, known: list[LabelledSong], exact: OriginalityIndex) -> list[int]:
    """Return the places of a song and of its versions among the known ones."""
    group = POP909_GROUPS.get(song.song_id, song.song_id)
    places = [place for place, one in enumerate(known) if POP909_GROUPS.get(one.song_id, one.song_id) == group]
    found = exact.compare(song.song, excluded=places)
    while found.coverage > 0.5:
        places.append(found.melody_source)
        found = exact.compare(song.song, excluded=places)
    return places


def report_originals(title: str, names: list[str], found: list[CopyFinding], known: list[str]) -> None:
    order = np.argsort([-one.bits for one in found], kind="stable")
    nearest = ", ".join(f"{names[place]} ~ {known[found[place].source]} {found[place].bits:.0f}" for place in order[:6])
    called = f"{sum(one.is_copy for one in found)} of {len(found)} called copies"
    middle, high = np.percentile([one.bits for one in found], [50, 95])
    print(f"{title}: {called}; bits median {middle:.0f}, 95 % {high:.0f}, most {nearest}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copied", type=int, default=100, help="training songs that are copied")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--composed", type=Path, help="a folder of composed songs, which must not be copies either")
    arguments = parser.parse_args()
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    real = [song for song in load_songs(data / "POP909", data / "POP909-phrases") if isinstance(song, LabelledSong)]
    known = [song for song in real if split_of(song.song_id) == "train"]
    held_out = [song for song in real if split_of(song.song_id) != "train"]
    ids = [song.song_id for song in known]
    index = CopyIndex.from_songs(song.song for song in known)
    exact = OriginalityIndex.from_songs(song.song for song in known)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copies.npz"
        path.write_bytes(index.to_bytes())
        print(
            f"index: {index.num_songs} songs, {path.stat().st_size / 1e6:.2f} MB; a copy from {COPY_BITS:.0f} bits on"
        )

    began = time.process_time()
    for song in held_out:
        index.compare(song.song)
    spent = (time.process_time() - began) / len(held_out)
    print(f"processor time for a song: {1e3 * spent:.1f} ms")

    aside: list[str] = []
    for title, songs in (("held-out songs", held_out), ("training songs against the others", known)):
        found: list[CopyFinding] = []
        for song in songs:
            left_out = versions(song, known, exact)
            aside += [f"{song.song_id}/{ids[place]}" for place in left_out if ids[place] != song.song_id]
            found.append(index.compare(song.song, excluded=left_out))
        report_originals(title, [song.song_id for song in songs], found, ids)
    print(f"versions left aside: {', '.join(aside) or 'none'}")
    if arguments.composed:
        paths = sorted(arguments.composed.glob("*.mid"))
        composed = [(path.stem, song) for path in paths if (song := read_song(path).song) is not None]
        report_originals(
            f"composed songs ({len(paths)} files)",
            [name for name, _ in composed],
            [index.compare(song) for _, song in composed],
            ids,
        )

    rng = np.random.default_rng(arguments.seed)
    chosen = rng.choice(len(known), min(arguments.copied, len(known)), replace=False).tolist()
    print(f"\n{'copies of ' + str(len(chosen)) + ' training songs':42s} caught  source  least   5 %  median  named as")
    for label, alter in alterations([song.song for song in held_out]).items():
        found = [index.compare(alter(known[place].song, rng)) for place in chosen]
        # A version of the source is the right answer too.
        right = [one.source in versions(known[place], known, exact) for place, one in zip(chosen, found, strict=True)]
        caught = sum(one.is_copy and is_right for one, is_right in zip(found, right, strict=True))
        bits = [one.bits * is_right for one, is_right in zip(found, right, strict=True)]
        least, low, middle = np.percentile(bits, [0, 5, 50])
        named = ", ".join(f"{name} {count}" for name, count in Counter(one.alteration for one in found).most_common())
        print(f"{label:42s} {caught:6d}  {sum(right):6d}  {least:5.0f} {low:5.0f}  {middle:6.0f}  {named}")


if __name__ == "__main__":
    main()
