"""`make chaos`: a cloud on PostgreSQL, edges and remote workers are killed and cut off while jobs stream through them.

    .venv/bin/python tests/chaos/run.py [--kills 100] [--seconds 540] [--seed N] [--edges 2] [--workers 2] [--clients 6]

`--seconds` bounds all of it: half of it goes to the killing. Prints what was broken, what was done and what was done
again; exit code 1 if a job is lost, doubled or wrong, if anything finished was repeated, or if time ran out. The seed
is printed: the same seed gives the same jobs and deeds, though not the same moments. How repeats are counted is
written in ledger.py. `--keep DIR` keeps data folders and logs.
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
from collections import Counter
from contextlib import suppress
from pathlib import Path

import paths  # noqa: F401
from audit import Audit
from clients import Clients
from fleet import Fleet
from ledger import Ledger, read_log
from monkey import Monkey, schedule
from rich.console import Console
from rich.table import Table
from workload import Stream, make_circuits

from prover_core.backend import select

KILLING_SHARE = 0.5


class Chaos:
    """One run from its first process to its verdict."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.backend = select().backend
        self.circuits = make_circuits(folder / "circuits", self.backend)
        self.fleet = Fleet(folder, edges=options.edges, workers=options.workers, seed=options.seed)
        self.clients = Clients(self.fleet, Stream(self.circuits, options.seed))
        self.monkey = Monkey(self.fleet, random.Random(options.seed))
        self.audit = Audit(self.fleet, self.circuits, self.clients.records, self.backend)
        self.wrong: list[str] = []
        self.phases: dict[str, float] = {}

    async def run(self) -> None:
        """Everything but the ledger."""
        options, start = self.options, time.monotonic()
        async with self.fleet as fleet:
            for target in fleet.edge_targets:
                async with fleet.client(target, timeout=60) as client:
                    for made in self.circuits.values():
                        await made.register(client)
            self._phase("start", start)
            watch = asyncio.create_task(self._watch())
            clients = [asyncio.create_task(self.clients.run(number)) for number in range(options.clients)]
            begun = time.monotonic()
            left = options.seconds - (begun - start)
            try:
                async with asyncio.timeout(left):
                    kinds = schedule(options.kills, random.Random(options.seed))
                    await self.monkey.run(kinds, KILLING_SHARE * left)
                    self._phase("killing", begun)
                    begun, self.clients.stopping = time.monotonic(), True
                    await asyncio.gather(*clients)
                    self._phase("last jobs", begun)
                    begun = time.monotonic()
                    await self.audit.run()
                    self._phase("audit", begun)
            except TimeoutError:
                self.wrong.append(f"time is up after {options.seconds} s: {self.clients.unfinished} jobs have no end")
            finally:
                for task in (watch, *clients):
                    task.cancel()
                await asyncio.gather(watch, *clients, return_exceptions=True)
            orphans = [pid for edge in fleet.edges for pid in edge.orphans()]
            self.wrong += [f"witness worker {pid} outlived its edge" for pid in orphans]

    def _phase(self, name: str, since: float) -> None:
        self.phases[name] = round(time.monotonic() - since, 1)

    async def _watch(self) -> None:
        """No daemon ends unless it is killed."""
        while True:
            await asyncio.sleep(0.2)
            for daemon in self.fleet.daemons:
                daemon.descendants()
                if not daemon.alive and daemon.name not in self.monkey.down:
                    code = daemon.process.returncode if daemon.process else None
                    self.wrong.append(f"{daemon.name} ended by itself with exit code {code}")
                    daemon.start()

    def reckon(self) -> Ledger:
        """The logs, once nobody writes them any more."""
        ledger = Ledger()
        for edge in self.fleet.edges:
            ledger.read_edge(edge.name, read_log(edge.log))
        ledger.read_cloud(read_log(self.fleet.cloud.log))
        return ledger


