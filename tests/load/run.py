"""`make load`: 64 clients and 8 edges on loopback, one cloud, as much as they take for some minutes.

    .venv/bin/python tests/load/run.py [--seconds 300] [--clients 64] [--edges 8] [--jobs 100000] [--seed N]

Prints latencies by placement, throughput, where the cloud's time went (waiting apart from computing, from its metrics),
and what every process held. Exit code 1 if a call ends with anything but RESOURCE_EXHAUSTED (after which the clients
wait as long as they are told), a job fails, a proof is wrong, or a process goes on growing. Nothing leaves 127.0.0.1;
time and the number of jobs are bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import paths  # noqa: F401
from memory import MIB, MemoryWatch
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table
from workload import Stream, Work, make_circuits

from hybrid_prover import ClientError, JobResult, Placement, ProverClient, RetryPolicy
from hybrid_prover.demo.processes import Fleet, free_port
from hybrid_prover.demo.rig import Rig
from prover_core.backend import select
from prover_core.groth16 import verify

ONCE = RetryPolicy(attempts=1)
"""Every refusal is seen, counted and honoured here."""
VERIFIED_SHARE = 20
"""One in so many jobs is verified here too; the public signals of all are looked at."""
FINISHED_KEPT = 64
"""Finished jobs that an edge keeps: a low number, so that its memory comes to its plateau within the run."""


class Load:
    """One run."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.backend = select().backend
        self.circuits = make_circuits(folder / "circuits", self.backend)
        self.stream = Stream(self.circuits, options.seed, poison_share=0.0, small=True)
        self.folder = folder
        self.fleet = Fleet()
        self.metrics_port = free_port()
        self.latencies: dict[Placement, list[float]] = defaultdict(list)
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.verified = 0
        self.begun = 0
        self.memory = MemoryWatch(self._groups, pause=max(0.5, options.seconds / 200))
        self.span = (0.0, 0.0)

    def _groups(self) -> dict[str, tuple[int, bool]]:
        found = {d.name: (d.process.pid, True) for d in self.fleet.daemons if d.process is not None}
        return {**found, f"{self.options.clients} clients": (os.getpid(), False)}

    @property
    def done(self) -> int:
        return sum(map(len, self.latencies.values()))

    async def run(self) -> dict[tuple[str, str, str], float]:
        """Everything; the cloud's metrics at the end."""
        options = self.options
        async with AsyncExitStack() as stack:
            stack.enter_context(self.fleet)
            cloud = ["--metrics-port", str(self.metrics_port), "--log-level", "warning"]
            edge = ["--workers", "1", "--max-jobs", str(max(2, options.clients // options.edges - 1))]
            edge += ["--finished-jobs-kept", str(FINISHED_KEPT), "--log-level", "warning"]
            rig = await Rig.start(
                self.fleet, stack, self.circuits, self.folder / "rig", edges=options.edges, cloud=cloud, edge=edge
            )
            watching = asyncio.create_task(self.memory.run())
            began = time.monotonic()
            clients = []
            for number in range(options.clients):
                edge_client = rig.edges[number % len(rig.edges)]
                own = ProverClient(edge_client.target, credentials=edge_client._credentials, timeout=60, retry=ONCE)
                clients.append(self._client(await stack.enter_async_context(own), began + options.seconds))
            await asyncio.gather(*clients)
            self.span = (began, time.monotonic())
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self.fleet.check()
            return await asyncio.to_thread(scrape, self.metrics_port)

    async def _client(self, client: ProverClient, until: float) -> None:
        rng = random.Random(self.options.seed + self.begun)
        while time.monotonic() < until and self.begun < self.options.jobs:
            self.begun += 1
            work = next(self.stream)
            began = time.monotonic()
            result = await self._prove(client, work, rng)
            if result is not None:
                self.latencies[work.placement].append(time.monotonic() - began)
                self._check(work, result)

    async def _prove(self, client: ProverClient, work: Work, rng: random.Random) -> JobResult | None:
        """From the first try to the proofs in hand, turning away included."""
        while True:
            try:
                handle = await client.submit(work.segments, placement=work.placement, name=work.name)
                return await handle.result(timeout=120)
            except ClientError as e:
                self.refused[e.code] += 1
                if e.code != "RESOURCE_EXHAUSTED" or e.retry_after is None:
                    self.wrong.append(f"{work.name}: {type(e).__name__} {e.code}, retry after {e.retry_after}: {e}")
                    return None
                await asyncio.sleep(e.retry_after * (1 + rng.random() / 10))

    def _check(self, work: Work, result: JobResult) -> None:
        if tuple(leaf.public_signals for leaf in result.leaves) != work.publics:
            self.wrong.append(f"{work.name}: other public signals than the witness has")
        if self.done % VERIFIED_SHARE == 0:
            for leaf, circuit in zip(result.leaves, work.circuits, strict=True):
                key = self.circuits[circuit].key.verification_key
                verify(key, leaf.proof, list(leaf.public_signals), self.backend)
                self.verified += 1


def scrape(port: int) -> dict[tuple[str, str, str], float]:
    """(kind, stage, `sum` or `count`) of the cloud's histograms of waiting and computing, over all placements."""
    found: dict[tuple[str, str, str], float] = defaultdict(float)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        text = page.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for kind in ("wait", "compute"):
                for what in ("sum", "count"):
                    if sample.name == f"hybrid_prover_cloud_{kind}_seconds_{what}":
                        found[kind, sample.labels["stage"], what] += sample.value
    return found


def percentile(values: list[float], share: float) -> float:
    """The smallest value that is not below so large a share of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(load: Load, stages: dict[tuple[str, str, str], float], console: Console) -> None:
    """The figures."""
    seconds = load.span[1] - load.span[0]
    table = Table("latency, s", "jobs", "p50", "p90", "p99", "max", title="from the first try to the proofs in hand")
    every = [v for values in load.latencies.values() for v in values]
    rows = [(p.name.lower(), load.latencies[p]) for p in Placement] + [("all", every)]
    for name, values in rows:
        if values:
            figures = [percentile(values, share) for share in (0.5, 0.9, 0.99)] + [max(values)]
            table.add_row(name, str(len(values)), *(f"{v:.2f}" for v in figures))
    console.print(table)
    turned = ", ".join(f"{n} {code}" for code, n in load.refused.items()) or "none"
    console.print(f"{load.done} jobs in {seconds:.0f} s: {load.done / seconds:.1f} a second; calls refused: {turned}")
    console.print(f"{load.verified} proofs verified again here")

    table = Table("stage at the cloud", "kind", "segments", "s in all", "ms each")
    for kind, stage, what in sorted(stages):
        if what == "count" and stages[kind, stage, what]:
            total, count = stages[kind, stage, "sum"], stages[kind, stage, "count"]
            table.add_row(stage, kind, f"{count:.0f}", f"{total:.1f}", f"{1000 * total / count:.1f}")
    console.print(table)

    table = Table("memory, MiB", "1st third", "2nd", "3rd", "most", title="private bytes, with all child processes")
    for v in load.memory.verdicts(*load.span):
        table.add_row(v.name, *(f"{size / MIB:.1f}" for size in (v.first, v.second, v.third, v.most)))
    console.print(table)
    console.print(f"load average: {os.getloadavg()[0]:.1f}")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--edges", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=100_000, help="never more than so many")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="hybrid-prover-load-"))
    try:
        load = Load(options, folder)
        stages = asyncio.run(load.run())
        report(load, stages, console)
        wrong = list(load.wrong)
        wrong += [f"{v.name} goes on growing: {v}" for v in load.memory.verdicts(*load.span) if v.grows]
        if not load.memory.verdicts(*load.span):
            wrong.append("the run was too short to tell whether anything grows")
        if not all(load.latencies[p] for p in Placement):
            wrong.append("some placement had no job")
        for text in wrong[:30]:
            console.print(f"WRONG {text}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"{len(wrong)} things are wrong" if wrong else "nothing is wrong")
        return 1 if wrong else 0
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
