"""How large an assembly may be. One wrap key serves one shape, whatever the leaf circuit."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidInputError
from . import layout

MAX_GROUPS = 1 << 12


@dataclass(frozen=True, slots=True)
class Shape:
    """Up to `leaves` leaf proofs with up to `publics` public signals each.

    Groups 0 .. 2 (publics + 1) - 1 are the key's lanes, then come the leaves, then padding. A row commitment covers
    `chunk` = m consecutive groups (m a power of two, at least 2): group g is part k = g mod m of block g // m.
    """

    leaves: int
    publics: int
    chunk: int = 8

    def __post_init__(self) -> None:
        if self.leaves < 1:
            raise InvalidInputError("an assembly has at least one leaf", field="leaves")
        if self.publics < 0:
            raise InvalidInputError("the number of public signals is negative", field="publics")
        if self.chunk < 2 or self.chunk & (self.chunk - 1):
            raise InvalidInputError("the chunk is not a power of two above 1", field="chunk")
        if self.groups > MAX_GROUPS:
            raise InvalidInputError(f"more than {MAX_GROUPS} groups", field="leaves")
        if self.chunk > self.groups:
            raise InvalidInputError(f"a chunk of {self.chunk} is more than all groups", field="chunk")

    @property
    def key_lanes(self) -> int:
        """Two for each of IC_0 .. IC_L: its 128-bit halves."""
        return 2 * (self.publics + 1)

    @property
    def groups(self) -> int:
        """Key lanes and leaves."""
        return self.key_lanes + self.leaves

    @property
    def group_bits(self) -> int:
        """Sumcheck variables for the group: the least n with 2^n >= groups."""
        return (self.groups - 1).bit_length()

    @property
    def chunk_bits(self) -> int:
        return self.chunk.bit_length() - 1

    @property
    def blocks(self) -> int:
        """Row commitments of one column."""
        return -(-self.groups // self.chunk)

    @property
    def generators(self) -> int:
        return self.chunk * layout.WIDTH


def fitting(leaves: int, publics: int) -> Shape:
    """The shape with the chunk that makes the wrap smallest (the study's cost model): 4 below 40 groups, else 8.

    From 360 groups on, 16.
    """
    groups = leaves + 2 * (publics + 1)
    return Shape(leaves, publics, min(4 if groups < 40 else 8 if groups < 360 else 16, 1 << (groups.bit_length() - 1)))
