"""All numbers of one song, and of many as arrays: what figures, gates and tests of whole sets work on.

Measuring a song takes milliseconds and knows no other song; `reference` holds the same numbers of real songs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.coherence import accompaniment_features, coherence_features
from songwright.analysis.features import FeatureGroups, song_features, song_similarity_curve
from songwright.evaluation.figures import MeasuredSongs, gather_features
from songwright.evaluation.published import published_metrics
from songwright.evaluation.reading import song_grid
from songwright.explanation.likelihood import ShippedNetwork
from songwright.score.song import Song


@lru_cache(maxsize=2)
def open_network(weights: Path) -> ShippedNetwork:
    """Return the network of some lead sheet weights, opened once in each process."""
    return ShippedNetwork(path=weights)


class Measured(NamedTuple):
    """One song in numbers.

    Attributes
    ----------
    features : dict of group -> name -> float
        NaN where the song does not define one.
    curve : ndarray of float64, shape (40,)
        Similarity of bars 1 to 40 apart, all tracks; NaN past the song's end.
    published : dict of family -> name -> float or None
        The field's own metrics.
    """

    features: FeatureGroups
    curve: NDArray[np.float64]
    published: dict[str, dict[str, float | None]]


def measure(song: Song) -> Measured:
    """Return all numbers of a song in C major or A minor."""
    features = {
        **song_features(song),
        "accompaniment": accompaniment_features(song),
        "coherence": coherence_features(song),
    }
    sheet = song.lead_sheet
    published = published_metrics(song_grid(song), key=sheet.key, chords=sheet.chords)
    return Measured(features, song_similarity_curve(song), published)


def gather(measured: Sequence[Measured]) -> MeasuredSongs:
    """Return the numbers of at least one song as arrays over songs."""
    features = gather_features([one.features for one in measured])
    return MeasuredSongs(features, np.array([one.curve for one in measured]))
