"""Baby Jubjub's Montgomery form v^2 = u^3 + A u^2 + u, A = 168698: three rows an addition, with exceptional cases.

u = (1 + y) / (1 - y), v = u / x for Edwards (x, y) (Bernstein et al. 2008, theorem 3.2, with B = 4 / (a - d) = 1).
Additions divide by the difference of the u: each function says who excludes zero, since 0 * slope = 0 would free it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...errors import CircuitError
from ...reference import babyjubjub as plain
from ...types import R
from ..builder import Circuit
from ..expr import Bit, Expr, linear_sum
from ..template import gadget
from .compare import assert_nonzero

A = 2 * (plain.A + plain.D) * pow(plain.A - plain.D, -1, R) % R


class Pair(NamedTuple):
    """Montgomery coordinates of a point other than the identity."""

    u: Expr
    v: Expr


def of_plain(p: plain.Point) -> tuple[int, int]:
    """(u, v) of a constant point; `CircuitError` for the identity and (0, -1)."""
    if p.x == 0:
        raise CircuitError("a point of order 1 or 2 has no Montgomery coordinates here")
    u = (1 + p.y) * pow(1 - p.y, -1, R) % R
    return u, u * pow(p.x, -1, R) % R


def from_edwards(c: Circuit, x: Expr, y: Expr, x_inverse: Expr) -> Pair:
    """Montgomery form of (x, y), given a proven wire 1 / x; two rows. y = 1 has x = 0, which is excluded."""
    u = c.hint.quotient(1 + y, 1 - y)
    c.assert_product(u, 1 - y, 1 + y, early=False)
    return Pair(u, c.product(u, x_inverse))


def to_edwards(c: Circuit, p: Pair) -> tuple[Expr, Expr]:
    """(u / v, (u - 1) / (u + 1)); three rows. Refuses v = 0; u = -1 has no solution, as -2 is not 0."""
    v_inverse = assert_nonzero(c, p.v, "is not of order 2")
    x = c.product(p.u, v_inverse)
    y = c.hint.quotient(p.u - 1, p.u + 1)
    c.assert_product(y, p.u + 1, p.u - 1, early=False)
    return x, y


def add(c: Circuit, p: Pair, q: Pair) -> Pair:
    """p + q with a proof that their u differ; four rows."""
    inverse = assert_nonzero(c, q.u - p.u, "points to add differ")
    slope = c.product(q.v - p.v, inverse)
    return _chord(c, p, q, slope)


@gadget
def add_distinct(c: Circuit, p: Pair, q: Pair) -> Pair:
    """p + q; three rows. The caller knows that q is neither p nor -p."""
    slope = c.hint.quotient(q.v - p.v, q.u - p.u)
    c.assert_product(slope, q.u - p.u, q.v - p.v, early=False)
    return _chord(c, p, q, slope)


def _chord(c: Circuit, p: Pair, q: Pair, slope: Expr) -> Pair:
    # u3 = slope^2 - A - u1 - u2, v3 = slope (u1 - u3) - v1: wires are the results, the squares are linear in them.
    square = c.advice.product(slope, slope)
    u = c.hint.linear([(square, 1), (p.u, -1), (q.u, -1)], -A)
    c.assert_product(slope, slope, u + p.u + q.u + A, early=False)
    run = c.advice.product(slope, p.u - u)
    v = c.hint.linear([(run, 1), (p.v, -1)])
    c.assert_product(p.u - u, slope, v + p.v, early=False)
    return Pair(u, v)


@gadget
def double_and_add_signed(c: Circuit, acc: Pair, base: Pair, bit: Bit) -> Pair:
    """2 acc + base if bit, 2 acc - base if not; seven rows: (acc + s base) + acc, whose first v is never needed.

    The first slope's denominator is proven not to be zero. The second's cannot vanish: if acc + s base = acc or -acc
    then 0 = 2 v(acc), and acc of order 2 would make base the identity.
    """
    signed = c.product(2 * bit - 1, base.v)
    inverse = assert_nonzero(c, base.u - acc.u, "points to add differ")
    first = c.product(signed - acc.v, inverse)
    square = c.product(first, first)
    u1 = square - A - acc.u - base.u
    # v1 = first (acc.u - u1) - acc.v, so the slope from the sum back to acc is -first - 2 acc.v / (u1 - acc.u).
    second = c.advice.quotient(2 * acc.v, acc.u - u1)
    slope = c.hint.linear([(second, 1), (first, -1)])
    c.assert_product(acc.u - u1, slope + first, 2 * acc.v, early=False)
    return _chord(c, acc, Pair(u1, acc.v), slope)


def lookup(c: Circuit, bits: Sequence[Bit], table: Sequence[tuple[int, int]]) -> Pair:
    """The constant point at index sum of 2^i bits_i; rows as lookup_pairs."""
    return Pair(*lookup_pairs(c, bits, table))


def lookup_pairs(c: Circuit, bits: Sequence[Bit], table: Sequence[tuple[int, int]]) -> tuple[Expr, Expr]:
    """Both coordinates of table[sum of 2^i bits_i], at most three bits; 0, 0, 1 and 3 rows for 0 to 3 bits.

    A table is a multilinear polynomial in its bits. With b0 b1 a wire, two bits are linear, and the third multiplies
    once for each coordinate.
    """
    n = len(bits)
    if n > 3 or len(table) != 1 << n:
        raise CircuitError("a constant table has 1, 2, 4 or 8 entries, one for each value of its bits")
    monomials: list[Expr | int] = [1, *bits[:2]]
    if n >= 2:
        monomials.append(c.product(bits[0], bits[1]))
    results = []
    for coordinate in (0, 1):
        coefficients = _multilinear([entry[coordinate] for entry in table])
        low = _combine(c, monomials, coefficients[:4])
        results.append(low + bits[2] * _combine(c, monomials, coefficients[4:]) if n == 3 else low)
    return results[0], results[1]


def _combine(c: Circuit, monomials: Sequence[Expr | int], coefficients: Sequence[int]) -> Expr:
    return linear_sum(
        (m if isinstance(m, Expr) else c.constant(m), k) for m, k in zip(monomials, coefficients, strict=True)
    )


def _multilinear(values: Sequence[int]) -> list[int]:
    """Coefficients by monomial (bit set): the Moebius transform of the values."""
    out = list(values)
    step = 1
    while step < len(out):
        for i in range(len(out)):
            if i & step:
                out[i] = (out[i] - out[i - step]) % R
        step *= 2
    return out