def verdict(chaos: Chaos, ledger: Ledger) -> list[str]:
    """All that is wrong."""
    wrong = [*chaos.wrong, *chaos.audit.wrong, *ledger.trouble]
    deeds, options = chaos.monkey.deeds, chaos.options
    if len(deeds) < options.kills:
        wrong.append(f"only {len(deeds)} of {options.kills} deeds were done; not: {dict(chaos.monkey.skipped)}")
    wrong += [f"job {job_id} ended as {sorted(ends)}" for job_id, ends in ledger.ends.items() if len(ends) > 1]
    for what, found in (
        ("chunk sent again after its ack", ledger.sent_after_ack),
        ("chunk came again after its ack", ledger.came_after_ack),
        ("acked chunk asked for again", ledger.asked_again),
        ("proof made again after it was told", ledger.made_after_told),
        ("chunk sent twice without cause", ledger.chunks_sent.without_cause(deeds)),
        ("witness begun twice without cause", ledger.witnesses.without_cause(deeds)),
        ("proof made twice at the cloud without cause", ledger.proofs_at_cloud.without_cause(deeds)),
        ("proof made twice at an edge without cause", ledger.proofs_at_edges.without_cause(deeds)),
    ):
        wrong += [f"{what}: {thing}" for thing in found]
    return wrong


def report(chaos: Chaos, ledger: Ledger, console: Console) -> None:
    """The counts."""
    deeds, audit, records = chaos.monkey.deeds, chaos.audit, chaos.clients.records
    table = Table("what was broken", "times", title=f"seed {chaos.options.seed}")
    for kind, times in sorted(Counter(d.kind for d in deeds).items()):
        table.add_row(kind, str(times))
    table.add_row("all", str(len(deeds)), style="bold")
    console.print(table)

    table = Table("jobs", "number")
    outcomes = Counter(("poison " if r.work.poison else "") + (r.outcome or "without end") for r in records)
    for what, number in [("submitted", len(records)), *sorted(outcomes.items()), *sorted(audit.counts.items())]:
        table.add_row(what, str(number))
    table.add_row("calls repeated by clients", ", ".join(f"{n} {c}" for c, n in chaos.clients.retries.items()))
    console.print(table)

    table = Table("work", "things", "repeated in flight", "of these without cause", "after it was acked or told")
    for what, repeats, finished in (
        ("chunks sent", ledger.chunks_sent, len(ledger.sent_after_ack) + len(ledger.came_after_ack)),
        ("chunks asked for by the cloud", None, len(ledger.asked_again)),
        ("witnesses begun", ledger.witnesses, None),
        ("proofs made for the cloud", ledger.proofs_at_cloud, len(ledger.made_after_told)),
        ("proofs made at edges (private)", ledger.proofs_at_edges, None),
    ):
        row = (
            [str(repeats.things), str(repeats.repeated), str(len(repeats.without_cause(deeds)))]
            if repeats
            else [""] * 3
        )
        table.add_row(what, *row, "" if finished is None else str(finished))
    console.print(table)
    lives = ", ".join(f"{d.name} {d.starts}" for d in chaos.fleet.daemons)
    console.print(f"lives: {lives}; seconds: {chaos.phases}; load average: {os.getloadavg()[0]:.1f}")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=100, help="how many things are broken")
    parser.add_argument("--seconds", type=float, default=540.0, help="limit for all of it")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--edges", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--keep", type=Path, default=None, help="folder for data and logs, kept")
    options = parser.parse_args()
    options.seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    console = Console()
    console.print(f"chaos: seed {options.seed}, {options.kills} deeds within {options.seconds:.0f} s")
    folder = options.keep or Path(tempfile.mkdtemp(prefix="hybrid-prover-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        chaos = Chaos(options, folder)
        asyncio.run(chaos.run())
        ledger = chaos.reckon()
        report(chaos, ledger, console)
        wrong = verdict(chaos, ledger)
        for text in wrong[:50]:
            console.print(f"WRONG {text}", markup=False, highlight=False, soft_wrap=True)
        console.print(
            f"{len(wrong)} things are wrong" if wrong else "nothing is wrong", style="red" if wrong else "green"
        )
        return 1 if wrong else 0
    finally:
        if options.keep is None:
            with suppress(OSError):
                shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
