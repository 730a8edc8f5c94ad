"""Small circuits, their witnesses, and powers of tau with known secrets, for the tests of Groth16 and its formats."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from prover_core.backend import Backend
from prover_core.formats.binfile import write_binfile
from prover_core.groth16.setup import G1, G2
from prover_core.r1cs import R1cs, SparseRows
from prover_core.types import FrVector, G1Vector, G2Vector, Q, R

Row = list[tuple[int, int]]


def sparse_rows(rows: list[Row], table: list[int]) -> SparseRows:
    """CSR of rows of (wire, value), with values looked up in the table."""
    terms = [term for row in rows for term in row]
    return SparseRows(
        np.cumsum([0, *map(len, rows)]).astype(np.uint64),
        np.array([wire for wire, _ in terms], dtype=np.uint32),
        np.array([table.index(value % R) for _, value in terms], dtype=np.uint32),
    )


def make_r1cs(n_wires: int, n_out: int, n_pub: int, n_prv: int, rows: list[tuple[Row, Row, Row]], **kw: object) -> R1cs:
    """An R1CS from rows of (wire, value) pairs."""
    table = sorted({value % R for row in rows for lc in row for _, value in lc})
    a, b, c = (sparse_rows([row[k] for row in rows], table) for k in range(3))
    return R1cs(n_wires, n_out, n_pub, n_prv, a, b, c, FrVector.from_ints(table), **kw)  # type: ignore[arg-type]


def horner(n: int) -> R1cs:
    """s_0 = p (public), s_{i+1} = s_i x_i + i, out = s_n², and the linear row 3 p - out·0 = u; n + 2 rows.

    Wires: 0 one, 1 out, 2 p, 3 .. x, then s_1 .. s_n, then u = 3 p.
    """
    x, s, u = 3, 3 + n, 3 + 2 * n
    state = [2, *range(s, s + n)]
    rows: list[tuple[Row, Row, Row]] = [
        ([(state[i], 1)], [(x + i, 1)], [(state[i + 1], 1), (0, -i)] if i else [(state[1], 1)]) for i in range(n)
    ]
    rows.append(([(state[n], 1)], [(state[n], 1)], [(1, 1)]))
    rows.append(([(2, 3)], [(0, 1)], [(u, 1)]))
    return make_r1cs(u + 1, 1, 1, n, rows, labels=((0, "steps"), (n, "square"), (n + 1, "triple")))


def horner_witness(n: int, p: int, xs: list[int]) -> list[int]:
    """The wires of `horner(n)`."""
    state = [p]
    for i, x in enumerate(xs):
        state.append((state[-1] * x + i) % R)
    return [1, state[-1] ** 2 % R, p, *xs, *state[1:], 3 * p % R]


def montgomery_q(value: int) -> bytes:
    return (value * 2**256 % Q).to_bytes(32, "little")


def write_known_ptau(path: Path, power: int, backend: Backend, secrets: tuple[int, int, int] = (7, 11, 13)) -> None:
    """A prepared `.ptau` with no contributions and secrets that anybody can read, quickly at any size."""
    tau, alpha, beta = (pow(5, k, R) for k in secrets)
    n = 1 << power
    powers = [pow(tau, i, R) for i in range(2 * n)]

    def lagrange(size: int) -> list[int]:
        w = pow(5, (R - 1) // size, R)
        top = (pow(tau, size, R) - 1) * pow(size, -1, R) % R
        at, out = 1, []
        for _ in range(size):
            out.append(at * top % R * pow(tau - at, -1, R) % R)
            at = at * w % R
        return out

    bases = [x for k in range(power + 2) for x in lagrange(1 << k)]

    def g1(scalars: list[int], factor: int = 1) -> G1Vector:
        return backend.g1_fixed_base(G1, FrVector.from_ints([x * factor % R for x in scalars]))

    def g2(scalars: list[int]) -> G2Vector:
        return backend.g2_fixed_base(G2, FrVector.from_ints(scalars))

    head = struct.pack("<I", 32) + Q.to_bytes(32, "little") + struct.pack("<II", power, power)
    sections = [
        (2, g1(powers[: 2 * n - 1])),
        (3, g2(powers[:n])),
        (4, g1(powers[:n], alpha)),
        (5, g1(powers[:n], beta)),
        (6, g2([beta])),
        (12, g1(bases)),
        (13, g2(bases[: 2 * n - 1])),
        (14, g1(bases[: 2 * n - 1], alpha)),
        (15, g1(bases[: 2 * n - 1], beta)),
    ]
    parts = [(number, [vector.limbs]) for number, vector in sections]
    write_binfile(path, b"ptau", 1, [(1, [head]), *parts, (7, [struct.pack("<I", 0)])])
