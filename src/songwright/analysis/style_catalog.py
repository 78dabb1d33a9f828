"""The list of numbers that tell styles: what each is called, in a musician's words, and in which unit it is given.

How they are measured is `style_features`, what they say of a style is `style`.
"""

from __future__ import annotations

from typing import NamedTuple

GROUPS = ("melody", "harmony", "accompaniment")


class StyleFeature(NamedTuple):
    """A number that is measured: its name, its group (one of GROUPS), what a musician calls it, and its unit.

    The unit is `%` for shares (0 to 1), else a word such as `semitones`.
    """

    name: str
    group: str
    words: str
    unit: str = "%"


def _features(group: str, *rows: tuple[str, ...]) -> tuple[StyleFeature, ...]:
    return tuple(StyleFeature(row[0], group, *row[1:]) for row in rows)


_DEGREES = ("do", "do♯", "re", "re♯ / mi♭", "mi", "fa", "fa♯", "sol", "sol♯ / la♭", "la", "la♯ / ti♭", "ti")
_ROOTS = ("I", "♭II", "II", "♭III", "III", "IV", "♯IV", "V", "♭VI", "VI", "♭VII", "VII")
CHORD_CLASSES = {
    "major": ("maj", "add9"),
    "minor": ("min",),
    "dominant": ("7",),
    "major_seventh": ("maj7",),
    "minor_seventh": ("min7",),
    "sixth": ("maj6", "min6"),
    "suspended": ("sus2", "sus4", "7sus4"),
    "diminished": ("dim", "dim7", "hdim7"),
    "augmented": ("aug",),
}
_CHORD_WORDS = {
    "dominant": "dominant seventh chords",
    "sixth": "sixth chords",
    **{name: f"{name.replace('_', ' ')} chords" for name in ("major", "minor", "suspended", "diminished", "augmented")},
    "major_seventh": "major seventh chords",
    "minor_seventh": "minor seventh chords",
}

