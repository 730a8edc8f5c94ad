"""The native tower and pairing against the oracle and py_ecc.

The native final exponentiation yields f^(k (q^12 - 1)/r) with k = 2x (6x^2 + 3x + 1), the oracle's and py_ecc's k is 1.
"""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pytest
from py_ecc.bn128 import FQ, FQ2
from py_ecc.bn128 import pairing as py_pairing

from prover_core.native import _native
from prover_core.reference.curve import G1, G2
from prover_core.reference.field import limb_rows, to_limbs
from prover_core.reference.pairing import U, final_exponentiation, miller_loop, pairing
from prover_core.reference.tower import Fq2, Fq6, Fq12
from prover_core.types import G1Point, G2Point, Q, R, g1_vector, g2_vector

K = 2 * U * (6 * U * U + 3 * U + 1)
RNG = random.Random(1971)
Pair = tuple[G1Point, G2Point]


def coordinates(f: Fq12) -> list[int]:
    return [c for six in (f.c0, f.c1) for two in (six.c0, six.c1, six.c2) for c in (two.a, two.b)]


def to_native(f: Fq12) -> npt.NDArray[np.uint64]:
    return to_limbs(c * 2**256 % Q for c in coordinates(f))


def from_native(limbs: npt.NDArray[np.uint64]) -> Fq12:
    rows = limb_rows(limbs)
    assert all(c < Q for c in rows), "native results are canonical"
    c = [x * pow(2**256, -1, Q) % Q for x in rows]
    two = [Fq2(c[i], c[i + 1]) for i in range(0, 12, 2)]
    return Fq12(Fq6(*two[:3]), Fq6(*two[3:]))


def some_fq12() -> Fq12:
    c = [Fq2(RNG.randrange(Q), RNG.randrange(Q)) for _ in range(6)]
    return Fq12(Fq6(*c[:3]), Fq6(*c[3:]))


def extreme_fq12(pick: list[int]) -> Fq12:
    c = [Fq2(RNG.choice(pick), RNG.choice(pick)) for _ in range(6)]
    return Fq12(Fq6(*c[:3]), Fq6(*c[3:]))


def some_pairs(n: int) -> list[Pair]:
    return [
        (G1.multiply(G1.generator, RNG.randrange(1, R)), G2.multiply(G2.generator, RNG.randrange(1, R)))
        for _ in range(n)
    ]


