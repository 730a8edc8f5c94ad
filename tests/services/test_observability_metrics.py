"""Edge and cloud seen from outside while they prove: metrics, status, log lines; and the parts by themselves."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest
import structlog
from cloud_edge import Edge, cut
from edge_support import CLOUD, PRIVATE, EdgeStubs, Sample, edge_config, make, running_edge, squares
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from cloud.config import CloudConfig
from cloud.executor import Executor
from cloud.model import CircuitInfo
from cloud.service import CloudServer
from edge.daemon import EdgeDaemon
from hybrid_prover.telemetry.certificates import Expiries
from hybrid_prover.telemetry.metrics import DaemonMetrics, Sampled
from hybrid_prover.telemetry.sizes import request_bytes
from hybrid_prover.telemetry.spans import trace_hex
from hybrid_prover.telemetry.stages import Kind, RecentRate, Window, Words, kind_of, rank
from hybrid_prover.v1 import common_pb2, job_pb2, status_pb2, status_pb2_grpc, uplink_pb2
from prover_core.backend import Backend, select
from prover_core.errors import InvalidInputError

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Pair:
    """One cloud and one edge with their metrics' pages."""

    cloud: CloudServer
    edge: EdgeDaemon
    stubs: EdgeStubs

    async def cloud_series(self) -> Series:
        return await scrape(self.cloud.aggregator.observer.metrics.port)

    async def edge_series(self) -> Series:
        return await scrape(self.edge.core.observer.metrics.port)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("circuit"), backend, "squares", squares)


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Pair]:
    config = CloudConfig(
        port=0, data_dir=folder / "cloud", plaintext=True, batch_age_ms=20, drain_grace_seconds=5, metrics_port=0
    )
    server = CloudServer(config)
    await server.start()
    try:
        async with running_edge(edge_config(folder / "edge", server.target, metrics_port=0)) as (edge, stubs):
            yield Pair(server, edge, stubs)
    finally:
        await server.stop()


async def fetch(port: int, accept: str = "text/plain") -> str:
    def get() -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(get)


