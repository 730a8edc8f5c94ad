"""The lease book under everything that workers, clocks and networks do: no task is lost, doubled, or blamed wrongly."""

from __future__ import annotations

import pytest
from lease_desk import CIRCUIT, ERROR, FAULT, TTL, A, B, Desk, key, kinds, over

from cloud.attempts import QUARANTINE_REASON, Attempt, Outcome, failures, losses_in_a_row
from cloud.errors import reason_of
from cloud.leases import (
    LOCAL,
    PATIENCE,
    SECOND,
    Grant,
    Instruction,
    LeaseBook,
    More,
    Over,
    Reclaim,
    Revoke,
    Verdict,
    party,
)


def test_a_task_waits_for_a_worker_and_goes_to_it_with_all_that_is_durable() -> None:
    desk = Desk()
    assert desk.advance(0, 2, False) == []
    (grant,) = desk.enlist(A)
    assert isinstance(grant, Grant)
    assert (grant.worker, grant.chunks, grant.complete) == (A, 2, False)
    assert desk.advance(0, 4, True) == [More(A, key(0), grant.token, 4, True)]
    accepted, out = desk.book.proved(key(0), A, 2.0, desk.now)
    assert accepted
    assert out == []
    assert desk.book.workers[A].speed == 500.0
    assert desk.book.tasks == {}


def test_tokens_grow_within_a_run_and_over_runs() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.advance(0)
    first = desk.token(0)
    desk.do(desk.book.hand_back(key(0), first, desk.now))
    assert desk.token(0) == first + 1
    later = LeaseBook(incarnation=2, budget=3, poison_losses=5, lease_nanos=TTL)
    later.enlist(A, "a", 1, 1)
    (grant,) = later.advance(key(0), CIRCUIT, 1, False, 1)
    assert isinstance(grant, Grant)
    assert grant.token > desk.token(0) + 10**6


