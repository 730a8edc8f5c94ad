"""Poseidon with circomlib's parameters: the same digests as circomlibjs, 240 rows for two inputs.

Each S-box is u^2, u^4, u^4 * u, three rows. The wires kept are the S-boxes' inputs u, not their outputs y: the outputs
are linear in the next inputs (the mixing matrix is invertible, and so are its minors, as it is MDS), so that the
growing linear expressions of the partial rounds appear in C only. C costs neither proving time nor key bytes (Groth16
keys hold A and B alone), while A and B have one non-zero each in all rows but those of the first round.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ...errors import CircuitError
from ...reference.poseidon import MAX_INPUTS, poseidon_constants
from ...reference.poseidon import poseidon as plain_poseidon
from ...types import R
from ..builder import Advice, Circuit, Value
from ..expr import Expr, linear_sum
from ..template import gadget

Linear = list[tuple[Expr, int]]
Matrix = tuple[tuple[int, ...], ...]


def poseidon(c: Circuit, inputs: Sequence[Expr | int]) -> Expr:
    """Digest of 1 to 16 inputs; 213, 240, 261, 297, 321 rows for 1 to 5. An integer input saves three."""
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise CircuitError(f"poseidon takes 1 to {MAX_INPUTS} inputs, not {len(inputs)}")
    folded = [x.constant if isinstance(x, Expr) and x.is_constant else x for x in inputs]
    values = [x % R for x in folded if isinstance(x, int)]
    if len(values) == len(folded):
        return c.constant(plain_poseidon(values))
    return _poseidon(c, [x % R if isinstance(x, int) else x for x in folded])


@gadget
def _poseidon(c: Circuit, inputs: list[Expr | int]) -> Expr:
    t = len(inputs) + 1
    constants, mds, full, partial = poseidon_constants(t)
    rounds = [constants[t * k : t * k + t] for k in range(full + partial)]
    half = full // 2
    state: list[Expr | int] = [
        (x + k) % R if isinstance(x, int) else x + k for x, k in zip([0, *inputs], rounds[0], strict=True)
    ]
    us = _first_round(c, state, rounds[1], mds)
    for k in range(1, half - 1):
        us = _full_round(c, us, rounds[k + 1], mds)
    us = _partial_rounds(c, us, rounds[half - 1 : half + partial + 1], mds)
    for k in range(half + partial, full + partial - 1):
        us = _full_round(c, us, rounds[k + 1], mds)
    return _last_round(c, us, mds)


def _sbox(c: Circuit, u: Expr) -> tuple[Expr, Advice]:
    """u^4 as a wire, two rows; u^5 as advice, whose row the caller adds."""
    square = c.product(u, u)
    fourth = c.product(square, square)
    return fourth, c.advice.product(fourth, u)


def _mix(row: Sequence[int], state: Sequence[Value], constant: int) -> tuple[list[tuple[Value, int]], int]:
    return list(zip(state, row, strict=True)), constant


def _first_round(c: Circuit, state: list[Expr | int], after: Sequence[int], mds: Matrix) -> list[Expr]:
    """Integer elements need no S-box. The last of the next inputs are wires, one an S-box; the others are linear."""
    t = len(state)
    unknown = [j for j in range(t) if isinstance(state[j], Expr)]
    boxes = {j: _sbox(c, u) for j, u in enumerate(state) if isinstance(u, Expr)}
    known = {j: pow(u, 5, R) for j, u in enumerate(state) if isinstance(u, int)}
    fixed = [(after[i] + sum(mds[i][j] * y for j, y in known.items())) % R for i in range(t)]
    kept = list(range(t - len(unknown), t))
    wires = {i: c.hint.linear([(boxes[j][1], mds[i][j]) for j in unknown], fixed[i]) for i in kept}
    inverse = invert(tuple(tuple(mds[i][j] for j in unknown) for i in kept))
    outputs: dict[int, Expr] = {}
    for row, j in zip(inverse, unknown, strict=True):
        outputs[j] = linear_sum((wires[i] - fixed[i], row[k]) for k, i in enumerate(kept))
        u = state[j]
        assert isinstance(u, Expr)
        c.assert_product(boxes[j][0], u, outputs[j], early=False)
    return [
        wires[i] if i in wires else linear_sum(((outputs[j], mds[i][j]) for j in unknown), fixed[i]) for i in range(t)
    ]


def _full_round(c: Circuit, us: list[Expr], after: Sequence[int], mds: Matrix) -> list[Expr]:
    """t S-boxes; the next round's inputs are wires, and y = mds^-1 (next - constants)."""
    boxes = [_sbox(c, u) for u in us]
    ys = [y for _, y in boxes]
    following = [c.hint.linear(*_mix(row, ys, constant)) for row, constant in zip(mds, after, strict=True)]
    centred = [u - constant for u, constant in zip(following, after, strict=True)]
    for row, u, (fourth, _) in zip(invert(mds), us, boxes, strict=True):
        c.assert_product(fourth, u, linear_sum(zip(centred, row, strict=True)), early=False)
    return following


