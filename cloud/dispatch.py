"""Who proves what, carried out: the lease book's instructions go to the local executor and to remote workers.

One event loop. The local path adds no thread and no wait to a chunk: the book is asked, and the executor told, at once.
A remote proof is verified, also against the public signals of the stored witness, before the book hears of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Protocol

import structlog
from google.rpc import status_pb2

from hybrid_prover import __version__
from hybrid_prover.admission.fairness import Share, one
from hybrid_prover.provenance import BlindingSeeds
from hybrid_prover.v1 import common_pb2, worker_pb2
from prover_core.backend import Backend
from prover_core.errors import BackendError, ProverError, VerificationError
from prover_core.groth16 import verify

from .attempts import Attempt
from .chunklog import ChunkLogReader, log_path
from .errors import (
    ABORTED,
    DATA_LOSS,
    FAILED_PRECONDITION,
    INTERNAL,
    INVALID_ARGUMENT,
    UNAVAILABLE,
    make_status,
    status_of,
)
from .executor import Executor, Timings
from .keys import KeyCache
from .leases import LOCAL, Grant, Instruction, LeaseBook, More, Over, Reclaim, Revoke, Tried, Verdict
from .model import CircuitInfo, Maker, Segment, SegmentKey
from .partialcheck import wrong_partials
from .remote import Remote
from .validation import parse_leaf, usable_timings
from .witnesslog import diagnose, read_publics

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
MAX_ERROR_BYTES = 8192
"""Larger statuses of remote workers are cut to their message's beginning."""
_COMPUTE = frozenset({"accumulate", "quotient", "finish"})


class Owner(Protocol):
    """Who has the segments: hears how their tasks go, on the event loop."""

    def segment(self, key: SegmentKey) -> Segment | None:
        """The segment, if it is known."""

    def share(self, key: SegmentKey) -> Share:
        """Whose work the segment is."""

    def leaf_made(self, key: SegmentKey, leaf: common_pb2.LeafProof, timings: Timings, maker: Maker) -> None:
        """A verified leaf proof."""

    def segment_over(self, key: SegmentKey, error: status_pb2.Status, timings: Timings) -> None:
        """There will be no leaf proof."""

    def attempt_ended(self, key: SegmentKey, attempt: Attempt) -> None:
        """To be kept with the segment."""

    def partials_wrong(self, key: SegmentKey, sequences: tuple[int, ...]) -> None:
        """The partials of these chunks are wrong; the proof is made without them."""

    def lease_moved(self, key: SegmentKey, worker_id: bytes, token: int) -> None:
        """A remote worker holds the task now; empty and 0 where none does. To be kept with the segment."""


