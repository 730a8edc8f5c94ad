"""The Fiat-Shamir transcript of stage 1: a Poseidon duplex over Fr of width 17, with circomlib's constants.

State (c, r_0 .. r_15): c is the capacity, never written after the start. `absorb` adds elements to r_0, r_1, ...; a
full rate is permuted before the next element is added. `squeeze` permutes if anything was absorbed since the last
permutation, then reads r_0, r_1, ...; after all 16 it permutes again. All lengths follow from the shape, which is
absorbed first, so messages are not padded. 612 rows of R1CS a permutation, 38 an absorbed element.

A squeezed element h in [0, r) is decomposed in the wrap with its leading digits proved *below* those of r, which costs
40 rows: h >> 214 < r >> 214 for bits, h // 6^83 < r // 6^83 for base-6 digits. The transcript therefore refuses the
few h whose leading digits equal those of r (2^-38 each). A prover who meets one begins again with fresh blinding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..errors import VerificationError
from ..reference.poseidon import permute
from ..types import R

WIDTH: Final = 17
RATE: Final = WIDTH - 1
PACK_BITS: Final = 253
"""Integers are packed little-endian into elements of this many bits."""
LONG_BITS: Final = 128
SHORT_BITS: Final = 125
"""One squeezed element gives a challenge of 128 bits (its low ones) and one of 125 bits (the next)."""
LEADING_BITS: Final = 40
LEADING_UNITS: Final = 6**83
UNIT_DIGITS: Final = 49
"""Digits of a unit weight; one squeezed element gives two weights, from its 98 low base-6 digits."""
DOMAIN: Final = int.from_bytes(b"hybrid-prover assembly 1", "big")
"""The capacity at the start."""
KEY_DOMAIN: Final = int.from_bytes(b"hybrid-prover leaf key 1", "big")
PUBLICS_DOMAIN: Final = int.from_bytes(b"hybrid-prover publics 1", "big")
"""The same duplex hashes the statement's two parts."""

Permutation = Callable[[list[int]], list[int]]
Point = tuple[int, int]


class RareChallengeError(VerificationError):
    """A squeezed element is one of the few that the transcript refuses; the prover draws new blinding factors."""


class Transcript:
    """The duplex. `permutation` may be a faster one than the reference's, of the same values."""

    def __init__(self, domain: int = DOMAIN, permutation: Permutation = permute) -> None:
        self._permutation = permutation
        self._state = [domain] + [0] * RATE
        self._absorbed = 0
        self._squeezed = 0
        self._short: tuple[int, int] | None = None

    def absorb(self, elements: Iterable[int]) -> None:
        """Adds elements of Fr. Forgets a short challenge that was not taken."""
        self._short = None
        for x in elements:
            if self._absorbed == RATE:
                self._permute()
            self._state[1 + self._absorbed] = (self._state[1 + self._absorbed] + x) % R
            self._absorbed += 1

    def absorb_points(self, points: Iterable[Point]) -> None:
        """x, then y, of Grumpkin points: two elements each."""
        self.absorb(c for p in points for c in p)

    def absorb_integers(self, values: Sequence[int], bits: int = 254) -> None:
        """Integers below 2^bits, packed: value i at bit i * bits of one long number, cut into 253-bit elements.

        Elements of Fq are absorbed so, as canonical integers of 254 bits.
        """
        number = 0
        for i, x in enumerate(values):
            number |= x << (i * bits)
        total = len(values) * bits
        self.absorb((number >> at) & ((1 << PACK_BITS) - 1) for at in range(0, total, PACK_BITS))

    def squeeze(self) -> int:
        """One element of Fr, whatever it is."""
        if self._absorbed:
            self._permute()
            self._squeezed = 0
        if self._squeezed == RATE:
            self._permute()
            self._squeezed = 0
        self._squeezed += 1
        return self._state[self._squeezed]

    def challenges(self, n: int) -> list[tuple[int, int]]:
        """n challenges (value, bits), alternately of 128 and 125 bits; an odd one's other half waits for the next call.

        `RareChallengeError` with probability below 2^-39 a squeezed element.
        """
        out: list[tuple[int, int]] = []
        while len(out) < n:
            if self._short is not None:
                out.append(self._short)
                self._short = None
                continue
            h = self.squeeze()
            if h >> (254 - LEADING_BITS) == R >> (254 - LEADING_BITS):
                raise RareChallengeError("a challenge lies too near the modulus", field="transcript")
            out.append((h & ((1 << LONG_BITS) - 1), LONG_BITS))
            self._short = (h >> LONG_BITS & ((1 << SHORT_BITS) - 1), SHORT_BITS)
        return out

    def integers(self, n: int) -> list[int]:
        """`challenges` without the lengths."""
        return [value for value, _ in self.challenges(n)]

    def units(self, n: int) -> list[tuple[int, ...]]:
        """n unit weights, each 49 base-6 digits, least significant first; see `weights.unit_value`.

        h = sum_{i < 98} d_i 6^i + e 6^98 with e in {0, 1}: the first weight has digits 0..48, the second 49..97. Every
        call begins with a fresh element, and the second weight of an odd call's last element is not used.
        """
        out: list[tuple[int, ...]] = []
        while len(out) < n:
            h = self.squeeze()
            if h // LEADING_UNITS == R // LEADING_UNITS:
                raise RareChallengeError("a challenge lies too near the modulus", field="transcript")
            digits = []
            for _ in range(2 * UNIT_DIGITS):
                digits.append(h % 6)
                h //= 6
            out += [tuple(digits[:UNIT_DIGITS]), tuple(digits[UNIT_DIGITS:])]
        return out[:n]

    def _permute(self) -> None:
        self._state = self._permutation(self._state)
        self._absorbed = 0
