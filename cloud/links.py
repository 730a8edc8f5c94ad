"""One edge connection's way back: what the cloud has to tell it, in order, and how it is told to end."""

from __future__ import annotations

import asyncio

import structlog
from google.rpc import status_pb2

from hybrid_prover.v1 import uplink_pb2

from .errors import RESOURCE_EXHAUSTED, make_status

log = structlog.get_logger(__name__)

_OUTBOX_LIMIT = 4096
"""Items beyond which nothing more is heard of an edge that does not read what it is told."""
OUTBOX_MOST = 16 * _OUTBOX_LIMIT
"""Items beyond which its connection ends, usually: what others do to jobs that it watches is told to it too."""


class Link:
    """One connection's way back to its edge: messages to write, and at the end the status to close with."""

    def __init__(self, connection: int, edge: str = "", most: int = OUTBOX_MOST) -> None:
        self.connection = connection
        self._most = most
        self.edge = edge
        """Identity in its certificate; empty where plain text is spoken."""
        self.queue: asyncio.Queue[uplink_pb2.UplinkResponse | status_pb2.Status] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self.overrun = asyncio.Event()
        """Set when the connection is to end because the edge does not read."""

    def put(self, item: uplink_pb2.UplinkResponse | status_pb2.Status) -> None:
        """Queues one item; never blocks. Drops everything once there is far too much."""
        if self.overrun.is_set():
            return
        if self.queue.qsize() >= self._most:
            self.overrun.set()
            self.queue = asyncio.Queue()
            return
        self.queue.put_nowait(item)
        if self.queue.qsize() > _OUTBOX_LIMIT:
            self._room.clear()

    async def take(self) -> uplink_pb2.UplinkResponse | status_pb2.Status:
        """The next item; waits for one."""
        item = await self.queue.get()
        if self.queue.qsize() <= _OUTBOX_LIMIT:
            self._room.set()
        return item

    @staticmethod
    def unread() -> status_pb2.Status:
        """Why such a connection ends: when the edge connects again it hears where everything stands."""
        return make_status(RESOURCE_EXHAUSTED, "the edge does not read what it is told", reason="UNREAD")

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
