"""What goes in small comes out exactly so. After a change that is meant: pytest --update-golden, and read the diff."""

from __future__ import annotations

from pathlib import Path

import pytest

from songwright.corpus.pop909 import load_song
from songwright.files.midi import midi_bytes
from songwright.files.musicxml import musicxml_bytes
from songwright.rendering.performance import perform
from songwright.tokens import arrangement, lead_sheet
from songwright.tokens.streams import STREAMS
from tests.music import make_song

GOLDEN = Path(__file__).parent


@pytest.fixture
def matches(request: pytest.FixtureRequest):
    def compare(name: str, found: bytes) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_bytes(found)
        assert path.read_bytes() == found

    return compare


def test_tokens_of_a_small_song(tiny_pop909, matches):
    labelled = load_song(tiny_pop909 / "POP909" / "001", tiny_pop909 / "POP909-phrases" / "001")
    sheet = labelled.song.lead_sheet
    melody = lead_sheet.VOCABULARY.spell(lead_sheet.encode(sheet).tolist())
    piano = arrangement.VOCABULARY.spell(arrangement.encode(labelled.song.piano, sheet.num_bars).tolist())
    text = "\n\n".join(tokens.replace(" BAR", "\nBAR") for tokens in (melody, piano))
    matches("tokens.txt", f"{text}\n".encode())


def test_midi_and_musicxml_of_a_small_song(matches):
    song = make_song(1, "i2A4B4o2")
    matches("song.mid", midi_bytes(perform(song, seed=1), title="Golden"))
    matches("song.musicxml", musicxml_bytes(song.lead_sheet, title="Golden", composer="songwright"))


def test_vocabularies_and_channels_keep_their_places():
    """Weights in the field depend on these: a change needs new weights."""
    found = {}
    for name, stream in STREAMS.items():
        layout = stream.channels
        found[name] = (stream.vocabulary.fingerprint, layout.num_rows, len(layout.sizes))
    assert found == {
        "lead_sheet": ("2151e5fd2045eb55", 2742, 31),
        "arrangement": ("c5171785aee7bc71", 1791, 36),
        "harmony": ("2151e5fd2045eb55", 2742, 31),
        "score": ("571e4b95409732d1", 0, 0),
    }
