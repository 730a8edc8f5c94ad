"""Append-only logs of chunks, one file per segment: what has been acked is in them, synced.

A record is a 96-byte header and a payload:

    magic "HPC1" · kind u32 · sequence u64 · wire offset u64 · wire count u32 · encoding u32 · payload size u64 ·
    reserved 24 bytes · digest 32 bytes              (little-endian)

Kind 1 is a chunk, its digest that of the wire API, which binds job, segment and place. Kind 2 ends the segment: its
sequence number is the number of chunks, its digest that of the header before. Kind 3 is a chunk with a partial: behind
the payload, and counted in its size, come the partial's points (320 bytes), the session of the edge that made it (16)
and a digest of these and the chunk's digest (32). On recovery a log is good up to the first record that does not check;
the rest, which was never acked, is cut off.
"""

from __future__ import annotations

import os
import shutil
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from hybrid_prover.v1 import uplink_pb2
from prover_core.formats.chunk import chunk_digest
from prover_core.groth16 import PARTIAL_BYTES
from prover_core.types import Digest

from .errors import DATA_LOSS, refuse
from .model import SegmentKey

_HEADER: Final = struct.Struct("<4sIQQIIQ24x32s")
_MAGIC: Final = b"HPC1"
_CHUNK: Final = 1
_END: Final = 2
_CHUNK_WITH_PARTIAL: Final = 3
_SESSION_BYTES: Final = 16
_TRAILER_BYTES: Final = PARTIAL_BYTES + _SESSION_BYTES + 32
_TRAILER_DOMAIN: Final = b"hybrid-prover chunk log partial 1"


@dataclass(frozen=True, slots=True)
class Record:
    """One chunk as it lies in a log."""

    sequence: int
    wire_offset: int
    wire_count: int
    encoding: int
    digest: bytes
    payload: bytes
    partial: bytes = b""
    """What an edge says the chunk contributes to the proof's sums; empty if it says nothing."""
    origin: bytes = b""
    """The session whose edge said so."""


@dataclass(slots=True)
class Recovered:
    """What a log holds after a restart: the chunks (without payloads) and whether the segment ended."""

    chunks: list[Record] = field(default_factory=list)
    ended: bool = False


def log_path(root: Path, key: SegmentKey) -> Path:
    """Where a segment's log lies: one folder a job."""
    return root / key[0].hex() / f"{key[1]}.log"


def chunk_record(chunk: uplink_pb2.Chunk, origin: bytes = bytes(_SESSION_BYTES)) -> bytes:
    """A chunk's header and payload, and its partial, if it has one, as sent by the session `origin`."""
    kind, body = _CHUNK, chunk.payload
    if chunk.HasField("partial"):
        kind, body = _CHUNK_WITH_PARTIAL, body + _trailer(chunk.digest, chunk.partial.points, origin)
    numbers = (chunk.sequence, chunk.wire_offset, chunk.wire_count, chunk.encoding, len(body))
    return _HEADER.pack(_MAGIC, kind, *numbers, chunk.digest) + body


def _trailer(chunk: bytes, points: bytes, origin: bytes) -> bytes:
    return points + origin + Digest.of(_TRAILER_DOMAIN, chunk, points, origin).raw


def _split_body(kind: int, digest: bytes, body: bytes) -> tuple[bytes, bytes, bytes] | None:
    """(payload, partial, origin) of what follows a chunk's header; None if the partial's digest is not that."""
    if kind == _CHUNK:
        return body, b"", b""
    payload, trailer = body[:-_TRAILER_BYTES], body[-_TRAILER_BYTES:]
    points, origin = trailer[:PARTIAL_BYTES], trailer[PARTIAL_BYTES:-32]
    return (payload, points, origin) if trailer == _trailer(digest, points, origin) else None


def end_record(chunk_count: int) -> bytes:
    """The record that ends a segment."""
    head = _HEADER.pack(_MAGIC, _END, chunk_count, 0, 0, 0, 0, bytes(32))[:-32]
    return head + Digest.of(head).raw


class ChunkSource(Protocol):
    """Where a prover gets the chunks of one segment from, in order. One thread at a time."""

    def next(self) -> Record | None:
        """The next chunk; None where there is none (yet)."""

    def close(self) -> None:
        """Lets go of it."""


