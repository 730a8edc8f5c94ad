"""What the pipeline is compared with: the same witness program and prover, one segment after another, in one process.

Store and forward: the witness is computed to its end, stored as `.wtns`, read back, proved, and the proof verified,
before the next segment begins. Nothing is started, loaded or set up within the time measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from examples.rollup.decompose import OperationJob
from prover_core.backend import Backend
from prover_core.formats.wtns import read_wtns, write_wtns
from prover_core.groth16 import prove
from prover_core.types import FrVector

from .circuits import DemoCircuit


def prove_sequentially(
    job: OperationJob, circuits: Mapping[str, DemoCircuit], backend: Backend, scratch: Path
) -> float:
    """Seconds from the first input to the last verified proof of one operation."""
    start = time.perf_counter()
    for segment in job.segments:
        circuit = circuits[segment.circuit_name]
        wires = np.empty((circuit.program.n_wires, 4), dtype=np.uint64)
        for piece in circuit.program.run(segment.inputs):
            wires[piece.offset : piece.offset + len(piece.values)] = piece.values.limbs
        stored = scratch / "witness.wtns"
        write_wtns(stored, FrVector(wires))
        prove(circuit.key, read_wtns(stored), backend)
    return time.perf_counter() - start


def warm(jobs: list[OperationJob], circuits: Mapping[str, DemoCircuit], backend: Backend, scratch: Path) -> None:
    """Proves one segment of each circuit, so that keys and code are warm for what is measured."""
    seen: set[str] = set()
    for job in jobs:
        for segment in job.segments:
            if segment.circuit_name not in seen:
                seen.add(segment.circuit_name)
                one = OperationJob(job.kind, job.sender, job.nonce, (segment,), (), ())
                prove_sequentially(one, circuits, backend, scratch)
