"""Gates in words: true to the gates, never praising, in one or two sentences."""

from __future__ import annotations

import pytest

from songwright.evaluation.gates import Gate
from songwright.evaluation.measuring import measure
from songwright.evaluation.norms import Deviation
from songwright.evaluation.set_numbers import GROUPS
from songwright.evaluation.verdict import feature_words, set_verdict, song_verdict
from tests.music import make_song


def gate(name: str, section: str, *, is_passed: bool | None = True, value: float = 0.5, **fields) -> Gate:
    return Gate(name, name, section, value, fields.pop("low", 0.4), fields.pop("high", 0.6), is_passed, "", **fields)


def usual(group: str, *deviations: Deviation, is_passed: bool | None = True) -> Gate:
    return gate(f"usual_{group}", GROUPS[group].section, is_passed=is_passed, deviations=deviations)


LEAPS = Deviation("local", "interval_size", True, 5.0, 0.97)
NO_COPY = gate("copy", "originality")


def test_a_set_inside_all_gates_is_not_called_good():
    verdict = set_verdict([gate("overlap_local", "notes"), gate("variety", "variety")], 100)
    assert verdict == "100 songs: all 2 gates passed; nothing measured tells them from as many real songs."


def test_a_set_says_what_is_like_real_songs_and_what_is_not():
    shift = gate(
        "shift_local", "notes", is_passed=False, deviations=(Deviation("local", "repeated_pitch_share", True, 0.4),)
    )
    gates = [gate("overlap_harmony", "harmony"), gate("similarity_error", "structure"), shift]
    assert set_verdict(gates, 200) == (
        "200 songs: 2 of 3 gates passed; like real songs in harmony and repetition, but the melody repeats notes more "
        "often than in real music."
    )


def test_copies_come_first():
    gates = [gate("copies", "originality", is_passed=False, value=3), gate("overlap_local", "notes")]
    verdict = set_verdict(gates, 60)
    assert "but 3 songs are copies of known ones." in verdict
    run = gate("longest_run", "originality", is_passed=False, value=41)
    assert "41 melody notes in a row" in set_verdict([run, gate("clash", "notes", is_passed=False)], 60)


def test_few_songs_are_called_few():
    assert set_verdict([gate("overlap_local", "notes")], 12).startswith(
        "12 songs (few: distributions are noisy): all 1"
    )
    assert set_verdict([gate("overlap_local", "notes", is_passed=None)], 3) == (
        "3 songs: too few for a distribution, so only originality is judged; nothing could be judged."
    )
    assert "nothing is copied" in set_verdict([gate("longest_run", "originality")], 1)


def test_failing_sides_have_words_of_their_own():
    for value, words in ((0.3, "the songs are more alike than in real music"), (0.9, "the songs are less alike")):
        assert words in set_verdict([gate("variety", "variety", is_passed=False, value=value)], 60)


def test_a_song_inside_the_range_still_says_what_is_rare():
    gates = [usual("local", LEAPS), usual("harmony"), NO_COPY]
    assert song_verdict(gates, kind="pop") == (
        "Within the range of real pop in notes and rhythm and harmony, but the melody moves in larger leaps than 97 % "
        "of real songs. Copies nothing known."
    )


def test_a_song_outside_says_where_and_why():
    gates = [usual("local", LEAPS._replace(share=1.0), is_passed=False), usual("harmony"), NO_COPY]
    assert song_verdict(gates) == (
        "Within the range of real songs in harmony, not in notes and rhythm: the melody moves in larger leaps than "
        "nearly all real songs. Copies nothing known."
    )


def test_a_copy_is_named_before_all_else():
    gates = [usual("local"), gate("copy", "originality", is_passed=False)]
    assert song_verdict(gates).startswith("The melody is a copy of a known song. Within")
    quotation = gate("longest_run", "originality", is_passed=False, value=34)
    assert song_verdict([usual("local"), quotation]).startswith("34 melody notes in a row are those of a known song.")


def test_what_was_not_judged_is_said():
    assert song_verdict([usual("local", is_passed=None)]) == (
        "Too short or too plain to be held against real songs. Not compared with known songs."
    )
    assert song_verdict([]) == "Not held against real songs. Not compared with known songs."


def test_every_number_of_a_song_has_words():
    for group, features in measure(make_song(0)).features.items():
        for name in features:
            low, high = (feature_words(Deviation(group, name, is_high, 0.0)) for is_high in (False, True))
            assert low != high
            assert name not in low + high


@pytest.mark.parametrize("verdict", [set_verdict([], 80), song_verdict([usual("local")])])
def test_verdicts_never_praise(verdict):
    assert not any(word in verdict.lower() for word in ("good", "great", "beautiful"))
