"""Places without a leaf, and shapes without such places, against provers that sum over all of them.

The honest prover leaves padding out, since it is zero there; one that does not gets past the opening, so that the
constraints themselves have to refuse what it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from stage1_samples import LEAF, sample_key, table_groups
from test_stage1_verify import ENTROPY, Cheat, _place, leaves

from prover_core.assembly import Shape, layout, sumcheck, verify_stage1
from prover_core.assembly.leaf_key import LeafKey
from prover_core.errors import VerificationError

SHAPE = Shape(4, 2, 4)
COUNT = 2
SAMPLE = sample_key(2, 77)
PLACE = SHAPE.key_lanes + COUNT
"""The first group of padding."""
CELL = layout.CELL_PLACE


@pytest.fixture
def summed_over_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = sumcheck.group_selectors

    def selectors(key: LeafKey, leaf_count: int) -> list[list[int]]:
        return [row + [0] * (SHAPE.groups - len(row)) for row in honest(key, leaf_count)]

    monkeypatch.setattr(sumcheck, "group_selectors", selectors)


def refusal(shape: Shape, count: int, corrupt: Callable[[Cheat], None]) -> str | None:
    """The check that refuses, or None."""

    class Corrupt(Cheat):
        pass

    Corrupt.corrupt = staticmethod(corrupt)
    builder = Corrupt(shape, SAMPLE.vk)
    builder.extend(leaves(SAMPLE, count))
    done = builder.finish(ENTROPY)
    try:
        verify_stage1(shape, SAMPLE.vk, done.publics, done.proof)
    except VerificationError as e:
        return e.field
    return None


def a_whole_leaf(builder: Cheat) -> None:
    leaf = table_groups(builder._table, [dict(LEAF)] * SHAPE.groups)[SHAPE.key_lanes]
    for vector, name in enumerate(layout.COLUMNS):
        for row in range(layout.POINT_ROW):
            builder.change(vector, PLACE, row, leaf.rows[name][row])
    for row, name in enumerate(layout.POINT, start=layout.POINT_ROW):
        builder.change(16, PLACE, row, leaf.cells[name])


def a_sum(builder: Cheat) -> None:
    builder.change(*_place(CELL["sx"], PLACE), 1)
    builder.change(*_place(CELL["sy"], PLACE), 2)


FILLINGS: dict[str, tuple[Callable[[Cheat], None], str | None]] = {
    "nothing": (lambda b: None, None),
    "rows that nobody reads": (lambda b: b.change(12, PLACE, 70, 5), None),
    "a whole leaf": (a_whole_leaf, "d"),
    "the next place": (lambda b: b.change(*_place(CELL["px"], PLACE + 1), 5), "d"),
    "a running sum": (a_sum, "d"),
    "a slope of the sum": (lambda b: b.change(*_place(CELL["sg"], PLACE), 7), "d"),
    "a digit": (lambda b: b.change(15, PLACE, 3, 1), "d"),
    "a point": (lambda b: b.change(16, PLACE, layout.POINT_ROW, 1), "d"),
}


@pytest.mark.usefixtures("summed_over_padding")
@pytest.mark.parametrize("name", list(FILLINGS))
def test_what_a_prover_writes_into_empty_places(name: str) -> None:
    corrupt, check = FILLINGS[name]
    assert refusal(SHAPE, COUNT, corrupt) == check


@pytest.mark.parametrize(
    "shape",
    [Shape(2, 2, 4), Shape(2, 2, 2), Shape(2, 2, 8), Shape(3, 3, 4), Shape(9, 2, 4), Shape(4, 5, 16)],
    ids=lambda s: f"{s.leaves} {s.publics} {s.chunk}",
)
def test_false_publics_and_sums_in_shapes_of_all_kinds(shape: Shape) -> None:
    """With padding and without (6 + 2 groups are 8), in one block and in many, with lanes that the key does not use."""
    last = shape.key_lanes + 1
    assert refusal(shape, 2, lambda b: None) is None
    assert refusal(shape, 2, lambda b: b.change(*_place(CELL["sg"], last), 1)) == "d"
    builder = Cheat(shape, SAMPLE.vk)
    builder.extend(leaves(SAMPLE, 2))
    builder._leaves[1] = replace(builder._leaves[1], publics=(101, 4))
    done = builder.finish(ENTROPY)
    with pytest.raises(VerificationError) as caught:
        verify_stage1(shape, SAMPLE.vk, done.publics, done.proof)
    assert caught.value.field == "d"
