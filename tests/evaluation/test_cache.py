"""What is kept is found again; a cache that is damaged or cannot be written only costs time."""

from __future__ import annotations

import numpy as np
import pytest

from songwright.evaluation import cache
from songwright.evaluation.cache import cache_folder, kept_arrays


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SONGWRIGHT_CACHE", str(tmp_path / "cache"))


def test_arrays_are_made_once():
    made: list[int] = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"a": np.arange(5), "b": np.array([np.nan, 2.0])}

    first, second = kept_arrays("key", make), kept_arrays("key", make)
    assert len(made) == 1
    assert np.array_equal(first["a"], second["a"])
    assert np.array_equal(first["b"], second["b"], equal_nan=True)
    kept_arrays("another", make)
    assert len(made) == 2


def test_a_damaged_file_is_made_again():
    kept_arrays("key", lambda: {"a": np.arange(3)})
    (kept,) = cache_folder().glob("key-*.npz")
    kept.write_bytes(b"nothing")
    assert kept_arrays("key", lambda: {"a": np.arange(4)})["a"].tolist() == [0, 1, 2, 3]
    assert kept_arrays("key", lambda: {"a": np.arange(9)})["a"].tolist() == [0, 1, 2, 3]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert kept_arrays("key", lambda: {"a": np.arange(2)})["a"].tolist() == [0, 1]


def test_errors_of_the_work_itself_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        kept_arrays("key", lambda: {"a": np.arange(1 // 0)})
    assert not list(cache_folder().glob("key-*"))


def test_numbers_of_other_code_are_made_again(monkeypatch):
    assert kept_arrays("key", lambda: {"a": np.arange(3)})["a"].tolist() == [0, 1, 2]
    monkeypatch.setattr(cache, "_code_digest", lambda: "changed")
    assert kept_arrays("key", lambda: {"a": np.arange(4)})["a"].tolist() == [0, 1, 2, 3]
