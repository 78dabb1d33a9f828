"""A small network of phrases with fresh weights, exported as a style."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from songwright.model.config import PhraseVaeConfig
from songwright.training.phrase_export import export_phrases
from songwright.training.phrases import make_network

SMALL = PhraseVaeConfig(dim=16, latent_dim=6, code_dim=8, dropout=0.0, word_dropout=0.0)


def make_style(root: Path) -> Path:
    """Write the style `pop` into a folder of styles and return that folder."""
    torch.manual_seed(3)
    network = make_network(SMALL).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    export_phrases(network, root / "pop", {"figures": {}})
    (root / "pop" / "style.json").write_text(json.dumps({"description": "made up", "sha256": {}}))
    return root
