"""StatusService: how the cloud is doing."""

from __future__ import annotations

import grpc

from hybrid_prover.security import principal
from hybrid_prover.v1 import status_pb2, status_pb2_grpc

from ..aggregator import Aggregator
from ..statusview import service_status
from .status import guarded


class Status(status_pb2_grpc.StatusServiceServicer):
    """Questions about the cloud itself."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    @guarded
    async def GetStatus(
        self, request: status_pb2.GetStatusRequest, _context: grpc.aio.ServicerContext
    ) -> status_pb2.GetStatusResponse:
        """The cloud as it stands."""
        return status_pb2.GetStatusResponse(status=service_status(self._aggregator, request.jobs, principal.current()))
