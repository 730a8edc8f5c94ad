"""The assembler's thread: what it does when, what it says, what it keeps. The wrap is one whose secrets are known."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "assembly"))

from stage1_samples import BACKEND, SampleKey, sample_key

from cloud import assembler
from cloud.assembler import Assembler
from cloud.assembly import Member, Shelf, Work, plan
from cloud.errors import FAILED_PRECONDITION, reason_of, refuse, violated_field
from cloud.model import CircuitInfo
from cloud.validation import wire_leaf
from hybrid_prover.v1 import common_pb2
from prover_core.assembly import AssemblyBuilder, AssemblyProof, WrapKey, assembly_publics
from prover_core.assembly.tree import Wrap
from prover_core.errors import BackendError, UnavailableError

SECONDS = 30.0


@cache
def circuits() -> dict[bytes, SampleKey]:
    return {b"a" * 32: sample_key(2, 91), b"b" * 32: sample_key(2, 92)}


@cache
def wrap() -> SampleKey:
    return sample_key(3, 93)


def work(*names: bytes) -> Work:
    members = [Member(0, i, CircuitInfo(name * 32, 9, 2)) for i, name in enumerate(names)]
    return plan(members, None, Shelf(makes=True, places=8), "assembly")


def leaf(name: bytes, i: int, *, claimed: int | None = None) -> common_pb2.LeafProof:
    """A proof for (i, 7) that says it is for (claimed, 7)."""
    proof = circuits()[name * 32].leaf([i, 7], 3 + i)
    return wire_leaf(proof, [i if claimed is None else claimed, 7])


class Rig:
    """An assembler and what it says."""

    def __init__(self) -> None:
        self.idle = False
        self.moved: list[tuple[int, int]] = []
        self.made: list[Any] = []
        self.broken: list[Any] = []
        self.away = 0
        self.missing = False
        self.finished: list[int] = []
        self.finish: Callable[..., AssemblyProof] = self._finish
        self._said = threading.Condition()
        self.made_by = Assembler(
            self,  # type: ignore[arg-type]
            SimpleNamespace(key=self._key),  # type: ignore[arg-type]
            BACKEND,
            idle=lambda: self.idle,
            on_moved=lambda _id, committed, proved, _timings: self._say(self.moved, (committed, proved)),
            on_made=lambda known, result, timings: self._say(self.made, (known, result, timings)),
            on_broken=lambda known, status, timings: self._say(self.broken, (known, status, timings)),
        )

    def verification_key(self, circuit: bytes) -> Any:
        """In place of the cache of circuits' keys."""
        if self.away:
            self.away -= 1
            raise UnavailableError("the bucket is away")
        return circuits()[circuit].vk

    def _key(self, chosen: Wrap) -> Any:
        if self.missing:
            raise refuse(FAILED_PRECONDITION, "no wrap key", reason="WRAP_KEY_MISSING", field="assembly")
        return SimpleNamespace(shape=chosen.shape, chain=chosen.chain, verification_key=wrap().vk)

    def _finish(self, builder: AssemblyBuilder, key: WrapKey, *_: object, goes_on: Callable[[], None]) -> AssemblyProof:
        goes_on()
        rows = [one.publics for one in builder._in_order()]
        self.finished.append(len(rows))
        publics = assembly_publics(key.shape, builder.key.vk, rows, key.chain)
        return AssemblyProof(wrap().leaf(publics, 11), publics, {"stage 1": 0.25, "wrap proof": 0.5})

    def _say(self, where: list[Any], what: object) -> None:
        with self._said:
            where.append(what)
            self._said.notify_all()

    def until(self, reached: Callable[[], bool]) -> None:
        with self._said:
            end = time.monotonic() + SECONDS
            while not reached():
                assert self._said.wait(0.05) or time.monotonic() < end


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig()
    monkeypatch.setattr(assembler, "finish_assembly", lambda *given, **more: made.finish(*given, **more))
    monkeypatch.setattr(assembler, "TELL_SECONDS", 0.0)
    yield made
    made.made_by.close()


def phases(timings: Any) -> dict[str, int]:
    return {t.phase: t.duration_nanos for t in timings}


def test_leaves_are_committed_to_as_they_come_and_nothing_is_proved_before_the_last(rig: Rig) -> None:
    job, todo = b"1" * 32, work(b"a", b"a", b"a")
    rig.made_by.put(job, todo, {2: leaf(b"a", 2)}, complete=False)
    rig.until(lambda: rig.moved[-1:] == [(1, 0)])
    rig.made_by.put(job, todo, {0: leaf(b"a", 0)}, complete=False)
    rig.until(lambda: rig.moved[-1:] == [(2, 0)])
    assert (rig.finished, rig.made_by.waiting) == ([], 0)
    rig.made_by.put(job, todo, {1: leaf(b"a", 1)}, complete=True)
    rig.until(lambda: bool(rig.made))
    known, result, timings = rig.made[0]
    assert known == job
    assert [x.segment.segment for x in result.contents.leaves] == [0, 1, 2]
    assert result.contents.leaf_key == circuits()[b"a" * 32].vk.digest.raw
    assert list(phases(timings)) == ["assembly_queue", "commit", "stage1", "wrap"]
    assert phases(timings)["stage1"] == 250_000_000
    assert phases(timings)["wrap"] >= 500_000_000
    assert rig.made_by.waiting == 0


