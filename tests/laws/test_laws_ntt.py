"""Laws of the number-theoretic transform, the quotient and the sparse product, against integers."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover_core.errors import InvalidInputError
from prover_core.native import CpuBackend
from prover_core.types import FrMontVector, FrVector, R

CPU = CpuBackend()
ONE = CpuBackend(1)
SCALAR = CpuBackend(scalar=True)


def scalars(n: int, seed: int = 1) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(R) for _ in range(n)]


def mont(values: list[int]) -> FrMontVector:
    return CPU.fr_to_montgomery(FrVector.from_ints(values))


def ints(v: FrMontVector) -> list[int]:
    return CPU.fr_from_montgomery(v).to_ints()


def root(n: int) -> int:
    return pow(5, (R - 1) // n, R)


def evaluate(coefficients: list[int], x: int) -> int:
    y = 0
    for c in reversed(coefficients):
        y = (y * x + c) % R
    return y


@pytest.mark.parametrize("log2", [*range(13), 14, 15])
def test_evaluates_and_inverts(log2: int) -> None:
    n = 1 << log2
    c = scalars(n, log2)
    for backend in (ONE, CPU, SCALAR, CpuBackend(5), CpuBackend(5, scalar=True)):
        values = backend.ntt(mont(c))
        got = ints(values)
        for i in {0, 1 % n, n // 2, n - 1, n // 3}:
            assert got[i] == evaluate(c, pow(root(n), i, R))
        assert ints(backend.ntt(values, inverse=True)) == c


def test_longer_than_the_tables() -> None:
    """2^18 needs factors that are made on the way."""
    n = 1 << 18
    raw = np.random.default_rng(4).integers(0, 2**64, size=(n, 4), dtype=np.uint64)
    raw[:, 3] >>= np.uint64(3)
    v = FrMontVector(raw)
    values = CPU.ntt(v)
    got = ints(FrMontVector(values.limbs[[0, 1, 99999, n - 1]]))
    c = ints(v)
    assert got == [evaluate(c, pow(root(n), i, R)) for i in (0, 1, 99999, n - 1)]
    assert np.array_equal(CPU.ntt(values, inverse=True).limbs, v.limbs)
    for backend in (ONE, SCALAR):
        assert np.array_equal(backend.ntt(v).limbs, values.limbs)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, R - 1), min_size=8, max_size=8), st.lists(st.integers(0, R - 1), min_size=8, max_size=8))
def test_convolution_and_linearity(a: list[int], b: list[int]) -> None:
    padded_a, padded_b = mont(a + [0] * 8), mont(b + [0] * 8)
    fa, fb = CPU.ntt(padded_a), CPU.ntt(padded_b)
    product = ints(CPU.ntt(CPU.fr_mul(fa, fb), inverse=True))
    assert product == [sum(a[i] * b[k - i] for i in range(8) if 0 <= k - i < 8) % R for k in range(16)]
    total = ints(CPU.ntt(mont([(x + y) % R for x, y in zip(a, b, strict=True)] + [0] * 8)))
    assert total == [(x + y) % R for x, y in zip(ints(fa), ints(fb), strict=True)]


@pytest.mark.parametrize("log2", [0, 1, 2, 3, 4, 7, 10, 11, 14])
def test_quotient_at_the_odd_points(log2: int) -> None:
    n = 1 << log2
    a, b, c = mont(scalars(n, 1)), mont(scalars(n, 2)), mont(scalars(n, 3))
    coefficients = [ints(CPU.ntt(v, inverse=True)) for v in (a, b, c)]
    for backend in (ONE, CPU, SCALAR):
        got = backend.quotient(a, b, c).to_ints()
        for i in {0, n // 2, n - 1}:
            x = pow(root(2 * n), 2 * i + 1, R)
            pa, pb, pc = (evaluate(p, x) for p in coefficients)
            assert got[i] == (pa * pb - pc) % R
        assert backend.quotient(a, b).to_ints() == backend.quotient(a, b, CPU.fr_mul(a, b)).to_ints()


def test_quotient_longer_than_the_tables() -> None:
    n = 1 << 17
    raw = np.random.default_rng(5).integers(0, 2**64, size=(3, n, 4), dtype=np.uint64)
    raw[:, :, 3] >>= np.uint64(3)
    a, b, c = (FrMontVector(raw[i]) for i in range(3))
    whole = CPU.quotient(a, b, c).limbs
    assert np.array_equal(SCALAR.quotient(a, b, c).limbs, whole)
    got = FrVector(whole[[5, n - 1]]).to_ints()
    coefficients = [ints(CPU.ntt(v, inverse=True)) for v in (a, b, c)]
    for i, value in zip((5, n - 1), got, strict=True):
        pa, pb, pc = (evaluate(p, pow(root(2 * n), 2 * i + 1, R)) for p in coefficients)
        assert value == (pa * pb - pc) % R


@pytest.mark.parametrize("n", [0, 3, 6, 1000])
def test_other_lengths_are_refused(n: int) -> None:
    v = mont([1] * n)
    with pytest.raises(InvalidInputError, match="power of two"):
        CPU.ntt(v)
    with pytest.raises(InvalidInputError, match="power of two"):
        CPU.quotient(v, v)


def test_unequal_lengths_are_refused() -> None:
    four, eight = mont([1] * 4), mont([1] * 8)
    with pytest.raises(InvalidInputError):
        CPU.quotient(four, eight)
    with pytest.raises(InvalidInputError):
        CPU.quotient(four, four, eight)
    with pytest.raises(InvalidInputError):
        CPU.fr_mul(four, eight)


def csr(rows: list[list[tuple[int, int]]]) -> tuple[list[int], list[int], list[int], list[int]]:
    """row_start, col, value_index and the table of values of rows of (col, value)."""
    table = sorted({v for row in rows for _, v in row})
    start = [0]
    for row in rows:
        start.append(start[-1] + len(row))
    return start, [c for row in rows for c, _ in row], [table.index(v) for row in rows for _, v in row], table


@pytest.mark.parametrize("threads", [1, 3])
def test_sparse_product(threads: int) -> None:
    rng = random.Random(6)
    cols, n_rows = 50, 5000
    values = [1, R - 1, 2, R - 2, rng.randrange(R), 0]
    rows = [
        [(rng.randrange(cols), rng.choice(values)) for _ in range(rng.choice([0, 1, 1, 3, 9]))] for _ in range(n_rows)
    ]
    start, col, index, table = csr(rows)
    matrix = CpuBackend(threads).matrix(
        n_rows,
        cols,
        np.array(start, dtype=np.uint64),
        np.array(col, dtype=np.uint32),
        np.array(index, dtype=np.uint32),
        FrVector.from_ints(table),
    )
    w = [1, 0, R - 1, *scalars(cols - 3, 7)]
    expected = [sum(v * w[c] for c, v in row) % R for row in rows]
    witness = FrVector.from_ints(w)
    assert ints(matrix.product(witness)) == expected
    assert ints(matrix.product(witness, 100, 17)) == expected[100:117]
    assert ints(matrix.product(witness, n_rows)) == []
    for first, count in ((-1, 1), (0, n_rows + 1), (n_rows + 1, None)):
        with pytest.raises(InvalidInputError, match="leave the matrix"):
            matrix.product(witness, first, count)
    with pytest.raises(InvalidInputError, match="columns"):
        matrix.product(FrVector.from_ints(w[:-1]))


@pytest.mark.parametrize(
    ("start", "col", "index", "message"),
    [
        ([0, 1, 3], [0, 1, 5], [0, 0, 0], "last column"),
        ([0, 1, 3], [0, 1, 2], [0, 0, 1], "no value"),
        ([0, 4, 3], [0, 1, 2], [0, 0, 0], "descends"),
        ([1, 1, 3], [0, 1, 2], [0, 0, 0], "span"),
        ([0, 1, 2], [0, 1, 2], [0, 0, 0], "span"),
        ([0, 3], [0, 1, 2], [0, 0, 0], "rows"),
        ([0, 1, 3], [0, 1, 2], [0, 0], "differ"),
    ],
)
def test_bad_matrices_are_refused(start: list[int], col: list[int], index: list[int], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        CPU.matrix(
            2,
            5,
            np.array(start, dtype=np.uint64),
            np.array(col, dtype=np.uint32),
            np.array(index, dtype=np.uint32),
            FrVector.from_ints([7]),
        )
