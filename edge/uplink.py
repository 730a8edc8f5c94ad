"""The uplink: one bidirectional stream to the cloud, opened again whenever it ends. The machine says what to write."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import grpc
import grpc.aio
import structlog
from google.rpc import status_pb2

import hybrid_prover
from hybrid_prover.v1 import assembly_pb2, uplink_pb2, uplink_pb2_grpc
from prover_core.errors import InvalidInputError
from prover_core.formats.chunk import ENCODING_PACKED, partial_digest

from . import policy
from .chunkfile import read_payload
from .cloudcalls import CloudCalls
from .config import EdgeConfig
from .core import EdgeCore
from .instructions import Message, SendAbort, SendChunk, SendEnd, SendFailure, SendOpen, SendProof
from .model import Failure, Job, Segment
from .security import cloud_channel
from .status import from_status, to_status, told_wait
from .views import link_messages, timing_messages, timings_of

log = structlog.get_logger("edge.uplink")

PROTOCOL_VERSION = 1
WELCOME_SECONDS = 15.0
DRAIN_SECONDS = 60.0
TICK_SECONDS = 0.5
_MIB = 1 << 20
_OPTIONS = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A ping of gRPC's own keeps the keepalive's waiting, and has a minute's patience otherwise. Not less: behind a full
    # pipe pings are slow.
    ("grpc.http2.ping_timeout_ms", 30_000),
    ("grpc.max_receive_message_length", 64 * _MIB),
    ("grpc.max_send_message_length", 64 * _MIB),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Two edges of one process (tests, the demo) must not share a connection.
    ("grpc.use_local_subchannel_pool", 1),
]


class Uplink:
    """Keeps the edge connected for as long as `run` runs."""

    def __init__(self, config: EdgeConfig, core: EdgeCore) -> None:
        self._config = config
        self._core = core
        self._draining: float | None = None

    async def run(self) -> None:
        """Connects, serves, waits, and again; ends only when cancelled."""
        ticker = asyncio.create_task(self._tick())
        attempt = 0
        try:
            while True:
                self._draining = None
                welcomed = await self._connect_once()
                attempt = 1 if welcomed else attempt + 1
                wait = policy.backoff(attempt, random.random()) / 1e9
                if self._draining is not None:
                    wait = max(wait, self._draining)
                log.info("uplink down", cloud=self._config.cloud, retry_in=round(wait, 2))
                await asyncio.sleep(wait)
        finally:
            ticker.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self._core.apply(self._core.machine.tick(self._core.now()))
            except Exception as e:
                log.error("tick broke", error=repr(e), exc_info=e)

    async def _connect_once(self) -> bool:
        """One connection from Hello to its end; whether the cloud welcomed it."""
        core = self._core
        try:
            opened = cloud_channel(self._config, _OPTIONS)
        except InvalidInputError as e:
            log.error("uplink has no certificate", cloud=self._config.cloud, error=str(e))
            return False
        async with opened as channel:
            call = uplink_pb2_grpc.UplinkServiceStub(channel).Uplink()
            calls = CloudCalls(core, channel)
            writer: asyncio.Task[None] | None = None
            try:
                welcome = await self._hello(call)
                if welcome is None:
                    return False
                core.on_uplink = calls.start
                taken = welcome.takes_partials
                core.apply(
                    core.machine.uplink_up(
                        welcome.credit_bytes, welcome.max_chunk_bytes, core.now(), takes_partials=taken
                    )
                )
                core.observer.connected()
                log.info("uplink up", cloud=self._config.cloud, credit=welcome.credit_bytes)
                writer = asyncio.create_task(self._write(call))
                await self._read(call, writer)
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as e:
                reason = f"{e.code().name}: {e.details()}" if isinstance(e, grpc.aio.AioRpcError) else repr(e)
                log.warning("uplink broke", cloud=self._config.cloud, error=reason)
            except asyncio.CancelledError:
                # gRPC raises this for a call that was cancelled on this side, too.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                log.warning("uplink broke", cloud=self._config.cloud, error="the call was cancelled")
            except Exception as e:
                # A fault of ours must not cost more than the connection.
                log.error("uplink broke", cloud=self._config.cloud, error=repr(e), exc_info=e)
            finally:
                core.on_uplink = lambda _: None
                if writer is not None:
                    core.observer.disconnected()
                    writer.cancel()
                    await asyncio.gather(writer, return_exceptions=True)
                await calls.close()
                call.cancel()
                core.apply(core.machine.uplink_down(core.now()))
            return writer is not None

    async def _hello(self, call: Any) -> uplink_pb2.Welcome | None:
        hello = uplink_pb2.Hello(
            session_id=self._core.spool.spool.session_id,
            edge_name=self._config.name,
            protocol_version=PROTOCOL_VERSION,
            software_version=hybrid_prover.__version__,
        )
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                await call.write(uplink_pb2.UplinkRequest(hello=hello))
                answer = await call.read()
        except TimeoutError:
            log.warning("uplink broke", cloud=self._config.cloud, error="no welcome")
            return None
        if answer is grpc.aio.EOF:
            log.warning("uplink broke", cloud=self._config.cloud, error=f"{await call.code()}: {await call.details()}")
            return None
        if not answer.HasField("welcome"):
            text = answer.refused.error.message if answer.HasField("refused") else "no welcome"
            log.error("uplink refused", cloud=self._config.cloud, error=text)
            return None
        if ENCODING_PACKED not in answer.welcome.encodings:
            log.error("uplink refused", cloud=self._config.cloud, error="the cloud reads no encoding of this version")
            return None
        return uplink_pb2.Welcome.FromString(answer.welcome.SerializeToString())

    # Out

    async def _write(self, call: Any) -> None:
        core = self._core
        while True:
            message = core.machine.next_message(core.now())
            if message is None:
                core.wake.clear()
                await core.wake.wait()
                continue
            request = self._request(message)
            if request is not None:
                core.observer.sends(request)
                await call.write(request)

    def _request(self, message: Message) -> uplink_pb2.UplinkRequest | None:
        """The wire form; None if what it is about has gone in the meantime."""
        job = self._core.machine.jobs.get(message.job_id)
        if job is None:
            return None
        match message:
            case SendOpen():
                opened = uplink_pb2.OpenJob(
                    job_id=job.id,
                    name=job.plan.name,
                    placement=int(job.plan.placement),  # type: ignore[arg-type]
                    circuits=[s.circuit for s in job.segments],
                    links=link_messages(job.plan.links),
                    client=job.plan.client,
                    submission=job.accepted,
                    priority=int(job.priority),  # type: ignore[arg-type]
                    deadline_unix_nanos=job.deadline,
                )
                if job.plan.assembly is not None:
                    opened.assembly.CopyFrom(assembly_pb2.AssemblyOptions.FromString(job.plan.assembly))
                return uplink_pb2.UplinkRequest(open_job=opened)
            case SendChunk(job_id, segment, sequence, with_partial):
                record = self._core.chunks[job_id, segment][sequence]
                try:
                    payload = read_payload(self._core.spool.spool.chunk_file(job_id, segment), record)
                except OSError as e:
                    log.error("chunk lost", job_id=job_id.hex(), segment=segment, sequence=sequence, error=str(e))
                    payload = b""
                chunk = uplink_pb2.Chunk(
                    job_id=job_id,
                    segment=segment,
                    sequence=sequence,
                    wire_offset=record.wire_offset,
                    wire_count=record.wire_count,
                    encoding=record.encoding,
                    payload=payload,
                    digest=record.digest,
                )
                if with_partial and (points := self._core.partials.get((job_id, segment), {}).get(sequence)):
                    chunk.partial.points = points
                    chunk.partial.digest = partial_digest(record.digest, points)
                return uplink_pb2.UplinkRequest(chunk=chunk)
            case SendEnd(job_id, segment):
                s = job.segments[segment]
                if job.split:
                    self._log_split(job_id, s)
                end = uplink_pb2.SegmentEnd(
                    job_id=job_id,
                    segment=segment,
                    chunk_count=s.chunk_count or 0,
                    timings=timing_messages(s.timings.values()),
                )
                return uplink_pb2.UplinkRequest(segment_end=end)
            case SendProof(job_id, segment):
                s = job.segments[segment]
                proof = uplink_pb2.SegmentProof(
                    job_id=job_id, segment=segment, timings=timing_messages(s.timings.values())
                )
                proof.leaf.ParseFromString(s.leaf)
                return uplink_pb2.UplinkRequest(segment_proof=proof)
            case SendFailure(job_id, segment, failure):
                failed = uplink_pb2.SegmentFailure(job_id=job_id, segment=segment, error=told_of(job, failure))
                return uplink_pb2.UplinkRequest(segment_failure=failed)
            case SendAbort(job_id):
                error = told_of(job, job.failure) if job.failure is not None else None
                return uplink_pb2.UplinkRequest(abort_job=uplink_pb2.AbortJob(job_id=job_id, error=error))

    # In

    async def _read(self, call: Any, writer: asyncio.Task[None]) -> None:
        """Until the stream ends; the writer's end is the stream's."""
        while True:
            reading = asyncio.ensure_future(call.read())
            limit = DRAIN_SECONDS if self._draining is not None else None
            await asyncio.wait({reading, writer}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                if writer.done():
                    writer.result()
                return
            answer = reading.result()
            if answer is grpc.aio.EOF:
                code = await call.code()
                if code is not grpc.StatusCode.OK:
                    log.warning("uplink ended", cloud=self._config.cloud, error=f"{code.name}: {await call.details()}")
                return
            if answer.HasField("draining"):
                # The machine gives out nothing more; what the cloud still finishes is heard until it ends the stream.
                self._draining = answer.draining.retry_after_millis / 1e3
                self._core.apply(self._core.machine.draining())
                log.info("cloud is draining", cloud=self._config.cloud, retry_in=self._draining)
            else:
                self._take(answer)

    def _take(self, answer: uplink_pb2.UplinkResponse) -> None:
        core, machine, now = self._core, self._core.machine, self._core.now()
        core.observer.told(answer)
        match answer.WhichOneof("message"):
            case "job_opened":
                opened = answer.job_opened
                positions = [(p.next_sequence, p.complete) for p in opened.positions]
                core.apply(machine.job_opened(opened.job_id, positions, now))
            case "ack":
                core.apply(machine.ack(answer.ack.job_id, answer.ack.segment, answer.ack.next_sequence, now))
            case "credit":
                core.apply(machine.credit(answer.credit.bytes))
            case "refused":
                self._refused(answer.refused, now)
            case "partials_refused":
                self._partials_refused(answer.partials_refused)
            case "segment_update":
                self._segment_update(answer.segment_update, now)
            case "job_update":
                update = answer.job_update
                if update.HasField("failed"):
                    core.apply(machine.job_failed(update.job_id, from_status(update.failed), now))
                elif update.HasField("done"):
                    done = update.done
                    made = done.assembly.SerializeToString() if done.HasField("assembly") else b""
                    core.apply(machine.job_done(update.job_id, now, made, done.status.SerializeToString()))
                elif update.HasField("assembling"):
                    core.apply(machine.job_assembling(update.job_id, update.assembling.SerializeToString()))
            case other:
                log.warning("message of an unknown kind", kind=other)

    def _log_split(self, job_id: bytes, s: Segment) -> None:
        """What was decided for the chunks of a segment, once all have been sent."""
        rate, made = self._core.machine.uplink_rate, s.timings.get("partials")
        log.info(
            "partials decided",
            job_id=job_id.hex(),
            segment=s.index,
            chunks=s.cursor,
            partials=len(s.partials_sent),
            late=s.partials_late,
            ms=round(made.duration / 1e6) if made else 0,
            uplink_megabits=round(rate * 8 / 1e6, 1) if rate else None,
        )

    def _refused(self, refused: uplink_pb2.Refused, now: int) -> None:
        status = status_pb2.Status.FromString(refused.error.SerializeToString())
        made = from_status(status)
        told = told_wait(made)
        segment = refused.segment if refused.has_segment else None
        bound = log.bind(job_id=refused.job_id.hex(), segment=segment)
        bound.warning("refused", code=made.code.name, error=made.message, wanted=refused.next_sequence)
        wait = policy.backoff(4, random.random()) if told is None else int(told * (1 + random.random()))
        self._core.apply(
            self._core.machine.refused(
                refused.job_id, segment, refused.next_sequence, made, wait, now, later=told is not None
            )
        )

    def _partials_refused(self, refused: uplink_pb2.PartialsRefused) -> None:
        log.error(
            "partials refused",
            cloud=self._config.cloud,
            job_id=refused.job_id.hex(),
            segment=refused.segment,
            sequences=list(refused.sequences),
            error=refused.error.message,
        )
        self._core.apply(self._core.machine.partials_refused())

    def _segment_update(self, update: uplink_pb2.SegmentUpdate, now: int) -> None:
        core, machine = self._core, self._core.machine
        job_id, segment, timings = update.job_id, update.segment, timings_of(update.timings)
        match update.WhichOneof("event"):
            case "proving":
                core.apply(machine.segment_proving(job_id, segment, timings, now))
            case "proved":
                core.leaf_came(job_id, segment, update.proved.SerializeToString(), timings)
            case "verified":
                core.apply(machine.segment_verified(job_id, segment, timings, now))
            case "failed":
                core.apply(machine.segment_lost(job_id, segment, from_status(update.failed), timings, now))


def told_of(job: Job, failure: Failure) -> status_pb2.Status:
    """What the cloud hears of a failure: of a private job no more than its code, for the constraint that a witness
    breaks, or where its program stops, is a fact about secret inputs."""
    if job.private:
        return status_pb2.Status(code=int(failure.code), message="a private job ended at its edge, which knows why")
    return to_status(failure)
