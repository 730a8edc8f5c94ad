"""A folder of immutable files, each named by the SHA-256 of its content: keys, R1CS, witness programs.

Files appear whole or not at all (written aside, verified, synced, renamed), so that a reader may memory-map what
`path` returns and keep it for as long as it likes. Several processes may share one folder. Pure files, no network.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import FormatError, InvalidInputError
from .types import Digest

MAX_ARTIFACT_BYTES = 64 << 30
"""The default limit on one artifact: above any key for 2^28 constraints that is in use."""

_COPY = 1 << 20


class ArtifactWriter:
    """Takes the bytes of one artifact in order; made by `ArtifactStore.writer`.

    Leaving the `with` block normally publishes the artifact (`FormatError` if the bytes are not those announced);
    leaving it with an exception, or `abort`, leaves nothing behind.
    """

    def __init__(self, target: Path, staging: Path, digest: Digest, size: int) -> None:
        self._target, self._digest, self._size = target, digest, size
        self._aside = staging / f"{digest}.{secrets.token_hex(8)}"
        self._file = self._aside.open("xb")
        self._hash = hashlib.sha256()
        self.received = 0
        """Bytes taken so far."""

    def write(self, data: bytes | memoryview) -> None:
        """Appends; `FormatError` (field `data`) as soon as there is more than was announced."""
        if self.received + len(data) > self._size:
            raise FormatError(f"artifact {self._digest} is longer than the announced {self._size} bytes", field="data")
        self._hash.update(data)
        self._file.write(data)
        self.received += len(data)

    def commit(self) -> Path:
        """Verifies size and digest, makes the file durable and gives its final path."""
        try:
            if self.received != self._size:
                raise FormatError(
                    f"artifact {self._digest} has {self.received} bytes, {self._size} were announced", field="data"
                )
            if self._hash.digest() != self._digest.raw:
                raise FormatError(f"the bytes sent for artifact {self._digest} have another digest", field="data")
            self._file.flush()
            os.fsync(self._file.fileno())
        except BaseException:
            self.abort()
            raise
        self._file.close()
        _publish(self._aside, self._target)
        return self._target

    def abort(self) -> None:
        """Forgets what was written. Harmless after `commit`."""
        self._file.close()
        self._aside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
        elif not self._file.closed:
            self.commit()


class ArtifactStore:
    """The artifacts under one folder, made if it is not there. Safe to use from several threads and processes."""

    def __init__(self, root: Path, *, max_bytes: int = MAX_ARTIFACT_BYTES) -> None:
        self._objects = root / "sha256"
        self._staging = root / "incoming"
        self._max_bytes = max_bytes
        self._objects.mkdir(parents=True, exist_ok=True)
        self._staging.mkdir(parents=True, exist_ok=True)

    def _target(self, digest: Digest) -> Path:
        name = str(digest)
        return self._objects / name[:2] / name

    def path(self, digest: Digest) -> Path | None:
        """Where the artifact lies, or None if it is not here."""
        target = self._target(digest)
        return target if target.is_file() else None

    def writer(self, digest: Digest, size: int) -> ArtifactWriter:
        """Begins to store `size` bytes announced to have that digest; use it as a context manager.

        `InvalidInputError` (field `size`) if the size is not positive or over the limit of this store.
        """
        if not 0 < size <= self._max_bytes:
            raise InvalidInputError(f"an artifact has 1 to {self._max_bytes} bytes, not {size}", field="size")
        target = self._target(digest)
        target.parent.mkdir(exist_ok=True)
        return ArtifactWriter(target, self._staging, digest, size)

    def put_file(self, path: Path) -> Digest:
        """Stores a copy of a file and names it; O(size) hashing. `InvalidInputError` if it is empty or too large.

        Always a copy, never a hard link: a link would change with the user's file, which is not ours to freeze.
        """
        size = path.stat().st_size
        if not 0 < size <= self._max_bytes:
            raise InvalidInputError(f"an artifact has 1 to {self._max_bytes} bytes, {path} has {size}", field="size")
        with path.open("rb") as source:
            digest = Digest(hashlib.file_digest(source, "sha256").digest())
            if self.path(digest) is None:
                source.seek(0)
                with self.writer(digest, size) as out:
                    while data := source.read(_COPY):
                        out.write(data)
        return digest

    def put_bytes(self, content: bytes) -> Digest:
        """Stores small content; as `put_file`."""
        digest = Digest(hashlib.sha256(content).digest())
        if self.path(digest) is None:
            with self.writer(digest, len(content)) as out:
                out.write(content)
        return digest

    def sweep(self) -> int:
        """Removes what writers of dead processes left; call it once, before serving. Gives the number removed."""
        removed = 0
        for left in self._staging.iterdir():
            left.unlink(missing_ok=True)
            removed += 1
        return removed


def _publish(aside: Path, target: Path) -> None:
    """Atomic: equal content from two writers ends as one file, whoever is last."""
    aside.chmod(0o444)
    os.replace(aside, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
