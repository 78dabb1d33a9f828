from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.score.pitch import Key


@pytest.mark.parametrize(
    ("text", "key"),
    [("C", Key(0)), ("A minor", Key(9, True)), ("Bb Major", Key(10)), ("c# MINOR", Key(1, True)),
     ("F#m", Key(6, True)), ("Bb major", Key(10)), ("Gb:maj", Key(6)),
     ("Eb:min", Key(3, True)), ("e minor", Key(4, True)), ("B♭", Key(10))],
)  # fmt: skip
def test_keys_are_read_in_every_usual_spelling(text, key):
    assert Key.parse(text) == key


@pytest.mark.parametrize("text", ["", "H", "C lydian", "7", "C minor major"])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(ValueError, match="not a key"):
        Key.parse(text)


@given(st.integers(0, 11), st.booleans())
def test_a_key_is_read_back_from_its_name(tonic, is_minor):
    assert Key.parse(Key(tonic, is_minor).name) == Key(tonic, is_minor)


def test_signatures_follow_the_circle_of_fifths():
    assert [Key(tonic).fifths for tonic in (0, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10, 5)] == [
        0,
        1,
        2,
        3,
        4,
        5,
        -6,
        -5,
        -4,
        -3,
        -2,
        -1,
    ]
    assert Key(9, True).fifths == 0
    assert Key(1, True).fifths == 4


@given(st.integers(0, 11), st.booleans())
def test_normalising_ends_in_c_major_or_a_minor(tonic, is_minor):
    key = Key(tonic, is_minor)
    assert (tonic + key.semitones_to_normal) % 12 == (9 if is_minor else 0)
    assert -6 <= key.semitones_to_normal <= 5
