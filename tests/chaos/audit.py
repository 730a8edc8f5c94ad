"""The reckoning: every job, wherever it can be asked for, against what its client knows and what mathematics says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from clients import Record
from fleet import Fleet
from workload import Made

from hybrid_prover import ClientError, JobFailedError, JobResult, JobState, NotFoundError, Placement, ProverClient
from prover_core.backend import Backend, select
from prover_core.errors import VerificationError
from prover_core.groth16 import verify

SETTLE_SECONDS = 60.0
AT_ONCE = 8
"""Jobs that are asked for at the same time."""
REFERENCE_SAMPLE = 3
"""Proofs verified a second time, in plain Python integers by code that shares nothing with the native engine."""
AGAIN_SAMPLE = 12
"""Finished jobs that are submitted a second time, here and at the other edge."""
POISON_CODES = ("FAILED_PRECONDITION",)


@dataclass
class Audit:
    """`run`, then read."""

    fleet: Fleet
    circuits: Mapping[str, Made]
    records: Sequence[Record]
    backend: Backend
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Everything that needs the daemons alive. Needs them undisturbed."""
        self._clients_view()
        fleet, turns = self.fleet, asyncio.Semaphore(AT_ONCE)
        async with AsyncExitStack() as stack:
            targets = (fleet.cloud_clients, *fleet.edge_targets)
            cloud, *edges = [await stack.enter_async_context(fleet.client(target, timeout=30)) for target in targets]

            async def in_turn(record: Record) -> None:
                async with turns:
                    await self._everywhere(edges[record.edge], cloud, record)

            await asyncio.gather(*(in_turn(record) for record in self.records if record.job_id is not None))
            await self._nothing_else(cloud)
        self._mathematics()
        await self._submitted_again()

    def _clients_view(self) -> None:
        ids: dict[str, str] = {}
        for record in self.records:
            work, name = record.work, record.work.name
            self.wrong += [f"{name}: {text}" for text in record.wrong]
            if not record.outcome:
                self.wrong.append(f"{name}: no end, job {record.job_id}")
                continue
            self.counts[f"jobs {work.placement.name.lower()}"] += 1
            if (other := ids.setdefault(str(record.job_id), name)) != name:
                self.wrong.append(f"{name} and {other} are one job: {record.job_id}")
            if work.poison:
                self.counts["poison failed as it should"] += 1
                if record.outcome != "failed" or record.code not in POISON_CODES or work.poison not in record.reason:
                    self.wrong.append(f"{name}: poison ended {record.outcome} {record.code}: {record.reason}")
            elif record.outcome != "done":
                self.wrong.append(f"{name}: failed with {record.code}: {record.reason}")

    async def _everywhere(self, edge: ProverClient, cloud: ProverClient, record: Record) -> None:
        """Edge and cloud have one and the same end of the job."""
        name, job_id = record.work.name, record.job_id
        assert job_id is not None
        wanted = JobState.DONE if record.outcome == "done" else JobState.FAILED
        for place, client in (("edge", edge), ("cloud", cloud)):
            try:
                job = await client.job(job_id).wait(timeout=SETTLE_SECONDS)
                if job.state is not wanted:
                    self.wrong.append(f"{name}: {job.state.name} at the {place}, {record.outcome} for its client")
                if wanted is JobState.DONE:
                    result = await client.job(job_id).result()
                    self.counts["results compared"] += 1
                    if not same(result, record.result):
                        self.wrong.append(f"{name}: another result at the {place}")
            except NotFoundError as e:
                # A job that failed before the cloud heard of it never comes there.
                if place == "edge" or wanted is JobState.DONE:
                    self.wrong.append(f"{name}: lost at the {place}: {e}")
                else:
                    self.counts["poison that the cloud never saw"] += 1
            except (ClientError, JobFailedError) as e:
                self.wrong.append(f"{name}: the {place} says {type(e).__name__} {e.code}: {e}")

    async def _nothing_else(self, cloud: ProverClient) -> None:
        known = {record.job_id for record in self.records}
        extra = [job.id for job in await cloud.jobs(limit=1000) if job.id not in known]
        self.wrong += [f"the cloud has a job that nobody submitted: {job_id}" for job_id in extra]

    def _mathematics(self) -> None:
        """All proofs by the native engine, the smallest few by the reference one."""
        reference, left = select("reference").backend, REFERENCE_SAMPLE
        for record in self.records:
            leaves = record.result.leaves if record.result is not None else ()
            if record.result is not None and len(leaves) != len(record.work.segments):
                self.wrong.append(f"{record.work.name}: {len(leaves)} proofs")
            for leaf, circuit, publics in zip(leaves, record.work.circuits, record.work.publics, strict=False):
                if leaf.public_signals != publics:
                    self.wrong.append(f"{record.work.name}: public signals {leaf.public_signals}, not {publics}")
                engines = [self.backend, reference] if left > 0 else [self.backend]
                left -= 1
                for engine in engines:
                    try:
                        key = self.circuits[circuit].key.verification_key
                        verify(key, leaf.proof, list(leaf.public_signals), engine)
                        self.counts[f"proofs verified ({engine.name})"] += 1
                    except VerificationError as e:
                        self.wrong.append(f"{record.work.name}: a proof does not verify: {e}")

    async def _submitted_again(self) -> None:
        """The same content is the same job with the same proofs, also at an edge that has never seen it."""
        done = [r for r in self.records if r.outcome == "done"][-AGAIN_SAMPLE:]
        await asyncio.gather(*(self._again(r, r.edge) for r in done))
        elsewhere = [r for r in done if r.work.placement is not Placement.PRIVATE]
        await asyncio.gather(*(self._again(r, r.edge + 1) for r in elsewhere))

    async def _again(self, record: Record, edge: int) -> None:
        work, fleet = record.work, self.fleet
        try:
            async with fleet.client(fleet.edge_targets[edge % len(fleet.edge_targets)], timeout=30) as client:
                handle = await client.submit(work.segments, placement=work.placement, links=work.links, name=work.name)
                result = await handle.result(timeout=SETTLE_SECONDS)
        except ClientError as e:
            self.wrong.append(f"{work.name}: submitted again: {e.code} {e}")
            return
        self.counts["submitted again"] += 1
        if handle.id != record.job_id or (edge == record.edge and handle.created) or not same(result, record.result):
            self.wrong.append(f"{work.name}: submitted again it is another job, or has another result")


def same(one: JobResult, other: JobResult | None) -> bool:
    """The same proofs, byte for byte, of the same statements."""
    return other is not None and [
        (leaf.circuit, leaf.proof.to_bytes(), leaf.public_signals) for leaf in one.leaves
    ] == [(leaf.circuit, leaf.proof.to_bytes(), leaf.public_signals) for leaf in other.leaves]
