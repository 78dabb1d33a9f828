"""Work spread over processes that end without a word when it is interrupted or fails.

`run_in_processes` is for tasks that are trusted: an error ends the work. `run_isolated` is for tasks that may crash the
interpreter, hang or fill the memory, such as files of unknown origin: each costs only itself.

Knows nothing of music. Processes are started afresh, not forked: a fork of a process with threads (NumPy's, tqdm's)
may hang, and Python warns of it from 3.12 on.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, Literal, TypeVar

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
        with _interrupts_held():
            results = pool.map(function, tasks, chunksize=chunk_size)
        yield from results
    except BaseException as error:
        for process in active_children() if cuts_off else ():
            process.terminate()
        if isinstance(error, BrokenExecutor):
            raise SongwrightError("a worker process was stopped, perhaps for want of memory; try again") from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


Failure = Literal["crashed", "timed out", "out of memory", "raised"]

_READY = b"ready"
_AHEAD_BYTES = 4096  # a task sent ahead must fit in the pipe of any system while its process is at work
_AHEAD_SECONDS = 0.1  # tasks longer than this gain nothing from one sent ahead, and may wait for it at the end
_PENDING_PER_WORKER = 32  # results kept for their turn, at most
_ATTEMPTS = 2  # a crash or full memory may be the fault of the task before: tried again in a fresh process
_START_SECONDS = 120.0  # to import what the function needs, on a machine that is busy


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of a task.

    Attributes
    ----------
    result : Result or None
        What the function returned; None after a failure.
    failure : str or None
        `crashed` (the process died), `timed out`, `out of memory`, or `raised` (an exception).
    detail : str
        In one line what is known of the failure, such as the signal or the exception and where it was raised.
    """

    result: Result | None
    failure: Failure | None = None
    detail: str = ""


def run_isolated(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    num_workers: int,
    timeout_s: float,
    memory_bytes: int | None = None,
) -> Generator[Outcome[Result]]:
    """Yield what becomes of each task, in order: a task that crashes, hangs or fills the memory costs only itself.

    The processes live on from task to task; one that fails is replaced. At most 32 results a process wait for their
    turn or for a slow consumer. All processes end with the generator, with an interrupt, and with this process. What
    they write to stderr is dropped: what matters is in the outcome.

    Parameters
    ----------
    function : callable
        Of a module's top level, so that it can be sent to a process; tasks and results likewise.
    tasks : iterable
        Taken as they are needed.
    num_workers : int
        Processes at most.
    timeout_s : float
        Seconds that a task may take, the start of its process not counted.
    memory_bytes : int, optional
        Memory of its own that a process may have, libraries' data included, where the system can limit it (Linux).

    Raises
    ------
    SongwrightError
        If processes cannot be started at all.
    """
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    crew = _Crew(function, num_workers, timeout_s, memory_bytes)
    queue = _Queue(tasks)
    done: dict[int, Outcome[Result]] = {}
    following = 0
    finished = False
    try:
        while True:
            crew.feed(queue, following + _PENDING_PER_WORKER * num_workers)
            if following in done:
                yield done.pop(following)
                following += 1
            elif crew.is_idle:
                break
            else:
                done.update(crew.collect(queue))
        finished = True
    finally:
        crew.end(at_once=not finished)


@contextmanager
def _interrupts_held() -> Generator[None]:
    """Keep Ctrl-C from processes started meanwhile until they have set up their own answer to it."""
    has_mask = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) if has_mask else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@dataclass
class _Job:
    """A task on its way: its place in the order, its bytes, how often it has been begun."""

    place: int
    payload: bytes
    attempts: int = 0


class _Queue:
    """The tasks not yet sent: those given back first, then the next of the iterable."""

    def __init__(self, tasks: Iterable[Any]) -> None:
        self._tasks = enumerate(tasks)
        self._jobs: deque[_Job] = deque()

    def peek(self, before: int) -> _Job | None:
        """Return the next job if its place is under `before`."""
        if not self._jobs:
            for place, task in self._tasks:
                self._jobs.append(_Job(place, bytes(ForkingPickler.dumps(task))))
                break
        return self._jobs[0] if self._jobs and self._jobs[0].place < before else None

    def pop(self) -> _Job:
        return self._jobs.popleft()

    def give_back(self, jobs: Iterable[_Job]) -> None:
        self._jobs = deque(sorted([*jobs, *self._jobs], key=lambda job: job.place))


class _Worker:
    """A process, its pipe, and the tasks sent to it: the first is being done."""

    def __init__(self, function: Callable[[Any], Any], memory_bytes: int | None) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function, memory_bytes), daemon=True)
        with _interrupts_held():
            self.process.start()
        theirs.close()
        self.jobs: deque[_Job] = deque()
        self.is_ready = False
        self.is_quick = False
        self.began = time.monotonic()

    def takes(self, job: _Job) -> bool:
        """Return whether the job can be sent without waiting."""
        return not self.jobs or (len(self.jobs) == 1 and self.is_quick and len(job.payload) <= _AHEAD_BYTES)

    def send(self, job: _Job) -> None:
        """Send a job; a process that is dead by now is noticed when its answer is read."""
        if not self.jobs:
            self.began = time.monotonic()
        self.jobs.append(job)
        with suppress(OSError):
            self.connection.send_bytes(job.payload)

    def end(self, *, at_once: bool) -> None:
        """End the process: after what it is at, or at once."""
        self.connection.close()
        if not at_once:
            self.process.join(5)
        self.process.kill()
        self.process.join()


