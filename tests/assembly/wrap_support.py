"""Leaves, stage-1 proofs and wrap witnesses for the tests of the wrap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from prover_core.assembly.engine import engine
from prover_core.assembly.leaf_key import leaf_key
from prover_core.assembly.prover import Assembly, AssemblyBuilder
from prover_core.assembly.shape import Shape
from prover_core.assembly.wrap.keys import WrapCircuit
from prover_core.assembly.wrap.witness import wrap_inputs
from prover_core.circuit import Circuit, compile_circuit
from prover_core.circuit.compiled import label_at
from prover_core.errors import UnsatisfiedError
from prover_core.groth16 import Proof, VerificationKey, prove, setup
from prover_core.native import CpuBackend
from prover_core.types import FrVector, R
from prover_core.witness import TapeProgram
from prover_core.witness.rows import first_broken_row

BACKEND = CpuBackend(2)


@dataclass(frozen=True, eq=False)
class Leaves:
    """Leaf proofs under one key, each beginning where the one before ends; public signals (new, old), as in circom."""

    vk: VerificationKey
    items: list[tuple[Proof, list[int]]]


def step(c: Circuit) -> None:
    new, old = c.public("new"), c.public("old")
    c.assert_equal(old * old * c.private("x") + 7, new, "step")


def other_step(c: Circuit) -> None:
    """A second leaf circuit, with more rows."""
    new, old = c.public("new"), c.public("old")
    x = c.private("x")
    y = x
    for _ in range(20):
        y = y * y + old
    c.assert_equal(y, new, "other step")


@cache
def leaves(count: int, *, other: bool = False) -> Leaves:
    circuit = compile_circuit(other_step if other else step, name="leaf")
    key = setup(circuit.r1cs, backend=BACKEND, entropy=b"wrap tests" * 7)
    items = []
    old = 5
    for i in range(count):
        x = R - 3 - i if i % 2 else 11 + i
        if other:
            y = x
            for _ in range(20):
                y = (y * y + old) % R
            new = y
        else:
            new = (old * old * x + 7) % R
        witness = circuit.evaluate({"old": old, "new": new, "x": x})
        proof = prove(key, FrVector.from_ints(witness), BACKEND, bytes([i + 1]) * 32)
        items.append((proof, [new, old]))
        old = new
    return Leaves(key.verification_key, items)


@cache
def assembled(shape: Shape, count: int) -> Assembly:
    """A finished stage 1."""
    source = leaves(count)
    builder = AssemblyBuilder(shape, source.vk)
    builder.extend(source.items)
    return builder.finish(b"entropy of tests" * 2)


@cache
def circuit(shape: Shape) -> tuple[WrapCircuit, TapeProgram]:
    built = WrapCircuit.build(shape)
    return built, TapeProgram(built.compiled.tape)


def inputs_of(assembly: Assembly, vk: VerificationKey) -> dict[str, Any]:
    key = leaf_key(vk, assembly.shape.publics)
    return dict(
        wrap_inputs(
            assembly.shape,
            None,
            assembly.statement,
            key.commitments,
            key.points,
            assembly.publics,
            assembly.proof,
            engine().permute,
        )
    )


def outcome(shape: Shape, inputs: dict[str, Any]) -> str | None:
    """None if the wrap accepts, else the label of the first row that refuses."""
    built, program = circuit(shape)
    r1cs = built.compiled.r1cs
    full = np.zeros((r1cs.n_wires, 4), dtype=np.uint64)
    try:
        for part in program.run(inputs, slice_wires=1 << 18):
            full[part.offset : part.offset + len(part.values)] = part.values.limbs
    except UnsatisfiedError as e:
        return e.label or str(e)
    row = first_broken_row(r1cs, FrVector(full), BACKEND)
    return None if row is None else label_at(r1cs.labels, row) or "unnamed"
