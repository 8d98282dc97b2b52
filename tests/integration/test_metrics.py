"""What Prometheus scrapes from real processes, and what a collector gets by OTLP."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from prometheus_client.parser import text_string_to_metric_families

from agentainer_flow.core.metrics import METRICS

from .command import FLOWS, Background, Command, eventually

Labels = dict[str, str]
Sample = tuple[str, Labels, float]


def url_of(process: Background, what: str = "api") -> str:
    process.wait_for("ready", "err")
    found = re.search(rf"{what} +(http://[\d.:]+)", process.err)
    assert found, process.err
    return found[1]


def scrape(url: str) -> list[Sample]:
    answer = httpx.get(f"{url}/metrics", timeout=10)
    assert answer.status_code == 200, answer.text
    return [
        (sample.name, dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    ]


def value(url: str, name: str, **labels: str) -> float:
    """The sum over all samples of this name that have the labels."""
    return sum(
        number
        for found, of, number in scrape(url)
        if found == name and labels.items() <= of.items()
    )


def holds(url: str, expected: float, name: str, **labels: str) -> None:
    eventually(lambda: value(url, name, **labels) == expected)


@pytest.fixture
def api(cli: Command) -> str:
    return url_of(cli.begin("up", str(FLOWS), "--port", "0"))


def test_workflows_steps_and_tasks_are_counted_once(cli: Command, api: str) -> None:
    cli.start("Greet", "-i", "name=1")
    cli.start("Greet", "-i", "name=2")
    labels = {"definition": "greet", "result": "completed"}
    holds(api, 2, "agentainer_workflows_finished_total", **labels)
    assert value(api, "agentainer_workflows_started_total", definition="greet") == 2
    assert value(api, "agentainer_workflow_duration_seconds_count", **labels) == 2
    assert value(api, "agentainer_step_duration_seconds_count", step="say", **labels) == 2
    assert value(api, "agentainer_task_duration_seconds_count", step="say", **labels) == 2
    assert value(api, "agentainer_task_queue_wait_seconds_count", queue="default") == 2


def test_failures_and_agents_are_counted(cli: Command, api: str) -> None:
    cli.start("Broken")
    holds(api, 1, "agentainer_workflows_finished_total", definition="broken", result="failed")
    assert value(api, "agentainer_task_duration_seconds_count", result="failed") == 1
    assert value(api, "agentainer_job_launch_seconds_count", result="launched") == 1
    assert value(api, "agentainer_jobs_finished_total", result="failed") == 1
    assert value(api, "agentainer_append_duration_seconds_count", call="settle_job") == 2


def test_a_cancelled_workflow_is_counted_as_such(cli: Command, api: str) -> None:
    workflow = cli.start("Gated", "-i", f"gate={cli.gate}")
    holds(api, 1, "agentainer_slots", role="launcher", state="used")
    cli("workflow", "cancel", workflow)
    holds(api, 1, "agentainer_workflows_finished_total", definition="gated", result="cancelled")
    assert value(api, "agentainer_jobs_finished_total", result="cancelled") == 1


def test_no_label_holds_the_id_of_a_workflow(cli: Command, api: str) -> None:
    ids = [cli.start("Greet", "-i", "name=1"), cli.start("Broken")]
    holds(api, 2, "agentainer_workflows_finished_total")
    ids.append(cli.start("Gated", "-i", f"gate={cli.gate}"))
    holds(api, 1, "agentainer_queue_running", queue="default")
    for name, labels, _ in scrape(api):
        for text in labels.values():
            assert not any(one in text for one in ids), (name, labels)


def test_every_metric_is_one_of_the_catalogue(cli: Command, api: str) -> None:
    known = {one.prometheus: set(one.labels) for one in METRICS}
    cli.start("Broken")
    holds(api, 1, "agentainer_workflows_finished_total")
    for name, labels, _ in scrape(api):
        if not name.startswith("process_"):
            bare = re.sub("_(bucket|count|sum|created)$", "", name)
            assert set(labels) - {"le"} == known[name if name in known else bare], name


def test_queues_tell_what_waits_and_since_when(cli: Command) -> None:
    api = url_of(cli.begin("serve", str(FLOWS), "--port", "0"))
    cli.begin("reactors").wait_for("ready", "err")
    cli.start("Greet", "-i", "name=1")
    holds(api, 1, "agentainer_queue_depth", queue="default")
    eventually(lambda: value(api, "agentainer_queue_oldest_seconds", queue="*") > 1)
    assert value(api, "agentainer_slots", role="worker") == 0
    assert value(api, "agentainer_lanes_unowned") == 0


def test_a_scheduler_that_is_missing_shows_as_lag(cli: Command) -> None:
    serving = cli.up()
    cli.start("Greet", "-i", "name=1")
    cli.wait_for_status("completed")
    serving.stop()
    api = url_of(cli.begin("serve", "--port", "0"))
    cli.start("Greet", "-i", "name=2")
    labels = {"reactor": "engine", "partition": "0"}
    eventually(lambda: value(api, "agentainer_reactor_lag", **labels) >= 1)
    eventually(lambda: value(api, "agentainer_reactor_lag_age_seconds", **labels) > 0)
    holds(api, 1, "agentainer_lanes_unowned")


def test_roles_apart_serve_what_they_see_themselves(cli: Command) -> None:
    begin = [["reactors"], ["worker", str(FLOWS)], ["launcher"]]
    processes = [cli.begin(*command, "--metrics-port", "0") for command in begin]
    reactors, worker, launcher = (url_of(one, "metrics") for one in processes)
    cli.start("Broken")
    holds(reactors, 1, "agentainer_workflows_finished_total")
    assert value(worker, "agentainer_task_duration_seconds_count") == 1
    assert value(launcher, "agentainer_jobs_finished_total") == 1
    assert value(reactors, "agentainer_task_duration_seconds_count") == 0
    assert value(worker, "agentainer_workflows_finished_total") == 0
    assert "agentainer_queue_depth" not in {name for name, _, _ in scrape(worker)}
    assert "agentainer_queue_depth" in {name for name, _, _ in scrape(reactors)}
    assert httpx.get(f"{worker}/").status_code == 404


def test_a_worker_that_is_killed_shows_as_lost_and_poisoned_tasks(cli: Command) -> None:
    reactors = url_of(cli.begin("reactors", "--metrics-port", "0"), "metrics")
    started = cli.folder / "started"
    cli.start("Stubborn", "-i", f"started={started}")
    for lost in (1, 2, 2):
        worker = cli.begin("worker", str(FLOWS))
        eventually(started.exists)
        worker.close()
        started.unlink()
        holds(reactors, lost, "agentainer_tasks_lost_total", step="hold")
    holds(reactors, 1, "agentainer_tasks_poisoned_total", step="hold")


def test_open_streams_are_counted(api: str) -> None:
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("GET", f"{api}/events", headers=headers) as stream:
        chunks = stream.iter_bytes()
        next(chunks)
        assert stream.status_code == 200
        assert value(api, "agentainer_sse_clients") == 1
    holds(api, 0, "agentainer_sse_clients")


class Collector:
    """Takes what comes by OTLP over HTTP."""

    def __init__(self) -> None:
        self.messages: list[ExportMetricsServiceRequest] = []
        self.url = ""

    def points(self) -> dict[str, Any]:
        """The metrics of the last message, by name."""
        return {
            metric.name: metric
            for of in self.messages[-1:]
            for resource in of.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def resource(self) -> dict[str, str]:
        (of,) = self.messages[-1].resource_metrics
        return {one.key: one.value.string_value for one in of.resource.attributes}


@contextmanager
def collecting() -> Generator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/metrics":
                collector.messages.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def with_otlp(cli: Command, url: str, **more: str) -> Background:
    cli.environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_METRIC_EXPORT_INTERVAL": "300",
        **more,
    }
    return cli.up()


def test_a_collector_gets_the_same_by_otlp(cli: Command) -> None:
    with collecting() as collector:
        with_otlp(cli, collector.url, OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test")
        cli.start("Greet", "-i", "name=1")
        eventually(lambda: "agentainer.workflows.finished" in collector.points())
        points = collector.points()
        (finished,) = points["agentainer.workflows.finished"].sum.data_points
        assert finished.as_double == 1
        labels = {one.key: one.value.string_value for one in finished.attributes}
        assert labels == {"definition": "greet", "result": "completed"}
        assert points["agentainer.task.duration"].unit == "s"
        (duration,) = points["agentainer.task.duration"].histogram.data_points
        assert (duration.count, sum(duration.bucket_counts)) == (1, 1)
        assert collector.resource()["service.name"] == "agentainer-flow"
        assert collector.resource()["deployment.environment"] == "test"


def test_the_last_message_is_sent_when_the_process_stops(cli: Command) -> None:
    with collecting() as collector:
        serving = with_otlp(cli, collector.url, OTEL_METRIC_EXPORT_INTERVAL="3600000")
        cli.start("Greet", "-i", "name=1")
        cli.wait_for_status("completed")
        assert serving.stop() == 0
        assert "agentainer.workflows.finished" in collector.points()


def test_a_run_in_a_program_sends_what_it_counted(cli: Command) -> None:
    with collecting() as collector:
        cli.environment["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] = f"{collector.url}/v1/metrics"
        assert cli.run("Greet", "-i", "name=1").returncode == 0
        points = collector.points()
        (finished,) = points["agentainer.workflows.finished"].sum.data_points
        assert finished.as_double == 1
        assert "agentainer.task.duration" in points


def test_nothing_is_sent_when_telemetry_is_disabled(cli: Command) -> None:
    with collecting() as collector:
        serving = with_otlp(cli, collector.url, OTEL_SDK_DISABLED="true")
        cli.start("Greet", "-i", "name=1")
        cli.wait_for_status("completed")
        assert serving.stop() == 0
        assert not collector.messages


def test_a_collector_that_is_down_holds_up_nothing(cli: Command) -> None:
    serving = with_otlp(cli, "http://127.0.0.1:9")
    cli.start("Greet", "-i", "name=1")
    cli.wait_for_status("completed")
    assert serving.stop() == 0
