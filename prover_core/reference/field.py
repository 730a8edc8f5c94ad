"""Fr and Fq on plain Python integers. Every constant is computed here from the two moduli, by definition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np

from ..errors import InvalidInputError
from ..types import FrMontVector, FrVector, Limbs, Q, R

GENERATOR_FR = 5
"""Smallest quadratic non-residue of Fr; its powers are the roots of unity that snarkjs uses."""
TWO_ADICITY_FR = 28
"""r - 1 = 2^28 * odd."""
MONTGOMERY_RADIX = 2**256


def inverse(x: int, p: int) -> int:
    """1/x mod p; `ZeroDivisionError` for x = 0 mod p."""
    if x % p == 0:
        raise ZeroDivisionError("0 has no inverse")
    return pow(x, -1, p)


def root_of_unity(n: int) -> int:
    """w = 5^((r-1)/n), of exact order n. `InvalidInputError` unless n is a power of two up to 2^28."""
    if n < 1 or n & (n - 1) or n > 2**TWO_ADICITY_FR:
        raise InvalidInputError(f"{n} is not a power of two up to 2^28", field="n")
    return pow(GENERATOR_FR, (R - 1) // n, R)


def limb_rows(limbs: Limbs) -> list[int]:
    """The integers of `uint64[..., 4]`, in order, not reduced."""
    raw = np.ascontiguousarray(limbs).tobytes()
    return [int.from_bytes(raw[i : i + 32], "little") for i in range(0, len(raw), 32)]


def to_limbs(values: Iterable[int]) -> Limbs:
    """`uint64[n, 4]`, little-endian limbs, of integers in [0, 2^256)."""
    raw = b"".join(v.to_bytes(32, "little") for v in values)
    return np.frombuffer(raw, dtype="<u8").reshape(-1, 4)


def from_montgomery(v: FrMontVector) -> list[int]:
    """x of each x * 2^256 mod r."""
    radix_inverse = inverse(MONTGOMERY_RADIX, R)
    return [x * radix_inverse % R for x in limb_rows(v.limbs)]


def to_montgomery(values: Iterable[int]) -> FrMontVector:
    """x * 2^256 mod r of each."""
    return FrMontVector(to_limbs(x * MONTGOMERY_RADIX % R for x in values))


def fr_vector(values: Iterable[int]) -> FrVector:
    """Canonical scalars; reduces mod r (unlike `FrVector.from_ints`, which refuses)."""
    return FrVector(to_limbs(x % R for x in values))


class Fq:
    """An element of the base field Fq, canonical."""

    __slots__ = ("n",)

    def __init__(self, n: int) -> None:
        self.n = n % Q

    def __add__(self, o: Self) -> Self:
        return type(self)(self.n + o.n)

    def __sub__(self, o: Self) -> Self:
        return type(self)(self.n - o.n)

    def __mul__(self, o: Self) -> Self:
        return type(self)(self.n * o.n)

    def __neg__(self) -> Self:
        return type(self)(-self.n)

    def __eq__(self, o: object) -> bool:
        return isinstance(o, Fq) and self.n == o.n

    def __hash__(self) -> int:
        return hash(self.n)

    def __repr__(self) -> str:
        return f"Fq({self.n})"

    def is_zero(self) -> bool:
        """Whether it is 0."""
        return self.n == 0

    def scale(self, k: int) -> Self:
        """k * self for a small integer k."""
        return type(self)(self.n * k)

    def inverse(self) -> Self:
        """1/self; `ZeroDivisionError` for 0."""
        return type(self)(inverse(self.n, Q))
