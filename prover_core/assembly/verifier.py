"""The verifier of stage 1, on plain integers: what the wrap does in rows. Reads like `protocol`'s list of checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import InvalidInputError, VerificationError
from ..groth16.keys import VerificationKey
from ..types import Q, R
from . import layout, protocol
from .constraints import combined
from .engine import engine
from .evaluation import (
    environment,
    group_selectors_at,
    group_step,
    initial_claim,
    opening_functional,
    opening_value,
    row_selectors_at,
    weight_at,
    weights,
)
from .grumpkin import on_curve
from .leaf_key import LeafKey, leaf_key
from .protocol import STRIP, STRIPS, Claims, Stage1Proof, Statement
from .shape import Shape
from .transcript import PUBLICS_DOMAIN, Point, Transcript
from .weights import eq_vector, lane_scalar, odd_value, unit_value


def verify_stage1(shape: Shape, vk: VerificationKey, publics: Sequence[Sequence[int]], proof: Stage1Proof) -> Statement:
    """The statement, if the proof convinces that a valid leaf proof under vk is known for each row of publics.

    `VerificationError` names in `field` the check that failed: a letter of `protocol`, or the malformed part;
    `InvalidInputError` for publics that do not fit the shape. About 50 ms at 64 leaves.
    """
    key = leaf_key(vk, shape.publics)
    statement = make_statement(shape, key, publics)
    _check_form(shape, proof)
    t = Transcript(permutation=engine().permute)
    protocol.begin(t, shape, statement)
    rho = protocol.after_points(t, shape, proof.points)
    _check_words(shape, publics, rho, proof.words)
    challenges = protocol.after_columns(t, proof.columns, proof.words)
    if challenges.kappa == 0:
        raise VerificationError("the kernel's challenge is 0", field="kappa")
    claim = initial_claim(shape, statement.leaf_count, challenges, rho, proof.words)
    point, claim = _check_rounds(t, shape, proof.rounds, challenges.kappa, claim)
    group_point, row_point = point[: shape.group_bits], point[shape.group_bits :]
    eq_rows, eq_groups = eq_vector(row_point), eq_vector(group_point)
    row = row_selectors_at(eq_rows) | {"weight": weight_at(challenges.kappa, row_point)}
    group = group_selectors_at(shape, statement.leaf_count, key.points, eq_groups)
    if (combined(environment(proof.claims, row, group), weights(challenges), lambda x: x % Q) - claim) % Q:
        raise VerificationError("the constraints do not have the claimed value at the point", field="d")
    _check_opening(t, shape, key, proof, group_point, eq_rows)
    return statement


def make_statement(shape: Shape, key: LeafKey, publics: Sequence[Sequence[int]]) -> Statement:
    """Digest, count and digest. `InvalidInputError` unless there are 1 to N leaves, each with the key's publics."""
    if not publics:
        raise InvalidInputError("an assembly has at least one leaf", field="publics")
    for i, row in enumerate(publics):
        if len(row) != key.n_public:
            raise InvalidInputError(
                f"leaf {i} has {len(row)} public signals, its key {key.n_public}", field=f"publics[{i}]"
            )
    digest = protocol.publics_digest(shape, publics, Transcript(PUBLICS_DOMAIN, engine().permute))
    return Statement(key.digest, len(publics), digest)


def _check_form(shape: Shape, proof: Stage1Proof) -> None:
    """Check a: counts, curve points, canonical elements."""
    n = len(layout.COLUMNS)
    _points("points", proof.points, shape.blocks)
    _count("columns", proof.columns, n)
    for i, column in enumerate(proof.columns):
        _points(f"columns[{i}]", column, shape.blocks)
    _elements("words", proof.words, shape.key_lanes, 1 << 128)
    degrees = protocol.round_degrees(shape)
    _count("rounds", proof.rounds, len(degrees))
    for i, (coefficients, degree) in enumerate(zip(proof.rounds, degrees, strict=True)):
        _elements(f"rounds[{i}]", coefficients, degree + 1, Q)
    c = proof.claims
    parts = (c.current, c.next, c.cells, c.key_current, c.key_next, c.key_cells)
    for part, length in zip(parts, Claims.lengths(), strict=True):
        _elements("claims", part, length, Q)
    for name, cross, size in (("cross", proof.cross, shape.chunk), ("strip_cross", proof.strip_cross, STRIPS)):
        _count(name, cross, size)
        for i, row in enumerate(cross):
            _points(f"{name}[{i}]", row, size)
    _elements("final", proof.final, STRIP, Q)


