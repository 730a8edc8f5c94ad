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
    Limbs,
    Q,
    R,
    g1_points,
    g1_vector,
    g2_points,
    g2_vector,
)
from .binfile import BinFile, Body, Reader, Source, write_binfile
from .table import value_table

MAGIC: Final = b"zkey"
VERSION: Final = 1
INSECURE_SECTION: Final = 0x68700001
"""Ours: present in keys made by a single party. snarkjs and rapidsnark skip sections that they do not know."""
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
    file = BinFile(source, MAGIC, versions=(VERSION,))
    n_vars, n_public, n, g1, g2 = _header(file)
    ic = G1Vector(file.limbs(3, (2, 4), n_public + 1))
    _check_coordinates(ic.limbs, "section 3")
    # The sections of n and m points are sized first: what the header claims then costs no more memory than the file.
    a, b1 = (G1Vector(file.limbs(k, (2, 4), n_vars)) for k in (5, 6))
    b2 = G2Vector(file.limbs(7, (2, 2, 4), n_vars))
    l_bases, h = G1Vector(file.limbs(8, (2, 4), n_vars - n_public - 1)), G1Vector(file.limbs(9, (2, 4), n))
    a_rows, b_rows, values = _coefficients(file.section(4), n, n_vars)
    contributions = bytes(file.section(10)) if 10 in file else b""
    contributed = _n_contributions(contributions) > 0
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
        ic=ic,
        a=a,
        b1=b1,
        b2=b2,
        l=l_bases,
        h=h,
        a_rows=a_rows,
        b_rows=b_rows,
        values=values,
        insecure=INSECURE_SECTION in file or not contributed,
        contributions=contributions,
    )


def read_zkey_verification_key(source: Source) -> VerificationKey:
    """Only the verification key, from sections 2, 3 and 10; O(public signals)."""
    file = BinFile(source, MAGIC, versions=(VERSION,))
    _, n_public, _, g1, g2 = _header(file)
    ic = file.limbs(3, (2, 4), n_public + 1)
    _check_coordinates(ic, "section 3")
    contributed = _n_contributions(bytes(file.section(10)) if 10 in file else b"") > 0
    insecure = INSECURE_SECTION in file or not contributed
    return VerificationKey(g1[0], g2[0], g2[1], g2[2], tuple(g1_points(G1Vector(ic))), insecure)


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


def _header(file: BinFile) -> tuple[int, int, int, list[G1Point], list[G2Point]]:
    """(m, l, n, [α β δ]_1, [β γ δ]_2)."""
    protocol = Reader(file.section(1), "section 1")
    if (found := protocol.u32()) != _GROTH16:
        raise FormatError(f"the key is for protocol {found}, not Groth16", field="section 1")
    protocol.end()
    head = Reader(file.section(2), "section 2")
    head.modulus(Q, "q")
    head.modulus(R, "r")
    n_vars, n_public, n = head.u32(), head.u32(), head.u32()
    if n_public + 1 > n_vars:
        raise FormatError("the header counts more public signals than wires", field="section 2")
    if n < 2 or n & (n - 1) or n > 1 << 27:
        raise FormatError(f"{n} is not a domain size", field="section 2")
    raw = {name: head.bytes(64 if name.endswith("1") else 128) for name in ("α1", "β1", "β2", "γ2", "δ1", "δ2")}
    head.end()
    limbs = {name: np.frombuffer(r, dtype="<u8").reshape(-1, 4) for name, r in raw.items()}
    for each in limbs.values():
        _check_coordinates(each, "section 2")
    g1 = np.stack([limbs[name].reshape(2, 4) for name in ("α1", "β1", "δ1")])
    g2 = np.stack([limbs[name].reshape(2, 2, 4) for name in ("β2", "γ2", "δ2")])
    return n_vars, n_public, n, g1_points(G1Vector(g1)), g2_points(G2Vector(g2))


def _check_coordinates(limbs: Limbs, section: str) -> None:
    raw = limbs.tobytes()
    if any(int.from_bytes(raw[i : i + 32], "little") >= Q for i in range(0, len(raw), 32)):
        raise FormatError(f"{section} has a coordinate that is not below q", field=section)


def _n_contributions(transcript: bytes) -> int:
    """circuit hash[64], then their number; 0 where there is no transcript."""
    if not transcript:
        return 0
    reader = Reader(memoryview(transcript), "section 10")
    reader.bytes(64)
    return reader.u32()


def _coefficients(body: memoryview, n: int, n_vars: int) -> tuple[SparseRows, SparseRows, FrVector]:
    """Section 4 as rows of A and B over one table of canonical values."""
    count = int.from_bytes(body[:4], "little")
    if len(body) != 4 + count * _TERM.itemsize:
        raise FormatError(f"section 4 has {len(body)} bytes, its head says {count} terms", field="section 4")
    terms = np.frombuffer(body, dtype=_TERM, offset=4)
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
