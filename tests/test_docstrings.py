from __future__ import annotations

import doctest
import importlib
import pkgutil

import songwright


def test_examples_in_docstrings_are_true():
    names = [module.name for module in pkgutil.walk_packages(songwright.__path__, "songwright.")]
    results = {name: doctest.testmod(importlib.import_module(name)) for name in names if not name.endswith("__main__")}
    assert [name for name, result in results.items() if result.failed] == []
    assert sum(result.attempted for result in results.values()) > 20
