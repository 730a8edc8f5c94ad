"""Poseidon over BN254's Fr with circomlib's parameters, on plain integers.

Source: Grassi et al., "Poseidon: A New Hash Function for Zero-Knowledge Proof Systems" (USENIX Security 2021),
section 3 and appendix F (the Grain LFSR that makes the constants). The instance is circomlib's: x^5, 8 full rounds, the
numbers of partial rounds below for widths t = 2..17, state (0, inputs), digest = first element. The constants are
derived here, not stored, and are compared with circomlibjs's digests in tests/differential.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from operator import mul

from ..errors import InvalidInputError
from ..types import R

FULL_ROUNDS = 8
PARTIAL_ROUNDS = (56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65, 70, 60, 64, 68)
"""By width: PARTIAL_ROUNDS[t - 2]."""
MAX_INPUTS = 16

_FIELD_BITS = 254

Constants = tuple[tuple[int, ...], tuple[tuple[int, ...], ...], int, int]


def _grain_bits(width: int, partial_rounds: int) -> Iterator[int]:
    """The self-shrinking Grain stream: b[i+80] = b[i+62] + b[i+51] + b[i+38] + b[i+23] + b[i+13] + b[i].

    The seed is field kind 1 (prime), S-box kind 0 (power), field bits, t, RF, RP, thirty ones; the first 160 bits are
    dropped; then of each pair of bits the second is given out where the first is 1.
    """
    seed = "".join(
        f"{value:0{bits}b}"
        for value, bits in ((1, 2), (0, 4), (_FIELD_BITS, 12), (width, 12), (FULL_ROUNDS, 10), (partial_rounds, 10))
    )
    state = [int(c) for c in seed + "1" * 30]

    def step() -> int:
        bit = state[62] ^ state[51] ^ state[38] ^ state[23] ^ state[13] ^ state[0]
        del state[0]
        state.append(bit)
        return bit

    for _ in range(160):
        step()
    while True:
        keep, bit = step(), step()
        if keep:
            yield bit


def _take(bits: Iterator[int]) -> int:
    value = 0
    for _ in range(_FIELD_BITS):
        value = value << 1 | next(bits)
    return value


@cache
def poseidon_constants(t: int) -> Constants:
    """(round constants, MDS matrix, full rounds, partial rounds) for width t = 2..17; cached.

    Round constants: (RF + RP) * t scalars in the order they are added; MDS[i][j] = 1 / (x_i + y_j) multiplies the state
    as a column: new[i] = sum of MDS[i][j] * old[j]. Costs milliseconds, once. `InvalidInputError` for other widths.
    """
    if not 2 <= t <= MAX_INPUTS + 1:
        raise InvalidInputError(f"Poseidon has widths 2 to {MAX_INPUTS + 1}, not {t}", field="t")
    partial = PARTIAL_ROUNDS[t - 2]
    bits = _grain_bits(t, partial)
    constants: list[int] = []
    while len(constants) < (FULL_ROUNDS + partial) * t:
        value = _take(bits)
        if value < R:  # rejection, so that the constants are uniform
            constants.append(value)
    # The Cauchy points are reduced, not rejected, and drawn again as a whole if two of them meet (the paper's script).
    points = [_take(bits) % R for _ in range(2 * t)]
    while len(set(points)) < 2 * t or any((x + y) % R == 0 for x in points[:t] for y in points[t:]):
        points = [_take(bits) % R for _ in range(2 * t)]
    mds = tuple(tuple(pow(x + y, -1, R) for y in points[t:]) for x in points[:t])
    return tuple(constants), mds, FULL_ROUNDS, partial


def permute(state: list[int]) -> list[int]:
    """Poseidon's permutation of len(state) = t scalars; t^2 products a round. The argument is left as it is."""
    t = len(state)
    constants, mds, full, partial = poseidon_constants(t)
    half = full // 2
    position = 0
    for r in range(full + partial):
        state = [x + c for x, c in zip(state, constants[position : position + t], strict=True)]
        position += t
        if r < half or r >= half + partial:
            state = [pow(x, 5, R) for x in state]
        else:
            state[0] = pow(state[0], 5, R)
        state = [sum(map(mul, row, state)) % R for row in mds]
    return state


def poseidon(inputs: list[int]) -> int:
    """Digest of 1 to 16 scalars: the first element of permute(0, inputs). About 0.3 ms for two inputs.

    `InvalidInputError` if there are none or too many, or any is outside [0, r).
    """
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise InvalidInputError(f"Poseidon takes 1 to {MAX_INPUTS} inputs, not {len(inputs)}", field="inputs")
    for i, x in enumerate(inputs):
        if not 0 <= x < R:
            raise InvalidInputError(f"Poseidon input {i} is not a canonical scalar", field=f"inputs[{i}]")
    return permute([0, *inputs])[0]
