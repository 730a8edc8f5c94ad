"""The blocking twin of the client: the same calls without `await`, for scripts and notebooks.

One event loop runs in a background thread for the life of the client; every call may come from any thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from prover_core.types import Digest

from . import assemblies
from . import client as aio
from .artifacts import Progress
from .assemblymodel import Assemble, AssemblyResult, AssemblyStatus
from .credentials import Credentials
from .model import (
    CircuitInfo,
    DistrustedEdge,
    Job,
    JobRecords,
    JobResult,
    LeafProof,
    Link,
    Placement,
    Priority,
    Segment,
)
from .retry import RetryPolicy
from .servicestatus import ServiceStatus

T = TypeVar("T")


class ProverClient:
    """Blocking `hybrid_prover.ProverClient`; the same arguments and errors."""

    def __init__(
        self,
        target: str,
        *,
        credentials: Credentials | grpc.ChannelCredentials | None = None,
        plaintext: bool = False,
        timeout: float = 30.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008
    ) -> None:
        self._aio = aio.ProverClient(target, credentials=credentials, plaintext=plaintext, timeout=timeout, retry=retry)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hybrid-prover-client", daemon=True)
        self._thread.start()
        try:
            self.run(self._aio.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection and ends the background thread; running jobs go on."""
        if self._loop is not None:
            self.run(self._aio.close())
            self._stop()

    def _stop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs one coroutine on the client's loop and waits for it; Ctrl-C cancels it."""
        if self._loop is None:
            coroutine.close()
            raise RuntimeError("the client is not open: use `with ProverClient(...)`")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def submit(
        self,
        segments: Sequence[Segment] | Segment,
        *,
        placement: Placement,
        links: Sequence[Link] = (),
        name: str = "",
        assemble: Assemble | None = None,
        priority: Priority = Priority.NORMAL,
        deadline: float | None = None,
        timeout: float | None = None,
    ) -> JobHandle:
        """See `hybrid_prover.ProverClient.submit`."""
        submitted = self._aio.submit(
            segments,
            placement=placement,
            links=links,
            name=name,
            assemble=assemble,
            priority=priority,
            deadline=deadline,
            timeout=timeout,
        )
        return JobHandle(self, self.run(submitted))

    def assemble_jobs(
        self, jobs: Sequence[Digest | str], *, chain: tuple[int, int] | None = None, skip_unproved: bool = False
    ) -> AssemblyHandle:
        """See `hybrid_prover.ProverClient.assemble_jobs`."""
        asked = self._aio.assemble_jobs(jobs, chain=chain, skip_unproved=skip_unproved)
        return AssemblyHandle(self, self.run(asked))

    def assembly(self, assembly_id: Digest | str) -> AssemblyHandle:
        """A handle on an assembly asked for before; asks nobody."""
        return AssemblyHandle(self, self._aio.assembly(assembly_id))

    def job(self, job_id: Digest | str) -> JobHandle:
        """A handle on a job submitted before; asks nobody."""
        return JobHandle(self, self._aio.job(job_id))

    def jobs(self, limit: int = 100) -> list[Job]:
        """The newest jobs known there."""
        return self.run(self._aio.jobs(limit))

    def service(self, jobs: int = 20) -> ServiceStatus:
        """How the daemon is doing, with at most `jobs` of its running jobs."""
        return self.run(self._aio.service(jobs))

    def records(self, job_id: Digest | str, *, seeds: bool = False) -> JobRecords:
        """See `hybrid_prover.ProverClient.records`."""
        return self.run(self._aio.records(job_id, seeds=seeds))

    def distrusted_edges(self) -> list[DistrustedEdge]:
        """Edges whose partials a cloud does not take."""
        return self.run(self._aio.distrusted_edges())

    def forgive_edge(self, edge: str) -> list[DistrustedEdge]:
        """Has a cloud take partials of an edge again."""
        return self.run(self._aio.forgive_edge(edge))

    def circuits(self) -> list[CircuitInfo]:
        """All circuits registered there."""
        return self.run(self._aio.circuits())

    def register_circuit(
        self,
        *,
        name: str,
        zkey: Path | bytes,
        r1cs: Path | bytes | None = None,
        program: Path | bytes | None = None,
        progress: Progress | None = None,
        timeout: float = 600.0,
    ) -> CircuitInfo:
        """See `hybrid_prover.ProverClient.register_circuit`; `progress` is called on the background thread."""
        return self.run(
            self._aio.register_circuit(
                name=name, zkey=zkey, r1cs=r1cs, program=program, progress=progress, timeout=timeout
            )
        )


class AssemblyHandle:
    """Blocking `hybrid_prover.AssemblyHandle`."""

    def __init__(self, client: ProverClient, handle: assemblies.AssemblyHandle) -> None:
        self.client = client
        self._aio = handle

    @property
    def id(self) -> Digest:
        """The assembly's id."""
        return self._aio.id

    @property
    def created(self) -> bool:
        """False if the same assembly had been asked for before."""
        return self._aio.created

    def status(self) -> AssemblyStatus:
        """The assembly as it stands."""
        return self.client.run(self._aio.status())

    def watch(self) -> Iterator[AssemblyStatus]:
        """As it is, then again after every change, until it ends."""
        stream = self._aio.watch()

        async def following() -> AssemblyStatus | None:
            return await anext(stream, None)

        while (found := self.client.run(following())) is not None:
            yield found

    def wait(self, timeout: float | None = None) -> AssemblyStatus:
        """The assembly once it has ended, well or badly."""
        return self.client.run(self._aio.wait(timeout))

    def result(self, timeout: float | None = None) -> AssemblyResult:
        """Waits for the end and fetches the proof."""
        return self.client.run(self._aio.result(timeout))

    def leaves(self) -> dict[tuple[int, int], LeafProof]:
        """The leaf proofs that it is made of, by number of job and segment."""
        return self.client.run(self._aio.leaves())

    def cancel(self) -> AssemblyStatus:
        """Stops it; the leaf proofs are kept."""
        return self.client.run(self._aio.cancel())


class JobHandle:
    """One submitted job, blocking."""

    def __init__(self, client: ProverClient, handle: aio.JobHandle) -> None:
        self.client = client
        self._handle = handle
        self.id = handle.id
        self.created = handle.created

    def status(self) -> Job:
        """The job as it stands."""
        return self.client.run(self._handle.status())

    def watch(self) -> Iterator[Job]:
        """The job as it is, then again after every change, until it ends."""
        stream = self._handle.watch()

        async def following() -> Job | None:
            return await anext(stream, None)

        while (job := self.client.run(following())) is not None:
            yield job

    def wait(self, timeout: float | None = None) -> Job:
        """The job once it has ended; `DeadlineError` after `timeout` seconds."""
        return self.client.run(self._handle.wait(timeout))

    def result(self, timeout: float | None = None) -> JobResult:
        """Waits for the end and fetches the proofs; see `hybrid_prover.JobHandle.result`."""
        return self.client.run(self._handle.result(timeout))

    def cancel(self) -> Job:
        """Stops work on the job; finished leaf proofs are kept."""
        return self.client.run(self._handle.cancel())

    def requeue(self) -> Job:
        """Lets a failed or cancelled job go again; see `hybrid_prover.JobHandle.requeue`."""
        return self.client.run(self._handle.requeue())
