"""What the pipeline is compared with: the same steps by the same code, one segment after another, in one process.

Store and forward: the witness is computed to its end, its constraint rows checked, the whole of it made durable on
disk, read back, proved, and the proof checked, before the next segment begins; at the end the operation's proofs are
verified in batches, as the cloud does. Nothing is started, loaded or prepared within the time measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from examples.rollup.decompose import OperationJob
from prover_core.backend import Backend
from prover_core.errors import VerificationError
from prover_core.formats.wtns import read_wtns, write_wtns
from prover_core.groth16 import BatchItem, prove, verify_batch
from prover_core.types import FrVector
from prover_core.witness import RowChecker, RowPlan

from .circuits import DemoCircuit


class Sequential:
    """Proves operations one segment after another on one backend; made once, so that everything is warm."""

    def __init__(self, circuits: Mapping[str, DemoCircuit], backend: Backend, scratch: Path) -> None:
        self._circuits = circuits
        self._backend = backend
        self._stored = scratch / "sequential.wtns"
        self._rows = {name: RowPlan(circuit.r1cs, backend) for name, circuit in circuits.items()}

    def prove(self, job: OperationJob) -> float:
        """Seconds from the operation's inputs to all of its proofs verified."""
        start = time.perf_counter()
        proved: dict[str, list[BatchItem]] = {}
        for segment in job.segments:
            circuit = self._circuits[segment.circuit_name]
            self._store_witness(circuit, segment.inputs)
            witness = read_wtns(self._stored)
            proof = prove(circuit.key, witness, self._backend)
            publics = FrVector(np.ascontiguousarray(witness.limbs[1 : circuit.key.n_public + 1])).to_ints()
            proved.setdefault(circuit.name, []).append((proof, publics))
        for name, items in proved.items():
            if verify_batch(self._circuits[name].key.verification_key, items, self._backend, os.urandom(32)):
                raise VerificationError(f"{job.name}: a proof made sequentially does not verify")
        return time.perf_counter() - start

    def _store_witness(self, circuit: DemoCircuit, inputs: Mapping[str, object]) -> None:
        wires = np.empty((circuit.program.n_wires, 4), dtype=np.uint64)
        checker = RowChecker(self._rows[circuit.name])
        for piece in circuit.program.run(inputs):
            checker.add(piece.offset, piece.values)
            wires[piece.offset : piece.offset + len(piece.values)] = piece.values.limbs
        checker.finish()
        write_wtns(self._stored, FrVector(wires))
        with self._stored.open("rb") as f:
            os.fsync(f.fileno())

    def warm(self, jobs: Sequence[OperationJob]) -> None:
        """Proves one operation of the longest kind, so that keys and code are warm for what is measured."""
        self.prove(max(jobs, key=lambda job: len({s.circuit_name for s in job.segments})))
