"""A sparse Merkle tree of fixed depth over Poseidon; empty leaves are 0 and empty subtrees are never stored."""

from __future__ import annotations

from functools import cache

from prover_core.errors import InvalidInputError
from prover_core.reference.poseidon import poseidon


@cache
def empty_root(depth: int) -> int:
    """Root of a tree of this depth whose leaves are all 0."""
    if depth == 0:
        return 0
    below = empty_root(depth - 1)
    return poseidon([below, below])


class MerkleTree:
    """2^depth leaves; `set` costs depth hashes, `path` none. Bit k of the index says which child level k is."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._levels: list[dict[int, int]] = [{} for _ in range(depth + 1)]

    def copy(self) -> MerkleTree:
        """An independent tree; costs the number of stored nodes."""
        other = MerkleTree(self.depth)
        other._levels = [dict(level) for level in self._levels]
        return other

    def _node(self, level: int, index: int) -> int:
        return self._levels[level].get(index, empty_root(level))

    def _check(self, index: int) -> None:
        if not 0 <= index < 1 << self.depth:
            raise InvalidInputError(f"index {index} is outside a tree of depth {self.depth}", field="index")

    @property
    def root(self) -> int:
        """Of the whole tree; no hash."""
        return self._node(self.depth, 0)

    def get(self, index: int) -> int:
        """The leaf at an index, 0 if it was never set; `InvalidInputError` outside the tree."""
        self._check(index)
        return self._node(0, index)

    def set(self, index: int, leaf: int) -> None:
        """Replaces one leaf and the nodes above it."""
        self._check(index)
        if self._node(0, index) == leaf:
            return
        self._levels[0][index] = leaf
        for level in range(self.depth):
            index >>= 1
            left, right = self._node(level, 2 * index), self._node(level, 2 * index + 1)
            self._levels[level + 1][index] = poseidon([left, right])

    def path(self, index: int) -> list[int]:
        """Siblings from the leaf's level upwards."""
        self._check(index)
        return [self._node(level, (index >> level) ^ 1) for level in range(self.depth)]
