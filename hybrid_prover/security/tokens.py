"""Bearer tokens of clients, and the file that knows them by their hashes.

A token reads `hp_ID_SECRET`: ID is public and names it in lists and logs, SECRET is 32 random bytes. The file holds the
SHA-256 of the secret. A slow, salted hash would protect secrets that can be guessed; 256 random bits cannot be, so that
one SHA-256 is as good, and costs a call a microsecond instead of a tenth of a second. Comparison is in constant time.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from prover_core.errors import FormatError, InvalidInputError, ProverError

from .principal import GRANTABLE, LOCAL, Principal, Right, is_client_name

PREFIX: Final = "hp"
"""First part of every token, for people and for scanners that look for leaked secrets."""
SECRET_BYTES: Final = 32
VERSION: Final = 1
_ID: Final = re.compile(r"[0-9a-f]{16}")


class TokenRefused(ProverError):
    """A token that opens nothing. `reason` is the machine-readable word; the text never holds the token."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, field="authorization")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of one token. Times are Unix seconds; `expires` 0 is never."""

    id: str
    name: str
    rights: tuple[Right, ...]
    sha256: str
    created: int
    expires: int = 0

    def expired(self, now: float) -> bool:
        """Whether it opens nothing any more."""
        return bool(self.expires) and now >= self.expires

    @property
    def principal(self) -> Principal:
        """The caller it stands for."""
        return Principal(client=self.name, rights=frozenset(self.rights))


def checked_client_name(name: str) -> str:
    """1 to 64 letters, digits and `._@-`, or `InvalidInputError`: names become labels of metrics and lines of logs."""
    if not is_client_name(name):
        raise InvalidInputError(
            f"a client's name has 1 to 64 letters, digits, dots, dashes, underscores or @, not {name[:80]!r}",
            field="name",
        )
    return name


def make_token(name: str, rights: Iterable[Right], *, now: int, expires: int = 0) -> tuple[str, TokenRecord]:
    """A new token and its record; the token itself is nowhere kept."""
    if name == LOCAL.client:
        raise InvalidInputError(
            f"{name} is everybody where there are no tokens: give the client another name", field="name"
        )
    chosen = tuple(sorted({Right(r) for r in rights}, key=GRANTABLE.index))
    if not chosen:
        raise InvalidInputError("a token without any right opens nothing", field="rights")
    secret = secrets.token_bytes(SECRET_BYTES)
    record = TokenRecord(secrets.token_hex(8), checked_client_name(name), chosen, _hash(secret), now, expires)
    text = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    return f"{PREFIX}_{record.id}_{text}", record


def split_token(token: str) -> tuple[str, bytes]:
    """(id, secret), or `TokenRefused` (TOKEN_MALFORMED)."""
    prefix, _, rest = token.partition("_")
    ident, _, text = rest.partition("_")
    try:
        secret = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if prefix != PREFIX or not _ID.fullmatch(ident) or len(secret) != SECRET_BYTES:
        raise TokenRefused(
            f"the token is malformed: it reads {PREFIX}_ID_SECRET, as `tokens create` wrote it", "TOKEN_MALFORMED"
        )
    return ident, secret


def read_token(file: Path) -> str:
    """The token in a file of a client, checked for its form; `InvalidInputError` (field `token_file`) otherwise."""
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as e:
        text = e.strerror if isinstance(e, OSError) else "not text"
        raise InvalidInputError(f"the token file {file} cannot be read: {text}", field="token_file") from None
    try:
        split_token(token)
    except TokenRefused as e:
        raise InvalidInputError(f"{file}: {e}", field="token_file") from None
    return token


class TokenFile:
    """The file of a server's tokens: read by the server, changed by `hybrid-prover tokens`. Writes are atomic."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, TokenRecord]:
        """All records by id. `FormatError` if it is no token file, or if others than its owner may write it."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    raise FormatError(f"{self.path} may be written by others than its owner: chmod 600", field="tokens")
                content = json.loads(file.read())
        except ValueError as e:
            raise FormatError(f"{self.path} is not a token file: {e}", field="tokens") from None
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise FormatError(f"{self.path} is not a token file of version {VERSION}", field="tokens")
        try:
            records = [_record(entry) for entry in content["tokens"]]
        except (KeyError, TypeError, ValueError) as e:
            raise FormatError(f"{self.path} holds a malformed token: {e}", field="tokens") from None
        return {record.id: record for record in records}

    @contextlib.contextmanager
    def changed(self) -> Iterator[dict[str, TokenRecord]]:
        """The records, to be changed in place; written when the block ends well. Makes the file if it is missing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            records = self.read() if self.path.exists() else {}
            yield records
            content = {"version": VERSION, "tokens": [asdict(r) for r in records.values()]}
            replace_file(self.path, json.dumps(content, indent=2).encode() + b"\n")


class TokenBook:
    """A server's tokens as it checks them; looks at the file again whenever that has changed."""

    def __init__(self, file: TokenFile) -> None:
        """Reads the file: `FormatError` or `InvalidInputError` (field `tokens`) if it cannot serve."""
        self._file = file
        self._stamp = self._look()
        if self._stamp is None:
            raise InvalidInputError(
                f"the token file {file.path} does not exist; `hybrid-prover tokens create` makes it", field="tokens"
            )
        self._records = file.read()
        self.trouble = ""
        """Why the file's last change was not taken; the tokens before it go on. Empty if all is well."""

    def check(self, token: str, now: float) -> TokenRecord:
        """The record of a token, or `TokenRefused`. One `stat`, and one SHA-256: microseconds."""
        self._refresh()
        ident, secret = split_token(token)
        record = self._records.get(ident)
        if record is None or not hmac.compare_digest(record.sha256, _hash(secret)):
            raise TokenRefused("the token is not known here, or was revoked", "TOKEN_UNKNOWN")
        if record.expired(now):
            raise TokenRefused(f"token {ident} of {record.name} has expired: ask for a new one", "TOKEN_EXPIRED")
        return record

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp, self.trouble = stamp, ""
        try:
            # Without a file there are no tokens; with a broken one those that are known stay.
            self._records = self._file.read() if stamp else {}
        except (OSError, ProverError) as e:
            self.trouble = str(e)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def find(records: dict[str, TokenRecord], which: str) -> list[TokenRecord]:
    """The tokens of that id or of that client, at least one; `InvalidInputError` otherwise."""
    found = [r for r in records.values() if which in (r.id, r.name)]
    if not found:
        raise InvalidInputError(f"there is no token {which!r}", field="which")
    return found


def expiring(record: TokenRecord, at: int) -> TokenRecord:
    """The record, ending at `at` or at its own end, whichever is first."""
    return replace(record, expires=min(at, record.expires or at))


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file for its owner only, whole or not at all; durable when it returns."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _record(entry: Any) -> TokenRecord:
    rights = tuple(Right(r) for r in entry["rights"])
    if not rights or not set(rights) <= set(GRANTABLE):
        raise ValueError(f"rights {entry['rights']}")
    if not _ID.fullmatch(entry["id"]) or not re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
        raise ValueError(f"id or hash of {entry['id']!r}")
    checked_client_name(entry["name"])
    return TokenRecord(
        entry["id"], entry["name"], rights, entry["sha256"], int(entry["created"]), int(entry["expires"])
    )


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
