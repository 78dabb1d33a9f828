"""Numbers kept from one run to the next, by a key that names all that they depend on.

They lie in `$SONGWRIGHT_CACHE`, else in the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`, in `songwright`). A
cache may be deleted at any time, and one that cannot be read or written is no error: the work is done again.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.errors import OutputError
from songwright.files.writing import write_whole


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
        A file name: it names all that the arrays depend on.
    make : callable
        Its errors are not caught.
    """
    path = cache_folder() / f"{key}.npz"
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
