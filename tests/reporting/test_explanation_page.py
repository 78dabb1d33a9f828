from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from songwright.explanation.likelihood import ShippedNetwork
from songwright.reporting.explanation import Explanation, explain, first_bars, phrase_place
from songwright.reporting.explanation_page import explanation_page
from songwright.reporting.explanation_plots import (
    SURPRISE_STEPS,
    alternatives_svg,
    note_tints,
    roll_svg,
    sources_svg,
    surprise_svg,
    surprise_tint,
)
from songwright.reporting.explanation_words import bar_lines, verdict
from songwright.score.grid import GRID_NOTE_DTYPE
from songwright.score.lead_sheet import Form, LeadSheet
from songwright.score.song import Song
from tests.music import make_song


@pytest.fixture(scope="module")
def network() -> ShippedNetwork:
    return ShippedNetwork("pop")


@pytest.fixture(scope="module")
def explanation(network: ShippedNetwork) -> Explanation:
    return explain(make_song(5, "A4B4A4B4").transpose(3), network, title="Love & <Hate>")


class Tags(HTMLParser):
    """Checks that tags close, and collects ids and addresses."""

    VOID = ("meta", "link", "input", "img", "br", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if values.get("id") else []
        self.fetched += [values[name] for name in ("src", "href") if (values.get(name) or "").startswith(("http", "/"))]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_fetches_nothing_and_has_every_bar(explanation):
    text = explanation_page(explanation)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.fetched == []
    assert len(tags.ids) == len(set(tags.ids))
    assert {f"bar-{bar}" for bar in range(1, 17)} <= set(tags.ids)
    assert "Love &amp; &lt;Hate&gt;" in text
    assert "<Hate>" not in text
    shown = re.sub(r"<(style|script).*?</\1>", "", text, flags=re.DOTALL)
    assert not re.search(r"\b(nan|NaN|None|inf)\b", shown)
    assert verdict(explanation) in text


def test_the_chosen_bar_is_the_asked_one_else_the_most_surprising(explanation):
    most = explanation.most_surprising_bars(1)[0] + 1
    assert f'max="16" value="{most}"' in explanation_page(explanation)
    assert 'max="16" value="3"' in explanation_page(explanation, bar=2)
    note = explanation.notes_of_bar(12)[0]
    assert 'max="16" value="13"' in explanation_page(explanation, note=note)


def test_pictures_are_xml_with_a_text_alternative(explanation):
    for picture in (
        surprise_svg(explanation), roll_svg(explanation), sources_svg(explanation), alternatives_svg(explanation, 0)
    ):  # fmt: skip
        root = ElementTree.fromstring(picture)
        assert root.get("role") == "img"
        assert "Love & <Hate>" in root.get("aria-label")


def test_a_phrase_that_returns_takes_from_its_first_time(explanation):
    assert explanation.sources[9].sources[0].bar == 2
    assert explanation.sources[9].sources[0].place == "the same place in the first A"
    assert np.allclose(np.triu(explanation.matrix), 0)
    assert 'data-bar="10"' in roll_svg(explanation)


def test_attention_names_the_returning_phrase_too_and_silences_nothing(network):
    fast = explain(make_song(5, "A4B4A4B4"), network, title="t", method="attention")
    assert fast.sources[9].sources[0].bar == 2
    assert "copying from it" in fast.sources[9].text
    explanation_page(fast)


def test_surprise_has_the_colour_of_its_step():
    assert [surprise_tint(bits) for bits in (0, 1, 2, 4, 6, 50)] == [
        SURPRISE_STEPS[place][1] for place in (0, 1, 2, 3, 4, 4)
    ]


def test_every_note_has_a_tint_and_bar_lines_name_every_note(explanation):
    assert len(note_tints(explanation)) == len(explanation.notes)
    lines = bar_lines(explanation, 0)
    assert sum(bool(re.match(r"  \d+\. [A-G]", line)) for line in lines) == len(explanation.notes_of_bar(0))


def test_a_song_without_melody_has_a_page(network):
    made = make_song(1, "A4B4")
    sheet = made.lead_sheet
    silent = Song(
        LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, np.empty(0, GRID_NOTE_DTYPE)), made.piano
    )
    found = explain(silent, network, title="Silence")
    assert verdict(found) == "There is no melody that could surprise the network."
    assert "no melody" in explanation_page(found)
    ElementTree.fromstring(surprise_svg(found))


def test_one_bar_has_a_page(network):
    found = explain(make_song(2, "A1"), network, title="One bar")
    assert explanation_page(found).count('class="bar-part"') >= 1


def test_a_bar_is_placed_in_its_phrase():
    assert phrase_place(Form.parse("i2A4A4"), 7) == "A (2), bar 2 of 4"


def test_a_cut_piece_keeps_its_first_bars_alone(tmp_path):
    from songwright.corpus.piece import lead_song
    from songwright.evaluation.reading import read_song
    from songwright.files.midi import write_midi
    from songwright.rendering.performance import perform

    write_midi(tmp_path / "a.mid", perform(make_song(4, "A8B8A8"), seed=0))
    piece = read_song(tmp_path / "a.mid").piece
    cut = first_bars(piece, 13)
    song = lead_song(cut)
    assert song.lead_sheet.num_bars == 13
    assert song.problems() == []
    assert cut.form.num_bars == 13
