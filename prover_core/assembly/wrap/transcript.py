"""The transcript of stage 1 inside the wrap: the same duplex as `assembly.transcript`, on expressions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ...circuit.builder import Circuit
from ...circuit.expr import Bit, Expr, linear_sum
from ...circuit.gadgets.compare import fits
from ...circuit.gadgets.grumpkin import UNIT_DIGITS, Point, UnitDigit, digit_of_unit, unit_digit, unit_of_digit
from ...circuit.gadgets.grumpkin import unit_polynomial as polynomial
from ...circuit.gadgets.grumpkin_tables import LAMBDA
from ...circuit.gadgets.limbs import BASE, LIMB_BITS
from ...circuit.gadgets.nonnative import EmulatedField, Residue
from ...circuit.gadgets.sponge import permutation
from ...circuit.template import gadget
from ...errors import CircuitError
from ...types import R
from ..transcript import DOMAIN, LEADING_BITS, LONG_BITS, PACK_BITS, RATE, SHORT_BITS

CHALLENGE_BITS: Final = 254
_TOP_DIGITS: Final = 15
"""Base-6 digits that, with the remainder bit, are compared with r's: 2 6^15 is just below 2^40."""


@dataclass(frozen=True)
class UnitWeight:
    """w = sum 3^i u_i: for points by its digits, for values as a + b lambda with short a and b."""

    field: EmulatedField
    digits: list[UnitDigit]
    inverses: list[Expr]
    """u_i^5; empty where the weight never multiplies a value."""

    @cached_property
    def parts(self) -> tuple[Residue, Residue]:
        """(a, b), |a|, |b| < 3^49 / 2, of two columns each; linear in u_i and u_i^5."""
        # The digits' units are 1, -1, lambda, -lambda, lambda^2 = -1 - lambda, and its negative.
        return self._part((1, -1, 0, 0, -1, 1)), self._part((0, 0, 1, -1, -1, 1))

    def _part(self, values: tuple[int, ...]) -> Residue:
        p = polynomial(tuple(v % R for v in values))
        if any(p[j] for j in (0, 2, 3, 4)):
            raise CircuitError("a weight's part is not linear in u and 1 / u")
        columns = []
        bounds = []
        for shift in (0, LIMB_BITS):
            weights = [(3**i >> shift) & (BASE - 1) if shift == 0 else 3**i >> shift for i in range(UNIT_DIGITS)]
            terms = [(d.unit, p[1] * w) for d, w in zip(self.digits, weights, strict=True)]
            terms += [(u, p[5] * w) for u, w in zip(self.inverses, weights, strict=True)]
            columns.append(linear_sum(terms))
            bounds.append((-sum(weights), sum(weights)))
        return self.field.signed(columns, bounds)

    @cached_property
    def value(self) -> Residue:
        """a + b lambda, reduced."""
        a, b = self.parts
        return (a + b * LAMBDA).reduce("weight")


