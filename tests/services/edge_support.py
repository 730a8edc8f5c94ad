"""What the tests of the edge share: small real circuits, an edge with its stubs, and a proxy that cuts connections."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cloud.config import CloudConfig
from cloud.service import CloudServer
from edge.config import EdgeConfig
from edge.daemon import EdgeDaemon
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, common_pb2, job_pb2, job_pb2_grpc
from prover_core.backend import Backend
from prover_core.circuit import Circuit, compile_circuit
from prover_core.circuit.compiled import CompiledCircuit
from prover_core.formats.r1cs import write_r1cs
from prover_core.formats.tape import write_tape
from prover_core.formats.zkey import write_zkey
from prover_core.groth16 import Proof, ProvingKey, setup, verify
from prover_core.types import FrVector

CLOUD = common_pb2.PLACEMENT_CLOUD
PRIVATE = common_pb2.PLACEMENT_PRIVATE
SECONDS = 60.0


@dataclass(frozen=True)
class Sample:
    """One circuit as files and in memory."""

    compiled: CompiledCircuit
    key: ProvingKey
    zkey: bytes
    r1cs: bytes
    tape: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.zkey).digest()

    def segment(self, **inputs: int | Sequence[int]) -> job_pb2.SegmentSpec:
        signals = []
        for name, value in inputs.items():
            values = FrVector.from_ints([value] if isinstance(value, int) else list(value))
            signals.append(job_pb2.InputSignal(name=name, values=values.limbs.tobytes()))
        return job_pb2.SegmentSpec(circuit=self.digest, inputs=signals)

    def publics(self, **inputs: int | Sequence[int]) -> list[int]:
        return self.compiled.evaluate(dict(inputs))[1 : 1 + self.key.n_public]


def make(folder: Path, backend: Backend, name: str, define: Callable[[Circuit], None]) -> Sample:
    compiled = compile_circuit(define, name=name)
    key = setup(compiled.r1cs, backend=backend, entropy=b"a key for the tests of the edge..")
    write_zkey(folder / name, key)
    zkey = (folder / name).read_bytes()
    write_r1cs(folder / name, compiled.r1cs)
    r1cs = (folder / name).read_bytes()
    write_tape(folder / name, compiled.tape)
    return Sample(compiled, key, zkey, r1cs, (folder / name).read_bytes())


def squares(c: Circuit) -> None:
    """500 rows, 504 wires: chunks of 64 are 8 and a head."""
    a, x = c.public("a"), c.private("x")
    for _ in range(500):
        x = x * x + a
    c.output("out", x)


def factors(c: Circuit) -> None:
    """n = p * q, with bits to make chunks of small values."""
    n = c.public("n")
    p, q = c.private("pq", 2)
    c.assert_equal(p * q, n, "the factors give the number")


class EdgeStubs:
    """The local API of one edge."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.circuits = circuit_pb2_grpc.CircuitServiceStub(channel)
        self.jobs = job_pb2_grpc.JobServiceStub(channel)
        self.queries = job_pb2_grpc.JobQueryServiceStub(channel)

    async def put(self, content: bytes, *, digest: bytes = b"", size: int = 0, part: int = 1 << 20) -> int:
        async def messages() -> AsyncIterator[circuit_pb2.PutArtifactRequest]:
            header = circuit_pb2.ArtifactHeader(
                digest=digest or hashlib.sha256(content).digest(), size=size or len(content)
            )
            yield circuit_pb2.PutArtifactRequest(header=header)
            for at in range(0, len(content), part):
                yield circuit_pb2.PutArtifactRequest(data=content[at : at + part])

        return (await self.circuits.PutArtifact(messages())).stored

    async def register(self, sample: Sample, *, r1cs: bool = True) -> circuit_pb2.Circuit:
        for content in (sample.zkey, sample.r1cs, sample.tape):
            await self.put(content)
        parts = circuit_pb2.CircuitParts(
            zkey_digest=sample.digest,
            r1cs_digest=hashlib.sha256(sample.r1cs).digest() if r1cs else b"",
            program_digest=hashlib.sha256(sample.tape).digest(),
            program_kind=circuit_pb2.PROGRAM_KIND_TAPE,
        )
        request = circuit_pb2.RegisterCircuitRequest(name=sample.compiled.name, parts=parts)
        return (await self.circuits.RegisterCircuit(request)).circuit

    async def submit(
        self,
        *segments: job_pb2.SegmentSpec,
        placement: int = CLOUD,
        links: Sequence[common_pb2.Link] = (),
        name: str = "",
    ) -> job_pb2.SubmitJobResponse:
        request = job_pb2.SubmitJobRequest(name=name, placement=placement, segments=segments, links=links)  # type: ignore[arg-type]
        return await self.jobs.SubmitJob(request)

    async def get(self, job_id: bytes) -> job_pb2.Job:
        return (await self.queries.GetJob(job_pb2.GetJobRequest(job_id=job_id))).job

    async def until(self, job_id: bytes, reached: Callable[[job_pb2.Job], bool]) -> job_pb2.Job:
        """Watches until the job is so; the last state seen if it ends before."""
        async with asyncio.timeout(SECONDS):
            last = job_pb2.Job()
            async for message in self.queries.WatchJob(job_pb2.WatchJobRequest(job_id=job_id)):
                last = message.job
                if reached(last):
                    break
            return last

    async def ended(self, job_id: bytes) -> job_pb2.Job:
        return await self.until(job_id, lambda job: job.state != job_pb2.JOB_STATE_RUNNING)

    async def proved(self, job_id: bytes, backend: Backend, keys: Sequence[ProvingKey]) -> list[list[int]]:
        """The public signals of a finished job, every proof verified."""
        job = await self.ended(job_id)
        assert job.state == job_pb2.JOB_STATE_DONE, job.error
        assert all(s.state == job_pb2.SEGMENT_STATE_VERIFIED for s in job.segments)
        result = await self.queries.GetResult(job_pb2.GetResultRequest(job_id=job_id))
        publics = []
        for leaf, key in zip(result.proofs, keys, strict=True):
            values = [int.from_bytes(raw, "big") for raw in leaf.public_signals]
            proof = Proof.from_bytes(leaf.proof.a + leaf.proof.b + leaf.proof.c)
            verify(key.verification_key, proof, values, backend)
            publics.append(values)
        return publics


