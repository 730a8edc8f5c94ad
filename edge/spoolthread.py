"""The spool behind one thread: writes keep their order, those that wait together become one transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

import sqlalchemy as sa
import structlog

from .spool import Spool

T = TypeVar("T")
log = structlog.get_logger("edge.spool")

MAX_BATCH = 512
"""Writes in one transaction."""
RETRY_SECONDS = 1.0
"""How often it is tried again to write to a disk that is full or fails."""

_Item: TypeAlias = tuple[Callable[[Spool], object], "asyncio.Future[object] | None"]


class SpoolThread:
    """Owns a `Spool`. Made and used from one event loop."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder)
        """For reading before `start`, and for its constants and paths at any time."""
        self.on_written: Callable[[float], object] = lambda _: None
        """Told how many seconds each transaction took, from its thread."""
        self._work: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._behind: deque[_Item] = deque()
        """Writes that the disk would not take, in order."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="spool", daemon=True)

    def start(self) -> None:
        """Hands the spool to its thread."""
        self._thread.start()

    def post(self, write: Callable[[Spool], object]) -> None:
        """Writes soon, in order, not synced. While the disk takes nothing it is tried again, before all that follows;
        a failure of another kind is logged (later records or the cloud make up for it)."""
        self._work.put((write, None))

    async def call(self, work: Callable[[Spool], T]) -> T:
        """Does the work after everything posted before; its result is durable when this returns."""
        future: asyncio.Future[object] = self._loop.create_future()
        self._work.put((work, future))
        return await future  # type: ignore[return-value]

    async def close(self) -> None:
        """Finishes what was posted and releases the file."""
        self._work.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        self.spool.close()

    def _serve(self) -> None:
        running = True
        while running:
            items = self._take()
            running = None not in items
            batch = [item for item in items if item is not None]
            while self._behind and self._written(self._behind[0]):
                self._behind.popleft()
            if self._behind:
                self._one_by_one(batch)
                continue
            begun = time.perf_counter()
            try:
                self.spool.begin(synced=any(future is not None for _, future in batch))
                results = [work(self.spool) for work, _ in batch]
                self.spool.commit()
            except Exception:
                # One of them failed and took the others with it: each again by itself.
                self.spool.rollback()
                self._one_by_one(batch)
            else:
                self.on_written(time.perf_counter() - begun)
                for (_, future), result in zip(batch, results, strict=True):
                    if future is not None:
                        self._loop.call_soon_threadsafe(_resolve, future, result)

    def _take(self) -> list[_Item | None]:
        try:
            items = [self._work.get(timeout=RETRY_SECONDS if self._behind else None)]
        except queue.Empty:
            return []
        while not self._work.empty() and len(items) < MAX_BATCH:
            items.append(self._work.get())
        return items

    def _one_by_one(self, batch: list[_Item]) -> None:
        """The order of what was posted is kept: an end that is not written must not be followed by what ends allow."""
        for item in batch:
            posted = item[1] is None
            if (posted and self._behind) or not self._written(item):
                self._behind.append(item)

    def _written(self, item: _Item) -> bool:
        """One transaction. Whether that was all there is to do: it is written, or it failed for good."""
        work, future = item
        try:
            self.spool.begin(synced=future is not None)
            result = work(self.spool)
            self.spool.commit()
        except Exception as e:
            self.spool.rollback()
            if future is not None:
                self._loop.call_soon_threadsafe(_reject, future, e)
            elif isinstance(e, sa.exc.OperationalError):
                if not self._behind:
                    log.error("spool cannot be written", error=str(e.orig))
                return False
            else:
                log.error("spool write failed", error=str(e))
        else:
            if future is not None:
                self._loop.call_soon_threadsafe(_resolve, future, result)
        return True


def _resolve(future: asyncio.Future[object], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _reject(future: asyncio.Future[object], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