def _partial_rounds(c: Circuit, us: list[Expr], rounds: Sequence[Sequence[int]], mds: Matrix) -> list[Expr]:
    """The last full round before the partial ones, and all of those; t + partial S-boxes give as many wires.

    Kept are the input of each partial S-box and the whole state after the last one. The state between follows
    backwards: with s the elements beside the first, u' = m00 y + m0 s and s' = mk y + M s give
    s = (M - mk m0 / m00)^-1 (s' - mk u' / m00).
    """
    t = len(us)
    boxes = [_sbox(c, u) for u in us]
    ys: list[Value] = [y for _, y in boxes]
    first = c.hint.linear(*_mix(mds[0], ys, rounds[1][0]))
    beside: list[Value] = [c.advice.linear(*_mix(mds[i], ys, rounds[1][i])) for i in range(1, t)]
    inputs: list[Expr] = [first]
    fourths: list[Expr] = []
    for constants in rounds[2:]:
        fourth, y = _sbox(c, inputs[-1])
        fourths.append(fourth)
        state: list[Value] = [y, *beside]
        last = len(inputs) == len(rounds) - 2
        inputs.append(c.hint.linear(*_mix(mds[0], state, constants[0])))
        make = c.hint.linear if last else c.advice.linear
        beside = [make(*_mix(mds[i], state, constants[i])) for i in range(1, t)]
    final = [x for x in beside if isinstance(x, Expr)]
    hidden = list(final)
    scale = pow(mds[0][0], -1, R)
    schur = tuple(tuple((mds[i][j] - mds[i][0] * mds[0][j] * scale) % R for j in range(1, t)) for i in range(1, t))
    back = invert(schur)
    for k in reversed(range(len(fourths))):
        constants = rounds[k + 2]
        target = inputs[k + 1] - constants[0]
        known = [hidden[i - 1] - constants[i] - target * (mds[i][0] * scale % R) for i in range(1, t)]
        hidden = [linear_sum(zip(known, row, strict=True)) for row in back]
        output = linear_sum([(target, scale), *((s, -mds[0][j] * scale % R) for j, s in enumerate(hidden, 1))])
        c.assert_product(fourths[k], inputs[k], output, early=False)
    whole = [x - constant for x, constant in zip([first, *hidden], rounds[1], strict=True)]
    for row, u, (fourth, _) in zip(invert(mds), us, boxes, strict=True):
        c.assert_product(fourth, u, linear_sum(zip(whole, row, strict=True)), early=False)
    return [inputs[-1], *final]


def _last_round(c: Circuit, us: list[Expr], mds: Matrix) -> Expr:
    """The digest is the first element alone: it and the S-boxes after the first are wires."""
    boxes = [_sbox(c, u) for u in us]
    others = [c.hint.copy(y) for _, y in boxes[1:]]
    digest = c.hint.linear(*_mix(mds[0], [boxes[0][1], *others], 0))
    scale = pow(mds[0][0], -1, R)
    output = linear_sum([(digest, scale), *((y, -mds[0][j] * scale % R) for j, y in enumerate(others, 1))])
    for (fourth, _), u, y in zip(boxes, us, [output, *others], strict=True):
        c.assert_product(fourth, u, y, early=False)
    return digest


@cache
def invert(matrix: Matrix) -> Matrix:
    """The inverse of a square matrix over Fr by Gauss-Jordan elimination; `CircuitError` if there is none."""
    n = len(matrix)
    rows = [[*row, *(int(i == k) for k in range(n))] for i, row in enumerate(matrix)]
    for k in range(n):
        pivot = next((i for i in range(k, n) if rows[i][k] % R), None)
        if pivot is None:
            raise CircuitError("a mixing matrix is singular")
        rows[k], rows[pivot] = rows[pivot], rows[k]
        scale = pow(rows[k][k], -1, R)
        rows[k] = [x * scale % R for x in rows[k]]
        for i in range(n):
            if i != k and rows[i][k]:
                factor = rows[i][k]
                rows[i] = [(x - factor * y) % R for x, y in zip(rows[i], rows[k], strict=True)]
    return tuple(tuple(row[n:]) for row in rows)
