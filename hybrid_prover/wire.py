"""Between wire messages and plain values; also for the services, so that both ends agree on the bytes.

Coordinates are 32 bytes, big-endian, canonical (below q), G2 in the order of EIP-197: x.c1, x.c0, y.c1, y.c0.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.rpc import status_pb2

from hybrid_prover.v1 import assembly_pb2, circuit_pb2, common_pb2, job_pb2, records_pb2, trust_pb2
from prover_core.errors import InvalidInputError
from prover_core.groth16.keys import Proof
from prover_core.types import Digest, FrVector, R
from prover_core.witness.program import Inputs, flatten_input

from .assemblymodel import Assemble, AssemblySegment, AssemblyState, AssemblyStatus
from .errors import code_name, read_details
from .model import (
    CircuitInfo,
    DistrustedEdge,
    Job,
    JobRecords,
    JobSpec,
    JobState,
    LeafProof,
    LeafRecord,
    Link,
    PartialUse,
    PhaseTiming,
    Placement,
    Priority,
    Problem,
    SegmentState,
    SegmentStatus,
)


def _big(value: int) -> bytes:
    return value.to_bytes(32, "big")


def proof_to_wire(proof: Proof) -> common_pb2.Groth16Proof:
    """EIP-197 bytes of a proof."""
    raw = proof.to_bytes()
    return common_pb2.Groth16Proof(a=raw[:64], b=raw[64:192], c=raw[192:])


def proof_from_wire(message: common_pb2.Groth16Proof) -> Proof:
    """Canonical coordinates or `InvalidInputError`; whether the points are on the curve is the verifier's question."""
    for name, raw, size in (("a", message.a, 64), ("b", message.b, 128), ("c", message.c, 64)):
        if len(raw) != size:
            raise InvalidInputError(f"proof.{name} needs {size} bytes, not {len(raw)}", field=f"proof.{name}")
    return Proof.from_bytes(message.a + message.b + message.c)


def publics_from_wire(message: common_pb2.LeafProof) -> tuple[int, ...]:
    """Public signals as integers below r, or `InvalidInputError`."""
    values = tuple(int.from_bytes(raw, "big") for raw in message.public_signals)
    if any(len(raw) != 32 for raw in message.public_signals) or any(v >= R for v in values):
        raise InvalidInputError("a public signal is not 32 bytes below r", field="public_signals")
    return values


def leaf_to_wire(proof: Proof, public_signals: tuple[int, ...] | list[int]) -> common_pb2.LeafProof:
    """A leaf proof with its public signals, 32 big-endian bytes each."""
    return common_pb2.LeafProof(proof=proof_to_wire(proof), public_signals=[_big(v) for v in public_signals])


def inputs_to_wire(inputs: Inputs) -> list[job_pb2.InputSignal]:
    """Every input flattened in row-major order, 32 little-endian bytes a value; errors name the signal."""
    return [
        job_pb2.InputSignal(name=name, values=FrVector.from_ints(flatten_input(name, value)).limbs.tobytes())
        for name, value in inputs.items()
    ]


def spec_to_wire(spec: JobSpec) -> job_pb2.SubmitJobRequest:
    """The submission of a job; `InvalidInputError` names segment and signal."""
    segments = []
    for index, segment in enumerate(spec.segments):
        try:
            inputs = inputs_to_wire(segment.inputs)
        except InvalidInputError as e:
            raise InvalidInputError(f"segment {index}: {e}", field=f"segments[{index}].inputs.{e.field}") from e
        segments.append(job_pb2.SegmentSpec(circuit=segment.circuit.raw, inputs=inputs))
    links = [
        common_pb2.Link(
            from_segment=link.from_segment,
            from_signal=link.from_signal,
            to_segment=link.to_segment,
            to_signal=link.to_signal,
        )
        for link in spec.links
    ]
    request = job_pb2.SubmitJobRequest(
        name=spec.name, placement=f"PLACEMENT_{spec.placement.name}", segments=segments, links=links
    )
    request.priority = spec.priority.value  # type: ignore[assignment]
    if spec.deadline is not None:
        request.deadline_unix_nanos = max(1, int(spec.deadline * 1e9))
    if spec.assemble is not None:
        request.assembly.CopyFrom(assemble_to_wire(spec.assemble))
    return request


def problem_from_wire(status: status_pb2.Status) -> Problem:
    """Code, message, field and segment of a google.rpc.Status."""
    details = read_details(status)
    return Problem(code_name(status.code), status.message, details.field, details.segment)


