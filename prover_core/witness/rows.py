"""Checks constraint rows as they close: row i is checked once the last of its wires is final.

Wires come in any order, usually body first and in order, then the head (wire 0 and the public signals). Rows are sorted
once by what they wait for, so that those which close together are neighbours and one native product checks them all.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from ..backend import Backend, Matrix
from ..errors import InvalidInputError, StreamOrderError, UnsatisfiedError
from ..r1cs import R1cs, SparseRows
from ..types import FrVector


def label_of(r1cs: R1cs, row: int) -> str:
    """What the circuit's author called the row, or nothing. O(log labels)."""
    k = bisect_right(r1cs.labels, row, key=lambda entry: entry[0])
    return r1cs.labels[k - 1][1] if k else ""


def first_broken_row(r1cs: R1cs, witness: FrVector, backend: Backend) -> int | None:
    """The first row with A w ∘ B w != C w, or None. Three sparse products."""
    if len(witness) != r1cs.n_wires:
        raise InvalidInputError(f"the witness has {len(witness)} wires, the circuit {r1cs.n_wires}", field="witness")
    a, b, c = (
        backend.matrix(m.rows, r1cs.n_wires, m.row_start, m.col, m.value_index, r1cs.values)
        for m in (r1cs.a, r1cs.b, r1cs.c)
    )
    broken = _broken(a, b, c, witness, 0, r1cs.n_constraints, backend)
    return int(broken[0]) if len(broken) else None


def _broken(
    a: Matrix, b: Matrix, c: Matrix, witness: FrVector, first: int, rows: int, backend: Backend
) -> npt.NDArray[np.intp]:
    left = backend.fr_mul(a.product(witness, first, rows), b.product(witness, first, rows))
    return np.flatnonzero((left.limbs != c.product(witness, first, rows).limbs).any(axis=1))


class RowPlan:
    """The rows of one circuit in closing order, ready for one backend; made once, shared by all checkers.

    Rows that touch no public wire come first, by their last wire; then those that do, by their last body wire.
    """

    def __init__(self, r1cs: R1cs, backend: Backend) -> None:
        """O(non-zeros), about 1 s per million constraints."""
        self.r1cs = r1cs
        self.backend = backend
        head = r1cs.n_public + 1
        last = np.zeros(r1cs.n_constraints, dtype=np.int64)
        public = np.zeros(r1cs.n_constraints, dtype=np.bool_)
        for m in (r1cs.a, r1cs.b, r1cs.c):
            _per_row_max(m, m.col.astype(np.int64), last)
            public |= _per_row_max(m, ((m.col >= 1) & (m.col < head)).astype(np.int64)) > 0
        # A row without body wires waits for no body wire at all.
        last[last < head] = head - 1
        self.order = np.lexsort((last, public))
        self.n_body = int(np.count_nonzero(~public))
        self.last = last[self.order]
        self.a, self.b, self.c = (self._permuted(m) for m in (r1cs.a, r1cs.b, r1cs.c))

    def _permuted(self, m: SparseRows) -> Matrix:
        start = m.row_start.astype(np.int64)
        counts = np.diff(start)[self.order]
        row_start = np.concatenate(([0], np.cumsum(counts)))
        take = np.arange(row_start[-1]) + np.repeat(start[:-1][self.order] - row_start[:-1], counts)
        return self.backend.matrix(
            m.rows, self.r1cs.n_wires, row_start.astype(np.uint64), m.col[take], m.value_index[take], self.r1cs.values
        )


def _per_row_max(
    m: SparseRows, x: npt.NDArray[np.int64], into: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """Per row, the maximum of its entries' x and what was there before (0 where it has none)."""
    out = np.zeros(m.rows, dtype=np.int64) if into is None else into
    filled = np.flatnonzero(np.diff(m.row_start))
    if len(filled):
        out[filled] = np.maximum(out[filled], np.maximum.reduceat(x, m.row_start[filled].astype(np.int64)))
    return out


class RowChecker:
    """The check of one witness as it comes. Not thread-safe."""

    def __init__(self, circuit: R1cs | RowPlan, backend: Backend | None = None) -> None:
        """From a plan that is shared, or from the R1CS and a backend."""
        if isinstance(circuit, RowPlan):
            self._plan = circuit
        elif backend is None:
            raise InvalidInputError("a row checker over an R1CS needs a backend", field="backend")
        else:
            self._plan = RowPlan(circuit, backend)
        r1cs = self._plan.r1cs
        self._head = r1cs.n_public + 1
        self._witness = np.zeros((r1cs.n_wires, 4), dtype=np.uint64)
        self._witness[0, 0] = 1
        self._covered = np.zeros(r1cs.n_wires, dtype=np.bool_)
        self._frontier = self._head
        self._head_done = False
        self._checked_body = 0
        self._checked_public = self._plan.n_body

    @property
    def rows_checked(self) -> int:
        """Rows found satisfied so far."""
        return self._checked_body + self._checked_public - self._plan.n_body

    def add(self, offset: int, values: FrVector) -> None:
        """Takes wires offset .. offset + len(values) and checks the rows that they close.

        `UnsatisfiedError` names the row and its label; `StreamOrderError` for a wire that came twice or does not exist.
        """
        end = offset + len(values)
        if not 0 <= offset <= end <= len(self._covered):
            raise StreamOrderError(f"wires {offset} to {end} leave the circuit's {len(self._covered)}", field="offset")
        if self._covered[offset:end].any():
            again = offset + int(np.argmax(self._covered[offset:end]))
            raise StreamOrderError(f"wire {again} came twice", field="offset")
        if offset == 0 < end and values.limbs[0].tolist() != [1, 0, 0, 0]:
            raise UnsatisfiedError("wire 0 of the witness is not one", field="wires")
        self._covered[offset:end] = True
        self._witness[offset:end] = values.limbs
        self._head_done = self._head_done or bool(self._covered[: self._head].all())
        open_wires = np.flatnonzero(~self._covered[self._frontier :])
        self._frontier = self._frontier + int(open_wires[0]) if len(open_wires) else len(self._covered)
        plan = self._plan
        self._checked_body = self._check(self._checked_body, plan.n_body)
        if self._head_done:
            self._checked_public = self._check(self._checked_public, len(plan.last))

    def _check(self, first: int, limit: int) -> int:
        plan = self._plan
        stop = first + int(np.searchsorted(plan.last[first:limit], self._frontier))
        if stop > first:
            witness = FrVector(self._witness)
            broken = _broken(plan.a, plan.b, plan.c, witness, first, stop - first, plan.backend)
            if len(broken):
                row = int(plan.order[first + broken].min())
                label = label_of(plan.r1cs, row)
                named = f"constraint {row} is not satisfied" + (f": {label}" if label else "")
                raise UnsatisfiedError(named, row=row, label=label)
        return stop

    def finish(self) -> None:
        """`StreamOrderError` unless every wire has come; then every row has been checked."""
        if not self._covered.all():
            raise StreamOrderError(f"wire {int(np.argmin(self._covered))} is missing", field="offset")
