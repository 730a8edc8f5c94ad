"""UplinkService: one bidirectional stream an edge; order, credit and errors are the machine's."""

from __future__ import annotations

import asyncio

import grpc
import structlog
from google.rpc import status_pb2

from hybrid_prover.security.principal import current
from hybrid_prover.v1 import uplink_pb2, uplink_pb2_grpc

from ..aggregator import Aggregator
from ..errors import status_of
from ..links import Link
from .status import abort

log = structlog.get_logger(__name__)


class Uplink(uplink_pb2_grpc.UplinkServiceServicer):
    """The stream ends when the edge closes its side, when a newer connection takes the session over, or on drain."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    async def Uplink(self, _requests: object, context: grpc.aio.ServicerContext) -> None:
        """Reads and writes side by side; whichever ends first ends the call."""
        edge = current().edge
        link = self._aggregator.connect(edge)
        bound = log.bind(connection=link.connection, peer=context.peer(), identity=edge)
        bound.info("edge_connected")
        reader = asyncio.create_task(self._read(link, context))
        writer = asyncio.create_task(_write(link, context))
        overrun = asyncio.create_task(link.overrun.wait())
        try:
            await asyncio.wait((reader, writer, overrun), return_when=asyncio.FIRST_COMPLETED)
            if overrun.done():
                writer.cancel()
                await abort(context, link.unread())
            if writer.done() and not writer.cancelled() and writer.exception() is None:
                await abort(context, writer.result())
            if reader.done() and not reader.cancelled() and (error := reader.exception()) is not None:
                bound.error("uplink_failed", exc_info=error)
                await abort(context, status_of(error if isinstance(error, Exception) else RuntimeError()))
        finally:
            reader.cancel()
            writer.cancel()
            overrun.cancel()
            await asyncio.gather(reader, writer, overrun, return_exceptions=True)
            self._aggregator.disconnect(link)
            bound.info("edge_disconnected")

    async def _read(self, link: Link, context: grpc.aio.ServicerContext) -> None:
        while True:
            request = await context.read()
            if request is grpc.aio.EOF:
                return
            assert isinstance(request, uplink_pb2.UplinkRequest)
            await self._aggregator.receive(link, request)


async def _write(link: Link, context: grpc.aio.ServicerContext) -> status_pb2.Status:
    """Writes until there is a status to end with."""
    while True:
        item = await link.take()
        if isinstance(item, status_pb2.Status):
            return item
        await context.write(item)
