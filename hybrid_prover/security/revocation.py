"""Certificates that are not believed any more, and when any certificate ends: what TLS alone does not tell.

`revoked` beside a server's certificate has one line for each holder, `SPIFFE-ID TIME`: every certificate of that holder
that is valid from before TIME is refused, those that were renewed in the meantime included.
"""

from __future__ import annotations

import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509

from prover_core.errors import FormatError

from .identity import read_identity

log = structlog.get_logger(__name__)

REVOKED: Final = "revoked"


def read_revoked(file: Path) -> dict[str, datetime.datetime]:
    """SPIFFE ids and times; nothing if there is no file. `FormatError` (field `tls`) names a line that is wrong."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise FormatError(f"{file} is not text", field="tls") from None
    out = {}
    for number, line in enumerate(lines, 1):
        identity, _, text = line.strip().partition(" ")
        try:
            since = datetime.datetime.fromisoformat(text.strip())
        except ValueError:
            since = None
        if read_identity(identity) is None or since is None or since.tzinfo is None:
            raise FormatError(f"{file}, line {number}: not `SPIFFE-ID TIME`", field="tls")
        out[identity] = since
    return out


def write_revoked(revoked: dict[str, datetime.datetime]) -> bytes:
    """The content of such a file."""
    lines = [f"{identity} {since.isoformat(timespec='seconds')}\n" for identity, since in sorted(revoked.items())]
    return "".join(lines).encode()


@lru_cache(maxsize=4096)
def _facts(pem: bytes) -> tuple[datetime.datetime, datetime.datetime, tuple[str, ...]]:
    """(valid from, valid until, URI names). gRPC tells names of all kinds as one list."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        uris: list[str] = []
    else:
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc, tuple(uris)


class Revocations:
    """A server's list, looked at again whenever the file has changed."""

    def __init__(self, folder: Path) -> None:
        """Reads the list now; `FormatError` if it is malformed."""
        self._file = folder / REVOKED
        self._stamp = self._look()
        self._revoked = read_revoked(self._file)

    def refusal(self, identity: str, pem: bytes, now: float) -> str:
        """Why a certificate that TLS let in opens nothing (a reason for ErrorInfo), or the empty string.

        TLS asks once, at the handshake; connections last longer than certificates.
        """
        self._refresh()
        begins, ends, uris = _facts(pem)
        if identity not in uris:
            # A host or a mailbox of that name: authorities check those in other ways, or not at all.
            return "CERTIFICATE_NAME"
        if now >= ends.timestamp():
            return "CERTIFICATE_EXPIRED"
        since = self._revoked.get(identity)
        return "CERTIFICATE_REVOKED" if since is not None and begins < since else ""

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._revoked = read_revoked(self._file)
            except (OSError, FormatError) as e:
                log.error("revocations_not_taken", error=str(e))

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino
