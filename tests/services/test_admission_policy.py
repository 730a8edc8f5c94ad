"""Whose turn it is and how much a client may have: the arithmetic that edge and cloud share, without any service."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.rpc import error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_prover.admission.fairness import FairShare, Priority, Share, Turns, latest_deadline
from hybrid_prover.admission.quotas import (
    SECOND,
    UNLIMITED,
    Buckets,
    Exceeded,
    Quota,
    Slots,
    TokenBucket,
    Usage,
    exceeded,
)
from hybrid_prover.admission.refusals import refusal
from hybrid_prover.admission.table import QuotaTable, read_table
from hybrid_prover.security.principal import Right
from hybrid_prover.security.tokens import make_token
from prover_core.errors import FormatError, InvalidInputError

MINUTE = 60 * SECOND
names = st.sampled_from("abcde")


# Fair share


@given(st.lists(st.integers(1, 50), min_size=2, max_size=5), st.integers(50, 300))
def test_backlogged_clients_get_work_in_proportion_to_their_weights(weights: list[int], steps: int) -> None:
    clients = {f"c{i}": float(w) for i, w in enumerate(weights)}
    fair, got = FairShare(clients.__getitem__), dict.fromkeys(clients, 0.0)
    for step in range(steps):
        chosen = min(clients, key=fair.rank)
        work = 1.0 + step % 3
        got[chosen] += work
        fair.charge(chosen, work)
        normal = [got[c] / clients[c] for c in clients]
        largest = max(3.0 / w for w in clients.values())
        assert max(normal) - min(normal) <= 2 * largest + 1e-9


@given(st.lists(st.tuples(names, st.integers(0, 100)), max_size=200), st.sampled_from(["x", "a"]))
def test_who_comes_back_is_next_and_has_saved_nothing_up(history: list[tuple[str, int]], comer: str) -> None:
    fair = FairShare()
    for client, work in history:
        fair.charge(client, work)
    busy = min("bcde", key=fair.rank)
    fair.charge(busy, 10)
    if comer == "x":
        assert fair.rank("x") <= min(fair.rank(c) for c in "abcde")
    fair.charge(comer, 10)
    waits = sum(min([comer, "b"], key=fair.rank) == comer for _ in range(3))
    for _ in range(3):
        fair.charge(min([comer, "b"], key=fair.rank), 10)
    assert waits in (0, 3), "one of the two is next until something is served"


def test_tags_of_clients_that_have_gone_are_let_go() -> None:
    fair = FairShare()
    for k in range(10_000):
        fair.charge(f"client {k}", 1)
    assert len(fair._tags) <= 256
    assert fair._served.keys() == fair._tags.keys()


kinds = st.sampled_from(["put", "remove", "took"])


@given(st.lists(st.tuples(kinds, st.integers(0, 9), names, st.sampled_from(Priority)), max_size=60))
@settings(max_examples=60)
def test_turns_hold_every_job_once_and_urgent_ones_first(events: list[tuple[str, int, str, Priority]]) -> None:
    turns, known = Turns(FairShare()), dict[bytes, Share]()
    for kind, number, client, priority in events:
        job = bytes([number])
        if kind == "put":
            known[job] = Share(client, priority)
            turns.put(job, known[job])
        elif kind == "remove":
            known.pop(job, None)
            turns.remove(job)
        elif job in known:
            turns.took(job, 5)
            rest = [j for j in turns.order() if known[j] == known[job]]
            assert rest[-1] == job
        order = list(turns.order())
        assert sorted(order) == sorted(known)
        assert len(turns) == len(known)
        urgent = [known[j].urgent for j in order]
        assert urgent == sorted(urgent, reverse=True)
        for name in "abcde":
            mine = [known[j].priority for j in order if known[j].client == name]
            assert mine == sorted(mine, reverse=True)


def test_priority_takes_nothing_from_other_clients() -> None:
    turns = Turns(FairShare())
    for k in range(4):
        turns.put(b"loud %d" % k, Share("loud", Priority.HIGH))
        turns.put(b"quiet %d" % k, Share("quiet", Priority.LOW))
    taken = []
    for _ in range(20):
        job = next(turns.order())
        taken.append(job[:4])
        turns.took(job, 10)
    assert taken.count(b"quie") == 10
    turns.put(b"now", Share("quiet", Priority.URGENT))
    assert next(turns.order()) == b"now"


@pytest.mark.parametrize(("given_", "latest"), [((), 0), ((5,), 5), ((5, 9), 9), ((5, 0), 0), ((0, 0), 0)])
def test_the_latest_deadline_counts_and_none_is_latest(given_: tuple[int, ...], latest: int) -> None:
    assert latest_deadline(*given_) == latest


# Quotas


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 2 * MINUTE)), max_size=50), st.integers(1, 30))
def test_a_bucket_gives_no_more_than_its_rate_and_its_waits_are_true(asked: list[tuple[int, int]], most: int) -> None:
    bucket, now, taken = TokenBucket(most, MINUTE, 0), 0, 0
    for amount, pause in asked:
        now += pause
        wait = bucket.take(amount, most, now)
        if not wait:
            taken += amount
            assert taken <= most + most * now / MINUTE + 20 + 1e-6
        else:
            assert wait <= MINUTE + 20 * MINUTE // most
            level = bucket.level(now + wait + 1)
            assert level + 1e-3 >= min(amount, most)


def test_buckets_of_quiet_clients_are_let_go() -> None:
    buckets = Buckets(MINUTE)
    for k in range(5000):
        assert buckets.take(f"client {k}", 1, 60, k * SECOND) == 0
    assert len(buckets) <= 512


def test_the_first_limit_that_would_break_is_named() -> None:
    quota = Quota(jobs=2, segments=10, backlog_bytes=100)
    assert exceeded(quota, "a", Usage(1, 5, 50), Usage(1, 5, 50)) is None
    over = exceeded(quota, "a", Usage(1, 5, 50), Usage(1, 6, 51))
    assert over == Exceeded("segments", "a", 5, 6, 10)
    assert "client a" in over.message
    assert exceeded(quota, "a", Usage(2, 0, 0), Usage(1, 1, 1)) == Exceeded("jobs", "a", 2, 1, 2)
    assert exceeded(UNLIMITED, "local", Usage(10**6, 10**9, 10**15), Usage(1, 4096, 10**12)) is None


def test_slots_are_counted_for_each_and_for_all() -> None:
    slots = Slots()
    assert [slots.take("watchers", c, 2, 3) for c in "aab"] == [None] * 3
    full = slots.take("watchers", "c", 2, 3)
    assert full is not None
    assert (full.client, full.reason) == ("", "LIMIT_WATCHERS")
    slots.give("b")
    over = slots.take("watchers", "a", 2, 3)
    assert over is not None
    assert (over.client, over.reason) == ("a", "QUOTA_WATCHERS")
    for client in "aa":
        slots.give(client)
    assert (slots.total, slots.by_client) == (0, {})


def test_a_refusal_says_which_limit_whose_and_when() -> None:
    status = refusal(Exceeded("jobs", "alice", 128, 1, 128, 1_500_000_000))
    info, quota, retry = error_details_pb2.ErrorInfo(), error_details_pb2.QuotaFailure(), error_details_pb2.RetryInfo()
    assert [d.Unpack(m) for d, m in zip(status.details, (info, quota, retry), strict=True)] == [True] * 3
    assert status.code == 8
    assert (info.reason, info.metadata["limit"], info.metadata["client"]) == ("QUOTA_JOBS", "jobs", "alice")
    assert quota.violations[0].subject == "client:alice"
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 500_000_000)


# The table


def test_a_table_names_clients_and_leaves_the_rest_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "quotas.toml"
    path.write_text("[default]\njobs = 3\n[client.alice]\njobs = 50\nweight = 2.5\n")
    table = QuotaTable(path)
    assert (table.of("bob").jobs, table.of("bob").segments) == (3, Quota().segments)
    assert (table.of("alice").jobs, table.weight("alice"), table.weight("bob")) == (50, 2.5, 1.0)
    assert table.of("local") == UNLIMITED
    path.write_text("[default]\njobs = 4\n")
    os.utime(path, ns=(1, 1))
    assert (table.of("alice").jobs, table.trouble) == (4, "")
    path.write_text("[default]\njobs = 0\n")
    os.utime(path, ns=(2, 2))
    assert table.of("alice").jobs == 4
    assert "jobs = 0" in table.trouble


@pytest.mark.parametrize(
    "text",
    [
        "[default]\njob = 1",
        "[defaults]\njobs = 1",
        "[client]\na = 1",
        '[client."a b"]\njobs = 1',
        "[default]\njobs = true",
        "[default]\njobs = 1.5",
        "[default]\nweight = 0",
        "client = 3",
        "[default",
        "[default]\njobs = '7'",
    ],
)
def test_a_wrong_table_is_refused_by_name(text: str) -> None:
    with pytest.raises(FormatError) as e:
        read_table(text)
    assert e.value.field == "quotas"


def test_a_table_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not exist"):
        QuotaTable(tmp_path / "none.toml")


def test_no_token_is_for_everybody() -> None:
    with pytest.raises(InvalidInputError, match="local"):
        make_token("local", [Right.READ], now=0)
