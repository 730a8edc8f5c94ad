"""The table of stage 1: honest groups satisfy every constraint, and each forgery fails the one that is there for it."""

from __future__ import annotations

import random

import pytest
from stage1_samples import (
    G1,
    LEAF,
    PADDING,
    Group,
    SampleKey,
    g1,
    group_of,
    lane_group,
    sample_key,
    trace,
    violations,
)

from prover_core.assembly import layout
from prover_core.assembly.constraints import (
    GROUP_DEGREE,
    ROW_DEGREE,
    Environment,
    Weights,
    combined,
    miller_step,
    others,
    twist_b,
)
from prover_core.assembly.leaf_key import LeafKey, leaf_key
from prover_core.groth16.keys import Proof
from prover_core.reference.curve import G1 as G1_GROUP
from prover_core.reference.curve import G2 as G2_GROUP
from prover_core.reference.tower import Fq2
from prover_core.types import G1Point, G2Point, Q, R

ALIKE = [0, 1, 2, 3, 40, 62, 63, 64, 84, 85, 86, 87, 88, 89]
"""Rows of every kind."""
COFACTOR = 2 * Q - R


@pytest.fixture(scope="module")
def sample() -> SampleKey:
    return sample_key(2, 1)


@pytest.fixture(scope="module")
def key(sample: SampleKey) -> LeafKey:
    return leaf_key(sample.vk, 2)


@pytest.fixture(scope="module")
def proof(sample: SampleKey) -> Proof:
    return sample.leaf([5, 7], 11)


@pytest.fixture(scope="module")
def x(sample: SampleKey) -> G1Point:
    return g1(sample.ic[0] + 5 * sample.ic[1] + 7 * sample.ic[2])[0]


@pytest.fixture
def honest(key: LeafKey, proof: Proof, x: G1Point) -> Group:
    return trace(key, proof.a, proof.b, proof.c, x)


def on_twist(seed: int) -> G2Point:
    """A point of the whole twist, almost surely outside the subgroup."""
    rng = random.Random(seed)
    while True:
        x = Fq2(rng.randrange(Q), rng.randrange(Q))
        y = (x * x * x + Fq2(*twist_b())).sqrt()
        if y is not None:
            return G2Point((x.a, x.b), (y.a, y.b))


def test_an_honest_leaf_satisfies_everything(honest: Group, key: LeafKey) -> None:
    assert not violations(honest, key)


def test_key_lanes_and_padding_satisfy_everything(key: LeafKey) -> None:
    x, y = key.points[3]
    assert not violations(lane_group(G1Point(x, y), 0x0123456789ABCDEF0123456789ABCDEF), key)
    empty = group_of([[0] * layout.WIDTH for _ in range(17)], dict(PADDING))
    assert not violations(empty, key)


def test_a_leaf_with_c_at_infinity_is_legitimate(sample: SampleKey, key: LeafKey, x: G1Point) -> None:
    leaf = sample.leaf([5, 7], 12, c=0)
    assert leaf.c.is_infinity
    assert not violations(trace(key, leaf.a, leaf.b, leaf.c, x), key)


def test_cells_that_nobody_uses_may_hold_anything(honest: Group, key: LeafKey) -> None:
    """Pitfall 2: active rows read no cell outside a column's own rows."""
    rng = random.Random(3)
    lane = lane_group(G1Point(*key.points[0]), 1 << 100)
    for group in (honest, lane):
        for name, column in group.rows.items():
            used = layout.LANE_ROWS if name in layout.LANE_COLUMNS else layout.LOOP_ROWS + (name[0] == "f")
            for s in range(used if group is honest or name in layout.LANE_COLUMNS else 0, len(column)):
                column[s] = rng.randrange(Q)
        bad = violations(group, key, range(95))
        if group is lane:  # without a leaf's cells its junk Miller rows mean nothing, but they must not reach the lane
            bad = violations(lane_only(group), key, range(95))
        assert not bad


def lane_only(group: Group) -> Group:
    """The group with its Miller columns at zero."""
    rows = {n: [0] * len(c) if n in layout.MILLER_COLUMNS else c for n, c in group.rows.items()}
    return Group(rows, group.cells, group.selectors)


@pytest.mark.parametrize("which", ["A", "B", "C", "X"])
def test_a_forged_leaf_has_no_residue_witness(key: LeafKey, proof: Proof, x: G1Point, which: str) -> None:
    a, b, c = proof.a, proof.b, proof.c
    if which == "A":
        a = G1_GROUP.add(a, G1)
    elif which == "B":
        b = G2_GROUP.add(b, G2_GROUP.generator)
    elif which == "C":
        c = G1_GROUP.add(c, G1)
    else:
        x = G1_GROUP.add(x, G1)
    assert set(violations(trace(key, a, b, c, x), key)) == {"end"}


