"""Artifacts in a bucket or a shared folder, through fsspec (`s3://bucket/prefix`, `file:///mnt/share`, …).

They are copied here for use. Keys are memory-mapped, so every artifact that is used lies in a local folder too, in the
form of `ArtifactStore`; its digest is checked whenever it is brought. What is put is on disk here, then there, then
told; an upload that fails or is killed is taken up from the local copy, which is never let go before the object is
known to be there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import fsspec
import fsspec.asyn

from .artifacts import MAX_ARTIFACT_BYTES, Artifacts, ArtifactStore, ArtifactWriter, object_name
from .errors import DamagedError, FormatError, InvalidInputError, UnavailableError
from .types import Digest

ATOMIC: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl"})
"""Protocols whose objects appear whole or not at all. With others an object is written aside and renamed."""
MARK: Final = b"Artifacts of hybrid-prover, each named by the SHA-256 of its content.\n"
"""An artifact that every store has: whether it can be read or put says whether the store can be used."""
KEEP_SECONDS: Final = 60.0
"""A copy used this recently is not let go: whoever asked for it may not have opened it yet."""
PATIENCE_SECONDS: Final = 120.0
SLOWEST_BYTES: Final = 128 << 10
"""An upload that takes `PATIENCE_SECONDS` and a second for each so many bytes has failed."""
_BLOCK: Final = 16 << 20


class RemoteArtifactStore(Artifacts):
    """The artifacts under one URL, with a cache in the folder `root`. Making it does not use the network yet.

    Credentials and endpoint are the protocol's own business: for S3 `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, … or the
    machine's role. `InvalidInputError` (field `artifacts`) if the URL is of no known kind or its package is missing.
    """

    def __init__(
        self, root: Path, url: str, *, max_bytes: int = MAX_ARTIFACT_BYTES, cache_bytes: int = 64 << 30
    ) -> None:
        self._local = ArtifactStore(root, max_bytes=max_bytes)
        self.max_bytes = max_bytes
        self._cache_bytes = cache_bytes
        try:
            # Answers of other processes' time are of no use here, nor is sharing the connection with strangers.
            options = {"use_listings_cache": False, "skip_instance_cache": True}
            self._files, base = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError) as e:
            hint = "; S3 needs: pip install 'hybrid-prover[s3]'" if url.startswith("s3") else ""
            raise InvalidInputError(f"no store of artifacts at {_shown(url)}: {e}{hint}", field="artifacts") from e
        protocol = self._files.protocol
        self._atomic = not ATOMIC.isdisjoint([protocol] if isinstance(protocol, str) else protocol)
        self._base = base.rstrip("/")
        self._shown = _shown(url)
        self._lock = threading.Lock()
        self._busy: dict[Digest, threading.Lock] = {}
        self._there: set[Digest] = set()

    def has(self, digest: Digest) -> bool:
        if digest in self._there:
            return True
        with self._alone(digest):
            if self._size(digest) is not None:
                self._there.add(digest)
                return True
            local = self._local.path(digest)
            if local is None:
                return False
            self._upload(digest, local)
            return True

    def path(self, digest: Digest) -> Path | None:
        local = self._touched(digest)
        if local is not None:
            return local
        with self._alone(digest):
            local = self._touched(digest) or self._fetch(digest)
        if local is not None:
            self._let_go()
        return local

    def writer(self, digest: Digest, size: int) -> ArtifactWriter:
        def published(path: Path) -> None:
            with self._alone(digest):
                self._upload(digest, path)
            self._let_go()

        return self._local.writer(digest, size, published)

    def sweep(self) -> int:
        """Also tries the store, and brings there what is only here: uploads that were killed, artifacts from before
        there was a URL."""
        removed = self._local.sweep()
        self.put_bytes(MARK)
        for path in self._local.objects():
            self.has(Digest.parse(path.name))
        self._let_go()
        return removed

    # There.

    def _name(self, digest: Digest) -> str:
        return f"{self._base}/sha256/{object_name(digest)}"

    def _size(self, digest: Digest) -> int | None:
        """Bytes of the object, None if there is none."""
        with self._reaching():
            try:
                return int(self._files.info(self._name(digest))["size"])
            except FileNotFoundError:
                return None

    def _upload(self, digest: Digest, local: Path) -> None:
        name = self._name(digest)
        with self._reaching():
            if self._atomic:
                self._put(local, name)
            else:
                aside = f"{self._base}/incoming/{digest}.{secrets.token_hex(8)}"
                for file in (aside, name):
                    self._files.makedirs(file.rpartition("/")[0], exist_ok=True)
                try:
                    self._put(local, aside)
                    self._files.mv(aside, name)
                except BaseException:
                    with contextlib.suppress(Exception):
                        self._files.rm_file(aside)
                    raise
        if self._size(digest) != local.stat().st_size:
            raise UnavailableError(f"{self._shown} has not kept artifact {digest}", field="artifacts")
        self._there.add(digest)

    def _put(self, local: Path, name: str) -> None:
        """Copies a file there. Clients of the stores time their reads, not their writes: a stalled one would hang."""
        if self._files.async_impl:
            seconds = PATIENCE_SECONDS + local.stat().st_size / SLOWEST_BYTES
            fsspec.asyn.sync(self._files.loop, self._files._put_file, str(local), name, timeout=seconds)
        else:
            self._files.put_file(str(local), name)

    def _fetch(self, digest: Digest) -> Path | None:
        size = self._size(digest)
        if size is None:
            return None
        if size > self.max_bytes:
            text = f"an artifact has 1 to {self.max_bytes} bytes, {digest} in {self._shown} has {size}"
            raise InvalidInputError(text, field="size")
        found = FormatError("")
        # Once more, for bytes that changed on their way only.
        for _ in range(2):
            try:
                return self._copy(digest, size)
            except FormatError as e:
                found = e
        self._there.discard(digest)
        aside = f"{self._base}/damaged/{digest}.{secrets.token_hex(8)}"
        with self._reaching():
            if not self._atomic:
                self._files.makedirs(f"{self._base}/damaged", exist_ok=True)
            self._files.mv(self._name(digest), aside)
        raise DamagedError(
            f"artifact {digest} in {self._shown} has other bytes and was moved to damaged/; store it again",
            field="artifacts",
        ) from found

    def _copy(self, digest: Digest, size: int) -> Path:
        if not size:
            raise FormatError("the object is empty", field="data")
        with self._local.writer(digest, size) as out:
            with self._reaching(), self._files.open(self._name(digest), "rb", cache_type="none") as source:
                while out.received < size and (data := source.read(min(_BLOCK, size - out.received))):
                    out.write(data)
            return out.commit()

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Libraries of the stores raise what they like; to us it is all that the store cannot be used."""
        try:
            yield
        except (FormatError, UnavailableError):
            raise
        except Exception as e:
            raise UnavailableError(
                f"the artifacts at {self._shown} cannot be reached: {type(e).__name__}: {e}", field="artifacts"
            ) from e

    # Here.

    @contextlib.contextmanager
    def _alone(self, digest: Digest) -> Iterator[None]:
        """One thread an artifact; others that want the same one wait for it."""
        with self._lock:
            lock = self._busy.setdefault(digest, threading.Lock())
        with lock:
            yield

    def _touched(self, digest: Digest) -> Path | None:
        path = self._local.target(digest)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def _let_go(self) -> None:
        """Removes the least recently used copies beyond the limit, none of them the only one."""
        with self._lock:
            copies: list[tuple[float, int, Path]] = []
            for path in self._local.objects():
                with contextlib.suppress(FileNotFoundError):
                    facts: Any = path.stat()
                    copies.append((facts.st_mtime, facts.st_size, path))
            excess = sum(size for _, size, _ in copies) - self._cache_bytes
            oldest = time.time() - KEEP_SECONDS
            for used, size, path in sorted(copies):
                if excess <= 0 or used > oldest:
                    break
                if Digest.parse(path.name) in self._there:
                    path.unlink(missing_ok=True)
                    excess -= size


def _shown(url: str) -> str:
    """A URL without what may be secret in it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
