"""Clients that do not give up: whatever breaks, they ask again, and know in the end what became of every job."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fleet import Fleet
from workload import Work

from hybrid_prover import ClientError, JobFailedError, JobResult, ProverClient
from prover_core.types import Digest

PATIENT = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
"""Codes after which a client of ours comes again: the edge is away, slow or full."""
PAUSE_SECONDS = 0.2


@dataclass
class Record:
    """One job as its client saw it."""

    work: Work
    edge: int
    """Which edge it was given to."""
    job_id: Digest | None = None
    outcome: str = ""
    """`done`, `failed`, or empty while nothing is known."""
    code: str = ""
    reason: str = ""
    result: JobResult | None = None
    wrong: list[str] = field(default_factory=list)


@dataclass
class Clients:
    """`run` as many at a time as wanted, until told to stop; each waits for its job before it submits the next."""

    fleet: Fleet
    stream: Iterator[Work]
    records: list[Record] = field(default_factory=list)
    retries: Counter[str] = field(default_factory=Counter)
    """Failed calls that were repeated, by code."""
    stopping: bool = False
    """No new jobs are begun."""

    async def run(self, number: int) -> None:
        """One client, of an edge that its number chooses."""
        edge = number % len(self.fleet.edge_targets)
        while not self.stopping:
            record = Record(next(self.stream), edge)
            self.records.append(record)
            await self._see_through(record)

    async def _see_through(self, record: Record) -> None:
        while not record.outcome:
            try:
                async with self.fleet.client(self.fleet.edge_targets[record.edge]) as client:
                    await self._try(client, record)
            except ClientError as e:
                self.retries[e.code] += 1
                if e.code not in PATIENT:
                    record.wrong.append(f"a call ended with {e.code}: {e}")
                await asyncio.sleep(e.retry_after or PAUSE_SECONDS)

    async def _try(self, client: ProverClient, record: Record) -> None:
        work = record.work
        handle = await client.submit(work.segments, placement=work.placement, links=work.links, name=work.name)
        if record.job_id is not None and handle.id != record.job_id:
            record.wrong.append(f"submitted again it was {handle.id}, not {record.job_id}")
        record.job_id = handle.id
        try:
            record.result = await handle.result(timeout=60)
            record.outcome = "done"
        except JobFailedError as e:
            record.outcome, record.code, record.reason = "failed", e.code, str(e)

    @property
    def unfinished(self) -> int:
        return sum(not r.outcome for r in self.records)
