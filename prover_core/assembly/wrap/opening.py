"""The folded opening inside the wrap: columns weighed and folded, two levels of cross terms, sixteen scalars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...circuit.builder import Circuit
from ...circuit.expr import Bit
from ...circuit.gadgets.grumpkin import (
    UNIT_DIGITS,
    Point,
    add_distinct,
    assert_on_curve,
    assert_same,
    double,
    endomorphism,
    negate,
    signed_sum,
    times_bits,
    triple,
    triple_often,
    weighted_sum,
)
from ...circuit.gadgets.grumpkin_fixed import fixed_base, monomials, signed_fold
from ...circuit.gadgets.grumpkin_tables import LAMBDA, PlainPoint
from ...circuit.gadgets.nonnative import EmulatedField, Residue, bits_of
from .. import layout
from ..protocol import STRIP, STRIPS
from ..shape import Shape
from ..transcript import LONG_BITS, SHORT_BITS
from .messages import TRIES_BITS, ClaimValues, Messages
from .sumcheck import EqVectors
from .transcript import CircuitTranscript, UnitWeight


@dataclass(frozen=True)
class Offset:
    """A random point, and 3^49 times it."""

    point: Point
    end: Point


def draw_offset(t: CircuitTranscript, messages: Messages, index: int) -> Offset:
    """A point whose x is a squeezed element plus a try below 2^8, which the prover chooses; 11 + 294 rows."""
    c = t.c
    with c.scope(f"offset {index}"):
        tries = messages.offset_tries[index]
        bits_of(c, tries, TRIES_BITS)
        point = assert_on_curve(c, t.squeeze() + tries, messages.offset_y[index])
        return Offset(point, triple_often(c, point, UNIT_DIGITS))


def opening_value(
    field: EmulatedField, claims: ClaimValues, eq: EqVectors, weights: Sequence[UnitWeight], theta: Sequence[Residue]
) -> Residue:
    """`evaluation.opening_value`, reduced; theta[j] = theta^j. Weights as a + b lambda: 12 rows a claim.

    The claims are joined by theta^0, theta^1, ... and the whole multiplied by theta.
    """
    n = len(layout.COLUMNS)

    def combine(terms: Sequence[tuple[int, Residue]]) -> Residue:
        a, b = field.constant(0), field.constant(0)
        for i, value in terms:
            left, right = weights[i].parts
            a, b = a + left * value, b + right * value
        return (a + b.reduce("opening value") * LAMBDA).reduce("opening value")

    x, y = claims.cells[-2:]
    at = layout.POINT_ROW
    before, here, after = (eq.row(s) for s in (at - 1, at, at + 1))
    point_now = (here * x + after * y).reduce("opening value")
    point_next = (before * x + here * y).reduce("opening value")
    total = combine([*enumerate(claims.current), (n, point_now)])
    total = total + theta[1] * combine([*enumerate(claims.next), (n, point_next)])
    for j in range(layout.CELL_ROWS):
        in_row = [
            (column, value)
            for value, (column, row) in zip(claims.cells, layout.CELL_PLACE.values(), strict=False)
            if row == layout.CELL_ROW + j
        ]
        total = total + theta[2 + j] * combine(in_row)
    for j, value in enumerate((x, y), start=at - layout.CELL_ROW):
        total = total + theta[2 + j] * combine([(n, value)])
    first = n + 1
    key = combine(list(enumerate(claims.key_current, start=first)))
    key = key + theta[1] * combine(list(enumerate(claims.key_next, start=first)))
    key = key + theta[2] * combine(list(enumerate(claims.key_cells, start=first)))
    total = total + key.reduce("opening value") * eq.group_low[0]
    return (total.reduce("opening value") * theta[1]).reduce("opening value")


def column_sums(
    c: Circuit, shape: Shape, messages: Messages, weights: Sequence[UnitWeight], offset: Offset
) -> tuple[list[Point], Point]:
    """For each block the weighted sum of its columns and points; and that of the key's columns."""
    n = len(layout.COLUMNS)
    digits = [w.digits for w in weights]
    blocks = []
    for k in range(shape.blocks):
        points = [*(column[k] for column in messages.columns), messages.points[k]]
        blocks.append(weighted_sum(c, points, digits[: n + 1], offset.point, offset.end))
    return blocks, weighted_sum(c, messages.key_commitments, digits[n + 1 :], offset.point, offset.end)


