"""Metrics as Prometheus reads them, by the official client library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from ..core import metrics as m
from ..core.metrics import Histogram, Sample
from ..sdk.gauges import by_metric


class _Samples(Collector):
    """What was gathered for one scrape."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = by_metric(samples)

    def collect(self) -> Iterator[Metric]:
        for metric, samples in self._samples.items():
            if samples:
                yield family(metric, samples)


def family(metric: m.Metric, samples: Iterable[Sample]) -> Metric:
    """One metric with all its labels."""
    name = metric.prometheus
    match metric.kind:
        case "counter":
            counter = CounterMetricFamily(name, metric.text, labels=metric.labels)
            for one in samples:
                counter.add_metric(one.labels, _number(one))
            return counter
        case "gauge":
            gauge = GaugeMetricFamily(name, metric.text, labels=metric.labels)
            for one in samples:
                gauge.add_metric(one.labels, _number(one))
            return gauge
        case "histogram":
            histogram = HistogramMetricFamily(name, metric.text, labels=metric.labels)
            for one in samples:
                if isinstance(one.value, Histogram):
                    buckets = [*_buckets(metric.bounds, one.value)]
                    histogram.add_metric(one.labels, buckets, one.value.sum)
            return histogram


def _number(sample: Sample) -> float:
    if isinstance(sample.value, Histogram):
        raise TypeError(f"a histogram is no number: {sample}")
    return sample.value


def _buckets(bounds: Iterable[float], histogram: Histogram) -> Iterator[tuple[str, float]]:
    """Prometheus counts in each bucket what lies in all lower ones, too."""
    total = 0
    names = [*(str(float(bound)) for bound in bounds), "+Inf"]
    for name, count in zip(names, histogram.counts, strict=True):
        total += count
        yield name, total


def expose(samples: Iterable[Sample], accept: str) -> tuple[bytes, str]:
    """The text of one scrape, and its media type, as the scraper likes it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(samples))
    ProcessCollector(registry=registry)
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type