class Dispatcher:
    """Tasks to workers and back. Make it, `start`, `advance` and `discard`, `close`."""

    def __init__(
        self,
        book: LeaseBook,
        owner: Owner,
        keys: KeyCache,
        logs: Path,
        backend: Backend,
        *,
        workers: int,
        max_open: int,
        local: bool,
        lease_nanos: int,
        seeds: BlindingSeeds,
        weight: Callable[[str], float] = one,
    ) -> None:
        self.book = book
        self._owner = owner
        self._keys = keys
        self._logs = logs
        self._backend = backend
        self._lease_nanos = lease_nanos
        self._seeds = seeds
        self._here = Maker("", f"{backend.name}: {backend.device}", f"hybrid-prover {__version__}")
        self._loop = asyncio.get_running_loop()
        self._remotes: dict[bytes, Remote] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._judging: set[tuple[Remote, SegmentKey]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.executor = Executor(
            keys,
            lambda key, _token: ChunkLogReader(log_path(logs, key)),
            backend,
            workers=workers if local else 0,
            max_open=max_open,
            on_leaf=lambda *said: self._soon(self._local_leaf, *said),
            on_broken=lambda *said: self._soon(self._local_broken, *said),
            on_wrong_partials=lambda *said: self._soon(owner.partials_wrong, *said),
            diagnose=self._diagnose,
            entropy=lambda key, _token: seeds.seed(*key),
            weight=weight,
        )
        if local:
            self._do(book.enlist(LOCAL, "local", workers, time.monotonic_ns(), bounded=False))
        self._tick()

    # What the machine asks.

    def advance(self, key: SegmentKey, circuit: CircuitInfo, chunks: int, complete: bool) -> None:
        """The segment's log may be read up to `chunks`."""
        segment = self._owner.segment(key) if key not in self.book.tasks else None
        holder = (segment.lease_worker, segment.lease_token) if segment is not None and segment.lease_worker else None
        attempts = segment.attempts if segment is not None else ()
        now = time.monotonic_ns()
        share = self._owner.share(key)
        self._do(self.book.advance(key, circuit, chunks, complete, now, attempts=attempts, holder=holder, share=share))

    def discard(self, key: SegmentKey) -> None:
        """Nobody wants the proof: work on it stops, here and elsewhere."""
        self._do(self.book.forget(key, time.monotonic_ns()))

    def finishing(self) -> int:
        """Tasks that need nothing more from their edge and that a worker holds."""
        return sum(t.complete and t.lease is not None for t in self.book.tasks.values())

    def drain(self) -> None:
        """Ends the connections of remote workers, who come back to the next start with what they hold."""
        stopping = make_status(UNAVAILABLE, "the cloud is stopping: reconnect", reason="DRAINING")
        for remote in self._remotes.values():
            remote.tell(stopping)

    async def close(self) -> None:
        """Ends the threads, each after the step it is at."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.to_thread(self.executor.close)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, *(r.close() for r in self._remotes.values()), return_exceptions=True)

    # Remote workers.

    def enlist(self, message: worker_pb2.Enlist) -> Remote:
        """A worker's new connection; an older one of the same worker ends."""
        older = self._remotes.get(message.worker_id)
        if older is not None:
            self.gone(older)
            older.tell(make_status(ABORTED, "a newer connection of this worker took over", reason="SUPERSEDED"))
        maker = Maker(message.name, message.device[:128], f"hybrid-prover {message.software_version[:64]}")
        remote = Remote(message.worker_id, maker, self._logs, self._damaged)
        self._remotes[message.worker_id] = remote
        answer = worker_pb2.Enlisted(lease_millis=self._lease_nanos // 1_000_000)
        remote.tell(worker_pb2.WorkResponse(enlisted=answer))
        now = time.monotonic_ns()
        holds = {(h.lease.job_id, h.lease.segment): h for h in message.leases}
        said = {key: held.lease.token for key, held in holds.items()}
        out = self.book.enlist(message.worker_id, message.name or "worker", message.slots, now, holds=said)
        for key, held in holds.items():
            if self.book.is_current(message.worker_id, key, held.lease.token):
                task = self.book.tasks[key]
                sent = min(held.chunks, task.available)
                remote.feed(key, held.lease.token, task.available, task.complete, sent=sent, ended=held.complete)
        self._do(out)
        if message.leaving:
            self._do(self.book.leaving(message.worker_id, now))
        log.info(
            "worker_enlisted",
            worker=message.name,
            worker_id=message.worker_id.hex(),
            slots=message.slots,
            device=message.device[:128],
            leases=len(said),
        )
        return remote

    def gone(self, remote: Remote) -> None:
        """A connection ended. Its leases go on for a while."""
        self._spawn(remote.close())
        if self._remotes.get(remote.worker_id) is remote:
            del self._remotes[remote.worker_id]
            log.info("worker_disconnected", worker=remote.name, worker_id=remote.worker_id.hex())
            self._do(self.book.disconnected(remote.worker_id, time.monotonic_ns()))

    def receive(self, remote: Remote, request: worker_pb2.WorkRequest) -> None:
        """One message of a worker, in order."""
        if self._remotes.get(remote.worker_id) is not remote:
            return
        now = time.monotonic_ns()
        kind = request.WhichOneof("message")
        match kind:
            case "heartbeat":
                self._do(self.book.heartbeat(remote.worker_id, now))
            case "consumed":
                key, token = _lease(request.consumed.lease)
                if self.book.is_current(remote.worker_id, key, token):
                    remote.consumed(key, token, request.consumed.record_bytes)
                    self._do(self.book.progress(key, token, request.consumed.chunks, now))
            case "proved":
                key, token = _lease(request.proved.lease)
                remote.over(key, token)
                self._judge(remote, key, self._remote_leaf(remote, key, token, request.proved))
            case "failed":
                key, token = _lease(request.failed.lease)
                remote.revoke(key, token)
                if self.book.is_current(remote.worker_id, key, token):
                    self._judge(remote, key, self._remote_failed(key, token, request.failed))
            case "returned":
                key, token = _lease(request.returned.lease)
                remote.over(key, token)
                if self.book.is_current(remote.worker_id, key, token):
                    self._do(self.book.hand_back(key, token, now))
            case "leaving":
                self._do(self.book.leaving(remote.worker_id, now))
            case _:
                remote.tell(make_status(INVALID_ARGUMENT, f"a message of kind {kind} is not for now", reason="MESSAGE"))

    def _judge(self, remote: Remote, key: SegmentKey, work: Coroutine[object, object, None]) -> None:
        """Looks into what a worker says of a task, one saying at a time: a flood of them is not worth more work."""
        said = (remote, key)
        if said in self._judging:
            work.close()
            return
        self._judging.add(said)
        self._spawn(work).add_done_callback(lambda _: self._judging.discard(said))

    async def _remote_leaf(self, remote: Remote, key: SegmentKey, token: int, proved: worker_pb2.TaskProved) -> None:
        """Verifies the proof whatever its lease: a late one that is right is welcome while the task has none."""
        task = self.book.tasks.get(key)
        if task is None:
            remote.revoke(key, token)
            return
        timings = tuple(usable_timings(proved.timings))
        try:
            await asyncio.to_thread(self._check_leaf, key, task.circuit, proved.leaf)
        except (ProverError, OSError) as e:
            log.warning("remote_proof_refused", job_id=key[0].hex(), segment=key[1], worker=remote.name, error=str(e))
            if self.book.is_current(remote.worker_id, key, token):
                self._failed(key, token, status_of(e, prefix=f"segments[{key[1]}]"), Verdict.ERROR, timings)
        else:
            wrong = await self._wrong_partials(key, task.circuit, frozenset(proved.wrong_partials))
            self._accept(key, remote.worker_id, proved.leaf, timings, remote.maker, wrong)
        remote.revoke(key, token)

    async def _wrong_partials(self, key: SegmentKey, circuit: CircuitInfo, accused: frozenset[int]) -> tuple[int, ...]:
        """Those that are wrong of the partials that a worker calls so."""
        if not accused:
            return ()
        try:
            proving_key = await asyncio.to_thread(self._keys.proving_key, circuit.digest)
            return await asyncio.to_thread(wrong_partials, self._logs, key, accused, proving_key, self._backend)
        except (ProverError, OSError) as e:
            log.warning("partials_not_checked", job_id=key[0].hex(), segment=key[1], error=str(e))
            return ()

    def _check_leaf(self, key: SegmentKey, circuit: CircuitInfo, leaf: common_pb2.LeafProof) -> None:
        proof, publics = parse_leaf(leaf, circuit.n_public, f"segments[{key[1]}]")
        if publics != read_publics(self._logs, key, circuit.n_public):
            raise VerificationError("the proof is for other public signals than the witness has", field="publics")
        verify(self._keys.verification_key(circuit.digest), proof, publics, self._backend)

    async def _remote_failed(self, key: SegmentKey, token: int, failed: worker_pb2.TaskFailed) -> None:
        """What a worker blames on the witness is looked at here: a worker that errs must not fail a job."""
        error, verdict = failed.error, Verdict.ERROR
        if not error.code or error.ByteSize() > MAX_ERROR_BYTES:
            text = f"segments[{key[1]}]: the worker gave up: {error.message[:512]}"
            error = make_status(error.code or INTERNAL, text, reason="WORKER_GAVE_UP")
        task = self.book.tasks[key]
        if error.code in (INVALID_ARGUMENT, FAILED_PRECONDITION):
            try:
                found = await asyncio.to_thread(self._diagnose, key, task.circuit)
            except (ProverError, OSError) as e:
                log.warning("diagnosis_failed", job_id=key[0].hex(), segment=key[1], exc_info=e)
            else:
                verdict = Verdict.CLAIM if task.complete else Verdict.ERROR
                if found is not None:
                    verdict = Verdict.ERROR if isinstance(found, BackendError) else Verdict.FAULT
                    error = status_of(found, prefix=f"segments[{key[1]}]")
        self._failed(key, token, error, verdict, tuple(usable_timings(failed.timings)))

    def _diagnose(self, key: SegmentKey, circuit: CircuitInfo) -> ProverError | None:
        return diagnose(self._logs, key, circuit, self._keys.r1cs(circuit.digest), self._backend)

    def _damaged(self, key: SegmentKey, token: int) -> None:
        """The log has lost what was durable: nobody else could prove it either."""
        error = make_status(
            DATA_LOSS, f"segments[{key[1]}]: the stored chunks cannot be read any more", reason="LOG_DAMAGED"
        )
        self._failed(key, token, error, Verdict.FAULT, ())

    # The local executor's reports.

    def _soon(self, call: Callable[..., None], *said: object) -> None:
        self._loop.call_soon_threadsafe(call, *said)

    def _local_leaf(self, key: SegmentKey, _token: int, leaf: common_pb2.LeafProof, timings: Timings) -> None:
        self._accept(key, LOCAL, leaf, timings, self._here)

    def _local_broken(self, key: SegmentKey, token: int, error: status_pb2.Status, timings: Timings) -> None:
        verdict = Verdict.ERROR if error.code in (INTERNAL, UNAVAILABLE) else Verdict.FAULT
        self._failed(key, token, error, verdict, timings)

    # Both.

    def _accept(
        self,
        key: SegmentKey,
        worker_id: bytes,
        leaf: common_pb2.LeafProof,
        timings: Timings,
        maker: Maker,
        wrong_partials: tuple[int, ...] = (),
    ) -> None:
        seconds = sum(t.duration_nanos for t in timings if t.phase in _COMPUTE) / 1e9
        wanted, out = self.book.proved(key, worker_id, seconds, time.monotonic_ns())
        if wanted:
            if wrong_partials:
                self._owner.partials_wrong(key, wrong_partials)
            self._owner.leaf_made(key, leaf, timings, maker)
        self._do(out)

    def _failed(
        self, key: SegmentKey, token: int, error: status_pb2.Status, verdict: Verdict, timings: Timings
    ) -> None:
        self._do(self.book.failed(key, token, error, verdict, time.monotonic_ns()), timings)

    def _do(self, instructions: Sequence[Instruction], timings: Timings = ()) -> None:
        for instruction in instructions:
            match instruction:
                case Grant():
                    self._grant(instruction)
                case More(worker, key, token, chunks, complete):
                    if worker == LOCAL:
                        task = self.book.tasks[key]
                        self.executor.advance(key, token, task.circuit, chunks, complete, task.share)
                    elif (remote := self._remotes.get(worker)) is not None:
                        remote.more(key, token, chunks, complete)
                case Revoke(worker, key, token):
                    if worker == LOCAL:
                        self.executor.discard(key, token)
                    elif (remote := self._remotes.get(worker)) is not None:
                        remote.revoke(key, token)
                case Tried(key, attempt):
                    log.warning(
                        "attempt_ended",
                        job_id=key[0].hex(),
                        segment=key[1],
                        worker=attempt.name,
                        outcome=attempt.outcome.name.lower(),
                        error=attempt.error.message if attempt.error is not None else None,
                    )
                    self._owner.attempt_ended(key, attempt)
                case Over(key, error):
                    self._owner.segment_over(key, error, timings)
                case Reclaim(count):
                    for key, token in self.executor.give_up(count):
                        self._do(self.book.hand_back(key, token, time.monotonic_ns()))

    def _grant(self, grant: Grant) -> None:
        if grant.worker == LOCAL:
            self._owner.lease_moved(grant.key, b"", 0)
            self.executor.advance(grant.key, grant.token, grant.circuit, grant.chunks, grant.complete, grant.share)
        elif (remote := self._remotes.get(grant.worker)) is not None:
            self._owner.lease_moved(grant.key, grant.worker, grant.token)
            seed = self._seeds.seed(*grant.key)
            remote.grant(grant.key, grant.token, grant.circuit, grant.chunks, grant.complete, seed)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        self._do(self.book.tick(time.monotonic_ns()))

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("dispatch_failed", exc_info=error)


def _lease(ref: worker_pb2.LeaseRef) -> tuple[SegmentKey, int]:
    return (ref.job_id, ref.segment), ref.token
