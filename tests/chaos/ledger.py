"""What the daemons' logs say was done, and done again. Every count of the chaos run about work comes from here.

How it is measured. At level debug the edge writes a line before each chunk that it sends, and for each ack it hears;
the cloud writes one for each chunk that it hears, after deciding what to do with it, for each ack that it sends, for
each proof that is made and for each proof that it tells (which it does when the proof is durable). A line is one write,
and what is written stays when the process is killed, so the log of all lives of a daemon is complete and in order.

    sent after its ack     an edge sent a chunk after it had heard an ack of that chunk, in this or an earlier life
    asked for again        the cloud took a chunk as new after it had acked it: what was durable was lost
    came after its ack     the cloud heard a chunk that it had acked, and dropped it
    made after it was told a leaf proof was made after one of that segment had been told to an edge

must all be 0. What was in flight may be repeated: between two sends of one chunk (two starts of a segment's witness,
two proofs) there must be something that was broken at the time; otherwise it is counted as repeated without cause, and
that must be 0 too.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from monkey import Deed

SLACK_SECONDS = 1.5
"""So long after something was put right again, what was under way at the time may still get lost."""

Line = dict[str, Any]
Key = tuple[str, int]


@dataclass
class Repeats:
    """How often things were done, by thing."""

    times: dict[object, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, what: object, when: float) -> None:
        self.times[what].append(when)

    @property
    def things(self) -> int:
        return len(self.times)

    @property
    def repeated(self) -> int:
        """How often something was done that had been done before."""
        return sum(len(at) - 1 for at in self.times.values())

    def without_cause(self, deeds: Sequence[Deed]) -> list[object]:
        """What was done again though nothing had broken since the time before, once for each time."""
        return [
            what
            for what, at in self.times.items()
            for before, after in pairwise(at)
            if not any(d.began <= after and d.ended + SLACK_SECONDS >= before for d in deeds)
        ]


@dataclass
class Ledger:
    """The counts of one run."""

    chunks_sent: Repeats = field(default_factory=Repeats)
    witnesses: Repeats = field(default_factory=Repeats)
    proofs_at_cloud: Repeats = field(default_factory=Repeats)
    proofs_at_edges: Repeats = field(default_factory=Repeats)
    sent_after_ack: list[object] = field(default_factory=list)
    came_after_ack: list[object] = field(default_factory=list)
    asked_again: list[object] = field(default_factory=list)
    made_after_told: list[object] = field(default_factory=list)
    ends: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The states in which each job ended, at any daemon, in any life."""
    trouble: list[str] = field(default_factory=list)
    """Lines that no kill explains: faults of ours, caught and logged."""

    def read_edge(self, name: str, lines: Iterable[Line]) -> None:
        """One edge's log, all its lives in order. A job that failed and is submitted again is a new run of it."""
        acked: dict[Key, int] = defaultdict(int)
        runs: Counter[str] = Counter()
        for line in lines:
            key = (line.get("job_id", ""), line.get("segment") or 0)
            match line.get("event"):
                case "job accepted":
                    runs[key[0]] += 1
                    for known in [k for k in acked if k[0] == key[0]]:
                        del acked[known]
                case "chunk sent":
                    sequence = line["sequence"]
                    self.chunks_sent.add((name, *key, sequence, runs[key[0]]), line["at"])
                    if sequence < acked[key]:
                        self.sent_after_ack.append((name, *key, sequence))
                case "chunks acked":
                    acked[key] = max(acked[key], line["next"])
                case "witness begins":
                    self.witnesses.add((name, *key, runs[key[0]]), line["at"])
                case "witness done" if "prove" in line["ms"]:
                    self.proofs_at_edges.add((name, *key, runs[key[0]]), line["at"])
                case "job ended":
                    self.ends[line["job_id"]].add(line["state"])
                case _:
                    self._trouble(name, line)

    def read_cloud(self, lines: Iterable[Line]) -> None:
        """The cloud's log, all its lives in order."""
        acked: dict[Key, int] = defaultdict(int)
        told: set[Key] = set()
        for line in lines:
            key = (line.get("job_id", ""), line.get("segment") or 0)
            match line.get("event"):
                case "chunk_received":
                    if line["sequence"] < acked[key]:
                        again = self.asked_again if line["outcome"] == "accepted" else self.came_after_ack
                        again.append((*key, line["sequence"]))
                case "chunks_acked":
                    acked[key] = max(acked[key], line["next"])
                case "leaf_proved":
                    self.proofs_at_cloud.add(key, line["at"])
                    if key in told:
                        self.made_after_told.append(key)
                case "segment_proved" | "segment_verified":
                    told.add(key)
                case "job_ended":
                    self.ends[line["job_id"]].add(line["state"])
                case "job_begun_again":
                    for known in [k for k in acked if k[0] == key[0]]:
                        del acked[known]
                case _:
                    self._trouble("cloud", line)

    def _trouble(self, name: str, line: Line) -> None:
        if line.get("event") in _FAULTS or "exception" in line:
            self.trouble.append(f"{name}: {json.dumps({k: v for k, v in line.items() if k != 'at'})[:2000]}")


_FAULTS = frozenset(
    {"observer failed", "observer_failed", "tick broke", "witness broke", "leaf check broke", "chunk lost",
     "leaf of the cloud refused", "edge_distrusted", "partials refused", "chunk_log_failed", "uplink_failed"}
)  # fmt: skip


def read_log(file: Path) -> Iterator[Line]:
    """A daemon's lines with `at` in Unix seconds; what is not one of ours (a line torn by a kill) is left out."""
    with file.open(errors="replace") as log:
        for text in log:
            try:
                line = json.loads(text)
                line["at"] = datetime.fromisoformat(line["timestamp"]).timestamp()
            except (ValueError, KeyError, TypeError):
                continue
            yield line
