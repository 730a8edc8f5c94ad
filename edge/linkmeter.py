"""What the uplink carries, measured from sends and acks. Pure: the time comes in as an argument.

A sample is taken at each ack, as congestion controls of the BBR family do: the bytes acked between a chunk's sending
and its ack, over that time. A sample is low where the uplink had less to do than it can; the rate is the largest of the
last few, so that a slack moment does not make the uplink look slow. The way there and back is what the ack of a chunk
that met an idle uplink took, less its own time on it: behind others it would hold theirs too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .model import SegmentKey

SAMPLES = 8
"""Acks whose samples count: an uplink that has become slower is believed after so many."""


@dataclass(frozen=True, slots=True)
class _Sent:
    sequence: int
    size: int
    at: int
    delivered: int
    """Bytes acked in all when it was sent."""
    alone: bool
    """Nothing else was in flight."""


class LinkMeter:
    """Payload bytes in flight, and how fast they arrive. One connection at a time; what was learnt outlives it."""

    def __init__(self) -> None:
        self.in_flight = 0
        """Bytes sent and neither acked nor given up."""
        self._alone = (0, 0)
        self._delivered = 0
        self._sent: dict[SegmentKey, deque[_Sent]] = {}
        self._rates: deque[float] = deque(maxlen=SAMPLES)

    @property
    def rate(self) -> float | None:
        """Payload bytes a second; None before the first ack."""
        return max(self._rates, default=None)

    @property
    def trip(self) -> int:
        """Nanoseconds from a chunk's last byte on the uplink to its ack, the cloud's disk included; 0 if not known."""
        taken, size = self._alone
        return max(0, taken - int(size * 1e9 / self.rate)) if self.rate else 0

    @property
    def largest(self) -> int:
        """Bytes of the largest chunk in flight; O(chunks in flight)."""
        return max((c.size for queue in self._sent.values() for c in queue), default=0)

    def sent(self, key: SegmentKey, sequence: int, size: int, now: int) -> None:
        """A chunk was handed to the transport."""
        self._sent.setdefault(key, deque()).append(_Sent(sequence, size, now, self._delivered, not self.in_flight))
        self.in_flight += size

    def acked(self, key: SegmentKey, next_sequence: int, now: int) -> None:
        """All chunks of the segment before `next_sequence` are durable at the cloud."""
        queue = self._sent.get(key, deque())
        last = None
        while queue and queue[0].sequence < next_sequence:
            last = queue.popleft()
            self._delivered += last.size
            self.in_flight -= last.size
            if last.alone:
                self._alone = (now - last.at, last.size)
        if not queue:
            self._sent.pop(key, None)
        if last is not None and now > last.at:
            self._rates.append((self._delivered - last.delivered) * 1e9 / (now - last.at))

    def forget(self, key: SegmentKey, first: int = 0) -> None:
        """Chunks from sequence number `first` on are not waited for any more: sent again, or not wanted."""
        queue = self._sent.pop(key, None)
        if queue is None:
            return
        kept = deque(c for c in queue if c.sequence < first)
        self.in_flight -= sum(c.size for c in queue) - sum(c.size for c in kept)
        if kept:
            self._sent[key] = kept

    def reset(self) -> None:
        """A connection began or ended."""
        self._sent.clear()
        self.in_flight = 0
