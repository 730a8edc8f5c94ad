"""`status`: how a daemon is doing, its newest jobs, or one job."""

from __future__ import annotations

import asyncio

from hybrid_prover.client import ProverClient
from hybrid_prover.credentials import Credentials
from hybrid_prover.errors import ClientError
from hybrid_prover.model import Job
from hybrid_prover.servicestatus import ServiceStatus

from . import service_view
from .connection import Connection
from .jobs import EDGE, describe, progress_line
from .output import Output
from .text import printable


def status(
    job: str = "",
    /,
    *,
    target: str = EDGE,
    limit: int = 20,
    watch: bool = False,
    connection: Connection = Credentials(),  # noqa: B008
    json: bool = False,
) -> int:
    """Show a daemon with its newest jobs, or one job.

    Parameters
    ----------
    job
        Job id; without it the daemon itself and its newest jobs are shown.
    target
        Address of the edge or cloud.
    limit
        How many jobs to list.
    watch
        Follow the job until it ends.
    json
        Print as JSON.
    """
    output = Output(json)

    async def work() -> int:
        async with ProverClient(target, credentials=connection.with_environment()) as client:
            if not job:
                service = await _service(client)
                listed = await client.jobs(limit)
                for line in service_view.lines(service) if service is not None else ():
                    output.say(line)
                for one in listed:
                    output.say(f"{one.id}  {printable(one.name) or '-'}  {progress_line(one)}")
                shown_service = service_view.describe(service) if service is not None else None
                output.result({"service": shown_service, "jobs": [describe(one) for one in listed]})
                return 0
            handle = client.job(job)
            if watch:
                async for shown in handle.watch():
                    output.note(progress_line(shown))
            else:
                shown = await handle.status()
            _show(shown, output)
            return 1 if shown.problem else 0

    return asyncio.run(work())


async def _service(client: ProverClient) -> ServiceStatus | None:
    """The daemon's status; None from one of a version that tells none."""
    try:
        return await client.service(jobs=1)
    except ClientError as e:
        if e.code != "UNIMPLEMENTED":
            raise
        return None


def _show(job: Job, output: Output) -> None:
    output.say(f"job {job.id}  {printable(job.name) or '-'}  {job.placement.name.lower()}  {progress_line(job)}")
    for s in job.segments:
        timings = ", ".join(f"{printable(t.phase)} {t.seconds * 1000:.0f} ms" for t in s.timings)
        trouble = f"  {s.problem.code}: {printable(s.problem.message)}" if s.problem else ""
        with_partial = f"  {s.partials.partials} of {s.partials.chunks} chunks with partials" if s.partials else ""
        stands = f"{s.state.name.lower()}  {s.wires_acked}/{s.wires} wires{with_partial}"
        output.say(f"  segment {s.index}  {stands}  {timings}{trouble}")
    if (made := job.assembly) is not None:
        timings = ", ".join(f"{printable(t.phase)} {t.seconds * 1000:.0f} ms" for t in made.timings)
        stands = f"{made.state.name.lower()}  {made.committed} of {made.leaves} leaves committed to"
        output.say(f"  assembly  {stands}, {made.nodes_proved} of {made.nodes or '?'} proved  {timings}")
    if job.problem:
        output.say(f"  {job.problem.code}: {printable(job.problem.message)}")
    output.result(describe(job))
