"""The asynchronous client: submits jobs to an edge, watches them, fetches proofs; registers circuits anywhere."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
import grpc.aio

from hybrid_prover.v1 import (
    assembly_pb2_grpc,
    circuit_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    records_pb2,
    records_pb2_grpc,
    status_pb2_grpc,
    trust_pb2,
    trust_pb2_grpc,
)
from prover_core.errors import InvalidInputError
from prover_core.types import Digest

from . import wire
from .artifacts import Progress, register
from .assemblies import AssemblyHandle, assemble_jobs
from .assemblymodel import Assemble
from .channel import advice, open_channel
from .credentials import Credentials
from .errors import ClientError, DeadlineError, Details, JobCancelledError, JobFailedError, from_call
from .model import (
    CircuitInfo,
    DistrustedEdge,
    Job,
    JobRecords,
    JobResult,
    JobSpec,
    JobState,
    Link,
    Placement,
    Priority,
    Segment,
)
from .retry import RetryPolicy
from .servicestatus import ServiceStatus, status_from_wire

if TYPE_CHECKING:
    from prover_core.witness.program import Inputs

M = TypeVar("M")


class ProverClient:
    """A connection to an edge daemon (or, for questions about jobs and circuits, to a cloud).

    `target` is `host:port` or `unix:/path`. Without `credentials` those of the environment are taken; where these name
    no authorities the connection is plain text, which only this machine is reached by, and a token goes with it only
    if `plaintext` says so. `timeout` bounds each unary call with all its retries, in seconds.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: Credentials | grpc.ChannelCredentials | None = None,
        plaintext: bool = False,
        timeout: float = 30.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008
    ) -> None:
        self.target = target
        self._credentials = credentials
        self._plaintext = plaintext
        self._timeout = timeout
        self._retry = retry
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self.target, self._credentials, self._plaintext)
        self._jobs = job_pb2_grpc.JobServiceStub(self._channel)
        self._queries = job_pb2_grpc.JobQueryServiceStub(self._channel)
        self._assemblies = assembly_pb2_grpc.AssemblyServiceStub(self._channel)
        self._circuits = circuit_pb2_grpc.CircuitServiceStub(self._channel)
        self._status = status_pb2_grpc.StatusServiceStub(self._channel)
        self._records = records_pb2_grpc.RecordServiceStub(self._channel)
        self._trust = trust_pb2_grpc.TrustServiceStub(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; running jobs go on."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def call(self, method: Callable[..., Awaitable[M]], request: object, timeout: float | None = None) -> M:
        """One unary call under the retry policy and a deadline over all tries; a typed `ClientError` otherwise."""
        return await self.attempt(lambda left: method(request, timeout=left), timeout)

    async def attempt(self, once: Callable[[float], Awaitable[M]], timeout: float | None = None) -> M:
        """`once(seconds left)` until it succeeds, the policy gives up or the time is over."""
        if self._channel is None:
            raise InvalidInputError("the client is not open: use `async with ProverClient(...)`", field="client")
        end = time.monotonic() + (self._timeout if timeout is None else timeout)
        tries = 0
        while True:
            tries += 1
            try:
                return await once(max(end - time.monotonic(), 0.001))
            except grpc.aio.AioRpcError as e:
                error = typed(e, self.target)
            delay = self._retry.delay(tries, error.code, error.retry_after, random.random())
            if delay is None or time.monotonic() + delay >= end:
                raise error
            await asyncio.sleep(delay)

    async def submit(
        self,
        segments: Sequence[Segment] | Segment,
        *,
        placement: Placement,
        links: Sequence[Link] = (),
        name: str = "",
        assemble: Assemble | None = None,
        priority: Priority = Priority.NORMAL,
        deadline: float | None = None,
        timeout: float | None = None,
    ) -> JobHandle:
        """Submits a job; the same content is the same job, however often it is submitted. With `assemble` it ends with
        one proof over all its leaf proofs.

        `priority` orders your own jobs; URGENT, ahead of everybody's, is for operators. `deadline`: in how many seconds
        the result is of no use any more; the job then ends, and `DeadlineError` says at once if it is sure to.
        `InvalidInputError` or `InvalidRequestError` names the segment and the input that is wrong,
        `OverloadedError` the limit that was reached and when to come back.
        """
        until = None if deadline is None else time.time() + deadline
        chosen = (segments,) if isinstance(segments, Segment) else tuple(segments)
        request = wire.spec_to_wire(
            JobSpec(chosen, placement, links, name, assemble, priority=priority, deadline=until)
        )
        response = await self.call(self._jobs.SubmitJob, request, timeout)
        return JobHandle(self, Digest(response.job_id), created=response.created)

    async def assemble_jobs(
        self, jobs: Sequence[Digest | str], *, chain: tuple[int, int] | None = None, skip_unproved: bool = False
    ) -> AssemblyHandle:
        """Asks a cloud for one proof over the leaf proofs of these finished jobs; the same jobs in the same order with
        the same options are the same assembly.

        `chain` = (out, into): each leaf must begin where the one before ends. `skip_unproved`: of jobs that failed or
        were cancelled the verified leaf proofs are taken, the other segments left out and named in the status.
        """
        found = [Digest.parse(job) if isinstance(job, str) else job for job in jobs]
        return await assemble_jobs(self, found, chain, skip_unproved=skip_unproved)

    def assembly(self, assembly_id: Digest | str) -> AssemblyHandle:
        """A handle on an assembly asked for before, by its id; asks nobody."""
        found = Digest.parse(assembly_id) if isinstance(assembly_id, str) else assembly_id
        return AssemblyHandle(self, found, created=False)

    def job(self, job_id: Digest | str) -> JobHandle:
        """A handle on a job submitted before, by its id; asks nobody."""
        return JobHandle(self, Digest.parse(job_id) if isinstance(job_id, str) else job_id, created=False)

    async def jobs(self, limit: int = 100) -> list[Job]:
        """The newest jobs known there."""
        response = await self.call(self._queries.ListJobs, job_pb2.ListJobsRequest(limit=limit))
        return [wire.job_from_wire(j) for j in response.jobs]

    async def service(self, jobs: int = 20) -> ServiceStatus:
        """How the daemon is doing, with at most `jobs` of its running jobs (20; 200 is the most)."""
        from hybrid_prover.v1 import status_pb2

        response = await self.call(self._status.GetStatus, status_pb2.GetStatusRequest(jobs=jobs))
        return status_from_wire(response.status)

    async def records(self, job_id: Digest | str, *, seeds: bool = False) -> JobRecords:
        """The signed records of a job's proofs: from a cloud, of a private job from its edge.

        `seeds` wants the right to operate.
        """
        raw = (Digest.parse(job_id) if isinstance(job_id, str) else job_id).raw
        request = records_pb2.GetRecordsRequest(job_id=raw, with_seeds=seeds)

        async def once(left: float) -> list[records_pb2.GetRecordsResponse]:
            return [response async for response in self._records.GetRecords(request, timeout=left)]

        return wire.records_from_wire(await self.attempt(once))

    async def distrusted_edges(self) -> list[DistrustedEdge]:
        """Edges whose partials a cloud does not take, oldest first; for operators."""
        response = await self.call(self._trust.ListDistrustedEdges, trust_pb2.ListDistrustedEdgesRequest())
        return [wire.distrusted_from_wire(edge) for edge in response.edges]

    async def forgive_edge(self, edge: str) -> list[DistrustedEdge]:
        """Has a cloud take partials of an edge (its fingerprint or identity) again; `NotFoundError` if none is so."""
        response = await self.call(self._trust.ForgiveEdge, trust_pb2.ForgiveEdgeRequest(edge=edge))
        return [wire.distrusted_from_wire(edge) for edge in response.edges]

    async def circuits(self) -> list[CircuitInfo]:
        """All circuits registered there."""
        from hybrid_prover.v1 import circuit_pb2

        response = await self.call(self._circuits.ListCircuits, circuit_pb2.ListCircuitsRequest())
        return [wire.circuit_from_wire(c) for c in response.circuits]

    async def register_circuit(
        self,
        *,
        name: str,
        zkey: Path | bytes,
        r1cs: Path | bytes | None = None,
        program: Path | bytes | None = None,
        progress: Progress | None = None,
        timeout: float = 600.0,
    ) -> CircuitInfo:
        """Makes a circuit known there, sending only the artifacts that are missing; idempotent.

        `program` is a circom `.wasm` or a tape of the DSL. `progress(bytes sent, bytes to send)` is called as the
        upload goes. `DataLossError` if bytes arrive altered; `InvalidRequestError` names the artifact that is wrong.
        """
        return await register(self, self._circuits, name, zkey, r1cs, program, progress, timeout)


class JobHandle:
    """One submitted job."""

    def __init__(self, client: ProverClient, job_id: Digest, *, created: bool) -> None:
        self.client = client
        self.id = job_id
        self.created = created
        """False if the same job had been submitted before."""

    async def status(self) -> Job:
        """The job as it stands."""
        response = await self.client.call(self.client._queries.GetJob, job_pb2.GetJobRequest(job_id=self.id.raw))
        return wire.job_from_wire(response.job)

    async def watch(self) -> AsyncIterator[Job]:
        """The job as it is, then again after every change, until it ends; reconnects when the connection breaks."""
        client, revision, tries = self.client, 0, 0
        while True:
            stream = client._queries.WatchJob(job_pb2.WatchJobRequest(job_id=self.id.raw))
            try:
                async for response in stream:
                    tries = 0
                    job = wire.job_from_wire(response.job)
                    if job.revision > revision or revision == 0:
                        revision = job.revision
                        yield job
                    if job.state.ended:
                        return
                error: ClientError = from_call("UNAVAILABLE", "the watch ended before the job", (), client.target)
            except grpc.aio.AioRpcError as e:
                error = typed(e, client.target)
            finally:
                stream.cancel()
            tries += 1
            delay = client._retry.delay(tries, error.code, error.retry_after, random.random())
            if delay is None:
                raise error
            await asyncio.sleep(delay)

    async def wait(self, timeout: float | None = None) -> Job:
        """The job once it has ended, well or badly; `DeadlineError` after `timeout` seconds (the job goes on)."""
        try:
            async with asyncio.timeout(timeout):
                async for job in self.watch():
                    if job.state.ended:
                        return job
        except TimeoutError:
            raise DeadlineError(f"job {self.id} has not ended after {timeout} s", code="DEADLINE_EXCEEDED") from None
        raise ClientError(f"the watch of job {self.id} ended before the job", code="INTERNAL")

    async def result(self, timeout: float | None = None) -> JobResult:
        """Waits for the end and fetches the proofs; `JobFailedError` (names the segment), `JobCancelledError`."""
        ended = await self.wait(timeout)
        raise_if_unproved(ended)
        response = await self.client.call(self.client._queries.GetResult, job_pb2.GetResultRequest(job_id=self.id.raw))
        leaves = zip(response.circuits, response.proofs, strict=True)
        made = None
        if response.HasField("assembly"):
            from .assemblywire import assembly_result_from_wire

            made = assembly_result_from_wire(response.assembly)
        return JobResult(self.id, tuple(wire.leaf_from_wire(circuit, leaf) for circuit, leaf in leaves), made)

    async def cancel(self) -> Job:
        """Stops work on the job; finished leaf proofs are kept."""
        response = await self.client.call(self.client._jobs.CancelJob, job_pb2.CancelJobRequest(job_id=self.id.raw))
        return wire.job_from_wire(response.job)

    async def requeue(self) -> Job:
        """Lets a failed or cancelled job go again, at a cloud. An edge keeps no inputs: submit the job again there."""
        response = await self.client.call(self.client._jobs.RequeueJob, job_pb2.RequeueJobRequest(job_id=self.id.raw))
        return wire.job_from_wire(response.job)


def raise_if_unproved(job: Job) -> None:
    """Nothing for a job that is done; `JobCancelledError` or `JobFailedError` with what is known otherwise."""
    if job.state is JobState.CANCELLED:
        raise JobCancelledError(f"job {job.id} was cancelled", code="CANCELLED")
    if job.state is JobState.FAILED:
        failed = next((s for s in job.segments if s.problem is not None), None)
        problem = job.problem or (failed.problem if failed else None)
        if problem is None:
            raise JobFailedError("the job failed", job_id=str(job.id), code="UNKNOWN", details=Details())
        segment = problem.segment if problem.segment is not None else (failed.index if failed else None)
        details = Details(field=problem.field, segment=segment)
        raise JobFailedError(problem.message, job_id=str(job.id), code=problem.code, details=details)


def typed(error: grpc.aio.AioRpcError, target: str) -> ClientError:
    """The typed error of a failed call."""
    trailers: Any = error.trailing_metadata() or ()
    message = error.details() or ""
    if meaning := advice(message):
        message = f"{meaning} ({message})"
    return from_call(error.code().name, message, [(k, v) for k, v in trailers], target)


async def prove(
    target: str, circuit: Digest, inputs: Inputs, *, placement: Placement, timeout: float | None = None
) -> JobResult:
    """One segment from inputs to proof, in one call: opens a client, submits, waits, fetches."""
    async with ProverClient(target) as client:
        job = await client.submit(Segment(circuit, inputs), placement=placement)
        return await job.result(timeout)
