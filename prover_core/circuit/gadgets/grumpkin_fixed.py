"""Multiples of fixed Grumpkin points: windows looked up as multilinear polynomials in the bits, three rows each.

The products of a window's bits are made once and serve all bases under the same scalar; a looked-up coordinate is then
a linear expression. Sums start from hashed offsets: an addition that met equal x would give away a discrete logarithm
between points that were hashed from different strings.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CircuitError
from ..builder import Circuit
from ..expr import Bit, Expr, linear_sum
from ..template import gadget
from .grumpkin import Point, add_distinct, add_unequal, constant_point, negate
from .grumpkin_tables import Lookup, PlainPoint, hash_to_curve, signed_windows, unsigned_windows
from .grumpkin_tables import add as add_plain
from .grumpkin_tables import multilinear as multilinear_plain
from .grumpkin_tables import negate as negate_plain

WINDOW = 5


def window_widths(bits: int, window: int = WINDOW) -> list[int]:
    """Windows of `window` bits, the last one shorter where need be."""
    return [min(window, bits - start) for start in range(0, bits, window)]


def monomials(c: Circuit, bits: Sequence[Bit], window: int = WINDOW) -> list[list[Expr]]:
    """For each window all products of its bits, product k of the bits set in k; 2^w - 1 - w rows a window."""
    out = []
    start = 0
    for width in window_widths(len(bits), window):
        out.append([c.constant(1), *_products(c, list(bits[start : start + width]))])
        start += width
    return out


@gadget
def _products(c: Circuit, bits: list[Bit]) -> list[Expr]:
    out: dict[int, Expr] = {}
    for k in range(1, 1 << len(bits)):
        low = k & -k
        bit = bits[low.bit_length() - 1]
        out[k] = bit + 0 if k == low else c.product(bit, out[k ^ low])
    return [out[k] for k in sorted(out)]


def _look_up(monomial: Sequence[Expr], table: Lookup) -> Point:
    x, y = table
    return Point(linear_sum(zip(monomial, x, strict=True)), linear_sum(zip(monomial, y, strict=True)))


def signed_fold(
    c: Circuit, scalars: Sequence[Sequence[list[Expr]]], bases: Sequence[Sequence[PlainPoint]], tag: str
) -> list[Point]:
    """For each s: sum over k of z_k bases[k][s], z_k = 2 h_k - (2^n - 1) with `monomials` of h_k's bits in scalars[k].

    3 rows a window, scalar and s: 78 a base for 128 bits. The tables are built here: some 20 µs a window and base.
    """
    widths = [[len(window).bit_length() - 1 for window in scalar] for scalar in scalars]
    tables = [signed_windows(points, width) for points, width in zip(bases, widths, strict=True)]
    out: list[Point] = []
    for s in range(len(bases[0])):
        total: Point | None = None
        offset = hash_to_curve(f"{tag}/{s}")
        for k, scalar in enumerate(scalars):
            for monomial, table in zip(scalar, tables[k][s], strict=True):
                if total is None:
                    total = _look_up(monomial, _moved(table, offset))
                else:
                    total = add_unequal(c, total, _look_up(monomial, table))
        if total is None:
            raise CircuitError("a sum over no windows")
        out.append(add_unequal(c, total, constant_point(c, negate_plain(offset))))
    return out


def _moved(table: Lookup, offset: PlainPoint) -> Lookup:
    """The table of P_d + offset."""
    points = list(zip(_values(table[0]), _values(table[1]), strict=True))
    moved = [add_plain(p, offset) for p in points]
    if any(p is None for p in moved):
        raise CircuitError("an offset meets a table entry")
    return (
        multilinear_plain([p[0] for p in moved if p is not None]),
        multilinear_plain([p[1] for p in moved if p is not None]),
    )


def _values(coefficients: Sequence[int]) -> list[int]:
    """The table itself from its multilinear coefficients."""
    out = list(coefficients)
    step = 1
    while step < len(out):
        for i in range(len(out)):
            if i & step:
                out[i] += out[i ^ step]
        step *= 2
    return out


def fixed_base(c: Circuit, bits: Sequence[Bit], base: PlainPoint, tag: str) -> Point:
    """h G for the integer h given by its bits, 3-bit windows; 7 rows a window. Refuses h = 0 modulo q."""
    window = 3
    tables, offset = unsigned_windows(base, window_widths(len(bits), window), tag)
    total: Point | None = None
    for monomial, table in zip(monomials(c, bits, window), tables, strict=True):
        looked = _look_up(monomial, table)
        total = looked if total is None else add_unequal(c, total, looked)
    if total is None:
        raise CircuitError("a scalar has at least one bit")
    return add_distinct(c, total, negate(constant_point(c, offset)))
