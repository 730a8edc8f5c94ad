"""One job is one trace, of both daemons, with waiting and work as spans of their own; to real OTLP receivers."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
import structlog
from edge_support import EdgeStubs, Sample, edge_config, factors, make, running_edge, squares
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cloud.config import CloudConfig
from cloud.service import CloudServer
from hybrid_prover.telemetry.otlp import OtelSink, open_traces, wanted
from hybrid_prover.telemetry.spans import Piece, job_span, segment_spans, span_id, trace_hex, trace_id
from hybrid_prover.v1 import job_pb2
from prover_core.backend import Backend

JOB = bytes(range(1, 33))
CLOUD_STAGES = {"upload", "queue", "accumulate", "quotient", "finish", "batch", "verify"}
EDGE_STAGES = {"edge_queue", "witness", "upload"}


@dataclass
class Received:
    """What a collector got: spans by service."""

    spans: dict[str, list[object]] = field(default_factory=lambda: defaultdict(list))

    def take(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            (service,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for scope in resource.scope_spans:
                self.spans[service] += scope.spans


@contextmanager
def http_collector() -> Iterator[tuple[str, Received]]:
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.take(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def grpc_collector() -> Iterator[tuple[str, Received]]:
    received = Received()

    class Service(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: object, context: object) -> trace_service_pb2.ExportTraceServiceResponse:
            received.take(request)  # type: ignore[arg-type]
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", received
    finally:
        server.stop(None).wait()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("circuit"), backend, "squares", squares)


@asynccontextmanager
async def pair(folder: Path, sample: Sample) -> AsyncIterator[EdgeStubs]:
    """A cloud and an edge; what they export is flushed when the block is left."""
    server = CloudServer(CloudConfig(port=0, data_dir=folder / "cloud", plaintext=True, batch_age_ms=20))
    await server.start()
    try:
        async with running_edge(edge_config(folder / "edge", server.target)) as (_, stubs):
            await stubs.register(sample)
            yield stubs
    finally:
        await server.stop()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_one_job_is_one_trace_of_both_daemons(
    tmp_path: Path, sample: Sample, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = http_collector if protocol == "http/protobuf" else grpc_collector
    with collector() as (endpoint, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        async with pair(tmp_path, sample) as stubs:
            job = await stubs.submit(sample.segment(a=1, x=2), sample.segment(a=2, x=3), name="not told")
            ended = await stubs.ended(job.job_id)
            assert ended.state == job_pb2.JOB_STATE_DONE
    edge, cloud = received.spans["hybrid-prover-edge"], received.spans["hybrid-prover-cloud"]
    assert {s.trace_id.hex() for s in (*edge, *cloud)} == {trace_hex(job.job_id)} == {job.job_id[:16].hex()}
    by_id = {s.span_id: s for s in (*edge, *cloud)}
    assert len(by_id) == len(edge) + len(cloud)

    (root,) = [s for s in by_id.values() if not s.parent_span_id]
    assert root.name == "job"
    assert root in edge
    assert all(s.parent_span_id in by_id for s in by_id.values() if s is not root)
    for spans, stages in ((edge, EDGE_STAGES), (cloud, CLOUD_STAGES)):
        assert sum(s.name == "segment" for s in spans) == 2
        assert sum(s.name == "job" for s in spans) == 1
        told = [s for s in spans if s.name not in ("job", "segment")]
        assert {s.name for s in told} == stages
        assert len(told) == 2 * len(stages)
        for span in told:
            assert by_id[span.parent_span_id].name == "segment"
            assert 0 <= span.end_time_unix_nano - span.start_time_unix_nano < 60 * 10**9
    for segment in (s for s in cloud if s.name == "segment"):
        assert by_id[segment.parent_span_id] in edge, "the cloud's part of a segment lies within the edge's"

    kinds = {s.name: _attribute(s, "hybrid_prover.kind") for s in cloud if s.name in CLOUD_STAGES}
    assert (kinds["queue"], kinds["batch"], kinds["finish"], kinds["upload"]) == ("wait", "wait", "compute", "transfer")
    measured = {t.phase: t.duration_nanos for t in ended.segments[0].timings}
    (queue,) = [s for s in cloud if s.name == "queue" and _attribute(s, "hybrid_prover.segment") == "0"]
    assert queue.end_time_unix_nano - queue.start_time_unix_nano == measured["queue"]
    assert "not told" not in str(received.spans)


def _attribute(span: object, key: str) -> str:
    (value,) = [a.value for a in span.attributes if a.key == key]  # type: ignore[attr-defined]
    return str(value.string_value or value.int_value)


async def test_a_failed_job_is_a_failed_trace(
    tmp_path: Path, sample: Sample, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = make(tmp_path, backend, "factors", factors)
    with http_collector() as (endpoint, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        async with pair(tmp_path, sample) as stubs:
            await stubs.register(wrong)
            job = await stubs.submit(wrong.segment(n=15, pq=[3, 4]))
            assert (await stubs.ended(job.job_id)).state == job_pb2.JOB_STATE_FAILED
    (root,) = [s for s in received.spans["hybrid-prover-edge"] if s.name == "job"]
    assert root.status.code == 2
    assert root.status.message
    (segment,) = [s for s in received.spans["hybrid-prover-edge"] if s.name == "segment"]
    assert segment.status.code == 2


async def test_a_collector_that_is_away_costs_nothing_but_its_spans(
    tmp_path: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("hybrid_prover.telemetry.otlp.CLOSE_SECONDS", 0.5)
    async with pair(tmp_path, sample) as stubs:
        job = await stubs.submit(sample.segment(a=1, x=2))
        assert (await stubs.ended(job.job_id)).state == job_pb2.JOB_STATE_DONE


# The parts.


async def test_spans_keep_the_times_that_were_measured() -> None:
    exporter = InMemorySpanExporter()
    sink = OtelSink(exporter, "a-service", "here")
    stages = [("queue", 50, 10), ("finish", 70, 20)]
    sink.put(segment_spans("cloud", Piece(JOB, 3, b"c" * 32, "cloud", "verified", 40, 100, stages)))
    await sink.close()
    spans = {s.name: s for s in exporter.get_finished_spans()}
    assert set(spans) == {"segment", "queue", "finish"}
    assert (spans["segment"].start_time, spans["segment"].end_time) == (40, 100)
    assert (spans["queue"].start_time, spans["queue"].end_time) == (50, 60)
    assert spans["queue"].attributes["hybrid_prover.summed"] is True
    assert spans["queue"].parent.span_id == spans["segment"].context.span_id == span_id(JOB, "cloud", "segment", 3)
    assert spans["segment"].parent.span_id == span_id(JOB, "edge", "segment", 3)
    assert spans["finish"].context.trace_id == trace_id(JOB) == int.from_bytes(JOB[:16])
    assert spans["finish"].resource.attributes["service.name"] == "a-service"


def test_a_span_told_twice_is_the_same_span() -> None:
    first = job_span("edge", JOB, "cloud", "done", 1, 5, 9)
    again = job_span("edge", JOB, "cloud", "done", 1, 5, 9)
    assert first == again
    assert first.parent_id is None
    assert job_span("cloud", JOB, "cloud", "done", 1, 5, 9).parent_id == first.span_id
    assert trace_id(bytes(32)) == 1, "no trace id may be zero"


async def test_both_daemons_keep_the_same_share_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    exporters = [InMemorySpanExporter(), InMemorySpanExporter()]
    sinks = [OtelSink(exporter, name, "") for exporter, name in zip(exporters, ("edge", "cloud"), strict=True)]
    for sink, tier in zip(sinks, ("edge", "cloud"), strict=True):
        sink.put(job_span(tier, bytes([i]) * 32, "cloud", "done", 1, 5, 9) for i in range(1, 201))
        await sink.close()
    edge, cloud = ({s.context.trace_id for s in e.get_finished_spans()} for e in exporters)
    assert edge == cloud
    assert 60 < len(edge) < 140


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_environment_decides(environment: dict[str, str], on: bool) -> None:
    assert wanted(environment) is on
    assert on or open_traces("service", "here", environment) is None


def test_what_cannot_be_is_said_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs() as lines:
        strange = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
        assert open_traces("service", "here", strange) is None
        monkeypatch.setattr("hybrid_prover.telemetry.otlp._EXPORTERS", {"grpc": "no_such_library.exporter"})
        missing = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        assert open_traces("service", "here", missing) is None
    assert ["http/json" in lines[0]["error"], "hybrid-prover[telemetry]" in lines[1]["error"]] == [True, True]


async def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid_prover.telemetry.otlp.CLOSE_SECONDS", 0.05)
    sink, hold = OtelSink(InMemorySpanExporter(), "s", ""), threading.Event()
    monkeypatch.setattr(sink._processor, "shutdown", hold.wait)
    async with asyncio.timeout(5):
        await sink.close()
    hold.set()
