"""Integers of many limbs on the tape: what a prover computes to fill the wires of emulated arithmetic.

Nothing here is a constraint. Columns are signed values x_i of weight 2^(52 i) with static bounds; limbs are their
normal form, each in [0, 2^52). All intermediate values stay below 2^253, so that field and integer arithmetic agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CircuitError
from ...types import R
from ..builder import Advice, Circuit, Value

LIMB_BITS = 52
BASE = 1 << LIMB_BITS
LIMBS = 5
"""Limbs of a value below 2^254."""

Bound = tuple[int, int]
"""Least and greatest value of a column."""

_BORROW = 1 << 112
_WIDEST = 1 << 252
_INVERSE = pow(BASE, -1, R)


def limbs_of(value: int, count: int | None = None) -> list[int]:
    """The limbs of a non-negative integer, at least one; `count` pads or refuses."""
    out = []
    while value:
        out.append(value & (BASE - 1))
        value >>= LIMB_BITS
    if count is None:
        return out or [0]
    if len(out) > count:
        raise CircuitError(f"an integer needs {len(out)} limbs, not {count}")
    return out + [0] * (count - len(out))


def weigh(columns: Sequence[int]) -> int:
    """sum of columns[i] 2^(52 i)."""
    return sum(x << (LIMB_BITS * i) for i, x in enumerate(columns))


def normal(c: Circuit, columns: Sequence[Value], bounds: Sequence[Bound]) -> list[Advice]:
    """The limbs of sum x_i 2^(52 i), whose columns are not negative; as many as the bounds ask for."""
    out: list[Advice] = []
    carry: Advice | None = None
    greatest = 0
    for i in range(len(columns) + 8):
        if i >= len(columns) and not greatest:
            break
        if i < len(columns):
            greatest += bounds[i][1]
            if bounds[i][0] < 0 or greatest > _WIDEST:
                raise CircuitError("a column is too wide or negative")
            terms: list[tuple[Value, int]] = [(columns[i], 1)]
        else:
            terms = []
        if carry is not None:
            terms.append((carry, 1))
        carry, limb = c.advice.divmod(c.advice.linear(terms), BASE)
        out.append(limb)
        greatest >>= LIMB_BITS
    return out


def shifted(
    c: Circuit, columns: Sequence[Value], bounds: Sequence[Bound], modulus: int
) -> tuple[list[Value], list[Bound], int]:
    """Columns without negative values of V - k m, where k m is the greatest multiple of m that no V is below; and k."""
    low = weigh([lo for lo, _ in bounds])
    least = low // modulus
    rest = limbs_of(low - least * modulus, LIMBS)
    out: list[Value] = []
    ranges: list[Bound] = []
    for i in range(max(len(columns), LIMBS)):
        lo, hi = bounds[i] if i < len(bounds) else (0, 0)
        add = -lo + (rest[i] if i < LIMBS else 0)
        out.append(c.advice.linear([(columns[i], 1)] if i < len(columns) else [], add))
        ranges.append((lo + add, hi + add))
    return out, ranges, least


def remainder(c: Circuit, columns: Sequence[Value], bounds: Sequence[Bound], modulus: int) -> list[Advice]:
    """The 5 limbs of (sum x_i 2^(52 i)) mod m, m of 254 bits; some 120 tape instructions.

    High limbs are folded with 2^(52 i) mod m once; the quotient of what is left, below 2^311, comes from its two
    highest limbs times a reciprocal of m, at most one too small.
    """
    positive, ranges, _ = shifted(c, columns, bounds, modulus)
    limbs = normal(c, positive, ranges)
    folded: list[Value] = []
    widths: list[Bound] = []
    high = [(limb, limbs_of(pow(2, LIMB_BITS * i, modulus), LIMBS)) for i, limb in enumerate(limbs) if i >= LIMBS]
    for j in range(LIMBS):
        folded.append(c.advice.linear([(limbs[j], 1), *((limb, weight[j]) for limb, weight in high)]))
        widths.append((0, (1 + sum(weight[j] for _, weight in high)) * BASE))
    six = normal(c, folded, widths)[: LIMBS + 1]
    if len(six) <= LIMBS:
        six = [*six, c.advice.linear([])]
    # floor(top * mu / 2^140), mu = floor(2^348 / m): the truncated parts change V / m by less than 2^-30.
    top = c.advice.linear([(six[4], 1), (six[5], BASE)])
    estimate, _ = c.advice.divmod(c.advice.product(top, (1 << 348) // modulus), 1 << 140)
    parts = limbs_of(modulus, LIMBS)
    rest: list[Value] = []
    for j in range(LIMBS):
        borrow = _BORROW - (_BORROW >> LIMB_BITS if j else 0)
        rest.append(c.advice.linear([(six[j], 1), (estimate, -parts[j])], borrow))
    reduced = normal(c, rest, [(0, 2 * _BORROW)] * LIMBS)[:LIMBS]
    less: list[Value] = []
    for j in range(LIMBS):
        borrow = BASE - (1 if j else 0)
        less.append(c.advice.linear([(reduced[j], 1)], borrow - parts[j]))
    smaller = normal(c, less, [(0, 2 * BASE)] * LIMBS)
    return [c.advice.select(smaller[LIMBS], smaller[j], reduced[j]) for j in range(LIMBS)]


def exact_quotient(
    c: Circuit, columns: Sequence[Value], bounds: Sequence[Bound], modulus: int, count: int
) -> list[Advice]:
    """The limbs of k = V / m - (least quotient of the bounds), where m divides V and 0 <= k < 2^(52 count).

    Hensel division: k_i = (V_i - sum of k_j m_(i-j), j < i, carried) / m_0 mod 2^52, limb after limb.
    """
    positive, ranges, _ = shifted(c, columns, bounds, modulus)
    limbs = normal(c, positive, ranges)
    parts = limbs_of(modulus, LIMBS)
    inverse = pow(parts[0], -1, BASE)
    out: list[Advice] = []
    carry: Advice | None = None
    for i in range(count):
        terms: list[tuple[Value, int]] = [(limbs[i], 1)] if i < len(limbs) else []
        for j in range(max(0, i - LIMBS + 1), i):
            terms.append((out[j], -parts[i - j]))
        if carry is not None:
            terms.append((carry, 1))
        column = c.advice.linear(terms, _BORROW)
        _, low = c.advice.divmod(column, BASE)
        _, digit = c.advice.divmod(c.advice.product(low, inverse), BASE)
        out.append(digit)
        carry = c.advice.linear([(column, _INVERSE), (digit, -parts[0] * _INVERSE)], -(_BORROW >> LIMB_BITS))
    return out
