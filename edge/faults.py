"""Failures that the edge finds in what it holds: broken links, leaf proofs of the cloud that prove nothing. Pure."""

from __future__ import annotations

from .model import Code, Failure, Job, SegmentState
from .status import failure

SIGNAL_BYTES = 32


def broken_link(job: Job) -> Failure | None:
    """The first link whose two public signals are both known and differ; None if there is none. O(links)."""
    for k, link in enumerate(job.plan.links):
        before, after = job.segments[link.from_segment].publics, job.segments[link.to_segment].publics
        if before is None or after is None or signal(before, link.from_signal) == signal(after, link.to_signal):
            continue
        return failure(
            Code.FAILED_PRECONDITION,
            f"links[{k}]: public signal {link.from_signal} of segment {link.from_segment} differs from "
            f"public signal {link.to_signal} of segment {link.to_segment}",
            reason="LINK_BROKEN",
            field=f"links[{k}]",
            metadata={
                "from_segment": str(link.from_segment),
                "from_signal": str(link.from_signal),
                "to_segment": str(link.to_segment),
                "to_signal": str(link.to_signal),
            },
        )
    return None


def signal(publics: bytes, index: int) -> bytes:
    """One of the public signals."""
    return publics[SIGNAL_BYTES * index : SIGNAL_BYTES * (index + 1)]


def too_late(job: Job) -> Failure:
    """The job's deadline has passed; says what was done by then."""
    verified = sum(s.state is SegmentState.VERIFIED for s in job.segments)
    proved = sum(s.state is SegmentState.PROVED for s in job.segments)
    witnessed = sum(s.publics is not None for s in job.segments)
    text = (
        f"the deadline has passed with {verified} of {len(job.segments)} segments verified, {proved} proved and "
        f"{witnessed} witnessed"
    )
    metadata = {
        "deadline_unix_nanos": str(job.deadline),
        "segments": str(len(job.segments)),
        "verified": str(verified),
        "proved": str(proved),
        "witnessed": str(witnessed),
    }
    return failure(Code.DEADLINE_EXCEEDED, text, reason="JOB_DEADLINE", metadata=metadata)


def unproved(segment: int, why: str) -> Failure:
    """What the cloud gave as the segment's leaf proof does not verify."""
    return failure(
        Code.DATA_LOSS,
        f"the cloud's proof of segment {segment} does not verify: {why}",
        reason="CLOUD_PROOF_INVALID",
        field=f"segments[{segment}]",
        metadata={"segment": str(segment)},
    )


def no_assembly() -> Failure:
    """The cloud ended the job without the assembly that it was asked for: it knows none."""
    return failure(
        Code.UNIMPLEMENTED,
        "the cloud proved the job and made no assembly: its version knows none",
        reason="NO_ASSEMBLY",
        field="assembly",
    )


def wrong_count(leaves: int, segments: int) -> Failure:
    """The cloud's result does not fit the job."""
    text = f"the cloud's result has {leaves} leaf proofs for {segments} segments"
    return failure(Code.DATA_LOSS, text, reason="CLOUD_RESULT_INVALID")
