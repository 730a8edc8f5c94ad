"""An operation proved for real: native witnesses, Groth16 leaf proofs, and the chain over what they show."""

from __future__ import annotations

import numpy as np
import pytest

from examples.rollup.chain import Leaf, check_chain
from examples.rollup.circuits import build_circuits
from examples.rollup.decompose import OperationJob, SegmentSpec, decompose_block
from examples.rollup.errors import ChainError
from examples.rollup.generator import Block, block
from examples.rollup.operations import Kind
from prover_core.backend import Backend
from prover_core.errors import UnsatisfiedError, VerificationError
from prover_core.groth16 import Proof, ProvingKey, prove, setup, verify
from prover_core.native import CpuBackend
from prover_core.types import FrVector
from prover_core.witness.vm import TapeProgram


@pytest.fixture(scope="module")
def backend() -> Backend:
    return CpuBackend()


@pytest.fixture(scope="module")
def keys(backend: Backend) -> dict[str, ProvingKey]:
    return {name: setup(circuit.r1cs, backend=backend) for name, circuit in build_circuits().items()}


@pytest.fixture(scope="module")
def sample() -> Block:
    return block(8, {Kind.SWAP: 1})


@pytest.fixture(scope="module")
def job(sample: Block) -> OperationJob:
    return decompose_block(sample)[0]


def witness(segment: SegmentSpec) -> FrVector:
    program = TapeProgram(build_circuits()[segment.circuit_name].tape)
    limbs = np.zeros((program.n_wires, 4), dtype=np.uint64)
    for part in program.run(segment.inputs):
        limbs[part.offset : part.offset + len(part.values)] = part.values.limbs
    return FrVector(limbs)


@pytest.fixture(scope="module")
def proved(job: OperationJob, keys: dict[str, ProvingKey], backend: Backend) -> list[tuple[list[int], Proof]]:
    """Public signals and proof by segment; proved last to first, as no segment waits for another."""
    results = []
    for segment in reversed(job.segments):
        wires = witness(segment)
        proof = prove(keys[segment.circuit_name], wires, backend)
        results.append((wires[1:5].to_ints(), proof))
    return results[::-1]


def test_a_swap_is_proved_as_a_chain(
    sample: Block,
    job: OperationJob,
    proved: list[tuple[list[int], Proof]],
    keys: dict[str, ProvingKey],
    backend: Backend,
) -> None:
    leaves = []
    for segment, foreseen, (publics, proof) in zip(job.segments, job.publics, proved, strict=True):
        assert tuple(publics) == foreseen
        verify(keys[segment.circuit_name].verification_key, proof, publics, backend)
        leaves.append(Leaf(segment.circuit_name, publics))
    check_chain(sample.claim, [leaves])
    with pytest.raises(ChainError, match="segment 2"):
        check_chain(sample.claim, [[*leaves[:2], leaves[3], leaves[2], *leaves[4:]]])


@pytest.mark.parametrize("signal", range(4))
def test_a_proof_shows_its_own_signals_only(
    job: OperationJob,
    proved: list[tuple[list[int], Proof]],
    keys: dict[str, ProvingKey],
    backend: Backend,
    signal: int,
) -> None:
    publics, proof = proved[1]
    key = keys[job.segments[1].circuit_name].verification_key
    altered = [value + (i == signal) for i, value in enumerate(publics)]
    with pytest.raises(VerificationError):
        verify(key, proof, altered, backend)


def test_the_native_witness_names_what_cannot_be_proved(job: OperationJob) -> None:
    authorize, debit = job.segments[:2]
    signature = authorize.inputs["signature"]
    assert isinstance(signature, list)
    forged = SegmentSpec("authorize", authorize.inputs | {"signature": [*signature[:2], str(int(signature[2]) ^ 1)]})
    with pytest.raises(UnsatisfiedError, match="signature"):
        witness(forged)
    poor = SegmentSpec("debit", debit.inputs | {"balance": "0"})
    with pytest.raises(UnsatisfiedError, match="overdraft"):
        witness(poor)
