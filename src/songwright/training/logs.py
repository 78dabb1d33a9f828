"""What a run writes down as it goes: `steps.csv`, `log.csv`, and events for TensorBoard.

`steps.csv` has a line each `log_every` steps (loss of that step in nats, learning rate, tokens a second), `log.csv` one
a validation. A run that goes on from a checkpoint first forgets what was written after it, so that the files are those
of a run that was never interrupted.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from songwright.errors import InputError
from songwright.files.writing import write_whole

STEPS, VALIDATIONS = "steps.csv", "log.csv"


class RunLog:
    """The files of one run.

    Parameters
    ----------
    folder : Path
    step : int
        The step from which the run goes on; 0 at its start.
    """

    def __init__(self, folder: Path, *, step: int = 0) -> None:
        self._folder = folder
        for name in (STEPS, VALIDATIONS):
            _forget_after(folder / name, step)
        self._events = _event_writer(folder, step)

    def write(self, name: str, row: Mapping[str, float]) -> None:
        """Add a row to `steps.csv` or `log.csv`; its columns are the names, the first of them `step`."""
        path = self._folder / name
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if is_new:
                writer.writeheader()
            writer.writerow({key: f"{value:.7g}" if isinstance(value, float) else value for key, value in row.items()})
        if self._events is not None:
            group = "training" if name == STEPS else "validation"
            for key, value in row.items():
                if key != "step" and isfinite(value):
                    self._events.add_scalar(f"{group}/{key}", value, row["step"])

    def close(self) -> None:
        """Write out what is left."""
        if self._events is not None:
            self._events.close()


def figures_at(log: Path, step: int) -> dict[str, float]:
    """Return the validation figures of a step from a run's `log.csv`, none where it has no such row.

    Raises
    ------
    InputError
        If the file is no such log.
    """
    try:
        with log.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("step") == str(step)]
        return {name: float(value) for name, value in rows[-1].items() if name != "step"} if rows else {}
    except FileNotFoundError:
        return {}
    except (OSError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{log}: not a readable training log ({error}); move it away to export without figures"
        ) from None


def _event_writer(folder: Path, step: int) -> Any:
    """Return a writer of TensorBoard's event files, None where tensorboardX is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "events"), purge_step=step or None)


def _forget_after(path: Path, step: int) -> None:
    """Leave out the rows after a step, and a last one that was cut short."""
    try:
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
    except (FileNotFoundError, ValueError):
        return
    kept = [row for row in rows if len(row) == len(header) and row[0].isdigit() and int(row[0]) <= step]
    if len(kept) < len(rows):
        write_whole(path, "".join(",".join(row) + "\r\n" for row in (header, *kept)).encode())
