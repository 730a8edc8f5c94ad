"""How much one client may have in a daemon: the limits, the table they come from, and the arithmetic. Time is given.

The table is a TOML file; what it leaves out has the value below. `default` is every client that is not named.

    [default]
    jobs = 64
    [client.alice]
    jobs = 500
    weight = 4.0
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from hybrid_prover.security.principal import LOCAL, is_client_name
from prover_core.errors import FormatError, InvalidInputError, ProverError

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
    """Artifacts it may be sending at the same time."""
    watchers: int = 64
    """Jobs that it may watch at the same time."""
    weight: float = 1.0
    """How much of the provers it gets for each unit that a client of weight 1 gets, where both have work."""


_HUGE: Final = 1 << 62
UNLIMITED: Final = Quota(
    jobs=_HUGE,
    segments=_HUGE,
    backlog_bytes=_HUGE,
    submissions_per_minute=_HUGE,
    artifact_bytes_per_hour=_HUGE,
    uploads=_HUGE,
    watchers=_HUGE,
)
"""Of everybody on this machine, where there are no tokens that tell clients apart."""


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


class QuotaTable:
    """The limits of all clients; looks at the file again whenever that has changed."""

    def __init__(self, path: Path | None = None) -> None:
        """`InvalidInputError` or `FormatError` (field `quotas`) if the file cannot serve."""
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._named: Mapping[str, Quota] = {LOCAL.client: UNLIMITED}
        self._default = Quota()
        self.trouble = ""
        """Why the file's last change was not taken; the limits before it go on. Empty if all is well."""
        if path is not None:
            self._stamp = self._look()
            if self._stamp is None:
                raise InvalidInputError(f"the table of quotas {path} does not exist", field="quotas")
            self._read(path)

    def of(self, client: str) -> Quota:
        """The limits of a client; those of nobody in particular for the empty name. One `stat`."""
        if self._path is not None and (stamp := self._look()) != self._stamp:
            self._stamp, self.trouble = stamp, ""
            try:
                self._read(self._path)
            except (OSError, ProverError) as e:
                self.trouble = str(e)
        return self._named.get(client, self._default)

    def weight(self, client: str) -> float:
        """A client's weight as of the last look at the file."""
        return self._named.get(client, self._default).weight

    def _read(self, path: Path) -> None:
        self._default, self._named = read_table(path.read_text(), str(path))

    def _look(self) -> tuple[int, int, int] | None:
        assert self._path is not None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def read_table(text: str, name: str = "quotas") -> tuple[Quota, dict[str, Quota]]:
    """(everybody's limits, those of named clients). `FormatError` names the table and the key that is wrong."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise FormatError(f"{name}: {e}", field="quotas") from None
    if unknown := sorted(content.keys() - {"default", "client"}):
        raise FormatError(f"{name}: [{unknown[0]}] is neither [default] nor [client.NAME]", field="quotas")
    default = _quota(Quota(), content.get("default", {}), f"{name}: [default]")
    clients = content.get("client", {})
    if not isinstance(clients, dict):
        raise FormatError(f"{name}: client is not a table of clients", field="quotas")
    named = {LOCAL.client: UNLIMITED}
    for client, values in clients.items():
        if not is_client_name(client):
            raise FormatError(f"{name}: {client!r} is not the name of a client", field="quotas")
        named[client] = _quota(named.get(client, default), values, f"{name}: [client.{client}]")
    return default, named


def _quota(base: Quota, values: Any, where: str) -> Quota:
    if not isinstance(values, dict):
        raise FormatError(f"{where} is not a table", field="quotas")
    known = {f.name for f in fields(Quota)}
    for key, value in values.items():
        if key not in known:
            raise FormatError(f"{where}: {key} is not one of {', '.join(sorted(known))}", field="quotas")
        least = 0.001 if key == "weight" else 1
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (key == "weight" and isinstance(value, float))) or not least <= value <= _HUGE:
            raise FormatError(f"{where}: {key} = {value!r} is not a number of at least {least}", field="quotas")
    return replace(base, **values)
