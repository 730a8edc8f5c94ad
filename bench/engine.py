"""The engine's kernels on one thread: MSM in G1 and G2, NTT, quotient, fixed base, eight wide against one at a time.

    python bench/engine.py [--largest 18] [--rounds 3] [--json FILE]

Both run in turn in one process, on the same uniform scalars and distinct bases; processor time of this process. Where
the processor has no AVX-512 IFMA both are the same code and the ratio is 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from _common import Figure, arguments, figure, in_turn, report, scalars

from prover_core.groth16.setup import G1, G2
from prover_core.native import CpuBackend
from prover_core.types import FrMontVector


def measure(largest: int, rounds: int) -> list[Figure]:
    """All rows; sizes 2^14, 2^16 … up to 2^largest, in G2 four times smaller at most."""
    best, scalar, all_cores = CpuBackend(1), CpuBackend(1, scalar=True), CpuBackend()
    figures = []

    def row(what: str, log2: int, call: Callable[[CpuBackend], object]) -> None:
        mine, theirs = in_turn([lambda: call(best), lambda: call(scalar)], rounds, time.process_time)
        figures.append(figure(what, f"2^{log2}", mine, "scalar engine", theirs))

    k = scalars(1 << largest)
    g1, g2 = all_cores.g1_fixed_base(G1, k), all_cores.g2_fixed_base(G2, k[: 1 << (largest - 2)])
    for log2 in range(14, largest + 1, 2):
        n = 1 << log2
        row("G1 MSM", log2, lambda b, n=n: b.g1_msm(g1[:n], k[:n]))  # type: ignore[misc]
    for log2 in range(14, largest - 1, 2):
        n = 1 << log2
        row("G2 MSM", log2, lambda b, n=n: b.g2_msm(g2[:n], k[:n]))  # type: ignore[misc]
    for log2 in range(14, largest + 1, 2):
        v = FrMontVector(k.limbs[: 1 << log2])
        row("NTT", log2, lambda b, v=v: b.ntt(v))  # type: ignore[misc]
    v = FrMontVector(k.limbs)
    row("quotient", largest, lambda b: b.quotient(v, v))
    row("fixed base G1", largest, lambda b: b.g1_fixed_base(G1, k))
    row("fixed base G2", largest - 2, lambda b: b.g2_fixed_base(G2, k[: 1 << (largest - 2)]))
    return figures


def chunked(log2: int, rounds: int) -> Figure:
    """What it costs to add a segment in 16 chunks instead of at once."""
    backend, n = CpuBackend(1), 1 << log2
    k = scalars(n)
    bases = CpuBackend().g1_fixed_base(G1, k)

    def add(chunks: int) -> None:
        sums = backend.g1_accumulator(bases)
        for i in range(chunks):
            begin, end = n * i // chunks, n * (i + 1) // chunks
            sums.add(begin, k[begin:end])
        sums.finish()

    once, many = in_turn([lambda: add(1), lambda: add(16)], rounds, time.process_time)
    return figure("G1 MSM at once", f"2^{log2}", once, "in 16 chunks", many)


def main() -> None:
    """Measures and reports."""
    options, _ = arguments("The engine's kernels on one thread.", largest=18).parse_known_args()
    figures = [*measure(options.largest, options.rounds), chunked(min(18, options.largest), options.rounds)]
    report("engine", CpuBackend(1).device, figures, options.json)


if __name__ == "__main__":
    main()
