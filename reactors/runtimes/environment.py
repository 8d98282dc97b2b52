"""The environment that an agent finds, the same in every runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ...core.errors import CannotLaunch
from .contract import Launch

RESULT_PATH = "AGENTAINER_RESULT_PATH"
#: The launcher's own variables whose rest of the name is that of a secret.
SECRET = "AGENTAINER_SECRET_"  # noqa: S105 - a prefix

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
    return _checked({**launch.env, **_secrets(launch), **promised})


def hidden_from_logs(launch: Launch) -> list[str]:
    """What must not be kept of the agent's output: secrets, and its token."""
    found = [os.environ.get(SECRET + name, "") for name in launch.secrets.values()]
    return [text for text in (*found, launch.api_token) if text]


def _secrets(launch: Launch) -> dict[str, str]:
    """The values of the secrets, which are in no event. Raises CannotLaunch for one we have not."""
    for name in launch.secrets.values():
        if SECRET + name not in os.environ:
            text = f"the launcher has no secret {name!r}: start it with {SECRET}{name} set"
            raise CannotLaunch("cannot_start", text)
    return {variable: os.environ[SECRET + name] for variable, name in launch.secrets.items()}


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
