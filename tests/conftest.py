"""Shared fixtures: where the real data is, and a small POP909-like corpus that we make ourselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from songwright.corpus.sources import find_files
from songwright.files.midi import write_midi
from songwright.score.elements import Note, Score, TempoChange, Track, note_array
from songwright.score.song import Song
from tests.corpora import make
from tests.music import make_song

# Time per example varies on shared machines; tests are not timed.
settings.register_profile("songwright", deadline=None, max_examples=60)
settings.load_profile("songwright")

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what golden tests compare with")


@pytest.fixture(scope="session")
def music_data() -> Path:
    """The folder of real music; tests that need it are marked `data` and skipped where it is absent."""
    path = Path(os.environ.get("SONGWRIGHT_DATA", ROOT.parent / "shared" / "data"))
    if not (path / "POP909").is_dir():
        pytest.skip(f"no real music at {path}; set SONGWRIGHT_DATA")
    return path


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of the tests, and the tests out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SONGWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def write_pop909_song(root: Path, labels: Path, song_id: str, *, seed: int = 0, delay_second: float = 0.37) -> None:
    """Write a made-up song in both published layouts: 16 bars `A4B4A4B4` in D major, with a piano in quarters."""
    rng = np.random.default_rng(seed)
    scale = [62, 64, 66, 67, 69, 71, 73, 74]
    phrase = {letter: [scale[int(i)] for i in rng.integers(0, 8, 16)] for letter in "AB"}
    pitches = [pitch for letter in "ABAB" for pitch in phrase[letter]]
    chords = ["D:maj", "G:maj", "A:7", "D:maj/3"] * 4
    song, label = root / song_id, labels / song_id
    song.mkdir(parents=True)
    label.mkdir(parents=True)
    tempo = 90.0
    tick = round(delay_second * tempo / 60 * 480)
    melody = note_array([Note(tick + index * 480, 400, pitch, 90) for index, pitch in enumerate(pitches)])
    roots = {"D:maj": 50, "G:maj": 43, "A:7": 45, "D:maj/3": 54}
    piano = note_array(
        [
            Note(tick + (4 * bar + beat) * 480, 480, roots[chord] + step, 60)
            for bar, chord in enumerate(chords)
            for beat in range(4)
            for step in (0, 12)
        ]
    )
    tracks = (Track("MELODY", melody), Track("BRIDGE", melody[:0]), Track("PIANO", piano))
    write_midi(song / f"{song_id}.mid", Score(480, tracks, (TempoChange(0, tempo),)))
    beats = delay_second + np.arange(68) * 60 / tempo
    (song / "beat_midi.txt").write_text(
        "".join(f"{time:.6f} {float(i % 2 == 0)} {float(i % 4 == 0)}\n" for i, time in enumerate(beats))
    )
    (song / "beat_audio.txt").write_text("".join(f"{time:.2f}\t{i % 4 + 1:.1f}\n" for i, time in enumerate(beats)))
    (label / "human_label1.txt").write_text("A4B4A4B4\n")
    (label / "human_label2.txt").write_text("A8A8\n")
    (label / "melody.txt").write_text("".join(f"{pitch} 4 \n" for pitch in pitches))
    (label / "finalized_chord.txt").write_text("".join(f"{chord} [2, 6, 9] 2 4 \n" for chord in chords))
    (label / "analyzed_key.txt").write_text("D:maj\n")
    (label / "tempo.txt").write_text("90")


@pytest.fixture(scope="session")
def tiny_pop909(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `POP909` and `POP909-phrases` holding eight made-up songs, some of each split."""
    folder = tmp_path_factory.mktemp("tiny")
    for seed, song_id in enumerate(["001", "002", "003", "004", "005", "006", "009", "010"]):
        write_pop909_song(folder / "POP909", folder / "POP909-phrases", song_id, seed=seed)
    return folder


@pytest.fixture(scope="session")
def corpus(tiny_pop909: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is prepared of these songs; to be read only."""
    out = tmp_path_factory.mktemp("tiny") / "corpus"
    make(find_files(tiny_pop909 / "POP909"), out)
    return out


@pytest.fixture(scope="session")
def song_of_seed() -> Callable[..., Song]:
    """The builder of made-up songs."""
    return make_song


@pytest.fixture(scope="session")
def real_songs() -> list[Song]:
    """Forty made-up songs that play the real ones."""
    return [make_song(seed) for seed in range(40)]
