"""The daemon's middle: carries out what the machine decides, with the spool, the workers and the uplink as its hands.

Everything here runs on one event loop; the machine is only ever touched from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any

import structlog

from hybrid_prover.admission.table import QuotaTable
from hybrid_prover.security.principal import Principal
from hybrid_prover.v1 import common_pb2, job_pb2
from prover_core.artifacts import ArtifactStore
from prover_core.errors import VerificationError
from prover_core.types import Digest

from . import requests
from .admission import Admission
from .chunkfile import ChunkRecord, record_from_json
from .circuitfiles import CircuitFiles
from .config import EdgeConfig
from .faults import unproved
from .instructions import (
    CheckLeaf,
    DropInputs,
    EnsureCircuit,
    FetchResult,
    Forget,
    Instruction,
    MakePartial,
    Notify,
    SaveJob,
    SaveSegment,
    StartWitness,
    StopWitness,
    WarmPartials,
)
from .leafcheck import LeafChecker
from .machine import EdgeMachine
from .metrics import EdgeMetrics
from .model import Code, Job, JobState, SegmentState, Timing
from .observer import EdgeObserver
from .records import Recorder
from .spool import CircuitRecord, job_row, segment_row
from .spoolthread import SpoolThread
from .status import RpcError, failure_of, rpc_error
from .statusview import samples
from .workers import WitnessTask, WorkerDied, WorkerPool

log = structlog.get_logger("edge")

MAX_FRESH = 64 << 20
"""Bytes of inputs of unfinished jobs that are kept in memory too."""
PARTIAL_NICE = 10
"""Partials take what the witness workers leave of the processor."""


class Clock:
    """Nanoseconds since the epoch that never go backwards: the wall clock once, then the monotonic one."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> int:
        return self._offset + time.monotonic_ns()


