"""Which task a config asks for."""

from __future__ import annotations

from pathlib import Path

from songwright.errors import ConfigError
from songwright.model.config import DcganConfig, NgramConfig, PhraseVaeConfig
from songwright.training.config import TrainingConfig
from songwright.training.sequences import SequenceTask
from songwright.training.task import Task


def make_task(config: TrainingConfig, corpus: Path) -> Task:
    """Return what a run learns.

    Raises
    ------
    ConfigError, InputError
        If the corpus does not serve it, or the family is counted and not trained.
    """
    if isinstance(config.network, PhraseVaeConfig):
        from songwright.training.phrases import PhraseTask

        return PhraseTask(config, corpus)
    if isinstance(config.network, DcganConfig):
        from songwright.training.adversarial import AdversarialTask

        return AdversarialTask(config, corpus)
    if isinstance(config.network, NgramConfig):
        raise ConfigError("an n-gram model is counted, not trained: songwright train --model ngram does so at once")
    return SequenceTask(config, corpus)
