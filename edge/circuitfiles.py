"""Circuits as a worker has them: read from artifact files once, kept for the segments that follow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from hybrid_prover.v1 import circuit_pb2
from prover_core.backend import Backend
from prover_core.errors import InvalidInputError, ProverError
from prover_core.formats.r1cs import read_r1cs
from prover_core.formats.tape import read_tape
from prover_core.formats.zkey import read_zkey
from prover_core.groth16 import ProvingKey
from prover_core.r1cs import R1cs
from prover_core.witness import RowPlan, WasmLimits, WasmProgram, WitnessProgram
from prover_core.witness.program import InputSpec
from prover_core.witness.tape import Tape
from prover_core.witness.vm import TapeProgram

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CircuitFiles:
    """Where the artifacts of a circuit lie; None where there is none."""

    digest: bytes
    zkey: Path
    r1cs: Path | None
    program: Path | None
    kind: int

    def to_json(self) -> dict[str, Any]:
        """For a frame's head."""
        return {
            "digest": self.digest.hex(),
            "zkey": str(self.zkey),
            "r1cs": str(self.r1cs) if self.r1cs else None,
            "program": str(self.program) if self.program else None,
            "kind": self.kind,
        }

    @classmethod
    def from_json(cls, head: dict[str, Any]) -> CircuitFiles:
        """The inverse of `to_json`."""
        r1cs, program = head["r1cs"], head["program"]
        return cls(
            bytes.fromhex(head["digest"]),
            Path(head["zkey"]),
            Path(r1cs) if r1cs else None,
            Path(program) if program else None,
            int(head["kind"]),
        )


class LoadedCircuit:
    """One circuit; each part is read when it is first needed."""

    def __init__(self, files: CircuitFiles, backend: Backend, wasm_memory: int) -> None:
        self._files = files
        self._backend = backend
        self._wasm_memory = wasm_memory

    @cached_property
    def key(self) -> ProvingKey:
        """The proving key, mapped."""
        return read_zkey(self._files.zkey)

    @cached_property
    def r1cs(self) -> R1cs | None:
        """The constraints, with the names that the tape gives to rows; None where no `.r1cs` is kept."""
        if self._files.r1cs is None:
            return None
        r1cs = read_r1cs(self._files.r1cs)
        return replace(r1cs, labels=self.tape.labels) if self.tape is not None else r1cs

    @cached_property
    def rows(self) -> RowPlan | None:
        """The constraints in closing order."""
        return RowPlan(self.r1cs, self._backend) if self.r1cs is not None else None

    @cached_property
    def tape(self) -> Tape | None:
        """The tape, where the witness program is one."""
        if self._files.program is None or self._files.kind != circuit_pb2.PROGRAM_KIND_TAPE:
            return None
        return read_tape(self._files.program)

    @cached_property
    def program(self) -> WitnessProgram:
        """The witness program; `InvalidInputError` if the circuit has none."""
        if self._files.program is None:
            raise InvalidInputError("the circuit has no witness program", field="parts.program_digest")
        if self.tape is not None:
            return TapeProgram(self.tape)
        if self._files.kind == circuit_pb2.PROGRAM_KIND_CIRCOM_WASM:
            limits = WasmLimits(memory_bytes=min(WasmLimits().memory_bytes, self._wasm_memory))
            return WasmProgram(self._files.program.read_bytes(), limits=limits)
        raise InvalidInputError(f"program kind {self._files.kind} is not known", field="parts.program_kind")

    def load(self) -> None:
        """Reads what every segment needs."""
        _ = self.program, self.rows

    def describe(self) -> dict[str, Any]:
        """Reads every part and checks that they belong together; what a registry keeps of a circuit.

        `InvalidInputError` (field = the part) if a part is malformed or belongs to another circuit.
        """
        key = _part("zkey", lambda: self.key)
        inputs: tuple[InputSpec, ...] = ()
        if self._files.program is not None:
            program = _part("program", lambda: self.program)
            inputs = program.inputs
            _agree("program", "wires", program.n_wires, key.n_vars)
        r1cs = _part("r1cs", lambda: self.r1cs)
        if r1cs is not None:
            _agree("r1cs", "wires", r1cs.n_wires, key.n_vars)
            _agree("r1cs", "public signals", r1cs.n_public, key.n_public)
        return {
            "wires": key.n_vars,
            "constraints": r1cs.n_constraints if r1cs is not None else 0,
            "public_signals": key.n_public,
            "insecure_setup": key.insecure,
            "inputs": [[spec.name, spec.size, spec.public] for spec in inputs],
        }


class CircuitCache:
    """The circuits used last. Mapped keys cost no private memory, so a handful is kept."""

    def __init__(self, backend: Backend, *, wasm_memory: int, kept: int = 8) -> None:
        self._backend = backend
        self._wasm_memory = wasm_memory
        self._kept = kept
        self._circuits: OrderedDict[CircuitFiles, LoadedCircuit] = OrderedDict()

    def get(self, files: CircuitFiles) -> LoadedCircuit:
        """The circuit of these files; read when its parts are asked for."""
        circuit = self._circuits.pop(files, None) or LoadedCircuit(files, self._backend, self._wasm_memory)
        self._circuits[files] = circuit
        while len(self._circuits) > self._kept:
            self._circuits.popitem(last=False)
        return circuit


def _part(name: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ProverError as e:
        where = f" (section {e.field})" if e.field else ""
        raise InvalidInputError(f"the {name} cannot be read: {e}{where}", field=f"parts.{name}_digest") from e


def _agree(part: str, what: str, there: int, in_key: int) -> None:
    if there != in_key:
        raise InvalidInputError(
            f"the {part} has {there} {what}, the zkey {in_key}: they belong to different circuits",
            field=f"parts.{part}_digest",
        )
