"""The eight-wide engine against the scalar one, itself tested against the oracle: same bytes on hard inputs."""

from __future__ import annotations

import numpy as np
import pytest

from prover_core.errors import InvalidInputError
from prover_core.native import CpuBackend
from prover_core.types import FrMontVector, FrVector, G1Point, G1Vector, G2Point, G2Vector, R, g1_vector, g2_vector

WIDE, SCALAR = CpuBackend(2), CpuBackend(2, scalar=True)
pytestmark = pytest.mark.skipif("avx512-ifma" not in WIDE.device, reason="this processor has no AVX-512 IFMA")

G1 = G1Point(1, 2)
G2 = G2Point(
    (
        0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
        0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    ),
    (
        0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
        0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    ),
)


def scalars(n: int, seed: int = 1) -> FrVector:
    """Uniform scalars."""
    rng = np.random.default_rng(seed)
    limbs = rng.integers(0, 2**64, (n, 4), dtype=np.uint64)
    limbs[:, 3] %= np.uint64(R >> 192)
    return FrVector(limbs)


def skewed(n: int) -> FrVector:
    """What witnesses look like, and worse: zeros, ones, minus ones, bits of bytes, one value again and again."""
    values = scalars(n, 2).limbs.copy()
    kind = np.random.default_rng(3).integers(0, 7, n)
    minus_one = FrVector.from_ints([R - 1]).limbs[0]
    minus_five = FrVector.from_ints([R - 5]).limbs[0]
    values[kind == 0] = 0
    values[kind == 1] = (1, 0, 0, 0)
    values[kind == 2] = minus_one
    values[kind == 3] = minus_five
    small = kind == 4
    values[small, 0] &= np.uint64(0xFF)
    values[small, 1:] = 0
    values[kind == 5] = values[5]
    return FrVector(values)


N = 5000


@pytest.fixture(scope="module")
def g1_bases() -> G1Vector:
    return SCALAR.g1_fixed_base(G1, scalars(N, 4))


@pytest.fixture(scope="module")
def g2_bases() -> G2Vector:
    return SCALAR.g2_fixed_base(G2, scalars(N, 4))


