"""The trace that code belongs to: of who starts a run, and of the steps that it runs.

OpenTelemetry is asked only where it is in use: a worker gives step code a current span only where
somebody could see it.
"""

from __future__ import annotations

import os
import sys
from contextvars import Token
from functools import cache
from types import ModuleType
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
    """Whether step code may look for a current span: a collector is named, or a provider set.

    That OpenTelemetry was imported says nothing: the client of Redis does that. Asking takes longer
    than some bodies: once for all tasks of a claim.
    """
    return _is_exported() or _has_provider()


@cache
def _is_exported() -> bool:
    return otlp.is_wanted() and otlp.is_installed()


def _has_provider() -> bool:
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None:
        return False
    # Where none is set, asking for it costs a look into the environment each time.
    if getattr(api, "_TRACER_PROVIDER", api) is None and not _is_provider_named():
        return False
    return not isinstance(api.get_tracer_provider(), api.ProxyTracerProvider)


@cache
def _is_provider_named() -> bool:
    return "OTEL_PYTHON_TRACER_PROVIDER" in os.environ


def enter(task: Task) -> Token[Any]:
    """Make the attempt of a task the current span; what it takes to leave it."""
    token: Token[Any] = _current_span().enter(task)
    return token


def leave(token: Token[Any]) -> None:
    _current_span().leave(token)


@cache
def _current_span() -> ModuleType:
    from . import current_span

    return current_span


def task_context(task: Task) -> SpanContext:
    return attempt_context(task.workflow, task.trace, task.step, task.index, task.attempt)
