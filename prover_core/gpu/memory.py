"""Device memory: what stays resident between calls (least recently used goes first), and scratch that a lane reuses."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendError
from .device import Device, DeviceMemoryError, Memory, Stream


@dataclass(slots=True, eq=False)
class _Entry:
    memory: Memory
    array: weakref.ref[npt.NDArray[Any]]
    users: int = 0
    dropped: bool = False


class Residents:
    """Copies of host arrays on the device, each uploaded once and kept while there is room.

    An array is known by its identity, and must not change while it lives. Arrays in use are never evicted; those whose
    host array is gone are freed. Thread-safe. All device memory is allocated here, so that residents make room.
    """

    def __init__(self, device: Device, budget: int) -> None:
        """`budget`: bytes of residents above which unused ones are evicted, oldest use first."""
        self._device = device
        self._budget = budget
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._dead: deque[int] = deque()
        self._lock = threading.RLock()
        self.uploads = 0
        self.evictions = 0

    @property
    def nbytes(self) -> int:
        """Bytes resident now."""
        with self._lock:
            return sum(entry.memory.nbytes for entry in self._entries.values())

    def alloc(self, nbytes: int) -> Memory:
        """Evicts unused residents until there is room; `DeviceMemoryError` if that does not help."""
        with self._lock:
            self._bury()
            while True:
                try:
                    return self._device.alloc(max(nbytes, 1))
                except DeviceMemoryError:
                    if not self._evict_one():
                        raise

    def acquire(self, array: npt.NDArray[Any], stream: Stream) -> Lease:
        """The array's place on the device, kept until the lease is released; uploads it if it is not there."""
        with self._lock:
            self._bury()
            entry = self._entries.get(id(array))
            if entry is None:
                memory = self.alloc(array.nbytes)
                try:
                    stream.upload(memory.address, array)
                    stream.synchronize()  # other streams may use it from here on
                except BaseException:
                    memory.free()
                    raise
                key, dead = id(array), self._dead
                # Called wherever the array happens to die, also amid our own work: only notes the fact.
                entry = _Entry(memory, weakref.ref(array, lambda _: dead.append(key)))
                self._entries[key] = entry
                self.uploads += 1
            self._entries.move_to_end(id(array))
            entry.users += 1
            while self.nbytes > self._budget and self._evict_one():
                pass
            return Lease(self, entry)

    def _release(self, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            if entry.dropped and entry.users == 0:
                entry.memory.free()

    def _bury(self) -> None:
        while self._dead:
            entry = self._entries.pop(self._dead.popleft(), None)
            if entry is not None:
                entry.dropped = True
                if entry.users == 0:
                    entry.memory.free()

    def _evict_one(self) -> bool:
        for key, entry in self._entries.items():
            if entry.users == 0:
                del self._entries[key]
                entry.memory.free()
                self.evictions += 1
                return True
        return False


class Lease:
    """A resident in use. Release it when nothing submitted uses it any more."""

    def __init__(self, residents: Residents, entry: _Entry) -> None:
        self._residents = residents
        self._entry: _Entry | None = entry
        self.address = entry.memory.address

    def release(self) -> None:
        """May be called again."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self._residents._release(entry)


@dataclass(slots=True, eq=False)
class Lane:
    """A stream and the scratch memory of the work on it. Used by one thread at a time."""

    residents: Residents
    stream: Stream
    _scratch: dict[str, Memory] = field(default_factory=dict)

    def scratch(self, use: str, nbytes: int) -> int:
        """At least `nbytes` bytes, undefined, the same memory at every call for one use unless it has to grow."""
        known = self._scratch.get(use)
        if known is not None and known.nbytes >= nbytes:
            return known.address
        if known is not None:
            self.stream.synchronize()
            del self._scratch[use]
            known.free()
        memory = self.residents.alloc(nbytes)
        self._scratch[use] = memory
        return memory.address

    def clear(self) -> None:
        """Frees the scratch memory; the stream must be idle."""
        while self._scratch:
            self._scratch.popitem()[1].free()


class Lanes:
    """Lanes for all who work at once; idle ones are used again. Thread-safe."""

    def __init__(self, device: Device, residents: Residents) -> None:
        self._device = device
        self._residents = residents
        self._idle: list[Lane] = []
        self._lock = threading.Lock()

    def take(self) -> Lane:
        """An idle lane, or a new one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Lane(self._residents, self._device.stream())

    def give(self, lane: Lane) -> None:
        """Back, with nothing running on it."""
        with self._lock:
            self._idle.append(lane)

    @contextmanager
    def one(self) -> Iterator[Lane]:
        """A lane for the length of a block, at the end of which its work is done."""
        lane = self.take()
        try:
            yield lane
            lane.stream.synchronize()
        except BaseException:
            self.abandon(lane)
            raise
        self.give(lane)

    def abandon(self, lane: Lane) -> None:
        """Back after an error: its scratch is freed, unless the device no longer answers."""
        with suppress(BackendError):
            lane.stream.synchronize()
            lane.clear()
            self.give(lane)

    def trim(self) -> None:
        """Frees the scratch memory of idle lanes."""
        with self._lock:
            for lane in self._idle:
                lane.clear()


def words(values: list[int], n: int) -> npt.NDArray[np.uint32]:
    """Little-endian 32-bit words of one number after another, n words each."""
    return np.frombuffer(b"".join(v.to_bytes(4 * n, "little") for v in values), dtype="<u4")
