"""The tape's instruction set, and the one walk over its words that everybody shares.

A tape is a list of routines; routine i calls only routines below i (so every tape ends), the last one is the main
routine. A routine is a string of 32-bit words. Results have no address: each instruction appends its results either to
the wires (which makes a wire final the moment it is computed, in order) or to the routine's temporaries. An operand is
two bits of kind and thirty of index, and may only name what is already computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from ..errors import FormatError

CONSTANT, INPUT, WIRE, TEMP = 0, 1, 2, 3
"""Operand kinds: constant table, the routine's inputs, its own wires (from its first), its temporaries."""
KIND_SHIFT = 30
INDEX_MASK = (1 << KIND_SHIFT) - 1
TO_WIRES = 1 << 8
"""Flag beside the opcode: results become wires, not temporaries."""

ZERO, ONE, MINUS_ONE = 0, 1, 2
"""Fixed places in the constant table."""

MAX_BITS = 254
"""Bits that one BITS instruction may take from a canonical value."""


class Op(IntEnum):
    """Opcode; the words that follow it; results. Integers are canonical representatives in [0, r)."""

    LINEAR = 0
    """n, constant, (operand, constant) * n → constant + sum of coefficient * operand."""
    PRODUCT = 1
    """a, b → a * b."""
    INVERSE = 2
    """a → 1 / a, or 0 where a = 0."""
    QUOTIENT = 3
    """a, b → a / b in the field, or 0 where b = 0."""
    BITS = 4
    """n, a → bits 0 .. n-1 of the integer a (n <= 254)."""
    DIVMOD = 5
    """a, b → integer quotient and remainder; (0, a) where b = 0."""
    LESS = 6
    """a, b → 1 if a < b as integers, else 0."""
    SELECT = 7
    """s, a, b → a if s is not 0, else b."""
    CHECK_ZERO = 8
    """row, a: the inputs are inconsistent unless a = 0; row counts from the routine's first row."""
    CHECK_PRODUCT = 9
    """row, a, b, c: the inputs are inconsistent unless a * b = c."""
    CALL = 10
    """routine, row, operand * inputs: the routine's wires follow; its rows start at row."""
    OUTPUT = 11
    """a: the next output. Only in the main routine."""


Instruction = tuple[Op, bool, tuple[int, ...]]
"""Opcode, whether its results are wires, its words."""

_FIXED = {
    Op.PRODUCT: 2,
    Op.INVERSE: 1,
    Op.QUOTIENT: 2,
    Op.BITS: 2,
    Op.DIVMOD: 2,
    Op.LESS: 2,
    Op.SELECT: 3,
    Op.CHECK_ZERO: 2,
    Op.CHECK_PRODUCT: 4,
    Op.OUTPUT: 1,
}
_FIRST_OPERAND = {Op.BITS: 1, Op.CHECK_ZERO: 1, Op.CHECK_PRODUCT: 1}
_EXTRA_STEPS = {Op.INVERSE: 96, Op.QUOTIENT: 96, Op.DIVMOD: 64}
_RESULTS = {
    Op.LINEAR: 1,
    Op.PRODUCT: 1,
    Op.INVERSE: 1,
    Op.QUOTIENT: 1,
    Op.DIVMOD: 2,
    Op.LESS: 1,
    Op.SELECT: 1,
}


def split(words: list[int], inputs_of: list[int], index: int) -> Iterator[Instruction]:
    """Cuts the words of routine `index` into instructions. `inputs_of[i]` is the input count of routine i.

    `FormatError` (field `code`) for an unknown opcode or flag, a cut instruction, or a call that is not downwards.
    """
    at, end = 0, len(words)
    while at < end:
        head = words[at]
        code, flags = head & 0xFF, head >> 8
        if code > Op.OUTPUT or flags > 1:
            raise FormatError(f"word {at} is not an instruction", field="code")
        op = Op(code)
        if op is Op.LINEAR:
            length = 2 + 2 * words[at + 1] if at + 1 < end else end
        elif op is Op.CALL:
            callee = words[at + 1] if at + 1 < end else index
            if callee >= index:
                raise FormatError(f"word {at} calls a routine that is not below its own", field="code")
            length = 2 + inputs_of[callee]
        else:
            length = _FIXED[op]
        if at + 1 + length > end:
            raise FormatError(f"word {at} starts an instruction that is cut short", field="code")
        if flags and op >= Op.CHECK_ZERO:
            raise FormatError(f"word {at} asks for wires from an instruction without results", field="code")
        yield op, bool(flags), tuple(words[at + 1 : at + 1 + length])
        at += 1 + length


def operands(instruction: Instruction) -> tuple[int, ...]:
    """The operand words of one instruction, in order."""
    op, _, words = instruction
    if op is Op.LINEAR:
        return words[2::2]
    if op is Op.CALL:
        return words[2:]
    return words[_FIRST_OPERAND.get(op, 0) :]


def steps(instruction: Instruction) -> int:
    """What one instruction counts against the limit on work, a call's own routine left out: about 20 ns each.

    Its words, and for the dear ones what they cost beyond that: an inversion takes about 2 µs, a long division 1.3 µs.
    """
    op, _, words = instruction
    return 1 + len(words) + (words[0] if op is Op.BITS else _EXTRA_STEPS.get(op, 0))


def results(instruction: Instruction) -> int:
    """How many values one instruction appends (a call's wires not counted)."""
    op, _, words = instruction
    return words[0] if op is Op.BITS else _RESULTS.get(op, 0)
