"""The wrap's private inputs: stage 1's messages and what the prover computes beside them, each proven well-formed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...circuit.builder import Circuit
from ...circuit.expr import Bit, Expr
from ...circuit.gadgets.grumpkin import Point, assert_on_curve
from ...circuit.gadgets.limbs import LIMBS
from ...circuit.gadgets.nonnative import EmulatedField, Residue, bits_of
from .. import layout
from ..protocol import STRIP, STRIPS, round_degrees
from ..shape import Shape
from ..transcript import LONG_BITS

OFFSETS = 3
"""Random points of the wrap's sums: after the claims, after the first cross terms, after the second."""
TRIES_BITS = 8
"""An offset's x-coordinate is a squeezed element plus fewer than 2^8: all of 256 fail with probability 2^-256."""


@dataclass(frozen=True)
class ClaimValues:
    """The 87 claims in the order of `protocol.Claims`."""

    current: list[Residue]
    next: list[Residue]
    cells: list[Residue]
    key_current: list[Residue]
    key_next: list[Residue]
    key_cells: list[Residue]

    def all(self) -> list[Residue]:
        """In the order in which they are absorbed."""
        return [*self.current, *self.next, *self.cells, *self.key_current, *self.key_next, *self.key_cells]


@dataclass(frozen=True)
class Messages:
    """Every private input of the wrap."""

    key_commitments: list[Point]
    key_points: list[tuple[Residue, Residue]]
    publics: list[list[Expr]]
    points: list[Point]
    columns: list[list[Point]]
    words: list[list[Bit]]
    rounds: list[list[Residue]]
    claims: ClaimValues
    cross: list[list[Point]]
    strip_cross: list[list[Point]]
    final: list[tuple[list[Bit], list[Bit]]]
    """(a_j, b_j) with u_j = a_j + b_j lambda mod q: 128 bits h stand for 2 h - (2^128 - 1)."""
    kernel_inverse: Residue
    """1 / kappa mod q."""
    offset_tries: list[Expr]
    offset_y: list[Expr]


def declare(c: Circuit, shape: Shape, field: EmulatedField) -> Messages:
    """All private inputs; 254 rows an element of Fq, 3 a point, 128 a word."""
    with c.scope("statement"):
        key_commitments = _points(c, "key_commitments", len(layout.KEY_COLUMNS))
        coordinates = _values(c, field, "key_points", 2 * shape.key_lanes)
        flat = c.private("publics", shape.leaves * shape.publics)
    publics = [flat[i * shape.publics : (i + 1) * shape.publics] for i in range(shape.leaves)]
    with c.scope("commitments"):
        points = _points(c, "points", shape.blocks)
        columns = _table(_points(c, "columns", len(layout.COLUMNS) * shape.blocks), shape.blocks)
        words = [bits_of(c, word, LONG_BITS) for word in c.private("words", shape.key_lanes)]
    degrees = round_degrees(shape)
    with c.scope("rounds"):
        coefficients = _values(c, field, "rounds", sum(d + 1 for d in degrees))
    rounds = []
    for degree in degrees:
        rounds.append(coefficients[: degree + 1])
        del coefficients[: degree + 1]
    with c.scope("claims"):
        claims = ClaimValues(
            *(
                _values(c, field, f"claims_{name}", size)
                for name, size in (
                    ("current", len(layout.COLUMNS)),
                    ("next", len(layout.COLUMNS)),
                    ("cells", len(layout.CELLS) + len(layout.POINT)),
                    ("key_current", len(layout.KEY_COLUMNS)),
                    ("key_next", len(layout.KEY_COLUMNS)),
                    ("key_cells", len(layout.KEY_CELLS)),
                )
            )
        )
    with c.scope("cross terms"):
        cross = _table(_points(c, "cross", shape.chunk**2), shape.chunk)
        strip_cross = _table(_points(c, "strip_cross", STRIPS**2), STRIPS)
    with c.scope("opening"):
        halves = [bits_of(c, half, LONG_BITS) for half in c.private("final", 2 * STRIP)]
    with c.scope("selectors"):
        (kernel_inverse,) = _values(c, field, "kernel_inverse", 1)
    return Messages(
        key_commitments,
        list(zip(coordinates[::2], coordinates[1::2], strict=True)),
        publics,
        points,
        columns,
        words,
        rounds,
        claims,
        cross,
        strip_cross,
        list(zip(halves[::2], halves[1::2], strict=True)),
        kernel_inverse,
        c.private("offset_tries", OFFSETS),
        c.private("offset_y", OFFSETS),
    )


def _points(c: Circuit, name: str, count: int) -> list[Point]:
    flat = c.private(name, 2 * count)
    return [assert_on_curve(c, x, y) for x, y in zip(flat[::2], flat[1::2], strict=True)]


def _values(c: Circuit, field: EmulatedField, name: str, count: int) -> list[Residue]:
    flat = c.private(name, LIMBS * count)
    return [field.value(flat[i : i + LIMBS]) for i in range(0, len(flat), LIMBS)]


def _table(flat: Sequence[Point], width: int) -> list[list[Point]]:
    return [list(flat[i : i + width]) for i in range(0, len(flat), width)]
