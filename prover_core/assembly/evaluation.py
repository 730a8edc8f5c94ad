"""What the verifier computes from the statement and the challenges alone, on plain integers mod q.

The wrap computes the same numbers with its own grouping; its tests compare them with these.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..types import Q
from . import layout
from .constraints import SUM_START, Environment, Weights
from .protocol import Claims, TableChallenges
from .shape import Shape
from .transcript import Point
from .weights import DIGIT_OFFSET


def group_step(kappa: int) -> int:
    """kappa^128: the kernel is kappa^(128 g + s)."""
    return pow(kappa, layout.ROWS, Q)


def initial_claim(
    shape: Shape, leaf_count: int, challenges: TableChallenges, rho: Sequence[int], words: Sequence[int]
) -> int:
    """sum_g k^g digit (2 word_g - 4^64 + 1) over key lanes and leaves, plus sums . START (1 - k^(E + leaves)).

    k = kappa^128. The second part is what the running sum leaves when it telescopes: it begins and ends at START.
    """
    k = group_step(challenges.kappa)
    total, power = 0, 1
    for word in [*words, *rho[:leaf_count]]:
        total += power * (2 * word - DIGIT_OFFSET)
        power = power * k % Q
    start = sum(s * c for s, c in zip(challenges.sums, SUM_START, strict=True))
    return (challenges.digit * total + start * (1 - power)) % Q


def row_selectors_at(eq_rows: Sequence[int]) -> dict[str, int]:
    """The selectors' multilinear extensions at the row point with that eq vector."""
    return {
        name: sum(e for e, on in zip(eq_rows, values, strict=False) if on) % Q
        for name, values in layout.ROW_SELECTORS.items()
    }


def weight_at(kappa: int, row_point: Sequence[int]) -> int:
    """The multilinear extension of W(s) = (4 / kappa)^s for s < 64, else 0, at the row point:

    (1 - r_6) prod_{t < 6} (1 - r_t + r_t (4 / kappa)^(2^t)). kappa = 0 is refused by the verifier.
    """
    power = 4 * pow(kappa, -1, Q) % Q
    value = (1 - row_point[6]) % Q
    for x in row_point[:6]:
        value = value * (1 - x + x * power) % Q
        power = power * power % Q
    return value


def group_selectors_at(
    shape: Shape, leaf_count: int, lane_points: Sequence[Point], eq_groups: Sequence[int]
) -> dict[str, int]:
    """leaf and key: sums of eq over the leaves that are there and over the key lanes; kx, ky: eq times their points."""
    lanes = shape.key_lanes
    key, leaf = sum(eq_groups[:lanes]) % Q, sum(eq_groups[lanes : lanes + leaf_count]) % Q
    kx, ky = (sum(e * p[c] for e, p in zip(eq_groups, lane_points, strict=False)) % Q for c in (0, 1))
    return {"real": (leaf + key) % Q, "leaf": leaf, "key": key, "kx": kx, "ky": ky}


def environment(claims: Claims, row: dict[str, int], group: dict[str, int]) -> Environment:
    """The claims under their names."""
    key = dict(zip(layout.KEY_COLUMNS, claims.key_current, strict=True))
    return Environment(
        current=dict(zip(layout.COLUMNS, claims.current, strict=True)),
        next=dict(zip(layout.COLUMNS, claims.next, strict=True)),
        cells=dict(zip((*layout.CELLS, *layout.POINT), claims.cells, strict=True)),
        key=key | dict(zip(layout.KEY_CELLS, claims.key_cells, strict=True)),
        row=row,
        group=group,
    )


def weights(challenges: TableChallenges) -> Weights:
    """The sumcheck polynomial's weights, on integers."""
    c = challenges
    return Weights(c.beta, c.gamma, c.digit, c.sums, group_step(c.kappa))


def opening_functional(eq_rows: Sequence[int], theta: int) -> list[int]:
    """b over the 96 rows of a part: theta eq(s) + theta^2 eq(s - 1) for s < 91, and theta^(3 + j) more in row 87 + j.

    0 in the rows that only blind. No functional has the weight 1: it would go unnoticed if a commitment held a multiple
    of Q, which shifts the opened value by a number that does not depend on theta.
    """
    out = [0] * layout.WIDTH
    for s in range(layout.USED_ROWS):
        out[s] = theta * (eq_rows[s] + theta * (eq_rows[s - 1] if s else 0)) % Q
    power = theta * theta % Q
    for j in range(layout.CELL_FUNCTIONALS):
        power = power * theta % Q
        out[layout.CELL_ROW + j] = (out[layout.CELL_ROW + j] + power) % Q
    return out


def opening_value(
    claims: Claims, eq_rows: Sequence[int], first_part: int, vector_weights: Sequence[int], theta: int
) -> int:
    """sum_v w_v sum_j theta^(1 + j) claim_vj: what b, with eq of the low group bits, makes of the folded vectors.

    For a column: (current, next, its cells in rows 87, 88 or 0, 0, 0). For the point vector, which is 0 outside rows
    89 and 90: the same from X and Y. For a key column, which is in part 0 only: its claims times `first_part`, eq at 0.
    """
    n = len(layout.COLUMNS)
    cells = [[0] * layout.CELL_FUNCTIONALS for _ in range(n)]
    for value, (column, row) in zip(claims.cells, layout.CELL_PLACE.values(), strict=False):
        cells[column][row - layout.CELL_ROW] = value
    x, y = claims.cells[-2:]
    at = layout.POINT_ROW
    functionals = [[c, d, *own] for c, d, own in zip(claims.current, claims.next, cells, strict=True)]
    functionals.append(
        [eq_rows[at] * x + eq_rows[at + 1] * y, eq_rows[at - 1] * x + eq_rows[at] * y]
        + [0] * (at - layout.CELL_ROW)
        + [x, y]
    )
    for i, (c, d) in enumerate(zip(claims.key_current, claims.key_next, strict=True)):
        own = claims.key_cells[i] if i < len(claims.key_cells) else 0
        functionals.append([first_part * c, first_part * d, first_part * own])
    total = 0
    for w, values in zip(vector_weights, functionals, strict=True):
        inner = 0
        for value in reversed(values):
            inner = (inner * theta + value) % Q
        total += w * inner
    return total * theta % Q
