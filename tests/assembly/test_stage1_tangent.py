"""How much of a leaf's group a prover can choose: the dimension of the solutions near an honest one.

All constraints of one group are linearised at a real leaf, in every cell and row that is committed to, while the point
X and the running sum before it stay. What may move is A and C along their curves (B cannot: T = -psi^3(B) has isolated
solutions), and rows of the lane's columns beyond the lane, which nothing reads. A constraint that says nothing, or a
cell that nothing holds, would show as a further dimension.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from stage1_samples import Group, g1, sample_key, trace

from prover_core.assembly import layout
from prover_core.assembly.constraints import Environment, miller_step, others
from prover_core.assembly.leaf_key import LeafKey, leaf_key
from prover_core.types import Q

FIXED = ("X", "Y", "sx", "sy")
BEYOND_THE_LANE = len(layout.LANE_COLUMNS) * (layout.LOOP_ROWS - layout.LANE_ROWS)
A_AND_C = 2

Form = dict[object, int]


class Dual:
    """v + d for a differential d: sum of coefficient times variable."""

    __slots__ = ("d", "v")

    def __init__(self, v: int, d: Form | None = None) -> None:
        self.v = v % Q
        self.d = d or {}

    def _joined(self, left: int, other: Dual, right: int) -> Form:
        out = {k: x * left % Q for k, x in self.d.items()}
        for k, x in other.d.items():
            out[k] = (out.get(k, 0) + x * right) % Q
        return out

    def __add__(self, other: Any) -> Dual:
        o = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.v + o.v, self._joined(1, o, 1))

    __radd__ = __add__

    def __neg__(self) -> Dual:
        return self * (Q - 1)

    def __sub__(self, other: Any) -> Dual:
        return self + (-other)

    def __rsub__(self, other: Any) -> Dual:
        return -self + other

    def __mul__(self, other: Any) -> Dual:
        o = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.v * o.v, self._joined(o.v, o, self.v))

    __rmul__ = __mul__


@cache
def sample(infinite_c: bool) -> tuple[Group, LeafKey]:
    made, publics = sample_key(2, 5), [3, 99]
    proof = made.leaf(publics, 7, 0 if infinite_c else None)
    x = g1(made.ic[0] + sum(p * k for p, k in zip(publics, made.ic[1:], strict=True)))[0]
    key = leaf_key(made.vk, 2)
    return trace(key, proof.a, proof.b, proof.c, x), key


@cache
def forms(infinite_c: bool) -> list[tuple[str, Form]]:
    """(label, differential) of every constraint of every row."""
    group, key = sample(infinite_c)
    cells = {name: x if name in FIXED else Dual(x, {name: 1}) for name, x in group.cells.items()}
    end = {layout.COLUMNS[i]: name for name, (i, row) in layout.CELL_PLACE.items() if row == layout.LOOP_ROWS}
    mu = dict(zip(layout.KEY_CELLS, key.mu, strict=True))
    out: list[tuple[str, Form]] = []

    def row(s: int) -> dict[str, Any]:
        if s == layout.LOOP_ROWS:
            return {name: cells[end[name]] for name in group.rows}
        return {name: Dual(values[s], {(s, name): 1}) for name, values in group.rows.items()}

    for s in range(layout.LOOP_ROWS):
        selectors = {n: v[s] if s < len(v) else 0 for n, v in layout.ROW_SELECTORS.items()}
        lines = {n: column[s] for n, column in zip(layout.KEY_COLUMNS, key.columns, strict=True)}
        e = Environment(row(s), row(s + 1), cells, lines | mu, selectors | {"weight": 0}, group.selectors)
        values = [("miller", miller_step(e, [int(i == j) for j in range(12)])) for i in range(6)]
        values += [(c.label, c.value) for c in others(e) if c.selector is None or selectors[c.selector]]
        for label, value in values:
            if isinstance(value, Dual):
                assert value.v == 0, (s, label)
                out.append((label, {k: x for k, x in value.d.items() if x}))
    return out


def dimension(infinite_c: bool = False, without: str = "") -> int:
    """Of the kernel: variables less the rank, by elimination from the last row backwards."""
    pivots: dict[object, Form] = {}
    for label, form in forms(infinite_c):
        rest = {} if label == without else dict(form)
        while found := next((k for k in rest if k in pivots), None):
            factor = rest.pop(found)
            for k, x in pivots[found].items():
                if total := (rest.get(k, 0) + factor * x) % Q:
                    rest[k] = total
                else:
                    rest.pop(k, None)
        if rest:
            last = max(rest, key=lambda k: k if isinstance(k, tuple) else (-1, str(k)))
            scale = -pow(rest.pop(last), -1, Q)
            pivots[last] = {k: x * scale % Q for k, x in rest.items()}
    variables = len(layout.COLUMNS) * layout.LOOP_ROWS + len(layout.CELLS) + len(layout.POINT) - len(FIXED)
    return variables - len(pivots)


@pytest.mark.parametrize("infinite_c", [False, True])
def test_only_a_and_c_can_move(infinite_c: bool) -> None:
    assert dimension(infinite_c) == BEYOND_THE_LANE + A_AND_C


@pytest.mark.parametrize(
    "label",
    [
        *("miller", "start", "end", "tangent", "chord", "next x", "next y", "T = B"),
        *("chart of A", "A on curve", "A not infinity", "C on curve", "chart of X"),
        *("first chord", "second chord", "lane y", "digit", "sum slope", "sums apart"),
        *("lane m", "lane yd", "lane tangent"),
    ],
)
def test_without_a_constraint_more_can_move(label: str) -> None:
    assert label in {name for name, _ in forms(False)}
    assert dimension(without=label) > BEYOND_THE_LANE + A_AND_C
