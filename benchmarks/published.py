"""Our versions of the field's metrics against the originals, where those are installed.

    python benchmarks/published.py [--songs 20]

MusPy (`pip install muspy pretty_midi scipy`) reads POP909's own MIDI files (SONGWRIGHT_DATA, or ../shared/data), and
the same notes on the grid. pretty_midi and SciPy stand in for mgeval, whose own code is of Python 2. Prints how far the
values lie apart at most. MusDr has no package: its definitions are tested by hand-computed values.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from songwright.corpus.piece import Piece, analyse
from songwright.evaluation.mgeval import mgeval_distances, mgeval_features
from songwright.evaluation.published import muspy_metrics
from songwright.files.midi import read_midi, write_midi
from songwright.score.elements import Score, TempoChange, TimeSignature, Track, notes_from_columns
from songwright.score.grid_score import GridScore
from songwright.score.pitch import Key

KEY = Key(0)


def as_score(grid: GridScore) -> Score:
    """Return a grid in 4/4 as a score of 12 ticks a quarter note, at its first tempo."""
    tracks = tuple(
        Track(
            track.name,
            notes_from_columns(*(track.notes[name] for name in ("onset_step", "duration_step", "pitch", "velocity"))),
            track.program,
            track.is_drum,
        )
        for track in grid.tracks
    )
    return Score(12, tracks, (TempoChange(0, grid.tempos[0].tempo_qpm),), (TimeSignature(0, 4, 4),))


def muspy_values(path: Path) -> dict[str, float]:
    """Return MusPy's own values of a file, without the pedal after its last note, bars as its first metre says."""
    import muspy

    music = muspy.read_midi(path)
    for track in music.tracks:
        track.annotations.clear()
    metre = music.time_signatures[0]
    bar = 4 * music.resolution * metre.numerator // metre.denominator
    arguments: dict[str, tuple[object, ...]] = {
        "pitch_in_scale_rate": (KEY.tonic, "major"),
        "empty_measure_rate": (bar,),
        "groove_consistency": (bar,),
    }
    names = muspy_metrics(GridScore((), 1))
    return {name: float(getattr(muspy, name)(music, *arguments.get(name, ()))) for name in names}


def mgeval_values(path: Path) -> dict[str, np.ndarray]:
    """Return mgeval's features of a file of one track, its statements of pretty_midi's objects rewritten."""
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(str(path))
    notes = sorted(midi.instruments[0].notes, key=lambda note: (note.start, note.pitch))
    roll = midi.instruments[0].get_piano_roll(fs=100)
    chroma = np.array([roll[pitch_class::12].sum() for pitch_class in range(12)])
    used = np.flatnonzero(roll.sum(axis=1))
    length = np.array([midi.time_to_tick(note.end) - midi.time_to_tick(note.start) for note in notes])
    lengths = np.array([96, 48, 24, 12, 6, 72, 36, 18, 9, 32, 16, 8]) * 4 * midi.resolution / 96
    kind = np.abs(lengths - length[:, None]).argmin(axis=1)
    successions = np.zeros((12, 12))
    np.add.at(successions, (kind[:-1], kind[1:]), 1)
    return {
        "total_used_pitch": np.array(len(used)),
        "total_used_note": np.array(len(notes)),
        "pitch_range": np.array(np.ptp(used)),
        "avg_pitch_shift": np.abs(np.diff([note.pitch for note in notes])).mean(),
        "avg_IOI": np.diff(midi.get_onsets()).mean(),
        "total_pitch_class_histogram": chroma / chroma.sum(),
        "pitch_class_transition_matrix": midi.get_pitch_class_transition_matrix(),
        "note_length_hist": np.bincount(kind, minlength=12) / len(kind),
        "note_length_transition_matrix": successions,
    }


def mgeval_distance_values(reference: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Return kld, overlap and the reference's, by SciPy, from one feature of two sets of one size."""
    from scipy import integrate, stats

    def apart(one: np.ndarray, others: np.ndarray) -> list[float]:
        return [float(np.linalg.norm(one - other)) for other in others]

    between = [value for one in generated for value in apart(one, reference)]
    found: list[float] = []
    for table in (generated, reference):
        inside = [value for place, one in enumerate(table) for value in apart(one, np.delete(table, place, axis=0))]
        first, second = stats.gaussian_kde(inside), stats.gaussian_kde(between)
        ends = min(min(inside), min(between)), max(max(inside), max(between))
        places = [np.linspace(min(values), max(values), 1000) for values in (inside, between)]
        found.append(float(stats.entropy(first(places[0]), second(places[1]))))
        both = (first, second)
        area = integrate.quad(lambda place, both=both: min(one(place)[0] for one in both), *ends, limit=200)
        found.append(area[0])
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=20)
    arguments = parser.parse_args()
    data = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    paths = sorted((data / "POP909").glob("*/*.mid"))[: arguments.songs]
    worst: dict[str, dict[str, float]] = {"MusPy, files": {}, "MusPy, grid": {}, "mgeval, features": {}}
    features: list[dict[str, np.ndarray]] = []
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "song.mid"
        for path in paths:
            score = read_midi(path)
            piece = analyse(score, title=path.stem)
            pairs = [("MusPy, files", muspy_metrics(score, KEY), muspy_values(path))]
            if isinstance(piece, Piece) and piece.score.is_common_time:
                laid = as_score(piece.score)
                write_midi(copy, laid)
                pairs.append(("MusPy, grid", muspy_metrics(piece.score, KEY), muspy_values(copy)))
                line = GridScore(
                    tuple(track for track in piece.score.tracks if track.role == "melody"),
                    piece.score.num_bars,
                    tempos=piece.score.tempos[:1],
                )
                write_midi(copy, as_score(line))
                features.append(mgeval_features(line))
                pairs.append(("mgeval, features", features[-1], mgeval_values(copy)))
            for family, ours, theirs in pairs:
                for name, value in theirs.items():
                    is_same = np.array_equal(ours[name], value, equal_nan=True)
                    apart = 0.0 if is_same else float(np.abs(np.asarray(ours[name]) - value).max())
                    worst[family][name] = max(worst[family].get(name, 0.0), apart)
    half = len(features) // 2
    found = mgeval_distances(features[:half], features[half : 2 * half])
    worst["mgeval, kld and overlap"] = {
        name: float(
            np.abs(
                np.array(found[name])
                - mgeval_distance_values(*(np.array([one[name] for one in part]) for part in halves))
            ).max()
        )
        for halves in [(features[:half], features[half : 2 * half])]
        for name in found
        if np.isfinite(found[name]).all()
    }
    for family, names in worst.items():
        print(f"{family}: largest difference in {len(paths)} songs")
        for name, value in names.items():
            print(f"  {name:32}{value:.1e}")


if __name__ == "__main__":
    main()
