"""Flattening: a body with calls becomes three sparse matrices, each callee stamped out for all its calls at once.

Columns are local wires: 0 one, k + 1 own wire k, -(k + 1) input k; outputs lie below `OUTPUT_COLUMN`. A call replaces
own wires by a shift and inputs by the linear expressions it passes, so that expressions cost no rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .values import ValueTable

OUTPUT_COLUMN = -(1 << 29)
"""Output k of the main body is column OUTPUT_COLUMN - k."""
_CHUNK_ENTRIES = 1 << 19

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One matrix in local columns: row i has length[i] entries, in order."""

    length: I32
    col: I32
    value: U32

    @property
    def row_start(self) -> I64:
        """Where each row begins in col and value, and where the last one ends. O(rows)."""
        start = np.zeros(len(self.length) + 1, dtype=np.int64)
        np.cumsum(self.length, out=start[1:])
        return start


@dataclass(frozen=True, slots=True, eq=False)
class Substitution:
    """What n calls put in the place of a callee's wires: inputs are runs of (col, value), own wires are shifted."""

    wire_base: I32
    input_start: I64
    """[n, inputs]: first entry of each input's expression in col and value."""
    input_length: I64
    col: I32
    value: U32


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some rows of a matrix under construction: which they are, their lengths and their entries one after another."""

    row: I64
    length: I32
    col: I32
    value: U32


def assemble(n_rows: int, pieces: list[Piece]) -> Rows:
    """Puts pieces that cover rows 0 .. n_rows into place. O(entries)."""
    length = np.zeros(n_rows, dtype=np.int32)
    for piece in pieces:
        length[piece.row] = piece.length
    start = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum(length, out=start[1:])
    col = np.empty(int(start[-1]), dtype=np.int32)
    value = np.empty(int(start[-1]), dtype=np.uint32)
    for piece in pieces:
        to = _positions(start[piece.row], piece.length)
        col[to] = piece.col
        value[to] = piece.value
    return Rows(length, col, value)


def stamp(rows: Rows, row_base: I64, calls: Substitution, table: ValueTable) -> Iterator[Piece]:
    """The rows of every call, a bounded number of entries at a time."""
    n_rows = len(rows.length)
    if n_rows == 0:
        return
    row_of = np.repeat(np.arange(n_rows, dtype=np.int64), rows.length)
    shared = np.bincount(row_of, weights=rows.col <= 0, minlength=n_rows) >= 2
    mergeable = shared[row_of]
    step = max(1, _CHUNK_ENTRIES // max(1, len(rows.col)))
    local = np.arange(n_rows, dtype=np.int64)
    for first in range(0, len(row_base), step):
        part = slice(first, first + step)
        lines = (row_base[part, None] + local).ravel()
        yield _stamp_part(rows, row_of, mergeable, lines, part, calls, table)


def _stamp_part(
    rows: Rows, row_of: I64, mergeable: Mask, lines: I64, part: slice, calls: Substitution, table: ValueTable
) -> Piece:
    base = calls.wire_base[part]
    n, entries, n_rows = len(base), len(rows.col), len(rows.length)
    shift = np.where(rows.col > 0, rows.col, 0)
    col = (np.where(rows.col > 0, base[:, None], 0) + shift).astype(np.int32)
    value = np.broadcast_to(rows.value, (n, entries))
    line = row_of + np.arange(n, dtype=np.int64)[:, None] * n_rows
    inputs = np.flatnonzero(rows.col < 0)
    if len(inputs) == 0:
        return Piece(lines, np.tile(rows.length, n), col.ravel(), value.ravel())
    which = -rows.col[inputs] - 1
    count = np.ones((n, entries), dtype=np.int64)
    count[:, inputs] = calls.input_length[part][:, which]
    source = np.zeros((n, entries), dtype=np.int64)
    source[:, inputs] = calls.input_start[part][:, which]
    from_input = np.broadcast_to(rows.col < 0, (n, entries)).ravel()
    flat_count = count.ravel()
    if np.all(flat_count == 1):
        take, offset = None, source.ravel()
        out_col, out_value, out_line = col.ravel(), value.flatten(), line.ravel()
        out_input, out_merge = from_input, np.broadcast_to(mergeable, (n, entries)).ravel()
    else:
        take = np.repeat(np.arange(n * entries), flat_count)
        offset = _positions(source.ravel(), flat_count)
        out_col, out_value, out_line = col.ravel()[take], value.ravel()[take], line.ravel()[take]
        out_input = from_input[take]
        out_merge = np.broadcast_to(mergeable, (n, entries)).ravel()[take]
    at = np.flatnonzero(out_input)
    out_col[at] = calls.col[offset[at]]
    factor = calls.value[offset[at]]
    scaled = np.flatnonzero(factor != 1)
    if len(scaled):
        out_value[at[scaled]] = table.products(out_value[at[scaled]], factor[scaled])
    out_line, out_col, out_value = _merge(out_line, out_col, out_value, out_merge, table)
    length = np.bincount(out_line, minlength=n * n_rows).astype(np.int32)
    return Piece(lines, length, out_col, out_value)


def _merge(line: I64, col: I32, value: U32, candidates: Mask, table: ValueTable) -> tuple[I64, I32, U32]:
    """Adds up entries of one row and column (expressions may share wires); sums that are zero vanish."""
    at = np.flatnonzero(candidates)
    if len(at) == 0:
        return line, col, value
    key = line[at] << 32 | (col[at].astype(np.int64) & 0xFFFFFFFF)
    order = np.argsort(key, kind="stable")
    key, at = key[order], at[order]
    same = key[1:] == key[:-1]
    if not same.any():
        return line, col, value
    keep = np.ones(len(line), dtype=bool)
    twin = np.concatenate(([False], same)) | np.concatenate((same, [False]))
    index = np.flatnonzero(twin)
    firsts = np.flatnonzero(np.concatenate(([True], key[index[1:]] != key[index[:-1]])))
    numbers: list[int] = value[at[index]].tolist()
    places: list[int] = at[index].tolist()
    borders = [*firsts.tolist(), len(index)]
    sums: dict[tuple[int, ...], int] = {}
    for begin, end in pairwise(borders):
        group = tuple(numbers[begin:end])
        total = sums.get(group)
        if total is None:
            total = sums[group] = table.total(list(group))
        value[places[begin]] = total
        keep[places[begin]] = total != 0
        keep[places[begin + 1 : end]] = False
    return line[keep], col[keep], value[keep]


def _positions(start: I64, length: npt.NDArray[np.integer]) -> I64:
    """start[0], start[0]+1, … (length[0] of them), start[1], …"""
    ends = np.cumsum(length, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(start - (ends - length), length) + np.arange(total, dtype=np.int64)
