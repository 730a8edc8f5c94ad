"""How a daemon is doing, as plain values: what `ProverClient.service` gives and the command line shows."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_prover.v1 import status_pb2
from prover_core.types import Digest

from .model import JobState, Placement, Priority, SegmentState


@dataclass(frozen=True, slots=True)
class Stage:
    """How long one stage took: percentiles of the last ten minutes, count and sum since the process began; seconds."""

    name: str
    kind: str
    """`wait`, `compute` or `transfer`."""
    recent: int
    p50: float
    p95: float
    longest: float
    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters since the process began; see `hybrid_prover.v1.Totals`."""

    jobs_done: int
    jobs_failed: int
    jobs_cancelled: int
    segments_verified: int
    received_bytes: int
    sent_bytes: int
    chunks: int
    refused: int
    reconnects: int
    worker_losses: int
    faults: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A prover, or a witness worker of an edge."""

    name: str
    slots: int
    """Segments it can work at side by side."""
    busy: int
    remote: bool
    connected: bool
    wires_per_second: float


@dataclass(frozen=True, slots=True)
class EdgeSession:
    """One edge at the cloud."""

    edge_name: str
    fingerprint: str
    connected: bool
    credit_bytes: int
    in_flight_bytes: int


@dataclass(frozen=True, slots=True)
class Uplink:
    """The edge's connection to its cloud."""

    cloud: str
    connected: bool
    credit_bytes: int


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A running job in short; `age` in seconds on the daemon's clock."""

    id: Digest
    name: str
    placement: Placement
    age: float
    segments: dict[SegmentState, int]
    client: str = ""
    """Whose it is, for operators and that client."""
    priority: Priority = Priority.NORMAL
    left: float | None = None
    """Seconds until its deadline; None if it has none."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One daemon at one moment. Times are seconds."""

    tier: str
    """`edge` or `cloud`."""
    name: str
    version: str
    draining: bool
    uptime: float
    now: float
    """Its clock, since the Unix epoch."""
    backend: str
    device: str
    backend_reason: str
    jobs: dict[JobState, int]
    segments: dict[SegmentState, int]
    """Of running jobs."""
    stages: tuple[Stage, ...]
    totals: Totals
    verified_last_minute: int
    workers: tuple[Worker, ...]
    waiting: int
    """Segments that wait for one of them."""
    sessions: tuple[EdgeSession, ...]
    uplink: Uplink | None
    backlog_bytes: int
    backlog_limit_bytes: int
    running: tuple[RunningJob, ...]
    loop_lag: float

    @property
    def busy(self) -> int:
        """Segments that somebody is working at."""
        return sum(w.busy for w in self.workers)

    @property
    def slots(self) -> int:
        """Segments that can be worked at side by side."""
        return sum(w.slots for w in self.workers if w.connected)

    @property
    def healthy(self) -> bool:
        """Takes work, and (an edge) reaches its cloud."""
        return not self.draining and (self.uplink is None or self.uplink.connected)


def status_from_wire(message: status_pb2.ServiceStatus) -> ServiceStatus:
    """The answer of GetStatus."""
    t = message.totals
    return ServiceStatus(
        tier=status_pb2.Tier.Name(message.tier).removeprefix("TIER_").lower(),
        name=message.name,
        version=message.software_version,
        draining=message.draining,
        uptime=max(0, message.now_unix_nanos - message.started_unix_nanos) / 1e9,
        now=message.now_unix_nanos / 1e9,
        backend=message.device.backend,
        device=message.device.device,
        backend_reason=message.device.reason,
        jobs={JobState(c.state): c.count for c in message.jobs},
        segments=_segments(message.segments),
        stages=tuple(
            Stage(
                s.stage,
                status_pb2.StageKind.Name(s.kind).removeprefix("STAGE_KIND_").lower(),
                s.recent,
                s.p50,
                s.p95,
                s.longest,
                s.count,
                s.seconds,
            )
            for s in message.stages
        ),
        totals=Totals(
            t.jobs_done,
            t.jobs_failed,
            t.jobs_cancelled,
            t.segments_verified,
            t.received_bytes,
            t.sent_bytes,
            t.chunks,
            t.refused,
            t.reconnects,
            t.worker_losses,
            t.faults,
            t.quarantined,
        ),
        verified_last_minute=message.verified_last_minute,
        workers=tuple(
            Worker(w.name, w.slots, w.busy, w.remote, w.connected, w.wires_per_second) for w in message.workers
        ),
        waiting=message.waiting,
        sessions=tuple(
            EdgeSession(s.edge_name, s.fingerprint, s.connected, s.credit_bytes, s.in_flight_bytes)
            for s in message.sessions
        ),
        uplink=Uplink(message.uplink.cloud, message.uplink.connected, message.uplink.credit_bytes)
        if message.HasField("uplink")
        else None,
        backlog_bytes=message.backlog_bytes,
        backlog_limit_bytes=message.backlog_limit_bytes,
        running=tuple(
            RunningJob(
                Digest(j.job_id),
                j.name,
                Placement(j.placement),
                max(0, message.now_unix_nanos - j.accepted_unix_nanos) / 1e9,
                _segments(j.segments),
                j.client,
                Priority(j.priority or Priority.NORMAL),
                (j.deadline_unix_nanos - message.now_unix_nanos) / 1e9 if j.deadline_unix_nanos else None,
            )
            for j in message.running
        ),
        loop_lag=message.loop_lag_seconds,
    )


def _segments(counts: object) -> dict[SegmentState, int]:
    return {SegmentState(c.state): c.count for c in counts}  # type: ignore[attr-defined]
