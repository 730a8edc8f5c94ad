"""What the machine tells the world to do, and what it puts on the uplink. Names only: the driver has the content."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Failure


@dataclass(frozen=True, slots=True)
class StartWitness:
    """Give the segment to an idle worker; answer with chunk_ready …, then witness_finished or proof_ready, or else
    witness_failed or worker_died."""

    job_id: bytes
    segment: int


@dataclass(frozen=True, slots=True)
class StopWitness:
    """Take the segment from its worker; answer with worker_stopped."""

    job_id: bytes
    segment: int


@dataclass(frozen=True, slots=True)
class WarmPartials:
    """Load the circuit's proving key for partials and measure one; answer with partials_warm or partials_cold."""

    circuit: bytes


@dataclass(frozen=True, slots=True)
class MakePartial:
    """Compute the partial of a chunk in the spool; answer with partial_made or partial_failed."""

    job_id: bytes
    segment: int
    sequence: int


@dataclass(frozen=True, slots=True)
class EnsureCircuit:
    """Make the cloud know the circuit; answer with circuit_ready or circuit_failed."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class FetchResult:
    """Ask the cloud for the job's leaf proofs; answer with result_fetched or result_failed."""

    job_id: bytes


@dataclass(frozen=True, slots=True)
class CheckLeaf:
    """Verify the segment's candidate as a proof of its public signals; answer with leaf_verified or leaf_refused."""

    job_id: bytes
    segment: int


@dataclass(frozen=True, slots=True)
class SaveSegment:
    """Make the segment's record durable."""

    job_id: bytes
    segment: int


@dataclass(frozen=True, slots=True)
class SaveJob:
    """Make the job's record durable."""

    job_id: bytes


@dataclass(frozen=True, slots=True)
class Notify:
    """The job changed: tell who watches."""

    job_id: bytes


@dataclass(frozen=True, slots=True)
class DropInputs:
    """The job ended: inputs and chunks are not needed any more."""

    job_id: bytes


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove the job and its results."""

    job_id: bytes


Instruction = (
    StartWitness
    | StopWitness
    | WarmPartials
    | MakePartial
    | EnsureCircuit
    | FetchResult
    | CheckLeaf
    | SaveSegment
    | SaveJob
    | Notify
    | DropInputs
    | Forget
)


@dataclass(frozen=True, slots=True)
class SendOpen:
    """OpenJob."""

    job_id: bytes


@dataclass(frozen=True, slots=True)
class SendChunk:
    """Chunk: number `sequence` of the segment's chunks in the spool."""

    job_id: bytes
    segment: int
    sequence: int
    partial: bool = False
    """With the partial that was made of it."""


@dataclass(frozen=True, slots=True)
class SendEnd:
    """SegmentEnd."""

    job_id: bytes
    segment: int


@dataclass(frozen=True, slots=True)
class SendProof:
    """SegmentProof with the leaf that was made here."""

    job_id: bytes
    segment: int


@dataclass(frozen=True, slots=True)
class SendFailure:
    """SegmentFailure."""

    job_id: bytes
    segment: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class SendAbort:
    """AbortJob."""

    job_id: bytes


Message = SendOpen | SendChunk | SendEnd | SendProof | SendFailure | SendAbort
