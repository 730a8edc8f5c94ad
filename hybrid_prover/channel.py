"""How a client connects: keepalive, message sizes, and where plain text is allowed."""

from __future__ import annotations

import grpc
import grpc.aio

from prover_core.errors import InvalidInputError

from .credentials import Credentials
from .security.hosts import is_loopback

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
    return is_loopback(target.rsplit("///", 1)[-1].rsplit(":", 1)[0].strip("[]"))


def open_channel(
    target: str, credentials: Credentials | grpc.ChannelCredentials | None = None, plaintext: bool = False
) -> grpc.aio.Channel:
    """A channel to `target`; connects on first use. Without credentials those of the environment are taken.

    `InvalidInputError` for plain text to another machine, and for a token in plain text that was not asked for.
    """
    if not target.startswith("unix") and ":" not in target:
        raise InvalidInputError(f"target {target!r} is not host:port or unix:/path", field="target")
    if isinstance(credentials, grpc.ChannelCredentials):
        return grpc.aio.secure_channel(target, credentials, options=OPTIONS)
    chosen = credentials or Credentials().with_environment()
    if chosen.secure and not plaintext:
        return grpc.aio.secure_channel(
            target, chosen.channel_credentials(), options=OPTIONS, interceptors=chosen.interceptors()
        )
    if not is_local(target):
        raise InvalidInputError(
            f"{target} is another machine, and plain text stays on this one: name the authorities that may vouch for "
            "it (--ca-file, HYBRID_PROVER_CA_FILE, Credentials.ca_file)",
            field="target",
        )
    if chosen.token_file is not None and not (plaintext or chosen.plaintext):
        raise InvalidInputError(
            "a token is not sent in plain text unless you say so: name the service's authorities (--ca-file, "
            "HYBRID_PROVER_CA_FILE), or give --plaintext",
            field="plaintext",
        )
    return grpc.aio.insecure_channel(target, options=OPTIONS, interceptors=chosen.interceptors())


_ADVICE: tuple[tuple[str, str], ...] = (
    ("certificate_verify_failed", "its certificate has expired or is of an authority that --ca-file does not name"),
    ("hostname verification", "its certificate does not name this target"),
    ("peer name", "its certificate does not name this target"),
    ("wrong_version", "it speaks plain text: connect without --ca-file"),
    ("socket closed", "it hangs up: it may speak TLS (--ca-file) or want a certificate (--cert-file, --key-file)"),
    ("connection reset", "it hangs up: it may speak TLS (--ca-file) or want a certificate (--cert-file, --key-file)"),
)


def advice(message: str) -> str:
    """What gRPC's words for a connection that failed mean for credentials; empty where they mean nothing."""
    text = message.lower()
    return next((meaning for words, meaning in _ADVICE if words in text), "")
