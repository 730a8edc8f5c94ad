"""Laws of the groups, the streaming MSM and fixed-base multiplication, in G1 and G2 alike.

Bases are multiples d_i G with known d_i, so every sum has an independent value: the oracle's (sum k_i d_i mod r) G.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover_core.errors import InvalidInputError
from prover_core.native import CpuBackend
from prover_core.reference import curve
from prover_core.types import FrVector, G1Vector, G2Vector, R, g1_points, g1_vector, g2_points, g2_vector

FULL = 4000
SHAPES: dict[str, Callable[[random.Random], int]] = {
    "uniform": lambda rng: rng.randrange(R),
    "zeros": lambda rng: 0,
    "ones": lambda rng: 1,
    "minus ones": lambda rng: R - 1,
    "plus and minus one": lambda rng: rng.choice([1, R - 1]),
    "bits": lambda rng: rng.randrange(2),
    "small": lambda rng: rng.randrange(1 << 16),
    "small negative": lambda rng: R - rng.randrange(1, 1 << 20),
    "one repeated": lambda rng: 0x1234567890ABCDEF1234567890ABCDEF,
    "few repeated": lambda rng: rng.choice([2, 3, R // 2, R // 2 + 1, R - 2]),
    "powers of two": lambda rng: 1 << rng.randrange(253),
    "witness-like": lambda rng: rng.choice([0, 0, 0, 1, 1, rng.randrange(256), rng.randrange(R)]),
}


class Group:
    """One of the two groups: the backend's methods, the oracle, and FULL bases with infinities, equals, opposites."""

    def __init__(self, name: str, scalar: bool) -> None:
        self.name = name
        self.scalar = scalar
        self.oracle: Any = curve.G1 if name == "g1" else curve.G2
        self.pack: Any = g1_vector if name == "g1" else g2_vector
        self.unpack: Any = g1_points if name == "g1" else g2_points
        self.vector: Any = G1Vector if name == "g1" else G2Vector
        rng = random.Random(254)
        self.logs = [rng.randrange(R) for _ in range(FULL)]
        for i in range(0, FULL, 97):
            self.logs[i] = 0
        for i in range(1, FULL - 1, 53):
            self.logs[i + 1] = self.logs[i] if i % 2 else R - self.logs[i]
        self.bases = self.fixed(self.backend(), self.oracle.generator, self.logs)

    def backend(self, threads: int | None = None) -> CpuBackend:
        return CpuBackend(threads, scalar=self.scalar)

    def fixed(self, backend: CpuBackend, base: Any, scalars: Sequence[int]) -> Any:
        method: Any = getattr(backend, f"{self.name}_fixed_base")
        return method(base, FrVector.from_ints(list(scalars)))

    def msm(self, backend: CpuBackend, bases: Any, scalars: Sequence[int]) -> Any:
        method: Any = getattr(backend, f"{self.name}_msm")
        return method(bases, FrVector.from_ints(list(scalars)))

    def accumulator(self, backend: CpuBackend, bases: Any) -> Any:
        return getattr(backend, f"{self.name}_accumulator")(bases)

    def expected(self, scalars: Sequence[int], start: int = 0) -> Any:
        total = sum(k * d for k, d in zip(scalars, self.logs[start:], strict=False))
        return self.oracle.multiply(self.oracle.generator, total % R)


@pytest.fixture(scope="module", params=["g1", "g2", "g1 scalar", "g2 scalar"])
def group(request: pytest.FixtureRequest) -> Group:
    """Each group with the widest instructions of this processor, and one element at a time."""
    return Group(request.param[:2], "scalar" in request.param)


