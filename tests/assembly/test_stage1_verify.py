"""Stage 1 end to end: honest assemblies verify; what is false, malformed or out of order is refused by its check.

The pitfalls of the study's design page, and where each is tested. In test_stage1_table: 1 A = O, 2 don't-care cells,
3 sums that restart, 7 zero denominators, 8 B's subgroup and curve equations, 9 exceptional additions, 15 padding,
16 degrees. Here and in test_stage1_grumpkin: 4 aliased publics, 5 order of the transcript, 10 points on the curve and
both coordinates, 11 canonical challenges, 12 and 13 next and leaf-row claims of all columns, 14 blinding rows, 17 the
key's commitments. 6 concerns the wrap's batched reductions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from stage1_samples import G1, SampleKey, g1, sample_key

from prover_core.assembly import layout, protocol
from prover_core.assembly.engine import engine
from prover_core.assembly.grumpkin import add, multiply, negate
from prover_core.assembly.leaf_key import leaf_key
from prover_core.assembly.protocol import Stage1Proof
from prover_core.assembly.prover import Assembly, AssemblyBuilder
from prover_core.assembly.shape import Shape
from prover_core.assembly.sumcheck import interpolate
from prover_core.assembly.transcript import Transcript
from prover_core.assembly.verifier import verify_stage1
from prover_core.errors import InvalidInputError, ProverError, VerificationError
from prover_core.groth16.keys import Proof
from prover_core.reference.curve import G2 as G2_GROUP
from prover_core.types import G1Point, G2Point, Q, R

ENTROPY = b"the blinding of these tests" + bytes(16)
SHAPE = Shape(leaves=3, publics=2, chunk=4)


@pytest.fixture(scope="module")
def sample() -> SampleKey:
    return sample_key(2, 21)


def leaves(sample: SampleKey, n: int) -> list[tuple[Proof, list[int]]]:
    publics = [[100 + i, R - 1 - i][: len(sample.ic) - 1] for i in range(n)]
    return [(sample.leaf(p, 30 + i), p) for i, p in enumerate(publics)]


def assemble(shape: Shape, sample: SampleKey, n: int) -> Assembly:
    builder = AssemblyBuilder(shape, sample.vk, threads=2)
    builder.extend(leaves(sample, n))
    return builder.finish(ENTROPY)


@pytest.fixture(scope="module")
def assembly(sample: SampleKey) -> Assembly:
    """Two leaves in a shape of three."""
    return assemble(SHAPE, sample, 2)


def refused(assembly: Assembly, sample: SampleKey, proof: Stage1Proof, shape: Shape | None = None) -> str:
    """The name of the check that refuses."""
    with pytest.raises(VerificationError) as caught:
        verify_stage1(shape or assembly.shape, sample.vk, assembly.publics, proof)
    return caught.value.field


@pytest.mark.parametrize(
    ("n", "shape"),
    [
        (1, Shape(1, 2, 2)),
        (1, Shape(3, 2, 4)),
        (2, Shape(2, 2, 8)),
        (3, Shape(3, 2, 2)),
        (8, Shape(8, 3, 4)),
        (10, Shape(10, 2, 16)),
    ],
)
def test_honest_assemblies_verify(sample: SampleKey, n: int, shape: Shape) -> None:
    done = assemble(shape, sample, n)
    statement = verify_stage1(shape, sample.vk, done.publics, done.proof)
    assert statement == done.statement
    assert statement.leaf_count == n
    assert statement.key_digest == leaf_key(sample.vk, shape.publics).digest


def test_one_by_one_is_the_same_as_together(sample: SampleKey, assembly: Assembly) -> None:
    builder = AssemblyBuilder(SHAPE, sample.vk)
    for proof, publics in leaves(sample, 2):
        builder.add(proof, publics)
    assert len(builder) == 2
    assert builder.finish(ENTROPY) == assembly


@pytest.mark.parametrize("n_public", [0, 1, 4])
def test_keys_with_other_numbers_of_publics(n_public: int) -> None:
    other = sample_key(n_public, 22 + n_public)
    shape = Shape(2, max(n_public, 1), 2)
    publics = [list(range(i, i + n_public)) for i in (0, 9)]
    builder = AssemblyBuilder(shape, other.vk)
    builder.extend([(other.leaf(p, 40 + i), p) for i, p in enumerate(publics)])
    done = builder.finish(ENTROPY)
    verify_stage1(shape, other.vk, publics, done.proof)


def test_equal_leaves_and_a_leaf_with_c_infinite(sample: SampleKey) -> None:
    leaf = (sample.leaf([1, 2], 5, c=0), [1, 2])
    builder = AssemblyBuilder(SHAPE, sample.vk)
    builder.extend([leaf, leaf])
    done = builder.finish(ENTROPY)
    verify_stage1(SHAPE, sample.vk, done.publics, done.proof)


class TestLeavesThatAreRefused:
    """By `extend`, which names the leaf and adds nothing."""

    @pytest.mark.parametrize("bad", [0, 5, 7])
    def test_a_forged_leaf_among_good_ones(self, sample: SampleKey, bad: int) -> None:
        builder = AssemblyBuilder(Shape(8, 2, 4), sample.vk)
        items = leaves(sample, 8)
        forged = [*items[:bad], (replace(items[bad][0], c=G1), items[bad][1]), *items[bad + 1 :]]
        with pytest.raises(VerificationError) as caught:
            builder.extend(forged)
        assert caught.value.field == f"leaves[{bad}]"
        assert len(builder) == 0
        builder.extend(items[:1])
        done = builder.finish(ENTROPY)
        verify_stage1(Shape(8, 2, 4), sample.vk, done.publics, done.proof)

    def test_publics_wrong_swapped_aliased_truncated(self, sample: SampleKey) -> None:
        builder = AssemblyBuilder(SHAPE, sample.vk)
        proof, (a, b) = leaves(sample, 1)[0]
        for wrong in ([a, b + 1 - R], [b, a], [0, 0]):
            with pytest.raises(VerificationError):
                builder.add(proof, [x % R for x in wrong])
        for malformed in ([a + R, b], [a, b + Q], [a], [a, b, 0], [], [-1, b]):
            with pytest.raises(InvalidInputError):
                builder.add(proof, malformed)

    def test_points(self, sample: SampleKey) -> None:
        builder = AssemblyBuilder(SHAPE, sample.vk)
        proof, publics = leaves(sample, 1)[0]
        off = G1Point(proof.a.x, (proof.a.y + 1) % Q)
        torsion = G2_GROUP.multiply(_on_twist(), R)
        bad = [
            replace(proof, a=off),
            replace(proof, c=off),
            replace(proof, a=G1Point(0, 0)),
            replace(proof, b=G2Point((0, 0), (0, 0))),
            replace(proof, a=G1Point(proof.a.x + Q, proof.a.y)),
            replace(proof, b=G2Point((proof.b.x[0], proof.b.x[1] + Q), proof.b.y)),
            replace(proof, b=G2_GROUP.add(proof.b, torsion)),
            replace(proof, b=G2Point(proof.b.x, (proof.b.y[0], (proof.b.y[1] + 1) % Q))),
        ]
        for forged in bad:
            with pytest.raises(VerificationError):
                builder.add(forged, publics)

    def test_a_leaf_for_another_key(self, sample: SampleKey) -> None:
        builder = AssemblyBuilder(SHAPE, sample_key(2, 99).vk)
        with pytest.raises(VerificationError):
            builder.extend(leaves(sample, 1))

    def test_limits(self, sample: SampleKey) -> None:
        builder = AssemblyBuilder(SHAPE, sample.vk)
        with pytest.raises(InvalidInputError):
            builder.finish(ENTROPY)
        with pytest.raises(InvalidInputError):
            builder.extend(leaves(sample, 4))
        builder.extend(leaves(sample, 1))
        with pytest.raises(InvalidInputError):
            builder.finish(b"short")
        builder.finish(ENTROPY)
        with pytest.raises(InvalidInputError):
            builder.add(*leaves(sample, 1)[0])

    def test_keys(self, sample: SampleKey) -> None:
        with pytest.raises(InvalidInputError):
            leaf_key(sample.vk, 1)
        infinite = replace(sample.vk, ic=(*sample.vk.ic[:2], G1Point(0, 0)))
        with pytest.raises(InvalidInputError):
            leaf_key(infinite, 2)
        outside = replace(sample.vk, delta2=_on_twist())
        with pytest.raises(InvalidInputError):
            leaf_key(outside, 2)


def _on_twist() -> G2Point:
    from test_stage1_table import on_twist

    return on_twist(4)


class TestStatements:
    """The verifier against statements other than the one proved."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda p: [[p[0][0] + 1, p[0][1]], p[1]],
            lambda p: [p[1], p[0]],
            lambda p: [p[0][::-1], p[1]],
            lambda p: [p[0]],
            lambda p: [*p, [0, 0]],
            lambda p: [*p, p[0]],
        ],
    )
    def test_other_publics(self, sample: SampleKey, assembly: Assembly, change: Callable[..., list[list[int]]]) -> None:
        publics = change([list(row) for row in assembly.publics])
        with pytest.raises(VerificationError) as caught:
            verify_stage1(SHAPE, sample.vk, publics, assembly.proof)
        assert caught.value.field == "b"

    @pytest.mark.parametrize(
        "change",
        [
            lambda p: [[p[0][0] + R, p[0][1]], p[1]],
            lambda p: [[p[0][0] + Q, p[0][1]], p[1]],
            lambda p: [p[0][:1], p[1]],
            lambda p: [[*p[0], 0], p[1]],
            lambda p: [],
            lambda p: p + p,
        ],
    )
    def test_malformed_publics(
        self, sample: SampleKey, assembly: Assembly, change: Callable[..., list[list[int]]]
    ) -> None:
        with pytest.raises(InvalidInputError):
            verify_stage1(SHAPE, sample.vk, change([list(row) for row in assembly.publics]), assembly.proof)

    def test_another_key(self, sample: SampleKey, assembly: Assembly) -> None:
        vk = replace(sample.vk, gamma2=sample.vk.delta2, delta2=sample.vk.gamma2)
        with pytest.raises(VerificationError) as caught:
            verify_stage1(SHAPE, vk, assembly.publics, assembly.proof)
        assert caught.value.field == "b"

    def test_another_shape(self, sample: SampleKey, assembly: Assembly) -> None:
        refused(assembly, sample, assembly.proof, Shape(3, 2, 8))
        assert refused(assembly, sample, assembly.proof, Shape(4, 2, 4)) == "b"

    def test_key_digests_bind_every_part(self, sample: SampleKey) -> None:
        """Pitfall 17: commitments follow from the key, and the digest from them and the points."""
        vk, key = sample.vk, leaf_key(sample.vk, 2)
        seen = {key.digest, leaf_key(vk, 3).digest}
        for other in (
            replace(vk, alpha1=vk.ic[0]),
            replace(vk, beta2=vk.gamma2),
            replace(vk, gamma2=vk.beta2),
            replace(vk, delta2=vk.beta2),
            replace(vk, ic=(vk.ic[1], vk.ic[0], vk.ic[2])),
        ):
            seen.add(leaf_key(other, 2).digest)
        assert len(seen) == 7
        for i, column in enumerate(key.columns):
            terms = list(zip(engine().generator_points(2), column, strict=False))
            assert engine().sum(terms) == key.commitments[i]


