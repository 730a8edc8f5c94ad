"""Whole Groth16 proofs as a user runs them: a process from a `.zkey` and a `.wtns` to proof.json, against its peers.

    python bench/prove.py [--sizes 25200,65000,200000,261600,1040000] [--files KEY:WITNESS,…] [--rounds 3] [--json FILE]
    RAPIDSNARK=/path/to/rapidsnark/prover GNARK_PROVER=/path/to/program python bench/prove.py

The circuits are chains of Poseidon, which is dense: every wire is a full field element. Keys are development keys, made
once into .cache/bench; `--files` adds circuits of your own. Wall-clock seconds, all cores, start of the process and
reading of the key included; processor seconds as well, which other work on the machine changes less; peak memory is the
largest resident set. Peers run in turn with ours; without any only ours is measured. rapidsnark gets the same files.
gnark cannot read them, so it proves a dense circuit of its own of as many constraints, to the nearest 200:
`GNARK_PROVER setup N DIR` makes its files once, `GNARK_PROVER prove DIR` reads them and proves.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
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
    """Of one command: wall-clock seconds, processor seconds and peak kilobytes, a run each."""

    command: list[str]
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
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


def gnark_files(program: str, constraints: int) -> Path:
    """gnark's files for a circuit of about that many constraints, from the cache or made."""
    n = (constraints + 100) // 200 * 200
    folder = CACHE / f"gnark-{n}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        subprocess.run([program, "setup", str(n), str(unfinished)], check=True, stdout=subprocess.DEVNULL)
        unfinished.rename(folder)
    return folder


LAUNCHER = """
import os, sys, time
start = time.perf_counter()
quiet = [(os.POSIX_SPAWN_DUP2, 2, 1)]
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet), 0)
seconds = time.perf_counter() - start
print(os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
"""A process's peak counts what it was before exec, so that none is started by this one, which is large."""


def run(runs: Runs, counted: bool) -> None:
    """One process; `SystemExit` with its output if it fails."""
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *runs.command]
    done = subprocess.run(launcher, capture_output=True, text=True, check=True)
    code, seconds, processor, kilobytes = done.stdout.split()
    if code != "0":
        raise SystemExit(f"{' '.join(runs.command)} failed:\n{done.stderr}")
    if counted:
        runs.seconds.append(float(seconds))
        runs.processor.append(float(processor))
        runs.kilobytes.append(int(kilobytes))


def in_turn(commands: dict[str, list[str]], rounds: int) -> dict[str, Runs]:
    """Each command `rounds` times, alternating, after one round that is not counted."""
    runs = {name: Runs(command) for name, command in commands.items()}
    for k in range(rounds + 1):
        for each in runs.values():
            run(each, counted=k > 0)
    return runs


def measure(key: Path, witness: Path, size: str, rounds: int, gnark: Path | None) -> list[Figure]:
    """Rows of wall-clock time, processor time and peak memory, for each peer there is."""
    rapidsnark, program = os.environ.get("RAPIDSNARK"), os.environ.get("GNARK_PROVER")
    with tempfile.TemporaryDirectory() as out:
        ours = [sys.executable, "-m", "hybrid_prover", "prove", "--zkey", str(key), "--wtns", str(witness)]
        commands = {"": [*ours, "--out", f"{out}/ours"]}
        if rapidsnark:
            commands["rapidsnark"] = [rapidsnark, str(key), str(witness), f"{out}/proof.json", f"{out}/public.json"]
        if program and gnark:
            commands["gnark"] = [program, "prove", str(gnark)]
        runs = in_turn(commands, rounds)
    mine = runs.pop("")
    rows = []
    for name, theirs in (runs or {"nothing": mine}).items():
        rows.append(figure("proof", size, mine.seconds, name, theirs.seconds))
        rows.append(figure("processor", size, mine.processor, name, theirs.processor))
        here, there = (statistics.median(r.kilobytes) / 1024 for r in (mine, theirs))
        rows.append(Figure("peak MB", size, here, here, here, name, there, there / here))
    return rows


def main() -> None:
    """Measures and reports."""
    logging.disable(logging.WARNING)
    sizes = "25200,65000,200000,261600,1040000"
    options = arguments("Whole proofs against rapidsnark and gnark.", sizes=sizes, files="").parse_known_args()[0]
    figures = []
    program = os.environ.get("GNARK_PROVER")
    for size in filter(None, options.sizes.split(",")):
        key, witness, constraints = files(int(size))
        gnark = gnark_files(program, constraints) if program else None
        figures += measure(key, witness, f"{constraints:,}", options.rounds, gnark)
    for pair in filter(None, options.files.split(",")):
        key, witness = map(Path, pair.split(":"))
        figures += measure(key, witness, key.parent.name, options.rounds, None)
    report("prove", CpuBackend().device, figures, options.json)


if __name__ == "__main__":
    main()
