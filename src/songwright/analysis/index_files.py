"""Files of indices of songs: arrays with a version, in a `.npz`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from songwright.errors import InputError


@contextmanager
def open_index(path: Path, *, what: str, version: Sequence[int]) -> Generator[Any, None, None]:
    """Open an index, and turn all that goes wrong while it is read into one sentence.

    Parameters
    ----------
    path : Path
    what : str
        Name of the index in that sentence, such as `originality index`.
    version : sequence of int
        What its array `version` must hold.

    Yields
    ------
    NpzFile
        Its arrays by name.

    Raises
    ------
    InputError
        If the file is missing, damaged, or of another version.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if arrays["version"].tolist() != list(version):
                raise InputError(f"{path}: {what} of another version; build it again")
            yield arrays
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises a dozen kinds, from BadZipFile to NotImplementedError
        raise InputError(f"{path}: not a readable {what} ({error.__class__.__name__})") from error
