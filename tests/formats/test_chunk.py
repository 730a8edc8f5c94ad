"""The chunk codec: what goes in comes out, one encoding per vector, and nothing malformed is decoded."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover_core.errors import FormatError, InvalidInputError
from prover_core.formats.chunk import (
    ENCODING_PACKED,
    MAX_CHUNK_WIRES,
    chunk_digest,
    decode_chunk,
    encode_chunk,
    max_payload_bytes,
)
from prover_core.types import FrVector, R

EDGES = [0, 1, 2, 255, 256, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**128 - 1, 2**128, 2**192, R - 1]

values = st.lists(
    st.one_of(
        st.sampled_from(EDGES),
        st.integers(0, 1),
        st.integers(0, 255),
        st.integers(0, 2**64 - 1),
        st.integers(0, R - 1),
    ),
    min_size=1,
    max_size=70,
)


def plain_encoding(ints: list[int]) -> bytes:
    """The format's definition, value by value, without numpy."""

    def class_of(v: int) -> int:
        if v < 2:
            return v
        return next(k for k, w in ((2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 32)) if v < 256**w)

    classes = [class_of(v) for v in ints]
    planes = bytearray()
    for bit in range(3):
        packed = sum(((c >> bit) & 1) << i for i, c in enumerate(classes))
        planes += packed.to_bytes((len(ints) + 7) // 8, "little")
    body = bytearray()
    for k, w in ((2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 32)):
        for v, c in zip(ints, classes, strict=True):
            if c == k:
                body += v.to_bytes(w, "little")
    return bytes(planes + body)


@given(values)
@settings(max_examples=200, deadline=None)
def test_round_trip_is_the_format_as_defined(ints: list[int]) -> None:
    payload = encode_chunk(FrVector.from_ints(ints))
    assert payload == plain_encoding(ints)
    assert len(payload) <= max_payload_bytes(len(ints))
    assert decode_chunk(payload, len(ints)).to_ints() == ints


@given(values, st.data())
@settings(max_examples=300, deadline=None)
def test_an_altered_payload_is_refused_or_encodes_another_vector(ints: list[int], data: st.DataObject) -> None:
    payload = bytearray(encode_chunk(FrVector.from_ints(ints)))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode_chunk(bytes(payload), len(ints))
    except FormatError:
        return
    assert decoded.to_ints() != ints
    assert encode_chunk(decoded) == bytes(payload)


@given(st.binary(max_size=200), st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_refused_or_canonical(raw: bytes, count: int) -> None:
    try:
        decoded = decode_chunk(raw, count)
    except FormatError:
        return
    assert decoded.first_non_canonical() is None
    assert encode_chunk(decoded) == raw


@pytest.mark.parametrize("ints", [[5, R - 1, 0], [1] * 9, EDGES])
def test_sizes_are_exact(ints: list[int]) -> None:
    payload = encode_chunk(FrVector.from_ints(ints))
    for wrong in (payload[:-1], payload + b"\0", b"", payload[:1]):
        with pytest.raises(FormatError):
            decode_chunk(wrong, len(ints))


def test_a_value_that_fits_a_lower_class_is_refused() -> None:
    # One value: three one-byte planes, then the value; class k needs more than the class before holds.
    for k, width, too_small in ((2, 1, 1), (3, 2, 255), (4, 4, 2**16 - 1), (5, 8, 2**32 - 1), (6, 16, 2**64 - 1)):
        planes = bytes((k >> bit) & 1 for bit in range(3))
        with pytest.raises(FormatError, match="lower class"):
            decode_chunk(planes + too_small.to_bytes(width, "little"), 1)
        assert decode_chunk(planes + (too_small + 1).to_bytes(width, "little"), 1).to_ints() == [too_small + 1]
    full = b"\x01\x01\x01"
    with pytest.raises(FormatError, match="lower class"):
        decode_chunk(full + (2**128 - 1).to_bytes(32, "little"), 1)


def test_a_value_not_below_r_is_refused() -> None:
    full = b"\x01\x01\x01"
    assert decode_chunk(full + (R - 1).to_bytes(32, "little"), 1).to_ints() == [R - 1]
    for v in (R, R + 1, 2**256 - 1):
        with pytest.raises(FormatError, match="not below r"):
            decode_chunk(full + v.to_bytes(32, "little"), 1)


def test_padding_must_be_zero() -> None:
    payload = bytearray(encode_chunk(FrVector.from_ints([1, 1, 1])))
    payload[0] |= 0x80
    with pytest.raises(FormatError, match="padding"):
        decode_chunk(bytes(payload), 3)


@pytest.mark.parametrize("count", [0, -1, MAX_CHUNK_WIRES + 1])
def test_counts_are_limited(count: int) -> None:
    with pytest.raises(FormatError) as e:
        decode_chunk(b"\0" * 64, count)
    assert e.value.field == "wire_count"


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(FormatError) as e:
        decode_chunk(b"\0\0\0", 1, 2)
    assert e.value.field == "encoding"


def test_an_empty_or_oversized_vector_is_not_encoded() -> None:
    for n in (0, MAX_CHUNK_WIRES + 1):
        with pytest.raises(InvalidInputError):
            encode_chunk(FrVector(np.zeros((n, 4), dtype=np.uint64)))


def test_the_digest_is_sha256_of_length_prefixed_fields_and_binds_each() -> None:
    arguments = (b"\x11" * 32, 1, 2, 3, 4, ENCODING_PACKED, b"payload")
    message = b""
    for part in (
        b"hybrid-prover chunk 1",
        b"\x11" * 32,
        *(n.to_bytes(8, "little") for n in (1, 2, 3, 4, 1)),
        b"payload",
    ):
        message += len(part).to_bytes(8, "little") + part
    assert chunk_digest(*arguments) == hashlib.sha256(message).digest()
    others = [
        (b"\x12" * 32, *arguments[1:]),
        *((*arguments[:i], 9, *arguments[i + 1 :]) for i in range(1, 6)),
        (*arguments[:6], b"payloae"),
    ]
    assert len({chunk_digest(*a) for a in [arguments, *others]}) == 8
