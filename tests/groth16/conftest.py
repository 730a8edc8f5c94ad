"""Fixtures of the Groth16 tests: backends, one small key, and the node tools."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from groth16_samples import horner, horner_witness

from prover_core.groth16 import ProvingKey, setup
from prover_core.native import CpuBackend
from prover_core.r1cs import R1cs
from prover_core.types import FrVector

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "node"))

from toolchain import Toolchain, toolchain

STEPS = 5


@pytest.fixture(scope="session")
def backend() -> CpuBackend:
    return CpuBackend(threads=2)


@pytest.fixture(scope="session")
def r1cs() -> R1cs:
    return horner(STEPS)


@pytest.fixture(scope="session")
def key(r1cs: R1cs, backend: CpuBackend) -> ProvingKey:
    return setup(r1cs, backend=backend, entropy=b"the key of the tests")


@pytest.fixture(scope="session")
def wires() -> list[int]:
    return horner_witness(STEPS, 3, [2, 7, 1, 8, 4])


@pytest.fixture(scope="session")
def witness(wires: list[int]) -> FrVector:
    return FrVector.from_ints(wires)


@pytest.fixture(scope="session")
def tools() -> Toolchain:
    return toolchain()


@pytest.fixture(scope="session")
def circuits() -> Path:
    return Path(__file__).resolve().parent / "circuits"
