from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from songwright.commands import vary
from songwright.errors import ConfigError, InputError, OutputError
from songwright.evaluation.reading import read_song
from songwright.files.midi import read_midi, write_midi
from songwright.rendering.performance import perform
from songwright.score.elements import Note, Score, Track, note_array
from songwright.score.spelling import chord_name
from tests.music import make_song
from tests.phrase_style import make_style


@pytest.fixture(scope="module")
def styles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_style(tmp_path_factory.mktemp("styles"))


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """A composed song in Eb: MIDI and plan."""
    song = make_song(5, "i4A8B8A8").transpose(3)
    sheet = song.lead_sheet
    write_midi(tmp_path / "song.mid", perform(song, seed=0), title="Made up")
    plan = {
        "songwright": "0", "title": "Made up", "form": str(sheet.form), "key": sheet.key.name, "originality": {},
        "chords": [
            {"bar": step // 48 + 1, "beat": step % 48 // 12 + 1, "symbol": chord_name(chord, sheet.key)}
            for step, chord in sheet.chords
        ],
        "durations": {
            "MELODY": sheet.melody["duration_step"].tolist(), "PIANO": song.piano["duration_step"].tolist(),
        },
    }  # fmt: skip
    (tmp_path / "song.json").write_text(json.dumps(plan))
    return tmp_path / "song.mid"


def run(song: Path, styles: Path, **options: object) -> None:
    defaults = {
        "phrase": 2, "amount": 0.7, "count": 2, "seed": 4, "out": song.parent / "out", "style": "pop",
        "weights": styles,
    }  # fmt: skip
    vary.run(SimpleNamespace(song=song, **{**defaults, **options}))


def test_only_the_melody_of_the_phrase_differs(song, styles, capsys):
    run(song, styles)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Made up: phrase 2 of i4A8B8A8 (A (1), bars 5 to 12, ")
    assert lines[0].endswith("amount 0.7, seed 4")
    original = read_midi(song)
    bounds = 4 * 4 * 480, 12 * 4 * 480
    for number, line in enumerate(lines[1:], start=1):
        path = song.parent / "out" / f"song-phrase2-{number}.mid"
        assert str(path) in line
        assert "notes changed" in line
        varied = read_midi(path)
        assert varied.track("PIANO") == original.track("PIANO")
        assert varied.tempos == original.tempos
        before, after = (score.track("MELODY").notes for score in (original, varied))
        inside = [(notes["onset_tick"] >= bounds[0]) & (notes["onset_tick"] < bounds[1]) for notes in (before, after)]
        np.testing.assert_array_equal(before[~inside[0]], after[~inside[1]])
        assert not np.array_equal(before[inside[0]], after[inside[1]])


def test_a_variation_can_be_read_as_the_song_was(song, styles):
    run(song.with_suffix(".json"), styles, count=1)
    varied = read_song(song.parent / "out" / "song-phrase2-1.mid")
    assert varied.reading == "written"
    assert str(varied.song.lead_sheet.form) == "i4A8B8A8"
    assert varied.plan["varied"] == {"phrase": 2, "amount": 0.7, "seed": 4}
    assert "originality" not in varied.plan


def test_no_amount_gives_the_file_back(song, styles, capsys):
    run(song, styles, amount=0.0, count=1)
    assert "similarity 1.00, 0 of" in capsys.readouterr().out
    assert read_midi(song.parent / "out" / "song-phrase2-1.mid") == read_midi(song)


def test_a_file_of_unknown_music_is_varied_in_its_own_key(song, styles, capsys):
    song.with_suffix(".json").unlink()
    run(song, styles, amount=0.0, count=1)
    assert "0 of" in capsys.readouterr().out
    before, after = read_midi(song), read_midi(song.parent / "out" / "song-phrase2-1.mid")
    for one, other in zip(before.tracks, after.tracks, strict=True):
        for name in ("onset_tick", "pitch"):
            np.testing.assert_array_equal(one.notes[name], other.notes[name])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"phrase": 9}, InputError, "there is no phrase 9: the song has 4"),
        ({"phrase": 0}, ConfigError, "--phrase counts from 1"),
        ({"phrase": 1}, InputError, "phrase 1 has no melody to vary; these have: 2, 3, 4"),
        ({"amount": 1.5}, ConfigError, "--amount must be from 0 to 1"),
        ({"amount": float("nan")}, ConfigError, "--amount must be from 0 to 1"),
        ({"count": 0}, ConfigError, "--count must be from 1"),
        ({"seed": -1}, ConfigError, "--seed must be from 0"),
    ],
)
def test_impossible_wishes_end_in_a_sentence(song, styles, options, error, message):
    with pytest.raises(error, match=message):
        run(song, styles, **options)
    assert not (song.parent / "out").exists()


def test_a_file_that_is_no_song_ends_in_a_sentence(tmp_path, styles):
    path = tmp_path / "short.mid"
    write_midi(path, Score(480, (Track("MELODY", note_array([Note(0, 480, 60), Note(480, 480, 62)])),)))
    with pytest.raises(InputError, match="cannot be varied: "):
        run(path, styles)
    (tmp_path / "song.json").write_text("{}")
    with pytest.raises(InputError, match=r"there is no song\.mid beside it"):
        run(tmp_path / "song.json", styles)
    (tmp_path / "song.txt").write_text("la la")
    with pytest.raises(InputError, match="not a file of notes"):
        run(tmp_path / "song.txt", styles)


def test_nothing_is_written_over(song, styles):
    out = song.parent / "out"
    out.mkdir()
    (out / "song-phrase2-2.mid").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"song-phrase2-2\.mid exists already"):
        run(song, styles)
    assert [path.name for path in out.iterdir()] == ["song-phrase2-2.mid"]
    with pytest.raises(OutputError, match="is a file"):
        run(song, styles, out=song)
