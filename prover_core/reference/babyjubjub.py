"""Baby Jubjub on plain integers: the twisted Edwards curve a x^2 + y^2 = 1 + d x^2 y^2 over BN254's Fr (ERC-2494).

The group has order 8 * SUBGROUP_ORDER. a is a square and d is not, so the addition law is complete: it has no
exceptional cases. Nothing here runs in constant time; it is an oracle and serves examples, not custody of keys.
"""

from __future__ import annotations

from typing import NamedTuple

from ..types import R

A = 168700
D = 168696
COFACTOR = 8
SUBGROUP_ORDER = 2736030358979909402780800718157159386076813972158567259200215660948447373041


class Point(NamedTuple):
    """An affine point, canonical coordinates. Not checked to be on the curve."""

    x: int
    y: int


IDENTITY = Point(0, 1)
GENERATOR = Point(
    995203441582195749578291179787384436505546430278305826713579947235728471134,
    5472060717959818805561601436314318772137091100104008585924551046643952123905,
)
"""Generates the whole group, of order 8 * SUBGROUP_ORDER."""
BASE8 = Point(
    5299619240641551281634865583518297030282874472190772894086521144482721001553,
    16950150798460657717958625567821834550301663161624707787222815936182638968203,
)
"""8 * GENERATOR, of order SUBGROUP_ORDER."""


def on_curve(p: Point) -> bool:
    """Whether the coordinates are canonical and a x^2 + y^2 = 1 + d x^2 y^2."""
    if not (0 <= p.x < R and 0 <= p.y < R):
        return False
    x2, y2 = p.x * p.x % R, p.y * p.y % R
    return (A * x2 + y2 - 1 - D * x2 * y2) % R == 0


def add(p: Point, q: Point) -> Point:
    """x = (x1 y2 + y1 x2) / (1 + d x1 x2 y1 y2), y = (y1 y2 - a x1 x2) / (1 - d x1 x2 y1 y2). One inversion."""
    xx, yy = p.x * q.x % R, p.y * q.y % R
    cross = D * xx * yy % R
    x_numerator = p.x * q.y + p.y * q.x
    y_numerator = yy - A * xx
    inverse = pow((1 + cross) * (1 - cross), -1, R)
    return Point(x_numerator * (1 - cross) * inverse % R, y_numerator * (1 + cross) * inverse % R)


def double(p: Point) -> Point:
    """p + p."""
    return add(p, p)


def negate(p: Point) -> Point:
    """(-x, y)."""
    return Point(-p.x % R, p.y)


def multiply_vartime(scalar: int, p: Point) -> Point:
    """scalar * p for scalar >= 0, in projective coordinates: 10 products a doubling, 12 an addition, one inversion.

    Bernstein, Birkner, Joye, Lange, Peters, "Twisted Edwards Curves" (2008), section 6. Time depends on the scalar.
    """
    x, y, z = 0, 1, 1
    for bit in f"{scalar:b}":
        b = (x + y) * (x + y) % R
        c, d = x * x % R, y * y % R
        e = A * c % R
        f = e + d
        j = f - 2 * z * z
        x, y, z = (b - c - d) * j % R, f * (e - d) % R, f * j % R
        if bit == "1":
            aa = z * z % R
            c, d = x * p.x % R, y * p.y % R
            e = D * c * d % R
            f, g = aa - e, aa + e
            x, y, z = (
                z * f * ((x + y) * (p.x + p.y) - c - d) % R,
                z * g * (d - A * c) % R,
                f * g % R,
            )
    inverse = pow(z, -1, R)
    return Point(x * inverse % R, y * inverse % R)


def in_subgroup(p: Point) -> bool:
    """On the curve and SUBGROUP_ORDER * p = identity. One scalar multiplication."""
    return on_curve(p) and multiply_vartime(SUBGROUP_ORDER, p) == IDENTITY
