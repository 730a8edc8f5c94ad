"""Rows are checked as soon as their last wire is final, and the broken one is named then."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from groth16_samples import horner, horner_witness, make_r1cs

from prover_core.errors import InvalidInputError, StreamOrderError, UnsatisfiedError
from prover_core.native import CpuBackend
from prover_core.reference import ReferenceBackend
from prover_core.types import FrVector, R
from prover_core.witness import RowChecker, RowPlan
from prover_core.witness.rows import first_broken_row, label_of

N = 40


@pytest.fixture(scope="module")
def plan(backend: CpuBackend) -> RowPlan:
    return RowPlan(horner(N), backend)


@pytest.fixture(scope="module")
def wires() -> list[int]:
    rng = random.Random(4)
    return horner_witness(N, 9, [rng.randrange(R) for _ in range(N)])


def feed(checker: RowChecker, wires: list[int], bounds: list[tuple[int, int]]) -> None:
    for lo, hi in bounds:
        checker.add(lo, FrVector.from_ints(wires[lo:hi]))


@pytest.mark.parametrize("seed", range(5))
def test_a_good_witness_in_any_chunks_and_order(seed: int, plan: RowPlan, wires: list[int]) -> None:
    rng = random.Random(seed)
    cuts = sorted({0, len(wires), *rng.sample(range(len(wires)), rng.choice((0, 3, 20)))})
    bounds = list(pairwise(cuts))
    rng.shuffle(bounds)
    checker = RowChecker(plan)
    feed(checker, wires, bounds)
    checker.finish()
    assert checker.rows_checked == N + 2


def test_rows_close_with_their_last_wire_not_at_the_end(plan: RowPlan, wires: list[int]) -> None:
    checker = RowChecker(plan)
    first_state = 3 + N
    feed(checker, wires, [(3, first_state)])
    assert checker.rows_checked == 0
    feed(checker, wires, [(first_state, first_state + 11)])
    assert checker.rows_checked == 10  # row 0 waits for the public wire p
    feed(checker, wires, [(0, 3)])
    assert checker.rows_checked == 11
    with pytest.raises(StreamOrderError, match="missing"):
        checker.finish()
    feed(checker, wires, [(first_state + 11, len(wires))])
    assert checker.rows_checked == N + 2
    checker.finish()


def test_every_flipped_wire_is_found_where_its_rows_close(plan: RowPlan, wires: list[int], backend: CpuBackend) -> None:
    for wire in range(1, len(wires)):
        bad = list(wires)
        bad[wire] = (bad[wire] + 1) % R
        checker = RowChecker(plan)
        with pytest.raises(UnsatisfiedError) as e:
            feed(checker, bad, [(lo, min(lo + 7, len(bad))) for lo in range(3, len(bad), 7)] + [(0, 3)])
        assert e.value.label == label_of(plan.r1cs, e.value.row) != ""
        assert e.value.label in str(e.value)
        row = first_broken_row(plan.r1cs, FrVector.from_ints(bad), backend)
        assert row is not None
        assert row == first_broken_row(plan.r1cs, FrVector.from_ints(bad), ReferenceBackend())
        assert row <= e.value.row
    assert first_broken_row(plan.r1cs, FrVector.from_ints(wires), backend) is None


def test_a_broken_row_stops_the_stream_at_its_chunk(plan: RowPlan, wires: list[int]) -> None:
    bad = list(wires)
    first_state = 3 + N
    bad[first_state + 5] = 0
    checker = RowChecker(plan)
    feed(checker, bad, [(3, first_state), (first_state, first_state + 5)])
    with pytest.raises(UnsatisfiedError) as e:
        feed(checker, bad, [(first_state + 5, first_state + 6)])
    assert e.value.row == 5


def test_order_errors_and_wire_zero(plan: RowPlan, wires: list[int]) -> None:
    checker = RowChecker(plan)
    feed(checker, wires, [(3, 9)])
    for lo, hi in ((8, 10), (3, 4)):
        with pytest.raises(StreamOrderError, match="twice"):
            feed(checker, wires, [(lo, hi)])
    for offset in (-1, len(wires)):
        with pytest.raises(StreamOrderError, match="leave"):
            checker.add(offset, FrVector.from_ints([1, 1]))
    with pytest.raises(UnsatisfiedError, match="wire 0"):
        checker.add(0, FrVector.from_ints([2]))
    with pytest.raises(InvalidInputError, match="backend"):
        RowChecker(plan.r1cs)
    with pytest.raises(InvalidInputError, match="wires"):
        first_broken_row(plan.r1cs, FrVector.from_ints([1]), plan.backend)


def test_rows_of_constants_and_of_public_wires_only(backend: CpuBackend) -> None:
    rows = [([], [], []), ([(0, 2)], [(0, 3)], [(0, 6)]), ([(1, 1)], [(1, 1)], [(2, 1)])]
    good = make_r1cs(4, 1, 1, 1, rows)  # wire 3 is in no row
    checker = RowChecker(good, backend)
    checker.add(0, FrVector.from_ints([1, 5, 25]))
    assert checker.rows_checked == 3
    checker.add(3, FrVector.from_ints([9]))
    checker.finish()
    never = make_r1cs(4, 1, 1, 1, [([(0, 2)], [(0, 3)], [(0, 7)])], labels=((0, "impossible"),))
    with pytest.raises(UnsatisfiedError, match="impossible"):
        RowChecker(never, backend).add(3, FrVector.from_ints([9]))
