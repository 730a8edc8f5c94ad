"""The running cloud: carries out the machine's instructions and reports back to it. One event loop, a few threads.

Durability: an instruction list that holds writes is carried out up to the first write at once, the rest when all its
writes are on disk; the store's single thread keeps the order between lists. The chunk logs have a thread of their own.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import structlog
from google.rpc import status_pb2

from hybrid_prover.telemetry.otlp import open_traces
from hybrid_prover.v1 import circuit_pb2, common_pb2, job_pb2, uplink_pb2
from prover_core.artifacts import open_artifacts
from prover_core.backend import Backend, select
from prover_core.errors import InvalidInputError
from prover_core.types import Digest

from . import messages as m
from . import store as db
from .attempts import Attempt
from .batcher import Batcher, Outcome
from .chunklog import ChunkLogs, Recovered, log_path, partial_origins, recover
from .config import CloudConfig
from .control import take_log
from .dispatch import Dispatcher
from .errors import RESOURCE_EXHAUSTED, make_status
from .executor import Load, Timings
from .keys import KeyCache
from .leases import LeaseBook
from .links import Link, log_sent
from .machine import Machine
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
    Segment,
    SegmentKey,
    job_view,
)
from .observer import CloudObserver
from .policy import BatchPolicy
from .sessions import SESSION_BYTES, Sessions, draining, session_bound
from .statusview import samples
from .trust import Distrust, fingerprint

log = structlog.get_logger(__name__)

TICK_SECONDS = 30.0

T = TypeVar("T")


class Aggregator:
    """Everything but gRPC. Make it, `start`, use it from one event loop, `stop`."""

    def __init__(self, config: CloudConfig) -> None:
        self.config = config
        config.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(config.data_dir)
        self.artifacts = open_artifacts(
            config.data_dir / "artifacts",
            config.artifacts,
            max_bytes=config.max_artifact_bytes,
            cache_bytes=config.artifact_cache_bytes,
        )
        self.backend, self.backend_reason = _backend(config)
        self.keys = KeyCache(self.artifacts, config.loaded_keys)
        sessions = Sessions(
            config.session_credit_bytes, config.max_chunk_bytes, config.ingest_memory_bytes, config.retry_after_ms
        )
        self.machine = Machine(
            sessions,
            max_chunk_bytes=config.max_chunk_bytes,
            max_segments=config.max_segments,
            backlog_bytes=config.backlog_bytes,
            retry_budget=config.retry_budget,
            idle_nanos=int(config.idle_job_hours * 3600e9),
        )
        self.observer = CloudObserver(
            CloudMetrics(lambda: samples(self)), self.backend.name, self.backend.device, config.tls
        )
        self.started_nanos = time.time_ns()
        self.failed: asyncio.Future[None] | None = None
        """Set when the store cannot be written: nothing can be promised any more, the process must end."""
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._links: dict[int, Link] = {}
        self._next_connection = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers: dict[bytes, set[asyncio.Event]] = {}
        self._circuits: dict[bytes, circuit_pb2.Circuit] = {}

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
            ),
            self,
            self.keys,
            self._logs.root,
            self.backend,
            workers=config.workers or max(3, len(os.sched_getaffinity(0)) // 4),
            max_open=config.max_open_segments,
            local=not config.remote_workers_only,
            lease_nanos=lease_nanos,
        )
        policy = BatchPolicy(config.batch_size, config.batch_age_ms * 1_000_000)
        self._batcher = Batcher(self.keys, self.backend, policy, self._batch_checked, self._batch_broken)
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
        self._tick()
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
        await self.dispatcher.close()
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
        link = self._links[self._next_connection] = Link(self._next_connection, edge)
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
        if request.HasField("open_job"):
            await self._ensure(request.open_job.job_id)
            if self.machine.goes_again(request.open_job):
                await self._begin_again(request.open_job.job_id, request.open_job.submission)
        self._post(m.Received(link.connection, request, link.edge))

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
        await self._begin_again(job_id, 0)
        return self.machine.jobs.get(job_id)

    async def _ensure(self, job_id: bytes) -> None:
        """Takes an ended job from the store, if it is there."""
        if job_id not in self.machine.jobs:
            known = await self._in_store(lambda: self._store.load_job(job_id))
            if known is not None and job_id not in self.machine.jobs:
                self._apply(self.machine.restore(known))

    async def _begin_again(self, job_id: bytes, submission: int) -> None:
        job = self.machine.jobs.get(job_id)
        if job is None or job.state not in (JOB_FAILED, JOB_CANCELLED):
            return
        await asyncio.to_thread(self._logs.settle)
        logs = await asyncio.to_thread(self._read_logs, job)
        self._post(m.Requeue(job_id, logs, submission))
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

    async def job(self, job_id: bytes) -> Job | None:
        """A job, from memory or from the store."""
        live = self.machine.jobs.get(job_id)
        return live if live is not None else await self._in_store(lambda: self._store.load_job(job_id))

    async def newest_jobs(self, limit: int, client: str | None = None) -> list[Job]:
        """The newest jobs first, of all or of one client, each as live as it is."""
        stored = await self._in_store(lambda: self._store.newest(limit, client))
        return [self.machine.jobs.get(job.job_id, job) for job in stored]

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
                yield job_view(job)
                if job.state != RUNNING:
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
    def batch_waiting(self) -> int:
        """Leaf proofs that wait for their batch."""
        return self._batcher.waiting

    # Carrying out.

    def _post(self, event: m.Event) -> None:
        now = time.time_ns()
        instructions = self.machine.handle(event, now)
        self.observer.saw(event, instructions, now)
        self._apply(instructions)

    def _post_soon(self, event: m.Event) -> None:
        self._loop.call_soon_threadsafe(self._post, event)

    def _apply(self, instructions: Sequence[m.Instruction]) -> None:
        first = next((i for i, x in enumerate(instructions) if isinstance(x, m.SAVES)), len(instructions))
        for instruction in instructions[:first]:
            self._carry_out(instruction)
        if first < len(instructions):
            rest = instructions[first:]
            writes = [write for x in rest for write in _writes(x)]
            self._spawn(self._save_then(writes, rest))

    async def _save_then(self, writes: list[db.Write], rest: Sequence[m.Instruction]) -> None:
        with self.observer.store_write():
            await self._in_store(lambda: self._store.write(writes))
        for instruction in rest:
            if isinstance(instruction, m.SaveJob):
                self._post(m.JobSaved(instruction.job.job_id))
            elif not isinstance(instruction, m.SAVES):
                self._carry_out(instruction)

    def _carry_out(self, instruction: m.Instruction) -> None:
        match instruction:
            case m.Send():
                if (link := self._links.get(instruction.connection)) is not None:
                    link.put(instruction.response)
                    log_sent(instruction.response)
            case m.Close():
                if (link := self._links.get(instruction.connection)) is not None:
                    link.put(instruction.error)
            case m.AppendChunk():
                self._logs.append_chunk(instruction.chunk, instruction.origin)
            case m.AppendEnd():
                self._logs.append_end(instruction.key, instruction.chunk_count)
            case m.Advance():
                self.dispatcher.advance(instruction.key, instruction.circuit, instruction.chunks, instruction.complete)
            case m.Discard():
                self.dispatcher.discard(instruction.key)
                self._batcher.drop(instruction.key)
                self._logs.discard(instruction.key)
            case m.Stop():
                self.dispatcher.discard(instruction.key)
                self._batcher.drop(instruction.key)
            case m.Verify():
                self._batcher.add(instruction.key, instruction.circuit, instruction.leaf)
            case m.LeavesComplete():
                self._batcher.complete(instruction.job_id)
            case m.Changed():
                for event in self._watchers.get(instruction.job_id, ()):
                    event.set()

    # Reports, from other threads but for the batcher's.

    def _chunks_durable(self, key: SegmentKey, next_sequence: int, ended: bool) -> None:
        self._post_soon(m.ChunksDurable(key, next_sequence, ended))

    def _log_failed(self, key: SegmentKey, error: OSError) -> None:
        self.observer.storage_failed()
        log.error("chunk_log_failed", job_id=key[0].hex(), segment=key[1], exc_info=error)
        status = make_status(
            RESOURCE_EXHAUSTED, f"segments[{key[1]}]: the cloud cannot store its chunks", reason="STORAGE_FAILED"
        )
        self._post_soon(m.SegmentBroken(key, status))

    # What the dispatcher says of tasks (`dispatch.Owner`).

    def segment(self, key: SegmentKey) -> Segment | None:
        job = self.machine.jobs.get(key[0])
        return job.segments[key[1]] if job is not None else None

    def leaf_made(self, key: SegmentKey, leaf: common_pb2.LeafProof, timings: Timings) -> None:
        milliseconds = {t.phase: t.duration_nanos // 1_000_000 for t in timings}
        log.info("leaf_proved", job_id=key[0].hex(), segment=key[1], milliseconds=milliseconds)
        self._post(m.LeafProved(key, leaf, timings))

    def segment_over(self, key: SegmentKey, error: status_pb2.Status, timings: Timings) -> None:
        self._post(m.SegmentBroken(key, error, timings))

    def attempt_ended(self, key: SegmentKey, attempt: Attempt) -> None:
        self.observer.attempt_ended(attempt)
        job = self.machine.jobs.get(key[0])
        if job is not None:
            job.segments[key[1]].attempts.append(replace(attempt, unix_nanos=time.time_ns()))
            self._apply([m.SaveAttempt(job, job.segments[key[1]])])

    def partials_wrong(self, key: SegmentKey, sequences: tuple[int, ...]) -> None:
        self._post(m.PartialsWrong(key, sequences))

    def lease_moved(self, key: SegmentKey, worker_id: bytes, token: int) -> None:
        job = self.machine.jobs.get(key[0])
        if job is not None and (job.segments[key[1]].lease_worker or worker_id):
            segment = job.segments[key[1]]
            segment.lease_worker, segment.lease_token = worker_id, token
            write = db.lease_write(job, segment)
            self._spawn(self._write([write]))

    async def _write(self, writes: list[db.Write]) -> None:
        await self._in_store(lambda: self._store.write(writes))

    def _batch_broken(self, key: SegmentKey, error: status_pb2.Status) -> None:
        self._post(m.SegmentBroken(key, error))

    def _batch_checked(self, outcome: Outcome) -> None:
        self._spawn(self._save_batch(outcome))

    async def _save_batch(self, outcome: Outcome) -> None:
        await self._in_store(lambda: self._store.write([db.batch_write(outcome.record)]))
        self.observer.batch(outcome.record.cause, len(outcome.record.members), outcome.record.failed)
        self._post(m.BatchChecked(outcome.record.batch_id, outcome.good, outcome.bad, outcome.timing, outcome.waits))

    # Helpers.

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK_SECONDS, self._tick)
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
        job.active_nanos = newest

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task: asyncio.Task[None] = self._loop.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except Exception as e:
            self._give_up(e)

    def _give_up(self, error: Exception) -> None:
        """Nothing can be kept any more: the process must end."""
        if self.failed is not None and not self.failed.done():
            told = isinstance(error, db.StoreError)
            log.critical("store_failed", error=str(error), exc_info=None if told else error)
            self.failed.set_exception(error)

    async def _in_store(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._store_thread, call)
        except (db.StoreUnavailableError, db.StoreInUseError) as e:
            self._give_up(e)
            raise


def _lock(folder: Path) -> IO[bytes]:
    """Keeps a second cloud out of the folder for as long as the file is open, also after a kill."""
    file = (folder / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        file.close()
        raise InvalidInputError(f"another cloud is using {folder}", field="data_dir") from e
    return file


def _backend(config: CloudConfig) -> tuple[Backend, str]:
    selection = select(config.backend or None, config.threads or None)
    return selection.backend, selection.reason


def _writes(instruction: m.Instruction) -> list[db.Write]:
    match instruction:
        case m.SaveJob():
            return db.job_writes(instruction.job)
        case m.SaveSegment():
            return db.segment_writes(instruction.job, instruction.segment)
        case m.SaveState():
            return [db.state_write(instruction.job)]
        case m.SaveAttempt():
            return [db.attempt_write(instruction.job, instruction.segment)]
        case m.SaveDistrust():
            return [db.distrust_write(instruction.record)]
        case _:
            return []
