"""The cloud's unary services, called for the machine while a connection lasts: circuits there, results back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import structlog
from google.rpc import status_pb2

from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, job_pb2, job_pb2_grpc
from prover_core.types import Digest

from . import policy
from .core import EdgeCore
from .instructions import EnsureCircuit, FetchResult
from .model import Code, Failure
from .status import failure, failure_of, from_status, told_wait

log = structlog.get_logger("edge.uplink")

CALL_SECONDS = 20.0
REGISTER_SECONDS = 300.0
_PART = 1 << 20


class CloudCalls:
    """Calls on one channel; each ends with an event for the machine, unless the connection ends before."""

    def __init__(self, core: EdgeCore, channel: grpc.aio.Channel) -> None:
        self._core = core
        self._circuits = circuit_pb2_grpc.CircuitServiceStub(channel)
        self._jobs = job_pb2_grpc.JobQueryServiceStub(channel)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, instruction: EnsureCircuit | FetchResult) -> None:
        """Begins a call."""
        if isinstance(instruction, EnsureCircuit):
            task = asyncio.create_task(self._ensure(instruction.digest))
        else:
            task = asyncio.create_task(self._fetch(instruction.job_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Gives up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ensure(self, digest: bytes) -> None:
        core = self._core
        try:
            await self._bring(digest)
        except Exception as e:
            made = call_failure(e) if isinstance(e, grpc.aio.AioRpcError) else failure_of(e)
            log.warning("circuit not taken", circuit=digest.hex(), code=made.code.name, error=made.message)
            told = told_wait(made)
            wait = policy.backoff(4, random.random()) if told is None else int(told * (1 + random.random()))
            core.apply(core.machine.circuit_failed(digest, made, wait, core.now(), later=told is not None))
        else:
            core.apply(core.machine.circuit_ready(digest, core.now()))

    async def _bring(self, digest: bytes) -> None:
        """Registers the circuit at the cloud, its key sent first if it is not there. The cloud needs no other part."""
        try:
            await self._circuits.GetCircuit(circuit_pb2.GetCircuitRequest(digest=digest), timeout=CALL_SECONDS)
            return
        except grpc.aio.AioRpcError as e:
            if e.code() is not grpc.StatusCode.NOT_FOUND:
                raise
        record = self._core.circuits[digest]
        zkey = self._core.files(record).zkey
        stat = await self._circuits.StatArtifacts(
            circuit_pb2.StatArtifactsRequest(digests=[digest]), timeout=CALL_SECONDS
        )
        if not stat.present[0]:
            log.info("key goes to the cloud", circuit=digest.hex(), bytes=zkey.stat().st_size)
            await self._circuits.PutArtifact(_content(zkey, Digest(digest)))
        parts = circuit_pb2.CircuitParts(zkey_digest=digest)
        await self._circuits.RegisterCircuit(
            circuit_pb2.RegisterCircuitRequest(name=record.name, parts=parts), timeout=REGISTER_SECONDS
        )

    async def _fetch(self, job_id: bytes) -> None:
        core = self._core
        try:
            result = await self._jobs.GetResult(job_pb2.GetResultRequest(job_id=job_id), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as e:
            log.warning("result not handed over", job_id=job_id.hex(), error=call_failure(e).message)
            core.apply(core.machine.result_failed(job_id, policy.backoff(4, random.random()), core.now()))
        else:
            leaves = [leaf.SerializeToString() for leaf in result.proofs]
            core.apply(core.machine.result_fetched(job_id, leaves, core.now()))


async def _content(path: Path, digest: Digest) -> AsyncIterator[circuit_pb2.PutArtifactRequest]:
    header = circuit_pb2.ArtifactHeader(digest=digest.raw, size=path.stat().st_size)
    yield circuit_pb2.PutArtifactRequest(header=header)
    with path.open("rb") as file:
        while data := await asyncio.to_thread(file.read, _PART):
            yield circuit_pb2.PutArtifactRequest(data=data)


def call_failure(error: grpc.aio.AioRpcError) -> Failure:
    """The failure that a call to the cloud ended with; a call that ran out of time counts as UNAVAILABLE."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return from_status(status_pb2.Status.FromString(value))
    code = Code(error.code().value[0])
    if code in (Code.DEADLINE_EXCEEDED, Code.CANCELLED):
        code = Code.UNAVAILABLE
    return failure(code, f"the cloud says {error.code().name}: {error.details()}", reason="CLOUD")
