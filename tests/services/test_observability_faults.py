"""What goes wrong is counted as what it is: lost workers, failed attempts, quarantines, certificates."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from google.rpc import status_pb2
from security_support import Pki

from cloud import messages as m
from cloud.attempts import Attempt, Outcome, quarantine
from cloud.config import CloudConfig
from cloud.leases import LOCAL
from cloud.metrics import CloudMetrics
from cloud.model import FAILED, VERIFIED, CircuitInfo, Job, Segment
from cloud.observer import CloudObserver
from edge.config import EdgeConfig
from hybrid_prover.security.identity import Role
from hybrid_prover.telemetry.certificates import Expiries
from hybrid_prover.telemetry.spans import Span
from hybrid_prover.v1 import common_pb2

KEY = (b"j" * 32, 0)


class Kept:
    """A sink that keeps its spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def put(self, spans: list[Span]) -> None:
        self.spans += spans

    async def close(self) -> None:
        pass


@pytest.fixture
def observer() -> CloudObserver:
    return CloudObserver(CloudMetrics(dict), "cuda", "a device", None)


def counted(observer: CloudObserver, name: str, **labels: str) -> float:
    return observer.metrics.registry.get_sample_value(f"hybrid_prover_cloud_{name}", labels) or 0.0


def job_of(segment: Segment) -> Job:
    return Job(KEY[0], "", common_pb2.PLACEMENT_CLOUD, [], [segment], accepted_nanos=1)


def timing(phase: str, start: int, nanos: int) -> common_pb2.PhaseTiming:
    return common_pb2.PhaseTiming(phase=phase, start_unix_nanos=start, duration_nanos=nanos)


@pytest.mark.parametrize(
    ("outcome", "code", "worker", "lost", "faults"),
    [
        (Outcome.LOST, None, b"far", 1, {}),
        (Outcome.FAILED, 13, LOCAL, 0, {"cuda": 1}),
        (Outcome.FAILED, 13, b"far", 0, {"remote": 1}),
        (Outcome.FAILED, 9, LOCAL, 0, {}),
        (Outcome.CLAIMED, 9, b"far", 0, {}),
    ],
)
def test_attempts_that_end_without_a_proof(
    observer: CloudObserver, outcome: Outcome, code: int | None, worker: bytes, lost: int, faults: dict[str, int]
) -> None:
    error = status_pb2.Status(code=code) if code is not None else None
    observer.attempt_ended(Attempt(outcome, worker, "somebody", error))
    assert counted(observer, "failed_attempts_total", outcome=outcome.name.lower()) == 1
    assert counted(observer, "worker_losses_total") == lost
    assert {b: counted(observer, "device_faults_total", backend=b) for b in faults} == faults
    assert sum(counted(observer, "device_faults_total", backend=b) for b in ("cuda", "remote")) == sum(faults.values())


def test_a_quarantined_segment_is_counted_and_its_span_says_why(observer: CloudObserver) -> None:
    observer.spans = kept = Kept()
    error = quarantine(0, [Attempt(Outcome.FAILED, LOCAL, "local", None)])
    segment = Segment(0, CircuitInfo(b"c" * 32, 4, 1), FAILED, error=error)
    event = m.SegmentBroken(KEY, error, (timing("queue", 10, 5),))
    observer.saw(event, [m.SaveSegment(job_of(segment), segment)], 100)
    assert counted(observer, "quarantined_segments_total") == 1
    assert counted(observer, "segments_total", placement="cloud", state="failed") == 1
    assert counted(observer, "wait_seconds_count", stage="queue", placement="cloud") == 1
    assert "quarantined" in kept.spans[0].error

    other = Segment(0, CircuitInfo(b"c" * 32, 4, 1), FAILED, error=status_pb2.Status(code=3, message="the input"))
    observer.saw(m.SegmentBroken(KEY, other.error), [m.SaveSegment(job_of(other), other)], 200)
    assert counted(observer, "quarantined_segments_total") == 1


def test_what_an_edge_says_it_measured_is_not_counted_as_the_clouds(observer: CloudObserver) -> None:
    said = [timing("finish", 1, 10**15), timing("whatever", 1, 1)]
    segment = Segment(0, CircuitInfo(b"c" * 32, 4, 1), VERIFIED, timings=[*said, timing("verify", 50, 7)])
    event = m.BatchChecked(b"b" * 32, (KEY,), (), timing("verify", 50, 7), {KEY: timing("batch", 40, 10)})
    observer.saw(event, [m.SaveSegment(job_of(segment), segment)], 100)
    assert counted(observer, "compute_seconds_count", stage="finish", placement="cloud", backend="cuda") == 0
    assert counted(observer, "compute_seconds_count", stage="verify", placement="cloud", backend="cuda") == 1
    assert {s.stage for s in observer.metrics.summaries()} == {"verify", "batch"}


def test_a_remote_workers_time_is_not_the_local_devices(observer: CloudObserver) -> None:
    segment = Segment(0, CircuitInfo(b"c" * 32, 4, 1), VERIFIED - 1, lease_worker=b"far")
    event = m.LeafProved(KEY, common_pb2.LeafProof(), (timing("finish", 10, 5),))
    observer.saw(event, [m.SaveSegment(job_of(segment), segment)], 100)
    assert counted(observer, "compute_seconds_count", stage="finish", placement="cloud", backend="remote") == 1


def test_expiries_are_those_of_the_certificates(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    issued = pki.issue(Role.CLOUD, "cloud", days=3)
    read = Expiries(issued)
    found = read()
    soon = datetime.datetime.now(datetime.UTC).timestamp() + 3 * 86400
    assert abs(found["own",] - soon) < 300
    assert found["authority",] > soon
    longer = pki.issue(Role.CLOUD, "other", days=30)
    os.replace(longer / "tls.crt", issued / "tls.crt")
    assert read()["own",] > soon + 20 * 86400, "a renewed certificate is seen"
    assert Expiries(CloudConfig().tls)() == Expiries(EdgeConfig().tls)() == {}
