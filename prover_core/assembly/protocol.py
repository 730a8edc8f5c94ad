"""Stage 1, message by message: what is absorbed, in which order, and what is drawn. The wrap mirrors this file.

Notation: N, L, m the shape's leaves, publics, chunk; E = 2 (L + 1) key lanes; G = E + N groups; 2^mg >= G; K blocks,
K = ceil(G / m). Points are Grumpkin's, absorbed as x, y (elements of Fr). Elements of Fq are canonical integers,
254 bits, packed (`Transcript.absorb_integers`). [n]: `Transcript.challenges(n)`, of 128 and 125 bits in turn.

  | prover sends                                              | absorbed as          | then drawn
--+-----------------------------------------------------------+----------------------+---------------------------------
0 | the statement: N, L, m; key digest, leaf count, publics   | 6 elements           |
1 | X commitments, K points                                   | 2 K elements         | rho: [N], one digit word a leaf
2 | column commitments, 16 columns of K points, column by     | 32 K elements, then  | kappa [1]; beta [5]; gamma [12];
  | column; the E digit words of the key lanes                | E integers, 128 bits | digit [1]; sums [2] (calls apart)
3 | mg rounds of 6 coefficients, then 7 rounds of 7, constant | a round at a time,   | the round's point [1]
  | coefficient first                                         | 254 bits             |
4 | 87 claims: 16 columns, 16 next, 31 cells, X, Y, 8 key     | 254 bits             | w: units(25); theta [1];
  | columns, 8 next, 6 key cells (`Claims.values`)            |                      | offset: squeeze()
5 | m x m points D_ik, row by row                             | 2 m^2 elements       | x: units(m); z [m]; offset
6 | 6 x 6 points D'_hk, row by row                            | 72 elements          | x', z': units(6) each; offset
7 | 16 elements of Fq                                         | (the wrap: 254 bits) |

The offsets are not used here: they are for the wrap's incomplete additions, each drawn after the points it adds are
fixed. (One offset for all three would let a prover choose D with the additions' exceptions in mind.)

Checks, all equations mod q unless said otherwise:

 a. Every point is on the curve (none is infinity), every element of Fq canonical, every digit word below 2^128.
 b. y_j = lane_scalar(low_j) + 2^64 lane_scalar(high_j) mod r for j <= L, where y_0 = sum_i s_i, y_j = sum_i s_i x_ij,
    s_i = lane_scalar(rho_i) for the leaves that are there, else 0. In Fr, natively: publics cannot alias.
 c. The first claim is `evaluation.initial_claim`; a round with coefficients p_0 .. p_d and kernel k has
    p(0) + k p(1) = claim, then claim = p(point). Group rounds have d = 5 and k = kappa^(128 2^t), row rounds d = 6 and
    k = kappa^(2^t).
 d. The last claim is `constraints.combined` of the claims, with selectors evaluated at the point.
 e. sum_i D_ii = sum_v w_v C_v + value Q, with C_v the vector's commitments folded over blocks by eq of the high group
    bits, and `value` the claims folded by w and theta (`evaluation.opening_value`).
 f. sum_h D'_hh = sum_ik x_i z_k D_ik.
 g. sum_hk x'_h z'_k D'_hk = sum_j u_j G''_j + (sum_j u_j b''_j) Q, where G'' and b'' are the generators and the opening
    functional folded by z over m parts and by z' over six strips of 16 rows. b has no part of weight theta^0.

Decision: the opening is folded in two levels, not revealed (plain Hyrax would cost the wrap 618k rows instead of 461k).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import InvalidInputError
from ..types import R
from . import layout
from .constraints import GROUP_DEGREE, ROW_DEGREE, SLOT, SLOTS
from .shape import Shape
from .transcript import KEY_DOMAIN, PUBLICS_DOMAIN, Point, Transcript

STRIPS: Final = 6
STRIP: Final = 16
"""The second level cuts the 96 rows of a chunk's part into six strips of 16."""
assert STRIPS * STRIP == layout.WIDTH


@dataclass(frozen=True, slots=True)
class Statement:
    """What an assembly proves: `leaf_count` proofs under one key verify with these publics.

    All three are public inputs of the wrap; those of a chained wrap are followed by the chain's ends.
    """

    key_digest: int
    leaf_count: int
    publics_digest: int


@dataclass(frozen=True, slots=True)
class Claims:
    """Evaluations at the sumcheck's point (r_g, r_s), in the order of `layout`."""

    current: tuple[int, ...]
    """16 columns at (r_g, r_s)."""
    next: tuple[int, ...]
    """The same, shifted by one row: sum_s eq(r_s, s - 1) M[s]."""
    cells: tuple[int, ...]
    """31 cells, then X and Y, at r_g."""
    key_current: tuple[int, ...]
    key_next: tuple[int, ...]
    key_cells: tuple[int, ...]

    def values(self) -> list[int]:
        """All 87, in the order in which they are absorbed."""
        return [*self.current, *self.next, *self.cells, *self.key_current, *self.key_next, *self.key_cells]

    @classmethod
    def lengths(cls) -> tuple[int, ...]:
        """Of the six parts."""
        n, k = len(layout.COLUMNS), len(layout.KEY_COLUMNS)
        return n, n, len(layout.CELLS) + len(layout.POINT), k, k, len(layout.KEY_CELLS)


