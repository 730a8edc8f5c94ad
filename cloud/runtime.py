"""The cloud's hands: instructions of the machine are carried out, and what comes of them is told to it.

Durability: an instruction list that holds writes is carried out up to the first write at once, the rest when all its
writes are on disk; the store's single thread keeps the order between lists. The chunk logs have a thread of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, NoReturn, TypeVar

import structlog
from google.rpc import status_pb2

from hybrid_prover.admission.doors import Doors
from hybrid_prover.admission.fairness import Share
from hybrid_prover.admission.quotas import Exceeded
from hybrid_prover.admission.refusals import refusal
from hybrid_prover.admission.table import QuotaTable
from hybrid_prover.provenance import LeafFacts
from hybrid_prover.v1 import assembly_pb2, circuit_pb2, common_pb2
from prover_core.artifacts import open_artifacts
from prover_core.backend import Backend, select
from prover_core.errors import InvalidInputError

from . import messages as m
from . import store as db
from .assembler import Assembler
from .attempts import Attempt
from .batcher import Batcher, Outcome
from .chunklog import ChunkLogs
from .config import CloudConfig
from .dispatch import Dispatcher
from .errors import RESOURCE_EXHAUSTED, WireError, make_status
from .executor import Timings
from .keys import KeyCache
from .links import Link, log_sent
from .machine import Machine
from .model import VERIFIED, Maker, Segment, SegmentKey
from .observer import CloudObserver
from .policy import Limits
from .records import Recorder
from .sessions import Sessions
from .wrapkeys import WrapStock

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Runtime:
    """What is left of a cloud without its life and its services: the machine, and everything that serves it."""

    observer: CloudObserver
    dispatcher: Dispatcher
    _loop: asyncio.AbstractEventLoop
    _store: db.Store
    _logs: ChunkLogs
    _batcher: Batcher
    _assembler: Assembler

    def __init__(self, config: CloudConfig) -> None:
        self.config = config
        _private(config.data_dir)
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
        self.quotas = QuotaTable(config.quotas)
        self.machine = Machine(
            sessions,
            limits=Limits(config.max_jobs, config.max_pending_segments, config.backlog_bytes, self.quotas.of),
            max_chunk_bytes=config.max_chunk_bytes,
            max_segments=config.max_segments,
            retry_budget=config.retry_budget,
            idle_nanos=int(config.idle_job_hours * 3600e9),
        )
        self.wraps = WrapStock(
            config.wrap_keys or config.data_dir / "wrap-keys",
            self.backend,
            makes=config.make_wrap_keys,
            places=config.assembly_leaves,
        )
        self.doors = Doors(self.quotas, config.max_watchers, time.monotonic_ns, self._refuse)
        """What clients hold open."""
        self.started_nanos = time.time_ns()
        self.failed: asyncio.Future[None] | None = None
        """Set when the store cannot be written: nothing can be promised any more, the process must end."""
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._links: dict[int, Link] = {}
        self._next_connection = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers: dict[bytes, set[asyncio.Event]] = {}
        self._circuits: dict[bytes, circuit_pb2.Circuit] = {}
        self.recorder = Recorder(config.data_dir, self.backend, self._circuits)

    def _refuse(self, over: Exceeded) -> NoReturn:
        self.observer.metrics.admission_refusals.labels(over.reason).inc()
        raise WireError(refusal(over))

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
            verified = [x for x in rest if isinstance(x, m.SaveSegment) and x.segment.state == VERIFIED]
            facts = [self.recorder.facts(x.job, x.segment) for x in verified]
            self._spawn(self._save_then(writes, facts, rest))

    async def _save_then(self, writes: list[db.Write], facts: list[LeafFacts], rest: Sequence[m.Instruction]) -> None:
        with self.observer.store_write():
            await self._in_store(lambda: self._store.write([*writes, *map(self.recorder.leaf, facts)]))
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
            case m.Assemble():
                assert instruction.assembly.work is not None
                known = instruction.assembly.assembly_id
                self._assembler.put(known, instruction.assembly.work, instruction.leaves, complete=instruction.complete)
            case m.StopAssembly():
                self._assembler.stop(instruction.assembly_id)
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

    def _assembly_moved(self, assembly_id: bytes, committed: int, proved: int, timings: Timings) -> None:
        self._post_soon(m.AssemblyMoved(assembly_id, committed, proved, timings))

    def _assembly_made(self, assembly_id: bytes, result: assembly_pb2.AssemblyResult, timings: Timings) -> None:
        result.record = self.recorder.assembly(result, timings)
        self._post_soon(m.AssemblyMade(assembly_id, result, timings))

    def _assembly_broken(self, assembly_id: bytes, error: status_pb2.Status, timings: Timings) -> None:
        self._post_soon(m.AssemblyBroken(assembly_id, error, timings))

    # What the dispatcher says of tasks (`dispatch.Owner`).

    def segment(self, key: SegmentKey) -> Segment | None:
        job = self.machine.jobs.get(key[0])
        return job.segments[key[1]] if job is not None else None

    def share(self, key: SegmentKey) -> Share:
        job = self.machine.jobs.get(key[0])
        return job.share if job is not None else Share()

    def leaf_made(self, key: SegmentKey, leaf: common_pb2.LeafProof, timings: Timings, maker: Maker) -> None:
        milliseconds = {t.phase: t.duration_nanos // 1_000_000 for t in timings}
        log.info("leaf_proved", job_id=key[0].hex(), segment=key[1], milliseconds=milliseconds)
        self._post(m.LeafProved(key, leaf, timings, maker))

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
        await self._in_store(lambda: self._store.write([db.batch_write(outcome.record), self.recorder.batch(outcome)]))
        self.observer.batch(outcome.record.cause, len(outcome.record.members), outcome.record.failed)
        batch_id, good, bad = outcome.record.batch_id, outcome.good, outcome.bad
        self._post(m.BatchChecked(batch_id, good, bad, outcome.timing, outcome.waits, outcome.leaves))

    # For services.

    async def posted(self, event: m.Event) -> None:
        """Tells the machine; returns when what it saves of that is durable."""
        self._post(event)
        await asyncio.sleep(0)
        await self._in_store(lambda: None)

    async def in_store(self, call: Callable[[db.Store], T]) -> T:
        """One call of the store, after all that has been written so far."""
        return await self._in_store(lambda: call(self._store))

    @contextlib.contextmanager
    def watching(self, known: bytes) -> Iterator[asyncio.Event]:
        """Is set whenever the job or assembly with this id has changed."""
        changed = asyncio.Event()
        watchers = self._watchers.setdefault(known, set())
        watchers.add(changed)
        try:
            yield changed
        finally:
            watchers.discard(changed)
            if not watchers:
                self._watchers.pop(known, None)

    # Helpers.

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


def _private(folder: Path) -> None:
    """Makes the folder, its owner's alone: the chunk logs in it are witnesses."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        folder.chmod(0o700)
    except PermissionError:
        # A volume that belongs to somebody else, as containers have them: who made it answers for it.
        if folder.stat().st_mode & 0o007:
            log.warning("data_dir_open_to_others", folder=str(folder))


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
        case m.SaveAssembly():
            return [db.assembly_write(instruction.assembly)]
        case m.SaveDistrust():
            return [db.distrust_write(instruction.record)]
        case _:
            return []
