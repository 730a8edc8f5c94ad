"""The witness tape as data: what a compiled circuit ships instead of code, and the rules that make it safe to run.

`check_tape` decides validity: every index names something already computed, every routine ends, and wires, temporaries
and steps stay under fixed limits. The native machine applies the same rules again before it runs a tape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import FormatError, InvalidInputError
from ..types import FrVector, R
from .opcodes import (
    INDEX_MASK,
    KIND_SHIFT,
    MAX_BITS,
    Instruction,
    Op,
    operands,
    results,
    split,
    steps,
)
from .program import Inputs, InputSpec, flatten_input

MAX_WIRES = 1 << 28
"""The largest evaluation domain of BN254's Fr bounds the wires of any useful circuit."""
MAX_TEMPS = 1 << 26
"""Temporaries alive at once over the deepest chain of calls (2 GiB of field elements)."""
MAX_STEPS = 1 << 36
"""Steps (see `opcodes.steps`) of one run: at most about 25 minutes of work."""
MAX_ROUTINES = 1 << 20
MAX_LABEL_BYTES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """A witness program. Wires: one, outputs, public inputs, private inputs, then the main routine's in order."""

    inputs: tuple[InputSpec, ...]
    """In the order the main routine numbers its inputs; public or private decides the wire, not this order."""
    n_outputs: int
    constants: FrVector
    """Starts 0, 1, -1."""
    routine_inputs: npt.NDArray[np.uint32]
    """Per routine: how many operands a call passes; the last routine is the main one."""
    routine_start: npt.NDArray[np.uint64]
    """Routine i is code[routine_start[i] : routine_start[i + 1]]."""
    code: npt.NDArray[np.uint32]
    labels: tuple[tuple[int, str], ...] = ()
    """(first row, name), ascending, as in R1cs.labels."""

    @property
    def n_public_inputs(self) -> int:
        return sum(spec.size for spec in self.inputs if spec.public)

    @property
    def n_private_inputs(self) -> int:
        return sum(spec.size for spec in self.inputs if not spec.public)

    @property
    def n_public(self) -> int:
        return self.n_outputs + self.n_public_inputs

    def label_of(self, row: int) -> str:
        """What the author calls a row; empty where nobody said. O(log labels)."""
        return label_at(self.labels, row)


class RoutineShape(NamedTuple):
    """Static facts of one routine, its calls included."""

    wires: int
    temps: int
    """Deepest: its own and those of the chain of calls below it."""
    steps: int


def label_at(labels: tuple[tuple[int, str], ...], row: int) -> str:
    """The label of the last entry at or before `row`; empty if there is none."""
    low, high = 0, len(labels)
    while low < high:
        mid = (low + high) // 2
        if labels[mid][0] <= row:
            low = mid + 1
        else:
            high = mid
    return labels[low - 1][1] if low else ""


def check_tape(tape: Tape) -> list[RoutineShape]:
    """Shapes of all routines of a valid tape; `FormatError` names the section that is not valid. O(words)."""
    check_head(tape)
    n_routines = len(tape.routine_inputs)
    inputs_of = [int(n) for n in tape.routine_inputs]
    starts = [int(s) for s in tape.routine_start]
    n_constants = len(tape.constants)
    shapes: list[RoutineShape] = []
    for index in range(n_routines):
        main = index == n_routines - 1
        words: list[int] = tape.code[starts[index] : starts[index + 1]].tolist()
        instructions = split(words, inputs_of, index)
        shape, outputs = _check_routine(instructions, shapes, inputs_of[index], n_constants, index)
        if outputs != (tape.n_outputs if main else 0):
            raise FormatError(f"routine {index} sets {outputs} outputs", field="code")
        shapes.append(shape)
    if 1 + tape.n_public + tape.n_private_inputs + shapes[-1].wires > MAX_WIRES:
        raise FormatError(f"the tape has more than {MAX_WIRES} wires", field="code")
    return shapes


