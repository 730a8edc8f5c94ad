"""Assemblies of finished jobs, asked for at a cloud: one proof over all their leaf proofs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

import grpc.aio

from hybrid_prover.v1 import assembly_pb2
from prover_core.types import Digest

from . import wire
from .assemblymodel import AssemblyResult, AssemblySegment, AssemblyState, AssemblyStatus
from .errors import ClientError, DeadlineError, Details, JobCancelledError, JobFailedError, from_call

if TYPE_CHECKING:
    from .assembly import AssembledLeaves
    from .client import ProverClient
    from .model import LeafProof


LEAVES_SECONDS = 300.0
"""For fetching all leaf proofs of an assembly."""


class AssemblyHandle:
    """One assembly at a cloud."""

    def __init__(self, client: ProverClient, assembly_id: Digest, *, created: bool) -> None:
        self.client = client
        self.id = assembly_id
        self.created = created
        """False if the same assembly had been asked for before."""

    async def _get(self) -> assembly_pb2.GetAssemblyResponse:
        request = assembly_pb2.GetAssemblyRequest(assembly_id=self.id.raw)
        return await self.client.call(self.client._assemblies.GetAssembly, request)

    async def status(self) -> AssemblyStatus:
        """The assembly as it stands."""
        return wire.assembly_from_wire((await self._get()).assembly)

    async def watch(self) -> AsyncIterator[AssemblyStatus]:
        """As it is, then again after every change, until it ends; reconnects when the connection breaks."""
        from .client import typed

        client, revision, tries = self.client, 0, 0
        while True:
            stream = client._assemblies.WatchAssembly(assembly_pb2.WatchAssemblyRequest(assembly_id=self.id.raw))
            try:
                async for response in stream:
                    tries = 0
                    found = wire.assembly_from_wire(response.assembly)
                    if found.revision > revision or revision == 0 or found.state.ended:
                        revision = found.revision
                        yield found
                    if found.state.ended:
                        return
                error: ClientError = from_call("UNAVAILABLE", "the watch ended before its end", (), client.target)
            except grpc.aio.AioRpcError as e:
                error = typed(e, client.target)
            finally:
                stream.cancel()
            tries += 1
            delay = client._retry.delay(tries, error.code, error.retry_after, random.random())
            if delay is None:
                raise error
            await asyncio.sleep(delay)

    async def wait(self, timeout: float | None = None) -> AssemblyStatus:
        """The assembly once it has ended, well or badly; `DeadlineError` after `timeout` seconds (it goes on)."""
        try:
            async with asyncio.timeout(timeout):
                async for found in self.watch():
                    if found.state.ended:
                        return found
        except TimeoutError:
            text = f"assembly {self.id} has not ended after {timeout} s"
            raise DeadlineError(text, code="DEADLINE_EXCEEDED") from None
        raise ClientError(f"the watch of assembly {self.id} ended before it", code="INTERNAL")

    async def result(self, timeout: float | None = None) -> AssemblyResult:
        """Waits for the end and fetches the proof; `JobFailedError` says what is wrong, `JobCancelledError`."""
        from .assemblywire import assembly_result_from_wire

        ended = await self.wait(timeout)
        if ended.state is AssemblyState.CANCELLED:
            raise JobCancelledError(f"assembly {self.id} was cancelled", code="CANCELLED")
        if ended.state is AssemblyState.FAILED:
            problem = ended.problem
            details = Details(field=problem.field if problem else "")
            text, code = (problem.message, problem.code) if problem else ("the assembly failed", "UNKNOWN")
            raise JobFailedError(text, job_id=str(self.id), code=code, details=details)
        return assembly_result_from_wire((await self._get()).result)

    async def leaves(self) -> dict[tuple[int, int], LeafProof]:
        """The leaf proofs that it is made of, by number of job and segment."""
        from .client import typed

        request = assembly_pb2.GetAssemblyLeavesRequest(assembly_id=self.id.raw)
        found: dict[tuple[int, int], LeafProof] = {}
        try:
            async for answer in self.client._assemblies.GetAssemblyLeaves(request, timeout=LEAVES_SECONDS):
                key = (answer.segment.job, answer.segment.segment)
                found[key] = wire.leaf_from_wire(answer.circuit, answer.leaf)
        except grpc.aio.AioRpcError as e:
            raise typed(e, self.client.target) from None
        return found

    async def cancel(self) -> AssemblyStatus:
        """Stops it; the leaf proofs are kept."""
        request = assembly_pb2.CancelAssemblyRequest(assembly_id=self.id.raw)
        response = await self.client.call(self.client._assemblies.CancelAssembly, request)
        return wire.assembly_from_wire(response.assembly)


async def assemble_jobs(
    client: ProverClient, jobs: Sequence[Digest], chain: tuple[int, int] | None, *, skip_unproved: bool
) -> AssemblyHandle:
    """See `ProverClient.assemble_jobs`."""
    from .assemblymodel import Assemble

    options = wire.assemble_to_wire(Assemble(chain))
    request = assembly_pb2.AssembleJobsRequest(
        job_ids=[job.raw for job in jobs], options=options, skip_unproved=skip_unproved
    )
    response = await client.call(client._assemblies.AssembleJobs, request)
    return AssemblyHandle(client, Digest(response.assembly_id), created=response.created)


def statement_of_result(result: AssemblyResult, leaves: Mapping[tuple[int, int], LeafProof]) -> AssembledLeaves:
    """What an assembly of these leaf proofs (by number of job and segment) says: whoever checks it needs this, and keys
    that are trusted.

    Leaves are named `JOB/SEGMENT` by their numbers, of one job by the segment's alone. `ClientError` (DATA_LOSS)
    unless the assembly is of exactly these.
    """
    from .statement import statement_of

    if sorted((s.job, s.segment) for s in result.contents.segments()) != sorted(leaves):
        raise ClientError("the assembly is not of exactly these leaf proofs", code="DATA_LOSS")

    one = len({job for job, _ in leaves}) == 1

    def publics(segment: AssemblySegment) -> tuple[int, ...]:
        return leaves[segment.job, segment.segment].public_signals

    def name(segment: AssemblySegment) -> str:
        return f"{segment.segment:04d}" if one else f"{segment.job:04d}/{segment.segment:04d}"

    return statement_of(result.contents, publics, name)
