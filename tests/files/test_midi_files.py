"""MIDI files on disk: what is refused, and what exactly is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from songwright.errors import InputError, OutputError
from songwright.files.midi import MAX_FILE_BYTES, midi_bytes, read_midi, score_from_midi_bytes, write_midi
from songwright.score.elements import KeySignature, Marker, Note, Score, TempoChange, TimeSignature, Track, note_array


def song() -> Score:
    """Two tracks and one event of each kind."""
    return Score(
        480,
        (
            Track("MELODY", note_array([Note(0, 480, 60, 90), Note(480, 480, 60, 91)]), 65),
            Track("DRUMS", note_array([Note(0, 60, 36, 100)]), 0, is_drum=True),
        ),
        (TempoChange(0, 74.0),),
        (TimeSignature(0, 4, 4),),
        (KeySignature(0, -3, True),),
        (Marker(0, "Intro"), Marker(1920, "A – Strophe")),
    )


def test_a_written_file_reads_back_equal_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_midi(tmp_path / "song.mid", song(), title="A Song")
    assert read_midi(tmp_path / "song.mid") == song()
    assert [file.name for file in tmp_path.iterdir()] == ["song.mid"]


def test_the_bytes_are_those_of_the_format() -> None:
    expected = (
        "4d546864 00000006 0001 0003 01e0"
        "4d54726b 0000003e"
        "00 ff03 06 4120536f6e67 00 ff51 03 0c5f3b 00 ff58 04 04021808 00 ff59 02 fd01"
        "00 ff06 05 496e74726f 8f00 ff06 0d 4120e28093205374726f706865 00 ff2f 00"
        "4d54726b 00000023"
        "00 ff03 06 4d454c4f4459 00 c041 00 903c5a 8360 803c00 00 903c5b 8360 803c00 00 ff2f 00"
        "4d54726b 00000018"
        "00 ff03 05 4452554d53 00 c900 00 992464 3c 892400 00 ff2f 00"
    )
    assert midi_bytes(song(), title="A Song").hex() == expected.replace(" ", "")


def test_melodic_tracks_have_channels_of_their_own_and_keep_off_the_drums() -> None:
    tracks = tuple(Track(str(number), note_array([Note(0, 10, 60)]), number) for number in range(15))
    data = midi_bytes(Score(480, tracks))
    channels = [status & 0x0F for status in range(0xC0, 0xD0) if bytes((0, status)) in data]
    assert channels == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]
    assert score_from_midi_bytes(data).tracks == tracks


@pytest.mark.parametrize("tempo", [60.0, 74.0, 92.5, 119.99, 123.4, 300.0])
def test_a_usual_tempo_survives_the_rounding_to_microseconds(tempo: float) -> None:
    score = Score(480, song().tracks, (TempoChange(0, tempo),))
    assert score_from_midi_bytes(midi_bytes(score)).tempos[0].tempo_qpm == tempo


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a MIDI file"),
        (b"RIFF" + bytes(40), "not a MIDI file"),
        (b"MThd\0\0\0\6\0\1\0\1\xe7\x28MTrk\0\0\0\4\0\xff\x2f\0", "film frames"),
        (b"MThd\0\0\0\6\0\1\0\1\0\0MTrk\0\0\0\4\0\xff\x2f\0", "film frames"),
        (b"MThd\0\0\0\6\0\2\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0", "format 2"),
        (b"MThd\0\0\0\6\0\1\xff\xff\1\xe0MTrk\0\0\0\4\0\xff\x2f\0", "ends too early"),
        (b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\xff\xff\xff\xff\0\xff\x2f\0", "damaged"),
        (midi_bytes(song())[:-30], "damaged"),
    ],
)
def test_what_is_no_sound_midi_file_is_refused_in_one_sentence(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "bad.mid").write_bytes(data)
    with pytest.raises(InputError, match=reason) as caught:
        read_midi(tmp_path / "bad.mid")
    assert str(caught.value).startswith(str(tmp_path / "bad.mid"))
    assert str(caught.value).count("\n") == 0


def test_missing_huge_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_midi(tmp_path / "none.mid")
    with pytest.raises(InputError, match="cannot be read"):
        read_midi(tmp_path)
    with (tmp_path / "huge.mid").open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(InputError, match="larger than 16 MiB"):
        read_midi(tmp_path / "huge.mid")


def test_a_file_is_not_written_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose a folder"):
        write_midi(tmp_path / "none" / "song.mid", song())


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    write_midi(tmp_path / "song.mid", song())
    with pytest.raises(ValueError, match="tempo"):
        write_midi(tmp_path / "song.mid", Score(480, (), (TempoChange(0, 0.0),)))
    assert read_midi(tmp_path / "song.mid") == song()


def test_events_without_meaning_are_left_out() -> None:
    data = midi_bytes(song()).replace(b"\xff\x51\x03\x0c\x5f\x3b", b"\xff\x51\x03\0\0\0")
    data = data.replace(b"\xff\x59\x02\xfd\x01", b"\xff\x59\x02\x60\x01").replace(
        b"\x04\x04\x02\x18", b"\x04\x00\x02\x18"
    )
    read = score_from_midi_bytes(data)
    assert (read.tempos, read.time_signatures, read.key_signatures) == ((), (), ())
    assert read.tracks == song().tracks


def played(*events: tuple[int, int, int, int]) -> bytes:
    """Return a file of one track at 480 ticks a quarter from (tick, status, data, data)."""
    body, before = bytearray(), 0
    for tick, *message in events:
        body += bytes(
            (0x80 | (tick - before) >> 14, 0x80 | (tick - before) >> 7 & 0x7F, (tick - before) & 0x7F, *message)
        )
        before = tick
    body += b"\0\xff\x2f\0"
    return b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk" + len(body).to_bytes(4, "big") + bytes(body)


ON, OFF, CONTROL, PEDAL = 0x90, 0x80, 0xB0, 64


def durations(data: bytes, *, apply_sustain: bool = True) -> list[list[int]]:
    """Return the durations of the notes of each track."""
    score = score_from_midi_bytes(data, apply_sustain=apply_sustain)
    return [track.notes["duration_tick"].tolist() for track in score.tracks]


def test_the_sustain_pedal_lengthens_notes_up_to_its_release_on_request(tmp_path: Path) -> None:
    data = played(
        (0, ON, 60, 80),
        (100, CONTROL, PEDAL, 64),
        (200, OFF, 60, 0),
        (300, ON, 62, 80),
        (400, CONTROL, PEDAL, 63),  # half down is up
        (500, OFF, 62, 0),
        (600, ON, 64, 80),
        (700, OFF, 64, 0),
    )
    assert durations(data) == [[400, 200, 100]]
    assert durations(data, apply_sustain=False) == [[200, 200, 100]]
    (tmp_path / "song.mid").write_bytes(data)
    assert read_midi(tmp_path / "song.mid").tracks[0].notes["duration_tick"].tolist() == [200, 200, 100]
    assert read_midi(tmp_path / "song.mid", apply_sustain=True).tracks[0].notes["duration_tick"][0] == 400


def test_a_sustained_note_ends_where_its_pitch_is_struck_again() -> None:
    strikes = [
        (tick + more, status, pitch, 80)
        for tick, pitch in ((0, 60), (10, 59), (500, 60))
        for more, status in ((0, ON), (50, OFF))
    ]
    data = played((0, CONTROL, PEDAL, 127), *sorted(strikes), (900, CONTROL, PEDAL, 0))
    score = score_from_midi_bytes(data, apply_sustain=True)
    assert score.tracks[0].notes[["onset_tick", "duration_tick", "pitch"]].tolist() == [
        (0, 500, 60),
        (10, 890, 59),
        (500, 400, 60),
    ]


def test_a_pedal_pressed_as_a_note_ends_does_not_catch_it() -> None:
    data = played((0, ON, 60, 80), (480, CONTROL, PEDAL, 127), (480, OFF, 60, 0), (960, CONTROL, PEDAL, 0))
    assert durations(data) == [[480]]


@pytest.mark.parametrize("release", [[], [(480 * 17, CONTROL, PEDAL, 0)]])
def test_a_stuck_pedal_is_ignored(release: list[tuple[int, int, int, int]]) -> None:
    assert durations(played((0, CONTROL, PEDAL, 127), (0, ON, 60, 80), (100, OFF, 60, 0), *release)) == [[100]]


def test_a_pedal_acts_on_its_own_channel_and_not_on_drums() -> None:
    for channel, expected in ((0, [[900], [100], [100]]), (1, [[100], [900], [100]]), (9, [[100], [100], [100]])):
        events = [(0, CONTROL | channel, PEDAL, 127)]
        events += [(tick, status | track, 60, 80) for tick, status in ((0, ON), (100, OFF)) for track in (0, 1, 9)]
        assert durations(played(*events, (900, CONTROL | channel, PEDAL, 0))) == expected


@pytest.mark.data
def test_real_files_read_back_equal(music_data: Path) -> None:
    files = sorted((music_data / "POP909").glob("*/*.mid"))[::60]
    assert files
    for file in files:
        score = read_midi(file)
        assert score.num_notes > 300
        assert score_from_midi_bytes(midi_bytes(score)) == score
