"""Turn an error into one clear message and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

from ..core.errors import (
    DefinitionError,
    FlowError,
    InputError,
    PayloadError,
    SettingsError,
    WorkflowFailed,
    WorkflowNotFound,
)
from ..core.settings import PREFIX

FAILED, USAGE, NOT_FOUND = 1, 2, 3

#: Errors in what the caller gave.
_USAGE = (DefinitionError, InputError, PayloadError, SettingsError)


class Ambiguous(FlowError):
    """Raised when several ids begin with what was given."""

    def __init__(self, prefix: str, ids: list[str]) -> None:
        listed = "".join(f"\n  {name}" for name in ids[-5:])
        more = f"\n  and {len(ids) - 5} older ones" if len(ids) > 5 else ""
        super().__init__(f"{len(ids)} workflows begin with {prefix!r}:{listed}{more}")


class Missed(FlowError):
    """Raised when a moment, a step or a value is asked for that a workflow does not have."""


def report(error: Exception) -> int:
    """Say on stderr what went wrong; return the exit code. What is no FlowError is raised again."""
    cause = innermost(error)
    if not isinstance(cause, FlowError):
        raise error
    if os.environ.get(f"{PREFIX}LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
    print(f"agentainer: {cause}", file=sys.stderr)
    if isinstance(cause, WorkflowFailed):
        print(f"All about it: agentainer workflow status {cause.workflow_id}", file=sys.stderr)
    return exit_code(cause)


def innermost(error: Exception) -> Exception:
    """The one error in a group of one, in a group of one …; a group of several stays."""
    match error:
        case ExceptionGroup(exceptions=(only,)):
            return innermost(only)
        case _:
            return error


def exit_code(error: FlowError) -> int:
    match error:
        case WorkflowNotFound() | Missed():
            return NOT_FOUND
        case Ambiguous():
            return USAGE
        case _:
            return USAGE if isinstance(error, _USAGE) else FAILED
