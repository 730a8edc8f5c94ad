"""JobQueryService: jobs as they stand, and their proofs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc

from hybrid_prover.security.principal import current
from hybrid_prover.v1 import job_pb2, job_pb2_grpc

from ..aggregator import Aggregator
from ..errors import FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, WireError, refuse
from ..model import JOB_DONE, RUNNING, Job, job_view
from ..ownership import visible
from ..validation import check_bytes
from .status import abort, guarded

LIST_LIMIT = 1000
LIST_BYTES = 3 << 20
"""A list stops before it would not fit gRPC's usual 4 MiB; there is always at least one job in it."""


class Jobs(job_pb2_grpc.JobQueryServiceServicer):
    """Questions about jobs."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    @guarded
    async def GetJob(
        self, request: job_pb2.GetJobRequest, _context: grpc.aio.ServicerContext
    ) -> job_pb2.GetJobResponse:
        """NOT_FOUND if it is not known."""
        view = job_view(await self._job(request.job_id))
        if view.state != RUNNING:
            await self._aggregator.settled()
        return job_pb2.GetJobResponse(job=view)

    @guarded
    async def ListJobs(
        self, request: job_pb2.ListJobsRequest, _context: grpc.aio.ServicerContext
    ) -> job_pb2.ListJobsResponse:
        """Newest first, cut short at `LIST_BYTES`."""
        if request.limit > LIST_LIMIT:
            raise refuse(INVALID_ARGUMENT, f"at most {LIST_LIMIT} jobs", reason="LIMIT", field="limit")
        response = job_pb2.ListJobsResponse()
        size = 0
        caller = current()
        own = None if caller.operates or not caller.client else caller.client
        for job in await self._aggregator.newest_jobs(request.limit or 100, own):
            if not visible(job, caller):
                continue
            view = job_view(job)
            size += view.ByteSize()
            if response.jobs and size > LIST_BYTES:
                break
            response.jobs.append(view)
        return response

    async def WatchJob(
        self, request: job_pb2.WatchJobRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[job_pb2.WatchJobResponse]:
        """As it is, after every change, until it ends."""
        try:
            await self._job(request.job_id)
        except WireError as e:
            await abort(context, e.status)
        try:
            with self._aggregator.doors.watcher(current().name):
                async for job in self._aggregator.watch(request.job_id):
                    yield job_pb2.WatchJobResponse(job=job)
        except WireError as e:
            await abort(context, e.status)

    @guarded
    async def GetResult(
        self, request: job_pb2.GetResultRequest, _context: grpc.aio.ServicerContext
    ) -> job_pb2.GetResultResponse:
        """FAILED_PRECONDITION unless the job is done."""
        job = await self._job(request.job_id)
        if job.state != JOB_DONE:
            state = job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
            why = f": {job.error.message}" if job.error is not None else ""
            raise refuse(
                FAILED_PRECONDITION, f"the job is {state}{why}", reason="NOT_DONE", field="job_id", state=state
            )
        await self._aggregator.settled()
        return job_pb2.GetResultResponse(
            proofs=[s.leaf for s in job.segments if s.leaf is not None],
            circuits=[s.circuit.digest for s in job.segments],
            assembly=job.assembly.result if job.assembly is not None else None,
        )

    async def _job(self, job_id: bytes) -> Job:
        job = await self._aggregator.job(check_bytes(job_id, 32, "job_id"))
        if job is None or not visible(job, current()):
            raise refuse(NOT_FOUND, f"job {job_id.hex()} is not known here", reason="JOB_UNKNOWN", field="job_id")
        return job
