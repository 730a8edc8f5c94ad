"""`proof_batch`: the eight-wide engine, the scalar one and the oracle give the same verdicts, on anything at all.

A batch needs no real proofs: choose A_i = a_i G, B_i = b_i H and the key's points with known discrete logarithms, and
C_i follows from the equation -a_i b_i + αβ + x_i γ + c_i δ = 0.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from prover_core.backend import Backend, ProofBatch
from prover_core.errors import InvalidInputError
from prover_core.native import CpuBackend
from prover_core.reference import ReferenceBackend
from prover_core.reference.curve import G1, G2
from prover_core.reference.tower import Fq2
from prover_core.types import FrVector, G1Point, G1Vector, G2Point, G2Vector, Q, R, g1_points, g2_points

RNG = random.Random(1973)
WIDE, SCALAR = CpuBackend(2), CpuBackend(1, scalar=True)
BACKENDS = [pytest.param(WIDE, id="best"), pytest.param(SCALAR, id="scalar")]
COFACTOR = 2 * Q - R
N_PUBLIC = 2


@dataclass
class Instance:
    """A key and proofs, as `proof_batch` takes them."""

    g1: G1Vector
    g2: G2Vector
    proofs: npt.NDArray[np.uint8]
    publics: npt.NDArray[np.uint8]
    coefficients: npt.NDArray[np.uint64]

    def opened(self, backend: Backend) -> ProofBatch:
        """The batch on a backend."""
        return backend.proof_batch(self.g1, self.g2, self.proofs, self.publics, self.coefficients)

    def put(self, i: int, *, a: G1Point | None = None, b: G2Point | None = None, c: G1Point | None = None) -> None:
        """Replaces points of proof i."""
        words = self.proofs[i].reshape(8, 32)
        new = {}
        if a is not None:
            new |= {0: a.x, 1: a.y}
        if b is not None:
            new |= {2: b.x[1], 3: b.x[0], 4: b.y[1], 5: b.y[0]}
        if c is not None:
            new |= {6: c.x, 7: c.y}
        for k, v in new.items():
            words[k] = np.frombuffer(v.to_bytes(32, "big"), np.uint8)

    def public(self, i: int, j: int, value: int) -> None:
        """Replaces public signal j of proof i."""
        self.publics[i * N_PUBLIC + j] = np.frombuffer(value.to_bytes(32, "little"), np.uint8)


def instance(n: int, zero_a: tuple[int, ...] = (), zero_b: tuple[int, ...] = ()) -> Instance:
    """n true proofs; some with A or B at infinity."""

    def some(k: int) -> list[int]:
        return [RNG.randrange(1, R) for _ in range(k)]

    alpha, beta, gamma, delta = some(4)
    ic = some(N_PUBLIC + 1)
    a, b, x = some(n), some(n), [some(N_PUBLIC) for _ in range(n)]
    a = [0 if i in zero_a else k for i, k in enumerate(a)]
    b = [0 if i in zero_b else k for i, k in enumerate(b)]
    sums = [(ic[0] + sum(s * t for s, t in zip(xi, ic[1:], strict=True))) % R for xi in x]
    c = [(ai * bi - alpha * beta - s * gamma) * pow(delta, -1, R) % R for ai, bi, s in zip(a, b, sums, strict=True)]

    def g1(k: list[int]) -> G1Vector:
        return SCALAR.g1_fixed_base(G1.generator, FrVector.from_ints(k))

    def g2(k: list[int]) -> G2Vector:
        return SCALAR.g2_fixed_base(G2.generator, FrVector.from_ints(k))

    out = Instance(
        g1([alpha, *ic]),
        g2([beta, gamma, delta]),
        np.zeros((n, 256), np.uint8),
        np.zeros((n * N_PUBLIC, 32), np.uint8),
        np.array([[RNG.getrandbits(64), RNG.getrandbits(64)] for _ in range(n)], np.uint64).reshape(n, 2),
    )
    for i, (pa, pb, pc) in enumerate(zip(g1_points(g1(a)), g2_points(g2(b)), g1_points(g1(c)), strict=True)):
        out.put(i, a=pa, b=pb, c=pc)
        for j in range(N_PUBLIC):
            out.public(i, j, x[i][j])
    return out


def twist_point() -> G2Point:
    """A random point of the whole twist."""
    while True:
        x = Fq2(RNG.randrange(Q), RNG.randrange(Q))
        y = (x * x * x + G2.b).sqrt()
        if y is not None:
            return G2Point((x.a, x.b), (y.a, y.b))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 17, 64, 65, 129])
def test_true_proofs_hold_and_one_false_one_is_seen(n: int, backend: CpuBackend) -> None:
    t = instance(n)
    batch = t.opened(backend)
    assert batch.well_formed.all()
    assert batch.holds(0, n)
    assert batch.holds(0, 0)
    k = RNG.randrange(n)
    t.public(k, 1, 12345)
    batch = t.opened(backend)
    assert batch.well_formed.all()
    assert not batch.holds(0, n)
    assert batch.holds(0, k)
    assert batch.holds(k + 1, n)
    assert not batch.holds(k, k + 1)


def test_no_short_relation_between_the_halves_of_a_coefficient() -> None:
    """s + t λ = 0 mod r has no solution below 2^120: coefficients differ, and scaling never meets equal points."""
    root = pow(5, (R - 1) // 3, R)
    assert (root * root + root + 1) % R == 0
    u, v = (R, 0), (-root % R, 1)
    assert (v[0] + v[1] * root) % R == 0
    while True:  # Gauss: v becomes a shortest vector
        if u[0] ** 2 + u[1] ** 2 < v[0] ** 2 + v[1] ** 2:
            u, v = v, u
        k = round(Fraction(u[0] * v[0] + u[1] * v[1], v[0] ** 2 + v[1] ** 2))
        if k == 0:
            break
        u = (u[0] - k * v[0], u[1] - k * v[1])
    assert v[0] ** 2 + v[1] ** 2 > 2**240


def test_more_than_a_block() -> None:
    t = instance(300)
    assert t.opened(WIDE).holds(0, 300)
    t.put(255, a=G1.generator)
    batch = t.opened(WIDE)
    assert [batch.holds(0, 255), batch.holds(0, 256), batch.holds(256, 300), batch.holds(250, 260)] == [
        True,
        False,
        True,
        False,
    ]


def test_the_oracle_agrees() -> None:
    """Every kind of proof at once, a range for each; the reference decides by definition."""
    t = instance(7)
    minus = G1.negate(G1.generator)
    t.put(1, a=minus)
    t.put(2, a=G1.infinity)
    t.put(3, b=G2.infinity)
    t.put(4, c=G1.infinity)
    t.put(5, b=twist_point())
    reference, wide, scalar = (t.opened(b) for b in (ReferenceBackend(), WIDE, SCALAR))
    assert reference.well_formed.tolist() == [True] * 5 + [False, True]
    for batch in (wide, scalar):
        assert batch.well_formed.tolist() == reference.well_formed.tolist()
    for first, last in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (5, 7), (0, 7)):
        expected = reference.holds(first, last)
        assert expected == (first in (0, 5) and last in (1, 6, 7) and (first, last) != (0, 7))
        assert wide.holds(first, last) == scalar.holds(first, last) == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_infinity_may_stand_in_a_true_proof(backend: CpuBackend) -> None:
    t = instance(12, zero_a=(4,), zero_b=(6, 7))
    assert not t.proofs[4, :64].any()
    assert not t.proofs[6, 64:192].any()
    batch = t.opened(backend)
    assert batch.well_formed.all()
    assert batch.holds(0, 12)
    assert batch.holds(4, 5)
    assert batch.holds(5, 8)
    t.put(4, c=G1.infinity)
    batch = t.opened(backend)
    assert batch.well_formed.all()
    assert not batch.holds(0, 12)
    assert not batch.holds(4, 5)
    assert batch.holds(5, 12)


def malformed(t: Instance) -> dict[int, str]:
    """Spoils proofs of an instance of at least 40; what must be named."""
    g = G2.generator
    small = [G2.multiply(twist_point(), R * (COFACTOR // order)) for order in (10069, 5864401)]
    bad = {0: "off", 3: "off", 5: "off"}
    t.put(0, a=G1Point(1, 3))
    t.put(3, c=G1Point(2, 2))
    t.put(5, b=G2Point(g.x, (g.y[0], (g.y[1] + 1) % Q)))
    order = {8: twist_point(), 9: small[0], 16: small[1], 17: G2.add(small[0], g), 23: G2.multiply(twist_point(), R)}
    for i, p in order.items():
        assert G2.is_on_curve(p)
        assert not p.is_infinity
        t.put(i, b=p)
        bad[i] = "order"
    t.put(24, b=small[0], a=G1.infinity)
    bad[24] = "order, though A is infinity"
    for k, i in enumerate(range(25, 33)):
        word = t.proofs[i].reshape(8, 32)[k]
        word[:] = np.frombuffer((int.from_bytes(word.tobytes(), "big") + Q).to_bytes(32, "big"), np.uint8)
        bad[i] = "not canonical"
    t.proofs[33] = 0xFF
    t.publics[34 * N_PUBLIC] = 0xFF
    t.public(35, 1, R)
    return bad | {33: "all ones", 34: "public above r", 35: "public r"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_malformed_proofs_are_named_and_spoil_nothing(backend: CpuBackend) -> None:
    t = instance(41)
    bad = malformed(t)
    batch = t.opened(backend)
    assert np.flatnonzero(~batch.well_formed).tolist() == sorted(bad)
    assert batch.holds(0, 41), "the malformed do not count"
    for first, last in ((0, 10), (8, 9), (7, 18), (16, 24), (20, 41)):
        assert batch.holds(first, last)
    t.put(19, c=G1.generator)
    batch = t.opened(backend)
    assert not batch.holds(0, 41)
    assert not batch.holds(16, 24)
    assert not batch.holds(19, 20)
    assert batch.holds(0, 19)
    assert batch.holds(20, 41)


@pytest.mark.skipif("avx512-ifma" not in WIDE.device, reason="this processor has no AVX-512 IFMA")
def test_all_multiples_of_a_point_of_small_order_are_refused() -> None:
    """Runs the affine steps into zero denominators: a point of order 10069 meets itself in the loop."""
    t = instance(16)
    p = G2.multiply(twist_point(), R * (COFACTOR // 10069))
    q = p
    for _ in range(12):
        for i in range(15):
            t.put(i, b=q)
            q = G2.add(q, p)
        batch = t.opened(WIDE)
        assert batch.well_formed.tolist() == [False] * 15 + [True]
        assert batch.holds(0, 16)


@pytest.mark.parametrize("words", [(0, 0), (2**64 - 1, 2**64 - 1), (0, 2**64 - 1), (2**63, 1), (0x8888888888888888, 0)])
def test_extreme_coefficients_and_equal_proofs(words: tuple[int, int]) -> None:
    """All lanes alike: sums of equal points, and of opposite ones in C."""
    t = instance(1)
    n = 20
    same = Instance(
        t.g1,
        t.g2,
        np.repeat(t.proofs, n, axis=0),
        np.tile(t.publics, (n, 1)),
        np.array([words] * n, np.uint64),
    )
    for backend in (WIDE, SCALAR):
        assert same.opened(backend).holds(0, n)
    c = same.proofs[3].reshape(8, 32)[6:]
    point = G1Point(*(int.from_bytes(w.tobytes(), "big") for w in c))
    same.put(3, c=G1.negate(point))
    for backend in (WIDE, SCALAR):
        batch = same.opened(backend)
        assert batch.well_formed.all()
        assert not batch.holds(0, n)
        assert batch.holds(4, n)


def test_sums_that_cancel() -> None:
    """C_0 + G and C_1 - G: both proofs are false, and equal coefficients would not see it."""
    t = instance(2)
    c = [G1Point(*(int.from_bytes(w.tobytes(), "big") for w in p.reshape(8, 32)[6:])) for p in t.proofs]
    t.put(0, c=G1.add(c[0], G1.generator))
    t.put(1, c=G1.add(c[1], G1.negate(G1.generator)))
    for backend in (WIDE, SCALAR):
        assert not t.opened(backend).holds(0, 2)
    t.coefficients[1] = t.coefficients[0]
    for backend in (WIDE, SCALAR):
        assert t.opened(backend).holds(0, 2), "which is why nobody may choose them"


def test_shapes_are_checked() -> None:
    t = instance(2)
    for backend in (WIDE, ReferenceBackend()):
        for g1, g2, proofs, publics, k in (
            (t.g1[:1], t.g2, t.proofs, t.publics, t.coefficients),
            (t.g1, t.g2[:2], t.proofs, t.publics, t.coefficients),
            (t.g1, t.g2, t.proofs[:1], t.publics, t.coefficients),
            (t.g1, t.g2, t.proofs, t.publics[:3], t.coefficients),
            (t.g1, t.g2, t.proofs, t.publics, t.coefficients[:1]),
            (t.g1, t.g2, t.proofs[:, :255], t.publics, t.coefficients),
        ):
            with pytest.raises(InvalidInputError):
                backend.proof_batch(g1, g2, proofs, publics, k)
    batch = t.opened(WIDE)
    for first, last in ((-1, 1), (1, 0), (0, 3)):
        with pytest.raises(InvalidInputError):
            batch.holds(first, last)
