"""What the machine is told (events) and what it asks for (instructions). Plain values; wire messages are protobuf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from google.rpc import status_pb2

from hybrid_prover.admission.fairness import Priority
from hybrid_prover.v1 import assembly_pb2, common_pb2, uplink_pb2

from .assembly import Assembly
from .chunklog import Recovered
from .model import CircuitInfo, Job, Maker, Segment, SegmentKey
from .trust import Distrust

# Events.


@dataclass(frozen=True, slots=True)
class Received:
    """A message came on a connection; numbers of connections are never reused."""

    connection: int
    request: uplink_pb2.UplinkRequest
    edge: str = ""
    """Identity in the certificate of who sent it; empty where plain text is spoken."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection is gone, whoever ended it."""

    connection: int


@dataclass(frozen=True, slots=True)
class CircuitKnown:
    """A circuit is registered and can be proved."""

    circuit: CircuitInfo


@dataclass(frozen=True, slots=True)
class JobSaved:
    """The store has the job."""

    job_id: bytes


@dataclass(frozen=True, slots=True)
class ChunksDurable:
    """All chunks of a segment below `next_sequence` are on disk, and its end if `ended`."""

    key: SegmentKey
    next_sequence: int
    ended: bool


@dataclass(frozen=True, slots=True)
class LeafProved:
    """The prover finished and checked a leaf proof."""

    key: SegmentKey
    leaf: common_pb2.LeafProof
    timings: tuple[common_pb2.PhaseTiming, ...]
    maker: Maker | None = None


