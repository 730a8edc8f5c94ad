"""The running cloud in numbers: the gauges that a scrape reads, and the answer of GetStatus."""

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

from .model import PROVED, PROVING, QUEUED, RUNNING, UPLOADING
from .observer import job_label, segment_label
from .trust import fingerprint

if TYPE_CHECKING:
    from .aggregator import Aggregator


def samples(cloud: Aggregator) -> Samples:
    """Every gauge of `metrics.GAUGES`; O(segments of running jobs)."""
    jobs, segments = _counts(cloud)
    sessions, load, workers = cloud.machine.sessions.all(), cloud.load(), _workers(cloud)
    kinds = Counter(w.remote for w in workers if w.connected)
    connected = sum(s.connection is not None for s in sessions)
    return {
        "jobs_in_state": {(job_label(state),): jobs[state] for state in {RUNNING, *jobs}},
        "segments_in_state": {
            (segment_label(s),): segments[s] for s in {QUEUED, UPLOADING, PROVING, PROVED, *segments}
        },
        "queued_segments": load.waiting + cloud.dispatcher.book.waiting,
        "proving_segments": sum(w.busy for w in workers),
        "open_segments": load.open,
        "provers": sum(w.slots for w in workers if w.connected),
        "workers_connected": {("local",): kinds[False], ("remote",): kinds[True]},
        "batch_waiting": cloud.batch_waiting,
        "assemblies_waiting": cloud.assemblies_waiting,
        "sessions": {("yes",): connected, ("no",): len(sessions) - connected},
        "credit_outstanding_bytes": sum(s.outstanding for s in sessions if s.connection is not None),
        "ingest_bytes": sum(s.in_flight for s in sessions),
        "backlog_bytes": _backlog(cloud),
        "backlog_limit_bytes": cloud.config.backlog_bytes,
        "loaded_keys": cloud.keys.loaded,
        "disk_free_bytes": shutil.disk_usage(cloud.config.data_dir).free,
        "certificate_expiry_timestamp_seconds": cloud.observer.expiries(),
        "draining": cloud.machine.draining_ms is not None,
    }


def service_status(cloud: Aggregator, asked: int, caller: Principal) -> status_pb2.ServiceStatus:
    """What GetStatus answers, with at most `asked` running jobs of the caller's; O(segments of running jobs)."""
    jobs, segments = _counts(cloud)
    load, observer = cloud.load(), cloud.observer
    running = [j for j in cloud.machine.jobs.values() if j.state == RUNNING and caller.owns({j.client})]
    running.sort(key=lambda j: j.accepted_nanos)
    return status_pb2.ServiceStatus(
        tier=status_pb2.TIER_CLOUD,
        software_version=hybrid_prover.__version__,
        draining=cloud.machine.draining_ms is not None,
        started_unix_nanos=cloud.started_nanos,
        now_unix_nanos=time.time_ns(),
        device=status_pb2.Device(backend=cloud.backend.name, device=cloud.backend.device, reason=cloud.backend_reason),
        jobs=job_counts(jobs),
        segments=segment_counts(segments),
        stages=stage_messages(observer.metrics.summaries()),
        totals=_totals(cloud),
        verified_last_minute=observer.verified.last_minute(),
        workers=_workers(cloud),
        waiting=load.waiting + cloud.dispatcher.book.waiting,
        sessions=[
            status_pb2.EdgeSession(
                edge_name=observer.edge_name(s.session_id),
                fingerprint=fingerprint(s.session_id),
                connected=s.connection is not None,
                credit_bytes=s.outstanding if s.connection is not None else 0,
                in_flight_bytes=s.in_flight,
            )
            for s in cloud.machine.sessions.all()[:256]
        ],
        backlog_bytes=_backlog(cloud),
        backlog_limit_bytes=cloud.config.backlog_bytes,
        running=[
            job_summary(
                j.job_id,
                j.name,
                j.placement,
                j.accepted_nanos,
                (s.state for s in j.segments),
                j.client,
                j.priority,
                j.deadline,
            )
            for j in running[: jobs_told(asked)]
        ],
        loop_lag_seconds=observer.metrics.lag.summary("").p95,
    )


def _workers(cloud: Aggregator) -> list[status_pb2.Worker]:
    """Those of the lease book; of the local one's leases only what a thread is at counts as busy."""
    load = cloud.load()
    return [
        status_pb2.Worker(
            name=w.name,
            slots=w.lanes,
            busy=len(w.held) if w.bounded else load.running,
            remote=w.bounded,
            connected=w.connected,
            wires_per_second=w.speed,
        )
        for w in cloud.dispatcher.book.workers.values()
    ]


def _totals(cloud: Aggregator) -> status_pb2.Totals:
    metrics = cloud.observer.metrics
    return status_pb2.Totals(
        jobs_done=total(metrics.jobs_ended, state="done"),
        jobs_failed=total(metrics.jobs_ended, state="failed"),
        jobs_cancelled=total(metrics.jobs_ended, state="cancelled"),
        segments_verified=cloud.observer.verified.total,
        received_bytes=total(metrics.received_bytes),
        sent_bytes=total(metrics.sent_bytes),
        chunks=total(metrics.chunks, outcome="accepted"),
        refused=total(metrics.refusals),
        reconnects=total(metrics.reconnects),
        worker_losses=total(metrics.worker_losses),
        faults=total(metrics.device_faults),
        quarantined=total(metrics.quarantined),
    )


def _counts(cloud: Aggregator) -> tuple[Counter[int], Counter[int]]:
    jobs: Counter[int] = Counter()
    segments: Counter[int] = Counter()
    for job in cloud.machine.jobs.values():
        jobs[job.state] += 1
        if job.state == RUNNING:
            segments.update(s.state for s in job.segments)
    return jobs, segments


def _backlog(cloud: Aggregator) -> int:
    return sum(job.witness_bytes for job in cloud.machine.jobs.values())
