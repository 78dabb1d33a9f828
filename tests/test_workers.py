from __future__ import annotations

import os
import signal
import time

import pytest

from songwright.errors import InputError, SongwrightError
from songwright.workers import run_in_processes


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
