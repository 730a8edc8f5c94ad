"""`.r1cs`: constraints as circom writes them. Source: iden3/r1csfile, doc/r1cs_bin_format.md.

Sections: 1 header; 2 constraints, each three linear combinations { terms u32, terms × (wire u32, coefficient[32]) };
3 the label of each wire; 4 and 5 PLONK's custom gates, which Groth16 cannot prove. With 32-byte coefficients all is
made of u32 words, so a file is read by hopping once over the lengths and gathering the rest with numpy.
"""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ..errors import FormatError
from ..r1cs import R1cs, SparseRows
from ..types import FrVector, Limbs, R
from .binfile import BinFile, Reader, Source, write_binfile
from .table import value_table

MAGIC: Final = b"r1cs"
VERSION: Final = 1

_HEAD: Final = struct.Struct("<IIIIQI")
_TERM_WORDS: Final = 9
_BLOCK: Final = 1 << 20


def read_r1cs(source: Source) -> R1cs:
    """The constraint system; about 1 s per million constraints, peak memory twice the file.

    `FormatError` (field = the section) for anything malformed, another prime, or custom gates.
    """
    file = BinFile(source, MAGIC, versions=(VERSION,))
    if 4 in file or 5 in file:
        custom = [n for n in (4, 5) if n in file and any(file.section(n))]
        if custom:
            raise FormatError("the circuit uses PLONK custom gates, which Groth16 cannot prove", field="section 4")
    n_wires, n_outputs, n_public, n_private, _, n_constraints = _header(file)
    body = file.section(2)
    if len(body) % 4:
        raise FormatError("section 2 is not made of whole words", field="section 2")
    starts, counts = _hop(body, n_constraints)
    col, coefficients = _terms(np.frombuffer(body, dtype="<u4"), starts, counts)
    if len(col) and int(col.max()) >= n_wires:
        raise FormatError(f"a constraint uses wire {int(col.max())} of {n_wires}", field="section 2")
    if (bad := FrVector(coefficients).first_non_canonical()) is not None:
        raise FormatError(f"coefficient {bad} is not a canonical scalar", field="section 2")
    values, value_index = value_table(coefficients)
    a, b, c = _split(counts.reshape(-1, 3), col, value_index)
    return R1cs(n_wires, n_outputs, n_public, n_private, a, b, c, values)


def read_wire_labels(source: Source) -> npt.NDArray[np.uint64]:
    """The label number of each wire, as in circom's `.sym` file: `uint64[n_wires]`. `FormatError` as `read_r1cs`."""
    file = BinFile(source, MAGIC, versions=(VERSION,))
    n_wires, *_ = _header(file)
    return file.limbs(3, (), n_wires)


def read_constraint_count(source: Source) -> int:
    """How many constraints the header counts; the rest is not read. `FormatError` as `read_r1cs`."""
    *_, n_constraints = _header(BinFile(source, MAGIC, versions=(VERSION,)))
    return n_constraints


def write_r1cs(path: str | os.PathLike[str], r1cs: R1cs, wire_labels: npt.NDArray[np.uint64] | None = None) -> None:
    """Writes what circom would; without labels each wire is its own. About 1 s per million constraints."""
    labels = np.arange(r1cs.n_wires, dtype=np.uint64) if wire_labels is None else wire_labels
    n_labels = int(labels.max()) + 1 if len(labels) else 0
    counts = (r1cs.n_outputs, r1cs.n_public_inputs, r1cs.n_private_inputs)
    head = struct.pack("<I", 32) + R.to_bytes(32, "little")
    head += _HEAD.pack(r1cs.n_wires, *counts, n_labels, r1cs.n_constraints)
    write_binfile(path, MAGIC, VERSION, [(1, [head]), (2, [_words(r1cs)]), (3, [labels])])


def _header(file: BinFile) -> tuple[int, int, int, int, int, int]:
    head = Reader(file.section(1), "section 1")
    head.modulus(R, "the prime")
    n_wires, n_outputs, n_public, n_private = head.u32(), head.u32(), head.u32(), head.u32()
    n_labels, n_constraints = head.u64(), head.u32()
    head.end()
    if 1 + n_outputs + n_public + n_private > n_wires:
        raise FormatError("the header counts more inputs and outputs than wires", field="section 1")
    return n_wires, n_outputs, n_public, n_private, n_labels, n_constraints


