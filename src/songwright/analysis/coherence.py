"""Whether the parts of a song belong together: melody and accompaniment, and one phrase and the next.

Single bars and single lines of a song can all be like real music while the whole is not: a melody over the piano of
another song, or phrases of ten songs in a row. These features see that. Values are of one song, NaN where it does not
define them (a song with one phrase letter has no other letter to agree with); what is usual only real songs tell.
Steps are grid steps (12 a quarter, 48 a bar).
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.averages import mean
from songwright.analysis.repetition import bar_contents, bar_similarity
from songwright.analysis.sequences import melody_tokens, ngram_hashes
from songwright.score.grid import STEPS_PER_BAR, STEPS_PER_BEAT, STEPS_PER_SIXTEENTH
from songwright.score.song import Song

_MOTIF_LENGTH = 3  # melody tokens, so four notes
_DIGITS = 9  # of sums of many parts: the same music gives the same number, whatever the order of sums
_ALIKE = 0.5  # bar similarity from which a bar counts as a return


def accompaniment_features(song: Song) -> dict[str, float]:
    """Return how melody, chords and piano fit together.

    Returns
    -------
    dict
        strong_beat_fit : share of the melody onsets on the first and third beat whose pitch class is in the chord.
        sung_time_fit : share of the time with melody and chord in which the melody's pitch class is in the chord.
        piano_doubling : share of melody onsets at which the piano sounds the melody's pitch class.
        melody_height : melody's mean pitch above the piano's, semitones.
        melody_on_top : share of the time with both in which no piano note lies above the melody.
        density_agreement : correlation over bars of the numbers of onsets in melody and piano.
        common_return : correlation, over pairs of bars with melody, of the similarity of their melodies and that of
            their piano parts' pitch classes.
        chords_return : of the pairs of bars with similar melodies, the share whose chords are equal, less that of all
            pairs of bars with melody.
    """
    sheet, num_bars = song.lead_sheet, song.lead_sheet.num_bars
    melody, piano = sheet.melody, song.piano
    tones = _chord_tones(song)
    onset, pitch = melody["onset_step"].astype(np.int64), melody["pitch"].astype(np.int64)
    has_chord = np.asarray(tones.any(axis=1))
    in_chord = tones[onset, pitch % 12]
    strong = (onset % (2 * STEPS_PER_BEAT) == 0) & has_chord[onset]
    sung = _sung_pitch(melody, num_bars)
    singing = np.flatnonzero((sung >= 0) & has_chord)
    classes, top = _piano_at_steps(piano, num_bars)
    both = (sung >= 0) & (top >= 0)
    melody_counts, piano_counts = (
        np.bincount(notes["onset_step"] // STEPS_PER_BAR, minlength=num_bars) for notes in (melody, piano)
    )
    common_return, chords_return = _returns(song, tones)
    return {
        "strong_beat_fit": mean(in_chord[strong]),
        "sung_time_fit": mean(tones[singing, sung[singing] % 12]),
        "piano_doubling": mean(classes[onset, pitch % 12]) if len(piano) else np.nan,
        "melody_height": mean(pitch) - mean(piano["pitch"]),
        "melody_on_top": mean(sung[both] >= top[both]),
        "density_agreement": _correlation(melody_counts, piano_counts),
        "common_return": common_return,
        "chords_return": chords_return,
    }


class _Part(NamedTuple):
    """What one phrase letter sounds like, all its phrases together."""

    rhythm: NDArray[np.float64]  # melody onsets by sixteenth of the bar
    classes: NDArray[np.float64]  # melody pitch classes
    motifs: NDArray[np.uint64]
    mean_pitch: float
    density: float
    piano_rhythm: NDArray[np.float64]
    piano_classes: NDArray[np.float64]
    piano_pitch: float
    piano_density: float


def coherence_features(song: Song) -> dict[str, float]:
    """Return how the phrases of a song agree with each other, letter by letter and where they join.

    Returns
    -------
    dict
        rhythm_kinship, pitch_kinship : mean cosine of the melody's onsets by sixteenth of the bar, and of its pitch
            classes, between sung letters.
        motif_kinship : share of a sung letter's motifs (four notes: intervals and inter-onset intervals) that occur
            under another letter, mean over letters.
        height_spread, density_spread : standard deviation over sung letters of the melody's mean pitch (semitones) and
            of its notes a bar, divided by their mean.
        piano_rhythm_kinship, piano_pitch_kinship : as of the melody, between all letters.
        piano_height_spread, piano_density_spread : the same of the piano.
        join_leap : mean absolute interval from the last note of a sung phrase to the first of the next, semitones,
            less that within phrases.
        join_pause : mean inter-onset interval there, in beats.
        piano_join : mean share of equal onsets (common ÷ all, by step in the bar) of the last bar of a phrase and the
            first of the next, less that of other neighbouring bars.
    """
    sheet = song.lead_sheet
    form = sheet.form
    letters = {letter: np.zeros(sheet.num_bars, dtype=bool) for letter in dict.fromkeys(p.letter for p in form.phrases)}
    for (letter, num_bars), start in zip(form.phrases, form.start_bars, strict=True):
        letters[letter][start : start + num_bars] = True
    parts = {letter: _part(song, bars) for letter, bars in letters.items()}
    sung = [part for letter, part in parts.items() if letter.isupper() and part.rhythm.any()]
    played = [part for part in parts.values() if part.piano_rhythm.any()]
    join_leap, join_pause = _melody_joins(song)
    return {
        "rhythm_kinship": _kinship([part.rhythm for part in sung]),
        "pitch_kinship": _kinship([part.classes for part in sung]),
        "motif_kinship": _motif_kinship([part.motifs for part in sung]),
        "height_spread": _spread([part.mean_pitch for part in sung]),
        "density_spread": _relative_spread([part.density for part in sung]),
        "piano_rhythm_kinship": _kinship([part.piano_rhythm for part in played]),
        "piano_pitch_kinship": _kinship([part.piano_classes for part in played]),
        "piano_height_spread": _spread([part.piano_pitch for part in played]),
        "piano_density_spread": _relative_spread([part.piano_density for part in played]),
        "join_leap": join_leap,
        "join_pause": join_pause,
        "piano_join": _piano_join(song),
    }


def _chord_tones(song: Song) -> NDArray[np.bool_]:
    """Return which pitch classes the chord symbol holds at each step, shape (num_bars * 48, 12)."""
    changes = song.lead_sheet.chords
    num_steps = song.lead_sheet.num_bars * STEPS_PER_BAR
    by_change = np.zeros((len(changes) + 1, 12), dtype=bool)  # the first row is the time before the first chord
    for row, (_, chord) in zip(by_change[1:], changes, strict=True):
        row[list(chord.pitch_classes)] = True
    bounds = [0, *(onset for onset, _ in changes), num_steps]
    return np.repeat(by_change, np.diff(bounds), axis=0)


def _sung_pitch(melody: NDArray[np.void], num_bars: int) -> NDArray[np.int64]:
    """Return the melody's pitch at each step, -1 in rests."""
    sung = np.full(num_bars * STEPS_PER_BAR, -1, dtype=np.int64)
    for onset, duration, pitch in melody.tolist():
        sung[onset : onset + duration] = pitch
    return sung


