"""JobService of a cloud: jobs are stopped and begun again here, but submitted to edges."""

from __future__ import annotations

import grpc

from hybrid_prover.security.principal import current
from hybrid_prover.v1 import job_pb2, job_pb2_grpc

from ..aggregator import Aggregator
from ..errors import FAILED_PRECONDITION, NOT_FOUND, WireError, refuse
from ..model import JOB_DONE, Job, job_view
from ..validation import check_bytes
from .status import guarded


class JobControl(job_pb2_grpc.JobServiceServicer):
    """What operators do to jobs."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    @guarded
    async def SubmitJob(
        self, _request: job_pb2.SubmitJobRequest, _context: grpc.aio.ServicerContext
    ) -> job_pb2.SubmitJobResponse:
        """Witnesses are made at edges."""
        raise refuse(FAILED_PRECONDITION, "jobs are submitted to an edge, not to a cloud", reason="SUBMIT_AT_EDGE")

    @guarded
    async def CancelJob(
        self, request: job_pb2.CancelJobRequest, _context: grpc.aio.ServicerContext
    ) -> job_pb2.CancelJobResponse:
        """The job as it is then; one that has ended stays as it is."""
        await self._mine(request.job_id)
        job = await self._aggregator.cancel(request.job_id)
        return job_pb2.CancelJobResponse(job=job_view(_known(job, request.job_id)))

    @guarded
    async def RequeueJob(
        self, request: job_pb2.RequeueJobRequest, _context: grpc.aio.ServicerContext
    ) -> job_pb2.RequeueJobResponse:
        """FAILED_PRECONDITION if it is done; one that runs stays as it is."""
        await self._mine(request.job_id)
        job = _known(await self._aggregator.requeue(request.job_id), request.job_id)
        if job.state == JOB_DONE:
            raise refuse(FAILED_PRECONDITION, "the job is done", reason="JOB_DONE", field="job_id")
        return job_pb2.RequeueJobResponse(job=job_view(job))

    async def _mine(self, job_id: bytes) -> None:
        """Whether the caller may stop and begin a job: an operator always, its client while no other edge wants it."""
        job = await self._aggregator.job(check_bytes(job_id, 32, "job_id"))
        caller = current()
        if job is None or not caller.owns({job.client}):
            raise _unknown(job_id)
        if not caller.operates and len(job.edges) > 1:
            raise refuse(
                FAILED_PRECONDITION,
                f"{len(job.edges)} edges want this job: cancel it at yours",
                reason="WANTED_BY_OTHERS",
                field="job_id",
            )


def _known(job: Job | None, job_id: bytes) -> Job:
    if job is None:
        raise _unknown(job_id)
    return job


def _unknown(job_id: bytes) -> WireError:
    return refuse(NOT_FOUND, f"job {job_id.hex()} is not known here", reason="JOB_UNKNOWN", field="job_id")