def fold_blocks(c: Circuit, blocks: Sequence[Point], challenges: Sequence[list[Bit]]) -> Point:
    """2^n times the sum of eq(challenges, k) blocks[k], n = len(challenges); missing blocks are zero.

    Each level takes A, B to 2 ((1 - h) A + h B) = 2 A + 2 h (B - A): `times_bits` gives 2 h P.
    """
    level = list(blocks)
    for bits in challenges:
        following = []
        for i in range(0, len(level), 2):
            twice = double(c, level[i])
            if i + 1 < len(level):
                gap = add_distinct(c, level[i + 1], negate(level[i]))
                following.append(add_distinct(c, twice, times_bits(c, gap, bits)))
            else:
                following.append(add_distinct(c, twice, negate(times_bits(c, level[i], bits))))
        level = following
    return level[0]


def check_first_level(
    c: Circuit, folded: Point, levels: int, key: Point, value: Residue, messages: Messages, base: PlainPoint
) -> None:
    """Check e, times 2^levels: sum of the diagonal of D less the key's part less value Q is the folded blocks."""
    assert value.bits is not None
    total = _diagonal(c, messages.cross)
    total = add_distinct(c, total, negate(key))
    total = add_distinct(c, total, negate(fixed_base(c, value.bits, base, "hybrid-prover wrap value")))
    for _ in range(levels):
        total = double(c, total)
    assert_same(c, total, folded, "cross terms open the commitments")


def _diagonal(c: Circuit, cross: Sequence[Sequence[Point]]) -> Point:
    total = cross[0][0]
    for i in range(1, len(cross)):
        total = add_distinct(c, total, cross[i][i])
    return total


def padded(bits: Sequence[Bit]) -> list[Bit]:
    """128 bits h' with 2 h' - (2^128 - 1) = 2 h - (2^n - 1) for the n = 128 or 125 bits of h: h' = h + 7 2^124."""
    if len(bits) == LONG_BITS:
        return list(bits)
    assert len(bits) == SHORT_BITS
    top = bits[-1]
    rest = Bit.trust(1 - top)
    return [*bits[:-1], rest, rest, rest, Bit.trust(top + 0)]


def check_second_level(
    c: Circuit, messages: Messages, weights: Sequence[UnitWeight], odd: Sequence[Sequence[Bit]], offset: Offset
) -> None:
    """Check f: the diagonal of D' is the sum of x_i z_k D_ik."""
    digits = [w.digits for w in weights]
    inner = [
        weighted_sum(c, [row[k] for row in messages.cross], digits, offset.point, offset.end)
        for k in range(len(messages.cross))
    ]
    table = [(p, triple(c, p)) for p in inner]
    total = signed_sum(c, table, [padded(bits) for bits in odd], offset.point)
    assert_same(c, total, _diagonal(c, messages.strip_cross), "strip terms open the folded vector")


def fold_generators(
    c: Circuit, odd: Sequence[Sequence[Bit]], generators: Sequence[Sequence[PlainPoint]]
) -> list[Point]:
    """G'_s = sum_k z_k G_ks for the 96 rows."""
    return signed_fold(c, [monomials(c, bits) for bits in odd], generators, "hybrid-prover wrap fold")


