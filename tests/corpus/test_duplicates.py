"""Duplicates: what a fingerprint ignores, what groups hold, and that they grow in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from songwright.corpus.augmentation import transpose
from songwright.corpus.duplicates import (
    MIN_SIMILARITY,
    DuplicateGroups,
    Fingerprint,
    find_duplicates,
    fingerprint,
    stack_fingerprints,
    unstack_fingerprints,
)
from songwright.corpus.fingerprints import MAX_FIGURES, MIN_FIGURES, NUM_BANDS, band_keys
from songwright.errors import InputError
from songwright.files.midi import read_midi
from songwright.score.grid_score import TRACK_NOTE_DTYPE, BarTempo, GridScore, GridTrack
from tests.music import grid_scores


def notes_of(rows: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Notes of (onset, duration, pitch)."""
    return np.array([(*row, 80) for row in sorted(rows, key=lambda row: (row[0], row[2]))], dtype=TRACK_NOTE_DTYPE)


def melody_rows(seed: int, length: int = 160) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(seed)
    lengths = rng.choice([3, 6, 6, 12, 24], length)
    onsets = np.cumsum(lengths) - lengths
    pitches = 66 + np.abs(np.cumsum(rng.choice([-5, -3, -2, -1, 0, 1, 2, 4, 7], length)) % 24 - 12)
    return list(zip(onsets.tolist(), lengths.tolist(), pitches.tolist(), strict=True))


def song(seed: int, *, accompaniment: int | None = None, length: int = 160) -> GridScore:
    """A melody of its own over low broken chords, those of `accompaniment` where given."""
    rng = np.random.default_rng(1000 + (seed if accompaniment is None else accompaniment))
    low = [(6 * step, 6, 36 + int(pitch)) for step, pitch in enumerate(rng.choice([0, 4, 7, 12], 300))]
    tracks = (
        GridTrack("voice", notes_of(melody_rows(seed, length)), "melody"),
        GridTrack("piano", notes_of(low), "chords"),
    )
    return GridScore(tracks, 50)


def with_melody(score: GridScore, rows: Sequence[tuple[int, int, int]]) -> GridScore:
    return replace(score, tracks=(replace(score.tracks[0], notes=notes_of(rows)), *score.tracks[1:]))


def stretched(score: GridScore, factor: int, delay: int) -> GridScore:
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["onset_step"] = notes["onset_step"] * factor + delay
        notes["duration_step"] *= factor
        tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks))


def edited(score: GridScore, share: float, seed: int) -> GridScore:
    rng = np.random.default_rng(seed)
    rows = score.tracks[0].notes[["onset_step", "duration_step", "pitch"]].tolist()
    changed = [(on, length, pitch + int(rng.integers(1, 6))) if rng.random() < share else (on, length, pitch)
               for on, length, pitch in rows]  # fmt: skip
    return with_melody(score, changed)


def kinds(*scores: GridScore) -> list[tuple[int, int, str]]:
    return [relation[:3] for relation in find_duplicates([fingerprint(score) for score in scores])]


def test_songs_with_different_melodies_are_no_duplicates():
    assert kinds(*(song(seed) for seed in range(40))) == []


def test_a_copy_in_another_tempo_with_other_names_loudness_and_track_order_is_exact():
    original = song(1)
    tracks = tuple(replace(track, name="x", program=40) for track in reversed(original.tracks))
    tracks[0].notes["velocity"] = 33
    copy = replace(original, tracks=tracks, tempos=(BarTempo(0, 61.0),))
    assert kinds(song(2), original, copy) == [(1, 2, "exact")]


def test_one_changed_note_makes_an_exact_copy_a_near_one():
    original = song(1)
    rows = melody_rows(1)
    rows[5] = (rows[5][0], rows[5][1] + 1, rows[5][2])
    assert kinds(original, with_melody(original, rows)) == [(0, 1, "near")]