@dataclass(frozen=True, slots=True)
class PartialsWrong:
    """The prover found the partials of these chunks to be wrong and did their sums itself."""

    key: SegmentKey
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SegmentBroken:
    """A segment cannot be proved or stored."""

    key: SegmentKey
    error: status_pb2.Status
    timings: tuple[common_pb2.PhaseTiming, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchChecked:
    """A batch of leaf proofs was verified; every member is in exactly one of the two."""

    batch_id: bytes
    good: tuple[SegmentKey, ...]
    bad: tuple[SegmentKey, ...]
    timing: common_pb2.PhaseTiming
    waits: Mapping[SegmentKey, common_pb2.PhaseTiming] = field(default_factory=dict)
    """How long each member waited for its batch, where that was measured."""
    leaves: Mapping[SegmentKey, common_pb2.LeafProof] = field(default_factory=dict)
    """What was verified: of a segment that has another leaf proof by now the batch says nothing."""

    def timings(self, key: SegmentKey) -> list[common_pb2.PhaseTiming]:
        """What the batch measured of one member."""
        return [*([self.waits[key]] if key in self.waits else []), self.timing]


@dataclass(frozen=True, slots=True)
class AssemblyAsked:
    """The leaf proofs of ended jobs are to be assembled; its work is planned, `leaves` are all of them, by number."""

    assembly: Assembly
    leaves: Mapping[int, common_pb2.LeafProof]


@dataclass(frozen=True, slots=True)
class AssemblyMoved:
    """So many leaves are committed to, so many of its assemblies proved."""

    assembly_id: bytes
    committed: int
    proved: int
    timings: tuple[common_pb2.PhaseTiming, ...]


@dataclass(frozen=True, slots=True)
class AssemblyMade:
    """The assembly is proved and verified."""

    assembly_id: bytes
    result: assembly_pb2.AssemblyResult
    timings: tuple[common_pb2.PhaseTiming, ...]


@dataclass(frozen=True, slots=True)
class AssemblyBroken:
    """The assembly cannot be made."""

    assembly_id: bytes
    error: status_pb2.Status
    timings: tuple[common_pb2.PhaseTiming, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelAssembly:
    """A client stops an assembly that is no job's."""

    assembly_id: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """An operator or client stops a job."""

    job_id: bytes


@dataclass(frozen=True, slots=True)
class Requeue:
    """A failed or cancelled job goes again: what the log of each segment still holds, in order."""

    job_id: bytes
    logs: tuple[Recovered, ...]
    submission: int = 0
    priority: Priority = Priority.NORMAL
    deadline: int = 0
    """Of that submission."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; about once a minute, and when a deadline is due."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The process is about to stop."""

    retry_after_ms: int


Event = (
    Received
    | Disconnected
    | CircuitKnown
    | JobSaved
    | ChunksDurable
    | LeafProved
    | PartialsWrong
    | SegmentBroken
    | BatchChecked
    | AssemblyAsked
    | AssemblyMoved
    | AssemblyMade
    | AssemblyBroken
    | CancelAssembly
    | Cancel
    | Requeue
    | Tick
    | Drain
)

# Instructions. Those of one answer are carried out in order, and none that follows a Save before the save is durable.


@dataclass(frozen=True, slots=True)
class Send:
    """Write a message to a connection, if it is still there."""

    connection: int
    response: uplink_pb2.UplinkResponse


@dataclass(frozen=True, slots=True)
class Close:
    """End a connection with this status."""

    connection: int
    error: status_pb2.Status


@dataclass(frozen=True, slots=True)
class SaveJob:
    """Write the job and all its segments; answered by `JobSaved`."""

    job: Job


@dataclass(frozen=True, slots=True)
class SaveSegment:
    """Write one segment with its proof and timings, and the job's own row."""

    job: Job
    segment: Segment


@dataclass(frozen=True, slots=True)
class SaveState:
    """Write the job's own state, error and revision."""

    job: Job


@dataclass(frozen=True, slots=True)
class SaveDistrust:
    """Write that an edge is not trusted with partials any more."""

    record: Distrust


@dataclass(frozen=True, slots=True)
class SaveAttempt:
    """Write the last attempt at a segment."""

    job: Job
    segment: Segment


@dataclass(frozen=True, slots=True)
class AppendChunk:
    """Write a chunk to its segment's log; answered by `ChunksDurable` or `SegmentBroken`."""

    chunk: uplink_pb2.Chunk
    origin: bytes
    """The session that sent it."""


@dataclass(frozen=True, slots=True)
class AppendEnd:
    """Write the end of a segment's witness to its log; answered like `AppendChunk`."""

    key: SegmentKey
    chunk_count: int


@dataclass(frozen=True, slots=True)
class Advance:
    """The prover may read the segment's log up to `chunks`; `complete`: that is all of it."""

    key: SegmentKey
    circuit: CircuitInfo
    chunks: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Discard:
    """Stop any work on the segment and drop its log."""

    key: SegmentKey


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop any work on the segment, but keep its log."""

    key: SegmentKey


@dataclass(frozen=True, slots=True)
class Verify:
    """Put a leaf proof into a batch; answered by `BatchChecked`."""

    key: SegmentKey
    circuit: CircuitInfo
    leaf: common_pb2.LeafProof


@dataclass(frozen=True, slots=True)
class LeavesComplete:
    """The job waits for nothing but verification: its batches need not wait for more."""

    job_id: bytes


@dataclass(frozen=True, slots=True)
class SaveAssembly:
    """Write an assembly, with its result if there is one."""

    assembly: Assembly


@dataclass(frozen=True, slots=True)
class Assemble:
    """Commit to these leaf proofs, by number; `complete`: no others are missing, prove the assembly. Answered by
    `AssemblyMoved` now and then, and once it is complete by `AssemblyMade` or `AssemblyBroken`."""

    assembly: Assembly
    leaves: Mapping[int, common_pb2.LeafProof]
    complete: bool


@dataclass(frozen=True, slots=True)
class StopAssembly:
    """Stop any work on the assembly."""

    assembly_id: bytes


@dataclass(frozen=True, slots=True)
class Settle:
    """Write nothing, but wait as a save does: what is told next may be something whose save is still under way."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Whoever watches the job (or the assembly) has something new to see."""

    job_id: bytes


Instruction = (
    Send
    | Close
    | SaveJob
    | SaveSegment
    | SaveState
    | SaveAttempt
    | SaveDistrust
    | AppendChunk
    | AppendEnd
    | Advance
    | Discard
    | Stop
    | Verify
    | LeavesComplete
    | SaveAssembly
    | Assemble
    | StopAssembly
    | Settle
    | Changed
)
SAVES = (SaveJob, SaveSegment, SaveState, SaveAttempt, SaveDistrust, SaveAssembly, Settle)