def _hop(body: memoryview, n_constraints: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Word positions of the first term, and numbers of terms, of all 3 n linear combinations, in file order."""
    words = body.cast("I")
    end = len(words)
    if 3 * n_constraints > end:
        raise FormatError(f"section 2 is too short for {n_constraints} constraints", field="section 2")
    counts = np.empty(3 * n_constraints, dtype=np.int64)
    found: list[int] = []
    at = 0
    try:
        for _ in range(3 * n_constraints):
            terms = words[at]
            found.append(terms)
            at += 1 + _TERM_WORDS * terms
    except IndexError:
        raise FormatError(f"section 2 ends within constraint {len(found) // 3}", field="section 2") from None
    if at != end:
        what = "ends within the last constraint" if at > end else f"has {4 * (end - at)} bytes too many"
        raise FormatError(f"section 2 {what}", field="section 2")
    counts[:] = found
    starts = np.empty_like(counts)
    if len(starts):
        starts[0] = 1
        np.cumsum(1 + _TERM_WORDS * counts[:-1], out=starts[1:])
        starts[1:] += 1
    return starts, counts


def _terms(
    words: npt.NDArray[np.uint32], starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint32], Limbs]:
    """(wires, coefficients) of all terms in file order; gathered in blocks, to bound the index arrays."""
    first = np.concatenate(([0], np.cumsum(counts)))
    total = int(first[-1])
    col = np.empty(total, dtype=np.uint32)
    coefficients = np.empty((total, 4), dtype=np.uint64)
    halves = coefficients.view(np.uint32)
    for lo in range(0, len(counts), _BLOCK):
        hi = min(lo + _BLOCK, len(counts))
        out = slice(int(first[lo]), int(first[hi]))
        within = np.arange(out.start, out.stop) - np.repeat(first[lo:hi], counts[lo:hi])
        at = np.repeat(starts[lo:hi], counts[lo:hi]) + _TERM_WORDS * within
        col[out] = words[at]
        for k in range(8):
            halves[out, k] = words[at + (1 + k)]
    return col, coefficients


def _split(
    counts: npt.NDArray[np.int64], col: npt.NDArray[np.uint32], value_index: npt.NDArray[np.uint32]
) -> list[SparseRows]:
    """File order A0 B0 C0 A1 … into three matrices."""
    owner = np.repeat(np.tile(np.arange(3, dtype=np.uint8), len(counts)), counts.reshape(-1))
    rows = []
    for k in range(3):
        row_start = np.zeros(len(counts) + 1, dtype=np.uint64)
        np.cumsum(counts[:, k], out=row_start[1:])
        mine = owner == k
        rows.append(SparseRows(row_start, col[mine], value_index[mine]))
    return rows


def _words(r1cs: R1cs) -> npt.NDArray[np.uint32]:
    """The body of section 2: the inverse of `_hop`, `_terms` and `_split`."""
    matrices = (r1cs.a, r1cs.b, r1cs.c)
    counts = np.stack([np.diff(m.row_start.astype(np.int64)) for m in matrices], axis=1).reshape(-1)
    head = np.concatenate(([0], np.cumsum(1 + _TERM_WORDS * counts)))
    words = np.empty(int(head[-1]), dtype="<u4")
    words[head[:-1]] = counts
    halves = np.ascontiguousarray(r1cs.values.limbs).view(np.uint32)
    for k, m in enumerate(matrices):
        row_start = m.row_start.astype(np.int64)
        for lo, hi in pairwise([*range(0, m.rows, _BLOCK), m.rows]):
            terms = slice(int(row_start[lo]), int(row_start[hi]))
            mine = np.diff(row_start[lo : hi + 1])
            within = np.arange(terms.start, terms.stop) - np.repeat(row_start[lo:hi], mine)
            at = np.repeat(head[3 * lo + k : 3 * hi + k : 3][: hi - lo] + 1, mine) + _TERM_WORDS * within
            words[at] = m.col[terms]
            for j in range(8):
                words[at + (1 + j)] = halves[m.value_index[terms], j]
    return words
