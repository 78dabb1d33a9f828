"""The same batches on a Ray cluster, over storage that all its machines share.

Ray Data spreads the batches; a batch whose worker dies is done again elsewhere, by Ray, and one that fails every
time is left to the caller, file by file. Each batch writes its own folder, whole, so the corpus is the same byte for
byte as one process makes it.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from songwright.errors import ConfigError, SongwrightError
from songwright.preparation.batches import Batch, process_batch
from songwright.preparation.build import Engine

MAX_RETRIES = 3
"""How often a batch is tried again after its worker died: Ray Data itself would never give up."""
KNOCK_SECONDS = 10.0


def ray_engine(address: str | None, *, num_workers: int | None = None) -> Engine:
    """Return the engine of a cluster.

    Parameters
    ----------
    address : str, optional
        Of a running cluster, such as `auto` or `ray://head:10001`; a cluster of this machine alone where absent.
    num_workers : int, optional
        Batches done at a time; as many as the cluster has processors where absent.

    Raises
    ------
    ConfigError
        If Ray is not installed.
    SongwrightError
        If the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ConfigError("--engine ray needs Ray: pip install 'songwright[cluster]'") from error

    def run(batches: Sequence[Batch]) -> Iterator[Batch]:
        try:
            _knock(address)
            if not ray.is_initialized():
                count = None if address else num_workers
                ray.init(
                    address=address, num_cpus=count, log_to_driver=False, include_dashboard=False,
                    logging_level=logging.ERROR,
                )  # fmt: skip
        except (OSError, RuntimeError, ValueError) as error:
            raise SongwrightError(
                f"the Ray cluster at {address or 'this machine'} cannot be reached: {error}"
            ) from error
        by_name = {batch.name: batch for batch in batches}
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        # Batches that fail are left to the caller, who does their files one by one.
        context.max_errored_blocks = -1
        items = [{"batch": pickle.dumps(batch)} for batch in batches]
        if not items:
            return
        pool = ray.data.TaskPoolStrategy(size=num_workers)
        done = ray.data.from_items(items, override_num_blocks=len(items)).map(
            _process, compute=pool, ray_remote_args_fn=lambda: {"max_retries": MAX_RETRIES}
        )
        for row in done.iter_rows():
            yield by_name.pop(row["name"])
        yield from by_name.values()

    return run


def _knock(address: str | None) -> None:
    """Raise OSError where nobody answers at an address: Ray itself would go on trying for minutes, then end us."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def _process(item: dict[str, Any]) -> dict[str, str]:
    return {"name": process_batch(pickle.loads(item["batch"]))}