def changes(proof: Stage1Proof) -> Iterator[tuple[str, Stage1Proof]]:
    """(the check that must refuse, a proof with one message changed)"""
    q = engine().value_generator

    def moved(p: tuple[int, int]) -> tuple[int, int]:
        other = add(p, q)
        assert other is not None
        return other

    def put(items: tuple, at: int, value: object) -> tuple:
        return (*items[:at], value, *items[at + 1 :])

    for k, p in enumerate(proof.points):
        yield "b", replace(proof, points=put(proof.points, k, moved(p)))
        yield "b", replace(proof, points=put(proof.points, k, (p[0], R - p[1])))
    for i, column in enumerate(proof.columns):
        k = i % len(column)
        yield "c", replace(proof, columns=put(proof.columns, i, put(column, k, moved(column[k]))))
        yield "c", replace(proof, columns=put(proof.columns, i, put(column, k, negate(column[k]))))
    for j, word in enumerate(proof.words):
        yield "b", replace(proof, words=put(proof.words, j, word ^ 1 << (20 * j)))
    last = len(proof.rounds) - 1
    for i, coefficients in enumerate(proof.rounds):
        for j in range(len(coefficients)):
            changed = put(coefficients, j, (coefficients[j] + 1) % Q)
            yield "c", replace(proof, rounds=put(proof.rounds, i, changed))
    for i in (0, last - 7, last):
        # Two coefficients changed so that the round still adds up: the next one, or the last claim, does not.
        c = proof.rounds[i]
        changed = put(put(c, 2, (c[2] + 1) % Q), 3, (c[3] - 1) % Q)
        yield ("d" if i == last else "c"), replace(proof, rounds=put(proof.rounds, i, changed))
    for name in ("current", "next", "cells", "key_current", "key_next", "key_cells"):
        values = getattr(proof.claims, name)
        for i, value in enumerate(values):
            yield "de", replace(proof, claims=replace(proof.claims, **{name: put(values, i, (value + 1) % Q)}))
    m = len(proof.cross)
    for i in range(m):
        for k in range(m):
            changed = put(proof.cross, i, put(proof.cross[i], k, moved(proof.cross[i][k])))
            yield ("e" if i == k else "f"), replace(proof, cross=changed)
    for h in range(6):
        for k in range(6):
            row = proof.strip_cross[h]
            changed = put(proof.strip_cross, h, put(row, k, moved(row[k])))
            yield ("f" if h == k else "g"), replace(proof, strip_cross=changed)
    for j, value in enumerate(proof.final):
        yield "g", replace(proof, final=put(proof.final, j, (value + 1) % Q))


