"""A song from a run that is still going on: what its network writes, under the shipped piano."""

from __future__ import annotations

import tempfile
from pathlib import Path


def compose_from_checkpoint(checkpoint: Path, out: Path, *, seed: int) -> Path | None:
    """Compose a song of a minute and a half with a checkpoint's averaged weights and write it as MIDI.

    Parameters
    ----------
    checkpoint : Path
        Of the stream lead_sheet or arrangement; the other network is the one that ships.
    out : Path
        MIDI file; its folder is made if absent.
    seed : int
        Of the plan and the song: the same at every checkpoint, so that songs can be compared.

    Returns
    -------
    Path or None
        `out`, or None where the stream is not one that songs are composed from.
    """
    from songwright.composition.composer import Composer
    from songwright.composition.plan import plan_song
    from songwright.composition.weights import STREAMS
    from songwright.files.midi import write_midi
    from songwright.rendering.performance import perform
    from songwright.training.export import export_network
    from songwright.training.networks import load_config

    if load_config(checkpoint).stream not in STREAMS:
        return None
    plan = plan_song(style="pop", seed=seed, seconds=90.0)
    with tempfile.TemporaryDirectory() as folder:
        (network,) = export_network(checkpoint, Path(folder), precisions=("fp32",))
        song = Composer("pop", networks=[network]).compose(plan).song
    out.parent.mkdir(parents=True, exist_ok=True)
    write_midi(out, perform(song, seed=plan.seed), title=plan.title)
    return out