class CircuitTranscript:
    """Mirrors `Transcript` call by call. Rows: 612 a permutation, 295 or 433 for a squeezed element's challenges."""

    def __init__(self, c: Circuit, field: EmulatedField, domain: int = DOMAIN) -> None:
        self.c = c
        self.field = field
        self.permutations = 0
        self._state = [c.constant(domain), *(c.constant(0) for _ in range(RATE))]
        self._absorbed = 0
        self._squeezed = 0
        self._short: list[Bit] | None = None

    def absorb(self, elements: Iterable[Expr]) -> None:
        """Adds elements of Fr."""
        self._short = None
        for x in elements:
            if self._absorbed == RATE:
                self._permute()
            self._state[1 + self._absorbed] = self._state[1 + self._absorbed] + x
            self._absorbed += 1

    def absorb_points(self, points: Iterable[Point]) -> None:
        """x, then y, of each point."""
        self.absorb(x for p in points for x in p)

    def absorb_integers(self, values: Sequence[Sequence[Bit]]) -> None:
        """Integers by their bits, packed end to end into 253-bit elements."""
        bits = [bit for value in values for bit in value]
        self.absorb(
            linear_sum((bit, 1 << i) for i, bit in enumerate(bits[at : at + PACK_BITS]))
            for at in range(0, len(bits), PACK_BITS)
        )

    def absorb_values(self, values: Sequence[Residue]) -> None:
        """Values of 254 bits, as `absorb_integers` does."""
        self.absorb_integers([value.bits for value in values if value.bits is not None])

    def squeeze(self) -> Expr:
        """One element of Fr."""
        if self._absorbed:
            self._permute()
            self._squeezed = 0
        if self._squeezed == RATE:
            self._permute()
            self._squeezed = 0
        self._squeezed += 1
        return self._state[self._squeezed]

    def challenges(self, n: int) -> list[list[Bit]]:
        """n challenges as bits, of 128 and 125 in turn."""
        out: list[list[Bit]] = []
        while len(out) < n:
            if self._short is not None:
                out.append(self._short)
                self._short = None
                continue
            bits = _challenge_bits(self.c, self.squeeze())
            out.append(bits[:LONG_BITS])
            self._short = bits[LONG_BITS : LONG_BITS + SHORT_BITS]
        return out

    def values(self, n: int) -> list[Residue]:
        """n challenges as residues."""
        return [self.field.from_bits(bits) for bits in self.challenges(n)]

    def units(self, n: int, *, as_values: bool) -> list[UnitWeight]:
        """n unit weights; those that also multiply values cost 49 rows more each."""
        out: list[UnitWeight] = []
        while len(out) < n:
            digits, inverses = _unit_digits(self.c, self.squeeze(), as_values)
            for start in (0, UNIT_DIGITS):
                part = slice(start, start + UNIT_DIGITS)
                out.append(UnitWeight(self.field, digits[part], inverses[part]))
        return out[:n]

    def _permute(self) -> None:
        self._state = permutation(self.c, self._state)
        self._absorbed = 0
        self.permutations += 1


@gadget
def _challenge_bits(c: Circuit, h: Expr) -> list[Bit]:
    """The 254 bits of h, canonical because its leading 40 bits are below r's; 295 rows."""
    bits = c.hint.bits(h, CHALLENGE_BITS)
    for bit in bits:
        c.assert_product(bit, 1 - bit, 0, "challenge bit", early=False)
    c.assert_equal(linear_sum((bit, 1 << i) for i, bit in enumerate(bits)), h, "challenge bits")
    start = CHALLENGE_BITS - LEADING_BITS
    leading = linear_sum((bit, 1 << i) for i, bit in enumerate(bits[start:]))
    with c.scope("challenge is canonical"):
        fits(c, (R >> start) - 1 - leading, LEADING_BITS)
    return [Bit.trust(bit) for bit in bits]


@gadget
def _unit_digits(c: Circuit, h: Expr, with_inverses: bool) -> tuple[list[UnitDigit], list[Expr]]:
    """The 98 base-6 digits of h as units, canonical because its leading digits are below r's; 434 or 532 rows."""
    digits: list[UnitDigit] = []
    inverses: list[Expr] = []
    rest = c.advice.linear([(h, 1)])
    for _ in range(2 * UNIT_DIGITS):
        rest, low = c.advice.divmod(rest, 6)
        digit = unit_digit(c, unit_of_digit(c, low))
        digits.append(digit)
        if with_inverses:
            inverses.append(c.product(digit.turn, digit.unit))
    last = c.hint.copy(rest)
    c.assert_product(last, 1 - last, 0, "digit beyond the last", early=False)
    plain = [digit_of_unit(d) for d in digits]
    weights = [6**i for i in range(2 * UNIT_DIGITS + 1)]
    c.assert_equal(linear_sum(zip([*plain, last], weights, strict=True)), h, "digits of the weights")
    start = 2 * UNIT_DIGITS - _TOP_DIGITS
    leading = linear_sum(zip([*plain[start:], last], weights, strict=False))
    with c.scope("weights are canonical"):
        fits(c, R // 6**start - 1 - leading, LEADING_BITS)
    return digits, inverses