MELODY_FEATURES = _features(
    "melody",
    ("repeated_notes", "repeated notes"),
    ("semitone_steps", "steps of a semitone"),
    ("whole_steps", "steps of a whole tone"),
    ("thirds", "leaps of a third"),
    ("fourths", "leaps of a fourth"),
    ("fifths", "leaps of a fifth"),
    ("sixths", "leaps of a sixth or seventh"),
    ("octaves", "leaps of an octave or more"),
    ("rising_leaps", "leaps that rise"),
    ("turns", "changes of direction"),
    ("triad_figures", "leaps that go on in the same direction"),
    ("range", "range of the middle nine tenths", "semitones"),
    ("mean_length", "time from note to note", "quarters"),
    ("length_spread", "spread of note lengths", "octaves"),
    ("sixteenths", "sixteenths"),
    ("eighths", "eighths"),
    ("dotted_eighths", "dotted eighths and triplet quarters"),
    ("quarters", "quarters"),
    ("dotted_quarters", "dotted quarters"),
    ("halves", "half notes"),
    ("long_notes", "notes longer than a half"),
    ("even_pairs", "neighbours of equal length"),
    ("long_short_2", "long-short pairs, 2 : 1"),
    ("long_short_3", "dotted pairs, 3 : 1"),
    ("short_long_2", "short-long pairs, 1 : 2"),
    ("short_long_3", "pairs 1 : 3 and wider"),
    ("on_beat", "onsets on the beat"),
    ("half_beats", "onsets on the half beat"),
    ("quarter_beats", "onsets on sixteenth off-beats"),
    ("thirds_of_beats", "onsets on thirds of a beat"),
    ("bar_starts", "bars whose first beat is struck"),
    ("beats_struck", "beats that are struck"),
    ("syncopation", "off-beat notes held over the next beat"),
    ("anticipation", "notes held over a bar line"),
    ("rests", "notes before a rest of a quarter or more"),
    ("phrase_ends_long", "notes of a half or more, or before a rest"),
    ("phrase_notes", "notes from one rest or long note to the next", "notes"),
    ("repeated_motifs", "motifs of four notes heard shortly before"),
    ("repeated_rhythms", "rhythms of four notes heard shortly before"),
    ("same_bar_rhythm", "bars in the rhythm of one of the two bars before"),
    ("same_bar", "bars like one of the four bars before"),
    *((f"degree_{step}", f"melody notes on {name}") for step, name in enumerate(_DEGREES)),
    ("chromatic", "melody notes outside the scale"),
    ("pentatonic", "melody notes in the pentatonic scale"),
    ("phrase_end_on_tonic", "phrases that end on the keynote"),
    ("minor", "music in minor"),
    ("returns", "returns to a note after one other note"),
    ("falling_steps", "steps that fall"),
    ("mean_interval", "mean interval", "semitones"),
    ("phrase_end_on_fifth", "phrases that end on the fifth"),
    ("phrase_end_on_second", "phrases that end on the second"),
    ("closing_falls", "phrases that close with a falling step"),
    ("closing_leading_tone", "phrases that close with a rising semitone"),
    ("closing_repeats", "phrases that close with a repeated note"),
    ("pickups", "phrases that start before the bar line"),
    ("phrase_length", "time from phrase start to phrase start", "quarters, log2"),
    ("even_phrases", "phrases as long as one of the two before"),
    ("long_on_beat", "how much longer notes on the beat are", "octaves"),
    ("long_on_bar", "how much longer notes on the bar line are", "octaves"),
    ("notes_of_triad", "melody notes on the tonic triad"),
)
HARMONY_FEATURES = _features(
    "harmony",
    *((f"chord_{name}", _CHORD_WORDS[name]) for name in CHORD_CLASSES),
    *((f"root_{step}", f"time on chords on {name}") for step, name in enumerate(_ROOTS)),
    ("fifth_falls", "roots that fall a fifth"),
    ("fourth_falls", "roots that fall a fourth"),
    ("root_steps", "roots that move by a step"),
    ("root_thirds", "roots that move by a third"),
    ("inversions", "chords over another bass than the root"),
    ("secondary_dominants", "dominant sevenths on other roots than V"),
    ("chord_changes", "chord changes a bar of four quarters", "changes"),
    ("changes_on_bar", "chord changes on the bar line"),
    ("melody_chord_tones", "melody notes that belong to the chord"),
    ("chromatic_chords", "chord tones outside the scale"),
)
ACCOMPANIMENT_FEATURES = _features(
    "accompaniment",
    ("strikes", "strikes a quarter", "strikes"),
    ("notes_per_strike", "notes struck together", "notes"),
    ("single_notes", "single notes"),
    ("sounding", "notes that sound at a time", "notes"),
    ("with_melody", "melody notes struck together with the accompaniment"),
    ("melody_with", "strikes together with a melody note"),
    ("doubling", "melody notes doubled by the accompaniment"),
    ("strikes_on_beat", "strikes on the beat"),
    ("strikes_half", "strikes on the half beat"),
    ("strikes_sixteenth", "strikes on sixteenth off-beats"),
    ("strikes_thirds", "strikes on thirds of a beat"),
    ("even_strikes", "strikes as far apart as the two before"),
    ("beats_filled", "beats that are struck"),
    ("repeated_strikes", "strikes that repeat the notes before"),
    ("broken_chords", "broken chords: leaps between single notes"),
    ("above_melody", "notes above the melody"),
    ("spread", "distance from the melody to the middle of the accompaniment", "semitones"),
    ("bass_depth", "distance from the melody to the bass", "semitones"),
    ("bass_repeats", "bass notes that repeat"),
    ("bass_steps", "bass moves by step"),
    ("bass_fifths", "bass moves by fourths and fifths"),
    ("bass_octaves", "bass moves by octaves"),
    ("bass_strikes", "bass notes a quarter", "notes"),
    ("bar_pattern", "bars in the rhythm of the bar before"),
    ("repeated_bars", "bars like one of the four bars before"),
)
STYLE_FEATURES = MELODY_FEATURES + HARMONY_FEATURES + ACCOMPANIMENT_FEATURES
"""All features, in the order of the columns of `style_features`."""
