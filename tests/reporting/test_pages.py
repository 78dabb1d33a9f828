"""Pages of songs and sets: whole documents that say in words what is missing, whatever the report holds."""

from __future__ import annotations

import json
import math
import re
import struct
import time
import zlib
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from songwright.analysis.coherence import accompaniment_features, coherence_features
from songwright.analysis.features import song_features
from songwright.evaluation.definitions import FEATURE_GROUPS, GROUP_LABELS, PUBLISHED, definition
from songwright.evaluation.report import evaluate_songs
from songwright.reporting.matrix import similarity_matrix, tinted_png
from songwright.reporting.page import page, table
from songwright.reporting.passage import closest_passage
from songwright.reporting.plots import counts_plot, curve_plot, place_plot, range_plot, spread_plot
from songwright.reporting.roll import BarRow, roll_part
from songwright.reporting.set_page import set_page
from songwright.reporting.song_page import HASHES_ONLY, song_page
from songwright.reporting.words import number, span
from songwright.score.grid import GRID_NOTE_DTYPE, grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song
from tests.music import songs as any_songs

_VOID = {"meta", "link", "input", "img", "br", "hr"}
_NO_WORDS = re.compile(r"\b(nan|NaN|None|undefined|inf|Infinity|null)\b")
_CODE = {"script", "style"}


