"""How much one client may have in a daemon: the limits and the arithmetic. No I/O; the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SECOND: Final = 1_000_000_000
GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Quota:
    """What one client may have at one daemon."""

    jobs: int = 128
    """Unfinished jobs."""
    segments: int = 4096
    """Unfinished segments of all its jobs."""
    backlog_bytes: int = 32 * GIB
    """Disk that the witnesses of its unfinished segments may need."""
    submissions_per_minute: int = 600
    """Submissions, of which so many may come at once."""
    artifact_bytes_per_hour: int = 64 * GIB
    """Bytes of artifacts it may bring, of which so many may come at once."""
    uploads: int = 4
    """Artifacts it may be sending, and circuits it may be registering, at the same time."""
    watchers: int = 64
    """Jobs that it may watch at the same time."""
    weight: float = 1.0
    """How much of the provers it gets for each unit that a client of weight 1 gets, where both have work."""


HUGE: Final = 1 << 62
UNLIMITED: Final = Quota(
    jobs=HUGE,
    segments=HUGE,
    backlog_bytes=HUGE,
    submissions_per_minute=HUGE,
    artifact_bytes_per_hour=HUGE,
    uploads=HUGE,
    watchers=HUGE,
)
"""Of everybody on this machine, where there are no tokens that tell clients apart, and of edges and workers."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a client has now, or would add."""

    jobs: int = 0
    segments: int = 0
    backlog_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A limit that a request would go beyond."""

    limit: str
    """The limit's name, as in the table or the settings."""
    client: str
    """Whose it is; empty for the daemon's own."""
    used: int
    wanted: int
    most: int
    retry_after: int = 0
    """Nanoseconds until it may be worth trying again; 0 if that is not known."""

    @property
    def message(self) -> str:
        """For people."""
        whose = f"client {self.client}" if self.client else "all clients together"
        name = self.limit.replace("_", " ")
        more = f", and {self.wanted} more would exceed {self.most}" if self.wanted else f" of at most {self.most}"
        return f"{name}: {whose} has {self.used}{more}"

    @property
    def reason(self) -> str:
        """For programs."""
        return f"QUOTA_{self.limit.upper()}" if self.client else f"LIMIT_{self.limit.upper()}"


def exceeded(quota: Quota, client: str, used: Usage, wanted: Usage) -> Exceeded | None:
    """The first limit that `wanted` would break, without a retry-after."""
    for name in ("jobs", "segments", "backlog_bytes"):
        have, more, most = getattr(used, name), getattr(wanted, name), getattr(quota, name)
        if have + more > most:
            return Exceeded(name, client, have, more, most)
    return None


class TokenBucket:
    """`most` at once, filled again evenly within `period` nanoseconds."""

    __slots__ = ("_filled", "_level", "_most", "_period")

    def __init__(self, most: int, period: int, now: int) -> None:
        self._level, self._most, self._period, self._filled = float(most), most, period, now

    def level(self, now: int) -> float:
        """What is there; below 0 after more was taken than it ever holds."""
        return min(float(self._most), self._level + self._most * max(0, now - self._filled) / self._period)

    def take(self, amount: int, most: int, now: int) -> int:
        """0 if `amount` was taken; else the nanoseconds until it would be there, and nothing is taken.

        An amount above `most` is taken from a full bucket, which then owes it.
        """
        self._level, self._filled, self._most = self.level(now), max(now, self._filled), most
        missing = min(amount, most) - min(self._level, float(most))
        if missing > 0:
            return max(1, int(missing * self._period / most))
        self._level -= amount
        return 0

    def full(self, now: int) -> bool:
        """Whether it is as good as new."""
        return self.level(now) >= self._most


class Buckets:
    """Token buckets by client; those that are full again are let go."""

    def __init__(self, period: int) -> None:
        self._period = period
        self._buckets: dict[str, TokenBucket] = {}
        self._limit = 256

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, amount: int, most: int, now: int) -> int:
        """As `TokenBucket.take`."""
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = TokenBucket(most, self._period, now)
        wait = bucket.take(amount, most, now)
        if len(self._buckets) > self._limit:
            self._buckets = {c: b for c, b in self._buckets.items() if not b.full(now)}
            self._limit = max(256, 2 * len(self._buckets))
        return wait


@dataclass
class Slots:
    """Things that clients have open: at most so many each, and so many together."""

    total: int = 0
    by_client: dict[str, int] = field(default_factory=dict)

    def take(self, name: str, client: str, each: int, together: int) -> Exceeded | None:
        """Takes one, or says which limit forbids it; `give` it back afterwards."""
        if self.total >= together:
            return Exceeded(name, "", self.total, 0, together, SECOND)
        mine = self.by_client.get(client, 0)
        if mine >= each:
            return Exceeded(name, client, mine, 0, each, SECOND)
        self.total += 1
        self.by_client[client] = mine + 1
        return None

    def give(self, client: str) -> None:
        """One that was taken is free again."""
        self.total -= 1
        self.by_client[client] -= 1
        if not self.by_client[client]:
            del self.by_client[client]
