from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from songwright.composition.weights import find_style
from songwright.corpus.sources import find_files
from songwright.errors import InputError
from songwright.preparation.shards import open_shard
from songwright.tokens.streams import STREAMS
from tests.corpora import make, write_song

torch = pytest.importorskip("torch")

from songwright.model.config import TransformerConfig  # noqa: E402
from songwright.training.config import TrainingConfig  # noqa: E402
from songwright.training.finetuning import MIN_PIECES, Finetuning, finetune, split_pieces  # noqa: E402
from songwright.training.networks import build_network  # noqa: E402
from songwright.training.starting import read_start  # noqa: E402
from songwright.training.trainer import Trainer  # noqa: E402


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    for seed in range(12):
        write_song(folder / "music" / f"{seed}.mid", seed)
    make(find_files(folder / "music"), folder / "corpus")
    return folder / "corpus"


@pytest.mark.parametrize("stream", ["lead_sheet", "arrangement"])
def test_shipped_weights_come_back_as_the_network_that_was_exported(stream):
    path = find_style("pop").weights(stream, "fp32")
    sizes, weights = read_start(path, stream=stream, dropout=0.0)
    network = build_network(TrainingConfig(stream=stream, network=sizes)).eval()
    network.load_state_dict(weights)
    from songwright.engine.session import Decoder

    rng, kind = np.random.default_rng(0), STREAMS[stream]
    tokens = rng.integers(1, len(kind.vocabulary), (1, 20))
    channels = rng.integers(0, kind.channels.sizes, (1, 20, len(kind.channels.sizes))) + kind.channels.offsets
    hints = rng.integers(0, len(kind.vocabulary), (1, 20, kind.num_hints))
    with torch.no_grad():
        found = network(*(torch.from_numpy(array) for array in (tokens, channels, hints))).numpy()
    np.testing.assert_allclose(found, Decoder(path, max_length=32).prefill(tokens, channels, hints), atol=1e-3)


def test_weights_of_another_stream_are_refused():
    with pytest.raises(InputError, match="its vocabulary is not that of arrangement"):
        read_start(find_style("pop").weights("lead_sheet", "fp32"), stream="arrangement", dropout=0.0)


def test_a_small_folder_is_split_anew_and_a_piece_is_on_one_side(corpus):
    sides = split_pieces(corpus, "lead_sheet")
    pieces = [set(side.pieces.tolist()) for side in sides]
    assert all(len(side) >= 2 for side in pieces)
    assert not pieces[0] & pieces[1]
    assert not pieces[0] & pieces[2]
    assert not pieces[1] & pieces[2]
    whole = [open_shard(corpus, "lead_sheet", split).num_tokens for split in ("train", "validation", "test")]
    assert sum(side.num_tokens for side in sides) == sum(whole)


def test_too_little_music_is_refused(tmp_path):
    for seed in range(MIN_PIECES - 3):
        write_song(tmp_path / "music" / f"{seed}.mid", seed)
    make(find_files(tmp_path / "music"), tmp_path / "corpus")
    with pytest.raises(InputError, match="5 usable pieces for lead_sheet are too little"):
        split_pieces(tmp_path / "corpus", "lead_sheet")


def test_held_out_pieces_gain_from_their_like(corpus, tmp_path):
    lines: list[str] = []
    start = find_style("pop").weights("lead_sheet", "fp32")
    result = finetune(corpus, "lead_sheet", start, tmp_path / "run", minutes=0.12, num_threads=1, report=lines.append)
    assert result.improvement > 0
    assert result.after["nats_per_note"] < result.before["nats_per_note"]
    assert result.steps > 0
    assert any("pieces are little" in warning for warning in result.warnings())
    assert isinstance(read_start(result.checkpoint, stream="lead_sheet", dropout=0.1)[0], TransformerConfig)


def test_learning_by_heart_and_gaining_nothing_are_said():
    figures = {"nats_per_note": 2.0, "nats_per_token": 1.0}
    result = Finetuning("lead_sheet", (80, 10, 10), figures, figures, 0.3, 10, Path("best.pt"))
    by_heart, nothing = result.warnings()
    assert "by heart" in by_heart
    assert "gained nothing" in nothing


def test_a_signal_ends_the_whole_of_it_and_not_one_network_alone(corpus, tmp_path, monkeypatch):
    def interrupted(self):
        self.is_interrupted = True
        return {}

    monkeypatch.setattr(Trainer, "train", interrupted)
    start = find_style("pop").weights("lead_sheet", "fp32")
    with pytest.raises(KeyboardInterrupt):
        finetune(corpus, "lead_sheet", start, tmp_path / "run", minutes=1, num_threads=1, report=lambda line: None)
