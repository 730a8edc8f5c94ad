"""Times and their spread, per kind of operation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing, in seconds or as a ratio."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def lowest(self) -> float:
        """The least."""
        return min(self.values)

    @property
    def highest(self) -> float:
        """The greatest."""
        return max(self.values)

    def seconds(self) -> str:
        """`1.23 s`, and `1.20-1.31` on a line of its own."""
        return f"{self.median:.2f} s\n{self.lowest:.2f}-{self.highest:.2f}"

    def percent(self) -> str:
        """`62 %`, and `60 to 64` on a line of its own."""
        return f"{100 * self.median:.0f} %\n{100 * self.lowest:.0f} to {100 * self.highest:.0f}"


@dataclass
class Row:
    """What was measured of one kind of operation, or of the whole block; one entry a repetition in each list."""

    name: str
    segments: int
    constraints: int
    one_thread: list[float] = field(default_factory=list)
    """Sequential, store and forward, through an edge and a cloud that proves on one thread."""
    all_cores: list[float] = field(default_factory=list)
    """As one_thread, with a cloud that proves on all cores."""
    bare_one_thread: list[float] = field(default_factory=list)
    """Sequential in one process, without edge, cloud or wire, on one thread."""
    bare_all_cores: list[float] = field(default_factory=list)
    """As bare_one_thread, each prover call on all cores."""
    pipelined: list[float] = field(default_factory=list)
    """From submission to verified job, through edge and cloud."""

    def reduction(self, base: Sequence[float]) -> Spread:
        """1 - pipelined / base, repetition by repetition."""
        return Spread(tuple(1 - p / b for p, b in zip(self.pipelined, base, strict=True)))

    def to_json(self) -> dict[str, object]:
        """All measurements and the reductions."""
        return {
            "operation": self.name,
            "segments": self.segments,
            "constraints": self.constraints,
            "sequential_one_thread_seconds": self.one_thread,
            "sequential_all_cores_seconds": self.all_cores,
            "bare_sequential_one_thread_seconds": self.bare_one_thread,
            "bare_sequential_all_cores_seconds": self.bare_all_cores,
            "pipelined_seconds": self.pipelined,
            "reduction_to_one_thread": self.reduction(self.one_thread).median,
            "reduction_to_all_cores": self.reduction(self.all_cores).median,
            "reduction_to_bare_one_thread": self.reduction(self.bare_one_thread).median,
            "reduction_to_bare_all_cores": self.reduction(self.bare_all_cores).median,
        }
