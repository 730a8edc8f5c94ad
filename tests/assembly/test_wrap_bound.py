"""What a prover can choose after the challenges that should bind it: all wires of a wrap, and nothing given.

All rows are linearised at a real witness, as `circuit.determinism` does, but the inputs are free too: only what the
transcripts absorb is fixed. Since a row b (1 - b) = 0 alone would hold any range in place, the bits of a number are
fixed no earlier than the number, and those of a challenge no earlier than the squeezed element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from wrap_support import assembled, inputs_of, leaves

from prover_core.assembly.shape import Shape
from prover_core.assembly.wrap import circuit as wrap_circuit
from prover_core.assembly.wrap.circuit import define_wrap
from prover_core.assembly.wrap.keys import generators
from prover_core.assembly.wrap.transcript import CircuitTranscript
from prover_core.circuit import Circuit, CompiledCircuit, compile_circuit
from prover_core.circuit.compiled import _input_wires
from prover_core.circuit.determinism import _Side, _System
from prover_core.circuit.expr import Expr
from prover_core.circuit.gadgets.nonnative import EmulatedField
from prover_core.r1cs import SparseRows
from prover_core.types import FrVector, R
from prover_core.witness import TapeProgram

pytestmark = pytest.mark.slow

SHAPE = Shape(2, 2, 4)
RANGE = re.compile(r"is below 2\^\d+$|challenge bit$")


class Recorded:
    """A wrap, the wires of every absorbed element, in order, and what was noted when the batch began to close."""

    def __init__(self) -> None:
        self.absorbed: list[set[int]] = []
        self.identities: set[int] = set()
        self.rows = 0
        self.compiled, circuit = self._compile()
        self._inputs, _ = _input_wires(circuit)
        self._first = 1 + circuit.n_outputs + circuit.n_inputs
        self.absorbed = [self._wires(x) for x in self.absorbed]
        self.identities = self._wires(self.identities)
        self.named: dict[str, set[int]] = {}
        place = 0
        for spec in circuit.inputs:
            self.named[spec.name] = self._wires({-place - 1 - i for i in range(spec.size)})
            place += spec.size

    def _compile(self) -> tuple[CompiledCircuit, Circuit]:
        made: list[Circuit] = []
        absorb, close = CircuitTranscript.absorb, wrap_circuit._close

        def noting(t: CircuitTranscript, elements: Iterator[Expr]) -> None:
            items = list(elements)
            self.absorbed += [set(x.terms) for x in items]
            absorb(t, items)

        def closing(t: CircuitTranscript, fq: EmulatedField, messages: object) -> None:
            self.rows = t.c.n_rows
            columns = [x for _, identity in fq.pending for x in identity.columns if isinstance(x, Expr)]
            self.identities = {wire for x in columns for wire in x.terms}
            close(t, fq, messages)  # type: ignore[arg-type]

        def define(c: Circuit) -> None:
            made.append(c)
            define_wrap(SHAPE, None, generators(SHAPE.chunk))(c)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CircuitTranscript, "absorb", noting)
            patch.setattr(wrap_circuit, "_close", closing)
            return compile_circuit(define, name="wrap"), made[0]

    def _wires(self, local: set[int]) -> set[int]:
        """The R1CS's numbers of wires of the recording."""
        return {w + self._first - 1 if w > 0 else int(self._inputs[-w]) for w in local if w}


@cache
def recorded() -> Recorded:
    return Recorded()


@cache
def witness() -> list[int]:
    compiled = recorded().compiled
    wires = np.zeros((compiled.r1cs.n_wires, 4), dtype=np.uint64)
    for part in TapeProgram(compiled.tape).run(inputs_of(assembled(SHAPE, 1), leaves(1).vk)):
        wires[part.offset : part.offset + len(part.values)] = part.values.limbs
    return FrVector(wires).to_ints()


