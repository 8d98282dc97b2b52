"""The span that step code finds as the current one. Imports OpenTelemetry.

Most code never asks for it, and making its ids takes longer than many a body. So they are made when
somebody asks.
"""

from __future__ import annotations

from contextvars import Token

from opentelemetry import context, trace

from .task import Task
from .tracing import task_context


class RemoteSpan(trace.NonRecordingSpan):
    """The span of an attempt, which another process exports."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._made: trace.SpanContext | None = None

    def get_span_context(self) -> trace.SpanContext:
        if self._made is None:
            span = task_context(self._task)
            flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if span.sampled else 0)
            ids = int(span.trace_id, 16), int(span.span_id, 16)
            self._made = trace.SpanContext(*ids, is_remote=True, trace_flags=flags)
        return self._made

    def __repr__(self) -> str:
        return f"RemoteSpan({self.get_span_context()!r})"


def enter(task: Task) -> Token[context.Context]:
    """Make a task's attempt the current span; what it takes to leave it."""
    return context.attach(trace.set_span_in_context(RemoteSpan(task)))


def leave(token: Token[context.Context]) -> None:
    context.detach(token)
