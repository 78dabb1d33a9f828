"""The network of a run: built from its config, or read from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from songwright.config import from_mapping
from songwright.errors import ConfigError, InputError
from songwright.model.config import NetworkConfig, StreamSizes
from songwright.model.network import FAMILIES, SequenceNetwork
from songwright.tokens.streams import STREAMS, Stream
from songwright.training.checkpoints import read_checkpoint
from songwright.training.config import TrainingConfig


def stream_sizes(stream: Stream) -> StreamSizes:
    """Return what a stream asks of a network."""
    return StreamSizes(
        vocab_size=len(stream.vocabulary), num_channel_rows=stream.channels.num_rows, num_hints=stream.num_hints
    )


def build_network(config: TrainingConfig) -> SequenceNetwork:
    """Return the sequence network of a run, with fresh weights.

    Raises
    ------
    ConfigError
        If the family is none of tokens in sequence.
    """
    if config.network.family not in FAMILIES:
        raise ConfigError(f"{config.network.family} is no sequence network; those are {', '.join(FAMILIES)}")
    return SequenceNetwork(cast(NetworkConfig, config.network), stream_sizes(STREAMS[config.stream]))


def load_config(path: Path) -> TrainingConfig:
    """Return the config of the run that wrote a checkpoint.

    Raises
    ------
    InputError
        If the file is missing or damaged, or of another version.
    """
    try:
        return from_mapping(TrainingConfig, read_checkpoint(path)["config"], where=str(path))
    except (ConfigError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no checkpoint of this version of songwright; train anew") from error


def load_network(path: Path) -> tuple[SequenceNetwork, TrainingConfig]:
    """Return the averaged network of a checkpoint, ready to evaluate, and the run's config.

    Raises
    ------
    ConfigError, InputError
        If the file is missing or damaged, of another version, or of no sequence network.
    """
    config = load_config(path)
    state = read_checkpoint(path)
    network = build_network(config)
    if state.get("fingerprint") != STREAMS[config.stream].vocabulary.fingerprint:
        raise InputError(f"{path}: trained with another vocabulary than {config.stream} of this version; train anew")
    try:
        network.load_state_dict(state["average"])
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"{path}: no checkpoint of this version of songwright; train anew") from error
    return network.eval(), config
