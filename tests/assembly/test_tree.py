"""Which assemblies there are: every leaf once, in order, nothing over a shape, and few wrap keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prover_core.assembly import Chain, Group, Node, Shape, Wrap, plan_tree, standard_shape
from prover_core.errors import InvalidInputError

SMALL = Wrap(standard_shape(8, 4))


def bottom(node: Node) -> Iterator[int]:
    yield from node.leaves
    for inner in node.nodes:
        yield from bottom(inner)


def group(publics: int, first: int, count: int) -> Group:
    return Group(publics, tuple(range(first, first + count)))


def test_leaves_of_one_key_that_fit_are_one_assembly() -> None:
    assert plan_tree([group(2, 0, 8)], 64) == Node(SMALL, tuple(range(8)))
    assert plan_tree([group(1, 0, 1)], 1) == Node(SMALL, (0,))
    assert plan_tree([group(2, 0, 33)], 64).wrap.shape == Shape(64, 4, 8)


@pytest.mark.parametrize("counts", [(1, 1), (9,), (3, 8, 1, 4), (70,), (65, 2, 9), (1000,), (8,) * 70])
@pytest.mark.parametrize("places", [8, 10, 64])
def test_every_leaf_is_there_once_under_one_wrap_key(counts: tuple[int, ...], places: int) -> None:
    groups, first = [], 0
    for i, count in enumerate(counts):
        groups.append(group(1 + i % 3, first, count))
        first += count
    tree = plan_tree(groups, places)
    assert sorted(bottom(tree)) == list(range(first))
    nodes = list(tree.bottom_up())
    assert nodes[-1] is tree
    assert all(bool(node.leaves) != bool(node.nodes) for node in nodes)
    assert all(len(node.leaves or node.nodes) <= min(places, node.wrap.shape.leaves) for node in nodes)
    of = {leaf: i for i, g in enumerate(groups) for leaf in g.leaves}
    assert all(len({of[leaf] for leaf in node.leaves}) <= 1 for node in nodes)
    assert len(tree.wraps()) == 1


def test_a_chain_that_does_not_fit_is_a_chain_of_chains() -> None:
    chain = Chain(out=0, into=1)
    tree = plan_tree([group(2, 0, 100)], 8, chain)
    assert list(bottom(tree)) == list(range(100)), "in order"
    assert tree.wraps() == [Wrap(standard_shape(8, 2), chain), Wrap(standard_shape(8, 5), Chain(out=4, into=3))]
    assert plan_tree([group(2, 0, 7)], 8, chain) == Node(Wrap(standard_shape(7, 2), chain), tuple(range(7)))


def test_what_cannot_be_assembled_is_refused() -> None:
    for groups, chain, field in (
        ([], None, "leaves"),
        ([Group(1, ())], None, "leaves"),
        ([group(1, 0, 1), group(1, 1, 1)], Chain(0, 0), "chain"),
        ([group(2, 0, 3)], Chain(2, 0), "chain"),
        ([group(4000, 0, 3)], None, "leaves"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            plan_tree(groups, 8, chain)
        assert caught.value.field == field
