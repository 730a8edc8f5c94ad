"""How many bytes a message of the uplink has, without serializing a chunk to find out."""

from __future__ import annotations

from hybrid_prover.v1 import uplink_pb2

CHUNK_HEADER_BYTES = 96
"""What a chunk has besides payload and partial: ids, numbers, digest; within a few bytes."""


def request_bytes(request: uplink_pb2.UplinkRequest) -> int:
    """Bytes of an edge's message. `ByteSize` of a chunk serializes its payload, which costs more than sending it on."""
    if not request.HasField("chunk"):
        return int(request.ByteSize())
    chunk = request.chunk
    partial = chunk.partial.ByteSize() if chunk.HasField("partial") else 0
    return len(chunk.payload) + partial + CHUNK_HEADER_BYTES
