"""Gates summed up in a sentence or two that a musician understands.

Says what is like real music, what is not and how, and what is copied. Never says that music is good: gates only tell
whether it is where real music is. Words for each feature are comparatives, so that they go on with "than …".
"""

from __future__ import annotations

from collections.abc import Sequence

from songwright.evaluation.figures import MIN_SONGS
from songwright.evaluation.gates import FEW_SONGS, Gate
from songwright.evaluation.norms import Deviation
from songwright.evaluation.set_numbers import GROUPS

_MAX_REASONS = {"set": 3, "song": 2}

# Of each feature: what is said of a low value, and of a high one.
_FEATURE_WORDS: dict[str, tuple[str, str]] = {
    "pitch_class_entropy": ("bars hold fewer different notes", "bars hold more different notes"),
    "groove": ("the rhythm is less steady from bar to bar", "the rhythm is steadier from bar to bar"),
    "polyphony": ("fewer notes sound together", "more notes sound together"),
    "melody_notes_per_bar": ("the melody has fewer notes a bar", "the melody has more notes a bar"),
    "piano_notes_per_bar": ("the piano plays fewer notes a bar", "the piano plays more notes a bar"),
    "piano_duration": ("piano notes are shorter", "piano notes are held longer"),
    "melody_range": ("the melody keeps to a narrower range", "the melody spans a wider range"),
    "interval_size": ("the melody moves in smaller intervals", "the melody moves in larger leaps"),
    "step_share": ("the melody moves by step less often", "the melody moves by step more often"),
    "repeated_pitch_share": ("the melody repeats notes less often", "the melody repeats notes more often"),
    "interval_entropy": ("the melody uses fewer different intervals", "the melody uses more different intervals"),
    "rhythm_entropy": ("the melody's rhythm is more uniform", "the melody's rhythm is more varied"),
    "melody_on_beat_share": ("the melody is on the beat less often", "the melody is on the beat more often"),
    "melody_rest_share": ("the melody rests less", "the melody rests more"),
    "pitch_class_entropy_4": ("four bars hold fewer different notes", "four bars hold more different notes"),
    "key_strength": ("the key is less clear", "the key is clearer"),
    "chord_tone_ratio": ("the melody is on chord tones less often", "the melody is on chord tones more often"),
    "piano_chord_tone_ratio": ("the piano leaves its chords more often", "the piano keeps to its chords more strictly"),
    "bass_agreement": ("the bass plays the chord's bass less often", "the bass plays the chord's bass more often"),
    "semitone_clash": ("melody and piano clash less", "melody and piano clash more"),
    "chord_change_rate": ("chords change less often", "chords change more often"),
    "chord_entropy": ("chords are less varied", "chords are more varied"),
    "num_chords": ("there are fewer different chords", "there are more different chords"),
    "chord_trigram_irregularity": ("chord successions are more repetitive", "chord successions return less often"),
    "distinct_melodic_4_grams": ("the melody has fewer fresh figures", "the melody repeats its figures less often"),
    "longest_repeat": ("the longest melodic repeat is shorter", "the longest melodic repeat is longer"),
    "bar_similarity_4": ("bars return less after four bars", "bars return more after four bars"),
    "bar_similarity_8": ("bars return less after eight bars", "bars return more after eight bars"),
    "melody_similarity_4": ("the melody returns less after four bars", "the melody returns more after four bars"),
    "melody_similarity_8": ("the melody returns less after eight bars", "the melody returns more after eight bars"),
    "repeated_melody_bars": ("fewer melody bars return exactly", "more melody bars return exactly"),
    "repeated_windows": ("fewer four-bar stretches return", "more four-bar stretches return"),
    "same_letter_similarity": ("phrases of one letter differ more", "phrases of one letter are more alike"),
    "other_letter_similarity": ("phrases of different letters contrast more", "different phrases contrast less"),
    "copied_phrase_share": ("phrases return without a change less often", "phrases return without a change more often"),
    "melody_in_key": ("the melody leaves its key more often", "the melody keeps to its key more strictly"),
    "melody_ends_on_tonic": ("fewer melodies end on the home note", "more melodies end on the home note"),
    "final_chord_on_tonic": ("songs end on the home chord less often", "songs end on the home chord more often"),
    "strong_beat_fit": ("strong beats fit their chords less", "strong beats fit their chords more"),
    "sung_time_fit": ("the melody fits its chords less", "the melody fits its chords more"),
    "piano_doubling": ("the piano doubles the melody less", "the piano doubles the melody more"),
    "melody_height": ("the melody lies less far above the piano", "the melody lies farther above the piano"),
    "melody_on_top": ("the piano covers the melody more", "the melody is on top more of the time"),
    "density_agreement": ("melody and piano are less busy together", "melody and piano are busy together more"),
    "common_return": ("the piano returns less with its melody", "the piano returns more strictly with its melody"),
    "chords_return": ("chords return less with their melody", "chords return more strictly with their melody"),
    "rhythm_kinship": ("phrases have less rhythm in common", "phrases have more rhythm in common"),
    "pitch_kinship": ("phrases have fewer notes in common", "phrases have more notes in common"),
    "motif_kinship": ("phrases share fewer motifs", "phrases share more motifs"),
    "height_spread": ("phrases differ less in height", "phrases differ more in height"),
    "density_spread": ("phrases differ less in density", "phrases differ more in density"),
    "piano_rhythm_kinship": ("the piano changes its rhythm more", "the piano changes its rhythm less"),
    "piano_pitch_kinship": ("the piano changes its notes more", "the piano changes its notes less"),
    "piano_height_spread": ("the piano changes its height less", "the piano changes its height more"),
    "piano_density_spread": ("the piano changes its density less", "the piano changes its density more"),
    "join_leap": ("the melody leaps less between phrases", "the melody leaps more between phrases"),
    "join_pause": ("phrases follow each other more closely", "the pauses between phrases are longer"),
    "piano_join": ("the piano breaks off more between phrases", "the piano goes on more evenly across phrases"),
}  # fmt: skip
# Of gates of sets that are no average: what is said when they fail below and above.
_GATE_WORDS: dict[str, tuple[str, str]] = {
    "overlap_local": ("notes and rhythm spread otherwise", ""),
    "overlap_harmony": ("harmony spreads otherwise", ""),
    "overlap_structure": ("repetition spreads otherwise", ""),
    "overlap_accompaniment": ("the fit of melody and accompaniment spreads otherwise", ""),
    "overlap_coherence": ("the coherence of phrases spreads otherwise", ""),
    "overlap_worst": ("one feature is spread quite otherwise", ""),
    "similarity_error": ("", "music returns at other distances"),
    "variety": ("the songs are more alike", "the songs are less alike"),
    "two_sample": ("", "a trained judge tells the songs apart more surely"),
    "bits_per_note": ("the melodies are more predictable", "the melodies are less predictable"),
    "run_over_10": ("", "more songs share long runs with known songs"),
    "within_run": ("", "the songs repeat each other more"),
}
_SECTION_WORDS = {
    "notes": "notes and rhythm",
    "structure": "repetition",
    "form": "phrases and endings",
    "melody and accompaniment": "the fit of melody and accompaniment",
    "coherence": "the coherence of phrases",
    "likeness": "the whole",
}


