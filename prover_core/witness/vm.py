"""The tape on the native machine: wires leave in order, slice by slice, while later ones are still to be computed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import FormatError, InvalidInputError, UnsatisfiedError, WitnessProgramError
from ..native import _native
from ..types import FrVector
from .program import Inputs, InputSpec, WireSlice
from .tape import MAX_WIRES, Tape, bind_inputs, check_head

_RUNNING, _DONE, _FAILED = 0, 1, 2
_TO_THE_END = (1 << 64) - 1


class TapeProgram:
    """A checked tape, ready to run; immutable, so threads may run it at once. The GIL is released meanwhile."""

    def __init__(self, tape: Tape, *, max_wires: int = MAX_WIRES) -> None:
        """Checks every index of the tape natively, O(words); `FormatError` if it is not safe to run.

        One run takes 32 bytes a wire and as much a temporary; `max_wires` bounds that for tapes from outside.
        """
        check_head(tape)
        try:
            self._program = _native.Tape(
                np.ascontiguousarray(tape.code),
                np.ascontiguousarray(tape.constants.limbs),
                np.ascontiguousarray(tape.routine_inputs),
                np.ascontiguousarray(tape.routine_start),
                tape.n_outputs,
                max_wires,
            )
        except ValueError as e:
            raise FormatError(f"not a valid tape: {e}", field="code") from e
        self.tape = tape
        self._own_wires: int = self._program.n_wires
        if self.n_wires > max_wires:
            raise FormatError(f"the tape has {self.n_wires} wires, the limit is {max_wires}", field="code")

    @property
    def n_wires(self) -> int:
        return 1 + self.tape.n_public + self.tape.n_private_inputs + self._own_wires

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        return self.tape.inputs

    def run(self, inputs: Inputs, *, slice_wires: int = 1 << 14) -> Iterator[WireSlice]:
        """The body in order, then the head; the head comes first where there are no outputs to wait for.

        Errors: `InvalidInputError` names the signal, `UnsatisfiedError` the row where a check of the tape fails,
        `WitnessProgramError` where memory is missing. About 20 ns a product.
        """
        if slice_wires < 1:
            raise InvalidInputError("a slice has at least one wire", field="slice_wires")
        values = FrVector.from_ints(bind_inputs(self.inputs, inputs))
        return self._run(values, slice_wires)

    def _run(self, values: FrVector, slice_wires: int) -> Iterator[WireSlice]:
        tape = self.tape
        try:
            run = _native.TapeRun(self._program, np.ascontiguousarray(values.limbs))
        except MemoryError as e:
            raise WitnessProgramError(f"no memory for a witness of {self.n_wires} wires") from e
        public = np.array([spec.public for spec in tape.inputs for _ in range(spec.size)], dtype=bool)
        private = values.limbs[~public]
        first = 1 + tape.n_public
        if not tape.n_outputs:
            yield self._head(run, values.limbs[public])
        body = len(private) + self._own_wires
        for begin in range(0, body, slice_wires):
            end = min(begin + slice_wires, body)
            out = np.empty((end - begin, 4), dtype=np.uint64)
            given = private[begin:end]
            out[: len(given)] = given
            if end > len(private):
                self._advance(run, end - len(private))
                run.read_wires(max(begin - len(private), 0), out[len(given) :])
            yield WireSlice(first + begin, FrVector(out))
        self._advance(run, _TO_THE_END)
        if tape.n_outputs:
            yield self._head(run, values.limbs[public])

    def _advance(self, run: _native.TapeRun, until: int) -> None:
        state = _RUNNING
        while state == _RUNNING and run.wires_final < until:
            state = run.run(until)
        if state == _FAILED:
            row = run.failed_row
            label = self.tape.label_of(row)
            raise UnsatisfiedError(f"{label or 'constraint'} (row {row})", row=row, label=label)

    def _head(self, run: _native.TapeRun, public: np.ndarray[tuple[int, int], np.dtype[np.uint64]]) -> WireSlice:
        n = self.tape.n_outputs
        head = np.zeros((1 + n + len(public), 4), dtype=np.uint64)
        head[0, 0] = 1
        if n:
            run.read_outputs(head[1 : 1 + n])
        head[1 + n :] = public
        return WireSlice(0, FrVector(head))
