"""Grumpkin, y^2 = x^3 - 17 over Fr, of prime order q: points as integer pairs, fixed generators, sums.

Points here are affine and finite; the identity, which no commitment may be, is None.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ..types import Q, R
from .fields import GRUMPKIN_B
from .transcript import Point

MaybePoint = Point | None


def on_curve(p: Point) -> bool:
    """Canonical coordinates and y^2 = x^3 - 17. (Every such point has order q.)"""
    x, y = p
    return 0 <= x < R and 0 <= y < R and (y * y - x * x * x - GRUMPKIN_B) % R == 0


def negate(p: MaybePoint) -> MaybePoint:
    """-p"""
    return None if p is None else (p[0], -p[1] % R)


def add(p: MaybePoint, q: MaybePoint) -> MaybePoint:
    """p + q, complete; one inversion."""
    if p is None or q is None:
        return q if p is None else p
    if p[0] == q[0]:
        if (p[1] + q[1]) % R == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, R) % R
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, R) % R
    x = (slope * slope - p[0] - q[0]) % R
    return x, (slope * (p[0] - x) - p[1]) % R


def multiply(p: MaybePoint, k: int) -> MaybePoint:
    """k p; slow (an inversion a step), for tests and single points."""
    k %= Q
    out: MaybePoint = None
    while k:
        if k & 1:
            out = add(out, p)
        p = add(p, p)
        k >>= 1
    return out


def candidates(tag: str) -> Iterator[int]:
    """x-coordinates to try, in order: SHA-512(tag/counter), big-endian, mod r."""
    counter = 0
    while True:
        yield int.from_bytes(hashlib.sha512(f"{tag}/{counter}".encode()).digest(), "big") % R
        counter += 1
