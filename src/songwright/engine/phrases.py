"""The autoencoder of phrases at run time (ONNX Runtime): ids in, latent numbers and logits out.

Knows the files that `training.phrase_export` writes, ids and numbers; nothing of tokens' meaning, nor of PyTorch.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.errors import WeightsError

if TYPE_CHECKING:
    import onnxruntime as ort

FILES = ("phrases.encoder.onnx", "phrases.decoder.onnx", "phrases.json")
"""What a style's folder holds of the autoencoder."""


class Posterior(NamedTuple):
    """What the encoder says of a phrase; each array has the shape (latent_dim,)."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    """Standard deviation of each latent number."""


class PhraseCoder:
    """Both halves of the autoencoder.

    Parameters
    ----------
    folder : Path
        Holds `FILES`.
    fingerprint : str
        Of the vocabulary that the caller uses.
    channel_sizes : tuple of int
        Of the channels that the caller gives.

    Attributes
    ----------
    facts : dict
        Content of `phrases.json`: sizes, figures, how it was trained.

    Raises
    ------
    WeightsError
        If a file is missing or damaged, or belongs to another vocabulary.
    """

    def __init__(self, folder: Path, *, fingerprint: str, channel_sizes: tuple[int, ...]) -> None:
        try:
            self.facts: dict[str, Any] = json.loads((folder / FILES[2]).read_text(encoding="utf-8"))
            graphs = [(folder / name).read_bytes() for name in FILES[:2]]
            checksums = [str(self.facts["sha256"][name]) for name in FILES[:2]]
            found = self.facts["fingerprint"], tuple(self.facts["channel_sizes"])
            self.latent_dim, self._dim = int(self.facts["latent_dim"]), int(self.facts["dim"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"{folder}: the network of phrases cannot be read ({error}); install again") from None
        for name, data, checksum in zip(FILES, graphs, checksums, strict=False):
            if hashlib.sha256(data).hexdigest() != checksum:
                raise WeightsError(f"{folder / name}: damaged (its checksum is not that of phrases.json); export again")
        if found != (fingerprint, channel_sizes):
            raise WeightsError(f"{folder}: the network of phrases is of another version; train again")
        self._encoder, self._decoder = (_session(data) for data in graphs)

    def encode(self, tokens: NDArray[np.integer], channels: NDArray[np.integer]) -> Posterior:
        """Return the posterior of one phrase.

        Parameters
        ----------
        tokens : ndarray, shape (time,)
            Without the last token.
        channels : ndarray, shape (time, num_channels)
        """
        ids = {"tokens": tokens.astype(np.int64)[None], "channels": channels.astype(np.int64)[None]}
        found: Any = self._encoder.run(["mean", "log_variance"], ids)
        mean, log_variance = found
        return Posterior(mean[0], np.exp(log_variance[0] / 2))

    def write(self, z: NDArray[np.floating]) -> PhraseWriter:
        """Return a decoder at the start of one phrase for each row of z, shape (batch, latent_dim)."""
        return PhraseWriter(self._decoder, z.astype(np.float32), self._dim)


class PhraseWriter:
    """A decoder with its state; made by `PhraseCoder.write`."""

    def __init__(self, session: ort.InferenceSession, z: NDArray[np.float32], dim: int) -> None:
        self._session, self._z = session, z
        self._hidden = self._cell = np.zeros((1, len(z), dim), dtype=np.float32)

    def step(self, tokens: NDArray[np.integer], channels: NDArray[np.integer]) -> NDArray[np.float32]:
        """Read further steps; return the logits of the token after each.

        Parameters
        ----------
        tokens : ndarray, shape (batch, time)
        channels : ndarray, shape (batch, time, num_channels)

        Returns
        -------
        ndarray, shape (batch, time, vocab)
        """
        feed = {
            "z": self._z, "tokens": tokens.astype(np.int64), "channels": channels.astype(np.int64),
            "hidden": self._hidden, "cell": self._cell,
        }  # fmt: skip
        found: Any = self._session.run(["logits", "next_hidden", "next_cell"], feed)
        logits, self._hidden, self._cell = found
        return logits


def _session(data: bytes) -> ort.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the network is small
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
