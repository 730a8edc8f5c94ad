"""The tape on plain Python integers: readable, without a prover, and the oracle for the native machine."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UnsatisfiedError
from ..types import R
from .opcodes import INDEX_MASK, KIND_SHIFT, Instruction, Op, split
from .tape import Tape, check_tape


def interpret(tape: Tape, inputs: list[int], *, overrides: Mapping[int, int] | None = None) -> list[int]:
    """All wires from input values in the order of `tape.inputs`; about a microsecond an operation.

    `overrides` maps wires to values that replace what the tape computes for them, and switches the tape's own
    checks off: the rows are then to catch the lie. Errors: `FormatError` for an invalid tape, `UnsatisfiedError` where
    the tape finds the inputs inconsistent.
    """
    check_tape(tape)
    machine = _Machine(tape, dict(overrides or {}))
    machine.run(len(machine.routines) - 1, inputs, 0)
    public = [v for v, p in zip(inputs, _is_public(tape), strict=True) if p]
    private = [v for v, p in zip(inputs, _is_public(tape), strict=True) if not p]
    return [1, *machine.outputs, *public, *private, *machine.wires]


def _is_public(tape: Tape) -> list[bool]:
    return [spec.public for spec in tape.inputs for _ in range(spec.size)]


class _Machine:
    def __init__(self, tape: Tape, overrides: dict[int, int]) -> None:
        self.tape = tape
        self.constants = tape.constants.to_ints()
        inputs_of = [int(n) for n in tape.routine_inputs]
        starts = [int(s) for s in tape.routine_start]
        self.routines: list[list[Instruction]] = [
            list(split(tape.code[starts[i] : starts[i + 1]].tolist(), inputs_of, i)) for i in range(len(inputs_of))
        ]
        self.wires: list[int] = []
        self.outputs: list[int] = []
        first = 1 + tape.n_public + tape.n_private_inputs
        self.overrides = {wire - first: value for wire, value in overrides.items()}

    def run(self, routine: int, inputs: list[int], row_base: int) -> None:
        wires, overrides = self.wires, self.overrides
        base = len(wires)
        temps: list[int] = []
        constants = self.constants

        def get(operand: int) -> int:
            index = operand & INDEX_MASK
            kind = operand >> KIND_SHIFT
            if kind == 2:
                return wires[base + index]
            if kind == 3:
                return temps[index]
            return inputs[index] if kind == 1 else constants[index]

        for op, to_wires, words in self.routines[routine]:
            values: tuple[int, ...] | list[int]
            if op is Op.LINEAR:
                total = constants[words[1]]
                for k in range(2, len(words), 2):
                    total += get(words[k]) * constants[words[k + 1]]
                values = (total % R,)
            elif op is Op.PRODUCT:
                values = (get(words[0]) * get(words[1]) % R,)
            elif op is Op.CALL:
                self.run(words[0], [get(operand) for operand in words[2:]], row_base + words[1])
                continue
            elif op is Op.CHECK_ZERO:
                if get(words[1]) and not overrides:
                    raise self._failed(row_base + words[0])
                continue
            elif op is Op.CHECK_PRODUCT:
                if (get(words[1]) * get(words[2]) - get(words[3])) % R and not overrides:
                    raise self._failed(row_base + words[0])
                continue
            elif op is Op.OUTPUT:
                self.outputs.append(get(words[0]))
                continue
            else:
                values = _compute(op, words, get(words[-1]), [get(w) for w in words] if op is not Op.BITS else [])
            if not to_wires:
                temps.extend(values)
            elif overrides:
                for value in values:
                    wires.append(overrides.get(len(wires), value))
            else:
                wires.extend(values)

    def _failed(self, row: int) -> UnsatisfiedError:
        label = self.tape.label_of(row)
        return UnsatisfiedError(f"{label or 'constraint'} (row {row})", row=row, label=label)


def _compute(op: Op, words: tuple[int, ...], last: int, values: list[int]) -> tuple[int, ...] | list[int]:
    if op is Op.BITS:
        return [last >> k & 1 for k in range(words[0])]
    if op is Op.INVERSE:
        return (pow(last, -1, R) if last else 0,)
    if op is Op.QUOTIENT:
        return (values[0] * pow(last, -1, R) % R if last else 0,)
    if op is Op.DIVMOD:
        return divmod(values[0], last) if last else (0, values[0])
    if op is Op.LESS:
        return (int(values[0] < last),)
    return (values[1] if values[0] else last,)
