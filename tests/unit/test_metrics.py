"""The catalogue of metrics, what counts, and how both exporters spell it."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from agentainer_flow.api.exposition import expose
from agentainer_flow.core import metrics as m
from agentainer_flow.core.metrics import METRICS, Histogram, Instruments, Sample

PLAIN = "text/plain;version=0.0.4"


def test_names_follow_from_one_another_by_the_rules_of_collectors() -> None:
    assert m.WORKFLOWS_FINISHED.prometheus == "agentainer_workflows_finished_total"
    assert m.TASK_DURATION.prometheus == "agentainer_task_duration_seconds"
    assert m.QUEUE_OLDEST.prometheus == "agentainer_queue_oldest_seconds"
    assert m.QUEUE_DEPTH.prometheus == "agentainer_queue_depth"


def test_names_are_unique_and_begin_with_ours() -> None:
    names = [one.prometheus for one in METRICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"agentainer(_[a-z]+)+", name) for name in names)


def test_no_label_is_meant_for_ids() -> None:
    labels = {label for one in METRICS for label in one.labels}
    assert labels <= {
        "call",
        "definition",
        "host",
        "partition",
        "projection",
        "queue",
        "reactor",
        "reason",
        "result",
        "role",
        "runtime",
        "state",
        "status",
        "step",
        "subscription",
        "version",
    }


def test_counts_by_labels() -> None:
    instruments = Instruments()
    instruments.count(m.WORKFLOWS_STARTED, "greet")
    instruments.count(m.WORKFLOWS_STARTED, "greet", by=2)
    assert list(instruments.samples()) == [Sample(m.WORKFLOWS_STARTED, ("greet",), 3.0)]


def test_an_observation_is_in_the_first_bucket_that_holds_it() -> None:
    instruments = Instruments()
    for value in (0.005, 0.0051, 10_000.0):
        instruments.observe(m.JOB_LAUNCH, value, "docker", "launched")
    (sample,) = instruments.samples()
    assert isinstance(sample.value, Histogram)
    assert (sample.value.counts[0], sample.value.counts[1], sample.value.counts[-1]) == (1, 1, 1)
    assert sample.value.count == 3


def test_samples_are_copies() -> None:
    instruments = Instruments()
    instruments.observe(m.JOB_LAUNCH, 1.0, "docker", "launched")
    (sample,) = instruments.samples()
    instruments.observe(m.JOB_LAUNCH, 1.0, "docker", "launched")
    assert isinstance(sample.value, Histogram)
    assert sample.value.count == 1


def test_more_labels_than_code_can_have_names_are_counted_together() -> None:
    instruments = Instruments()
    for number in range(m.MOST_SETS + 5):
        instruments.count(m.WORKFLOWS_STARTED, f"d{number}")
    counts = {one.labels[0]: one.value for one in instruments.samples()}
    assert len(counts) == m.MOST_SETS + 1
    assert counts[m.OVERFLOW] == 5


def test_a_histogram_is_exposed_cumulatively() -> None:
    instruments = Instruments()
    for value in (0.002, 0.7, 99_999.0):
        instruments.observe(m.TASK_DURATION, value, "greet", "say", "completed")
    body, media_type = expose(instruments.samples(), PLAIN)
    assert media_type.startswith("text/plain")
    (family,) = (
        one
        for one in text_string_to_metric_families(body.decode())
        if one.name == m.TASK_DURATION.prometheus
    )
    buckets = {one.labels["le"]: one.value for one in family.samples if "le" in one.labels}
    assert (buckets["0.01"], buckets["0.5"], buckets["1.0"], buckets["+Inf"]) == (1, 1, 2, 3)


def test_speaks_openmetrics_when_asked_for() -> None:
    body, media_type = expose([Sample(m.BUILD_INFO, ("1",), 1)], "application/openmetrics-text")
    assert media_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
