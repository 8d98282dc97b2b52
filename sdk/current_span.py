"""The span that step code finds as the current one. Imports OpenTelemetry.

Most code never asks for it, and making it takes longer than many a body. So a task gets a context
that makes it when somebody asks.
"""

from __future__ import annotations

from contextvars import Token
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context

from .task import Task
from .tracing import task_context

#: Under which a context has its span.
(SPAN,) = trace.set_span_in_context(trace.INVALID_SPAN, Context())


class TaskContext(Context):
    """What was around it, with the attempt of a task as the current span."""

    __slots__ = ("_span", "_task")

    def __init__(self, around: Context, task: Task) -> None:
        super().__init__(around)
        self._task = task
        self._span: trace.Span | None = None

    def get(self, key: str, default: Any = None) -> Any:
        return self._current() if key == SPAN else super().get(key, default)

    def copy(self) -> dict[str, object]:
        return {**self, SPAN: self._current()}

    def _current(self) -> trace.Span:
        if self._span is None:
            span = task_context(self._task)
            flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if span.sampled else 0)
            ids = int(span.trace_id, 16), int(span.span_id, 16)
            made = trace.SpanContext(*ids, is_remote=True, trace_flags=flags)
            self._span = trace.NonRecordingSpan(made)
        return self._span


def enter(task: Task) -> Token[Context]:
    """Make a task's attempt the current span; what it takes to leave it."""
    return context.attach(TaskContext(context.get_current(), task))


def leave(token: Token[Context]) -> None:
    context.detach(token)
