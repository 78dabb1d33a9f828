"""Recordings to notes: how the shipped network was trained, and what it reaches.

    python benchmarks/transcription.py --prepare FOLDER [--excerpts 500]    what is learnt from, 2 s of work each
    python benchmarks/transcription.py --train FOLDER --out OUT [--steps 4000] [--start NETWORK]
    python benchmarks/transcription.py --measure [--weights OUT] [--songs 40] [--basic-pitch WHEEL_FOLDER] [--json FILE]
    python benchmarks/transcription.py --listen FILE...                      what is heard, as text

The shipped weights: 300 excerpts and 1,986 steps (a schedule of 60 minutes left after 40), then 203 excerpts more,
those with made-up timbres and voices, and 2,000 steps on all 503 from learning rate 2e-3 to 0. Which steps those were
depended on the clock, so a rebuild (`--prepare` 500 excerpts, `--train` 4,000 steps) gives its equal, not its bytes.

Training uses one thread. With glibc, MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000
MALLOC_TOP_PAD_=500000000 in the environment keep memory between steps, which halves their time.

`--measure` renders songs of POP909's validation and test splits and compares notes with `mir_eval.transcription`:
onset within 50 ms and pitch within 50 cents, offsets ignored; means over songs. Thresholds are chosen on twelve other
songs of these splits (`--tune`). Rows:

    rendered     the first 60 s of MELODY, BRIDGE and PIANO as `songwright compose` renders and masters them
    other font   the same with another SoundFont (`--soundfont`)
    FAMILY       the same 20 s, every track played by instruments of that family
    KIND         the same 30 s, spoilt as in training, with other draws
    under drums  the same 30 s under a beat of Groove's test split, 3 dB softer, which is not to be transcribed

*merged* counts notes of one pitch that start within 30 ms, as where MELODY and PIANO double each other, as one.
basic-pitch [1]_ is its published `nmp.onnx` with its own `note_creation`, on the same samples, with its defaults and as
tuned on the twelve songs: `pip download basic-pitch --no-deps`, unzip the wheel, and name the folder.

References
----------
.. [1] R. M. Bittner et al., "A lightweight instrument-agnostic model for polyphonic note transcription and multipitch
   estimation", ICASSP 2022. Code and weights under Apache-2.0.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
from numpy.typing import NDArray

from songwright.corpus.pop909 import song_ids
from songwright.corpus.splits import split_of
from songwright.files.midi import read_midi
from songwright.files.recordings import SAMPLE_RATE, read_recording, resample
from songwright.files.transcription import (
    TICKS_PER_SECOND,
    Heard,
    decode_notes,
    listen,
    load_model,
    transcribe,
    transcribe_audio,
)
from songwright.rendering.mastering import master
from songwright.rendering.synthesis import SAMPLE_RATE as RENDERED_RATE
from songwright.rendering.synthesis import render_score
from songwright.score.elements import Score, Track
from songwright.score.timeline import ticks_to_seconds

DATA = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
NUM_TUNING = 12
DAMAGE = ("room", "noise", "filter", "codec", "clipping")
# Its defaults, and the best of 32 settings on the tuning songs (F1 .803 and .927 there).
_PEER_SETTINGS: dict[str, dict[str, Any]] = {
    "basic-pitch": {"onset_thresh": 0.5, "min_note_len": 11, "infer_onsets": True, "melodia_trick": True},
    "basic-pitch tuned": {"onset_thresh": 0.7, "min_note_len": 5, "infer_onsets": False, "melodia_trick": False},
}
Notes = NDArray[np.float64]


def rendered(song: Path, seconds: float, programs: list[int] | None, soundfont: Path | None) -> tuple[Any, Notes]:
    """Return the sound of the start of a song at 48 kHz, shape (num_samples, 2), and notes (onset, offset, pitch)."""
    score = read_midi(song)
    tracks, notes = [], []
    for number, track in enumerate(score.tracks):
        onset = ticks_to_seconds(score, track.notes["onset_tick"])
        kept = track.notes[onset < seconds]
        offset = ticks_to_seconds(score, kept["onset_tick"] + kept["duration_tick"])
        program = programs[number % len(programs)] if programs else track.program
        tracks.append(Track(track.name, kept, program))
        notes.append(np.stack([onset[onset < seconds], offset, kept["pitch"]], axis=1))
    audio = render_score(Score(score.ticks_per_quarter, tuple(tracks), score.tempos), soundfont=soundfont)
    audio = master(audio[: round((seconds + 2) * RENDERED_RATE)], RENDERED_RATE)
    reference = np.concatenate(notes)
    reference[:, 1] = np.maximum(reference[:, 1], reference[:, 0] + 0.02)
    return audio, reference


def scores(reference: Notes, estimate: Notes) -> tuple[float, float, float]:
    """Return precision, recall and F1."""
    from mir_eval.transcription import precision_recall_f1_overlap

    if not len(estimate) or not len(reference):
        return 0.0, 0.0, 0.0
    hertz = [440 * 2 ** ((notes[:, 2] - 69) / 12) for notes in (reference, estimate)]
    return precision_recall_f1_overlap(
        reference[:, :2], hertz[0], estimate[:, :2], hertz[1], onset_tolerance=0.05, offset_ratio=None
    )[:3]


def merged(notes: Notes) -> Notes:
    notes = notes[np.lexsort((notes[:, 0], notes[:, 2]))]
    first = np.r_[True, (np.diff(notes[:, 2]) != 0) | (np.diff(notes[:, 0]) > 0.03)]
    return notes[first]


def basic_pitch(folder: Path) -> Callable[[NDArray[np.float32]], dict[str, Notes]]:
    """Return basic-pitch's published network and note creation, by setting, as a function of samples at 22,050 Hz."""
    import onnxruntime

    # Its module imports packages of which note creation needs one line.
    librosa = MagicMock()
    librosa.core.frames_to_time = lambda frames, sr, hop_length: frames * hop_length / sr
    package = types.ModuleType("basic_pitch")  # the package itself looks for TensorFlow
    package.__path__ = [str(folder / "basic_pitch")]
    stand_ins = {"librosa": librosa, "resampy": MagicMock(), "pretty_midi": MagicMock(), "basic_pitch": package}
    sys.modules |= stand_ins
    from basic_pitch import constants, note_creation  # type: ignore[import-not-found]

    for name in stand_ins:
        del sys.modules[name]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    network = folder / "basic_pitch" / "saved_models" / "icassp_2022" / "nmp.onnx"
    session = onnxruntime.InferenceSession(network, options)
    length, overlap = constants.AUDIO_N_SAMPLES, 30
    names = ["StatefulPartitionedCall:1", "StatefulPartitionedCall:2"]  # notes, onsets

    def notes_of(samples: NDArray[np.float32]) -> dict[str, Notes]:
        padded = np.concatenate([np.zeros(overlap * 256 // 2, np.float32), samples])
        found: list[list[Any]] = [[], []]
        for start in range(0, len(padded), length - overlap * 256):
            window = padded[start : start + length]
            window = np.pad(window, (0, length - len(window)))[None, :, None]
            for part, out in zip(found, session.run(names, {session.get_inputs()[0].name: window}), strict=True):
                part.append(out[0, overlap // 2 : -overlap // 2])
        count = len(samples) * constants.ANNOTATIONS_FPS // constants.AUDIO_SAMPLE_RATE
        frames, onsets = (np.concatenate(part)[:count] for part in found)
        seconds = note_creation.model_frames_to_time(len(frames))
        notes: dict[str, Notes] = {}
        for name, setting in _PEER_SETTINGS.items():
            events = note_creation.output_to_notes_polyphonic(
                frames.copy(), onsets.copy(), frame_thresh=0.3, min_freq=None, max_freq=None, **setting
            )
            notes[name] = np.array([(seconds[a], seconds[b], pitch) for a, b, pitch, _ in events]).reshape(-1, 3)
        return notes

    return notes_of


class Row:
    """Results of one kind of sound."""

    def __init__(self) -> None:
        self.ours: list[tuple[float, ...]] = []
        self.merged: list[tuple[float, ...]] = []
        self.peer: dict[str, list[tuple[float, ...]]] = {name: [] for name in _PEER_SETTINGS}

    def figures(self) -> dict[str, Any]:
        """Return means over songs."""
        values: dict[str, Any] = {"songs": len(self.ours)}
        for name, rows in {"ours": self.ours, "ours merged": self.merged, **self.peer}.items():
            if rows:
                means = np.mean(rows, axis=0)
                values |= {f"{name} {key}": round(float(v), 3) for key, v in zip(("P", "R", "F1"), means, strict=True)}
        values["worst F1"] = round(min(row[2] for row in self.ours), 3)
        return values


def measure(arguments: argparse.Namespace) -> None:
    from songwright.training.transcription_excerpts import FAMILIES, at_level, drum_files, drum_sound, spoil

    peer = basic_pitch(arguments.basic_pitch) if arguments.basic_pitch else None
    songs = held_out_songs()[NUM_TUNING : NUM_TUNING + arguments.songs]
    clocks = {"ours": 0.0, "basic-pitch": 0.0, "audio": 0.0}
    result: dict[str, Any] = {}

    def judge(row: Row, audio: NDArray[np.float32], rate: int, reference: Notes) -> None:
        mono = audio.mean(axis=1) if audio.ndim == 2 else audio
        began = time.process_time()
        notes = transcribe_audio(mono, rate, weights=arguments.weights).tracks[0].notes
        onset, end = notes["onset_tick"] / TICKS_PER_SECOND, (notes["onset_tick"] + notes["duration_tick"])
        estimate = np.stack([onset, end / TICKS_PER_SECOND, notes["pitch"]], axis=1)
        clocks["ours"] += time.process_time() - began
        clocks["audio"] += len(mono) / rate
        row.ours.append(scores(reference, estimate))
        row.merged.append(scores(merged(reference), estimate))
        if peer:
            began = time.process_time()
            found_by_peer = peer(resample(mono, rate, 22_050))
            clocks["basic-pitch"] += time.process_time() - began
            for name, found in found_by_peer.items():
                row.peer[name].append(scores(reference, found))

    def close(name: str, row: Row) -> None:
        result[name] = row.figures()
        print(f"{name:12s}", json.dumps(result[name]), flush=True)

    row = Row()
    for song in songs:
        audio, notes = rendered(song, 60, None, None)
        judge(row, audio, RENDERED_RATE, notes)
    close("rendered", row)
    if arguments.soundfont:
        row = Row()
        for song in songs[:10]:
            audio, notes = rendered(song, 30, None, arguments.soundfont)
            judge(row, audio, RENDERED_RATE, notes)
        close("other font", row)
    for number, (family, programs) in enumerate(FAMILIES.items() if arguments.each else ()):
        row, random = Row(), np.random.default_rng([11, number])
        for song in songs[: arguments.each]:
            audio, notes = rendered(song, 20, [int(p) for p in random.choice(programs, 3)], None)
            judge(row, audio, RENDERED_RATE, notes)
        close(family, row)
    sounds = [rendered(song, 30, None, None) for song in songs[: arguments.each]]
    for number, kind in enumerate(DAMAGE if arguments.each else ()):
        row, random = Row(), np.random.default_rng([13, number])
        for audio, notes in sounds:
            mono = resample(audio.mean(axis=1), RENDERED_RATE, SAMPLE_RATE)
            judge(row, spoil(mono, kind, random), SAMPLE_RATE, notes)
        close(kind, row)
    row = Row()
    for (audio, notes), path in zip(sounds, drum_files(DATA, "test"), strict=False):
        mono = at_level(resample(audio.mean(axis=1), RENDERED_RATE, SAMPLE_RATE), -20)
        judge(row, mono + at_level(drum_sound(path, len(mono)), -23), SAMPLE_RATE, notes)
    if arguments.each:
        close("under drums", row)
    result["speed"] = {
        name: round(clocks["audio"] / clocks[name], 1) for name in ("ours", "basic-pitch") if clocks[name]
    }
    print("times real time, one core:", result["speed"])
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


def held_out_songs() -> list[Path]:
    root = DATA / "POP909"
    held_out = [song_id for song_id in song_ids(root) if split_of(song_id) != "train"]
    order = np.random.default_rng(0).permutation(len(held_out))
    return [root / held_out[i] / f"{held_out[i]}.mid" for i in order]


def tune(arguments: argparse.Namespace) -> None:
    """Print F1 on the tuning songs, piano and other instruments, for a grid of thresholds."""
    from songwright.training.transcription_excerpts import FAMILIES, spoil

    model, random = load_model(arguments.weights), np.random.default_rng(5)
    programs = [program for family in FAMILIES.values() for program in family]
    cases: list[tuple[bool, Heard, Notes]] = []
    for song in held_out_songs()[:NUM_TUNING]:
        for plain in (True, False):
            chosen = None if plain else [int(program) for program in random.choice(programs, 3)]
            audio, notes = rendered(song, 30, chosen, None)
            mono = resample(audio.mean(axis=1), RENDERED_RATE, SAMPLE_RATE)
            mono = mono if plain else spoil(mono, str(random.choice(DAMAGE)), random)
            cases.append((plain, listen(mono, model), notes))
    for onset_threshold in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6):
        found = [
            (plain, scores(notes, decode_notes(heard.onset, heard.frame, onset_threshold=onset_threshold,
                                               frame_threshold=model.frame_threshold)))
            for plain, heard, notes in cases
        ]  # fmt: skip
        means = [np.mean([row for plain, row in found if plain == kind], axis=0).round(3) for kind in (True, False)]
        print(onset_threshold, "piano P R F1", means[0], "other, spoilt", means[1], flush=True)


def listen_to(paths: list[Path], weights: Path | None) -> None:
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    for path in paths:
        score = transcribe(path, weights=weights)
        print(path.name, f"{len(read_recording(path)) / SAMPLE_RATE:.1f} s,", score.num_notes, "notes")
        for onset, duration, pitch, velocity in score.tracks[0].notes.tolist():
            print(
                f"  {onset / 960:6.2f} s  {duration / 960:5.2f} s  {names[pitch % 12]}{pitch // 12 - 1:<2} {velocity}"
            )


def train(arguments: argparse.Namespace) -> None:
    from songwright.training.transcription import TranscriptionTraining, train_transcription
    from songwright.training.transcription_export import export_transcription

    config = TranscriptionTraining(num_steps=arguments.steps, learning_rate=arguments.learning_rate)
    network = train_transcription(
        arguments.train, arguments.out, config, start=arguments.start, report=lambda line: print(line, flush=True)
    )
    facts = {"onset_threshold": arguments.onset_threshold, "frame_threshold": arguments.frame_threshold}
    export_transcription(network, arguments.out, facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--prepare", type=Path)
    action.add_argument("--train", type=Path)
    action.add_argument("--tune", action="store_true")
    action.add_argument("--measure", action="store_true")
    action.add_argument("--listen", type=Path, nargs="+")
    parser.add_argument("--excerpts", type=int, default=500)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--start", type=Path, help="network.pt of an earlier run, to go on from")
    parser.add_argument("--out", type=Path, default=Path("transcription-run"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--songs", type=int, default=40)
    parser.add_argument("--each", type=int, default=6, help="songs a family or kind of damage")
    parser.add_argument("--basic-pitch", type=Path)
    parser.add_argument("--soundfont", type=Path)
    parser.add_argument("--onset-threshold", type=float, default=0.5)
    parser.add_argument("--frame-threshold", type=float, default=0.4)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.prepare:
        from songwright.training.transcription import prepare_excerpts

        prepare_excerpts(DATA, arguments.prepare, 0, arguments.excerpts)
    elif arguments.train:
        train(arguments)
    elif arguments.tune:
        tune(arguments)
    elif arguments.measure:
        measure(arguments)
    else:
        listen_to(arguments.listen, arguments.weights)


if __name__ == "__main__":
    main()
