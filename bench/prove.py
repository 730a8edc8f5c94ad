"""Whole Groth16 proofs as a user runs them: a process from a `.zkey` and a `.wtns` to proof.json, against rapidsnark.

    python bench/prove.py [--sizes 25000,65000,200000] [--rounds 3] [--json FILE]
    RAPIDSNARK=/path/to/rapidsnark/prover python bench/prove.py

The circuits are chains of Poseidon, which is dense: every wire is a full field element. Keys are development keys, made
once into .cache/bench. Wall-clock seconds, all cores, start of the process and reading of the key included; peak memory
is the largest resident set. The peer runs in turn with ours on the same files; without one only ours is measured.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _common import Figure, arguments, figure, report

from prover_core import groth16
from prover_core.circuit import Circuit, compile_circuit
from prover_core.circuit.gadgets.poseidon import poseidon
from prover_core.formats.wtns import write_wtns
from prover_core.formats.zkey import write_zkey
from prover_core.native import CpuBackend
from prover_core.types import FrVector
from prover_core.witness import TapeProgram

CACHE = Path(".cache/bench")
HASH_ROWS = 240


@dataclass
class Runs:
    """Of one command: seconds and peak kilobytes, a run each."""

    seconds: list[float] = field(default_factory=list)
    kilobytes: list[int] = field(default_factory=list)


def files(constraints: int) -> tuple[Path, Path, int]:
    """Key and witness of a chain of about that many constraints, from the cache or made, and its exact number."""
    hashes = constraints // HASH_ROWS

    def define(c: Circuit) -> None:
        x = c.private("x")
        for _ in range(hashes):
            x = poseidon(c, [x, x])
        c.output("y", x)

    circuit = compile_circuit(define, name=f"chain of {hashes}")
    folder = CACHE / str(circuit.digest)
    key, witness = folder / "key.zkey", folder / "witness.wtns"
    if not witness.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_zkey(key, groth16.setup(circuit.r1cs, backend=CpuBackend()))
        wires = np.empty((circuit.r1cs.n_wires, 4), dtype=np.uint64)
        for piece in TapeProgram(circuit.tape).run({"x": 1}):
            wires[piece.offset : piece.offset + len(piece.values)] = piece.values.limbs
        write_wtns(witness, FrVector(wires))
    return key, witness, circuit.r1cs.n_constraints


def run(command: list[str], into: Runs) -> None:
    """One process; `SystemExit` with its output if it fails."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        into.seconds.append(time.perf_counter() - start)
        into.kilobytes.append(usage.ru_maxrss)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode(errors='replace')}")


def measure(sizes: list[int], rounds: int, peer: str | None) -> list[Figure]:
    """A row of seconds and a row of megabytes for each size."""
    figures = []
    for size in sizes:
        key, witness, constraints = files(size)
        with tempfile.TemporaryDirectory() as out:
            ours = [sys.executable, "-m", "hybrid_prover", "prove", "--zkey", str(key), "--wtns", str(witness)]
            commands = [[*ours, "--out", f"{out}/ours"]]
            if peer:
                commands.append([peer, str(key), str(witness), f"{out}/proof.json", f"{out}/public.json"])
            runs = [Runs() for _ in commands]
            for k in range(rounds + 1):
                for command, log in zip(commands, runs, strict=True):
                    run(command, log if k else Runs())
        other = runs[-1]
        name = "rapidsnark" if peer else "nothing"
        figures.append(figure("proof", f"{constraints:,}", runs[0].seconds, name, other.seconds))
        mine, theirs = (statistics.median(r.kilobytes) / 1024 for r in (runs[0], other))
        figures.append(
            Figure("peak MB", f"{constraints:,}", mine, mine, mine, name, theirs, theirs / mine),
        )
    return figures


def main() -> None:
    """Measures and reports."""
    logging.disable(logging.WARNING)
    options, _ = arguments("Whole proofs against rapidsnark.", sizes="25000,65000,200000").parse_known_args()
    figures = measure([int(n) for n in options.sizes.split(",")], options.rounds, os.environ.get("RAPIDSNARK"))
    report("prove", CpuBackend().device, figures, options.json)


if __name__ == "__main__":
    main()
