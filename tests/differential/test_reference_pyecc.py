"""The oracle against py_ecc: fields, groups and the pairing."""

from __future__ import annotations

import random

import pytest
from py_ecc.bn128 import FQ, FQ2, FQ12, curve_order, field_modulus
from py_ecc.bn128 import G1 as PY_G1
from py_ecc.bn128 import G2 as PY_G2
from py_ecc.bn128 import add as py_add
from py_ecc.bn128 import multiply as py_multiply
from py_ecc.bn128 import pairing as py_pairing

from prover_core.reference.curve import G1, G2
from prover_core.reference.pairing import U, miller_loop, pairing, pairing_product
from prover_core.reference.tower import Fq2, Fq6, Fq12
from prover_core.types import G1Point, G2Point, Q, R

RNG = random.Random(196)


def some_fq2() -> Fq2:
    return Fq2(RNG.randrange(Q), RNG.randrange(Q))


def some_fq12() -> Fq12:
    return Fq12(Fq6(some_fq2(), some_fq2(), some_fq2()), Fq6(some_fq2(), some_fq2(), some_fq2()))


def py_fq12(x: Fq12) -> FQ12:
    """py_ecc's Fq12 is Fq[w]/(w^12 - 18 w^6 + 82), where u = w^6 - 9."""
    k = x.powers_of_w()
    return FQ12([c.a - 9 * c.b for c in k] + [c.b for c in k])


def py_g1(p: G1Point) -> tuple[FQ, FQ] | None:
    return None if p.is_infinity else (FQ(p.x), FQ(p.y))


def py_g2(p: G2Point) -> tuple[FQ2, FQ2] | None:
    return None if p.is_infinity else (FQ2(p.x), FQ2(p.y))


def test_constants() -> None:
    assert (field_modulus, curve_order) == (Q, R)
    assert Q == 36 * U**4 + 36 * U**3 + 24 * U**2 + 6 * U + 1
    assert R == 36 * U**4 + 36 * U**3 + 18 * U**2 + 6 * U + 1
    assert py_g1(G1.generator) == PY_G1
    assert py_g2(G2.generator) == PY_G2


def test_fq2() -> None:
    for _ in range(20):
        a, b = some_fq2(), some_fq2()
        pa, pb = FQ2([a.a, a.b]), FQ2([b.a, b.b])
        for ours, theirs in ((a + b, pa + pb), (a - b, pa - pb), (a * b, pa * pb), (a.inverse(), pa.inv())):
            assert FQ2([ours.a, ours.b]) == theirs
        assert a.conjugate() == a**Q
        root = (a * a).sqrt()
        assert root is not None
        assert root in (a, -a)


def test_fq2_without_a_root() -> None:
    refused = [x for x in (some_fq2() for _ in range(20)) if x.sqrt() is None]
    assert refused
    assert all(x ** ((Q * Q - 1) // 2) == Fq2(-1, 0) for x in refused)


def test_fq12() -> None:
    for _ in range(5):
        a, b = some_fq12(), some_fq12()
        assert py_fq12(a * b) == py_fq12(a) * py_fq12(b)
        assert py_fq12(a + b) == py_fq12(a) + py_fq12(b)
        assert py_fq12(a - b) == py_fq12(a) - py_fq12(b)
        assert a * a.inverse() == Fq12.one()
        assert (a.c0 * a.c0.inverse()) == Fq6.one()
        assert py_fq12(a**12345) == py_fq12(a) ** 12345


def test_frobenius_is_the_qth_power() -> None:
    a = some_fq12()
    assert a.frobenius() == a**Q
    b = a
    for _ in range(6):
        b = b.frobenius()
    assert b == a.conjugate()


def test_zero_has_no_inverse() -> None:
    for zero in (Fq2(0, 0), Fq6.zero(), Fq12(Fq6.zero(), Fq6.zero())):
        with pytest.raises(ZeroDivisionError):
            zero.inverse()


@pytest.mark.parametrize("k", [0, 1, 2, 3, 7, R - 1, R, R + 5, *(RNG.randrange(2**256) for _ in range(3))])
def test_multiplication(k: int) -> None:
    assert py_g1(G1.multiply(G1.generator, k)) == py_multiply(PY_G1, k)
    assert py_g2(G2.multiply(G2.generator, k)) == py_multiply(PY_G2, k)


def test_addition_with_every_exceptional_case() -> None:
    for group, lift, theirs in ((G1, py_g1, PY_G1), (G2, py_g2, PY_G2)):
        g = group.generator
        p, o = group.multiply(g, 5), group.infinity
        minus = group.negate(p)
        py = py_multiply(theirs, 5)
        for x, y, expected in (
            (p, g, py_add(py, theirs)),
            (p, p, py_add(py, py)),
            (p, minus, None),
            (o, p, py),
            (p, o, py),
            (o, o, None),
        ):
            assert lift(group.add(x, y)) == expected


def test_off_curve_and_off_subgroup_are_told_apart() -> None:
    assert not G1.is_on_curve(G1Point(1, 3))
    assert not G2.is_on_curve(G2Point((1, 0), (1, 0)))
    off = None
    for x in range(1, 50):
        y = (Fq2(x, 0) * Fq2(x, 0) * Fq2(x, 0) + G2.b).sqrt()
        if y is not None:
            off = G2Point((x, 0), (y.a, y.b))
            break
    assert off is not None
    assert G2.is_on_curve(off)
    assert not G2.is_in_subgroup(off)
    assert G2.is_in_subgroup(G2.multiply(off, 2 * Q - R))
    assert G2.multiply(off, R * (2 * Q - R)).is_infinity


def test_pairing() -> None:
    a, b = RNG.randrange(R), RNG.randrange(R)
    p, q = G1.multiply(G1.generator, a), G2.multiply(G2.generator, b)
    assert py_fq12(pairing(p, q)) == py_pairing(py_g2(q), py_g1(p))


def test_pairing_laws() -> None:
    p, q = G1.generator, G2.generator
    e = pairing(p, q)
    assert e != Fq12.one()
    assert e**R == Fq12.one()
    assert pairing(G1.multiply(p, 6), G2.multiply(q, 7)) == e**42
    assert pairing(G1.negate(p), q) == e.inverse() == pairing(p, G2.negate(q))
    assert pairing_product([(p, G2.multiply(q, 3)), (G1.multiply(p, R - 3), q)]) == Fq12.one()


def test_infinity_contributes_one() -> None:
    for p, q in ((G1.infinity, G2.generator), (G1.generator, G2.infinity), (G1.infinity, G2.infinity)):
        assert miller_loop(p, q) == Fq12.one()
        assert pairing(p, q) == Fq12.one()
    assert pairing_product([]) == Fq12.one()
