"""Immutable files, each named by the SHA-256 of its content: keys, R1CS, witness programs.

`ArtifactStore` is a folder of them. Files appear whole or not at all (written aside, verified, synced, renamed), so
that a reader may memory-map what `path` returns and keep it for as long as it likes. Several processes may share one
folder. `open_artifacts` gives that, or the store in a bucket or shared folder that a URL names (`remote_artifacts`).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import FormatError, InvalidInputError
from .types import Digest

MAX_ARTIFACT_BYTES = 64 << 30
"""The default limit on one artifact: above any key for 2^28 constraints that is in use."""

_COPY = 1 << 20


class ArtifactWriter:
    """Takes the bytes of one artifact in order; made by `Artifacts.writer`.

    Leaving the `with` block normally publishes the artifact (`FormatError` if the bytes are not those announced);
    leaving it with an exception, or `abort`, leaves nothing behind.
    """

    def __init__(
        self,
        target: Path,
        staging: Path,
        digest: Digest,
        size: int,
        published: Callable[[Path], None] | None = None,
    ) -> None:
        """`published` is called with the final path, as the last step of `commit`."""
        self._target, self._digest, self._size, self._published = target, digest, size, published
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
        """Verifies size and digest, makes the artifact durable and gives its path here."""
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
        if self._published is not None:
            self._published(self._target)
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


class Artifacts(ABC):
    """A store of artifacts. Safe to use from several threads and processes; calls may block on disk and network.

    `UnavailableError` from any of them if the store cannot be reached.
    """

    max_bytes: int
    """Limit on one artifact."""

    @abstractmethod
    def has(self, digest: Digest) -> bool:
        """Whether the artifact is stored durably; cheaper than `path`."""

    @abstractmethod
    def path(self, digest: Digest) -> Path | None:
        """Where the artifact lies on this machine, brought here if need be; None if it is not stored.

        The file may be opened within a minute; once open or mapped it stays for as long as that lasts.
        """

    @abstractmethod
    def writer(self, digest: Digest, size: int) -> ArtifactWriter:
        """Begins to store `size` bytes announced to have that digest; use it as a context manager.

        `InvalidInputError` (field `size`) if the size is not positive or over the limit of this store.
        """

    @abstractmethod
    def sweep(self) -> int:
        """Removes what writers of dead processes left; call it once, before serving. Gives the number removed."""

    def put_file(self, path: Path) -> Digest:
        """Stores a copy of a file and names it; O(size) hashing. `InvalidInputError` if it is empty or too large.

        Always a copy, never a hard link: a link would change with the user's file, which is not ours to freeze.
        """
        size = path.stat().st_size
        if not 0 < size <= self.max_bytes:
            raise InvalidInputError(f"an artifact has 1 to {self.max_bytes} bytes, {path} has {size}", field="size")
        with path.open("rb") as source:
            digest = Digest(hashlib.file_digest(source, "sha256").digest())
            if not self.has(digest):
                source.seek(0)
                with self.writer(digest, size) as out:
                    while data := source.read(_COPY):
                        out.write(data)
        return digest

    def put_bytes(self, content: bytes) -> Digest:
        """Stores small content; as `put_file`."""
        digest = Digest(hashlib.sha256(content).digest())
        if not self.has(digest):
            with self.writer(digest, len(content)) as out:
                out.write(content)
        return digest


class ArtifactStore(Artifacts):
    """The artifacts under one folder, made if it is not there."""

    def __init__(self, root: Path, *, max_bytes: int = MAX_ARTIFACT_BYTES) -> None:
        self._objects = root / "sha256"
        self._staging = root / "incoming"
        self.max_bytes = max_bytes
        self._objects.mkdir(parents=True, exist_ok=True)
        self._staging.mkdir(parents=True, exist_ok=True)

    def has(self, digest: Digest) -> bool:
        return self.target(digest).is_file()

    def path(self, digest: Digest) -> Path | None:
        target = self.target(digest)
        return target if target.is_file() else None

    def writer(self, digest: Digest, size: int, published: Callable[[Path], None] | None = None) -> ArtifactWriter:
        if not 0 < size <= self.max_bytes:
            raise InvalidInputError(f"an artifact has 1 to {self.max_bytes} bytes, not {size}", field="size")
        target = self.target(digest)
        target.parent.mkdir(exist_ok=True)
        return ArtifactWriter(target, self._staging, digest, size, published)

    def sweep(self) -> int:
        removed = 0
        for left in self._staging.iterdir():
            left.unlink(missing_ok=True)
            removed += 1
        return removed

    def target(self, digest: Digest) -> Path:
        """Where the artifact lies if it is here."""
        return self._objects / object_name(digest)

    def objects(self) -> list[Path]:
        """Every artifact here, in no order."""
        return [path for folder in self._objects.iterdir() for path in folder.iterdir()]


def object_name(digest: Digest) -> str:
    """The name of an artifact below `sha256/`, in a folder as in a bucket."""
    name = str(digest)
    return f"{name[:2]}/{name}"


def open_artifacts(root: Path, url: str, *, max_bytes: int, cache_bytes: int) -> Artifacts:
    """The store under `url`, or in the folder `root` if that is empty.

    With a URL, `root` holds copies, the least recently used ones let go beyond `cache_bytes`.
    """
    if not url:
        return ArtifactStore(root, max_bytes=max_bytes)
    from .remote_artifacts import RemoteArtifactStore

    return RemoteArtifactStore(root, url, max_bytes=max_bytes, cache_bytes=cache_bytes)


def _publish(aside: Path, target: Path) -> None:
    """Atomic: equal content from two writers ends as one file, whoever is last."""
    aside.chmod(0o444)
    os.replace(aside, target)
    # The folder may be new, and then is itself an entry that is not on disk yet.
    for place in (target.parent, target.parent.parent):
        folder = os.open(place, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
