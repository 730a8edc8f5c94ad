"""The running cloud: its life, its edges' connections, its jobs and circuits. One event loop, a few threads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import structlog

from hybrid_prover.admission.quotas import SECOND, Buckets
from hybrid_prover.telemetry.otlp import open_traces
from hybrid_prover.v1 import circuit_pb2, common_pb2, job_pb2, uplink_pb2
from prover_core.types import Digest

from . import messages as m
from . import store as db
from .assembler import Assembler
from .assemblies import Assemblies
from .batcher import Batcher
from .chunklog import ChunkLogs, Recovered, log_path, partial_origins, recover
from .config import CloudConfig
from .control import take_log
from .dispatch import Dispatcher
from .executor import Load
from .leases import LeaseBook
from .links import OUTBOX_MOST, Link
from .metrics import CloudMetrics
from .model import (
    JOB_CANCELLED,
    JOB_FAILED,
    OPEN_STATES,
    PROVED,
    PROVING,
    RUNNING,
    CircuitInfo,
    Job,
    job_view,
)
from .observer import CloudObserver
from .policy import BatchPolicy
from .runtime import Runtime
from .sessions import SESSION_BYTES, draining, session_bound
from .statusview import samples
from .trust import Distrust, fingerprint
from .validation import priority_of

log = structlog.get_logger(__name__)

TICK_SECONDS = 30.0
CLOCK_NANOS = 60 * 10**9
"""A clock that differs by more from what it said a tick ago was set."""
ROWS_A_MINUTE = 120_000
"""Segments and links that one edge may open: as many at once as the largest jobs have."""
RETURN_NANOS = 3600 * 10**9
"""How long a cloud that comes back waits for the edges of its jobs, however long it was away."""
LATE_SECONDS = 0.2
"""How late a job may end after its deadline."""


class Aggregator(Runtime):
    """Everything but gRPC. Make it, `start`, use it from one event loop, `stop`."""

    def __init__(self, config: CloudConfig) -> None:
        super().__init__(config)
        self.assemblies = Assemblies(self)
        self._beginning = asyncio.Lock()
        self._opened = Buckets(60 * SECOND)
        self._clock_offset = 0
        self.observer = CloudObserver(
            CloudMetrics(lambda: samples(self)), self.backend.name, self.backend.device, config.tls
        )

    # Life.

    async def start(self) -> None:
        """Opens the store, takes up unfinished jobs, starts the threads."""
        config = self.config
        self._loop = asyncio.get_running_loop()
        self.observer.spans = open_traces("hybrid-prover-cloud", config.address)
        self._store: db.Store = await self._in_store(
            lambda: db.open_store(config.database, config.data_dir, config.database_outage_seconds)
        )
        self.failed = self._loop.create_future()
        self._logs = ChunkLogs(config.data_dir / "chunks", self._chunks_durable, self._log_failed)
        lease_nanos = int(config.lease_seconds * 1e9)
        self.dispatcher = Dispatcher(
            LeaseBook(
                incarnation=self._store.epoch,
                budget=config.retry_budget,
                poison_losses=config.poison_losses,
                lease_nanos=lease_nanos,
                weight=self.quotas.weight,
            ),
            self,
            self.keys,
            self._logs.root,
            self.backend,
            workers=config.workers or max(3, len(os.sched_getaffinity(0)) // 4),
            max_open=config.max_open_segments,
            local=not config.remote_workers_only,
            lease_nanos=lease_nanos,
            seeds=self.recorder.seeds,
            weight=self.quotas.weight,
        )
        policy = BatchPolicy(config.batch_size, config.batch_age_ms * 1_000_000)
        self._batcher = Batcher(self.keys, self.backend, policy, self._batch_checked, self._batch_broken)
        self._assembler = Assembler(
            self.keys,
            self.wraps,
            self.backend,
            idle=lambda: not (load := self.load()).running and not load.waiting,
            on_moved=self._assembly_moved,
            on_made=self._assembly_made,
            on_broken=self._assembly_broken,
        )
        self.machine.shelf = await asyncio.to_thread(self.wraps.shelf)
        await asyncio.to_thread(self.artifacts.sweep)
        for circuit in await self._in_store(self._store.circuits):
            self._know(circuit)
        self.machine.trust.load(await self._in_store(self._store.distrusted))
        jobs = await self._in_store(self._store.unfinished)
        jobs += await self._with_kept_logs({j.job_id for j in jobs})
        await asyncio.to_thread(self._logs.keep_only, [j.job_id for j in jobs])
        for job in jobs:
            if job.state == RUNNING:
                await asyncio.to_thread(self._recover, job)
                log.info("job_resumed", job_id=job.job_id.hex(), segments=len(job.segments))
            self._apply(self.machine.restore(job))
        await self.assemblies.resume()
        self._tick()
        self._end_late()
        self.observer.metrics.start(config.metrics_host, config.metrics_port)
        log.info("cloud_started", backend=self.backend.name, device=self.backend.device, reason=self.backend_reason)

    async def drain(self) -> None:
        """Tells the edges, then waits within the grace for what needs nothing more from them."""
        self._post(m.Drain(self.config.retry_after_ms))
        deadline = self._loop.time() + self.config.drain_grace_seconds
        quiet = 0
        while self._loop.time() < deadline and quiet < 3:
            if not self.dispatcher.finishing():
                self._batcher.flush()
            quiet = 0 if self.dispatcher.finishing() or self._batcher.busy or self._tasks else quiet + 1
            await asyncio.sleep(0.01)
        for link in list(self._links.values()):
            link.put(draining(self.config.retry_after_ms))
        self.dispatcher.drain()

    async def stop(self) -> None:
        """Ends the threads and closes the store; what is unfinished resumes at the next start."""
        self._ticker.cancel()
        self._late_timer.cancel()
        await self.dispatcher.close()
        await asyncio.to_thread(self._assembler.close)
        await asyncio.to_thread(self._logs.close)
        await self._batcher.close()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._in_store(self._store.close)
        await self.observer.close()
        self._store_thread.shutdown()
        self._lock.close()

    # The uplink.

    def connect(self, edge: str = "") -> Link:
        """A new connection, of the edge that its certificate names."""
        self._next_connection += 1
        # A job that is opened is told all at once.
        most = max(OUTBOX_MOST, 4 * self.config.max_segments)
        link = self._links[self._next_connection] = Link(self._next_connection, edge, most)
        return link

    async def receive(self, link: Link, request: uplink_pb2.UplinkRequest) -> None:
        """One message of an edge, in order."""
        await link.room()
        if request.HasField("hello"):
            hello = request.hello
            log.info(
                "hello", connection=link.connection, edge=hello.edge_name[:128], session=fingerprint(hello.session_id)
            )
            if not await self._owns_session(link, hello.session_id):
                return
        if request.HasField("open_job") and self.machine.sessions.of(link.connection) is not None:
            await self._pace(link, request.open_job)
            await self._ensure(request.open_job.job_id)
            if request.open_job.HasField("assembly"):
                self.machine.shelf = await asyncio.to_thread(self.wraps.shelf)
            if self.machine.goes_again(request.open_job, time.time_ns()):
                await self._begin_again(request.open_job)
        self._post(m.Received(link.connection, request, link.edge))

    async def _pace(self, link: Link, message: uplink_pb2.OpenJob) -> None:
        """Lets an edge wait that opens more than can be kept beside the work of others; a job is rows for ever."""
        if message.job_id in self.machine.jobs:
            return
        rows = 1 + len(message.circuits) + len(message.links)
        while wait := self._opened.take(link.edge, rows, ROWS_A_MINUTE, time.monotonic_ns()):
            await asyncio.sleep(wait / 1e9)

    async def _owns_session(self, link: Link, session_id: bytes) -> bool:
        """Binds a session to the edge that shows it first; another edge's is refused, also after a restart."""
        if not link.edge or len(session_id) != SESSION_BYTES:
            return True
        owner = await self._in_store(lambda: self._store.bind_session(session_id, link.edge, time.time_ns()))
        if owner == link.edge:
            return True
        log.warning("session_refused", connection=link.connection, edge=link.edge, session=fingerprint(session_id))
        link.put(session_bound().status)
        return False

    def disconnect(self, link: Link) -> None:
        """The connection is over."""
        self._links.pop(link.connection, None)
        self._post(m.Disconnected(link.connection))

    # Jobs stopped and begun again.

    async def cancel(self, job_id: bytes) -> Job | None:
        """Stops a running job and all work on it; None if it is not known."""
        await self._ensure(job_id)
        self._post(m.Cancel(job_id))
        return self.machine.jobs.get(job_id)

    async def requeue(self, job_id: bytes) -> Job | None:
        """A failed or cancelled job goes again; None if it is not known, unchanged if it runs or is done."""
        await self._ensure(job_id)
        await self._begin_again(uplink_pb2.OpenJob(job_id=job_id))
        return self.machine.jobs.get(job_id)

    async def _ensure(self, job_id: bytes) -> None:
        """Takes an ended job from the store, if it is there."""
        if job_id not in self.machine.jobs:
            known = await self._in_store(lambda: self._store.load_job(job_id))
            if known is not None and job_id not in self.machine.jobs:
                self._apply(self.machine.restore(known))

    async def _begin_again(self, message: uplink_pb2.OpenJob) -> None:
        job_id = message.job_id
        # One at a time: logs are read and cut before anything is appended to them again.
        async with self._beginning:
            job = self.machine.jobs.get(job_id)
            if job is None or job.state not in (JOB_FAILED, JOB_CANCELLED):
                return
            # What ended the job is carried out by then, its logs removed or kept.
            await self._in_store(lambda: None)
            await asyncio.to_thread(self._logs.settle)
            logs = await asyncio.to_thread(self._read_logs, job)
            priority, deadline = priority_of(message), message.deadline_unix_nanos
            self._post(m.Requeue(job_id, logs, message.submission, priority, deadline))
        log.info("job_begun_again", job_id=job_id.hex(), run=job.run, chunks=sum(len(x.chunks) for x in logs))

    def _read_logs(self, job: Job) -> tuple[Recovered, ...]:
        return tuple(recover(self._logs.root, (job.job_id, s.index), s.circuit.wires) for s in job.segments)

    async def _with_kept_logs(self, running: set[bytes]) -> list[Job]:
        """Ended jobs whose chunk logs are still here for who requeues them."""
        found = []
        for job_id in await asyncio.to_thread(self._logs.jobs):
            job = await self._in_store(partial(self._store.load_job, job_id))
            if job is not None and job_id not in running and self.machine.keeps_logs(job, time.time_ns()):
                job.logs_kept = True
                found.append(job)
        return found

    # Circuits.

    def circuits(self) -> list[circuit_pb2.Circuit]:
        """All registered circuits, by name."""
        return sorted(self._circuits.values(), key=lambda c: (c.name, c.digest))

    def circuit(self, digest: bytes) -> circuit_pb2.Circuit | None:
        """One registered circuit."""
        return self._circuits.get(digest)

    async def register(self, circuit: circuit_pb2.Circuit) -> None:
        """Keeps a circuit whose artifacts are stored and checked."""
        await self._in_store(lambda: self._store.write([db.circuit_write(circuit)]))
        self._know(circuit)
        log.info(
            "circuit_registered",
            circuit=circuit.digest.hex(),
            name=circuit.name,
            wires=circuit.wires,
            insecure_setup=circuit.insecure_setup,
        )

    def _know(self, circuit: circuit_pb2.Circuit) -> None:
        self._circuits[circuit.digest] = circuit
        if circuit.parts.r1cs_digest:
            self.keys.know_r1cs(circuit.digest, Digest(circuit.parts.r1cs_digest))
        self._post(m.CircuitKnown(CircuitInfo(circuit.digest, circuit.wires, circuit.public_signals)))

    async def forgive(self, name: str) -> list[Distrust]:
        """Trusts edges with partials again, by fingerprint or identity; those that were not trusted, durably."""
        found, now = self.machine.trust.called(name), time.time_ns()
        writes = [db.distrust_write(replace(record, forgiven_nanos=now)) for record in found]
        await self._in_store(lambda: self._store.write(writes))
        for record in found:
            self.machine.trust.forgive(record.session_id)
            log.info("edge_forgiven", edge=record.edge_name, identity=record.identity, session=record.fingerprint)
        return found

    # Questions.

    async def settled(self) -> None:
        """Returns when all that was decided until now is durable: an end or a result is told to nobody before."""
        await self._in_store(lambda: None)

    async def job(self, job_id: bytes) -> Job | None:
        """A job, from memory or from the store."""
        live = self.machine.jobs.get(job_id)
        return live if live is not None else await self._in_store(lambda: self._store.load_job(job_id))

    async def newest_jobs(self, limit: int, client: str | None = None) -> list[Job]:
        """The newest jobs first, of all or of one client, each as live as it is."""
        stored = await self._in_store(lambda: self._store.newest(limit, client))
        return [self.machine.jobs.get(job.job_id, job) for job in stored]

    async def records(self, job_id: bytes) -> tuple[dict[int, bytes], list[bytes]]:
        """The signed records of a job's leaf proofs, by segment, and of their batches."""
        return await self._in_store(lambda: self._store.records(job_id))

    async def watch(self, job_id: bytes) -> AsyncIterator[job_pb2.Job]:
        """The job as it is, then after every change (changes close together are told as one), until it ends.

        Views of long jobs cost more, and come less often: at most one every 20 ms and 0.1 ms a segment.
        """
        changed = asyncio.Event()
        watchers = self._watchers.setdefault(job_id, set())
        watchers.add(changed)
        try:
            while True:
                changed.clear()
                job = await self.job(job_id)
                if job is None:
                    return
                view = job_view(job)
                if view.state != RUNNING:
                    await self.settled()
                yield view
                if view.state != RUNNING:
                    return
                await changed.wait()
                await asyncio.sleep(0.02 + len(job.segments) / 10_000)
        finally:
            watchers.discard(changed)
            if not watchers:
                self._watchers.pop(job_id, None)

    def load(self) -> Load:
        """How much the provers have to do."""
        return self.dispatcher.executor.load()

    @property
    def assemblies_waiting(self) -> int:
        """Assemblies with all their leaf proofs that are not done."""
        return self._assembler.waiting

    @property
    def batch_waiting(self) -> int:
        """Leaf proofs that wait for their batch."""
        return self._batcher.waiting

    # Helpers.

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK_SECONDS, self._tick)
        offset = time.time_ns() - time.monotonic_ns()
        if self._clock_offset and abs(offset - self._clock_offset) > CLOCK_NANOS:
            log.warning("clock_set", seconds=(offset - self._clock_offset) // 10**9)
            self.machine.clock_set(offset - self._clock_offset)
        self._clock_offset = offset
        self._post(m.Tick())

    def _end_late(self) -> None:
        self._late_timer = self._loop.call_later(LATE_SECONDS, self._end_late)
        if self.machine.due(time.time_ns()):
            self._post(m.Tick())

    def _recover(self, job: Job) -> None:
        """A running job's segments as their logs have them."""
        newest = job.accepted_nanos
        for segment in job.segments:
            key = (job.job_id, segment.index)
            if segment.state == PROVING and job.placement == common_pb2.PLACEMENT_SPLIT:
                segment.partial_origins = partial_origins(self._logs.root, key)
            if segment.state not in OPEN_STATES:
                if segment.state not in (PROVING, PROVED):
                    self._logs.discard(key)
                continue
            path = log_path(self._logs.root, key)
            if path.exists():
                newest = max(newest, path.stat().st_mtime_ns)
            take_log(segment, recover(self._logs.root, key, segment.circuit.wires))
        idle = int(self.config.idle_job_hours * 3600e9)
        job.active_nanos = max(newest, time.time_ns() - idle + min(RETURN_NANOS, idle))