class ChunkLogReader:
    """Reads the chunks of one log in order; O(1) memory but for one payload."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")

    def next(self) -> Record | None:
        """The next chunk; None at the end record, the end of the file or a torn record."""
        raw = self.next_raw()
        return parse_record(raw) if raw is not None else None

    def next_raw(self) -> bytes | None:
        """The next chunk's record as it lies in the log; None as `next`."""
        head = self._file.read(_HEADER.size)
        size = _payload_bytes(head)
        if size is None:
            return None
        payload = self._file.read(size)
        return head + payload if len(payload) == size else None

    def skip(self, chunks: int) -> None:
        """Goes on behind so many more chunks, or at the end."""
        for _ in range(chunks):
            size = _payload_bytes(self._file.read(_HEADER.size))
            if size is None:
                return
            self._file.seek(size, os.SEEK_CUR)

    def close(self) -> None:
        self._file.close()


def parse_record(raw: bytes) -> Record | None:
    """A chunk from its record; None if the bytes are not one whole record of a chunk."""
    size = _payload_bytes(raw[: _HEADER.size])
    if size is None or len(raw) != _HEADER.size + size:
        return None
    _, kind, sequence, offset, count, encoding, _, digest = _HEADER.unpack_from(raw)
    parts = _split_body(kind, digest, raw[_HEADER.size :])
    return Record(sequence, offset, count, encoding, digest, *parts) if parts is not None else None


def _payload_bytes(head: bytes) -> int | None:
    """What follows a header, a partial included: None where it is torn or not a chunk's."""
    if len(head) < _HEADER.size:
        return None
    magic, kind, _, _, _, _, size, _ = _HEADER.unpack(head)
    return int(size) if magic == _MAGIC and kind in (_CHUNK, _CHUNK_WITH_PARTIAL) else None


def recover(root: Path, key: SegmentKey, wires: int) -> Recovered:
    """Checks a log after a restart and cuts off what does not check; a missing log is an empty one. O(size)."""
    found = Recovered()
    path = log_path(root, key)
    if not path.exists():
        return found
    with path.open("r+b") as file:
        good, whole = 0, os.fstat(file.fileno()).st_size
        while True:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size:
                break
            magic, kind, sequence, offset, count, encoding, size, digest = _HEADER.unpack(head)
            if magic != _MAGIC or sequence != len(found.chunks) or found.ended:
                break
            if kind == _END:
                if digest != Digest.of(head[:-32]).raw:
                    break
                found.ended = True
            elif kind in (_CHUNK, _CHUNK_WITH_PARTIAL) and offset + count <= wires and size <= whole - file.tell():
                body = file.read(size)
                parts = _split_body(kind, digest, body) if len(body) == size else None
                if parts is None or digest != chunk_digest(key[0], key[1], sequence, offset, count, encoding, parts[0]):
                    break
                found.chunks.append(Record(sequence, offset, count, encoding, digest, b"", *parts[1:]))
            else:
                break
            good = file.tell()
        file.truncate(good)
        os.fsync(file.fileno())
    return found


def partial_origins(root: Path, key: SegmentKey) -> dict[int, bytes]:
    """The session that sent each partial in a log, by the chunk's sequence number. Reads the whole log."""
    found: dict[int, bytes] = {}
    reader = ChunkLogReader(log_path(root, key))
    try:
        while (record := reader.next()) is not None:
            if record.partial:
                found[record.sequence] = record.origin
    finally:
        reader.close()
    return found


@dataclass(slots=True)
class _Pending:
    records: list[bytes] = field(default_factory=list)
    next_sequence: int = 0
    ended: bool = False
    discard: bool = False