def _segment(message: job_pb2.SegmentStatus) -> SegmentStatus:
    return SegmentStatus(
        index=message.index,
        circuit=Digest(message.circuit),
        state=SegmentState(message.state),
        wires_acked=message.wires_acked,
        wires=message.wires,
        timings=tuple(PhaseTiming(t.phase, t.start_unix_nanos / 1e9, t.duration_nanos / 1e9) for t in message.timings),
        problem=problem_from_wire(message.error) if message.HasField("error") else None,
        partials=_partials(message.partials) if message.HasField("partials") else None,
    )


def distrusted_from_wire(message: trust_pb2.DistrustedEdge) -> DistrustedEdge:
    """An edge that a cloud does not trust with partials."""
    return DistrustedEdge(
        name=message.edge_name,
        fingerprint=message.fingerprint,
        identity=message.identity,
        job=Digest(message.job_id),
        segment=message.segment,
        chunks=tuple(message.sequences),
        since=message.since_unix_nanos / 1e9,
    )


def records_from_wire(messages: Sequence[records_pb2.GetRecordsResponse]) -> JobRecords:
    """The records of one job."""
    kinds = [message.WhichOneof("record") for message in messages]
    node = messages[kinds.index("node")].node.public_key_pem if "node" in kinds else b""
    leaves = (m.leaf for m, kind in zip(messages, kinds, strict=True) if kind == "leaf")
    batches = (m.batch.envelope for m, kind in zip(messages, kinds, strict=True) if kind == "batch")
    assembly = next((m.assembly.envelope for m, kind in zip(messages, kinds, strict=True) if kind == "assembly"), b"")
    records = tuple(LeafRecord(r.segment, r.envelope, r.seed) for r in leaves)
    return JobRecords(node, records, tuple(batches), assembly)


def _partials(message: job_pb2.PartialUse) -> PartialUse:
    return PartialUse(message.chunks, message.partials, message.late, message.wrong)


def assemble_to_wire(wish: Assemble) -> assembly_pb2.AssemblyOptions:
    """That an assembly is wanted, and its chain; `InvalidInputError` if that names no positions."""
    options = assembly_pb2.AssemblyOptions()
    if wish.chain is not None:
        out, into = wish.chain
        if not (0 <= out < 1 << 32 and 0 <= into < 1 << 32):
            raise InvalidInputError("a chain is two positions counted from 0", field="assemble.chain")
        options.chain.CopyFrom(assembly_pb2.AssemblyChain(out=out, into=into))
    return options


def assembly_from_wire(message: assembly_pb2.Assembly) -> AssemblyStatus:
    """One assembly as it stands."""
    error = status_pb2.Status.FromString(message.error.SerializeToString()) if message.HasField("error") else None
    return AssemblyStatus(
        id=Digest(message.assembly_id),
        jobs=tuple(Digest(raw) for raw in message.job_ids),
        state=AssemblyState(message.state),
        leaves=message.leaves,
        committed=message.committed,
        nodes=message.nodes,
        nodes_proved=message.nodes_proved,
        left_out=tuple(AssemblySegment(s.job, s.segment) for s in message.left_out),
        timings=tuple(PhaseTiming(t.phase, t.start_unix_nanos / 1e9, t.duration_nanos / 1e9) for t in message.timings),
        accepted=message.accepted_unix_nanos / 1e9,
        ended=message.ended_unix_nanos / 1e9 if message.ended_unix_nanos else None,
        revision=message.revision,
        problem=problem_from_wire(error) if error is not None else None,
    )


def job_from_wire(message: job_pb2.Job) -> Job:
    """One job as it stands."""
    return Job(
        id=Digest(message.job_id),
        name=message.name,
        placement=Placement(message.placement),
        state=JobState(message.state),
        segments=tuple(_segment(s) for s in message.segments),
        links=tuple(Link(k.from_segment, k.from_signal, k.to_segment, k.to_signal) for k in message.links),
        accepted=message.accepted_unix_nanos / 1e9,
        ended=message.ended_unix_nanos / 1e9 if message.ended_unix_nanos else None,
        revision=message.revision,
        problem=problem_from_wire(message.error) if message.HasField("error") else None,
        assembly=assembly_from_wire(message.assembly) if message.HasField("assembly") else None,
        priority=Priority(message.priority or Priority.NORMAL),
        deadline=message.deadline_unix_nanos / 1e9 if message.deadline_unix_nanos else None,
    )


def leaf_from_wire(circuit: bytes, message: common_pb2.LeafProof) -> LeafProof:
    """A leaf proof; `InvalidInputError` where an encoding is not canonical."""
    return LeafProof(Digest(circuit), proof_from_wire(message.proof), publics_from_wire(message))


def circuit_from_wire(message: circuit_pb2.Circuit) -> CircuitInfo:
    """A circuit as the service describes it."""
    return CircuitInfo(
        digest=Digest(message.digest),
        name=message.name,
        wires=message.wires,
        constraints=message.constraints,
        public_signals=message.public_signals,
        insecure_setup=message.insecure_setup,
    )
