"""What clients hold open at a daemon (uploads, watched jobs, circuits being read): bounded for each and for all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

from .quotas import SECOND, Buckets, Exceeded, Slots
from .table import QuotaTable

UPLOADS: Final = 16
"""Artifacts that all clients together may be sending at the same time."""
ASSEMBLIES: Final = 1024
"""Unfinished assemblies of ended jobs, of all clients together."""
REGISTRATIONS: Final = 16
"""Circuits that may be being read or waiting for that."""


class Doors:
    """One for each daemon, on its event loop."""

    def __init__(
        self, quotas: QuotaTable, watchers: int, clock: Callable[[], int], refuse: Callable[[Exceeded], NoReturn]
    ) -> None:
        """`watchers`: of all clients together; `clock`: nanoseconds; `refuse` raises what the services raise."""
        self._quotas = quotas
        self._most_watchers = watchers
        self._clock = clock
        self._refuse = refuse
        self._bytes = Buckets(3600 * SECOND)
        self._watchers, self._uploads, self._registrations = Slots(), Slots(), Slots()

    @contextlib.contextmanager
    def upload(self, client: str, size: int) -> Iterator[None]:
        """An artifact of so many bytes, which is not too large, is being received."""
        quota = self._quotas.of(client)
        with self._held(self._uploads, "uploads", client, quota.uploads, UPLOADS):
            most = quota.artifact_bytes_per_hour
            if wait := self._bytes.take(client, size, most, self._clock()):
                self._refuse(Exceeded("artifact_bytes_per_hour", client, most, size, most, wait))
            yield

    def watcher(self, client: str) -> contextlib.AbstractContextManager[None]:
        """Something is being watched."""
        return self._held(self._watchers, "watchers", client, self._quotas.of(client).watchers, self._most_watchers)

    def registration(self, client: str) -> contextlib.AbstractContextManager[None]:
        """A circuit's artifacts are being read, or wait for that."""
        each = self._quotas.of(client).uploads
        return self._held(self._registrations, "registrations", client, each, REGISTRATIONS)

    def assembly(self, client: str, mine: int, everybodys: int) -> None:
        """One more assembly of ended jobs, beside so many unfinished ones; they count like jobs."""
        each = self._quotas.of(client).jobs
        for used, most, whose in ((everybodys, ASSEMBLIES, ""), (mine, each, client)):
            if used >= most:
                self._refuse(Exceeded("assemblies", whose, used, 1, most, 10 * SECOND))

    @contextlib.contextmanager
    def _held(self, slots: Slots, name: str, client: str, each: int, together: int) -> Iterator[None]:
        over = slots.take(name, client, each, together)
        if over is not None:
            self._refuse(over)
        try:
            yield
        finally:
            slots.give(client)
