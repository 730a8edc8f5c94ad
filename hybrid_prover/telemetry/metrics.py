"""The Prometheus side that edge and cloud share: a registry of its own for each daemon, and the page that shows it.

Label values are bounded: states, stages, placements and reasons; never ids, names or texts. A daemon's counters are
kept whether or not the page is served, since `GetStatus` shows them too.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

import hybrid_prover
from prover_core.errors import InvalidInputError

from .stages import Kind, Summary, Window, Words, kind_of

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800, 3600, math.inf,
)  # fmt: skip
"""From a small verification to a proof of many millions of constraints on a slow edge."""
WRITE_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, math.inf)
"""Writes to a disk or a database, and the event loop's lag."""
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, math.inf)

LAG_TICK: Final = 0.25
SAMPLE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Sampled:
    """A gauge that is read when asked for: its name without prefix, what it says, its labels."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


Samples = Mapping[str, float | Mapping[tuple[str, ...], float]]
"""Values by gauge name; by label values where the gauge has labels."""


class _OnLoop(Collector):
    """Reads gauges on the daemon's event loop, whose state they are of, whichever thread asks."""

    def __init__(self, prefix: str, gauges: Sequence[Sampled], read: Callable[[], Samples]) -> None:
        self._prefix = prefix
        self._gauges = gauges
        self._read = read
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last: Samples = {}

    def bind(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    def describe(self) -> Iterable[Metric]:
        return [self._family(g) for g in self._gauges]

    def collect(self) -> Iterable[Metric]:
        samples = self._sample()
        for gauge in self._gauges:
            family, value = self._family(gauge), samples.get(gauge.name)
            if isinstance(value, Mapping):
                for labels, number in value.items():
                    family.add_metric(labels, number)
            elif value is not None:
                family.add_metric([], value)
            yield family

    def _family(self, gauge: Sampled) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{gauge.name}", gauge.text, labels=gauge.labels)

    def _sample(self) -> Samples:
        """The values of this moment; those of the last time if the loop does not answer."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return self._last
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            self._last = self._read()
            return self._last
        done = threading.Event()

        def read() -> None:
            try:
                self._last = self._read()
            finally:
                done.set()

        try:
            loop.call_soon_threadsafe(read)
        except RuntimeError:
            return self._last
        done.wait(SAMPLE_SECONDS)
        return self._last


class DaemonMetrics:
    """What every daemon measures. Subclasses add their own metrics; `prefix` begins every name.

    Counters and histograms may be used from any thread, `stage` and `summaries` from the event loop only.
    """

    def __init__(self, prefix: str, gauges: Sequence[Sampled], read: Callable[[], Samples]) -> None:
        self.prefix = prefix
        self.registry = CollectorRegistry()
        self._sampled = _OnLoop(prefix, gauges, read)
        self.registry.register(self._sampled)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.lag = Window()
        """How late the event loop was of late."""
        self.catalogue = {f"{prefix}_{g.name}": g.labels for g in gauges}
        """Labels of every series by its name, as queries write it; those of the process are left out."""
        self._stages: dict[str, Window] = {}
        self._stage_words = Words(limit=32)
        self._lag_task: asyncio.Task[None] | None = None
        self._server: tuple[WSGIServer, threading.Thread] | None = None
        self.gauge("build_info", "The software's version; always 1.", "version").labels(hybrid_prover.__version__).set(
            1
        )
        self.backend_info = self.gauge("backend_info", "What proves here; always 1.", "backend", "device")
        self.wait_seconds = self.seconds(
            "wait_seconds", "Time a segment waited with nobody working at it.", "stage", "placement"
        )
        self.compute_seconds = self.seconds(
            "compute_seconds", "Time a segment was worked at.", "stage", "placement", "backend"
        )
        self.transfer_seconds = self.seconds(
            "transfer_seconds", "Time from a segment's first chunk to its last.", "stage", "placement"
        )
        self.calls = self.counter("calls", "Calls of the gRPC services, refused ones included.", "method", "code")
        self.call_seconds = self.seconds("call_seconds", "How long calls took that have one answer.", "method")
        self.loop_lag = self.histogram(
            "event_loop_lag_seconds", "How late the event loop's timers are.", buckets=WRITE_SECONDS
        )

    # Making metrics.

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """A counter; its name gains `_total`."""
        self.catalogue[f"{self.prefix}_{name}_total"] = labels
        return Counter(f"{self.prefix}_{name}", text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge that is set when something happens."""
        self.catalogue[f"{self.prefix}_{name}"] = labels
        return Gauge(f"{self.prefix}_{name}", text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        """A histogram."""
        self.catalogue |= {f"{self.prefix}_{name}_{part}": labels for part in ("sum", "count")}
        self.catalogue[f"{self.prefix}_{name}_bucket"] = (*labels, "le")
        return Histogram(f"{self.prefix}_{name}", text, labels, registry=self.registry, buckets=buckets)

    def seconds(self, name: str, text: str, *labels: str) -> Histogram:
        """A histogram of durations from 1 ms to an hour."""
        return self.histogram(name, text, *labels, buckets=SECONDS)

    # Feeding.

    def stage(self, stage: str, seconds: float, placement: str, backend: str, trace: str = "") -> None:
        """One stage of one segment took that long; `trace` (32 hex digits) links the bucket to its trace."""
        stage = self._stage_words(stage)
        exemplar = {"trace_id": trace} if trace else None
        match kind_of(stage):
            case Kind.WAIT:
                self.wait_seconds.labels(stage, placement).observe(seconds, exemplar)
            case Kind.TRANSFER:
                self.transfer_seconds.labels(stage, placement).observe(seconds, exemplar)
            case Kind.COMPUTE:
                self.compute_seconds.labels(stage, placement, backend).observe(seconds, exemplar)
        self._stages.setdefault(stage, Window()).add(seconds)

    def summaries(self) -> list[Summary]:
        """Every stage that has been seen."""
        return [window.summary(stage) for stage, window in self._stages.items()]

    # Life.

    @property
    def port(self) -> int:
        """Where the page is served; 0 if it is not."""
        return self._server[0].server_port if self._server is not None else 0

    def start(self, host: str, port: int) -> None:
        """Begins on the running event loop; serves `http://host:port/metrics` unless `port` is negative (0: any free).

        `InvalidInputError` (field `metrics_port`) if the address is taken. The page is served by threads of its own, in
        plain text, to whoever can reach the address; OpenMetrics where the scraper asks for it.
        """
        loop = asyncio.get_running_loop()
        if port >= 0:
            try:
                self._server = start_http_server(port, host, registry=self.registry)
            except (OSError, OverflowError) as e:
                raise InvalidInputError(f"cannot serve metrics on {host}:{port}: {e}", field="metrics_port") from e
        self._sampled.bind(loop)
        self._lag_task = loop.create_task(self._watch_lag(loop))

    async def stop(self) -> None:
        """Ends the page; the counters stay readable."""
        self._sampled.bind(None)
        if self._lag_task is not None:
            self._lag_task.cancel()
            await asyncio.gather(self._lag_task, return_exceptions=True)
        if self._server is not None:
            server, thread = self._server
            self._server = None
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            await asyncio.to_thread(thread.join)

    async def _watch_lag(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            due = loop.time() + LAG_TICK
            await asyncio.sleep(LAG_TICK)
            late = max(0.0, loop.time() - due)
            self.loop_lag.observe(late)
            self.lag.add(late)
