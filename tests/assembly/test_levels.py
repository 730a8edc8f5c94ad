"""What a proof over assemblies says about the leaves at the bottom, and what a prover may not leave unsaid.

The wraps here are keys whose secrets are known: they "prove" any statement, so that what refuses is the check named,
and not the wrap. `test_wrap_levels` does the same with real ones.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from stage1_samples import BACKEND, SampleKey, g1, g2, sample_key

from prover_core.assembly import Chain, Contents, Shape, assembly_publics, verify_assembly, verify_levels
from prover_core.assembly.leaf_key import leaf_key
from prover_core.errors import InvalidInputError, VerificationError
from prover_core.groth16 import Proof, verify
from prover_core.types import G1Point, Q, R

LOWER, UPPER = Shape(3, 2, 4), Shape(2, 3, 4)
ROWS = ((7, 5), (9, 7))
"""Each begins where the one before ends, as (out, into)."""


@cache
def wrap() -> SampleKey:
    return sample_key(3, 31)


@cache
def leaf() -> SampleKey:
    return sample_key(2, 32)


@cache
def attacker() -> SampleKey:
    return sample_key(2, 33)


def inside(key: SampleKey, rows: tuple[tuple[int, ...], ...] = ROWS) -> Contents:
    return Contents(LOWER, key.vk, rows)


def over(*leaves: Contents | tuple[int, ...], key: SampleKey | None = None) -> Contents:
    return Contents(UPPER, (key or wrap()).vk, leaves)


def proof_of(contents: Contents) -> Proof:
    """By the wrap whose secrets are known."""
    return wrap().leaf(contents.publics(), 5)


def refused(contents: Contents, proof: Proof) -> tuple[str, str]:
    with pytest.raises(VerificationError) as caught:
        verify_levels(wrap().vk, contents, proof, BACKEND, keys=[leaf().vk])
    return caught.value.field, str(caught.value)


def test_publics_of_levels_are_those_of_each() -> None:
    honest = over(inside(leaf()), inside(leaf(), ROWS[:1]))
    rows = [assembly_publics(LOWER, leaf().vk, rows) for rows in (ROWS, ROWS[:1])]
    assert honest.publics() == assembly_publics(UPPER, wrap().vk, rows)
    assert [publics for _, publics in honest.bottom()] == [*ROWS, ROWS[0]]
    assert {vk.digest for vk, _ in honest.bottom()} == {leaf().vk.digest}
    verify_levels(wrap().vk, honest, proof_of(honest), BACKEND, keys=[leaf().vk])
    # Three levels, and a last one that is no assembly of assemblies.
    third = over(honest, honest)
    verify_levels(wrap().vk, third, proof_of(third), BACKEND, keys=[leaf().vk])
    assert len(list(third.bottom())) == 6
    one = inside(leaf())
    verify_levels(wrap().vk, one, proof_of(one), BACKEND, keys=[leaf().vk])


@pytest.mark.parametrize(
    "other",
    [
        inside(leaf(), ((7, 5), (9, 8))),
        inside(leaf(), ROWS[::-1]),
        inside(leaf(), ROWS[:1]),
        inside(leaf(), (*ROWS, (0, 0))),
        Contents(Shape(3, 3, 4), leaf().vk, ROWS),
    ],
    ids=["a public", "order", "fewer", "a leaf of zeros", "another number of publics"],
)
def test_other_contents_have_other_publics(other: Contents) -> None:
    proof = proof_of(over(inside(leaf()), inside(leaf())))
    assert refused(over(inside(leaf()), other), proof) == ("proof", "the proof does not verify")


def test_an_inner_assembly_over_any_key_makes_a_true_row() -> None:
    """One level shows that the row is an assembly's, over whatever key; opened, it is the expected key's or refused."""
    mixed = over(inside(leaf()), inside(attacker(), ((10**30, 1), (2, 10**30))))
    proof, rows = proof_of(mixed), [contents.publics() for contents in mixed.leaves if isinstance(contents, Contents)]
    verify_assembly(wrap().vk, wrap().vk, rows, proof, UPPER, BACKEND)
    field, said = refused(over(inside(leaf()), rows[1]), proof)
    assert (field, said) == ("leaves[1]", "an assembly whose own leaves are not given")
    assert refused(over(inside(leaf()), inside(leaf(), ((10**30, 1), (2, 10**30)))), proof)[0] == "proof"
    assert refused(mixed, proof) == ("leaves[1].leaves[0]", "a leaf under an unexpected key")
    verify_levels(wrap().vk, mixed, proof, BACKEND, keys=[leaf().vk, attacker().vk])


def test_inner_wraps_are_trusted_ones() -> None:
    """A wrap key of the prover's own proves anything of its leaves, and looks like any other key."""
    forged = sample_key(3, 34)
    contents = over(inside(leaf()), key=forged)
    proof = proof_of(contents)
    assert refused(contents, proof) == ("leaves[0]", "an assembly under a key that is not a trusted wrap's")
    verify_levels(wrap().vk, contents, proof, BACKEND, keys=[leaf().vk], inner=[forged.vk])
    deep = over(over(inside(leaf()), key=forged))
    assert refused(deep, proof_of(deep))[0] == "leaves[0].leaves[0]"


