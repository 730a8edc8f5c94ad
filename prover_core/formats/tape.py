"""Our `.tape` files: witness tapes in iden3's container. Tapes come from outside; what is read here is safe to run.

Sections, all integers little-endian:
    1 header    n_outputs u64, inputs u32, routines u32, labels u32, constants u64, words u64
    2 inputs    { size u64, public u8, name length u16, UTF-8 name } *
    3 constants 32 bytes each, canonical
    4 routines  inputs u32 each, then routines + 1 starts u64
    5 code      u32 each
    6 labels    { row u64, length u16, UTF-8 text } *
"""

from __future__ import annotations

import os
import struct
from typing import Final

import numpy as np

from ..errors import FormatError
from ..types import FrVector
from ..witness.program import InputSpec
from ..witness.tape import MAX_LABEL_BYTES, MAX_ROUTINES, MAX_WIRES, Tape, check_tape
from .binfile import BinFile, Reader, Source, write_binfile

MAGIC: Final = b"tape"
VERSION: Final = 1
MAX_LABELS: Final = 1 << 22
MAX_INPUTS: Final = 1 << 20
MAX_CONSTANTS: Final = 1 << 28
MAX_WORDS: Final = 1 << 30
_HEADER: Final = struct.Struct("<QIIIQQ")
_INPUT: Final = struct.Struct("<QBH")
_LABEL: Final = struct.Struct("<QH")


def read_tape(source: Source) -> Tape:
    """A tape that `check_tape` accepts; arrays are views of the map. O(words), about a microsecond an instruction.

    `FormatError` names the section that is malformed, inconsistent or over its limit.
    """
    file = BinFile(source, MAGIC, versions=(VERSION,))
    header = file.section(1, length=_HEADER.size)
    n_outputs, n_inputs, n_routines, n_labels, n_constants, n_words = _HEADER.unpack(header)
    limits = (MAX_WIRES, MAX_INPUTS, MAX_ROUTINES, MAX_LABELS, MAX_CONSTANTS, MAX_WORDS)
    counts = (n_outputs, n_inputs, n_routines, n_labels, n_constants, n_words)
    if any(count > limit for count, limit in zip(counts, limits, strict=True)):
        raise FormatError("the header asks for more than a tape may have", field="section 1")
    constants = FrVector(file.limbs(3, (4,), n_constants))
    routines = file.section(4, length=4 * n_routines + 8 * (n_routines + 1))
    tape = Tape(
        inputs=_read_inputs(Reader(file.section(2), "section 2"), n_inputs),
        n_outputs=n_outputs,
        constants=constants,
        routine_inputs=np.frombuffer(routines[: 4 * n_routines], dtype="<u4"),
        routine_start=np.frombuffer(routines[4 * n_routines :], dtype="<u8"),
        code=np.frombuffer(file.section(5, length=4 * n_words), dtype="<u4"),
        labels=_read_labels(Reader(file.section(6), "section 6"), n_labels),
    )
    check_tape(tape)
    return tape


def write_tape(path: str | os.PathLike[str], tape: Tape) -> None:
    """Writes a tape; `FormatError` if a name or label is too long to store."""
    inputs = b"".join(
        _INPUT.pack(spec.size, spec.public, len(name)) + name
        for spec, name in ((spec, _encode(spec.name, "section 2")) for spec in tape.inputs)
    )
    labels = b"".join(
        _LABEL.pack(row, len(text)) + text
        for row, text in ((row, _encode(label, "section 6")) for row, label in tape.labels)
    )
    header = _HEADER.pack(
        tape.n_outputs,
        len(tape.inputs),
        len(tape.routine_inputs),
        len(tape.labels),
        len(tape.constants),
        len(tape.code),
    )
    write_binfile(
        path,
        MAGIC,
        VERSION,
        [
            (1, [header]),
            (2, [inputs]),
            (3, [tape.constants.limbs]),
            (4, [tape.routine_inputs, tape.routine_start]),
            (5, [tape.code]),
            (6, [labels]),
        ],
    )


def _read_inputs(reader: Reader, count: int) -> tuple[InputSpec, ...]:
    specs = []
    for _ in range(count):
        size, public, length = _INPUT.unpack(reader.bytes(_INPUT.size))
        if public > 1:
            raise FormatError("an input is neither public nor private", field="section 2")
        specs.append(InputSpec(_decode(reader, length, "section 2"), size, bool(public)))
    reader.end()
    return tuple(specs)


def _read_labels(reader: Reader, count: int) -> tuple[tuple[int, str], ...]:
    labels = []
    for _ in range(count):
        row, length = _LABEL.unpack(reader.bytes(_LABEL.size))
        labels.append((row, _decode(reader, length, "section 6")))
    reader.end()
    return tuple(labels)


def _decode(reader: Reader, length: int, section: str) -> str:
    if length > MAX_LABEL_BYTES:
        raise FormatError(f"a name of {length} bytes is too long", field=section)
    try:
        return reader.bytes(length).decode("utf-8")
    except UnicodeDecodeError as e:
        raise FormatError("a name is not UTF-8", field=section) from e


def _encode(text: str, section: str) -> bytes:
    raw = text.encode("utf-8")
    if len(raw) > MAX_LABEL_BYTES:
        raise FormatError(f"a name of {len(raw)} bytes is too long", field=section)
    return raw
