"""Verification: what must be refused one by one, and batches that name their bad proofs."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from groth16_samples import horner_witness

from prover_core.errors import InvalidInputError, VerificationError
from prover_core.groth16 import BatchItem, Proof, ProvingKey, VerificationKey, prove, verify, verify_batch
from prover_core.groth16.setup import G1, G2
from prover_core.groth16.verify import negated
from prover_core.native import CpuBackend
from prover_core.types import FrVector, G1Point, G2Point, Q, R, g1_vector


@pytest.fixture(scope="module")
def items(key: ProvingKey, backend: CpuBackend) -> list[BatchItem]:
    rng = random.Random(2)
    out = []
    for k in range(7):
        wires = horner_witness(5, k, [rng.randrange(R) for _ in range(5)])
        out.append((prove(key, FrVector.from_ints(wires), backend), wires[1:3]))
    return out


@pytest.fixture(scope="module")
def vk(key: ProvingKey) -> VerificationKey:
    return key.verification_key


def fq2_sqrt(a: tuple[int, int]) -> tuple[int, int] | None:
    """A root in Fq2 = Fq[u]/(u² + 1) by the complex method; q = 3 mod 4."""

    def sqrt(x: int) -> int | None:
        root = pow(x, (Q + 1) // 4, Q)
        return root if root * root % Q == x % Q else None

    norm = sqrt(a[0] ** 2 + a[1] ** 2)
    if norm is None:
        return None
    for sign in (norm, -norm):
        real = sqrt((a[0] + sign) * pow(2, -1, Q) % Q)
        if real:
            return real, a[1] * pow(2 * real, -1, Q) % Q
    return None


def twist_point_outside_subgroup() -> G2Point:
    """On y² = x³ + 3 / (9 + u); its order divides r times a cofactor of 254 bits, so any found point serves."""
    inverse = pow(82, -1, Q)
    b = (27 * inverse % Q, -3 * inverse % Q)
    for x in range(1, 100):
        y = fq2_sqrt(((x**3 + b[0]) % Q, b[1]))
        if y is not None:
            return G2Point((x, 0), y)
    raise AssertionError("no point found")


def test_good_proofs_verify(vk: VerificationKey, items: list[BatchItem], backend: CpuBackend) -> None:
    for proof, publics in items:
        verify(vk, proof, publics, backend)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: [x[0] + 1, x[1]],
        lambda x: [x[1], x[0]],
        lambda x: [x[0] + R, x[1]],
        lambda x: [x[0], x[1] + R],
        lambda x: [x[0], -1],
        lambda x: [x[0]],
        lambda x: [*x, 0],
        lambda x: [],
    ],
    ids=["other", "swapped", "alias", "alias2", "negative", "short", "long", "none"],
)
def test_wrong_public_signals(
    change: Callable[[list[int]], list[int]], vk: VerificationKey, items: list[BatchItem], backend: CpuBackend
) -> None:
    proof, publics = items[3]
    bad = change(list(publics))
    with pytest.raises(VerificationError):
        verify(vk, proof, bad, backend)
    assert verify_batch(vk, [*items[:3], (proof, bad)], backend) == [3]


def bad_proofs(good: Proof, other: Proof) -> dict[str, Proof]:
    a, b, c = good.a, good.b, good.c
    return {
        "a off the curve": replace(good, a=G1Point(a.x, (a.y + 1) % Q)),
        "c off the curve": replace(good, c=G1Point((c.x + 1) % Q, c.y)),
        "b off the twist": replace(good, b=G2Point(b.x, (b.y[0], (b.y[1] + 1) % Q))),
        "b outside the subgroup": replace(good, b=twist_point_outside_subgroup()),
        "a not canonical": replace(good, a=G1Point(a.x + Q, a.y)),
        "b not canonical": replace(good, b=G2Point((b.x[0], b.x[1] + Q), b.y)),
        "c negative": replace(good, c=G1Point(c.x, c.y - Q)),
        "a at infinity": replace(good, a=G1Point(0, 0)),
        "b at infinity": replace(good, b=G2Point((0, 0), (0, 0))),
        "c at infinity": replace(good, c=G1Point(0, 0)),
        "a negated": replace(good, a=negated(a)),
        "a and c swapped": replace(good, a=c, c=a),
        "c of another proof": replace(good, c=other.c),
        "generators": Proof(G1, G2, G1),
    }


def test_every_bad_proof_is_refused_alone_and_named_in_a_batch(
    vk: VerificationKey, items: list[BatchItem], backend: CpuBackend
) -> None:
    proof, publics = items[1]
    bad = bad_proofs(proof, items[2][0])
    for name, changed in bad.items():
        with pytest.raises(VerificationError) as e:
            verify(vk, changed, publics, backend)
        assert e.value.field in {"a", "b", "c", "proof"}, name
    mixed: list[BatchItem] = [*items, *((p, publics) for p in bad.values())]
    order = list(range(len(mixed)))
    random.Random(3).shuffle(order)
    found = verify_batch(vk, [mixed[i] for i in order], backend)
    assert sorted(order[k] for k in found) == list(range(len(items), len(mixed)))


def test_a_rerandomised_proof_is_valid_as_groth16_allows(
    vk: VerificationKey, items: list[BatchItem], backend: CpuBackend
) -> None:
    proof, publics = items[0]
    k = 12345
    a = backend.g1_msm(g1_vector([proof.a]), FrVector.from_ints([pow(k, -1, R)]))
    from prover_core.types import g2_vector

    b = backend.g2_msm(g2_vector([proof.b]), FrVector.from_ints([k]))
    verify(vk, Proof(a, b, proof.c), publics, backend)


def test_batches(vk: VerificationKey, items: list[BatchItem], backend: CpuBackend) -> None:
    assert verify_batch(vk, [], backend) == []
    assert verify_batch(vk, items, backend) == []
    for bad in ([0], [6], [2, 3], [0, 2, 4, 6], list(range(7))):
        batch = [(p, [x[0], x[1] + 1]) if i in bad else (p, x) for i, (p, x) in enumerate(items)]
        assert verify_batch(vk, batch, backend, b"\1" * 32) == bad
    swapped = [(items[1][0], items[0][1]), (items[0][0], items[1][1]), *items[2:]]
    assert verify_batch(vk, swapped, backend) == [0, 1]
    with pytest.raises(InvalidInputError):
        verify_batch(vk, items, backend, b"short")


def test_errors_that_cancel_in_a_plain_sum_are_found(
    vk: VerificationKey, items: list[BatchItem], backend: CpuBackend
) -> None:
    (p0, x0), (p1, x1) = items[0], items[1]

    def shifted(c: G1Point, sign: int) -> G1Point:
        return backend.g1_msm(g1_vector([c, G1]), FrVector.from_ints([1, sign % R]))

    batch = [(replace(p0, c=shifted(p0.c, 1)), x0), (replace(p1, c=shifted(p1.c, -1)), x1), *items[2:]]
    assert verify_batch(vk, batch, backend) == [0, 1]


def test_keys_with_bad_points_are_refused(vk: VerificationKey, items: list[BatchItem], backend: CpuBackend) -> None:
    proof, publics = items[0]
    for name, changed in {
        "alpha1": replace(vk, alpha1=G1Point(1, 1)),
        "beta2": replace(vk, beta2=twist_point_outside_subgroup()),
        "gamma2": replace(vk, gamma2=G2Point((0, 0), (0, 0))),
        "delta2": replace(vk, delta2=G2Point((Q, 0), (0, 0))),
        "ic[2]": replace(vk, ic=(*vk.ic[:2], G1Point(2, 2))),
    }.items():
        with pytest.raises(InvalidInputError) as e:
            verify(changed, proof, publics, backend)
        assert e.value.field == name
        with pytest.raises(InvalidInputError):
            verify_batch(changed, items, backend)
