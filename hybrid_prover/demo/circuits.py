"""The rollup's circuits with development keys, made once and kept by the digest of the circuit's content."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from examples.rollup.circuits import build_circuits
from prover_core.backend import Backend
from prover_core.circuit import CompiledCircuit
from prover_core.formats.r1cs import write_r1cs
from prover_core.formats.tape import write_tape
from prover_core.formats.zkey import read_zkey, write_zkey
from prover_core.groth16 import ProvingKey, setup
from prover_core.r1cs import R1cs
from prover_core.types import Digest
from prover_core.witness import TapeProgram
from prover_core.witness.program import WitnessProgram

SETUP_VERSION = b"1"
"""Part of the cache's key: changes when the way keys are made changes."""


@dataclass(frozen=True, slots=True)
class DemoCircuit:
    """One circuit with its files (what is registered) and itself loaded (what the baseline proves with)."""

    name: str
    folder: Path
    r1cs: R1cs
    program: WitnessProgram
    key: ProvingKey

    @property
    def zkey_path(self) -> Path:
        """The proving key's file."""
        return self.folder / "circuit.zkey"

    @property
    def r1cs_path(self) -> Path:
        """The constraints' file."""
        return self.folder / "circuit.r1cs"

    @property
    def tape_path(self) -> Path:
        """The witness program's file."""
        return self.folder / "circuit.tape"


def load_circuits(cache: Path, backend: Backend, say: Callable[[str], None]) -> dict[str, DemoCircuit]:
    """Compiles all circuits; keys come from the cache or are made now, which `say` tells."""
    cache.mkdir(parents=True, exist_ok=True)
    return {name: _load(cache, compiled, backend, say) for name, compiled in build_circuits().items()}


def _load(cache: Path, compiled: CompiledCircuit, backend: Backend, say: Callable[[str], None]) -> DemoCircuit:
    folder = cache / f"{compiled.name}-{Digest.of(SETUP_VERSION, compiled.digest.raw)}"
    if not folder.exists():
        say(f"making a development key for {compiled.name}: {compiled.r1cs.n_constraints} constraints")
        with tempfile.TemporaryDirectory(dir=cache, prefix="incoming-") as scratch:
            aside = Path(scratch) / "circuit"
            aside.mkdir()
            write_r1cs(aside / "circuit.r1cs", compiled.r1cs)
            write_tape(aside / "circuit.tape", compiled.tape)
            write_zkey(aside / "circuit.zkey", setup(compiled.r1cs, backend=backend))
            with contextlib.suppress(OSError):  # another demo was quicker
                os.rename(aside, folder)
    key = read_zkey(folder / "circuit.zkey")
    return DemoCircuit(compiled.name, folder, compiled.r1cs, TapeProgram(compiled.tape), key)
