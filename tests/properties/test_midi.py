"""What is written to a MIDI file is what is read from it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from songwright.errors import InputError
from songwright.files.midi import midi_bytes, score_from_midi_bytes
from songwright.score.elements import KeySignature, Marker, Score, TempoChange, TimeSignature, Track, note_array

ticks = st.integers(0, 200_000)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
tempos_qpm = st.integers(1_000, 40_000).map(lambda hundredths: hundredths / 100)


@st.composite
def tracks(draw: st.DrawFn) -> Track:
    """A track with at least one note, in which notes of one pitch do not overlap."""
    free_from: dict[int, int] = {}
    notes = []
    for _ in range(draw(st.integers(1, 6))):
        pitch = draw(st.integers(0, 127))
        onset = free_from.get(pitch, 0) + draw(st.integers(0, 3_000))
        duration = draw(st.integers(0 if pitch % 2 else 1, 3_000))
        # Two empty notes of one pitch at one tick have no order in a file.
        free_from[pitch] = onset + max(duration, 1)
        notes.append((onset, duration, pitch, draw(st.integers(1, 127))))
    return Track(draw(texts), note_array(notes), draw(st.integers(0, 127)), draw(st.booleans()))


def _ordered(events: st.SearchStrategy) -> st.SearchStrategy:
    unique = st.lists(events, max_size=5, unique_by=lambda event: event.tick)
    return unique.map(lambda found: tuple(sorted(found, key=lambda event: event.tick)))


scores = st.builds(
    Score,
    ticks_per_quarter=st.sampled_from([1, 96, 480, 32_767]),
    tracks=st.lists(tracks(), max_size=4).map(tuple),
    tempos=_ordered(st.builds(TempoChange, ticks, tempos_qpm)),
    time_signatures=_ordered(st.builds(TimeSignature, ticks, st.integers(1, 32), st.sampled_from([1, 2, 4, 8, 16]))),
    key_signatures=_ordered(st.builds(KeySignature, ticks, st.integers(-7, 7), st.booleans())),
    markers=_ordered(st.builds(Marker, ticks, texts.filter(bool))),
)


def attempt(data: bytes) -> tuple[Score | None, str]:
    """Return what is read, or None and the error."""
    try:
        return score_from_midi_bytes(data, name="x.mid"), ""
    except InputError as error:
        return None, str(error)


@settings(max_examples=100, deadline=None)
@given(scores)
def test_a_score_reads_back_equal(score: Score) -> None:
    assert score_from_midi_bytes(midi_bytes(score)) == score


@settings(max_examples=80, deadline=None)
@given(
    score=scores, position=st.integers(0, 10**6), replacement=st.binary(min_size=0, max_size=4), cut=st.integers(0, 4)
)
def test_damaged_bytes_give_a_score_or_one_sentence(score: Score, position: int, replacement: bytes, cut: int) -> None:
    data = midi_bytes(score)
    at = position % len(data)
    damaged = data[:at] + replacement + data[at + cut :]
    read, message = attempt(damaged)
    if read is None:
        assert message.startswith("x.mid ")
        assert message.endswith(".")
        assert "\n" not in message
    else:
        assert all(track.notes["onset_tick"].min() >= 0 for track in read.tracks)
        assert all(tempo.tempo_qpm > 0 for tempo in read.tempos)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_after_a_header_never_crash(body: bytes) -> None:
    header = midi_bytes(Score(480, ()))[:14]
    read, message = attempt(header + b"MTrk" + len(body).to_bytes(4, "big") + body)
    assert (read is None) == ("MIDI" in message)
    assert attempt(b"RIFF" + body)[0] is None
