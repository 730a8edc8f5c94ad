"""Transforms, quotients and sparse products of the device against the CPU's, which others test against the oracle."""

from __future__ import annotations

import random

import numpy as np
import pytest

from prover_core.errors import InvalidInputError
from prover_core.gpu import CudaBackend
from prover_core.gpu.device import Device
from prover_core.gpu.field import radices
from prover_core.native import CpuBackend
from prover_core.reference import ReferenceBackend
from prover_core.types import FrMontVector, FrVector, R

CPU = CpuBackend(1)


def strict(device: Device) -> CudaBackend:
    return CudaBackend(1, device=device, smallest=1, strict=True)


def vector(n: int, seed: int) -> FrMontVector:
    rng = random.Random(seed)
    return CPU.fr_to_montgomery(FrVector.from_ints([rng.choice([0, 1, R - 1, rng.randrange(R)]) for _ in range(n)]))


@pytest.mark.parametrize("k", [0, 1, 2, 3, 7, 8, 9, 10, 11])
def test_transforms_of_every_shape_of_pass(device: Device, k: int) -> None:
    """One pass to 2^8, two above; tiles that are not full, exactly full and several."""
    backend, x = strict(device), vector(1 << k, k)
    there = backend.ntt(x)
    assert np.array_equal(there.limbs, CPU.ntt(x).limbs)
    assert np.array_equal(backend.ntt(x, inverse=True).limbs, CPU.ntt(x, inverse=True).limbs)
    assert np.array_equal(backend.ntt(there, inverse=True).limbs, x.limbs)


def test_a_small_transform_is_the_oracles(one_device: Device) -> None:
    x = vector(16, 99)
    assert np.array_equal(strict(one_device).ntt(x).limbs, ReferenceBackend().ntt(x).limbs)


def test_three_passes(one_device: Device) -> None:
    k = 17
    assert radices(k) == [6, 6, 5]
    x = vector(1 << 10, 5)
    x = FrMontVector(np.ascontiguousarray(np.tile(x.limbs, (1 << (k - 10), 1))))
    x.limbs[3::1024, 0] = np.arange(len(x.limbs[3::1024]), dtype=np.uint64)
    assert np.array_equal(strict(one_device).ntt(x).limbs, CPU.ntt(x).limbs)


def test_passes_are_balanced() -> None:
    for k in range(1, 29):
        passes = radices(k)
        assert sum(passes) == k
        assert max(passes) <= 8
        assert max(passes) - min(passes) <= 1


@pytest.mark.parametrize("k", [1, 4, 9])
def test_quotients(device: Device, k: int) -> None:
    backend, n = strict(device), 1 << k
    a, b, c = vector(n, 1), vector(n, 2), vector(n, 3)
    assert np.array_equal(backend.quotient(a, b).limbs, CPU.quotient(a, b).limbs)
    assert np.array_equal(backend.quotient(a, b, c).limbs, CPU.quotient(a, b, c).limbs)


def test_roots_grow_with_what_is_asked(one_device: Device) -> None:
    """Tables made for a short transform and then for a longer one serve both."""
    backend = strict(one_device)
    for k in (3, 10, 4, 10, 3):
        x = vector(1 << k, k)
        assert np.array_equal(backend.ntt(x).limbs, CPU.ntt(x).limbs)


def matrix_arrays(rng: random.Random, rows: int, cols: int) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
    """Rows empty, short, and long enough for a block of threads; values 1, -1 and others."""
    lengths = [rng.choice([0, 1, 2, 3, 5]) for _ in range(rows)]
    lengths[rows // 2] = 700
    lengths[-1] = 257
    lengths[0] = 256
    total = sum(lengths)
    return (
        np.cumsum([0, *lengths]).astype(np.uint64),
        np.array([rng.randrange(cols) for _ in range(total)], dtype=np.uint32),
        np.array([rng.randrange(4) for _ in range(total)], dtype=np.uint32),
    )


def test_sparse_products(device: Device) -> None:
    rng = random.Random(4)
    rows, cols = 300, 120
    row_start, col, value_index = matrix_arrays(rng, rows, cols)
    values = FrVector.from_ints([1, R - 1, rng.randrange(R), 2])
    witness = FrVector.from_ints([rng.choice([0, 1, R - 1, rng.randrange(R)]) for _ in range(cols)])
    backend = strict(device)
    matrix = backend.matrix(rows, cols, row_start, col, value_index, values)
    expected = CPU.matrix(rows, cols, row_start, col, value_index, values)
    assert np.array_equal(matrix.product(witness).limbs, expected.product(witness).limbs)
    for first, count in ((0, 1), (149, 3), (150, 150), (7, None)):
        got = matrix.product(witness, first, count)
        assert np.array_equal(got.limbs, expected.product(witness, first, count).limbs)


def test_misuse_is_refused_as_on_the_cpu(one_device: Device) -> None:
    backend = strict(one_device)
    x = vector(8, 1)
    with pytest.raises(InvalidInputError):
        backend.ntt(x[:6])
    with pytest.raises(InvalidInputError):
        backend.quotient(x, x[:4])
    matrix = backend.matrix(
        1, 1, np.array([0, 1], dtype=np.uint64), np.zeros(1, np.uint32), np.zeros(1, np.uint32), FrVector.from_ints([3])
    )
    with pytest.raises(InvalidInputError):
        matrix.product(FrVector.from_ints([1, 2]))
    with pytest.raises(InvalidInputError):
        matrix.product(FrVector.from_ints([1]), 0, 2)
    big = FrVector(np.frombuffer(R.to_bytes(32, "little"), dtype="<u8").reshape(1, 4))
    with pytest.raises(InvalidInputError, match="not below r"):
        matrix.product(big)