async def scrape(port: int) -> Series:
    text = await fetch(port)
    return {
        (s.name, frozenset(s.labels.items())): s.value for f in text_string_to_metric_families(text) for s in f.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    """The sum over all series of that name with these labels."""
    return sum(v for (n, own), v in series.items() if n == name and set(labels.items()) <= own)


async def test_a_job_is_measured_on_both_sides_waiting_apart_from_work(tmp_path: Path, sample: Sample) -> None:
    async with watched(tmp_path) as pair:
        await pair.stubs.register(sample)
        first = await pair.stubs.submit(sample.segment(a=1, x=2), sample.segment(a=3, x=4), name="secret name")
        second = await pair.stubs.submit(sample.segment(a=5, x=6), placement=PRIVATE)
        for job in (first, second):
            assert (await pair.stubs.ended(job.job_id)).state == job_pb2.JOB_STATE_DONE
        cloud, edge = await pair.cloud_series(), await pair.edge_series()

        at = "hybrid_prover_cloud_"
        assert value(cloud, f"{at}wait_seconds_count", stage="queue", placement="cloud") == 2
        assert value(cloud, f"{at}wait_seconds_count", stage="batch") == 3
        for stage in ("accumulate", "finish"):
            assert value(cloud, f"{at}compute_seconds_count", stage=stage, placement="cloud") == 2
            assert value(cloud, f"{at}compute_seconds_sum", stage=stage) > 0
        assert value(cloud, f"{at}compute_seconds_count", stage="verify", placement="private") == 1
        assert value(cloud, f"{at}transfer_seconds_count", stage="upload") == 2
        assert value(cloud, f"{at}jobs_accepted_total") == 2
        assert value(cloud, f"{at}jobs_ended_total", state="done", code="OK") == 2
        assert value(cloud, f"{at}segments_total", state="verified", placement="private") == 1
        assert value(cloud, f"{at}chunks_total", outcome="accepted") == value(
            edge, "hybrid_prover_edge_chunks_sent_total"
        )
        assert value(cloud, f"{at}chunk_durable_seconds_count") == value(cloud, f"{at}chunks_total")
        assert value(cloud, f"{at}sessions", connected="yes") == 1
        assert value(cloud, f"{at}batch_size_sum") == 3
        assert value(cloud, f"{at}store_write_seconds_count") > 0
        assert value(cloud, f"{at}credit_outstanding_bytes") > 0
        assert value(cloud, f"{at}disk_free_bytes") > 0
        hello = value(cloud, f"{at}received_bytes_total") - value(edge, "hybrid_prover_edge_sent_bytes_total")
        assert 0 < hello < 100
        assert value(cloud, "process_resident_memory_bytes") > 0

        at = "hybrid_prover_edge_"
        assert value(edge, f"{at}wait_seconds_count", stage="edge_queue") == 3
        assert value(edge, f"{at}compute_seconds_count", stage="witness") == 3
        assert value(edge, f"{at}compute_seconds_count", stage="prove", placement="private") == 1
        assert value(edge, f"{at}compute_seconds_count", stage="finish") == 0, "the cloud counts that"
        assert value(edge, f"{at}jobs_ended_total", state="done") == 2
        assert value(edge, f"{at}uplink_connected") == 1
        assert value(edge, f"{at}unacked_bytes") == 0
        assert value(edge, f"{at}workers") == 2

        for series in (cloud, edge):
            labels = {v for _, own in series for _, v in own}
            assert not any(first.job_id.hex()[:8] in v or "secret" in v for v in labels)


async def test_openmetrics_carries_the_trace_of_a_slow_segment(tmp_path: Path, sample: Sample) -> None:
    async with watched(tmp_path) as pair:
        await pair.stubs.register(sample)
        job = await pair.stubs.submit(sample.segment(a=1, x=2))
        await pair.stubs.ended(job.job_id)
        text = await fetch(pair.cloud.aggregator.observer.metrics.port, "application/openmetrics-text; version=1.0.0")
        families = {f.name: f for f in openmetrics.text_string_to_metric_families(text)}
        exemplars = [s.exemplar for s in families["hybrid_prover_cloud_compute_seconds"].samples if s.exemplar]
        assert {e.labels["trace_id"] for e in exemplars} == {trace_hex(job.job_id)}


async def test_refusals_and_duplicates_are_counted_by_what_they_are(tmp_path: Path, sample: Sample) -> None:
    async with watched(tmp_path) as pair:
        await pair.stubs.register(sample)
        done = await pair.stubs.submit(sample.segment(a=1, x=2))
        await pair.stubs.ended(done.job_id)  # the cloud knows the circuit from here on
        before = await pair.cloud_series()
        async with grpc.aio.insecure_channel(pair.cloud.target) as channel:
            edge, job = Edge(channel, None), bytes(range(32))
            await edge.hello()
            await edge.open(job, [sample.digest])
            chunk = cut(job, 0, [1, *[0] * 503], 100)
            await edge.send(chunk=chunk[0])
            await edge.until_kind("ack")
            await edge.send(chunk=chunk[0])
            await edge.until_kind("ack")
            await edge.send(chunk=chunk[2])
            refused = await edge.until_kind("refused")
            assert isinstance(refused, uplink_pb2.Refused)
            assert refused.next_sequence == 1
            after = await pair.cloud_series()

        def grew(name: str, **labels: str) -> float:
            return value(after, f"hybrid_prover_cloud_{name}", **labels) - value(
                before, f"hybrid_prover_cloud_{name}", **labels
            )

        assert grew("chunks_total", outcome="accepted") == 1
        assert grew("chunks_total", outcome="duplicate") == 1
        assert grew("chunks_total", outcome="refused") == 1
        assert grew("refusals_total", reason="CHUNK_GAP") == 1
        assert grew("acks_total") == 2


async def test_status_tells_what_the_metrics_tell(tmp_path: Path, sample: Sample) -> None:
    async with watched(tmp_path) as pair:
        await pair.stubs.register(sample)
        job = await pair.stubs.submit(sample.segment(a=1, x=2), sample.segment(a=2, x=2))
        await pair.stubs.ended(job.job_id)
        async with grpc.aio.insecure_channel(pair.cloud.target) as channel:
            answer = await status_pb2_grpc.StatusServiceStub(channel).GetStatus(status_pb2.GetStatusRequest())
        cloud = answer.status
        assert cloud.tier == status_pb2.TIER_CLOUD
        stages = ["upload", "queue", "accumulate", "quotient", "finish", "batch", "verify"]
        assert [s.stage for s in cloud.stages] == stages
        waits = {s.stage: s for s in cloud.stages if s.kind == status_pb2.STAGE_KIND_WAIT}
        assert set(waits) == {"queue", "batch"}
        assert all(s.recent == s.count == 2 and s.p50 <= s.p95 <= s.longest for s in waits.values())
        assert cloud.totals.segments_verified == cloud.verified_last_minute == 2
        assert cloud.totals.jobs_done == 1
        assert sum(w.slots for w in cloud.workers) >= 3
        (session,) = cloud.sessions
        assert session.connected
        assert session.fingerprint not in pair.edge.core.spool.spool.session_id.hex()
        stub = status_pb2_grpc.StatusServiceStub(pair.stubs.channel)
        edge = (await stub.GetStatus(status_pb2.GetStatusRequest())).status
        assert edge.tier == status_pb2.TIER_EDGE
        assert edge.uplink.connected
        assert len(edge.workers) == 2
        assert edge.totals.segments_verified == 2


async def test_each_job_ends_with_one_line_that_says_where_its_time_went(tmp_path: Path, sample: Sample) -> None:
    with structlog.testing.capture_logs() as lines:
        async with watched(tmp_path) as pair:
            await pair.stubs.register(sample)
            done = await pair.stubs.submit(sample.segment(a=1, x=2), name="named")
            await pair.stubs.ended(done.job_id)
            link = common_pb2.Link(from_segment=0, from_signal=1, to_segment=1, to_signal=1)
            failed = await pair.stubs.submit(sample.segment(a=1, x=2), sample.segment(a=2, x=2), links=[link])
            await pair.stubs.ended(failed.job_id)
            await asyncio.sleep(0.1)
            session = pair.edge.core.spool.spool.session_id.hex()
    for event in ("job ended", "job_ended"):
        (line,) = [x for x in lines if x["event"] == event and x["job_id"] == done.job_id.hex()]
        assert line["trace_id"] == trace_hex(done.job_id)
        assert (line["state"], line["code"], line["placement"]) == ("done", "OK", "cloud")
        assert set(line["stages_ms"]) >= {"edge_queue", "witness", "upload", "queue", "accumulate", "finish", "batch"}
        assert line["waited_ms"] + line["worked_ms"] <= sum(line["stages_ms"].values())
    (line,) = [x for x in lines if x["event"] == "job ended" and x["job_id"] == failed.job_id.hex()]
    assert line["state"] == "failed"
    assert line["log_level"] == "warning"
    assert "links[0]" in line["error"]
    assert session not in json.dumps(lines, default=str), "who has a session's id can speak for its edge"
    assert all("job_id" in x for x in lines if "segment" in x)


async def test_a_taken_metrics_port_is_named(tmp_path: Path) -> None:
    async with watched(tmp_path) as pair:
        taken = pair.cloud.aggregator.observer.metrics.port
        other = CloudServer(CloudConfig(port=0, data_dir=tmp_path / "other", plaintext=True, metrics_port=taken))
        with pytest.raises(InvalidInputError, match="cannot serve metrics") as caught:
            await other.aggregator.start()
        assert caught.value.field == "metrics_port"
        await other.aggregator.stop()
    with pytest.raises(InvalidInputError, match="not a TCP port"):
        CloudConfig(metrics_port=1 << 16)


async def test_metrics_are_off_by_default(tmp_path: Path) -> None:
    assert CloudConfig().metrics_port == -1
    assert edge_config(tmp_path).metrics_port == -1
    assert edge_config(tmp_path).metrics_host == CloudConfig().metrics_host == "127.0.0.1"


def test_what_a_proof_logs_carries_its_job_and_segment() -> None:
    bound: list[dict[str, object]] = []
    broken = threading.Event()

    class Keys:
        def proving_key(self, _circuit: bytes) -> None:
            bound.append(structlog.contextvars.get_contextvars())
            raise InvalidInputError("no key here")

    executor = Executor(
        Keys(),  # type: ignore[arg-type]
        lambda _key, _token: pytest.fail("without a key nothing is read"),
        select("reference").backend,
        workers=1,
        max_open=1,
        on_leaf=lambda *_: None,
        on_broken=lambda *_: broken.set(),
    )
    executor.advance((b"j" * 32, 5), 1, CircuitInfo(b"c" * 32, 4, 1), 1, False)
    assert broken.wait(10)
    executor.close()
    assert bound == [{"job_id": (b"j" * 32).hex(), "segment": 5}]


# The parts.


def test_sizes_of_messages_need_no_serialization() -> None:
    plain = uplink_pb2.UplinkRequest(abort_job=uplink_pb2.AbortJob(job_id=bytes(32)))
    assert request_bytes(plain) == len(plain.SerializeToString())
    (chunk,) = cut(bytes(range(32)), 300, [1, *[7] * 5000], 8192)
    chunk.sequence = 1000
    request = uplink_pb2.UplinkRequest(chunk=chunk)
    assert abs(request_bytes(request) - len(request.SerializeToString())) < 20
    request.chunk.partial.points = bytes(320)
    assert abs(request_bytes(request) - len(request.SerializeToString())) < 20


def test_an_observer_that_stumbles_stops_nobody(tmp_path: Path) -> None:
    from cloud import messages as m
    from cloud.metrics import CloudMetrics
    from cloud.observer import CloudObserver

    observer = CloudObserver(CloudMetrics(dict), "cpu", "", None)
    broken = m.Send(1, None)  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as lines:
        observer.saw(m.Received(1, uplink_pb2.UplinkRequest()), [broken], 0)
    assert [x["event"] for x in lines] == ["observer_failed"]


def test_words_bound_the_labels() -> None:
    words = Words("known", limit=3)
    assert [words(w) for w in ("known", "a", "b", "c", "a", "d")] == ["known", "a", "b", "other", "a", "other"]
    assert words("") == "other"
    assert Words()("x" * 100 + "\n") == "x" * 48
    assert Words()('quo"te s') == "quo_te_s"


def test_windows_tell_nearest_rank_percentiles_of_what_is_recent() -> None:
    window = Window()
    for i in range(1, 101):
        window.add(i / 10, now=float(i))
    told = window.summary("queue", now=100.0)
    assert (told.recent, told.p50, told.p95, told.longest) == (100, 5.0, 9.5, 10.0)
    assert (told.count, told.kind) == (100, Kind.WAIT)
    assert told.seconds == pytest.approx(505.0)
    assert window.summary("queue", now=690.0).recent == 11
    old = window.summary("queue", now=10_000.0)
    assert (old.recent, old.p50, old.count) == (0, 0.0, 100)
    for _ in range(5000):
        window.add(1.0, now=0.0)
    assert window.summary("queue", now=0.0).recent == 1024


@pytest.mark.parametrize(("count", "quantile"), [(1, 0.5), (2, 0.5), (100, 0.95), (7, 1.0), (3, 0.01)])
def test_ranks_are_those_of_the_definition(count: int, quantile: float) -> None:
    assert rank(count, quantile) == math.ceil(count * quantile) - 1


def test_rates_forget_after_a_minute() -> None:
    rate = RecentRate()
    for second in range(120):
        rate.add(2, now=float(second))
    assert rate.last_minute(now=119.0) == 120
    assert rate.last_minute(now=400.0) == 0
    assert rate.total == 240


def test_unknown_stages_count_as_work() -> None:
    metrics = DaemonMetrics("test_unknown", (), dict)
    metrics.stage("new_thing", 1.0, "cloud", "cpu")
    assert kind_of("new_thing") is Kind.COMPUTE
    assert (
        metrics.registry.get_sample_value(
            "test_unknown_compute_seconds_count", {"stage": "new_thing", "placement": "cloud", "backend": "cpu"}
        )
        == 1
    )


async def test_gauges_are_read_on_the_loop_whoever_asks() -> None:
    threads = []

    def read() -> dict[str, float]:
        threads.append(threading.current_thread())
        return {"depth": 7.0}

    metrics = DaemonMetrics("test_loop", (Sampled("depth", "A depth."),), read)
    metrics.start("127.0.0.1", 0)
    try:
        series = await scrape(metrics.port)
        assert series["test_loop_depth", frozenset()] == 7.0
        assert metrics.registry.get_sample_value("test_loop_depth") == 7.0
    finally:
        await metrics.stop()
    assert set(threads) == {threading.main_thread()}
    assert metrics.registry.get_sample_value("test_loop_depth") == 7.0, "the last values stay"


def test_expiries_follow_the_folder(tmp_path: Path) -> None:
    assert Expiries(None)() == {}
    assert Expiries(tmp_path)() == {}
    (tmp_path / "tls.crt").write_text("not a certificate")
    assert Expiries(tmp_path)() == {}


def test_nothing_of_opentelemetry_is_loaded_unless_asked_for() -> None:
    code = "import sys, cloud.service, edge.daemon; sys.exit(any(m.startswith('opentelemetry') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert CLOUD != PRIVATE
