"""The lease book under any order of events: no task is lost, none has two leases, every budget adds up."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from lease_desk import CIRCUIT, ERROR, A, Desk, key

from cloud.attempts import Outcome, failures, losses_in_a_row
from cloud.leases import (
    LOCAL,
    SECOND,
    Grant,
    Instruction,
    More,
    Over,
    Reclaim,
    Revoke,
    Tried,
    Verdict,
)
from cloud.model import SegmentKey

numbers = st.integers(0, 5)
workers = st.integers(0, 3)


class Leases(RuleBasedStateMachine):
    """Any order of events; beside the book a plain account of who was told what."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.live: dict[SegmentKey, tuple[bytes, int]] = {}
        self.tokens: dict[SegmentKey, int] = {}
        self.wanted: set[SegmentKey] = set()
        self.spent: dict[SegmentKey, int] = {}
        self.up: dict[bytes, int] = {}

    def see(self, out: list[Instruction]) -> None:
        for x in out:
            match x:
                case Grant():
                    assert x.key not in self.live, "two live leases"
                    assert x.token > self.tokens.get(x.key, 0)
                    assert x.worker in self.up or x.worker == LOCAL
                    self.tokens[x.key] = x.token
                    self.live[x.key] = (x.worker, x.token)
                case More():
                    assert self.live[x.key] == (x.worker, x.token)
                case Revoke():
                    if self.live.get(x.key) == (x.worker, x.token):
                        del self.live[x.key]
                case Tried():
                    self.spent[x.key] = self.spent.get(x.key, 0) + (x.attempt.outcome is not Outcome.LOST)
                case Over():
                    assert x.key in self.wanted
                    assert self.spent.get(x.key, 0) <= 3
                    self.wanted.discard(x.key)
                    self.live.pop(x.key, None)
                    self.spent.pop(x.key, None)
                case Reclaim():
                    pass

    @rule(number=workers, lanes=st.integers(1, 3))
    def worker_comes(self, number: int, lanes: int) -> None:
        worker = bytes([number]) * 16
        held = {k: t for k, (w, t) in self.live.items() if w == worker}
        self.up[worker] = lanes
        self.see(self.desk.book.enlist(worker, "w", lanes, self.desk.now, holds=held))

    @rule(number=workers)
    def worker_comes_new(self, number: int) -> None:
        """The process was killed and is back under its old id without its leases: all of them wait again."""
        worker = bytes([number]) * 16
        self.up[worker] = 1
        for k in [k for k, (w, _) in self.live.items() if w == worker]:
            del self.live[k]
        self.see(self.desk.book.enlist(worker, "w", 1, self.desk.now))

    @rule(number=workers)
    def worker_vanishes(self, number: int) -> None:
        worker = bytes([number]) * 16
        self.up.pop(worker, None)
        self.see(self.desk.book.disconnected(worker, self.desk.now))

    @rule(number=workers)
    def beat(self, number: int) -> None:
        self.see(self.desk.book.heartbeat(bytes([number]) * 16, self.desk.now))

    @rule(number=workers)
    def leave(self, number: int) -> None:
        self.see(self.desk.book.leaving(bytes([number]) * 16, self.desk.now))

    @rule(on=st.booleans())
    def local(self, on: bool) -> None:
        if on:
            self.see(self.desk.book.enlist(LOCAL, "local", 2, self.desk.now, bounded=False, holds=self.of(LOCAL)))

    def of(self, worker: bytes) -> dict[SegmentKey, int]:
        return {k: t for k, (w, t) in self.live.items() if w == worker}

    @rule(number=numbers, job=st.integers(0, 1), chunks=st.integers(1, 4), complete=st.booleans())
    def advance(self, number: int, job: int, chunks: int, complete: bool) -> None:
        k = key(number, bytes([job]) * 32)
        self.wanted.add(k)
        self.see(self.desk.book.advance(k, CIRCUIT, chunks, complete, self.desk.now))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), verdict=st.sampled_from(Verdict), stale=st.booleans())
    def fail(self, data: st.DataObject, verdict: Verdict, stale: bool) -> None:
        k = data.draw(st.sampled_from(sorted(self.live)))
        _, token = self.live[k]
        if not stale:
            del self.live[k]
        self.see(self.desk.book.failed(k, token - stale, ERROR, verdict, self.desk.now))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), stale=st.booleans())
    def hand_back(self, data: st.DataObject, stale: bool) -> None:
        k = data.draw(st.sampled_from(sorted(self.live)))
        _, token = self.live[k]
        if not stale:
            del self.live[k]
        self.see(self.desk.book.hand_back(k, token - stale, self.desk.now))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), consumed=st.integers(0, 4))
    def progress(self, data: st.DataObject, consumed: int) -> None:
        k = data.draw(st.sampled_from(sorted(self.live)))
        self.see(self.desk.book.progress(k, self.live[k][1], consumed, self.desk.now))

    @rule(number=numbers, job=st.integers(0, 1), by=workers)
    def prove(self, number: int, job: int, by: int) -> None:
        """Whoever brings a valid proof, in time or late."""
        k, worker = key(number, bytes([job]) * 32), bytes([by]) * 16
        if self.live.get(k, (b"", 0))[0] == worker:
            del self.live[k]
        accepted, out = self.desk.book.proved(k, worker, 1.5, self.desk.now)
        assert accepted == (k in self.wanted)
        self.wanted.discard(k)
        self.spent.pop(k, None)
        self.see(out)

    @rule(number=numbers, job=st.integers(0, 1))
    def forget(self, number: int, job: int) -> None:
        k = key(number, bytes([job]) * 32)
        self.wanted.discard(k)
        self.spent.pop(k, None)
        self.see(self.desk.book.forget(k, self.desk.now))

    @rule(seconds=st.sampled_from([0.1, 1, 4, 6, 20, 4000, -50]))
    def time(self, seconds: float) -> None:
        self.desk.now += int(seconds * SECOND)
        self.see(self.desk.book.tick(self.desk.now))

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        book = self.desk.book
        assert set(book.tasks) == self.wanted
        held = {k: (t.lease.worker, t.lease.token) for k, t in book.tasks.items() if t.lease is not None}
        assert held == self.live
        assert {k for w in book.workers.values() for k in w.held} == set(held)
        assert set(book._waiting) == set(book.tasks) - set(held)
        for worker in book.workers.values():
            assert all(held[k][0] == worker.worker_id for k in worker.held)
        for k, task in book.tasks.items():
            assert failures(task.attempts) == self.spent.get(k, 0) < 3
            assert losses_in_a_row(task.attempts) < 5
        if any(w.connected and not (w.leaving or w.silent) and len(w.held) < w.lanes for w in book.workers.values()):
            assert not book._waiting, "a task waits though a lane is free"

    def teardown(self) -> None:
        """Every task ends once there is a worker that does its work."""
        book, desk = self.desk.book, self.desk
        self.up[A] = 64
        self.see(book.enlist(A, "good", 64, desk.now))
        for _ in range(200):
            if not book.tasks:
                break
            desk.now += SECOND
            self.see(book.heartbeat(A, desk.now))
            self.see(book.tick(desk.now))
            for k in [k for k, (w, _) in self.live.items() if w in (A, LOCAL)]:
                if k in self.live:
                    worker, _ = self.live.pop(k)
                    self.wanted.discard(k)
                    self.see(book.proved(k, worker, 1.0, desk.now)[1])
        assert not book.tasks


Leases.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
test_leases_under_any_order_of_events = Leases.TestCase
