"""The book of an edge without the edge: what the tests of its decisions share."""

from __future__ import annotations

from edge.instructions import (
    EnsureCircuit,
    Instruction,
    Message,
)
from edge.machine import EdgeMachine
from edge.model import (
    JobPlan,
    Placement,
    SegmentPlan,
    Timing,
)

CIRCUIT = b"\x01" * 32
CREDIT = 1000
PUBLICS = bytes(31) + b"\x07" + bytes(31) + b"\x08"


def machine(**changes: int) -> EdgeMachine:
    settings = {"workers": 2, "worker_attempts": 3, "max_unacked": 10**6, "finished_kept": 10} | changes
    return EdgeMachine(**settings)


def plan(name: int = 1, segments: int = 1, placement: Placement = Placement.CLOUD) -> JobPlan:
    return JobPlan(bytes([name]) * 32, f"job {name}", placement, (SegmentPlan(CIRCUIT, 300),) * segments, (), 64)


def connect(m: EdgeMachine, credit: int = CREDIT, now: int = 0) -> list[Message]:
    """Welcome, circuits, and everything there is to send."""
    for instruction in m.uplink_up(credit, 500, now):
        if isinstance(instruction, EnsureCircuit):
            m.circuit_ready(instruction.digest, now)
    return sent(m, now)


def sent(m: EdgeMachine, now: int = 0) -> list[Message]:
    out = []
    while message := m.next_message(now):
        out.append(message)
    return out


def witness(m: EdgeMachine, job: JobPlan, segment: int = 0, sizes: tuple[int, ...] = (100, 100, 100)) -> None:
    for k, size in enumerate(sizes):
        m.chunk_ready(job.job_id, segment, k, size, 100, 0)
    m.witness_finished(job.job_id, segment, len(sizes), PUBLICS, [Timing("witness", 0, 5)], 0)


def of_kind(instructions: list[Instruction], kind: type[Instruction]) -> list[Instruction]:
    return [i for i in instructions if isinstance(i, kind)]


def open_job(m: EdgeMachine, job: JobPlan, position: int = 0, *, complete: bool = False) -> list[Instruction]:
    return m.job_opened(job.job_id, [(position, complete)] * len(job.segments), 0)
