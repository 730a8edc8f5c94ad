"""The oracle's backend against definitions evaluated term by term."""

from __future__ import annotations

import random

import numpy as np
import pytest

from prover_core.errors import InvalidInputError
from prover_core.reference import ReferenceBackend
from prover_core.reference.curve import G1, G2
from prover_core.reference.field import fr_vector, from_montgomery, root_of_unity, to_limbs, to_montgomery
from prover_core.reference.ntt import evaluate_on_odd_points, intt
from prover_core.types import FrVector, G1Point, G1Vector, G2Point, G2Vector, Q, R, g1_points, g1_vector, g2_vector

BACKEND = ReferenceBackend()
RNG = random.Random(197)


def scalars(n: int) -> list[int]:
    return [RNG.randrange(R) for _ in range(n)]


def evaluate(coefficients: list[int], x: int) -> int:
    return sum(c * pow(x, i, R) for i, c in enumerate(coefficients)) % R


def test_roots_of_unity() -> None:
    for n in (1, 2, 8, 2**28):
        w = root_of_unity(n)
        assert pow(w, n, R) == 1
        assert n == 1 or pow(w, n // 2, R) == R - 1
    assert pow(5, (R - 1) // 2, R) == R - 1
    for n in (0, 3, 2**29):
        with pytest.raises(InvalidInputError):
            root_of_unity(n)


@pytest.mark.parametrize("n", [1, 2, 16])
def test_ntt_evaluates(n: int) -> None:
    c = scalars(n)
    values = from_montgomery(BACKEND.ntt(to_montgomery(c)))
    assert values == [evaluate(c, pow(root_of_unity(n), i, R)) for i in range(n)]
    assert from_montgomery(BACKEND.ntt(to_montgomery(values), inverse=True)) == c


@pytest.mark.parametrize("n", [0, 3, 12])
def test_ntt_refuses_other_sizes(n: int) -> None:
    with pytest.raises(InvalidInputError):
        BACKEND.ntt(to_montgomery([1] * n))


def test_quotient_is_minus_two_h() -> None:
    """With C = AB on the domain, (AB - C)(x) = H(x) (x^n - 1), and x^n = -1 on the odd points."""
    n = 8
    a, b = scalars(n), scalars(n)
    c = [x * y % R for x, y in zip(a, b, strict=True)]
    got = BACKEND.quotient(to_montgomery(a), to_montgomery(b), to_montgomery(c))
    assert got.to_ints() == BACKEND.quotient(to_montgomery(a), to_montgomery(b)).to_ints()
    pa, pb, pc = intt(a), intt(b), intt(c)
    product = [sum(pa[i] * pb[k - i] for i in range(n) if 0 <= k - i < n) % R for k in range(2 * n - 1)]
    numerator = [(x - y) % R for x, y in zip(product, pc + [0] * (n - 1), strict=True)]
    h = numerator[n:]
    assert [(numerator[i] + (h[i] if i < len(h) else 0)) % R for i in range(n)] == [0] * n
    w = root_of_unity(2 * n)
    assert got.to_ints() == [-2 * evaluate(h, pow(w, 2 * i + 1, R)) % R for i in range(n)]
    assert evaluate_on_odd_points(a) == [evaluate(pa, pow(w, 2 * i + 1, R)) for i in range(n)]


def test_quotient_refuses_different_lengths() -> None:
    v, u = to_montgomery([1] * 4), to_montgomery([1] * 2)
    for args in ((v, u), (u, v), (v, v, u)):
        with pytest.raises(InvalidInputError):
            BACKEND.quotient(*args)


def test_montgomery() -> None:
    v = scalars(5)
    m = BACKEND.fr_to_montgomery(fr_vector(v))
    assert [int(x) for x in to_limbs([v[0] * 2**256 % R])[0]] == [int(x) for x in m.limbs[0]]
    assert BACKEND.fr_from_montgomery(m).to_ints() == v
    u = scalars(5)
    assert from_montgomery(BACKEND.fr_mul(m, to_montgomery(u))) == [x * y % R for x, y in zip(v, u, strict=True)]
    with pytest.raises(InvalidInputError):
        BACKEND.fr_mul(m, to_montgomery([1]))


def test_msm_and_fixed_base() -> None:
    k, s = [*scalars(4), 0, 1, R - 1, 5], [*scalars(3), 0, 1, R - 1, 7, 256]
    expected = sum(x * y for x, y in zip(k, s, strict=True))
    b1, b2 = BACKEND.g1_fixed_base(G1.generator, fr_vector(k)), BACKEND.g2_fixed_base(G2.generator, fr_vector(k))
    assert g1_points(b1) == [G1.multiply(G1.generator, x) for x in k]
    assert BACKEND.g1_msm(b1, fr_vector(s)) == G1.multiply(G1.generator, expected)
    assert BACKEND.g2_msm(b2, fr_vector(s)) == G2.multiply(G2.generator, expected)
    assert BACKEND.g1_msm(b1[:0], fr_vector([])) == G1.infinity
    with pytest.raises(InvalidInputError):
        BACKEND.g1_msm(b1, fr_vector(s[:3]))


def test_accumulators() -> None:
    k = scalars(6)
    bases = BACKEND.g1_fixed_base(G1.generator, fr_vector([1, 2, 3, 4, 5, 6]))
    acc = BACKEND.g1_accumulator(bases)
    acc.add(4, fr_vector(k[4:]))
    acc.add(0, fr_vector(k[:4]))
    acc.add_point(G1.multiply(G1.generator, 9))
    for start in (-1, 3, 7):
        with pytest.raises(InvalidInputError, match="leaves 6 bases"):
            acc.add(start, fr_vector(k[:4]))
    with pytest.raises(InvalidInputError, match="G1Point"):
        acc.add_point(G2.generator)
    assert acc.finish() == G1.multiply(G1.generator, 9 + sum((i + 1) * x for i, x in enumerate(k)))
    for use in (acc.finish, lambda: acc.add(0, fr_vector([])), lambda: acc.add_point(G1.generator)):
        with pytest.raises(InvalidInputError, match="finished"):
            use()
    twist = BACKEND.g2_accumulator(g2_vector([G2.generator, G2.infinity]))
    twist.add(0, fr_vector([3, 4]))
    assert twist.finish() == G2.multiply(G2.generator, 3)


def test_matrix() -> None:
    values = FrVector.from_ints([1, R - 1, 7])
    start = np.array([0, 2, 2, 5], np.uint64)
    col, index = np.array([0, 2, 1, 3, 0], np.uint32), np.array([0, 1, 2, 2, 0], np.uint32)
    m = BACKEND.matrix(3, 4, start, col, index, values)
    w = scalars(4)
    dense = [[1, 0, R - 1, 0], [0] * 4, [1, 7, 0, 7]]
    expected = [sum(x * y for x, y in zip(row, w, strict=True)) % R for row in dense]
    assert m.rows == 3
    assert from_montgomery(m.product(fr_vector(w))) == expected
    assert from_montgomery(m.product(fr_vector(w), 1, 2)) == expected[1:]
    for args in ((fr_vector(w[:3]),), (fr_vector(w), 2, 2), (fr_vector(w), -1, 1)):
        with pytest.raises(InvalidInputError):
            m.product(*args)
    for bad in (
        (2, 4, start, col, index, values),
        (3, 3, start, col, index, values),
        (3, 4, start, col[:4], index, values),
        (3, 4, start, col, index[:4], values),
        (3, 4, start, col, index, values[:2]),
        (3, 4, np.array([0, 3, 2, 5], np.uint64), col, index, values),
    ):
        with pytest.raises(InvalidInputError):
            BACKEND.matrix(*bad)


def test_validity() -> None:
    good1, good2 = g1_vector([G1.generator, G1Point(0, 0), G1Point(1, 3)]), g2_vector([G2.generator, G2.infinity])
    assert BACKEND.g1_valid(good1).tolist() == [True, True, False]
    assert BACKEND.g2_valid(good2).tolist() == [True, True]
    x = int.from_bytes(good1.limbs[0, 0].tobytes(), "little")
    stretched = good1.limbs[:1].copy()
    stretched[0, 0] = to_limbs([x + Q])[0]
    assert BACKEND.g1_valid(G1Vector(stretched)).tolist() == [False]
    twisted = good2.limbs[:1].copy()
    twisted[0, 1, 1] = to_limbs([int.from_bytes(twisted[0, 1, 1].tobytes(), "little") + Q])[0]
    assert BACKEND.g2_valid(G2Vector(twisted)).tolist() == [False]
    assert BACKEND.g2_valid(g2_vector([G2Point((1, 0), (1, 0))])).tolist() == [False]


def test_pairing_product() -> None:
    g1 = g1_vector([G1.multiply(G1.generator, 6), G1.negate(G1.generator)])
    g2 = g2_vector([G2.multiply(G2.generator, 5), G2.multiply(G2.generator, 30)])
    assert BACKEND.pairing_product_is_one(g1, g2)
    assert not BACKEND.pairing_product_is_one(g1[:1], g2[:1])
    with pytest.raises(InvalidInputError):
        BACKEND.pairing_product_is_one(g1, g2[:1])
