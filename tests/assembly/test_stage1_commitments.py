"""Commitments of stage 1: what blinds them, what they are to, and what they cannot hide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stage1_samples import SampleKey, sample_key
from test_stage1_verify import ENTROPY, LEAF0, SHAPE, Cheat, assemble, leaves, refused

from prover_core.assembly import protocol
from prover_core.assembly.engine import engine
from prover_core.assembly.evaluation import opening_functional
from prover_core.assembly.grumpkin import add, multiply
from prover_core.assembly.leaf_key import leaf_key
from prover_core.assembly.prover import Assembly, AssemblyBuilder
from prover_core.assembly.shape import Shape
from prover_core.assembly.transcript import RareChallengeError, Transcript
from prover_core.assembly.verifier import _check_opening, verify_stage1
from prover_core.assembly.weights import eq_vector
from prover_core.errors import VerificationError
from prover_core.reference.field import limb_rows
from prover_core.types import Q


@pytest.fixture(scope="module")
def sample() -> SampleKey:
    return sample_key(2, 21)


@pytest.fixture(scope="module")
def assembly(sample: SampleKey) -> Assembly:
    """Two leaves in a shape of three."""
    return assemble(SHAPE, sample, 2)


def test_junk_in_a_blinding_row_is_harmless(sample: SampleKey) -> None:
    """Pitfall 14: rows 91 to 95 have no weight in any claim."""

    class Junk(Cheat):
        corrupt = staticmethod(lambda b: [b.change(v, LEAF0, row, 77 + row) for v in (0, 15) for row in range(91, 95)])

    builder = Junk(SHAPE, sample.vk)
    builder.extend(leaves(sample, 2))
    done = builder.finish(ENTROPY)
    verify_stage1(SHAPE, sample.vk, done.publics, done.proof)
    assert opening_functional([1] * 128, 3)[91:] == [0] * 5


def test_other_blinding_is_another_proof_of_the_same(sample: SampleKey, assembly: Assembly) -> None:
    builder = AssemblyBuilder(SHAPE, sample.vk)
    builder.extend(leaves(sample, 2))
    other = builder.finish(bytes(range(32)))
    assert other.statement == assembly.statement
    assert not set(other.proof.points) & set(assembly.proof.points)
    verify_stage1(SHAPE, sample.vk, other.publics, other.proof)


def test_commitments_are_to_the_table(sample: SampleKey) -> None:
    """The native sums against plain ones for one column."""
    builder = AssemblyBuilder(Shape(1, 2, 4), sample.vk)
    builder.extend(leaves(sample, 1))
    done = builder.finish(ENTROPY)
    groups = done.shape.groups
    out = np.empty((17 * groups * 96, 4), dtype=np.uint64)
    builder._table.values(out)
    values = limb_rows(out)
    points = engine().generator_points(4)
    for vector, committed in ((7, done.proof.columns[7]), (15, done.proof.columns[15]), (16, done.proof.points)):
        for block, commitment in enumerate(committed):
            total = None
            for part in range(4):
                g = 4 * block + part
                if g < groups:
                    row = values[(vector * groups + g) * 96 : (vector * groups + g + 1) * 96]
                    terms = list(zip(points[96 * part : 96 * part + 96], row, strict=True))
                    total = add(total, engine().sum(terms))
            assert total == commitment


def test_commitments_cannot_hold_the_value_generator(sample: SampleKey) -> None:
    """A column's commitment plus eta Q, and its claim less eta eq: refused because no functional has the weight 1."""
    eta = 987654321
    points: list[int] = []

    class Shifted(Cheat):
        def _commit(self, begin, end, blinds):  # type: ignore[no-untyped-def]
            out = super()._commit(begin, end, blinds)
            if begin:
                return out
            moved = add(out[0][0], multiply(engine().value_generator, eta))
            return ((moved, *out[0][1:]), *out[1:])

        def _sumcheck(self, t, challenges, claim):  # type: ignore[no-untyped-def]
            rounds, group_point, row_point, claims = super()._sumcheck(t, challenges, claim)
            points[:] = [*group_point, *row_point]
            eq_block = eq_vector(group_point[self.shape.chunk_bits :])[0]
            shifted = (claims.current[0] - eta * eq_block) % Q
            return rounds, group_point, row_point, replace(claims, current=(shifted, *claims.current[1:]))

    builder = Shifted(SHAPE, sample.vk)
    builder.extend(leaves(sample, 2))
    done = builder.finish(ENTROPY)
    assert refused(done, sample, done.proof) == "d"  # the claim is false; the opening alone must see it too
    t = Transcript(permutation=engine().permute)
    protocol.begin(t, SHAPE, done.statement)
    protocol.after_points(t, SHAPE, done.proof.points)
    protocol.after_columns(t, done.proof.columns, done.proof.words)
    for coefficients in done.proof.rounds:
        protocol.after_round(t, coefficients)
    bits = SHAPE.group_bits
    with pytest.raises(VerificationError) as caught:
        _check_opening(t, SHAPE, leaf_key(sample.vk, 2), done.proof, points[:bits], eq_vector(points[bits:]))
    assert caught.value.field == "e"


def test_a_refused_challenge_is_met_with_fresh_blinding(
    sample: SampleKey, assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pitfall 11: the prover begins again, with other commitments and from the same leaves."""
    drawn = protocol.after_claims
    refusals = [RareChallengeError("made up", field="transcript")]

    def rarely(t: Transcript, claims: protocol.Claims) -> protocol.OpeningChallenges:
        if refusals:
            raise refusals.pop()
        return drawn(t, claims)

    builder = AssemblyBuilder(SHAPE, sample.vk)
    builder.extend(leaves(sample, 2))
    monkeypatch.setattr(protocol, "after_claims", rarely)
    done = builder.finish(ENTROPY)
    assert not refusals
    assert done.statement == assembly.statement
    assert done.proof != assembly.proof
    verify_stage1(SHAPE, sample.vk, done.publics, done.proof)
