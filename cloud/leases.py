"""Who proves which segment, and for how long: tasks, workers and the leases between them. Sans I/O.

A task is one segment's proof. The prover inside the cloud is one worker (`LOCAL`), every remote process another. What
holds whatever comes in:

* A task has at most one live lease. Each lease has a fencing token larger than all before, also than those of an
  earlier run of the cloud: its upper half counts the cloud's starts.
* A lost worker costs its tasks only and spends no budget: they wait again. Several workers lost in a row under one
  task that each had begun are taken for the task's doing, and it is quarantined.
* A failed attempt spends the budget; after `budget` of them the task is quarantined by name. A fault of the client,
  proved by the constraints or claimed by two attempts, ends it at once.
* A valid proof is accepted from whoever brings it while the task has none, whatever its token: it was verified before.
  Everything else is heard from the holder of the current token only.

Placement: a task goes to the worker where it is expected to be done first: speed (wires a second, a moving average of
what the worker measured) against the leases it holds for each of its lanes. Among equals the local one is taken, which
needs no transfer; a worker at which the task failed before is the last choice. Where every lane is taken the task
waits: clients go in turn, by fair share of the wires; of one client tasks of higher priority come first, then complete
ones, then those of the job that holds the fewest leases, then the oldest. The local worker has
no limit (its executor orders its own work): a remote worker that becomes idle is given what the local one has not
begun.

Times are nanoseconds of a monotonic clock. If `tick` was not called for long (the machine slept), that time is given
back to all leases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from google.rpc import status_pb2

from hybrid_prover.admission.fairness import FairShare, Share, one

from .attempts import Attempt, Outcome, failures, losses_in_a_row, quarantine
from .model import CircuitInfo, SegmentKey

LOCAL = b"local"
"""Worker id of the prover inside the cloud, whose leases do not expire."""
PARTY_BYTES = 8
"""Of a worker's id, the part that all workers with its certificate have in common."""
SECOND = 1_000_000_000
PATIENCE = 60 * SECOND
"""How long a task waits for somebody who has not had it in vain."""
STALL = 5 * SECOND
"""A remote lease without chunks for this long gives way to a complete task that waits."""
STUCK = 600 * SECOND
STUCK_WIRE = SECOND // 1000
"""A remote lease that has its whole witness and makes no progress for `STUCK`, and a millisecond more for each wire of
its circuit (a hundred times what a core takes), is a lost one, though its worker says that it lives."""
_SMOOTHING = 0.3
"""Weight of the newest measurement of a speed."""


class Verdict(Enum):
    """Whose fault a failed attempt was."""

    ERROR = "error"
    """The worker's or unknown: spends the budget."""
    CLAIM = "claim"
    """The client's, says a worker, and nobody can check it: believed the second time."""
    FAULT = "fault"
    """The client's, beyond doubt."""


@dataclass(slots=True)
class Lease:
    """A worker's time-limited right to a task."""

    worker: bytes
    token: int
    expires: int
    """0: never."""
    progress: int
    """When the holder last took a chunk."""
    consumed: int = 0


@dataclass(slots=True)
class Task:
    """One segment's proof: what of its witness is durable, who is at it, what was tried."""

    key: SegmentKey
    circuit: CircuitInfo
    number: int
    attempts: list[Attempt]
    """Those of the job's present run, oldest first."""
    available: int = 0
    complete: bool = False
    lease: Lease | None = None
    share: Share = field(default_factory=Share)
    waits_since: int = 0
    """Since when it waits for another than who had it in vain; 0 if it does not."""


@dataclass(slots=True)
class Worker:
    """One worker as the book knows it."""

    worker_id: bytes
    name: str
    lanes: int
    bounded: bool = True
    """Takes no more leases than it has lanes."""
    connected: bool = True
    leaving: bool = False
    silent: bool = False
    """It let leases run out and has not been heard since, though its connection is open: it gets nothing new."""
    speed: float = 0.0
    """Wires a second over whole tasks; 0 until one was measured."""
    held: set[SegmentKey] = field(default_factory=set)


# Instructions.


@dataclass(frozen=True, slots=True)
class Grant:
    """The worker may begin: chunks below `chunks` are durable."""

    worker: bytes
    key: SegmentKey
    circuit: CircuitInfo
    token: int
    chunks: int
    complete: bool
    share: Share = field(default_factory=Share)


@dataclass(frozen=True, slots=True)
class More:
    """The holder may read on, up to `chunks`."""

    worker: bytes
    key: SegmentKey
    token: int
    chunks: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Revoke:
    """The worker stops; what it still says of this token, but for a valid proof, is not heard."""

    worker: bytes
    key: SegmentKey
    token: int


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt ended without a proof: to be kept with the segment."""

    key: SegmentKey
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Over:
    """The task ends without a proof: the client's fault, its budget spent, or poison to its workers."""

    key: SegmentKey
    error: status_pb2.Status


