"""The environment that an agent finds, the same in every runtime."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.errors import CannotLaunch
from .contract import Launch

RESULT_PATH = "AGENTAINER_RESULT_PATH"

#: Linux refuses to start a program with a longer `NAME=value` (MAX_ARG_STRLEN, with its end).
_LONGEST = 128 * 1024 - 1


def contract_environment(launch: Launch, result_path: str) -> Mapping[str, str]:
    """Give the agent its own `env` and what the contract promises; the contract's names win.

    Raises CannotLaunch (`cannot_start`) when the system cannot pass it on.
    """
    promised = {
        "AGENTAINER_WORKFLOW_ID": launch.workflow,
        "AGENTAINER_STEP_ID": launch.step,
        "AGENTAINER_JOB_ID": launch.job,
        "AGENTAINER_TASK_INDEX": str(launch.index),
        "AGENTAINER_ATTEMPT": str(launch.attempt),
        "AGENTAINER_INPUT": launch.input,
        RESULT_PATH: result_path,
    }
    if launch.traceparent:
        promised["TRACEPARENT"] = launch.traceparent
    if launch.api_url and launch.api_token:
        promised["AGENTAINER_API_URL"] = launch.api_url
        promised["AGENTAINER_API_TOKEN"] = launch.api_token
    return _checked({**launch.env, **promised})


def _checked(environment: dict[str, str]) -> Mapping[str, str]:
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value:
            raise CannotLaunch("cannot_start", f"no process can have the variable {name!r}")
        size = len(name.encode()) + 1 + len(value.encode(errors="surrogateescape"))
        if size > _LONGEST:
            raise CannotLaunch(
                "cannot_start",
                f"{name} has {size:,} bytes, an environment variable at most {_LONGEST:,}; "
                "hand over the place of large data instead",
            )
    return environment
