"""The native part of the assembly behind plain Python integers: sums over Grumpkin, generators, Poseidon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

import numpy as np

from ..errors import BackendError
from ..native import _native
from ..reference.field import limb_rows, to_limbs
from ..reference.poseidon import poseidon_constants
from ..types import Limbs
from .grumpkin import MaybePoint, candidates
from .layout import WIDTH
from .transcript import WIDTH as SPONGE_WIDTH
from .transcript import Point

GENERATOR_TAG: Final = "hybrid-prover grumpkin generator"
VALUE_TAG: Final = "hybrid-prover grumpkin value"


def empty(n: int, *tail: int) -> Limbs:
    """Room for a native result."""
    return np.empty((n, *tail), dtype=np.uint64)


def point_limbs(points: Iterable[Point]) -> Limbs:
    """Canonical uint64[n, 2, 4]."""
    return to_limbs(c for p in points for c in p).reshape(-1, 2, 4)


def points_of(limbs: Limbs) -> list[MaybePoint]:
    """The reverse; the identity is None."""
    c = limb_rows(limbs)
    pairs = [(c[i], c[i + 1]) for i in range(0, len(c), 2)]
    return [None if p == (0, 0) else p for p in pairs]


def finite(points: Iterable[MaybePoint]) -> list[Point]:
    """`BackendError` if one is the identity, which happens with negligible probability."""
    out = []
    for p in points:
        if p is None:
            raise BackendError("a commitment is the identity")
        out.append(p)
    return out


def hash_to_curve(tags: Sequence[str]) -> list[Point]:
    """For each tag the first candidate x that is on Grumpkin, with the smaller y; nobody knows their logarithms."""
    streams = [candidates(tag) for tag in tags]
    found: list[MaybePoint] = [None] * len(tags)
    while missing := [i for i, p in enumerate(found) if p is None]:
        out = empty(len(missing), 2, 4)
        _native.grumpkin_lift(to_limbs([next(streams[i]) for i in missing]), out)
        for i, p in zip(missing, points_of(out), strict=True):
            found[i] = p
    return finite(found)


class Engine:
    """Native helpers with their tables; made once a process by `engine`."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        constants, matrix, full, partial = poseidon_constants(SPONGE_WIDTH)
        self._poseidon = _native.Poseidon(
            to_limbs(constants), to_limbs([x for row in matrix for x in row]), full, partial
        )
        self.value_generator: Point = hash_to_curve([VALUE_TAG])[0]
        """Q of the opening."""
        self._generators: dict[int, tuple[list[Point], _native.Generators]] = {}

    def permute(self, state: list[int]) -> list[int]:
        """Poseidon's permutation of width 17; as the reference's."""
        limbs = to_limbs(state).copy()
        self._poseidon.permute(limbs)
        return limb_rows(limbs)

    def generators(self, chunk: int) -> _native.Generators:
        """Tables of G[part][row] at 96 part + row for part < chunk, and of Q behind them; 2 KiB a generator."""
        return self._prepared(chunk)[1]

    def generator_points(self, chunk: int) -> list[Point]:
        """The 96 chunk generators themselves, which the wrap takes as constants."""
        return self._prepared(chunk)[0]

    def sum(self, terms: Sequence[tuple[Point, int]], generator_scalars: Sequence[int] = ()) -> MaybePoint:
        """sum k P over the terms, plus the sum of generator_scalars[i] G_i; scalars are canonical mod q."""
        out = empty(1, 2, 4)
        points = [p for p, _ in terms]
        scalars = [k for _, k in terms]
        if generator_scalars:
            chunk = len(generator_scalars) // WIDTH
            self.generators(chunk).sums(to_limbs(generator_scalars), [0], 1, out)
            folded = points_of(out)[0]
            if folded is not None:
                points.append(folded)
                scalars.append(1)
        _native.grumpkin_sum(point_limbs(points), to_limbs(scalars), out)
        return points_of(out)[0]

    def generator_sums(
        self, chunk: int, scalars: Sequence[int], first: Sequence[int], stride: int = 1
    ) -> list[MaybePoint]:
        """[sum_j scalars[i n + j] G_{first[i] + j stride}], n scalars for each entry of `first`."""
        out = empty(len(first), 2, 4)
        self.generators(chunk).sums(to_limbs(scalars), list(first), stride, out)
        return points_of(out)

    def _prepared(self, chunk: int) -> tuple[list[Point], _native.Generators]:
        if chunk not in self._generators:
            points = hash_to_curve([f"{GENERATOR_TAG} {k}/{s}" for k in range(chunk) for s in range(WIDTH)])
            native = _native.Generators(point_limbs([*points, self.value_generator]), self.threads)
            self._generators[chunk] = (points, native)
        return self._generators[chunk]


@cache
def engine(threads: int | None = None) -> Engine:
    """The process's engine; `threads` None means HYBRID_PROVER_THREADS or all cores."""
    return Engine(threads or _native.default_threads())
