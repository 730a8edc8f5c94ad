"""`cancel` and `requeue`: jobs stopped and begun again by hand."""

from __future__ import annotations

import asyncio

from hybrid_prover.client import ProverClient
from hybrid_prover.credentials import Credentials
from hybrid_prover.model import Job

from .connection import Connection
from .jobs import EDGE, describe, progress_line
from .output import Output

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


def _show(job: Job, output: Output) -> int:
    output.say(f"job {job.id}  {job.name or '-'}  {progress_line(job)}")
    output.result(describe(job))
    return 0
