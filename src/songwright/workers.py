"""Work spread over processes that end without a word when it is interrupted or fails.

Knows nothing of music. Processes are started afresh, not forked: a fork of a process with threads (NumPy's, tqdm's)
may hang, and Python warns of it from 3.12 on.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import active_children, get_context
from typing import TypeVar

from songwright.errors import SongwrightError

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_processes(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    num_workers: int,
    chunk_size: int = 1,
    cuts_off: bool = False,
) -> Generator[Result]:
    """Yield the result of each task, in order.

    Parameters
    ----------
    function : callable
        Of a module's top level, so that it can be sent to a process; tasks and results likewise.
    tasks : sequence
    num_workers : int
        Processes at most.
    chunk_size : int
        Tasks that a process takes at a time.
    cuts_off : bool
        Whether tasks under way are cut off at an interrupt or error, not finished. Only for results under 64 kB, the
        size of a pipe: half of a longer one would be waited for without end.

    Raises
    ------
    SongwrightError
        If a process was stopped from outside.
    """
    if not tasks:
        return
    # Ctrl-C in a terminal reaches every process of the command: only this one heeds it.
    pool = ProcessPoolExecutor(
        min(num_workers, len(tasks)),
        mp_context=get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        # Until the initializer has run, the mask that processes inherit keeps the signal from them.
        has_mask = hasattr(signal, "pthread_sigmask")
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) if has_mask else None
        try:
            results = pool.map(function, tasks, chunksize=chunk_size)
        finally:
            if mask is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield from results
    except BaseException as error:
        for process in active_children() if cuts_off else ():
            process.terminate()
        if isinstance(error, BrokenExecutor):
            raise SongwrightError("a worker process was stopped, perhaps for want of memory; try again") from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)
