"""The whole Poseidon permutation, for sponges: the state in, the state out."""

from __future__ import annotations

from ...reference.poseidon import poseidon_constants
from ..builder import Circuit
from ..expr import Expr
from ..template import gadget
from .poseidon import _full_round, _partial_rounds


@gadget
def permutation(c: Circuit, state: list[Expr]) -> list[Expr]:
    """Poseidon's permutation of 2 to 17 elements with circomlib's constants; 3 (8 t + partial rounds) rows, 612 for 17.

    As in `poseidon`, the wires are the S-boxes' inputs, and long expressions appear in C only.
    """
    t = len(state)
    constants, mds, full, partial = poseidon_constants(t)
    rounds = [constants[t * k : t * k + t] for k in range(full + partial)]
    rounds.append((0,) * t)
    half = full // 2
    us = [x + k for x, k in zip(state, rounds[0], strict=True)]
    for k in range(half - 1):
        us = _full_round(c, us, rounds[k + 1], mds)
    us = _partial_rounds(c, us, rounds[half - 1 : half + partial + 1], mds)
    for k in range(half + partial, full + partial):
        us = _full_round(c, us, rounds[k + 1], mds)
    return us
