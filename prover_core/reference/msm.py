"""Sums of scalar multiples: the bucket method in its plainest form, fixed-base multiples, sparse matrix rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Generic

from ..errors import InvalidInputError
from ..types import FrVector, R
from .curve import F, Group, Jacobian, P

WINDOW_BITS = 8


def msm_jacobian(group: Group[F, P], points: Sequence[P], scalars: Sequence[int]) -> Jacobian[F]:
    """The sum of scalars[i] * points[i]: for each byte of the scalars, sum d * bucket[d], joined by Horner's rule.

    Cost: 32 additions a point and 32 * 2 * 255 for the buckets.
    """
    if len(points) != len(scalars):
        raise InvalidInputError(f"{len(points)} bases for {len(scalars)} scalars", field="scalars")
    lifted = [group.lift(p) for p in points]
    total = group.identity
    for shift in reversed(range(0, 256, WINDOW_BITS)):
        for _ in range(WINDOW_BITS):
            total = group.double_jacobian(total)
        buckets = [group.identity] * 2**WINDOW_BITS
        for p, s in zip(lifted, scalars, strict=True):
            d = (s >> shift) & (2**WINDOW_BITS - 1)
            if d:
                buckets[d] = group.add_jacobian(buckets[d], p)
        running = group.identity
        for bucket in reversed(buckets[1:]):
            running = group.add_jacobian(running, bucket)
            total = group.add_jacobian(total, running)
    return total


def msm(group: Group[F, P], points: Sequence[P], scalars: Sequence[int]) -> P:
    """The sum of scalars[i] * points[i], affine."""
    return group.affine(msm_jacobian(group, points, scalars))


def fixed_base(group: Group[F, P], base: P, scalars: Sequence[int]) -> list[P]:
    """[s * base for s in scalars], from a table of 2^i * base; about 127 additions and an inversion each."""
    powers = [group.lift(base)]
    while len(powers) < 256:
        powers.append(group.double_jacobian(powers[-1]))
    out = []
    for s in scalars:
        total = group.identity
        for i, power in enumerate(powers):
            if s >> i & 1:
                total = group.add_jacobian(total, power)
        out.append(group.affine(total))
    return out


class MsmAccumulator(Generic[F, P]):
    """`Accumulator` over fixed bases; each `add` is one MSM over its range."""

    def __init__(self, group: Group[F, P], bases: Sequence[P]) -> None:
        self._group = group
        self._bases = bases
        self._sum: Jacobian[F] | None = group.identity

    def _open(self) -> Jacobian[F]:
        if self._sum is None:
            raise InvalidInputError("the accumulator is finished", field="accumulator")
        return self._sum

    def add(self, start: int, scalars: FrVector) -> None:
        """Adds sum of scalars[i] * bases[start + i]; `InvalidInputError` if the range leaves the bases."""
        total = self._open()
        if start < 0 or start + len(scalars) > len(self._bases):
            end = start + len(scalars)
            raise InvalidInputError(f"range {start}..{end} leaves {len(self._bases)} bases", field="start")
        part = msm_jacobian(self._group, self._bases[start : start + len(scalars)], scalars.to_ints())
        self._sum = self._group.add_jacobian(total, part)

    def add_point(self, point: object) -> None:
        """Adds one point of this group; `InvalidInputError` for a point of the other."""
        total = self._open()
        if not isinstance(point, self._group.kind):
            raise InvalidInputError(f"not a {self._group.kind.__name__}", field="point")
        self._sum = self._group.add_jacobian(total, self._group.lift(point))

    def settle(self, missing: int) -> None:
        """Nothing waits."""
        self._open()

    def finish(self) -> P:
        """The sum, affine; once."""
        total = self._open()
        self._sum = None
        return self._group.affine(total)


class SparseMatrix:
    """Rows of (column, value) entries over Fr, from CSR over a table of distinct values."""

    def __init__(
        self,
        rows: int,
        cols: int,
        row_start: Sequence[int],
        col: Sequence[int],
        value_index: Sequence[int],
        values: Sequence[int],
    ) -> None:
        if len(row_start) != rows + 1 or row_start[0] != 0 or row_start[-1] != len(col):
            raise InvalidInputError("row_start does not cover the entries", field="row_start")
        if any(start > end for start, end in pairwise(row_start)):
            raise InvalidInputError("row_start decreases", field="row_start")
        if len(value_index) != len(col):
            raise InvalidInputError(f"{len(col)} columns for {len(value_index)} values", field="value_index")
        if any(j >= cols for j in col):
            raise InvalidInputError(f"a column lies outside {cols}", field="col")
        if any(k >= len(values) for k in value_index):
            raise InvalidInputError(f"an index lies outside a table of {len(values)} values", field="value_index")
        self.rows = rows
        self.cols = cols
        self.entries = [
            [(col[k], values[value_index[k]]) for k in range(row_start[i], row_start[i + 1])] for i in range(rows)
        ]

    def product(self, witness: Sequence[int], first_row: int = 0, rows: int | None = None) -> list[int]:
        """M[first_row : first_row + rows] * w mod r; `InvalidInputError` on a length or range that does not fit."""
        if len(witness) != self.cols:
            raise InvalidInputError(f"{len(witness)} wires for {self.cols} columns", field="witness")
        last = self.rows if rows is None else first_row + rows
        if not 0 <= first_row <= last <= self.rows:
            raise InvalidInputError(f"rows {first_row}..{last} leave {self.rows} rows", field="first_row")
        return [sum(v * witness[j] for j, v in row) % R for row in self.entries[first_row:last]]
