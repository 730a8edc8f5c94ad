"""A running worker: one stream to the cloud, opened again whenever it ends, and an executor behind it.

Leases outlive connections: the worker works on while it reconnects, brings its leases along, and sends a finished proof
until the cloud says that the lease is over. Told to stop it takes nothing new, hands back what still waits for its
edge, finishes the rest, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable

import grpc
import grpc.aio
import structlog
from google.rpc import status_pb2

import hybrid_prover
from hybrid_prover.v1 import common_pb2, worker_pb2, worker_pb2_grpc
from prover_core.artifacts import ArtifactStore
from prover_core.backend import select
from prover_core.errors import InvalidInputError, ProverError

from ..executor import Executor, Timings
from ..keys import KeyCache
from ..model import CircuitInfo, SegmentKey
from .config import WorkerConfig
from .connection import fetch_key, open_channel
from .leases import FedChunks, Held

log = structlog.get_logger("worker")

PROTOCOL_VERSION = 1
ENLIST_SECONDS = 15.0
_LONGEST_WAIT = 2.0


class Worker:
    """One worker in this process; `run` until `stop`. Lives on one event loop."""

    def __init__(self, config: WorkerConfig) -> None:
        if config.tls is None and not config.plaintext:
            raise InvalidInputError(
                "the cloud wants the worker's certificate: give --tls, or --plaintext for trials on loopback",
                field="tls",
            )
        self.config = config
        self.worker_id = os.urandom(16)
        selection = select(config.backend or None, config.threads or None)
        self.backend, self._reason = selection.backend, selection.reason
        self.artifacts = ArtifactStore(config.cache_dir)
        self.leases: dict[SegmentKey, Held] = {}
        self._keys = KeyCache(self.artifacts, config.loaded_keys)
        self._outbox: asyncio.Queue[worker_pb2.WorkRequest] | None = None
        self._changed = asyncio.Event()
        self._leaving = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fetching: dict[bytes, asyncio.Lock] = {}

    async def run(self) -> None:
        """Connects, works, reconnects; ends after `stop` when no lease is left, or when cancelled."""
        self._loop = asyncio.get_running_loop()
        self._executor = Executor(
            self._keys,
            self._source,
            self.backend,
            workers=self.config.slots,
            # Leases that the cloud has taken back may still be at their last step.
            max_open=2 * self.config.slots,
            on_leaf=lambda *said: self._soon(self._proved, *said),
            on_broken=lambda *said: self._soon(self._failed, *said),
            on_wrong_partials=lambda *said: self._soon(self._wrong_partials, *said),
            entropy=self._entropy,
        )
        log.info("worker_started", name=self.config.name, backend=self.backend.name, reason=self._reason)
        connecting = asyncio.create_task(self._connect())
        try:
            await self._leaving.wait()
            await self._drain()
        finally:
            connecting.cancel()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(connecting, *self._tasks, return_exceptions=True)
            for held in list(self.leases.values()):
                self._executor.discard(held.key, held.token)
            await asyncio.to_thread(self._executor.close)
            log.info("worker_stopped")

    def stop(self) -> None:
        """Begins to end: what waits for its edge goes back at once; called again, everything does."""
        if self._leaving.is_set():
            for held in list(self.leases.values()):
                self._hand_back(held)
        self._leaving.set()

    async def _drain(self) -> None:
        self._say(worker_pb2.WorkRequest(leaving=worker_pb2.Leaving()))
        log.info("worker_draining", leases=len(self.leases))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.drain_seconds):
                while self.leases:
                    for held in [h for h in self.leases.values() if not h.complete]:
                        self._hand_back(held)
                    self._changed.clear()
                    if self.leases:
                        await self._changed.wait()
        for held in list(self.leases.values()):
            self._hand_back(held)
        if self._outbox is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._outbox.join(), 2.0)

    # The connection.

    async def _connect(self) -> None:
        attempt = 0
        while True:
            try:
                async with open_channel(self.config) as channel:
                    enlisted = await self._serve(channel)
            except (ProverError, OSError) as e:
                enlisted = False
                log.error("connection_failed", cloud=self.config.cloud, error=str(e))
            attempt = 0 if enlisted else attempt + 1
            wait = min(_LONGEST_WAIT, 0.1 * 2 ** min(attempt, 6)) * (0.5 + random.random() / 2)
            await asyncio.sleep(wait)

    async def _serve(self, channel: grpc.aio.Channel) -> bool:
        """One connection; whether the cloud took the worker on."""
        call = worker_pb2_grpc.WorkerServiceStub(channel).Work()
        parts: list[asyncio.Task[None]] = []
        try:
            await call.write(worker_pb2.WorkRequest(enlist=self._enlist()))
            async with asyncio.timeout(ENLIST_SECONDS):
                answer = await call.read()
            if answer is grpc.aio.EOF or not answer.HasField("enlisted"):
                log.warning("not_enlisted", cloud=self.config.cloud, error=str(await call.details()))
                return False
            log.info("enlisted", cloud=self.config.cloud, leases=len(self.leases))
            self._outbox = asyncio.Queue()
            for held in list(self.leases.values()):
                held.taken_before = held.taken[1]
                if held.result is not None:
                    self._say(held.result)
            beat = answer.enlisted.lease_millis / 3000
            parts = [
                asyncio.create_task(self._write(call, self._outbox)),
                asyncio.create_task(self._beat(beat)),
                asyncio.create_task(self._read(call, channel)),
            ]
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in parts:
                if part.done() and not part.cancelled() and (error := part.exception()) is not None:
                    raise error
            log.info("disconnected", cloud=self.config.cloud, error=str(await call.details()))
            return True
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, TimeoutError) as e:
            reason = f"{e.code().name}: {e.details()}" if isinstance(e, grpc.aio.AioRpcError) else repr(e)
            log.warning("connection_broke", cloud=self.config.cloud, error=reason)
            return bool(parts)
        finally:
            self._outbox = None
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            call.cancel()

    def _enlist(self) -> worker_pb2.Enlist:
        return worker_pb2.Enlist(
            worker_id=self.worker_id,
            name=self.config.name,
            slots=self.config.slots,
            device=f"{self.backend.name}: {self.backend.device}",
            protocol_version=PROTOCOL_VERSION,
            software_version=hybrid_prover.__version__,
            leases=[
                worker_pb2.HeldLease(lease=h.ref, chunks=h.received, complete=h.complete) for h in self.leases.values()
            ],
            leaving=self._leaving.is_set(),
        )

    async def _write(
        self,
        call: grpc.aio.StreamStreamCall[worker_pb2.WorkRequest, worker_pb2.WorkResponse],
        outbox: asyncio.Queue[worker_pb2.WorkRequest],
    ) -> None:
        while True:
            message = await outbox.get()
            await call.write(message)
            outbox.task_done()

    async def _beat(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self._say(worker_pb2.WorkRequest(heartbeat=worker_pb2.Heartbeat()))

    async def _read(
        self,
        call: grpc.aio.StreamStreamCall[worker_pb2.WorkRequest, worker_pb2.WorkResponse],
        channel: grpc.aio.Channel,
    ) -> None:
        while (answer := await call.read()) is not grpc.aio.EOF:
            self._take(answer, channel)

    def _take(self, answer: worker_pb2.WorkResponse, channel: grpc.aio.Channel) -> None:
        match answer.WhichOneof("message"):
            case "granted":
                self._granted(answer.granted, channel)
            case "chunk":
                held = self._current(answer.chunk.lease)
                if held is not None:
                    held.chunks.put(answer.chunk.record)
                    held.received += 1
                    self._advance(held)
            case "witness_end":
                held = self._current(answer.witness_end.lease)
                if held is not None and answer.witness_end.chunk_count == held.received:
                    held.complete = True
                    self._advance(held)
            case "revoked":
                held = self._current(answer.revoked.lease)
                if held is not None:
                    self._forget(held)
            case other:
                log.warning("message_of_an_unknown_kind", kind=other)

    # Leases.

    def _granted(self, granted: worker_pb2.LeaseGranted, channel: grpc.aio.Channel) -> None:
        key, token = (granted.lease.job_id, granted.lease.segment), granted.lease.token
        older = self.leases.get(key)
        if older is not None:
            self._forget(older)
        chunks = FedChunks(lambda count, size: self._soon(self._taken, key, token, count, size))
        circuit = CircuitInfo(granted.circuit, granted.wires, granted.public_signals)
        held = self.leases[key] = Held(key, token, circuit, chunks, granted.seed, ref=granted.lease)
        log.info("lease_granted", job_id=key[0].hex(), segment=key[1], token=token)
        task = asyncio.create_task(self._make_ready(held, channel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make_ready(self, held: Held, channel: grpc.aio.Channel) -> None:
        """Brings the key; one that cannot be had sends the lease back."""
        lock = self._fetching.setdefault(held.circuit.digest, asyncio.Lock())
        try:
            async with lock:
                await fetch_key(channel, self.artifacts, held.circuit.digest)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, ProverError, OSError) as e:
            log.warning("key_not_fetched", circuit=held.circuit.digest.hex(), error=str(e))
            self._hand_back(held)
        else:
            held.ready = True
            self._advance(held)

    def _source(self, key: SegmentKey, token: int) -> FedChunks:
        """Called by the executor's threads."""
        held = self.leases.get(key)
        return held.chunks if held is not None and held.token == token else FedChunks(lambda _count, _size: None)

    def _entropy(self, key: SegmentKey, token: int) -> bytes | None:
        """Called by the executor's threads."""
        held = self.leases.get(key)
        return held.seed or None if held is not None and held.token == token else None

    def _advance(self, held: Held) -> None:
        if held.ready and held.result is None and (held.received or held.complete):
            self._executor.advance(held.key, held.token, held.circuit, held.received, held.complete)

    def _taken(self, key: SegmentKey, token: int, chunks: int, size: int) -> None:
        held = self.leases.get(key)
        if held is not None and held.token == token:
            held.taken = chunks, size
            consumed = worker_pb2.ChunksConsumed(lease=held.ref, chunks=chunks, record_bytes=size - held.taken_before)
            self._say(worker_pb2.WorkRequest(consumed=consumed))

    def _proved(self, key: SegmentKey, token: int, leaf: common_pb2.LeafProof, timings: Timings) -> None:
        held = self.leases.get(key)
        if held is not None and held.token == token:
            proved = worker_pb2.TaskProved(
                lease=held.ref, leaf=leaf, timings=timings, wrong_partials=held.wrong_partials
            )
            self._conclude(held, worker_pb2.WorkRequest(proved=proved))

    def _failed(self, key: SegmentKey, token: int, error: status_pb2.Status, timings: Timings) -> None:
        held = self.leases.get(key)
        if held is not None and held.token == token:
            log.warning("segment_failed", job_id=key[0].hex(), segment=key[1], code=error.code, error=error.message)
            failed = worker_pb2.TaskFailed(lease=held.ref, error=error, timings=timings)
            self._conclude(held, worker_pb2.WorkRequest(failed=failed))

    def _wrong_partials(self, key: SegmentKey, sequences: tuple[int, ...]) -> None:
        held = self.leases.get(key)
        if held is not None:
            held.wrong_partials = sequences

    def _hand_back(self, held: Held) -> None:
        if held.result is None:
            self._say(worker_pb2.WorkRequest(returned=worker_pb2.LeaseReturned(lease=held.ref)))
        self._forget(held)

    def _conclude(self, held: Held, result: worker_pb2.WorkRequest) -> None:
        held.result, held.complete = result, True
        held.chunks.close()
        self._say(result)

    def _forget(self, held: Held) -> None:
        if self.leases.get(held.key) is held:
            del self.leases[held.key]
        self._executor.discard(held.key, held.token)
        self._changed.set()

    def _current(self, ref: worker_pb2.LeaseRef) -> Held | None:
        held = self.leases.get((ref.job_id, ref.segment))
        return held if held is not None and held.token == ref.token else None

    def _say(self, message: worker_pb2.WorkRequest) -> None:
        """To the cloud, if it is there; what matters beyond a connection is in the leases."""
        if self._outbox is not None:
            self._outbox.put_nowait(message)

    def _soon(self, call: Callable[..., None], *said: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call, *said)


async def serve(config: WorkerConfig) -> None:
    """Runs a worker until SIGTERM or SIGINT, then drains it; a second signal hands everything back at once."""
    worker = Worker(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run()
