"""Whether partials that a remote worker calls wrong are: no edge loses its trust on another machine's word."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from prover_core.backend import Backend
from prover_core.errors import InvalidInputError
from prover_core.groth16 import Partial, ProvingKey, partial_of

from .chunklog import ChunkLogReader, log_path
from .model import SegmentKey
from .witnesslog import decode


def wrong_partials(
    root: Path, key: SegmentKey, accused: Container[int], proving_key: ProvingKey, backend: Backend
) -> tuple[int, ...]:
    """Which of the accused chunks (sequence numbers) have stored partials that are wrong, each made again from the
    stored witness: four MSMs a chunk. `OSError` or `FormatError` if the log cannot be read."""
    found = []
    reader = ChunkLogReader(log_path(root, key))
    try:
        while (record := reader.next()) is not None:
            if record.partial and record.sequence in accused:
                right = partial_of(proving_key, record.wire_offset, decode(record), backend)
                try:
                    given = Partial.from_bytes(record.partial, backend)
                except InvalidInputError:
                    given = None
                if given != right:
                    found.append(record.sequence)
    finally:
        reader.close()
    return tuple(found)
