from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from songwright.cli import main
from songwright.errors import InputError
from songwright.preparation.inspection import NUM_ROLLS, inspection_page


class Page(HTMLParser):
    """Counts elements and gathers text; fails where tags do not match."""

    VOID = ("meta", "rect", "line", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_shows_what_the_corpus_holds(mixed_corpus):
    text, lines = inspection_page(mixed_corpus)
    page = Page(text)
    words = " ".join(page.words)
    assert lines[0].startswith("6 pieces")
    assert "left out, duplicate: 3" in lines
    for expected in ("mixed/drone.mid", "one note", "a transposition of mixed/song2.mid", "Left out: 8", "Up and down"):
        assert expected in words
    assert len(re.findall('<svg class="roll"', text)) == min(NUM_ROLLS, 6)
    assert len(re.findall('<svg class="chart"', text)) == 13


def test_the_page_fetches_nothing(mixed_corpus):
    text, _ = inspection_page(mixed_corpus)
    assert not re.search(r'(?:src|href|url)\s*[=(]\s*["\']?(?:https?:)?//', text)
    assert "@import" not in text


def test_the_same_seed_draws_the_same_page(mixed_corpus):
    assert inspection_page(mixed_corpus, seed=3) == inspection_page(mixed_corpus, seed=3)
    assert inspection_page(mixed_corpus, seed=3)[0] != inspection_page(mixed_corpus, seed=4)[0]


def test_names_of_files_cannot_break_the_page(tmp_path):
    from songwright.corpus.sources import find_files
    from tests.corpora import make, write_song

    write_song(tmp_path / "music" / "<script>alert(1)<.mid", 3)
    make(find_files(tmp_path / "music"), tmp_path / "corpus")
    text, _ = inspection_page(tmp_path / "corpus")
    assert Page(text).count["script"] == 1


def test_the_command_writes_the_page_and_prints_counts(mixed_corpus, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["inspect", str(mixed_corpus), "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("6 pieces")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_no_corpus_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a prepared corpus"):
        inspection_page(tmp_path)
