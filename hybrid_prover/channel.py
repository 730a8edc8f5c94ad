"""How a client connects: keepalive, message sizes, and where plain text is allowed."""

from __future__ import annotations

import ipaddress

import grpc
import grpc.aio

from prover_core.errors import InvalidInputError

MAX_MESSAGE_BYTES = 64 << 20
"""Largest message taken from a service; results of large jobs stay well below."""

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_retries", 0),  # RetryPolicy does it, because it honours google.rpc.RetryInfo
)


def is_local(target: str) -> bool:
    """Whether a target can only be reached from this machine: a unix socket or a loopback address."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = target.rsplit("///", 1)[-1].rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None = None, plaintext: bool = False
) -> grpc.aio.Channel:
    """A channel to `target`; connects on first use. `InvalidInputError` for plain text to another machine."""
    if not target.startswith("unix") and ":" not in target:
        raise InvalidInputError(f"target {target!r} is not host:port or unix:/path", field="target")
    if credentials is not None:
        return grpc.aio.secure_channel(target, credentials, options=OPTIONS)
    if not plaintext and not is_local(target):
        raise InvalidInputError(
            f"{target} is another machine and no credentials are given: pass credentials, or plaintext=True",
            field="target",
        )
    return grpc.aio.insecure_channel(target, options=OPTIONS)
