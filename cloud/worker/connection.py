"""The worker's way to its cloud: channels, and keys fetched over them."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio

from hybrid_prover.security.tls import peer_credentials
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc
from prover_core.artifacts import Artifacts
from prover_core.errors import FormatError
from prover_core.types import Digest

from .config import WorkerConfig

_MIB = 1 << 20
_OPTIONS = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 64 * _MIB),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
]


def open_channel(config: WorkerConfig) -> grpc.aio.Channel:
    """A channel to the cloud; certificates are read for each. `InvalidInputError` (field `tls`) if they cannot be."""
    if config.tls is None:
        return grpc.aio.insecure_channel(config.cloud, options=_OPTIONS)
    return grpc.aio.secure_channel(config.cloud, peer_credentials(config.tls, config.cloud_ca), options=_OPTIONS)


async def fetch_key(channel: grpc.aio.Channel, artifacts: Artifacts, circuit: bytes) -> None:
    """Brings a proving key here unless it is; its digest is checked. `FormatError`, or gRPC's error."""
    digest = Digest(circuit)
    if await asyncio.to_thread(artifacts.has, digest):
        return
    call = circuit_pb2_grpc.CircuitServiceStub(channel).GetArtifact(circuit_pb2.GetArtifactRequest(digest=circuit))
    first = await call.read()
    if first is grpc.aio.EOF or not first.HasField("header"):
        raise FormatError(f"the cloud sent no header for key {digest}", field="header")
    writer = await asyncio.to_thread(artifacts.writer, digest, first.header.size)
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            await asyncio.to_thread(writer.write, message.data)
        await asyncio.to_thread(writer.commit)
    finally:
        writer.abort()
