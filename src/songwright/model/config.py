"""Sizes of the networks, one dataclass a family, without PyTorch.

A run names its family (`[network] family = "lstm"`); `config.from_mapping` picks the dataclass by that name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes that every family has."""

    family: str = ""
    """Which network: the name of a family."""
    dim: int = 256
    """Model width."""
    num_layers: int = 8
    """Blocks."""
    context_length: int = 512
    """Longest sequence read at once, in tokens."""
    dropout: float = 0.1
    """Probability of dropping an activation after the embedding and after each branch of a block."""

    def __post_init__(self) -> None:
        for name in ("dim", "num_layers", "context_length"):
            require_at_least_one(name, getattr(self, name))
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to 1, got {self.dropout}")


@dataclass(frozen=True, kw_only=True)
class AttentionSizes:
    """Sizes of self-attention and feed-forward layers."""

    dim: int = 192
    num_heads: int = 3
    """Query heads; dim / num_heads is the head width."""
    num_kv_heads: int = 1
    """Key and value heads."""
    hidden_dim: int = 512
    """Width of the feed-forward layer."""

    def __post_init__(self) -> None:
        for name in ("num_heads", "num_kv_heads", "hidden_dim"):
            require_at_least_one(name, getattr(self, name))
        if self.dim % self.num_heads or self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"dim {self.dim} must be a multiple of num_heads {self.num_heads}, "
                f"and num_heads of num_kv_heads {self.num_kv_heads}"
            )
        if self.head_dim % 16:
            raise ValueError(f"dim / num_heads must be a multiple of 16 (rotary positions), got {self.head_dim}")

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.dim // self.num_heads


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(AttentionSizes, NetworkConfig):
    """Sizes of a Transformer (`model.transformer`)."""

    family: str = "transformer"
    dim: int = 192
    num_layers: int = 6

    def __post_init__(self) -> None:
        NetworkConfig.__post_init__(self)
        AttentionSizes.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class HybridConfig(TransformerConfig):
    """Sizes of a Transformer with short convolutions before attention and feed-forward (`model.hybrid`)."""

    family: str = "hybrid"
    kernel_size: int = 4
    """Steps that each short convolution sees, the current one included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("kernel_size", self.kernel_size)


@dataclass(frozen=True, kw_only=True)
class ConvolutionConfig(NetworkConfig):
    """Sizes of a dilated causal convolution (`model.convolution`)."""

    family: str = "convolution"
    num_layers: int = 12
    kernel_size: int = 3
    """Steps that each layer sees."""
    max_dilation: int = 128
    """Dilations double from 1 to this, layer by layer, then start again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("kernel_size", self.kernel_size)
        require_at_least_one("max_dilation", self.max_dilation)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation of each layer."""
        period = self.max_dilation.bit_length()
        return tuple(min(1 << layer % period, self.max_dilation) for layer in range(self.num_layers))


@dataclass(frozen=True, kw_only=True)
class RnnConfig(NetworkConfig):
    """Sizes of an Elman network (`model.rnn`)."""

    family: str = "rnn"
    num_layers: int = 2


@dataclass(frozen=True, kw_only=True)
class LstmConfig(NetworkConfig):
    """Sizes of an LSTM (`model.lstm`)."""

    family: str = "lstm"
    num_layers: int = 2


@dataclass(frozen=True, kw_only=True)
class GruConfig(NetworkConfig):
    """Sizes of a GRU (`model.gru`)."""

    family: str = "gru"
    num_layers: int = 2


@dataclass(frozen=True, kw_only=True)
class NgramConfig:
    """Sizes of an n-gram model with a cache (`engine.ngram`): counted, not trained."""

    family: str = "ngram"
    order: int = 4
    """Tokens of the n-grams of the corpus: the longest context is one token less."""
    cache: bool = True
    """Whether the song so far, all of it, is counted too."""
    cache_order: int = 32
    """Tokens of the n-grams of the song so far."""

    def __post_init__(self) -> None:
        require_at_least_one("order", self.order)
        require_at_least_one("cache_order", self.cache_order)


@dataclass(frozen=True, kw_only=True)
class PhraseVaeConfig(NetworkConfig):
    """Sizes of a variational autoencoder of phrases (`model.phrase_vae`)."""

    family: str = "phrase-vae"
    dim: int = 208
    num_layers: int = 1
    latent_dim: int = 64
    """Numbers that describe a phrase."""
    code_dim: int = 64
    """Width of what is read and written of each beat."""
    context_length: int = 256
    """Longest phrase, in tokens."""
    free_bits: float = 0.05
    """Nats of each latent number that cost nothing."""
    kl_weight: float = 0.2
    """Weight of the KL term once it has risen."""
    kl_warmup: float = 0.4
    """Share of the run over which that weight rises from 0."""
    word_dropout: float = 0.1
    """Share of tokens that the decoder is not shown, so that it asks the latent numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one("latent_dim", self.latent_dim)
        require_at_least_one("code_dim", self.code_dim)
        if self.num_layers != 1 or self.dim % 2:
            raise ValueError("a phrase-vae has one layer (num_layers = 1) and an even width (dim)")
        if self.free_bits < 0 or self.kl_weight < 0:
            raise ValueError("free_bits and kl_weight must not be negative")
        if not 0 <= self.kl_warmup <= 1 or not 0 <= self.word_dropout < 1:
            raise ValueError("kl_warmup and word_dropout must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class DcganConfig:
    """Sizes of a convolutional adversarial pair that makes bars (`model.dcgan`)."""

    family: str = "dcgan"
    latent_dim: int = 64
    """Random numbers from which a bar is made."""
    channels: int = 128
    """Channels of the generator's layers; the discriminator has half."""
    feature_weight: float = 0.5
    """Weight in the generator's loss of matching the mean of the discriminator's first layer."""
    roll_weight: float = 10.0
    """Weight in the generator's loss of matching the mean bar, and how much starts and sounds at each step."""

    def __post_init__(self) -> None:
        require_at_least_one("latent_dim", self.latent_dim)
        if self.channels < 4:
            raise ValueError(f"channels must be at least 4, got {self.channels}")
        if not (self.feature_weight >= 0 and self.roll_weight >= 0):
            raise ValueError("feature_weight and roll_weight must not be negative")


AnyNetworkConfig = (
    TransformerConfig
    | HybridConfig
    | ConvolutionConfig
    | RnnConfig
    | LstmConfig
    | GruConfig
    | NgramConfig
    | PhraseVaeConfig
    | DcganConfig
)
"""What a run's `[network]` may be; the first is the default."""


@dataclass(frozen=True, kw_only=True)
class StreamSizes:
    """Sizes that follow from the stream a network reads."""

    vocab_size: int
    """Tokens; 0 is padding."""
    num_channel_rows: int = 0
    """Rows of the table that all side channels share; 0 for none."""
    num_hints: int = 0
    """Hinted tokens a step."""

    def __post_init__(self) -> None:
        require_at_least_one("vocab_size", self.vocab_size)


def require_at_least_one(name: str, value: int) -> None:
    """Raise ValueError if a count is below one."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
