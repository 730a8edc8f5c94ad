"""Checks that no wire of a whole wrap circuit can move while its inputs stay: python tools/wrap_determinism.py.

Builds the wrap for a shape, fills it from a real stage-1 proof over leaves made here, and runs
`prover_core.circuit.determinism` over all rows: half a minute for two leaves, about a minute for 64. Exits with 1 and
names the rows of wires that can move.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from prover_core.assembly.engine import engine
from prover_core.assembly.leaf_key import leaf_key
from prover_core.assembly.prover import AssemblyBuilder
from prover_core.assembly.shape import Shape
from prover_core.assembly.wrap.keys import WrapCircuit
from prover_core.assembly.wrap.witness import wrap_inputs
from prover_core.backend import select
from prover_core.circuit import Circuit, compile_circuit
from prover_core.circuit.determinism import undetermined
from prover_core.groth16 import prove, setup
from prover_core.types import FrVector
from prover_core.witness import TapeProgram


def _leaf(c: Circuit) -> None:
    a, b = c.public("a"), c.public("b")
    c.assert_equal(a * a * c.private("x"), b, "leaf")


def main() -> int:
    """0 if every wire is determined."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaves", type=int, default=2, help="places of the shape; all but the last are filled")
    parser.add_argument("--chunk", type=int, default=4)
    options = parser.parse_args()
    shape = Shape(options.leaves, 2, options.chunk)
    backend = select().backend
    leaf = compile_circuit(_leaf, name="leaf")
    key = setup(leaf.r1cs, backend=backend)
    builder = AssemblyBuilder(shape, key.verification_key)
    for i in range(max(1, shape.leaves - 1)):
        witness = leaf.evaluate({"a": i + 2, "b": (i + 2) ** 2 * 5, "x": 5})
        builder.add(prove(key, FrVector.from_ints(witness), backend), [i + 2, (i + 2) ** 2 * 5])
    done = builder.finish(b"no secrets here " * 2)

    started = time.perf_counter()
    wrap = WrapCircuit.build(shape)
    r1cs = wrap.compiled.r1cs
    k = leaf_key(key.verification_key, shape.publics)
    inputs = wrap_inputs(
        shape, None, done.statement, k.commitments, k.points, done.publics, done.proof, engine().permute
    )
    wires = np.zeros((r1cs.n_wires, 4), dtype=np.uint64)
    for part in TapeProgram(wrap.compiled.tape).run(inputs, slice_wires=1 << 17):
        wires[part.offset : part.offset + len(part.values)] = part.values.limbs
    built = time.perf_counter()
    moving = undetermined(r1cs, FrVector(wires).to_ints())
    checked = time.perf_counter()
    print(f"{r1cs.n_constraints} rows, {r1cs.n_wires} wires: built in {built - started:.0f} s", end=", ")
    print(f"checked in {checked - built:.0f} s, {len(moving)} wires can move")
    for wire in moving[:20]:
        row = int(np.searchsorted(r1cs.c.row_start, np.flatnonzero(r1cs.c.col == wire)[:1], side="right")[0]) - 1
        print(f"  wire {wire}, in row {row}: {wrap.compiled.tape.label_of(row)}")
    return 1 if moving else 0


if __name__ == "__main__":
    sys.exit(main())
