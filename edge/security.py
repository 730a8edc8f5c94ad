"""How the edge is reached and how it reaches its cloud: TLS with its certificate, or plain text where asked for."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import grpc.aio

from hybrid_prover.security.guard import Guard
from hybrid_prover.security.tls import Identity, ServerTls, peer_credentials
from hybrid_prover.security.tokens import TokenBook, TokenFile
from prover_core.errors import InvalidInputError

from .config import EdgeConfig


def make_guard(config: EdgeConfig) -> Guard:
    """What stands before every service. `InvalidInputError` or `FormatError` names a missing or bad setting."""
    config.check_transport()
    if config.tokens is None:
        return Guard(None, open=config.plaintext)
    return Guard(TokenBook(TokenFile(config.tokens)))


def bind(server: grpc.aio.Server, config: EdgeConfig) -> int:
    """The port of the API, bound. `InvalidInputError` (`listen`: it is taken; `tls`: the certificate cannot serve)."""
    if config.tls is not None:
        Identity.read(config.tls)
    try:
        if config.plaintext:
            return int(server.add_insecure_port(config.listen))
        assert config.tls is not None
        return int(server.add_secure_port(config.listen, ServerTls(config.tls, mutual=False).credentials()))
    except RuntimeError as e:
        raise InvalidInputError(f"cannot listen on {config.listen}: the address is taken", field="listen") from e


def cloud_channel(config: EdgeConfig, options: Sequence[tuple[str, int]]) -> grpc.aio.Channel:
    """A channel to the cloud; certificates are read for each, so that a renewed one serves the next connection.

    `InvalidInputError` (field `tls`) if they cannot be.
    """
    if config.cloud_plaintext:
        return grpc.aio.insecure_channel(config.cloud, options=options)
    if config.tls is None:
        raise InvalidInputError("the uplink needs the edge's certificate: give --tls", field="tls")
    return grpc.aio.secure_channel(config.cloud, peer_credentials(config.tls, config.cloud_ca), options=options)
