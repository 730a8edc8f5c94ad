"""The processes that are killed, and how they reach each other: every connection between them goes through a proxy.

    clients ──▶ edge-1, edge-2 ──proxy each──▶ cloud ──proxy──▶ PostgreSQL
                     worker-1, worker-2 ──proxy each──▶ cloud

All speak mutual TLS and ask for tokens; the database, which is not ours, trusts loopback.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from faulty_proxy import FaultyProxy, faulty_proxy
from postgres import Postgres

from hybrid_prover import ProverClient
from hybrid_prover.credentials import Credentials
from hybrid_prover.demo.processes import free_port
from hybrid_prover.demo.trust import Trust
from hybrid_prover.security.identity import Role
from hybrid_prover.security.tls import CA

SERVING_SECONDS = 90.0


@dataclass
class Daemon:
    """A process that is started again after it was killed; its log holds all its lives."""

    name: str
    arguments: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    starts: int = 0
    children: set[int] = field(default_factory=set)
    """Processes it was seen to have: none may outlive it."""

    def start(self, *more: str) -> None:
        """Call from the main thread: the process ends with whoever started it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        with self.log.open("ab") as log:
            log.write(mark("life begins", number=self.starts))
            log.flush()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hybrid_prover.demo.child", str(os.getpid()), *self.arguments, *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        self.started = time.monotonic()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    def descendants(self) -> list[psutil.Process]:
        """Its children now; remembered."""
        if not self.alive:
            return []
        assert self.process is not None
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children(recursive=True)
            self.children |= {p.pid for p in found}
            return found
        return []

    def kill(self) -> None:
        """kill -9, of this one process only."""
        self.descendants()
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def orphans(self) -> list[int]:
        """Children of a life that is over, which are still there."""
        current = {p.pid for p in self.descendants()}
        return [pid for pid in self.children - current if psutil.pid_exists(pid) and _is_worker(pid)]


def _is_worker(pid: int) -> bool:
    with suppress(psutil.Error):
        return "edge.workerproc" in psutil.Process(pid).cmdline()
    return False


def mark(event: str, **more: object) -> bytes:
    """A line of ours among a daemon's; begins anew where a killed one broke off."""
    now = datetime.now(UTC).isoformat()
    return b"\n" + json.dumps({"event": f"chaos: {event}", "timestamp": now, **more}).encode() + b"\n"


class Fleet:
    """All of it. `async with` starts everything and waits until it serves; at the end everything is killed."""

    def __init__(self, folder: Path, *, edges: int, workers: int, seed: int) -> None:
        self.folder = folder
        self.trust = Trust(folder / "trust")
        self.logs = folder / "logs"
        self.postgres = Postgres()
        self.cloud: Daemon
        self.edges: list[Daemon] = []
        self.workers: list[Daemon] = []
        self.uplinks: list[FaultyProxy] = []
        self.work_lines: list[FaultyProxy] = []
        self.database_line: FaultyProxy
        self.edge_targets = [f"127.0.0.1:{free_port()}" for _ in range(edges)]
        self.cloud_clients = f"127.0.0.1:{free_port()}"
        self._workers_wanted = workers
        self._seed = seed
        self._stack = AsyncExitStack()

    @property
    def credentials(self) -> Credentials:
        """Of a client that may do everything."""
        return Credentials(ca_file=self.folder / "trust" / CA, token_file=self.folder / "trust" / "token")

    @property
    def daemons(self) -> list[Daemon]:
        return [self.cloud, *self.edges, *self.workers]

    async def _proxy(self, target: str) -> FaultyProxy:
        self._seed += 1
        return await self._stack.enter_async_context(faulty_proxy(target, seed=self._seed))

    async def __aenter__(self) -> Fleet:
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start(self) -> None:
        await asyncio.to_thread(self.postgres.start)
        self.database_line = await self._proxy(f"127.0.0.1:{self.postgres.port}")
        port, tokens = free_port(), str(self.trust.tokens)
        database = self.database_line.address
        cloud = [
            "cloud",
            "--port",
            str(port),
            "--client-port",
            self.cloud_clients.rsplit(":", 1)[1],
            "--tokens",
            tokens,
        ]
        cloud += ["--tls", str(self.trust.certificate(Role.CLOUD, "cloud")), "--data-dir", str(self.folder / "cloud")]
        cloud += ["--database", f"postgresql://prover@{database}/postgres", "--log-level", "debug"]
        # Short leases, since lives are short here. Five workers killed in a row, or three, are no sign of poison.
        cloud += ["--lease-seconds", "4", "--poison-losses", "100", "--batch-age-ms", "50"]
        self.cloud = Daemon("cloud", cloud, self.logs / "cloud.log")
        self.cloud.start()
        for number, target in enumerate(self.edge_targets, 1):
            uplink, name = await self._proxy(f"127.0.0.1:{port}"), f"edge-{number}"
            edge = ["edge", "--listen", target, "--cloud", uplink.address, "--state-dir", str(self.folder / name)]
            edge += ["--tls", str(self.trust.certificate(Role.EDGE, name)), "--tokens", tokens, "--name", name]
            edge += ["--worker-attempts", "100", "--chunk-wires", "256", "--log-level", "debug"]
            self.uplinks.append(uplink)
            self.edges.append(Daemon(name, edge, self.logs / f"{name}.log"))
            self.edges[-1].start()
        for number in range(1, self._workers_wanted + 1):
            line, name = await self._proxy(f"127.0.0.1:{port}"), f"worker-{number}"
            worker = ["worker", "--cloud", line.address, "--name", name, "--cache-dir", str(self.folder / "cache")]
            worker += ["--tls", str(self.trust.certificate(Role.WORKER, name)), "--threads", "1"]
            self.work_lines.append(line)
            self.workers.append(Daemon(name, worker, self.logs / f"{name}.log"))
            self.workers[-1].start()
        async with asyncio.timeout(SERVING_SECONDS):
            for target in (self.cloud_clients, *self.edge_targets):
                await self.serving(target)

    async def serving(self, target: str) -> None:
        """Returns when a daemon answers; raises with the end of its log if one has ended instead."""
        while True:
            for daemon in self.daemons:
                if not daemon.alive:
                    tail = daemon.log.read_text(errors="replace").splitlines()[-10:]
                    raise RuntimeError("\n".join([f"{daemon.name} does not start:", *tail]))
            with suppress(Exception):
                async with self.client(target, timeout=2.0) as client:
                    await client.circuits()
                    return
            await asyncio.sleep(0.2)

    def client(self, target: str, timeout: float = 10.0) -> ProverClient:
        """A client of an edge or of the cloud, with every right."""
        return ProverClient(target, credentials=self.credentials, timeout=timeout)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        for daemon in [*self.edges, *self.workers, *([self.cloud] if hasattr(self, "cloud") else [])]:
            if daemon.alive:
                daemon.kill()
        await asyncio.to_thread(self.postgres.destroy)
