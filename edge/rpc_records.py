"""RecordService of an edge: where the proofs of its private jobs come from, and for operators what blinds them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from hybrid_prover.security import principal
from hybrid_prover.v1 import records_pb2, records_pb2_grpc

from .core import EdgeCore
from .model import Code
from .rpc import streaming
from .status import rpc_error


class RecordService(records_pb2_grpc.RecordServiceServicer):
    """Signed records as they lie in the spool."""

    def __init__(self, core: EdgeCore) -> None:
        self._core = core

    @streaming
    async def GetRecords(
        self, request: records_pb2.GetRecordsRequest, context: Any
    ) -> AsyncIterator[records_pb2.GetRecordsResponse]:
        """The node, then the leaf proofs that were made here, in order."""
        caller = principal.current()
        job = self._core.job(request.job_id, caller)
        if request.with_seeds and not caller.operates:
            text = "seeds want the right to operate"
            raise rpc_error(Code.PERMISSION_DENIED, text, reason="RIGHT_MISSING", field="with_seeds")
        if not job.private:
            text = "the proofs of this job are made at the cloud, which has their records: ask there"
            raise rpc_error(Code.FAILED_PRECONDITION, text, reason="RECORDS_AT_CLOUD", field="job_id")
        recorder = self._core.recorder
        leaves = await self._core.spool.call(lambda spool: spool.records(job.id))
        yield records_pb2.GetRecordsResponse(node=records_pb2.SigningNode(public_key_pem=recorder.key.public_pem))
        for segment, envelope in leaves.items():
            seed = recorder.seeds.seed(job.id, segment) if request.with_seeds else b""
            yield records_pb2.GetRecordsResponse(
                leaf=records_pb2.LeafRecord(segment=segment, envelope=envelope, seed=seed)
            )
