"""Spans follow from the log: complete, with parents, and the same whenever they are made."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from agentainer_flow.core import events as e
from agentainer_flow.core.definition import Definition, StepSpec
from agentainer_flow.core.tracing import (
    SpanContext,
    Trace,
    begin_trace,
    parse_traceparent,
    span_id_of,
    trace_id_of,
)
from agentainer_flow.projections.span_attributes import usage_of
from agentainer_flow.projections.spans import Span, Tracer, spans_of
from agentainer_flow.reactors import otlp
from agentainer_flow.reactors.tracer import open_tracer

from .test_history import FAILED
from .test_workflow_view import ERROR, RAW, STORY, log

DEFINITION = Definition("wf", (StepSpec("a"), StepSpec("b", ("a",))))
CALLER = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
BEGUN = (
    e.WorkflowCreated("wf", "digest"),
    e.WorkflowStarted(),
    e.StepScheduled("a", 1, 1),
    e.TaskStarted("a", 0, 1, "w1"),
)


def spans(*events: e.Event) -> list[Span]:
    return spans_of("w", log(*events), DEFINITION)


def named(found: list[Span], name: str) -> Span:
    (one,) = [span for span in found if span.name == name]
    return one


@pytest.mark.parametrize("story", [STORY, FAILED])
def test_ids_are_unique_and_always_the_same(story: list[e.Recorded]) -> None:
    found = spans_of("w", story, DEFINITION)
    assert Counter(span.span_id for span in found).most_common(1)[0][1] == 1
    assert {span.trace_id for span in found} == {trace_id_of("w")}
    assert spans_of("w", story, DEFINITION) == found


@pytest.mark.parametrize("story", [STORY, FAILED])
def test_a_parent_is_there_before_its_children(story: list[e.Recorded]) -> None:
    tracer, known = Tracer("w", DEFINITION), {""}
    for recorded in story:
        brought = tracer.take(recorded)
        known |= {span.span_id for span in brought}
        assert {span.parent_id for span in brought} <= known
    assert tracer.ended


def test_queue_attempt_and_step() -> None:
    found = spans(*BEGUN, e.TaskCompleted("a", 0, 1, RAW(b"1")), e.StepCompleted("a"))
    names = [span.name for span in found]
    assert names == ["accept wf", "schedule a", "queue a", "task a", "step a"]
    task = named(found, "task a")
    assert (task.start_ms, task.end_ms, task.ok, task.error) == (1004, 1005, True, None)
    assert task.parent_id == named(found, "schedule a").span_id
    assert task.attributes["agentainer.worker"] == "w1"
    assert task.attributes["cicd.pipeline.task.run.result"] == "success"


def test_dependencies_are_links() -> None:
    scheduled = spans(*BEGUN, e.StepCompleted("a"), e.StepScheduled("b", 1, 1))[-1]
    assert [(link.type, link.span_id) for link in scheduled.links] == [
        ("depends_on", span_id_of("w", "step", "a"))
    ]


def test_failures_retries_and_backoff() -> None:
    found = spans(
        *BEGUN,
        e.TaskFailed("a", 0, 1, ERROR),
        e.TaskRetried("a", 0, 2, delay_ms=1),
        e.WorkflowPaused(),
        e.TaskStarted("a", 0, 2, "w2"),
        e.TaskCompleted("a", 0, 2),
    )
    first, second = (span for span in found if span.name == "task a")
    assert first.error == f"{ERROR.type}: {ERROR.message}"
    assert first.attributes["error.type"] == ERROR.type
    assert first.moments[0].attributes["exception.message"] == ERROR.message
    assert [(link.type, link.span_id) for link in second.links] == [("retry_of", first.span_id)]
    backoff = named(found, "backoff a")
    assert (backoff.start_ms, backoff.end_ms) == (1006, 1007)
    waits = [(span.start_ms, span.end_ms) for span in found if span.name == "queue a"]
    assert waits == [(1003, 1004), (1007, 1008)]


def test_a_lost_delivery_is_told_beside_the_attempt_that_goes_on() -> None:
    found = spans(
        *BEGUN,
        e.TaskLost("a", 0, 1, "w1"),
        e.TaskStarted("a", 0, 1, "w2"),
        e.TaskCompleted("a", 0, 1),
    )
    lost, done = (span for span in found if span.name == "task a")
    assert lost.span_id != done.span_id
    assert lost.attributes["cicd.pipeline.task.run.result"] == "error"
    assert done.span_id == span_id_of("w", "attempt", "a", 0, 1)


def test_what_a_lost_delivery_did_stays_with_a_span_that_is_there() -> None:
    """Its sleeps once had ids that sleeps of the next one had too, and a parent yet to come."""
    log_of_it = log(
        *BEGUN,
        e.EffectRecorded("a", 0, "nap", RAW(b"1.0055"), "sleep"),
        e.JobRequested("a", 0, "j", 1, "writer", e.JobSpec("image")),
        e.JobSucceeded("a", 0, "j", RAW(b"1")),
        e.TaskLost("a", 0, 1, "w1"),
        e.TaskStarted("a", 0, 1, "w2"),
        e.EffectRecorded("a", 0, "doze", RAW(b"1.0105"), "sleep"),
        e.TaskCompleted("a", 0, 1),
    )
    tracer, found = Tracer("w", DEFINITION), dict[str, Span]()
    for recorded in log_of_it:
        brought = {span.span_id: span for span in tracer.take(recorded)}
        assert brought.keys().isdisjoint(found)
        found |= brought
        assert all(span.parent_id in {"", *found} for span in brought.values())
    lost, done = (span for span in found.values() if span.name == "task a")
    parents = {span.name: span.parent_id for span in found.values()}
    assert parents["sleep nap"] == lost.span_id
    assert parents["sleep doze"] == parents["agent writer"] == done.span_id


def test_pauses_and_sleeps() -> None:
    found = spans(
        *BEGUN,
        e.EffectRecorded("a", 0, "nap", RAW(b"1.0055"), "sleep"),
        e.WorkflowPaused(),
        e.WorkflowResumed(),
        e.TaskCompleted("a", 0, 1),
    )
    pause, nap = named(found, "pause"), named(found, "sleep nap")
    assert (pause.start_ms, pause.end_ms) == (1006, 1007)
    assert (nap.start_ms, nap.end_ms) == (1005, 1005)
    assert nap.parent_id == named(found, "task a").span_id


def test_agents_belong_to_their_attempt() -> None:
    result = RAW(b'{"usage": {"input_tokens": 12, "output_tokens": 3, "model": "m", "cost": 0.5}}')
    found = spans(
        *BEGUN,
        e.JobRequested("a", 0, "j", 1, "writer", e.JobSpec("image")),
        e.JobLaunched("a", 0, "j", "c1", "h1", "docker"),
        e.JobLaunched("a", 0, "j", "c1", "h1", "docker", adopted=True),
        e.JobSucceeded("a", 0, "j", result),
        e.TaskCompleted("a", 0, 1),
    )
    agent, launch = named(found, "agent writer"), named(found, "launch writer")
    assert agent.parent_id == launch.parent_id == named(found, "task a").span_id
    assert (launch.start_ms, launch.end_ms, agent.end_ms) == (1005, 1006, 1008)
    assert agent.attributes["gen_ai.usage.input_tokens"] == 12
    assert agent.attributes["agentainer.agent.cost"] == 0.5
    assert [moment.name for moment in agent.moments] == ["agentainer.agent.adopted"]


def test_memory_that_ran_out_is_told_of_the_agent_and_the_task() -> None:
    failure = e.Failure("AgentFailed", "died", kind="oom_killed", exit_code=137)
    found = spans(
        *BEGUN,
        e.JobRequested("a", 0, "j", 1, "writer", e.JobSpec("image")),
        e.JobFailed("a", 0, "j", e.Failure("oom_killed", "died", exit_code=137)),
        e.TaskFailed("a", 0, 1, failure),
    )
    for name in ("agent writer", "task a"):
        attributes = named(found, name).attributes
        assert (attributes["process.exit.code"], attributes["error.type"]) == (137, "oom_killed")
        assert attributes["agentainer.agent.oom_killed"] is True


@pytest.mark.parametrize("text", [b"3", b'"usage"', b'{"usage": 3}', b'{"usage": {"model": [1]}}'])
def test_results_that_tell_no_usage(text: bytes) -> None:
    assert usage_of(RAW(text)) == {}


@pytest.mark.parametrize(
    ("failure", "result"),
    [
        (e.Failure("TaskTimeout", "late"), "timeout"),
        (e.Failure("AgentFailed", "oom", kind="oom_killed"), "error"),
        (e.Failure("Poison", "lost 3 workers while it ran"), "error"),
        (ERROR, "failure"),
    ],
)
def test_the_words_for_results(failure: e.Failure, result: str) -> None:
    found = spans(*BEGUN, e.TaskFailed("a", 0, 1, failure), e.WorkflowFailed(failure, "a", 0))
    assert found[-1].attributes["cicd.pipeline.result"] == result
    assert named(found, "task a").attributes["cicd.pipeline.task.run.result"] == result


def test_secrets_of_exceptions_stay_here() -> None:
    failure = e.Failure(
        "ValueError", "password=hunter2abc", traceback="f('redis://u:hunter2abc@h')"
    )
    task = named(spans(*BEGUN, e.TaskFailed("a", 0, 1, failure)), "task a")
    assert task.error == "ValueError: password=***"
    assert task.moments[0].attributes["exception.stacktrace"] == "f('redis://u:***@h')"


def test_callers_and_forks_are_links() -> None:
    source = e.ForkedFrom("source", 7)
    created = replace(BEGUN[0], trace=Trace(CALLER.traceparent), forked_from=source)
    accepted = spans(created)[0]
    assert accepted.parent_id == ""
    assert [(link.type, link.trace_id) for link in accepted.links] == [
        ("caller", CALLER.trace_id),
        ("forked_from", trace_id_of("source")),
    ]


def test_a_run_may_join_the_trace_of_its_caller() -> None:
    created = replace(BEGUN[0], trace=Trace(CALLER.traceparent, joined=True))
    found = spans(created, *BEGUN[1:])
    assert {span.trace_id for span in found} == {CALLER.trace_id}
    assert found[0].parent_id == CALLER.span_id


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (CALLER.traceparent, True),
        (CALLER.traceparent + "-more", False),
        ("01" + CALLER.traceparent[2:] + "-more", True),
        ("ff" + CALLER.traceparent[2:], False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", False),
        ("nonsense", False),
    ],
)
def test_traceparents(text: str, valid: bool) -> None:
    assert (parse_traceparent(text) is not None) == valid


@pytest.mark.parametrize(
    ("environ", "caller", "sampled"),
    [
        ({}, "", True),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "", False),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, "", False),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"}, "", True),
        ({}, replace(CALLER, sampled=False).traceparent, False),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, replace(CALLER, sampled=False).traceparent, True),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, CALLER.traceparent, True),
    ],
)
def test_sampling_is_decided_once(environ: dict[str, str], caller: str, sampled: bool) -> None:
    trace = begin_trace("w", caller, joined=False, environ=environ)
    assert (trace is None or trace.sampled) == sampled


def test_a_ratio_samples_that_share() -> None:
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    traces = [begin_trace(f"w{n}", "", joined=False, environ=environ) for n in range(2000)]
    assert 400 < sum(trace is None for trace in traces) < 600


def test_a_collector_that_is_named_without_the_packages_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("importlib.util.find_spec", missing)
    assert otlp.is_wanted()
    assert not otlp.is_installed()
    assert open_tracer(None, 0) is None  # type: ignore[arg-type]  # nothing is asked of it
