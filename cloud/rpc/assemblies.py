"""AssemblyService: one proof over the leaf proofs of several jobs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import grpc

from hybrid_prover.security.principal import current
from hybrid_prover.v1 import assembly_pb2, assembly_pb2_grpc

from ..aggregator import Aggregator
from ..assembly import RUNNING, Assembly, assembly_view, chain_of
from ..errors import FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, WireError, refuse
from ..model import Job
from ..ownership import visible
from ..validation import check_bytes
from .status import abort, guarded

MAX_JOBS = 4096


class AssemblyRpc(assembly_pb2_grpc.AssemblyServiceServicer):
    """Assemblies of ended jobs; those that are jobs' last stages are seen here too."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    @guarded
    async def AssembleJobs(
        self, request: assembly_pb2.AssembleJobsRequest, _context: grpc.aio.ServicerContext
    ) -> assembly_pb2.AssembleJobsResponse:
        """Durable when it is answered."""
        if not 1 <= len(request.job_ids) <= MAX_JOBS:
            text = f"1 to {MAX_JOBS} jobs are assembled, not {len(request.job_ids)}"
            raise refuse(INVALID_ARGUMENT, text, reason="JOB_COUNT", field="job_ids")
        asked = [a.client for a in self._aggregator.machine.assemblies.values() if not a.owner and a.state == RUNNING]
        self._aggregator.doors.assembly(current().client, asked.count(current().client), len(asked))
        jobs: list[Job] = []
        for i, job_id in enumerate(request.job_ids):
            job = await self._aggregator.job(check_bytes(job_id, 32, f"job_ids[{i}]"))
            if job is None or not visible(job, current()):
                text = f"job_ids[{i}]: job {job_id.hex()} is not known here"
                raise refuse(NOT_FOUND, text, reason="JOB_UNKNOWN", field=f"job_ids[{i}]")
            jobs.append(job)
        if len({job.job_id for job in jobs}) < len(jobs):
            raise refuse(INVALID_ARGUMENT, "a job is there twice", reason="JOB_TWICE", field="job_ids")
        made, created = await self._aggregator.assemblies.ask(
            jobs,
            chain_of(request.options),
            skip_unproved=request.skip_unproved,
            client=current().client,
            now=time.time_ns(),
        )
        return assembly_pb2.AssembleJobsResponse(assembly_id=made, created=created)

    @guarded
    async def GetAssembly(
        self, request: assembly_pb2.GetAssemblyRequest, _context: grpc.aio.ServicerContext
    ) -> assembly_pb2.GetAssemblyResponse:
        """With the proof, once it is done."""
        assembly = await self._known(request.assembly_id)
        return assembly_pb2.GetAssemblyResponse(assembly=assembly_view(assembly), result=assembly.result)

    async def WatchAssembly(
        self, request: assembly_pb2.WatchAssemblyRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[assembly_pb2.WatchAssemblyResponse]:
        """As it is, after every change, until it ends."""
        try:
            await self._known(request.assembly_id)
        except WireError as e:
            await abort(context, e.status)
        try:
            with self._aggregator.doors.watcher(current().name):
                async for view in self._aggregator.assemblies.watch(request.assembly_id):
                    yield assembly_pb2.WatchAssemblyResponse(assembly=view)
        except WireError as e:
            await abort(context, e.status)

    async def GetAssemblyLeaves(
        self, request: assembly_pb2.GetAssemblyLeavesRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[assembly_pb2.GetAssemblyLeavesResponse]:
        """Job by job, as they are read."""
        try:
            assembly = await self._known(request.assembly_id)
        except WireError as e:
            await abort(context, e.status)
        out = set(assembly.left_out)
        for j, job_id in enumerate(assembly.job_ids):
            job = await self._aggregator.job(job_id)
            for segment in job.segments if job is not None else ():
                if (j, segment.index) not in out and segment.leaf is not None:
                    yield assembly_pb2.GetAssemblyLeavesResponse(
                        segment=assembly_pb2.AssemblySegment(job=j, segment=segment.index),
                        circuit=segment.circuit.digest,
                        leaf=segment.leaf,
                    )

    @guarded
    async def CancelAssembly(
        self, request: assembly_pb2.CancelAssemblyRequest, _context: grpc.aio.ServicerContext
    ) -> assembly_pb2.CancelAssemblyResponse:
        """As it is then; one that has ended stays as it is."""
        assembly = await self._known(request.assembly_id)
        if not assembly.owner and not current().owns({assembly.client}):
            text = "another client asked for it, and may want it"
            raise refuse(FAILED_PRECONDITION, text, reason="WANTED_BY_OTHERS", field="assembly_id")
        if assembly.owner:
            text = f"it is the last stage of job {assembly.owner.hex()}: cancel that"
            raise refuse(FAILED_PRECONDITION, text, reason="ASSEMBLY_OF_JOB", field="assembly_id")
        after = await self._aggregator.assemblies.cancel(request.assembly_id)
        return assembly_pb2.CancelAssemblyResponse(assembly=assembly_view(after or assembly))

    async def _known(self, assembly_id: bytes) -> Assembly:
        assembly = await self._aggregator.assemblies.get(check_bytes(assembly_id, 32, "assembly_id"))
        if assembly is not None and not current().owns({assembly.client}):
            # It is the same assembly whoever asked for it first: who may see all its jobs may see it.
            for job_id in {assembly.owner} if assembly.owner else assembly.job_ids:
                job = await self._aggregator.job(job_id)
                if job is None or not visible(job, current()):
                    assembly = None
                    break
        if assembly is None:
            text = f"assembly {assembly_id.hex()} is not known here"
            raise refuse(NOT_FOUND, text, reason="ASSEMBLY_UNKNOWN", field="assembly_id")
        return assembly
