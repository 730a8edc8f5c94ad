"""One GPU: field products, MSMs, transforms, quotients and whole Groth16 proofs, each result checked.

    python bench/gpu.py [--device N] [--msm 16,20,22] [--g2 16,20] [--ntt 16,20,22] [--proof 14,17] [--rounds 5]
                        [--require]

Sizes are log2. Times are medians of wall-clock time around a wait for the device. An MSM's floor is the time of its
bucket additions' products alone (9.5 an addition) at the rate that `products` measures in the same run. Results are
printed and written to bench/results/gpu-<device>.json. Without a GPU nothing is measured; with --require that is an
error.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from prover_core.errors import BackendError
from prover_core.gpu import CudaBackend
from prover_core.gpu.device import Device
from prover_core.gpu.field import multiply
from prover_core.gpu.groups import G1, G2, Group, constants
from prover_core.gpu.msm import Windows
from prover_core.groth16 import prove, setup
from prover_core.groth16.setup import G1 as G1_GENERATOR
from prover_core.groth16.setup import G2 as G2_GENERATOR
from prover_core.r1cs import R1cs, SparseRows
from prover_core.types import FrMontVector, FrVector, G1Point, G2Point, Q, R, g1_vector, g2_vector

PRODUCTS_PER_ADDITION = 9.5
"""8M + 2S in XYZZ with one reduction shared: 1216 wide multiply-adds, of 128 in a product."""
G2_PRODUCTS = (6 * 384 + 2 * 256 + 640) / 1216
"""Of an addition in G2 over one in G1, in wide multiply-adds."""
DISTINCT = 1 << 14
"""Bases that differ; larger MSMs repeat them, so that their sum is known."""


@dataclass(frozen=True)
class Sizes:
    """log2 of what is measured."""

    msm: tuple[int, ...] = (16, 20, 22)
    g2: tuple[int, ...] = (16, 20)
    ntt: tuple[int, ...] = (16, 20, 22)
    proof: tuple[int, ...] = (14, 17)
    rounds: int = 5
    product_blocks: int = 4096
    product_rounds: int = 2000


@dataclass(frozen=True)
class Figure:
    """One row."""

    what: str
    log_size: int
    milliseconds: float
    note: str = ""


def median_ms(rounds: int, work: Callable[[], object]) -> float:
    """Of `rounds` runs, after one that is not counted."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def random_limbs(n: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
    """n canonical scalars below 2^253, uint64[n, 4]."""
    limbs = np.random.default_rng(seed).integers(0, 1 << 64, size=(n, 4), dtype=np.uint64)
    limbs[:, 3] >>= np.uint64(11)
    return limbs


def products(device: Device, sizes: Sizes) -> tuple[Figure, float]:
    """Products in Fq a second, all cores busy with nothing else."""
    stream, threads = device.stream(), 256 * sizes.product_blocks
    a, out = device.alloc(96), device.alloc(32 * threads)
    stream.upload(a.address, constants(Q, [3, 5, 7]))

    def work() -> None:
        stream.launch(
            "laws", "fq_chains", sizes.product_blocks, 256, (a.address,), sizes.product_rounds, (out.address,)
        )
        stream.synchronize()

    ms = median_ms(sizes.rounds, work)
    first = np.empty((1, 4), dtype=np.uint64)
    stream.download(out.address, first)
    stream.synchronize()
    expected = 8 * pow(7, sizes.product_rounds, Q) % Q
    assert first.tobytes() == constants(Q, [expected]).tobytes(), "a wrong product"
    a.free()
    out.free()
    rate = 2.0 * threads * sizes.product_rounds / (ms / 1000)
    return Figure(
        "products", 0, ms, f"{rate / 1e9:.2f} G products/s, {rate * 128 / 1e12:.2f} T wide multiply-adds/s"
    ), rate


