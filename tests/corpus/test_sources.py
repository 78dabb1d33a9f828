from __future__ import annotations

from collections import Counter

import pytest

from songwright.cli import main
from songwright.corpus.sources import SOURCES, checksum, find_files, known_digests, recognise
from songwright.errors import InputError


def put(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_known_layouts_are_recognised_wherever_they_lie(tmp_path, tiny_pop909):
    put(tmp_path / "all" / "grooves" / "drummer1" / "session1" / "1_rock.mid")
    put(
        tmp_path / "all" / "grooves" / "info.csv",
        "drummer,style,midi_filename,split\ndrummer1,rock,drummer1/session1/1_rock.mid,test\n",
    )
    put(tmp_path / "all" / "Lieder" / "scores" / "Schubert" / "Set" / "Song" / "lc123.mxl")
    put(tmp_path / "all" / "chords" / "0003" / "salami_chords.txt")
    put(tmp_path / "all" / "game" / "music" / "01-a.mid")
    put(tmp_path / "all" / "game" / "music" / "music.tab")
    put(tmp_path / "all" / "my own" / "x.kar")
    files = {file.piece_id: file for file in find_files(tmp_path / "all")}
    assert sorted(files) == [
        "all/my own/x.kar", "billboard/0003", "groove/drummer1/session1/1_rock", "lieder/lc123", "simutrans/music/01-a",
    ]  # fmt: skip
    groove = files["groove/drummer1/session1/1_rock"]
    assert (groove.style, groove.split, groove.format) == ("rock", "test", "midi")
    assert recognise(tiny_pop909 / "POP909") is SOURCES["pop909"]


def test_ids_do_not_depend_on_where_a_collection_lies(tmp_path, tiny_pop909):
    (tmp_path / "elsewhere").symlink_to(tiny_pop909 / "POP909", target_is_directory=True)
    here = [file.piece_id for file in find_files(tiny_pop909 / "POP909")]
    assert [file.piece_id for file in find_files(tmp_path / "elsewhere")] == here
    assert [file.piece_id for file in find_files(tiny_pop909)] == here


def test_versions_belong_to_their_song(tiny_pop909, tmp_path):
    put(tmp_path / "POP" / "001" / "001.mid")
    put(tmp_path / "POP" / "001" / "versions" / "001-v1.mid")
    main_file, version = find_files(tmp_path / "POP")
    assert (main_file.work, main_file.is_version) == ("pop909/001", False)
    assert (version.work, version.is_version, version.piece_id) == ("pop909/001", True, "pop909/001/001-v1")


def test_one_file_is_a_source(tmp_path):
    put(tmp_path / "Song.MID")
    assert [file.piece_id for file in find_files(tmp_path / "Song.MID")] == [f"file/{tmp_path.name}/Song.MID"]


@pytest.mark.parametrize("name", ["none", "empty", "words.txt"])
def test_places_without_music_are_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    put(tmp_path / "words.txt")
    with pytest.raises(InputError):
        find_files(tmp_path / name)


def test_a_checksum_is_of_the_set():
    assert checksum([3, 1, 2**63]) == checksum([2**63, 3, 1])
    assert checksum([3, 1]) != checksum([3, 2])


def test_every_collection_is_listed_with_licence_and_checksum(capsys):
    assert main(["sources"]) == 0
    printed = capsys.readouterr().out
    for source in SOURCES.values():
        assert source.url in printed
        assert checksum(known_digests(source.name)) in printed
        assert len(known_digests(source.name)) > 40


@pytest.mark.data
def test_the_real_collections_are_found_as_published(music_data):
    files = find_files(music_data)
    count = Counter(file.source for file in files if not file.is_version)
    assert count["pop909"] == 849
    assert count["lieder"] == 1460
    assert count["groove"] == 1150
    assert count["billboard"] == 890
    assert count["openewld"] == 502
    assert (count["simutrans"], count["freedoom"], count["tannerhelland"]) == (53, 112, 43)