def test_a_witness_of_another_leaf_does_not_help(sample: SampleKey, key: LeafKey, x: G1Point, honest: Group) -> None:
    leaf = sample.leaf([5, 8], 13)
    forged = trace(key, leaf.a, leaf.b, leaf.c, x)
    for i in range(6):
        forged.cells[f"c{i}"], forged.cells[f"end{i}"] = honest.cells[f"c{i}"], honest.cells[f"end{i}"]
        forged.rows[f"f{i}"] = honest.rows[f"f{i}"]
    assert set(violations(forged, key, ALIKE)) == {"miller"}


def test_a_leaf_for_another_key(key: LeafKey, x: G1Point) -> None:
    """Traced with its own key's lines, it fails under this one."""
    other = sample_key(2, 2)
    leaf = other.leaf([5, 7], 14)
    own = leaf_key(other.vk, 2)
    x_own = g1(other.ic[0] + 5 * other.ic[1] + 7 * other.ic[2])[0]
    group = trace(own, leaf.a, leaf.b, leaf.c, x_own)
    assert not violations(group, own, ALIKE)
    assert set(violations(group, key, ALIKE)) == {"miller", "start"}


def test_the_all_zero_witness_means_one(honest: Group, key: LeafKey) -> None:
    for i in range(6):
        honest.cells[f"c{i}"] = honest.cells[f"end{i}"] = 0
        honest.rows[f"f{i}"] = [0] * layout.WIDTH
    assert set(violations(honest, key, ALIKE)) == {"miller", "start"}


@pytest.mark.parametrize("order", [10069, 5864401, 0])
def test_b_outside_the_subgroup(key: LeafKey, proof: Proof, x: G1Point, order: int) -> None:
    """Pitfall 8: T = -psi^3(B) at the last row, for random points and for a valid B plus small torsion."""
    b = on_twist(order)
    if order:
        b = G2_GROUP.multiply(b, R * COFACTOR // order)
        assert not b.is_infinity
        b = G2_GROUP.add(proof.b, b)
    bad = violations(trace(key, proof.a, b, proof.c, x), key)
    assert bad["next x"] >= 1
    assert bad["next y"] >= 1
    assert set(bad) == {"next x", "next y", "end"}


def test_b_off_the_twist(honest: Group, key: LeafKey) -> None:
    honest.cells["by0"] = (honest.cells["by0"] + 1) % Q
    assert "B on twist" in violations(honest, key, [0])
    assert "T = B" in violations(honest, key, [0])


def test_a_at_infinity_degenerates_the_twist_and_is_refused(honest: Group, key: LeafKey) -> None:
    """Pitfall 1: with px = py = 0 every cuspidal B passes the scaled twist; only py ipy = 1 stands in the way."""
    cells = honest.cells
    cells["px"] = cells["py"] = cells["ipy"] = 0
    cells["kap"] = Q - 1
    root = Fq2(12345, 678)
    square = root * root
    cube = square * root
    cells["bx0"], cells["bx1"], cells["by0"], cells["by1"] = square.a, square.b, cube.a, cube.b
    bad = violations(honest, key, [0])
    assert "B on twist" not in bad
    assert "A on curve" not in bad
    assert "A not infinity" in bad


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ("px", "A on curve"),
        ("kap", "chart of A"),
        ("ipy", "A not infinity"),
        ("cx", "C on curve"),
        ("cy", "C on curve"),
        ("xx", "chart of X"),
        ("xy", "chart of X"),
        ("X", "X on curve"),
        ("Y", "X on curve"),
        ("lm", "lane m"),
        ("lyd", "lane yd"),
        ("lt", "lane tangent"),
        ("sg", "sum slope"),
        ("sx", "sums apart"),
        ("sy", "sum slope"),
        ("isd", "sums apart"),
        ("end3", "end"),
        ("c2", "start"),
        ("bx1", "T = B"),
    ],
)
def test_every_cell_is_held(honest: Group, key: LeafKey, cell: str, label: str) -> None:
    honest.cells[cell] = (honest.cells[cell] + 1) % Q
    assert label in violations(honest, key, [0])


@pytest.mark.parametrize("column", layout.COLUMNS)
def test_every_row_is_held(honest: Group, key: LeafKey, column: str) -> None:
    """A change anywhere in a column's own rows is seen in that row or the one before."""
    last = layout.LANE_ROWS if column in layout.LANE_COLUMNS else layout.LOOP_ROWS
    for s in (0, 1, 31, last - 2, last - 1):
        value = honest.rows[column][s]
        honest.rows[column][s] = (value + 1) % Q
        assert violations(honest, key, [r for r in (s - 1, s) if r >= 0]), (column, s)
        honest.rows[column][s] = value


@pytest.mark.parametrize("digit", [0, 2, 5, Q - 2])
def test_digits_are_one_of_four(honest: Group, key: LeafKey, digit: int) -> None:
    honest.rows["digit"][10] = digit
    assert violations(honest, key, [10])["digit"] == 1


