"""One segment's chunks in one append-only file: written by a witness worker, read by the uplink.

A record is a header and the payload. What a crash leaves unfinished at the end is cut off when the file is opened
again; nothing is lost by that, for witnesses are made again from their inputs, chunk for chunk the same.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from prover_core.errors import WitnessProgramError
from prover_core.formats.chunk import ENCODING_PACKED, chunk_digest, encode_chunk
from prover_core.types import FrVector

_HEADER = struct.Struct("<4sIQQII32s")
"""Magic, payload bytes, sequence, wire offset, wire count, encoding, digest."""
_MAGIC = b"HPC1"
RECORD_NUMBERS = ("sequence", "position", "size", "wire_offset", "wire_count", "encoding")
"""The fields of a ChunkRecord that are numbers."""


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """Where a chunk lies in its file, and what the wire says of it."""

    sequence: int
    position: int
    """Of the payload in the file."""
    size: int
    """Payload bytes."""
    wire_offset: int
    wire_count: int
    encoding: int
    digest: bytes


def record_json(record: ChunkRecord) -> dict[str, Any]:
    """A record as it stands in a frame's head."""
    return {name: getattr(record, name) for name in RECORD_NUMBERS} | {"digest": record.digest.hex()}


def record_from_json(head: dict[str, Any]) -> ChunkRecord:
    """The inverse of `record_json`."""
    return ChunkRecord(**{name: head[name] for name in RECORD_NUMBERS}, digest=bytes.fromhex(head["digest"]))


def scan(path: Path, job_id: bytes, segment: int) -> list[ChunkRecord]:
    """The whole and intact records at the start of the file; empty if there is none. Reads and hashes all of it."""
    records: list[ChunkRecord] = []
    if not path.exists():
        return records
    with path.open("rb") as file:
        while record := _read_record(file, job_id, segment, len(records)):
            records.append(record)
    return records


def _read_record(file: BinaryIO, job_id: bytes, segment: int, wanted: int) -> ChunkRecord | None:
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, size, sequence, offset, count, encoding, digest = _HEADER.unpack(head)
    if magic != _MAGIC or sequence != wanted:
        return None
    position = file.tell()
    if size > os.fstat(file.fileno()).st_size - position:
        return None
    payload = file.read(size)
    if len(payload) < size or chunk_digest(job_id, segment, sequence, offset, count, encoding, payload) != digest:
        return None
    return ChunkRecord(sequence, position, size, offset, count, encoding, digest)


def read_payload(path: Path, record: ChunkRecord) -> bytes:
    """The payload of a record; `OSError` if the file is shorter than it was. The receiver checks the digest."""
    with path.open("rb") as file:
        payload = os.pread(file.fileno(), record.size, record.position)
    if len(payload) < record.size:
        raise OSError(f"{path} was cut short")
    return payload


class ChunkWriter:
    """Appends a segment's chunks. Chunks already there from an earlier attempt must come out the same."""

    def __init__(self, path: Path, job_id: bytes, segment: int) -> None:
        self._job_id, self._segment = job_id, segment
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known = scan(path, job_id, segment)
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._end = self._known[-1].position + self._known[-1].size if self._known else 0
        self._file.truncate(self._end)
        self._file.seek(self._end)
        self.count = 0
        """Chunks so far."""

    def append(self, wire_offset: int, values: FrVector) -> ChunkRecord:
        """Encodes the next chunk and hands it to the operating system; `WitnessProgramError` if an earlier attempt at
        this segment made another chunk here, for then the witness program is not deterministic."""
        payload = encode_chunk(values)
        sequence, count = self.count, len(values)
        digest = chunk_digest(self._job_id, self._segment, sequence, wire_offset, count, ENCODING_PACKED, payload)
        self.count += 1
        if sequence < len(self._known):
            known = self._known[sequence]
            if known.digest != digest:
                raise WitnessProgramError("the witness program made another witness from the same inputs")
            return known
        head = _HEADER.pack(_MAGIC, len(payload), sequence, wire_offset, count, ENCODING_PACKED, digest)
        self._file.write(head)
        self._file.write(payload)
        self._file.flush()
        position = self._end + _HEADER.size
        self._end = position + len(payload)
        return ChunkRecord(sequence, position, len(payload), wire_offset, count, ENCODING_PACKED, digest)

    def close(self) -> None:
        """Ends the writing."""
        self._file.close()
