"""From a definition to R1CS and tape, and the compiled circuit on plain integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import CircuitError, InvalidInputError, UnsatisfiedError
from ..r1cs import R1cs, SparseRows
from ..types import Digest, R
from ..witness.interpreter import interpret
from ..witness.program import Inputs, InputSpec
from ..witness.tape import Tape, bind_inputs, label_at
from .builder import Circuit, Session
from .stamping import OUTPUT_COLUMN, Rows
from .template import flatten


@dataclass(frozen=True, slots=True, eq=False)
class CompiledCircuit:
    """R1CS and witness tape of one definition."""

    name: str
    r1cs: R1cs
    tape: Tape
    inputs: tuple[InputSpec, ...]
    outputs: tuple[InputSpec, ...]
    """Named outputs in wire order; `public` is always true."""

    @property
    def digest(self) -> Digest:
        """Of everything that decides proofs: matrices, values, signals and tape; the names of rows are left out."""
        r, t = self.r1cs, self.tape
        arrays = [array for rows in (r.a, r.b, r.c) for array in (rows.row_start, rows.col, rows.value_index)] + [
            r.values.limbs,
            t.constants.limbs,
            t.routine_inputs,
            t.routine_start,
            t.code,
        ]
        counts = ",".join(map(str, (r.n_wires, r.n_outputs, r.n_public_inputs, r.n_private_inputs)))
        signals = ";".join(f"{s.name}:{s.size}:{int(s.public)}" for s in (*self.inputs, *self.outputs))
        return Digest.of(counts.encode(), signals.encode(), *(np.ascontiguousarray(a).tobytes() for a in arrays))

    @property
    def public_names(self) -> tuple[str, ...]:
        """A name for each of wires 1 .. n_public: outputs, then public inputs; arrays as `name[i]`."""
        specs = (*self.outputs, *(spec for spec in self.inputs if spec.public))
        return tuple(name for spec in specs for name in _names(spec))

    def evaluate(self, inputs: Inputs, *, overrides: Mapping[int, int] | None = None) -> list[int]:
        """The full witness, by the tape on plain integers with no prover; then every row is checked.

        `overrides` puts other values into computed wires as they are made, later ones following from them: a
        prover that lies in its hints. Errors: `InvalidInputError` names the signal, `UnsatisfiedError` the row's label.
        """
        values = bind_inputs(self.inputs, inputs)
        witness = interpret(self.tape, values, overrides=overrides)
        self.check(witness)
        return witness

    def check(self, witness: Sequence[int]) -> None:
        """`UnsatisfiedError` names the first broken row; `InvalidInputError` if this is no witness. O(non-zeros)."""
        r = self.r1cs
        if len(witness) != r.n_wires:
            raise InvalidInputError(f"a witness of {self.name} has {r.n_wires} wires, not {len(witness)}")
        if witness[0] != 1 or any(not 0 <= w < R for w in witness):
            raise InvalidInputError("wire 0 must be 1 and every wire in [0, r)")
        row = first_broken_row(r, witness)
        if row is not None:
            raise unsatisfied(r.labels, row)


def unsatisfied(labels: tuple[tuple[int, str], ...], row: int) -> UnsatisfiedError:
    """The error for one broken row."""
    label = label_at(labels, row)
    return UnsatisfiedError(f"{label or 'constraint'} (row {row})", row=row, label=label)


def first_broken_row(r1cs: R1cs, witness: Sequence[int]) -> int | None:
    """The first row with A w * B w != C w, or None; plain integers, about a million non-zeros a second."""
    values = r1cs.values.to_ints()
    sides = [_products(rows, values, witness) for rows in (r1cs.a, r1cs.b, r1cs.c)]
    for row, (a, b, c) in enumerate(zip(*sides, strict=True)):
        if (a * b - c) % R:
            return row
    return None


def _products(rows: SparseRows, values: list[int], witness: Sequence[int]) -> list[int]:
    starts: list[int] = rows.row_start.tolist()
    entries = [
        witness[col] if value == 1 else values[value] * witness[col]
        for col, value in zip(rows.col.tolist(), rows.value_index.tolist(), strict=True)
    ]
    return [entries[begin] if end - begin == 1 else sum(entries[begin:end]) for begin, end in pairwise(starts)]


def compile_circuit(define: Callable[[Circuit], None], *, name: str) -> CompiledCircuit:
    """Records `define(c)` and stamps it out.

    Cost: a few µs a row recorded here, a fraction of that a row stamped from a gadget. `CircuitError` if the definition
    is wrong: it mixes circuits, can never be satisfied, or assigns a wire that no row constrains.
    """
    session = Session()
    c = Circuit(session, name, main=True)
    define(c)
    body = flatten(c)
    wire_of_input, n_public_inputs = _input_wires(c)
    first_own = 1 + c.n_outputs + c.n_inputs
    matrices = [_sparse(rows, wire_of_input, first_own) for rows in (body.a, body.b, body.c)]
    labels = tuple(body.labels)
    constants = session.table.vector()
    r1cs = R1cs(
        n_wires=first_own + c.n_wires,
        n_outputs=c.n_outputs,
        n_public_inputs=n_public_inputs,
        n_private_inputs=c.n_inputs - n_public_inputs,
        a=matrices[0],
        b=matrices[1],
        c=matrices[2],
        values=constants,
        labels=labels,
    )
    if r1cs.n_constraints == 0:
        raise CircuitError(f"{name} constrains nothing")
    codes = [*(template.code for template in session.routines), np.array(c.code, dtype=np.uint32)]
    starts = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum([len(code) for code in codes], out=starts[1:])
    tape = Tape(
        inputs=tuple(c.inputs),
        n_outputs=c.n_outputs,
        constants=constants,
        routine_inputs=np.array([*(t.n_inputs for t in session.routines), c.n_inputs], dtype=np.uint32),
        routine_start=starts,
        code=np.concatenate(codes),
        labels=labels,
    )
    return CompiledCircuit(name, r1cs, tape, tuple(c.inputs), tuple(c.outputs))


def _input_wires(c: Circuit) -> tuple[np.ndarray[tuple[int], np.dtype[np.int32]], int]:
    """The wire of input k (counted from 1), public ones first, and how many are public."""
    public = np.array([spec.public for spec in c.inputs for _ in range(spec.size)], dtype=bool)
    wires = np.zeros(c.n_inputs + 1, dtype=np.int32)
    n_public = int(public.sum())
    first = 1 + c.n_outputs
    wires[1:][public] = np.arange(first, first + n_public)
    wires[1:][~public] = np.arange(first + n_public, first + c.n_inputs)
    return wires, n_public


def _sparse(rows: Rows, wire_of_input: np.ndarray[tuple[int], np.dtype[np.int32]], first_own: int) -> SparseRows:
    col = rows.col
    own = col > 0
    output = col <= OUTPUT_COLUMN
    given = (col < 0) & ~output
    wires = np.zeros(len(col), dtype=np.uint32)
    wires[own] = col[own] + np.int32(first_own - 1)
    wires[output] = OUTPUT_COLUMN - col[output] + 1
    wires[given] = wire_of_input[-col[given]]
    return SparseRows(rows.row_start.astype(np.uint64), wires, rows.value)


def _names(spec: InputSpec) -> list[str]:
    return [spec.name] if spec.size == 1 else [f"{spec.name}[{i}]" for i in range(spec.size)]
