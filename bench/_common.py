"""What the benchmarks share: medians of calls in turn, and a table and JSON of figures."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from prover_core.types import FrVector, R


@dataclass(frozen=True)
class Figure:
    """One row: this engine's time, the time it is compared with, and what that is."""

    what: str
    size: str
    milliseconds: float
    lowest: float
    highest: float
    other: str
    other_milliseconds: float
    ratio: float
    """Other time over this time."""


def in_turn(calls: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float]) -> list[list[float]]:
    """Seconds of each call, alternating A B A B …; one more round first, which is not counted."""
    times: list[list[float]] = [[] for _ in calls]
    for k in range(rounds + 1):
        for call, log in zip(calls, times, strict=True):
            start = clock()
            call()
            if k:
                log.append(clock() - start)
    return times


def figure(what: str, size: str, mine: Sequence[float], other: str, theirs: Sequence[float]) -> Figure:
    """Medians; the ratio is the median of the ratios pair by pair, which holds when the machine's speed drifts."""
    ratio = statistics.median(t / m for m, t in zip(mine, theirs, strict=True))
    return Figure(
        what,
        size,
        statistics.median(mine) * 1e3,
        min(mine) * 1e3,
        max(mine) * 1e3,
        other,
        statistics.median(theirs) * 1e3,
        ratio,
    )


def scalars(n: int, seed: int = 1) -> FrVector:
    """Uniform scalars below r."""
    limbs = np.random.default_rng(seed).integers(0, 2**64, (n, 4), dtype=np.uint64)
    limbs[:, 3] %= np.uint64(R >> 192)
    return FrVector(limbs)


def arguments(what: str, **defaults: object) -> argparse.ArgumentParser:
    """A parser with the options every benchmark has."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds, of which medians are taken")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    for name, default in defaults.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    return parser


def report(name: str, device: str, figures: Sequence[Figure], to: Path | None) -> None:
    """Prints the table; JSON to the file, or after the table."""
    table = Table(title=f"{name} ({device})", title_justify="left")
    for column in ("", "size", "ms", "lowest-highest", "against", "its ms", "times faster"):
        table.add_column(column, justify="left" if column in ("", "against") else "right")
    for f in figures:
        table.add_row(
            f.what,
            f.size,
            f"{f.milliseconds:,.1f}",
            f"{f.lowest:,.1f}-{f.highest:,.1f}",
            f.other,
            f"{f.other_milliseconds:,.1f}",
            f"{f.ratio:.2f}",
        )
    Console(width=max(Console().width, 100)).print(table)  # whole, also where it is piped to a file
    text = json.dumps({"benchmark": name, "device": device, "figures": [asdict(f) for f in figures]}, indent=2)
    if to:
        to.write_text(text + "\n")
    else:
        print(text)
