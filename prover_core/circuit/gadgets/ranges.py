"""Bits of field elements and proofs of range."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CircuitError
from ...types import R
from ..builder import Circuit
from ..expr import Bit, Expr, Uint, linear_sum, require_bits
from ..template import gadget
from .compare import MAX_BITS, fits


def range_check(c: Circuit, x: Expr, bits: int, label: str = "range") -> Uint:
    """x as an integer of at most `bits` <= 252 bits; `bits` rows."""
    with c.scope(label):
        fits(c, x, bits)
    return Uint.trust(x, bits)


def to_bits(c: Circuit, x: Expr, n: int, label: str = "bits") -> list[Bit]:
    """The n <= 253 bits of x, least first; n + 1 rows. 2^253 < r, so there is only one such choice of bits."""
    if not 1 <= n <= 253:
        raise CircuitError(f"to_bits gives 1 to 253 bits, not {n}: use canonical_bits")
    with c.scope(label):
        return _to_bits(c, x, n)


@gadget
def _to_bits(c: Circuit, x: Expr, n: int) -> list[Bit]:
    bits = c.hint.bits(x, n)
    for bit in bits:
        c.assert_product(bit, 1 - bit, 0, "is 0 or 1", early=False)
    c.assert_equal(_weighted(bits), x, f"is below 2^{n}")
    return [Bit.trust(bit) for bit in bits]


def from_bits(bits: Sequence[Bit]) -> Uint:
    """sum of 2^i bit_i, at most 252 bits; no row."""
    if not 1 <= len(bits) <= MAX_BITS:
        raise CircuitError(f"an unsigned integer has 1 to {MAX_BITS} bits, not {len(bits)}")
    require_bits(*bits)
    return Uint.trust(_weighted(bits), len(bits))


def canonical_bits(c: Circuit, x: Expr, label: str = "canonical bits") -> list[Bit]:
    """The 254 bits of x's representative below r, least first: x + r, which also fits 254 bits, is excluded."""
    return bits_at_most(c, x, R - 1, label)


def bits_at_most(c: Circuit, x: Expr, bound: int, label: str = "bound") -> list[Bit]:
    """The bits of x, proven to be an integer <= bound < r (as many bits as the bound has).

    From the highest bit down, p says that all bits so far equal the bound's. Where the bound has a 1, p becomes
    p * bit: one row more; where it has a 0, the row (1 - p - bit) bit = 0 makes the bit boolean and, if p, zero (the
    check of Zcash's Sapling, appendix A.3.2.2). Rows: 1 + bits + ones of the bound above its lowest zero, less one.
    """
    if not 1 <= bound < R:
        raise CircuitError("the bound must be in [1, r)")
    with c.scope(label):
        return _bits_at_most(c, x, bound)


@gadget
def _bits_at_most(c: Circuit, x: Expr, bound: int) -> list[Bit]:
    n = bound.bit_length()
    bits = c.hint.bits(x, n)
    c.assert_equal(_weighted(bits), x, f"is below 2^{n}")
    equal: Expr | None = None
    lowest_zero = (~bound & (bound + 1)).bit_length() - 1
    for i in reversed(range(n)):
        bit = bits[i]
        if bound >> i & 1:
            c.assert_product(bit, 1 - bit, 0, "is 0 or 1", early=False)
            if i > lowest_zero:
                equal = bit if equal is None else c.product(equal, bit, "equals the bound so far")
        else:
            assert equal is not None  # the highest bit of the bound is 1
            c.assert_product(1 - equal - bit, bit, 0, "is at most the bound")
    return [Bit.trust(bit) for bit in bits]


def _weighted(bits: Sequence[Expr]) -> Expr:
    return linear_sum((bit, 1 << i) for i, bit in enumerate(bits))
