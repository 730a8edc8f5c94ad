"""Operations through the real thing: submitted to an edge, watched until verified at the cloud, fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from examples.rollup.decompose import OperationJob
from hybrid_prover.client import ProverClient
from hybrid_prover.model import Job, JobResult, Link, Placement, Segment
from prover_core.types import Digest

Seen = Callable[[Job], None]


@dataclass(frozen=True, slots=True)
class Pipelined:
    """One operation proved: seconds from submission to the job being verified, and its proofs."""

    seconds: float
    result: JobResult


async def prove_pipelined(
    client: ProverClient, job: OperationJob, digests: Mapping[str, Digest], placement: Placement, seen: Seen
) -> Pipelined:
    """Submits one operation and follows it to its end; `JobFailedError` names the segment that cannot be proved."""
    segments = [Segment(digests[s.circuit_name], s.inputs) for s in job.segments]
    links = [Link(k.from_segment, k.from_signal, k.to_segment, k.to_signal) for k in job.links]
    start = time.perf_counter()
    handle = await client.submit(segments, placement=placement, links=links, name=job.name)
    async for state in handle.watch():
        seen(state)
    seconds = time.perf_counter() - start
    return Pipelined(seconds, await handle.result())


async def prove_in_turn(
    client: ProverClient, job: OperationJob, digests: Mapping[str, Digest], placement: Placement
) -> float:
    """Seconds for the same segments one after another: each is submitted when the one before it is verified."""
    start = time.perf_counter()
    for segment in job.segments:
        single = replace(job, segments=(segment,), links=())
        await prove_pipelined(client, single, digests, placement, lambda _: None)
    return time.perf_counter() - start
