"""JobService of a cloud: jobs are stopped and begun again here, but submitted to edges."""

from __future__ import annotations

import grpc

from hybrid_prover.v1 import job_pb2, job_pb2_grpc

from ..aggregator import Aggregator
from ..errors import FAILED_PRECONDITION, NOT_FOUND, refuse
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
        job = await self._aggregator.cancel(check_bytes(request.job_id, 32, "job_id"))
        return job_pb2.CancelJobResponse(job=job_view(_known(job, request.job_id)))

    @guarded
    async def RequeueJob(
        self, request: job_pb2.RequeueJobRequest, _context: grpc.aio.ServicerContext
    ) -> job_pb2.RequeueJobResponse:
        """FAILED_PRECONDITION if it is done; one that runs stays as it is."""
        job = _known(await self._aggregator.requeue(check_bytes(request.job_id, 32, "job_id")), request.job_id)
        if job.state == JOB_DONE:
            raise refuse(FAILED_PRECONDITION, "the job is done", reason="JOB_DONE", field="job_id")
        return job_pb2.RequeueJobResponse(job=job_view(job))


def _known(job: Job | None, job_id: bytes) -> Job:
    if job is None:
        raise refuse(NOT_FOUND, f"job {job_id.hex()} is not known here", reason="JOB_UNKNOWN", field="job_id")
    return job
