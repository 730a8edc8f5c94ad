"""How many leaves become one proof: which assemblies there are, of which shapes, and which go into which.

Leaves of one assembly share a verification key, so each key's leaves are assembled by themselves, and what comes out,
proofs under the wrap's key, is assembled again until one is left. Levels share a shape where they can: then one wrap
key serves all of them. A chain over more leaves than a shape holds is a chain of chains: each inner assembly's public
signals end with the first and the last value of its part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeVar

from ..errors import InvalidInputError
from .shape import Shape, fitting
from .wrap.statement import Chain

T = TypeVar("T")

SMALLEST: Final = Shape(leaves=8, publics=4, chunk=4)
"""The least shape that `standard_shape` gives: one key for everything small, and for assemblies of assemblies."""
PUBLICS: Final = 3
"""Public signals of an assembly: key digest, leaf count, digest of publics."""
CHAINED_PUBLICS: Final = 5
"""Those of a chained one: its first and its last value besides."""
CHAIN_OF_CHAINS: Final = Chain(out=4, into=3)


def standard_shape(leaves: int, publics: int, places: int | None = None) -> Shape:
    """A shape for so many leaves, with both numbers rounded up to powers of two, so that few keys serve all.

    At least `SMALLEST`. With `places` the shape has exactly so many, and as many public signals as the leaves.
    `InvalidInputError` if the leaves do not fit, or the shape is too large.
    """
    if places is not None:
        if leaves > places:
            raise InvalidInputError(f"{leaves} leaves do not fit in {places} places", field="places")
        return fitting(places, publics)
    return fitting(max(SMALLEST.leaves, _power(leaves)), max(SMALLEST.publics, _power(publics)))


def _power(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


@dataclass(frozen=True, slots=True)
class Wrap:
    """Which wrap key an assembly is made with."""

    shape: Shape
    chain: Chain | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Leaves under one verification key: how many public signals they have, and their numbers, in order."""

    publics: int
    leaves: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One assembly: of leaves, by their numbers, or of other assemblies. Exactly one of the two is not empty."""

    wrap: Wrap
    leaves: tuple[int, ...] = ()
    nodes: tuple[Node, ...] = ()

    def bottom_up(self) -> Iterator[Node]:
        """All assemblies of the tree, each after those that it holds; this one is the last."""
        for node in self.nodes:
            yield from node.bottom_up()
        yield self

    def wraps(self) -> list[Wrap]:
        """Every wrap key that is needed, in the order of first use."""
        return list(dict.fromkeys(node.wrap for node in self.bottom_up()))


def plan_tree(groups: Sequence[Group], places: int, chain: Chain | None = None) -> Node:
    """The tree for all groups' leaves, with at most `places` leaves in one assembly (at least `SMALLEST.leaves`).

    A chain goes through the leaves in their order. `InvalidInputError` if there are no leaves, for a chain over several
    keys or over signals that the leaves do not have (`field` = `chain`), and if no shape holds so many public signals.
    """
    if not groups or not all(group.leaves for group in groups):
        raise InvalidInputError("an assembly has at least one leaf", field="leaves")
    most = max(SMALLEST.leaves, places)
    if chain is not None:
        return _chained(groups, most, chain)
    count = max(len(group.leaves) for group in groups)
    publics = max(group.publics for group in groups)
    if len(groups) == 1 and count <= most:
        return Node(Wrap(standard_shape(count, publics)), groups[0].leaves)
    # Assemblies are leaves above, so one shape for all levels holds their public signals too.
    wide = min(most, max(count, len(groups)))
    wrap = Wrap(standard_shape(wide, max(publics, PUBLICS)))
    size = min(most, wrap.shape.leaves)
    level = [Node(wrap, part) for group in groups for part in _parts(group.leaves, size)]
    return _joined(level, wrap, size)


def _chained(groups: Sequence[Group], most: int, chain: Chain) -> Node:
    if len(groups) > 1:
        raise InvalidInputError("a chain goes through leaves of one circuit only", field="chain")
    (group,) = groups
    if max(chain.out, chain.into) >= group.publics:
        raise InvalidInputError(f"the leaves have {group.publics} public signals only", field="chain")
    wrap = Wrap(standard_shape(min(most, len(group.leaves)), group.publics), chain)
    size = min(most, wrap.shape.leaves)
    level = [Node(wrap, part) for part in _parts(group.leaves, size)]
    upper = Wrap(standard_shape(min(most, len(level)), CHAINED_PUBLICS), CHAIN_OF_CHAINS)
    return _joined(level, upper, min(most, upper.shape.leaves))


def _joined(level: list[Node], wrap: Wrap, size: int) -> Node:
    while len(level) > 1:
        level = [Node(wrap, nodes=part) for part in _parts(tuple(level), size)]
    return level[0]


def _parts(items: tuple[T, ...], size: int) -> list[tuple[T, ...]]:
    """Consecutive parts of at most `size`, as even as can be: one that is left alone would be proved for nothing."""
    count = -(-len(items) // size)
    bounds = [len(items) * i // count for i in range(count + 1)]
    return [items[a:b] for a, b in pairwise(bounds)]
