"""Baby Jubjub in circuits: a x^2 + y^2 = 1 + d x^2 y^2 with a = 168700, d = 168696 (ERC-2494).

The addition law is complete for points on the curve: its denominators never vanish, so no division can free a wire.
`Point` means a point on the curve: take it from `assert_on_curve`, from `constant_point`, or from an operation here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from ...errors import CircuitError
from ...reference import babyjubjub as plain
from ..builder import Circuit
from ..expr import Bit, Expr, require_bits
from ..template import gadget
from . import montgomery
from .compare import assert_nonzero
from .select import select

A, D = plain.A, plain.D


class Point(NamedTuple):
    """An affine point on the curve."""

    x: Expr
    y: Expr


def constant_point(c: Circuit, p: plain.Point) -> Point:
    """A point known when the circuit is built; `CircuitError` if it is not on the curve."""
    if not plain.on_curve(p):
        raise CircuitError("the constant point is not on Baby Jubjub")
    return Point(c.constant(p.x), c.constant(p.y))


def assert_on_curve(c: Circuit, x: Expr, y: Expr, label: str = "is on the curve") -> Point:
    """(x, y) as a point: (a - d y^2) x^2 = 1 - y^2; three rows."""
    x2 = c.product(x, x, label)
    y2 = c.product(y, y, label)
    c.assert_product(A - D * y2, x2, 1 - y2, label)
    return Point(x, y)


def add(c: Circuit, p: Point, q: Point) -> Point:
    """p + q for any two points; six rows, three where one of them is constant.

    With t = x1 x2 y1 y2: x = (x1 y2 + y1 x2) / (1 + d t), y = (y1 y2 - a x1 x2) / (1 - d t)
    (Bernstein, Birkner, Joye, Lange, Peters, "Twisted Edwards Curves", 2008, section 6).
    """
    if _is_constant(p) or _is_constant(q):
        return _add_inline(c, p, q)
    return _add(c, p, q)


@gadget
def _add(c: Circuit, p: Point, q: Point) -> Point:
    return _add_inline(c, p, q)


def _add_inline(c: Circuit, p: Point, q: Point) -> Point:
    beta = p.x * q.y
    gamma = p.y * q.x
    delta = (p.y - A * p.x) * (q.x + q.y)
    scaled = beta * gamma * D
    x = c.hint.quotient(beta + gamma, 1 + scaled)
    y = c.hint.quotient(delta + A * beta - gamma, 1 - scaled)
    c.assert_product(x, 1 + scaled, beta + gamma, early=False)
    c.assert_product(y, 1 - scaled, delta + A * beta - gamma, early=False)
    return Point(x, y)


@gadget
def double(c: Circuit, p: Point) -> Point:
    """2 p; five rows: x = 2 x y / (a x^2 + y^2), y = (y^2 - a x^2) / (2 - a x^2 - y^2)."""
    xy = p.x * p.y
    x2 = p.x * p.x
    y2 = p.y * p.y
    denominator = A * x2 + y2
    x = c.hint.quotient(2 * xy, denominator)
    y = c.hint.quotient(y2 - A * x2, 2 - denominator)
    c.assert_product(x, denominator, 2 * xy, early=False)
    c.assert_product(y, 2 - denominator, y2 - A * x2, early=False)
    return Point(x, y)


def negate(p: Point) -> Point:
    """-p = (-x, y); no row."""
    return Point(-p.x, p.y)


def select_point(c: Circuit, s: Bit, p: Point, q: Point) -> Point:
    """p if s else q; two rows."""
    return Point(select(c, s, p.x, q.x), select(c, s, p.y, q.y))


def assert_equal_points(c: Circuit, p: Point, q: Point, label: str = "points are equal") -> None:
    """p = q; two linear rows."""
    c.assert_equal(p.x, q.x, label)
    c.assert_equal(p.y, q.y, label)


@gadget
def variable_base(c: Circuit, bits: Sequence[Bit], p: Point) -> Point:
    """sum of 2^i bits_i times p, for any point p; double-and-add by the complete law, 13 rows a bit."""
    identity = constant_point(c, plain.IDENTITY)
    result: Point | None = None
    for bit in reversed(list(bits)):
        term = select_point(c, bit, p, identity)
        result = term if result is None else add(c, double(c, result), term)
    return identity if result is None else result


_OFFSET = plain.multiply_vartime(
    int.from_bytes(b"hybrid-prover: start of a ladder", "big") % plain.SUBGROUP_ORDER, plain.BASE8
)
"""Keeps accumulators away from multiples of p. A key made to collide with it only fails to verify."""


@gadget
def cofactor_variable_base(c: Circuit, bits: Sequence[Bit], p: Point) -> Point:
    """8 k p, k = sum of 2^i bits_i, for any point p whose 8 p is not the identity (refused otherwise); 7 rows a bit.

    With q = 4 p the sum runs over digits s_i = 2 bits_i - 1: 2 k q = (2^n + sum of s_i 2^i) q - q. Each step is
    2 acc + s q = (acc + s q) + acc in Montgomery form, begun at q + offset; the incomplete additions prove that their
    operands differ. Only 4 p being the identity or (0, -1) has x = 0, and then 8 p is the identity.
    """
    require_bits(*bits)
    with c.scope("key"):
        q = double(c, double(c, p))
        base = montgomery.from_edwards(c, q.x, q.y, assert_nonzero(c, q.x, "is not of small order"))
    offset = montgomery.of_plain(_OFFSET)
    acc = montgomery.add(c, base, montgomery.Pair(c.constant(offset[0]), c.constant(offset[1])))
    for bit in reversed(list(bits)):
        acc = montgomery.double_and_add_signed(c, acc, base, bit)
    total = Point(*montgomery.to_edwards(c, acc))
    surplus = plain.multiply_vartime(pow(2, len(bits), plain.SUBGROUP_ORDER), _OFFSET)
    return add(c, add(c, total, constant_point(c, plain.negate(surplus))), negate(q))


def fixed_base(c: Circuit, bits: Sequence[Bit], base: plain.Point) -> Point:
    """sum of 2^i bits_i times a constant point of the prime subgroup; 6 rows for 3 bits and some 15 more.

    Windows of three bits hold the odd multiples (2 d - 7) 8^i (base / 2), d = 0..7. A sum of lower windows is an odd
    multiple below 8^i in size, a window's entry is at least 8^i, and both together stay below the subgroup's order for
    the first 83 windows: so the incomplete Montgomery additions never meet equal or opposite points. What lies above,
    and the correction (8^w - 1) / 2 base, is added by the complete law.
    """
    if not plain.in_subgroup(base) or base == plain.IDENTITY:
        raise CircuitError("a fixed base must be a point of the prime subgroup, not the identity")
    require_bits(*bits)
    if not bits:
        raise CircuitError("a scalar needs at least one bit")
    return _fixed_base(c, list(bits), base)


_MAX_WINDOWS = 83


@gadget
def _fixed_base(c: Circuit, bits: list[Bit], base: plain.Point) -> Point:
    windows = min(len(bits) // 3, _MAX_WINDOWS)
    order = plain.SUBGROUP_ORDER
    total: Point | None = None
    if windows:
        acc: montgomery.Pair | None = None
        for i, table in enumerate(_odd_windows(base, windows)):
            entry = montgomery.lookup(c, bits[3 * i : 3 * i + 3], table)
            acc = entry if acc is None else montgomery.add_distinct(c, acc, entry)
        assert acc is not None
        total = Point(*montgomery.to_edwards(c, acc))
    correction = (pow(8, windows, order) - 1) * pow(2, -1, order) % order
    shifted = plain.multiply_vartime(pow(8, windows, order), base)
    rest = bits[3 * windows :]
    for k in range(0, max(len(rest), 1), 2):
        part = rest[k : k + 2]
        points = [plain.multiply_vartime((d << k) % order, shifted) for d in range(1 << len(part))]
        if k == 0 and correction:
            constant = plain.multiply_vartime(correction, base)
            points = [plain.add(p, constant) for p in points]
        entry_point = Point(*montgomery.lookup_pairs(c, part, points))
        total = entry_point if total is None else add(c, total, entry_point)
    assert total is not None
    return total


@cache
def _odd_windows(base: plain.Point, windows: int) -> list[list[tuple[int, int]]]:
    """Montgomery coordinates of (2 d - 7) 8^i (base / 2) for i < windows and d < 8."""
    unit = plain.multiply_vartime(pow(2, -1, plain.SUBGROUP_ORDER), base)
    tables = []
    for _ in range(windows):
        twice = plain.double(unit)
        odd = [unit]
        for _ in range(3):
            odd.append(plain.add(odd[-1], twice))
        points = [*(plain.negate(p) for p in reversed(odd)), *odd]
        tables.append([montgomery.of_plain(p) for p in points])
        unit = plain.double(plain.double(twice))
    return tables


def _is_constant(p: Point) -> bool:
    return p.x.is_constant and p.y.is_constant
