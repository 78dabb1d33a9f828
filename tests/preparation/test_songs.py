"""Songs come out of a corpus as they went in."""

from __future__ import annotations

import numpy as np
import pytest

from songwright.corpus.pop909 import LabelledSong, load_songs
from songwright.errors import InputError
from songwright.preparation.shards import SPLITS
from songwright.preparation.songs import corpus_songs


def test_every_song_is_decoded_as_it_was_loaded(corpus, tiny_pop909):
    loaded = {
        f"pop909/{song.song_id}": song.song
        for song in load_songs(tiny_pop909 / "POP909", tiny_pop909 / "POP909-phrases")
        if isinstance(song, LabelledSong)
    }
    decoded = {song.piece_id: song.song for split in SPLITS for song in corpus_songs(corpus, split)}
    assert decoded.keys() == loaded.keys()
    assert len(decoded) == 8
    for piece_id, song in decoded.items():
        sheet, other = song.lead_sheet, loaded[piece_id].lead_sheet
        assert (sheet.form, sheet.key, sheet.chords) == (other.form, other.key, other.chords)
        assert sheet.tempo_qpm == pytest.approx(other.tempo_qpm, abs=0.1)
        assert np.array_equal(sheet.melody, other.melody)
        assert np.array_equal(song.piano, loaded[piece_id].piano)


def test_only_what_is_wanted_is_decoded(corpus):
    wanted = {next(iter(corpus_songs(corpus, "train"))).piece_id}
    assert {song.piece_id for song in corpus_songs(corpus, "train", wanted=wanted)} == wanted


def test_an_unknown_collection_is_refused(corpus):
    with pytest.raises(InputError, match="has no source 'jazz'"):
        list(corpus_songs(corpus, "train", sources=["jazz"]))
