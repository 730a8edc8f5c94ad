"""What the cloud knows of jobs and segments; the machine changes it, the store keeps it, the services show it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from google.rpc import status_pb2

from hybrid_prover.admission.fairness import Priority, Share
from hybrid_prover.admission.quotas import Usage
from hybrid_prover.v1 import common_pb2, job_pb2

from .assembly import Assembly, assembly_view
from .attempts import Attempt
from .coverage import Coverage

SegmentKey = tuple[bytes, int]
"""(job id, index of the segment)."""

QUEUED = job_pb2.SEGMENT_STATE_QUEUED
UPLOADING = job_pb2.SEGMENT_STATE_UPLOADING
PROVING = job_pb2.SEGMENT_STATE_PROVING
PROVED = job_pb2.SEGMENT_STATE_PROVED
VERIFIED = job_pb2.SEGMENT_STATE_VERIFIED
FAILED = job_pb2.SEGMENT_STATE_FAILED
CANCELLED = job_pb2.SEGMENT_STATE_CANCELLED

RUNNING = job_pb2.JOB_STATE_RUNNING
JOB_DONE = job_pb2.JOB_STATE_DONE
JOB_FAILED = job_pb2.JOB_STATE_FAILED
JOB_CANCELLED = job_pb2.JOB_STATE_CANCELLED

OPEN_STATES = frozenset({QUEUED, UPLOADING})
"""A segment in one of these still takes chunks or a proof."""
ENDED_STATES = frozenset({VERIFIED, FAILED, CANCELLED})
WITNESS_PLACEMENTS = frozenset({common_pb2.PLACEMENT_CLOUD, common_pb2.PLACEMENT_SPLIT})
"""Jobs whose witnesses come here, in chunks."""


@dataclass(frozen=True, slots=True)
class CircuitInfo:
    """What ordering and admission need to know of a circuit."""

    digest: bytes
    wires: int
    n_public: int


@dataclass(frozen=True, slots=True)
class Maker:
    """Who made a leaf proof, for its record."""

    name: str
    """A worker's, an edge's, or empty: the cloud itself."""
    device: str
    software: str


@dataclass(slots=True)
class InFlight:
    """A chunk on its way to the disk."""

    sequence: int
    wires: int
    payload_bytes: int
    session: bytes


@dataclass(slots=True)
class Segment:
    """One segment as the cloud has it."""

    index: int
    circuit: CircuitInfo
    state: job_pb2.SegmentState = QUEUED
    received: int = 0
    """The next chunk sequence number wanted."""
    acked: int = 0
    """Chunks below this are durable."""
    wires_acked: int = 0
    ended: bool = False
    """The end of the witness has been received (durable once the state is PROVING)."""
    digests: list[bytes] = field(default_factory=list)
    """Of every chunk received, to tell duplicates from conflicts."""
    coverage: Coverage = field(default_factory=Coverage)
    in_flight: deque[InFlight] = field(default_factory=deque)
    last_gap: int = -1
    """Highest sequence number refused since the wanted one was asked for again; -1 if none is outstanding."""
    leaf: common_pb2.LeafProof | None = None
    batch_id: bytes = b""
    error: status_pb2.Status | None = None
    timings: list[common_pb2.PhaseTiming] = field(default_factory=list)
    upload_started_nanos: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    """What was tried in the job's present run without success."""
    lease_worker: bytes = b""
    """The remote worker that held its task last, for the time after a restart."""
    lease_token: int = 0
    partials: int = 0
    """Chunks that came with a partial."""
    partials_wrong: int = 0
    """Partials found to be wrong; the proof was made without them."""
    maker: Maker | None = None
    """Who made the leaf proof."""
    partial_origins: dict[int, bytes] = field(default_factory=dict)
    """The session that sent each partial, by sequence number, until the leaf proof is there."""


@dataclass(slots=True)
class Job:
    """One job as the cloud has it."""

    job_id: bytes
    name: str
    placement: common_pb2.Placement
    links: list[common_pb2.Link]
    segments: list[Segment]
    state: job_pb2.JobState = RUNNING
    error: status_pb2.Status | None = None
    accepted_nanos: int = 0
    ended_nanos: int = 0
    revision: int = 1
    """Grows with every change; see `shown_revision`."""
    run: int = 0
    """How often it has been begun again."""
    submission: int = 0
    """The last submission that opened it (see OpenJob)."""
    active_nanos: int = 0
    """When an edge last said something of it."""
    logs_kept: bool = False
    """Failed, but what is there of its witnesses is kept for a while, for who requeues it."""
    durable: bool = False
    """The store has the job; nothing about it is acknowledged before."""
    assembly: Assembly | None = None
    """Its last stage, if one was asked for."""
    client: str = ""
    """Who submitted it, as the edge that opened it first says; empty for jobs of a time without clients."""
    priority: Priority = Priority.NORMAL
    """The most urgent that it was opened with."""
    deadline: int = 0
    """When it ends unfinished, the latest that it was opened with, Unix nanoseconds; 0 is never."""
    edges: set[str] = field(default_factory=set)
    """The edges that want it: those that opened it and have not withdrawn (see `ownership.edge_of`)."""
    subscribers: set[bytes] = field(default_factory=set)
    """Sessions that opened the job and hear of its changes."""
    usage: tuple[int, Usage] | None = field(default=None, repr=False, compare=False)
    """What it took at a revision (see `policy.usage`)."""

    @property
    def share(self) -> Share:
        """Its place among others."""
        return Share(self.client, self.priority)

    @property
    def shown_revision(self) -> int:
        """State changes plus durable chunks: both survive a restart, so the sum never goes back."""
        return self.revision + sum(s.acked for s in self.segments)

    @property
    def witness_bytes(self) -> int:
        """Upper bound of the disk that its unfinished witnesses need."""
        if self.placement == common_pb2.PLACEMENT_PRIVATE:
            return 0
        if self.state != RUNNING:
            return sum(33 * s.wires_acked for s in self.segments) if self.logs_kept else 0
        return sum(33 * s.circuit.wires for s in self.segments if s.state in OPEN_STATES or s.state == PROVING)


def job_view(job: Job) -> job_pb2.Job:
    """The job as clients see it."""
    view = job_pb2.Job(
        job_id=job.job_id,
        name=job.name,
        placement=job.placement,
        state=job.state,
        links=job.links,
        error=job.error,
        accepted_unix_nanos=job.accepted_nanos,
        ended_unix_nanos=job.ended_nanos,
        revision=job.shown_revision,
        priority=int(job.priority),  # type: ignore[arg-type]
        deadline_unix_nanos=job.deadline,
    )
    if job.assembly is not None:
        view.assembly.CopyFrom(assembly_view(job.assembly))
    for segment in job.segments:
        view.segments.add(
            index=segment.index,
            circuit=segment.circuit.digest,
            state=segment.state,
            wires_acked=segment.wires_acked,
            wires=segment.circuit.wires,
            error=segment.error,
            timings=segment.timings,
            partials=partial_use(segment) if job.placement == common_pb2.PLACEMENT_SPLIT else None,
        )
    return view


def partial_use(segment: Segment) -> job_pb2.PartialUse:
    """How many chunks of a segment came with partials, and how many of those were wrong."""
    return job_pb2.PartialUse(chunks=segment.received, partials=segment.partials, wrong=segment.partials_wrong)
