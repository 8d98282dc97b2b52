"""The handle of an agent: what `context.deploy_agent(…)` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, TypedDict

import anyio
import msgspec
import msgspec.structs

from ..core import events as e
from ..core.definition import NAME, NAME_RULE
from ..core.errors import AgentFailed, AgentTimeout, PayloadError
from ..core.payloads import convert, decode, encode
from ..core.sizes import parse_size
from ..core.threads import Blocking
from .task import Task


class AsyncAgent:
    """An agent seen from an async step: the methods are awaited."""

    def __init__(self, task: Task, job: str, effect: str) -> None:
        self._task = task
        self._effect = effect
        #: Id of the job, unique within the workflow.
        self.id = job

    async def wait(self, timeout: float | None = None) -> Any:
        """Wait for the end and return what the agent answered.

        Raises AgentFailed with the kind of failure, exit code and last lines; AgentTimeout after
        `timeout` seconds, and the agent runs on.
        """
        try:
            with anyio.fail_after(timeout):
                kind, data = await self._task.outcome(self.id, self._effect)
        except TimeoutError:
            raise AgentTimeout(f"agent {self.id} still runs after {timeout} s") from None
        return await self._answer(kind, data)

    async def _answer(self, kind: str, data: str) -> Any:
        match e.decode_event(kind, data.encode()):
            case e.JobSucceeded(blob=e.Blob(digest=name)):
                return decode(await self._task.log.get_blob(self._task.workflow, name))
            case e.JobSucceeded(result=result):
                return decode(result)
            case e.JobFailed(error=error):
                raise AgentFailed(
                    self.id,
                    error.type,
                    error.message,
                    exit_code=error.exit_code,
                    last_lines=error.last_lines,
                )
            case _:
                raise AgentFailed(self.id, "cancelled", "it was stopped")

    async def logs(self) -> list[str]:
        """Lines of output kept so far, oldest first."""
        return await self._task.log.read_logs(self._task.workflow, self.id)

    async def stop(self) -> None:
        """SIGTERM, grace period, SIGKILL. Harmless when the agent has ended."""
        await self._task.stop_agent(self.id)

    @property
    async def status(self) -> str:
        """`running`, or how it ended: `succeeded`, `failed`, `cancelled`."""
        settled = await self._task.log.settled(self._task.workflow, self._effect)
        if settled is None or settled[0] != self.id or not settled[1]:
            return "running"
        return settled[1].removeprefix("job.")


class Agent:
    """An agent seen from a plain step: the methods block its thread."""

    def __init__(self, agent: AsyncAgent, blocking: Blocking) -> None:
        self._agent = agent
        self._blocking = blocking
        #: Id of the job, unique within the workflow.
        self.id = agent.id

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the end and return what the agent answered; see `AsyncAgent.wait`."""
        return self._blocking(self._agent.wait, timeout)

    def logs(self) -> list[str]:
        """Lines of output kept so far, oldest first."""
        lines: list[str] = self._blocking(self._agent.logs)
        return lines

    def stop(self) -> None:
        """SIGTERM, grace period, SIGKILL. Harmless when the agent has ended."""
        self._blocking(self._agent.stop)

    @property
    def status(self) -> str:
        """`running`, or how it ended: `succeeded`, `failed`, `cancelled`."""

        async def read() -> str:
            return await self._agent.status

        word: str = self._blocking(read)
        return word


class AgentOptions(TypedDict, total=False):
    """How an agent runs, beside its name, image, environment and command."""

    #: Any JSON, handed over in AGENTAINER_INPUT.
    input: Any
    #: Environment variables that get a secret of the launcher: {"API_KEY": "OPENAI"}.
    secrets: Mapping[str, str] | None
    #: "none", or the name of a network of the runtime.
    network: str
    #: Bytes, or a text like "512m".
    memory: int | str | None
    cpus: float | None
    pids: int | None
    #: Seconds from start to SIGTERM.
    timeout: float | None
    #: Seconds from SIGTERM to SIGKILL.
    grace: float


def job_spec(
    image: object,
    env: Mapping[str, Any] | None,
    command: Sequence[str] | str | None,
    *,
    limit: int,
    input: Any = None,
    secrets: Mapping[str, str] | None = None,
    network: str = "none",
    memory: int | str | None = None,
    cpus: float | None = None,
    pids: int | None = None,
    timeout: float | None = None,
    grace: float = 10.0,
) -> e.JobSpec:
    """Check what the user asked for. Raises PayloadError saying what was expected."""
    if not isinstance(image, str) or not 0 < len(image) <= 255:
        raise PayloadError(f"deploy_agent: image is the name of an image, got {str(image)[:80]!r}")
    spec = {
        "image": image,
        "command": ["/bin/sh", "-c", command] if isinstance(command, str) else _texts(command),
        "env": {str(name): _env_text(name, value) for name, value in (env or {}).items()},
        "secrets": {str(name): _secret_name(secret) for name, secret in (secrets or {}).items()},
        "network": network,
        "memory_bytes": _memory(memory),
        "cpus": cpus,
        "pids": pids,
        "timeout_s": timeout,
        "grace_s": grace,
    }
    for name in ("cpus", "pids", "timeout_s", "grace_s"):
        value = spec[name]
        if isinstance(value, int | float) and not (isfinite(value) and value >= 0):
            raise PayloadError(f"deploy_agent: {name} must not be below 0, got {value!r}")
    checked: e.JobSpec = convert(spec, e.JobSpec, what="deploy_agent: what it is given")
    if input is None:
        return checked
    data = encode(input, what="input of the agent", limit=limit)
    return msgspec.structs.replace(checked, input=data)


def check_agent_name(name: Any) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PayloadError(f"deploy_agent: a name is {NAME_RULE}; got {name!r}")
    return name


def _memory(size: int | str | None) -> int | None:
    try:
        return None if size is None else parse_size(size)
    except ValueError as error:
        raise PayloadError(f"deploy_agent: memory: {error}") from error


def _texts(command: Sequence[str] | None) -> list[str] | None:
    return None if command is None else [str(part) for part in command]


def _secret_name(name: object) -> str:
    if isinstance(name, str) and name.isascii() and name.isidentifier():
        return name
    raise PayloadError(f"deploy_agent: {name!r} is no name of a secret, such as OPENAI_KEY")


def _env_text(name: object, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    raise PayloadError(
        f"deploy_agent: env[{name!r}] is {type(value).__name__}; environment variables are text. "
        "Use json.dumps(…), or hand it over as input="
    )
