"""Assemblies of several ended jobs: asked for, taken up again after a restart, looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from hybrid_prover.v1 import assembly_pb2, common_pb2
from prover_core.assembly import Chain

from . import messages as m
from . import store as db
from .assembly import (
    DONE,
    FAILED,
    MAX_SEGMENTS,
    RUNNING,
    Assembly,
    assembly_id,
    assembly_view,
    broken_chain,
    members_of,
    plan,
)
from .errors import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    WireError,
    make_status,
    refuse,
)
from .model import JOB_DONE, VERIFIED, Job
from .model import RUNNING as JOB_RUNNING

if TYPE_CHECKING:
    from .aggregator import Aggregator

log = structlog.get_logger(__name__)

WATCH_SECONDS = 0.05
"""Between two views of one watcher."""


class Assemblies:
    """What an aggregator knows of assemblies. On its event loop."""

    def __init__(self, cloud: Aggregator) -> None:
        self._cloud = cloud

    async def ask(
        self, jobs: Sequence[Job], chain: Chain | None, *, skip_unproved: bool, client: str, now: int
    ) -> tuple[bytes, bool]:
        """(id, whether it is new, or goes again): one proof over the leaf proofs of these jobs, in their order.

        Durable when this returns. `WireError`: FAILED_PRECONDITION names a job that is not done, a chain that is broken
        or a wrap key that is missing, INVALID_ARGUMENT an option that does not fit the leaves.
        """
        cloud = self._cloud
        known_id = assembly_id([job.job_id for job in jobs], chain, skip_unproved=skip_unproved)
        known = await self.get(known_id)
        if known is not None and known.state in (RUNNING, DONE):
            return known_id, False
        assembly = Assembly(known_id, tuple(job.job_id for job in jobs), chain, client=client, accepted_nanos=now)
        assembly.left_out = tuple(_left_out(jobs, skip_unproved=skip_unproved))
        if known is not None:
            assembly.revision = known.revision + 1
        cloud.machine.shelf = await asyncio.to_thread(cloud.wraps.shelf)
        members = members_of(jobs, assembly.left_out)
        if not members:
            raise refuse(FAILED_PRECONDITION, "no leaf proof is verified", reason="NO_LEAVES", field="job_ids")
        if len(members) > MAX_SEGMENTS:
            text = f"{len(members)} leaf proofs; an assembly has at most {MAX_SEGMENTS}"
            raise refuse(INVALID_ARGUMENT, text, reason="LEAF_COUNT", field="job_ids")
        assembly.take(plan(members, chain, cloud.machine.shelf, "options"))
        leaves = leaves_of(assembly, jobs)
        assert assembly.work is not None
        if (error := broken_chain(assembly.work, chain, leaves)) is not None:
            raise WireError(error)
        await cloud.posted(m.AssemblyAsked(assembly, leaves))
        log.info("assembly_asked", assembly_id=known_id.hex(), jobs=len(jobs), leaves=assembly.leaves)
        return known_id, True

    async def get(self, known_id: bytes) -> Assembly | None:
        """An assembly, from memory or from the store."""
        live = self._cloud.machine.assemblies.get(known_id)
        return live if live is not None else await self._cloud.in_store(lambda store: store.load_assembly(known_id))

    async def watch(self, known_id: bytes) -> AsyncIterator[assembly_pb2.Assembly]:
        """As it is, then after every change (changes close together are told as one), until it ends."""
        with self._cloud.watching(known_id) as changed:
            while True:
                changed.clear()
                assembly = await self.get(known_id)
                if assembly is None:
                    return
                yield assembly_view(assembly)
                if assembly.state != RUNNING:
                    return
                await changed.wait()
                await asyncio.sleep(WATCH_SECONDS)

    async def cancel(self, known_id: bytes) -> Assembly | None:
        """Stops one that runs and is no job's; None if it is not known."""
        await self._cloud.posted(m.CancelAssembly(known_id))
        return await self.get(known_id)

    async def resume(self) -> None:
        """Takes up what an earlier process left unfinished, from its leaf proofs on."""
        cloud = self._cloud
        for assembly in await cloud.in_store(lambda store: store.unfinished_assemblies()):
            jobs = [await cloud.job(job_id) for job_id in assembly.job_ids]
            found = [job for job in jobs if job is not None]
            try:
                assembly.take(
                    plan(
                        members_of(found, assembly.left_out),
                        assembly.chain,
                        replace(cloud.machine.shelf, makes=True),
                        "options",
                    )
                )
                leaves = leaves_of(assembly, found)
            except WireError as e:
                assembly.state, assembly.error, assembly.ended_nanos = FAILED, e.status, assembly.accepted_nanos
                failed = db.assembly_write(assembly)
                await cloud.in_store(partial(_write, failed))
                log.error("assembly_not_resumed", assembly_id=assembly.assembly_id.hex(), error=e.status.message)
                continue
            log.info("assembly_resumed", assembly_id=assembly.assembly_id.hex(), leaves=assembly.leaves)
            await cloud.posted(m.AssemblyAsked(assembly, leaves))


def _write(write: db.Write, store: db.Store) -> None:
    store.write([write])


def _left_out(jobs: Sequence[Job], *, skip_unproved: bool) -> list[tuple[int, int]]:
    """Segments without a verified leaf proof. FAILED_PRECONDITION names the first job that may not be taken."""
    out: list[tuple[int, int]] = []
    for j, job in enumerate(jobs):
        if job.state == JOB_RUNNING or (job.state != JOB_DONE and not skip_unproved):
            raise refuse(
                FAILED_PRECONDITION,
                f"job_ids[{j}]: job {job.job_id.hex()} is not done",
                reason="JOB_NOT_DONE",
                field=f"job_ids[{j}]",
            )
        out += [(j, s.index) for s in job.segments if s.state != VERIFIED or s.leaf is None]
    return out


def leaves_of(assembly: Assembly, jobs: Sequence[Job]) -> dict[int, common_pb2.LeafProof]:
    """The leaf proofs of an assembly's members, by number; `WireError` (NOT_FOUND) names one that is gone."""
    assert assembly.work is not None
    found: dict[int, common_pb2.LeafProof] = {}
    for number, member in enumerate(assembly.work.members):
        leaf = jobs[member.job].segments[member.segment].leaf
        if leaf is None:
            where = f"jobs[{member.job}].segments[{member.segment}]"
            raise WireError(make_status(NOT_FOUND, f"{where}: no leaf proof", reason="LEAF_GONE", field=where))
        found[number] = leaf
    return found