class Propagation:
    """Rows in order; runs of range rows wait until what they decompose is fixed."""

    def __init__(self, fixed: set[int]) -> None:
        r1cs = recorded().compiled.r1cs
        self.settled = bytearray(r1cs.n_wires)
        self.settled[0] = 1
        self._system = _System(self.settled)
        self._matrices: list[SparseRows] = [r1cs.a, r1cs.b, r1cs.c]
        values = r1cs.values.to_ints()
        self._a, self._b, self._c = (_Side(rows, values) for rows in self._matrices)
        self._fix(fixed)

    def run(self, rows: int) -> None:
        """Until no run of range rows can be released any more."""
        labels = _labels(rows)
        waiting: list[list[int]] = []
        row = 0
        while row < rows:
            run = [row]
            if not RANGE.search(labels[row]):
                self._take(row)
            else:
                while not self._ends(run[-1], labels) and labels[run[-1] + 1] == labels[row]:
                    run.append(run[-1] + 1)
                if not self._release(run, labels[row]):
                    waiting.append(run)
            row = run[-1] + 1
        before = -1
        while len(waiting) != before:
            before = len(waiting)
            waiting = [run for run in waiting if not self._release(run, labels[run[0]])]

    def _ends(self, row: int, labels: list[str]) -> bool:
        # The highest bit of a range is what the others leave over: its row names the number itself.
        return row + 1 == len(labels) or ("below" in labels[row] and len(self._wires(row)) > 1)

    def _release(self, run: list[int], label: str) -> bool:
        own = {wire for row in run for wire in self._wires(row) if len(self._wires(row)) == 1}
        if label.endswith("challenge bit"):
            number = self._wires(run[-1] + 1) - own
        else:
            number = {wire for row in run for wire in self._wires(row)} - own
        if not all(self.settled[wire] for wire in number):
            return False
        self._fix(own)
        return True

    def _wires(self, row: int) -> set[int]:
        return {int(w) for m in self._matrices for w in m.col[int(m.row_start[row]) : int(m.row_start[row + 1])]} - {0}

    def _fix(self, wires: set[int]) -> None:
        for wire in wires:
            if not self.settled[wire]:
                self._system.take({wire: 1})

    def _take(self, row: int) -> None:
        form: dict[int, int] = {}
        self._c.add(form, row, self.settled, R - 1)
        moving_a, moving_b = self._a.moves(row, self.settled), self._b.moves(row, self.settled)
        if moving_a:
            self._a.add(form, row, self.settled, self._b.value(row, witness()))
        if moving_b:
            self._b.add(form, row, self.settled, self._a.value(row, witness()))
        if reduced := {wire: k for wire, raw in form.items() if (k := raw % R)}:
            self._system.take(reduced)


def _labels(rows: int) -> list[str]:
    events = recorded().compiled.r1cs.labels
    ends = [*(begin for begin, _ in events[1:]), rows]
    return [name for (begin, name), end in zip(events, ends, strict=True) for _ in range(begin, min(end, rows))]


def moving(left_out: str | None = None) -> set[int]:
    """Wires named by identities of the batch that can move while what is absorbed (but for one input) stays."""
    r = recorded()
    omitted = r.named[left_out] if left_out else set()
    absorbed = {wire for wires in r.absorbed if not wires & omitted for wire in wires}
    # An offset is one of 512 points that its squeezed element leaves; nothing that is checked depends on which.
    propagation = Propagation(absorbed | r.named["offset_tries"] | r.named["offset_y"])
    propagation.run(r.rows)
    return {wire for wire in r.identities if not propagation.settled[wire]}


def test_what_the_batch_checks_is_absorbed_before_its_challenges() -> None:
    assert len(recorded().identities) > 10_000
    assert not moving()


def test_leaving_out_what_only_the_wrap_absorbs_shows() -> None:
    """1 / kappa: its five limbs, and what is multiplied by them."""
    assert len(moving("kernel_inverse")) > 20
