"""The spool behind one thread: writes keep their order, those that wait together become one transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from .spool import Spool

T = TypeVar("T")
log = structlog.get_logger("edge.spool")

MAX_BATCH = 512
"""Writes in one transaction."""


class SpoolThread:
    """Owns a `Spool`. Made and used from one event loop."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder)
        """For reading before `start`, and for its constants and paths at any time."""
        self.on_written: Callable[[float], object] = lambda _: None
        """Told how many seconds each transaction took, from its thread."""
        self._work: queue.SimpleQueue[tuple[Callable[[Spool], object], asyncio.Future[object] | None] | None]
        self._work = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="spool", daemon=True)

    def start(self) -> None:
        """Hands the spool to its thread."""
        self._thread.start()

    def post(self, write: Callable[[Spool], object]) -> None:
        """Writes soon, in order, not synced; a failure is logged (later records or the cloud make up for it)."""
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
            items = [self._work.get()]
            while not self._work.empty() and len(items) < MAX_BATCH:
                items.append(self._work.get())
            running = None not in items
            batch = [item for item in items if item is not None]
            begun = time.perf_counter()
            try:
                self.spool.begin(synced=any(future is not None for _, future in batch))
                results = [work(self.spool) for work, _ in batch]
                self.spool.commit()
            except Exception:
                # One of them failed and took the others with it: each again by itself.
                self.spool.rollback()
                for item in batch:
                    self._alone(*item)
            else:
                self.on_written(time.perf_counter() - begun)
                for (_, future), result in zip(batch, results, strict=True):
                    if future is not None:
                        self._loop.call_soon_threadsafe(_resolve, future, result)

    def _alone(self, work: Callable[[Spool], object], future: asyncio.Future[object] | None) -> None:
        try:
            self.spool.begin(synced=future is not None)
            result = work(self.spool)
            self.spool.commit()
        except Exception as e:
            self.spool.rollback()
            log.error("spool write failed", error=str(e))
            if future is not None:
                self._loop.call_soon_threadsafe(_reject, future, e)
        else:
            if future is not None:
                self._loop.call_soon_threadsafe(_resolve, future, result)


def _resolve(future: asyncio.Future[object], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _reject(future: asyncio.Future[object], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
