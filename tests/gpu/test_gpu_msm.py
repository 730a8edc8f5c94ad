"""Sums on the device against multiples of known logarithms: skewed scalars, infinities, chunks, blocks, misuse."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from prover_core.errors import InvalidInputError
from prover_core.gpu import CudaBackend
from prover_core.gpu.device import Device
from prover_core.gpu.engine import Engine
from prover_core.gpu.groups import GRUMPKIN, constants
from prover_core.gpu.msm import Windows
from prover_core.native import CpuBackend
from prover_core.reference import curve
from prover_core.types import FrVector, G1Vector, Q, R, g1_vector, g2_vector

CPU = CpuBackend(1)
N = 600
SHAPES: dict[str, Callable[[random.Random], int]] = {
    "uniform": lambda rng: rng.randrange(R),
    "zeros": lambda rng: 0,
    "ones": lambda rng: 1,
    "plus and minus one": lambda rng: rng.choice([1, R - 1]),
    "small": lambda rng: rng.randrange(1 << 16),
    "small negative": lambda rng: R - rng.randrange(1, 1 << 20),
    "one repeated": lambda rng: 0x1234567890ABCDEF1234567890ABCDEF,
    "few repeated": lambda rng: rng.choice([2, 3, R // 2, R // 2 + 1, R - 2]),
    "powers of two": lambda rng: 1 << rng.randrange(253),
    "witness-like": lambda rng: rng.choice([0, 0, 0, 1, 1, rng.randrange(256), rng.randrange(R)]),
}


class Group:
    """A group's methods and N bases d_i G with known d_i, infinities, equals and opposites among them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.oracle: Any = curve.G1 if name == "g1" else curve.G2
        self.pack: Any = g1_vector if name == "g1" else g2_vector
        rng = random.Random(7)
        self.logs = [rng.randrange(R) for _ in range(N)]
        for i in range(0, N, 29):
            self.logs[i] = 0
        for i in range(1, N - 1, 13):
            self.logs[i + 1] = self.logs[i] if i % 2 else R - self.logs[i]
        scalars = FrVector.from_ints(self.logs)
        method: Any = CPU.g1_fixed_base if name == "g1" else CPU.g2_fixed_base
        self.bases = method(self.oracle.generator, scalars)

    def accumulator(self, backend: CudaBackend, bases: Any) -> Any:
        return backend.g1_accumulator(bases) if self.name == "g1" else backend.g2_accumulator(bases)

    def msm(self, backend: CudaBackend, bases: Any, scalars: Sequence[int]) -> Any:
        method: Any = backend.g1_msm if self.name == "g1" else backend.g2_msm
        return method(bases, FrVector.from_ints(list(scalars)))

    def expected(self, scalars: Sequence[int], start: int = 0) -> Any:
        total = sum(k * d for k, d in zip(scalars, self.logs[start:], strict=False))
        return self.oracle.multiply(self.oracle.generator, total % R)


@pytest.fixture(scope="module", params=["g1", "g2"])
def group(request: pytest.FixtureRequest) -> Group:
    return Group(request.param)


def draw(shape: str, n: int, seed: int = 1) -> list[int]:
    rng = random.Random(seed)
    return [SHAPES[shape](rng) for _ in range(n)]


def strict(device: Device, block_scalars: int = 1 << 19) -> CudaBackend:
    return CudaBackend(1, device=device, smallest=1, strict=True, block_scalars=block_scalars)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_distribution_of_scalars(one_device: Device, group: Group, shape: str) -> None:
    scalars = draw(shape, N)
    assert group.msm(strict(one_device), group.bases, scalars) == group.expected(scalars)


def test_every_order_of_threads(device: Device, group: Group) -> None:
    scalars = draw("witness-like", N, 3)
    assert group.msm(strict(device, 250), group.bases, scalars) == group.expected(scalars)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 257])
def test_every_size(one_device: Device, group: Group, n: int) -> None:
    scalars = draw("uniform", n)
    assert group.msm(strict(one_device), group.bases[:n], scalars) == group.expected(scalars)


def test_a_bucket_of_many_tasks(one_device: Device) -> None:
    """One digit for all: each window's bucket is cut into dozens of tasks and put together again."""
    group = Group("g1")
    bases = G1Vector(np.ascontiguousarray(np.concatenate([group.bases.limbs] * 7)))
    sums = [0] * N
    scalars = [3 if i % 5 else 2**200 + 3 for i in range(7 * N)]
    for i, k in enumerate(scalars):
        sums[i % N] += k
    assert group.msm(strict(one_device), bases, scalars) == group.expected(sums)


def test_addition_is_complete(one_device: Device, group: Group) -> None:
    """k P + l Q for pairs out of infinity, P, -P and 2P, with scalars that meet in one bucket or cancel."""
    logs = [0, 1, R - 1, 2]
    points = [group.oracle.multiply(group.oracle.generator, k) for k in logs]
    backend = strict(one_device)
    for (a, log_a), (b, log_b) in itertools.product(zip(points, logs, strict=True), repeat=2):
        for k, m in [(1, R - 1), (5, 5), (5, R - 5), (0, 9)]:
            expected = group.oracle.multiply(points[1], (k * log_a + m * log_b) % R)
            assert group.msm(backend, group.pack([a, b]), [k, m]) == expected, (log_a, log_b, k, m)


def test_chunks_in_any_order(one_device: Device, group: Group) -> None:
    scalars = draw("witness-like", N, 5)
    borders = [0, 1, 40, 40, 300, N]
    pieces = list(itertools.pairwise(borders))
    random.Random(1).shuffle(pieces)
    accumulator = group.accumulator(strict(one_device, 100), group.bases)
    for begin, end in pieces:
        accumulator.add(begin, FrVector.from_ints(scalars[begin:end]))
    assert accumulator.finish() == group.expected(scalars)


