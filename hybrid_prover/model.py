"""The words of the API as plain values: what is submitted, what is watched, what comes out."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prover_core.types import Digest

from .admission.fairness import Priority as Priority

if TYPE_CHECKING:
    from prover_core.groth16.keys import Proof
    from prover_core.witness.program import Inputs

    from .assemblymodel import Assemble, AssemblyResult, AssemblyStatus


class Placement(enum.IntEnum):
    """Where the work of a job is done, and so what leaves the edge."""

    CLOUD = 1
    """The edge makes and checks the witness; the cloud sees it and proves."""
    SPLIT = 2
    """As CLOUD, and the edge also contributes partials."""
    PRIVATE = 3
    """The edge makes the whole proof; the cloud sees the proof and the public signals only."""


class JobState(enum.IntEnum):
    """How a job stands."""

    RUNNING = 1
    DONE = 2
    FAILED = 3
    CANCELLED = 4

    @property
    def ended(self) -> bool:
        """Nothing changes any more."""
        return self is not JobState.RUNNING


class SegmentState(enum.IntEnum):
    """How a segment stands; the order is that of its life."""

    QUEUED = 1
    WITNESSING = 2
    UPLOADING = 3
    PROVING = 4
    PROVED = 5
    VERIFIED = 6
    FAILED = 7
    CANCELLED = 8


@dataclass(frozen=True, slots=True)
class Segment:
    """One instance of a circuit: what to prove, and with which inputs (as in circom's input.json)."""

    circuit: Digest
    inputs: Inputs


@dataclass(frozen=True, slots=True)
class Link:
    """Public signal `from_signal` of segment `from_segment` must equal `to_signal` of the later `to_segment`."""

    from_segment: int
    from_signal: int
    to_segment: int
    to_signal: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a job or a segment failed: gRPC status by name, message, offending field and segment."""

    code: str
    message: str
    field: str = ""
    segment: int | None = None


@dataclass(frozen=True, slots=True)
class PhaseTiming:
    """One measured phase: name, start in seconds since the Unix epoch on that machine's clock, duration in seconds."""

    phase: str
    start: float
    seconds: float


@dataclass(frozen=True, slots=True)
class PartialUse:
    """Placement split: chunks of a segment sent so far, with a partial, and partials that were late or wrong.

    `late` is known to edges only, `wrong` (not used; the cloud made them again) to the cloud only.
    """

    chunks: int
    partials: int
    late: int
    wrong: int


@dataclass(frozen=True, slots=True)
class DistrustedEdge:
    """An edge whose partials a cloud does not take, since some were wrong; `since` in seconds since the Unix epoch."""

    name: str
    fingerprint: str
    """Of its session."""
    identity: str
    """As its certificate names it; empty without one."""
    job: Digest
    segment: int
    chunks: tuple[int, ...]
    since: float


@dataclass(frozen=True, slots=True)
class LeafRecord:
    """The signed record of one leaf proof: a DSSE envelope as JSON."""

    segment: int
    envelope: bytes
    seed: bytes = field(default=b"", repr=False)
    """What blinded the proof, if it was asked for; a secret."""


@dataclass(frozen=True, slots=True)
class JobRecords:
    """Where a job's proofs come from (see `hybrid_prover.provenance`)."""

    public_key_pem: bytes
    """Of the node that signed; Ed25519."""
    leaves: tuple[LeafRecord, ...]
    batches: tuple[bytes, ...]
    """The envelopes of the batches that verified the leaf proofs."""
    assembly: bytes = b""
    """The envelope of the assembly that the job ends with, if it does."""


@dataclass(frozen=True, slots=True)
class SegmentStatus:
    """One segment of a job as it stands."""

    index: int
    circuit: Digest
    state: SegmentState
    wires_acked: int
    wires: int
    timings: tuple[PhaseTiming, ...] = ()
    problem: Problem | None = None
    partials: PartialUse | None = None
    """None unless the job's placement is split."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands; `revision` grows with every change. Times are seconds since the Unix epoch."""

    id: Digest
    name: str
    placement: Placement
    state: JobState
    segments: tuple[SegmentStatus, ...]
    links: tuple[Link, ...]
    accepted: float
    ended: float | None
    revision: int
    problem: Problem | None = None
    assembly: AssemblyStatus | None = None
    """None unless one was asked for."""
    priority: Priority = Priority.NORMAL
    deadline: float | None = None
    """When it ends unfinished; None is never."""

    def count(self, *states: SegmentState) -> int:
        """How many segments are in one of these states."""
        return sum(s.state in states for s in self.segments)


@dataclass(frozen=True, slots=True)
class LeafProof:
    """One proof with the circuit it belongs to and its public signals in snarkjs's order."""

    circuit: Digest
    proof: Proof
    public_signals: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a finished job leaves: one leaf proof a segment, in order, and their assembly, if one was asked for."""

    job_id: Digest
    leaves: tuple[LeafProof, ...]
    assembly: AssemblyResult | None = None


@dataclass(frozen=True, slots=True)
class CircuitInfo:
    """A circuit as a service knows it; `constraints` is 0 where it keeps no `.r1cs`."""

    digest: Digest
    name: str
    wires: int
    constraints: int
    public_signals: int
    insecure_setup: bool


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What one submission says; its content, not its submitter, names the job."""

    segments: Sequence[Segment]
    placement: Placement
    links: Sequence[Link] = field(default=())
    name: str = ""
    assemble: Assemble | None = None
    priority: Priority = Priority.NORMAL
    deadline: float | None = None
    """When the result is of no use any more, in seconds since the Unix epoch."""
