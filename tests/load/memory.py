"""What every process holds, over time, and whether it goes on growing."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

MIB = 1 << 20
WARM_SHARE = 0.25
"""The first part of a run, in which caches fill, does not count."""
GROWTH_SHARE = 0.10
GROWTH_BYTES = 16 * MIB
"""By so much more than in the first third of the rest may a group of processes hold in the last third."""


@dataclass
class MemoryWatch:
    """Private memory (USS: mapped keys, which are shared with the page cache, do not count) by group of processes."""

    groups: Callable[[], Mapping[str, tuple[int, bool]]]
    """Name → process id of its head, and whether its children count with it."""
    pause: float = 1.0
    samples: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    async def run(self) -> None:
        """Samples until it is cancelled."""
        while True:
            now = time.monotonic()
            found = await asyncio.to_thread(lambda: {name: held(*who) for name, who in self.groups().items()})
            for name, size in found.items():
                self.samples[name].append((now, size))
            await asyncio.sleep(self.pause)

    def verdicts(self, began: float, ended: float) -> list[Verdict]:
        """How each group did between two times of the monotonic clock."""
        start = began + WARM_SHARE * (ended - began)
        third = (ended - start) / 3
        out = []
        for name, samples in sorted(self.samples.items()):
            parts = [
                [size for at, size in samples if start + k * third <= at < start + (k + 1) * third] for k in range(3)
            ]
            if all(parts):
                out.append(Verdict(name, *(round(statistics.median(p)) for p in parts), max(s for _, s in samples)))
        return out


@dataclass(frozen=True)
class Verdict:
    """Medians over the three thirds after warming up, and the most there ever was. Bytes."""

    name: str
    first: int
    second: int
    third: int
    most: int

    @property
    def grows(self) -> bool:
        """More in each third than in the one before, and more than a little in all."""
        more = self.third - self.first
        return self.first < self.second < self.third and more > GROWTH_BYTES + GROWTH_SHARE * self.first


def held(pid: int, children: bool = True) -> int:
    """Private bytes of a process, with `children` of all that it has started; what ends meanwhile counts nothing."""

    def of(process: Any) -> int:
        try:
            return int(process.memory_full_info().uss)
        except psutil.Error:
            return 0

    try:
        head = psutil.Process(pid)
        return of(head) + sum(of(child) for child in (head.children(recursive=True) if children else ()))
    except psutil.Error:
        return 0
