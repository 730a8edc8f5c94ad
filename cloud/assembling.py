"""Assemblies in the cloud's machine: the last stage of a job, or asked for by itself. No I/O, no clock, no entropy.

Leaves go to the maker as they are verified (`Assemble`), so that little is left to do when the last one is there. What
was begun is durable before it is begun, and what it gave before anybody is told; in between nothing is kept: after the
end of the process an assembly starts from its leaf proofs again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from google.rpc import status_pb2

from hybrid_prover.v1 import assembly_pb2, common_pb2, job_pb2, uplink_pb2

from . import answers
from . import messages as m
from .assembly import (
    CANCELLED,
    DONE,
    FAILED,
    RUNNING,
    Assembly,
    assembly_id,
    broken_chain,
    chain_of,
    members_of,
    plan,
)
from .errors import INTERNAL, make_status
from .jobs import CANCELLED_CODE, JobBook
from .model import JOB_CANCELLED, JOB_DONE, JOB_FAILED, VERIFIED, Job, Segment
from .model import RUNNING as JOB_RUNNING
from .sessions import Session

MAX_STARTS = 5
"""An assembly under which the process ended so often is given up."""

ENDED_KEPT = 64
"""Ended assemblies kept in memory besides those of jobs; older ones are read from the store."""


class Assembling(JobBook):
    """Jobs with an assembly as their last stage, and assemblies of several jobs."""

    # Of jobs.

    def _open(self, connection: int, session: Session, message: uplink_pb2.OpenJob, now: int) -> list[m.Instruction]:
        """The maker hears early of a new job's assembly: it has keys to read."""
        new = message.job_id not in self.jobs
        out = super()._open(connection, session, message, now)
        job = self.jobs.get(message.job_id)
        if not new or job is None or job.assembly is None:
            return out
        return [*out, m.Assemble(job.assembly, {}, complete=False)]

    def _new_job(self, message: uplink_pb2.OpenJob, now: int) -> Job:
        job = super()._new_job(message, now)
        if message.HasField("assembly"):
            chain = chain_of(message.assembly)
            made = Assembly(assembly_id([job.job_id], chain), (job.job_id,), chain, job.job_id, job.client)
            made.accepted_nanos = now
            made.take(plan(members_of([job]), chain, self.shelf, "assembly"))
            job.assembly = self.assemblies[made.assembly_id] = made
        return job

    def _leaf_verified(self, job: Job, segment: Segment) -> list[m.Instruction]:
        if job.assembly is None or segment.leaf is None:
            return []
        return [m.Assemble(job.assembly, {segment.index: segment.leaf}, complete=False)]

    def _all_verified(self, job: Job, now: int) -> list[m.Instruction]:
        """Every leaf proof of a running job is verified: the job is done, unless they are to be assembled."""
        broken = answers.broken_link(job)
        assembly = job.assembly
        if broken is not None or assembly is None or assembly.state == DONE:
            return self._end_job(job, JOB_FAILED if broken else JOB_DONE, broken, now)
        return self._begin_assembly(assembly, _leaves(job), now)

    def _resume_verified(self, job: Job) -> list[m.Instruction]:
        """A running job from the store, or one that goes again: what is verified of it is committed to again."""
        assembly, leaves = job.assembly, _leaves(job)
        if assembly is not None:
            self.assemblies[assembly.assembly_id] = assembly
            # Planned anew: the setting may have changed, and nothing of it has been kept.
            shelf = replace(self.shelf, makes=True)
            assembly.take(plan(members_of([job]), assembly.chain, shelf, "assembly"))
        if len(leaves) == len(job.segments):
            return self._all_verified(job, max(job.active_nanos, job.accepted_nanos))
        return [m.Assemble(assembly, leaves, complete=False)] if assembly is not None and leaves else []

    def _end_job(
        self,
        job: Job,
        state: job_pb2.JobState,
        error: status_pb2.Status | None,
        now: int,
        also: tuple[job_pb2.SegmentState, ...] = (),
    ) -> list[m.Instruction]:
        """Work on its assembly stops with the job."""
        assembly = job.assembly
        if assembly is None or assembly.state != RUNNING:
            return super()._end_job(job, state, error, now, also)
        assembly.state = CANCELLED if state == JOB_CANCELLED else FAILED
        assembly.error, assembly.ended_nanos = error, now
        assembly.revision += 1
        out: list[m.Instruction] = [m.StopAssembly(assembly.assembly_id)]
        out += super()._end_job(job, state, error, now, also)
        return [*out, m.SaveAssembly(assembly), m.Changed(assembly.assembly_id)]

    def _retire(self, job: Job) -> None:
        super()._retire(job)
        self._drop_ended()

    def _drop_ended(self) -> None:
        """Keeps a bounded number of ended assemblies, the newest; of jobs in memory all."""
        ended = [a for a in self.assemblies.values() if a.state != RUNNING and a.owner not in self.jobs]
        for assembly in ended[: max(0, len(ended) - ENDED_KEPT)]:
            del self.assemblies[assembly.assembly_id]

    # Of several jobs.

    def _asked(self, event: m.AssemblyAsked, now: int) -> list[m.Instruction]:
        """One that is known and runs, or is done, is left as it is."""
        assembly = event.assembly
        known = self.assemblies.get(assembly.assembly_id)
        if known is not None and known.state in (RUNNING, DONE):
            return []
        self.assemblies.pop(assembly.assembly_id, None)
        self.assemblies[assembly.assembly_id] = assembly
        self._drop_ended()
        return self._begin_assembly(assembly, event.leaves, now)

    def _cancel_assembly(self, event: m.CancelAssembly, now: int) -> list[m.Instruction]:
        assembly = self.assemblies.get(event.assembly_id)
        if assembly is None or assembly.state != RUNNING or assembly.owner:
            return []
        error = make_status(CANCELLED_CODE, "the assembly was cancelled", reason="CANCELLED")
        return [m.StopAssembly(event.assembly_id), *self._end_assembly(assembly, CANCELLED, error, now)]

    # Of both.

    def _begin_assembly(
        self, assembly: Assembly, leaves: Mapping[int, common_pb2.LeafProof], now: int
    ) -> list[m.Instruction]:
        assert assembly.work is not None
        error = broken_chain(assembly.work, assembly.chain, leaves)
        if assembly.starts >= MAX_STARTS:
            text = f"the process ended {assembly.starts} times under this assembly"
            error = make_status(INTERNAL, text, reason="ASSEMBLY_QUARANTINED")
        if error is not None:
            return self._assembly_failed(assembly, error, now)
        assembly.starts += 1
        job = self._owner(assembly)
        out = [*self._moved(assembly, job), m.Assemble(assembly, leaves, complete=True)]
        return [*out, *self._tell(job, answers.assembling(job))] if job is not None else out

    def _moved(self, assembly: Assembly, job: Job | None) -> list[m.Instruction]:
        """Something new is to be seen; saved, so that revisions never go back."""
        assembly.revision += 1
        out: list[m.Instruction] = [m.SaveAssembly(assembly), m.Changed(assembly.assembly_id)]
        if job is not None:
            job.revision += 1
            out += [m.SaveState(job), m.Changed(job.job_id)]
        return out

    def _assembly_moved(self, event: m.AssemblyMoved) -> list[m.Instruction]:
        assembly = self.assemblies.get(event.assembly_id)
        if assembly is None or assembly.state != RUNNING:
            return []
        assembly.committed, assembly.proved = event.committed, event.proved
        assembly.timings = list(event.timings)
        return self._moved(assembly, self._owner(assembly))

    def _assembly_made(self, event: m.AssemblyMade, now: int) -> list[m.Instruction]:
        assembly = self.assemblies.get(event.assembly_id)
        if assembly is None or assembly.state != RUNNING:
            return []
        assembly.result, assembly.timings = event.result, list(event.timings)
        assembly.committed, assembly.proved = assembly.leaves, assembly.nodes
        return self._end_assembly(assembly, DONE, None, now)

    def _assembly_broken(self, event: m.AssemblyBroken, now: int) -> list[m.Instruction]:
        assembly = self.assemblies.get(event.assembly_id)
        if assembly is None or assembly.state != RUNNING:
            return []
        assembly.timings = list(event.timings)
        return self._assembly_failed(assembly, event.error, now)

    def _assembly_failed(self, assembly: Assembly, error: status_pb2.Status, now: int) -> list[m.Instruction]:
        return [m.StopAssembly(assembly.assembly_id), *self._end_assembly(assembly, FAILED, error, now)]

    def _end_assembly(
        self, assembly: Assembly, state: assembly_pb2.AssemblyState, error: status_pb2.Status | None, now: int
    ) -> list[m.Instruction]:
        """It ends, and its job with it. Both are saved at once, before anybody hears of either."""
        assembly.state, assembly.error, assembly.ended_nanos = state, error, now
        assembly.revision += 1
        out: list[m.Instruction] = [m.SaveAssembly(assembly)]
        if (job := self._owner(assembly)) is not None:
            out += self._end_job(job, JOB_DONE if state == DONE else JOB_FAILED, error, now)
        return [*out, m.Changed(assembly.assembly_id)]

    def _owner(self, assembly: Assembly) -> Job | None:
        job = self.jobs.get(assembly.owner)
        return job if job is not None and job.state == JOB_RUNNING else None


def _leaves(job: Job) -> dict[int, common_pb2.LeafProof]:
    """Verified leaf proofs, by number."""
    return {s.index: s.leaf for s in job.segments if s.state == VERIFIED and s.leaf is not None}
