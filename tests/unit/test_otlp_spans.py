"""Our bytes of spans are those that OpenTelemetry's own encoder makes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan

from agentainer_flow.core import events as e
from agentainer_flow.core.definition import Definition, StepSpec
from agentainer_flow.projections.spans import Link, Moment, Span, spans_of
from agentainer_flow.reactors import otlp
from agentainer_flow.reactors.otlp_spans import spans_bytes

from .test_history import FAILED
from .test_workflow_view import STORY

DEFINITION = Definition("wf", (StepSpec("a"), StepSpec("b", ("a",))))

texts = st.text(st.characters(codec="utf-8"), max_size=200)
times = st.integers(0, 2**43)
attributes = st.dictionaries(
    texts, texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
)
trace_ids, span_ids = (st.binary(min_size=size, max_size=size).map(bytes.hex) for size in (16, 8))
moments = st.builds(Moment, texts, times, attributes)
links = st.builds(Link, texts, trace_ids, span_ids)
some_spans = st.builds(
    Span,
    texts,
    trace_ids,
    span_ids,
    span_ids | st.just(""),
    times,
    times,
    attributes,
    st.tuples(links),
    st.tuples(moments, moments),
    st.none() | texts,
    st.booleans(),
)


def ours(spans: list[Span]) -> Any:
    return ScopeSpans.FromString(spans_bytes(spans))


def theirs(spans: list[Span]) -> Any:
    request: Any = encode_spans([readable(span) for span in spans])
    return ScopeSpans(spans=request.resource_spans[0].scope_spans[0].spans)


def readable(span: Span) -> ReadableSpan:
    status = trace.Status(trace.StatusCode.OK if span.ok else trace.StatusCode.UNSET)
    if span.error is not None:
        status = trace.Status(trace.StatusCode.ERROR, span.error)
    return ReadableSpan(
        span.name,
        context(span.trace_id, span.span_id),
        context(span.trace_id, span.parent_id) if span.parent_id else None,
        Resource({}),
        span.attributes,
        [Event(one.name, one.attributes, one.ms * 1_000_000) for one in span.moments],
        [
            trace.Link(context(one.trace_id, one.span_id), {"agentainer.link.type": one.type})
            for one in span.links
        ],
        status=status,
        start_time=span.start_ms * 1_000_000,
        end_time=span.end_ms * 1_000_000,
    )


def context(trace_id: str, span_id: str) -> trace.SpanContext:
    return trace.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True)


@pytest.mark.parametrize("story", [STORY, FAILED])
def test_spans_of_a_log(story: list[e.Recorded]) -> None:
    spans = spans_of("w", story, DEFINITION)
    assert ours(spans) == theirs(spans)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.lists(some_spans, min_size=1, max_size=3))
def test_any_span(spans: list[Span]) -> None:
    assert ours(spans) == theirs(spans)


def test_values_that_the_protocol_has_no_place_for_are_texts() -> None:
    """A step chooses names, and an agent the numbers of its usage: nothing may hold up the rest."""
    span = Span("\ud800", "0" * 32, "0" * 16, "", 0, 0, {"large": 2**63})
    (found,) = ours([span]).spans
    assert found.name == "?"
    assert found.attributes[0].value.string_value == str(2**63)


def test_a_message_says_who_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab")
    spans = spans_of("w", STORY, DEFINITION)
    message = otlp.request_of(otlp.empty_request(), spans)
    (of,) = message.resource_spans
    told = {one.key: one.value.string_value for one in of.resource.attributes}
    assert told["deployment.environment.name"] == "lab"
    assert told["service.name"] == "agentainer-flow"
    assert of.scope_spans[0].scope.name == "agentainer_flow"
    assert len(of.scope_spans[0].spans) == len(spans)
