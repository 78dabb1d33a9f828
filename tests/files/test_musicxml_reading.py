"""MusicXML to scores: what sounds, where the bars are, and what is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from songwright.errors import InputError
from songwright.files import musicxml_document
from songwright.files.musicxml_reading import read_musicxml, score_from_musicxml_bytes, title_of
from songwright.score.elements import KeySignature, Score, TempoChange, TimeSignature
from songwright.score.lead_sheet import parse_chord


def note(pitch: str, duration: int = 1, inside: str = "", *, chord: bool = False) -> str:
    """A note such as `C4` or `F#5`, or a rest `R`."""
    if pitch == "R":
        return f"<note><rest/><duration>{duration}</duration>{inside}</note>"
    alter = "<alter>1</alter>" if "#" in pitch else "<alter>-1</alter>" if "b" in pitch else ""
    return (
        f"<note>{'<chord/>' if chord else ''}<pitch><step>{pitch[0]}</step>{alter}<octave>{pitch[-1]}</octave></pitch>"
        f"<duration>{duration}</duration>{inside}</note>"
    )


def attributes(divisions: int = 1, beats: str = "4", beat_type: int = 4, more: str = "") -> str:
    time = f"<time><beats>{beats}</beats><beat-type>{beat_type}</beat-type></time>"
    return f"<attributes><divisions>{divisions}</divisions>{time if beats else ''}{more}</attributes>"


def part(*measures: str, part_id: str = "P1") -> str:
    return f'<part id="{part_id}">' + "".join(f"<measure>{measure}</measure>" for measure in measures) + "</part>"


def document(*parts: str, part_list: str = "", head: str = "") -> bytes:
    listed = part_list or '<score-part id="P1"><part-name>Voice</part-name></score-part>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><score-partwise>{head}<part-list>{listed}</part-list>'
        f"{''.join(parts)}</score-partwise>"
    ).encode()


def read(*measures: str) -> Score:
    return score_from_musicxml_bytes(document(part(*measures)))


def sounding(score: Score, track: int = 0) -> list[tuple[float, int, float]]:
    """(onset, pitch, duration) in quarter notes."""
    ticks = score.ticks_per_quarter
    return [(n["onset_tick"] / ticks, int(n["pitch"]), n["duration_tick"] / ticks) for n in score.tracks[track].notes]


def pitches(score: Score) -> list[int]:
    return score.tracks[0].notes["pitch"].tolist()


def bars(*names: str, signs: dict[int, str] | None = None) -> Score:
    """A bar of one whole note for each pitch name; `signs` go into the bars of those numbers."""
    signs = signs or {}
    return read(*(attributes() * (i == 0) + signs.get(i, "") + note(name, 4) for i, name in enumerate(names)))


def barline(inside: str, location: str = "right") -> str:
    return f'<barline location="{location}">{inside}</barline>'


def sound(text: str) -> str:
    return f"<direction><direction-type/><sound {text}/></direction>"


FORWARD = barline('<repeat direction="forward"/>', "left")
BACKWARD = barline('<repeat direction="backward"/>')


def test_voices_chords_and_backup_share_one_track() -> None:
    score = read(
        attributes(2)
        + note("C5", 2)
        + note("E5", 2, chord=True)
        + note("D5", 6)
        + "<backup><duration>8</duration></backup><forward><duration>1</duration></forward>"
        + note("C3", 7)
    )
    assert sounding(score) == [(0, 72, 1), (0, 76, 1), (0.5, 48, 3.5), (1, 74, 3)]
    assert score.tracks[0].name == "Voice"


def test_parts_become_tracks_with_their_names_and_programs() -> None:
    part_list = (
        '<score-part id="P1"><part-name> Solo\n Voice </part-name></score-part>'
        '<score-part id="P2"><part-name>Piano</part-name><midi-instrument id="I2"><midi-channel>2</midi-channel>'
        "<midi-program>5</midi-program></midi-instrument></score-part>"
        '<score-part id="P3"><part-name>Kit</part-name><midi-instrument id="I3"><midi-channel>10</midi-channel>'
        "<midi-unpitched>43</midi-unpitched></midi-instrument></score-part>"
    )
    drum = '<note><unpitched/><duration>4</duration><instrument id="I3"/></note>'
    data = document(
        part(attributes() + note("C5", 4)),
        part(attributes() + note("C3", 4), part_id="P2"),
        part(attributes() + drum, part_id="P3"),
        part_list=part_list,
    )
    tracks = score_from_musicxml_bytes(data).tracks
    assert [(t.name, t.program, t.is_drum) for t in tracks] == [
        ("Solo Voice", 0, False),
        ("Piano", 4, False),
        ("Kit", 0, True),
    ]
    assert tracks[2].notes["pitch"].tolist() == [42]


def test_tied_notes_are_one_note_across_bars_and_voices_and_a_repeated_note_is_not() -> None:
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    score = read(
        attributes() + note("C5", 4, start + "<voice>1</voice>"),
        note("C5", 2, stop + start + "<voice>2</voice>") + note("C5", 1, stop) + note("C5", 1),
    )
    assert sounding(score) == [(0, 72, 7), (7, 72, 1)]


def test_a_tie_whose_end_is_not_written_is_closed_by_the_next_note() -> None:
    assert sounding(read(attributes() + note("C5", 4, '<tie type="start"/>'), note("C5", 4))) == [(0, 72, 8)]


def test_grace_and_cue_notes_do_not_sound_and_cues_keep_their_time() -> None:
    grace = "<note><grace/><pitch><step>B</step><octave>4</octave></pitch></note>"
    cue = "<note><cue/><pitch><step>A</step><octave>4</octave></pitch><duration>1</duration></note>"
    assert sounding(read(attributes() + grace + note("C5") + cue + note("D5", 2))) == [(0, 72, 1), (2, 74, 2)]


def test_transposing_instruments_key_and_chords_sound_as_heard() -> None:
    clarinet = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose><key><fifths>1</fifths></key>"
    harmony = "<harmony><root><root-step>D</root-step></root><kind>minor</kind></harmony>"
    score = read(attributes(more=clarinet) + harmony + note("D5", 4))
    assert pitches(score) == [72]
    assert score.key_signatures == (KeySignature(0, -1),)
    assert score.chord_labels[0].label == "C:min"


def test_ticks_hold_every_duration_exactly() -> None:
    triplets = attributes(3) + "".join(note("C5", 1) for _ in range(6)) + note("D5", 6)
    assert read(triplets).ticks_per_quarter == 480
    sevenths = attributes(7, "1") + "".join(note("C5", 1) for _ in range(7))
    score = read(sevenths)
    assert score.ticks_per_quarter == 3360
    assert set(score.tracks[0].notes["duration_tick"].tolist()) == {480}


def test_divisions_may_change_and_differ_between_parts() -> None:
    first = part(attributes(4) + note("C5", 16), "<attributes><divisions>6</divisions></attributes>" + note("D5", 24))
    second = part(attributes(5) + note("C3", 20), note("D3", 20), part_id="P2")
    score = score_from_musicxml_bytes(document(first, second))
    assert sounding(score, 0) == [(0, 72, 4), (4, 74, 4)]
    assert sounding(score, 1) == [(0, 48, 4), (4, 50, 4)]


def test_a_pick_up_has_a_time_signature_of_its_own_length() -> None:
    score = read(attributes() + note("C5"), note("D5", 4), note("E5", 3))
    assert score.time_signatures == (TimeSignature(0, 1, 4), TimeSignature(480, 4, 4))


def test_a_bar_cut_by_a_repeat_sign_stays_one_bar_each_time() -> None:
    score = read(
        attributes() + note("C5"),
        FORWARD + note("D5", 4),
        note("E5", 3) + BACKWARD,
        note("F5", 1),
        note("G5", 4),
    )
    # played: pick-up, D, E (3 beats), D ... : the bar of three beats before D is short, the last is filled by F.
    assert score.time_signatures == (
        TimeSignature(0, 1, 4),
        TimeSignature(1 * 480, 4, 4),
        TimeSignature(5 * 480, 3, 4),
        TimeSignature(8 * 480, 4, 4),
    )


def test_metres_change_and_sums_are_added() -> None:
    score = read(attributes(2, "3+2", 8) + note("C5", 5), attributes(2, "3", 4) + note("D5", 6))
    assert score.time_signatures == (TimeSignature(0, 5, 8), TimeSignature(1200, 3, 4))


def test_an_empty_bar_is_as_long_as_its_metre() -> None:
    assert sounding(read(attributes(1, "3"), note("C5", 3))) == [(3, 72, 3)]


def test_bars_of_parts_with_different_metres_last_equally_long() -> None:
    voice = part(attributes(1, "2", 4) + note("C5") + note("D5"), note("E5", 2))
    piano = part(attributes(2, "6", 8) + note("C3", 6), note("D3", 6), part_id="P2")
    score = score_from_musicxml_bytes(document(voice, piano))
    assert sounding(score, 0) == [(0, 72, 1.5), (1.5, 74, 1.5), (3, 76, 3)]
    assert score.time_signatures == (TimeSignature(0, 6, 8),)


def test_rests_that_overfill_a_bar_do_not_push_the_other_parts_apart() -> None:
    first = part(attributes() + note("R", 4) + note("R", 4), note("C5", 4))
    second = part(attributes() + note("C3", 4), note("D3", 4), part_id="P2")
    score = score_from_musicxml_bytes(document(first, second))
    assert sounding(score, 0) == [(4, 72, 4)]
    assert sounding(score, 1) == [(0, 48, 4), (4, 50, 4)]


def test_repeats_are_played_and_can_be_left_as_written() -> None:
    measures = [attributes() + note("C5", 4), FORWARD + note("D5", 4), note("E5", 4) + BACKWARD, note("F5", 4)]
    data = document(part(*measures))
    assert pitches(score_from_musicxml_bytes(data)) == [72, 74, 76, 74, 76, 77]
    assert pitches(score_from_musicxml_bytes(data, repeats=False)) == [72, 74, 76, 77]


def test_endings_are_played_in_their_pass() -> None:
    first = barline('<ending number="1, 2" type="start"/>', "left")
    first += barline('<ending number="1, 2" type="stop"/><repeat direction="backward"/>')
    second = barline('<ending number="3" type="start"/>', "left") + barline('<ending number="3" type="discontinue"/>')
    assert pitches(bars("C5", "D5", "E5", "F5", signs={1: first, 2: second})) == [72, 74, 72, 74, 72, 76, 77]


def test_da_capo_al_fine_takes_no_repeat_and_only_the_last_ending() -> None:
    first = barline('<ending number="1" type="start"/>', "left")
    first += barline('<ending number="1" type="stop"/><repeat direction="backward"/>')
    second = barline('<ending number="2" type="start"/>', "left") + barline('<ending number="2" type="stop"/>')
    signs = {1: first, 2: second + sound('fine="yes"'), 3: sound('dacapo="yes"')}
    assert pitches(bars("C5", "D5", "E5", "F5", signs=signs)) == [72, 74, 72, 76, 77, 72, 76]


def test_dal_segno_al_coda_jumps_once() -> None:
    signs = {
        1: sound('segno="s"'),
        2: sound('tocoda="c"'),
        3: sound('dalsegno="s"'),
        4: sound('coda="c"'),
    }
    assert pitches(bars("C5", "D5", "E5", "F5", "G5", signs=signs)) == [72, 74, 76, 77, 74, 76, 79]


def test_jumps_that_are_only_words_are_read() -> None:
    def words(text: str) -> str:
        return f"<direction><direction-type><words>{text}</words></direction-type></direction>"

    signs = {0: words("Fine"), 2: words("D.C. al Fine")}
    assert pitches(bars("C5", "D5", "E5", signs=signs)) == [72, 74, 76, 72]


def test_after_a_jump_tempo_and_key_are_those_written_there() -> None:
    fast = sound('tempo="60"')
    slow = "<direction><direction-type><metronome><beat-unit>half</beat-unit><beat-unit-dot/><per-minute>c. 40"
    slow += "</per-minute></metronome></direction-type></direction>"
    key = "<attributes><key><fifths>{}</fifths><mode>{}</mode></key></attributes>"
    signs = {0: fast + key.format(-3, "minor"), 1: slow + key.format(1, "major") + BACKWARD}
    score = bars("C5", "D5", signs=signs)
    assert score.tempos == tuple(TempoChange(i * 1920, qpm) for i, qpm in enumerate((60, 120, 60, 120)))
    assert score.key_signatures == tuple(
        KeySignature(i * 1920, *key) for i, key in enumerate(((-3, True), (1, False)) * 2)
    )


def test_dynamic_marks_give_the_velocity_from_where_they_stand() -> None:
    forte = "<direction><direction-type><dynamics><f/></dynamics></direction-type></direction>"
    piano = "<direction><direction-type><dynamics><p/></dynamics></direction-type><offset>1</offset></direction>"
    score = read(attributes() + note("C5") + forte + note("D5"), note("E5") + piano + note("F5") + note("G5", 2))
    assert score.tracks[0].notes["velocity"].tolist() == [80, 96, 96, 96, 49]


def test_chord_symbols_are_labels_that_parse_chord_reads() -> None:
    def harmony(root: str, alter: int, kind: str, more: str = "") -> str:
        root = f"<root><root-step>{root}</root-step><root-alter>{alter}</root-alter></root>"
        return f"<harmony>{root}<kind>{kind}</kind>{more}</harmony>"

    bass = "<bass><bass-step>D</bass-step></bass>"
    ninth = (
        "<degree><degree-value>9</degree-value><degree-alter>-1</degree-alter><degree-type>add</degree-type></degree>"
    )
    score = read(
        attributes()
        + harmony("B", -1, "major", bass)
        + note("D5")
        + harmony("F", 1, "half-diminished")
        + note("E5")
        + harmony("G", 0, "dominant", ninth)
        + note("F5")
        + "<harmony><root><root-step>C</root-step></root><kind>none</kind></harmony>"
        + note("C5")
    )
    assert [(c.tick // 480, c.label) for c in score.chord_labels] == [
        (0, "Bb:maj/3"),
        (1, "F#:hdim7"),
        (2, "G:7(b9)"),
        (3, "N"),
    ]
    assert parse_chord("Bb:maj/3").bass == 2  # type: ignore[union-attr]


def test_rehearsal_marks_become_markers_at_each_pass() -> None:
    mark = "<direction><direction-type><rehearsal>A</rehearsal></direction-type></direction>"
    score = bars("C5", "D5", signs={1: mark + BACKWARD})
    assert [(m.tick, m.text) for m in score.markers] == [(1920, "A"), (5760, "A")]


def test_a_timewise_score_reads_like_a_partwise_one() -> None:
    measures = [attributes() + note("C5", 4), note("D5", 4)]
    timewise = "".join(f'<measure><part id="P1">{m}</part></measure>' for m in measures)
    data = f"<score-timewise><part-list/>{timewise}</score-timewise>".encode()
    assert sounding(score_from_musicxml_bytes(data)) == sounding(read(*measures))


def packed(content: bytes, *, name: str = "score.xml", others: int = 0) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "META-INF/container.xml", f'<container><rootfiles><rootfile full-path="{name}"/></rootfiles></container>'
        )
        archive.writestr(name, content)
        for index in range(others):
            archive.writestr(f"image{index}.png", b"")
    return stream.getvalue()


def test_compressed_and_other_encodings_read_the_same(tmp_path: Path) -> None:
    data = document(part(attributes() + note("C5", 4)), head="<movement-title>  Über\n allem </movement-title>")
    (tmp_path / "plain.musicxml").write_bytes(data)
    (tmp_path / "packed.mxl").write_bytes(packed(data))
    utf16 = data.decode().replace("UTF-8", "UTF-16").encode("utf-16")
    (tmp_path / "wide.xml").write_bytes(utf16)
    scores = [read_musicxml(tmp_path / name) for name in ("plain.musicxml", "packed.mxl", "wide.xml")]
    assert scores[0] == scores[1] == scores[2]
    assert {title_of(tmp_path / name) for name in ("plain.musicxml", "packed.mxl", "wide.xml")} == {"Über allem"}


LOL = '<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><score-partwise>&b;</score-partwise>'
SMALL = document(part(attributes() + note("C5", 4)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no MusicXML file"),
        (b"<html/>", "no MusicXML score"),
        (SMALL[:-20], "damaged"),
        (packed(SMALL)[:-40], "damaged compressed"),
        (packed(b"<a>" + b" " * 3_000_000 + b"</a>"), "unpacks to more"),
        (packed(SMALL, others=1_001), "holds more than 1000 files"),
        (LOL.encode(), "declares XML entities"),
        (LOL.encode("utf-16"), "declares XML entities"),
        (b'<!DOCTYPE s [<!ATTLIST a b CDATA "x">]><s><a/></s>', "declares XML entities"),
        (b"<a>" * 100_000, "deep"),
        (b"<score-partwise><print>" + b"<a>" * 100_000, "deep"),
        (b"<score-partwise/>", "no measures"),
        (document(part(attributes(10**12) + note("C5"))), "divides"),
        (document(part(*(attributes(d) + note("C5") for d in (999_983, 999_979, 999_961)))), "too many ways"),
        (SMALL.replace(b"<duration>4", b"<duration>NaN"), "duration is 'NaN'"),
        (SMALL.replace(b"<duration>4", b"<duration>1e400"), "duration is '1e400'"),
        (SMALL.replace(b"<duration>4", b"<duration>99999"), "measure of more than"),
        (document(part(*[note("C5", 4) + barline('<repeat direction="backward" times="16"/>')] * 4_000)), "more than"),
        (document(*[part(note("C5"))] * 300), "more than 256 parts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_score_or_made_to_harm_is_refused_in_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        score_from_musicxml_bytes(data, name="song.mxl")
    message = str(refusal.value)
    assert message.startswith("song.mxl ")
    assert message.endswith(".")
    assert "\n" not in message


def test_more_elements_than_any_score_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musicxml_document, "MAX_TAGS", 1_000)
    with pytest.raises(InputError, match="more than 1000 XML elements"):
        score_from_musicxml_bytes(b"<score-partwise>" + b"<a/>" * 1_001 + b"</score-partwise>")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_musicxml(tmp_path / "none.mxl")


def test_a_score_without_notes_has_no_tracks() -> None:
    assert read(attributes() + note("R", 4)).tracks == ()


def test_notes_outside_of_midi_and_wrong_numbers_are_left_out() -> None:
    odd = note("C5").replace("<octave>5", "<octave>99") + note("C5").replace("<step>C", "<step>Q")
    assert sounding(read(attributes() + odd + note("D5", 2))) == [(2, 74, 2)]


@pytest.mark.data
def test_real_songs_keep_voice_and_piano_apart(music_data: Path) -> None:
    paths = sorted((music_data / "openscore_lieder").rglob("*.mxl"))[::300]
    assert paths
    for path in paths:
        score = read_musicxml(path)
        assert len(score.tracks) >= 2
        assert score.time_signatures[0].tick == 0
        assert any("piano" in t.name.lower() or "pianoforte" in t.name.lower() for t in score.tracks)
