"""TrustService: whose partials are not taken, for operators."""

from __future__ import annotations

import grpc

from hybrid_prover.v1 import trust_pb2, trust_pb2_grpc

from ..aggregator import Aggregator
from ..errors import INVALID_ARGUMENT, NOT_FOUND, refuse
from ..trust import Distrust
from .status import guarded

MAX_NAME = 512


class Trust(trust_pb2_grpc.TrustServiceServicer):
    """The list, and the way off it."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    @guarded
    async def ListDistrustedEdges(
        self, _request: trust_pb2.ListDistrustedEdgesRequest, _context: grpc.aio.ServicerContext
    ) -> trust_pb2.ListDistrustedEdgesResponse:
        """Oldest first."""
        records = self._aggregator.machine.trust.records()
        return trust_pb2.ListDistrustedEdgesResponse(edges=[_view(record) for record in records])

    @guarded
    async def ForgiveEdge(
        self, request: trust_pb2.ForgiveEdgeRequest, _context: grpc.aio.ServicerContext
    ) -> trust_pb2.ForgiveEdgeResponse:
        """NOT_FOUND if no distrusted edge is called so."""
        if not 0 < len(request.edge) <= MAX_NAME:
            raise refuse(INVALID_ARGUMENT, f"edge needs 1 to {MAX_NAME} characters", reason="BAD_LENGTH", field="edge")
        found = await self._aggregator.forgive(request.edge)
        if not found:
            raise refuse(
                NOT_FOUND, f"no distrusted edge is called {request.edge!r}", reason="EDGE_UNKNOWN", field="edge"
            )
        return trust_pb2.ForgiveEdgeResponse(edges=[_view(record) for record in found])


def _view(record: Distrust) -> trust_pb2.DistrustedEdge:
    return trust_pb2.DistrustedEdge(
        edge_name=record.edge_name,
        fingerprint=record.fingerprint,
        identity=record.identity,
        job_id=record.job_id,
        segment=record.segment,
        sequences=record.sequences,
        since_unix_nanos=record.since_nanos,
    )
