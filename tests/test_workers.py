from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import pytest

from songwright.errors import InputError, SongwrightError
from songwright.workers import Outcome, run_in_processes, run_isolated


def square(number: int) -> int:
    return number * number


def refuse_three(number: int) -> int:
    if number == 3:
        raise InputError("three is refused")
    time.sleep(60 if number > 3 else 0)
    return number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def heeds_interrupts(number: int) -> bool:
    os.kill(os.getpid(), signal.SIGINT)
    return False


def test_results_come_in_the_order_of_the_tasks():
    assert list(run_in_processes(square, range(7), num_workers=2, chunk_size=2)) == [0, 1, 4, 9, 16, 25, 36]
    assert list(run_in_processes(square, [], num_workers=2)) == []


def test_an_error_ends_the_other_processes_at_once():
    began = time.monotonic()
    with pytest.raises(InputError, match="three is refused"):
        list(run_in_processes(refuse_three, [3, 4], num_workers=2, cuts_off=True))
    assert time.monotonic() - began < 30


def test_a_process_that_dies_is_one_sentence():
    with pytest.raises(SongwrightError, match="a worker process was stopped"):
        list(run_in_processes(die, [1, 2], num_workers=2))


def test_workers_leave_interrupts_to_the_command():
    assert list(run_in_processes(heeds_interrupts, [1], num_workers=1)) == [False]


def test_closing_early_ends_the_processes():
    results = run_in_processes(refuse_three, [1, 4, 5], num_workers=2, cuts_off=True)
    assert next(results) == 1
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 30


def misbehave(task: str) -> str | bytes:
    """Do to the process what the task names."""
    match task.split():
        case ["die"]:
            os._exit(3)
        case ["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["hang"]:
            time.sleep(600)
        case ["fill"]:
            return str(len(bytearray(2**29)))
        case ["raise"]:
            raise InputError("one sentence,\non two lines")
        case ["poison"]:
            os.environ["POISONED"] = "1"
        case ["suffer"] if os.environ.get("POISONED"):
            os._exit(4)
        case ["unsendable"]:
            return lambda: None  # type: ignore[return-value]
        case ["answer", size]:
            return bytes(int(size))
        case ["pid"]:
            return str(os.getpid())
    return task


def failures(tasks: list[str], **options: float | None) -> list[str]:
    chosen = {"num_workers": 2, "timeout_s": 30, **options}
    return [outcome.failure or "" for outcome in run_isolated(misbehave, tasks, **chosen)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pids: list[int], seconds: float = 20) -> list[int]:
    """Return the processes that still live after a while."""
    until = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return [pid for pid in pids if is_alive(pid)]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_outcomes_come_in_the_order_of_the_tasks(num_workers):
    outcomes = list(run_isolated(square, iter(range(200)), num_workers=num_workers, timeout_s=30))
    assert outcomes == [Outcome(number**2) for number in range(200)]
    assert list(run_isolated(square, [], num_workers=num_workers, timeout_s=30)) == []
    assert active_children() == []


@pytest.mark.slow
def test_a_task_that_fails_costs_only_itself():
    tasks = ["a", "die", "b", "hang", "c", "kill", "raise", "d", "unsendable", "e"]
    outcomes = list(run_isolated(misbehave, tasks, num_workers=2, timeout_s=1))
    assert [outcome.result for outcome in outcomes] == ["a", None, "b", None, "c", None, None, "d", None, "e"]
    told = {task: (outcome.failure, outcome.detail) for task, outcome in zip(tasks, outcomes, strict=True)}
    assert told["a"] == (None, "")
    assert told["die"] == ("crashed", "exit code 3")
    assert told["hang"] == ("timed out", "over 1 s")
    assert told["kill"] == ("crashed", "signal SIGKILL")
    failure, detail = told["raise"]
    assert failure == "raised"
    assert detail.startswith("InputError: one sentence, on two lines (test_workers.py:")
    assert told["unsendable"][0] == "raised"
    assert active_children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the memory of a process")
def test_a_task_that_fills_the_memory_costs_only_itself():
    assert failures(["a", "fill", "b"], memory_bytes=400 * 2**20) == ["", "out of memory", ""]
    assert failures(["fill"], num_workers=1) == [""]


def test_a_crash_is_not_laid_to_the_task_after_its_cause():
    assert failures(["poison", "suffer", "a"], num_workers=1) == ["", "", ""]


def test_long_results_and_long_tasks_pass():
    sizes = [0, 10**7, 1, 3 * 10**7, 10**5]
    tasks = [f"answer {size}" for size in sizes]
    outcomes = run_isolated(misbehave, tasks, num_workers=2, timeout_s=30)
    assert [len(outcome.result or b"") for outcome in outcomes] == sizes
    long = "x" * 10**7
    assert [outcome.result for outcome in run_isolated(misbehave, [long] * 6, num_workers=2, timeout_s=30)] == [
        long
    ] * 6


def slow_first(number: int) -> int:
    time.sleep(0.5 if number == 0 else 0)
    return number


def test_few_tasks_are_taken_before_their_results_are_wanted():
    """Neither a slow task nor a slow consumer lets the results of the others pile up."""
    taken = 0

    def tasks():
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield number

    outcomes = run_isolated(slow_first, tasks(), num_workers=2, timeout_s=30)
    for wanted in range(200):
        assert next(outcomes).result == wanted
        assert taken <= wanted + 2 * 32 + 2
    outcomes.close()
    assert active_children() == []


def test_a_slow_consumer_makes_no_task_late():
    outcomes = []
    for outcome in run_isolated(square, range(8), num_workers=2, timeout_s=0.4):
        outcomes.append(outcome.result)
        time.sleep(0.5 if outcome.result in (0, 9) else 0)
    assert outcomes == [number**2 for number in range(8)]


def test_closing_early_ends_processes_that_hang():
    outcomes = run_isolated(misbehave, ["pid", "hang", "hang"], num_workers=2, timeout_s=600)
    pid = int(next(outcomes).result)
    assert is_alive(pid)
    outcomes.close()
    assert active_children() == []
    assert not is_alive(pid)


def test_an_error_of_the_tasks_themselves_ends_the_processes():
    def tasks():
        yield from range(3)
        raise OSError("the list of files is gone")

    with pytest.raises(OSError, match="the list of files is gone"):
        list(run_isolated(square, tasks(), num_workers=2, timeout_s=30))
    assert active_children() == []


_PROGRAM = """
from songwright.workers import run_isolated
from tests.test_workers import misbehave
if __name__ == "__main__":
    for outcome in run_isolated(misbehave, ["pid", "pid", "hang", "hang"], num_workers=2, timeout_s=600):
        print(outcome.result, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_command(number, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    command = subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    with command:
        pids = [int(command.stdout.readline()) for _ in range(2)]
        time.sleep(0.2)  # into the tasks that hang
        command.send_signal(number)
        _, errors = command.communicate(timeout=30)
    assert wait_for_end(pids) == []
    assert command.returncode != 0
    assert (b"KeyboardInterrupt" in errors) == (number == signal.SIGINT)
