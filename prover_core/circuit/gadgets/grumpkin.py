"""Grumpkin in circuits over Fr: y^2 = x^3 - 17, of prime order q; affine, with incomplete additions.

An addition takes three rows where x1 != x2 is known; it frees its slope, and so everything, where the points are equal.
Each caller therefore owes a reason why that cannot happen: `add_distinct` proves it, sums over points that a prover
chose start from an offset drawn after those points, sums over fixed points start from offsets whose logarithm to
them nobody knows. Doublings and triplings have no exceptional points: no point has x or y = 0 or order 2 or 3.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ...errors import CircuitError
from ...types import R
from ..builder import Circuit, Value
from ..expr import Bit, Expr
from ..template import gadget
from .compare import assert_nonzero
from .grumpkin_tables import OMEGA, B, PlainPoint, is_on_curve

UNIT_DIGITS = 49
"""Digits of an Eisenstein weight sum 3^i u_i, each u_i one of the six units: 6^49 = 2^126.7 of them."""


class Point(NamedTuple):
    """An affine point on the curve, never infinity."""

    x: Expr
    y: Expr


class UnitDigit(NamedTuple):
    """A unit u = (-1)^s omega^k of the Eisenstein integers, by what it does to a point: (x, y) -> (turn x, sign y)."""

    turn: Expr
    """omega^k = u^4."""
    sign: Expr
    """(-1)^s = u^3."""
    unit: Expr
    """u itself, a sixth root of unity of Fr."""
    square: Expr
    """u^2."""


def unit_digit(c: Circuit, unit: Expr) -> UnitDigit:
    """Proves that `unit` is one of the six sixth roots of unity of Fr: u^3 u^3 = 1; four rows."""
    square = c.product(unit, unit)
    sign = c.product(square, unit)
    turn = c.product(square, square)
    c.assert_product(sign, sign, 1, "is a unit", early=False)
    return UnitDigit(turn, sign, unit, square)


@cache
def _sixth_roots() -> tuple[int, ...]:
    """The roots of unity that the digits 0 .. 5 stand for."""
    return tuple((-1) ** (e & 1) * pow(OMEGA, e >> 1, R) % R for e in range(6))


@cache
def unit_polynomial(values: tuple[int, ...]) -> tuple[int, ...]:
    """Coefficients over 1, u, .., u^5 of the function with values[e] at the unit of digit e (a discrete transform)."""
    roots = _sixth_roots()
    scale = pow(6, -1, R)
    return tuple(scale * sum(v * pow(u, 6 - j, R) for v, u in zip(values, roots, strict=True)) % R for j in range(6))


def unit_of_digit(c: Circuit, digit: Value) -> Expr:
    """A new wire: the unit of a base-6 digit that the tape knows. Not constrained."""
    half, low = c.advice.divmod(digit, 2)
    sign = c.advice.linear([(low, -2)], 1)
    # 1, omega, omega^2 at 0, 1, 2: 1 + k (omega - 1) + k (k - 1) / 2 (omega - 1)^2
    second = (OMEGA - 1) ** 2 * pow(2, -1, R) % R
    turn = c.advice.linear([(half, OMEGA - 1 - second), (c.advice.product(half, half), second)], 1)
    return c.hint.product(sign, turn)


def digit_of_unit(digit: UnitDigit) -> Expr:
    """The base-6 digit of a proven unit; linear (the coefficient of u^5 vanishes)."""
    p = unit_polynomial((0, 1, 2, 3, 4, 5))
    if p[5] or p[1]:
        raise CircuitError("digits are not linear in u^2, u^3 and u^4")
    return digit.square * p[2] + digit.sign * p[3] + digit.turn * p[4] + p[0]


def constant_point(c: Circuit, p: PlainPoint) -> Point:
    """A point known when the circuit is built; `CircuitError` if it is not on the curve."""
    if not is_on_curve(p):
        raise CircuitError("the constant point is not on Grumpkin")
    return Point(c.constant(p[0]), c.constant(p[1]))


@gadget
def assert_on_curve(c: Circuit, x: Expr, y: Expr) -> Point:
    """(x, y) as a point; three rows."""
    x2 = c.product(x, x, "is on Grumpkin")
    y2 = c.product(y, y, "is on Grumpkin")
    c.assert_product(x2, x, y2 - B, "is on Grumpkin")
    return Point(x, y)


def negate(p: Point) -> Point:
    """-p; no row."""
    return Point(p.x, -p.y)


def endomorphism(p: Point) -> Point:
    """(omega x, y) = [lambda] p; no row."""
    return Point(p.x * OMEGA, p.y)


def add_unequal(c: Circuit, p: Point, q: Point) -> Point:
    """p + q where x differs for a reason of the caller's; three rows. Not for use without one."""
    slope = c.hint.quotient(q.y - p.y, q.x - p.x)
    c.assert_product(q.x - p.x, slope, q.y - p.y, "chord", early=False)
    return _third(c, p, slope, p.x + q.x)


@gadget
def add_distinct(c: Circuit, p: Point, q: Point) -> Point:
    """p + q, proving x1 != x2; four rows. Refuses p = q and p = -q."""
    assert_nonzero(c, q.x - p.x, "the points differ")
    return add_unequal(c, p, q)


@gadget
def double(c: Circuit, p: Point) -> Point:
    """2 p; four rows."""
    square = c.product(p.x, p.x)
    slope = c.hint.quotient(3 * square, 2 * p.y)
    c.assert_product(2 * p.y, slope, 3 * square, "tangent", early=False)
    return _third(c, p, slope, 2 * p.x)


