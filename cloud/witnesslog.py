"""What a chunk log says of its witness: the public signals, and which constraint it breaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prover_core.backend import Backend
from prover_core.errors import BackendError, FormatError, ProverError, UnsatisfiedError
from prover_core.formats.chunk import decode_chunk
from prover_core.groth16.sums import MakesProofSums
from prover_core.r1cs import R1cs
from prover_core.types import FrVector
from prover_core.witness.rows import first_broken_row, label_of

from .chunklog import ChunkLogReader, Record, log_path
from .model import CircuitInfo, SegmentKey


def decode(record: Record) -> FrVector:
    """The values of a chunk; `FormatError` names it."""
    try:
        return decode_chunk(record.payload, record.wire_count, record.encoding)
    except FormatError as e:
        raise FormatError(str(e), field=f"chunks[{record.sequence}].{e.field}") from e


def read_publics(root: Path, key: SegmentKey, n_public: int) -> list[int] | None:
    """Public signals of the witness, wires 1 .. n; None while they are not all there. Decodes only what holds them."""
    found: dict[int, int] = {}
    try:
        reader = ChunkLogReader(log_path(root, key))
    except FileNotFoundError:
        return None
    try:
        while len(found) < n_public and (record := reader.next()) is not None:
            first, end = max(1, record.wire_offset), min(n_public + 1, record.wire_offset + record.wire_count)
            if first < end:
                values = decode(record)[first - record.wire_offset : end - record.wire_offset].to_ints()
                found.update(zip(range(first, end), values, strict=True))
    finally:
        reader.close()
    return [found[i] for i in range(1, n_public + 1)] if len(found) == n_public else None


def diagnose(
    root: Path, key: SegmentKey, circuit: CircuitInfo, r1cs: R1cs | None, backend: Backend
) -> ProverError | None:
    """Why a witness cannot be proved, read anew: a chunk that is none (`FormatError`), a broken constraint, or the
    device (`BackendError`). None where no R1CS is kept, or the witness is not whole, and the chunks are well formed.

    O(witness + constraints).
    """
    witness = np.zeros((circuit.wires, 4), dtype=np.uint64)
    reader = ChunkLogReader(log_path(root, key))
    wires = 0
    try:
        while (record := reader.next()) is not None:
            wires += record.wire_count
            witness[record.wire_offset : record.wire_offset + record.wire_count] = decode(record).limbs
    except FormatError as e:
        return e
    finally:
        reader.close()
    if wires < circuit.wires:
        return None
    if witness[0].tolist() != [1, 0, 0, 0]:
        return UnsatisfiedError("wire 0 of the witness is not one", field="witness")
    if r1cs is None:
        return None
    # The device is in doubt here, so it is not asked.
    referee = backend.cpu if isinstance(backend, MakesProofSums) else backend
    row = first_broken_row(r1cs, FrVector(witness), referee)
    if row is None:
        return BackendError("the witness satisfies the circuit, but its proof does not verify: the device erred")
    label = label_of(r1cs, row)
    named = f" ({label})" if label else ""
    return UnsatisfiedError(f"the witness breaks constraint {row}{named}", row=row, label=label, field="witness")
