"""What a client asks for, checked before anything is done: every refusal names the field in the request's own words."""

from __future__ import annotations

from collections.abc import Mapping

from hybrid_prover.v1 import assembly_pb2, common_pb2, job_pb2
from prover_core.errors import InvalidInputError
from prover_core.types import Digest, FrVector

from .model import Code, JobPlan, Link, Placement, SegmentPlan
from .spool import CircuitRecord
from .status import rpc_error

MAX_NAME = 128
MAX_SEGMENTS = 4096
MAX_LINKS = 1 << 16
_DOMAIN = b"hybrid-prover job 1"


def checked_name(name: str) -> str:
    """At most 128 characters, or `InvalidInputError`."""
    if len(name) > MAX_NAME:
        raise InvalidInputError(f"a name has at most {MAX_NAME} characters, not {len(name)}", field="name")
    return name


def checked_digest(raw: bytes, field: str) -> Digest:
    """32 bytes, or `InvalidInputError` that names the field."""
    if len(raw) != 32:
        raise InvalidInputError(f"{field} needs 32 bytes, not {len(raw)}", field=field)
    return Digest(raw)


def job_id(request: job_pb2.SubmitJobRequest, secret: bytes, client: str = "") -> bytes:
    """SHA-256 over placement, circuits, inputs (by name), links (sorted), assembly: the name is a label, not content.

    The id of a private job is keyed with the edge's secret: the cloud sees ids, and without a key could test guesses
    of secret inputs against one. It is the client's own, too: another client who guessed the inputs would learn from
    the edge's answer that they are right. So such a job is the same job for the same client on the same edge only.
    """
    parts = [_DOMAIN, bytes([request.placement])]
    if request.placement == common_pb2.PLACEMENT_PRIVATE:
        parts += [secret, client.encode()]
    parts.append(len(request.segments).to_bytes(4, "little"))
    for segment in request.segments:
        parts += [segment.circuit, len(segment.inputs).to_bytes(4, "little")]
        for signal in sorted(segment.inputs, key=lambda s: s.name):
            parts += [signal.name.encode(), signal.values]
    links = sorted((k.from_segment, k.from_signal, k.to_segment, k.to_signal) for k in request.links)
    parts += [b"".join(n.to_bytes(4, "little") for n in link) for link in links]
    if request.HasField("assembly"):
        parts.append(b"assembly" + _chain_content(request.assembly))
    return Digest.of(*parts).raw


def _chain_content(options: assembly_pb2.AssemblyOptions) -> bytes:
    if not options.HasField("chain"):
        return b""
    return options.chain.out.to_bytes(4, "little") + options.chain.into.to_bytes(4, "little")


def check_outline(request: job_pb2.SubmitJobRequest) -> None:
    """What can be checked before any input is looked at: name, placement, deadline, how many segments and links."""
    checked_name(request.name)
    _placement(request.placement)
    if not 0 < len(request.segments) <= MAX_SEGMENTS:
        raise InvalidInputError(
            f"a job has 1 to {MAX_SEGMENTS} segments, not {len(request.segments)}", field="segments"
        )
    if len(request.links) > MAX_LINKS:
        raise InvalidInputError(f"a job has at most {MAX_LINKS} links, not {len(request.links)}", field="links")
    if request.deadline_unix_nanos >> 63:
        raise InvalidInputError("a deadline is a time in nanoseconds since 1970", field="deadline_unix_nanos")


def wires_of(request: job_pb2.SubmitJobRequest, circuits: Mapping[bytes, CircuitRecord]) -> int:
    """Wires of all segments whose circuits are known."""
    return sum(circuits[s.circuit].wires for s in request.segments if s.circuit in circuits)


def plan_job(
    request: job_pb2.SubmitJobRequest,
    circuits: Mapping[bytes, CircuitRecord],
    known_id: bytes,
    *,
    chunk_wires: int,
    client: str = "",
) -> JobPlan:
    """The job that a request of that id describes, whose outline was checked. `InvalidInputError` or `RpcError` names
    what is wrong with it."""
    found = [_segment(i, spec, circuits) for i, spec in enumerate(request.segments)]
    links = _links(request, found)
    assembly = _assembly(request, found)
    segments = tuple(SegmentPlan(c.digest, c.wires) for c in found)
    return JobPlan(known_id, request.name, Placement(request.placement), segments, links, chunk_wires, client, assembly)