def test_every_message_changed_in_turn(sample: SampleKey, assembly: Assembly) -> None:
    count = 0
    for expected, proof in changes(assembly.proof):
        assert refused(assembly, sample, proof) in expected
        count += 1
    assert count > 270


def malformed(proof: Stage1Proof) -> Iterator[Stage1Proof]:
    """Messages that are no messages: points off the curve or not canonical, elements not below q, wrong counts."""
    (p, *rest) = proof.points
    x, y = p
    bad_points = [(x, (y + 1) % R), (x + R, y), (x, y + R), (x, y - R), (0, 0), (1, 2)]
    for bad in bad_points:
        yield replace(proof, points=(bad, *rest))
        yield replace(proof, columns=(*proof.columns[:5], (bad, *proof.columns[5][1:]), *proof.columns[6:]))
        yield replace(proof, cross=((bad, *proof.cross[0][1:]), *proof.cross[1:]))
        yield replace(proof, strip_cross=((bad, *proof.strip_cross[0][1:]), *proof.strip_cross[1:]))
    c = proof.claims
    for value in (Q, -1, c.current[0] + Q, 1 << 254):
        yield replace(proof, claims=replace(c, current=(value, *c.current[1:])))
        yield replace(proof, rounds=((value, *proof.rounds[0][1:]), *proof.rounds[1:]))
        yield replace(proof, final=(value, *proof.final[1:]))
    yield replace(proof, words=(1 << 128, *proof.words[1:]))
    yield replace(proof, words=(-1, *proof.words[1:]))
    for name in ("points", "columns", "words", "rounds", "cross", "strip_cross", "final"):
        items = getattr(proof, name)
        yield replace(proof, **{name: items[1:]})
        yield replace(proof, **{name: (*items, items[-1])})
    yield replace(proof, rounds=((*proof.rounds[0], 0), *proof.rounds[1:]))
    yield replace(proof, claims=replace(c, cells=c.cells[1:]))
    yield replace(proof, columns=(proof.columns[0][1:], *proof.columns[1:]))


