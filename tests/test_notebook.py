from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "explaining-a-song.ipynb"


@pytest.mark.slow
@pytest.mark.pipeline
def test_the_cells_of_the_notebook_run_in_order_and_the_explanation_is_faithful():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    namespace: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), namespace)
    assert len(namespace["named_fall"]) == 8
    assert sum(namespace["named_fall"]) > 2 * sum(namespace["random_fall"])


def test_the_notebook_holds_its_outputs_and_is_small():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    assert all(cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    assert not any(output["output_type"] == "error" for output in outputs)
    assert sum("image/svg+xml" in output.get("data", {}) for output in outputs) == 4
    assert NOTEBOOK.stat().st_size < 1_000_000
