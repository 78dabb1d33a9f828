"""Decoding with ONNX Runtime: token ids in, logits out, one step or a whole prompt at a time.

Knows graphs made by `engine.graph` and ids; nothing of tokens' meaning, nor of PyTorch.

The network was trained on windows of `context_length` tokens that start at position 0, and songs are longer. A token
at index n is therefore read in the window that starts at max(0, (n // half - 1) * half), where half is half the
context length: from token `half` on it sees at least `half` and at most `context_length - 1` earlier ones, as on the
windows with which the trainer validates. When a window is full, its second half is read again as the first half of the
next. The window of a token depends on its index only, so logits after `rewind` are those of a fresh decoder fed with
the same tokens, within rounding.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.engine.graph import METADATA_KEY, GraphConfig
from songwright.errors import WeightsError

if TYPE_CHECKING:
    import onnxruntime as ort

Logits = NDArray[np.float32]


class Decoder:
    """A network with the state of `batch_size` sequences.

    Sequences keep positions of their own, but step together; a finished one may be fed any valid token.

    Parameters
    ----------
    path : path
        A graph written by `training.export`.
    batch_size : int
        Sequences decoded together.
    max_length : int
        Longest sequence, in tokens.
    num_threads : int
        Threads within a step. Small networks gain nothing from a second one.
    expected_fingerprint : str, optional
        Fingerprint of the vocabulary the caller will use.

    Attributes
    ----------
    metadata : dict
        What the export knew of the weights: stream, fingerprint, training figures, precision and so on.
    config : GraphConfig
    weights_fingerprint : str
        Sixteen hexadecimal digits that change with any byte of the file.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another vocabulary.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        batch_size: int = 1,
        max_length: int,
        num_threads: int = 1,
        expected_fingerprint: str | None = None,
    ) -> None:
        if batch_size < 1 or max_length < 1:
            raise ValueError(f"batch_size and max_length must be at least 1, got {batch_size} and {max_length}")
        self._session, self.metadata, self.config, self.weights_fingerprint = _load(Path(path), num_threads)
        found = self.metadata.get("fingerprint")
        if expected_fingerprint is not None and found != expected_fingerprint:
            raise WeightsError(
                f"{path}: trained with vocabulary {found}, this version writes {expected_fingerprint}; "
                "use the weights of this version or train again"
            )
        config = self.config
        self.batch_size, self.max_length = batch_size, max_length
        self._half = max(config.context_length // 2, 1)
        window = 2 * self._half
        # What was fed, to be read again when a window moves.
        self._tokens = np.zeros((batch_size, max_length), dtype=np.int64)
        self._channels = np.zeros((batch_size, max_length, config.num_channels), dtype=np.int64)
        self._hints = np.zeros((batch_size, max_length, config.num_hints), dtype=np.int64)
        self._positions = np.zeros(batch_size, dtype=np.int64)
        self._starts = np.zeros(batch_size, dtype=np.int64)  # first token of the window in each cache
        self._rows = np.arange(batch_size)

        cache = (batch_size, config.num_kv_heads, window, config.head_dim)
        names = [f"{name}_{layer}" for layer in range(config.num_layers) for name in ("key", "value")]
        self._caches = {name: np.zeros(cache, dtype=np.float32) for name in names}
        frequency = config.rotary_base ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
        angle = np.arange(window)[:, None] * frequency
        self._rotary = {"cos": np.cos(angle).astype(np.float32), "sin": np.sin(angle).astype(np.float32)}

        # The memory that every step reads and writes, bound once.
        self._step_tokens = np.zeros((batch_size, 1), dtype=np.int64)
        self._step_channels = np.zeros((batch_size, 1, config.num_channels), dtype=np.int64)
        self._step_hints = np.zeros((batch_size, 1, config.num_hints), dtype=np.int64)
        self._seqlens = np.zeros(batch_size, dtype=np.int32)
        self._total = np.zeros((), dtype=np.int32)
        self._logits = np.zeros((batch_size, 1, config.vocab_size), dtype=np.float32)
        self._step_binding = self._bind(
            self._step_tokens,
            self._step_channels,
            self._step_hints,
            self._seqlens,
            self._total,
            self._caches,
            self._logits,
        )

    @property
    def positions(self) -> NDArray[np.int64]:
        """Tokens fed to each sequence, shape (batch,)."""
        return self._positions.copy()

    def step(self, tokens: ArrayLike, channels: ArrayLike | None = None, hints: ArrayLike | None = None) -> Logits:
        """Feed one token to each sequence and return the logits of the next.

        Parameters
        ----------
        tokens : array_like of int, shape (batch,)
        channels : array_like of int, shape (batch, num_channels), optional
            Rows of the channel table (layout offsets added); for a network with channels.
        hints : array_like of int, shape (batch, num_hints), optional
            Hinted tokens, 0 for none; for a network with hints.

        Returns
        -------
        ndarray of float32, shape (batch, vocab)
            A view that the next step overwrites.

        Raises
        ------
        ValueError
            If a sequence is full (`max_length`), or channels or hints are missing.
        """
        config, positions, rows = self.config, self._positions, self._rows
        self._require(1, channels, hints)
        self._step_tokens[:, 0] = tokens
        self._tokens[rows, positions] = tokens
        if channels is not None and config.num_channels:
            self._step_channels[:, 0] = channels
            self._channels[rows, positions] = channels
        if hints is not None and config.num_hints:
            self._step_hints[:, 0] = hints
            self._hints[rows, positions] = hints
        starts = np.maximum((positions // self._half - 1) * self._half, 0)
        if (starts != self._starts).any():
            for row in np.flatnonzero(starts != self._starts).tolist():
                self._read(row, int(starts[row]), int(positions[row]))
        np.subtract(positions, self._starts, out=self._seqlens, casting="unsafe")
        self._total[...] = self._seqlens.max() + 1
        self._session.run_with_iobinding(self._step_binding)
        positions += 1
        return self._logits[:, 0]

    def prefill(self, tokens: ArrayLike, channels: ArrayLike | None = None, hints: ArrayLike | None = None) -> Logits:
        """Feed several tokens to each sequence; the logits are those that as many steps would return.

        Parameters
        ----------
        tokens : array_like of int, shape (batch, time)
        channels : array_like of int, shape (batch, time, num_channels), optional
        hints : array_like of int, shape (batch, time, num_hints), optional

        Returns
        -------
        ndarray of float32, shape (batch, time, vocab)

        Raises
        ------
        ValueError
            If a sequence would exceed `max_length`, or channels or hints are missing.
        """
        tokens = np.asarray(tokens, dtype=np.int64)
        time = tokens.shape[1]
        self._require(time, channels, hints)
        result = np.empty((self.batch_size, time, self.config.vocab_size), dtype=np.float32)
        for row in range(self.batch_size):
            first = int(self._positions[row])
            end = first + time
            self._tokens[row, first:end] = tokens[row]
            if channels is not None and self.config.num_channels:
                self._channels[row, first:end] = np.asarray(channels)[row]
            if hints is not None and self.config.num_hints:
                self._hints[row, first:end] = np.asarray(hints)[row]
            done = first
            while done < end:
                start = max((done // self._half - 1) * self._half, 0)
                stop = min(start + 2 * self._half, end)
                result[row, done - first : stop - first] = self._read(row, start, stop)[done - start :]
                done = stop
        self._positions += time
        return result

    def rewind(self, lengths: int | ArrayLike) -> None:
        """Go back to where each sequence had as many tokens as given (one number for all, or one for each).

        Raises
        ------
        ValueError
            If a sequence has fewer tokens.
        """
        wanted = np.broadcast_to(np.asarray(lengths, dtype=np.int64), self._positions.shape)
        if (wanted < 0).any() or (wanted > self._positions).any():
            raise ValueError(f"cannot rewind to {lengths}: the sequences have {self._positions.tolist()} tokens")
        self._positions[:] = wanted

    def reset(self) -> None:
        """Forget everything that was fed."""
        self.rewind(0)

    def _require(self, time: int, channels: object, hints: object) -> None:
        if (self.config.num_channels and channels is None) or (self.config.num_hints and hints is None):
            raise ValueError("this network reads channels and hints at every step")
        if int(self._positions.max()) + time > self.max_length:
            raise ValueError(f"a sequence cannot exceed max_length, {self.max_length} tokens")

    def _read(self, row: int, start: int, stop: int) -> Logits:
        """Fill one sequence's cache with the window [start, stop); return the logits, shape (stop - start, vocab)."""
        self._starts[row] = start
        time = stop - start
        # A binding holds addresses only: these arrays must live until it has run.
        logits = np.empty((1, time, self.config.vocab_size), dtype=np.float32)
        seqlens, total = np.array([time - 1], dtype=np.int32), np.array(time, dtype=np.int32)
        binding = self._bind(
            self._tokens[row : row + 1, start:stop],
            self._channels[row : row + 1, start:stop],
            self._hints[row : row + 1, start:stop],
            seqlens,
            total,
            {name: cache[row : row + 1] for name, cache in self._caches.items()},
            logits,
        )
        if time:
            self._session.run_with_iobinding(binding)
        return logits[0]

    def _bind(
        self,
        tokens: NDArray[np.int64],
        channels: NDArray[np.int64],
        hints: NDArray[np.int64],
        seqlens: NDArray[np.int32],
        total: NDArray[np.int32],
        caches: dict[str, NDArray[np.float32]],
        logits: Logits,
    ) -> ort.IOBinding:
        """Let ONNX Runtime read from and write to arrays in place."""
        import onnxruntime as ort

        binding = self._session.io_binding()
        inputs = {"tokens": tokens, "seqlens_k": seqlens, "total_sequence_length": total, **self._rotary}
        if self.config.num_channels:
            inputs["channels"] = channels
        if self.config.num_hints:
            inputs["hints"] = hints
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        binding.bind_ortvalue_output("logits", ort.OrtValue.ortvalue_from_numpy(logits))
        for name, array in caches.items():
            value = ort.OrtValue.ortvalue_from_numpy(array)
            binding.bind_ortvalue_input(f"past_{name}", value)
            binding.bind_ortvalue_output(f"present_{name}", value)
        return binding


def _load(path: Path, num_threads: int) -> tuple[ort.InferenceSession, dict[str, Any], GraphConfig, str]:
    """Return (session, metadata, config, fingerprint of the file)."""
    import onnxruntime as ort

    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: no weights can be read here ({error.strerror}); install the package again"
        ) from None
    options = ort.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # a damaged file is reported once, by the error below
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        metadata = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        config = GraphConfig(**metadata["config"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        raise WeightsError(
            f"{path}: these weights are damaged or not songwright's; install or export them again"
        ) from error
    return session, metadata, config, hashlib.sha256(data).hexdigest()[:16]
