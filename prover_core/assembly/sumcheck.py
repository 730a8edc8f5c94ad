"""The prover's side of the sumcheck: native rounds, interpolation, and the claims at the point."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..native import _native
from ..reference.field import limb_rows, to_limbs
from ..types import Q
from . import layout, protocol
from .constraints import GROUP_DEGREE, ROW_DEGREE
from .engine import Engine, empty
from .evaluation import group_step
from .leaf_key import LeafKey
from .protocol import Claims, TableChallenges
from .recorder import record
from .shape import Shape
from .transcript import Transcript
from .weights import eq_vector


def prove_sumcheck(
    engine: Engine,
    table: _native.AssemblyTable,
    shape: Shape,
    key: LeafKey,
    leaf_count: int,
    challenges: TableChallenges,
    t: Transcript,
    claim: int,
) -> tuple[tuple[tuple[int, ...], ...], list[int], list[int], Claims]:
    """(rounds, group point, row point, claims). About 435 evaluations of P a leaf, 350 products each."""
    kappa = challenges.kappa
    native = _open(engine, table, shape, key, leaf_count, challenges)
    rounds: list[tuple[int, ...]] = []
    point: list[int] = []
    kernel = group_step(kappa)
    for i, degree in enumerate(protocol.round_degrees(shape)):
        group = i < shape.group_bits
        if i == shape.group_bits:
            kernel = kappa
        out = empty(degree, 4)
        native.round(group, out)
        values = limb_rows(out)
        one = (claim - values[0]) * pow(kernel, -1, Q) % Q
        coefficients = interpolate([values[0], one, *values[1:]])
        x = protocol.after_round(t, coefficients)
        native.fold(group, to_limbs([x]))
        claim = 0
        for c in reversed(coefficients):
            claim = (claim * x + c) % Q
        rounds.append(tuple(coefficients))
        point.append(x)
        kernel = kernel * kernel % Q
    group_point, row_point = point[: shape.group_bits], point[shape.group_bits :]
    return tuple(rounds), group_point, row_point, _claims(native, key, row_point)


def interpolate(values: Sequence[int]) -> list[int]:
    """Coefficients, constant first, of the polynomial of degree d with the values at 0, 1, ..., d."""
    matrix = _lagrange(len(values))
    return [sum(v * row[i] for v, row in zip(values, matrix, strict=True)) % Q for i in range(len(values))]


@cache
def _lagrange(n: int) -> tuple[tuple[int, ...], ...]:
    """[i]: coefficients of the polynomial that is 1 at i and 0 at the other points below n."""
    rows = []
    for i in range(n):
        row, scale = [1], 1
        for j in range(n):
            if j != i:
                row = [
                    ((row[k - 1] if k else 0) - j * (row[k] if k < len(row) else 0)) % Q for k in range(len(row) + 1)
                ]
                scale = scale * (i - j) % Q
        inverse = pow(scale, -1, Q)
        rows.append(tuple(c * inverse % Q for c in row))
    return tuple(rows)


def _open(
    engine: Engine, table: _native.AssemblyTable, shape: Shape, key: LeafKey, leaf_count: int, c: TableChallenges
) -> _native.AssemblySumcheck:
    programs = record()
    assert {GROUP_DEGREE, ROW_DEGREE} == set(protocol.round_degrees(shape))
    fixed = [*c.beta, *c.gamma, c.digit, *c.sums, group_step(c.kappa), *key.mu]
    return _native.AssemblySumcheck(
        table,
        to_limbs(x for row in group_selectors(key, leaf_count) for x in row),
        to_limbs(x for row in row_values(key, c.kappa) for x in row),
        list(programs.code),
        programs.registers,
        to_limbs([*fixed, *programs.constants]),
        list(programs.kind_of),
        list(programs.results),
        to_limbs([c.kappa]),
        engine.threads,
    )


def group_selectors(key: LeafKey, leaf_count: int) -> list[list[int]]:
    """GROUP_SELECTORS by group: key lanes, then leaves. Padding groups, all 0, are left out."""
    lanes, zeros, ones = len(key.points), [0] * leaf_count, [1] * leaf_count
    return [
        [1] * lanes + ones,
        [0] * lanes + ones,
        [1] * lanes + zeros,
        [x for x, _ in key.points] + zeros,
        [y for _, y in key.points] + zeros,
    ]


def row_values(key: LeafKey, kappa: int) -> list[list[int]]:
    """By row, 128 each: the key's columns, the weight (4 / kappa)^s for s < 64, the selectors."""
    ratio, weight = 4 * pow(kappa, -1, Q) % Q, [1]
    while len(weight) < layout.LANE_ROWS:
        weight.append(weight[-1] * ratio % Q)
    rows = [list(column) for column in key.columns] + [weight]
    rows += [list(values) for values in layout.ROW_SELECTORS.values()]
    return [row + [0] * (layout.ROWS - len(row)) for row in rows]


def _claims(native: _native.AssemblySumcheck, key: LeafKey, row_point: Sequence[int]) -> Claims:
    current, following, cells, key_current, _, _ = Claims.lengths()
    out = empty(current + following + cells + key_current, 4)
    native.claims(out)
    values = limb_rows(out)
    eq_rows = eq_vector(row_point)
    key_next = [sum(eq_rows[s - 1] * x for s, x in enumerate(column) if s) % Q for column in key.columns]
    a, b, c = current, current + following, current + following + cells
    return Claims(tuple(values[:a]), tuple(values[a:b]), tuple(values[b:c]), tuple(values[c:]), tuple(key_next), key.mu)
