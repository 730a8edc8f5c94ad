"""The running edge in numbers: the gauges that a scrape reads, and the answer of GetStatus."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from typing import TYPE_CHECKING

import hybrid_prover
from hybrid_prover.security.principal import Principal
from hybrid_prover.telemetry.metrics import Samples
from hybrid_prover.telemetry.statusmessage import (
    job_counts,
    job_summary,
    jobs_told,
    segment_counts,
    stage_messages,
    total,
)
from hybrid_prover.v1 import status_pb2

from .model import JobState, SegmentState

if TYPE_CHECKING:
    from .core import EdgeCore

_SHOWN = (SegmentState.QUEUED, SegmentState.WITNESSING, SegmentState.UPLOADING, SegmentState.PROVING)


def samples(edge: EdgeCore) -> Samples:
    """Every gauge of `metrics.GAUGES`; O(segments of running jobs)."""
    jobs, segments, waiting = _counts(edge)
    busy = [b for _, b in edge.pool.busy()]
    return {
        "jobs_in_state": {(JobState(s).name.lower(),): jobs[s] for s in {JobState.RUNNING, *jobs}},
        "segments_in_state": {(SegmentState(s).name.lower(),): segments[s] for s in {*_SHOWN, *segments}},
        "queued_segments": waiting,
        "workers": {("yes",): sum(busy), ("no",): len(busy) - sum(busy)},
        "uplink_connected": edge.machine.connected,
        "credit_bytes": edge.machine.credit_bytes,
        "unacked_bytes": edge.machine.unacked_bytes,
        "unacked_limit_bytes": edge.config.max_unacked,
        "disk_free_bytes": shutil.disk_usage(edge.config.state_dir).free,
        "certificate_expiry_timestamp_seconds": edge.observer.expiries(),
        "stopping": edge.stopping,
    }


def service_status(edge: EdgeCore, asked: int, caller: Principal) -> status_pb2.ServiceStatus:
    """What GetStatus answers, with at most `asked` running jobs of the caller's; O(segments of running jobs)."""
    jobs, segments, waiting = _counts(edge)
    observer = edge.observer
    running = [j for j in edge.machine.jobs.values() if j.state is JobState.RUNNING and caller.owns(j.clients)]
    return status_pb2.ServiceStatus(
        tier=status_pb2.TIER_EDGE,
        name=edge.config.name,
        software_version=hybrid_prover.__version__,
        draining=edge.stopping,
        started_unix_nanos=edge.started_nanos,
        now_unix_nanos=time.time_ns(),
        device=status_pb2.Device(backend=edge.config.backend or "auto"),
        jobs=job_counts(jobs),
        segments=segment_counts(segments),
        stages=stage_messages(observer.metrics.summaries()),
        totals=_totals(edge),
        verified_last_minute=observer.verified.last_minute(),
        workers=[
            status_pb2.Worker(name=f"worker {pid}", slots=1, busy=int(busy), connected=True)
            for pid, busy in sorted(edge.pool.busy())
        ],
        waiting=waiting,
        uplink=status_pb2.UplinkStatus(
            cloud=edge.config.cloud, connected=edge.machine.connected, credit_bytes=edge.machine.credit_bytes
        ),
        backlog_bytes=edge.machine.unacked_bytes,
        backlog_limit_bytes=edge.config.max_unacked,
        running=[
            job_summary(
                j.id,
                j.plan.name,
                j.plan.placement,
                j.accepted,
                (s.state for s in j.segments),
                j.client if caller.operates or j.client == caller.client else "",
                j.priority,
                j.deadline,
            )
            for j in sorted(running, key=lambda j: j.order)[: jobs_told(asked)]
        ],
        loop_lag_seconds=observer.metrics.lag.summary("").p95,
    )


def _totals(edge: EdgeCore) -> status_pb2.Totals:
    metrics = edge.observer.metrics
    return status_pb2.Totals(
        jobs_done=total(metrics.jobs_ended, state="done"),
        jobs_failed=total(metrics.jobs_ended, state="failed"),
        jobs_cancelled=total(metrics.jobs_ended, state="cancelled"),
        segments_verified=edge.observer.verified.total,
        received_bytes=total(metrics.received_bytes),
        sent_bytes=total(metrics.sent_bytes),
        chunks=total(metrics.chunks_sent),
        refused=total(metrics.refusals),
        reconnects=max(0, total(metrics.connections) - 1),
        worker_losses=total(metrics.worker_losses),
        faults=total(metrics.leaves_refused),
    )


def _counts(edge: EdgeCore) -> tuple[Counter[int], Counter[int], int]:
    """Jobs by state, segments of running jobs by state, and how many of these wait for a worker."""
    jobs: Counter[int] = Counter()
    segments: Counter[int] = Counter()
    waiting = 0
    for job in edge.machine.jobs.values():
        jobs[job.state] += 1
        if job.state is JobState.RUNNING:
            segments.update(s.state for s in job.segments)
            waiting += sum(s.state is SegmentState.QUEUED and not s.working for s in job.segments)
    return jobs, segments, waiting
