"""Scalars with structure: lanes' digit words over G1, unit weights over Grumpkin, eq vectors.

Both curves have an endomorphism that multiplies by a cube root of unity, so short scalars come as a + b lambda.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import InvalidInputError
from ..types import Q, R
from .fields import CUBE_ROOT_Q, CUBE_ROOT_R

WORD_BITS: Final = 128
LANE_A: Final = 2**64 + 1
LANE_B: Final = -(2**64 - 1)
DIGIT_OFFSET: Final = 4**64 - 1
"""sum_i 4^i d_i = 2 word - DIGIT_OFFSET for the word's digits d_i."""


def word_digits(word: int) -> list[int]:
    """64 digits of -3, -1, 1, 3, least significant first: 2 z - 3 for the base-4 digits z of a 128-bit word."""
    return [2 * (word >> 2 * i & 3) - 3 for i in range(64)]


def lane_scalar(word: int) -> int:
    """What a lane multiplies by, in Fr: a + b lambda, a = 2 A + 2^64 + 1, b = 2 B - 2^64 + 1.

    A has the word's odd bits and B its even ones: the lane begins with 2 P and each digit 2 s0 + s1 takes
    (a, b) to (2 a + s0, 2 b + s1), s = +-1, the most significant digit first. Linear in the word's bits.
    """
    a, b = _deinterleave(word)
    return (2 * a + LANE_A + (2 * b + LANE_B) * CUBE_ROOT_R) % R


def two_words(y: int) -> tuple[int, int]:
    """(low, high) with lane_scalar(low) + 2^64 lane_scalar(high) = y mod r.

    With A = A_low + 2^64 A_high and B likewise, the sum is 2 A + (2^64 + 1)^2 + (2 B - 2^128 + 1) lambda, and
    (y - constants) / 2 = A + B lambda has a solution in [0, 2^128)^2: the box is larger than a cell of the lattice of
    (a, b) with a + b lambda = 0 mod r.
    """
    target = (y - LANE_A * (1 + 2**64) - LANE_B * (1 + 2**64) * CUBE_ROOT_R) * pow(2, -1, R) % R
    (u0, u1), (v0, v1) = _reduced_basis()
    centre = 1 << 127
    x0, x1 = target - centre, -centre
    det = u0 * v1 - u1 * v0
    i, j = _nearest(x0 * v1 - x1 * v0, det), _nearest(u0 * x1 - u1 * x0, det)
    a, b = target - i * u0 - j * v0, -i * u1 - j * v1
    if not (0 <= a < 1 << 128 and 0 <= b < 1 << 128):
        raise InvalidInputError("no pair of digit words for this scalar", field="y")
    half = (1 << 64) - 1
    return _interleave(a & half, b & half), _interleave(a >> 64, b >> 64)


def unit_value(digits: Sequence[int]) -> int:
    """sum_i 3^i u_i in Fq with the unit u = (-1)^(d mod 2) omega^(d div 2) of digit d, omega = CUBE_ROOT_Q.

    The six units of Z[omega] differ mod 3, so all 6^49 values differ in Z[omega], and mod q, as their differences have
    norms below 2^156.
    """
    powers = (1, CUBE_ROOT_Q, CUBE_ROOT_Q * CUBE_ROOT_Q % Q)
    value = 0
    for d in reversed(digits):
        value = 3 * value + (-powers[d >> 1] if d & 1 else powers[d >> 1])
    return value % Q


def odd_value(challenge: tuple[int, int]) -> int:
    """2 h - (2^bits - 1): an odd number below 2^bits in magnitude, with digits +-1 or, in windows, +-1 and +-3."""
    value, bits = challenge
    return 2 * value - (1 << bits) + 1


def eq_vector(point: Sequence[int]) -> list[int]:
    """[prod_t (r_t if bit t of i else 1 - r_t)] for i < 2^len(point); the first coordinate is the least bit."""
    out = [1]
    for x in point:
        high = [v * x % Q for v in out]
        out = [(v - h) % Q for v, h in zip(out, high, strict=True)] + high
    return out


def _nearest(x: int, y: int) -> int:
    if y < 0:
        x, y = -x, -y
    return (2 * x + y) // (2 * y)


def _reduced_basis() -> tuple[tuple[int, int], tuple[int, int]]:
    """Lagrange's reduction of the lattice {(a, b): a + b lambda = 0 mod r}."""
    u, v = (R, 0), (-CUBE_ROOT_R, 1)
    while True:
        if u[0] ** 2 + u[1] ** 2 < v[0] ** 2 + v[1] ** 2:
            u, v = v, u
        k = _nearest(u[0] * v[0] + u[1] * v[1], v[0] ** 2 + v[1] ** 2)
        if k == 0:
            return u, v
        u = (u[0] - k * v[0], u[1] - k * v[1])


def _interleave(a: int, b: int) -> int:
    return sum((a >> i & 1) << (2 * i + 1) | (b >> i & 1) << 2 * i for i in range(64))


def _deinterleave(word: int) -> tuple[int, int]:
    a = sum((word >> (2 * i + 1) & 1) << i for i in range(64))
    b = sum((word >> 2 * i & 1) << i for i in range(64))
    return a, b
