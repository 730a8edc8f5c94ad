"""No wire of any gadget can move while the inputs stay; and the check that says so notices a row that is missing."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from catalogue import CASES, Case
from test_grumpkin import LAW, P, S, T, define_signed, define_weighted, fold_circuit
from test_nonnative import CHAIN, PRODUCTS, inputs_for

from prover_core.circuit import Circuit, CompiledCircuit, compile_circuit
from prover_core.circuit.determinism import undetermined
from prover_core.circuit.gadgets import grumpkin_tables as plain
from prover_core.r1cs import R1cs, SparseRows

FREE = {"order": 1, "order of equals": 1}
"""Wires that may move: the helper of is_zero where its operand is zero, on which nothing depends."""
DOUBLE_ROOTS = ("canonical bits", "bits at most")
"""Inputs at the bound itself: a zero bit is then a double root of its row, which is isolated but not to first order."""
HELPERS = ("all bits", "no bits")
"""all_of and any_of rest on is_zero."""


@pytest.mark.parametrize(
    "case", [c for c in CASES if "switched off" not in c.name and c.name not in DOUBLE_ROOTS], ids=lambda c: c.name
)
def test_the_catalogue(case: Case) -> None:
    circuit = compile_circuit(case.define, name=case.name)
    witness = circuit.evaluate(case.inputs)
    moving = undetermined(circuit.r1cs, witness)
    assert len(moving) <= FREE.get(case.name, 1 if case.name in HELPERS else 0)


def grumpkin_cases() -> list[tuple[str, CompiledCircuit, dict[str, object]]]:
    digits = [i % 6 for i in range(98)]
    bases = [[plain.hash_to_curve(f"test/base/{k}/{s}") for s in range(2)] for k in range(2)]
    rng = random.Random(1)
    return [
        ("law", LAW, {"p": list(P), "q": list(S)}),
        (
            "weighted",
            compile_circuit(define_weighted, name="weighted"),
            {"p": list(P), "q": list(S), "offset": list(T), "digits": digits},
        ),
        (
            "signed",
            compile_circuit(define_signed, name="signed"),
            {"p": list(P), "q": list(S), "offset": list(T), "a": 3**70, "b": 5**50},
        ),
        ("fold", fold_circuit([16, 13], bases), {"h0": 12345, "h1": 4567}),
        ("products", PRODUCTS, inputs_for([rng.getrandbits(253) for _ in range(6)], rng)),
        ("chain", CHAIN, inputs_for([rng.getrandbits(253) for _ in range(3)], rng)),
    ]


@pytest.mark.parametrize("index", range(6))
def test_gadgets_of_the_wrap(index: int) -> None:
    _, circuit, inputs = grumpkin_cases()[index]
    assert undetermined(circuit.r1cs, circuit.evaluate(inputs)) == []


def without(rows: SparseRows, row: int) -> SparseRows:
    start, end = int(rows.row_start[row]), int(rows.row_start[row + 1])
    starts = np.concatenate([rows.row_start[: row + 1], rows.row_start[row + 2 :] - np.uint64(end - start)])
    return SparseRows(
        starts,
        np.concatenate([rows.col[:start], rows.col[end:]]),
        np.concatenate([rows.value_index[:start], rows.value_index[end:]]),
    )


def lacking(r1cs: R1cs, row: int) -> R1cs:
    return dataclasses.replace(r1cs, a=without(r1cs.a, row), b=without(r1cs.b, row), c=without(r1cs.c, row))


def test_a_missing_row_is_noticed() -> None:
    """Of the group law's rows all but those that check inputs, and the outputs' own: each defines something."""
    witness = LAW.evaluate({"p": list(P), "q": list(S)})
    r1cs = LAW.r1cs
    silent = [row for row in range(r1cs.n_constraints) if not undetermined(lacking(r1cs, row), witness)]
    labels = {LAW.tape.label_of(row) for row in silent}
    assert all("is on Grumpkin" in label for label in labels), labels
    assert len(silent) == 6  # three for each of two points, which are inputs


def test_an_unconstrained_hint_is_noticed() -> None:
    def define(c: Circuit) -> None:
        x = c.private("x")
        root = c.hint.copy(x)
        other = c.hint.copy(x)
        c.assert_product(root + other, x, 2 * x * x)
        c.output("root", root)

    circuit = compile_circuit(define, name="loose")
    moving = undetermined(circuit.r1cs, circuit.evaluate({"x": 5}))
    assert len(moving) == 3
