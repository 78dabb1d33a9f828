"""What the network that transcribes learns from, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from songwright.errors import InputError
from songwright.files.recordings import SAMPLE_RATE
from songwright.files.spectrogram import HOP, reference_level, spectrogram
from songwright.files.transcription import load_model, transcribe_audio
from songwright.model.transcription import TranscriptionConfig
from songwright.training import transcription_excerpts
from songwright.training.transcription import (
    Crops,
    TranscriptionTraining,
    note_targets,
    train_transcription,
)
from songwright.training.transcription_excerpts import (
    FAMILIES,
    PLAYED_DTYPE,
    Material,
    make_excerpt,
    spoil,
    training_material,
)
from songwright.training.transcription_export import export_transcription
from songwright.training.transcription_timbres import random_timbre, random_voice, sung

SECONDS_A_FRAME = HOP / SAMPLE_RATE


def played(*notes: tuple[float, float, int, int]) -> NDArray[np.void]:
    return np.array(list(notes), dtype=PLAYED_DTYPE)


SCALE = played(*((0.3 * i + 0.1, 0.3 * i + 0.35, 60 + 2 * i, 90) for i in range(8)))


def test_targets_are_highest_where_notes_start_and_hold_while_they_sound() -> None:
    notes = played((10 * SECONDS_A_FRAME, 20 * SECONDS_A_FRAME, 60, 90), (12.4 * SECONDS_A_FRAME, 99.0, 108, 90))
    onset, frame = note_targets(notes, 0, 30)
    assert onset[:, 39].argmax() == 10
    assert onset[10, 39] == 1.0
    np.testing.assert_allclose(onset[8:14, 39], [0.2, 0.7, 1.0, 0.7, 0.2, 0.0], atol=1e-4)
    assert onset[12, 87] > onset[13, 87] > onset[11, 87]  # 12.4 lies nearer to 12 and then to 13
    assert np.flatnonzero(frame[:, 39]).tolist() == list(range(10, 20))
    assert np.flatnonzero(frame[:, 87]).tolist() == list(range(12, 30))
    later = note_targets(notes, 11, 30)
    np.testing.assert_allclose(later[0, :3, 39], onset[11:14, 39], atol=1e-4)
    assert np.flatnonzero(later[1, :, 39]).tolist() == list(range(9))
    assert note_targets(notes[:0], 0, 30).max() == 0


def test_a_voice_sings_one_note_at_a_time() -> None:
    chord = played((0.1, 0.9, 48, 90), (0.1, 0.9, 55, 90), (0.1, 0.9, 64, 90), (0.5, 1.2, 67, 90), (1.0, 1.5, 40, 90))
    line = sung(chord)
    assert (line["onset"][1:] >= line["offset"][:-1] - 1e-6).all()
    assert np.diff(line["pitch"]).tolist() == [3]  # the upper line; the low note under it is left out
    assert 48 <= np.median(line["pitch"]) <= 72
    assert len(sung(chord[:0])) == 0


@pytest.mark.parametrize("make", [random_timbre, random_voice])
def test_made_up_sounds_have_the_pitches_of_their_notes(make: object) -> None:
    assert callable(make)
    for seed in range(6):
        sound = make(SCALE, 3 * SAMPLE_RATE, np.random.default_rng(seed))
        assert sound.shape == (3 * SAMPLE_RATE,)
        assert np.isfinite(sound).all()
        levels = spectrogram(sound)[0]
        hits = 0
        for onset, offset, pitch, _ in SCALE.tolist():
            middle = levels[round((onset + offset) / 2 / SECONDS_A_FRAME)]
            own = middle[3 * (pitch - 21) : 3 * (pitch - 21) + 3].max()
            hits += own > np.median(middle) + 6
        assert hits >= 6, seed
        assert reference_level(sound[: round(0.02 * SAMPLE_RATE)]) < reference_level(sound) - 10  # nothing before


@pytest.mark.parametrize("kind", ["room", "noise", "filter", "codec", "clipping"])
def test_damage_changes_the_sound_and_keeps_its_length(kind: str) -> None:
    sound = random_timbre(SCALE, 3 * SAMPLE_RATE, np.random.default_rng(0))
    sound *= 10 ** ((-20 - reference_level(sound)) / 20)
    spoilt = spoil(sound, kind, np.random.default_rng(1))
    assert spoilt.shape == sound.shape
    assert np.isfinite(spoilt).all()
    assert np.abs(spoilt - sound).max() > 1e-3
    assert (spoil(sound, kind, np.random.default_rng(1)) == spoilt).all()
    # What sounded is still there, at its instant.
    assert np.corrcoef(np.abs(spectrogram(sound)[0]).ravel(), np.abs(spectrogram(spoilt)[0]).ravel())[0, 1] > 0.4


def test_unknown_damage_is_refused() -> None:
    with pytest.raises(ValueError, match="scratches"):
        spoil(np.zeros(100, dtype=np.float32), "scratches", np.random.default_rng(0))


def test_families_hold_every_program_once_and_no_noises() -> None:
    programs = [program for family in FAMILIES.values() for program in family]
    assert len(programs) == len(set(programs))
    assert max(programs) < 119  # from there on: cymbals, birds, guns


@pytest.mark.slow
def test_an_excerpt_depends_on_its_seed_alone(tiny_pop909: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcription_excerpts, "EXCERPT_SECONDS", 6.0)
    songs = tuple(sorted((tiny_pop909 / "POP909").glob("*/*.mid")))[:2]
    material = Material(songs, ())
    one, again = (make_excerpt(material, np.random.default_rng(4)) for _ in range(2))
    assert (one.levels == again.levels).all()
    assert (one.notes == again.notes).all()
    assert one.levels.shape[0] == 2
    assert len(one.notes) > 0
    # Sound and notes agree: levels rise at the onsets of the notes.
    levels = one.levels[1].astype(np.float32)
    rises = []
    for note in one.notes:
        frame, middle = round(float(note["onset"]) / SECONDS_A_FRAME), 3 * (int(note["pitch"]) - 21) + 1
        if 8 < frame < levels.shape[0] - 8:
            rises.append(levels[frame : frame + 6, middle].max() - levels[frame - 6 : frame - 2, middle].mean())
    assert np.median(rises) > 3


@pytest.mark.data
def test_material_is_of_the_train_split_only(music_data: Path) -> None:
    from songwright.corpus.splits import split_of

    material = training_material(music_data)
    assert {split_of(path.stem) for path in material.songs} == {"train"}
    assert len(material.songs) > 600
    assert all(path.exists() for path in material.drums)


@pytest.fixture(scope="module")
def excerpts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four excerpts of random notes with made-up timbres, 4 seconds each."""
    folder = tmp_path_factory.mktemp("excerpts")
    for number in range(4):
        random = np.random.default_rng(number)
        onset = np.sort(random.uniform(0, 3.5, 12))
        notes = played(*((o, o + 0.4, int(random.integers(50, 75)), 90) for o in onset.tolist()))
        sound = random_timbre(notes, 4 * SAMPLE_RATE, random)
        np.save(folder / f"{number:04d}.notes.npy", notes)
        np.save(folder / f"{number:04d}.levels.npy", (spectrogram(sound) - reference_level(sound)).astype(np.float16))
    return folder


