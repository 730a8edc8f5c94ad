"""The prover of stage 1: leaves go in as they are proved, and what does not wait for challenges is done then."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backend import Backend, select
from ..errors import InvalidInputError, VerificationError
from ..groth16.keys import Proof, VerificationKey
from ..native import _native
from ..reference.field import to_limbs
from ..types import FrVector, G1Point, Limbs, Q, R, g1_vector, g2_vector
from . import layout, protocol
from .constraints import SUM_START
from .engine import Engine, empty, engine, finite, points_of
from .evaluation import initial_claim
from .fields import CUBE_ROOT_Q
from .leaf_key import LeafKey, leaf_key
from .opening import open_vectors
from .protocol import Claims, Stage1Proof, Statement, TableChallenges
from .shape import Shape
from .sumcheck import prove_sumcheck
from .transcript import Point, RareChallengeError, Transcript
from .verifier import make_statement
from .weights import lane_scalar, two_words


@dataclass(frozen=True, slots=True)
class Assembly:
    """A finished stage 1."""

    shape: Shape
    statement: Statement
    publics: tuple[tuple[int, ...], ...]
    proof: Stage1Proof


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf proof, its publics and their sum X."""

    proof: Proof
    publics: tuple[int, ...]
    x: G1Point


class AssemblyBuilder:
    """An assembly that grows: `add` leaf proofs under one verification key, or `place` them as they come; `finish`.

    `add` traces the leaf and commits to its Miller columns, about two thirds of the work. Not thread-safe.
    """

    def __init__(self, shape: Shape, vk: VerificationKey, threads: int | None = None) -> None:
        self.shape = shape
        self.key: LeafKey = leaf_key(vk, shape.publics)
        self._engine: Engine = engine(threads)
        self._backend: Backend = select().backend
        self._ic = g1_vector(list(vk.ic))
        self._leaves: dict[int, Leaf] = {}
        self._table = self._new_table()
        self._used = False

    def __len__(self) -> int:
        return len(self._leaves)

    def add(self, proof: Proof, publics: Sequence[int]) -> None:
        """`extend` by one leaf."""
        self.extend([(proof, publics)])

    def extend(self, items: Sequence[tuple[Proof, Sequence[int]]]) -> None:
        """Adds leaves behind those that are there, traced side by side; about 10 ms each on one core.

        Nothing is added where one is refused: `VerificationError`, with `field` naming the first (`leaves[i]`, counted
        in `items`), if a leaf does not verify or has an invalid point; `InvalidInputError` if its publics are malformed
        or the assembly is full or finished.
        """
        self._put(max(self._leaves, default=-1) + 1, items)

    def place(self, index: int, proof: Proof, publics: Sequence[int]) -> None:
        """One leaf at its position, counted from 0, before or after others are there; `finish` wants no gaps.

        Errors as `extend`; `InvalidInputError` also for a position that is taken or is not in the shape.
        """
        if index < 0 or index in self._leaves:
            raise InvalidInputError(f"position {index} is not free", field="leaves")
        self._put(index, [(proof, publics)])

    def _put(self, first: int, items: Sequence[tuple[Proof, Sequence[int]]]) -> None:
        if self._used:
            raise InvalidInputError("the assembly is finished", field="leaves")
        if first + len(items) > self.shape.leaves:
            raise InvalidInputError(f"the shape holds {self.shape.leaves} leaves", field="leaves")
        if not items:
            return
        leaves = [self._checked(i, proof, publics) for i, (proof, publics) in enumerate(items)]
        self._check_points(leaves)
        self._trace(first, leaves)
        self._leaves |= {first + i: leaf for i, leaf in enumerate(leaves)}

    def finish(self, entropy: bytes) -> Assembly:
        """Stage 1 for what was added. `entropy` (32 fresh bytes) blinds the commitments: it keeps them off the curve's
        exceptions, and hides nothing. Called again it makes another proof of the same leaves, and traces them anew.

        `InvalidInputError` if there are no leaves, or a position between them is free.
        """
        if not self._leaves or len(self._leaves) <= max(self._leaves):
            raise InvalidInputError("nothing to finish, or a position is free", field="leaves")
        if len(entropy) < 16:
            raise InvalidInputError("at least 16 bytes of entropy are needed", field="entropy")
        publics = tuple(leaf.publics for leaf in self._in_order())
        statement = make_statement(self.shape, self.key, publics)
        for attempt in range(4):
            if self._used:
                self._table = self._new_table()
                self._trace(0, self._in_order())
            self._used = True
            try:
                proof = self._prove(statement, _Blinds(entropy, attempt))
            except RareChallengeError:
                continue
            return Assembly(self.shape, statement, publics, proof)
        raise InvalidInputError("the entropy is not random", field="entropy")

    def _in_order(self) -> list[Leaf]:
        return [self._leaves[i] for i in range(len(self._leaves))]

    def _new_table(self) -> _native.AssemblyTable:
        table = _native.AssemblyTable(
            self._engine.generators(self.shape.chunk), self.shape.groups, self.shape.chunk, to_limbs([CUBE_ROOT_Q])
        )
        table.set_points(0, g1_vector([G1Point(x, y) for x, y in self.key.points]).limbs)
        return table

    def _checked(self, index: int, proof: Proof, publics: Sequence[int]) -> Leaf:
        where = f"leaves[{index}]"
        if len(publics) != self.key.n_public:
            raise InvalidInputError(f"{len(publics)} public signals, the key has {self.key.n_public}", field=where)
        if any(not 0 <= x < R for x in publics):
            raise InvalidInputError("a public signal is not canonical", field=where)
        if any(not 0 <= c < Q for c in (proof.a.x, proof.a.y, *proof.b.x, *proof.b.y, proof.c.x, proof.c.y)):
            raise VerificationError("a coordinate is not canonical", field=where)
        if proof.a.is_infinity or proof.b.is_infinity:
            raise VerificationError("A or B is infinite", field=where)
        x = self._backend.g1_msm(self._ic, FrVector.from_ints([1, *publics]))
        if x.is_infinity:
            raise VerificationError("the publics sum to infinity", field=where)
        return Leaf(proof, tuple(publics), x)

    def _check_points(self, leaves: Sequence[Leaf]) -> None:
        a = self._backend.g1_valid(g1_vector([leaf.proof.a for leaf in leaves]))
        b = self._backend.g2_valid(g2_vector([leaf.proof.b for leaf in leaves]))
        c = self._backend.g1_valid(g1_vector([leaf.proof.c for leaf in leaves]))
        bad = np.flatnonzero(~(a & b & c))
        if len(bad):
            i = int(bad[0])
            name = "A" if not a[i] else "B" if not b[i] else "C"
            raise VerificationError(f"{name} is not in its group", field=f"leaves[{i}]")

    def _trace(self, first: int, leaves: Sequence[Leaf]) -> None:
        bad = self._table.add_leaves(
            self.shape.key_lanes + first,
            g1_vector([leaf.proof.a for leaf in leaves]).limbs,
            g2_vector([leaf.proof.b for leaf in leaves]).limbs,
            g1_vector([leaf.proof.c for leaf in leaves]).limbs,
            g1_vector([leaf.x for leaf in leaves]).limbs,
            self.key.native,
        )
        if bad:
            raise VerificationError("the leaf proof does not verify", field=f"leaves[{bad[0]}]")

    def _prove(self, statement: Statement, blinds: _Blinds) -> Stage1Proof:
        shape, n = self.shape, len(layout.COLUMNS)
        t = Transcript(permutation=self._engine.permute)
        protocol.begin(t, shape, statement)
        points = self._commit(n, n + 1, blinds)[0]
        rho = protocol.after_points(t, shape, points)
        words = self._words(rho)
        lanes = [*words, *rho[: len(self._leaves)]]
        self._run_lanes(lanes)
        self._blind_empty_parts(blinds)
        columns = self._commit(0, n, blinds)
        challenges = protocol.after_columns(t, columns, words)
        claim = initial_claim(shape, len(self._leaves), challenges, rho, words)
        rounds, group_point, row_point, claims = self._sumcheck(t, challenges, claim)
        cross, strips, final = open_vectors(
            self._engine, self._table, shape, self.key, t, claims, group_point, row_point
        )
        return Stage1Proof(points, columns, tuple(words), rounds, claims, cross, strips, final)

    def _commit(self, begin: int, end: int, blinds: _Blinds) -> tuple[tuple[Point, ...], ...]:
        k = self.shape.blocks
        out = empty((end - begin) * k, 2, 4)
        self._table.finish(begin, end, to_limbs(blinds.take((end - begin) * k)), out)
        points = finite(points_of(out))
        return tuple(tuple(points[i : i + k]) for i in range(0, len(points), k))

    def _blind_empty_parts(self, blinds: _Blinds) -> None:
        """A part of the chunk without lane or leaf would be zero, and its cross terms the identity, which no point is.

        Its first group, which is padding, gets a number in the row that no claim reads.
        """
        filled, parts = self.shape.key_lanes + len(self._leaves), self.shape.chunk
        for group in range(filled, parts):
            self._table.set_value(0, group, layout.BLIND_ROW, to_limbs(blinds.take(1)))

    def _words(self, rho: Sequence[int]) -> list[int]:
        scalars = [lane_scalar(word) for word in rho[: len(self._leaves)]]
        rows = [(1, *leaf.publics) + (0,) * (self.shape.publics - len(leaf.publics)) for leaf in self._in_order()]
        sums = [sum(s * row[j] for s, row in zip(scalars, rows, strict=True)) for j in range(self.shape.publics + 1)]
        return [word for y in sums for word in two_words(y % R)]

    def _run_lanes(self, words: Sequence[int]) -> None:
        start = g1_vector([G1Point(*SUM_START)]).limbs
        returned = self._table.run_lanes(_word_limbs(words), start)
        if not returned:
            raise VerificationError("the running sum does not return: a leaf's X is wrong", field="leaves")

    def _sumcheck(
        self, t: Transcript, challenges: TableChallenges, claim: int
    ) -> tuple[tuple[tuple[int, ...], ...], list[int], list[int], Claims]:
        return prove_sumcheck(self._engine, self._table, self.shape, self.key, len(self._leaves), challenges, t, claim)


class _Blinds:
    """Scalars from SHAKE-256 of the entropy."""

    def __init__(self, entropy: bytes, attempt: int) -> None:
        self._seed = entropy + attempt.to_bytes(4, "little")
        self._taken = 0

    def take(self, n: int) -> list[int]:
        stream = hashlib.shake_256(self._seed + self._taken.to_bytes(4, "little")).digest(48 * n)
        self._taken += 1
        return [int.from_bytes(stream[48 * i : 48 * i + 48], "little") % (Q - 1) + 1 for i in range(n)]


def _word_limbs(words: Sequence[int]) -> Limbs:
    raw = b"".join(w.to_bytes(16, "little") for w in words)
    return np.frombuffer(raw, dtype="<u8").reshape(-1, 2)