@dataclass(frozen=True, slots=True)
class Reclaim:
    """The local worker gives up to `count` tasks back that it has not begun; each is answered by `hand_back`."""

    count: int


Instruction = Grant | More | Revoke | Tried | Over | Reclaim


def party(worker_id: bytes) -> bytes:
    """Who answers for a worker: workers of one certificate are one, and cannot spend a task's budget by turns."""
    return worker_id[:PARTY_BYTES]


class LeaseBook:
    """All tasks that wait or are being proved, and all workers. Not thread-safe. Events cost O(workers)."""

    def __init__(
        self,
        *,
        incarnation: int,
        budget: int,
        poison_losses: int,
        lease_nanos: int,
        weight: Callable[[str], float] = one,
    ) -> None:
        """`incarnation` counts the cloud's starts: larger than at any start before. `weight` of each client's share."""
        self.tasks: dict[SegmentKey, Task] = {}
        self.workers: dict[bytes, Worker] = {}
        self._waiting: dict[SegmentKey, Task] = {}
        self._leases: Counter[bytes] = Counter()
        self._fair = FairShare(weight)
        self._budget = budget
        self._poison_losses = poison_losses
        self._ttl = lease_nanos
        self._token = incarnation << 32
        self._number = 0
        self._ticked = 0
        self._lane_free = False
        self._out: list[Instruction] = []

    @property
    def waiting(self) -> int:
        """Tasks that nobody holds."""
        return len(self._waiting)

    # Workers.

    def enlist(
        self,
        worker_id: bytes,
        name: str,
        lanes: int,
        now: int,
        *,
        bounded: bool = True,
        holds: Mapping[SegmentKey, int] | None = None,
    ) -> list[Instruction]:
        """A worker is there (again). Of what it says it `holds` (task and token) it keeps what is current."""
        worker = self.workers.setdefault(worker_id, Worker(worker_id, name, lanes, bounded))
        worker.name, worker.lanes = name, lanes
        worker.connected, worker.leaving, worker.silent = True, False, False
        said = dict(holds or {})
        for key in list(worker.held):
            lease = self._lease(key)
            if said.get(key) == lease.token:
                lease.expires = now + self._ttl
            else:
                self._wait(self._end(key))
        for key, token in said.items():
            if not self.is_current(worker_id, key, token):
                self._out.append(Revoke(worker_id, key, token))
        self._lane_free = True
        return self._answer(now)

    def is_current(self, worker_id: bytes, key: SegmentKey, token: int) -> bool:
        """Whether this is the task's live lease and the worker its holder."""
        lease = self._current(key, token)
        return lease is not None and lease.worker == worker_id

    def disconnected(self, worker_id: bytes, now: int) -> list[Instruction]:
        """The connection is gone: the worker has a third of a lease's time to come back."""
        worker = self.workers.get(worker_id)
        if worker is not None:
            worker.connected = False
            for key in worker.held:
                lease = self._lease(key)
                lease.expires = min(lease.expires, now + self._ttl // 3)
            if not worker.held:
                del self.workers[worker_id]
        return self._answer(now)

    def leaving(self, worker_id: bytes, now: int) -> list[Instruction]:
        """The worker takes nothing new; what it holds it finishes or hands back."""
        if worker_id in self.workers:
            self.workers[worker_id].leaving = True
        return self._answer(now)

    def heartbeat(self, worker_id: bytes, now: int) -> list[Instruction]:
        """The worker lives: its leases go on."""
        worker = self.workers.get(worker_id)
        if worker is not None and worker_id != LOCAL:
            worker.silent = False
            for key in worker.held:
                self._lease(key).expires = now + self._ttl
        return self._answer(now)

    # Tasks.

    def advance(
        self,
        key: SegmentKey,
        circuit: CircuitInfo,
        chunks: int,
        complete: bool,
        now: int,
        *,
        attempts: Sequence[Attempt] = (),
        holder: tuple[bytes, int] | None = None,
        share: Share = Share(),  # noqa: B008
    ) -> list[Instruction]:
        """Chunks below `chunks` are durable, and they are all if `complete`.

        Of a task not known yet: what was tried before, and the `holder` (worker, token) of a lease from an earlier run
        of the cloud, who has a whole lease's time to come back.
        """
        task = self.tasks.get(key)
        if task is None:
            self._number += 1
            task = self.tasks[key] = Task(key, circuit, self._number, list(attempts))
            if holder is not None:
                worker = self.workers.setdefault(holder[0], Worker(holder[0], holder[0].hex()[:8], 1, connected=False))
                self._hold(worker, task, holder[1], now)
            else:
                self._waiting[key] = task
        task.share = share
        task.available = max(task.available, chunks)
        task.complete = task.complete or complete
        if task.lease is not None:
            task.lease.progress = now
            self._out.append(More(task.lease.worker, key, task.lease.token, task.available, task.complete))
        return self._answer(now)

    def forget(self, key: SegmentKey, now: int) -> list[Instruction]:
        """Nobody wants the proof any more: work on it stops."""
        task = self.tasks.get(key)
        if task is not None:
            if task.lease is not None:
                self._revoke(key)
            self._drop(key)
        return self._answer(now)

    def progress(self, key: SegmentKey, token: int, consumed: int, now: int) -> list[Instruction]:
        """The holder has taken the chunks below `consumed`."""
        lease = self._current(key, token)
        if lease is not None and consumed > lease.consumed:
            lease.consumed, lease.progress = consumed, now
        return self._answer(now)

    def hand_back(self, key: SegmentKey, token: int, now: int) -> list[Instruction]:
        """The holder gives the task up, unfinished and nobody's fault."""
        if self._current(key, token) is not None:
            self._wait(self._end(key))
        return self._answer(now)

    def proved(self, key: SegmentKey, worker_id: bytes, seconds: float, now: int) -> tuple[bool, list[Instruction]]:
        """A proof that has been verified, whatever lease it was made under; whether the task still wanted one.

        `seconds` of compute, for the worker's speed; 0 if unknown.
        """
        task, worker = self.tasks.get(key), self.workers.get(worker_id)
        if task is None:
            return False, self._answer(now)
        if worker is not None and seconds > 0:
            seen = task.circuit.wires / seconds
            worker.speed = worker.speed + _SMOOTHING * (seen - worker.speed) if worker.speed else seen
        if task.lease is not None:
            if task.lease.worker == worker_id:
                self._end(key)
            else:
                self._revoke(key)
        self._drop(key)
        return True, self._answer(now)

    def failed(
        self, key: SegmentKey, token: int, error: status_pb2.Status, verdict: Verdict, now: int
    ) -> list[Instruction]:
        """The holder could not prove it; what comes under an old token is not heard."""
        lease = self._current(key, token)
        if lease is not None:
            task = self.tasks[key]
            outcome = Outcome.CLAIMED if verdict is Verdict.CLAIM else Outcome.FAILED
            believed = verdict is Verdict.CLAIM and any(a.outcome is Outcome.CLAIMED for a in task.attempts)
            self._end(key)
            self._tried(task, outcome, lease.worker, error)
            if verdict is Verdict.FAULT or believed:
                self._over(task, error)
            elif failures(task.attempts) >= self._budget:
                self._over(task, quarantine(key[1], task.attempts))
            else:
                self._wait(task)
        return self._answer(now)

    def tick(self, now: int) -> list[Instruction]:
        """About once a second: ends leases whose time is over, and lets what stalls give way."""
        slept = now - self._ticked
        if self._ticked and slept > self._ttl // 2:
            for task in self.tasks.values():
                if task.lease is not None and task.lease.expires:
                    task.lease.expires += slept
                    task.lease.progress += slept
        self._ticked = now
        for worker in list(self.workers.values()):
            for key in [k for k in worker.held if 0 < self._lease(k).expires <= now]:
                worker.silent = True
                self._lost(key)
            for key in [k for k in worker.held if worker.bounded and self._stuck(k, now)]:
                self._lost(key)
            if not worker.connected and not worker.held:
                del self.workers[worker.worker_id]
        self._make_way(now)
        self._lane_free = True
        return self._answer(now)

    # How leases begin and end.

    def _lease(self, key: SegmentKey) -> Lease:
        lease = self.tasks[key].lease
        assert lease is not None
        return lease

    def _current(self, key: SegmentKey, token: int) -> Lease | None:
        task = self.tasks.get(key)
        return task.lease if task is not None and task.lease is not None and task.lease.token == token else None

    def _hold(self, worker: Worker, task: Task, token: int, now: int) -> None:
        task.lease = Lease(worker.worker_id, token, now + self._ttl if worker.worker_id != LOCAL else 0, now)
        worker.held.add(task.key)
        self._leases[task.key[0]] += 1

    def _end(self, key: SegmentKey) -> Task:
        task, lease = self.tasks[key], self._lease(key)
        task.lease = None
        self._leases[key[0]] -= 1
        if not self._leases[key[0]]:
            del self._leases[key[0]]
        worker = self.workers.get(lease.worker)
        if worker is not None:
            worker.held.discard(key)
            self._lane_free = self._lane_free or worker.bounded
        return task

    def _revoke(self, key: SegmentKey) -> Task:
        lease = self._lease(key)
        self._out.append(Revoke(lease.worker, key, lease.token))
        return self._end(key)

    def _stuck(self, key: SegmentKey, now: int) -> bool:
        task, lease = self.tasks[key], self._lease(key)
        return task.complete and now - lease.progress > STUCK + STUCK_WIRE * task.circuit.wires

    def _lost(self, key: SegmentKey) -> None:
        lease = self._lease(key)
        task = self._revoke(key)
        if lease.consumed:
            self._tried(task, Outcome.LOST, lease.worker, None)
            if losses_in_a_row(task.attempts) >= self._poison_losses:
                self._over(task, quarantine(key[1], task.attempts))
                return
        self._wait(task)

    def _tried(self, task: Task, outcome: Outcome, worker_id: bytes, error: status_pb2.Status | None) -> None:
        worker = self.workers.get(worker_id)
        attempt = Attempt(outcome, worker_id, worker.name if worker is not None else worker_id.hex()[:8], error)
        task.attempts.append(attempt)
        self._out.append(Tried(task.key, attempt))

    def _over(self, task: Task, error: status_pb2.Status) -> None:
        self._drop(task.key)
        self._out.append(Over(task.key, error))

    def _wait(self, task: Task) -> None:
        task.waits_since = 0
        self._waiting[task.key] = task

    def _drop(self, key: SegmentKey) -> None:
        self._waiting.pop(key, None)
        del self.tasks[key]

    # Placement.

    def _answer(self, now: int) -> list[Instruction]:
        while self._waiting and (free := self._free()):
            takers = {t.key: able for t in self._waiting.values() if (able := self._able(t, free, now))}
            if not takers:
                break
            task = min((self._waiting[k] for k in takers), key=self._order)
            worker = min(takers[task.key], key=lambda w: self._rank(w, task))
            del self._waiting[task.key]
            self._token += 1
            self._hold(worker, task, self._token, now)
            self._fair.charge(task.share.client, task.circuit.wires)
            self._out.append(
                Grant(worker.worker_id, task.key, task.circuit, self._token, task.available, task.complete, task.share)
            )
        if self._lane_free:
            self._lane_free = False
            self._reclaim()
        out, self._out = self._out, []
        return out

    def _free(self) -> list[Worker]:
        return [
            w
            for w in self.workers.values()
            if w.connected and not (w.leaving or w.silent) and (not w.bounded or len(w.held) < w.lanes)
        ]

    def _able(self, task: Task, free: list[Worker], now: int) -> list[Worker]:
        """Who of the free ones may have the task: nobody who had it in vain, while another may become free."""
        if not task.attempts:
            return free
        task.waits_since = task.waits_since or now
        if now - task.waits_since > PATIENCE:
            return free
        tried = {party(a.worker) for a in task.attempts}
        if any(
            w.connected and not (w.leaving or w.silent) and party(w.worker_id) not in tried
            for w in self.workers.values()
        ):
            return [w for w in free if party(w.worker_id) not in tried]
        return free

    def _order(self, task: Task) -> tuple[bool, tuple[float, int], int, bool, int, int]:
        """What waits first: what is urgent, then the client whose turn it is; of its tasks those of high priority, what
        can be finished, the job that holds least, the oldest."""
        share = task.share
        turn = self._fair.rank(share.client)
        return not share.urgent, turn, -share.priority, not task.complete, self._leases[task.key[0]], task.number

    def _rank(self, worker: Worker, task: Task) -> tuple[bool, float, bool]:
        failed_here = any(a.worker == worker.worker_id for a in task.attempts)
        return failed_here, self._load(worker, 1), worker.worker_id != LOCAL

    def _load(self, worker: Worker, more: int) -> float:
        """What one more task takes there, against other workers; one not measured yet counts as the fastest."""
        speed = worker.speed or max((w.speed for w in self.workers.values()), default=0.0) or 1.0
        return max(1.0, (len(worker.held) + more) / worker.lanes) / speed

    def _reclaim(self) -> None:
        """Work that the local worker has not begun goes to remote ones that would have it done sooner."""
        local = self.workers.get(LOCAL)
        if local is None or self._waiting or len(local.held) <= local.lanes:
            return
        lanes = sum(
            w.lanes - len(w.held) for w in self._free() if w.bounded and self._load(w, 1) < self._load(local, 0)
        )
        count = min(lanes, len(local.held) - local.lanes)
        if count > 0:
            self._out.append(Reclaim(count))

    def _make_way(self, now: int) -> None:
        """Where every lane is taken, leases whose edge stalls give way to tasks that can be finished."""
        ready = sum(t.complete for t in self._waiting.values()) if not self._free() else 0
        stalled = [
            t
            for w in self.workers.values()
            if w.bounded and w.connected
            for t in (self.tasks[k] for k in w.held)
            if not t.complete and t.lease is not None and t.lease.consumed >= t.available
            and now - t.lease.progress > STALL
        ]  # fmt: skip
        for task in sorted(stalled, key=lambda t: self._lease(t.key).progress)[:ready]:
            self._wait(self._revoke(task.key))
