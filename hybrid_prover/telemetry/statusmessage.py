"""The parts of `GetStatus` that edge and cloud make alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import Counter as PrometheusCounter

from hybrid_prover.v1 import job_pb2, status_pb2

from .stages import KINDS, Summary

JOBS_TOLD = 20
MOST_JOBS_TOLD = 200


def jobs_told(asked: int) -> int:
    """How many running jobs an answer names."""
    return min(asked or JOBS_TOLD, MOST_JOBS_TOLD)


def stage_messages(summaries: Iterable[Summary]) -> list[status_pb2.StageSummary]:
    """Stages in the order of a segment's life, unknown ones last."""
    order = {stage: i for i, stage in enumerate(KINDS)}
    return [
        status_pb2.StageSummary(
            stage=s.stage,
            kind=int(s.kind),  # type: ignore[arg-type]
            recent=s.recent,
            p50=s.p50,
            p95=s.p95,
            longest=s.longest,
            count=s.count,
            seconds=s.seconds,
        )
        for s in sorted(summaries, key=lambda s: (order.get(s.stage, len(order)), s.stage))
    ]


def segment_counts(counts: Mapping[int, int]) -> list[status_pb2.SegmentCount]:
    """By state, in the order of a segment's life."""
    return [
        status_pb2.SegmentCount(state=state, count=counts[state])  # type: ignore[arg-type]
        for state in sorted(job_pb2.SegmentState.values())
        if counts.get(state)
    ]


def job_counts(counts: Mapping[int, int]) -> list[status_pb2.JobCount]:
    """By state."""
    return [
        status_pb2.JobCount(state=state, count=counts[state])  # type: ignore[arg-type]
        for state in sorted(job_pb2.JobState.values())
        if counts.get(state)
    ]


def job_summary(
    job_id: bytes,
    name: str,
    placement: int,
    accepted: int,
    states: Iterable[int],
    client: str,
    priority: int,
    deadline: int,
) -> status_pb2.JobSummary:
    """A running job in short."""
    return status_pb2.JobSummary(
        job_id=job_id,
        name=name,
        placement=placement,  # type: ignore[arg-type]
        accepted_unix_nanos=accepted,
        segments=segment_counts(Counter(states)),
        client=client,
        priority=priority,  # type: ignore[arg-type]
        deadline_unix_nanos=deadline,
    )


def total(counter: PrometheusCounter, **labels: str) -> int:
    """A counter's value, summed over all its labels but those given."""
    return int(
        sum(
            sample.value
            for metric in counter.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and all(sample.labels.get(k) == v for k, v in labels.items())
        )
    )
