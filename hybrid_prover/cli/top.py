"""`top`: daemons live in the terminal; once and without colours where nobody is watching."""

from __future__ import annotations

import asyncio
import contextlib
import json as jsonlib
import sys
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console, Group, RenderableType
from rich.live import Live

from hybrid_prover.client import ProverClient
from hybrid_prover.credentials import Credentials
from hybrid_prover.errors import ClientError
from hybrid_prover.retry import RetryPolicy
from hybrid_prover.servicestatus import ServiceStatus
from prover_core.errors import ProverError

from . import service_view
from .connection import Connection
from .jobs import EDGE

Answer = ServiceStatus | ProverError
ONE_TRY = RetryPolicy(attempts=1)


def top(
    *targets: str,
    interval: Annotated[float, Parameter(validator=Number(gte=0.1))] = 1.0,
    jobs: Annotated[int, Parameter(validator=Number(gte=1, lte=200))] = 10,
    once: bool = False,
    connection: Connection = Credentials(),  # noqa: B008
    json: bool = False,
) -> int:
    """Show edges and clouds live: jobs, segments, queues against work, workers, sessions. Ctrl-C ends it.

    Parameters
    ----------
    targets
        Addresses of edges and clouds; the edge of this machine if none is given.
    interval
        Seconds between two looks.
    jobs
        Running jobs to show of each.
    once
        Look once and end, as is done anyway where the output is not a terminal. Exit code 1 if one does not answer.
    json
        Look once and print as JSON.
    """
    chosen = targets or (EDGE,)
    console, credentials = Console(highlight=False), connection.with_environment()
    if once or json or not console.is_terminal:
        answers = asyncio.run(_once(chosen, credentials, jobs))
        if json:
            jsonlib.dump(
                {"services": [_json(t, a) for t, a in zip(chosen, answers, strict=True)]}, sys.stdout, indent=2
            )
            sys.stdout.write("\n")
        else:
            console.print(_screen(chosen, answers, (None,) * len(answers)))
        return 0 if all(isinstance(a, ServiceStatus) for a in answers) else 1
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_live(chosen, credentials, interval, jobs, console))
    return 0


async def _once(targets: tuple[str, ...], credentials: Credentials, jobs: int) -> tuple[Answer, ...]:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(t, credentials)) for t in targets]
        return await _ask(clients, jobs)


async def _live(
    targets: tuple[str, ...], credentials: Credentials, interval: float, jobs: int, console: Console
) -> None:
    before: tuple[Answer | None, ...] = (None,) * len(targets)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(t, credentials)) for t in targets]
        with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                answers = await _ask(clients, jobs)
                room = console.height // len(targets)
                live.update(_screen(targets, answers, before, room), refresh=True)
                before = answers
                await asyncio.sleep(interval)


def _client(target: str, credentials: Credentials) -> ProverClient:
    return ProverClient(target, credentials=credentials, timeout=5.0, retry=ONE_TRY)


async def _ask(clients: list[ProverClient], jobs: int) -> tuple[Answer, ...]:
    async def one(client: ProverClient) -> Answer:
        try:
            return await client.service(jobs=jobs)
        except ProverError as e:
            return e

    return tuple(await asyncio.gather(*(one(client) for client in clients)))


def _screen(
    targets: tuple[str, ...], answers: tuple[Answer, ...], before: tuple[Answer | None, ...], room: int = 1000
) -> RenderableType:
    """One daemon below the other, each in `room` lines."""
    parts: list[RenderableType] = []
    for target, answer, earlier in zip(targets, answers, before, strict=True):
        if isinstance(answer, ServiceStatus):
            if not isinstance(earlier, ServiceStatus) or earlier.uptime > answer.uptime:
                earlier = None
            parts.append(service_view.screen(target, answer, earlier, room))
        else:
            parts.append(service_view.unreachable(target, str(answer)))
    return Group(*parts)


def _json(target: str, answer: Answer) -> dict[str, object]:
    if isinstance(answer, ServiceStatus):
        return {"target": target, **service_view.describe(answer)}
    code = answer.code if isinstance(answer, ClientError) else "UNKNOWN"
    return {"target": target, "problem": {"code": code, "message": str(answer)}}
