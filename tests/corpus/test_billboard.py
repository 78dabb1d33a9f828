from __future__ import annotations

import pytest

from songwright.corpus.billboard import read_billboard
from songwright.errors import InputError
from songwright.score.lead_sheet import ChordSymbol

SONG = """# title: Made Up
# artist: Nobody
# metre: 4/4
# tonic: D

0.0\tsilence
1.0\tA, intro, | D:maj | D:maj |, (guitar)
5.0\tB, verse, | D:maj G:maj | A:7 . . D:maj/3 | x2, (voice
13.0\tC, chorus, | B:min | N | E:min7 | A:1 |
21.0\tZ, fadeout, | D:maj |
23.0\tend
"""


def write(tmp_path, text):
    (tmp_path / "salami_chords.txt").write_text(text)
    return tmp_path / "salami_chords.txt"


def test_sections_bars_and_beats_become_a_song_in_c(tmp_path):
    sheet = read_billboard(write(tmp_path, SONG)).lead_sheet
    assert str(sheet.form) == "i2A4B4o1"
    assert sheet.tempo_qpm == pytest.approx(120)
    assert (sheet.key.tonic, sheet.key.is_minor) == (0, False)
    steps = [(change.onset_step / 48, change.chord) for change in sheet.chords]
    assert steps[:4] == [
        (0, ChordSymbol(0, "maj", 0)),
        (2.5, ChordSymbol(5, "maj", 5)),
        (3, ChordSymbol(7, "7", 7)),
        (3.75, ChordSymbol(0, "maj", 4)),
    ]
    assert (9, ChordSymbol(7, "maj", 7)) in steps
    assert not sheet.problems()


def test_a_minor_tonic_becomes_a_minor(tmp_path):
    song = read_billboard(write(tmp_path, SONG.replace("D:maj", "D:min")))
    assert (song.lead_sheet.key.tonic, song.lead_sheet.key.is_minor) == (9, True)
    assert song.lead_sheet.chords[0].chord == ChordSymbol(9, "min", 9)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("metre: 4/4", "metre: 3/4", "not in 4/4"),
        ("| B:min |", "| (2/4) B:min |", "changes its metre"),
        ("G:maj", "H:maj", "line 8"),
        (SONG[SONG.index("5.0") :], "", "only 2 bars"),
        ("5.0\tB", "five B", "line 8"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, old, new, words):
    with pytest.raises(InputError, match=words):
        read_billboard(write(tmp_path, SONG.replace(old, new)))


@pytest.mark.data
def test_real_annotations_are_read(music_data):
    songs, refused = [], []
    for path in sorted((music_data / "billboard").glob("*/*/salami_chords.txt"))[::10]:
        try:
            songs.append(read_billboard(path))
        except InputError as error:
            refused.append(str(error))
    assert all("4/4" in words or "metre" in words for words in refused)
    assert len(songs) > 60
    assert all(not song.problems() for song in songs)
    assert sum(len(set(song.lead_sheet.form.phrases)) > 1 for song in songs) > 0.9 * len(songs)
