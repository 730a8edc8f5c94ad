"""The leases that a worker holds: chunks that have come and wait, and the result until the cloud has it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hybrid_prover.v1 import worker_pb2

from ..chunklog import Record, parse_record
from ..model import CircuitInfo, SegmentKey


class FedChunks:
    """The chunks of one lease, put in by the connection and taken out by a prover's thread; each is read once.

    `on_taken(chunks, bytes)` is called in that thread with what was taken in all. The cloud bounds what waits here.
    """

    def __init__(self, on_taken: Callable[[int, int], None]) -> None:
        self._on_taken = on_taken
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._chunks = 0
        self._bytes = 0

    def put(self, record: bytes) -> None:
        """One more chunk."""
        with self._lock:
            self._waiting.append(record)

    def next(self) -> Record | None:
        """The next chunk; None if it has not come or is not one."""
        with self._lock:
            if not self._waiting:
                return None
            raw = self._waiting.popleft()
            self._chunks += 1
            self._bytes += len(raw)
            taken = self._chunks, self._bytes
        self._on_taken(*taken)
        return parse_record(raw)

    def close(self) -> None:
        """Forgets what waits."""
        with self._lock:
            self._waiting.clear()


@dataclass(slots=True, eq=False)
class Held:
    """One lease."""

    key: SegmentKey
    token: int
    circuit: CircuitInfo
    chunks: FedChunks
    seed: bytes = b""
    """Blinds the proof; empty from a cloud that leaves it to the worker."""
    received: int = 0
    complete: bool = False
    ready: bool = False
    """The proving key is here."""
    taken_before: int = 0
    """Record bytes taken on earlier connections: what is told of counts from the present one."""
    taken: tuple[int, int] = (0, 0)
    """(chunks, record bytes) taken."""
    result: worker_pb2.WorkRequest | None = None
    """What the cloud is to hear at the end, kept until it says that the lease is over."""
    wrong_partials: tuple[int, ...] = ()
    ref: worker_pb2.LeaseRef = field(default_factory=worker_pb2.LeaseRef)