def hard_bases(limbs: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Many equal neighbours (doublings in one bucket) and many points at infinity."""
    out = limbs.copy()
    out[1::2] = out[0::2][: len(out[1::2])]
    out[::13] = 0
    return out


@pytest.mark.parametrize("make", [scalars, skewed])
@pytest.mark.parametrize("chunks", [1, 7])
@pytest.mark.parametrize("hard", [False, True])
def test_g1_sums_agree(g1_bases: G1Vector, make, chunks: int, hard: bool) -> None:  # type: ignore[no-untyped-def]
    bases = G1Vector(hard_bases(g1_bases.limbs)) if hard else g1_bases
    k = make(N)
    wide = WIDE.g1_accumulator(bases)
    for i in range(chunks):
        begin, end = N * i // chunks, N * (i + 1) // chunks
        wide.add(begin, k[begin:end])
    wide.add_point(G1)
    scalar = SCALAR.g1_accumulator(bases)
    scalar.add(0, k)
    scalar.add_point(G1)
    assert wide.finish() == scalar.finish()


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("make", [scalars, skewed])
def test_g2_sums_agree(g2_bases: G2Vector, make, hard: bool) -> None:  # type: ignore[no-untyped-def]
    bases = G2Vector(hard_bases(g2_bases.limbs)) if hard else g2_bases
    assert WIDE.g2_msm(bases, make(N)) == SCALAR.g2_msm(bases, make(N))


@pytest.mark.parametrize("make", [scalars, skewed])
@pytest.mark.parametrize("n", [256, 2050, N])
def test_multiples_of_one_base_agree(make, n: int) -> None:  # type: ignore[no-untyped-def]
    """Blocks that are full and not, 0, 1, -1 and equal neighbours among the scalars."""
    k = make(n)
    assert np.array_equal(WIDE.g1_fixed_base(G1, k).limbs, SCALAR.g1_fixed_base(G1, k).limbs)
    assert np.array_equal(WIDE.g2_fixed_base(G2, k).limbs, SCALAR.g2_fixed_base(G2, k).limbs)


def test_multiples_of_infinity_and_of_refused_scalars() -> None:
    assert not WIDE.g1_fixed_base(G1Point(0, 0), scalars(300)).limbs.any()
    assert not WIDE.g2_fixed_base(G2Point((0, 0), (0, 0)), scalars(300)).limbs.any()
    k = scalars(300).limbs.copy()
    k[299] = np.frombuffer(R.to_bytes(32, "little"), dtype=np.uint64)
    with pytest.raises(InvalidInputError, match="not below r"):
        WIDE.g1_fixed_base(G1, FrVector(k))


@pytest.mark.parametrize("engine", [WIDE, SCALAR])
def test_a_sum_that_failed_halfway_is_closed_and_one_out_of_range_is_not(engine: CpuBackend) -> None:
    bases, good = engine.g1_fixed_base(G1, scalars(N)), scalars(N)
    spoiled = good.limbs.copy()
    spoiled[N - 1] = np.frombuffer(R.to_bytes(32, "little"), dtype=np.uint64)
    accumulator = engine.g1_accumulator(bases)
    with pytest.raises(InvalidInputError, match="leaves the bases"):
        accumulator.add(1, good)
    accumulator.add(0, good)
    with pytest.raises(InvalidInputError, match="not below r"):
        accumulator.add(0, FrVector(spoiled))
    for late in (accumulator.finish, lambda: accumulator.settle(0), lambda: accumulator.add(0, good)):
        with pytest.raises(InvalidInputError, match="failed halfway"):
            late()


def test_opposite_points_cancel_to_infinity() -> None:
    """Every bucket holds P and -P: sums pass through infinity in every lane."""
    p = g1_vector([G1]).limbs[0]
    q = g1_vector([G1Point(1, 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD45)]).limbs[0]
    bases = np.empty((4096, 2, 4), dtype=np.uint64)
    bases[0::2], bases[1::2] = p, q
    k = scalars(2048).limbs.repeat(2, axis=0)
    assert WIDE.g1_msm(G1Vector(bases), FrVector(k)).is_infinity
    g2 = g2_vector([G2]).limbs.repeat(4096, axis=0)
    half = scalars(2048).to_ints()
    pairs = FrVector.from_ints([v for k in half for v in (k, (R - k) % R)])
    assert WIDE.g2_msm(G2Vector(g2), pairs).is_infinity


def test_one_point_with_every_scalar_is_the_sum_of_scalars() -> None:
    """All points of all buckets equal: every addition of the trees is a doubling."""
    k = scalars(4096, 9)
    bases = g1_vector([G1]).limbs.repeat(4096, axis=0)
    total = FrVector.from_ints([sum(k.to_ints()) % R])
    assert WIDE.g1_msm(G1Vector(bases), k) == SCALAR.g1_msm(g1_vector([G1]), total)


@pytest.mark.parametrize("threads", [1, 3, 64])
def test_threads_do_not_change_the_sum(g1_bases: G1Vector, threads: int) -> None:
    assert CpuBackend(threads).g1_msm(g1_bases, skewed(N)) == SCALAR.g1_msm(g1_bases, skewed(N))


def test_unaligned_bases_are_read_where_they_lie(g1_bases: G1Vector) -> None:
    raw = np.zeros(N * 64 + 8, dtype=np.uint8)
    raw[4 : 4 + N * 64] = np.frombuffer(g1_bases.limbs.tobytes(), dtype=np.uint8)
    moved = np.frombuffer(raw.data[4 : 4 + N * 64], dtype=np.uint64).reshape(-1, 2, 4)
    k = scalars(N)
    assert WIDE.g1_msm(G1Vector(moved), k) == SCALAR.g1_msm(g1_bases, k)


def test_a_scalar_that_is_not_canonical_is_refused(g1_bases: G1Vector) -> None:
    k = scalars(N).limbs.copy()
    k[N - 1] = np.frombuffer(R.to_bytes(32, "little"), dtype=np.uint64)
    with pytest.raises(InvalidInputError, match="not below r"):
        WIDE.g1_msm(g1_bases, FrVector(k))


@pytest.mark.parametrize("log2", [7, 8, 9, 12, 15, 16, 17])
def test_transforms_agree(log2: int) -> None:
    """Rows and columns of both parities of levels; extreme values in the first and last places."""
    limbs = scalars(1 << log2, log2).limbs.copy()
    limbs[0] = limbs[-1] = FrVector.from_ints([R - 1]).limbs[0]
    v = FrMontVector(limbs)
    for inverse in (False, True):
        wide, scalar = WIDE.ntt(v, inverse=inverse), SCALAR.ntt(v, inverse=inverse)
        assert np.array_equal(wide.limbs, scalar.limbs)


def test_the_largest_values_stay_within_their_bounds() -> None:
    """All r - 1: every sum of the lazy butterflies is as large as it can be."""
    v = FrMontVector(FrVector.from_ints([R - 1]).limbs.repeat(1 << 16, axis=0))
    assert np.array_equal(WIDE.ntt(v).limbs, SCALAR.ntt(v).limbs)


@pytest.mark.parametrize("log2", [8, 11, 16])
@pytest.mark.parametrize("given", [False, True])
def test_quotients_agree(log2: int, given: bool) -> None:
    a, b, c = (FrMontVector(scalars(1 << log2, s).limbs) for s in (11, 12, 13))
    third = c if given else None
    assert np.array_equal(WIDE.quotient(a, b, third).limbs, SCALAR.quotient(a, b, third).limbs)
