"""What can be counted in a song: pure functions from a `Song` to named numbers.

Groups follow what a feature can see. *Local* features look at single bars and neighbouring notes, *harmony* at chords
and at windows of four bars, *structure* at what returns and when: shuffled bars change the last group most.
*Form* holds single figures with few values a song (cadences, phrases), too coarse for densities. A feature that
a song does not define (the intervals of one note) is NaN. Says nothing about what is good; see `evaluation`.

"Onsets in sixteenths" rounds triplets to the nearest sixteenth. Entropies are in bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.averages import entropy, mean, ratio
from songwright.analysis.repetition import (
    bar_contents,
    bar_similarity,
    phrase_repetition,
    repeated_bar_share,
    repeated_window_share,
    similarity_curve,
)
from songwright.analysis.sequences import CODES_PER_INTERVAL, longest_repeat, melody_tokens, ngram_hashes
from songwright.score.grid import STEPS_PER_BAR, STEPS_PER_BEAT, STEPS_PER_SIXTEENTH
from songwright.score.lead_sheet import ChordSymbol
from songwright.score.song import Song

FeatureGroups = dict[str, dict[str, float]]

_SIXTEENTHS_PER_BAR = STEPS_PER_BAR // STEPS_PER_SIXTEENTH
# Probe-tone profiles, C major and C minor: C. L. Krumhansl and E. J. Kessler, Psychological Review 89, 1982.
_KEY_PROFILES = np.array(
    [
        [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
    ]
)


def song_features(song: Song) -> FeatureGroups:
    """Return every feature of a song: `{"local": {name: value}, "harmony": …, "structure": …, "form": …}`."""
    return {
        "local": local_features(song),
        "harmony": harmony_features(song),
        "structure": structure_features(song),
        "form": form_features(song),
    }


def local_features(song: Song) -> dict[str, float]:
    """Return what bars and neighbouring notes show.

    Returns
    -------
    dict
        pitch_class_entropy : of the pitch classes that start in a bar, all tracks, mean over bars with notes [1]_.
        groove : share of sixteenths on which two bars agree about having an onset, all tracks, mean over pairs [1]_.
        polyphony : mean number of notes sounding where any sounds, all tracks.
        melody_notes_per_bar : over bars with melody onsets.
        piano_notes_per_bar : over all bars.
        piano_duration : mean, in beats.
        melody_range : highest - lowest pitch, semitones.
        interval_size : mean absolute melodic interval, semitones.
        step_share : share of melodic intervals of one or two semitones.
        repeated_pitch_share : share of melodic intervals of zero.
        interval_entropy, rhythm_entropy : of the melody's intervals and inter-onset intervals.
        melody_on_beat_share : share of melody onsets on one of the four beats.
        melody_rest_share : share of time without melody, over all bars.

    References
    ----------
    .. [1] S.-L. Wu and Y.-H. Yang, "The Jazz Transformer on the front line", ISMIR 2020 (MusDr).
    """
    melody, piano, num_bars = song.lead_sheet.melody, song.piano, song.lead_sheet.num_bars
    notes = np.concatenate([melody, piano])
    pitch = melody["pitch"].astype(np.int64)
    interval = np.abs(np.diff(pitch))
    tokens = melody_tokens(melody)
    histogram = _pitch_class_histogram(notes, num_bars)
    sounding = _sounding(notes, num_bars)
    onsets = np.zeros((num_bars, _SIXTEENTHS_PER_BAR))
    sixteenth = notes["onset_step"] // STEPS_PER_SIXTEENTH
    onsets[sixteenth // _SIXTEENTHS_PER_BAR, sixteenth % _SIXTEENTHS_PER_BAR] = 1
    return {
        "pitch_class_entropy": mean(entropy(histogram[histogram.any(axis=1)])),
        "groove": _groove(onsets),
        "polyphony": mean(sounding.sum(axis=1)[sounding.any(axis=1)]),
        "melody_notes_per_bar": ratio(len(melody), len(np.unique(melody["onset_step"] // STEPS_PER_BAR))),
        "piano_notes_per_bar": ratio(len(piano), num_bars),
        "piano_duration": mean(piano["duration_step"]) / STEPS_PER_BEAT,
        "melody_range": float(np.ptp(pitch)) if len(pitch) else np.nan,
        "interval_size": mean(interval),
        "step_share": mean((interval == 1) | (interval == 2)),
        "repeated_pitch_share": mean(interval == 0),
        "interval_entropy": _entropy_of_values(np.diff(pitch)),
        "rhythm_entropy": _entropy_of_values(tokens % CODES_PER_INTERVAL),
        "melody_on_beat_share": mean(melody["onset_step"].astype(np.int64) % STEPS_PER_BEAT == 0),
        "melody_rest_share": 1 - mean(_sounding(melody, num_bars).sum(axis=1) > 0),
    }


def harmony_features(song: Song) -> dict[str, float]:
    """Return what chords and windows of four bars show.

    Returns
    -------
    dict
        pitch_class_entropy_4 : like `pitch_class_entropy`, over every window of four bars.
        key_strength : highest correlation of the sounding time of pitch classes with a Krumhansl-Kessler profile.
        chord_tone_ratio : share of melody onsets whose pitch class belongs to the chord symbol.
        piano_chord_tone_ratio : the same for piano onsets.
        bass_agreement : share of chord changes at whose onset, or next piano onset within the chord, the lowest note
            started is the symbol's bass.
        semitone_clash : share of the time in which melody and piano both sound where a piano pitch class lies a
            semitone from the melody's.
        chord_change_rate : changes a bar.
        chord_entropy : of (root, quality), each change counted once.
        num_chords : distinct (root, quality).
    """
    lead_sheet, piano = song.lead_sheet, song.piano
    melody, num_bars = lead_sheet.melody, lead_sheet.num_bars
    onsets, tones, chord_codes = _chord_arrays(song)
    histogram = _pitch_class_histogram(np.concatenate([melody, piano]), num_bars)
    windows = np.lib.stride_tricks.sliding_window_view(histogram, min(4, num_bars), axis=0).sum(axis=-1)
    melody_sounds, piano_sounds = _sounding(melody, num_bars), _sounding(piano, num_bars)
    return {
        "pitch_class_entropy_4": mean(entropy(windows[windows.any(axis=1)])),
        "key_strength": _key_strength(melody_sounds.sum(axis=0) + piano_sounds.sum(axis=0)),
        "chord_tone_ratio": _chord_tone_ratio(melody, onsets, tones),
        "piano_chord_tone_ratio": _chord_tone_ratio(piano, onsets, tones),
        "bass_agreement": _bass_agreement(song),
        "semitone_clash": _semitone_clash(melody_sounds, piano_sounds),
        "chord_change_rate": ratio(len(chord_codes), num_bars),
        "chord_entropy": _entropy_of_values(chord_codes),
        "num_chords": float(len(np.unique(chord_codes))),
    }


def structure_features(song: Song) -> dict[str, float]:
    """Return what returns in the song.

    Returns
    -------
    dict
        chord_trigram_irregularity : distinct ÷ all successions of three chords (root, quality) (MusDr's CPI).
        distinct_melodic_4_grams : distinct ÷ all windows of four melody tokens.
        longest_repeat : notes of the longest melodic passage that occurs twice, transposed or not, without overlap.
        bar_similarity_4, bar_similarity_8 : mean similarity of bars four and eight apart, all tracks.
        melody_similarity_4, melody_similarity_8 : the same of the melody.
        repeated_melody_bars : share of melody bars that equal an earlier one.
        repeated_windows : share of melody windows of four bars that resemble an earlier one ("4-bar repeat").
    """
    melody, num_bars = song.lead_sheet.melody, song.lead_sheet.num_bars
    tokens = melody_tokens(melody)
    repeat = longest_repeat(tokens)
    curve = song_similarity_curve(song, num_lags=8)
    contents = bar_contents(melody, num_bars)
    melody_curve = similarity_curve(bar_similarity(contents), num_lags=8)
    return {
        "chord_trigram_irregularity": _distinct_share(_chord_arrays(song)[2], 3),
        "distinct_melodic_4_grams": _distinct_share(tokens, 4),
        "longest_repeat": float(repeat + 1 if repeat else 0),
        "bar_similarity_4": float(curve[3]),
        "bar_similarity_8": float(curve[7]),
        "melody_similarity_4": float(melody_curve[3]),
        "melody_similarity_8": float(melody_curve[7]),
        "repeated_melody_bars": repeated_bar_share(contents),
        "repeated_windows": repeated_window_share(contents),
    }


def form_features(song: Song) -> dict[str, float]:
    """Return single figures: `phrase_repetition`, in key, and the ending.

    Returns
    -------
    dict
        same_letter_similarity, other_letter_similarity, copied_phrase_share : see `phrase_repetition`.
        melody_in_key : share of melody onsets in the scale of the key (natural minor).
        melody_ends_on_tonic, final_chord_on_tonic : 1 or 0, by the root of the last chord.
    """
    lead_sheet = song.lead_sheet
    pitch_class = lead_sheet.melody["pitch"] % 12
    tonic = lead_sheet.key.tonic
    return {
        **phrase_repetition(lead_sheet),
        "melody_in_key": mean(np.isin(pitch_class, list(lead_sheet.key.pitch_classes))),
        "melody_ends_on_tonic": float(pitch_class[-1] == tonic) if len(pitch_class) else np.nan,
        "final_chord_on_tonic": float(lead_sheet.chords[-1].chord.root == tonic) if lead_sheet.chords else np.nan,
    }


def song_similarity_curve(song: Song, *, num_lags: int = 40) -> NDArray[np.float64]:
    """Return the similarity curve of all tracks together, shape (num_lags,)."""
    notes = np.concatenate([song.lead_sheet.melody, song.piano])
    return similarity_curve(bar_similarity(bar_contents(notes, song.lead_sheet.num_bars)), num_lags=num_lags)


def _entropy_of_values(values: NDArray[np.integer]) -> float:
    return float(entropy(np.unique(values, return_counts=True)[1])) if len(values) else np.nan


def _distinct_share(codes: NDArray[np.integer], length: int) -> float:
    hashes = ngram_hashes(codes, length)
    return ratio(len(np.unique(hashes)), len(hashes))


def _groove(onsets: NDArray[np.float64]) -> float:
    num_bars = len(onsets)
    if num_bars < 2:
        return np.nan
    count = onsets.sum(axis=1)
    differ = count[:, None] + count - 2 * onsets @ onsets.T
    return float(1 - differ.sum() / (num_bars * (num_bars - 1)) / onsets.shape[1])


def _pitch_class_histogram(notes: NDArray[np.void], num_bars: int) -> NDArray[np.int64]:
    """Return how many notes of each pitch class start in each bar, shape (num_bars, 12)."""
    cell = notes["onset_step"] // STEPS_PER_BAR * 12 + notes["pitch"] % 12
    return np.bincount(cell, minlength=num_bars * 12).reshape(num_bars, 12)


def _sounding(notes: NDArray[np.void], num_bars: int) -> NDArray[np.int64]:
    """Return how many notes of each pitch class sound at each step, shape (num_bars * 48, 12)."""
    edges = np.zeros((num_bars * STEPS_PER_BAR + 1, 12), dtype=np.int64)
    pitch_class = notes["pitch"] % 12
    np.add.at(edges, (notes["onset_step"], pitch_class), 1)
    np.add.at(edges, (np.minimum(notes["onset_step"] + notes["duration_step"], len(edges) - 1), pitch_class), -1)
    return np.cumsum(edges, axis=0)[:-1]


def _key_strength(histogram: NDArray[np.int64]) -> float:
    if np.ptp(histogram) == 0:
        return np.nan
    profiles = np.stack([np.roll(profile, tonic) for profile in _KEY_PROFILES for tonic in range(12)])
    return float(np.corrcoef(histogram, profiles)[0, 1:].max())


def _semitone_clash(melody: NDArray[np.int64], piano: NDArray[np.int64]) -> float:
    both = melody.any(axis=1) & piano.any(axis=1)
    near = np.roll(piano, 1, axis=1) + np.roll(piano, -1, axis=1)
    return mean((melody * near).sum(axis=1)[both] > 0)


def _chord_arrays(song: Song) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return onsets (num_changes,), tones (num_changes, 12) and codes of (root, quality) without immediate repeats."""
    changes = song.lead_sheet.chords
    tones = np.zeros((len(changes), 12), dtype=bool)
    for row, (_, chord) in zip(tones, changes, strict=True):
        row[list(chord.pitch_classes)] = True
    codes = np.array([_chord_code(chord) for _, chord in changes], dtype=np.int64)
    onsets = np.array([onset for onset, _ in changes], dtype=np.int64)
    return onsets, tones, codes[np.diff(codes, prepend=-1) != 0]


def _chord_code(chord: ChordSymbol) -> int:
    # Qualities have at most five letters, so 40 bits hold them.
    return int.from_bytes(chord.quality.encode(), "big") * 12 + chord.root


def _chord_tone_ratio(notes: NDArray[np.void], onsets: NDArray[np.int64], tones: NDArray[np.bool_]) -> float:
    chord = np.searchsorted(onsets, notes["onset_step"], side="right") - 1
    under_chord = chord >= 0
    return mean(tones[chord[under_chord], notes["pitch"][under_chord] % 12])


def _bass_agreement(song: Song) -> float:
    changes, piano = song.lead_sheet.chords, song.piano
    if not changes or not len(piano):
        return np.nan
    onsets = np.array([onset for onset, _ in changes])
    ends = np.append(onsets[1:], song.lead_sheet.num_bars * STEPS_PER_BAR)
    # The piano is sorted by (onset, pitch): its first note at or after a change is the lowest that starts there.
    first = np.searchsorted(piano["onset_step"], onsets)
    inside = first < len(piano)
    inside[inside] = piano["onset_step"][first[inside]] < ends[inside]
    bass = np.array([chord.bass for _, chord in changes])
    return mean(piano["pitch"][first[inside]] % 12 == bass[inside])
