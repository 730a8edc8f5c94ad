"""What a client shows a service, and whom it believes: from arguments, or from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from prover_core.errors import InvalidInputError

from .security.tokens import read_token


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a client connects. Holds names of files and no secret, so that it may be printed."""

    ca_file: Path | None = None
    """PEM file of the authorities that may vouch for the service; with it TLS is spoken (HYBRID_PROVER_CA_FILE)."""
    cert_file: Path | None = None
    """The client's own certificate in PEM, where the service wants one (HYBRID_PROVER_CERT_FILE)."""
    key_file: Path | None = None
    """The key of that certificate (HYBRID_PROVER_KEY_FILE)."""
    token_file: Path | None = None
    """File with the client's token, followed when it changes (HYBRID_PROVER_TOKEN_FILE)."""
    plaintext: bool = False
    """Speak plain text, to a service on this machine, though there is a token (HYBRID_PROVER_PLAINTEXT=1)."""

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise InvalidInputError("a client's certificate and its key go together", field="key_file")
        if self.plaintext and self.secure:
            raise InvalidInputError("plain text and certificates exclude each other", field="plaintext")

    def with_environment(self, environment: Mapping[str, str] = os.environ) -> Credentials:
        """What is not given here from `HYBRID_PROVER_CA_FILE` and so on; empty variables count as not set."""

        def named(field: str) -> Path | None:
            return Path(value) if (value := environment.get(f"HYBRID_PROVER_{field.upper()}")) else None

        token = self.token_file or named("token_file")
        asked = environment.get("HYBRID_PROVER_PLAINTEXT", "").lower() in ("1", "true", "yes")
        if self.plaintext or (asked and not self.secure):
            return Credentials(token_file=token, plaintext=True)
        given = self.cert_file is not None
        return Credentials(
            self.ca_file or named("ca_file"),
            self.cert_file if given else named("cert_file"),
            self.key_file if given else named("key_file"),
            token,
        )

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.ca_file is not None or self.cert_file is not None

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For gRPC; `InvalidInputError` names a file that cannot be read."""
        return grpc.ssl_channel_credentials(
            _read(self.ca_file, "ca_file"), _read(self.key_file, "key_file"), _read(self.cert_file, "cert_file")
        )

    def interceptors(self) -> list[grpc.aio.ClientInterceptor]:
        """What puts the token on every call."""
        if self.token_file is None:
            return []
        token = TokenSource(self.token_file)
        token.read()
        return [kind(token.read) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class TokenSource:
    """A token file, read again when it changes: a rotated token serves the next call."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._token = ""

    def read(self) -> str:
        """The token; `InvalidInputError` (field `token_file`) if there is none. One `stat` a call."""
        try:
            found = self._file.stat()
            seen = (found.st_mtime_ns, found.st_ino)
        except OSError:
            seen = None
        if seen is None or seen != self._seen:
            self._token = read_token(self._file)
            self._seen = seen
        return self._token


class _Bearer:
    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    async def _forward(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata["authorization"] = f"Bearer {self._token()}"
        called = grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )
        return await continuation(called, request)


class _UnaryUnary(_Bearer, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    intercept_unary_unary = _Bearer._forward


class _UnaryStream(_Bearer, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]
    intercept_unary_stream = _Bearer._forward


class _StreamUnary(_Bearer, grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[misc]
    intercept_stream_unary = _Bearer._forward


class _StreamStream(_Bearer, grpc.aio.StreamStreamClientInterceptor):  # type: ignore[misc]
    intercept_stream_stream = _Bearer._forward


def _read(file: Path | None, field: str) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as e:
        raise InvalidInputError(f"{file} cannot be read: {e.strerror}", field=field) from None
