"""Who breaks things: a seeded schedule of kills and cuts, carried out at random moments while jobs run."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import psutil
from faulty_proxy import FaultyProxy
from fleet import Daemon, Fleet

T = TypeVar("T")

SHARES: Mapping[str, int] = {
    "kill cloud": 10,
    "kill edge": 12,
    "kill remote worker": 12,
    "kill witness worker": 14,
    "kill database": 5,
    "reset uplink": 16,
    "cut uplink mid-message": 9,
    "silence uplink": 6,
    "half-open uplink": 4,
    "reset worker's line": 8,
    "reset database's line": 4,
}
"""What is done, in percent."""
VICTIM_SECONDS = 30.0
"""How long a victim is waited for (a killed cloud has to come up before it can be killed again)."""
MEETING_SECONDS = 2.0
SILENCE_SECONDS = (0.5, 2.5)


def schedule(kills: int, rng: random.Random) -> list[str]:
    """So many deeds in random order; each kind at least once, beyond that by its share."""
    weights = list(SHARES.values())
    deeds = [*SHARES][:kills] + rng.choices([*SHARES], weights, k=max(0, kills - len(SHARES)))
    rng.shuffle(deeds)
    return deeds


@dataclass(frozen=True)
class Deed:
    """One thing that was broken: from when to when things were not as they should be (Unix seconds)."""

    kind: str
    victim: str
    began: float
    ended: float


@dataclass
class Monkey:
    """`run` to carry out a schedule; then `deeds` says what was done."""

    fleet: Fleet
    rng: random.Random
    deeds: list[Deed] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    _after: set[asyncio.Task[None]] = field(default_factory=set)
    _busy: set[str] = field(default_factory=set)

    @property
    def down(self) -> frozenset[str]:
        """Daemons that are down because they were killed."""
        return frozenset(self._busy)

    async def run(self, kinds: list[str], seconds: float) -> None:
        """All of it, spread over `seconds`; longer only where victims have to come up first."""
        pause = seconds / len(kinds)
        due = time.monotonic()
        for kind in kinds:
            due += pause * self.rng.uniform(0.3, 1.7)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not await self._do(kind):
                self.skipped[kind] += 1
        await asyncio.gather(*self._after)

    async def _do(self, kind: str) -> bool:
        fleet, rng = self.fleet, self.rng
        match kind:
            case "kill cloud":
                more = ["--remote-workers-only"] if rng.random() < 0.5 else []
                return await self._kill(kind, [fleet.cloud], *more)
            case "kill edge":
                return await self._kill(kind, fleet.edges)
            case "kill remote worker":
                return await self._kill(kind, fleet.workers)
            case "kill witness worker":
                return await self._kill_witness_worker(kind)
            case "kill database":
                return await self._kill_database(kind)
            case "reset worker's line":
                return await self._reset(kind, fleet.work_lines)
            case "reset database's line":
                return await self._reset(kind, [fleet.database_line])
            case "reset uplink":
                return await self._reset(kind, fleet.uplinks)
            case "cut uplink mid-message":
                return await self._cut_mid_message(kind)
            case "silence uplink":
                return await self._silence(kind, FaultyProxy.stall)
            case _:
                return await self._silence(kind, FaultyProxy.half_open)

    async def _victim(self, candidates: list[Daemon]) -> Daemon | None:
        """One that lives and is not about to be brought back, old enough to be at something."""
        return await self._wait_for(
            lambda: [d for d in candidates if d.alive and d.age > 1.0 and d.name not in self._busy]
        )

    async def _wait_for(
        self, found: Callable[[], list[T]], seconds: float = VICTIM_SECONDS, pause: float = 0.05
    ) -> T | None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if candidates := found():
                return self.rng.choice(candidates)
            await asyncio.sleep(pause)
        return None

    async def _kill(self, kind: str, candidates: list[Daemon], *more: str) -> bool:
        victim = await self._victim(candidates)
        if victim is None:
            return False
        began = time.time()
        self._busy.add(victim.name)
        victim.kill()

        async def bring_back() -> None:
            await asyncio.sleep(self.rng.uniform(0.0, 1.0))
            victim.start(*more)
            self._busy.discard(victim.name)

        self._later(kind, victim.name, began, bring_back())
        return True

    async def _kill_witness_worker(self, kind: str) -> bool:
        """One in the middle of something, if that can be met."""

        def found(*, busy: bool) -> list[tuple[Daemon, psutil.Process]]:
            return [
                (edge, child)
                for edge in self.fleet.edges
                if edge.alive and edge.name not in self._busy
                for child in edge.descendants()
                if not busy or is_running(child)
            ]

        chosen = await self._wait_for(lambda: found(busy=True), MEETING_SECONDS, 0.002)
        chosen = chosen or await self._wait_for(lambda: found(busy=False))
        if chosen is None:
            return False
        began = time.time()
        with contextlib.suppress(psutil.NoSuchProcess):
            chosen[1].kill()
            self._later(kind, chosen[0].name, began)
            return True
        return False

    async def _kill_database(self, kind: str) -> bool:
        postgres = self.fleet.postgres
        if await self._wait_for(lambda: [] if "database" in self._busy else [postgres]) is None:
            return False
        began = time.time()
        self._busy.add("database")
        await asyncio.to_thread(postgres.kill)

        async def bring_back() -> None:
            await asyncio.sleep(self.rng.uniform(0.0, 2.0))
            await asyncio.to_thread(postgres.start)
            self._busy.discard("database")

        self._later(kind, "database", began, bring_back())
        return True

    async def _line(self, lines: list[FaultyProxy]) -> FaultyProxy | None:
        return await self._wait_for(lambda: [p for p in lines if p.connections and p.address not in self._busy])

    async def _reset(self, kind: str, lines: list[FaultyProxy]) -> bool:
        line = await self._line(lines)
        if line is None:
            return False
        began = time.time()
        line.cut()
        self._later(kind, line.address, began)
        return True

    async def _cut_mid_message(self, kind: str) -> bool:
        """The connection carries some more bytes, then breaks: in the middle of whatever they are."""
        line = await self._line(self.fleet.uplinks)
        if line is None:
            return False
        began, before = time.time(), line.counts["cuts"]
        line.up.cut_after = self.rng.randrange(1, 60_000)
        for _ in range(300):
            if line.counts["cuts"] > before:
                break
            await asyncio.sleep(0.02)
        else:
            line.up.cut_after = None
            line.cut()
        self._later(kind, line.address, began)
        return True

    async def _silence(self, kind: str, how: Callable[[FaultyProxy], object]) -> bool:
        line = await self._line(self.fleet.uplinks)
        if line is None:
            return False
        began = time.time()
        self._busy.add(line.address)
        how(line)

        async def heal() -> None:
            await asyncio.sleep(self.rng.uniform(*SILENCE_SECONDS))
            line.heal()
            self._busy.discard(line.address)

        self._later(kind, line.address, began, heal())
        return True

    def _later(self, kind: str, victim: str, began: float, repair: Awaitable[None] | None = None) -> None:
        """The deed is written down when what it broke has been put right."""

        async def finish() -> None:
            if repair is not None:
                await repair
            self.deeds.append(Deed(kind, victim, began, time.time()))

        task = asyncio.create_task(finish())
        self._after.add(task)
        task.add_done_callback(self._after.discard)


def is_running(process: psutil.Process) -> bool:
    """Whether it is on a processor, or waits for one."""
    try:
        return bool(process.status() == psutil.STATUS_RUNNING)
    except psutil.NoSuchProcess:
        return False
