"""CircuitService of an edge: artifacts into their folder, circuits made of them after a worker has read every part."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from hybrid_prover.security.principal import current
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc
from prover_core.artifacts import ArtifactWriter
from prover_core.errors import FormatError, InvalidInputError

from .core import EdgeCore
from .model import Code, JobState
from .requests import checked_digest, checked_name
from .rpc import unary
from .spool import CircuitRecord
from .status import rpc_error
from .views import circuit_message
from .workers import WorkerDied

MAX_STATS = 1024
MAX_PART = 1 << 20


class CircuitService(circuit_pb2_grpc.CircuitServiceServicer):
    """Artifacts and circuits of this edge."""

    def __init__(self, core: EdgeCore) -> None:
        self._core = core
        self._reading = asyncio.Lock()

    @unary
    async def StatArtifacts(
        self, request: circuit_pb2.StatArtifactsRequest, context: Any
    ) -> circuit_pb2.StatArtifactsResponse:
        if len(request.digests) > MAX_STATS:
            raise InvalidInputError(f"at most {MAX_STATS} digests, not {len(request.digests)}", field="digests")
        digests = [checked_digest(raw, f"digests[{i}]") for i, raw in enumerate(request.digests)]
        return circuit_pb2.StatArtifactsResponse(present=[self._core.artifacts.path(d) is not None for d in digests])

    @unary
    async def PutArtifact(
        self, requests: AsyncIterator[circuit_pb2.PutArtifactRequest], context: Any
    ) -> circuit_pb2.PutArtifactResponse:
        writer: ArtifactWriter | None = None
        try:
            with contextlib.ExitStack() as held:
                async for request in requests:
                    if writer is None:
                        if not request.HasField("header"):
                            raise InvalidInputError("the first message of PutArtifact is the header", field="header")
                        digest = checked_digest(request.header.digest, "header.digest")
                        if self._core.artifacts.path(digest) is not None:
                            return circuit_pb2.PutArtifactResponse(stored=0)
                        try:
                            writer = self._core.artifacts.writer(digest, request.header.size)
                        except InvalidInputError as e:
                            raise InvalidInputError(str(e), field=f"header.{e.field}") from e
                        held.enter_context(self._core.admission.doors.upload(current().client, request.header.size))
                        continue
                    if not request.HasField("data") or len(request.data) > MAX_PART:
                        raise InvalidInputError(
                            f"messages after the header hold up to {MAX_PART} bytes of data", field="data"
                        )
                    writer.write(request.data)
                if writer is None:
                    raise InvalidInputError("PutArtifact without a header", field="header")
                await asyncio.to_thread(writer.commit)
                return circuit_pb2.PutArtifactResponse(stored=writer.received)
        except FormatError as e:
            raise rpc_error(Code.DATA_LOSS, str(e), reason="ARTIFACT_ALTERED", field=e.field) from e
        finally:
            if writer is not None:
                writer.abort()

    @unary
    async def RegisterCircuit(
        self, request: circuit_pb2.RegisterCircuitRequest, context: Any
    ) -> circuit_pb2.RegisterCircuitResponse:
        record = self._record(request)
        known = self._core.circuits.get(record.digest)
        if known is not None:
            if not current().operates:
                record = _completed(known, record)
            if _parts(known) == _parts(record):
                return circuit_pb2.RegisterCircuitResponse(circuit=circuit_message(known))
            self._refuse_if_in_use(record.digest)
        try:
            # Whoever has gone meanwhile waits no more: one circuit is read at a time.
            with self._core.admission.doors.registration(current().client):
                async with self._reading:
                    facts = await self._core.pool.describe(self._core.files(record))
        except WorkerDied as e:
            text = "the worker that read the artifacts died; they may be larger than its memory"
            raise rpc_error(Code.RESOURCE_EXHAUSTED, text, reason="WORKER_DIED", field="parts") from e
        facts = {name: facts[name] for name in ("wires", "constraints", "public_signals", "insecure_setup", "inputs")}
        facts["inputs"] = tuple((name, size) for name, size, _ in facts["inputs"])
        made = CircuitRecord(record.digest, record.name, record.r1cs, record.program, record.kind, **facts)
        await self._core.add_circuit(made)
        return circuit_pb2.RegisterCircuitResponse(circuit=circuit_message(made))

    def _record(self, request: circuit_pb2.RegisterCircuitRequest) -> CircuitRecord:
        parts = request.parts
        name = checked_name(request.name)
        zkey = checked_digest(parts.zkey_digest, "parts.zkey_digest").raw
        for part in ("r1cs_digest", "program_digest"):
            if raw := getattr(parts, part):
                checked_digest(raw, f"parts.{part}")
        if bool(parts.program_digest) != (parts.program_kind != circuit_pb2.PROGRAM_KIND_UNSPECIFIED):
            raise InvalidInputError("a program needs its kind, and a kind its program", field="parts.program_kind")
        return CircuitRecord(
            zkey, name, parts.r1cs_digest, parts.program_digest, int(parts.program_kind), 0, 0, 0, False, ()
        )

    def _refuse_if_in_use(self, digest: bytes) -> None:
        """Other parts for the same key replace the old ones, but not under the feet of a job."""
        for job in self._core.machine.jobs.values():
            if job.state is JobState.RUNNING and any(s.circuit == digest for s in job.segments):
                raise rpc_error(
                    Code.FAILED_PRECONDITION,
                    "a circuit of this key is registered with other parts, and an unfinished job uses it",
                    reason="CIRCUIT_IN_USE",
                    field="parts",
                )

    @unary
    async def GetCircuit(self, request: circuit_pb2.GetCircuitRequest, context: Any) -> circuit_pb2.GetCircuitResponse:
        digest = checked_digest(request.digest, "digest")
        found = self._core.circuits.get(digest.raw)
        if found is None:
            text = f"circuit {digest} is not registered here"
            raise rpc_error(Code.NOT_FOUND, text, reason="CIRCUIT_UNKNOWN", field="digest")
        return circuit_pb2.GetCircuitResponse(circuit=circuit_message(found))

    @unary
    async def ListCircuits(
        self, request: circuit_pb2.ListCircuitsRequest, context: Any
    ) -> circuit_pb2.ListCircuitsResponse:
        found = sorted(self._core.circuits.values(), key=lambda c: (c.name, c.digest))
        return circuit_pb2.ListCircuitsResponse(circuits=[circuit_message(c) for c in found])


def _completed(known: CircuitRecord, asked: CircuitRecord) -> CircuitRecord:
    """What a client that does not operate the edge may make of a circuit: parts that are missing join those that are
    there. ALREADY_EXISTS names a part that would be replaced: others' jobs are proved with it."""
    for part in ("r1cs", "program"):
        there, wanted = getattr(known, part), getattr(asked, part)
        if there and wanted and there != wanted:
            raise rpc_error(
                Code.ALREADY_EXISTS,
                f"a circuit of this key is registered with another {part}, which only an operator may replace",
                reason="PART_CONFLICT",
                field=f"parts.{part}_digest",
            )
    program, kind = (known.program, known.kind) if known.program else (asked.program, asked.kind)
    return replace(asked, name=known.name, r1cs=known.r1cs or asked.r1cs, program=program, kind=kind)


def _parts(c: CircuitRecord) -> tuple[bytes, bytes, bytes, int]:
    return c.digest, c.r1cs, c.program, c.kind
