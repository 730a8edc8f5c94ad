"""One edge connection's way back: what the cloud has to tell it, in order, and how it is told to end."""

from __future__ import annotations

import asyncio

import structlog
from google.rpc import status_pb2

from hybrid_prover.v1 import uplink_pb2

log = structlog.get_logger(__name__)

_OUTBOX_LIMIT = 4096


class Link:
    """One connection's way back to its edge: messages to write, and at the end the status to close with."""

    def __init__(self, connection: int, edge: str = "") -> None:
        self.connection = connection
        self.edge = edge
        """Identity in its certificate; empty where plain text is spoken."""
        self.queue: asyncio.Queue[uplink_pb2.UplinkResponse | status_pb2.Status] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, item: uplink_pb2.UplinkResponse | status_pb2.Status) -> None:
        """Queues one item; never blocks."""
        self.queue.put_nowait(item)
        if self.queue.qsize() > _OUTBOX_LIMIT:
            self._room.clear()

    async def take(self) -> uplink_pb2.UplinkResponse | status_pb2.Status:
        """The next item; waits for one."""
        item = await self.queue.get()
        if self.queue.qsize() <= _OUTBOX_LIMIT:
            self._room.set()
        return item

    async def room(self) -> None:
        """Waits while an edge does not read what it is told."""
        await self._room.wait()


def log_sent(response: uplink_pb2.UplinkResponse) -> None:
    """One line for what an operator wants to find again: refusals, failed segments; the observer tells ends of jobs."""
    match response.WhichOneof("message"):
        case "refused":
            refused = response.refused
            log.warning(
                "refused",
                job_id=refused.job_id.hex(),
                segment=refused.segment if refused.has_segment else None,
                code=refused.error.code,
                error=refused.error.message,
            )
        case "segment_update":
            update = response.segment_update
            event = update.WhichOneof("event")
            bound = log.bind(job_id=update.job_id.hex(), segment=update.segment)
            if event == "failed":
                bound.warning("segment_failed", code=update.failed.code, error=update.failed.message)
            else:
                bound.debug(f"segment_{event}")
        case "job_opened":
            opened = response.job_opened
            log.info("job_opened", job_id=opened.job_id.hex(), segments=len(opened.positions))
