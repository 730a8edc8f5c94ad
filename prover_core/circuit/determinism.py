"""Is every wire determined by the inputs? A check of constraint systems in the manner of Picus, by propagation.

At a witness w, the rows A w * B w = C w are linearised in the wires that are not given: sum over wires of
(a_i B w + b_i A w - c_i) dw_i = 0. If the only solution is dw = 0 the witness is isolated: no wire can be moved while
the others follow, which is what an unconstrained hint allows. Rows are taken in order; a row with one unknown settles
it, others are eliminated until they do (products, Poseidon's mixing), so that the cost stays near the non-zeros.

What this does not show: that isolated solutions are unique (bits of x + r, the other root of a square), and what
happens where a coefficient vanishes for other inputs (the slope through equal points). For those there are range
arguments and tests with lies. (Pailoor et al., "Automated Detection of Under-Constrained Circuits in Zero-Knowledge
Proofs", PLDI 2023.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..r1cs import R1cs, SparseRows
from ..types import R


def undetermined(r1cs: R1cs, witness: Sequence[int], *, given: Collection[int] = ()) -> list[int]:
    """Wires that can move at this witness while the inputs (and the wires `given`) stay; empty for a sound circuit.

    Cost: some 2 µs a non-zero, and cubic in the size of a block that has to be solved as one (85 for Poseidon of 17).
    """
    first = 1 + r1cs.n_public + r1cs.n_private_inputs
    settled = bytearray(r1cs.n_wires)
    settled[0] = 1
    for wire in range(1 + r1cs.n_outputs, first):
        settled[wire] = 1
    for wire in given:
        settled[wire] = 1
    system = _System(settled)
    values = r1cs.values.to_ints()
    a, b, c = (_Side(rows, values) for rows in (r1cs.a, r1cs.b, r1cs.c))
    for row in range(r1cs.n_constraints):
        form: dict[int, int] = {}
        c.add(form, row, settled, R - 1)
        moving_a, moving_b = a.moves(row, settled), b.moves(row, settled)
        if moving_a:
            a.add(form, row, settled, b.value(row, witness))
        if moving_b:
            b.add(form, row, settled, a.value(row, witness))
        if form:
            system.take({wire: k for wire, raw in form.items() if (k := raw % R)})
    return [wire for wire in range(r1cs.n_wires) if not settled[wire]]


class _Side:
    """One matrix as Python lists."""

    def __init__(self, rows: SparseRows, values: list[int]) -> None:
        self._start: list[int] = rows.row_start.tolist()
        self._col: list[int] = rows.col.tolist()
        self._value: list[int] = rows.value_index.tolist()
        self._values = values

    def moves(self, row: int, settled: bytearray) -> bool:
        """Whether any wire of the row is not settled."""
        return any(not settled[wire] for wire in self._col[self._start[row] : self._start[row + 1]])

    def value(self, row: int, witness: Sequence[int]) -> int:
        """The row times the witness."""
        return sum(
            self._values[self._value[k]] * witness[self._col[k]] for k in range(self._start[row], self._start[row + 1])
        )

    def add(self, form: dict[int, int], row: int, settled: bytearray, factor: int) -> None:
        """Adds factor times the row's entries at wires that are not settled."""
        for k in range(self._start[row], self._start[row + 1]):
            wire = self._col[k]
            if not settled[wire]:
                form[wire] = form.get(wire, 0) + self._values[self._value[k]] * factor


class _System:
    """Homogeneous linear equations in reduced form: each pivot is minus its row, which names no pivot."""

    def __init__(self, settled: bytearray) -> None:
        self._settled = settled
        self._rows: dict[int, dict[int, int]] = {}
        self._users: dict[int, set[int]] = {}

    def take(self, form: dict[int, int]) -> None:
        """One more equation."""
        for pivot in [wire for wire in form if wire in self._rows]:
            factor = form.pop(pivot)
            for wire, k in self._rows[pivot].items():
                total = (form.get(wire, 0) - factor * k) % R
                if total:
                    form[wire] = total
                else:
                    form.pop(wire, None)
        if not form:
            return
        pivot = max(form)
        scale = pow(form.pop(pivot), -1, R)
        row = {wire: k * scale % R for wire, k in form.items()}
        for user in self._users.pop(pivot, ()):
            self._substitute(user, pivot, row)
        if row:
            self._rows[pivot] = row
            for wire in row:
                self._users.setdefault(wire, set()).add(pivot)
        else:
            self._settle([pivot])

    def _substitute(self, user: int, pivot: int, row: dict[int, int]) -> None:
        target = self._rows[user]
        factor = target.pop(pivot)
        for wire, k in row.items():
            total = (target.get(wire, 0) - factor * k) % R
            if total:
                if wire not in target:
                    self._users.setdefault(wire, set()).add(user)
                target[wire] = total
            elif wire in target:
                del target[wire]
                self._users[wire].discard(user)
        if not target:
            del self._rows[user]
            self._settle([user])

    def _settle(self, wires: list[int]) -> None:
        """These cannot move, and so neither can pivots whose rows they emptied."""
        while wires:
            wire = wires.pop()
            self._settled[wire] = 1
            for user in self._users.pop(wire, ()):
                row = self._rows[user]
                del row[wire]
                if not row:
                    del self._rows[user]
                    wires.append(user)
