"""Circuits on their way to a service: artifacts named by SHA-256, asked about first, sent only if missing."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc
from prover_core.errors import InvalidInputError
from prover_core.types import Digest

from .model import CircuitInfo
from .wire import circuit_from_wire

if TYPE_CHECKING:
    from .client import ProverClient

Progress = Callable[[int, int], None]
"""Called with bytes sent so far and bytes to send in all."""

PART_BYTES = 1 << 20
"""Content of one upload message, as circuit.proto bounds it."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """Bytes, in memory or in a file, with their SHA-256 and size."""

    source: Path | bytes
    digest: Digest
    size: int

    @classmethod
    def open(cls, source: Path | bytes, field: str) -> Artifact:
        """Hashes the content once, O(size); `InvalidInputError` where a file cannot be read."""
        if isinstance(source, bytes):
            return cls(source, Digest(hashlib.sha256(source).digest()), len(source))
        try:
            with source.open("rb") as f:
                digest = hashlib.file_digest(f, "sha256").digest()
                return cls(source, Digest(digest), f.tell())
        except OSError as e:
            raise InvalidInputError(f"cannot read {source}: {e.strerror}", field=field) from e

    def head(self, count: int) -> bytes:
        """The first bytes."""
        if isinstance(self.source, bytes):
            return self.source[:count]
        with self.source.open("rb") as f:
            return f.read(count)

    async def messages(self, sent: Callable[[int], None]) -> AsyncIterator[circuit_pb2.PutArtifactRequest]:
        """Header, then the content in parts; `sent(n)` after each."""
        yield circuit_pb2.PutArtifactRequest(header=circuit_pb2.ArtifactHeader(digest=self.digest.raw, size=self.size))
        if isinstance(self.source, bytes):
            for at in range(0, self.size, PART_BYTES):
                yield circuit_pb2.PutArtifactRequest(data=self.source[at : at + PART_BYTES])
                sent(min(PART_BYTES, self.size - at))
            return
        with self.source.open("rb") as f:
            while part := f.read(PART_BYTES):
                yield circuit_pb2.PutArtifactRequest(data=part)
                sent(len(part))


def program_kind(program: Artifact | None) -> circuit_pb2.ProgramKind:
    """Wasm by its magic bytes, else a tape; unspecified where there is no program."""
    if program is None:
        return circuit_pb2.PROGRAM_KIND_UNSPECIFIED
    wasm = program.head(4) == b"\0asm"
    return circuit_pb2.PROGRAM_KIND_CIRCOM_WASM if wasm else circuit_pb2.PROGRAM_KIND_TAPE


async def register(
    client: ProverClient,
    stub: circuit_pb2_grpc.CircuitServiceStub,
    name: str,
    zkey: Path | bytes,
    r1cs: Path | bytes | None,
    program: Path | bytes | None,
    progress: Progress | None,
    timeout: float,
) -> CircuitInfo:
    """Asks which artifacts are there, sends the others, registers the circuit. See `ProverClient.register_circuit`."""
    key = Artifact.open(zkey, "zkey")
    rows = Artifact.open(r1cs, "r1cs") if r1cs is not None else None
    code = Artifact.open(program, "program") if program is not None else None
    artifacts = [a for a in (key, rows, code) if a is not None]
    stat = await client.call(
        stub.StatArtifacts, circuit_pb2.StatArtifactsRequest(digests=[a.digest.raw for a in artifacts])
    )
    missing = [a for a, present in zip(artifacts, stat.present, strict=True) if not present]
    total, done = sum(a.size for a in missing), 0
    for artifact in missing:
        base = done

        async def once(left: float, artifact: Artifact = artifact, base: int = base) -> object:
            at = base

            def sent(count: int) -> None:
                nonlocal at
                at += count
                if progress is not None:
                    progress(at, total)

            return await stub.PutArtifact(artifact.messages(sent), timeout=left)

        await client.attempt(once, timeout)
        done += artifact.size
    parts = circuit_pb2.CircuitParts(
        zkey_digest=key.digest.raw,
        r1cs_digest=rows.digest.raw if rows else b"",
        program_digest=code.digest.raw if code else b"",
        program_kind=program_kind(code),
    )
    response = await client.call(
        stub.RegisterCircuit, circuit_pb2.RegisterCircuitRequest(name=name, parts=parts), timeout
    )
    return circuit_from_wire(response.circuit)
