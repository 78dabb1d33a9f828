"""Name a song: word lists and patterns of our own, in a mood that follows mode and tempo.

Knows words only. Each of the four moods has more than a hundred thousand titles; none is looked up anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FAST_QPM = 92.0
"""Tempo from which a song counts as lively, in quarter notes per minute: the fastest third of the corpus."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_THINGS = _words(
    "lantern, compass, letter, garden, window, orchard, kite, feather, harbour, sparrow, meadow, ribbon, ferry, "
    "swallow, island, mirror, candle, willow, staircase, postcard, rooftop, balcony, bicycle, kettle, "
    "lighthouse, river, valley, thread, umbrella, drawing, footstep, sailboat, snowfall, raincoat, suitcase, "
    "melody, cedar, pebble, seashell, firefly, cloud, signal, tramway, carousel, notebook, sundial, magpie, "
    "constellation, doorway"
)
_PLACES = _words(
    "harbour, orchard, north window, old bridge, quiet station, east road, long shore, city garden, rooftops, "
    "river bend, lighthouse stairs, tram line, wheat fields, glass houses, seventh floor, far meadow, "
    "market square, pine hills, ferry landing, slow canal, paper lanterns, winter garden, corner cafe, "
    "southern pier"
)
_TIMES = _words(
    "daybreak, first light, half past nine, the end of May, low tide, early snow, late September, noon, "
    "the turn of spring, dusk, five in the morning, the last tram, harvest time, the edge of June, "
    "lamp-lighting, the first frost"
)
_PREPOSITIONS = ("beyond", "above", "past", "by", "across from", "under", "near", "behind")


class _Mood(NamedTuple):
    adjectives: Sequence[str]
    gerunds: Sequence[str]
    verbs: Sequence[str]


# By (is_minor, is_fast)
_MOODS = {
    (False, False): _Mood(
        _words(
            "gentle, patient, amber, morning, tender, drifting, honeyed, open, quiet, hazel, mellow, "
            "feathered, sleepy, lamplit, generous, homeward, linen, velvet-soft, barefoot, unhurried"
        ),
        _words("resting, drifting, listening, waiting, dreaming, wandering, humming, reading, leaning, floating"),
        _words("rest, gather, linger, soften, settle, meet, glow, hum, drift, wait"),
    ),
    (False, True): _Mood(
        _words(
            "bright, sunlit, laughing, tangerine, quick, whirling, sparkling, spinning, saffron, skyward, "
            "leaping, dazzling, cartwheeling, lemon, carefree, daylight, racing, jubilant, kaleidoscope, "
            "wide-awake"
        ),
        _words("running, skipping, cycling, sailing, twirling, singing, leaping, skating, racing, cheering"),
        _words("shine, spin, leap, sing, race, glitter, tumble, whistle, soar, laugh"),
    ),
    (True, False): _Mood(
        _words(
            "pale, silent, faded, distant, autumn, winter, hollow, grey, wistful, unlit, forgotten, slate, "
            "lonely, misted, waning, sleepless, porcelain, unsent, rain-soft, vanishing"
        ),
        _words(
            "waiting, falling, fading, remembering, leaving, listening, drifting, whispering, returning, dissolving"
        ),
        _words("fade, sleep, vanish, wait, fall, whisper, darken, part, tremble, return"),
    ),
    (True, True): _Mood(
        _words(
            "restless, neon, midnight, crimson, electric, stormy, shadowed, racing, indigo, flickering, "
            "northern, reckless, obsidian, windswept, copper, burning, untamed, thundering, moonlit, "
            "wayward"
        ),
        _words("chasing, running, burning, turning, drifting, escaping, crossing, racing, searching, rising"),
        _words("burn, run, scatter, flicker, flee, collide, rise, shatter, turn, ignite"),
    ),
}
_SMALL_WORDS = frozenset({"a", "and", "at", "by", "from", "in", "of", "on", "the", "to"})


def draw_title(rng: np.random.Generator, *, is_minor: bool, tempo_qpm: float) -> str:
    """Draw a title whose mood follows the mode and the tempo.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance; only `rng.random` is used.
    is_minor : bool
        Mode of the song.
    tempo_qpm : float
        Tempo in quarter notes per minute.

    Returns
    -------
    str
        Two to eight words, in title case.

    Examples
    --------
    >>> draw_title(np.random.default_rng(7), is_minor=True, tempo_qpm=72)
    'Lonely Carousels at the End of May'
    """
    mood = _MOODS[is_minor, tempo_qpm >= FAST_QPM]
    title = _draw(rng, mood)
    while _echoes(title):
        title = _draw(rng, mood)
    return _title_case(title)


def _draw(rng: np.random.Generator, mood: _Mood) -> str:
    def pick(words: Sequence[str]) -> str:
        return words[int(rng.random() * len(words))]

    adjective, thing, place, time = pick(mood.adjectives), pick(_THINGS), pick(_PLACES), pick(_TIMES)
    patterns = (
        f"{adjective} {thing}",
        f"{adjective} {_plural(thing)}",
        f"{adjective} {_plural(thing)} at {time}",
        f"{_plural(thing)} {pick(_PREPOSITIONS)} the {place}",
        f"{pick(mood.gerunds)} {pick(_PREPOSITIONS)} the {place}",
        f"where the {_plural(thing)} {pick(mood.verbs)}",
        f"the {adjective} {thing} {pick(_PREPOSITIONS)} the {place}",
        f"one {adjective} {thing} before {time}",
        f"how {adjective} {_plural(thing)} {pick(mood.verbs)}",
    )
    return pick(patterns)


def _echoes(title: str) -> bool:
    """Return whether two words have one stem, as in *one feathered feather*."""
    stems = [word[:5] for word in title.split() if word not in _SMALL_WORDS]
    return len(set(stems)) < len(stems)


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "ch", "sh")) else "s")


def _title_case(text: str) -> str:
    words = text.split()
    return " ".join(
        word if index and word in _SMALL_WORDS else "-".join(part.capitalize() for part in word.split("-"))
        for index, word in enumerate(words)
    )
