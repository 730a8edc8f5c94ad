"""The uplink on bad networks: delay, loss, little bandwidth, cuts in the middle of messages, silence, slow peers.

A real edge and a real cloud, with `faulty_proxy` between them. Whatever the network does, the proofs come, nothing that
was acknowledged goes again, and what is under way stays within the credit.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from edge_support import EdgeStubs, Sample, edge_config, make, running_edge
from faulty_proxy import FaultyProxy, faulty_proxy

from cloud import chunklog
from cloud.config import CloudConfig
from cloud.service import CloudServer
from edge.daemon import EdgeDaemon
from hybrid_prover.v1 import common_pb2
from prover_core.backend import Backend
from prover_core.circuit import Circuit

NEW = itertools.count(1)
"""Inputs that no job has had."""
CREDIT = 64 << 10
PLACEMENTS = [common_pb2.PLACEMENT_CLOUD, common_pb2.PLACEMENT_SPLIT, common_pb2.PLACEMENT_PRIVATE]


def chain(c: Circuit) -> None:
    """Full-size wires: 130 KB of witness, more than twice the credit."""
    a, x = c.public("a"), c.private("x")
    for _ in range(4_000):
        x = x * x + a
    c.output("out", x)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("circuit"), backend, "chain", chain)


@dataclass
class Site:
    """A cloud, an edge, and the network between them; the circuit is known to both."""

    cloud: CloudServer
    edge: EdgeDaemon
    stubs: EdgeStubs
    net: FaultyProxy
    sample: Sample
    backend: Backend

    async def submit(self, placement: int = common_pb2.PLACEMENT_CLOUD) -> tuple[bytes, int]:
        """A job of its own; its id and its input."""
        a = next(NEW)
        return (await self.stubs.submit(self.sample.segment(a=a, x=2), placement=placement)).job_id, a

    async def proved(self, job_id: bytes, a: int) -> None:
        """Waits for the job's proof and verifies it."""
        publics = await self.stubs.proved(job_id, self.backend, [self.sample.key])
        assert publics == [self.sample.publics(a=a, x=2)]

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not reached():
                await asyncio.sleep(0.01)

    @property
    def acked(self) -> int:
        """Wires of all jobs that the cloud has acknowledged."""
        return sum(s.wires_acked for job in self.edge.core.machine.jobs.values() for s in job.segments)

    def chunks(self, outcome: str) -> int:
        """Chunks that came to the cloud."""
        return int(self.cloud.aggregator.observer.metrics.chunks.labels(outcome)._value.get())


@asynccontextmanager
async def site(folder: Path, sample: Sample, backend: Backend) -> AsyncIterator[Site]:
    config = CloudConfig(
        port=0, plaintext=True, data_dir=folder / "cloud", batch_age_ms=20, drain_grace_seconds=1,
        max_chunk_bytes=CREDIT // 4, session_credit_bytes=CREDIT,
    )  # fmt: skip
    cloud = CloudServer(config)
    await cloud.start()
    try:
        async with faulty_proxy(cloud.target, seed=7) as net:
            small = edge_config(folder / "edge", net.address, chunk_wires=256, workers=1)
            async with running_edge(small) as (edge, stubs):
                await stubs.register(sample)
                at = Site(cloud, edge, stubs, net, sample, backend)
                await at.proved(*await at.submit())  # the key is at the cloud
                yield at
    finally:
        await cloud.stop()


def delayed(net: FaultyProxy) -> None:
    net.up.delay = net.down.delay = 0.05
    net.up.jitter = net.down.jitter = 0.03


def lossy(net: FaultyProxy) -> None:
    net.up.loss = net.down.loss = 0.1
    net.up.delay = net.down.delay = 0.01


def narrow(net: FaultyProxy) -> None:
    net.up.rate, net.down.rate = 300_000, 20_000


@pytest.mark.parametrize("trouble", [delayed, lossy, narrow])
async def test_a_bad_network_costs_time_and_nothing_else(
    tmp_path: Path, sample: Sample, backend: Backend, trouble: Callable[[FaultyProxy], None]
) -> None:
    async with site(tmp_path, sample, backend) as at:
        trouble(at.net)
        jobs = [await at.submit(placement) for placement in PLACEMENTS]
        for job_id, a in jobs:
            await at.proved(job_id, a)
        assert at.net.counts["connections"] == 1
        assert at.net.up.carried > 300_000
        assert at.chunks("duplicate") == at.chunks("refused") == at.chunks("dropped") == 0


