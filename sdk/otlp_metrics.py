"""Send the metrics of this process by OTLP, where the standard `OTEL_*` variables ask for that.

What is sent are cumulative sums and histograms, as they are counted here. A collector that is away
costs a thread that waits for it, and the next message has everything again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import structlog

from ..core.metrics import Histogram, Metric, Sample
from ..core.threads import Threads
from ..reactors.otlp import INSTALL, resource
from .gauges import by_metric
from .metrics import Meter

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.resources import Resource

log = structlog.get_logger()

#: Seconds between two messages, and for the last one.
INTERVAL, FAREWELL = 60.0, 2.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Exporter(Protocol):
    """What sends a message, by HTTP or gRPC. Blocks."""

    def export(self, metrics_data: MetricsData) -> Any: ...

    def shutdown(self) -> None: ...


def is_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment asks for metrics by OTLP."""
    environ = os.environ if environ is None else environ
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    named = environ.get("OTEL_METRICS_EXPORTER", "").replace(" ", "")
    if named:
        return "otlp" in named.split(",")
    return any(environ.get(name) for name in _ENDPOINTS)


def make_exporter(environ: Mapping[str, str] | None = None) -> Exporter:
    """The exporter of the wanted protocol; it reads its other settings by itself.

    Raises ImportError where the extra `otlp` is not installed.
    """
    environ = os.environ if environ is None else environ
    protocol = (
        environ.get("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL")
        or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as by_grpc

        return by_grpc.OTLPMetricExporter()
    from opentelemetry.exporter.otlp.proto.http import metric_exporter as by_http

    return by_http.OTLPMetricExporter()


def open_exporter() -> Exporter | None:
    """What sends metrics; None where nobody asks for it, or it is not installed.

    The variables that ask may be meant for other programs of this machine.
    """
    if not is_wanted():
        return None
    try:
        return make_exporter()
    except ImportError as error:
        log.warning("metrics.not_sent", problem=str(error), do=INSTALL)
        return None


async def send_metrics(meter: Meter, exporter: Exporter, *, interval: float | None = None) -> None:
    """Send until cancelled, and then once more."""
    sender = _Sender(meter, exporter)
    try:
        while True:
            await anyio.sleep(interval or _interval())
            await sender.send()
    finally:
        with anyio.move_on_after(FAREWELL, shield=True):
            await sender.send()


def _interval() -> float:
    try:
        return max(0.1, float(os.environ["OTEL_METRIC_EXPORT_INTERVAL"]) / 1000)
    except (KeyError, ValueError):
        return INTERVAL


class _Sender:
    def __init__(self, meter: Meter, exporter: Exporter) -> None:
        self._meter = meter
        self._exporter = exporter
        self._threads = Threads()  # of daemons: a process that stops waits for no collector
        self._resource = resource()
        self._began_ns = time.time_ns()

    async def send(self) -> None:
        data = message(await self._meter.samples(), self._resource, self._began_ns)
        await self._threads.run(partial(self._exporter.export, data))


def message(samples: Iterable[Sample], of: Resource, began_ns: int) -> MetricsData:
    """One message with everything, as the SDK would make it."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    scope = InstrumentationScope("agentainer_flow", version("agentainer-flow"))
    metrics = list(_metrics(samples, began_ns, time.time_ns()))
    return MetricsData([ResourceMetrics(of, [ScopeMetrics(scope, metrics, "")], "")])


def _metrics(samples: Iterable[Sample], began_ns: int, now_ns: int) -> Iterator[Any]:
    from opentelemetry.sdk.metrics.export import Metric as Sent

    for metric, found in by_metric(samples).items():
        if found:
            data = _data(metric, found, began_ns, now_ns)
            yield Sent(metric.name, metric.text, metric.unit, data)


def _data(metric: Metric, samples: list[Sample], began_ns: int, now_ns: int) -> Any:
    from opentelemetry.sdk.metrics import export as sent

    cumulative = sent.AggregationTemporality.CUMULATIVE
    if metric.kind == "histogram":
        points = [_distribution(metric, one, began_ns, now_ns) for one in samples]
        return sent.Histogram(points, cumulative)
    numbers = [_number(metric, one, began_ns, now_ns) for one in samples]
    if metric.kind == "counter":
        return sent.Sum(numbers, cumulative, True)
    return sent.Gauge(numbers)


def _number(metric: Metric, sample: Sample, began_ns: int, now_ns: int) -> Any:
    from opentelemetry.sdk.metrics.export import NumberDataPoint

    value: Any = sample.value
    return NumberDataPoint(_attributes(metric, sample), began_ns, now_ns, value)


def _distribution(metric: Metric, sample: Sample, began_ns: int, now_ns: int) -> Any:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    histogram = sample.value
    assert isinstance(histogram, Histogram)  # noqa: S101 - the metric is one
    unknown: Any = None  # optional in the protocol, and no extremes are kept
    return HistogramDataPoint(
        _attributes(metric, sample),
        began_ns,
        now_ns,
        histogram.count,
        histogram.sum,
        histogram.counts,
        metric.bounds,
        unknown,
        unknown,
    )


def _attributes(metric: Metric, sample: Sample) -> dict[str, str]:
    return dict(zip(metric.labels, sample.labels, strict=True))
