"""ABC tunes to scores: lengths, accidentals, repeats, voices, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from songwright.errors import InputError
from songwright.files.abc import read_abc, tunes_from_abc_bytes
from songwright.files.chord_labels import chord_label_from_symbol
from songwright.score.elements import KeySignature, Score, TempoChange, TimeSignature


def tune(body: str, *, key: str = "C", fields: str = "M:4/4\nL:1/4\n", repeats: bool = True) -> Score:
    [(_, score)] = tunes_from_abc_bytes(f"X:1\nT:Test\n{fields}K:{key}\n{body}\n".encode(), repeats=repeats)
    return score


def sounding(score: Score, track: int = 0) -> list[tuple[float, int, float]]:
    """(onset, pitch, duration) in quarter notes."""
    ticks = score.ticks_per_quarter
    return [(n["onset_tick"] / ticks, int(n["pitch"]), n["duration_tick"] / ticks) for n in score.tracks[track].notes]


def pitches(score: Score) -> list[int]:
    return score.tracks[0].notes["pitch"].tolist()


def durations(score: Score) -> list[float]:
    return [duration for _, _, duration in sounding(score)]


def test_octave_marks_and_lengths() -> None:
    score = tune("C, C c c'2 | B/ A3/2 z G// F/4 E0")
    assert pitches(score) == [48, 60, 72, 84, 71, 69, 67, 65, 64]
    assert durations(score) == [1, 1, 1, 2, 0.5, 1.5, 0.25, 0.25, 1]


@pytest.mark.parametrize(
    ("key", "expected", "signature"),
    [
        ("G", [65 + 1, 72], KeySignature(0, 1)),
        ("Am", [65, 72], KeySignature(0, 0, True)),
        ("D dorian", [65, 72], KeySignature(0, 0)),
        ("Ador", [66, 72], KeySignature(0, 1)),
        ("EMix", [66, 73], KeySignature(0, 3)),
        ("F#minor", [66, 73], KeySignature(0, 3, True)),
        ("Bb", [65, 72], KeySignature(0, -2)),
        ("Cb", [64, 71], KeySignature(0, -7)),
        ("C ^f", [66, 72], KeySignature(0, 0)),
        ("HP", [66, 73], KeySignature(0, 2)),
        ("none", [65, 72], KeySignature(0, 0)),
    ],
)
def test_keys_and_modes(key: str, expected: list[int], signature: KeySignature) -> None:
    score = tune("F c", key=key)
    assert pitches(score) == expected
    assert score.key_signatures == (signature,)


def test_accidentals_hold_to_the_bar_line_in_all_octaves_or_as_the_tune_says() -> None:
    assert pitches(tune("^F F f =F | F", key="C")) == [66, 66, 78, 65, 65]
    assert pitches(tune("%%propagate-accidentals octave\n^F F f | F")) == [66, 66, 77, 65]
    assert pitches(tune("%%MIDI nobarlines\n^F F f | F")) == [66, 65, 77, 65]


def test_an_accidental_reaches_over_the_bar_line_through_a_tie() -> None:
    assert sounding(tune("z3 ^F- | F F")) == [(3, 66, 2), (5, 65, 1)]


def test_broken_rhythm_and_tuplets() -> None:
    assert durations(tune("A>B c<d e>>f g > a")) == [1.5, 0.5, 0.5, 1.5, 1.75, 0.25, 1.5, 0.5]
    assert durations(tune("(3ABc (3:2:2d2e (2fg")) == pytest.approx([2 / 3] * 3 + [4 / 3, 2 / 3] + [1.5] * 2, abs=1e-9)


def test_chords_ties_and_grace_notes() -> None:
    assert sounding(tune("[CEG]2 {ab}[C2E-] E")) == [
        (0, 60, 2),
        (0, 64, 2),
        (0, 67, 2),
        (2, 60, 2),
        (2, 64, 1),
        (4, 64, 1),
    ]
    assert sounding(tune("C4-|C4|C4")) == [(0, 60, 8), (8, 60, 4)]


def test_repeats_and_endings() -> None:
    assert pitches(tune("|:C4|1D4:|2E4|]F4|")) == [60, 62, 60, 64, 65]
    assert pitches(tune("C4::D4:|")) == [60, 60, 62, 62]
    assert pitches(tune("C4|[1,3D4:|[2E4:|]")) == [60, 62, 60, 64, 60, 62]
    assert pitches(tune("|:C4|1D4:|2E4|]F4|", repeats=False)) == [60, 62, 64, 65]


def test_jumps_and_the_order_of_parts() -> None:
    assert pitches(tune("C4!fine!|D4!D.C.!|")) == [60, 62, 60]
    assert pitches(tune("P:A\nC4:|\nP:B\nD4|", fields="M:4/4\nL:1/4\nP:ABA\n")) == [60, 60, 62, 60, 60]


def test_a_pick_up_and_a_last_bar_that_completes_it() -> None:
    score = tune("G|c4|c3:|")
    assert score.time_signatures == (TimeSignature(0, 1, 4), TimeSignature(480, 4, 4))
    assert score.end_tick == 16 * 480


def test_music_without_metre_has_the_bars_that_are_drawn() -> None:
    score = tune("C3|D5|", fields="M:none\nL:1/4\n")
    assert score.time_signatures == (TimeSignature(0, 3, 4), TimeSignature(1440, 5, 4))


def test_unit_length_follows_the_metre_where_none_is_given() -> None:
    assert durations(tune("C", fields="M:2/4\n")) == [0.25]
    assert durations(tune("C", fields="M:3/4\n")) == [0.5]


@pytest.mark.parametrize(
    ("field", "qpm"),
    [("1/4=90", 90), ("3/8=60", 90), ('"Slow" 1/2=30 "ca."', 60), ("120", 120), ("1/8 1/4=60", 90), ("C3=40", 120)],
)
def test_tempos(field: str, qpm: float) -> None:
    assert tune("C", fields=f"M:4/4\nL:1/4\nQ:{field}\n").tempos == (TempoChange(0, qpm),)


def test_voices_become_tracks() -> None:
    score = tune("V:1\nc4|[V:2]C4|\nV:1\nd4|\nV:2\nD4|", fields='M:4/4\nL:1/4\nV:1 name="Tune"\nV:2 clef=treble-8\n')
    assert [track.name for track in score.tracks] == ["Tune", "Voice 2"]
    assert sounding(score, 0) == [(0, 72, 4), (4, 74, 4)]
    assert sounding(score, 1) == [(0, 48, 4), (4, 50, 4)]


def test_fields_inside_the_music_change_key_metre_and_length() -> None:
    score = tune("F4|[K:G][M:3/4][L:1/8]F6|")
    assert sounding(score) == [(0, 65, 4), (4, 66, 3)]
    assert score.time_signatures[-1] == TimeSignature(4 * 480, 3, 4)


def test_chord_symbols_are_labels_and_other_quotes_are_not() -> None:
    score = tune('"Am"A2"^slowly""D7/F#"d2|"4"e2"Bbmaj7"f2')
    assert [(c.tick // 480, c.label) for c in score.chord_labels] == [(0, "A:min"), (2, "D:7/3"), (6, "Bb:maj7")]


@pytest.mark.parametrize(
    ("symbol", "label"),
    [
        ("C", "C:maj"),
        ("F#m7b5", "F#:hdim7"),
        ("Gsus", "G:sus4"),
        ("G7sus4", "G:sus4(b7)"),
        ("Edim7", "E:dim7"),
        ("C+", "C:aug"),
        ("Am/G", "A:min/b7"),
        ("CmM7", "C:minmaj7"),
        ("N.C.", "N"),
        ("Chorus", None),
        ("rit.", None),
    ],
)
def test_lead_sheet_symbols(symbol: str, label: str | None) -> None:
    assert chord_label_from_symbol(symbol) == label


def test_a_book_gives_every_tune_with_its_title(tmp_path: Path) -> None:
    book = "% a book\nL:1/4\n\nX:1\nT:One\nK:C\nC D|\nw: words here\n\nsome text\n\n"
    book += "X:2\nT:Silent\nK:C\n\nX:3\nT:Three\nK:G\nF|\n"
    (tmp_path / "book.abc").write_text(book)
    found = read_abc(tmp_path / "book.abc")
    assert [(title, pitches(score)) for title, score in found] == [("One", [60, 62]), ("Three", [66])]
    assert durations(found[0][1]) == [1, 1]


def test_latin_1_text_is_read() -> None:
    [(title, _)] = tunes_from_abc_bytes("X:1\nT:Für\nK:C\nC|".encode("latin-1"))
    assert title == "Für"


LONG = "X:1\nL:1/8\nK:C\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no tune"),
        ("\0\1\2", "not text"),
        ("X:1\nK:C\n\n", "no tune"),
        ("just words", "no tune"),
        (LONG + "z999|" * 20_000, "longer than 65536 quarter notes"),
        (LONG + "Z999|" * 20_000, "more than 50000 measures"),
        (LONG + "c" * 200_000, "more than 131072 characters"),
        (LONG + "".join(f"V:{i}\nc|\n" for i in range(99)), "more than 64 voices"),
        ("X:1\nK:C\nc\n\n" * 5_001, "more than 5000 tunes"),
    ],
)
def test_what_is_no_tune_book_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        tunes_from_abc_bytes(text.encode(), name="book.abc")
    message = str(refusal.value)
    assert message.startswith("book.abc ")
    assert message.endswith(".")


@pytest.mark.parametrize(
    "text", ["{" * 60_000, '"a' * 30_001, "[" * 60_000, "c" + "'" * 60_000, "c" + "9" * 60_000, ":" * 60_000]
)
def test_signs_that_never_close_take_no_time(text: str) -> None:
    [(_, score)] = tunes_from_abc_bytes((LONG + "C4|\n" + text).encode())
    assert pitches(score)[:1] == [60]
    assert score.num_notes < 60_000


def test_one_bad_tune_does_not_cost_the_book() -> None:
    book = LONG + "c" * 200_000 + "\n\nX:2\nT:Good\nK:C\nC|\n"
    assert [title for title, _ in tunes_from_abc_bytes(book.encode())] == ["Good"]
