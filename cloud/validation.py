"""Checks of single messages that need nothing but the message, the circuits and the limits. All raise `WireError`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from hybrid_prover.admission.fairness import Priority
from hybrid_prover.security.principal import is_client_name
from hybrid_prover.v1 import common_pb2, uplink_pb2
from prover_core.errors import InvalidInputError
from prover_core.formats.chunk import (
    ENCODING_PACKED,
    MAX_CHUNK_WIRES,
    chunk_digest,
    max_payload_bytes,
    partial_digest,
)
from prover_core.groth16 import PARTIAL_BYTES
from prover_core.groth16.keys import Proof
from prover_core.types import R

from .assembly import options_of
from .errors import (
    ALREADY_EXISTS,
    DATA_LOSS,
    INVALID_ARGUMENT,
    NOT_FOUND,
    RESOURCE_EXHAUSTED,
    refuse,
)
from .model import WITNESS_PLACEMENTS, CircuitInfo, Job

NAME_LIMIT = 128
LINK_LIMIT = 1 << 16
ENCODINGS = (ENCODING_PACKED,)
MAX_TIMINGS = 16
"""Measurements that one message of an edge may bring; further ones are left out."""
MAX_PHASE_NAME = 64


def check_bytes(value: bytes, length: int, field: str) -> bytes:
    """An id or digest of exactly that many bytes."""
    if len(value) != length:
        raise refuse(
            INVALID_ARGUMENT, f"{field} has {len(value)} bytes instead of {length}", reason="BAD_LENGTH", field=field
        )
    return value


def check_name(name: str, field: str) -> str:
    """A name for people."""
    if len(name) > NAME_LIMIT:
        raise refuse(INVALID_ARGUMENT, f"{field} has over {NAME_LIMIT} characters", reason="NAME_TOO_LONG", field=field)
    if "\0" in name:
        # PostgreSQL keeps no such text.
        raise refuse(INVALID_ARGUMENT, f"{field} has a NUL character", reason="NAME_MALFORMED", field=field)
    return name


def check_submission(message: uplink_pb2.OpenJob) -> None:
    """Its submission and its deadline are times that can be stored."""
    if message.submission >> 63:
        raise refuse(
            INVALID_ARGUMENT, "submission is not a time in nanoseconds", reason="SUBMISSION", field="submission"
        )
    if message.deadline_unix_nanos >> 63:
        text = "the deadline is not a time in nanoseconds"
        raise refuse(INVALID_ARGUMENT, text, reason="DEADLINE", field="deadline_unix_nanos")


def priority_of(message: uplink_pb2.OpenJob) -> Priority:
    """What it asks for; of a number that is not known here, NORMAL."""
    return Priority(message.priority) if message.priority in Priority._value2member_map_ else Priority.NORMAL


def check_open(
    message: uplink_pb2.OpenJob, circuits: Mapping[bytes, CircuitInfo], max_segments: int
) -> list[CircuitInfo]:
    """The circuit of each segment of a job that may be opened; NOT_FOUND names the first circuit that is not here."""
    check_bytes(message.job_id, 32, "job_id")
    check_name(message.name, "name")
    if message.client and not is_client_name(message.client):
        raise refuse(
            INVALID_ARGUMENT,
            "client is not 1 to 64 letters, digits, dots, dashes, underscores or @",
            reason="CLIENT_NAME",
            field="client",
        )
    if message.placement not in {*WITNESS_PLACEMENTS, common_pb2.PLACEMENT_PRIVATE}:
        raise refuse(
            INVALID_ARGUMENT,
            "a placement must be chosen: cloud, split or private",
            reason="NO_PLACEMENT",
            field="placement",
        )
    if not 1 <= len(message.circuits) <= max_segments:
        raise refuse(
            INVALID_ARGUMENT,
            f"a job has 1 to {max_segments} segments, not {len(message.circuits)}",
            reason="SEGMENT_COUNT",
            field="segments",
        )
    found: list[CircuitInfo] = []
    for i, digest in enumerate(message.circuits):
        check_bytes(digest, 32, f"segments[{i}].circuit")
        circuit = circuits.get(digest)
        if circuit is None:
            raise refuse(
                NOT_FOUND,
                f"segments[{i}]: circuit {digest.hex()} is not registered at this cloud",
                reason="CIRCUIT_UNKNOWN",
                field=f"segments[{i}].circuit",
                circuit=digest.hex(),
            )
        found.append(circuit)
    if len(message.links) > LINK_LIMIT:
        raise refuse(INVALID_ARGUMENT, f"a job has at most {LINK_LIMIT} links", reason="LINK_COUNT", field="links")
    for k, link in enumerate(message.links):
        _check_link(k, link, found)
    return found


def _check_link(k: int, link: common_pb2.Link, circuits: list[CircuitInfo]) -> None:
    ends = (("from", link.from_segment, link.from_signal), ("to", link.to_segment, link.to_signal))
    for side, segment, signal in ends:
        if segment >= len(circuits):
            raise refuse(
                INVALID_ARGUMENT,
                f"links[{k}] names segment {segment} of {len(circuits)}",
                reason="LINK_RANGE",
                field=f"links[{k}].{side}_segment",
            )
        if signal >= circuits[segment].n_public:
            raise refuse(
                INVALID_ARGUMENT,
                f"links[{k}] names public signal {signal} of segment {segment}, which has {circuits[segment].n_public}",
                reason="LINK_RANGE",
                field=f"links[{k}].{side}_signal",
            )
    if link.from_segment >= link.to_segment:
        raise refuse(
            INVALID_ARGUMENT,
            f"links[{k}] goes from segment {link.from_segment} to {link.to_segment}; links go to later segments",
            reason="LINK_BACKWARD",
            field=f"links[{k}].to_segment",
        )


def check_same(message: uplink_pb2.OpenJob, job: Job) -> None:
    """A job opened again must be the job that is known."""
    same = (
        message.placement == job.placement
        and [s.circuit.digest for s in job.segments] == list(message.circuits)
        and list(job.links) == list(message.links)
        and (options_of(job.assembly) if job.assembly is not None else None)
        == (message.assembly if message.HasField("assembly") else None)
    )
    if not same:
        raise refuse(
            ALREADY_EXISTS,
            "a job with this id and other content is known here",
            reason="JOB_CONFLICT",
            field="job_id",
        )


def check_chunk_size(chunk: uplink_pb2.Chunk, max_chunk_bytes: int) -> None:
    """Refuses before anything is hashed."""
    where = f"segments[{chunk.segment}].chunks[{chunk.sequence}]"
    if len(chunk.payload) > max_chunk_bytes:
        raise refuse(
            RESOURCE_EXHAUSTED,
            f"{where}: {len(chunk.payload)} payload bytes, this cloud takes {max_chunk_bytes}",
            reason="CHUNK_TOO_LARGE",
            field=f"{where}.payload",
        )


def check_chunk_digest(chunk: uplink_pb2.Chunk) -> None:
    """DATA_LOSS if the chunk is not what its sender meant it to be."""
    found = chunk_digest(
        chunk.job_id,
        chunk.segment,
        chunk.sequence,
        chunk.wire_offset,
        chunk.wire_count,
        chunk.encoding,
        chunk.payload,
    )
    if found != chunk.digest:
        where = f"segments[{chunk.segment}].chunks[{chunk.sequence}]"
        raise refuse(
            DATA_LOSS,
            f"{where}: the chunk does not have its digest; it was altered on the way",
            reason="CHUNK_ALTERED",
            field=f"{where}.digest",
        )


def check_partial(chunk: uplink_pb2.Chunk, placement: common_pb2.Placement) -> None:
    """The frame of a chunk's partial: DATA_LOSS if it is not what its sender meant it to be. Its points are checked by
    the prover, off the event loop."""
    where = f"segments[{chunk.segment}].chunks[{chunk.sequence}].partial"
    if placement != common_pb2.PLACEMENT_SPLIT:
        raise refuse(
            INVALID_ARGUMENT,
            f"{where}: a job of placement {common_pb2.Placement.Name(placement)} takes no partials",
            reason="PARTIAL_UNWANTED",
            field=where,
        )
    check_bytes(chunk.partial.points, PARTIAL_BYTES, f"{where}.points")
    if chunk.partial.digest != partial_digest(chunk.digest, chunk.partial.points):
        raise refuse(
            DATA_LOSS, f"{where}: the points do not have the digest", reason="PARTIAL_ALTERED", field=f"{where}.digest"
        )


def check_chunk_range(chunk: uplink_pb2.Chunk, wires: int) -> None:
    """Encoding known, at least one wire, all of them inside the circuit, payload of a possible size."""
    where = f"segments[{chunk.segment}].chunks[{chunk.sequence}]"
    if chunk.encoding not in ENCODINGS:
        raise refuse(
            INVALID_ARGUMENT,
            f"{where}: encoding {chunk.encoding} is not read here",
            reason="ENCODING_UNKNOWN",
            field=f"{where}.encoding",
        )
    if not 1 <= chunk.wire_count <= MAX_CHUNK_WIRES:
        raise refuse(
            INVALID_ARGUMENT,
            f"{where}: {chunk.wire_count} wires; a chunk has 1 to {MAX_CHUNK_WIRES}",
            reason="WIRE_COUNT",
            field=f"{where}.wire_count",
        )
    if chunk.wire_offset + chunk.wire_count > wires:
        raise refuse(
            INVALID_ARGUMENT,
            f"{where}: wires {chunk.wire_offset} to {chunk.wire_offset + chunk.wire_count - 1} of {wires}",
            reason="WIRE_RANGE",
            field=f"{where}.wire_offset",
        )
    if len(chunk.payload) > max_payload_bytes(chunk.wire_count):
        raise refuse(
            INVALID_ARGUMENT,
            f"{where}: {len(chunk.payload)} payload bytes for {chunk.wire_count} wires",
            reason="PAYLOAD_SIZE",
            field=f"{where}.payload",
        )


def usable_timings(timings: Iterable[common_pb2.PhaseTiming]) -> list[common_pb2.PhaseTiming]:
    """The first `MAX_TIMINGS` of an edge's measurements that can be stored: short names, numbers below 2^63.

    The others are left out rather than refused: nothing depends on them, and the witness beside them may be good.
    """
    fitting = (
        t
        for t in timings
        if 0 < len(t.phase) <= MAX_PHASE_NAME and max(t.start_unix_nanos, t.duration_nanos) >> 63 == 0
    )
    return list(islice(fitting, MAX_TIMINGS))


def parse_leaf(leaf: common_pb2.LeafProof, n_public: int, where: str) -> tuple[Proof, list[int]]:
    """Proof and public signals of the wire form; INVALID_ARGUMENT names what is not canonical. No curve is checked."""
    for name, raw, length in (("a", leaf.proof.a, 64), ("b", leaf.proof.b, 128), ("c", leaf.proof.c, 64)):
        check_bytes(raw, length, f"{where}.proof.{name}")
    if len(leaf.public_signals) != n_public:
        raise refuse(
            INVALID_ARGUMENT,
            f"{where}: {len(leaf.public_signals)} public signals, the circuit has {n_public}",
            reason="PUBLIC_COUNT",
            field=f"{where}.public_signals",
        )
    publics: list[int] = []
    for i, raw in enumerate(leaf.public_signals):
        value = int.from_bytes(check_bytes(raw, 32, f"{where}.public_signals[{i}]"), "big")
        if value >= R:
            raise refuse(
                INVALID_ARGUMENT,
                f"{where}: public signal {i} is not below r",
                reason="NOT_CANONICAL",
                field=f"{where}.public_signals[{i}]",
            )
        publics.append(value)
    try:
        proof = Proof.from_bytes(leaf.proof.a + leaf.proof.b + leaf.proof.c)
    except InvalidInputError as e:
        raise refuse(INVALID_ARGUMENT, f"{where}: {e}", reason="NOT_CANONICAL", field=f"{where}.proof") from e
    return proof, publics


def wire_leaf(proof: Proof, publics: list[int]) -> common_pb2.LeafProof:
    """The wire form; inverse of `parse_leaf`."""
    raw = proof.to_bytes()
    return common_pb2.LeafProof(
        proof=common_pb2.Groth16Proof(a=raw[:64], b=raw[64:192], c=raw[192:]),
        public_signals=[p.to_bytes(32, "big") for p in publics],
    )