@gadget
def triple(c: Circuit, p: Point) -> Point:
    """3 p; six rows: y of 2 p is left out, since the second chord's slope is 2 y / (x - x') less the first's.

    (Eisenträger, Lauter, Montgomery, "Fast elliptic curve arithmetic and improved Weil pairing evaluation", 2003.)
    """
    square = c.product(p.x, p.x)
    tangent = c.hint.quotient(3 * square, 2 * p.y)
    c.assert_product(2 * p.y, tangent, 3 * square, "tangent", early=False)
    twice = c.hint.linear([(c.advice.product(tangent, tangent), 1), (p.x, -2)])
    c.assert_product(tangent, tangent, twice + 2 * p.x, "x of the double", early=False)
    ratio = c.advice.quotient(2 * p.y, p.x - twice)
    chord = c.hint.linear([(ratio, 1), (tangent, -1)])
    c.assert_product(p.x - twice, chord + tangent, 2 * p.y, "chord", early=False)
    return _third(c, p, chord, p.x + twice)


def _third(c: Circuit, p: Point, slope: Expr, others: Expr) -> Point:
    """The negative of the line's third point: x = slope^2 - others, y = slope (x1 - x) - y1."""
    x = c.hint.linear([(c.advice.product(slope, slope), 1), (others, -1)])
    c.assert_product(slope, slope, x + others, "x of the sum", early=False)
    y = c.hint.linear([(c.advice.product(slope, p.x - x), 1), (p.y, -1)])
    c.assert_product(p.x - x, slope, y + p.y, "y of the sum", early=False)
    return Point(x, y)


def assert_same(c: Circuit, p: Point, q: Point, label: str) -> None:
    """p = q; two linear rows."""
    c.assert_equal(p.x, q.x, label)
    c.assert_equal(p.y, q.y, label)


# Eisenstein weights


@gadget
def triple_often(c: Circuit, p: Point, times: int) -> Point:
    """3^times p; six rows each."""
    for _ in range(times):
        p = triple(c, p)
    return p


@gadget
def _unit_step(c: Circuit, total: Point, points: list[Point], digits: list[UnitDigit]) -> Point:
    """3 total + sum of digits times points; 6 + 5 n rows."""
    total = triple(c, total)
    for p, digit in zip(points, digits, strict=True):
        turned = Point(c.product(digit.turn, p.x), c.product(digit.sign, p.y))
        total = add_unequal(c, total, turned)
    return total


@gadget
def weighted_sum(
    c: Circuit, points: list[Point], weights: list[list[UnitDigit]], offset: Point, offset_end: Point
) -> Point:
    """sum of w_i P_i, w_i = sum 3^j u_ij (least first); 49 (6 + 5 n) + 4 rows.

    `offset` must have been drawn after the points were fixed, and offset_end = 3^49 offset: then each addition meets
    equal x for at most two choices of the offset.
    """
    length = len(weights[0])
    total = offset
    for j in reversed(range(length)):
        total = _unit_step(c, total, points, [weight[j] for weight in weights])
    return add_distinct(c, total, negate(offset_end))


# Signed binary scalars


@gadget
def _signed_step(
    c: Circuit, total: Point, offset: Point, table: list[tuple[Point, Point]], digits: list[tuple[Bit, Bit]]
) -> tuple[Point, Point]:
    """(4 total + sum of d_i P_i, 4 offset) with d = 4 high + 2 low - 3 in {-3, -1, 1, 3}; 16 + 7 n rows."""
    total = double(c, double(c, total))
    offset = double(c, double(c, offset))
    for (once, thrice), (low, high) in zip(table, digits, strict=True):
        differ = low + high - 2 * c.product(low, high)
        x = thrice.x + c.product(differ, once.x - thrice.x)
        y = thrice.y + c.product(differ, once.y - thrice.y)
        total = add_unequal(c, total, Point(x, c.product(2 * high - 1, y)))
    return total, offset


@gadget
def signed_sum(c: Circuit, table: list[tuple[Point, Point]], scalars: list[list[Bit]], offset: Point) -> Point:
    """sum of z_i P_i with z = 2 h - (2^n - 1), h the n (even) bits given; table entries are (P, 3 P).

    `offset` must have been drawn after the points were fixed, or be independent of them. 7 rows for two bits of
    each scalar, 16 for two bits of all, and 4.
    """
    length = len(scalars[0])
    if length % 2:
        raise CircuitError("signed sums take an even number of bits")
    total = offset
    for i in reversed(range(0, length, 2)):
        total, offset = _signed_step(c, total, offset, table, [(bits[i], bits[i + 1]) for bits in scalars])
    return add_distinct(c, total, negate(offset))


@gadget
def times_bits(c: Circuit, p: Point, bits: list[Bit]) -> Point:
    """2 h p for h < 2^n given by its bits: (2 h + 1) p - p; n = 128: 64 * 14 + 10 rows.

    The accumulator is k p with 1 <= k < 2^130 < q and meets no exceptional case; the last step refuses h = 0.
    """
    padded = list(bits) if len(bits) % 2 == 0 else [*bits, Bit.trust(c.constant(0))]
    thrice = triple(c, p)
    total = p
    for i in reversed(range(0, len(padded), 2)):
        total = _binary_step(c, total, p, thrice, padded[i], padded[i + 1])
    # total = 2^n p + (2 h - (2^n - 1)) p
    return add_distinct(c, total, negate(p))


@gadget
def _binary_step(c: Circuit, total: Point, once: Point, thrice: Point, low: Expr, high: Expr) -> Point:
    """4 total + d once with d = 4 high + 2 low - 3; 14 rows."""
    total = double(c, double(c, total))
    differ = low + high - 2 * (low * high)
    x = thrice.x + c.product(differ, once.x - thrice.x)
    y = thrice.y + c.product(differ, once.y - thrice.y)
    return add_unequal(c, total, Point(x, c.product(2 * high - 1, y)))
