"""A lease book at a desk of the tests': what it says is kept, and time passes when a test says so."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.rpc import status_pb2

from cloud.errors import make_status
from cloud.leases import (
    LOCAL,
    SECOND,
    Instruction,
    LeaseBook,
    Over,
    Verdict,
)
from cloud.model import CircuitInfo, SegmentKey

CIRCUIT = CircuitInfo(b"c" * 32, wires=1000, n_public=1)
TTL = 15 * SECOND
ERROR = make_status(13, "the device erred", reason="BACKEND_FAILED")
FAULT = make_status(9, "constraint 3 is broken", reason="UNSATISFIED_CONSTRAINT")
A, B = b"a" * 16, b"b" * 16


def key(number: int, job: bytes = b"j" * 32) -> SegmentKey:
    return job, number


@dataclass
class Desk:
    """A book whose instructions are kept, with a clock of its own."""

    book: LeaseBook = field(
        default_factory=lambda: LeaseBook(incarnation=1, budget=3, poison_losses=5, lease_nanos=TTL)
    )
    now: int = 10**12
    said: list[Instruction] = field(default_factory=list)

    def do(self, out: list[Instruction]) -> list[Instruction]:
        self.said += out
        return out

    def enlist(self, worker: bytes, lanes: int = 1, **options: object) -> list[Instruction]:
        return self.do(self.book.enlist(worker, worker.hex()[:4], lanes, self.now, **options))

    def local(self, lanes: int = 2) -> None:
        self.enlist(LOCAL, lanes, bounded=False)

    def advance(self, number: int, chunks: int = 4, complete: bool = True, **options: object) -> list[Instruction]:
        return self.do(self.book.advance(key(number), CIRCUIT, chunks, complete, self.now, **options))

    def wait(self, seconds: float) -> list[Instruction]:
        """Time passes, a tick each second."""
        out: list[Instruction] = []
        for _ in range(int(seconds)):
            self.now += SECOND
            out += self.do(self.book.tick(self.now))
        return out

    def holder(self, number: int) -> bytes | None:
        lease = self.book.tasks[key(number)].lease
        return lease.worker if lease is not None else None

    def token(self, number: int) -> int:
        lease = self.book.tasks[key(number)].lease
        assert lease is not None
        return lease.token

    def fail(
        self, number: int, verdict: Verdict = Verdict.ERROR, error: status_pb2.Status = ERROR
    ) -> list[Instruction]:
        return self.do(self.book.failed(key(number), self.token(number), error, verdict, self.now))


def kinds(out: list[Instruction]) -> list[str]:
    return [type(x).__name__ for x in out]


def over(out: list[Instruction]) -> status_pb2.Status:
    (found,) = [x.error for x in out if isinstance(x, Over)]
    return found
