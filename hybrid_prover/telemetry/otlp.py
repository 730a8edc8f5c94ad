"""Spans to an OpenTelemetry collector, as the standard environment says. Imported by nobody while that is silent.

Read are OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; either turns tracing on),
OTEL_EXPORTER_OTLP_PROTOCOL (`http/protobuf`, the default, or `grpc`), OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER=none,
OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME, and what the exporter itself reads (headers,
certificates, timeouts). Needs the extra `telemetry`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import structlog

import hybrid_prover

from .spans import Span, SpanSink

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0
_EXPORTERS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces."""
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return bool(endpoint) and not disabled and environment.get("OTEL_TRACES_EXPORTER", "otlp") != "none"


def open_traces(service: str, instance: str, environment: Mapping[str, str] = os.environ) -> SpanSink | None:
    """Where the spans of this daemon go; None if nobody asks for them, or (logged) if the libraries are not there."""
    if not wanted(environment):
        return None
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    module = _EXPORTERS.get(protocol or "http/protobuf")
    if module is None:
        log.error("traces_off", error=f"OTEL_EXPORTER_OTLP_PROTOCOL is one of {', '.join(_EXPORTERS)}, not {protocol}")
        return None
    try:
        exporter = importlib.import_module(module).OTLPSpanExporter()
        sink = OtelSink(exporter, service, instance)
    except ImportError as e:
        log.error("traces_off", error=f"{e}; install hybrid-prover[telemetry]")
        return None
    log.info("traces_on", service=service, protocol=protocol or "http/protobuf")
    return sink


class OtelSink:
    """Hands spans to an OpenTelemetry exporter, in batches and from a thread of the SDK's.

    Spans are recorded after the fact with the times that were measured, hence as `ReadableSpan` and not through a
    tracer. The sampler sees the trace id only, so that edge and cloud keep and drop the same jobs.
    """

    def __init__(self, exporter: SpanExporter, service: str, instance: str) -> None:
        """`ImportError` if the SDK is not installed."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        named = {"service.version": hybrid_prover.__version__, "service.instance.id": instance}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            named["service.name"] = service
        self._resource = Resource.create(named)
        self._scope = InstrumentationScope("hybrid_prover", hybrid_prover.__version__)
        self._sampler = TracerProvider(resource=self._resource, shutdown_on_exit=False).sampler
        self._processor = BatchSpanProcessor(exporter)

    def put(self, spans: Iterable[Span]) -> None:
        """Queues them; what does not fit the SDK's queue (OTEL_BSP_MAX_QUEUE_SIZE) is dropped by it."""
        from opentelemetry.sdk.trace.sampling import Decision

        for span in spans:
            chosen = self._sampler.should_sample(None, span.trace_id, span.name).decision
            if chosen is Decision.RECORD_AND_SAMPLE:
                self._processor.on_end(self._readable(span))

    def _readable(self, span: Span) -> Any:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        flags = TraceFlags(TraceFlags.SAMPLED)
        parent = None
        if span.parent_id is not None:
            parent = SpanContext(span.trace_id, span.parent_id, is_remote=False, trace_flags=flags)
        return ReadableSpan(
            name=span.name,
            context=SpanContext(span.trace_id, span.span_id, is_remote=False, trace_flags=flags),
            parent=parent,
            resource=self._resource,
            attributes=dict(span.attributes),
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )

    async def close(self) -> None:
        """Sends what is left; gives up after five seconds."""
        # A thread that nobody has to join: the SDK may wait for a dead collector longer than we do.
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        shutdown: Callable[[], None] = self._processor.shutdown

        def shut() -> None:
            shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut, name="traces-close", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()
        except TimeoutError:
            log.warning("traces_lost", error="the collector did not take the last spans in time")
