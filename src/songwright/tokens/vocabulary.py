"""An ordered set of token names and the fingerprint by which weights recognise it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType


class Vocabulary:
    """The tokens of one tokenizer, in the order of their ids.

    Parameters
    ----------
    names : iterable of str
        Distinct token names; a token's id is its place.

    Raises
    ------
    ValueError
        If a name occurs twice.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names: tuple[str, ...] = tuple(names)
        self.ids: Mapping[str, int] = MappingProxyType({name: index for index, name in enumerate(self.names)})
        if len(self.ids) != len(self.names):
            raise ValueError("a vocabulary cannot hold a name twice")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> int:
        return self.ids[name]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any token or its place."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:16]

    def spell(self, token_ids: Iterable[int]) -> str:
        """Return token names joined by blanks, for reading."""
        return " ".join(self.names[token] for token in token_ids)