def edge_config(folder: Path, cloud: str = "127.0.0.1:1", **changes: Any) -> EdgeConfig:
    values = {"listen": "127.0.0.1:0", "cloud": cloud, "state_dir": folder, "chunk_wires": 64, "stop_seconds": 1.0}
    values |= {"plaintext": True, "cloud_plaintext": True}
    return EdgeConfig(**{**values, **changes})


@asynccontextmanager
async def running_edge(config: EdgeConfig) -> AsyncIterator[tuple[EdgeDaemon, EdgeStubs]]:
    async with EdgeDaemon(config) as daemon:
        options = [("grpc.max_send_message_length", 64 << 20), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(daemon.target, options=options) as channel:
            yield daemon, EdgeStubs(channel)


@asynccontextmanager
async def running_cloud(folder: Path, port: int = 0) -> AsyncIterator[CloudServer]:
    server = CloudServer(
        CloudConfig(port=port, plaintext=True, data_dir=folder, batch_age_ms=20, drain_grace_seconds=5)
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def cutting_proxy(target: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        proxy.cut()
        server.close()


class Proxy:
    """Forwards TCP; cuts a connection once `budgets` allows it no more bytes to the target. With `rate`, it is slow."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.budgets: list[int] = []
        """Bytes after which the current and the next connections are cut; unlimited when empty."""
        self.cuts = 0
        self.rate = 0
        """Bytes a second to the target; 0 for as fast as it goes."""
        self._free = 0.0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.target.split(":")
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        pair = {writer, back}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, back, limited=True))
                group.create_task(self._forward(there, writer, limited=False))
        except* (OSError, EOFError):
            pass
        finally:
            for end in pair:
                end.transport.abort()
            self._writers -= pair

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, limited: bool) -> None:
        while data := await source.read(512):
            if limited and self.budgets:
                self.budgets[0] -= len(data)
                if self.budgets[0] < 0:
                    self.budgets.pop(0)
                    self.cuts += 1
                    raise ConnectionResetError
            if limited and self.rate:
                now = asyncio.get_running_loop().time()
                self._free = max(self._free, now) + len(data) / self.rate
                if self._free > now + 0.005:
                    await asyncio.sleep(self._free - now)
            sink.write(data)
            await sink.drain()
        raise EOFError


async def refused(call: Any) -> tuple[grpc.StatusCode, str, list[Any]]:
    """(code, offending field, details) of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    return error.code(), violated_field(status), list(status.details) if status is not None else []


def violated_field(status: Any) -> str:
    for detail in status.details if status is not None else ():
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            return str(bad.field_violations[0].field)
    return ""


def reason_of(status: Any) -> error_details_pb2.ErrorInfo:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    raise AssertionError("no ErrorInfo")