def test_partials_and_overlapping_ranges_add_up(one_device: Device, group: Group) -> None:
    a, b = draw("uniform", 40, 8), draw("small", 30, 9)
    accumulator = group.accumulator(strict(one_device), group.bases)
    accumulator.add(0, FrVector.from_ints(a))
    accumulator.add(10, FrVector.from_ints(b))
    partial = group.oracle.multiply(group.oracle.generator, 31337)
    accumulator.add_point(partial)
    accumulator.add_point(partial)
    accumulator.add_point(group.oracle.infinity)
    expected = group.oracle.add(group.expected(a), group.expected(b, 10))
    assert accumulator.finish() == group.oracle.add(expected, group.oracle.multiply(partial, 2))


def test_nothing_added_is_infinity(one_device: Device, group: Group) -> None:
    accumulator = group.accumulator(strict(one_device), group.bases)
    accumulator.add(5, FrVector.from_ints([]))
    assert accumulator.finish() == group.oracle.infinity


def test_the_caller_may_reuse_its_buffer(one_device: Device, group: Group) -> None:
    scalars = FrVector(np.array(FrVector.from_ints(draw("uniform", 20)).limbs))
    accumulator = group.accumulator(strict(one_device), group.bases)
    accumulator.add(0, scalars)
    scalars.limbs[:] = 0
    accumulator.add(20, scalars)
    assert accumulator.finish() == group.expected(draw("uniform", 20))


def test_misuse_is_refused(one_device: Device, group: Group) -> None:
    backend = strict(one_device)
    two = FrVector.from_ints([1, 2])
    accumulator = group.accumulator(backend, group.bases[:10])
    for start in (9, 11, -1):
        with pytest.raises(InvalidInputError, match="leaves the bases"):
            accumulator.add(start, two)
    other = curve.G2 if group.name == "g1" else curve.G1
    with pytest.raises(InvalidInputError, match="cannot be added"):
        accumulator.add_point(other.generator)
    accumulator.add(8, two)
    assert accumulator.finish() == group.expected([1, 2], 8)
    for late in (accumulator.finish, lambda: accumulator.add(0, two), lambda: accumulator.add_point(other.generator)):
        with pytest.raises(InvalidInputError):
            late()
    for value in (R, R + 1, 2**256 - 1):
        limbs = np.frombuffer(value.to_bytes(32, "little"), dtype="<u8").reshape(1, 4)
        spoiled = group.accumulator(backend, group.bases[:10])
        spoiled.add(1, FrVector(limbs))
        with pytest.raises(InvalidInputError, match="not below r"):
            spoiled.finish()


def test_windows_cover_every_scalar_and_fit_the_memory() -> None:
    for c in range(4, 23):
        w = Windows(c)
        assert w.count * c >= 254
        top = (R // 2 + w.offset) >> (c * (w.count - 1))
        assert top <= w.buckets, "the last digit has a bucket"
        for k in (0, 2, R // 2, 1 << (c - 1), (1 << 252) - 1):
            shifted = k + w.offset
            digits = [(shifted >> (c * i)) % (1 << c) - (w.buckets if i + 1 < w.count else 0) for i in range(w.count)]
            assert sum(d << (c * i) for i, d in enumerate(digits)) == k
            assert max(map(abs, digits)) <= w.buckets
    for n in (1, 1000, 1 << 20, 1 << 26):
        w = Windows.cheapest(n, 128, 1 << 28)
        assert w.count * w.buckets * 128 <= 1 << 28


def test_grumpkin_by_swapped_fields(device: Device) -> None:
    """The same kernels over Fr, with scalars modulo q, against double-and-add in Python's integers."""

    def add(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:
        if (0, 0) in (p, q):
            return p if q == (0, 0) else q
        if p[0] == q[0] and (p[1] + q[1]) % R == 0:
            return (0, 0)
        slope = 3 * p[0] ** 2 * pow(2 * p[1], -1, R) if p == q else (q[1] - p[1]) * pow(q[0] - p[0], -1, R)
        x = (slope**2 - p[0] - q[0]) % R
        return x, (slope * (p[0] - x) - p[1]) % R

    def multiply(k: int, p: tuple[int, int]) -> tuple[int, int]:
        total = (0, 0)
        for bit in bin(k)[2:]:
            total = add(total, total)
            total = add(total, p) if bit == "1" else total
        return total

    generator = (1, 17631683881184975370165255887551781615748388533673675138860)
    assert GRUMPKIN.on_curve((generator[0], 0), (generator[1], 0))
    assert multiply(Q - 1, generator) == (1, R - generator[1])
    rng = random.Random(6)
    logs = [0, 1, 1, Q - 1, *(rng.randrange(Q) for _ in range(20))]
    scalars = [rng.choice([0, 1, Q - 1, R, rng.randrange(Q)]) for _ in logs]
    points = [multiply(k, generator) for k in logs]
    bases = constants(R, [c for p in points for c in p])
    engine = Engine(device)
    with engine.lanes.one() as lane:
        lease = engine.residents.acquire(bases, lane.stream)
        at = lane.scratch("scalars", 32 * len(scalars))
        raw = np.frombuffer(b"".join(k.to_bytes(32, "little") for k in scalars), dtype="<u8")
        lane.stream.upload(at, raw)
        opened = engine.sum(GRUMPKIN, lane, len(points))
        opened.add(lease.address, 0, at, len(points))
        parts = opened.finish()
        lease.release()
    total = (0, 0)
    for weight, (x, y) in parts:
        total = add(total, multiply(weight, (x[0], y[0])))
    assert total == multiply(sum(k * d for k, d in zip(scalars, logs, strict=True)) % Q, generator)
