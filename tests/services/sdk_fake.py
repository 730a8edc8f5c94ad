"""A service that says on purpose what real ones say when things go wrong, for the tests of client and command line."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from hybrid_prover import JobState, SegmentState, wire
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, job_pb2, job_pb2_grpc
from prover_core.groth16.keys import Proof
from prover_core.types import Digest, G1Point, G2Point

CIRCUIT = Digest(b"c" * 32)
JOB = Digest(b"j" * 32)
PROOF = Proof(G1Point(1, 2), G2Point((3, 4), (5, 6)), G1Point(7, 8))


def with_details(code: int, message: str, field: str = "", retry: float | None = None) -> tuple[tuple[str, bytes], ...]:
    """Trailers that carry a google.rpc.Status."""
    status = status_pb2.Status(code=code, message=message)
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry is not None:
        delay = duration_pb2.Duration(seconds=int(retry), nanos=int(retry % 1 * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return (("grpc-status-details-bin", status.SerializeToString()),)


def job_at(revision: int, state: JobState, *segments: SegmentState, error: status_pb2.Status | None = None) -> Any:
    """A job's record."""
    job = job_pb2.Job(job_id=JOB.raw, name="n", placement="PLACEMENT_CLOUD", revision=revision)
    job.state = f"JOB_STATE_{state.name}"
    for index, segment in enumerate(segments):
        job.segments.add(index=index, circuit=CIRCUIT.raw, state=f"SEGMENT_STATE_{segment.name}", wires=10)
    if error is not None:
        job.error.CopyFrom(error)
    return job


class Fake(
    job_pb2_grpc.JobServiceServicer, job_pb2_grpc.JobQueryServiceServicer, circuit_pb2_grpc.CircuitServiceServicer
):
    """Answers from a script: `failures` come first, one a call; `watches` are the streams of successive watches."""

    def __init__(self) -> None:
        self.failures: list[tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]] = []
        self.watches: list[list[Any]] = []
        self.submitted: list[job_pb2.SubmitJobRequest] = []
        self.stored: dict[bytes, bytes] = {}
        self.corrupt = False
        self.slow = 0.0
        self.calls = 0

    async def _fail(self, context: Any) -> None:
        self.calls += 1
        await asyncio.sleep(self.slow)
        if self.failures:
            code, message, trailers = self.failures.pop(0)
            await context.abort(code, message, trailers)

    async def SubmitJob(self, request: Any, context: Any) -> Any:
        await self._fail(context)
        self.submitted.append(request)
        return job_pb2.SubmitJobResponse(job_id=JOB.raw, created=len(self.submitted) == 1)

    async def CancelJob(self, request: Any, context: Any) -> Any:
        await self._fail(context)
        return job_pb2.CancelJobResponse(job=job_at(9, JobState.CANCELLED, SegmentState.CANCELLED))

    async def GetJob(self, request: Any, context: Any) -> Any:
        await self._fail(context)
        return job_pb2.GetJobResponse(job=job_at(1, JobState.RUNNING, SegmentState.PROVING))

    async def ListJobs(self, request: Any, context: Any) -> Any:
        await self._fail(context)
        jobs = [job_at(n, JobState.RUNNING) for n in range(request.limit)]
        return job_pb2.ListJobsResponse(jobs=jobs)

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.calls += 1
        for step in self.watches.pop(0) if self.watches else []:
            if isinstance(step, grpc.StatusCode):
                await context.abort(step, "cut")
            yield job_pb2.WatchJobResponse(job=step)

    async def GetResult(self, request: Any, context: Any) -> Any:
        await self._fail(context)
        return job_pb2.GetResultResponse(proofs=[wire.leaf_to_wire(PROOF, (5, 6))], circuits=[CIRCUIT.raw])

    async def StatArtifacts(self, request: Any, context: Any) -> Any:
        await self._fail(context)
        return circuit_pb2.StatArtifactsResponse(present=[d in self.stored for d in request.digests])

    async def PutArtifact(self, requests: Any, context: Any) -> Any:
        await self._fail(context)
        header, content = None, b""
        async for request in requests:
            if request.HasField("header"):
                header = request.header
            else:
                assert 0 < len(request.data) <= 1 << 20
                content += request.data
        assert header is not None
        assert header.size == len(content)
        if self.corrupt or hashlib.sha256(content).digest() != header.digest:
            await context.abort(grpc.StatusCode.DATA_LOSS, "other bytes")
        self.stored[header.digest] = content
        return circuit_pb2.PutArtifactResponse(stored=len(content))

    async def RegisterCircuit(self, request: Any, context: Any) -> Any:
        await self._fail(context)
        circuit = circuit_pb2.Circuit(digest=request.parts.zkey_digest, name=request.name, parts=request.parts)
        circuit.wires, circuit.insecure_setup = 10, True
        return circuit_pb2.RegisterCircuitResponse(circuit=circuit)

    async def ListCircuits(self, request: Any, context: Any) -> Any:
        await self._fail(context)
        return circuit_pb2.ListCircuitsResponse(circuits=[circuit_pb2.Circuit(digest=CIRCUIT.raw, name="one")])


@asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[str]:
    """The fake on a free port."""
    server = grpc.aio.server()
    job_pb2_grpc.add_JobServiceServicer_to_server(fake, server)
    job_pb2_grpc.add_JobQueryServiceServicer_to_server(fake, server)
    circuit_pb2_grpc.add_CircuitServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@contextmanager
def serving_in_a_thread(fake: Fake) -> Iterator[str]:
    """The fake served from another thread, for callers that block."""
    ready, stop, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with serving(fake) as address:
            found.append(address)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        stop.set()
        thread.join()
