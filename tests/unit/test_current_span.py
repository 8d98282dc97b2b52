"""What step code finds as the current span, and what keeps it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from opentelemetry import baggage, context, trace

from agentainer_flow.reactors.capacity import Capacity
from agentainer_flow.sdk import tracing
from agentainer_flow.sdk.task import News, Task


@pytest.fixture
def task() -> Iterator[Task]:
    """One that is entered."""
    entered = Task(
        cast(Any, None),
        News(),
        cast(Any, None),
        workflow="w-1",
        step="one",
        index=0,
        attempt=1,
        token="s/1",
        worker="s",
        slots=Capacity(1),
    )
    around = context.attach(baggage.set_baggage("tenant", "blue"))
    token = tracing.enter(entered)
    try:
        yield entered
    finally:
        tracing.leave(token)
        assert trace.get_current_span() is trace.INVALID_SPAN
        context.detach(around)


def _span_id() -> str:
    return f"{trace.get_current_span().get_span_context().span_id:016x}"


def test_it_is_the_attempt_of_the_task(task: Task) -> None:
    assert _span_id() == tracing.task_context(task).span_id
    assert tracing.current_traceparent() == tracing.task_context(task).traceparent
    assert trace.get_current_span() is trace.get_current_span()


def test_what_is_around_and_within_stays(task: Task) -> None:
    within = context.attach(baggage.set_baggage("user", "ann"))
    assert dict(baggage.get_all()) == {"tenant": "blue", "user": "ann"}
    assert _span_id() == tracing.task_context(task).span_id
    context.detach(within)
    other = trace.SpanContext(1, 2, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(other)):
        assert trace.get_current_span().get_span_context() is other
    assert _span_id() == tracing.task_context(task).span_id


def test_a_thread_that_is_given_the_context_has_it(task: Task) -> None:
    found: list[str] = []

    def look(given: context.Context) -> None:
        found.append(_span_id())
        context.attach(given)
        found.append(_span_id())

    thread = threading.Thread(target=look, args=(context.get_current(),))
    thread.start()
    thread.join()
    assert found == ["0" * 16, tracing.task_context(task).span_id]
