"""The tower Fq2 = Fq[u]/(u^2 + 1), Fq6 = Fq2[v]/(v^3 - xi), Fq12 = Fq6[w]/(w^2 - v), with xi = 9 + u.

Schoolbook products throughout: the oracle shares no trick with the native tower. The Frobenius map is computed from its
definition, x^q on coefficients times powers of xi^((q-1)/6), which is evaluated by exponentiation on first use.
"""

from __future__ import annotations

from functools import cache
from typing import Self

from ..types import Q
from .field import inverse


class Fq2:
    """a + b u with u^2 = -1."""

    __slots__ = ("a", "b")

    def __init__(self, a: int, b: int) -> None:
        self.a = a % Q
        self.b = b % Q

    def __add__(self, o: Self) -> Self:
        return type(self)(self.a + o.a, self.b + o.b)

    def __sub__(self, o: Self) -> Self:
        return type(self)(self.a - o.a, self.b - o.b)

    def __mul__(self, o: Self) -> Self:
        return type(self)(self.a * o.a - self.b * o.b, self.a * o.b + self.b * o.a)

    def __neg__(self) -> Self:
        return type(self)(-self.a, -self.b)

    def __pow__(self, e: int) -> Fq2:
        result, base = Fq2(1, 0), Fq2(self.a, self.b)
        while e:
            if e & 1:
                result = result * base
            base = base * base
            e >>= 1
        return result

    def __eq__(self, o: object) -> bool:
        return isinstance(o, Fq2) and (self.a, self.b) == (o.a, o.b)

    def __hash__(self) -> int:
        return hash((self.a, self.b))

    def __repr__(self) -> str:
        return f"Fq2({self.a}, {self.b})"

    def is_zero(self) -> bool:
        """Whether it is 0."""
        return self.a == 0 and self.b == 0

    def scale(self, k: int) -> Self:
        """k * self for an integer k."""
        return type(self)(self.a * k, self.b * k)

    def conjugate(self) -> Self:
        """self^q = a - b u."""
        return type(self)(self.a, -self.b)

    def inverse(self) -> Self:
        """(a - b u) / (a^2 + b^2); `ZeroDivisionError` for 0."""
        norm = inverse(self.a * self.a + self.b * self.b, Q)
        return type(self)(self.a * norm, -self.b * norm)

    def sqrt(self) -> Fq2 | None:
        """A square root, or None. q = 3 mod 4: Algorithm 9 of Adj and Rodriguez-Henriquez, eprint 2012/685."""
        a1 = self ** ((Q - 3) // 4)
        x0 = a1 * self
        alpha = a1 * x0
        root = Fq2(-x0.b, x0.a) if alpha == Fq2(-1, 0) else (Fq2(1, 0) + alpha) ** ((Q - 1) // 2) * x0
        return root if root * root == self else None


XI = Fq2(9, 1)
"""Neither a square nor a cube in Fq2, so that w^6 - xi is irreducible."""


@cache
def frobenius_coefficient(k: int) -> Fq2:
    """xi^(k (q-1)/6), so that (w^k)^q = frobenius_coefficient(k) w^k."""
    return XI ** (k * (Q - 1) // 6)


class Fq6:
    """c0 + c1 v + c2 v^2 with v^3 = xi."""

    __slots__ = ("c0", "c1", "c2")

    def __init__(self, c0: Fq2, c1: Fq2, c2: Fq2) -> None:
        self.c0 = c0
        self.c1 = c1
        self.c2 = c2

    @classmethod
    def zero(cls) -> Self:
        """0."""
        return cls(Fq2(0, 0), Fq2(0, 0), Fq2(0, 0))

    @classmethod
    def one(cls) -> Self:
        """1."""
        return cls(Fq2(1, 0), Fq2(0, 0), Fq2(0, 0))

    def __add__(self, o: Self) -> Self:
        return type(self)(self.c0 + o.c0, self.c1 + o.c1, self.c2 + o.c2)

    def __sub__(self, o: Self) -> Self:
        return type(self)(self.c0 - o.c0, self.c1 - o.c1, self.c2 - o.c2)

    def __mul__(self, o: Self) -> Self:
        a, b = self, o
        return type(self)(
            a.c0 * b.c0 + XI * (a.c1 * b.c2 + a.c2 * b.c1),
            a.c0 * b.c1 + a.c1 * b.c0 + XI * (a.c2 * b.c2),
            a.c0 * b.c2 + a.c1 * b.c1 + a.c2 * b.c0,
        )

    def __neg__(self) -> Self:
        return type(self)(-self.c0, -self.c1, -self.c2)

    def __eq__(self, o: object) -> bool:
        return isinstance(o, Fq6) and (self.c0, self.c1, self.c2) == (o.c0, o.c1, o.c2)

    def __hash__(self) -> int:
        return hash((self.c0, self.c1, self.c2))

    def times_v(self) -> Self:
        """v * self."""
        return type(self)(XI * self.c2, self.c0, self.c1)

    def inverse(self) -> Self:
        """1/self by the adjugate of multiplication by self; `ZeroDivisionError` for 0."""
        a, b, c = self.c0, self.c1, self.c2
        t0 = a * a - XI * (b * c)
        t1 = XI * (c * c) - a * b
        t2 = b * b - a * c
        d = (a * t0 + XI * (c * t1 + b * t2)).inverse()
        return type(self)(t0 * d, t1 * d, t2 * d)


class Fq12:
    """c0 + c1 w with w^2 = v; in powers of w the coefficients are c0.c0, c1.c0, c0.c1, c1.c1, c0.c2, c1.c2."""

    __slots__ = ("c0", "c1")

    def __init__(self, c0: Fq6, c1: Fq6) -> None:
        self.c0 = c0
        self.c1 = c1

    @classmethod
    def one(cls) -> Self:
        """1."""
        return cls(Fq6.one(), Fq6.zero())

    @classmethod
    def from_powers_of_w(cls, k: tuple[Fq2, ...]) -> Self:
        """From the six Fq2 coefficients of 1, w, ..., w^5."""
        return cls(Fq6(k[0], k[2], k[4]), Fq6(k[1], k[3], k[5]))

    def powers_of_w(self) -> tuple[Fq2, ...]:
        """The six Fq2 coefficients of 1, w, ..., w^5."""
        return (self.c0.c0, self.c1.c0, self.c0.c1, self.c1.c1, self.c0.c2, self.c1.c2)

    def __add__(self, o: Self) -> Self:
        return type(self)(self.c0 + o.c0, self.c1 + o.c1)

    def __sub__(self, o: Self) -> Self:
        return type(self)(self.c0 - o.c0, self.c1 - o.c1)

    def __mul__(self, o: Self) -> Self:
        return type(self)(self.c0 * o.c0 + (self.c1 * o.c1).times_v(), self.c0 * o.c1 + self.c1 * o.c0)

    def __pow__(self, e: int) -> Fq12:
        if e < 0:
            return self.inverse() ** -e
        result, base = Fq12.one(), Fq12(self.c0, self.c1)
        while e:
            if e & 1:
                result = result * base
            base = base * base
            e >>= 1
        return result

    def __eq__(self, o: object) -> bool:
        return isinstance(o, Fq12) and self.c0 == o.c0 and self.c1 == o.c1

    def __hash__(self) -> int:
        return hash((self.c0, self.c1))

    def __repr__(self) -> str:
        return f"Fq12{self.powers_of_w()!r}"

    def conjugate(self) -> Self:
        """self^(q^6) = c0 - c1 w."""
        return type(self)(self.c0, -self.c1)

    def frobenius(self) -> Self:
        """self^q: conjugates each coefficient of w^k and multiplies it by xi^(k (q-1)/6)."""
        k = self.powers_of_w()
        return self.from_powers_of_w(tuple(c.conjugate() * frobenius_coefficient(i) for i, c in enumerate(k)))

    def inverse(self) -> Self:
        """(c0 - c1 w) / (c0^2 - c1^2 v); `ZeroDivisionError` for 0."""
        d = (self.c0 * self.c0 - (self.c1 * self.c1).times_v()).inverse()
        return type(self)(self.c0 * d, -(self.c1 * d))
