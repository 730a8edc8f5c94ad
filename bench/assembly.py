"""Assembly: time by phase, rows and proof size, for shapes of several sizes.

    python bench/assembly.py [--leaves 64] [--publics 2] [--rounds 3] [--keys DIR] [--json FILE]

Leaf proofs come from a small circuit made here. The wrap's development key is built in the directory if it is not
there. Times are medians of wall-clock seconds over the rounds, keys warm.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from prover_core.assembly import WrapKeys, assemble, fitting, verify_assembly
from prover_core.backend import select
from prover_core.circuit import Circuit, compile_circuit
from prover_core.groth16 import PROOF_BYTES, prove, setup
from prover_core.types import FrVector, R


def _define(publics: int) -> object:
    def define(c: Circuit) -> None:
        values = c.public("values", publics)
        x = c.private("x")
        for value in values:
            x = x * x + value
        c.assert_equal(x * x, c.private("y"), "leaf")

    return define


def _leaves(count: int, publics: int, backend: object) -> tuple[object, list[tuple[object, list[int]]]]:
    circuit = compile_circuit(_define(publics), name="leaf")
    key = setup(circuit.r1cs, backend=backend)
    items = []
    for i in range(count):
        values = [i * publics + j for j in range(publics)]
        x = start = 3 + i
        for value in values:
            x = (x * x + value) % R
        witness = circuit.evaluate({"values": values, "x": start, "y": x * x % R})
        items.append((prove(key, FrVector.from_ints(witness), backend), values))
    return key.verification_key, items


def main() -> None:
    """Runs the benchmark and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leaves", type=int, default=64)
    parser.add_argument("--publics", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keys", type=Path, default=Path(".cache/wrap-keys"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    backend = select().backend
    shape = fitting(options.leaves, options.publics)
    started = time.perf_counter()
    key = WrapKeys(options.keys).get(shape, backend)
    loaded = time.perf_counter() - started
    vk, items = _leaves(options.leaves, options.publics, backend)
    runs: list[dict[str, float]] = []
    for _ in range(options.rounds):
        started = time.perf_counter()
        done = assemble(vk, items, key, backend)
        runs.append({**done.seconds, "together": time.perf_counter() - started})
    verify_assembly(key.verification_key, vk, [values for _, values in items], done.proof, shape, backend)
    seconds = {phase: statistics.median(run[phase] for run in runs) for phase in runs[0]}
    table = Table("phase", "seconds", title=f"{options.leaves} leaves, {options.publics} publics, chunk {shape.chunk}")
    for phase, value in seconds.items():
        table.add_row(phase, f"{value:.2f}")
    Console().print(table)
    rows = key.r1cs().n_constraints
    print(f"{rows} rows, {rows / options.leaves:.0f} a leaf; key read or made in {loaded:.1f} s; {PROOF_BYTES} bytes")
    if options.json:
        result = {"leaves": options.leaves, "publics": options.publics, "chunk": shape.chunk, "rows": rows}
        options.json.write_text(json.dumps({**result, "seconds": seconds, "proof_bytes": PROOF_BYTES}, indent=1) + "\n")


if __name__ == "__main__":
    main()