async def test_cuts_in_the_middle_of_messages_repeat_nothing_that_arrived(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    async with site(tmp_path, sample, backend) as at:
        before = at.chunks("accepted")
        job_id, a = await at.submit()
        for bytes_more in (9_000, 30_001, 17, 40_000):
            cuts = at.net.counts["cuts"]
            at.net.up.cut_after = bytes_more
            await at.until(lambda cuts=cuts: at.net.counts["cuts"] > cuts)  # type: ignore[misc]
        await at.proved(job_id, a)
        assert at.chunks("accepted") == 2 * before, "each chunk was taken once"
        assert at.chunks("duplicate") == at.chunks("refused") == 0


async def test_a_cable_that_is_pulled_and_put_in_again_goes_on_where_it_was(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    async with site(tmp_path, sample, backend) as at:
        at.net.up.rate = 100_000
        before = at.acked
        job_id, a = await at.submit()
        await at.until(lambda: at.acked > before)
        at.net.stall()
        await asyncio.sleep(0.3)
        stood = at.acked
        await asyncio.sleep(1.0)
        assert at.acked == stood
        assert (await at.stubs.get(job_id)).state == 1
        at.net.heal()
        await at.proved(job_id, a)
        assert at.net.counts["connections"] == 1
        assert at.chunks("duplicate") == 0


async def test_a_half_open_connection_is_left_and_what_was_lost_on_it_is_sent_again(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    async with site(tmp_path, sample, backend) as at:
        at.net.up.rate = 100_000
        before = at.acked
        job_id, a = await at.submit()
        await at.until(lambda: at.acked > before)
        assert at.net.half_open() == 1
        await asyncio.sleep(0.5)
        assert at.edge.core.machine.connected, "the edge cannot know yet"
        at.net.heal()
        await at.proved(job_id, a)
        assert at.chunks("duplicate") == 0


@pytest.mark.slow
async def test_a_connection_that_stays_half_open_is_noticed_by_keepalive(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    async with site(tmp_path, sample, backend) as at:
        at.net.half_open()
        began = time.monotonic()
        job_id, a = await at.submit()
        await at.proved(job_id, a)
        assert 5 < time.monotonic() - began < 55


async def test_a_cloud_with_a_slow_disk_holds_no_more_than_the_credit(
    tmp_path: Path, sample: Sample, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, sample, backend) as at:
        write = chunklog.os.fsync

        def slowly(file: int) -> None:
            time.sleep(0.1)
            write(file)

        monkeypatch.setattr(chunklog.os, "fsync", slowly)
        jobs = [await at.submit() for _ in range(2)]
        held, waiting = 0, 0
        while not all(job.state != 1 for job in at.edge.core.machine.jobs.values()):
            held = max(held, *(s.in_flight for s in at.cloud.aggregator.machine.sessions.all()))
            waiting = max(waiting, at.edge.core.machine.unacked_bytes)
            await asyncio.sleep(0.005)
        assert CREDIT // 8 < held <= CREDIT
        assert waiting > CREDIT, "the edge had more to send than the cloud wanted to hold"
        for job_id, a in jobs:
            await at.proved(job_id, a)


async def test_an_edge_that_reads_slowly_slows_down_only_itself(
    tmp_path: Path, sample: Sample, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, sample, backend) as at:
        at.net.down.rate = 4_000
        jobs = [await at.submit() for _ in range(2)]
        config = edge_config(tmp_path / "other", at.cloud.target, chunk_wires=256, workers=1)
        async with running_edge(config) as (_, other):
            await other.register(sample)
            sent = await other.submit(sample.segment(a=10**6, x=2))
            await other.proved(sent.job_id, backend, [sample.key])
        links = at.cloud.aggregator._links.values()
        assert all(link.queue.qsize() < 200 for link in links)
        assert sum(s.in_flight for s in at.cloud.aggregator.machine.sessions.all()) <= 2 * CREDIT
        at.net.down.rate = 0
        for job_id, a in jobs:
            await at.proved(job_id, a)