def _assembly(request: job_pb2.SubmitJobRequest, circuits: list[CircuitRecord]) -> bytes | None:
    if not request.HasField("assembly"):
        return None
    if request.assembly.HasField("chain"):
        if len({c.digest for c in circuits}) > 1:
            raise InvalidInputError(
                "assembly.chain: a chain goes through segments of one circuit only", field="assembly.chain"
            )
        for name in ("out", "into"):
            signal, count = getattr(request.assembly.chain, name), circuits[0].public_signals
            if signal >= count:
                text = f"assembly.chain.{name}: the segments have {count} public signals, no number {signal}"
                raise InvalidInputError(text, field=f"assembly.chain.{name}")
    return request.assembly.SerializeToString()


def _placement(value: int) -> Placement:
    try:
        return Placement(value)
    except ValueError:
        raise InvalidInputError(
            "a placement must be chosen: cloud or split (the cloud sees the witness), or private (it sees the proof)",
            field="placement",
        ) from None


def _segment(index: int, spec: job_pb2.SegmentSpec, circuits: Mapping[bytes, CircuitRecord]) -> CircuitRecord:
    where = f"segments[{index}]"
    circuit = circuits.get(checked_digest(spec.circuit, f"{where}.circuit").raw)
    if circuit is None:
        raise rpc_error(
            Code.NOT_FOUND,
            f"{where}: circuit {spec.circuit.hex()} is not registered here",
            reason="CIRCUIT_UNKNOWN",
            field=f"{where}.circuit",
            metadata={"segment": str(index)},
        )
    if not circuit.program:
        raise rpc_error(
            Code.FAILED_PRECONDITION,
            f"{where}: circuit {circuit.name!r} has no witness program here",
            reason="NO_WITNESS_PROGRAM",
            field=f"{where}.circuit",
            metadata={"segment": str(index)},
        )
    _inputs(where, spec, circuit)
    return circuit


def _inputs(where: str, spec: job_pb2.SegmentSpec, circuit: CircuitRecord) -> None:
    sizes = dict(circuit.inputs)
    seen: set[str] = set()
    for signal in spec.inputs:
        field = f"{where}.inputs.{signal.name}"
        if signal.name in seen:
            raise InvalidInputError(f"{where}: input {signal.name!r} is given twice", field=field)
        seen.add(signal.name)
        if sizes and signal.name not in sizes:
            raise InvalidInputError(f"{where}: circuit {circuit.name!r} has no input {signal.name!r}", field=field)
        try:
            count = len(FrVector.from_bytes(signal.values))
        except InvalidInputError as e:
            raise InvalidInputError(f"{where}: input {signal.name!r}: {e}", field=f"{field}{e.field}") from e
        if sizes and count != sizes[signal.name]:
            text = f"{where}: input {signal.name!r} needs {sizes[signal.name]} values, not {count}"
            raise InvalidInputError(text, field=field)
    missing = [name for name in sizes if name not in seen]
    if missing:
        raise InvalidInputError(f"{where}: input {missing[0]!r} is missing", field=f"{where}.inputs.{missing[0]}")


def _links(request: job_pb2.SubmitJobRequest, circuits: list[CircuitRecord]) -> tuple[Link, ...]:
    out = []
    for i, link in enumerate(request.links):
        where = f"links[{i}]"
        if not link.from_segment < link.to_segment < len(circuits):
            text = f"{where}: leads from segment {link.from_segment} to {link.to_segment} of {len(circuits)}"
            raise InvalidInputError(f"{text}; a link leads to a later segment", field=f"{where}.to_segment")
        for end, segment, signal in (
            ("from_signal", link.from_segment, link.from_signal),
            ("to_signal", link.to_segment, link.to_signal),
        ):
            if signal >= circuits[segment].public_signals:
                text = f"segment {segment} has {circuits[segment].public_signals} public signals, no number {signal}"
                raise InvalidInputError(f"{where}: {text}", field=f"{where}.{end}")
        out.append(Link(link.from_segment, link.from_signal, link.to_segment, link.to_signal))
    return tuple(out)