@pytest.mark.parametrize("semitones", [-7, 5, 12])
def test_a_transposed_copy_is_found_as_such(semitones: int):
    assert kinds(song(3), song(4), transpose(song(3), semitones)) == [(0, 2, "transposed")]


def test_drums_do_not_hide_a_transposition():
    kit = GridTrack("kit", notes_of([(12 * beat, 3, 36 + 2 * (beat % 2)) for beat in range(64)]), "drums", is_drum=True)
    original = replace(song(3), tracks=(*song(3).tracks, kit))
    assert kinds(original, transpose(original, 2)) == [(0, 1, "transposed")]


@pytest.mark.parametrize(("factor", "delay"), [(2, 0), (1, 18), (2, 7), (4, 30)])
def test_a_copy_in_double_time_or_shifted_on_the_grid_is_found(factor: int, delay: int):
    found = kinds(song(3), song(4), stretched(song(3), factor, delay))
    assert found == [(0, 2, "exact" if factor == 1 else "near")]


def test_copies_with_a_tenth_of_the_notes_edited_are_found():
    originals = [song(seed) for seed in range(30)]
    copies = [transpose(edited(score, 0.1, seed), seed % 5) for seed, score in enumerate(originals)]
    found = {(earlier, later) for earlier, later, _ in kinds(*originals, *copies)}
    assert found == {(place, place + 30) for place in range(30)}


def test_the_same_melody_over_another_accompaniment_is_found():
    assert kinds(song(5), song(6), song(5, accompaniment=99)) == [(0, 2, "near")]


def test_the_same_accompaniment_under_another_melody_is_no_duplicate():
    assert kinds(song(5, accompaniment=1), song(6, accompaniment=1)) == []


def test_a_melody_is_found_by_the_top_voice_where_no_track_has_the_role():
    unnamed = replace(song(7), tracks=tuple(replace(track, role="other") for track in song(7).tracks))
    assert kinds(song(7, accompaniment=3), unnamed) == [(0, 1, "near")]


def test_an_excerpt_is_found():
    original = song(8, length=200)
    assert kinds(original, song(9), with_melody(song(10, accompaniment=4), melody_rows(8, 200)[20:100])) == [
        (0, 2, "near")
    ]


@pytest.mark.parametrize(
    "pitches",
    [[60] * 60, [60, 62] * 30, [60, 60, 62, 62] * 15, [60] * 30 + [62] * 30],
    ids=["repeated", "trill", "pairs", "step"],
)
def test_plain_patterns_are_no_figures(pitches: list[int]):
    rows = [(6 * place, 6, pitch) for place, pitch in enumerate(pitches)]
    alone = fingerprint(GridScore((GridTrack("", notes_of(rows), "melody"),), 8))
    assert [len(line) for line in alone.figures] == [0, 0]
    tail = [(10_000 + onset, length, pitch) for onset, length, pitch in rows]
    assert kinds(*(with_melody(song(seed), melody_rows(seed) + tail) for seed in range(6))) == []


def test_a_shared_scale_does_not_join_songs():
    scale = [(10_000 + 6 * place, 6, 60 + (0, 2, 4, 5, 7, 5, 4, 2)[place % 8]) for place in range(200)]
    scores = [with_melody(song(seed), melody_rows(seed) + scale) for seed in range(6)]
    shared = set.intersection(*(set(fingerprint(score).figures[0].tolist()) for score in scores))
    assert shared
    assert kinds(*scores) == []


def test_short_pieces_are_grouped_only_when_equal():
    tune = [(6 * place, 6, pitch) for place, pitch in enumerate([60, 67, 62, 69, 64, 71, 65])]
    other = [*tune[:-1], (36, 6, 72)]
    first, second, third = (GridScore((GridTrack("", notes_of(rows), "melody"),), 1) for rows in (tune, other, tune))
    assert kinds(first, second, third, transpose(first, 1)) == [(0, 2, "exact"), (0, 3, "transposed")]


def test_pieces_without_notes_are_never_duplicates():
    empty = GridScore((GridTrack("", notes_of([]), "melody"),), 0)
    assert fingerprint(empty).notes_hash == 0
    assert kinds(empty, GridScore((), 0), empty) == []


