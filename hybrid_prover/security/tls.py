"""TLS as servers and edges speak it: a folder with `ca.crt`, `tls.crt` and `tls.key`, read again when it changes.

The names are those of a Kubernetes TLS secret as cert-manager writes it, so that one can be mounted as it is.
"""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import structlog

from prover_core.errors import InvalidInputError

log = structlog.get_logger(__name__)

CA: Final = "ca.crt"
CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"


@dataclass(frozen=True, slots=True)
class Identity:
    """What one end of a connection shows, and whom it believes; PEM."""

    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)

    @classmethod
    def read(cls, folder: Path, setting: str = "tls") -> Identity:
        """Reads the folder; `InvalidInputError` names a missing file, or says that key and certificate differ."""
        try:
            ca, certificate, key = ((folder / name).read_bytes() for name in (CA, CERTIFICATE, KEY))
        except OSError as e:
            raise InvalidInputError(
                f"{e.filename}: {e.strerror}; `hybrid-prover certs issue` makes {CA}, {CERTIFICATE} and {KEY}",
                field=setting,
            ) from None
        try:
            # The standard library reads key pairs from files only. They may change in between: then it is tried again.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(folder / CERTIFICATE, folder / KEY)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=ca.decode("ascii"))
        except (OSError, ValueError) as e:
            reason = getattr(e, "reason", None) or e
            raise InvalidInputError(
                f"{folder}: certificate, key or authorities are wrong: {reason}", field=setting
            ) from None
        return cls(ca, certificate, key)


class ServerTls:
    """A server's credentials that follow the folder: a renewed certificate serves the next connection.

    A folder that has become unusable leaves the last good certificate in place and is told in the log.
    """

    def __init__(self, folder: Path, *, mutual: bool) -> None:
        """Reads the folder now. `mutual` refuses connections without a certificate of the folder's authorities."""
        self._folder = folder
        self._mutual = mutual
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._identity = Identity.read(folder)

    def credentials(self) -> grpc.ServerCredentials:
        """For `add_secure_port`."""
        return grpc.dynamic_ssl_server_credentials(self._configuration(), self._fetch, self._mutual)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        found = self._identity
        return grpc.ssl_server_certificate_configuration(
            [(found.key, found.certificate)], root_certificates=found.ca if self._mutual else None
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """What gRPC asks before every handshake, on a thread of its own; None keeps what it has."""
        with self._lock:
            stamp = self._look()
            if stamp == self._stamp:
                return None
            try:
                self._identity = Identity.read(self._folder)
            except InvalidInputError as e:
                # The stamp stays: halfway through a renewal the next connection looks again.
                log.error("certificate_not_taken", folder=str(self._folder), error=str(e))
                return None
            self._stamp = stamp
            log.info("certificate_reloaded", folder=str(self._folder))
            return self._configuration()

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        out = []
        for name in (CA, CERTIFICATE, KEY):
            try:
                found = (self._folder / name).stat()
            except OSError:
                out.append((0, 0, 0))
            else:
                out.append((found.st_mtime_ns, found.st_ino, found.st_size))
        return tuple(out)


def peer_credentials(folder: Path, ca: Path | None = None) -> grpc.ChannelCredentials:
    """What an edge or a worker shows its cloud; `ca` instead of the folder's authorities. Read anew at every call."""
    found = Identity.read(folder)
    return grpc.ssl_channel_credentials(ca.read_bytes() if ca else found.ca, found.key, found.certificate)
