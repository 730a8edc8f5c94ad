"""`.zkey`: Groth16 proving keys as snarkjs keeps them. Source: iden3/snarkjs, `src/zkey_utils.js`.

Sections: 1 protocol; 2 header; 3 IC; 4 coefficients of A and B; 5 A; 6 B1; 7 B2; 8 L (snarkjs: C); 9 H; 10 the
ceremony's transcript. Points are affine and Montgomery, which is how `types` lays them out, so they are borrowed from
the map.
Coefficients are stored as c R² mod r, R = 2^256: a Montgomery product with a canonical wire then gives c w R.
"""

from __future__ import annotations

import os
import struct
from typing import Final

import numpy as np

from ..errors import FormatError
from ..groth16.keys import ProvingKey, VerificationKey
from ..r1cs import SparseRows
from ..types import (
    FrVector,
    G1Point,
    G1Vector,
    G2Point,
    G2Vector,
    Q,
    R,
    g1_points,
    g1_vector,
    g2_points,
    g2_vector,
)
from .binfile import BinFile, Body, Source, write_binfile
from .table import value_table
from .zkey_sections import INSECURE_SECTION, MAGIC, VERSION, ZkeyHeader, ZkeySections

INSECURE_TEXT: Final = b"single-party setup for development: whoever made this key can forge proofs"

_GROTH16: Final = 1
_TERM: Final = np.dtype([("matrix", "<u4"), ("row", "<u4"), ("wire", "<u4"), ("value", "<u8", (4,))])
_R2: Final = pow(2, 512, R)
_R2_INVERSE: Final = pow(_R2, -1, R)
_BLOCK: Final = 1 << 20


def read_zkey(source: Source) -> ProvingKey:
    """The proving key; point vectors are views of the map, coefficients are sorted into rows (about 1 s per million).

    `insecure` is set where our marker says so, and where no one has contributed (δ is then known to all).
    `FormatError` (field = the section) for anything malformed or of another protocol or curve. Points of the bulk
    sections are not checked to be on the curve: every proof is verified before it is released.
    """
    sections = ZkeySections(source)
    n_vars, n_public, n = sections.n_vars, sections.n_public, sections.domain_size
    g1, g2 = _points(sections)
    a_rows, b_rows, values = _coefficients(sections.terms, n, n_vars)
    return ProvingKey(
        n_vars=n_vars,
        n_public=n_public,
        domain_size=n,
        alpha1=g1[0],
        beta1=g1[1],
        delta1=g1[2],
        beta2=g2[0],
        gamma2=g2[1],
        delta2=g2[2],
        ic=_g1(sections.ic),
        a=_g1(sections.a),
        b1=_g1(sections.b1),
        b2=_g2(sections.b2),
        l=_g1(sections.l),
        h=_g1(sections.h),
        a_rows=a_rows,
        b_rows=b_rows,
        values=values,
        insecure=sections.insecure,
        contributions=sections.contributions,
    )


def read_zkey_verification_key(source: Source) -> VerificationKey:
    """Only the verification key, from sections 2, 3 and 10; O(public signals)."""
    header = ZkeyHeader(BinFile(source, MAGIC, versions=(VERSION,)))
    g1, g2 = _points(header)
    return VerificationKey(g1[0], g2[0], g2[1], g2[2], tuple(g1_points(_g1(header.ic))), header.insecure)