def drum_piece(seed: int) -> GridScore:
    rng = np.random.default_rng(seed)
    hits = {(3 * int(place), 3, int(pitch)) for place, pitch in zip(
        rng.integers(0, 600, 500), rng.choice([36, 38, 42, 46, 45, 49], 500), strict=True)}  # fmt: skip
    return GridScore((GridTrack("kit", notes_of(sorted(hits)), "drums", is_drum=True),), 40)


def rock_beat(num_bars: int) -> GridScore:
    hits = [(48 * bar + 6 * eighth, 3, pitch) for bar in range(num_bars) for eighth in range(8)
            for pitch in ([42, 36], [42], [42, 38], [42])[eighth % 4]]  # fmt: skip
    return GridScore((GridTrack("kit", notes_of(hits), "drums", is_drum=True),), num_bars)


def test_pieces_of_drums_alone_are_compared_by_their_strokes():
    changed = drum_piece(1).tracks[0].notes.copy()[10:]
    copy = GridScore((GridTrack("kit", changed, "drums", is_drum=True),), 40)
    assert kinds(drum_piece(1), drum_piece(2), copy) == [(0, 2, "near")]
    assert len(fingerprint(drum_piece(1)).figures[0]) >= MIN_FIGURES


def test_a_common_beat_does_not_join_pieces_of_drums():
    assert kinds(rock_beat(16), rock_beat(20), rock_beat(33)) == []


def test_drums_never_match_a_melody():
    melodic = song(1)
    as_drums = GridScore((replace(melodic.tracks[0], role="drums", is_drum=True),), 50)
    assert kinds(GridScore(melodic.tracks[:1], 50), as_drums) == []


def plain_fingerprint(figures: Sequence[int], identity: int) -> Fingerprint:
    """A fingerprint of one line with these figures."""
    line = np.unique(np.array(figures, dtype=np.uint32))
    empty = line[:0]
    return Fingerprint(identity, identity, (line, empty), np.stack([band_keys(line), band_keys(empty)]))


