"""The numbers learned for analysis, as they ship with the package: one `.npz` a task in `weights/analysis`."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


def stored_arrays(name: str) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of `weights/analysis/NAME.npz` by their names."""
    with files("songwright").joinpath("weights", "analysis", f"{name}.npz").open("rb") as file, np.load(file) as stored:
        return {key: stored[key].astype(np.float32) for key in stored.files}