class Document(HTMLParser):
    """A page read strictly: text, attributes and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.music: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self._is_music = False
        self.feed(html)
        self.close()
        self.problems += [f"{tag} is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if len(found) < len(attrs):
            self.problems.append(f"{tag} has an attribute twice")
        self.ids += [str(found["id"])] if "id" in found else []
        self.words += [str(found[name]) for name in ("title", "aria-label") if name in found]
        self.addresses += [str(found[name]) for name in ("src", "href") if name in found]
        if tag == "svg" and not ({"aria-label", "aria-hidden"} & set(found)):
            self.problems.append("a picture has no text alternative")
        self._is_music = found.get("class") == "music"
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"/{tag} closes {self.open[-1:] or 'nothing'}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self._is_music and self.open[-1] == "script":
            self.music.append(json.loads(data))
        elif not _CODE & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def read(html: str) -> Document:
    """Read a page and check what must hold for every page."""
    document = Document(html)
    assert document.problems == []
    assert len(document.ids) == len(set(document.ids))
    assert not _NO_WORDS.search(document.text), _NO_WORDS.search(document.text)
    assert all(re.match(r"(data:|#|[\w./-]+$)", address) for address in document.addresses)
    assert "://" not in re.sub(r"xmlns=\S+", "", html)
    return document


def made_song(form: str = "i4A8B8A8o4", *, seed: int = 0, num_notes: int = 8) -> Song:
    rng = np.random.default_rng(seed)
    parsed = Form.parse(form)
    onsets = np.arange(parsed.num_bars * num_notes) * (48 // num_notes)
    melody = grid_notes(onsets, np.full(len(onsets), 48 // num_notes), rng.integers(60, 78, len(onsets)))
    starts = np.repeat(np.arange(parsed.num_bars) * 48, 3)
    piano = grid_notes(starts, np.full(len(starts), 48), np.tile([48, 52, 55], parsed.num_bars))
    chords = (ChordChange(0, ChordSymbol(0, "maj", 0)),)
    return Song(LeadSheet(Key(0), 90.0, parsed, chords, melody), piano)


def made_judgement(song: Song, **changes: Any) -> dict[str, Any]:
    figures = [
        {"group": group, "name": name, "value": None if math.isnan(value) else value, "percentile": 40.0,
         "real": [0.1, 0.2, 0.3, 0.4, 0.9]}
        for group, features in song_features(song).items()
        for name, value in features.items()
    ]  # fmt: skip
    gate = {"name": "melody_run", "label": "longest shared run", "section": "originality", "low": None, "high": 19,
            "meaning": "No passage is quoted.", "unit": "notes"}  # fmt: skip
    return {
        "name": "song-001", "title": "One Evening", "file": "songs/song-001.mid",
        "verdict": "It quotes a training song.",
        "notes": ["the tempo is that of the file"], "key": "F major", "tempo_qpm": 90.0, "meter": "4/4",
        "bars": song.lead_sheet.num_bars, "seconds": 85.3, "form": str(song.lead_sheet.form), "reading": "found",
        "gates": [{**gate, "value": 23, "is_passed": False},
                  {**gate, "name": "coverage", "value": None, "is_passed": None}],
        "figures": figures,
        "style": {"probabilities": {"pop": 0.9, "jazz_standard": 0.1},
                  "for": [{"label": "syncopation", "value_text": "high", "typical_text": "high", "contribution": 1.2}],
                  "against": [{"label": "sevenths", "value_text": "3 %", "typical_text": None, "contribution": -0.2}]},
        "originality": {"melody_run": 23, "melody_start_bar": 5, "source": "909-001", "coverage": 0.2, "piano_run": 0,
                        "copy": None},
        "surprise": {"bits_per_note": 2.1, "by_bar": [None, *[1.5] * (song.lead_sheet.num_bars - 1)],
                     "real": [1.0, 1.5, 2.0, 2.5, 3.0]},
        "adherence": [{"control": "key", "asked": "F major", "achieved": "F major", "unit": "", "is_met": True},
                      {"control": "seconds", "asked": 90, "achieved": None, "unit": "s", "is_met": None}],
        "published": {"MusPy": dict.fromkeys(PUBLISHED["MusPy"], 0.5), "MusDr": {"H1": None, "GS": 0.9}},
        **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    songs = [made_song(seed=seed, num_notes=4 + 4 * (seed % 2)) for seed in range(6)]
    found = evaluate_songs(songs, [made_song(seed=seed) for seed in range(20, 32)], songs[:2])
    features = [song_features(song) for song in songs]
    values = {
        group: {
            name: [None if math.isnan(one[group][name]) else one[group][name] for one in features] for name in names
        }
        for group, names in features[0].items()
    }
    judgement = made_judgement(songs[0])
    return {
        **found,
        "verdict": "Not yet music.",
        "gates": judgement["gates"],
        "two_sample": {"auc": 0.9, "interval": [0.8, 1.0], "floor": [0.4, 0.6],
                       "features": [{"name": "groove", "weight": 0.4}, {"name": "melody_range", "weight": None}]},
        "values": {"generated": values, "reference": {**values, "originality": {"melody_run": [0, 7, 8]}}},
        "divergences": {"groove": {"kl": 0.2, "cross_entropy": 1.2}, "melody_range": {"kl": None}},
        "published": {"MusPy": {"polyphony": {"generated": 2.0, "reference": None}},
                      "mgeval": {"avg_IOI": {"kld": 0.1, "overlap": 0.8}}},
        "style": {"shares": {"pop": 0.5, "art_song": 0.5}, "asked": "pop", "share": 0.5},
        "songs": [{"name": f"song-{place}", "title": "A <script>alert(1)</script> Tune", "verdict": "Fine.",
                   "failed": ["melody_run"] if place else [], "seconds": 80, "bars": 32, "key": "C major", "form": "A8",
                   "style": "art_song", "bits_per_note": None, "melody_run": 7 * place, "copy": None}
                  for place in range(3)],
        "left_out": [{"file": "x & y.mid", "reason": "there is no melody in it"}],
        "likelihood": {"bits_per_note": 2.0, "interval": [1.9, 2.1], "real": 2.2, "real_range": [2.1, 2.3]},
    }  # fmt: skip


def test_a_song_page_holds_its_verdict_first_and_every_part() -> None:
    song = made_song()
    document = read(song_page(made_judgement(song), song, sound=("audio/mpeg", b"\xff\xfb sound")))
    text = document.text
    order = ["One Evening", "It quotes a training song.", "F major", "Gates", "Longest shared run", "The notes",
             "What was asked", "What returns", "How original", "What style", "Every figure", "own metrics"]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "✗ failed" in text
    assert "– not judged" in text
    assert "23 notes · allowed: at most 19 notes" in text
    assert "taken for pop (90 % sure)" in text
    assert HASHES_ONLY in text
    assert any(address.startswith("data:audio/mpeg;base64,") for address in document.addresses)
    assert any(address.startswith("data:image/png;base64,") for address in document.addresses)


@pytest.mark.parametrize("song", [None, made_song("A1", num_notes=1)])
def test_a_song_page_without_a_judgement_says_so_in_words(song: Song | None) -> None:
    document = read(song_page({}, song))
    assert "This song was not held against gates." in document.text
    assert "Nothing was measured." in document.text
    assert "there were no known songs to compare with" in document.text
    assert ("There is no picture" in document.text) == (song is None)


def test_every_key_of_a_judgement_may_be_missing_or_none() -> None:
    song = made_song()
    whole = made_judgement(song)
    for key in whole:
        read(song_page({**whole, key: None}, song))
        read(song_page({name: value for name, value in whole.items() if name != key}, song))
    hollow = {
        "gates": [{}], "figures": [{"name": "groove"}], "style": {"probabilities": None}, "originality": {"copy": {}},
        "surprise": {"by_bar": [None, float("nan")]}, "adherence": [{}], "published": {"MusPy": None},
    }  # fmt: skip
    read(song_page(hollow, song))


def test_every_key_of_a_report_may_be_missing_or_none(report: dict[str, Any]) -> None:
    for key in report:
        read(set_page({**report, key: None}, links={}))
        read(set_page({name: value for name, value in report.items() if name != key}, links={}))
    assert "This set was not held against gates." in read(set_page({}, links={})).text


def test_a_set_page_links_songs_and_says_what_failed_and_what_was_left_out(report: dict[str, Any]) -> None:
    document = read(set_page(report, links={"song-1": "songs/song-1.html"}))
    assert "songs/song-1.html" in document.addresses
    assert "Not yet music." in document.text
    assert "longest shared melody run" in document.text
    assert "✓ none" in document.text
    assert "x & y.mid" in document.text
    assert "There is no melody in it" in document.text
    assert "90 times in 100 (95 % interval 80 to 100 %)" in document.text
    for note in report["notes"]:
        assert note[1:].rstrip(".") in document.text


def test_titles_cannot_break_out_of_a_page(report: dict[str, Any]) -> None:
    song, evil = made_song(), "</script><b onload='x'>\"&<i>"
    judgement = made_judgement(song, title=evil, verdict=evil, key=evil, form=evil, notes=[evil], file=evil)
    passage = closest_passage(song, song, source_id=evil, title=evil)
    html = song_page(judgement, song, passage=passage)
    assert read(html).text.count(evil) >= 4
    assert "<b onload" not in html
    named = set_page({**report, "songs": [{"name": evil, "title": evil, "failed": [evil]}]}, links={evil: "a.html"})
    assert read(named).text.count(evil) >= 2
    assert "<b onload" not in named


def test_every_feature_and_every_figure_has_a_definition(report: dict[str, Any]) -> None:
    song = made_song()
    features = {
        **song_features(song),
        "accompaniment": accompaniment_features(song),
        "coherence": coherence_features(song),
    }
    for group, names in features.items():
        assert set(FEATURE_GROUPS[group]) == set(names)
        assert group in GROUP_LABELS
    for figure in report["figures"]:
        assert definition(figure["name"]).meaning, figure["name"]
        assert figure["section"] in GROUP_LABELS
    every = [one for group in (*FEATURE_GROUPS.values(), *PUBLISHED.values()) for one in group.values()]
    for one in every:
        assert one.label
        assert one.meaning.endswith(".")
        assert one.meaning[0].isupper() or one.meaning.startswith("mgeval")


def test_every_figure_on_a_song_page_can_be_asked_what_it_means() -> None:
    song = made_song()
    html = song_page(made_judgement(song), song)
    for names in song_features(song).values():
        for name in names:
            assert f'tabindex="0" title="{definition(name).meaning}"'.replace("'", "&#x27;") in html


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_songs(), st.integers(0, 1))
def test_any_song_gets_a_whole_page(song: Song, judged: int) -> None:
    document = read(song_page(made_judgement(song) if judged else {}, song))
    music = document.music[0]
    assert len(music["melody"]) == 3 * len(song.lead_sheet.melody)
    assert len(music["piano"]) == 3 * len(song.piano)


def test_a_player_holds_the_notes_of_its_bars_only() -> None:
    song = made_song()
    document = Document(roll_part(song, part_id="x", title="x", bars=(4, 6), rows=[BarRow("y", [1.0] * 32)]))
    music = document.music[0]
    onsets = np.cumsum(music["melody"][::3])
    inside = song.lead_sheet.melody[(song.lead_sheet.melody["onset_step"] // 48 >= 4)
                                    & (song.lead_sheet.melody["onset_step"] // 48 < 6)]  # fmt: skip
    assert onsets.tolist() == (inside["onset_step"] - 4 * 48).tolist()
    assert music["melody"][2::3] == inside["pitch"].tolist()
    assert (music["first"], music["steps"], music["qpm"]) == (5, 96, 90.0)


def test_a_long_song_stays_small_and_fast() -> None:
    song = made_song("A64B64A64B64A64B64")
    judgement = made_judgement(song)
    passage = closest_passage(song, made_song("A64", seed=1), source_id="909")
    song_page(judgement, song, passage=passage)
    start = time.perf_counter()
    html = song_page(judgement, song, passage=passage)
    assert len(html.encode()) < 350_000
    assert time.perf_counter() - start < 0.5  # 0.03 s on a quiet machine


def test_the_closest_passage_is_found_in_any_key_and_shown_on_both_sides() -> None:
    source = made_song(seed=3)
    stolen = source.lead_sheet.melody[40:60].copy()
    own = made_song(seed=5)
    melody = own.lead_sheet.melody.copy()
    melody["pitch"][100:120] = stolen["pitch"] + 2
    song = Song(LeadSheet(Key(0), 90.0, own.lead_sheet.form, own.lead_sheet.chords, melody), own.piano)
    passage = closest_passage(song, source, source_id="909-007", title="The Source")
    assert passage is not None
    assert (passage.start, passage.source_start, passage.num_notes) == (100, 40, 20)
    text = read(song_page(made_judgement(song), song, passage=passage)).text
    assert "20 melody notes in a row, in bars 13 to 15 here and in bars 6 to 8 of “The Source” (909-007)" in text
    assert "there 2 semitones lower" in text
    assert HASHES_ONLY not in text


def test_songs_without_a_common_token_have_no_closest_passage() -> None:
    song = made_song()
    empty = LeadSheet(Key(0), 90.0, Form.parse("A1"), (), np.empty(0, dtype=GRID_NOTE_DTYPE))
    assert closest_passage(song, Song(empty, song.piano[:0]), source_id="x") is None


def test_the_matrix_is_a_png_of_one_pixel_a_pair_of_bars() -> None:
    values = np.array([[255, 0], [128, 255]], dtype=np.uint8)
    picture = tinted_png(values)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    place, chunks = 8, {}
    while place < len(picture):
        (length,) = struct.unpack(">I", picture[place : place + 4])
        kind, data = picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack(">I", picture[place + 8 + length : place + 12 + length])
        assert checksum == zlib.crc32(kind + data)
        chunks[kind], place = data, place + 12 + length
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (2, 2, 8, 3, 0, 0, 0)
    assert zlib.decompress(chunks[b"IDAT"]) == bytes([0, 255, 0, 0, 128, 255])
    palette = np.frombuffer(chunks[b"PLTE"], dtype=np.uint8).reshape(256, 3)
    assert palette[0].tolist() == [255, 255, 255]
    assert all(np.diff(palette[:, 0].astype(int)) <= 0)
    assert b"IEND" in chunks
    assert "Similarity of all pairs of 32 bars, form i4A8B8A8o4" in similarity_matrix(made_song())


@pytest.mark.parametrize(
    "values", [None, [], [None, float("nan")], [1.0], [2.0, 2.0, 2.0, 2.0, 2.0], [0.0, 1e9, -1e9, 3]]
)
def test_plots_take_any_values(values: list[Any] | None) -> None:
    for plot in (
        spread_plot(values, values, "share", label="x"),
        spread_plot([1.0, 2, 3, 4, 5], values, "notes", label="x"),
        curve_plot(values, values, label="x"),
        range_plot(0.5, values, values, values, "share", label="x"),
        place_plot(0.5, values, "share", label="x"),
    ):
        read(page("x", plot))
    read(page("x", counts_plot([0, 7, None], [7], label="x", unit="notes", limit=20)))


def test_numbers_read_as_musicians_say_them() -> None:
    assert [number(value, "share") for value in (0, 0.0049, 0.051, 0.5, 0.996, 1)] == [
        "0 %", "0.5 %", "5.1 %", "50 %", "99.6 %", "100 %",
    ]  # fmt: skip
    assert [number(value) for value in (0.00321, 2.7136, 76.44, 1234.5, -0.04)] == [
        "0.0032",
        "2.71",
        "76.4",
        "1,234",
        "−0.04",
    ]
    assert number(float("inf")) == number(True) == number("x") == "–"
    assert span([None, None]) == span(None) == span([1]) == "–"


def test_a_sortable_table_keeps_numbers_apart_from_their_words() -> None:
    html = table(["Name", "#Count"], [["a <b>", "1"]], is_sortable=True)
    assert Document(html).problems == []
    assert "a &lt;b&gt;" in html
    assert html.count("<button") == 2


def test_headings_go_down_one_level_at_a_time(report: dict[str, Any]) -> None:
    song = made_song()
    for html in (song_page(made_judgement(song), song), set_page(report, links={})):
        levels = [int(level) for level in re.findall(r"<h([1-6])", html)]
        assert levels[0] == 1
        assert all(below - above <= 1 for above, below in pairwise(levels))