def draw(shape: str, n: int, seed: int = 1) -> list[int]:
    rng = random.Random(seed)
    return [SHAPES[shape](rng) for _ in range(n)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_distribution_of_scalars(group: Group, shape: str) -> None:
    scalars = draw(shape, FULL)
    expected = group.expected(scalars)
    assert group.msm(group.backend(), group.bases, scalars) == expected
    for threads in (1, 40):  # 40: windows are cut into slices of buckets
        assert group.msm(group.backend(threads), group.bases, scalars) == expected


@pytest.mark.parametrize("n", [0, 1, 2, 3, 17, 500])
def test_every_size(group: Group, n: int) -> None:
    scalars = draw("uniform", n)
    assert group.msm(group.backend(), group.bases[:n], scalars) == group.expected(scalars)


def test_addition_is_complete(group: Group) -> None:
    """k P + l Q for every pair out of infinity, P, -P, 2P and Q, and scalars that meet in one bucket or cancel."""
    p = group.oracle.generator
    logs = [0, 1, R - 1, 2, 12345]
    points = [group.oracle.multiply(p, k) for k in logs]
    backend = group.backend(1)
    for (a, log_a), (b, log_b) in itertools.product(zip(points, logs, strict=True), repeat=2):
        bases = group.pack([a, b])
        for k, m in [(1, 1), (1, R - 1), (5, 5), (5, R - 5), (7, 3), (R - 1, R - 1), (0, 9)]:
            expected = group.oracle.multiply(p, (k * log_a + m * log_b) % R)
            assert group.msm(backend, bases, [k, m]) == expected, (log_a, log_b, k, m)


def test_equal_and_opposite_points_in_one_bucket(group: Group) -> None:
    p = group.oracle.multiply(group.oracle.generator, 77)
    minus_p = group.oracle.negate(p)
    for points, total in [([p] * 9, 9), ([p, minus_p] * 4, 0), ([p, minus_p, p, p, minus_p, p], 2)]:
        for k in (1, 2, 1 << 100, R - 3):
            got = group.msm(group.backend(1), group.pack(points), [k] * len(points))
            assert got == group.oracle.multiply(p, total * k % R)


def test_linearity(group: Group) -> None:
    a, b = draw("uniform", 300, 2), draw("witness-like", 300, 3)
    backend = group.backend()
    together = group.msm(backend, group.bases, [(3 * x + y) % R for x, y in zip(a, b, strict=True)])
    first = group.msm(backend, group.bases, a)
    second = group.msm(backend, group.bases, b)
    assert together == group.oracle.add(group.oracle.multiply(first, 3), second)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_chunks_equal_one_shot(group: Group, data: st.DataObject) -> None:
    scalars = draw("witness-like", 1000, 5)
    cuts = sorted(data.draw(st.lists(st.integers(0, 1000), max_size=6)))
    borders = [0, *cuts, 1000]
    pieces = data.draw(st.permutations(list(itertools.pairwise(borders))))
    accumulator = group.accumulator(group.backend(), group.bases)
    for begin, end in pieces:
        accumulator.add(begin, FrVector.from_ints(scalars[begin:end]))
    assert accumulator.finish() == group.msm(group.backend(), group.bases, scalars)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_settling_changes_no_sum(group: Group, data: st.DataObject) -> None:
    """At any points, before the first scalar and after the last, with bases left out and bases that come twice."""
    scalars = draw("witness-like", FULL, 6)
    cuts = sorted(data.draw(st.lists(st.integers(0, FULL), max_size=5)))
    pieces = data.draw(st.permutations(list(itertools.pairwise([0, *cuts, FULL]))))
    settled = data.draw(st.lists(st.booleans(), min_size=len(pieces) + 1, max_size=len(pieces) + 1))
    pieces += data.draw(st.sampled_from([[], [(0, 700)], [(100, 101), (0, FULL)]]))
    accumulator = group.accumulator(group.backend(), group.bases)
    expected = [0] * FULL
    for i, (begin, end) in enumerate(pieces):
        if settled[i % len(settled)]:
            accumulator.settle(data.draw(st.sampled_from([0, 300, FULL, 10 * FULL])))
        accumulator.add(begin, FrVector.from_ints(scalars[begin:end]))
        expected[begin:end] = [x + k for x, k in zip(expected[begin:end], scalars[begin:end], strict=True)]
    if settled[-1]:
        accumulator.settle(0)
        accumulator.settle(0)
    assert accumulator.finish() == group.expected(expected)


def test_blocks_larger_than_one(group: Group) -> None:
    """More scalars than the 2^16 that are sorted at once, over repeated bases."""
    n = (1 << 16) + 1234
    times = -(-n // FULL)
    bases = group.vector(np.ascontiguousarray(np.concatenate([group.bases.limbs] * times)[:n]))
    scalars = draw("witness-like", n, 7)
    sums = [0] * FULL
    for i, k in enumerate(scalars):
        sums[i % FULL] += k
    assert group.msm(group.backend(), bases, scalars) == group.expected(sums)


def test_partials_and_overlapping_ranges_add_up(group: Group) -> None:
    a, b = draw("uniform", 40, 8), draw("small", 30, 9)
    accumulator = group.accumulator(group.backend(), group.bases)
    accumulator.add(0, FrVector.from_ints(a))
    accumulator.add(10, FrVector.from_ints(b))
    partial = group.oracle.multiply(group.oracle.generator, 31337)
    accumulator.add_point(partial)
    accumulator.add_point(partial)
    accumulator.add_point(group.oracle.infinity)
    expected = group.oracle.add(group.expected(a), group.expected(b, 10))
    assert accumulator.finish() == group.oracle.add(expected, group.oracle.multiply(partial, 2))


def test_misuse_is_refused(group: Group) -> None:
    backend = group.backend()
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
    for late in (
        accumulator.finish,
        lambda: accumulator.settle(0),
        lambda: accumulator.add(0, two),
        lambda: accumulator.add_point(other.generator),
    ):
        with pytest.raises(InvalidInputError):
            late()
    for value in (R, R + 1, 2**256 - 1):
        limbs = np.frombuffer(value.to_bytes(32, "little"), dtype="<u8").reshape(1, 4)
        with pytest.raises(InvalidInputError, match="not below r"):
            backend.g1_msm(G1Vector(np.zeros((1, 2, 4), dtype=np.uint64)), FrVector(limbs))
        with pytest.raises(InvalidInputError, match="not below r"):
            backend.g1_fixed_base(curve.G1.generator, FrVector(limbs))


def test_bases_may_be_an_unaligned_read_only_map(group: Group, tmp_path: Path) -> None:
    """Sections of a .zkey begin at any multiple of four bytes."""
    path = tmp_path / "section"
    path.write_bytes(b"\0" * 12 + group.bases.limbs[:200].tobytes())
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    bases = group.vector(np.frombuffer(mapped, dtype="<u8", offset=12).reshape(200, *group.bases.limbs.shape[1:]))
    scalars = draw("uniform", 200)
    assert group.msm(group.backend(), bases, scalars) == group.expected(scalars)


@pytest.mark.parametrize("n", [1, 5, 600, 5000])
def test_fixed_base_is_msm_of_one(group: Group, n: int) -> None:
    scalars = draw("uniform", n, n)
    scalars[: len(SHAPES)] = [SHAPES[s](random.Random(n)) for s in SHAPES][:n]
    base = group.oracle.multiply(group.oracle.generator, 1234567)
    points = group.unpack(group.fixed(group.backend(), base, scalars))
    for i in {*range(min(n, 14)), n // 2, n - 1}:
        assert points[i] == group.oracle.multiply(base, scalars[i])
    multiples = group.pack(points)
    weights = draw("uniform", n, 11)
    total = sum(w * k for w, k in zip(weights, scalars, strict=True)) % R
    assert group.msm(group.backend(), multiples, weights) == group.oracle.multiply(base, total)


def test_fixed_base_of_infinity(group: Group) -> None:
    points = group.unpack(group.fixed(group.backend(), group.oracle.infinity, [0, 1, 2, R - 1]))
    assert points == [group.oracle.infinity] * 4