def test_an_inner_assembly_is_proved_early_only_while_the_provers_are_idle(rig: Rig) -> None:
    job, todo = b"2" * 32, work(b"a", b"b", b"b")
    rig.made_by.put(job, todo, {1: leaf(b"b", 1), 2: leaf(b"b", 2)}, complete=False)
    rig.until(lambda: rig.moved[-1:] == [(2, 0)])
    assert rig.finished == [], "leaf proofs come first"
    rig.idle = True
    rig.made_by.put(job, todo, {}, complete=False)
    rig.until(lambda: rig.moved[-1:] == [(2, 1)])
    assert rig.finished == [2]
    rig.made_by.put(job, todo, {0: leaf(b"a", 0)}, complete=True)
    rig.until(lambda: bool(rig.made))
    assert rig.finished == [2, 1, 2], "the one that was there, the other, and both together"
    assert {len(x.assembly.leaves) for x in rig.made[0][1].contents.leaves} == {1, 2}


def test_more_trees_than_builders_are_made_all_the_same(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "MAX_BUILDERS", 1)
    jobs = [bytes([i]) * 32 for i in range(3)]
    for job in jobs:
        rig.made_by.put(job, work(b"a", b"a"), {0: leaf(b"a", 0)}, complete=False)
    rig.until(lambda: len(rig.moved) == 1)
    for job in jobs[::-1]:
        rig.made_by.put(job, work(b"a", b"a"), {1: leaf(b"a", 1)}, complete=True)
    rig.until(lambda: len(rig.made) == 3)
    assert [known for known, *_ in rig.made] == jobs[::-1], "in the order in which they became complete"


def test_a_leaf_that_does_not_verify_any_more_is_named(rig: Rig) -> None:
    given = {0: leaf(b"a", 0), 1: leaf(b"a", 1, claimed=5)}
    rig.made_by.put(b"3" * 32, work(b"a", b"a"), given, complete=True)
    rig.until(lambda: bool(rig.broken))
    _, status, _ = rig.broken[0]
    assert (reason_of(status), violated_field(status)) == ("LEAF_DAMAGED", "jobs[0].segments[1]")
    assert rig.finished == []


def test_a_missing_key_is_told_before_there_are_leaves(rig: Rig) -> None:
    rig.missing = True
    rig.made_by.put(b"4" * 32, work(b"a"), {}, complete=False)
    rig.until(lambda: bool(rig.broken))
    assert reason_of(rig.broken[0][1]) == "WRAP_KEY_MISSING"


def test_what_failed_once_starts_from_the_leaves_again_and_what_is_away_is_waited_for(rig: Rig) -> None:
    calls: list[int] = []

    def once(*given: Any, **more: Any) -> AssemblyProof:
        calls.append(len(given[0]))
        if len(calls) == 1:
            raise MemoryError
        return rig._finish(*given, **more)

    rig.finish, rig.away = once, 3
    rig.made_by.put(b"5" * 32, work(b"a", b"a"), {0: leaf(b"a", 0), 1: leaf(b"a", 1)}, complete=True)
    rig.until(lambda: bool(rig.made))
    assert (calls, rig.away, rig.broken) == ([2, 2], 0, [])


def test_what_fails_twice_is_given_up(rig: Rig) -> None:
    def never(*_: Any, **__: Any) -> AssemblyProof:
        raise BackendError("no")

    rig.finish = never
    rig.made_by.put(b"6" * 32, work(b"a"), {0: leaf(b"a", 0)}, complete=True)
    rig.until(lambda: bool(rig.broken))
    assert reason_of(rig.broken[0][1]) == "BACKEND_FAILED"
    assert rig.made_by.waiting == 0


def test_a_wrong_assembly_is_never_told(rig: Rig) -> None:
    """A device that proves something else, and one that proves nothing."""
    honest = rig._finish

    def other(*given: Any, **more: Any) -> AssemblyProof:
        made = honest(*given, **more)
        return AssemblyProof(made.proof, (*made.publics[:2], 5), made.seconds)

    def nothing(*given: Any, **more: Any) -> AssemblyProof:
        made = honest(*given, **more)
        return AssemblyProof(wrap().leaf([1, 2, 3], 4), made.publics, made.seconds)

    for wrong in (other, nothing):
        rig.finish = wrong
        rig.broken.clear()
        rig.made_by.put(b"0" * 32, work(b"a"), {0: leaf(b"a", 0)}, complete=True)
        rig.until(lambda: bool(rig.broken))
    assert rig.made == []


def test_of_what_is_stopped_nothing_is_said(rig: Rig) -> None:
    begun = threading.Event()

    def endless(*_: Any, goes_on: Callable[[], None], **__: Any) -> AssemblyProof:
        begun.set()
        while True:
            goes_on()
            time.sleep(0.001)

    rig.finish = endless
    stopped, next_one = b"7" * 32, b"8" * 32
    rig.made_by.put(stopped, work(b"a"), {0: leaf(b"a", 0)}, complete=True)
    assert begun.wait(SECONDS)
    rig.finish = rig._finish
    rig.made_by.put(next_one, work(b"a"), {0: leaf(b"a", 0)}, complete=True)
    rig.made_by.stop(stopped)
    rig.made_by.stop(b"9" * 32)
    rig.until(lambda: bool(rig.made))
    assert [known for known, *_ in rig.made] == [next_one]
    assert rig.broken == []
