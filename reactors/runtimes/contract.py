"""What the launcher asks of a runtime, and what an agent is promised by every one of them.

The agent contract, the same in all runtimes:

- environment: `AGENTAINER_WORKFLOW_ID`, `AGENTAINER_STEP_ID`, `AGENTAINER_JOB_ID`,
  `AGENTAINER_TASK_INDEX`, `AGENTAINER_ATTEMPT`, `AGENTAINER_INPUT` (JSON),
  `AGENTAINER_RESULT_PATH`, `TRACEPARENT` when there is one, `AGENTAINER_API_URL` and
  `AGENTAINER_API_TOKEN` when the API is served for agents, and the agent's own `env`;
- result: JSON in the file at `AGENTAINER_RESULT_PATH`, written by rename; else the last line of
  stdout when that is JSON; else null;
- exit code 0 means success; stop is SIGTERM, a grace period, SIGKILL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import msgspec

OutcomeKind = Literal[
    "succeeded",
    "failed",  # exit code other than 0
    "oom_killed",
    "timed_out",
    "cancelled",
    "cannot_start",
    "image_missing",
    "bad_result",  # exit code 0, but what the agent answered is not JSON
    "lost",  # the container or its host vanished
]


#: Memory of an agent that asks for none. Launchers count it, also where nothing enforces it.
DEFAULT_MEMORY_BYTES = 512 * 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one agent. None means the runtime's default."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    #: Seconds from start to SIGTERM.
    timeout_s: float | None = None
    #: Seconds from SIGTERM to SIGKILL.
    grace_s: float = 10.0


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """One agent to run: everything a runtime needs, derived from `job.requested`."""

    workflow: str
    step: str
    index: int
    attempt: int
    #: Unique within the workflow; (workflow, job) names the container.
    job: str
    #: What the step calls it.
    name: str = ""
    image: str
    #: None runs what the image declares.
    command: tuple[str, ...] | None = None
    env: dict[str, str] = {}
    #: Variables that get a secret of the launcher, and its name.
    secrets: dict[str, str] = {}
    #: JSON of what the step hands over, `null` when nothing.
    input: str = "null"
    #: `none`, or the name of an existing network of the runtime.
    network: str = "none"
    limits: Limits = Limits()
    traceparent: str | None = None
    #: Where the agent reaches the API, and the token that is good for its own workflow.
    api_url: str | None = None
    api_token: str | None = None


class Started(msgspec.Struct, frozen=True):
    """Where a job runs. `adopted` is true when it was found, not made."""

    container: str
    host: str
    adopted: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended. `result` is the JSON text of a success, as the agent wrote it."""

    kind: OutcomeKind
    reason: str = ""
    exit_code: int | None = None
    result: str = "null"
    last_lines: list[str] = []


class LogLine(msgspec.Struct, frozen=True):
    """One line of an agent's output, without its newline."""

    ts_ms: int
    stream: Literal["stdout", "stderr"]
    text: str


#: Takes the lines that came since the last call.
Sink = Callable[[list[LogLine]], Awaitable[None]]


#: Asks whether a job may begin now, be stopped, or be removed.
Permit = Callable[[], Awaitable[bool]]


async def always() -> bool:
    return True


class Runtime(Protocol):
    """Run agents. Order of work per job: start, follow, (stop), remove.

    Every call may come again after a crash of the caller, from another process of the same host:
    `start` finds what it made before and adopts it.
    """

    name: str

    async def open(self) -> str:
        """Check that the runtime answers and say what it is, as `docker 20.10.24 at unix://…`.

        Raises RuntimeUnavailable saying what to do.
        """
        ...

    async def start(self, launch: Launch, may_begin: Permit = always) -> Started | None:
        """Create the job under its derived name and start it, or adopt the one that is there.

        Asks for a permit before it begins anything, with the job locked on this host; None when it
        was refused. Who was suspended for long would else run again what another had ended and
        removed. Raises CannotLaunch with kind `image_missing` or `cannot_start`; nothing is left
        then.
        """
        ...

    async def follow(self, launch: Launch, sink: Sink) -> Outcome:
        """Wait for the end, pass on output, keep the time limit, read the result.

        Returns also when the job was stopped (kind `cancelled`) or vanished (kind `lost`).
        The job's remains stay until `remove`.
        """
        ...

    async def stop(self, launch: Launch, may_stop: Permit = always) -> None:
        """SIGTERM, grace period, SIGKILL; `follow` then returns. Harmless when it already ended.

        Asks for the permit with the job locked on this host, so nobody adopts after the answer what
        is about to be stopped.
        """
        ...

    async def freeze(self, launch: Launch) -> None:
        """Make a running job stand still, its time limit aside. Harmless when it does not run."""
        ...

    async def thaw(self, launch: Launch) -> None:
        """Let a frozen job go on. Harmless when it is not frozen."""
        ...

    async def remove(self, launch: Launch, may_remove: Permit = always) -> bool:
        """Delete what is left of the job; whether that was permitted. Harmless when nothing is.

        Asks for the permit with the job locked on this host, so nobody adopts it after the answer.
        """
        ...

    async def leftovers(self) -> list[tuple[str, str]]:
        """(workflow, job) of everything of this installation that the runtime still holds."""
        ...

    async def close(self) -> None:
        """Let go of connections. Running jobs go on."""
        ...
