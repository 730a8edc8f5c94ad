"""Bits: constraining them and computing with them. `Bit` says in the type that a value can only be 0 or 1."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CircuitError
from ..builder import Circuit
from ..expr import Bit, Expr, linear_sum, require_bits
from .compare import is_equal


def assert_bit(c: Circuit, x: Expr, label: str = "is 0 or 1") -> Bit:
    """x as a bit: x * (1 - x) = 0, one row."""
    c.assert_product(x, 1 - x, 0, label)
    return Bit.trust(x)


def not_(a: Bit) -> Bit:
    """1 - a; no row."""
    require_bits(a)
    return Bit.trust(1 - a)


def and_(c: Circuit, a: Bit, b: Bit) -> Bit:
    """a b; one row."""
    require_bits(a, b)
    return Bit.trust(c.product(a, b, "and"))


def or_(c: Circuit, a: Bit, b: Bit) -> Bit:
    """a + b - a b; one row."""
    require_bits(a, b)
    return Bit.trust(a + b - c.product(a, b, "or"))


def xor(c: Circuit, a: Bit, b: Bit) -> Bit:
    """a + b - 2 a b; one row."""
    require_bits(a, b)
    return Bit.trust(a + b - 2 * c.product(a, b, "xor"))


def all_of(c: Circuit, bits: Sequence[Bit]) -> Bit:
    """1 if every bit is 1; n - 1 rows up to three bits, then 2 (the sum equals n, which cannot wrap)."""
    require_bits(*bits)
    if not bits:
        raise CircuitError("all_of needs at least one bit")
    if len(bits) > 3:
        return is_equal(c, linear_sum((b, 1) for b in bits), len(bits))
    result = bits[0]
    for bit in bits[1:]:
        result = and_(c, result, bit)
    return result


def any_of(c: Circuit, bits: Sequence[Bit]) -> Bit:
    """1 if some bit is 1; rows as all_of."""
    return not_(all_of(c, [not_(b) for b in bits]))


def assert_true(c: Circuit, a: Bit, label: str) -> None:
    """a = 1; one linear row."""
    c.assert_equal(a, 1, label)
