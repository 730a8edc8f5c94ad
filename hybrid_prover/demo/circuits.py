"""The rollup's circuits with development keys, made once and kept by the digest of the circuit's content."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from examples.rollup.circuits import compile_circuits
from prover_core.formats.tape import read_tape, write_tape

from prover_core.backend import Backend
from prover_core.formats.r1cs import read_r1cs, write_r1cs
from prover_core.formats.zkey import read_zkey, write_zkey
from prover_core.groth16 import ProvingKey, setup
from prover_core.r1cs import R1cs
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
    circuits = {}
    for name, compiled in compile_circuits().items():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="incoming-") as scratch:
            aside = Path(scratch) / "circuit"
            aside.mkdir()
            write_r1cs(aside / "circuit.r1cs", compiled.r1cs)
            write_tape(aside / "circuit.tape", compiled.tape)
            folder = cache / f"{name}-{_digest(aside)}"
            if not folder.exists():
                say(f"making a development key for {name}: {compiled.r1cs.n_constraints} constraints")
                write_zkey(aside / "circuit.zkey", setup(compiled.r1cs, backend=backend))
                try:
                    os.rename(aside, folder)
                except OSError:  # another demo was quicker
                    shutil.rmtree(aside)
        circuits[name] = DemoCircuit(
            name=name,
            folder=folder,
            r1cs=read_r1cs(folder / "circuit.r1cs"),
            program=TapeProgram(read_tape(folder / "circuit.tape")),
            key=read_zkey(folder / "circuit.zkey"),
        )
    return circuits


def _digest(folder: Path) -> str:
    h = hashlib.sha256(SETUP_VERSION)
    for name in ("circuit.r1cs", "circuit.tape"):
        content = (folder / name).read_bytes()
        h.update(len(content).to_bytes(8, "little"))
        h.update(content)
    return h.hexdigest()[:32]