def check_head(tape: Tape) -> None:
    """What `check_tape` checks besides the code; `FormatError` names the section."""
    n = len(tape.routine_inputs)
    if not 1 <= n <= MAX_ROUTINES:
        raise FormatError("a tape needs at least one routine and not too many", field="routines")
    starts = tape.routine_start
    if len(starts) != n + 1 or starts[0] != 0 or starts[-1] != len(tape.code) or np.any(starts[1:] < starts[:-1]):
        raise FormatError("the routines do not partition the code", field="routines")
    if np.any(tape.routine_inputs > INDEX_MASK):
        raise FormatError("a routine has too many inputs", field="routines")
    if tape.constants[:3].to_ints() != [0, 1, R - 1] or tape.constants.first_non_canonical() is not None:
        raise FormatError("the constants do not start 0, 1, -1 or are not canonical", field="constants")
    names = [spec.name for spec in tape.inputs]
    if len(set(names)) != len(names) or any(not name for name in names):
        raise FormatError("input names must be distinct and not empty", field="inputs")
    if any(not 0 <= spec.size <= MAX_WIRES for spec in tape.inputs) or not 0 <= tape.n_outputs <= MAX_WIRES:
        raise FormatError("a signal has an impossible size", field="inputs")
    if sum(spec.size for spec in tape.inputs) != int(tape.routine_inputs[-1]):
        raise FormatError("the main routine's inputs are not those of the tape", field="inputs")
    rows = [row for row, _ in tape.labels]
    if any(b <= a for a, b in pairwise(rows)) or (rows and rows[0] < 0):
        raise FormatError("label rows must ascend", field="labels")


def _check_routine(
    instructions: Iterator[Instruction], shapes: list[RoutineShape], n_inputs: int, n_constants: int, index: int
) -> tuple[RoutineShape, int]:
    wires = temps = deepest = work = outputs = 0
    known = [n_constants, n_inputs, 0, 0]
    for instruction in instructions:
        op, to_wires, words = instruction
        known[2], known[3] = wires, temps
        for operand in operands(instruction):
            if operand & INDEX_MASK >= known[operand >> KIND_SHIFT]:
                raise FormatError(f"routine {index} reads a value that is not there yet", field="code")
        if op is Op.LINEAR and any(c >= n_constants for c in (words[1], *words[3::2])):
            raise FormatError(f"routine {index} names an unknown constant", field="code")
        if op is Op.BITS and not 1 <= words[0] <= MAX_BITS:
            raise FormatError(f"routine {index} takes {words[0]} bits", field="code")
        work += steps(instruction)
        if op is Op.CALL:
            callee = shapes[words[0]]
            wires += callee.wires
            work += callee.steps
            deepest = max(deepest, callee.temps + len(words) - 2)
        elif op is Op.OUTPUT:
            outputs += 1
        elif to_wires:
            wires += results(instruction)
        else:
            temps += results(instruction)
        if wires > MAX_WIRES or work > MAX_STEPS or temps + deepest > MAX_TEMPS:
            raise FormatError(f"routine {index} exceeds the limits on wires, steps or memory", field="code")
    return RoutineShape(wires, temps + deepest, work), outputs


def bind_inputs(specs: tuple[InputSpec, ...], inputs: Inputs) -> list[int]:
    """All values in the order of `specs`; `InvalidInputError` names the signal that is missing, unknown or wrong."""
    known = {spec.name for spec in specs}
    for name in inputs:
        if name not in known:
            raise InvalidInputError(f"there is no input named {name!r}", field=str(name))
    values: list[int] = []
    for spec in specs:
        if spec.name not in inputs:
            raise InvalidInputError(f"input {spec.name!r} is missing", field=spec.name)
        flat = flatten_input(spec.name, inputs[spec.name])
        if len(flat) != spec.size:
            raise InvalidInputError(f"input {spec.name!r} needs {spec.size} values, not {len(flat)}", field=spec.name)
        values += flat
    return values
