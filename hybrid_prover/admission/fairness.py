"""Whose turn it is: clients by start-time fair queueing, within a client by priority. Sans I/O, deterministic.

Every client has a tag, the virtual time at which its next piece of work would begin. The client with the lowest tag is
served; serving w units of work moves its tag by w / weight. The clock is the tag of what was served last, and a client
that had nothing to do begins at the clock: it is served before everybody who has just been, and saves up nothing while
it idles. So a client that comes waits for what is being worked at, and for one piece of each client that came at the
same moment; however much the others have queued does not matter. (Goyal, Vin, Cheng: Start-time Fair Queuing, 1996.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

MANY_TAGS = 256
"""Tags kept. Beyond it the clock goes to their middle, and the half behind it begins anew when it comes back."""


class Priority(IntEnum):
    """`hybrid_prover.v1.Priority`. LOW to HIGH order the jobs of one client; URGENT goes ahead of all clients."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
    URGENT = 4


@dataclass(frozen=True, slots=True)
class Share:
    """Whose work something is, and how that client ranks it among its own."""

    client: str = ""
    priority: Priority = Priority.NORMAL

    @property
    def urgent(self) -> bool:
        """Whether it goes ahead of all clients."""
        return self.priority is Priority.URGENT


def one(_client: str) -> float:
    """The weight of every client, where none are given."""
    return 1.0


class FairShare:
    """The tags of all clients that were served of late. Not thread-safe. Each call O(1), but for letting go of tags."""

    def __init__(self, weight: Callable[[str], float] = one) -> None:
        """`weight` of a client: how much it is served for each unit that a client of weight 1 is; above 0."""
        self._weight = weight
        self._clock = 0.0
        self._tags: dict[str, float] = {}
        self._served: dict[str, int] = {}
        self._count = 0

    def rank(self, client: str) -> tuple[float, int]:
        """The lowest is next; among equal tags the client that was served longest ago."""
        return max(self._tags.get(client, 0.0), self._clock), self._served.get(client, -1)

    def charge(self, client: str, work: float) -> None:
        """The client is being served `work` units (wires, bytes)."""
        start = self.rank(client)[0]
        self._clock = start
        self._count += 1
        self._tags[client] = start + max(work, 0.0) / self._weight(client)
        self._served[client] = self._count
        if len(self._tags) > MANY_TAGS:
            self._clock = max(self._clock, sorted(self._tags.values())[MANY_TAGS // 2])
            self._tags = {c: tag for c, tag in self._tags.items() if tag > self._clock}
            self._served = {c: self._served[c] for c in self._tags}


class Turns:
    """The jobs that take steps, in the order in which they may take the next one. Not thread-safe.

    Urgent jobs first; then clients by fair share; within a client by priority; jobs of one priority in turn.
    """

    def __init__(self, fair: FairShare) -> None:
        self._fair = fair
        self._shares: dict[bytes, Share] = {}
        self._rings: dict[str, dict[Priority, deque[bytes]]] = {}

    def __len__(self) -> int:
        return len(self._shares)

    def put(self, job_id: bytes, share: Share) -> None:
        """Adds a job behind those like it; moves it if it is there with another share. O(jobs like it) to move."""
        if self._shares.get(job_id) != share:
            self.remove(job_id)
            self._shares[job_id] = share
            self._rings.setdefault(share.client, {}).setdefault(share.priority, deque()).append(job_id)

    def remove(self, job_id: bytes) -> None:
        """Forgets a job; nothing if it is not there. O(jobs like it)."""
        share = self._shares.pop(job_id, None)
        if share is not None:
            rings = self._rings[share.client]
            rings[share.priority].remove(job_id)
            if not rings[share.priority]:
                del rings[share.priority]
            if not rings:
                del self._rings[share.client]

    def share(self, job_id: bytes) -> Share:
        """Of a job that is there."""
        return self._shares[job_id]

    def order(self) -> Iterator[bytes]:
        """Every job, the one to take the next step first; nothing may be changed while it is read."""
        clients = sorted(self._rings, key=self._fair.rank)
        for client in clients:
            yield from self._rings[client].get(Priority.URGENT, ())
        for client in clients:
            rings = self._rings[client]
            for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW):
                yield from rings.get(priority, ())

    def took(self, job_id: bytes, work: float) -> None:
        """The job takes a step of `work` units: its client is charged, and the jobs like it come before it now."""
        share = self._shares[job_id]
        self._fair.charge(share.client, work)
        ring = self._rings[share.client][share.priority]
        if ring[0] == job_id:
            ring.rotate(-1)
        elif ring[-1] != job_id:
            ring.remove(job_id)
            ring.append(job_id)


def most_urgent(priorities: Iterable[Priority]) -> Priority:
    """What several submissions of the same job amount to."""
    return max(priorities, default=Priority.NORMAL)


def latest_deadline(*deadlines: int) -> int:
    """Unix nanoseconds; 0, which is none, is later than all: nobody's job ends by the impatience of another."""
    return 0 if 0 in deadlines else max(deadlines, default=0)
