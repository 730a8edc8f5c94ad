"""Binary Merkle trees over Poseidon: node = Poseidon(left, right). 241 rows a level and leaf."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CircuitError
from ..builder import Circuit
from ..expr import Bit, Expr
from ..template import gadget
from .poseidon import poseidon
from .select import swap


@gadget
def _parent(c: Circuit, node: Expr, sibling: Expr, is_right: Bit) -> Expr:
    left, right = swap(c, is_right, node, sibling)
    return poseidon(c, [left, right])


def root(c: Circuit, leaf: Expr, index: Sequence[Bit], siblings: Sequence[Expr]) -> Expr:
    """The root above `leaf`; index bits from the leaf upwards (1: the node is a right child). 241 rows a level."""
    if len(index) != len(siblings):
        raise CircuitError(f"a path of {len(siblings)} siblings needs as many index bits, not {len(index)}")
    node = leaf
    for bit, sibling in zip(index, siblings, strict=True):
        node = _parent(c, node, sibling, bit)
    return node


def assert_membership(
    c: Circuit, expected: Expr, leaf: Expr, index: Sequence[Bit], siblings: Sequence[Expr], label: str = "membership"
) -> None:
    """`leaf` is at `index` under the root `expected`; 241 rows a level and one."""
    with c.scope(label):
        c.assert_equal(root(c, leaf, index, siblings), expected, "root matches")


def update(
    c: Circuit, old_leaf: Expr, new_leaf: Expr, index: Sequence[Bit], siblings: Sequence[Expr]
) -> tuple[Expr, Expr]:
    """(old root, new root) of replacing one leaf; with the same siblings nothing else can change. 482 rows a level."""
    return root(c, old_leaf, index, siblings), root(c, new_leaf, index, siblings)
