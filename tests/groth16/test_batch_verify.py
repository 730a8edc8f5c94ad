"""Batches: coefficients that nobody chooses, and bad proofs named among many, whatever computes them."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from groth16_samples import horner_witness

from prover_core.errors import VerificationError
from prover_core.groth16 import BatchItem, ProvingKey, VerificationKey, prove, verify, verify_batch
from prover_core.groth16.batch import _coefficients
from prover_core.groth16.verify import negated
from prover_core.native import CpuBackend
from prover_core.types import FrVector, G1Point, Q, R

ENTROPY = b"\7" * 32


@pytest.fixture(scope="module")
def vk(key: ProvingKey) -> VerificationKey:
    return key.verification_key


@pytest.fixture(scope="module")
def items(key: ProvingKey, backend: CpuBackend) -> list[BatchItem]:
    rng = random.Random(5)
    out = []
    for k in range(6):
        wires = horner_witness(5, k, [rng.randrange(R) for _ in range(5)])
        out.append((prove(key, FrVector.from_ints(wires), backend), wires[1:3]))
    return out


def test_coefficients_depend_on_everything(vk: VerificationKey) -> None:
    proofs, publics = bytes(512), bytes(128)
    base = _coefficients(vk, proofs, publics, ENTROPY)
    assert base.shape == (2, 2)
    assert base.dtype == np.uint64
    assert np.array_equal(base, _coefficients(vk, proofs, publics, ENTROPY))
    other_key = replace(vk, ic=(*vk.ic[:-1], negated(vk.ic[-1])))
    for changed in (
        _coefficients(other_key, proofs, publics, ENTROPY),
        _coefficients(vk, proofs[:-1] + b"\1", publics, ENTROPY),
        _coefficients(vk, proofs, b"\1" + publics[1:], ENTROPY),
        _coefficients(vk, proofs, publics, b"\6" + ENTROPY[1:]),
    ):
        assert not (changed == base).any(), "every word changes"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scalar", [False, True], ids=["best", "scalar"])
def test_bad_proofs_among_many_are_named(
    vk: VerificationKey, items: list[BatchItem], scalar: bool, threads: int
) -> None:
    backend = CpuBackend(threads, scalar=scalar)
    rng = random.Random(6)
    batch: list[BatchItem] = [items[rng.randrange(len(items))] for _ in range(140)]
    p, x = items[0]
    spoiled: list[BatchItem] = [
        (replace(p, c=p.a), x),
        (p, [x[0], (x[1] + 1) % R]),
        (replace(p, a=negated(p.a)), x),
        (replace(p, a=G1Point(1, 1)), x),
        (replace(p, a=G1Point(p.a.x, 2**256)), x),
        (replace(p, c=G1Point(p.c.x, p.c.y - Q)), x),
        (p, [x[0], 2**300]),
        (p, [x[0], -1]),
        (p, [x[0], R]),
        (p, x[:1]),
        (p, [*x, 0]),
    ]
    at = sorted(rng.sample(range(len(batch)), len(spoiled)))
    for i, item in zip(at, spoiled, strict=True):
        batch[i] = item
    assert verify_batch(vk, batch, backend) == at
    assert verify_batch(vk, batch, backend, ENTROPY) == at
    for item in spoiled:
        with pytest.raises(VerificationError):
            verify(vk, *item, backend)
        assert verify_batch(vk, [item], backend) == [0]
    assert verify_batch(vk, [spoiled[k % len(spoiled)] for k in range(9)], backend) == list(range(9))


def test_one_proof_is_verified_alike_by_both(vk: VerificationKey, items: list[BatchItem]) -> None:
    for backend in (CpuBackend(1), CpuBackend(1, scalar=True)):
        for proof, publics in items:
            verify(vk, proof, publics, backend)
        (p, x), (other, _) = items[:2]
        for changed, field in (
            (replace(p, a=G1Point(1, 1)), "a"),
            (replace(p, b=replace(p.b, y=p.b.x)), "b"),
            (replace(p, c=G1Point(Q, 0)), "c"),
            (replace(p, c=other.c), "proof"),
        ):
            with pytest.raises(VerificationError) as e:
                verify(vk, changed, x, backend)
            assert e.value.field == field
