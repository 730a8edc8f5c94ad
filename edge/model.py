"""The nouns of the edge's decisions: jobs, segments, failures. Plain data; the numbers are those of the wire API."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from hybrid_prover.admission.fairness import Priority, Share

SegmentKey = tuple[bytes, int]
"""Job id and index."""


class Placement(IntEnum):
    """`hybrid_prover.v1.Placement`."""

    CLOUD = 1
    SPLIT = 2
    PRIVATE = 3


class SegmentState(IntEnum):
    """`hybrid_prover.v1.SegmentState`; only grows, except that a failure or a cancellation ends it."""

    QUEUED = 1
    WITNESSING = 2
    UPLOADING = 3
    PROVING = 4
    PROVED = 5
    VERIFIED = 6
    FAILED = 7
    CANCELLED = 8

    @property
    def ended(self) -> bool:
        return self >= SegmentState.VERIFIED


class JobState(IntEnum):
    """`hybrid_prover.v1.JobState`."""

    RUNNING = 1
    DONE = 2
    FAILED = 3
    CANCELLED = 4


class Code(IntEnum):
    """The gRPC status codes used here."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something cannot go on. `status` is the serialized `google.rpc.Status`, details included."""

    code: Code
    message: str
    status: bytes = b""


@dataclass(frozen=True, slots=True)
class Timing:
    """One measured phase; nanoseconds since the epoch, and of duration."""

    phase: str
    start: int
    duration: int


@dataclass(frozen=True, slots=True)
class Link:
    """`hybrid_prover.v1.Link`."""

    from_segment: int
    from_signal: int
    to_segment: int
    to_signal: int


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """What a segment is before anything happened to it."""

    circuit: bytes
    wires: int


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a job is before anything happened to it. Inputs stay in the spool: decisions do not need them."""

    job_id: bytes
    name: str
    placement: Placement
    segments: tuple[SegmentPlan, ...]
    links: tuple[Link, ...]
    chunk_wires: int
    """Wires in a chunk: fixed when the job is accepted, so that a witness made again gives the same chunks."""
    client: str = ""
    """Who submitted it first, by the name of the token; empty for jobs of a time without tokens."""
    assembly: bytes | None = None
    """Serialized `AssemblyOptions`, if the job is to end with one proof over all; else None."""


@dataclass(slots=True)
class Segment:
    """One segment as it stands."""

    index: int
    circuit: bytes
    wires: int
    state: SegmentState = SegmentState.QUEUED
    failure: Failure | None = None
    leaf: bytes = b""
    """Serialized `LeafProof` that was verified here, empty until there is one."""
    publics: bytes | None = None
    """Public signals of this edge's own witness, 32 big-endian bytes each; None until the witness is complete."""
    candidate: bytes | None = None
    """What the cloud gave as the leaf proof, until it is verified here."""
    checking: bool = False
    """The candidate is being verified."""
    vouched: bool = False
    """The cloud says that the leaf proof passed its batch; nothing is shown of it before there is a leaf here."""
    timings: dict[str, Timing] = field(default_factory=dict)

    chunk_bytes: list[int] = field(default_factory=list)
    """Payload size of every chunk in the spool."""
    chunk_wires: list[int] = field(default_factory=list)
    """Wires of every chunk in the spool."""
    chunk_count: int | None = None
    """How many chunks there are in all; None until the witness is complete."""
    working: bool = False
    """A worker has it."""
    crashes: int = 0
    """How often its worker died."""

    acked: int = 0
    """Chunks durable at the cloud."""
    wires_acked: int = 0
    cursor: int = 0
    """Next chunk to send."""
    tail_sent: bool = False
    """SegmentEnd (private: SegmentProof) was sent on this connection."""
    complete: bool = False
    """The cloud has all it needs of this segment."""
    resends: int = 0
    """Refusals since the last progress."""
    stale_refusals: int = 0
    """Refusals still to come for chunks that were under way when the cursor was set back."""
    resent_from: int = 0
    """Where the cursor was last set back to."""
    not_before: int = 0
    """Nothing is sent before this time."""
    last_progress: int = 0
    """When the cloud last took something, or something was first sent after that."""
    upload_started: int = 0

    partials_ready: set[int] = field(default_factory=set)
    """Chunks whose partial was made before they were sent."""
    partials_sent: set[int] = field(default_factory=set)
    """Chunks that were last sent with their partial."""
    partials_late: int = 0
    """Partials that were made after their chunk had left."""


@dataclass(slots=True)
class Job:
    """One job as it stands."""

    plan: JobPlan
    segments: list[Segment]
    accepted: int
    order: int
    """Jobs accepted earlier have lower numbers."""
    state: JobState = JobState.RUNNING
    failure: Failure | None = None
    ended: int = 0
    revision: int = 1

    announced: bool = False
    """OpenJob was sent on this connection."""
    opened: bool = False
    """JobOpened came back on this connection."""
    known_to_cloud: bool = False
    """OpenJob was sent on some connection."""
    closing: bool = False
    """Ended here by failure or cancellation, and the cloud has not confirmed that it knows."""
    opens: int = 0
    """Refused or farewell OpenJobs since the last success."""
    not_before: int = 0
    clients: set[str] = field(default_factory=set)
    """Who wants it: everybody who submitted this content and has not cancelled it since."""
    priority: Priority = Priority.NORMAL
    """The most urgent of its submissions'."""
    deadline: int = 0
    """When it ends unfinished, the latest of its submissions'; 0 is never."""
    turned_away: bool = False
    """The cloud has no room for it now: it is opened again later, and nothing more is made for it meanwhile."""
    assembly: bytes = b""
    """Serialized `AssemblyResult`, as the cloud gave it: it is passed on, and clients check it."""
    assembly_status: bytes = b""
    """Serialized `Assembly`: what the cloud last said of it."""
    awaiting_result: bool = False
    """The cloud says done, but leaf proofs are missing here."""

    @property
    def id(self) -> bytes:
        return self.plan.job_id

    @property
    def client(self) -> str:
        """Whose share it is worked at from: who submitted it first, while that client wants it."""
        return self.plan.client if self.plan.client in self.clients else min(self.clients, default="")

    @property
    def share(self) -> Share:
        """Its place among others."""
        return Share(self.client, self.priority)

    def late(self, now: int) -> bool:
        """Whether its deadline has passed."""
        return 0 < self.deadline <= now

    @property
    def private(self) -> bool:
        return self.plan.placement is Placement.PRIVATE

    @property
    def split(self) -> bool:
        return self.plan.placement is Placement.SPLIT

    def made(self, s: Segment) -> bool:
        """Whether this edge has made all that it makes of the segment: what the cloud says never stands in for it."""
        return bool(s.leaf) if self.private else s.publics is not None

    @property
    def lacks_leaves(self) -> bool:
        """Whether the cloud has yet to give a leaf proof. Those of a private job come from this edge alone."""
        return not self.private and any(not s.leaf and s.candidate is None for s in self.segments)