@st.composite
def families(draw: st.DrawFn) -> list[Fingerprint]:
    """Fingerprints of which some share much, some little, some nothing, and some are equal or chained."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    parents = rng.integers(0, 2**32, (4, 60))
    found = []
    for identity in range(draw(st.integers(2, 25))):
        first, second = parents[rng.integers(4)], parents[rng.integers(4)]
        cut = int(rng.integers(0, 61))
        figures = np.concatenate([first[:cut], second[cut:]])[: int(rng.integers(4, 61))]
        found.append(
            plain_fingerprint(figures.tolist(), 1 + int(rng.integers(20)) if rng.random() < 0.3 else 100 + identity)
        )
    return found


def group_names(groups: DuplicateGroups, names: Sequence[int]) -> set[frozenset[int]]:
    return {frozenset(names[place] for place in group) for group in groups.groups()}


@given(families(), st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_groups_do_not_depend_on_order_or_on_what_is_added_together(prints: list[Fingerprint], random):
    together = DuplicateGroups()
    together.add(prints)
    order = list(range(len(prints)))
    random.shuffle(order)
    grown = DuplicateGroups()
    start = 0
    while start < len(order):
        size = random.randint(1, 9)
        grown.add([prints[place] for place in order[start : start + size]])
        start += size
    assert group_names(grown, order) == group_names(together, range(len(prints)))


@given(families())
@settings(max_examples=25)
def test_relations_span_the_groups_and_are_true(prints: list[Fingerprint]):
    groups = DuplicateGroups()
    groups.add(prints)
    relations = groups.relations()
    members = list(chain.from_iterable(groups.groups()))
    firsts = {group[0] for group in groups.groups()}
    assert [relation.later for relation in relations] == sorted(set(members) - firsts)
    for earlier, later, kind, similarity in relations:
        assert earlier < later
        assert any(earlier in group and later in group for group in groups.groups())
        one, other = (set(prints[place].figures[0].tolist()) for place in (earlier, later))
        if kind == "near":
            assert prints[earlier].notes_hash != prints[later].notes_hash
            assert similarity == pytest.approx(len(one & other) / len(one | other))
        else:
            assert prints[earlier].notes_hash == prints[later].notes_hash


def test_lines_that_share_much_are_joined_and_lines_that_share_little_are_not():
    pool = np.random.default_rng(0).integers(0, 2**32, 1000)
    base = plain_fingerprint(pool[:100], 1)
    for num_shared, is_joined in ((95, True), (60, True), (40, True), (22, False), (10, False), (7, False)):
        other = plain_fingerprint([*pool[:num_shared], *pool[200 : 300 - num_shared]], 2)
        assert (num_shared / (200 - num_shared) >= MIN_SIMILARITY) == is_joined
        assert bool(find_duplicates([base, other])) == is_joined


def test_few_shared_figures_do_not_join_however_short_the_lines():
    pool = np.random.default_rng(0).integers(0, 2**32, 40)
    lines = plain_fingerprint(pool[:8], 1), plain_fingerprint(pool[1:9], 2)
    assert find_duplicates(lines) == ()
    assert len(find_duplicates([plain_fingerprint(pool[:12], 1), plain_fingerprint(pool[1:13], 2)])) == 1


def test_a_link_through_a_third_piece_shows_its_low_similarity():
    pool = np.random.default_rng(3).integers(0, 2**32, 200)
    one, other, both = plain_fingerprint(pool[:100], 1), plain_fingerprint(pool[100:], 2), plain_fingerprint(pool, 3)
    relations = find_duplicates([one, other, both])
    assert [relation[:2] for relation in relations] == [(0, 1), (0, 2)]
    assert relations[0].similarity == 0
    assert relations[1].similarity == pytest.approx(0.5)


def test_many_copies_and_many_near_copies_of_one_piece_are_one_group():
    pool = np.random.default_rng(4).integers(0, 2**32, 100)
    rng = np.random.default_rng(5)
    copies = [plain_fingerprint(pool, 1)] * 300
    near = [plain_fingerprint(rng.permutation(pool)[:70], 2 + place) for place in range(300)]
    groups = DuplicateGroups()
    groups.add([*copies, *near])
    assert [len(group) for group in groups.groups()] == [600]


def test_adding_compares_new_pieces_only(monkeypatch: pytest.MonkeyPatch):
    pool = np.random.default_rng(4).integers(0, 2**32, 100)
    groups = DuplicateGroups()
    groups.add([plain_fingerprint([*pool[:60], *range(place * 50, place * 50 + 40)], place + 1) for place in range(20)])
    compared: list[int] = []
    similarity = groups._line_similarity
    monkeypatch.setattr(
        groups, "_line_similarity", lambda one, other: compared.extend([*one, *other]) or similarity(one, other)
    )
    groups.add([plain_fingerprint([*pool[:60], *range(9000, 9040)], 99)])
    assert len(groups.groups()[0]) == 21
    assert 0 < len(compared) <= 40
    assert all(40 in pair for pair in zip(compared[::2], compared[1::2], strict=True))


def test_the_similarity_of_very_long_lines_is_estimated_from_their_lowest_hashes():
    pool = np.random.default_rng(6).integers(0, 2**32, 6000, dtype=np.uint32)
    lines = [np.sort(part)[:MAX_FIGURES] for part in (pool[:4000], pool[1000:5000])]
    prints = [Fingerprint(place, place, (line, line[:0]), np.stack([band_keys(line), band_keys(line[:0])]))
              for place, line in enumerate(lines, 1)]  # fmt: skip
    (relation,) = find_duplicates(prints)
    assert relation.similarity == pytest.approx(0.6, abs=0.06)


def test_groups_are_saved_and_go_on_growing(tmp_path: Path):
    prints = [fingerprint(score) for score in (song(1), song(2), transpose(song(1), 3))]
    groups = DuplicateGroups()
    groups.add(prints)
    groups.save(tmp_path / "groups.npz")
    loaded = DuplicateGroups.load(tmp_path / "groups.npz")
    assert loaded.relations() == groups.relations() != ()
    loaded.add([fingerprint(edited(song(2), 0.05, 0))])
    assert loaded.groups() == ((0, 2), (1, 3))
    assert len(loaded) == 4


@pytest.mark.parametrize("damage", [b"", b"PK", b"no archive at all"])
def test_a_damaged_file_of_groups_is_an_input_error(tmp_path: Path, damage: bytes):
    path = tmp_path / "groups.npz"
    path.write_bytes(damage)
    with pytest.raises(InputError, match="groups of duplicates"):
        DuplicateGroups.load(path)


def test_fingerprints_survive_stacking():
    prints = [fingerprint(score) for score in (song(1), drum_piece(2), GridScore((), 0))]
    for before, after in zip(prints, unstack_fingerprints(stack_fingerprints(prints)), strict=True):
        assert (after.notes_hash, after.transposed_hash) == (before.notes_hash, before.transposed_hash)
        assert all(np.array_equal(*lines) for lines in zip(before.figures, after.figures, strict=True))
        assert np.array_equal(after.bands, before.bands)
    assert unstack_fingerprints(stack_fingerprints([])) == []
    arrays = stack_fingerprints(prints)
    with pytest.raises(ValueError, match="do not fit"):
        unstack_fingerprints({**arrays, "figures": arrays["figures"][:-1]})


@given(grid_scores())
@settings(max_examples=30)
def test_any_piece_has_a_fingerprint_of_fixed_form(score: GridScore):
    found = fingerprint(score)
    assert found.bands.shape == (2, NUM_BANDS)
    assert (found.notes_hash == 0) == (score.num_notes == 0)
    for line in found.figures:
        assert line.dtype == np.uint32
        assert len(line) <= MAX_FIGURES
        assert (np.diff(line.astype(np.int64)) > 0).all()


def test_a_flood_of_notes_is_fingerprinted():
    rng = np.random.default_rng(0)
    notes = np.zeros(300_000, dtype=TRACK_NOTE_DTYPE)
    notes["onset_step"] = np.sort(rng.integers(0, 2**31 - 1, 300_000))
    notes["pitch"], notes["duration_step"] = rng.integers(0, 128, 300_000), 2**31 - 1
    at_once = notes.copy()
    at_once["onset_step"] = 5
    for array in (notes, at_once):
        assert fingerprint(GridScore((GridTrack("", array, "melody"),), 1)).notes_hash


@pytest.mark.data
def test_the_known_pairs_of_pop909_are_found_and_nothing_else(music_data: Path):
    ids = ["017", "018", "262", "805", "492", "666", "101", "103", *(f"{number:03}" for number in range(1, 17))]
    prints = []
    for song_id in ids:
        score = read_midi(music_data / "POP909" / song_id / f"{song_id}.mid")
        tracks = []
        for track in score.tracks:
            notes = np.empty(len(track.notes), dtype=TRACK_NOTE_DTYPE)
            for step, tick in (("onset_step", "onset_tick"), ("duration_step", "duration_tick")):
                notes[step] = np.maximum(np.rint(track.notes[tick] / 40), step == "duration_step")
            notes["pitch"], notes["velocity"] = track.notes["pitch"], track.notes["velocity"]
            tracks.append(GridTrack(track.name, notes, "melody" if track.name == "MELODY" else "other"))
        prints.append(fingerprint(GridScore(tuple(tracks), 1)))
    found = {(ids[relation.earlier], ids[relation.later]) for relation in find_duplicates(prints)}
    assert found == {("017", "018"), ("262", "805"), ("492", "666"), ("101", "103")}
    melodies = [set(found.figures[0].tolist()) for found in prints[8:]]
    assert max(len(one & other) / len(one | other) for one, other in combinations(melodies, 2)) < MIN_SIMILARITY / 2
