"""Choosing between values by bits."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CircuitError
from ..builder import Circuit
from ..expr import Bit, Expr, require_bits
from ..template import gadget


def select(c: Circuit, s: Bit, a: Expr | int, b: Expr | int) -> Expr:
    """a if s else b: b + s (a - b); one row, none if both are constants or the same."""
    require_bits(s)
    left = a if isinstance(a, Expr) else c.constant(a)
    difference = left - b
    if difference.is_constant:
        return s * difference.constant + b
    return c.product(s, difference, "select") + b


def swap(c: Circuit, s: Bit, a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """(b, a) if s else (a, b); one row."""
    require_bits(s)
    moved = c.product(s, b - a, "swap")
    return a + moved, b - moved


def mux(c: Circuit, index: Sequence[Bit], table: Sequence[Expr | int]) -> Expr:
    """table[sum of 2^i index_i], 2^len(index) entries; one row less than entries, fewer where these are constants."""
    if len(table) != 1 << len(index):
        raise CircuitError(f"a table of {len(table)} entries does not fit {len(index)} index bits")
    layer: list[Expr | int] = list(table)
    for bit in index:
        layer = [select(c, bit, layer[k + 1], layer[k]) for k in range(0, len(layer), 2)]
    result = layer[0]
    return result if isinstance(result, Expr) else c.constant(result)


def one_hot(c: Circuit, index: Expr, n: int, label: str = "index") -> list[Bit]:
    """n bits, the one at `index` set; n + 2 rows. Refuses an index outside [0, n)."""
    if n < 1:
        raise CircuitError("one_hot needs at least one place")
    with c.scope(label):
        return _one_hot(c, index, n)


@gadget
def _one_hot(c: Circuit, index: Expr, n: int) -> list[Bit]:
    bits = []
    for k in range(n):
        difference = c.advice.linear([(index, 1)], -k)
        bits.append(c.hint.select(difference, 0, 1))
    total: Expr = c.constant(0)
    place: Expr = c.constant(0)
    for k, bit in enumerate(bits):
        c.assert_product(bit, 1 - bit, 0, "is 0 or 1", early=False)
        total, place = total + bit, place + bit * k
    c.assert_equal(total, 1, f"is in [0, {n})")
    c.assert_equal(place, index, f"is in [0, {n})")
    return [Bit.trust(bit) for bit in bits]