def test_equal_sums_leave_no_free_slope(honest: Group, key: LeafKey) -> None:
    """Pitfalls 7 and 9: where the running sum equals the product the slope would be free; the row is unsatisfiable."""
    e = honest
    l1, l2, d = e.rows["l1"][0], e.rows["l2"][0], e.rows["digit"][0]
    from prover_core.assembly.constraints import product_x

    env = Environment({n: v[0] for n, v in e.rows.items()}, {}, e.cells, {}, {}, e.selectors)
    assert (l1, l2, d) == (env.current["l1"], env.current["l2"], env.current["digit"])
    e.cells["sx"], e.cells["sy"] = product_x(env) % Q, e.rows["ly"][0]
    for slope in (0, 1, 12345):
        e.cells["sg"] = slope
        for inverse in (0, 1, Q - 1):
            e.cells["isd"] = inverse
            assert set(violations(e, key, [0])) == {"sums apart"}


def test_running_sums_do_not_restart(key: LeafKey) -> None:
    """Pitfall 3: a padding group cannot bring a sum of its own."""
    empty = group_of([[0] * layout.WIDTH for _ in range(17)], dict(PADDING))
    empty.cells["sx"], empty.cells["sy"] = 1, 2
    assert violations(empty, key, [0])["sum in padding"] == 2


def test_a_key_lane_multiplies_its_own_point(key: LeafKey) -> None:
    group = lane_group(G1Point(*key.points[0]), 77)
    group.selectors |= {"kx": key.points[2][0], "ky": key.points[2][1]}
    assert violations(group, key, [0]) == {"key point": 2}


def test_padding_cannot_pose_as_a_leaf(key: LeafKey) -> None:
    """Pitfall 15: zeros satisfy a padding group only; the selectors follow the public leaf count."""
    empty = group_of([[0] * layout.WIDTH for _ in range(17)], dict(LEAF))
    assert {"A not infinity", "chart of X", "digit", "sums apart"} <= set(violations(empty, key, [0, 5]))


class Degree:
    """A polynomial's degrees in the group's and in the row's variables."""

    def __init__(self, group: int, row: int) -> None:
        self.group, self.row = group, row

    def __add__(self, o: Degree | int) -> Degree:
        return self if isinstance(o, int) else Degree(max(self.group, o.group), max(self.row, o.row))

    __radd__ = __sub__ = __rsub__ = __add__

    def __neg__(self) -> Degree:
        return self

    def __mul__(self, o: Degree | int) -> Degree:
        return self if isinstance(o, int) else Degree(self.group + o.group, self.row + o.row)

    __rmul__ = __mul__


def test_degrees() -> None:
    """Pitfall 16: the degrees that the verifier has fixed are those of the polynomial."""
    e = Environment(
        *({n: Degree(1, 1) for n in layout.COLUMNS} for _ in range(2)),
        {n: Degree(1, 0) for n in (*layout.CELLS, *layout.POINT)},
        {n: Degree(0, 1) for n in layout.KEY_COLUMNS} | {n: Degree(0, 0) for n in layout.KEY_CELLS},
        {n: Degree(0, 1) for n in (*layout.ROW_SELECTORS, "weight")},
        {n: Degree(1, 0) for n in layout.GROUP_SELECTORS},
    )
    free = Degree(0, 0)
    total = combined(e, Weights([free] * 5, [free] * 12, free, [free] * 2, free))
    assert (total.group, total.row) == (GROUP_DEGREE, ROW_DEGREE)


def test_combined_is_the_weighted_sum(honest: Group, key: LeafKey) -> None:
    """The polynomial of the sumcheck against the list of constraints, at values that satisfy nothing."""
    rng = random.Random(9)
    e = Environment(
        *({n: rng.randrange(Q) for n in layout.COLUMNS} for _ in range(2)),
        {n: rng.randrange(Q) for n in (*layout.CELLS, *layout.POINT)},
        {n: rng.randrange(Q) for n in (*layout.KEY_COLUMNS, *layout.KEY_CELLS)},
        {n: rng.randrange(Q) for n in (*layout.ROW_SELECTORS, "weight")},
        {n: rng.randrange(Q) for n in layout.GROUP_SELECTORS},
    )
    beta, gamma = [rng.randrange(Q) for _ in range(5)], [rng.randrange(Q) for _ in range(12)]
    total = beta[0] * miller_step(e, gamma)
    for j, c in enumerate(others(e), start=6):
        total += beta[j // 12] * gamma[j % 12] * c.value * (1 if c.selector is None else e.row[c.selector])
    assert len(others(e)) + 6 <= 60
    assert (combined(e, Weights(beta, gamma, 0, (0, 0), 0), lambda x: x % Q) - total) % Q == 0