def _count(name: str, items: Sequence[object], count: int) -> None:
    if len(items) != count:
        raise VerificationError(f"{name} has {len(items)} entries, not {count}", field=name)


def _points(name: str, points: Sequence[Point], count: int) -> None:
    _count(name, points, count)
    for i, p in enumerate(points):
        if not on_curve(p):
            raise VerificationError("a commitment is not a canonical point of Grumpkin", field=f"{name}[{i}]")


def _elements(name: str, values: Sequence[int], count: int, bound: int) -> None:
    _count(name, values, count)
    for i, x in enumerate(values):
        if not 0 <= x < bound:
            raise VerificationError("a number is out of range", field=f"{name}[{i}]")


def _check_words(shape: Shape, publics: Sequence[Sequence[int]], rho: Sequence[int], words: Sequence[int]) -> None:
    """Check b, in Fr."""
    scalars = [lane_scalar(word) for word in rho[: len(publics)]]
    sums = [sum(scalars)]
    for j in range(shape.publics):
        sums.append(sum(s * row[j] for s, row in zip(scalars, publics, strict=True) if j < len(row)))
    for j, y in enumerate(sums):
        low, high = words[2 * j : 2 * j + 2]
        if (lane_scalar(low) + (lane_scalar(high) << 64) - y) % R:
            raise VerificationError(f"digit words of lane {j} do not fit the publics", field="b")


def _check_rounds(
    t: Transcript, shape: Shape, rounds: Iterable[Sequence[int]], kappa: int, claim: int
) -> tuple[list[int], int]:
    """Check c: the sumcheck's point and its last claim."""
    point: list[int] = []
    kernel = group_step(kappa)
    for i, coefficients in enumerate(rounds):
        if i == shape.group_bits:
            kernel = kappa
        if (coefficients[0] + kernel * sum(coefficients) - claim) % Q:
            raise VerificationError(f"round {i} does not add up to its claim", field="c")
        x = protocol.after_round(t, coefficients)
        claim = 0
        for c in reversed(coefficients):
            claim = (claim * x + c) % Q
        point.append(x)
        kernel = kernel * kernel % Q
    return point, claim


def _check_opening(
    t: Transcript, shape: Shape, key: LeafKey, proof: Stage1Proof, group_point: Sequence[int], eq_rows: Sequence[int]
) -> None:
    """Checks e, f and g."""
    m, native = shape.chunk, engine()
    opening = protocol.after_claims(t, proof.claims)
    w = [unit_value(d) for d in opening.units]
    eq_parts, eq_blocks = eq_vector(group_point[: shape.chunk_bits]), eq_vector(group_point[shape.chunk_bits :])
    value = opening_value(proof.claims, eq_rows, eq_parts[0], w, opening.theta)
    vectors = [*proof.columns, proof.points]
    terms = [
        (p, weight * e % Q)
        for weight, column in zip(w, vectors, strict=False)
        for p, e in zip(column, eq_blocks, strict=False)
    ]
    terms += zip(key.commitments, w[len(vectors) :], strict=True)
    terms.append((native.value_generator, value))
    diagonal = [(proof.cross[i][i], Q - 1) for i in range(m)]
    if native.sum(terms + diagonal) is not None:
        raise VerificationError("the cross terms do not add up to the commitments", field="e")

    cross = protocol.after_cross(t, shape, proof.cross)
    x, z = [unit_value(d) for d in cross.units], [odd_value(c) % Q for c in cross.odd]
    terms = [(proof.cross[i][k], x[i] * z[k] % Q) for i in range(m) for k in range(m)]
    if native.sum(terms + [(proof.strip_cross[h][h], Q - 1) for h in range(STRIPS)]) is not None:
        raise VerificationError("the second cross terms do not add up to the first, folded", field="f")

    strips = protocol.after_strip_cross(t, proof.strip_cross)
    x2, z2 = [unit_value(d) for d in strips.units], [unit_value(d) for d in strips.generator_units]
    b = opening_functional(eq_rows, opening.theta)
    parts = sum(e * c for e, c in zip(eq_parts, z, strict=True)) % Q
    inner = parts * sum(u * sum(z2[h] * b[STRIP * h + j] for h in range(STRIPS)) for j, u in enumerate(proof.final))
    folded = [u * z2[h] % Q for h in range(STRIPS) for u in proof.final]
    scalars = [c * s % Q for c in z for s in folded]
    left = [(proof.strip_cross[h][k], -x2[h] * z2[k] % Q) for h in range(STRIPS) for k in range(STRIPS)]
    left.append((native.value_generator, inner % Q))
    if native.sum(left, scalars) is not None:
        raise VerificationError("the opened vector does not fit the folded commitment", field="g")
