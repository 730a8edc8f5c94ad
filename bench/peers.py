"""The kernels against other libraries', one thread of one core: MSM in G1 and G2, NTT; and batch verification.

    KERNEL_PEERS=rapidsnark=/path/to/program,gnark-crypto=/path/to/program python bench/peers.py
        [--figures g1:16,g1:18,g1:20,g2:18,fft:20] [--rounds 5] [--json FILE]

A peer is a program `PROGRAM g1|g2|fft LOG2 ROUNDS` over its library, with uniform scalars and distinct bases, that
prints a line for each round whose last two words are the milliseconds and "ms". In every round each peer runs as a
process of its own, twice, of which the second counts, then this engine, all bound to the same core. Wall-clock time,
medians. Batch verification is measured in the same run, in proofs a second (`bench/batch_verify.py` has more).
Without KERNEL_PEERS only this engine is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

from _common import Figure, arguments, figure, in_turn, report, scalars
from batch_verify import check, true_proofs

from prover_core.groth16.setup import G1, G2
from prover_core.native import CpuBackend
from prover_core.types import FrMontVector

FIGURES = "g1:16,g1:18,g1:20,g2:18,fft:20"
BATCH = 1024


def kernel(what: str, log2: int) -> Callable[[], object]:
    """The call to measure, with its inputs made."""
    backend, everything, n = CpuBackend(1), CpuBackend(), 1 << log2
    k = scalars(n)
    if what == "g1":
        g1 = everything.g1_fixed_base(G1, scalars(n, seed=2))
        return lambda: backend.g1_msm(g1, k)
    if what == "g2":
        g2 = everything.g2_fixed_base(G2, scalars(n, seed=2))
        return lambda: backend.g2_msm(g2, k)
    if what == "fft":
        v = FrMontVector(k.limbs)
        return lambda: backend.ntt(v)
    raise SystemExit(f"{what!r} is none of g1, g2, fft")


def peers() -> dict[str, str]:
    """Name and program of each."""
    given = filter(None, os.environ.get("KERNEL_PEERS", "").split(","))
    return {name: program for name, _, program in (pair.partition("=") for pair in given)}


def seconds_of(program: str, what: str, log2: int) -> float:
    """The second of two rounds of a peer."""
    done = subprocess.run([program, what, str(log2), "2"], capture_output=True, text=True, check=True)
    *_, milliseconds, unit = done.stdout.split()
    if unit != "ms":
        raise SystemExit(f"{program} printed {done.stdout!r}")
    return float(milliseconds) / 1e3


def measure(what: str, log2: int, rounds: int) -> list[Figure]:
    """A row for each peer."""
    call, programs = kernel(what, log2), peers()
    mine: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in programs}
    for k in range(rounds + 1):
        for name, program in programs.items():
            theirs[name].append(seconds_of(program, what, log2))
        start = time.perf_counter()
        call()
        mine.append(time.perf_counter() - start)
        if not k:  # the first round warms up
            mine.clear()
            for log in theirs.values():
                log.clear()
    title = {"g1": "G1 MSM", "g2": "G2 MSM", "fft": "NTT"}[what]
    return [figure(title, f"2^{log2}", mine, name, log) for name, log in (theirs or {"nothing": mine}).items()]


def batch(rounds: int) -> Figure:
    """Milliseconds of a batch; the time it is compared with is that of one proof alone, as many times."""
    backend = CpuBackend(1)
    key, items = true_proofs(BATCH, backend)

    def verify(n: int) -> None:
        for first in range(0, BATCH, n):
            check(key, items[first : first + n], [], backend)

    mine, alone = in_turn([lambda: verify(BATCH), lambda: verify(1)], rounds, time.perf_counter)
    print(f"verify_batch: {BATCH / sorted(mine)[len(mine) // 2]:,.0f} proofs a second", file=sys.stderr)
    return figure("verify_batch", f"{BATCH:,}", mine, "one by one", alone)


def main() -> None:
    """Measures and reports."""
    options = arguments("The kernels against other libraries'.", figures=FIGURES).parse_known_args()[0]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    figures = []
    for entry in filter(None, options.figures.split(",")):
        what, _, log2 = entry.partition(":")
        figures += measure(what, int(log2), options.rounds)
    figures.append(batch(options.rounds))
    report("peers", CpuBackend(1).device, figures, options.json)


if __name__ == "__main__":
    main()