def write_zkey(path: str | os.PathLike[str], key: ProvingKey) -> None:
    """Writes what snarkjs, rapidsnark and `read_zkey` read.

    A key that is insecure and holds no transcript gets our marker and an empty transcript.
    """
    g1 = g1_vector([key.alpha1, key.beta1, key.delta1]).limbs.reshape(3, -1)
    g2 = g2_vector([key.beta2, key.gamma2, key.delta2]).limbs.reshape(3, -1)
    sizes = struct.pack("<III", key.n_vars, key.n_public, key.domain_size)
    moduli = struct.pack("<I", 32) + Q.to_bytes(32, "little") + struct.pack("<I", 32) + R.to_bytes(32, "little")
    transcript = key.contributions or bytes(64) + struct.pack("<I", 0)
    marker = [(INSECURE_SECTION, [INSECURE_TEXT])] if key.insecure else []
    write_binfile(
        path,
        MAGIC,
        VERSION,
        [
            (1, [struct.pack("<I", _GROTH16)]),
            (2, [moduli, sizes, g1[0], g1[1], g2[0], g2[1], g1[2], g2[2]]),
            (3, [key.ic.limbs]),
            (4, _terms(key)),
            (5, [key.a.limbs]),
            (6, [key.b1.limbs]),
            (7, [key.b2.limbs]),
            (8, [key.l.limbs]),
            (9, [key.h.limbs]),
            (10, [transcript]),
            *marker,
        ],
    )


def _g1(section: bytes | memoryview) -> G1Vector:
    """A view; sections may begin at any multiple of four, so it may be unaligned: numpy and every backend take that."""
    return G1Vector(np.frombuffer(section, dtype="<u8").reshape(-1, 2, 4))


def _g2(section: bytes | memoryview) -> G2Vector:
    return G2Vector(np.frombuffer(section, dtype="<u8").reshape(-1, 2, 2, 4))


def _points(header: ZkeyHeader) -> tuple[list[G1Point], list[G2Point]]:
    """[α β δ]_1 and [β γ δ]_2."""
    g1 = _g1(header.alpha1 + header.beta1 + header.delta1)
    return g1_points(g1), g2_points(_g2(header.beta2 + header.gamma2 + header.delta2))


def _coefficients(body: memoryview, n: int, n_vars: int) -> tuple[SparseRows, SparseRows, FrVector]:
    """Section 4 as rows of A and B over one table of canonical values."""
    terms = np.frombuffer(body, dtype=_TERM)
    count = len(terms)
    if count and (int(terms["matrix"].max()) > 1 or int(terms["row"].max()) >= n or int(terms["wire"].max()) >= n_vars):
        raise FormatError("section 4 names a matrix, row or wire that does not exist", field="section 4")
    stored, value_index = value_table(np.ascontiguousarray(terms["value"]))
    if (bad := stored.first_non_canonical()) is not None:
        term = int(np.argmax(value_index == bad))
        raise FormatError(f"term {term} of section 4 is not a canonical scalar", field="section 4")
    values = FrVector.from_ints([v * _R2_INVERSE % R for v in stored.to_ints()])
    matrices = []
    for which in (0, 1):
        mine = np.flatnonzero(terms["matrix"] == which)
        row = terms["row"][mine]
        if (row[1:] < row[:-1]).any():
            mine = mine[np.argsort(row, kind="stable")]
        row_start = np.zeros(n + 1, dtype=np.uint64)
        np.cumsum(np.bincount(row, minlength=n), out=row_start[1:])
        matrices.append(SparseRows(row_start, np.ascontiguousarray(terms["wire"][mine]), value_index[mine]))
    return matrices[0], matrices[1], values


def _terms(key: ProvingKey) -> list[Body]:
    """The inverse of `_coefficients`, A before B."""
    stored = FrVector.from_ints([v * _R2 % R for v in key.values.to_ints()]).limbs
    parts: list[Body] = [struct.pack("<I", key.a_rows.non_zeros + key.b_rows.non_zeros)]
    for which, rows in enumerate((key.a_rows, key.b_rows)):
        owner = np.repeat(np.arange(rows.rows, dtype=np.uint32), np.diff(rows.row_start).astype(np.int64))
        for lo in range(0, rows.non_zeros, _BLOCK):
            block = slice(lo, lo + _BLOCK)
            terms = np.empty(len(owner[block]), dtype=_TERM)
            terms["matrix"] = which
            terms["row"] = owner[block]
            terms["wire"] = rows.col[block]
            terms["value"] = stored[rows.value_index[block]]
            parts.append(terms.view(np.uint8))
    return parts
