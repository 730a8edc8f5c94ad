"""Who may bring what to this edge now: limits of the edge and of each client, checked before anything is paid for.

The order, cheapest first: the size of the message (gRPC), who calls and with which right (the guard), how often
(`submission`), how much of it there is and how much the client has (`job`), and only then what it says (`requests`),
whether its deadline can be met (`in_time`) and its artifacts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import structlog

from hybrid_prover.admission.doors import Doors
from hybrid_prover.admission.fairness import Priority
from hybrid_prover.admission.quotas import SECOND, Buckets, Exceeded, Usage, exceeded
from hybrid_prover.admission.refusals import refusal
from hybrid_prover.admission.table import QuotaTable
from hybrid_prover.security.principal import Principal

from .config import EdgeConfig
from .jobs import WIRE_BYTES, JobBook
from .metrics import EdgeMetrics
from .model import Code, Failure, JobPlan, Placement
from .status import RpcError, rpc_error

log = structlog.get_logger("edge.admission")


class Admission:
    """One for each edge, on its event loop. What it refuses is counted, and raised as `RpcError`."""

    def __init__(
        self, config: EdgeConfig, quotas: QuotaTable, book: JobBook, metrics: EdgeMetrics, clock: Callable[[], int]
    ) -> None:
        self._config = config
        self._quotas = quotas
        self._book = book
        self._metrics = metrics
        self._clock = clock
        self._submissions = Buckets(60 * SECOND)
        self.doors = Doors(quotas, config.max_watchers, clock, self._refuse)
        self._trouble = ""

    def submission(self, caller: Principal, priority: int) -> Priority:
        """One more submission: its rate, and whether the caller may ask for that priority."""
        most = self._quotas.of(caller.client).submissions_per_minute
        if self._quotas.trouble != self._trouble:
            self._trouble = self._quotas.trouble
            if self._trouble:
                log.error("quotas not taken", error=self._trouble)
        if wait := self._submissions.take(caller.client, 1, most, self._clock()):
            self._refuse(Exceeded("submissions_per_minute", caller.client, most, 1, most, wait))
        if priority not in (0, *Priority):
            raise rpc_error(
                Code.INVALID_ARGUMENT, f"no priority has number {priority}", reason="INVALID_INPUT", field="priority"
            )
        wanted = Priority(priority or Priority.NORMAL)
        if wanted is Priority.URGENT and not caller.operates:
            text = f"{caller.client} may not go ahead of all clients: that takes a token with the right `operate`"
            raise rpc_error(Code.PERMISSION_DENIED, text, reason="RIGHT_MISSING", field="priority")
        return wanted

    def job(self, client: str, segments: int, wires: int, placement: int) -> None:
        """A new job of so many segments and wires: the edge's limits, then the client's."""
        jobs, pending = self._book.unfinished()
        # A job of more segments than the queue holds is taken when it is alone, else it would wait for ever.
        if jobs >= self._config.max_jobs or (jobs and pending + segments > self._config.max_segments):
            retry_after = self._book.retry_after(pending)
            full = jobs >= self._config.max_jobs
            name, have, most = ("jobs", jobs, self._config.max_jobs) if full else (
                "segments", pending, self._config.max_segments)  # fmt: skip
            self._refuse(Exceeded(name, "", have, 1 if full else segments, most, retry_after), "QUEUE_FULL")
        used = self._book.usage(client)
        size = 0 if placement == Placement.PRIVATE else WIRE_BYTES * wires
        over = exceeded(self._quotas.of(client), client, used, Usage(1, segments, size))
        if over is not None:
            # What does not fit an empty queue fits none: waiting would not help.
            wait = self._book.retry_after(used.segments) if over.wanted <= over.most else 0
            self._refuse(Exceeded(over.limit, client, over.used, over.wanted, over.most, wait))

    def in_time(self, plan: JobPlan, deadline: int) -> None:
        """Whether a job's deadline may be met; refused only if by what was measured here it is sure to be missed."""
        left, needed = deadline - self._clock(), self._book.least_time(plan)
        if not deadline or left > needed:
            return
        if left <= 0:
            self.count("DEADLINE_PASSED")
            text = f"the deadline passed {-left / SECOND:.1f} s ago"
            raise rpc_error(Code.DEADLINE_EXCEEDED, text, reason="DEADLINE_PASSED", field="deadline_unix_nanos")
        self.count("DEADLINE_TOO_SHORT")
        raise rpc_error(
            Code.DEADLINE_EXCEEDED,
            f"the deadline is in {left / SECOND:.1f} s, and witnesses of these segments never took less than "
            f"{needed / SECOND:.1f} s in all on this edge",
            reason="DEADLINE_TOO_SHORT",
            field="deadline_unix_nanos",
            metadata={"needed_nanos": str(needed)},
        )

    def _refuse(self, over: Exceeded, reason: str = "") -> NoReturn:
        self.count(over.reason)
        status = refusal(over, reason)
        raise RpcError(Failure(Code.RESOURCE_EXHAUSTED, over.message, status.SerializeToString()))

    def count(self, reason: str) -> None:
        """A call was not taken."""
        self._metrics.admission_refusals.labels(reason).inc()
