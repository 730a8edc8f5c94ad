"""JobService and JobQueryService of an edge: its own jobs only, and to each client its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from hybrid_prover.security import principal
from hybrid_prover.v1 import assembly_pb2, common_pb2, job_pb2, job_pb2_grpc
from prover_core.errors import InvalidInputError

from .core import EdgeCore
from .model import Code, Job, JobState
from .rpc import streaming, unary
from .status import RpcError, failure, rpc_error, to_status
from .views import job_message

WATCH_INTERVAL = 0.05
"""Seconds between two messages of one WatchJob stream; changes in between are told together."""
WATCH_INTERVAL_SEGMENT = 0.0005
"""Seconds more for each segment: a message tells them all."""
MAX_LISTED = 1000


class JobService(job_pb2_grpc.JobServiceServicer):
    """Takes and cancels jobs."""

    def __init__(self, core: EdgeCore) -> None:
        self._core = core

    @unary
    async def SubmitJob(self, request: job_pb2.SubmitJobRequest, context: Any) -> job_pb2.SubmitJobResponse:
        if self._core.stopping:
            raise _stopping()
        job_id, created = await self._core.submit(request, principal.current())
        return job_pb2.SubmitJobResponse(job_id=job_id, created=created)

    @unary
    async def CancelJob(self, request: job_pb2.CancelJobRequest, context: Any) -> job_pb2.CancelJobResponse:
        return job_pb2.CancelJobResponse(job=job_message(await self._core.cancel(request.job_id, principal.current())))

    @unary
    async def RequeueJob(self, request: job_pb2.RequeueJobRequest, context: Any) -> job_pb2.RequeueJobResponse:
        job = self._core.job(request.job_id, principal.current())
        if job.state is JobState.RUNNING:
            return job_pb2.RequeueJobResponse(job=job_message(job))
        text = "the job is done"
        if job.state is not JobState.DONE:
            text = "an edge overwrites the inputs of ended jobs: submit the job again, and it goes again"
        raise rpc_error(Code.FAILED_PRECONDITION, text, reason="INPUTS_GONE", field="job_id")


class JobQueryService(job_pb2_grpc.JobQueryServiceServicer):
    """Answers questions about jobs."""

    def __init__(self, core: EdgeCore) -> None:
        self._core = core

    @unary
    async def GetJob(self, request: job_pb2.GetJobRequest, context: Any) -> job_pb2.GetJobResponse:
        return job_pb2.GetJobResponse(job=job_message(self._core.job(request.job_id, principal.current())))

    @unary
    async def ListJobs(self, request: job_pb2.ListJobsRequest, context: Any) -> job_pb2.ListJobsResponse:
        if request.limit > MAX_LISTED:
            raise InvalidInputError(f"limit is at most {MAX_LISTED}, not {request.limit}", field="limit")
        caller = principal.current()
        jobs = [job for job in self._core.machine.jobs.values() if caller.owns(job.clients)]
        jobs.sort(key=lambda job: job.order, reverse=True)
        return job_pb2.ListJobsResponse(jobs=[job_message(job) for job in jobs[: request.limit or 100]])

    @streaming
    async def WatchJob(self, request: job_pb2.WatchJobRequest, context: Any) -> AsyncIterator[job_pb2.WatchJobResponse]:
        job = self._core.job(request.job_id, principal.current())
        with self._core.admission.doors.watcher(principal.current().client):
            while True:
                ended, revision = job.state is not JobState.RUNNING, job.revision
                yield job_pb2.WatchJobResponse(job=job_message(job))
                if ended:
                    return
                await self._gather_changes(job)
                while job.revision == revision and not self._core.stopping:
                    await self._core.wait_change(job.id)
                if self._core.stopping:
                    raise _stopping()

    async def _gather_changes(self, job: Job) -> None:
        """Waits a moment, longer for larger jobs, but not beyond the job's end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WATCH_INTERVAL + WATCH_INTERVAL_SEGMENT * len(job.segments)):
                while job.state is JobState.RUNNING and not self._core.stopping:
                    await self._core.wait_change(job.id)

    @unary
    async def GetResult(self, request: job_pb2.GetResultRequest, context: Any) -> job_pb2.GetResultResponse:
        job = self._core.job(request.job_id, principal.current())
        if job.state is JobState.RUNNING:
            raise rpc_error(Code.FAILED_PRECONDITION, "the job is unfinished", reason="JOB_UNFINISHED")
        if job.state is not JobState.DONE:
            text = f"the job is {job.state.name.lower()}" + (f": {job.failure.message}" if job.failure else "")
            made = failure(Code.FAILED_PRECONDITION, text, reason=f"JOB_{job.state.name}")
            if job.failure is not None:
                status = to_status(made)
                status.details.extend(to_status(job.failure).details)
                made = type(made)(made.code, made.message, status.SerializeToString())
            raise RpcError(made)
        return job_pb2.GetResultResponse(
            proofs=[common_pb2.LeafProof.FromString(s.leaf) for s in job.segments],
            circuits=[s.circuit for s in job.segments],
            assembly=assembly_pb2.AssemblyResult.FromString(job.assembly) if job.assembly else None,
        )


def _stopping() -> RpcError:
    return rpc_error(Code.UNAVAILABLE, "this edge is stopping", reason="STOPPING", retry_after=2 * 10**9)
