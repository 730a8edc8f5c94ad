"""The prover's side of the opening: all vectors folded into one of 96 m, then in two levels into 16 elements.

Level one cuts it into m parts u_i with generators G_k: D_ik = <u_i, G_k> + <u_i, b_k> Q, b_k = eq_k b. Then
u' = sum x_i u_i, G' = sum z_k G_k, b' = sum z_k b_k, and level two does the same with six strips of 16.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..native import _native
from ..reference.field import limb_rows, to_limbs
from ..types import Q
from . import layout, protocol
from .engine import Engine, empty, finite
from .evaluation import opening_functional
from .grumpkin import MaybePoint, add
from .leaf_key import LeafKey
from .protocol import STRIP, STRIPS, Claims
from .shape import Shape
from .transcript import Point, Transcript
from .weights import eq_vector, odd_value, unit_value

Square = tuple[tuple[Point, ...], ...]


def open_vectors(
    engine: Engine,
    table: _native.AssemblyTable,
    shape: Shape,
    key: LeafKey,
    t: Transcript,
    claims: Claims,
    group_point: Sequence[int],
    row_point: Sequence[int],
) -> tuple[Square, Square, tuple[int, ...]]:
    """(D, D', u''): 96 m^2 + 2 * 96 m fixed-base products and 36 sums of 17 points."""
    m, width = shape.chunk, layout.WIDTH
    opening = protocol.after_claims(t, claims)
    w = [unit_value(d) for d in opening.units]
    eq_parts, eq_blocks = eq_vector(group_point[: shape.chunk_bits]), eq_vector(group_point[shape.chunk_bits :])
    u = _folded(table, shape, key, w, eq_blocks)
    b = opening_functional(eq_vector(row_point), opening.theta)
    inner = [_dot(part, b) for part in u]
    pairs = [(i, k) for i in range(m) for k in range(m)]
    sums = engine.generator_sums(m, [x for i, _ in pairs for x in u[i]], [width * k for _, k in pairs])
    values = engine.generator_sums(m, [inner[i] * eq_parts[k] % Q for i, k in pairs], [width * m] * len(pairs))
    cross = _square([add(s, v) for s, v in zip(sums, values, strict=True)], m)

    first = protocol.after_cross(t, shape, cross)
    x, z = [unit_value(d) for d in first.units], [odd_value(c) % Q for c in first.odd]
    folded = [sum(f * part[s] for f, part in zip(x, u, strict=True)) % Q for s in range(width)]
    generators = finite(engine.generator_sums(m, z * width, list(range(width)), width))
    scale = sum(e * f for e, f in zip(eq_parts, z, strict=True)) % Q
    strips = [folded[STRIP * h : STRIP * (h + 1)] for h in range(STRIPS)]
    strip_generators = [generators[STRIP * k : STRIP * (k + 1)] for k in range(STRIPS)]
    strip_functionals = [[scale * c % Q for c in b[STRIP * k : STRIP * (k + 1)]] for k in range(STRIPS)]
    inner_cross = [
        engine.sum(
            [
                *zip(strip_generators[k], strips[h], strict=True),
                (engine.value_generator, _dot(strips[h], strip_functionals[k])),
            ]
        )
        for h in range(STRIPS)
        for k in range(STRIPS)
    ]
    strip_cross = _square(inner_cross, STRIPS)
    second = protocol.after_strip_cross(t, strip_cross)
    x2 = [unit_value(d) for d in second.units]
    final = tuple(sum(f * strip[j] for f, strip in zip(x2, strips, strict=True)) % Q for j in range(STRIP))
    return cross, strip_cross, final


def _folded(
    table: _native.AssemblyTable, shape: Shape, key: LeafKey, w: Sequence[int], eq_blocks: Sequence[int]
) -> list[list[int]]:
    """u, m parts of 96: columns and point vector by blocks, and the key's columns in part 0."""
    width, own = layout.WIDTH, len(layout.COLUMNS) + 1
    out = empty(shape.chunk * width, 4)
    table.fold(to_limbs(w[:own]), to_limbs(eq_blocks), out)
    flat = limb_rows(out)
    parts = [flat[i : i + width] for i in range(0, len(flat), width)]
    for s in range(width):
        parts[0][s] = (parts[0][s] + sum(f * column[s] for f, column in zip(w[own:], key.columns, strict=True))) % Q
    return parts


def _dot(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True)) % Q


def _square(points: Sequence[MaybePoint], n: int) -> Square:
    found = finite(points)
    return tuple(tuple(found[n * i : n * (i + 1)]) for i in range(n))
