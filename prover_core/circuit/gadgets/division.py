"""Integer division with remainder."""

from __future__ import annotations

from ...errors import CircuitError
from ..builder import Circuit
from ..expr import Uint
from .compare import MAX_BITS, assert_less_than
from .ranges import range_check


def divmod_(c: Circuit, a: Uint, b: Uint, label: str = "division") -> tuple[Uint, Uint]:
    """(q, r) with a = q b + r and r < b as integers; a.bits + 2 b.bits + 1 rows, a.bits + b.bits at most 252.

    q b + r < 2^(a.bits + b.bits) cannot wrap around the field, so the pair is the only one. b = 0 is refused: no r is
    below it.
    """
    if a.bits + b.bits > MAX_BITS:
        raise CircuitError(f"a division's operands have together at most {MAX_BITS} bits, not {a.bits + b.bits}")
    with c.scope(label):
        quotient, remainder = c.hint.divmod(a, b)
        c.assert_product(quotient, b, a - remainder, "dividend is quotient * divisor + remainder")
        q = range_check(c, quotient, a.bits, "quotient")
        r = range_check(c, remainder, b.bits, "remainder")
        assert_less_than(c, r, b, "remainder is below the divisor")
    return q, r
