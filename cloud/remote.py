"""One remote worker's connection: what it is told, and the chunks that are fed to it as they become durable.

Bytes in flight are bounded: a lease has at most `FEED_BYTES` of records sent that the worker has not summed, plus one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from google.rpc import status_pb2

from hybrid_prover.v1 import worker_pb2

from .chunklog import ChunkLogReader, log_path
from .model import CircuitInfo, Maker, SegmentKey

FEED_BYTES = 8 << 20
"""Records of one lease in flight: sent and not summed yet."""
UNREAD_BYTES = 32 << 20
"""Records of all leases of a worker that wait to be written to it; beyond that none is read from disk."""
UNREAD_MESSAGES = 4096
"""Messages that wait to be written to a worker; beyond that it is not listened to."""
_READ_BYTES = 1 << 20
"""Records read from a log at a time."""


def lease_ref(key: SegmentKey, token: int) -> worker_pb2.LeaseRef:
    """A lease on the wire."""
    return worker_pb2.LeaseRef(job_id=key[0], segment=key[1], token=token)


@dataclass(slots=True, eq=False)
class _Feed:
    """The chunks of one lease on their way."""

    key: SegmentKey
    token: int
    available: int
    complete: bool
    sent: int
    ended: bool
    sent_bytes: int = 0
    taken_bytes: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Remote:
    """A connected worker. Lives on one event loop."""

    def __init__(
        self, worker_id: bytes, maker: Maker, logs: Path, on_damaged: Callable[[SegmentKey, int], None]
    ) -> None:
        """`on_damaged` hears of a lease whose log has lost what was durable."""
        self.worker_id = worker_id
        self.maker = maker
        self.name = maker.name
        self._outbox: asyncio.Queue[worker_pb2.WorkResponse | status_pb2.Status] = asyncio.Queue()
        self._unread = 0
        self._taken = asyncio.Event()
        self._logs = logs
        self._on_damaged = on_damaged
        self._feeds: dict[SegmentKey, _Feed] = {}

    def tell(self, item: worker_pb2.WorkResponse | status_pb2.Status) -> None:
        """Queues a message, or the status to end the stream with."""
        self._outbox.put_nowait(item)

    async def take(self) -> worker_pb2.WorkResponse | status_pb2.Status:
        """The next item to write; waits for one."""
        item = await self._outbox.get()
        if isinstance(item, worker_pb2.WorkResponse) and item.HasField("chunk"):
            self._unread -= len(item.chunk.record)
        self._taken.set()
        return item

    async def room(self) -> None:
        """Waits while the worker does not read what it is told."""
        while self._outbox.qsize() >= UNREAD_MESSAGES:
            self._taken.clear()
            await self._taken.wait()

    def grant(
        self, key: SegmentKey, token: int, circuit: CircuitInfo, chunks: int, complete: bool, seed: bytes
    ) -> None:
        """A new lease, its proof to be blinded by `seed`; its chunks follow from the first on."""
        granted = worker_pb2.LeaseGranted(
            lease=lease_ref(key, token),
            circuit=circuit.digest,
            wires=circuit.wires,
            public_signals=circuit.n_public,
            seed=seed,
        )
        self.tell(worker_pb2.WorkResponse(granted=granted))
        self.feed(key, token, chunks, complete)

    def feed(
        self, key: SegmentKey, token: int, chunks: int, complete: bool, *, sent: int = 0, ended: bool = False
    ) -> None:
        """Feeds a lease that the worker knows, behind the chunks it has."""
        self._stop(key)
        feed = self._feeds[key] = _Feed(key, token, chunks, complete, sent, ended)
        feed.task = asyncio.get_running_loop().create_task(self._run(feed))

    def more(self, key: SegmentKey, token: int, chunks: int, complete: bool) -> None:
        """More chunks of a lease are durable."""
        feed = self._feeds.get(key)
        if feed is not None and feed.token == token:
            feed.available, feed.complete = max(feed.available, chunks), feed.complete or complete
            feed.news.set()

    def consumed(self, key: SegmentKey, token: int, record_bytes: int) -> None:
        """The worker has summed so many bytes of this connection's records: as many may follow."""
        feed = self._feeds.get(key)
        if feed is not None and feed.token == token:
            feed.taken_bytes = max(feed.taken_bytes, min(record_bytes, feed.sent_bytes))
            feed.news.set()

    def revoke(self, key: SegmentKey, token: int) -> None:
        """Ends a lease."""
        feed = self._feeds.get(key)
        if feed is not None and feed.token == token:
            self._stop(key)
        self.tell(worker_pb2.WorkResponse(revoked=worker_pb2.LeaseRevoked(lease=lease_ref(key, token))))

    def over(self, key: SegmentKey, token: int) -> None:
        """The worker itself ended a lease."""
        feed = self._feeds.get(key)
        if feed is not None and feed.token == token:
            self._stop(key)

    async def close(self) -> None:
        """The connection is gone: nothing more is fed."""
        tasks = [f.task for f in self._feeds.values() if f.task is not None]
        for key in list(self._feeds):
            self._stop(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, key: SegmentKey) -> None:
        feed = self._feeds.pop(key, None)
        if feed is not None and feed.task is not None:
            feed.task.cancel()

    async def _run(self, feed: _Feed) -> None:
        reader: ChunkLogReader | None = None
        try:
            while not feed.ended:
                if feed.sent < feed.available and feed.sent_bytes - feed.taken_bytes < FEED_BYTES:
                    while self._unread >= UNREAD_BYTES:
                        self._taken.clear()
                        await self._taken.wait()
                    if reader is None:
                        reader = await asyncio.to_thread(_open_at, log_path(self._logs, feed.key), feed.sent)
                    records = await asyncio.to_thread(_read, reader, feed.available - feed.sent)
                    if not records:
                        self._on_damaged(feed.key, feed.token)
                        return
                    self._send(feed, records)
                elif feed.complete and feed.sent == feed.available:
                    end = worker_pb2.WitnessEnd(lease=lease_ref(feed.key, feed.token), chunk_count=feed.sent)
                    self.tell(worker_pb2.WorkResponse(witness_end=end))
                    feed.ended = True
                else:
                    feed.news.clear()
                    await feed.news.wait()
        except OSError:
            self._on_damaged(feed.key, feed.token)
        finally:
            if reader is not None:
                with contextlib.suppress(OSError):
                    reader.close()

    def _send(self, feed: _Feed, records: list[bytes]) -> None:
        for record in records:
            chunk = worker_pb2.ChunkRecord(lease=lease_ref(feed.key, feed.token), record=record)
            self.tell(worker_pb2.WorkResponse(chunk=chunk))
            self._unread += len(record)
            feed.sent += 1
            feed.sent_bytes += len(record)


def _open_at(path: Path, chunks: int) -> ChunkLogReader:
    reader = ChunkLogReader(path)
    reader.skip(chunks)
    return reader


def _read(reader: ChunkLogReader, count: int) -> list[bytes]:
    records: list[bytes] = []
    size = 0
    while len(records) < count and size < _READ_BYTES and (raw := reader.next_raw()) is not None:
        records.append(raw)
        size += len(raw)
    return records
