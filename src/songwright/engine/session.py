"""Decoding with ONNX Runtime: token ids in, logits out, one step or a whole prompt at a time.

Knows graphs made by `engine.graph` and ids; nothing of tokens' meaning, nor of PyTorch. Of the families it knows what a
graph says of itself: which states there are, and whether they are caches (with an axis `window`).

The network was trained on windows of `context_length` tokens that start at position 0, and songs are longer. A token
at index n is therefore read in the window that starts at max(0, (n // half - 1) * half), where half is half the
context length: from token `half` on it sees at least `half` and at most `context_length - 1` earlier ones, as on the
windows with which the trainer validates. When a window is full, its second half is read again as the first half of the
next, from a state of zeros. The window of a token depends on its index only, so logits after `rewind` are those of a
fresh decoder fed with the same tokens, within rounding.

A cache keeps what was read at each position, so going back in it is free. Other states (of recurrent cells, of
convolutions) know the present only: after going back, a sequence is read again from the start of its window.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.engine.config import METADATA_KEY, GraphConfig
from songwright.engine.sequences import Logits, SequenceDecoder
from songwright.errors import WeightsError

if TYPE_CHECKING:
    import onnxruntime as ort

States = dict[str, NDArray[np.float32]]
"""What the network remembers, by name; the first axis is the batch."""

_UNREAD = -1  # where a window starts whose state is not there


class Decoder(SequenceDecoder):
    """A network with the state of `batch_size` sequences.

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
        super().__init__(batch_size=batch_size, max_length=max_length)
        self._session, self.metadata, self.config, self.weights_fingerprint = _load(Path(path), num_threads)
        found = self.metadata.get("fingerprint")
        if expected_fingerprint is not None and found != expected_fingerprint:
            raise WeightsError(
                f"{path}: trained with vocabulary {found}, this version writes {expected_fingerprint}; "
                "use the weights of this version or train again"
            )
        config = self.config
        self._half = config.half_window
        window = 2 * self._half
        # What was fed besides tokens, to be read again when a window moves.
        self._channels = np.zeros((batch_size, max_length, config.num_channels), dtype=np.int64)
        self._hints = np.zeros((batch_size, max_length, config.num_hints), dtype=np.int64)
        self._starts = np.zeros(batch_size, dtype=np.int64)  # first token of the window in each state
        self._rows = np.arange(batch_size)

        inputs = {value.name: value.shape for value in self._session.get_inputs()}
        shapes = {name.removeprefix("past_"): shape[1:] for name, shape in inputs.items() if name.startswith("past_")}
        # Keys and values are written in place. Where a state is written anew, two turns read and write in turn.
        self._caches = _zeros({name: shape for name, shape in shapes.items() if "window" in shape}, batch_size, window)
        other = {name: shape for name, shape in shapes.items() if name not in self._caches}
        self._turns = [_zeros(other, batch_size, window) for _ in range(2)]
        self._turn = 0  # whose states the next step reads
        self._rotary: dict[str, NDArray[np.float32]] = {}
        if self._caches:
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
        self._step_bindings = [
            self._bind(
                (self._step_tokens, self._step_channels, self._step_hints),
                (self._seqlens, self._total),
                self._caches | self._turns[turn],
                self._caches | self._turns[1 - turn],
                self._logits,
            )
            for turn in range(2)
        ]

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
        self._session.run_with_iobinding(self._step_bindings[self._turn])
        self._turn = 1 - self._turn
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
        """Go back, as every decoder does; a state that knows the present only is read again."""
        before = self.positions
        super().rewind(lengths)
        if self._turns[0]:
            self._starts[self._positions < before] = _UNREAD

    def _require(self, time: int, channels: object, hints: object) -> None:
        if (self.config.num_channels and channels is None) or (self.config.num_hints and hints is None):
            raise ValueError("this network reads channels and hints at every step")
        self._require_room(time)

    def _read(self, row: int, start: int, stop: int) -> Logits:
        """Bring one sequence's state from the start of a window to `stop`; return logits, (stop - start, vocab)."""
        self._starts[row] = start
        after = {name: state[row : row + 1] for name, state in self._turns[self._turn].items()}
        time = stop - start
        logits = np.empty((1, time, self.config.vocab_size), dtype=np.float32)
        if not time:
            for state in after.values():
                state[...] = 0
            return logits[0]
        # A binding holds addresses only: these arrays must live until it has run.
        before = {name: np.zeros_like(state) for name, state in after.items()}
        seqlens, total = np.array([time - 1], dtype=np.int32), np.array(time, dtype=np.int32)
        caches = {name: cache[row : row + 1] for name, cache in self._caches.items()}
        tokens, channels, hints = (
            array[row : row + 1, start:stop] for array in (self._tokens, self._channels, self._hints)
        )
        binding = self._bind((tokens, channels, hints), (seqlens, total), caches | before, caches | after, logits)
        self._session.run_with_iobinding(binding)
        return logits[0]

    def _bind(
        self,
        fed: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
        lengths: tuple[NDArray[np.int32], NDArray[np.int32]],
        past: States,
        present: States,
        logits: Logits,
    ) -> ort.IOBinding:
        """Let ONNX Runtime read from and write to arrays in place."""
        import onnxruntime as ort

        binding = self._session.io_binding()
        tokens, channels, hints = fed
        inputs: dict[str, NDArray[Any]] = {"tokens": tokens}
        if self._caches:
            inputs |= {"seqlens_k": lengths[0], "total_sequence_length": lengths[1], **self._rotary}
        if self.config.num_channels:
            inputs["channels"] = channels
        if self.config.num_hints:
            inputs["hints"] = hints
        inputs |= {f"past_{name}": array for name, array in past.items()}
        outputs = {"logits": logits} | {f"present_{name}": array for name, array in present.items()}
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        return binding


def _zeros(shapes: Mapping[str, Sequence[int | str]], batch_size: int, window: int) -> States:
    """Return states of the given shapes after the batch; the only axis with a name is `window`."""
    return {
        name: np.zeros((batch_size, *(window if isinstance(axis, str) else axis for axis in shape)), dtype=np.float32)
        for name, shape in shapes.items()
    }


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
