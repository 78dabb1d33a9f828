"""Numbers kept from one run to the next, by a key that names all that they depend on but the code itself.

The code and its learned constants are looked after here: after a change of either everything is measured again.

They lie in `$SONGWRIGHT_CACHE`, else in the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`, in `songwright`). A
cache may be deleted at any time, and one that cannot be read or written is no error: the work is done again.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.errors import OutputError
from songwright.files.writing import write_whole

_MEASURING = ("analysis", "corpus", "engine", "evaluation", "explanation", "score", "tokens", "weights/analysis")
"""Folders of the package whose files numbers depend on."""


def cache_folder() -> Path:
    """Return the folder in which numbers are kept."""
    chosen = os.environ.get("SONGWRIGHT_CACHE")
    if chosen:
        return Path(chosen)
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "songwright"


def kept_arrays(key: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the arrays kept under a key; where there are none, or they are damaged, make them and keep them.

    Parameters
    ----------
    key : str
        Part of a file name: it names all that the arrays depend on, but for code and learned constants.
    make : callable
        Its errors are not caught.
    """
    path = cache_folder() / f"{key}-{_code_digest()}.npz"
    # A file that is missing or damaged raises a dozen kinds, from OSError to BadZipFile; none of them matters.
    with suppress(Exception), np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
    arrays = dict(make())
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    with suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue())
    return arrays


@cache
def _code_digest() -> str:
    """Return eight digits that change with the code that measures, and with its constants."""
    digest = hashlib.sha256()
    for name in _MEASURING:
        folder = files("songwright").joinpath(*name.split("/"))
        for file in sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: file.name):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:8]