def limbs(pairs: list[Pair]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    return g1_vector([p for p, _ in pairs]).limbs, g2_vector([q for _, q in pairs]).limbs


def test_products_in_fq12() -> None:
    values = [Fq12.one(), *(some_fq12() for _ in range(4))]
    values += [extreme_fq12([0, 1, Q - 1, Q - 2, (Q - 1) // 2]) for _ in range(30)] + [extreme_fq12([Q - 1])]
    for a, b in zip(values, values[1:] + values[:1], strict=True):
        assert from_native(_native.gt_multiply(to_native(a), to_native(b))) == a * b
        assert from_native(_native.gt_multiply(to_native(a), to_native(a))) == a * a


def test_final_exponentiation_of_anything() -> None:
    """Covers inversion, the three Frobenius maps and cyclotomic squaring, on elements no Miller loop shaped."""
    for f in (some_fq12(), some_fq12(), extreme_fq12([Q - 1]), extreme_fq12([0, 1])):
        result = from_native(_native.final_exponentiation(to_native(f)))
        assert result == final_exponentiation(f) ** K
        assert result**R == Fq12.one()
    zero = np.zeros((12, 4), np.uint64)
    assert not _native.final_exponentiation_is_one(zero)


def test_pairing_against_oracle_and_py_ecc() -> None:
    (p, q) = some_pairs(1)[0]
    native = from_native(_native.final_exponentiation(_native.miller_loop(*limbs([(p, q)]))))
    assert native == pairing(p, q) ** K
    theirs = py_pairing((FQ2(q.x), FQ2(q.y)), (FQ(p.x), FQ(p.y))) ** (K % R)
    k = native.powers_of_w()
    assert [int(c) for c in theirs.coeffs] == [(c.a - 9 * c.b) % Q for c in k] + [c.b for c in k]


def test_miller_products_multiply() -> None:
    pairs = some_pairs(3)
    whole = _native.miller_loop(*limbs(pairs))
    parts = _native.gt_multiply(_native.miller_loop(*limbs(pairs[:1])), _native.miller_loop(*limbs(pairs[1:])))
    assert np.array_equal(_native.final_exponentiation(whole), _native.final_exponentiation(parts))
    oracle = Fq12.one()
    for pair in pairs:
        oracle = oracle * miller_loop(*pair)
    assert from_native(_native.final_exponentiation(whole)) == final_exponentiation(oracle) ** K


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
@pytest.mark.parametrize("n", [2, 5, 33, 71])
def test_products_of_many(n: int, threads: int) -> None:
    """sum a_i b_i = 0 exactly for the true last scalar, across the borders of blocks."""
    a = [RNG.randrange(1, R) for _ in range(n)]
    b = [RNG.randrange(1, 100) for _ in range(n - 1)]
    small = {x: G2.multiply(G2.generator, x) for x in set(b)}
    total = sum(x * y for x, y in zip(a, b, strict=False)) % R
    last = G2.multiply(G2.generator, -total * pow(a[-1], -1, R) % R)
    g2 = g2_vector([*(small[x] for x in b), last]).limbs
    g1 = g1_vector([G1.multiply(G1.generator, x) for x in a]).limbs
    assert _native.pairing_product_is_one(g1, g2, threads)
    assert _native.final_exponentiation_is_one(_native.miller_loop(g1, g2, threads))
    k = RNG.randrange(n)
    wrong = g1.copy()
    wrong[k] = g1[(k + 1) % n]
    assert not _native.pairing_product_is_one(wrong, g2, threads)
    assert not _native.pairing_product_is_one(g1[:-1], g2[:-1], threads)


def test_bilinearity_and_non_degeneracy() -> None:
    a, b = RNG.randrange(2, R), RNG.randrange(2, R)
    p, q = G1.generator, G2.generator
    minus = G1.negate(p)
    assert not _native.pairing_product_is_one(*limbs([(p, q)]))
    for pairs in (
        [(G1.multiply(p, a), G2.multiply(q, b)), (G1.multiply(minus, a * b), q)],
        [(G1.multiply(p, a), q), (minus, G2.multiply(q, a))],
        [(G1.multiply(p, a), q), (G1.multiply(p, b), q), (G1.multiply(minus, a + b), q)],
        [(p, G2.multiply(q, a)), (p, G2.multiply(q, b)), (minus, G2.multiply(q, a + b))],
        [(p, q), (p, G2.negate(q))],
        [(p, q)] * 2 + [(minus, q)] * 2,
    ):
        assert _native.pairing_product_is_one(*limbs(pairs))
        assert not _native.pairing_product_is_one(*limbs(pairs[:-1]))
        assert not _native.pairing_product_is_one(*limbs([*pairs, (p, q)]))


def test_infinity_contributes_one() -> None:
    p, q, o1, o2 = G1.generator, G2.generator, G1.infinity, G2.infinity
    assert _native.pairing_product_is_one(*limbs([(o1, q)]))
    assert _native.pairing_product_is_one(*limbs([(p, o2), (o1, o2), (o1, q)]))
    assert _native.pairing_product_is_one(*limbs([(p, q), (p, o2), (G1.negate(p), q), (o1, q)]))
    assert not _native.pairing_product_is_one(*limbs([(o1, q), (p, q), (p, o2)]))
    assert _native.pairing_product_is_one(np.zeros((0, 2, 4), np.uint64), np.zeros((0, 2, 2, 4), np.uint64))
    assert from_native(_native.miller_loop(*limbs([(p, o2), (o1, q)]))) == Fq12.one()


def test_shapes_are_checked() -> None:
    g1, g2 = limbs(some_pairs(2))
    f = to_native(Fq12.one())
    for bad1, bad2 in ((g1[:1], g2), (g1, g2[:1]), (g1.reshape(-1, 4), g2), (g1, g2.reshape(2, 4, 4)), (g2, g1)):
        with pytest.raises(ValueError, match=r"shape|points of G1"):
            _native.pairing_product_is_one(bad1, bad2)
        with pytest.raises(ValueError, match=r"shape|points of G1"):
            _native.miller_loop(bad1, bad2)
    for bad in (f[:11], f.astype(np.uint32), f.reshape(6, 2, 4), f[:, ::-1]):
        with pytest.raises(ValueError, match=r"shape|contiguous"):
            _native.final_exponentiation(bad)
        with pytest.raises(ValueError, match=r"shape|contiguous"):
            _native.gt_multiply(f, bad)
    with pytest.raises(ValueError, match="points needs shape"):
        _native.g2_valid(g1)


def test_borrowed_memory_may_be_read_only_and_unaligned() -> None:
    pairs = [(G1.generator, G2.generator), (G1.negate(G1.generator), G2.generator)]
    g1, g2 = limbs(pairs)
    raw = b"\0\0\0" + g1.tobytes() + g2.tobytes()
    view1 = np.frombuffer(raw, np.uint64, g1.size, 3).reshape(g1.shape)
    view2 = np.frombuffer(raw, np.uint64, g2.size, 3 + g1.nbytes).reshape(g2.shape)
    assert not view1.flags.writeable
    assert _native.pairing_product_is_one(view1, view2)
    assert _native.g2_valid(view2).tolist() == [True, True]
