"""Rank-1 constraint systems: A w ∘ B w = C w over Fr, as three sparse matrices that share one table of values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import InvalidInputError
from .types import FrVector


@dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """CSR: the entries of row i are row_start[i] .. row_start[i + 1], each (col, index into the value table)."""

    row_start: npt.NDArray[np.uint64]
    col: npt.NDArray[np.uint32]
    value_index: npt.NDArray[np.uint32]

    @property
    def rows(self) -> int:
        return len(self.row_start) - 1

    @property
    def non_zeros(self) -> int:
        return len(self.col)


@dataclass(frozen=True, slots=True, eq=False)
class R1cs:
    """Wires are numbered as in circom: 0 is the constant one, then outputs, public inputs, private inputs, the rest."""

    n_wires: int
    n_outputs: int
    n_public_inputs: int
    n_private_inputs: int
    a: SparseRows
    b: SparseRows
    c: SparseRows
    values: FrVector
    labels: tuple[tuple[int, str], ...] = ()
    """(first row, what the author calls the rows from there on), ascending; empty where nobody said."""

    def __post_init__(self) -> None:
        if not (self.a.rows == self.b.rows == self.c.rows):
            raise InvalidInputError("A, B and C differ in their number of rows", field="constraints")
        if 1 + self.n_public + self.n_private_inputs > self.n_wires:
            raise InvalidInputError("more inputs and outputs than wires", field="header")

    @property
    def n_constraints(self) -> int:
        return self.a.rows

    @property
    def n_public(self) -> int:
        """Public signals: outputs, then public inputs; wires 1 .. n_public."""
        return self.n_outputs + self.n_public_inputs