def set_verdict(gates: Sequence[Gate], num_songs: int) -> str:
    """Return one sentence about a set of songs.

    Parameters
    ----------
    gates : sequence of Gate
        Of `gates.set_gates`.
    num_songs : int

    Examples
    --------
    >>> gate = Gate("variety", "variety", "variety", 0.4, 0.9, 1.1, False, "")
    >>> set_verdict([gate, gate._replace(name="groove", section="harmony", is_passed=True)], 120)
    '120 songs: 1 of 2 gates passed; like real songs in harmony, but the songs are more alike than in real music.'
    """
    count = "1 song" if num_songs == 1 else f"{num_songs:,} songs"
    if MIN_SONGS <= num_songs < FEW_SONGS:
        count += " (few: distributions are noisy)"
    judged = [gate for gate in gates if gate.is_passed is not None]
    failed = [gate for gate in judged if not gate.is_passed]
    if num_songs < MIN_SONGS:
        copied = _copied(failed)
        known = copied or ("nothing is copied from known songs" if judged else "nothing could be judged")
        return f"{count}: too few for a distribution, so only originality is judged; {known}."
    if not judged:
        return f"{count}: nothing could be judged."
    passed = f"all {len(judged)}" if not failed else f"{len(judged) - len(failed)} of {len(judged)}"
    words = f"{count}: {passed} gates passed"
    if not failed:
        return f"{words}; nothing measured tells them from as many real songs."
    broken = {gate.section for gate in failed}
    sections = {gate.section: None for gate in judged if gate.section not in broken | {"originality"}}
    alike = [_SECTION_WORDS.get(section, section) for section in sections]
    reasons = _set_reasons(failed)
    if alike:
        return f"{words}; like real songs in {_listed(alike)}, but {reasons}."
    return f"{words}; {reasons}."


