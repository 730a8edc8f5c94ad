"""Batch verification: proofs a second on one thread, for batches of several sizes, and what naming bad proofs costs.

    python bench/batch_verify.py [--sizes 1,16,128,1024] [--rounds 5] [--json FILE]

Each size is verified by `verify_batch` from Python objects, eight proofs side by side where the processor can, and by
the same function with one at a time ("scalar"), in turn within one run; times are medians of processor time. The ratio
is what to compare: seconds differ from machine to machine and from moment to moment.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from prover_core.groth16 import BatchItem, Proof, VerificationKey, verify, verify_batch
from prover_core.groth16.setup import G1, G2
from prover_core.native import CpuBackend
from prover_core.types import FrVector, R, g1_points, g2_points

N_PUBLIC = 2
ENTROPY = b"the entropy of the benchmark, 32."


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    what: str
    proofs: int
    milliseconds: float
    proofs_per_second: float
    scalar_milliseconds: float
    ratio: float
    """Scalar time over this time."""


def true_proofs(n: int, backend: CpuBackend) -> tuple[VerificationKey, list[BatchItem]]:
    """A key with known secrets, and n different true proofs under it: C = (ab - αβ - xγ) / δ."""
    rng = random.Random(1024)

    def some(k: int) -> list[int]:
        return [rng.randrange(1, R) for _ in range(k)]

    alpha, beta, gamma, delta = some(4)
    ic, a, b, x = some(N_PUBLIC + 1), some(n), some(n), [some(N_PUBLIC) for _ in range(n)]
    inverse = pow(delta, -1, R)
    c = []
    for i in range(n):
        s = ic[0] + sum(u * v for u, v in zip(x[i], ic[1:], strict=True))
        c.append((a[i] * b[i] - alpha * beta - s * gamma) * inverse % R)
    g1 = g1_points(backend.g1_fixed_base(G1, FrVector.from_ints([alpha, *ic, *a, *c])))
    g2 = g2_points(backend.g2_fixed_base(G2, FrVector.from_ints([beta, gamma, delta, *b])))
    head = 2 + N_PUBLIC
    key = VerificationKey(g1[0], g2[0], g2[1], g2[2], tuple(g1[1:head]), insecure=True)
    return key, [(Proof(g1[head + i], g2[3 + i], g1[head + n + i]), x[i]) for i in range(n)]


def in_turn(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of processor time of both, alternating."""
    times: tuple[list[float], list[float]] = ([], [])
    for k in range(rounds + 1):
        for call, log in zip((first, second), times, strict=True):
            start = time.process_time()
            call()
            if k:  # the first round warms up
                log.append(time.process_time() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def measure(sizes: list[int], rounds: int) -> list[Figure]:
    """All rows."""
    best, scalar = CpuBackend(1), CpuBackend(1, scalar=True)
    key, items = true_proofs(max(sizes), best)
    figures = []

    def row(what: str, n: int, call: Callable[[CpuBackend], object], repeat: int = 1) -> None:
        def many(backend: CpuBackend) -> Callable[[], None]:
            def run() -> None:
                for _ in range(repeat):
                    call(backend)

            return run

        mine, theirs = (t / repeat for t in in_turn(many(best), many(scalar), rounds))
        figures.append(Figure(what, n, mine * 1e3, n / mine, theirs * 1e3, theirs / mine))

    row("verify", 1, lambda backend: verify(key, *items[0], backend), 10)
    for n in sizes:
        batch = items[:n]
        row("verify_batch", n, lambda backend, batch=batch: check(key, batch, [], backend), max(1, 64 // n))  # type: ignore[misc]
    n = max(sizes)
    for count in (1, 8):
        bad = sorted(random.Random(count).sample(range(n), min(n, count)))
        spoiled = [(replace(p, c=p.a), x) if i in bad else (p, x) for i, (p, x) in enumerate(items)]
        what = f"verify_batch, {len(bad)} bad"
        row(what, n, lambda backend, s=spoiled, bad=bad: check(key, s, bad, backend))  # type: ignore[misc]
    return figures


def check(key: VerificationKey, batch: list[BatchItem], bad: list[int], backend: CpuBackend) -> None:
    """A benchmark of wrong answers would be worth nothing."""
    found = verify_batch(key, batch, backend, ENTROPY)
    if found != bad:
        raise SystemExit(f"verify_batch named {found}, not {bad}")


def main() -> None:
    """Measures, prints a table, and writes JSON if asked."""
    parser = argparse.ArgumentParser(description="Proofs verified a second, one thread.")
    parser.add_argument("--sizes", default="1,16,128,1024", help="batch sizes")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which medians are taken")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments, _ = parser.parse_known_args()
    figures = measure([int(n) for n in arguments.sizes.split(",")], arguments.rounds)
    device = CpuBackend(1).device
    table = Table(title=f"Batch verification ({device})", title_justify="left")
    for column in ("", "proofs", "ms", "proofs/s", "scalar ms", "times faster"):
        table.add_column(column, justify="left" if not column else "right")
    for f in figures:
        table.add_row(
            f.what,
            f"{f.proofs:,}",
            f"{f.milliseconds:.2f}",
            f"{f.proofs_per_second:,.0f}",
            f"{f.scalar_milliseconds:.2f}",
            f"{f.ratio:.1f}",
        )
    Console().print(table)
    report = {"benchmark": "batch_verify", "device": device, "figures": [asdict(f) for f in figures]}
    text = json.dumps(report, indent=2)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
