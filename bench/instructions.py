"""Instructions the kernels take, one element at a time, counted by callgrind: times are noisy, counts are not.

    python bench/instructions.py [--log2 11] [--json FILE]

Valgrind runs no AVX-512, so that what is counted is the engine of processors without it. Nothing is printed where there
is no valgrind. A second run gives the same numbers to within a thousandth.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from _common import arguments, scalars
from rich.console import Console
from rich.table import Table

from prover_core.groth16.setup import G1, G2
from prover_core.native import CpuBackend
from prover_core.types import FrMontVector

NAMES = ("field product", "NTT", "quotient", "G1 MSM", "G2 MSM", "fixed base G1", "fixed base G2")


def kernels(log2: int) -> dict[str, Callable[[], object]]:
    """By name: calls over 2^log2 elements on one thread."""
    backend, k = CpuBackend(1, scalar=True), scalars(1 << log2)
    v = FrMontVector(k.limbs)
    g1, g2 = backend.g1_fixed_base(G1, k), backend.g2_fixed_base(G2, k)
    calls: tuple[Callable[[], object], ...] = (
        lambda: backend.fr_mul(v, v),
        lambda: backend.ntt(v),
        lambda: backend.quotient(v, v),
        lambda: backend.g1_msm(g1, k),
        lambda: backend.g2_msm(g2, k),
        lambda: backend.g1_fixed_base(G1, k),
        lambda: backend.g2_fixed_base(G2, k),
    )
    return dict(zip(NAMES, calls, strict=True))


def run_all(log2: int) -> None:
    """What valgrind watches: each kernel, warm, between two marks."""
    for call in kernels(log2).values():
        call()
        os.getpgid(0)
        call()
        os.getpgid(0)


def count(log2: int) -> dict[str, int]:
    """Instructions of each kernel; empty without valgrind."""
    if not shutil.which("valgrind"):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        # The system call is the mark: callgrind writes what it counted since the last, to numbered files.
        callgrind = [
            "valgrind",
            "-q",
            "--tool=callgrind",
            "--dump-before=getpgid",
            f"--callgrind-out-file={folder}/counts",
        ]
        watched = [sys.executable, __file__, "--watched", "--log2", str(log2)]
        subprocess.run([*callgrind, *watched], check=True, env={**os.environ, "HYBRID_PROVER_THREADS": "1"})
        counts = {}
        for i, name in enumerate(NAMES):
            text = Path(folder, f"counts.{2 * i + 2}").read_text()
            total = re.search(r"^totals: (\d+)", text, re.MULTILINE)
            assert total is not None, "callgrind wrote no total"
            counts[name] = int(total[1])
    return counts


def report(log2: int, to: Path | None) -> None:
    """Prints the table, if there is anything to print."""
    counts = count(log2)
    if not counts:
        return
    table = Table(title=f"instructions, 2^{log2} elements, without AVX-512", title_justify="left")
    for column in ("", "millions", "an element"):
        table.add_column(column, justify="right" if column else "left")
    for name, n in counts.items():
        table.add_row(name, f"{n / 1e6:,.2f}", f"{n >> log2:,}")
    Console().print(table)
    if to:
        to.write_text(json.dumps({"benchmark": "instructions", "log2": log2, "instructions": counts}, indent=2) + "\n")


def main() -> None:
    """Counts and reports; with --watched, is what is counted."""
    parser = arguments("Instructions the kernels take.", log2=11)
    parser.add_argument("--watched", action="store_true", help=argparse.SUPPRESS)
    options, _ = parser.parse_known_args()
    if options.watched:
        run_all(options.log2)
    else:
        report(options.log2, options.json)


if __name__ == "__main__":
    main()