def test_malformed_messages(sample: SampleKey, assembly: Assembly) -> None:
    """Check a refuses them by the name of the message."""
    for proof in malformed(assembly.proof):
        assert refused(assembly, sample, proof).split("[")[0] in (
            *("points", "columns", "words", "rounds", "claims", "cross", "strip_cross", "final"),
        )


class Recorder(Transcript):
    """Notes what is absorbed before each squeeze."""

    def __init__(self) -> None:
        super().__init__(permutation=engine().permute)
        self.segments: list[list[int]] = [[]]
        self.states: list[tuple[list[int], int]] = [(list(self._state), 0)]

    def absorb(self, elements) -> None:  # type: ignore[no-untyped-def]
        listed = list(elements)
        self.segments[-1] += listed
        super().absorb(listed)

    def squeeze(self) -> int:
        before = self._absorbed
        out = super().squeeze()
        if before:
            self.segments.append([])
            self.states.append((list(self._state), 0))
        return out


def test_no_absorbed_item_can_be_left_out(sample: SampleKey, assembly: Assembly) -> None:
    """Pitfalls 5 and 10: each of them changes the challenges drawn next, and so does leaving it out."""
    t = Recorder()
    shape, proof = assembly.shape, assembly.proof
    protocol.begin(t, shape, assembly.statement)
    protocol.after_points(t, shape, proof.points)
    protocol.after_columns(t, proof.columns, proof.words)
    for coefficients in proof.rounds:
        protocol.after_round(t, coefficients)
    protocol.after_claims(t, proof.claims)
    protocol.after_cross(t, shape, proof.cross)
    protocol.after_strip_cross(t, proof.strip_cross)
    messages = 2 + len(proof.rounds) + 3
    assert len(t.segments) == messages + 1
    assert not t.segments[-1]
    k, m = shape.blocks, shape.chunk
    assert [len(s) for s in t.segments[:2]] == [6 + 2 * k, 32 * k + -(-128 * shape.key_lanes // 253)]
    assert [len(s) for s in t.segments[-4:-1]] == [-(-254 * 87 // 253), 2 * m * m, 72]
    items = 0
    for segment, (state, _) in zip(t.segments, t.states, strict=False):
        if not segment:
            continue

        def drawn(elements: list[int], state: list[int] = state) -> int:
            fresh = Transcript(permutation=engine().permute)
            fresh._state = list(state)
            fresh.absorb(elements)
            return fresh.squeeze()

        honest = drawn(segment)
        for i, x in enumerate(segment):
            items += 1
            assert drawn([*segment[:i], *segment[i + 1 :]]) != honest or x == 0 == segment[-1]
            assert drawn([*segment[:i], (x + 1) % R, *segment[i + 1 :]]) != honest
    assert items > 300


class Cheat(AssemblyBuilder):
    """A prover that corrupts its table, commits to that, and lets every sumcheck round add up (p(1) always follows from
    the claim and p(0)), so that only the last check stands between it and a false statement."""

    corrupt: Callable[[Cheat], None] = staticmethod(lambda b: None)

    def _run_lanes(self, words) -> None:  # type: ignore[no-untyped-def]
        with suppress(VerificationError):
            super()._run_lanes(words)
        type(self).corrupt(self)

    def change(self, vector: int, group: int, row: int, value: int) -> None:
        from prover_core.reference.field import to_limbs

        self._table.set_value(vector, group, row, to_limbs([value % Q]))


LEAF0 = SHAPE.key_lanes


def _corruptions() -> dict[str, Callable[[Cheat], None]]:
    cell = layout.CELL_PLACE
    return {
        "nothing": lambda b: None,
        "a Miller value": lambda b: b.change(3, LEAF0, 40, 5),
        "the end": lambda b: b.change(*_place(cell["end2"], LEAF0 + 1), 7),
        "the running sum": lambda b: b.change(*_place(cell["sx"], LEAF0), 1),
        "a digit of a key lane": lambda b: b.change(15, 2, 5, 2),
        "a leaf's digit": lambda b: b.change(15, LEAF0, 63, 3),
        "X": lambda b: b.change(16, LEAF0, 89, 1),
        "another row of the point vector": lambda b: b.change(16, LEAF0, 5, 1),
        "rows 89 and 90 of a column": lambda b: b.change(0, LEAF0, 90, 1),
        "the unused cell": lambda b: b.change(15, LEAF0, 88, 1),
        "a padding group": lambda b: b.change(*_place(cell["sx"], LEAF0 + 2), 1),
        "T's last step": lambda b: b.change(6, LEAF0, 86, 1),
    }


def _place(column_row: tuple[int, int], group: int) -> tuple[int, int, int]:
    return column_row[0], group, column_row[1]


@pytest.mark.parametrize("name", list(_corruptions()))
def test_a_cheating_sumcheck_prover(sample: SampleKey, name: str) -> None:
    class Corrupt(Cheat):
        corrupt = staticmethod(_corruptions()[name])

    builder = Corrupt(SHAPE, sample.vk)
    builder.extend(leaves(sample, 2))
    done = builder.finish(ENTROPY)
    if name == "nothing":
        verify_stage1(SHAPE, sample.vk, done.publics, done.proof)
        return
    # What the constraints read fails at the last claim. Places they do not read must be opened as 0, and so must
    # padding, over which the native prover does not sum.
    unread = ("another row of the point vector", "rows 89 and 90 of a column", "the unused cell", "a padding group")
    assert refused(done, sample, done.proof) == ("e" if name in unread else "d")


def test_publics_that_a_valid_leaf_does_not_have(sample: SampleKey) -> None:
    """The leaves are valid, for other publics than the statement's: only the batched check of X sees it."""
    builder = Cheat(SHAPE, sample.vk)
    builder.extend(leaves(sample, 2))
    builder._leaves[1] = replace(builder._leaves[1], publics=(101, 4))
    done = builder.finish(ENTROPY)
    assert done.publics[1] == (101, 4)
    assert refused(done, sample, done.proof) == "d"


def test_interpolation() -> None:
    coefficients = [5, 0, Q - 3, 7, 1, 2, 9]
    values = [sum(c * x**i for i, c in enumerate(coefficients)) % Q for x in range(7)]
    assert interpolate(values) == coefficients


def test_multiples_of_the_key_points(sample: SampleKey) -> None:
    points = leaf_key(sample.vk, 3).points
    assert len(points) == 8
    for j, k in enumerate((*sample.ic, 1)):
        low, high = g1(-k, -k << 64)
        assert points[2 * j : 2 * j + 2] == ((low.x, low.y), (high.x, high.y))
    assert multiply((1, 17631683881184975370165255887551781615748388533673675138860), 1) is not None


def test_errors_are_ours(sample: SampleKey, assembly: Assembly) -> None:
    assert issubclass(VerificationError, ProverError)
    with pytest.raises(InvalidInputError):
        verify_stage1(Shape(3, 1, 4), sample.vk, assembly.publics, assembly.proof)
