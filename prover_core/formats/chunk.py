"""The packed encoding of a chunk's values (encoding 1), and the digest that binds a chunk to its place.

Most witness values are small, so each value is put in one of eight classes and only its significant bytes are sent:

    class   0   1   2      3        4        5        6         7
    value   0   1   < 2^8  < 2^16   < 2^32   < 2^64   < 2^128   < r
    bytes   0   0   1      2        4        8        16        32

A payload of n values is three bit planes (bit 0, 1 and 2 of the classes, ceil(n / 8) bytes each, first value in the
lowest bit, padding zero), then the values of class 2 in order, those of class 3, and so on to class 7, little-endian.
A value belongs to the lowest class that holds it and nothing else is accepted: every vector has exactly one encoding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import FormatError, InvalidInputError
from ..types import Digest, FrVector

ENCODING_PACKED = 1
"""The only encoding of version 1 of the wire API."""
MAX_CHUNK_WIRES = 1 << 20
"""The most values one chunk may hold; bounds what a decoder allocates (32 MiB)."""

_WIDTHS = (0, 0, 1, 2, 4, 8, 16, 32)
_DOMAIN = b"hybrid-prover chunk 1"
_PARTIAL_DOMAIN = b"hybrid-prover partial 1"


def max_payload_bytes(wire_count: int) -> int:
    """The size of the largest payload of that many values: all of them full."""
    return 3 * ((wire_count + 7) // 8) + 32 * wire_count


def encode_chunk(values: FrVector) -> bytes:
    """The payload of encoding 1. O(n) numpy passes. `InvalidInputError` for no values or over `MAX_CHUNK_WIRES`.

    The values must be canonical (that is what `FrVector` promises); the decoder checks it.
    """
    n = len(values)
    if not 0 < n <= MAX_CHUNK_WIRES:
        raise InvalidInputError(f"a chunk holds 1 to {MAX_CHUNK_WIRES} values, not {n}", field="wire_count")
    limbs = values.limbs
    low = np.ascontiguousarray(limbs[:, 0])
    second = limbs[:, 1] != 0
    high = (limbs[:, 2] | limbs[:, 3]) != 0
    classes = (low > 0).view(np.uint8) + (low > 1).view(np.uint8)
    if low.max() > 1:
        for bits in (8, 16, 32):
            classes += (low >= np.uint64(1 << bits)).view(np.uint8)
        classes[second] = 6
        classes[high] = 7
    elif second.any() or high.any():
        classes[second] = 6
        classes[high] = 7
    parts = [np.packbits((classes >> k) & 1, bitorder="little").tobytes() for k in range(3)]
    present = np.bincount(classes, minlength=8)
    for k in range(2, 8):
        if not present[k]:
            continue
        if k == 7:
            parts.append((limbs if present[k] == n else limbs[classes == k]).astype("<u8", copy=False).tobytes())
        elif k == 6:
            parts.append(limbs[classes == k, :2].astype("<u8", copy=False).tobytes())
        else:
            parts.append(low[classes == k].astype(f"<u{_WIDTHS[k]}").tobytes())
    return b"".join(parts)


def decode_chunk(payload: bytes | memoryview, wire_count: int, encoding: int = ENCODING_PACKED) -> FrVector:
    """The values of a payload; the inverse of `encode_chunk`. O(n); allocates 32 bytes a value and little more.

    `FormatError` (field = `encoding`, `wire_count` or `payload`) unless the payload is the one encoding of that many
    canonical values: size exact, padding zero, every value in its lowest class and below r.
    """
    if encoding != ENCODING_PACKED:
        raise FormatError(
            f"chunk encoding {encoding} is not known; this version reads {ENCODING_PACKED}", field="encoding"
        )
    if not 0 < wire_count <= MAX_CHUNK_WIRES:
        raise FormatError(f"a chunk holds 1 to {MAX_CHUNK_WIRES} values, not {wire_count}", field="wire_count")
    plane = (wire_count + 7) // 8
    if len(payload) < 3 * plane:
        raise FormatError(f"{len(payload)} bytes do not hold the classes of {wire_count} values", field="payload")
    raw = np.frombuffer(payload, dtype=np.uint8)
    classes = np.zeros(8 * plane, dtype=np.uint8)
    for k in range(3):
        classes |= np.unpackbits(raw[k * plane : (k + 1) * plane], bitorder="little") << np.uint8(k)
    if classes[wire_count:].any():
        raise FormatError("the padding of the class planes is not zero", field="payload")
    classes = classes[:wire_count]
    present = [int(c) for c in np.bincount(classes, minlength=8)]
    size = 3 * plane + sum(w * c for w, c in zip(_WIDTHS, present, strict=True))
    if len(payload) != size:
        raise FormatError(f"the classes announce {size} bytes, the payload has {len(payload)}", field="payload")
    if present[7] == wire_count:
        limbs = np.frombuffer(payload, dtype="<u8", offset=3 * plane).astype(np.uint64).reshape(-1, 4)
    else:
        limbs = np.zeros((wire_count, 4), dtype=np.uint64)
        limbs[:, 0] = classes == 1
        _scatter(limbs, classes, present, raw[3 * plane :])
    if present[7]:
        _check_full(limbs, classes)
    return FrVector(limbs)


def _scatter(
    limbs: npt.NDArray[np.uint64], classes: npt.NDArray[np.uint8], present: list[int], body: npt.NDArray[np.uint8]
) -> None:
    """Puts the values of classes 2 to 7 in their rows, each class checked against its lower bound."""
    at = 0
    for k in range(2, 8):
        if not present[k]:
            continue
        piece = body[at : at + present[k] * _WIDTHS[k]]
        at += len(piece)
        where = np.flatnonzero(classes == k)
        if k < 6:
            values = np.frombuffer(piece.tobytes(), dtype=f"<u{_WIDTHS[k]}").astype(np.uint64)
            floor = 2 if k == 2 else 1 << (8 * _WIDTHS[k - 1])
            if int(values.min()) < floor:
                raise FormatError(f"a value of class {k} fits a lower class", field="payload")
            limbs[where, 0] = values
        else:
            wide = np.frombuffer(piece.tobytes(), dtype="<u8").reshape(-1, _WIDTHS[k] // 8)
            if k == 6 and not wide[:, 1].all():
                raise FormatError("a value of class 6 fits a lower class", field="payload")
            limbs[where, : wide.shape[1]] = wide


def _check_full(limbs: npt.NDArray[np.uint64], classes: npt.NDArray[np.uint8]) -> None:
    if not ((limbs[:, 2] | limbs[:, 3]) != 0)[classes == 7].all():
        raise FormatError("a value of class 7 fits a lower class", field="payload")
    bad = FrVector(limbs).first_non_canonical()
    if bad is not None:
        raise FormatError(f"value {bad} is not below r", field="payload")


def chunk_digest(
    job_id: bytes,
    segment: int,
    sequence: int,
    wire_offset: int,
    wire_count: int,
    encoding: int,
    payload: bytes | memoryview,
) -> bytes:
    """SHA-256 over a domain name and the fields, each preceded by its length (8 bytes); integers as 8 bytes, all LE.

    Binds a payload to its place: a chunk moved to another job, segment, sequence number or offset has another digest.
    """
    numbers = [value.to_bytes(8, "little") for value in (segment, sequence, wire_offset, wire_count, encoding)]
    return Digest.of(_DOMAIN, job_id, *numbers, payload).raw


def partial_digest(chunk: bytes, partial: bytes | memoryview) -> bytes:
    """SHA-256 over a domain name, the chunk's digest and the partial's bytes: binds a partial to its chunk.

    Apart from `chunk_digest`, so that a chunk sent again is the same chunk whether or not a partial comes with it.
    """
    return Digest.of(_PARTIAL_DOMAIN, chunk, partial).raw
