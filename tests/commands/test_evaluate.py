"""Songs are judged, bad ones left out with a reason; what cannot work is one sentence before any file is written."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from songwright.cli import main
from songwright.evaluation import judgement, judging
from songwright.evaluation.judging import find_songs
from songwright.files.midi import write_midi
from songwright.rendering.performance import perform
from songwright.reporting import writing
from songwright.score.elements import Note, Score, Track, note_array
from tests.evaluation.test_reading import notes_of, write_composed
from tests.music import make_song

FORM = "A4B4A4B4"
ODD_NAMES = ("<b>bold", "Übermut ß", 'it\'s "said"', "hash#part", "100%25 sure", "🎵", "-dash", "a&amp;b")
NO_WORDS = re.compile(r"(?<![\w.-])(?:nan|None(?! of)|undefined|inf|Infinity)(?![\w-])|\[object")


class _Page(HTMLParser):
    """The text, ids, links and open elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br", "img", "input", "source"):
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            elif name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("title", "aria-label"):
                self.words.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)


def check_pages(folder: Path, names: str = "*") -> None:
    """Parse every page and every JSON file in a folder, and in the folders below for all names."""
    files = list(folder.rglob("*") if names == "*" else folder.glob(names))
    for file in (file for file in files if file.suffix == ".json"):
        json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    for file in (file for file in files if file.suffix == ".html"):
        page = _Page(file.read_text())
        assert page.open == []
        assert [name for name, count in page.ids.items() if count > 1] == []
        assert [words for words in page.words if NO_WORDS.search(words)] == []
        for link in page.links:
            address = urlsplit(link)
            assert not address.scheme
            assert not address.path or (file.parent / unquote(address.path)).is_file(), link
    assert not list(folder.rglob("*.part"))


def write_song(path: Path, seed: int, form: str = FORM) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi(path, perform(make_song(seed, form), seed=0))
    return path


def stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in this process: faster, and warnings are errors."""

    def one_by_one(function: Callable[[Any], Any], tasks: Iterable[Any], **_: Any) -> Iterator[Any]:
        yield from map(function, tasks)

    monkeypatch.setattr(judgement, "run_in_processes", one_by_one)
    monkeypatch.setattr(writing, "run_in_processes", one_by_one)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    stay_here(monkeypatch)


def evaluate(*words: object) -> int:
    return main(["evaluate", "--no-sound", *map(str, words)])


def numbers(page: Path) -> dict[str, Any]:
    return json.loads(page.with_suffix(".json").read_text())


@pytest.mark.usefixtures("here")
def test_a_folder_of_good_odd_and_damaged_files_is_judged(tmp_path, capsys):
    folder, page = tmp_path / "songs", tmp_path / "report.html"
    for seed, name in enumerate(ODD_NAMES):
        write_song(folder / f"{name}.mid", seed)
    write_song(folder / "more" / f"{ODD_NAMES[1]}.mid", 50)
    write_midi(folder / "waltz.mid", notes_of(180, 3))
    write_midi(folder / "drums.mid", drums())
    write_midi(folder / "one.mid", Score(480, (Track("a", note_array([Note(0, 480, 60)])),)))
    write_midi(folder / "silent.mid", Score(480, ()))
    (folder / "junk.mid").write_bytes(b"no music")
    asked = write_composed(folder, make_song(60, FORM), "asked")
    plan = json.loads(asked.with_suffix(".json").read_text())
    plan |= {"title": "<script>x</script>", "asked": {"key": "H", "tempo_qpm": float("nan"), "<i>": ["?"]}}
    asked.with_suffix(".json").write_text(json.dumps(plan))
    shutil.copy(asked, folder / "damaged plan.mid")
    (folder / "damaged plan.json").write_text("[" * 20_000)

    assert evaluate(folder, "--out", page) == 0
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert f"left out {folder / 'junk.mid'}: is not a MIDI file" in printed.err
    assert "11 songs" in printed.out.splitlines()[0]
    check_pages(tmp_path / "report")
    check_pages(tmp_path, "report.*")
    found = numbers(page)
    reasons = {Path(one["file"]).name: one["reason"] for one in found["left_out"]}
    assert reasons.keys() == {"junk.mid", "waltz.mid", "drums.mid", "one.mid", "silent.mid"}
    assert "3/4" in reasons["waltz.mid"]
    assert len({one["name"] for one in found["songs"]}) == len(found["songs"]) == 15
    judged = numbers(tmp_path / "report" / "asked.html")
    assert [(one["control"], one["is_met"]) for one in judged["adherence"]] == [
        ("key", None), ("tempo_qpm", None), ("<i>", None)
    ]  # fmt: skip
    assert "cannot be read" in judged["adherence"][0]["measured"]
    assert "<script>x" not in (tmp_path / "report" / "asked.html").read_text()
    assert "cannot be read" in numbers(tmp_path / "report" / "damaged plan.html")["notes"][0]


def drums() -> Score:
    notes = note_array([Note(place * 240, 100, 36 + place % 3) for place in range(200)])
    return Score(480, (Track("drums", notes, is_drum=True),))


@pytest.mark.usefixtures("here")
def test_one_song_is_judged_and_the_missing_distribution_is_said(tmp_path, capsys):
    page = tmp_path / "report.html"
    assert evaluate(write_song(tmp_path / "song.mid", 1), "--out", page) == 0
    assert "One song has no distribution" in capsys.readouterr().out
    judged = numbers(page)
    assert any(gate["is_passed"] is not None for gate in judged["gates"])
    assert "from 50 songs on" in judged["notes"][-1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.json", "song.mid"]
    check_pages(tmp_path)


@pytest.mark.usefixtures("here")
def test_two_songs_are_named_with_their_verdicts(tmp_path, capsys):
    for seed in (1, 2):
        write_song(tmp_path / "songs" / f"song-{seed}.mid", seed)
    assert evaluate(tmp_path / "songs", "--out", tmp_path / "report.html", "--no-song-pages") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2 songs: too few for a distribution")
    assert "  song-1: " in printed
    assert not (tmp_path / "report").exists()
    check_pages(tmp_path)


@pytest.mark.usefixtures("here")
def test_files_that_are_no_songs_still_get_their_pages(tmp_path):
    write_midi(tmp_path / "waltz.mid", notes_of(180, 3))
    write_midi(tmp_path / "drums.mid", drums())
    assert evaluate(tmp_path, "--out", tmp_path / "report.html") == 0
    assert numbers(tmp_path / "report.html")["verdict"].startswith("None of the files is a song in 4/4")
    assert numbers(tmp_path / "report" / "waltz.html")["originality"]["melody_run"] >= 0
    check_pages(tmp_path)


@pytest.mark.usefixtures("here")
def test_a_second_run_takes_its_numbers_from_the_cache_and_writes_the_same_bytes(tmp_path, monkeypatch):
    for seed in range(3):
        write_song(tmp_path / "songs" / f"song-{seed}.mid", seed)
    contents: list[dict[str, bytes]] = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        assert evaluate(tmp_path / "songs", "--out", tmp_path / name / "report.html") == 0
        files = [file for file in (tmp_path / name).rglob("*") if file.is_file()]
        contents.append({str(file.relative_to(tmp_path / name)): file.read_bytes() for file in files})
        monkeypatch.setattr(judging, "_measure", lambda *_: pytest.fail("measured again"))
    assert len(contents[0]) == 8
    assert contents[0] == contents[1]


@pytest.mark.slow
def test_processes_and_a_cache_that_cannot_be_written_change_nothing(tmp_path, monkeypatch):
    for seed in range(4):
        write_song(tmp_path / "songs" / f"song-{seed}.mid", seed)
    options = (tmp_path / "songs", "--no-song-pages", "--out")
    with pytest.MonkeyPatch.context() as patch:
        stay_here(patch)
        assert evaluate(*options, tmp_path / "one.html") == 0
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("SONGWRIGHT_CACHE", str(tmp_path / "taken" / "cache"))
    assert evaluate(*options, tmp_path / "two.html", "--workers", 2) == 0
    for suffix in (".html", ".json"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["empty"], "no MIDI, MusicXML or ABC file in it"),
        (["texts"], "no MIDI, MusicXML or ABC file in it"),
        (["missing"], "does not exist"),
        (["texts/words.txt"], "not a file of notes"),
        (["junk"], "none of the 2 files can be judged"),
        (["song/song.mid", "--seed", "-1"], "--seed must be 0 or more"),
        (["song/song.mid", "--workers", "0"], "--workers must be at least 1"),
        (["song/song.mid", "--reference", "texts"], "not a prepared corpus"),
        (["song/song.mid", "--sources", "pop909"], "--reference"),
        (["song/song.mid", "--style", "none"], "unknown style 'none'"),
        (["song/song.mid", "--out", "report.pdf"], "name an .html file"),
        (["song/song.mid", "--out", "missing/report.html"], "missing is no folder"),
        (["song/song.mid", "--out", "folder.html"], "is a folder"),
        (["song/song.mid", "--out", "song/song.html"], "own plan"),
        (["song", "--out", "taken.html"], "is a file"),
        (["song", "--out", "song.html"], "among the songs themselves"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_work_is_one_sentence_and_nothing_is_written(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "texts", "junk", "folder.html"):
        Path(folder).mkdir()
    for file in ("texts/words.txt", "junk/a.mid", "junk/b.musicxml", "taken"):
        Path(file).write_text("words")
    for name in ("song", "other"):
        write_composed(Path(write_song(Path("song") / f"{name}.mid", 1).parent), make_song(1, FORM), name)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert evaluate(*words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


@pytest.mark.usefixtures("here")
def test_an_interrupt_leaves_no_page_of_the_set(tmp_path, monkeypatch, capsys):
    for seed in range(2):
        write_song(tmp_path / "songs" / f"song-{seed}.mid", seed)
    pages = iter(["<html></html>"])

    def interrupted(*_: object, **__: object) -> str:
        for page in pages:
            return page
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "song_page", interrupted)
    assert evaluate(tmp_path / "songs", "--out", tmp_path / "report.html") == 130
    assert "stopped" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()
    assert {file.name for file in (tmp_path / "report").iterdir()} == {"song-0.html", "song-0.json"}


def test_each_song_is_judged_once(tmp_path):
    song = write_song(tmp_path / "songs" / "song.mid", 1)
    for name in ("song.musicxml", "song.json", "song.mp3", ".hidden.mid", "other.MID"):
        (song.parent / name).write_text("")
    other = song.parent / "other.MID"
    assert find_songs([song.parent]) == [other, song]
    assert find_songs([song, song.parent, tmp_path / "songs" / ".." / "songs"]) == [song, other]
    assert find_songs(sorted(song.parent.glob("song.*"))) == [song]
    assert find_songs([song.with_suffix(".mp3")]) == [song.with_suffix(".mp3")]


@pytest.mark.data
@pytest.mark.usefixtures("here")
def test_a_training_song_is_named_as_what_was_copied(music_data, tmp_path, capsys):
    assert evaluate(music_data / "POP909" / "001" / "001.mid", "--out", tmp_path / "report.html") == 0
    assert re.search(r"copied: 001: \d+ bars from bar \d+ on follow pop909/001 ", capsys.readouterr().out)
    assert numbers(tmp_path / "report.html")["originality"]["copy"]["source"] == "pop909/001"
    assert "copied from a known song" in (tmp_path / "report.html").read_text()
