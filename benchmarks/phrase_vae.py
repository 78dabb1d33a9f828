"""The autoencoder of phrases on held-out songs: what it keeps, what it hears as alike, how far a variation goes.

    python benchmarks/phrase_vae.py CORPUS [--weights FOLDER] [--split validation|test] [--phrases 100] [--json FILE]

Everything runs on the exported files (ONNX Runtime), on phrases of first forms of at most eight bars (longer ones in
pieces). Bounds: the evidence lower bound with one draw of the latent numbers a phrase; nats a note count every token.
Written again: the most likely token at every step from the mean, under the grammar; right are notes with the same onset
and pitch. Alike: pairs of sung phrases of one song; the area under the ROC curve (AUC) is the chance that a pair of the
same letter is more similar than one of other letters, by the cosine of the codes and by common notes over union, bar by
bar (`analysis.repetition`); also among pairs with little in common note for note. Curve: variations by amount.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.repetition import bar_contents, bar_similarity
from songwright.composition.variation import PhraseModel, code_similarity, note_overlap, phrase_pieces
from songwright.composition.weights import find_style
from songwright.engine.phrases import PhraseCoder
from songwright.preparation.shards import open_shard
from songwright.score.lead_sheet import SECTION_LETTERS, Form, LeadSheet, Phrase
from songwright.score.pitch import Key
from songwright.tokens import lead_sheet
from songwright.tokens.lead_sheet import BAR, DUR_0, VOCABULARY
from songwright.tokens.lead_sheet_state import CHANNELS as LEAD_SHEET_CHANNELS
from songwright.tokens.phrases import CHANNELS, PhraseSetting, PhraseState, phrase_notes, song_phrase, trace_phrase

AMOUNTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ACTIVE_VARIANCE = 0.01
MAX_TOKENS = 256


def read_sheets(corpus: Path, split: str) -> list[LeadSheet]:
    """Return the lead sheets of a split, in first forms."""
    shard = open_shard(corpus, "lead_sheet", split)
    sheets = []
    letter, place = (LEAD_SHEET_CHANNELS.names.index(name) for name in ("letter", "bar_in_phrase"))
    offsets = LEAD_SHEET_CHANNELS.offsets
    for number in np.flatnonzero(shard.index["copy"] == 0).tolist():
        tokens, channels, _ = shard.read(number)
        rows = channels[tokens == BAR]
        starts = np.flatnonzero(rows[:, place] == offsets[place])
        lengths = np.diff(np.append(starts, len(rows))).tolist()
        names = [SECTION_LETTERS[row] for row in (rows[starts, letter] - offsets[letter]).tolist()]
        form = Form(tuple(Phrase(name, bars) for name, bars in zip(names, lengths, strict=True)))
        sheets.append(lead_sheet.decode(tokens, key=Key(0), tempo_qpm=90, form=form))
    return sheets


def read_phrases(sheets: list[LeadSheet]) -> list[tuple[NDArray[np.int16], PhraseSetting]]:
    """Return tokens and setting of every piece with notes."""
    found = [
        song_phrase(sheet, *piece)
        for sheet in sheets
        for phrase in range(len(sheet.form.phrases))
        for piece in phrase_pieces(sheet, phrase)
    ]
    return [(tokens, setting) for tokens, setting in found if len(tokens) <= MAX_TOKENS]


def measure_bounds(coder: PhraseCoder, phrases: list[tuple[NDArray[np.int16], PhraseSetting]]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    nats = kl = num_notes = 0.0
    means = []
    for tokens, setting in phrases:
        channels = trace_phrase(tokens, setting)
        mean, deviation = coder.encode(tokens[:-1], channels)
        means.append(mean)
        kl += float((mean**2 + deviation**2 - 1 - 2 * np.log(deviation)).sum() / 2)
        z = mean + deviation * rng.standard_normal(len(mean))
        logits = coder.write(z[None]).step(tokens[None, :-1], channels[None])[0].astype(np.float64)
        top = logits.max(axis=1)
        total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        nats += float((total - logits[np.arange(len(logits)), tokens[1:]]).sum())
        num_notes += int((tokens >= DUR_0).sum())
    return {
        "phrases": len(phrases),
        "notes": int(num_notes),
        "reconstruction_nats_per_note": round(nats / num_notes, 3),
        "kl_nats_per_phrase": round(kl / len(phrases), 2),
        "elbo_nats_per_note": round((nats + kl) / num_notes, 3),
        "active_units": int((np.var(means, axis=0) > ACTIVE_VARIANCE).sum()),
    }


def write_again(coder: PhraseCoder, tokens: NDArray[np.int16], setting: PhraseSetting) -> NDArray[np.int64]:
    """Return the most likely phrase of a phrase's mean, token by token."""
    writer = coder.write(coder.encode(tokens[:-1], trace_phrase(tokens, setting)).mean[None])
    state, written = PhraseState(setting), [BAR]
    while not state.is_finished:
        channels = np.array(state.channels()) + np.array(CHANNELS.offsets)
        logits = writer.step(np.array([[written[-1]]]), channels[None, None])[0, 0]
        written.append(int(np.where(state.mask(), logits, -np.inf).argmax()))
        state.advance(written[-1])
    return np.array(written)