def test_crops_are_reproducible_and_labelled(excerpts: Path) -> None:
    config = TranscriptionTraining(batch_size=3, num_frames=64)
    levels, targets = Crops(excerpts, config).batch()
    assert levels.shape == (3, 2, 64, 294)
    assert targets.shape == (3, 2, 64, 88)
    assert targets.min() >= 0
    assert targets.max() <= 1
    assert targets[:, 1].mean() > 0.001
    assert (Crops(excerpts, config).batch()[0] == levels).all()


def test_excerpts_that_are_not_there_are_missed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no excerpts"):
        Crops(tmp_path, TranscriptionTraining())


@pytest.mark.slow
def test_training_lowers_the_loss_and_what_it_saves_can_listen(excerpts: Path, tmp_path: Path) -> None:
    sizes = TranscriptionConfig(channels=16, jump_channels=16, head_channels=16, dilations=(1, 2))
    config = TranscriptionTraining(
        num_steps=24, batch_size=2, num_frames=40, warmup_steps=4, report_steps=6, average=0.5
    )
    told: list[str] = []
    network = train_transcription(excerpts, tmp_path, config, network_config=sizes, report=told.append)
    losses = [float(line.rsplit(" ", 1)[1]) for line in told]
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]
    saved = torch.load(tmp_path / "network.pt", weights_only=True)
    assert all((saved[name] == value).all() for name, value in network.state_dict().items())
    export_transcription(network, tmp_path / "weights", {"onset_threshold": 0.5, "frame_threshold": 0.4})
    assert load_model(tmp_path / "weights").onset_threshold == 0.5
    sound = random_timbre(SCALE, 3 * SAMPLE_RATE, np.random.default_rng(0))
    assert transcribe_audio(sound, SAMPLE_RATE, weights=tmp_path / "weights").num_notes >= 0
