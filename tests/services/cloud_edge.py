"""A hand-driven edge for the cloud's tests: every message is sent by the test, nothing is hidden."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, common_pb2, uplink_pb2, uplink_pb2_grpc
from prover_core.backend import Backend
from prover_core.circuit import Circuit, compile_circuit
from prover_core.formats.chunk import ENCODING_PACKED, chunk_digest, encode_chunk
from prover_core.formats.r1cs import write_r1cs
from prover_core.formats.zkey import write_zkey
from prover_core.groth16 import ProvingKey, prove, setup
from prover_core.types import FrVector


@dataclass(frozen=True)
class Sample:
    """A circuit out = step(step(... a)), with step(s) = s^2 + 3, as files and in memory."""

    zkey: bytes
    r1cs: bytes
    key: ProvingKey
    steps: int

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.zkey).digest()

    def wires(self, start: int) -> list[int]:
        return COMPILED[self.steps].evaluate({"a": start})

    def leaf(self, start: int, backend: Backend) -> common_pb2.LeafProof:
        wires = self.wires(start)
        raw = prove(self.key, FrVector.from_ints(wires), backend).to_bytes()
        return common_pb2.LeafProof(
            proof=common_pb2.Groth16Proof(a=raw[:64], b=raw[64:192], c=raw[192:]),
            public_signals=[w.to_bytes(32, "big") for w in wires[1 : 1 + self.key.n_public]],
        )


COMPILED = {}


def make_sample(folder: Path, backend: Backend, steps: int = 50) -> Sample:
    def define(c: Circuit) -> None:
        state = c.public("a")
        for _ in range(steps):
            state = state * state + 3
        c.output("out", state)

    compiled = COMPILED[steps] = compile_circuit(define, name="squares")
    key = setup(compiled.r1cs, backend=backend, entropy=b"a key for the tests of the cloud")
    write_zkey(folder / "k.zkey", key)
    write_r1cs(folder / "k.r1cs", compiled.r1cs)
    return Sample((folder / "k.zkey").read_bytes(), (folder / "k.r1cs").read_bytes(), key, steps)


def cut(job: bytes, segment: int, wires: list[int], size: int) -> list[uplink_pb2.Chunk]:
    """The chunks of a witness: the body first, the first slice last."""
    offsets = [*range(size, len(wires), size), 0]
    chunks = []
    for sequence, offset in enumerate(offsets):
        values = wires[offset : offset + size]
        payload = encode_chunk(FrVector.from_ints(values))
        chunks.append(
            uplink_pb2.Chunk(
                job_id=job,
                segment=segment,
                sequence=sequence,
                wire_offset=offset,
                wire_count=len(values),
                encoding=ENCODING_PACKED,
                payload=payload,
                digest=chunk_digest(job, segment, sequence, offset, len(values), ENCODING_PACKED, payload),
            )
        )
    return chunks


async def put(channel: grpc.aio.Channel, content: bytes, digest: bytes | None = None, size: int | None = None) -> int:
    stub = circuit_pb2_grpc.CircuitServiceStub(channel)
    header = circuit_pb2.ArtifactHeader(
        digest=digest or hashlib.sha256(content).digest(), size=len(content) if size is None else size
    )
    parts = [circuit_pb2.PutArtifactRequest(header=header)]
    parts += [circuit_pb2.PutArtifactRequest(data=content[i : i + 65536]) for i in range(0, len(content), 65536)]
    return (await stub.PutArtifact(iter(parts))).stored


async def register(channel: grpc.aio.Channel, sample: Sample) -> circuit_pb2.Circuit:
    await put(channel, sample.zkey)
    await put(channel, sample.r1cs)
    parts = circuit_pb2.CircuitParts(zkey_digest=sample.digest, r1cs_digest=hashlib.sha256(sample.r1cs).digest())
    stub = circuit_pb2_grpc.CircuitServiceStub(channel)
    answer = await stub.RegisterCircuit(circuit_pb2.RegisterCircuitRequest(name="squares", parts=parts))
    return answer.circuit


class Edge:
    """One connection of a session."""

    def __init__(self, channel: grpc.aio.Channel, session: bytes | None = None) -> None:
        self.session = session or os.urandom(16)
        self.call = uplink_pb2_grpc.UplinkServiceStub(channel).Uplink()
        self.heard: list[uplink_pb2.UplinkResponse] = []

    async def send(self, **message: object) -> None:
        await self.call.write(uplink_pb2.UplinkRequest(**message))

    async def until(self, wanted: Callable[[uplink_pb2.UplinkResponse], bool]) -> uplink_pb2.UplinkResponse:
        """Reads until a message is the wanted one; everything read is kept in `heard`."""
        async with asyncio.timeout(60):
            while True:
                response = await self.call.read()
                assert response is not grpc.aio.EOF, await self.call.details()
                self.heard.append(response)
                if wanted(response):
                    return response

    async def over(self) -> grpc.StatusCode:
        """Reads the rest into `heard`; the code the stream ends with."""
        async with asyncio.timeout(60):
            try:
                while (response := await self.call.read()) is not grpc.aio.EOF:
                    self.heard.append(response)
            except grpc.aio.AioRpcError as e:
                return e.code()
            return grpc.StatusCode.OK

    async def until_kind(self, kind: str) -> object:
        return getattr(await self.until(lambda r: r.WhichOneof("message") == kind), kind)

    async def hello(self) -> uplink_pb2.Welcome:
        await self.send(hello=uplink_pb2.Hello(session_id=self.session, edge_name="test", protocol_version=1))
        return await self.until_kind("welcome")

    async def open(
        self,
        job: bytes,
        circuits: list[bytes],
        links: tuple[common_pb2.Link, ...] = (),
        placement: common_pb2.Placement = common_pb2.PLACEMENT_CLOUD,
        submission: int = 0,
    ) -> uplink_pb2.JobOpened:
        await self.send(
            open_job=uplink_pb2.OpenJob(
                job_id=job,
                name="test",
                placement=placement,
                circuits=circuits,
                links=list(links),
                submission=submission,
            )
        )
        return await self.until_kind("job_opened")

    async def witness(self, job: bytes, segment: int, wires: list[int], size: int = 16, start: int = 0) -> None:
        chunks = cut(job, segment, wires, size)
        for chunk in chunks[start:]:
            await self.send(chunk=chunk)
        await self.send(segment_end=uplink_pb2.SegmentEnd(job_id=job, segment=segment, chunk_count=len(chunks)))

    async def ended(self, job: bytes) -> uplink_pb2.JobUpdate:
        found = await self.until(lambda r: r.HasField("job_update") and r.job_update.job_id == job)
        return found.job_update
