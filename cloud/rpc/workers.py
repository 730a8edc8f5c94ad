"""WorkerService: one bidirectional stream a remote worker; leases are the dispatcher's."""

from __future__ import annotations

import asyncio

import grpc
import structlog
from google.rpc import status_pb2

from hybrid_prover.security.principal import current
from hybrid_prover.v1 import worker_pb2, worker_pb2_grpc
from prover_core.types import Digest

from ..aggregator import Aggregator
from ..errors import FAILED_PRECONDITION, INVALID_ARGUMENT, WireError, refuse, status_of
from ..leases import PARTY_BYTES
from ..remote import Remote
from ..validation import check_bytes, check_name
from .status import abort

log = structlog.get_logger(__name__)

PROTOCOL_VERSION = 1
MAX_SLOTS = 1024


class Workers(worker_pb2_grpc.WorkerServiceServicer):
    """The stream ends when the worker closes its side, when a newer connection of it takes over, or on drain."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    async def Work(self, _requests: object, context: grpc.aio.ServicerContext) -> None:
        """Reads and writes side by side; whichever ends first ends the call."""
        try:
            first = await context.read()
            enlist = _checked(first if first is not grpc.aio.EOF else worker_pb2.WorkRequest())
        except WireError as e:
            await abort(context, e.status)
        dispatcher = self._aggregator.dispatcher
        remote = dispatcher.enlist(enlist)
        reader = asyncio.create_task(self._read(remote, context))
        writer = asyncio.create_task(_write(remote, context))
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if writer.done() and not writer.cancelled() and writer.exception() is None:
                await abort(context, writer.result())
            if reader.done() and not reader.cancelled() and (error := reader.exception()) is not None:
                log.error("worker_stream_failed", worker=remote.name, exc_info=error)
                await abort(context, status_of(error if isinstance(error, Exception) else RuntimeError()))
        finally:
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            dispatcher.gone(remote)

    async def _read(self, remote: Remote, context: grpc.aio.ServicerContext) -> None:
        while True:
            await remote.room()
            request = await context.read()
            if request is grpc.aio.EOF:
                return
            assert isinstance(request, worker_pb2.WorkRequest)
            self._aggregator.dispatcher.receive(remote, request)


async def _write(remote: Remote, context: grpc.aio.ServicerContext) -> status_pb2.Status:
    """Writes until there is a status to end with."""
    while True:
        item = await remote.take()
        if isinstance(item, status_pb2.Status):
            return item
        await context.write(item)


def _checked(request: worker_pb2.WorkRequest) -> worker_pb2.Enlist:
    if not request.HasField("enlist"):
        raise refuse(FAILED_PRECONDITION, "the first message of a worker is Enlist", reason="NO_ENLIST")
    enlist = request.enlist
    check_bytes(enlist.worker_id, 16, "enlist.worker_id")
    check_name(enlist.name, "enlist.name")
    if enlist.protocol_version != PROTOCOL_VERSION:
        raise refuse(
            FAILED_PRECONDITION,
            f"worker protocol {enlist.protocol_version} is not spoken here, only {PROTOCOL_VERSION}",
            reason="PROTOCOL_VERSION",
            field="enlist.protocol_version",
        )
    if not 1 <= enlist.slots <= MAX_SLOTS:
        raise refuse(INVALID_ARGUMENT, f"a worker has 1 to {MAX_SLOTS} slots", reason="SLOTS", field="enlist.slots")
    # Bound to the certificate: nobody takes another worker's leases over by its id, or is somebody else by another id.
    identity = current().worker.encode()
    own = Digest.of(b"hybrid-prover worker 1", identity, enlist.worker_id).raw[: 16 - PARTY_BYTES]
    enlist.worker_id = Digest.of(b"hybrid-prover party 1", identity or own).raw[:PARTY_BYTES] + own
    return enlist