def folded_functional(
    field: EmulatedField, eq: EqVectors, theta: Sequence[Residue], weights: Sequence[UnitWeight]
) -> list[Residue]:
    """sum_h z'_h b[16 h + j] for j < 16, b being `evaluation.opening_functional` divided by theta; reduced."""
    z = [w.value for w in weights]
    strips = [(z[h] * eq.row_high[h]).reduce("functional") for h in range(STRIPS)]
    whole = strips[0]
    for x in strips[1:]:
        whole = whole + x
    cut = whole - strips[-1]
    before = field.constant(0)
    for h in range(1, STRIPS):
        before = before + z[h] * eq.row_high[h - 1]
    out = []
    last = STRIP * (STRIPS - 1)
    for j in range(STRIP):
        total = whole if last + j < layout.USED_ROWS else cut
        if j == 0:
            value = total * eq.row_low[0] + (theta[1] * eq.row_low[15]).reduce("functional") * before.reduce(
                "functional"
            )
        else:
            value = total * (eq.row_low[j] + theta[1] * eq.row_low[j - 1]).reduce("functional")
        own = last + j - layout.CELL_ROW
        if 0 <= own < layout.CELL_FUNCTIONALS:
            value = value + theta[2 + own] * z[-1]
        out.append(value.reduce("functional"))
    return out


def odd_parts(field: EmulatedField, bits: Sequence[Bit]) -> Residue:
    """2 h - (2^n - 1) as a residue; linear in the bits."""
    return field.from_bits(bits) * 2 - ((1 << len(bits)) - 1)


def check_final(
    c: Circuit,
    field: EmulatedField,
    messages: Messages,
    eq: EqVectors,
    theta: Sequence[Residue],
    odd: Sequence[Sequence[Bit]],
    units: tuple[Sequence[UnitWeight], Sequence[UnitWeight]],
    folded: Sequence[Point],
    offset: Offset,
    base: PlainPoint,
) -> None:
    """Check g: sum x'_h z'_k D'_hk = sum_j u_j G''_j + (sum_j u_j b''_j) Q, u_j = a_j + b_j lambda."""
    rows, generator_units = units
    digits, generator_digits = [w.digits for w in rows], [w.digits for w in generator_units]
    inner = [
        weighted_sum(c, [row[k] for row in messages.strip_cross], digits, offset.point, offset.end)
        for k in range(STRIPS)
    ]
    right = weighted_sum(c, inner, generator_digits, offset.point, offset.end)
    bases = [
        weighted_sum(c, [folded[STRIP * h + j] for h in range(STRIPS)], generator_digits, offset.point, offset.end)
        for j in range(STRIP)
    ]
    table: list[tuple[Point, Point]] = []
    scalars: list[list[Bit]] = []
    for p, (a, b) in zip(bases, messages.final, strict=True):
        thrice = triple(c, p)
        table += [(p, thrice), (endomorphism(p), endomorphism(thrice))]
        scalars += [a, b]
    left = signed_sum(c, table, scalars, offset.point)
    functional = folded_functional(field, eq, theta, generator_units)
    parts = field.constant(0)
    for bits, e in zip(odd, eq.group_low, strict=True):
        parts = parts + odd_parts(field, bits) * e
    parts = parts.reduce("final") * theta[1]
    first, second = field.constant(0), field.constant(0)
    for (a, b), value in zip(messages.final, functional, strict=True):
        first, second = first + odd_parts(field, a) * value, second + odd_parts(field, b) * value
    inner_value = (first + second.reduce("final") * LAMBDA).reduce("final") * parts.reduce("final")
    value = inner_value.reduce("final")
    assert value.bits is not None
    total = add_distinct(c, left, fixed_base(c, value.bits, base, "hybrid-prover wrap final"))
    assert_same(c, total, right, "final scalars open the strip terms")


def theta_powers(field: EmulatedField, theta: Residue) -> list[Residue]:
    """theta^0 .. theta^5"""
    out = [field.constant(1), theta]
    for _ in range(layout.CELL_FUNCTIONALS):
        out.append((out[-1] * theta).reduce("theta"))
    return out
