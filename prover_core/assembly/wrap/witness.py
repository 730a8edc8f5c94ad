"""From a stage-1 proof to the wrap's inputs: messages in limbs, and the few values that the tape cannot compute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from ...circuit.gadgets.grumpkin_tables import LAMBDA, B, square_root
from ...circuit.gadgets.limbs import LIMBS, limbs_of
from ...errors import InvalidInputError
from ...types import Q, R
from ...witness.program import Inputs
from .. import protocol
from ..protocol import Stage1Proof, Statement
from ..shape import Shape
from ..transcript import LONG_BITS, Permutation, Point, Transcript
from .messages import TRIES_BITS
from .statement import Chain


def wrap_inputs(
    shape: Shape,
    chain: Chain | None,
    statement: Statement,
    key_commitments: Sequence[Point],
    key_points: Sequence[Point],
    publics: Sequence[Sequence[int]],
    proof: Stage1Proof,
    permutation: Permutation,
) -> Inputs:
    """The inputs of `define_wrap`'s circuit, for a proof that stage 1's verifier accepts.

    Replays the transcript (`permutation` is Poseidon of width 17) for kappa and the offsets. Nothing is checked here: a
    wrong proof gives inputs that the circuit refuses. `InvalidInputError` if the chain does not hold.
    """
    t = Transcript(permutation=permutation)
    protocol.begin(t, shape, statement)
    protocol.after_points(t, shape, proof.points)
    kappa = protocol.after_columns(t, proof.columns, proof.words).kappa
    for coefficients in proof.rounds:
        protocol.after_round(t, coefficients)
    seeds = [
        protocol.after_claims(t, proof.claims).offset,
        protocol.after_cross(t, shape, proof.cross).offset,
        protocol.after_strip_cross(t, proof.strip_cross).offset,
    ]
    offsets = [offset_point(seed) for seed in seeds]
    rows = [[*row, *[0] * (shape.publics - len(row))] for row in publics]
    rows += [[0] * shape.publics for _ in range(shape.leaves - len(publics))]
    c = proof.claims
    inputs: dict[str, object] = {
        "key_digest": statement.key_digest,
        "leaf_count": statement.leaf_count,
        "publics_digest": statement.publics_digest,
        "key_commitments": _flat(key_commitments),
        "key_points": _limbs(x for p in key_points for x in p),
        "publics": [x for row in rows for x in row],
        "points": _flat(proof.points),
        "columns": [x for column in proof.columns for x in _flat(column)],
        "words": list(proof.words),
        "rounds": _limbs(x for coefficients in proof.rounds for x in coefficients),
        "claims_current": _limbs(c.current),
        "claims_next": _limbs(c.next),
        "claims_cells": _limbs(c.cells),
        "claims_key_current": _limbs(c.key_current),
        "claims_key_next": _limbs(c.key_next),
        "claims_key_cells": _limbs(c.key_cells),
        "cross": [x for row in proof.cross for x in _flat(row)],
        "strip_cross": [x for row in proof.strip_cross for x in _flat(row)],
        "final": [half for u in proof.final for half in odd_halves(u)],
        "kernel_inverse": _limbs([pow(kappa, -1, Q) if kappa % Q else 0]),
        "offset_tries": [tries for tries, _ in offsets],
        "offset_y": [y for _, y in offsets],
    }
    if chain is not None:
        first, last = chain_ends(chain, publics)
        inputs["chain_first"], inputs["chain_last"] = first, last
    return inputs


def chain_ends(chain: Chain, publics: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The first leaf's `into` and the last one's `out`.

    `InvalidInputError` names the first link that is broken, or the first leaf without the signals that are linked: in
    the wrap they would be zeros, and every link would hold.
    """
    for i, row in enumerate(publics):
        if len(row) <= max(chain.out, chain.into):
            raise InvalidInputError(
                f"leaf {i} has {len(row)} public signals, too few for the chain", field=f"publics[{i}]"
            )
    for i in range(1, len(publics)):
        if publics[i - 1][chain.out] != publics[i][chain.into]:
            raise InvalidInputError(f"leaf {i} does not begin where leaf {i - 1} ends", field=f"publics[{i}]")
    return publics[0][chain.into], publics[-1][chain.out]


def offset_point(seed: int) -> tuple[int, int]:
    """(tries, y): the first point with x = seed + tries."""
    for tries in range(1 << TRIES_BITS):
        x = (seed + tries) % R
        y = square_root(x**3 + B, R)
        if y is not None:
            return tries, y
    raise InvalidInputError("no point near the squeezed element", field="offset")


@cache
def _short_basis() -> tuple[tuple[int, int], tuple[int, int]]:
    """Lagrange's reduction of the lattice of (a, b) with a + b lambda = 0 mod q."""
    u, v = (Q, 0), (-LAMBDA, 1)
    while True:
        if u[0] ** 2 + u[1] ** 2 < v[0] ** 2 + v[1] ** 2:
            u, v = v, u
        norm = v[0] ** 2 + v[1] ** 2
        k = (2 * (u[0] * v[0] + u[1] * v[1]) + norm) // (2 * norm)
        if k == 0:
            return u, v
        u = (u[0] - k * v[0], u[1] - k * v[1])


def odd_halves(value: int) -> tuple[int, int]:
    """128-bit h_a, h_b with a + b lambda = value mod q for the odd numbers a = 2 h_a - (2^128 - 1), b likewise.

    The lattice's determinant q is odd, so that near the nearest lattice point every pair of parities occurs.
    """
    (u0, u1), (v0, v1) = _short_basis()
    det = u0 * v1 - u1 * v0
    i, j = (2 * value * v1 + det) // (2 * det), (-2 * value * u1 + det) // (2 * det)
    bound = 1 << LONG_BITS
    for di in (0, 1, -1, 2, -2):
        for dj in (0, 1, -1, 2, -2):
            a = value - (i + di) * u0 - (j + dj) * v0
            b = -(i + di) * u1 - (j + dj) * v1
            if a & 1 and b & 1 and abs(a) < bound and abs(b) < bound:
                return (a + bound - 1) // 2, (b + bound - 1) // 2
    raise InvalidInputError("a scalar has no short odd halves", field="final")


def _flat(points: Iterable[Point]) -> list[int]:
    return [x for p in points for x in p]


def _limbs(values: Iterable[int]) -> list[int]:
    return [limb for v in values for limb in limbs_of(v, LIMBS)]