class ChunkLogs:
    """Writes all logs from one thread: what gathers while one sync runs is written and synced together by the next.

    `on_durable(key, next_sequence, ended)` and `on_error(key, error)` are called from that thread. After an error the
    segment's log is dropped. Memory is bounded by the credit given to edges.
    """

    def __init__(
        self,
        root: Path,
        on_durable: Callable[[SegmentKey, int, bool], None],
        on_error: Callable[[SegmentKey, OSError], None],
    ) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        _sync_folder(root.parent)
        self._on_durable = on_durable
        self._on_error = on_error
        self._wake = threading.Condition()
        self._pending: dict[SegmentKey, _Pending] = {}
        self._known: set[SegmentKey] = set()
        self._settling: list[threading.Event] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="chunk-log", daemon=True)
        self._thread.start()

    def append_chunk(self, chunk: uplink_pb2.Chunk, origin: bytes = bytes(_SESSION_BYTES)) -> None:
        """Queues one chunk of the session `origin`; returns at once."""
        with self._wake:
            pending = self._pending.setdefault((chunk.job_id, chunk.segment), _Pending())
            pending.records.append(chunk_record(chunk, origin))
            pending.next_sequence = chunk.sequence + 1
            self._wake.notify()

    def append_end(self, key: SegmentKey, chunk_count: int) -> None:
        """Queues the end of a segment."""
        with self._wake:
            pending = self._pending.setdefault(key, _Pending())
            pending.records.append(end_record(chunk_count))
            pending.next_sequence = chunk_count
            pending.ended = True
            self._wake.notify()

    def discard(self, key: SegmentKey) -> None:
        """Queues the removal of a log with all that is queued for it; what is appended later begins a new one."""
        with self._wake:
            self._pending[key] = _Pending(discard=True)
            self._wake.notify()

    def close(self) -> None:
        """Writes what is queued and ends the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def settle(self) -> None:
        """Waits until everything queued so far is written or removed. Blocks."""
        done = threading.Event()
        with self._wake:
            self._settling.append(done)
            self._wake.notify()
        done.wait()

    def jobs(self) -> list[bytes]:
        """The jobs of which there are logs."""
        names = [folder.name for folder in self.root.iterdir() if folder.is_dir()]
        return [bytes.fromhex(name) for name in names if len(name) == 64 and set(name) <= set("0123456789abcdef")]

    def keep_only(self, jobs: Iterable[bytes]) -> None:
        """Removes the logs of jobs that are over or were never opened; for start-up."""
        wanted = {job.hex() for job in jobs}
        for folder in self.root.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._pending or self._settling or self._stopping):
                    self._wake.wait()
                group, self._pending = self._pending, {}
                settling, self._settling = self._settling, []
                if not group and not settling:
                    return
            try:
                self._write_group(group)
            finally:  # whatever befalls this thread, nobody waits for it for ever
                for done in settling:
                    done.set()

    def _write_group(self, group: dict[SegmentKey, _Pending]) -> None:
        """Writes all files, then syncs them: the first sync carries most of what the others would have to."""
        written: list[tuple[SegmentKey, _Pending, FileIO]] = []
        new_folders: set[Path] = set()
        for key, pending in group.items():
            path = log_path(self.root, key)
            try:
                if pending.discard:
                    self._remove(key, path)
                if not pending.records:
                    continue
                if key not in self._known:
                    path.parent.mkdir(exist_ok=True)
                    new_folders.add(path.parent)
                file = path.open("ab", buffering=0)
                written.append((key, pending, file))
                for record in pending.records:
                    _write_all(file, record)
            except OSError as e:
                if written and written[-1][0] == key:
                    written.pop()[2].close()
                self._report(key, pending, e)
        for key, pending, file in written:
            try:
                with file:
                    os.fdatasync(file.fileno())
                folder = log_path(self.root, key).parent
                if folder in new_folders:
                    new_folders.discard(folder)
                    _sync_folder(folder)
                    _sync_folder(self.root)
                self._known.add(key)
            except OSError as e:
                self._report(key, pending, e)
            else:
                self._report(key, pending, None)

    def _remove(self, key: SegmentKey, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._known.discard(key)
        if path.parent.exists() and not any(path.parent.iterdir()):
            path.parent.rmdir()

    def _report(self, key: SegmentKey, pending: _Pending, error: OSError | None) -> None:
        """Says how it went, unless the log has been given up in the meantime: a new one must not hear of the old."""
        with self._wake:
            waiting = self._pending.get(key)
        if waiting is not None and waiting.discard:
            return
        if error is not None:
            self._on_error(key, error)
        else:
            self._on_durable(key, pending.next_sequence, pending.ended)


def _write_all(file: BinaryIO | FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def require(record: Record | None, key: SegmentKey, sequence: int) -> Record:
    """The record, which must be there because it was acked; DATA_LOSS (`WireError`) if the disk has lost it."""
    if record is None or record.sequence != sequence:
        where = f"segments[{key[1]}].chunks[{sequence}]"
        raise refuse(DATA_LOSS, f"{where}: the stored chunk cannot be read any more", reason="LOG_DAMAGED")
    return record
