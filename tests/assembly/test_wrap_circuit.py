"""The wrap as a circuit: it accepts what stage 1's verifier accepts, refuses every change, and says by which check."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from test_stage1_verify import SHAPE as STAGE1_SHAPE
from test_stage1_verify import Cheat, _corruptions, changes
from wrap_support import assembled, circuit, inputs_of, leaves, outcome

from prover_core.assembly import layout
from prover_core.assembly.engine import engine
from prover_core.assembly.protocol import Claims, Statement, publics_digest
from prover_core.assembly.prover import Assembly, AssemblyBuilder
from prover_core.assembly.shape import Shape, fitting
from prover_core.assembly.transcript import PUBLICS_DOMAIN, Transcript
from prover_core.assembly.verifier import verify_stage1
from prover_core.circuit.gadgets.grumpkin_tables import hash_to_curve
from prover_core.circuit.gadgets.limbs import LIMBS
from prover_core.errors import UnsatisfiedError, VerificationError
from prover_core.types import Q, R

SHAPE = Shape(leaves=3, publics=2, chunk=4)
COUNT = 2
"""One place is left empty: padding."""


def honest() -> dict[str, Any]:
    return inputs_of(assembled(SHAPE, COUNT), leaves(COUNT).vk)


def changed(name: str, place: int, change: Callable[[int], int]) -> dict[str, Any]:
    inputs = copy.copy(honest())
    value = inputs[name]
    if isinstance(value, list):
        value = list(value)
        value[place] = change(value[place]) % R
        inputs[name] = value
    else:
        inputs[name] = change(value) % R
    return inputs


def test_an_honest_proof_is_accepted() -> None:
    assert outcome(SHAPE, honest()) is None
    full = assembled(SHAPE, 3)
    assert outcome(SHAPE, inputs_of(full, leaves(3).vk)) is None


@pytest.mark.parametrize("shape", [Shape(8, 2, 8), Shape(1, 0, 2), Shape(1, 3, 8)], ids=str)
def test_stage_1_of_few_leaves_in_wide_chunks(shape: Shape) -> None:
    """One leaf where a chunk has more parts than there are lanes and leaves: no cross term is the identity."""
    if shape.publics:
        source = leaves(1)
        builder = AssemblyBuilder(shape, source.vk)
        builder.extend(source.items)
        done = builder.finish(b"entropy of tests" * 2)
        assert verify_stage1(shape, source.vk, done.publics, done.proof).leaf_count == 1
    assert shape.chunk <= shape.groups
    assert fitting(shape.leaves, shape.publics).chunk <= shape.groups


def test_size_of_the_circuit() -> None:
    """The goal is at most 500,000 rows at 64 leaves; this small shape shares all but some 140,000 of them."""
    built, _ = circuit(SHAPE)
    assert built.compiled.r1cs.n_constraints < 345_000
    assert sum(built.account.rows.values()) <= built.compiled.r1cs.n_constraints


POINTS = ["key_commitments", "points", "columns", "cross", "strip_cross"]
VALUES = ["rounds", "kernel_inverse", *(f"claims_{part}" for part in Claims.__dataclass_fields__)]


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("place", ["first", "last"])
def test_points_must_be_on_the_curve_and_the_right_ones(name: str, place: str) -> None:
    at = 0 if place == "first" else len(honest()[name]) - 2
    off = outcome(SHAPE, changed(name, at, lambda x: x + 1))
    assert off is not None
    assert "is on Grumpkin" in off
    other = hash_to_curve("some other point")
    inputs = copy.copy(honest())
    inputs[name] = [*inputs[name][:at], *other, *inputs[name][at + 2 :]]
    assert outcome(SHAPE, inputs) is not None
    inputs = copy.copy(honest())
    flipped = R - inputs[name][at + 1]
    inputs[name] = [*inputs[name][: at + 1], flipped, *inputs[name][at + 2 :]]
    assert outcome(SHAPE, inputs) is not None


@pytest.mark.parametrize("name", VALUES)
def test_every_value_is_bound_and_in_range(name: str) -> None:
    """The lowest limb of one, and limbs too long that make up the same number."""
    size = len(honest()[name])
    for place in (0, size - LIMBS):
        assert outcome(SHAPE, changed(name, place, lambda x: x ^ 1)) is not None
        inputs = changed(name, place, lambda x: x + 2**52)
        inputs[name][place + 1] -= 1
        assert outcome(SHAPE, inputs) is not None


@pytest.mark.parametrize("name", ["words", "final", "publics", "offset_tries", "offset_y", "key_points"])
def test_every_scalar_is_bound(name: str) -> None:
    for place in (0, len(honest()[name]) - 1):
        assert outcome(SHAPE, changed(name, place, lambda x: x + 1)) is not None
        assert outcome(SHAPE, changed(name, place, lambda x: -x - 1)) is not None


@pytest.mark.parametrize("name", ["key_digest", "leaf_count", "publics_digest"])
def test_public_inputs_are_bound(name: str) -> None:
    expected = {"key_digest": "key digest", "leaf_count": "leaf count", "publics_digest": "publics digest"}[name]
    for change in (lambda x: x + 1, lambda x: 0, lambda x: -1):
        label = outcome(SHAPE, changed(name, 0, change))
        assert label is not None
        assert any(check in label for check in (expected, "places", "words of public 0"))


def with_publics(publics: tuple[tuple[int, ...], ...], count: int | None = None) -> Assembly:
    """The honest proof under a statement about other publics, its digest right."""
    source = assembled(SHAPE, COUNT)
    digest = publics_digest(SHAPE, publics, Transcript(PUBLICS_DOMAIN, engine().permute))
    statement = Statement(source.statement.key_digest, len(publics) if count is None else count, digest)
    return replace(source, statement=statement, publics=publics)


def test_other_publics_are_refused() -> None:
    a, b = assembled(SHAPE, COUNT).publics
    cases = {
        "wrong": ((a[0], (a[1] + 1) % R), b),
        "swapped": (b, a),
        "swapped in a leaf": ((a[1], a[0]), b),
        "alias of q": ((a[0], (a[1] + Q) % R), b),
        "fewer": (a,),
        "more": (a, b, b),
        "more zeros": (a, b, (0, 0)),
    }
    vk = leaves(COUNT).vk
    for name, publics in cases.items():
        label = outcome(SHAPE, inputs_of(with_publics(publics), vk))
        assert label is not None, name
        assert "publics combined" in label or "reductions" in label or "opening" in label, (name, label)


def test_a_leaf_for_another_key_is_refused() -> None:
    other = leaves(COUNT, other=True)
    label = outcome(SHAPE, inputs_of(assembled(SHAPE, COUNT), other.vk))
    assert label is not None
    assert "key digest" in label


OPENING = ("cross terms open the commitments", "strip terms open", "final scalars open", "the points differ")


def test_every_message_changed_in_turn() -> None:
    """The transcript is replayed with the change, so that the check that meant the message refuses it."""
    source = assembled(SHAPE, COUNT)
    seen = set()
    for name, proof in changes(source.proof):
        label = outcome(SHAPE, inputs_of(replace(source, proof=proof), leaves(COUNT).vk))
        assert label is not None, name
        seen.add(label.split(":")[0])
        checks = ("words of public", "reductions", "is on Grumpkin", "is below 2^", *OPENING)
        assert any(check in label for check in checks), (name, label)
    assert {"commitments", "blocks folded", "first cross terms", "strips"} <= seen


@pytest.mark.parametrize("name", list(_corruptions()))
def test_a_cheating_sumcheck_prover(name: str) -> None:
    """Everything is consistent but the last claim: the batch of reductions refuses it, or the opening."""

    class Corrupt(Cheat):
        corrupt = staticmethod(_corruptions()[name])

    source = leaves(COUNT)
    builder = Corrupt(STAGE1_SHAPE, source.vk)
    builder.extend(source.items)
    done = builder.finish(b"entropy of tests" * 2)
    label = outcome(STAGE1_SHAPE, inputs_of(done, source.vk))
    try:
        verify_stage1(STAGE1_SHAPE, source.vk, done.publics, done.proof)
    except VerificationError:
        assert name != "nothing"
    else:
        # Nothing was changed, or a digit was set to what it was.
        assert name in ("nothing", "a digit of a key lane", "a leaf's digit")
        assert label is None
        return
    unread = ("another row of the point vector", "rows 89 and 90 of a column", "the unused cell", "a padding group")
    assert label is not None
    # X is committed to before the corruption, so that its opening fails too, and earlier.
    early = name in (*unread, "X")
    assert ("cross terms open the commitments" if early else "is a multiple of q modulo r") in label


def batch_challenges(inputs: dict[str, Any]) -> list[int]:
    """Values of the wires that are the bits of the last challenges, whatever the rows say."""
    built, program = circuit(SHAPE)
    r1cs = built.compiled.r1cs
    full = np.zeros((r1cs.n_wires, 4), dtype=np.uint64)
    with suppress(UnsatisfiedError):
        for part in program.run(inputs, slice_wires=1 << 12):
            full[part.offset : part.offset + len(part.values)] = part.values.limbs
    labels = [*r1cs.labels, (r1cs.n_constraints, "")]
    rows = [
        row
        for (begin, name), (end, _) in pairwise(labels)
        if name.startswith("reductions") and name.endswith("challenge bit")
        for row in range(begin, end)
    ]
    assert len(rows) >= 20 * 254
    starts = r1cs.a.row_start
    return [int(full[int(r1cs.a.col[int(starts[row])])][0]) for row in rows]


def test_the_batch_waits_for_what_only_the_wrap_absorbs() -> None:
    """Pitfall 6: 1 / kappa is in no message of stage 1, and yet changes the challenges of the batch."""
    usual, other = (batch_challenges(inputs) for inputs in (honest(), changed("kernel_inverse", 0, lambda x: x ^ 1)))
    assert set(usual) == {0, 1} == set(other)
    assert sum(a != b for a, b in zip(usual, other, strict=True)) > len(usual) // 3


def test_layout_is_what_the_wrap_was_written_for() -> None:
    assert layout.WIDTH == 96
    assert len(layout.CELLS) + len(layout.POINT) == 33
