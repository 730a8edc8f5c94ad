"""Proving on this machine, without any service: key, witness program or witness in, verified proof out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prover_core.backend import Backend
from prover_core.errors import InvalidInputError
from prover_core.formats.r1cs import read_r1cs
from prover_core.formats.tape import read_tape
from prover_core.formats.wtns import read_wtns
from prover_core.formats.zkey import read_zkey
from prover_core.groth16 import Proof, ProvingKey, StreamingProver, prove
from prover_core.r1cs import R1cs
from prover_core.types import FrVector
from prover_core.witness import RowChecker, TapeProgram, WasmProgram
from prover_core.witness.program import Inputs, WireSlice, WitnessProgram

Progress = Callable[[int, int], None]
"""Called with wires done and wires in all."""


@dataclass(frozen=True, slots=True)
class LocalProver:
    """A proving key on a backend; with the circuit's constraints, a broken row is named before anything is proved."""

    key: ProvingKey
    backend: Backend
    r1cs: R1cs | None = None

    @classmethod
    def open(cls, zkey: Path, backend: Backend, *, r1cs: Path | None = None) -> LocalProver:
        """Maps the key and reads the constraints. `FormatError`, or `InvalidInputError` if the two do not fit."""
        key = read_zkey(zkey)
        system = read_r1cs(r1cs) if r1cs is not None else None
        if system is not None and (system.n_wires, system.n_public) != (key.n_vars, key.n_public):
            raise InvalidInputError(
                f"the circuit has {system.n_wires} wires, {system.n_public} of them public, but the key is for "
                f"{key.n_vars} and {key.n_public}",
                field="r1cs",
            )
        return cls(key, backend, system)

    def prove_inputs(
        self, program: Path | WitnessProgram, inputs: Inputs, *, progress: Progress | None = None
    ) -> tuple[Proof, tuple[int, ...]]:
        """Witness and proof, the sums growing while the witness comes.

        `InvalidInputError` names the input signal; `UnsatisfiedError` the row (if constraints are given).
        """
        runner = load_program(program) if isinstance(program, Path) else program
        if runner.n_wires != self.key.n_vars:
            raise InvalidInputError(
                f"the witness program makes {runner.n_wires} wires, the key is for {self.key.n_vars}", field="program"
            )
        return self._stream(runner.run(inputs), progress)

    def prove_witness(
        self, witness: Path | FrVector, *, progress: Progress | None = None
    ) -> tuple[Proof, tuple[int, ...]]:
        """Proof of a finished witness, given as `.wtns` or as all wires in order."""
        wires = read_wtns(witness) if isinstance(witness, Path) else witness
        if len(wires) != self.key.n_vars:
            raise InvalidInputError(
                f"the witness has {len(wires)} wires, the key is for {self.key.n_vars}", field="witness"
            )
        if self.r1cs is not None:
            checker = RowChecker(self.r1cs, self.backend)
            checker.add(0, wires)
            checker.finish()
        proof = prove(self.key, wires, self.backend, r1cs=self.r1cs)
        if progress is not None:
            progress(len(wires), len(wires))
        head = FrVector(np.ascontiguousarray(wires.limbs[1 : self.key.n_public + 1]))
        return proof, tuple(head.to_ints())

    def _stream(self, slices: Iterable[WireSlice], progress: Progress | None) -> tuple[Proof, tuple[int, ...]]:
        checker = RowChecker(self.r1cs, self.backend) if self.r1cs is not None else None
        prover = StreamingProver(self.key, self.backend, r1cs=self.r1cs)
        done = 0
        for piece in slices:
            if checker is not None:
                checker.add(piece.offset, piece.values)
            prover.add(piece.offset, piece.values)
            done += len(piece.values)
            if progress is not None:
                progress(done, self.key.n_vars)
        if checker is not None:
            checker.finish()
        return prover.finish(), tuple(prover.publics)


def load_program(path: Path) -> WitnessProgram:
    """circom's `.wasm` by its magic bytes, else a tape. `FormatError` or `WitnessProgramError` if it is neither."""
    content = path.read_bytes()
    return WasmProgram(content) if content[:4] == b"\0asm" else TapeProgram(read_tape(path))


def read_inputs(path: Path) -> dict[str, object]:
    """An input.json: signal name → integer, decimal or hexadecimal string, or nested lists of those."""
    try:
        content = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as e:
        raise InvalidInputError(f"{path} is not JSON: {e}", field="input") from None
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path} does not hold an object of input signals", field="input")
    return content
