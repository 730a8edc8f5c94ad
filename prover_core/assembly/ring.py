"""Fq2 and Fq6 over any ring: pairs and triples of pairs whose entries are elements, or small Python constants.

The constraints are written once over these functions and run on plain integers (the verifier, tests), on recorded
expressions (the prover's native program) and on limbs in a circuit (the wrap). An *element* supports +, - and * with
its like and with integers. Literal 0 and 1 are recognised, so that sparse products cost what they should.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

Element: TypeAlias = Any
"""An int (a constant) or whatever the caller computes with."""
Pair: TypeAlias = tuple[Element, Element]
"""a + b u, u^2 = -1."""
Triple: TypeAlias = tuple[Pair, Pair, Pair]
"""a + b v + c v^2, v^3 = 9 + u; w^2 = v."""

ONE6: Triple = ((1, 0), (0, 0), (0, 0))


def is_zero(x: Element) -> bool:
    """Whether x is the literal 0."""
    return isinstance(x, int) and x == 0


def mul(a: Element, b: Element) -> Element:
    """a b"""
    if is_zero(a) or is_zero(b):
        return 0
    if isinstance(a, int) and a == 1:
        return b
    if isinstance(b, int) and b == 1:
        return a
    return a * b


def add(a: Element, b: Element) -> Element:
    """a + b"""
    if is_zero(a):
        return b
    return a if is_zero(b) else a + b


def sub(a: Element, b: Element) -> Element:
    """a - b"""
    if is_zero(b):
        return a
    return -b if is_zero(a) else a - b


def neg(a: Element) -> Element:
    """-a"""
    return sub(0, a)


def dot(a: Iterable[Element], b: Iterable[Element]) -> Element:
    """sum a_i b_i"""
    total: Element = 0
    for x, y in zip(a, b, strict=True):
        total = add(total, mul(x, y))
    return total


def add2(a: Pair, b: Pair) -> Pair:
    """a + b"""
    return (add(a[0], b[0]), add(a[1], b[1]))


def sub2(a: Pair, b: Pair) -> Pair:
    """a - b"""
    return (sub(a[0], b[0]), sub(a[1], b[1]))


def mul2(a: Pair, b: Pair) -> Pair:
    """(a0 b0 - a1 b1) + (a0 b1 + a1 b0) u"""
    return (sub(mul(a[0], b[0]), mul(a[1], b[1])), add(mul(a[0], b[1]), mul(a[1], b[0])))


def scale2(a: Pair, k: Element) -> Pair:
    """k a for an element k"""
    return (mul(a[0], k), mul(a[1], k))


def conj2(a: Pair) -> Pair:
    """a0 - a1 u = a^q"""
    return (a[0], neg(a[1]))


def xi2(a: Pair) -> Pair:
    """(9 + u) a"""
    return (sub(mul(9, a[0]), a[1]), add(a[0], mul(9, a[1])))


def add6(a: Triple, b: Triple) -> Triple:
    """a + b"""
    return (add2(a[0], b[0]), add2(a[1], b[1]), add2(a[2], b[2]))


def sub6(a: Triple, b: Triple) -> Triple:
    """a - b"""
    return (sub2(a[0], b[0]), sub2(a[1], b[1]), sub2(a[2], b[2]))


def mul6(a: Triple, b: Triple) -> Triple:
    """Schoolbook; zero coefficients cost nothing."""
    c: list[Pair] = [(0, 0)] * 5
    for i in range(3):
        for j in range(3):
            c[i + j] = add2(c[i + j], mul2(a[i], b[j]))
    return (add2(c[0], xi2(c[3])), add2(c[1], xi2(c[4])), c[2])


def times_v(a: Triple) -> Triple:
    """v a = (9 + u) c + a v + b v^2"""
    return (xi2(a[2]), a[0], a[1])


def scale6(a: Triple, k: Element) -> Triple:
    """k a for an element k"""
    return (scale2(a[0], k), scale2(a[1], k), scale2(a[2], k))


def flat(a: Sequence[Pair]) -> list[Element]:
    """The coordinates over Fq, in order."""
    return [x for pair in a for x in pair]


def times_torus(p: tuple[Triple, Triple], g: Triple) -> tuple[Triple, Triple]:
    """(a + b w)(1 + g w) = (a + v b g) + (b + a g) w"""
    a, b = p
    return add6(a, times_v(mul6(b, g))), add6(b, mul6(a, g))
