"""A folder of made-up music of many kinds, good and bad, and the corpus made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from songwright.corpus.sources import find_files
from songwright.files.midi import midi_bytes, write_midi
from songwright.rendering.performance import perform
from songwright.score.elements import Note, Score, Track, note_array
from tests.corpora import make, write_song
from tests.music import make_song

TUNES = """X:1
T:Up and down
M:3/4
L:1/8
K:D
|: D2 F2 A2 | d2 A2 F2 | G2 B2 d2 | e2 d2 B2 | A2 F2 D2 | E2 G2 B2 | A2 c2 e2 | d6 :|

X:2
T:Round about
M:4/4
L:1/8
K:G
|: G2 B2 d2 g2 | e2 c2 A2 F2 | D2 F2 A2 c2 | B2 G2 D2 B,2 | G2 A2 B2 c2 | d2 e2 f2 g2 | a2 f2 d2 c2 | B2 A2 G4 :|
"""


@pytest.fixture(scope="session")
def mixed_music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four songs, one of them also transposed and also under another name; two tunes; five kinds of bad files."""
    folder = tmp_path_factory.mktemp("music") / "mixed"
    for seed in range(4):
        write_song(folder / f"song{seed}.mid", seed)
    write_song(folder / "zz" / "copy.MID", 1, title="Another name")
    write_song(folder / "zz" / "same.mid", 1)
    write_song(folder / "zz transposed.mid", 2, semitones=3)
    (folder / "tunes.abc").write_text(TUNES)
    (folder / "nothing.mid").write_bytes(b"")
    (folder / "cut.mid").write_bytes(midi_bytes(perform(make_song(5), seed=0))[:300])
    (folder / "broken.mxl").write_bytes(b"PK\x03\x04 no archive")
    drone = note_array([Note(480 * beat, 400, 60) for beat in range(64)])
    write_midi(folder / "drone.mid", Score(480, (Track("Drone", drone),)))
    short = note_array([Note(240 * place, 200, 60 + place) for place in range(5)])
    write_midi(folder / "short.mid", Score(480, (Track("Short", short),)))
    (folder / "notes.txt").write_text("no music")
    (folder / ".hidden.mid").write_bytes(b"x")
    return folder


@pytest.fixture(scope="session")
def mixed_corpus(mixed_music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "corpus"
    make(find_files(mixed_music), out)
    return out
