"""Likelihood of held-out songs, in the units musicians' papers use.

For a lead sheet, *bits a note* counts what fixes when a note starts and how high it is: onset tokens (`POS`) with the
decisions to end a bar or the song instead (`BAR`, `EOS`), and `PITCH`. Durations and chords are reported on their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log

import numpy as np
import torch
import torch.nn.functional as F

from songwright.model.transformer import Transformer
from songwright.tokens.streams import Stream
from songwright.training.batches import IGNORED, Batch

_GROUPS = ("POS", "PITCH", "DUR", "BAR", "EOS", "BEAT", "CHORD", "BASS", "BOS", "PAD", "OTHER")


def token_groups(stream: Stream) -> np.ndarray:
    """Return for each token of the vocabulary the index of its group in `_GROUPS`."""
    kinds = [name.split("_")[0] for name in stream.vocabulary.names]
    return np.array([_GROUPS.index(kind if kind in _GROUPS else "OTHER") for kind in kinds])


@torch.no_grad()
def validate(network: Transformer, batches: Iterable[Batch], stream: Stream) -> dict[str, float]:
    """Return nats a token and the figures of each group.

    Returns
    -------
    dict
        `nats_per_token`; `nats_per_note` (position, pitch and duration); `bits_per_note` (onset and pitch); for a lead
        sheet `bits_per_note_first` and `bits_per_note_later` (in the first and in later occurrences of a phrase letter)
        and `nats_per_chord`.
    """
    was_training = network.training
    network.eval()
    groups = torch.from_numpy(token_groups(stream)).to(next(network.parameters()).device)
    has_form = "occurrence" in stream.channels.names
    occurrence_column = stream.channels.names.index("occurrence") if has_form else 0
    occurrence_base = stream.channels.offsets[occurrence_column] if has_form else 0
    total = np.zeros((2, len(_GROUPS)))
    count = np.zeros((2, len(_GROUPS)))
    for tokens, channels, hints, targets in batches:
        with torch.autocast(tokens.device.type, torch.bfloat16):
            logits = network(tokens, channels, hints)
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
        kept = targets.flatten() != IGNORED
        group = groups[targets.flatten()[kept]]
        later = (
            (channels[..., occurrence_column].flatten()[kept] > occurrence_base).long()
            if has_form
            else torch.zeros_like(group)
        )
        cell = (later * len(_GROUPS) + group).cpu().numpy()
        total += np.bincount(cell, nats[kept].float().cpu().numpy(), 2 * len(_GROUPS)).reshape(2, -1)
        count += np.bincount(cell, minlength=2 * len(_GROUPS)).reshape(2, -1)
    network.train(was_training)
    index = {name: place for place, name in enumerate(_GROUPS)}
    onset_pitch = [index[name] for name in ("POS", "BAR", "EOS", "PITCH")]
    notes = np.maximum(count[:, index["PITCH"]], 1)
    result = {
        "nats_per_token": float(total.sum() / max(count.sum(), 1)),
        "nats_per_note": float(total[:, [*onset_pitch, index["DUR"]]].sum() / notes.sum()),
        "bits_per_note": float(total[:, onset_pitch].sum() / notes.sum() / log(2)),
    }
    if count[:, index["CHORD"]].any():
        first, later_bits = total[:, onset_pitch].sum(axis=1) / notes / log(2)
        chords = [index[name] for name in ("BEAT", "CHORD", "BASS")]
        result["bits_per_note_first"], result["bits_per_note_later"] = float(first), float(later_bits)
        result["nats_per_chord"] = float(total[:, chords].sum() / max(count[:, index["CHORD"]].sum(), 1))
    return result
