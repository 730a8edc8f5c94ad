"""Leaf keys with known secrets, leaves under them, and the constraints of one group evaluated row by row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prover_core.assembly import layout
from prover_core.assembly.constraints import Environment, miller_step, others
from prover_core.assembly.engine import engine
from prover_core.assembly.fields import CUBE_ROOT_Q
from prover_core.assembly.leaf_key import LeafKey
from prover_core.groth16.keys import Proof, VerificationKey
from prover_core.native import CpuBackend, _native
from prover_core.reference.field import limb_rows, to_limbs
from prover_core.types import FrVector, G1Point, G2Point, Q, R, g1_points, g1_vector, g2_points, g2_vector

G1 = G1Point(1, 2)
G2 = G2Point(
    (
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
    ),
    (
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
    ),
)
BACKEND = CpuBackend(threads=2)


def g1(*scalars: int) -> list[G1Point]:
    """Multiples of the generator."""
    return g1_points(BACKEND.g1_fixed_base(G1, FrVector.from_ints([k % R for k in scalars])))


def g2(*scalars: int) -> list[G2Point]:
    """Multiples of the generator."""
    return g2_points(BACKEND.g2_fixed_base(G2, FrVector.from_ints([k % R for k in scalars])))


@dataclass(frozen=True)
class SampleKey:
    """A verification key all of whose secrets are known, so that leaves can be made for any publics."""

    vk: VerificationKey
    alpha: int
    beta: int
    gamma: int
    delta: int
    ic: tuple[int, ...]

    def leaf(self, publics: Sequence[int], seed: int, c: int | None = None) -> Proof:
        """A valid proof: A = a G1, B = b G2 with b chosen so that C = c G1 (random unless given)."""
        rng = random.Random(seed)
        a = rng.randrange(1, R)
        c = rng.randrange(1, R) if c is None else c
        x = self.ic[0] + sum(p * k for p, k in zip(publics, self.ic[1:], strict=True))
        b = (self.alpha * self.beta + x * self.gamma + c * self.delta) * pow(a, -1, R)
        return Proof(g1(a)[0], g2(b)[0], g1(c)[0])


def sample_key(n_public: int, seed: int) -> SampleKey:
    """Different for every seed."""
    rng = random.Random(seed)
    alpha, beta, gamma, delta = (rng.randrange(1, R) for _ in range(4))
    ic = tuple(rng.randrange(1, R) for _ in range(n_public + 1))
    points = g2(beta, gamma, delta)
    vk = VerificationKey(g1(alpha)[0], points[0], points[1], points[2], tuple(g1(*ic)))
    return SampleKey(vk, alpha, beta, gamma, delta, ic)


@dataclass
class Group:
    """One group's rows and cells as integers, and its selectors."""

    rows: dict[str, list[int]]
    cells: dict[str, int]
    selectors: dict[str, int]


def group_of(values: Sequence[Sequence[int]], selectors: dict[str, int]) -> Group:
    """From 17 vectors of 96 values."""
    rows = {name: list(values[i]) for i, name in enumerate(layout.COLUMNS)}
    cells = {name: values[i][row] for name, (i, row) in layout.CELL_PLACE.items()}
    point = dict(zip(layout.POINT, values[-1][layout.POINT_ROW : layout.POINT_ROW + 2], strict=True))
    return Group(rows, cells | point, selectors)


LEAF = {"real": 1, "leaf": 1, "key": 0, "kx": 0, "ky": 0}
PADDING = dict.fromkeys(layout.GROUP_SELECTORS, 0)


def trace(key: LeafKey, a: G1Point, b: G2Point, c: G1Point, x: G1Point, word: int = 0x123456789ABCDEF) -> Group:
    """A leaf's group whether or not the leaf is valid, with a lane from the sum (1, 2)."""
    out = np.empty((17 * layout.WIDTH, 4), dtype=np.uint64)
    _native.assembly_trace(
        key.native, g1_vector([a]).limbs, g2_vector([b]).limbs, g1_vector([c]).limbs, g1_vector([x]).limbs, out
    )
    miller = group_of(_vectors(out, 1)[0], dict(LEAF))
    lane = lane_group(x, word)
    for name in layout.LANE_COLUMNS:
        miller.rows[name] = lane.rows[name]
    for name in (*layout.LANE_CELLS, *layout.POINT):
        miller.cells[name] = lane.cells[name]
    return miller


def lane_group(p: G1Point, word: int) -> Group:
    """The lane of a point alone, as a key lane has it."""
    table = _native.AssemblyTable(engine().generators(2), 1, 2, to_limbs([CUBE_ROOT_Q]))
    table.set_points(0, g1_vector([p]).limbs)
    words = np.frombuffer(word.to_bytes(16, "little"), dtype="<u8").reshape(1, 2)
    table.run_lanes(words, g1_vector([G1]).limbs)
    return table_groups(table, [{"real": 1, "leaf": 0, "key": 1, "kx": p.x, "ky": p.y}])[0]


def table_groups(table: object, selectors: Sequence[dict[str, int]]) -> list[Group]:
    """All groups of a native table, under these selectors."""
    n = len(selectors)
    out = np.empty((17 * n * layout.WIDTH, 4), dtype=np.uint64)
    table.values(out)  # type: ignore[attr-defined]
    return [group_of(values, s) for values, s in zip(_vectors(out, n), selectors, strict=True)]


def _vectors(limbs: np.ndarray, groups: int) -> list[list[list[int]]]:
    flat = limb_rows(limbs)
    w = layout.WIDTH
    return [[flat[(v * groups + g) * w : (v * groups + g + 1) * w] for v in range(17)] for g in range(groups)]


def violations(group: Group, key: LeafKey, rows: Sequence[int] = range(90)) -> Counter[str]:
    """How often each constraint fails: by label, over the rows; `miller` is the Miller step."""
    bad: Counter[str] = Counter()
    key_cells = dict(zip(layout.KEY_CELLS, key.mu, strict=True))
    units = [[int(i == j) for j in range(12)] for i in range(6)]
    for s in rows:
        selectors = {n: v[s] if s < len(v) else 0 for n, v in layout.ROW_SELECTORS.items()}
        e = Environment(
            {n: v[s] for n, v in group.rows.items()},
            {n: v[s + 1] for n, v in group.rows.items()},
            group.cells,
            {n: c[s] for n, c in zip(layout.KEY_COLUMNS, key.columns, strict=True)} | key_cells,
            selectors | {"weight": 0},
            group.selectors,
        )
        if any(miller_step(e, unit, lambda x: x % Q) % Q for unit in units):
            bad["miller"] += 1
        for constraint in others(e):
            factor = 1 if constraint.selector is None else selectors[constraint.selector]
            if factor * constraint.value % Q:
                bad[constraint.label] += 1
    return bad
