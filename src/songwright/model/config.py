"""Sizes of the networks, without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes that a run chooses."""

    dim: int = 192
    """Model width."""
    num_layers: int = 6
    """Blocks."""
    num_heads: int = 3
    """Query heads; dim / num_heads is the head width."""
    num_kv_heads: int = 1
    """Key and value heads."""
    hidden_dim: int = 512
    """Width of the feed-forward layer."""
    context_length: int = 512
    """Longest sequence attended to, in tokens."""
    dropout: float = 0.1
    """Probability of dropping an activation after embedding, attention and feed-forward."""

    def __post_init__(self) -> None:
        for name in ("dim", "num_layers", "num_heads", "num_kv_heads", "hidden_dim", "context_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.dim % self.num_heads or self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"dim {self.dim} must be a multiple of num_heads {self.num_heads}, "
                f"and num_heads of num_kv_heads {self.num_kv_heads}"
            )
        if self.head_dim % 16:
            raise ValueError(f"dim / num_heads must be a multiple of 16 (rotary positions), got {self.head_dim}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to 1, got {self.dropout}")

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.dim // self.num_heads


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(NetworkConfig):
    """All sizes of a Transformer: a run's, and those that follow from its stream."""

    vocab_size: int
    """Tokens; 0 is padding."""
    num_channel_rows: int = 0
    """Rows of the table that all side channels share; 0 for none."""
    num_hints: int = 0
    """Hinted tokens a step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocab_size < 1:
            raise ValueError(f"vocab_size must be at least 1, got {self.vocab_size}")