def _piano_at_steps(piano: NDArray[np.void], num_bars: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which pitch classes the piano sounds at each step, and its highest pitch there (-1 if silent)."""
    classes = np.zeros((num_bars * STEPS_PER_BAR, 12), dtype=bool)
    top = np.full(num_bars * STEPS_PER_BAR, -1, dtype=np.int64)
    for onset, duration, pitch in piano.tolist():
        classes[onset : onset + duration, pitch % 12] = True
        np.maximum(top[onset : onset + duration], pitch, out=top[onset : onset + duration])
    return classes, top


def _returns(song: Song, tones: NDArray[np.bool_]) -> tuple[float, float]:
    """Return `common_return` and `chords_return` of `accompaniment_features`."""
    melody, num_bars = song.lead_sheet.melody, song.lead_sheet.num_bars
    contents = bar_contents(melody, num_bars, with_duration=False)
    sung = np.flatnonzero(contents.any(axis=1))
    if len(sung) < 3:
        return np.nan, np.nan
    pairs = np.triu_indices(len(sung), k=1)
    alike = bar_similarity(contents[sung])[pairs]
    piano = song.piano
    beat = piano["onset_step"] // STEPS_PER_BEAT
    played = np.zeros((num_bars * 4, 12), dtype=np.float32)
    np.maximum.at(played, (beat, piano["pitch"] % 12), 1)
    piano_alike = bar_similarity(played.reshape(num_bars, 48)[sung])[pairs]
    by_bar = tones[::STEPS_PER_BEAT].reshape(num_bars, 48)[sung]
    _, kind = np.unique(by_bar, axis=0, return_inverse=True)
    same_chords = (kind.ravel()[:, None] == kind.ravel())[pairs]
    returning = alike >= _ALIKE
    chords_return = float(same_chords[returning].mean() - same_chords.mean()) if returning.any() else np.nan
    return _correlation(alike, piano_alike) if len(piano) else np.nan, chords_return


def _part(song: Song, bars: NDArray[np.bool_]) -> _Part:
    def within(notes: NDArray[np.void]) -> NDArray[np.void]:
        return notes[bars[notes["onset_step"] // STEPS_PER_BAR]]

    melody, piano = within(song.lead_sheet.melody), within(song.piano)
    sung_bars = len(np.unique(melody["onset_step"] // STEPS_PER_BAR))
    return _Part(
        rhythm=_onsets_in_bar(melody),
        classes=np.bincount(melody["pitch"] % 12, minlength=12).astype(np.float64),
        motifs=np.unique(ngram_hashes(melody_tokens(melody), _MOTIF_LENGTH)),
        mean_pitch=mean(melody["pitch"]),
        density=len(melody) / sung_bars if sung_bars else np.nan,
        piano_rhythm=_onsets_in_bar(piano),
        piano_classes=np.bincount(piano["pitch"] % 12, minlength=12).astype(np.float64),
        piano_pitch=mean(piano["pitch"]),
        piano_density=len(piano) / int(bars.sum()),
    )


def _onsets_in_bar(notes: NDArray[np.void]) -> NDArray[np.float64]:
    sixteenth = notes["onset_step"] % STEPS_PER_BAR // STEPS_PER_SIXTEENTH
    return np.bincount(sixteenth, minlength=16).astype(np.float64)


def _kinship(vectors: list[NDArray[np.float64]]) -> float:
    """Return the mean cosine between every two vectors; NaN for fewer than two."""
    if len(vectors) < 2:
        return np.nan
    units = [vector / np.linalg.norm(vector) for vector in vectors]
    return round(float(np.mean([one @ other for one, other in combinations(units, 2)])), _DIGITS)


def _motif_kinship(motifs: list[NDArray[np.uint64]]) -> float:
    motifs = [one for one in motifs if len(one)]
    if len(motifs) < 2:
        return np.nan
    shares: list[float] = []
    for place, ours in enumerate(motifs):
        others = np.concatenate(motifs[:place] + motifs[place + 1 :])
        shares.append(float(np.isin(ours, others).mean()))
    return float(np.mean(shares))


def _melody_joins(song: Song) -> tuple[float, float]:
    """Return `join_leap` and `join_pause` of `coherence_features`."""
    form, melody = song.lead_sheet.form, song.lead_sheet.melody
    onset, pitch = melody["onset_step"].astype(np.int64), melody["pitch"].astype(np.int64)
    starts = [start * STEPS_PER_BAR for start in form.start_bars]
    is_join = np.zeros(max(len(melody) - 1, 0), dtype=bool)
    for (first, second), start in zip(pairwise(form.phrases), starts[1:], strict=True):
        place = int(np.searchsorted(onset, start))
        if first.is_sung and second.is_sung and 0 < place < len(melody):
            is_join[place - 1] = True
    if not is_join.any() or is_join.all():
        return np.nan, np.nan
    leap = np.abs(np.diff(pitch))
    pause = np.minimum(np.diff(onset), 2 * STEPS_PER_BAR) / STEPS_PER_BEAT
    return round(float(leap[is_join].mean() - leap[~is_join].mean()), _DIGITS), float(pause[is_join].mean())


def _piano_join(song: Song) -> float:
    num_bars = song.lead_sheet.num_bars
    onsets = np.zeros((num_bars, STEPS_PER_BAR), dtype=np.float32)
    bar, step = np.divmod(song.piano["onset_step"], STEPS_PER_BAR)
    onsets[bar, step] = 1
    neighbours = np.diagonal(bar_similarity(onsets), 1)
    sounding = np.asarray(onsets.any(axis=1))
    is_counted = sounding[:-1] & sounding[1:]
    is_join = np.zeros(num_bars - 1, dtype=bool)
    is_join[[start - 1 for start in song.lead_sheet.form.start_bars[1:]]] = True
    joins, inside = neighbours[is_counted & is_join], neighbours[is_counted & ~is_join]
    return round(float(joins.mean() - inside.mean()), _DIGITS) if len(joins) and len(inside) else np.nan


def _spread(values: list[float]) -> float:
    return round(float(np.std(values)), _DIGITS) if len(values) > 1 else np.nan


def _relative_spread(values: list[float]) -> float:
    return round(float(np.std(values) / np.mean(values)), _DIGITS) if len(values) > 1 else np.nan


def _correlation(first: NDArray[np.number], second: NDArray[np.number]) -> float:
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return round(float(np.corrcoef(first, second)[0, 1]), _DIGITS)
