"""CircuitService: artifacts by content, circuits made of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc

from hybrid_prover.security.principal import current
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc
from prover_core.errors import FormatError, InvalidInputError
from prover_core.formats.r1cs import read_r1cs
from prover_core.types import Digest

from ..aggregator import Aggregator
from ..errors import ALREADY_EXISTS, DATA_LOSS, FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, WireError, refuse
from ..validation import check_bytes, check_name
from .status import abort, guarded

STAT_LIMIT = 1024
PART_BYTES = 1 << 20
"""Content of one message of a download."""


class Circuits(circuit_pb2_grpc.CircuitServiceServicer):
    """Artifacts and circuits of this cloud."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator
        self._reading = asyncio.Lock()

    @guarded
    async def StatArtifacts(
        self, request: circuit_pb2.StatArtifactsRequest, _context: grpc.aio.ServicerContext
    ) -> circuit_pb2.StatArtifactsResponse:
        """One answer a digest, in order."""
        if len(request.digests) > STAT_LIMIT:
            raise refuse(
                INVALID_ARGUMENT,
                f"{len(request.digests)} digests in one question, at most {STAT_LIMIT}",
                reason="TOO_MANY",
                field="digests",
            )
        digests = [Digest(check_bytes(d, 32, f"digests[{i}]")) for i, d in enumerate(request.digests)]
        has = self._aggregator.artifacts.has
        present = await asyncio.to_thread(lambda: [has(d) for d in digests])
        return circuit_pb2.StatArtifactsResponse(present=present)

    @guarded
    async def PutArtifact(
        self, _requests: object, context: grpc.aio.ServicerContext
    ) -> circuit_pb2.PutArtifactResponse:
        """Header, then content; DATA_LOSS leaves nothing behind. Answers at once if the artifact is here already."""
        first = await context.read()
        if first is grpc.aio.EOF or not first.HasField("header"):
            raise refuse(INVALID_ARGUMENT, "the first message is the header", reason="NO_HEADER", field="header")
        digest = Digest(check_bytes(first.header.digest, 32, "header.digest"))
        if await asyncio.to_thread(self._aggregator.artifacts.has, digest):
            return circuit_pb2.PutArtifactResponse(stored=0)
        try:
            writer = await asyncio.to_thread(self._aggregator.artifacts.writer, digest, first.header.size)
        except InvalidInputError as e:
            raise refuse(INVALID_ARGUMENT, str(e), reason="ARTIFACT_SIZE", field="header.size") from e
        try:
            with self._aggregator.doors.upload(current().name, first.header.size):
                while (message := await context.read()) is not grpc.aio.EOF:
                    if not message.HasField("data"):
                        raise refuse(INVALID_ARGUMENT, "a second header", reason="SECOND_HEADER", field="header")
                    await asyncio.to_thread(writer.write, message.data)
                await asyncio.to_thread(writer.commit)
        except FormatError as e:
            raise refuse(DATA_LOSS, str(e), reason="ARTIFACT_ALTERED", field="data") from e
        finally:
            writer.abort()
        return circuit_pb2.PutArtifactResponse(stored=first.header.size)

    async def GetArtifact(
        self, request: circuit_pb2.GetArtifactRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[circuit_pb2.GetArtifactResponse]:
        """Header, then content."""
        try:
            digest = Digest(check_bytes(request.digest, 32, "digest"))
            path = await asyncio.to_thread(self._aggregator.artifacts.path, digest)
            if path is None:
                raise refuse(
                    NOT_FOUND, f"artifact {digest} is not stored here", reason="ARTIFACT_MISSING", field="digest"
                )
        except WireError as e:
            await abort(context, e.status)
        header = circuit_pb2.ArtifactHeader(digest=digest.raw, size=path.stat().st_size)
        yield circuit_pb2.GetArtifactResponse(header=header)
        with path.open("rb") as file:
            while data := await asyncio.to_thread(file.read, PART_BYTES):
                yield circuit_pb2.GetArtifactResponse(data=data)

    @guarded
    async def RegisterCircuit(
        self, request: circuit_pb2.RegisterCircuitRequest, _context: grpc.aio.ServicerContext
    ) -> circuit_pb2.RegisterCircuitResponse:
        """Reads the key (and the R1CS, if any) before it promises anything. Idempotent."""
        check_name(request.name, "name")
        parts = circuit_pb2.CircuitParts()
        parts.CopyFrom(request.parts)
        zkey = await self._stored(parts.zkey_digest, "zkey_digest")
        known = self._aggregator.circuit(zkey.raw)
        if known is not None:
            # Parts that an earlier registration brought stay: another edge may keep fewer of them.
            parts.r1cs_digest = parts.r1cs_digest or known.parts.r1cs_digest
            if not parts.program_digest:
                parts.program_digest, parts.program_kind = known.parts.program_digest, known.parts.program_kind
            if parts == known.parts:
                return circuit_pb2.RegisterCircuitResponse(circuit=known)
            if not current().operates:
                _refuse_replacement(known.parts, parts)
        if parts.program_digest:
            await self._stored(parts.program_digest, "program_digest")
            if parts.program_kind == circuit_pb2.PROGRAM_KIND_UNSPECIFIED:
                raise refuse(
                    INVALID_ARGUMENT, "a witness program of no kind", reason="NO_KIND", field="parts.program_kind"
                )
        # Whoever has gone meanwhile waits no more: one circuit is read at a time.
        with self._aggregator.doors.registration(current().name):
            async with self._reading:
                circuit = await self._read(request, parts, known)
        await self._aggregator.register(circuit)
        return circuit_pb2.RegisterCircuitResponse(circuit=circuit)

    async def _read(
        self,
        request: circuit_pb2.RegisterCircuitRequest,
        parts: circuit_pb2.CircuitParts,
        known: circuit_pb2.Circuit | None,
    ) -> circuit_pb2.Circuit:
        """What the parts say of the circuit, in a thread."""
        try:
            key = await asyncio.to_thread(self._aggregator.keys.proving_key, parts.zkey_digest)
        except InvalidInputError as e:
            raise refuse(INVALID_ARGUMENT, f"the key: {e}", reason="MALFORMED", field="parts.zkey_digest") from e
        return circuit_pb2.Circuit(
            digest=parts.zkey_digest,
            name=request.name if known is None or current().operates else known.name,
            parts=parts,
            wires=key.n_vars,
            constraints=await self._constraints(parts.r1cs_digest, key.n_vars, key.n_public),
            public_signals=key.n_public,
            insecure_setup=key.insecure,
        )

    @guarded
    async def GetCircuit(
        self, request: circuit_pb2.GetCircuitRequest, _context: grpc.aio.ServicerContext
    ) -> circuit_pb2.GetCircuitResponse:
        """NOT_FOUND if it is not registered."""
        circuit = self._aggregator.circuit(check_bytes(request.digest, 32, "digest"))
        if circuit is None:
            raise refuse(
                NOT_FOUND,
                f"circuit {request.digest.hex()} is not registered here",
                reason="CIRCUIT_UNKNOWN",
                field="digest",
            )
        return circuit_pb2.GetCircuitResponse(circuit=circuit)

    @guarded
    async def ListCircuits(
        self, _request: circuit_pb2.ListCircuitsRequest, _context: grpc.aio.ServicerContext
    ) -> circuit_pb2.ListCircuitsResponse:
        """By name."""
        return circuit_pb2.ListCircuitsResponse(circuits=self._aggregator.circuits())

    async def _stored(self, raw: bytes, part: str) -> Digest:
        digest = Digest(check_bytes(raw, 32, f"parts.{part}"))
        if not await asyncio.to_thread(self._aggregator.artifacts.has, digest):
            raise refuse(
                FAILED_PRECONDITION,
                f"artifact {digest} is not stored here; send it with PutArtifact",
                reason="ARTIFACT_MISSING",
                field=f"parts.{part}",
            )
        return digest

    async def _constraints(self, raw: bytes, wires: int, publics: int) -> int:
        if not raw:
            return 0
        path = await asyncio.to_thread(self._aggregator.artifacts.path, await self._stored(raw, "r1cs_digest"))
        try:
            r1cs = await asyncio.to_thread(read_r1cs, str(path))
        except InvalidInputError as e:
            raise refuse(INVALID_ARGUMENT, f"the R1CS: {e}", reason="MALFORMED", field="parts.r1cs_digest") from e
        if (r1cs.n_wires, r1cs.n_public) != (wires, publics):
            raise refuse(
                INVALID_ARGUMENT,
                f"the R1CS has {r1cs.n_wires} wires and {r1cs.n_public} public signals, the key {wires} and {publics}",
                reason="PARTS_DIFFER",
                field="parts.r1cs_digest",
            )
        return r1cs.n_constraints


def _refuse_replacement(known: circuit_pb2.CircuitParts, asked: circuit_pb2.CircuitParts) -> None:
    """ALREADY_EXISTS names a known part that would be another one: others' jobs are proved with it."""
    for part in ("r1cs_digest", "program_digest"):
        if getattr(known, part) not in (b"", getattr(asked, part)):
            text = f"the circuit is registered with another {part[:-7]}, which only an operator may replace"
            raise refuse(ALREADY_EXISTS, text, reason="PART_CONFLICT", field=f"parts.{part}")
