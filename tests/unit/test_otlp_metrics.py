"""When metrics are sent by OTLP, as whom, and how they are spelled."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from agentainer_flow.cli.supervisor import commands_of
from agentainer_flow.core import metrics as m
from agentainer_flow.core.metrics import Instruments, Sample
from agentainer_flow.reactors.otlp import resource
from agentainer_flow.sdk.otlp_metrics import is_wanted, make_exporter, message

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318/v1/metrics"}, True),
        ({"OTEL_METRICS_EXPORTER": "console, otlp"}, True),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "prometheus"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, False),
    ],
)
def test_the_standard_variables_decide(environ: dict[str, str], expected: bool) -> None:
    assert is_wanted(environ) is expected


@pytest.mark.parametrize(("protocol", "module"), [("grpc", ".grpc."), ("http/protobuf", ".http.")])
def test_the_protocol_is_chosen(protocol: str, module: str) -> None:
    exporter = make_exporter({"OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    assert module in type(exporter).__module__
    exporter.shutdown()


def test_a_name_that_was_given_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resource().attributes["service.name"] == "agentainer-flow"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "orders")
    assert resource().attributes["service.name"] == "orders"
    assert resource().attributes["service.instance.id"]


def test_all_kinds_are_spelled_as_the_protocol_has_them() -> None:
    instruments = Instruments()
    instruments.count(m.WORKFLOWS_STARTED, "greet")
    instruments.observe(m.JOB_LAUNCH, 0.02, "docker", "launched")
    samples = [*instruments.samples(), Sample(m.QUEUE_DEPTH, ("gpu",), 4)]
    (of,) = encode_metrics(message(samples, resource(), 1)).resource_metrics
    found = {one.name: one for one in of.scope_metrics[0].metrics}
    assert found["agentainer.workflows.started"].sum.is_monotonic
    assert found["agentainer.queue.depth"].gauge.data_points[0].as_int == 4
    (point,) = found["agentainer.job.launch"].histogram.data_points
    assert (point.count, point.sum, len(point.bucket_counts)) == (1, 0.02, len(m.SHORT) + 1)
    assert not point.HasField("min")


def test_processes_get_ports_that_count_up() -> None:
    assert commands_of(["up"], 2, 9100) == [
        ["up", "--metrics-port", "9100"],
        ["up", "--metrics-port", "9101"],
    ]
    assert commands_of(["up"], 2, None) == [["up"], ["up"]]
    assert commands_of(["up"], 1, 0) == [["up", "--metrics-port", "0"]]
