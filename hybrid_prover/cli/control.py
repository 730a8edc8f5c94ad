"""`cancel`, `requeue` and `distrusted`: what is done to jobs and edges by hand."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime

from hybrid_prover.client import ProverClient
from hybrid_prover.credentials import Credentials
from hybrid_prover.model import DistrustedEdge, Job

from .connection import Connection
from .jobs import EDGE, describe, progress_line
from .output import Output
from .text import printable

CLOUD = "127.0.0.1:7600"


def cancel(
    job: str,
    /,
    *,
    target: str = EDGE,
    connection: Connection = Credentials(),  # noqa: B008
    json: bool = False,
) -> int:
    """Stop a job and all work on it, wherever that is done; proofs that exist are kept.

    Parameters
    ----------
    job
        Job id.
    target
        Address of the edge that has the job, or of the cloud.
    json
        Print the job as JSON.
    """
    output = Output(json)

    async def work() -> Job:
        async with ProverClient(target, credentials=connection.with_environment()) as client:
            return await client.job(job).cancel()

    return _show(asyncio.run(work()), output)


def requeue(
    job: str,
    /,
    *,
    target: str = CLOUD,
    connection: Connection = Credentials(),  # noqa: B008
    json: bool = False,
) -> int:
    """Let a failed or cancelled job go again, with new attempts for its segments.

    Of a job that failed because a segment was quarantined the cloud still has the witnesses. Of any other, submit it
    again at its edge, which does the same and makes the witnesses anew.

    Parameters
    ----------
    job
        Job id.
    target
        Address of the cloud.
    json
        Print the job as JSON.
    """
    output = Output(json)

    async def work() -> Job:
        async with ProverClient(target, credentials=connection.with_environment()) as client:
            return await client.job(job).requeue()

    return _show(asyncio.run(work()), output)


def distrusted(
    *,
    forgive: str = "",
    target: str = CLOUD,
    connection: Connection = Credentials(),  # noqa: B008
    json: bool = False,
) -> int:
    """List the edges whose partials a cloud does not take since some were wrong, or forgive one.

    Parameters
    ----------
    forgive
        Fingerprint or identity of an edge: its partials are taken again from its next connection on.
    target
        Address of the cloud.
    json
        Print as JSON.
    """
    output = Output(json)

    async def work() -> list[DistrustedEdge]:
        async with ProverClient(target, credentials=connection.with_environment()) as client:
            return await (client.forgive_edge(forgive) if forgive else client.distrusted_edges())

    edges = asyncio.run(work())
    for edge in edges:
        since = datetime.fromtimestamp(edge.since, UTC).isoformat(timespec="seconds")
        called = f"{edge.fingerprint}  {printable(edge.name) or '-'}  {edge.identity or '-'}"
        chunks = ", ".join(map(str, edge.chunks))
        output.say(f"{called}  since {since}: job {edge.job}, segment {edge.segment}, chunks {chunks}")
    if forgive or not edges:
        output.say(f"forgiven: {len(edges)}" if forgive else "no edge is distrusted")
    listed = [asdict(edge) | {"job": str(edge.job)} for edge in edges]
    output.result({"forgiven" if forgive else "distrusted": listed})
    return 0


def _show(job: Job, output: Output) -> int:
    output.say(f"job {job.id}  {printable(job.name) or '-'}  {progress_line(job)}")
    output.result(describe(job))
    return 0
