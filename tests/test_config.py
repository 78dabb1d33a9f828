from __future__ import annotations

import pytest

from songwright.config import load_config
from songwright.errors import ConfigError
from songwright.preparation.settings import CorpusConfig
from songwright.training.config import TrainingConfig
from tests.conftest import ROOT

CONFIGS = ROOT / "configs"


def test_the_shipped_config_of_corpora_is_the_default():
    assert load_config(CorpusConfig, CONFIGS / "corpus.toml") == CorpusConfig()


@pytest.mark.parametrize(
    "path", sorted({*CONFIGS.rglob("*.toml")} - {CONFIGS / "corpus.toml"}), ids=lambda path: path.name
)
def test_every_shipped_config_is_named_after_its_stream_or_its_family(path):
    config = load_config(TrainingConfig, path)
    assert path.stem in (config.stream.replace("_", "-"), config.network.family)


def test_an_override_replaces_a_value():
    path = ROOT / "configs" / "lead-sheet.toml"
    config = load_config(TrainingConfig, path, overrides=["network.num_layers=2", "optimizer.learning_rate=1"])
    assert config.network.num_layers == 2
    assert config.optimizer.learning_rate == 1.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sead = 1", "unknown key 'sead'; known keys: .*seed"),
        ("seed = 'one'", "seed: expected int, got 'one'"),
        ("network = 3", "network: expected a table"),
        ("[network]\ndim = 'x'", "network.dim: expected int"),
        ("stream = 'drums'", "stream must be"),
        ("num_steps = 0", "num_steps must be at least 1"),
        ("minutes = nan", "minutes must not be negative"),
        ("num_threads = -1", "num_threads must not be negative"),
        ("[optimizer]\nlearning_rate = 0", "learning_rate must be above 0"),
        ("[optimizer]\naverage_decay = 1.0", "average_decay must be from 0 to 1"),
        ("seed = ", "not valid TOML"),
    ],
)
def test_a_bad_config_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_config(TrainingConfig, path)


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load_config(TrainingConfig, tmp_path / "none.toml")