class _Crew:
    """The processes at work."""

    def __init__(
        self, function: Callable[[Any], Any], num_workers: int, timeout_s: float, memory_bytes: int | None
    ) -> None:
        self._function, self._memory_bytes = function, memory_bytes
        self._num_workers, self._timeout_s = num_workers, timeout_s
        self._workers: list[_Worker] = []

    @property
    def is_idle(self) -> bool:
        return not any(worker.jobs for worker in self._workers)

    def feed(self, queue: _Queue, before: int) -> None:
        """Send the jobs whose places are under `before` to processes with room, to idle ones first."""
        while (job := queue.peek(before)) is not None:
            ready = [worker for worker in self._workers if worker.takes(job)]
            worker = min(ready, key=lambda found: len(found.jobs), default=None)
            if (worker is None or worker.jobs) and len(self._workers) < self._num_workers:
                worker = _Worker(self._function, self._memory_bytes)
                self._workers.append(worker)
            if worker is None:
                return
            worker.send(queue.pop())

    def collect(self, queue: _Queue) -> dict[int, Outcome[Any]]:
        """Wait for something to happen; return the outcomes that it brought."""
        now = time.monotonic()
        busy = {worker.connection: worker for worker in self._workers if worker.jobs}
        deadline = min(worker.began + self._allowed(worker) for worker in busy.values())
        found: dict[int, Outcome[Any]] = {}
        answered = wait(list(busy), timeout=max(deadline - now, 0))
        for connection in answered:
            found.update(self._read(busy.pop(connection), queue))  # type: ignore[index]
        # Only a process that has nothing to say is late, however long the consumer kept us from listening.
        now = time.monotonic()
        for worker in busy.values():
            if now - worker.began > self._allowed(worker):
                if not worker.is_ready:
                    raise SongwrightError(f"a worker process did not start within {_START_SECONDS:.0f} seconds")
                job = worker.jobs.popleft()
                found[job.place] = Outcome(None, "timed out", f"over {self._timeout_s:g} s")
                self._replace(worker, queue)
        return found

    def end(self, *, at_once: bool) -> None:
        for worker in self._workers:
            worker.end(at_once=at_once)

    def _allowed(self, worker: _Worker) -> float:
        return self._timeout_s if worker.is_ready else _START_SECONDS

    def _read(self, worker: _Worker, queue: _Queue) -> dict[int, Outcome[Any]]:
        try:
            answer = worker.connection.recv_bytes()
        except (EOFError, OSError):
            return self._lost(worker, queue, "crashed", "")
        now = time.monotonic()
        worker.is_quick = worker.is_ready and now - worker.began < _AHEAD_SECONDS
        worker.began = now
        if not worker.is_ready:
            worker.is_ready = True
            return {}
        failure, content = pickle.loads(answer)
        if failure == "out of memory":
            return self._lost(worker, queue, failure, content)
        job = worker.jobs.popleft()
        return {job.place: Outcome(content) if failure is None else Outcome(None, failure, content)}

    def _lost(self, worker: _Worker, queue: _Queue, failure: Failure, detail: str) -> dict[int, Outcome[Any]]:
        """Replace a process and try the task that it was at once more, or give the task up."""
        if failure == "crashed":
            worker.process.join(5)
            detail = _exit_text(worker.process.exitcode)
            if not worker.is_ready:
                raise SongwrightError(f"a worker process ended before it could begin ({detail}); is memory short?")
        job = worker.jobs[0]
        job.attempts += 1
        given_up = job.attempts >= _ATTEMPTS
        if given_up:
            worker.jobs.popleft()
        self._replace(worker, queue)
        return {job.place: Outcome(None, failure, detail)} if given_up else {}

    def _replace(self, worker: _Worker, queue: _Queue) -> None:
        """End a process; the next feeding starts another."""
        queue.give_back(worker.jobs)
        self._workers.remove(worker)
        worker.end(at_once=True)


def _exit_text(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"


def _serve(connection: Connection, function: Callable[[Any], Any], memory_bytes: int | None) -> None:
    """Do tasks until the pipe is closed: the life of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the command: only one heeds it
    # Libraries in C tell of each damaged byte there, a hundred lines a file.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if memory_bytes is not None:
        _limit_memory(memory_bytes)
    out_of_memory = pickle.dumps(("out of memory", f"over {memory_bytes} bytes" if memory_bytes else ""))
    with suppress(EOFError, OSError):  # the other side has gone
        connection.send_bytes(_READY)
        while True:
            payload = connection.recv_bytes()
            try:
                answer = ForkingPickler.dumps((None, function(pickle.loads(payload))))
            except MemoryError:
                answer = out_of_memory
            except BaseException as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                text = " ".join(f"{type(error).__name__}: {error}".split())
                answer = ForkingPickler.dumps(("raised", f"{text} ({os.path.basename(frame.filename)}:{frame.lineno})"))
            connection.send_bytes(answer)


def _end_with_parent() -> None:
    """End this process once the one that started it is gone, unless a task keeps every thread from running."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _limit_memory(memory_bytes: int) -> None:
    """Let allocations past a limit fail, where the system can."""
    with suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        limit = memory_bytes if most == resource.RLIM_INFINITY else min(memory_bytes, most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
