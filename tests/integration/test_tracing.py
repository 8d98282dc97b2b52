"""Traces that a collector really gets: complete, once, and with what agents and steps add."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator

import anyio
import pytest

from agentainer_flow import AsyncContext, Workflow, parallel, step, workflow
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.core.tracing import SpanContext, span_id_of, trace_id_of
from agentainer_flow.projections.spans import Span
from agentainer_flow.reactors import tracer
from agentainer_flow.sdk.runner import arun

from .collector import Collector, Received, serving_grpc
from .command import Command, eventually

CALLER = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().serving() as serving:
        yield serving


@pytest.fixture
def traced(cli: Command, collector: Collector) -> Command:
    cli.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    return cli


def shown(cli: Command, workflow: str) -> dict[str, str]:
    """Names of all spans that follow from the log, by id."""
    lines = cli("workflow", "trace", workflow, "--json").stdout.splitlines()
    return {span["span_id"]: span["name"] for span in map(json.loads, lines)}


def got(collector: Collector) -> dict[str, str]:
    return {span.span_id: span.name for span in collector.spans}


def test_a_run_is_exported_whole_and_once(traced: Command, collector: Collector) -> None:
    traced.run("Greet", "-i", "name=7")
    assert got(collector) == shown(traced, "last")
    assert len(collector.spans) == len(got(collector))
    run = next(span for span in collector.spans if span.name == "run greet")
    assert run.attributes["cicd.pipeline.result"] == "success"
    assert run.status == 1
    known = {span.span_id for span in collector.spans}
    assert all(span.parent_id in known for span in collector.spans if span.name != "accept greet")


def test_a_failure_is_told(traced: Command, collector: Collector) -> None:
    traced.run("Broken")
    agent = next(span for span in collector.spans if span.name == "agent bad")
    assert (agent.status, agent.attributes["process.exit.code"]) == (2, 7)
    assert agent.attributes["container.image.name"] == "any"


def test_an_agent_and_a_step_join_the_trace(traced: Command, collector: Collector) -> None:
    """The agent by TRACEPARENT, the step by the current span."""
    done = traced.run("Traced")
    told = json.loads(done.stdout)
    workflow = traced.ask("workflow", "list")[0]["id"]
    attempt = span_id_of(workflow, "attempt", "look", 0, 1)
    assert told["step"] == [trace_id_of(workflow), attempt]
    assert told["context"] == f"00-{trace_id_of(workflow)}-{attempt}-01"
    agent = next(span for span in collector.spans if span.name == "agent child")
    assert told["agent"] == f"00-{agent.trace_id}-{agent.span_id}-01"
    assert agent.parent_id == attempt


def test_plain_steps_join_the_trace(traced: Command) -> None:
    told = json.loads(traced.run("PlainlyTraced").stdout)
    workflow = traced.ask("workflow", "list")[0]["id"]
    assert told == [span_id_of(workflow, "attempt", name, 0, 1) for name in ("first", "second")]


def test_the_caller_is_linked_or_joined(traced: Command, collector: Collector) -> None:
    traced.environment["TRACEPARENT"] = CALLER.traceparent
    traced.run("Greet", "-i", "name=7")
    accepted = next(span for span in collector.spans if span.name == "accept greet")
    assert accepted.links == [CALLER.span_id]
    assert accepted.trace_id != CALLER.trace_id
    collector.spans.clear()
    traced.environment["AGENTAINER_TRACE_CALLER"] = "parent"
    traced.run("Greet", "-i", "name=7")
    assert {span.trace_id for span in collector.spans} == {CALLER.trace_id}


def test_what_is_not_sampled_can_be_exported_later(traced: Command, collector: Collector) -> None:
    traced.environment["OTEL_TRACES_SAMPLER"] = "always_off"
    traced.run("Greet", "-i", "name=7")
    assert collector.spans == []
    done = traced("workflow", "trace", "last", "--otlp", collector.url)
    assert done.returncode == 0, done.stderr
    assert got(collector) == shown(traced, "last")


def test_spans_go_by_grpc(traced: Command) -> None:
    spans: list[Received] = []
    traced.environment["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
    with serving_grpc(spans) as traced.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]:
        traced.run("Greet", "-i", "name=7")
    assert {span.span_id: span.name for span in spans} == shown(traced, "last")


def test_messages_that_are_too_large_go_in_halves(traced: Command, collector: Collector) -> None:
    """They once were sent again for ever, and nothing after them."""
    collector.refusal = lambda spans: 413 if len(spans) > 2 else 200
    traced.run("Greet", "-i", "name=7")
    assert got(collector) == shown(traced, "last")
    assert len(collector.spans) == len(got(collector))
    collector.spans.clear()
    done = traced("workflow", "trace", "last", "--otlp", collector.url)
    assert done.returncode == 0, done.stderr
    assert got(collector) == shown(traced, "last")


def test_a_span_that_is_refused_holds_up_no_other(traced: Command, collector: Collector) -> None:
    def refusal(spans: list[Received]) -> int:
        return 400 if any(span.name.startswith("queue") for span in spans) else 200

    collector.refusal = refusal
    traced.run("Greet", "-i", "name=7")
    expected = {key: name for key, name in shown(traced, "last").items() if "queue" not in name}
    assert got(collector) == expected
    done = traced("workflow", "trace", "last", "--otlp", collector.url)
    assert done.returncode == 1
    assert "refused" in done.stderr


def test_large_messages_go_by_grpc_in_halves(traced: Command) -> None:
    spans: list[Received] = []
    traced.environment["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
    with serving_grpc(spans, most_bytes=2000) as traced.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]:
        traced.run("Greet", "-i", "name=7")
    assert {span.span_id: span.name for span in spans} == shown(traced, "last")


def test_a_collector_that_is_away_delays_nothing_and_misses_nothing(
    traced: Command, collector: Collector
) -> None:
    collector.refuses = True
    serving = traced.up()
    workflow = traced.start("Greet", "-i", "name=7")
    traced.wait_for_status("completed")
    eventually(lambda: collector.refused > 0)
    collector.refuses = False
    eventually(lambda: got(collector) == shown(traced, workflow))
    serving.stop()


def test_a_run_does_not_wait_for_a_collector_that_hangs(
    traced: Command, collector: Collector
) -> None:
    """The thread that sent to it once kept the process until the timeout of the exporter."""
    answered = threading.Event()
    collector.refusal = lambda spans: 200 if answered.wait(100) else 503
    traced.environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "100"
    began = time.monotonic()
    traced.run("Greet", "-i", "name=7")
    took = time.monotonic() - began
    answered.set()
    assert took < 50


def test_a_tracer_that_is_killed_is_taken_over(traced: Command, collector: Collector) -> None:
    collector.refuses = True
    serving = traced.up()
    workflow = traced.start("Greet", "-i", "name=7")
    traced.wait_for_status("completed")
    eventually(lambda: collector.refused > 0)
    serving.signal(signal.SIGKILL)
    serving.end()
    collector.refuses = False
    other = traced.begin("reactors", "--only", "tracer")
    eventually(lambda: got(collector) == shown(traced, workflow))
    assert other.stop() == 0


@workflow()
class Many(Workflow):
    @step()
    @parallel()
    async def work(self, context: AsyncContext, item: int) -> int:
        return item


@pytest.mark.anyio
async def test_what_happens_at_once_is_sent_in_small_messages(log: EventLog) -> None:
    await tracer.keep_for_tracer(log)
    await arun(Many(), {"items": list(range(600))}, log.settings)
    sizes: list[int] = []

    def export(spans: list[Span]) -> bool:
        sizes.append(len(spans))
        return True

    reactor = tracer.TraceReactor(log, export, stands_back=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reactor.run)
        with anyio.fail_after(20):
            await reactor.finish()
        tasks.cancel_scope.cancel()
    assert max(sizes) == tracer.MOST
    # Two of each task, which waited and ran, and two each of the step and of the run.
    assert sum(sizes) == 2 * 600 + 4


@pytest.mark.anyio
async def test_a_tracer_ends_while_redis_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracer, "FAREWELL", 0.1)
    log = EventLog(settings, "unix:///nowhere/redis.sock")
    with anyio.fail_after(10):
        await tracer.TraceReactor(log, lambda spans: True).finish()
    await log.close()


def test_without_a_collector_nothing_reads_the_feed(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7")
    assert cli("workflow", "trace", "last", "--otlp", "http://127.0.0.1:9").returncode == 1
    assert cli("workflow", "trace", "last", "--perfetto", "trace.json").returncode == 0
    events = json.loads((cli.folder / "trace.json").read_text())["traceEvents"]
    assert "run greet" in [one["name"] for one in events]