def test_a_slow_worker_keeps_its_lease_while_it_says_that_it_lives() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.enlist(B)
    desk.advance(0)
    for _ in range(10):
        assert not any(isinstance(x, Revoke) for x in desk.wait(TTL // SECOND - 1))
        desk.do(desk.book.heartbeat(A, desk.now))
    assert desk.holder(0) == A


def test_a_silent_worker_loses_its_task_and_nobodys_budget_is_spent() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.enlist(B)
    desk.advance(0)
    token = desk.token(0)
    desk.do(desk.book.progress(key(0), token, 2, desk.now))
    desk.do(desk.book.heartbeat(B, desk.now))
    desk.now += 1
    out = []
    for _ in range(16):
        desk.do(desk.book.heartbeat(B, desk.now))
        out += desk.wait(1)
    assert kinds(out) == ["Revoke", "Tried", "Grant"]
    assert desk.holder(0) == B
    assert failures(desk.book.tasks[key(0)].attempts) == 0


def test_a_broken_connection_leaves_time_to_come_back() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.enlist(B)
    desk.advance(0)
    token = desk.token(0)
    desk.do(desk.book.disconnected(A, desk.now))
    desk.do(desk.book.heartbeat(B, desk.now))
    assert desk.wait(4) == []
    assert desk.enlist(A, holds={key(0): token}) == []
    desk.do(desk.book.disconnected(A, desk.now))
    assert kinds(desk.wait(6)) == ["Revoke", "Grant"]
    assert desk.holder(0) == B


def test_a_worker_that_comes_back_without_its_task_gives_it_up_and_stale_ones_are_revoked() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.advance(0)
    token = desk.token(0)
    out = desk.enlist(A, holds={key(0): token - 1, key(9): 7})
    assert [x.token for x in out if isinstance(x, Revoke)] == [token - 1, 7]
    (grant,) = [x for x in out if isinstance(x, Grant)]
    assert (grant.key, grant.token) == (key(0), token + 1)
    assert desk.book.tasks[key(0)].attempts == []


def test_a_task_that_fails_is_quarantined_by_name_after_its_budget() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.enlist(B, lanes=2)
    desk.advance(0)
    desk.advance(1)
    assert kinds(desk.fail(0)) == ["Tried", "Grant"]
    assert kinds(desk.fail(0)) == ["Tried", "Grant"]
    error = over(desk.fail(0))
    assert reason_of(error) == QUARANTINE_REASON
    assert error.message == "segments[0]: quarantined: 3 attempts failed"
    assert key(0) not in desk.book.tasks
    assert key(1) in desk.book.tasks


def test_no_worker_spends_a_budget_alone_while_there_are_others() -> None:
    """One that lies was given the task it had failed again and again, while the others were busy: the job failed."""
    liars = [b"liar-one" + bytes([i]) * 8 for i in range(3)]
    desk = Desk()
    desk.enlist(liars[0])
    desk.advance(0)
    desk.enlist(A)
    desk.advance(1)
    for liar in liars[1:]:
        desk.enlist(liar)
    assert (party(desk.holder(0) or b""), desk.holder(1)) == (b"liar-one", A)
    # Whoever shows the same certificate is the same, and the honest one is busy: the task waits for it.
    assert kinds(desk.fail(0)) == ["Tried"]
    for _ in range(PATIENCE // SECOND - 5):
        desk.wait(1)
        desk.do(desk.book.heartbeat(A, desk.now))
    assert desk.holder(0) is None
    desk.do(desk.book.proved(key(1), A, 1.0, desk.now)[1])
    assert desk.holder(0) == A
    # Who is the only one left gets it: a task that is poison must come to an end.
    desk.fail(0)
    assert desk.holder(0) is not None


def test_a_task_does_not_wait_for_a_busy_worker_for_ever() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.advance(0)
    desk.enlist(B)
    desk.advance(1)
    assert desk.holder(1) == B
    desk.fail(0)
    for _ in range(PATIENCE // SECOND + 2):
        desk.wait(1)
        for worker in (A, B):
            desk.do(desk.book.heartbeat(worker, desk.now))
    assert desk.holder(0) == A


def test_a_fault_of_the_client_ends_at_once_and_a_claim_is_believed_the_second_time() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.enlist(B)
    desk.advance(0)
    assert over(desk.fail(0, Verdict.FAULT, FAULT)) == FAULT
    desk.advance(1)
    first = desk.holder(1)
    assert not any(isinstance(x, Over) for x in desk.fail(1, Verdict.CLAIM, FAULT))
    assert desk.holder(1) != first, "another worker looks at it"
    assert over(desk.fail(1, Verdict.CLAIM, FAULT)) == FAULT


def test_a_task_that_kills_its_workers_is_poison() -> None:
    desk = Desk()
    out: list[Instruction] = []
    desk.advance(0)
    for number in range(5):
        worker = bytes([number]) * 16
        desk.enlist(worker)
        assert desk.holder(0) == worker
        desk.do(desk.book.progress(key(0), desk.token(0), 1, desk.now))
        desk.do(desk.book.disconnected(worker, desk.now))
        out = desk.wait(6)
    error = over(out)
    assert reason_of(error) == QUARANTINE_REASON
    assert "5 workers in a row were lost" in error.message


def test_a_worker_that_hangs_with_its_connection_open_gets_nothing_until_it_is_heard() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.advance(0)
    assert kinds(desk.wait(16)) == ["Revoke"]
    assert kinds(desk.do(desk.book.heartbeat(A, desk.now))) == ["Grant"]


def test_a_prover_that_hangs_while_its_worker_says_that_it_lives_loses_its_task() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.enlist(B)
    desk.advance(0, 4, False)
    out: list[Instruction] = []

    def live(seconds: int) -> None:
        for _ in range(0, seconds, 5):
            desk.do(desk.book.heartbeat(A, desk.now))
            desk.do(desk.book.heartbeat(B, desk.now))
            out.extend(desk.wait(5))

    live(700)
    assert out == [], "its edge is slow"
    desk.advance(0)
    desk.do(desk.book.progress(key(0), desk.token(0), 4, desk.now))
    live(600)
    assert out == []
    live(10)
    assert kinds(out) == ["Revoke", "Tried", "Grant"]
    assert failures(desk.book.tasks[key(0)].attempts) == 0


def test_losses_before_anything_was_begun_are_nobodys() -> None:
    desk = Desk()
    desk.advance(0)
    for number in range(9):
        worker = bytes([number]) * 16
        desk.enlist(worker)
        desk.do(desk.book.disconnected(worker, desk.now))
        desk.wait(6)
    assert desk.book.tasks[key(0)].attempts == []


def test_a_late_valid_result_is_accepted_and_ends_the_newer_lease() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.advance(0)
    desk.do(desk.book.disconnected(A, desk.now))
    desk.wait(6)
    desk.enlist(B)
    assert desk.holder(0) == B
    newer = desk.token(0)
    accepted, out = desk.book.proved(key(0), A, 0, desk.now)
    assert accepted
    assert out == [Revoke(B, key(0), newer)]
    again, out = desk.book.proved(key(0), B, 0, desk.now)
    assert (again, out) == (False, [])


def test_a_stale_failure_never_touches_the_newer_lease() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.advance(0)
    old = desk.token(0)
    desk.do(desk.book.hand_back(key(0), old, desk.now))
    for verdict in Verdict:
        assert desk.book.failed(key(0), old, ERROR, verdict, desk.now) == []
    assert desk.book.hand_back(key(0), old, desk.now) == []
    assert desk.book.progress(key(0), old, 3, desk.now) == []
    assert desk.token(0) == old + 1
    assert desk.book.tasks[key(0)].attempts == []


def test_what_is_not_wanted_any_more_is_revoked() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.advance(0)
    token = desk.token(0)
    desk.advance(1)
    out = desk.do(desk.book.forget(key(0), desk.now))
    assert out[0] == Revoke(A, key(0), token)
    assert isinstance(out[1], Grant), "the lane goes to what waited"
    assert desk.book.proved(key(0), A, 1.0, desk.now)[0] is False


def test_a_leaving_worker_gets_nothing_new() -> None:
    desk = Desk()
    desk.enlist(A, 2)
    desk.advance(0)
    desk.do(desk.book.leaving(A, desk.now))
    desk.advance(1)
    assert (desk.holder(0), desk.holder(1)) == (A, None)


def test_the_faster_worker_is_preferred_and_the_local_one_among_equals() -> None:
    desk = Desk()
    desk.local()
    desk.enlist(A, 2)
    for number in range(4):
        desk.advance(number)
    assert [desk.holder(n) for n in range(4)] == [LOCAL, LOCAL, A, A]
    for number, worker, seconds in ((0, LOCAL, 10.0), (1, LOCAL, 10.0), (2, A, 1.0), (3, A, 1.0)):
        desk.do(desk.book.proved(key(number), worker, seconds, desk.now)[1])
    for number in range(4, 8):
        desk.advance(number)
    assert [desk.holder(n) for n in range(4, 8)] == [A, A, LOCAL, LOCAL]


def test_a_worker_that_failed_is_the_last_choice() -> None:
    desk = Desk()
    desk.local()
    desk.enlist(A)
    desk.advance(0)
    assert desk.holder(0) == LOCAL
    desk.fail(0)
    assert desk.holder(0) == A


def test_an_idle_remote_worker_is_given_what_the_local_one_has_not_begun() -> None:
    desk = Desk()
    desk.local()
    for number in range(6):
        desk.advance(number)
    out = desk.enlist(A, 3)
    assert out == [Reclaim(3)]
    for number in (5, 4, 3):
        desk.do(desk.book.hand_back(key(number), desk.token(number), desk.now))
    assert [desk.holder(n) for n in range(6)] == [LOCAL, LOCAL, LOCAL, A, A, A]
    assert desk.wait(1) == [], "nobody is idle any more"


def test_complete_tasks_and_small_jobs_come_first_and_stalled_ones_give_way() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.advance(0, 2, False)
    desk.do(desk.book.progress(key(0), desk.token(0), 2, desk.now))
    desk.advance(1, 2, False)
    desk.advance(2, 2, True)
    assert desk.wait(4) == []
    desk.do(desk.book.heartbeat(A, desk.now))
    out = desk.wait(2)
    assert kinds(out) == ["Revoke", "Grant"]
    assert (desk.holder(0), desk.holder(2)) == (None, A)


def test_a_machine_that_slept_takes_no_lease_away() -> None:
    desk = Desk()
    desk.enlist(A)
    desk.advance(0)
    desk.wait(1)
    desk.now += 3600 * SECOND
    assert desk.book.tick(desk.now) == []
    assert desk.holder(0) == A
    desk.now -= 1800 * SECOND
    assert desk.book.tick(desk.now) == [], "nor does a clock that goes back"


def test_a_lease_of_an_earlier_run_waits_for_its_holder() -> None:
    desk = Desk()
    desk.local()
    desk.advance(0, holder=(A, 77), attempts=[Attempt(Outcome.FAILED, B, "b", ERROR)])
    assert desk.holder(0) == A
    assert desk.enlist(A, holds={key(0): 77}) == []
    assert desk.book.is_current(A, key(0), 77)
    desk.advance(1, holder=(B, 78))
    desk.do(desk.book.heartbeat(A, desk.now))
    desk.wait(14)
    desk.do(desk.book.heartbeat(A, desk.now))
    assert kinds(desk.wait(2)) == ["Revoke", "Grant"]
    assert desk.holder(0) == A
    assert desk.holder(1) == LOCAL


@pytest.mark.parametrize(
    ("outcomes", "spent", "lost"),
    [
        ([], 0, 0),
        ([Outcome.LOST] * 4, 0, 4),
        ([Outcome.LOST, Outcome.FAILED, Outcome.LOST], 1, 1),
        ([Outcome.CLAIMED, Outcome.FAILED], 2, 0),
    ],
)
def test_what_attempts_count(outcomes: list[Outcome], spent: int, lost: int) -> None:
    attempts = [Attempt(o, A, "a", None) for o in outcomes]
    assert (failures(attempts), losses_in_a_row(attempts)) == (spent, lost)
