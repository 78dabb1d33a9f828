"""Checkpoints: whole or not at all, and independent of the number of processes that wrote them.

A checkpoint is one file: config, fingerprints of vocabulary and data, weights, averaged weights, optimizers, place in
the data, random states. Weights and optimizer states are whole tensors under the names of the parameters, whatever
the processes held, so that a run of two processes goes on with one, and back.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from songwright.errors import InputError, OutputError


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside the old one, then put it in its place.

    Raises
    ------
    OutputError
        If it cannot be written; the old one is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch says RuntimeError where the disk is full
        raise OutputError(f"{path}: the checkpoint cannot be written; free some space and --resume") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no checkpoint here; train first, or leave out --resume") from error
    except Exception as error:  # torch raises many kinds for a damaged file
        raise InputError(f"{path}: not a readable checkpoint; use best.pt or an earlier one") from error
    if not isinstance(state, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"{path}: not a readable checkpoint; use best.pt or an earlier one")
    return state
