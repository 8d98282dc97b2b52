"""Attributes of spans, by the conventions of OpenTelemetry where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ..core import events as e
from ..core.secrets import hide_in_text

Attributes = dict[str, str | int | float | bool]
#: The words of `cicd.pipeline.result` and `cicd.pipeline.task.run.result`.
Result = Literal["success", "failure", "error", "timeout", "cancellation", "skip"]

#: Kinds of failures that are no failure of the code.
_TIMEOUTS = frozenset({"TaskTimeout", "QueueTimeout", "WorkflowTimeout", "timed_out"})
_ERRORS = frozenset(
    {"oom_killed", "infrastructure_lost", "lost", "Poison", "cannot_start", "image_missing"}
)


def usage_of(result: msgspec.Raw) -> Attributes:
    """What an agent says of its use of a model, in `usage` of its result."""
    try:
        told: Any = msgspec.json.decode(result)
    except msgspec.DecodeError:
        return {}
    usage: Any = told.get("usage") if isinstance(told, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # any JSON
    if not isinstance(usage, Mapping):
        return {}
    found: Attributes = {}
    for attribute, names in _USAGE.items():
        for name in names:
            value: Any = usage.get(name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # any JSON
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                found.setdefault(attribute, value)
    return found


#: Attributes of the conventions for generative AI, and what agents call it.
_USAGE = {
    "gen_ai.usage.input_tokens": ("input_tokens", "prompt_tokens"),
    "gen_ai.usage.output_tokens": ("output_tokens", "completion_tokens"),
    "gen_ai.request.model": ("model",),
    "gen_ai.provider.name": ("provider",),
    "agentainer.agent.cost": ("cost", "cost_usd"),
}


def of_step(step: str) -> Attributes:
    return {"agentainer.step.id": step, "cicd.pipeline.task.name": step}


def of_task(step: str, index: int, attempt: int) -> Attributes:
    return {
        "agentainer.step.id": step,
        "cicd.pipeline.task.name": step,
        "agentainer.task.index": index,
        "agentainer.task.attempt": attempt,
        "cicd.pipeline.task.run.id": f"{step}[{index}]#{attempt}",
    }


def of_agent(asked: e.JobRequested, launched: e.JobLaunched | None) -> Attributes:
    found: Attributes = {
        "agentainer.agent.id": asked.job,
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": asked.name,
        "container.image.name": asked.spec.image,
    }
    if launched:
        found |= {
            "container.id": launched.container,
            "container.runtime.name": launched.runtime,
            "host.name": launched.host,
        }
    return found


def of_failure(failure: e.Failure) -> Attributes:
    found: Attributes = {"error.type": failure.kind or failure.type}
    if failure.exit_code is not None:
        found["process.exit.code"] = failure.exit_code
    if "oom_killed" in (failure.type, failure.kind):  # of an agent, or of a task by its agent
        found["agentainer.agent.oom_killed"] = True
    return found


def of_exception(failure: e.Failure) -> Attributes:
    found: Attributes = {"exception.type": failure.type, "exception.message": says(failure.message)}
    if failure.traceback:
        found["exception.stacktrace"] = says(failure.traceback)
    return found


def says(text: str) -> str:
    """A text without secrets: the same wherever it is exported, so by their forms alone."""
    return hide_in_text(text, {})


def result_of(failure: e.Failure) -> Result:
    words = {failure.type, failure.kind}
    if words & _TIMEOUTS:
        return "timeout"
    return "error" if words & _ERRORS else "failure"