def known_sum(scalars: FrVector, logs: list[int]) -> int:
    """sum_i k_i d_{i mod m} mod r for m logs d: column sums of 32-bit halves, then one product a log."""
    sums = [0] * len(logs)
    for k in range(4):
        column = scalars.limbs[:, k].reshape(-1, len(logs))
        halves = (column & np.uint64(0xFFFFFFFF), column >> np.uint64(32))
        for j, half in enumerate(halves):
            for i, x in enumerate(half.sum(axis=0, dtype=np.uint64).tolist()):
                sums[i] += x << (64 * k + 32 * j)
    return sum(s * d for s, d in zip(sums, logs, strict=True)) % R


def msm(backend: CudaBackend, group: Group, log_n: int, rounds: int, rate: float) -> list[Figure]:
    """Uniform scalars, bases resident: with the scalars on the device already, and from host memory."""
    n, distinct = 1 << log_n, min(DISTINCT, 1 << log_n)
    rng = random.Random(log_n)
    logs = [rng.randrange(R) for _ in range(distinct)]
    scalars, fixed = FrVector(random_limbs(n, log_n)), FrVector.from_ints(logs)
    cpu, engine, in_g1 = backend.cpu, backend.engine, group is G1
    few = cpu.g1_fixed_base(G1_GENERATOR, fixed).limbs if in_g1 else cpu.g2_fixed_base(G2_GENERATOR, fixed).limbs
    bases = np.ascontiguousarray(np.tile(few, (n // distinct, *([1] * (few.ndim - 1)))))
    results: list[G1Point | G2Point] = []

    with engine.lanes.one() as lane:
        lease = engine.residents.acquire(bases, lane.stream)
        at = lane.scratch("scalars", 32 * n)
        lane.stream.upload(at, scalars.limbs)

        def work(upload: bool) -> None:
            if upload:
                lane.stream.upload(at, scalars.limbs)
            opened = engine.sum(group, lane, n)
            opened.add(lease.address, 0, at, n)
            results.append(backend.g1_total(opened) if in_g1 else backend.g2_total(opened))

        resident = median_ms(rounds, lambda: work(False))
        uploaded = median_ms(rounds, lambda: work(True))
        lease.release()
    total = FrVector.from_ints([known_sum(scalars, logs)])
    expected: G1Point | G2Point = (
        cpu.g1_msm(g1_vector([G1_GENERATOR]), total) if in_g1 else cpu.g2_msm(g2_vector([G2_GENERATOR]), total)
    )
    assert all(result == expected for result in results), "a wrong sum"
    windows = Windows.cheapest(n, group.point_bytes, engine.bucket_memory)
    per_addition = PRODUCTS_PER_ADDITION * (1 if in_g1 else G2_PRODUCTS)
    floor = 1000 * windows.count * n * per_addition / rate
    note = f"c = {windows.c}, floor {floor:.2f} ms, {100 * floor / resident:.0f} % of the rate"
    return [
        Figure(f"{group.name} MSM, scalars on the device", log_n, resident, note),
        Figure(f"{group.name} MSM, scalars in host memory", log_n, uploaded),
    ]


def transforms(backend: CudaBackend, log_n: int, rounds: int) -> list[Figure]:
    """One transform and one quotient, data on the device."""
    n, engine = 1 << log_n, backend.engine
    a, b = (FrMontVector(random_limbs(n, seed)) for seed in (1, 2))
    with engine.lanes.one() as lane:
        at = [lane.scratch(f"bench {i}", 32 * n) for i in range(4)]
        out = np.empty((n, 4), dtype=np.uint64)
        lane.stream.upload(at[0], a.limbs)
        lane.stream.download(engine.transforms.ntt(lane, at[0], at[1], log_n), out)
        lane.stream.synchronize()
        assert np.array_equal(out, backend.cpu.ntt(a).limbs), "a wrong transform"
        lane.stream.upload(at[0], a.limbs)
        lane.stream.upload(at[1], b.limbs)
        multiply(lane, at[0], at[1], n, at[2])
        lane.stream.download(engine.transforms.quotient(lane, at[0], at[1], at[2], at[3], log_n), out)
        lane.stream.synchronize()
        assert np.array_equal(out, backend.cpu.quotient(a, b).limbs), "a wrong quotient"

        def ntt() -> None:
            engine.transforms.ntt(lane, at[0], at[1], log_n)
            lane.stream.synchronize()

        def quotient() -> None:
            engine.transforms.quotient(lane, at[0], at[1], at[2], at[3], log_n)
            lane.stream.synchronize()

        return [
            Figure("NTT, data on the device", log_n, median_ms(rounds, ntt)),
            Figure("quotient, data on the device", log_n, median_ms(rounds, quotient)),
        ]


def squarings(n: int) -> R1cs:
    """x_{i+1} = x_i^2 in n rows; wires 0 one, 1 the last x (public), 2 the first, then those between."""
    wires = np.concatenate([np.arange(2, n + 2), [1]]).astype(np.uint32)
    ones = np.zeros(n, dtype=np.uint32)
    start = np.arange(n + 1, dtype=np.uint64)
    left, right = SparseRows(start, wires[:-1].copy(), ones), SparseRows(start, wires[1:].copy(), ones)
    return R1cs(n + 2, 1, 0, 1, left, left, right, FrVector.from_ints([1]))


def proof(backend: CudaBackend, log_n: int, rounds: int) -> Figure:
    """A whole proof of 2^log_n - 4 squarings, key resident, witness in host memory, verified."""
    n = (1 << log_n) - 4
    x = [5]
    for _ in range(n):
        x.append(x[-1] * x[-1] % R)
    witness = FrVector.from_ints([1, x[-1], *x[:-1]])
    key = setup(squarings(n), backend=backend.cpu, entropy=b"a setup for the benchmark only...")
    ms = median_ms(rounds, lambda: prove(key, witness, backend))
    assert not backend.fallbacks, f"the CPU took over: {dict(backend.fallbacks)}"
    return Figure("Groth16 proof, witness in host memory", log_n, ms)


def measure(device: Device, sizes: Sizes, *, smallest: int = 2048) -> list[Figure]:
    """Everything on one device."""
    backend = CudaBackend(device=device, strict=True, smallest=smallest)
    first, rate = products(device, sizes)
    figures = [first]
    for group, logs in ((G1, sizes.msm), (G2, sizes.g2)):
        for log_n in logs:
            figures += msm(backend, group, log_n, sizes.rounds, rate)
    for log_n in sizes.ntt:
        figures += transforms(backend, log_n, sizes.rounds)
    return figures + [proof(backend, log_n, sizes.rounds) for log_n in sizes.proof]


def _logs(text: str) -> tuple[int, ...]:
    return tuple(int(x) for x in text.split(",") if x)


def main() -> int:
    """Parses arguments, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Sizes()
    parser.add_argument("--device", type=int, default=0)
    for name in ("msm", "g2", "ntt", "proof"):
        parser.add_argument(f"--{name}", type=_logs, default=getattr(default, name))
    parser.add_argument("--rounds", type=int, default=default.rounds)
    parser.add_argument("--require", action="store_true")
    arguments = parser.parse_args()
    try:
        from prover_core.gpu.cupy_device import CupyDevice

        device = CupyDevice(arguments.device)
    except BackendError as e:
        print(f"nothing measured: {e}", file=sys.stderr)
        return 1 if arguments.require else 0
    sizes = Sizes(arguments.msm, arguments.g2, arguments.ntt, arguments.proof, arguments.rounds)
    figures = measure(device, sizes)
    table = Table("what", "log2 n", "ms", "note", title=device.name)
    for f in figures:
        table.add_row(f.what, str(f.log_size or ""), f"{f.milliseconds:.3f}", f.note)
    Console().print(table)
    name = re.sub(r"[^a-z0-9]+", "-", device.name.lower()).strip("-")
    path = Path(__file__).parent / "results" / f"gpu-{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"device": device.name, "figures": [asdict(f) for f in figures]}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
