"""CpuBackend against ReferenceBackend call by call, and against py_ecc."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from py_ecc import bn128

from prover_core.native import CpuBackend
from prover_core.reference import ReferenceBackend
from prover_core.reference.curve import G1, G2
from prover_core.types import FrVector, G1Point, G1Vector, G2Point, Q, R, g1_points, g1_vector, g2_points

CPU = CpuBackend()
ORACLE = ReferenceBackend()
RNG = random.Random(2718)
SPECIAL = [0, 1, 2, R - 1, R - 2, R // 2, R // 2 + 1, 2**252, 2**128 - 1]


def scalars(n: int) -> FrVector:
    return FrVector.from_ints([RNG.choice(SPECIAL) if RNG.random() < 0.3 else RNG.randrange(R) for _ in range(n)])


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a.limbs, b.limbs))


@pytest.mark.parametrize("n", [0, 1, 9])
def test_vectors(n: int) -> None:
    v, w = scalars(n), scalars(n)
    mv, mw = CPU.fr_to_montgomery(v), CPU.fr_to_montgomery(w)
    assert same(mv, ORACLE.fr_to_montgomery(v))
    assert same(CPU.fr_from_montgomery(mv), ORACLE.fr_from_montgomery(mv))
    assert same(CPU.fr_mul(mv, mw), ORACLE.fr_mul(mv, mw))


@pytest.mark.parametrize("log2", range(8))
def test_transforms(log2: int) -> None:
    a, b, c = (CPU.fr_to_montgomery(scalars(1 << log2)) for _ in range(3))
    assert same(CPU.ntt(a), ORACLE.ntt(a))
    assert same(CPU.ntt(a, inverse=True), ORACLE.ntt(a, inverse=True))
    assert same(CPU.quotient(a, b), ORACLE.quotient(a, b))
    assert same(CPU.quotient(a, b, c), ORACLE.quotient(a, b, c))


def test_groups() -> None:
    k, m = scalars(25), scalars(25)
    bases1, bases2 = CPU.g1_fixed_base(G1.generator, k), CPU.g2_fixed_base(G2.generator, k)
    assert same(bases1, ORACLE.g1_fixed_base(G1.generator, k))
    assert same(bases2, ORACLE.g2_fixed_base(G2.generator, k))
    assert CPU.g1_msm(bases1, m) == ORACLE.g1_msm(bases1, m)
    assert CPU.g2_msm(bases2, m) == ORACLE.g2_msm(bases2, m)


def test_accumulators() -> None:
    k, m = scalars(20), scalars(12)
    bases1, bases2 = CPU.g1_fixed_base(G1.generator, k), CPU.g2_fixed_base(G2.generator, k)
    sums = []
    for backend in (CPU, ORACLE):
        one, two = backend.g1_accumulator(bases1), backend.g2_accumulator(bases2)
        for accumulator in (one, two):
            accumulator.add(8, m)
            accumulator.add(0, m[:5])
        one.add_point(G1.generator)
        two.add_point(G2.generator)
        sums.append((one.finish(), two.finish()))
    assert sums[0] == sums[1]


def test_matrix() -> None:
    rows, cols = 30, 12
    counts = [RNG.randrange(4) for _ in range(rows)]
    start = np.cumsum([0, *counts]).astype(np.uint64)
    col = np.array([RNG.randrange(cols) for _ in range(sum(counts))], dtype=np.uint32)
    values = FrVector.from_ints([1, R - 1, 5, RNG.randrange(R)])
    index = np.array([RNG.randrange(4) for _ in range(sum(counts))], dtype=np.uint32)
    w = scalars(cols)
    products = [backend.matrix(rows, cols, start, col, index, values).product(w, 3, 20) for backend in (CPU, ORACLE)]
    assert same(*products)


def test_g1_valid() -> None:
    good = g1_points(CPU.g1_fixed_base(G1.generator, FrVector.from_ints([0, 1, 2, R - 1])))
    bad = [G1Point(1, 3), G1Point(0, 1), G1Point(1, 0), G1Point(5, 5)]
    points = g1_vector([*good, *bad])
    limbs = points.limbs.copy()
    shifted = [int.from_bytes(limbs[1, c].tobytes(), "little") + Q for c in (0, 1)]  # the same residues, not canonical
    for c, value in enumerate(shifted):
        row = limbs[1].copy()
        row[c] = np.frombuffer(value.to_bytes(32, "little"), dtype="<u8")
        limbs = np.concatenate([limbs, row[None]])
    vector = G1Vector(np.ascontiguousarray(limbs))
    assert CPU.g1_valid(vector).tolist() == [True] * 4 + [False] * 6
    assert CPU.g1_valid(vector).tolist() == ORACLE.g1_valid(vector).tolist()


def test_py_ecc_agrees() -> None:
    values = [3, R - 5, RNG.randrange(R), RNG.randrange(R)]
    k = FrVector.from_ints(values)
    ones = g1_points(CPU.g1_fixed_base(G1.generator, k))
    twos = g2_points(CPU.g2_fixed_base(G2.generator, k))
    for value, one, two in zip(values, ones, twos, strict=True):
        p, q = bn128.multiply(bn128.G1, value), bn128.multiply(bn128.G2, value)
        assert one == G1Point(int(p[0]), int(p[1]))
        assert two == G2Point(tuple(int(c) for c in q[0].coeffs), tuple(int(c) for c in q[1].coeffs))  # type: ignore[arg-type]
    total = sum(v * v for v in values) % R
    p = bn128.multiply(bn128.G1, total)
    assert CPU.g1_msm(CPU.g1_fixed_base(G1.generator, k), k) == G1Point(int(p[0]), int(p[1]))
