"""Mutators that keep the outer form whole: libFuzzer alone would spend its inputs on broken lengths and digests."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from google.protobuf.message import DecodeError

from hybrid_prover.v1 import uplink_pb2
from prover_core.formats.chunk import chunk_digest, partial_digest
from prover_core.types import Q, R

Mutate = Callable[[bytes, int], bytes]

_HEAD: Final = struct.Struct("<4sII")
_SECTION: Final = struct.Struct("<IQ")
_NUMBERS: Final = (
    0,
    1,
    2,
    3,
    7,
    8,
    31,
    32,
    255,
    256,
    1 << 16,
    (1 << 27),
    (1 << 28),
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
)


def split(data: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """(magic and version, sections) of an iden3 container; `ValueError` if it is not one."""
    if len(data) < _HEAD.size:
        raise ValueError("too short")
    magic, version, count = _HEAD.unpack_from(data)
    at, sections = _HEAD.size, []
    for _ in range(min(count, 64)):
        if at + _SECTION.size > len(data):
            raise ValueError("cut")
        number, length = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        sections.append((number, data[at : at + length]))
        at += length
    return magic + struct.pack("<I", version), sections


def join(head: bytes, sections: list[tuple[int, bytes]]) -> bytes:
    """The container of these sections."""
    bodies = [_SECTION.pack(number, len(body)) + body for number, body in sections]
    return head + struct.pack("<I", len(sections)) + b"".join(bodies)


def _number_in(body: bytes, draw: random.Random) -> bytes:
    """One aligned word of the body, among the first ones as a rule, becomes a number that programs trip over."""
    if len(body) < 4:
        return body
    words = len(body) // 4
    at = 4 * (draw.randrange(min(words, 32)) if draw.random() < 0.7 else draw.randrange(words))
    (old,) = struct.unpack_from("<I", body, at)
    new = draw.choice((*_NUMBERS, old + 1, old - 1, old * 2, old ^ (1 << draw.randrange(32)))) & 0xFFFFFFFF
    return body[:at] + struct.pack("<I", new) + body[at + 4 :]


def container(data: bytes, size: int, seed: int, mutate: Mutate) -> bytes:
    """Mutates one section and mends its length; a tenth of the inputs are mutated as they are."""
    draw = random.Random(seed)
    try:
        head, sections = split(data)
    except ValueError:
        return mutate(data, size)
    if not sections or draw.random() < 0.1:
        return mutate(data, size)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        k = draw.randrange(len(sections))
        number, body = sections[k]
        match draw.randrange(8):
            case 0:
                sections.insert(draw.randrange(len(sections) + 1), (number, body))
            case 1 if len(sections) > 1:
                del sections[k]
            case 2:
                sections[k] = (draw.choice(((number + 1) & 0xFFFFFFFF, number ^ 1, draw.randrange(20))), body)
            case 3 | 4 | 5:
                sections[k] = (number, _number_in(body, draw))
            case _:
                sections[k] = (number, mutate(body, len(body) + 64) if body else mutate(b"\0", 64))
    return join(head, sections)[:size]


def json_text(data: bytes, size: int, seed: int, mutate: Mutate) -> bytes:
    """Changes one node of a JSON document; one input in four is mutated as text."""
    draw = random.Random(seed)
    try:
        document = json.loads(data)
    except ValueError:
        return mutate(data, size)
    if draw.random() < 0.25:
        return mutate(data, size)
    return json.dumps(_node(document, draw), ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")[:size]


def _node(value: object, draw: random.Random) -> object:
    """The value with something below it changed, or another value in its place."""
    if draw.random() < 0.7:
        if isinstance(value, dict) and value:
            name = draw.choice(list(value))
            changed = {k: _node(v, draw) if k == name else v for k, v in value.items()}
            if draw.random() < 0.1:
                del changed[name]
            return changed
        if isinstance(value, list) and value:
            at = draw.randrange(len(value))
            changed = [*value[:at], _node(value[at], draw), *value[at + 1 :]]
            return changed * 2 if draw.random() < 0.05 else changed[: draw.choice((at, len(changed)))]
    number = draw.choice((*_NUMBERS, R - 1, R, Q - 1, Q, 1 << 256, 10**400, -1, -R))
    texts = (str(number), hex(number), f"0{number}", f" {number}", f"{number}.0", "", "١", "\ud800")
    return draw.choice(
        (*texts, number, 1e308, float("nan"), True, None, [], {}, [[]], [value], [value] * 3, {"f": value})
    )


def conversation(data: bytes, size: int, seed: int, mutate: Mutate) -> bytes:
    """Changes, repeats, drops or moves messages of an edge; what a digest covers is digested again as a rule."""
    draw = random.Random(seed)
    messages: list[bytes] = []
    at = 0
    while at + 2 <= len(data):
        (length,) = struct.unpack_from("<H", data, at)
        messages.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    if not messages:
        return mutate(data, size)
    for _ in range(draw.choice((1, 1, 2, 4))):
        k = draw.randrange(len(messages))
        match draw.randrange(6):
            case 0:
                messages.insert(draw.randrange(len(messages) + 1), messages[k])
            case 1 if len(messages) > 1:
                del messages[k]
            case 2:
                messages.append(messages.pop(k))
            case 3:
                messages[k] = mutate(messages[k], 2 * len(messages[k]) + 16) if messages[k] else b""
            case _:
                messages[k] = _message(messages[k], draw)
    return b"".join(struct.pack("<H", len(m) & 0xFFFF) + m[:0xFFFF] for m in messages)[:size]


def _message(raw: bytes, draw: random.Random) -> bytes:
    """One number or byte string of a message changed."""
    try:
        request = uplink_pb2.UplinkRequest.FromString(raw)
    except DecodeError:
        return raw
    kind = request.WhichOneof("message")
    if kind is None:
        return raw
    inner = getattr(request, kind)
    field = draw.choice(inner.DESCRIPTOR.fields)
    if field.is_repeated or field.message_type is not None:
        inner.ClearField(field.name)
    elif isinstance(value := getattr(inner, field.name), int) and not isinstance(value, bool):
        new = draw.choice((*_NUMBERS, value + 1, max(0, value - 1), 4, 8, (1 << 64) - 1))
        with suppress(ValueError):
            setattr(inner, field.name, new)
    elif isinstance(value, bytes):
        setattr(inner, field.name, draw.choice((b"", value[:-1], value + b"\0", b"c" * 32, b"p" * 32, value[::-1])))
    if kind == "chunk" and draw.random() < 0.9:
        c = request.chunk
        place = (c.segment, c.sequence, c.wire_offset, c.wire_count, c.encoding)
        c.digest = chunk_digest(c.job_id, *place, c.payload)
        if c.HasField("partial"):
            c.partial.digest = partial_digest(c.digest, c.partial.points)
    return bytes(request.SerializeToString())


MUTATORS: Final = {
    **dict.fromkeys(("r1cs", "wtns", "zkey", "ptau", "tape"), container),
    **dict.fromkeys(("proof", "public", "vkey", "inputs"), json_text),
    "uplink": conversation,
}
"""Target name → its mutator; libFuzzer's own serves the others."""
