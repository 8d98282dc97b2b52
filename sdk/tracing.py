"""The trace that code belongs to: of who starts a run, and of the steps that it runs.

OpenTelemetry is asked only where it is: a program that did not import it has no current span, and a
worker gives step code one only where somebody could use it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

from ..core.tracing import SpanContext, attempt_context
from ..reactors import otlp
from .task import Task


def current_traceparent() -> str:
    """The span that this code runs in, else that of the process (`TRACEPARENT`), else nothing."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is not None:
        found = api.get_current_span().get_span_context()
        if found.is_valid:
            sampled = found.trace_flags.sampled
            return SpanContext(
                f"{found.trace_id:032x}", f"{found.span_id:016x}", sampled
            ).traceparent
    return os.environ.get("TRACEPARENT", "")


def is_used() -> bool:
    """Whether step code may look for a current span."""
    return "opentelemetry.trace" in sys.modules or (otlp.is_wanted() and otlp.is_installed())


def traced(task: Task, function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain body, with its attempt as the current span."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with _within(task_context(task)):
            return function(*args, **kwargs)

    return call


async def traced_async(task: Task, body: Awaitable[Any]) -> Any:
    """An async body, with its attempt as the current span."""
    with _within(task_context(task)):
        return await body


def task_context(task: Task) -> SpanContext:
    return attempt_context(task.workflow, task.trace, task.step, task.index, task.attempt)


@contextmanager
def _within(span: SpanContext) -> Generator[None]:
    from opentelemetry import context, trace

    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if span.sampled else 0)
    remote = trace.SpanContext(int(span.trace_id, 16), int(span.span_id, 16), True, flags)
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(remote)))
    try:
        yield
    finally:
        context.detach(token)
