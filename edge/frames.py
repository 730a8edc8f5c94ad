"""What the daemon and its workers say to each other over pipes: a JSON head and a body of bytes, each with its length.

Plain data on purpose: a worker runs programs from outside, so nothing it says may be more than data.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, BinaryIO

_LENGTHS = struct.Struct("<II")
MAX_FRAME = 512 << 20
"""Bytes of head or body; more is an error of the sender."""

Head = dict[str, Any]


def pack(head: Head, body: bytes = b"") -> bytes:
    """One frame."""
    text = json.dumps(head, separators=(",", ":")).encode()
    return _LENGTHS.pack(len(text), len(body)) + text + body


def read(file: BinaryIO) -> tuple[Head, bytes] | None:
    """The next frame of a blocking pipe, None at its end."""
    lengths = file.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head, body = _LENGTHS.unpack(lengths)
    text, rest = file.read(head), file.read(body)
    if len(text) < head or len(rest) < body:
        return None
    return json.loads(text), rest


async def receive(reader: asyncio.StreamReader) -> tuple[Head, bytes]:
    """The next frame of an asynchronous pipe; `EOFError` at its end or if it is not a frame."""
    head, body = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    if head > MAX_FRAME or body > MAX_FRAME:
        raise EOFError("not a frame")
    text = await reader.readexactly(head)
    rest = await reader.readexactly(body)
    try:
        return json.loads(text), rest
    except ValueError as e:
        raise EOFError("not a frame") from e