def song_verdict(gates: Sequence[Gate], *, kind: str = "") -> str:
    """Return one or two sentences about one song.

    Parameters
    ----------
    gates : sequence of Gate
        Of `gates.song_gates`.
    kind : str
        What the real songs are, such as "pop".

    Examples
    --------
    >>> away = Deviation("local", "interval_size", True, 5.1, 0.97)
    >>> gate = Gate("usual_local", "notes", "notes", 1.2, None, 2.8, True, "", "", (away,))
    >>> song_verdict([gate, Gate("copy", "copy", "originality", 8.0, None, 85.0, True, "", "")], kind="pop")
    'Within the range of real pop in notes and rhythm, but the melody moves in larger leaps than 97 % of real songs. \
Copies nothing known.'
    """
    real = f"real {kind}" if kind else "real songs"
    usual = {gate.name.removeprefix("usual_"): gate for gate in gates if gate.name.startswith("usual_")}
    inside = [GROUPS[group].words for group, gate in usual.items() if gate.is_passed]
    outside = [GROUPS[group].words for group, gate in usual.items() if gate.is_passed is False]
    failed = [one for gate in usual.values() if gate.is_passed is False for one in gate.deviations[:2]]
    others = [one for gate in usual.values() if gate.is_passed for one in gate.deviations]
    reasons = [f"{feature_words(one)} than {_of_real_songs(one)}" for one in (failed or others)[: _MAX_REASONS["song"]]]
    if not inside and not outside:
        sentence = "Too short or too plain to be held against real songs" if usual else "Not held against real songs"
    elif not outside:
        everything = "everything measured" if len(inside) == len(GROUPS) else _listed(inside)
        sentence = f"Within the range of {real} in {everything}" + (f", but {_listed(reasons)}" if reasons else "")
    else:
        start = f"Within the range of {real} in {_listed(inside)}, not" if inside else f"Not within the range of {real}"
        sentence = f"{start} in {_listed(outside)}" + (f": {_listed(reasons)}" if reasons else "")
    is_copied, words = _originality_sentence(gates)
    return f"{words} {sentence}." if is_copied else f"{sentence}. {words}"


def feature_words(deviation: Deviation) -> str:
    """Return how a feature deviates, as a comparative that goes on with "than …"."""
    low, high = _FEATURE_WORDS.get(deviation.name, (f"{deviation.name} is lower", f"{deviation.name} is higher"))
    return high if deviation.is_high else low


def _set_reasons(failed: Sequence[Gate]) -> str:
    """Return how the set differs, the most telling first; a section is spoken for once, copies before all."""
    told: dict[str, str] = {}
    # Averages say it in the plainest words, then what is named, then what is left.
    for gate in sorted(failed, key=lambda gate: (not gate.deviations, gate.name not in _FEATURE_WORDS)):
        if gate.section in told or gate.section == "originality":
            continue
        if gate.deviations:
            told[gate.section] = feature_words(gate.deviations[0])
            continue
        words = _FEATURE_WORDS.get(gate.name) or _GATE_WORDS.get(gate.name)
        is_high = gate.value is not None and gate.high is not None and gate.value > gate.high
        if words and words[is_high]:
            told[gate.section] = words[is_high]
    plain = [words for section, words in told.items() if section != "likeness"]
    reasons = (plain or list(told.values()))[: _MAX_REASONS["set"]]
    copied = _copied(failed)
    if not reasons:
        return copied or "more of it lies outside the range of real songs"
    return f"{copied}, and " * bool(copied) + f"{_listed(reasons)} than {'in real music' if plain else 'real ones'}"


def _copied(failed: Sequence[Gate]) -> str:
    """Return what is copied, empty if nothing is."""
    by_name = {gate.name: gate for gate in failed if gate.section == "originality"}
    if "copies" in by_name:
        count = round(by_name["copies"].value or 0)
        return "one song is a copy of a known one" if count == 1 else f"{count} songs are copies of known ones"
    if "longest_run" in by_name:
        return f"{round(by_name['longest_run'].value or 0)} melody notes in a row are those of a known song"
    if "piano_run" in by_name:
        return f"{round(by_name['piano_run'].value or 0)} bars of piano in a row are those of a known song"
    if "coverage" in by_name:
        return f"{100 * (by_name['coverage'].value or 0):.0f} % of a melody is made of one known song"
    return "more songs share long runs with known songs than real ones do" if by_name else ""


def _originality_sentence(gates: Sequence[Gate]) -> tuple[bool, str]:
    """Return whether something is copied, and a sentence about it."""
    judged = [gate for gate in gates if gate.section == "originality" and gate.is_passed is not None]
    if not judged:
        return False, "Not compared with known songs."
    failed = [gate for gate in judged if not gate.is_passed]
    if any(gate.name == "copy" for gate in failed):
        return True, "The melody is a copy of a known song."
    words = _copied(failed)
    return (True, f"{words[0].upper()}{words[1:]}.") if words else (False, "Copies nothing known.")


def _of_real_songs(deviation: Deviation) -> str:
    if deviation.share is None:
        return "in real songs"
    return f"{100 * deviation.share:.0f} % of real songs" if deviation.share < 0.995 else "nearly all real songs"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
