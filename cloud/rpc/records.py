"""RecordService: where proofs come from, and for operators what blinds them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc

from hybrid_prover.security.principal import current
from hybrid_prover.v1 import common_pb2, records_pb2, records_pb2_grpc

from ..aggregator import Aggregator
from ..errors import NOT_FOUND, PERMISSION_DENIED, WireError, refuse
from ..model import Job
from ..ownership import visible
from ..validation import check_bytes
from .status import abort


class Records(records_pb2_grpc.RecordServiceServicer):
    """Signed records as they lie in the store."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    async def GetRecords(
        self, request: records_pb2.GetRecordsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[records_pb2.GetRecordsResponse]:
        """The node, leaf proofs in order, batches in order of first use, the assembly."""
        try:
            job = await self._checked(request)
        except WireError as e:
            await abort(context, e.status)
        leaves, batches = await self._aggregator.records(request.job_id)
        recorder = self._aggregator.recorder
        yield records_pb2.GetRecordsResponse(node=records_pb2.SigningNode(public_key_pem=recorder.key.public_pem))
        for segment, envelope in leaves.items():
            leaf = records_pb2.LeafRecord(segment=segment, envelope=envelope)
            if request.with_seeds and job.placement != common_pb2.PLACEMENT_PRIVATE:
                leaf.seed = recorder.seeds.seed(request.job_id, segment)
            yield records_pb2.GetRecordsResponse(leaf=leaf)
        for envelope in batches:
            yield records_pb2.GetRecordsResponse(batch=records_pb2.BatchEnvelope(envelope=envelope))
        if (assembly := job.assembly) is not None and assembly.result is not None and assembly.result.record:
            signed = records_pb2.AssemblyEnvelope(envelope=assembly.result.record)
            yield records_pb2.GetRecordsResponse(assembly=signed)

    async def _checked(self, request: records_pb2.GetRecordsRequest) -> Job:
        """The job; NOT_FOUND and PERMISSION_DENIED for those who may not have this."""
        caller = current()
        job = await self._aggregator.job(check_bytes(request.job_id, 32, "job_id"))
        if job is None or not visible(job, caller):
            raise refuse(
                NOT_FOUND, f"job {request.job_id.hex()} is not known here", reason="JOB_UNKNOWN", field="job_id"
            )
        if request.with_seeds and not caller.operates:
            raise refuse(
                PERMISSION_DENIED, "seeds want the right to operate", reason="RIGHT_MISSING", field="with_seeds"
            )
        return job
