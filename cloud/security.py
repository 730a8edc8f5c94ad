"""How the cloud listens: mutual TLS for edges, TLS and tokens for clients, or plain text where that was asked for."""

from __future__ import annotations

import grpc
import grpc.aio

from hybrid_prover.security.guard import Guard
from hybrid_prover.security.revocation import Revocations
from hybrid_prover.security.tls import ServerTls
from hybrid_prover.security.tokens import TokenBook, TokenFile
from prover_core.errors import InvalidInputError

from .config import CloudConfig


def make_guard(config: CloudConfig) -> Guard:
    """What stands before every service. `InvalidInputError` or `FormatError` names a missing or bad setting."""
    if config.tls is None and not config.plaintext:
        raise InvalidInputError(
            "edges are served over mutual TLS: give --tls, a folder made by `hybrid-prover certs issue cloud`; or "
            "--plaintext for trials on loopback",
            field="tls",
        )
    tokens = TokenBook(TokenFile(config.tokens)) if config.tokens is not None else None
    revocations = Revocations(config.tls) if config.tls is not None else None
    return Guard(tokens, revocations=revocations, open=config.plaintext)


def open_ports(server: grpc.aio.Server, config: CloudConfig) -> tuple[int, int]:
    """(port of edges, port of clients or 0), bound. `InvalidInputError` names what is taken, missing or wrong."""
    if config.tls is None:
        return _bind(server, config.host, config.port, None, "port"), 0
    port = _bind(server, config.host, config.port, ServerTls(config.tls, mutual=True), "port")
    if config.client_port < 0:
        return port, 0
    return port, _bind(server, config.host, config.client_port, ServerTls(config.tls, mutual=False), "client_port")


def address(host: str, port: int) -> str:
    """`host:port` as gRPC writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(server: grpc.aio.Server, host: str, port: int, tls: ServerTls | None, field: str) -> int:
    target = address(host, port)
    try:
        bound = server.add_secure_port(target, tls.credentials()) if tls else server.add_insecure_port(target)
    except RuntimeError as e:
        raise InvalidInputError(f"cannot listen on {target}: {e}", field=field) from e
    return int(bound)