class EdgeCore:
    """All state of a running edge but its servers and its connection."""

    def __init__(
        self, config: EdgeConfig, spool: SpoolThread, pool: WorkerPool, artifacts: ArtifactStore, recorder: Recorder
    ) -> None:
        self.config = config
        self.recorder = recorder
        self.spool = spool
        self.pool = pool
        self.partial_pool = WorkerPool(replace(config, workers=1), nice=PARTIAL_NICE)
        """One worker, started when the first job with placement split comes."""
        self.artifacts = artifacts
        self.leaves = LeafChecker(config.backend)
        self.leaves_refused = 0
        """Leaf proofs of the cloud that did not verify, or were for private jobs."""
        self.now = Clock()
        quotas = QuotaTable(config.quotas)
        self.machine = EdgeMachine(
            workers=config.workers,
            worker_attempts=config.worker_attempts,
            max_unacked=config.max_unacked,
            finished_kept=config.finished_jobs_kept,
            weight=quotas.weight,
        )
        self.started_nanos = time.time_ns()
        self.observer = EdgeObserver(EdgeMetrics(lambda: samples(self)), self.machine.jobs, config.backend, config.tls)
        self.spool.on_written = self.observer.metrics.store_write_seconds.observe
        self.circuits: dict[bytes, CircuitRecord] = {}
        self.chunks: dict[tuple[bytes, int], list[ChunkRecord]] = {}
        self.partials: dict[tuple[bytes, int], dict[int, bytes]] = {}
        """Partials of running jobs, by chunk. In memory only: after a restart chunks go without, or with new ones."""
        self.wake = asyncio.Event()
        """Set whenever the machine may have something to send."""
        self.stopping = False
        self.on_uplink: Callable[[EnsureCircuit | FetchResult], None] = lambda _: None
        """Where instructions for the cloud's unary services go; set by the uplink."""
        self._fresh: dict[tuple[bytes, int], bytes] = {}
        self._fresh_bytes = 0
        self._changed: dict[bytes, asyncio.Event] = {}
        self._tasks: dict[tuple[bytes, int], asyncio.Task[None]] = {}
        self.background: set[asyncio.Task[None]] = set()
        """What nobody waits for: workers that load a circuit ahead, leaf proofs that are verified."""
        self.admission = Admission(config, quotas, self.machine, self.observer.metrics, self.now)
        self._submitting = asyncio.Lock()

    # Life

    def restore(self) -> None:
        """Takes up what an earlier run left in the spool; before anything is served."""
        self.circuits = {c.digest: c for c in self.spool.spool.circuits()}
        for job, chunks in self.spool.spool.jobs():
            for s in job.segments:
                self.chunks[job.id, s.index] = chunks[s.index]
            if job.state is JobState.RUNNING:
                self.observer.restored(job)
            self.apply(self.machine.restore(job, self.now()))
            if job.state is JobState.RUNNING:
                log.info("job resumed", job_id=job.id.hex(), segments=len(job.segments))

    async def close(self) -> None:
        """Stops the work; what is unfinished goes on at the next start."""
        self.stopping = True
        self.wake_watchers()
        tasks = [*self._tasks.values(), *self.background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.leaves.close()
        await self.pool.close()
        await self.partial_pool.close()
        await self.spool.close()
        await self.observer.close()

    def wake_watchers(self) -> None:
        """Makes every `wait_change` return."""
        for event in self._changed.values():
            event.set()

    # What the local API asks

    async def submit(self, request: job_pb2.SubmitJobRequest, caller: Principal) -> tuple[bytes, bool]:
        """(job id, whether it is new); durable when this returns. Checks in the order that `admission` has."""
        client, deadline = caller.client, request.deadline_unix_nanos
        priority = self.admission.submission(caller, request.priority)
        requests.check_outline(request)
        job_id = requests.job_id(request, self.spool.spool.secret, client)
        async with self._submitting:
            known = self.machine.jobs.get(job_id)
            again = known is not None and known.state in (JobState.FAILED, JobState.CANCELLED)
            if known is not None and not again:
                await self._wanted_by(known, client)
                self.apply(self.machine.wanted(job_id, priority, deadline, self.now()))
                return job_id, False
            wires = requests.wires_of(request, self.circuits)
            self.admission.job(client, len(request.segments), wires, request.placement)
            plan = requests.plan_job(request, self.circuits, job_id, chunk_wires=self.config.chunk_wires, client=client)
            self.admission.in_time(plan, deadline)
            blobs = [spec.SerializeToString() for spec in request.segments]
            if again:
                await self._clear(plan.job_id)
            accepted = self.now()
            await self.spool.call(
                lambda spool: spool.add_job(plan, blobs, accepted, priority=priority, deadline=deadline)
            )
            log.info(
                "job accepted", job_id=plan.job_id.hex(), segments=len(plan.segments), placement=plan.placement.name
            )
            self._keep_fresh(plan.job_id, blobs)
            self.observer.accepted(plan)
            self.apply(self.machine.submit(plan, accepted, priority=priority, deadline=deadline))
            if known is not None and known.state is JobState.FAILED:
                for earlier in sorted(known.clients):
                    await self._wanted_by(self.machine.jobs[plan.job_id], earlier)
        return plan.job_id, True

    async def _clear(self, job_id: bytes) -> None:
        """A job that failed or was cancelled comes again: its workers end, and nothing of it is kept."""
        working = [task for (job, _), task in self._tasks.items() if job == job_id]
        await asyncio.gather(*working, return_exceptions=True)
        self.apply(self.machine.forget(job_id))

    def _keep_fresh(self, job_id: bytes, blobs: list[bytes]) -> None:
        """Keeps the inputs of a new job at hand while there is room: its first witness need not wait for a read."""
        size = sum(map(len, blobs))
        if self._fresh_bytes + size <= MAX_FRESH:
            self._fresh_bytes += size
            self._fresh.update({(job_id, i): blob for i, blob in enumerate(blobs)})

    async def _wanted_by(self, job: Job, client: str) -> None:
        """Who submits what another has submitted knows its content: it is that client's job as well."""
        if client and client not in job.clients:
            job.clients.add(client)
            await self._save_clients(job)

    async def _save_clients(self, job: Job) -> None:
        clients = sorted(job.clients)
        await self.spool.call(lambda spool: spool.save_clients(job.id, clients))

    def job(self, job_id: bytes, caller: Principal) -> Job:
        """The job as it stands, or NOT_FOUND: unknown jobs and those of others look alike."""
        requests.checked_digest(job_id, "job_id")
        found = self.machine.jobs.get(job_id)
        if found is None or not caller.owns(found.clients):
            raise rpc_error(Code.NOT_FOUND, f"no job {job_id.hex()} here", reason="JOB_UNKNOWN", field="job_id")
        return found

    async def cancel(self, job_id: bytes, caller: Principal) -> Job:
        """Stops a job; nothing if it has ended. One that other clients want too goes on, and is theirs alone."""
        job = self.job(job_id, caller)
        if job.state is JobState.RUNNING and not caller.operates and job.clients - {caller.client}:
            job.clients.discard(caller.client)
            await self._save_clients(job)
            log.info("job left by a client", job_id=job_id.hex(), client=caller.client)
        else:
            self.apply(self.machine.cancel(job_id, self.now()))
        return job

    async def wait_change(self, job_id: bytes) -> None:
        """Returns at the next change of the job, or when the daemon stops."""
        await self._changed.setdefault(job_id, asyncio.Event()).wait()

    async def add_circuit(self, record: CircuitRecord) -> None:
        """Registers a circuit, durably."""
        await self.spool.call(lambda spool: spool.add_circuit(record))
        self.circuits[record.digest] = record
        files = self.files(record)
        self._in_background(self.pool.warm(files))
        self._in_background(self.leaves.warm(record.digest, files.zkey))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    def files(self, record: CircuitRecord) -> CircuitFiles:
        """Where the circuit's artifacts lie; `RpcError` if one has gone."""
        paths = {}
        for part, digest in (("zkey", record.digest), ("r1cs", record.r1cs), ("program", record.program)):
            paths[part] = self.artifacts.path(Digest(digest)) if digest else None
            if digest and paths[part] is None:
                raise rpc_error(
                    Code.FAILED_PRECONDITION,
                    f"the {part} {digest.hex()} is not stored here: send it with PutArtifact",
                    reason="ARTIFACT_MISSING",
                    field=f"parts.{part}_digest",
                )
        zkey = paths["zkey"]
        assert zkey is not None
        return CircuitFiles(record.digest, zkey, paths["r1cs"], paths["program"], record.kind)

    # Instructions

    def apply(self, instructions: Iterable[Instruction]) -> None:
        """Carries out what the machine decided; called after every event."""
        instructions = list(instructions)
        self.observer.saw(instructions, self.now())
        for instruction in instructions:
            self._do(instruction)
        self.wake.set()

    def _do(self, instruction: Instruction) -> None:
        match instruction:
            case StartWitness(job_id, segment):
                self._start(job_id, segment)
            case StopWitness(job_id, segment):
                task = self._tasks.get((job_id, segment))
                if task is not None:
                    task.cancel()
            case WarmPartials(circuit):
                self._in_background(self._warm_partials(circuit))
            case MakePartial(job_id, segment, sequence):
                self._in_background(self._make_partial(job_id, segment, sequence))
            case CheckLeaf(job_id, segment):
                self._in_background(self._check_leaf(job_id, segment))
            case SaveSegment(job_id, segment):
                row = segment_row(job_id, self.machine.jobs[job_id].segments[segment])
                self.spool.post(lambda spool: spool.save_segment(row))
            case SaveJob(job_id):
                self._save_job(self.machine.jobs[job_id])
            case Notify(job_id):
                event = self._changed.pop(job_id, None)
                if event is not None:
                    event.set()
            case DropInputs(job_id):
                for s in self.machine.jobs[job_id].segments:
                    self.chunks.pop((job_id, s.index), None)
                    self.partials.pop((job_id, s.index), None)
                    self._fresh_bytes -= len(self._fresh.pop((job_id, s.index), b""))
                self.spool.post(lambda spool: spool.drop_inputs(job_id))
            case Forget(job_id):
                self.spool.post(lambda spool: spool.forget(job_id))
            case EnsureCircuit() | FetchResult():
                self.on_uplink(instruction)

    def _save_job(self, job: Job) -> None:
        row = job_row(job)
        self.spool.post(lambda spool: spool.save_job(row))

    def _start(self, job_id: bytes, segment: int) -> None:
        key = (job_id, segment)
        before = self._tasks.get(key)
        task = asyncio.create_task(self._witness(job_id, segment, before))
        self._tasks[key] = task

        def done(ended: asyncio.Task[None]) -> None:
            if self._tasks.get(key) is ended:
                del self._tasks[key]
            if ended.cancelled() and not self.stopping:
                # Here and not in the task: one that is cancelled before its first step never gets that far.
                self.apply(self.machine.worker_stopped(job_id, segment, self.now()))
                self._remove_chunks_if_ended(job_id)
            elif not ended.cancelled() and ended.exception() is not None:
                log.error("witness task broke", job_id=job_id.hex(), segment=segment, error=repr(ended.exception()))

        task.add_done_callback(done)

    async def _witness(self, job_id: bytes, segment: int, before: asyncio.Task[None] | None) -> None:
        """One segment through a worker; answers StartWitness exactly once."""
        machine, bound = self.machine, log.bind(job_id=job_id.hex(), segment=segment)
        if before is not None:
            await asyncio.wait([before])
        try:
            job = machine.jobs[job_id]
            inputs = self._fresh.get((job_id, segment))
            if inputs is None:
                inputs = await self.spool.call(lambda spool: spool.inputs(job_id, segment))
            task = WitnessTask(
                job_id,
                segment,
                job.plan.placement,
                self.files(self.circuits[job.segments[segment].circuit]),
                job.plan.chunk_wires,
                self.spool.spool.chunk_file(job_id, segment),
                self.circuits[job.segments[segment].circuit].public_signals,
                inputs,
                self.recorder.seeds.seed(job_id, segment) if job.private else b"",
            )
            bound.info("witness begins", wires=job.segments[segment].wires)
            head, body = await self.pool.witness(task, lambda event: self._worker_event(job_id, segment, event))
        except WorkerDied as e:
            bound.warning("worker died", error=str(e))
            self.observer.worker_died()
            self.apply(machine.worker_died(job_id, segment, e.failure, self.now()))
        except Exception as e:
            if not isinstance(e, RpcError):
                bound.error("witness broke", error=repr(e))
            made = failure_of(e, prefix=f"segments[{segment}]", metadata={"segment": str(segment)})
            bound.warning("witness failed", code=made.code.name, error=made.message)
            self.apply(machine.witness_failed(job_id, segment, made, self.now()))
        else:
            timings = [Timing(*t) for t in head["timings"]]
            bound.info("witness done", ms={t.phase: t.duration // 10**6 for t in timings}, chunks=head.get("chunks", 0))
            if head["event"] == "leaf":
                leaf = common_pb2.LeafProof.FromString(body)
                publics = b"".join(leaf.public_signals)
                self._record(job_id, segment, leaf, head["device"], timings)
                self.apply(machine.proof_ready(job_id, segment, body, publics, timings, self.now()))
            else:
                self.apply(machine.witness_finished(job_id, segment, head["chunks"], body, timings, self.now()))

    def _record(
        self, job_id: bytes, segment: int, leaf: common_pb2.LeafProof, device: str, timings: list[Timing]
    ) -> None:
        """Signs and keeps the record of a proof that was made here; posted before the proof, so that none lacks it."""
        recorder, job = self.recorder, self.machine.jobs.get(job_id)
        if job is None:
            return
        s = job.segments[segment]
        so_far = s.timings | {t.phase: t for t in timings}
        facts = recorder.facts(job_id, segment, self.circuits[s.circuit], leaf, device, so_far.values())
        self.spool.post(lambda spool: spool.save_record(job_id, segment, recorder.sign(facts)))

    async def _warm_partials(self, circuit: bytes) -> None:
        """Answers WarmPartials exactly once unless the daemon stops."""
        try:
            nanos = await self.partial_pool.warm_partials(self.files(self.circuits[circuit]), self.config.chunk_wires)
        except Exception as e:
            log.warning("no partials for this circuit", circuit=circuit.hex(), error=str(e) or repr(e))
            self.apply(self.machine.partials_cold(circuit))
        else:
            log.info("partials measured", circuit=circuit.hex(), ms_a_chunk=round(nanos / 1e6, 1))
            self.apply(self.machine.partials_warm(circuit, nanos))

    async def _make_partial(self, job_id: bytes, segment: int, sequence: int) -> None:
        """Answers MakePartial exactly once unless the daemon stops."""
        circuit = self.machine.jobs[job_id].segments[segment].circuit
        try:
            record = self.chunks[job_id, segment][sequence]
            file = self.spool.spool.chunk_file(job_id, segment)
            points, started, nanos = await self.partial_pool.partial(self.files(self.circuits[circuit]), file, record)
        except Exception as e:
            log.warning(
                "partial failed", job_id=job_id.hex(), segment=segment, sequence=sequence, error=str(e) or repr(e)
            )
            self.apply(self.machine.partial_failed(circuit))
            return
        job = self.machine.jobs.get(job_id)
        if job is not None and job.state is JobState.RUNNING:
            self.partials.setdefault((job_id, segment), {})[sequence] = points
        self.apply(self.machine.partial_made(job_id, segment, sequence, started, nanos))

    def leaf_came(self, job_id: bytes, segment: int, leaf: bytes, timings: list[Timing]) -> None:
        """The cloud tells a segment's leaf proof; that of a private job is made here, so another one is a fault."""
        job = self.machine.jobs.get(job_id)
        if job is not None and job.private and segment < len(job.segments) and leaf != job.segments[segment].leaf:
            self._leaf_fault(job_id, segment, "it was not made by this edge, as those of private jobs are")
        self.apply(self.machine.segment_proved(job_id, segment, leaf, timings, self.now()))

    async def _check_leaf(self, job_id: bytes, segment: int) -> None:
        """One candidate; answers CheckLeaf exactly once unless the daemon stops."""
        s = self.machine.jobs[job_id].segments[segment]
        candidate, publics = s.candidate, s.publics
        assert candidate is not None
        assert publics is not None
        try:
            zkey = self.files(self.circuits[s.circuit]).zkey
            leaf = await self.leaves.check(s.circuit, zkey, candidate, publics)
        except VerificationError as e:
            self._leaf_fault(job_id, segment, str(e))
            self.apply(self.machine.leaf_refused(job_id, segment, unproved(segment, str(e)), self.now()))
        except Exception as e:
            made = failure_of(e, prefix=f"segments[{segment}]", metadata={"segment": str(segment)})
            log.error("leaf check broke", job_id=job_id.hex(), segment=segment, error=repr(e))
            self.apply(self.machine.leaf_refused(job_id, segment, made, self.now()))
        else:
            self.apply(self.machine.leaf_verified(job_id, segment, leaf, self.now()))

    def _leaf_fault(self, job_id: bytes, segment: int, why: str) -> None:
        self.leaves_refused += 1
        self.observer.leaf_refused()
        log.error(
            "leaf of the cloud refused", job_id=job_id.hex(), segment=segment, error=why, refused=self.leaves_refused
        )

    def _remove_chunks_if_ended(self, job_id: bytes) -> None:
        """A worker may have written after the job's chunks were removed."""
        job = self.machine.jobs.get(job_id)
        if job is None or job.state is not JobState.RUNNING:
            self.spool.post(lambda spool: spool.drop_inputs(job_id))

    def _worker_event(self, job_id: bytes, segment: int, event: dict[str, Any]) -> None:
        if event["event"] == "proving":
            self.apply(self.machine.proof_started(job_id, segment))
            return
        record = record_from_json(event)
        job = self.machine.jobs.get(job_id)
        if job is None or job.segments[segment].state in (SegmentState.FAILED, SegmentState.CANCELLED):
            return
        records = self.chunks.setdefault((job_id, segment), [])
        if record.sequence == len(records):
            records.append(record)
        self.apply(
            self.machine.chunk_ready(job_id, segment, record.sequence, record.size, record.wire_count, self.now())
        )
