from __future__ import annotations

import pytest

from songwright.errors import InputError
from songwright.tokens.packing import find_labels


@pytest.mark.parametrize(
    ("root", "labels"),
    [
        ("POP909", "POP909-phrases"),
        ("POP909", "hierarchical-structure-analysis/POP909"),
        ("POP909-Dataset/POP909", "hierarchical-structure-analysis/POP909"),
    ],
)
def test_labels_are_found_beside_the_songs_or_beside_their_clone(tmp_path, monkeypatch, root, labels):
    (tmp_path / labels / "001").mkdir(parents=True)
    (tmp_path / labels / "001" / "human_label1.txt").write_text("A8")
    (tmp_path / root).mkdir(parents=True)
    assert find_labels(tmp_path / root, None) == tmp_path / labels
    monkeypatch.chdir((tmp_path / root).parent)
    assert find_labels((tmp_path / "POP909").relative_to(tmp_path), None) == tmp_path / labels


def test_named_labels_are_the_only_ones_looked_for(tmp_path):
    (tmp_path / "POP909-phrases" / "001").mkdir(parents=True)
    (tmp_path / "POP909-phrases" / "001" / "human_label1.txt").write_text("A8")
    with pytest.raises(InputError, match="no phrase labels"):
        find_labels(tmp_path / "POP909", tmp_path / "elsewhere")
