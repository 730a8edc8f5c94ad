"""StatusService of an edge: how it is doing."""

from __future__ import annotations

from typing import Any

from hybrid_prover.security import principal
from hybrid_prover.v1 import status_pb2, status_pb2_grpc

from .core import EdgeCore
from .rpc import unary
from .statusview import service_status


class StatusService(status_pb2_grpc.StatusServiceServicer):
    """Questions about the edge itself."""

    def __init__(self, core: EdgeCore) -> None:
        self._core = core

    @unary
    async def GetStatus(self, request: status_pb2.GetStatusRequest, context: Any) -> status_pb2.GetStatusResponse:
        status = service_status(self._core, request.jobs, principal.current())
        return status_pb2.GetStatusResponse(status=status)
