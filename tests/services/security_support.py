"""What the tests of security share: an authority with its certificates, tokens, and servers that demand them."""

from __future__ import annotations

import datetime
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cloud.config import CloudConfig
from cloud.service import CloudServer
from edge.config import EdgeConfig
from edge.daemon import EdgeDaemon
from hybrid_prover import Credentials
from hybrid_prover.security import certificates
from hybrid_prover.security.identity import Role
from hybrid_prover.security.principal import Right
from hybrid_prover.security.tls import CA, CERTIFICATE, KEY, peer_credentials
from hybrid_prover.security.tokens import TokenFile, make_token, replace_file
from hybrid_prover.v1 import uplink_pb2

HOSTS = ("127.0.0.1", "localhost")
APART = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100)]
Code = grpc.StatusCode


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Pki:
    """An authority and what it signed, and a token file, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens = TokenFile(folder / "tokens.json")
        certificates.make_authority(folder, now=now())
        self.token("nobody")

    @property
    def ca(self) -> Path:
        return self.folder / CA

    def issue(
        self, role: Role, name: str, hosts: Sequence[str] = HOSTS, *, at: datetime.datetime | None = None, days: int = 2
    ) -> Path:
        return certificates.issue(self.folder, role, name, hosts, now=at or now(), days=days).folder

    def token(self, client: str, *rights: Right, lasts: int = 3600) -> str:
        made = int(time.time())
        with self.tokens.changed() as records:
            token, record = make_token(client, rights or (Right.READ,), now=made, expires=made + lasts)
            records[record.id] = record
        return token

    def credentials(self, client: str, *rights: Right) -> Credentials:
        file = self.folder / f"{client}.token"
        replace_file(file, self.token(client, *rights).encode())
        return Credentials(ca_file=self.ca, token_file=file)

    def as_peer(self, folder: Path, target: str) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(target, peer_credentials(folder), options=APART)

    def as_client(self, target: str) -> grpc.aio.Channel:
        channel = grpc.ssl_channel_credentials(self.ca.read_bytes())
        return grpc.aio.secure_channel(target, channel, options=APART)


@asynccontextmanager
async def secure_cloud(pki: Pki, data: Path, **changes: Any) -> AsyncIterator[CloudServer]:
    """A cloud with mutual TLS for edges, and a port for clients."""
    folder = pki.folder / "cloud"
    values: dict[str, Any] = {
        "port": 0, "client_port": 0, "data_dir": data, "batch_age_ms": 20, "drain_grace_seconds": 2,
        "tls": folder if folder.exists() else pki.issue(Role.CLOUD, "cloud"), "tokens": pki.tokens.path,
    }  # fmt: skip
    server = CloudServer(CloudConfig(**{**values, **changes}))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def secure_edge(
    pki: Pki, state: Path, cloud: str, name: str = "edge-1", **changes: Any
) -> AsyncIterator[EdgeDaemon]:
    """An edge with a certificate, whose clients show tokens."""
    folder = pki.folder / name
    values: dict[str, Any] = {
        "listen": "127.0.0.1:0", "cloud": cloud, "state_dir": state, "name": name, "workers": 1, "stop_seconds": 0.5,
        "tls": folder if folder.exists() else pki.issue(Role.EDGE, name), "tokens": pki.tokens.path,
    }  # fmt: skip
    async with EdgeDaemon(EdgeConfig(**{**values, **changes})) as edge:
        yield edge


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def hello(session: bytes) -> uplink_pb2.UplinkRequest:
    return uplink_pb2.UplinkRequest(hello=uplink_pb2.Hello(session_id=session, edge_name="test", protocol_version=1))


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """(code, machine-readable reason, the right wanted) of a call that must fail; no reason where no server spoke."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return caught.value.code(), info.reason, info.metadata.get("right", "")
    return caught.value.code(), "", ""


def foreign(folder: Path, wanted: Pki, role: Role, name: str) -> Path:
    """A certificate of another authority, with the right authority's certificate beside it."""
    folder.mkdir()
    other = Pki(folder)
    member = other.issue(role, name)
    replace_file(member / CA, wanted.ca.read_bytes())
    assert (member / CERTIFICATE).exists()
    assert (member / KEY).exists()
    return member