def measure_writing(coder: PhraseCoder, phrases: list[tuple[NDArray[np.int16], PhraseSetting]]) -> dict[str, Any]:
    old = [phrase_notes(tokens) for tokens, _ in phrases]
    new = [phrase_notes(write_again(coder, tokens, setting)) for tokens, setting in phrases]
    kept = onsets = total = whole = 0
    for one, other in zip(old, new, strict=True):
        ours, theirs = (
            dict(zip(notes["onset_step"].tolist(), notes["pitch"].tolist(), strict=True)) for notes in (one, other)
        )
        onsets += len(ours.keys() & theirs.keys())
        kept += len(ours.items() & theirs.items())
        total += len(one)
        whole += np.array_equal(one, other)
    return {
        "notes_with_their_onset": round(onsets / total, 3),
        "notes_with_their_onset_and_pitch": round(kept / total, 3),
        "note_overlap": round(float(np.mean([note_overlap(*pair) for pair in zip(old, new, strict=True)])), 3),
        "phrases_exact": round(whole / len(phrases), 3),
    }


def auc(same: list[float], other: list[float]) -> float:
    """Return the chance that a value of `same` is above one of `other`, ties counted half."""
    ordered = np.sort(other)
    below = (np.searchsorted(ordered, same, side="left") + np.searchsorted(ordered, same, side="right")) / 2
    return round(float(below.mean() / len(other)), 4)


def measure_similarity(model: PhraseModel, sheets: list[LeadSheet]) -> dict[str, Any]:
    """Return how well two similarities tell pairs of the same letter from other pairs."""
    pairs: list[tuple[bool, float, float]] = []
    for sheet in sheets:
        contents = bar_contents(sheet.melody, sheet.num_bars, with_duration=False)
        bars = bar_similarity(contents)
        form = sheet.form
        sung = [
            (phrase.letter, start, phrase.num_bars, model.code(sheet, number))
            for number, (phrase, start) in enumerate(zip(form.phrases, form.start_bars, strict=True))
            if phrase.is_sung and phrase.letter != "X" and phrase_pieces(sheet, number)
        ]
        for index, (letter, start, num_bars, code) in enumerate(sung):
            for other_letter, other_start, other_bars, other_code in sung[:index]:
                length = min(num_bars, other_bars)
                overlap = np.diagonal(bars[start : start + length, other_start : other_start + length]).mean()
                pairs.append((letter == other_letter, code_similarity(code, other_code), float(overlap)))
    found: dict[str, Any] = {}
    for name, chosen in (("all_pairs", pairs), ("pairs_under_0.3_overlap", [pair for pair in pairs if pair[2] < 0.3])):
        same, other = ([pair for pair in chosen if pair[0] == is_same] for is_same in (True, False))
        found[name] = {
            "same_letter_pairs": len(same),
            "other_letter_pairs": len(other),
            "same_letter_cosine": round(float(np.mean([pair[1] for pair in same])), 3),
            "other_letter_cosine": round(float(np.mean([pair[1] for pair in other])), 3),
            "auc_cosine": auc([pair[1] for pair in same], [pair[1] for pair in other]),
            "auc_note_overlap": auc([pair[2] for pair in same], [pair[2] for pair in other]),
        }
    return found


def measure_curve(model: PhraseModel, sheets: list[LeadSheet], count: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    places = [(sheet, number) for sheet in sheets for number in range(len(sheet.form.phrases))]
    places = [place for place in places if phrase_pieces(*place)]
    chosen = [places[index] for index in rng.permutation(len(places))[:count]]
    curve = []
    for amount in AMOUNTS:
        varied = [
            model.vary(sheet, phrase, amount, np.random.default_rng([1, index]))
            for index, (sheet, phrase) in enumerate(chosen)
        ]
        curve.append(
            {
                "amount": amount,
                "note_overlap": round(float(np.mean([one.overlap for one in varied])), 3),
                "cosine": round(float(np.mean([one.similarity for one in varied])), 3),
                "unchanged": round(float(np.mean([one.overlap == 1 for one in varied])), 3),
            }
        )
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--weights", type=Path, help="folder of styles (default: what ships)")
    parser.add_argument("--style", default="pop")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--phrases", type=int, default=100, help="phrases that are varied")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    began = time.perf_counter()
    folder = find_style(arguments.style, arguments.weights).path
    coder = PhraseCoder(folder, fingerprint=VOCABULARY.fingerprint, channel_sizes=CHANNELS.sizes)
    model = PhraseModel(arguments.style, weights=arguments.weights)
    sheets = read_sheets(arguments.corpus, arguments.split)
    phrases = read_phrases(sheets)
    result = {
        "split": arguments.split,
        "songs": len(sheets),
        "parameters": coder.facts["parameters"],
        "bounds": measure_bounds(coder, phrases),
        "written_again": measure_writing(coder, phrases),
        "alike": measure_similarity(model, sheets),
        "curve": measure_curve(model, sheets, arguments.phrases),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
