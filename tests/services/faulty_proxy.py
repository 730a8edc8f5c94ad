"""A TCP proxy that does to connections what networks do: delay, loss, little bandwidth, cuts, silence.

    async with faulty_proxy("127.0.0.1:7600", seed=1) as net:
        net.up.delay = 0.05           # seconds, each way has its own `Way`
        net.up.cut_after = 10_000     # the next connection breaks in the middle of a message
        net.stall()                   # both ways stand still, connections stay: a cable pulled out
        net.heal()                    # it is put in again: what was under way arrives
        net.cut()                     # every connection is reset

Loss is what TCP makes of it: the bytes come, in order, one retransmission timeout later, and all behind them wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

READ_BYTES = 4096
UNDER_WAY_BYTES = 1 << 18
"""What a way holds of one connection at most; beyond it the sender has to wait, as with a full pipe."""
RETRANSMISSION_SECONDS = 0.2


@dataclass
class Way:
    """One direction. All of it may be changed at any time and counts from the next read on."""

    delay: float = 0.0
    """Seconds that every byte is under way."""
    jitter: float = 0.0
    """Up to so many seconds more, drawn for each read; the order stays."""
    loss: float = 0.0
    """Share of reads that arrive a retransmission later."""
    rate: float = 0.0
    """Bytes a second over all connections; 0 for as many as there are."""
    cut_after: int | None = None
    """Bytes after which the connection that carries them is reset, once."""
    carried: int = 0
    """Bytes that have gone through."""
    _free: float = 0.0


class _Pair:
    """One connection of a client and the proxy's own to the target."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.deaf = False
        """Half open: the target's side is gone, what the client sends is lost, and nobody tells it."""

    def reset(self) -> None:
        for writer in (self.near, self.far):
            sock = writer.get_extra_info("socket")
            if sock is not None and not writer.transport.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
            writer.transport.abort()


class FaultyProxy:
    """Made by `faulty_proxy`. One event loop; every method takes effect at once."""

    def __init__(self, target: str, seed: int) -> None:
        self.target = target
        self.address = ""
        self.up, self.down = Way(), Way()
        self.counts: Counter[str] = Counter()
        """connections, refused, cuts, half_open: what has happened."""
        self.refusing = False
        """New connections are reset."""
        self._random = random.Random(seed)
        self._pairs: set[_Pair] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def connections(self) -> int:
        """Connections that live now."""
        return len(self._pairs)

    def cut(self) -> int:
        """Resets every connection; how many there were."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()
        self.counts["cuts"] += len(pairs)
        return len(pairs)

    def stall(self) -> None:
        """Nothing arrives any more in either direction, and nothing is refused."""
        self._flowing.clear()

    def heal(self) -> None:
        """Ends `stall`; what stood still goes on. Connections that were half open are reset at last."""
        self._flowing.set()
        for pair in list(self._pairs):
            if pair.deaf:
                pair.reset()

    def half_open(self) -> int:
        """The target loses every connection, the clients are told nothing and go on talking; how many there were."""
        pairs = [pair for pair in self._pairs if not pair.deaf]
        for pair in pairs:
            pair.deaf = True
            pair.far.transport.abort()
        self.counts["half_open"] += len(pairs)
        return len(pairs)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.target.rsplit(":", 1)
        try:
            await self._flowing.wait()
            if self.refusing:
                raise ConnectionRefusedError
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:
            self.counts["refused"] += 1
            writer.transport.abort()
            return
        pair = _Pair(writer, back)
        self._pairs.add(pair)
        self.counts["connections"] += 1
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(pair, reader, back, self.up))
                group.create_task(self._carry(pair, there, writer, self.down))
        except* (OSError, EOFError):
            pass
        finally:
            pair.reset()
            self._pairs.discard(pair)

    async def _carry(self, pair: _Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way) -> None:
        """One direction of one connection: read, keep for as long as the way takes, write."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY_BYTES // READ_BYTES)

        async def deliver() -> None:
            while True:
                due, data = await under_way.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await self._flowing.wait()
                if not pair.deaf:
                    way.carried += len(data)
                    sink.write(data)
                    await sink.drain()
                under_way.task_done()

        async def or_failed(step: Coroutine[Any, Any, None]) -> None:
            """Waits for the step unless nothing is delivered any more."""
            waiting = asyncio.ensure_future(step)
            try:
                await asyncio.wait({waiting, delivering}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            if delivering.done():
                delivering.result()

        delivering = asyncio.create_task(deliver())
        try:
            while data := await source.read(READ_BYTES):
                kept = self._shorten(way, data)
                now = loop.time()
                due = now + way.delay + self._random.random() * way.jitter
                if way.loss and self._random.random() < way.loss:
                    due += RETRANSMISSION_SECONDS
                if way.rate:
                    way._free = max(way._free, now) + len(kept) / way.rate
                    due = max(due, way._free + way.delay)
                await or_failed(under_way.put((due, kept)))
                if len(kept) < len(data):
                    await or_failed(under_way.join())
                    self.counts["cuts"] += 1
                    raise ConnectionResetError
            await or_failed(under_way.join())
            raise EOFError
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)
            while pair.deaf and not pair.near.transport.is_closing():
                await asyncio.sleep(0.05)

    def _shorten(self, way: Way, data: bytes) -> bytes:
        """What of a read still goes through when the connection is to break in the middle of it."""
        if way.cut_after is None:
            return data
        kept = data[: way.cut_after]
        way.cut_after = None if len(kept) < len(data) else way.cut_after - len(kept)
        return kept


@contextlib.asynccontextmanager
async def faulty_proxy(target: str, *, seed: int = 0) -> AsyncIterator[FaultyProxy]:
    """A proxy on a free port of loopback in front of `target` (host:port)."""
    proxy = FaultyProxy(target, seed)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.heal()
        proxy.cut()
        await asyncio.sleep(0)
