"""What the next step gets for a task that failed, where a fan-out collects errors."""

from __future__ import annotations

import msgspec

from .events import Failure


class TaskError(msgspec.Struct, frozen=True):
    """Stands in a list of results for a task that failed for good."""

    index: int
    #: Exception class, or what became of the task: `ValueError`, `AgentFailed`, `QueueTimeout` …
    error: str
    message: str
    exit_code: int | None = None


def error_of(index: int, failure: Failure) -> TaskError:
    return TaskError(index, failure.type, failure.message, failure.exit_code)
