"""What a graph is: the sizes that its file carries beside the weights, as the graph and the session need them.

Knows numbers only; the networks themselves are in `engine.blocks`.
"""

from __future__ import annotations

from dataclasses import dataclass

METADATA_KEY = "songwright"
"""Name of the metadata property that holds the description of a graph, as JSON."""


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """Sizes of the network; 0 or empty where a family has no such thing."""

    family: str = "transformer"
    """One of `engine.blocks.FAMILIES`. Files of the first versions do not say: they hold Transformers."""
    vocab_size: int
    """Tokens."""
    num_channels: int
    """Rows of the channel table summed at each step; 0 for none."""
    num_hints: int
    """Hinted tokens a step; 0 for none."""
    dim: int
    """Model width."""
    num_layers: int
    """Blocks."""
    num_heads: int = 0
    """Query heads."""
    num_kv_heads: int = 0
    """Key and value heads."""
    kernel_size: int = 0
    """Steps that a convolution sees, the current one included."""
    dilations: tuple[int, ...] = ()
    """Steps between two taps of a convolution, for each block."""
    context_length: int
    """Longest sequence the network was trained to read at once, in tokens."""
    norm_epsilon: float
    """Added to the mean square under the root of each norm."""
    rotary_base: float = 0.0
    """Base of the rotary frequencies."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "dilations", tuple(self.dilations))  # JSON has lists only

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.dim // self.num_heads if self.num_heads else 0

    @property
    def half_window(self) -> int:
        """Tokens by which windows move on (`engine.session`)."""
        return max(self.context_length // 2, 1)