@dataclass(frozen=True, slots=True)
class Stage1Proof:
    """All messages of the prover, in order."""

    points: tuple[Point, ...]
    """X commitments, one a block."""
    columns: tuple[tuple[Point, ...], ...]
    """[column][block]"""
    words: tuple[int, ...]
    """Digit words of the key lanes: low and high of y_0, y_1, ..."""
    rounds: tuple[tuple[int, ...], ...]
    claims: Claims
    cross: tuple[tuple[Point, ...], ...]
    """[i][k]: D_ik"""
    strip_cross: tuple[tuple[Point, ...], ...]
    """[h][k]: D'_hk"""
    final: tuple[int, ...]
    """u''"""


@dataclass(frozen=True, slots=True)
class TableChallenges:
    """Message 2's."""

    kappa: int
    beta: tuple[int, ...]
    gamma: tuple[int, ...]
    digit: int
    sums: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpeningChallenges:
    """Message 4's."""

    units: tuple[tuple[int, ...], ...]
    """Digits of the 25 vectors' weights: 16 columns, the point vector, 8 key columns."""
    theta: int
    offset: int


@dataclass(frozen=True, slots=True)
class CrossChallenges:
    """Message 5's."""

    units: tuple[tuple[int, ...], ...]
    odd: tuple[tuple[int, int], ...]
    """(value, bits), see `weights.odd_value`."""
    offset: int


@dataclass(frozen=True, slots=True)
class StripChallenges:
    """Message 6's."""

    units: tuple[tuple[int, ...], ...]
    generator_units: tuple[tuple[int, ...], ...]
    offset: int


def key_digest(commitments: Sequence[Point], points: Sequence[Point], transcript: Transcript | None = None) -> int:
    """The leaf key's name in the statement.

    Absorbs the number of lanes E, the 8 commitments of the key's columns, and the E lanes' points of G1 (coordinates
    in Fq, 254 bits): -IC_0, -2^64 IC_0, -IC_1, ... The key's cells (mu0) are inside the commitments.
    """
    t = transcript or Transcript(KEY_DOMAIN)
    t.absorb([len(points)])
    t.absorb_points(commitments)
    t.absorb_integers([c for p in points for c in p])
    return t.squeeze()


def publics_digest(shape: Shape, publics: Sequence[Sequence[int]], transcript: Transcript | None = None) -> int:
    """Over N L elements of Fr, leaf by leaf: missing publics and missing leaves are zeros.

    `InvalidInputError` if there are too many, or one is not canonical.
    """
    if len(publics) > shape.leaves:
        raise InvalidInputError(f"{len(publics)} leaves do not fit {shape.leaves}", field="publics")
    t = transcript or Transcript(PUBLICS_DOMAIN)
    for i, row in enumerate(publics):
        if len(row) > shape.publics:
            raise InvalidInputError(f"leaf {i} has {len(row)} public signals", field=f"publics[{i}]")
        for j, x in enumerate(row):
            if not 0 <= x < R:
                raise InvalidInputError("a public signal is not canonical", field=f"publics[{i}][{j}]")
        t.absorb([*row, *[0] * (shape.publics - len(row))])
    t.absorb([0] * (shape.publics * (shape.leaves - len(publics))))
    return t.squeeze()


def begin(t: Transcript, shape: Shape, statement: Statement) -> None:
    """Message 0."""
    t.absorb([shape.leaves, shape.publics, shape.chunk])
    t.absorb([statement.key_digest, statement.leaf_count, statement.publics_digest])


def after_points(t: Transcript, shape: Shape, points: Sequence[Point]) -> list[int]:
    """Message 1: a digit word rho for each of the N places, filled or not."""
    t.absorb_points(points)
    return t.integers(shape.leaves)


def after_columns(t: Transcript, columns: Sequence[Sequence[Point]], words: Sequence[int]) -> TableChallenges:
    """Message 2."""
    for column in columns:
        t.absorb_points(column)
    t.absorb_integers(words, 128)
    (kappa,) = t.integers(1)
    beta, gamma = t.integers(SLOTS), t.integers(SLOT)
    (digit,) = t.integers(1)
    return TableChallenges(kappa, tuple(beta), tuple(gamma), digit, tuple(t.integers(2)))


def after_round(t: Transcript, coefficients: Sequence[int]) -> int:
    """Message 3, one round: its point, of 128 bits."""
    t.absorb_integers(coefficients)
    return t.integers(1)[0]


def round_degrees(shape: Shape) -> list[int]:
    """Of every round's polynomial: group rounds first."""
    return [GROUP_DEGREE] * shape.group_bits + [ROW_DEGREE] * layout.ROW_BITS


def after_claims(t: Transcript, claims: Claims) -> OpeningChallenges:
    """Message 4."""
    t.absorb_integers(claims.values())
    units = t.units(layout.VECTORS)
    return OpeningChallenges(tuple(units), t.integers(1)[0], t.squeeze())


def after_cross(t: Transcript, shape: Shape, cross: Sequence[Sequence[Point]]) -> CrossChallenges:
    """Message 5."""
    for row in cross:
        t.absorb_points(row)
    units = t.units(shape.chunk)
    return CrossChallenges(tuple(units), tuple(t.challenges(shape.chunk)), t.squeeze())


def after_strip_cross(t: Transcript, cross: Sequence[Sequence[Point]]) -> StripChallenges:
    """Message 6."""
    for row in cross:
        t.absorb_points(row)
    units = t.units(STRIPS)
    return StripChallenges(tuple(units), tuple(t.units(STRIPS)), t.squeeze())
