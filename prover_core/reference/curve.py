"""G1: y^2 = x^3 + 3 over Fq; G2: y^2 = x^3 + 3/xi over Fq2 (the sextic D-twist). Sources: EIP-196, EIP-197."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

from ..types import G1Point, G2Point, R
from .field import Fq
from .tower import XI, Fq2


class Element(Protocol):
    """What the group law needs of a coordinate."""

    def __add__(self, o: Self, /) -> Self: ...
    def __sub__(self, o: Self, /) -> Self: ...
    def __mul__(self, o: Self, /) -> Self: ...
    def __neg__(self) -> Self: ...

    def is_zero(self) -> bool:
        """Whether it is 0."""

    def scale(self, k: int, /) -> Self:
        """k * self."""

    def inverse(self) -> Self:
        """1/self; `ZeroDivisionError` for 0."""


F = TypeVar("F", bound=Element)
P = TypeVar("P", bound=G1Point | G2Point)

Jacobian = tuple[F, F, F]
"""(X, Y, Z) stands for (X/Z^2, Y/Z^3); Z = 0 is infinity."""


class Group(Generic[F, P]):
    """The points of y^2 = x^3 + b. Affine points are `G1Point` / `G2Point`, infinity all zero."""

    def __init__(
        self,
        *,
        kind: type[P],
        b: F,
        one: F,
        generator: P,
        split: Callable[[P], tuple[F, F]],
        join: Callable[[F, F], P],
        infinity: P,
    ) -> None:
        self.kind = kind
        self.b = b
        self.generator = generator
        self.infinity = infinity
        self.split = split
        self.join = join
        self.identity: Jacobian[F] = (one, one, one - one)
        self._one = one

    def lift(self, p: P) -> Jacobian[F]:
        """To Jacobian coordinates; not checked to be on the curve."""
        if p.is_infinity:
            return self.identity
        x, y = self.split(p)
        return (x, y, self._one)

    def affine(self, p: Jacobian[F]) -> P:
        """To affine coordinates; one inversion."""
        x, y, z = p
        if z.is_zero():
            return self.infinity
        zi = z.inverse()
        zi2 = zi * zi
        return self.join(x * zi2, y * zi2 * zi)

    def double_jacobian(self, p: Jacobian[F]) -> Jacobian[F]:
        """2p: with M = 3X^2, S = 4XY^2: (M^2 - 2S, M (S - X') - 8Y^4, 2YZ)."""
        x, y, z = p
        yy = y * y
        s = (x * yy).scale(4)
        m = (x * x).scale(3)
        x3 = m * m - s.scale(2)
        return (x3, m * (s - x3) - (yy * yy).scale(8), (y * z).scale(2))

    def add_jacobian(self, p: Jacobian[F], q: Jacobian[F]) -> Jacobian[F]:
        """p + q for any p and q: with H = U2 - U1, R = S2 - S1 the chord, the tangent where H = R = 0."""
        x1, y1, z1 = p
        x2, y2, z2 = q
        if z1.is_zero():
            return q
        if z2.is_zero():
            return p
        zz1, zz2 = z1 * z1, z2 * z2
        u1, u2 = x1 * zz2, x2 * zz1
        s1, s2 = y1 * z2 * zz2, y2 * z1 * zz1
        h, r = u2 - u1, s2 - s1
        if h.is_zero():
            return self.double_jacobian(p) if r.is_zero() else self.identity
        hh = h * h
        hhh = h * hh
        v = u1 * hh
        x3 = r * r - hhh - v.scale(2)
        return (x3, r * (v - x3) - s1 * hhh, z1 * z2 * h)

    def multiply_jacobian(self, p: Jacobian[F], k: int) -> Jacobian[F]:
        """k p, k of any sign and not reduced mod r; double-and-add."""
        if k < 0:
            x, y, z = p
            p, k = (x, -y, z), -k
        result = self.identity
        for bit in bin(k)[2:]:
            result = self.double_jacobian(result)
            if bit == "1":
                result = self.add_jacobian(result, p)
        return result

    def negate(self, p: P) -> P:
        """-p."""
        if p.is_infinity:
            return p
        x, y = self.split(p)
        return self.join(x, -y)

    def add(self, p: P, q: P) -> P:
        """p + q, for any p and q; one inversion."""
        return self.affine(self.add_jacobian(self.lift(p), self.lift(q)))

    def multiply(self, p: P, k: int) -> P:
        """k p, k of any sign and not reduced mod r; about 380 group operations."""
        return self.affine(self.multiply_jacobian(self.lift(p), k))

    def is_on_curve(self, p: P) -> bool:
        """Whether p is infinity or satisfies the equation (its coordinates taken mod q)."""
        if p.is_infinity:
            return True
        x, y = self.split(p)
        return (y * y - x * x * x - self.b).is_zero()

    def is_in_subgroup(self, p: P) -> bool:
        """On the curve and r p = 0, by plain multiplication."""
        return self.is_on_curve(p) and self.multiply(p, R).is_infinity


def _split_g1(p: G1Point) -> tuple[Fq, Fq]:
    return Fq(p.x), Fq(p.y)


def _join_g1(x: Fq, y: Fq) -> G1Point:
    return G1Point(x.n, y.n)


def _split_g2(p: G2Point) -> tuple[Fq2, Fq2]:
    return Fq2(*p.x), Fq2(*p.y)


def _join_g2(x: Fq2, y: Fq2) -> G2Point:
    return G2Point((x.a, x.b), (y.a, y.b))


G1: Group[Fq, G1Point] = Group(
    kind=G1Point,
    b=Fq(3),
    one=Fq(1),
    generator=G1Point(1, 2),
    split=_split_g1,
    join=_join_g1,
    infinity=G1Point(0, 0),
)
"""Cofactor 1."""

G2: Group[Fq2, G2Point] = Group(
    kind=G2Point,
    b=Fq2(3, 0) * XI.inverse(),
    one=Fq2(1, 0),
    generator=G2Point(
        (
            10857046999023057135944570762232829481370756359578518086990519993285655852781,
            11559732032986387107991004021392285783925812861821192530917403151452391805634,
        ),
        (
            8495653923123431417604973247489272438418190587263600148770280649306958101930,
            4082367875863433681332203403145435568316851327593401208105741076214120093531,
        ),
    ),
    split=_split_g2,
    join=_join_g2,
    infinity=G2Point((0, 0), (0, 0)),
)
"""The curve has r * (2q - r) points; the group is its part of order r. Generator of EIP-197."""
