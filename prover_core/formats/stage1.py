"""A stage-1 proof as bytes, version 1: what a store or another process keeps of an assembly before its wrap.

    offset  bytes  what
    0       4      b"hps1"
    4       2      version, 1
    6       2      N, the shape's leaves
    8       2      L, its public signals
    10      2      m, its chunk
    12             the messages in the order of `assembly.protocol`: points, columns, words, rounds, claims, cross
                   terms, second cross terms, the last vector

All numbers are little-endian. A point of Grumpkin is x, then y, 32 bytes each, below r; an element of Fq has 32 bytes
and is below q; a digit word has 16 bytes. How many there are follows from the shape, so that every proof has exactly
one encoding, and nothing else is accepted. Whether points are on the curve, and whether anything holds, is for
`assembly.verify_stage1`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from ..assembly import layout, protocol
from ..assembly.protocol import STRIP, STRIPS, Claims, Stage1Proof
from ..assembly.shape import Shape
from ..assembly.transcript import Point
from ..errors import FormatError, InvalidInputError
from ..types import Q, R

MAGIC: Final = b"hps1"
VERSION: Final = 1
_HEADER: Final = struct.Struct("<4sHHHH")
_WORD: Final = 16
_FIELD: Final = 32


def stage1_bytes(shape: Shape) -> int:
    """The length of every stage-1 proof of a shape."""
    columns, blocks, m = len(layout.COLUMNS), shape.blocks, shape.chunk
    points = (1 + columns) * blocks + m * m + STRIPS * STRIPS
    elements = sum(degree + 1 for degree in protocol.round_degrees(shape)) + sum(Claims.lengths()) + STRIP
    return _HEADER.size + 2 * _FIELD * points + _WORD * shape.key_lanes + _FIELD * elements


def encode_stage1(shape: Shape, proof: Stage1Proof) -> bytes:
    """The encoding of a proof of that shape; `InvalidInputError` if its counts or ranges are not those of the shape."""
    out = [_HEADER.pack(MAGIC, VERSION, shape.leaves, shape.publics, shape.chunk)]

    def points(rows: Sequence[Point]) -> None:
        for point in rows:
            numbers(point, _FIELD)

    def numbers(values: Sequence[int], size: int) -> None:
        out.extend(value.to_bytes(size, "little") for value in values)

    try:
        points(proof.points)
        for row in proof.columns:
            points(row)
        numbers(proof.words, _WORD)
        for coefficients in proof.rounds:
            numbers(coefficients, _FIELD)
        numbers(proof.claims.values(), _FIELD)
        for row in (*proof.cross, *proof.strip_cross):
            points(row)
        numbers(proof.final, _FIELD)
    except OverflowError as e:
        raise InvalidInputError("a number of the stage-1 proof is out of range", field="proof") from e
    raw = b"".join(out)
    try:
        fits = decode_stage1(raw) == (shape, proof)
    except FormatError as e:
        raise InvalidInputError(f"not a stage-1 proof of the shape: {e}", field="proof") from e
    if not fits:
        raise InvalidInputError("the stage-1 proof's counts are not those of the shape", field="proof")
    return raw


def decode_stage1(raw: bytes) -> tuple[Shape, Stage1Proof]:
    """Shape and proof. `FormatError` names what is not as version 1 has it; allocates no more than `raw` is long."""
    if len(raw) < _HEADER.size:
        raise FormatError(f"a stage-1 proof has at least {_HEADER.size} bytes, not {len(raw)}", field="header")
    magic, version, leaves, publics, chunk = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise FormatError("this is not a stage-1 proof", field="magic")
    if version != VERSION:
        raise FormatError(f"version {version} is not read here, only {VERSION}", field="version")
    try:
        shape = Shape(leaves, publics, chunk)
    except InvalidInputError as e:
        raise FormatError(f"no such shape: {e}", field="shape") from e
    if len(raw) != stage1_bytes(shape):
        raise FormatError(f"a proof of this shape has {stage1_bytes(shape)} bytes, not {len(raw)}", field="length")
    return shape, _Reader(raw, _HEADER.size).proof(shape)


class _Reader:
    """Takes numbers off one after another; the length has been checked."""

    def __init__(self, raw: bytes, at: int) -> None:
        self._raw, self._at = raw, at

    def proof(self, shape: Shape) -> Stage1Proof:
        """All messages."""
        points = self._points("points", shape.blocks)
        columns = tuple(self._points(f"columns[{i}]", shape.blocks) for i in range(len(layout.COLUMNS)))
        words = self._numbers("words", shape.key_lanes, _WORD, 1 << 128)
        degrees = protocol.round_degrees(shape)
        rounds = tuple(self._numbers(f"rounds[{i}]", degree + 1, _FIELD, Q) for i, degree in enumerate(degrees))
        claims = Claims(*(self._numbers("claims", length, _FIELD, Q) for length in Claims.lengths()))
        cross = tuple(self._points(f"cross[{i}]", shape.chunk) for i in range(shape.chunk))
        strips = tuple(self._points(f"strip_cross[{i}]", STRIPS) for i in range(STRIPS))
        return Stage1Proof(
            points, columns, words, rounds, claims, cross, strips, self._numbers("final", STRIP, _FIELD, Q)
        )

    def _points(self, name: str, count: int) -> tuple[Point, ...]:
        flat = self._numbers(name, 2 * count, _FIELD, R)
        return tuple(zip(flat[::2], flat[1::2], strict=True))

    def _numbers(self, name: str, count: int, size: int, bound: int) -> tuple[int, ...]:
        end = self._at + count * size
        found = tuple(int.from_bytes(self._raw[i : i + size], "little") for i in range(self._at, end, size))
        for i, value in enumerate(found):
            if value >= bound:
                raise FormatError("a number is not canonical", field=f"{name}[{i}]")
        self._at = end
        return found
