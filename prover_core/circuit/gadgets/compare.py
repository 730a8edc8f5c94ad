"""Equality of field elements, and order of integers whose range is proven (`Uint`)."""

from __future__ import annotations

from ...errors import CircuitError
from ...types import R
from ..builder import Circuit
from ..expr import Bit, Expr, Uint, linear_sum
from ..template import gadget

MAX_BITS = 252
"""Operands of an order relation: a + 2^252 and the like stay below r."""


@gadget
def is_zero(c: Circuit, x: Expr) -> Bit:
    """1 if x = 0 else 0; two rows: x inv = 1 - z and x z = 0.

    x = 0 forces z = 1 by the first, x != 0 forces z = 0 by the second. The helper wire inv is free where x = 0; nothing
    depends on it then.
    """
    inverse = c.hint.inverse(x)
    product = c.advice.product(x, inverse)
    z = c.hint.linear([(product, -1)], 1)
    c.assert_product(x, inverse, 1 - z, early=False)
    c.assert_product(x, z, 0, early=False)
    return Bit.trust(z)


def is_equal(c: Circuit, a: Expr, b: Expr | int) -> Bit:
    """1 if a = b else 0; two rows."""
    return is_zero(c, a - b)


def assert_nonzero(c: Circuit, x: Expr, label: str = "is not zero") -> Expr:
    """x != 0, by its inverse, which is returned; one row x inv = 1."""
    inverse = c.hint.inverse(x)
    c.assert_product(x, inverse, 1, label)
    return inverse


def _require_integers(*values: Expr) -> None:
    for value in values:
        if not isinstance(value, Uint):
            raise CircuitError("an integer of known range is needed here: prove one with ranges.range_check")


def less_than(c: Circuit, a: Uint, b: Uint) -> Bit:
    """1 if a < b else 0; n + 1 rows, n <= 251 the larger operand's bits: bit n of a - b + 2^n is its negation."""
    _require_integers(a, b)
    n = max(a.bits, b.bits)
    if n >= MAX_BITS:
        raise CircuitError(f"less_than compares integers of at most {MAX_BITS - 1} bits, not {n}")
    return _borrow(c, a, b, n)


@gadget
def _borrow(c: Circuit, a: Expr, b: Expr, n: int) -> Bit:
    difference = a - b + (1 << n)
    bits = c.advice.bits(difference, n + 1)
    wires = [c.hint.copy(bit) for bit in bits[1:]]
    # Bit 0 is what the others leave over, so the decomposition needs no row of its own.
    lowest = difference - linear_sum((wire, 2 << i) for i, wire in enumerate(wires))
    for bit in [lowest, *wires]:
        c.assert_product(bit, 1 - bit, 0, f"difference fits {n + 1} bits")
    return Bit.trust(1 - wires[-1]) if wires else Bit.trust(1 - lowest)


def less_equal(c: Circuit, a: Uint, b: Uint) -> Bit:
    """1 if a <= b else 0; rows as less_than."""
    return Bit.trust(1 - less_than(c, b, a))


def assert_less_than(c: Circuit, a: Uint, b: Uint, label: str = "is less") -> None:
    """a < b; n rows: b - a - 1 fits n bits."""
    _require_integers(a, b)
    _assert_fits(c, b - a - 1, max(a.bits, b.bits), label)


def assert_less_equal(c: Circuit, a: Uint, b: Uint, label: str = "is at most") -> None:
    """a <= b; n rows: b - a fits n bits."""
    _require_integers(a, b)
    _assert_fits(c, b - a, max(a.bits, b.bits), label)


def _assert_fits(c: Circuit, x: Expr, n: int, label: str) -> None:
    # A negative difference is r minus less than 2^n, which has more than n <= 252 bits.
    with c.scope(label):
        fits(c, x, n)


@gadget
def fits(c: Circuit, x: Expr, n: int) -> None:
    """x < 2^n as an integer, n <= 252; n rows and n - 1 wires: the highest bit is what the others leave over."""
    if not 0 <= n <= MAX_BITS:
        raise CircuitError(f"a range has 0 to {MAX_BITS} bits, not {n}")
    if n == 0:
        c.assert_zero(x, "is zero")
        return
    wires = c.hint.bits(x, n - 1) if n > 1 else []
    rest = x - linear_sum((wire, 1 << i) for i, wire in enumerate(wires)) if wires else x
    highest = rest * pow(1 << (n - 1), -1, R)
    for wire in wires:
        c.assert_product(wire, 1 - wire, 0, f"is below 2^{n}", early=False)
    c.assert_product(highest, 1 - highest, 0, f"is below 2^{n}")
