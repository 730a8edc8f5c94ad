"""Proving: equality with the oracle, streams of chunks, and everything that must be refused."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from groth16_samples import horner, horner_witness

from prover_core.errors import (
    BackendError,
    InvalidInputError,
    StoppedError,
    StreamOrderError,
    UnsatisfiedError,
    VerificationError,
)
from prover_core.groth16 import Proof, ProvingKey, StreamingProver, prove, setup, verify
from prover_core.groth16.setup import G1
from prover_core.native import CpuBackend
from prover_core.r1cs import R1cs
from prover_core.reference import ReferenceBackend
from prover_core.types import FrMontVector, FrVector, G1Point, G1Vector, Q, R

ENTROPY = b"\x07" * 32


def test_setup_and_proof_equal_the_reference(
    r1cs: R1cs, key: ProvingKey, witness: FrVector, backend: CpuBackend
) -> None:
    oracle = ReferenceBackend()
    slow = setup(r1cs, backend=oracle, entropy=b"the key of the tests")
    assert slow.digest == key.digest
    proof = prove(key, witness, backend, ENTROPY)
    assert prove(slow, witness, oracle, ENTROPY) == proof
    verify(key.verification_key, proof, witness.to_ints()[1:3], oracle)


@pytest.mark.parametrize(("n", "settled"), [(700, False), (2500, True)])
def test_larger_circuit_in_random_chunks_equals_one_chunk(n: int, settled: bool, backend: CpuBackend) -> None:
    rng = random.Random(1)
    circuit = horner(n)
    key = setup(circuit, backend=backend)
    wires = FrVector.from_ints(horner_witness(n, 5, [rng.choice((0, 1, rng.randrange(R))) for _ in range(n)]))
    whole = prove(key, wires, backend, ENTROPY)
    cuts = sorted({0, len(wires), *rng.sample(range(len(wires)), 12)})
    chunks = list(pairwise(cuts))
    rng.shuffle(chunks)
    prover = StreamingProver(key, backend, r1cs=circuit)
    for lo, hi in chunks:
        prover.add(lo, wires[lo:hi])
        while settled and prover.settle():
            pass
    assert prover.missing == 0
    assert prover.publics == wires.to_ints()[1:3]
    assert prover.finish(ENTROPY) == whole


def test_two_keys_from_the_system_differ_and_serve_only_themselves(
    r1cs: R1cs, key: ProvingKey, witness: FrVector, backend: CpuBackend
) -> None:
    other = setup(r1cs, backend=backend)
    assert other.digest != key.digest
    proof = prove(key, witness, backend)
    with pytest.raises(VerificationError):
        verify(other.verification_key, proof, witness.to_ints()[1:3], backend)


def test_blinding_is_fresh_or_reproducible_and_bound_to_the_witness(
    r1cs: R1cs, key: ProvingKey, witness: FrVector, backend: CpuBackend
) -> None:
    assert prove(key, witness, backend) != prove(key, witness, backend)
    assert prove(key, witness, backend, ENTROPY) == prove(key, witness, backend, ENTROPY)
    assert prove(key, witness, backend, ENTROPY) != prove(key, witness, backend, b"\x08" * 32)
    with pytest.raises(InvalidInputError, match="32 bytes"):
        prove(key, witness, backend, b"short")


@pytest.mark.parametrize("wire", range(1, 14))
def test_every_flipped_wire_is_refused_and_the_row_named(
    wire: int, r1cs: R1cs, key: ProvingKey, wires: list[int], backend: CpuBackend
) -> None:
    bad = list(wires)
    bad[wire] = (bad[wire] + 1) % R
    with pytest.raises(UnsatisfiedError) as e:
        prove(key, FrVector.from_ints(bad), backend, r1cs=r1cs)
    expected = {1: "square", 13: "triple"}.get(wire, "steps")
    assert e.value.label == expected
    assert e.value.row >= 0
    with pytest.raises(UnsatisfiedError):
        prove(key, FrVector.from_ints(bad), backend)


class FaultyBackend(CpuBackend):
    """A device that errs in one multi-scalar multiplication."""

    def g1_msm(self, bases: G1Vector, scalars: FrVector) -> G1Point:
        return G1 if len(bases) > 8 else super().g1_msm(bases, scalars)


def test_a_device_that_errs_is_blamed_and_its_proof_kept_back(r1cs: R1cs, key: ProvingKey, witness: FrVector) -> None:
    with pytest.raises(BackendError, match="device erred"):
        prove(key, witness, FaultyBackend(threads=1), r1cs=r1cs)


def test_chunks_that_do_not_cover_the_wires_once(key: ProvingKey, witness: FrVector, backend: CpuBackend) -> None:
    prover = StreamingProver(key, backend)
    prover.add(4, witness[4:9])
    for lo, hi in ((0, 5), (8, 10), (5, 6)):
        with pytest.raises(StreamOrderError, match="twice"):
            prover.add(lo, witness[lo:hi])
    for offset, chunk in ((-1, witness[0:1]), (13, witness[0:2]), (14, witness[0:1])):
        with pytest.raises(StreamOrderError, match="leave"):
            prover.add(offset, chunk)
    with pytest.raises(StreamOrderError, match="public"):
        _ = prover.publics
    prover.add(9, witness[9:])
    with pytest.raises(StreamOrderError, match="wire 0 is missing"):
        prover.finish()
    assert prover.missing == 4
    prover.add(0, witness[0:4])
    verify(key.verification_key, prover.finish(), prover.publics, backend)
    with pytest.raises(StreamOrderError, match="finished"):
        prover.finish()
    with pytest.raises(StreamOrderError, match="finished"):
        prover.add(0, witness[0:1])
    with pytest.raises(StreamOrderError, match="finished"):
        prover.settle()


def test_wire_zero_and_scalars_are_checked(
    key: ProvingKey, wires: list[int], witness: FrVector, backend: CpuBackend
) -> None:
    prover = StreamingProver(key, backend)
    with pytest.raises(UnsatisfiedError, match="wire 0"):
        prover.add(0, FrVector.from_ints([2, *wires[1:]]))
    limbs = witness.limbs.copy()
    limbs[5] = [(R >> (64 * k)) & (2**64 - 1) for k in range(4)]
    with pytest.raises(InvalidInputError, match="wire 5"):
        prover.add(0, FrVector(limbs))
    prover.add(0, witness)
    prover.finish()


def test_a_witness_of_another_circuit_is_refused(key: ProvingKey, witness: FrVector, backend: CpuBackend) -> None:
    with pytest.raises(InvalidInputError, match="wires"):
        prove(key, witness[: len(witness) - 1], backend)


def test_the_insecure_key_says_so_at_each_use(
    r1cs: R1cs, witness: FrVector, backend: CpuBackend, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        key = setup(r1cs, backend=backend)
        assert len(caplog.records) == 1
        prove(key, witness, backend)
        prove(key, witness, backend)
    assert key.insecure
    assert key.verification_key.insecure
    assert len(caplog.records) == 3
    caplog.clear()
    prove(replace(key, insecure=False), witness, backend)
    assert not caplog.records


def test_key_parts_must_fit_together(key: ProvingKey) -> None:
    for change in (
        {"domain_size": 7},
        {"n_vars": 13},
        {"n_public": 3},
        {"h": key.h[:7]},
        {"domain_size": 8},
        {"domain_size": 32},
    ):
        with pytest.raises(InvalidInputError):
            replace(key, **change)  # type: ignore[arg-type]


def test_proof_bytes_are_canonical(key: ProvingKey, witness: FrVector, backend: CpuBackend) -> None:
    proof = prove(key, witness, backend)
    raw = proof.to_bytes()
    assert Proof.from_bytes(raw) == proof
    for bad in (raw[:-1], raw + b"\0", (proof.a.x + Q).to_bytes(32, "big") + raw[32:]):
        with pytest.raises(InvalidInputError):
            Proof.from_bytes(bad)


def test_a_proof_given_up_stops_before_its_next_long_step(
    key: ProvingKey, witness: FrVector, backend: CpuBackend
) -> None:
    class Told(CpuBackend):
        """Somebody gives the proof up while its quotient is computed."""

        sums = 0

        def quotient(self, a: FrMontVector, b: FrMontVector, c: FrMontVector | None = None) -> FrVector:
            prover.cancel()
            return super().quotient(a, b, c)

        def g1_msm(self, bases: G1Vector, scalars: FrVector) -> G1Point:
            self.sums += 1
            return super().g1_msm(bases, scalars)

    device = Told()
    prover = StreamingProver(key, device)
    prover.add(0, witness)
    with pytest.raises(StoppedError):
        prover.finish(ENTROPY)
    assert device.sums == 0
