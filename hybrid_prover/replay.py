"""Making a leaf proof again from its record and its inputs, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prover_core.backend import Backend
from prover_core.errors import InvalidInputError, VerificationError
from prover_core.formats.wtns import read_wtns
from prover_core.formats.zkey import read_zkey
from prover_core.groth16 import Proof, StreamingProver
from prover_core.witness.program import WireSlice

from .local import load_program, read_inputs
from .provenance import commitment, proof_digest
from .provenance.records import ReadLeaf

SLICE_WIRES = 1 << 17


@dataclass(frozen=True, slots=True)
class Recorded:
    """The files that a proof is made of; either a witness, or a program and its inputs."""

    zkey: Path
    witness: Path | None = None
    program: Path | None = None
    inputs: Path | None = None

    def __post_init__(self) -> None:
        if (self.witness is None) == (self.program is None) or (self.program is None) != (self.inputs is None):
            raise InvalidInputError("give either a witness, or a program with its inputs", field="witness")

    def slices(self) -> Iterable[WireSlice]:
        """The witness."""
        if self.witness is not None:
            return [WireSlice(0, read_wtns(self.witness))]
        assert self.program is not None
        assert self.inputs is not None
        return load_program(self.program).run(read_inputs(self.inputs), slice_wires=SLICE_WIRES)


def replay(record: ReadLeaf, files: Recorded, seed: bytes, backend: Backend) -> tuple[Proof, tuple[int, ...]]:
    """The proof that the record is about, made again, and its public signals.

    `VerificationError` names what differs: `zkey` or `program` (files of another circuit), `seed` (not the one that
    the record commits to), `publics` (other inputs) or `proof`; otherwise as `StreamingProver`.
    """
    _same(_file_digest(files.zkey), record.zkey_sha256, "zkey", f"{files.zkey} is not the key of the record")
    if files.program is not None and record.program_sha256:
        text = f"{files.program} is not the witness program of the record"
        _same(_file_digest(files.program), record.program_sha256, "program", text)
    if not record.seed_commitment:
        text = "the record commits to no seed: the proof was made privately, and its edge has the record that does"
        raise InvalidInputError(text, field="seed")
    _same(commitment(seed).hex(), record.seed_commitment, "seed", "the seed is not the one that the record commits to")
    prover = StreamingProver(read_zkey(files.zkey), backend)
    for part in files.slices():
        prover.add(part.offset, part.values)
    proof = prover.finish(seed)
    publics = tuple(prover.publics)
    raw = b"".join(value.to_bytes(32, "big") for value in publics)
    _same(hashlib.sha256(raw).hexdigest(), record.publics_sha256, "publics", "the inputs give other public signals")
    _same(proof_digest(proof.to_bytes()), record.proof_sha256, "proof", "the proof made again has other bytes")
    return proof, publics


def _same(found: str, recorded: str, field: str, text: str) -> None:
    if found != recorded:
        raise VerificationError(text, field=field)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