def test_a_key_in_disguise_is_not_expected() -> None:
    """(k alpha, beta / k) admits the same proofs and has the same digest in the statement; so has a key with a public
    signal built in. Rows under them are no leaves: keys are expected by their points."""
    k, row = 12345, inside(attacker()).publics()
    vk, proof = wrap().vk, proof_of(over(inside(attacker())))
    disguised = replace(vk, alpha1=g1(wrap().alpha * k)[0], beta2=g2(wrap().beta * pow(k, -1, R))[0])
    assert leaf_key(disguised, 3).digest == leaf_key(vk, 3).digest
    verify_assembly(vk, disguised, [row], proof, UPPER, BACKEND)
    assert refused(Contents(UPPER, disguised, (row,)), proof) == ("leaves[0]", "a leaf under an unexpected key")
    first = wrap().ic[0] + row[2] * wrap().ic[3]
    narrow = replace(vk, ic=(g1(first)[0], *vk.ic[1:3]))
    verify(narrow, wrap().leaf(row, 6), row[:2], BACKEND)
    assert refused(Contents(UPPER, narrow, (row[:2],)), proof) == ("leaves[0]", "a leaf under an unexpected key")


@pytest.mark.parametrize("name", ["alpha1", "ic"])
def test_a_key_with_other_names_for_its_points_is_refused(name: str) -> None:
    """x + q is x in the field, and would be a second encoding of the same key digest."""
    vk = wrap().vk
    p = vk.alpha1 if name == "alpha1" else vk.ic[1]
    alias = G1Point(p.x + Q, p.y)
    changed = replace(vk, alpha1=alias) if name == "alpha1" else replace(vk, ic=(vk.ic[0], alias, *vk.ic[2:]))
    with pytest.raises(InvalidInputError, match="not a point of its group"):
        leaf_key(changed, 3)


def test_places_and_chunk_are_not_part_of_the_statement() -> None:
    """They say how it was proved. A wrong one is either the same statement or an other; never a false one."""
    honest = inside(leaf()).publics()
    for shape in (Shape(3, 2, 2), Shape(3, 2, 8), Shape(2, 2, 4), Shape(8, 2, 4)):
        assert Contents(shape, leaf().vk, ROWS).publics() == honest
    for shape in (Shape(9, 2, 4), Shape(3, 3, 4)):  # a further block of zeros; other lanes of the key
        assert Contents(shape, leaf().vk, ROWS).publics() != honest


def test_chains_within_and_between() -> None:
    chain = Chain(out=0, into=1)
    chained = replace(inside(leaf()), chain=chain)
    assert chained.publics()[3:] == (5, 9)
    wide = sample_key(5, 35)
    outer = Contents(Shape(2, 5, 4), wide.vk, (chained, replace(inside(leaf(), ((3, 9),)), chain=chain)), Chain(4, 3))
    assert outer.publics()[3:] == (5, 3)
    with pytest.raises(InvalidInputError, match="does not begin"):
        replace(outer, leaves=outer.leaves[::-1]).publics()
    with pytest.raises(InvalidInputError, match="does not begin"):
        replace(chained, leaves=ROWS[::-1]).publics()
    with pytest.raises(InvalidInputError, match="its key 3"):
        over(chained).publics()
