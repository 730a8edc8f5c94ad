"""Provers that lie: what a sound gadget must survive, for every circuit in this suite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import pairwise

import pytest

from prover_core.circuit import CompiledCircuit
from prover_core.errors import UnsatisfiedError
from prover_core.types import R
from prover_core.witness.program import Inputs

VALUES: tuple[Callable[[int], int], ...] = (
    lambda w: (w + 1) % R,
    lambda w: (1 - w) % R,
    lambda w: -w % R,
    lambda w: 0,
    lambda w: (w * 0x1234567890ABCDEF + 987654321) % R,
)


def refused(circuit: CompiledCircuit, inputs: Inputs, label: str) -> UnsatisfiedError:
    """The inputs break a row whose label contains `label`."""
    with pytest.raises(UnsatisfiedError) as caught:
        circuit.evaluate(inputs)
    assert label in str(caught.value), f"{caught.value} does not name {label!r}"
    return caught.value


def assert_every_wire_is_bound(circuit: CompiledCircuit, inputs: Inputs, *, free: Collection[int] = ()) -> None:
    """Any change of any one wire of an honest witness breaks a row, but for wires known to be `free`."""
    witness = circuit.evaluate(inputs)
    r1cs = circuit.r1cs
    values = r1cs.values.to_ints()
    matrices = []
    rows_of: list[set[int]] = [set() for _ in witness]
    for matrix in (r1cs.a, r1cs.b, r1cs.c):
        starts, cols = matrix.row_start.tolist(), matrix.col.tolist()
        entries = list(zip(cols, (values[v] for v in matrix.value_index.tolist()), strict=True))
        rows = [entries[b:e] for b, e in pairwise(starts)]
        matrices.append(rows)
        for row, line in enumerate(rows):
            for col, _ in line:
                rows_of[col].add(row)

    def broken(row: int) -> bool:
        a, b, c = (sum(v * witness[col] for col, v in rows[row]) for rows in matrices)
        return (a * b - c) % R != 0

    unbound = []
    for wire in range(1, len(witness)):
        honest = witness[wire]
        for change in VALUES:
            witness[wire] = change(honest)
            if witness[wire] != honest and not any(broken(row) for row in rows_of[wire]):
                unbound.append(wire)
                break
        witness[wire] = honest
    assert set(unbound) <= set(free), f"wires {sorted(set(unbound) - set(free))} of {circuit.name} are not bound"


def assert_lies_change_nothing(
    circuit: CompiledCircuit, inputs: Inputs, *, wires: Iterable[int] | None = None, values: Iterable[int] = ()
) -> None:
    """A computed wire is replaced and later ones follow from the lie: a row breaks, or the outputs stay the same."""
    honest = circuit.evaluate(inputs)
    head = circuit.r1cs.n_public + 1
    first = head + circuit.r1cs.n_private_inputs
    caught = 0
    for wire in range(first, len(honest)) if wires is None else wires:
        for lie in [*(change(honest[wire]) for change in VALUES), *values]:
            if lie == honest[wire]:
                continue
            try:
                witness = circuit.evaluate(inputs, overrides={wire: lie})
            except UnsatisfiedError:
                caught += 1
            else:
                assert witness[:head] == honest[:head], f"wire {wire} of {circuit.name} set to {lie} changes an output"
    assert caught, "no lie was caught: the circuit computes nothing"
