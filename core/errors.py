"""Every error that leaves the package: one flat list, one base class.

A message says what was expected, what was got and what to do. The facts it is made of stay
available as attributes.
"""

from __future__ import annotations

from collections.abc import Sequence


class FlowError(Exception):
    """Base of all errors raised on purpose by Agentainer Flow."""


class SettingsError(FlowError):
    """Raised when a setting or an environment variable cannot be used."""


class RedisUnavailable(FlowError):
    """Raised when no usable Redis answers at the configured URL."""

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(
            f"Redis at {url} cannot be used: {problem}. Start a Redis there, set "
            "AGENTAINER_REDIS_URL to one that runs, or unset it to use the embedded Redis."
        )
        self.url = url
        self.problem = problem


class EmbeddedRedisError(FlowError):
    """Raised when the embedded Redis can be neither found nor started."""


class DefinitionError(FlowError):
    """Raised when a workflow class does not describe a runnable graph."""

    def __init__(
        self, workflow: str, problem: str, *, step: str | None = None, parameter: str | None = None
    ) -> None:
        place = f"workflow {workflow!r}"
        place += f", step {step!r}" if step else ""
        place += f", parameter {parameter!r}" if parameter else ""
        super().__init__(f"{place}: {problem}")
        self.workflow = workflow
        self.step = step
        self.parameter = parameter


class InputError(FlowError):
    """Raised when the inputs of a run do not fit what its steps ask for."""


class PayloadError(FlowError):
    """Raised when a value cannot be stored as JSON or read back as the declared type."""


class WorkflowNotFound(FlowError):
    """Raised when no log exists for a workflow id."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(
            f"no workflow {workflow_id!r} here; `agentainer workflow list` shows those there are"
        )
        self.workflow_id = workflow_id


class EventsLost(FlowError):
    """Raised when events after a position are no longer on the feed; logs still have them.

    `position` is where one can go on, with what comes from then on.
    """

    def __init__(self, position: str) -> None:
        super().__init__(
            "events after that position are no longer on the feed: begin anew with after=0, or go "
            f"on from {position}"
        )
        self.position = position


class IdempotencyConflict(FlowError):
    """Raised when an idempotency key comes again with another content."""


class DefinitionNotFound(FlowError):
    """Raised when no definition of a name is registered."""

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        listed = f"; registered: {', '.join(known)}" if known else ""
        super().__init__(
            f"no definition {name!r} is registered; whoever serves its code registers it "
            f"(agentainer up MODULE:CLASS){listed}"
        )
        self.name = name


class Refused(FlowError):
    """Raised when the log refuses a command because of the workflow's status."""

    def __init__(self, message: str, *, status: str = "", version: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.version = version


class VersionConflict(FlowError):
    """Raised when a workflow has another version than the one a command was meant for."""

    def __init__(self, workflow_id: str, expected: int, version: int) -> None:
        super().__init__(
            f"workflow {workflow_id} has version {version}, expected {expected}: read it again"
        )
        self.workflow_id = workflow_id
        self.expected = expected
        self.version = version


class QueueFull(FlowError):
    """Raised when a queue holds as many waiting tasks as it may; nothing was created."""

    def __init__(self, queue: str, waiting: int, depth: int, *, retry_after: float) -> None:
        super().__init__(
            f"queue {queue!r} is full: {waiting} tasks wait, {depth} may. Try again in "
            f"{retry_after:g} s, or raise its depth (agentainer queue set {queue} --depth N)"
        )
        self.queue = queue
        self.waiting = waiting
        self.depth = depth
        self.retry_after = retry_after


class ClaimLost(FlowError):
    """Raised inside a step whose task was cancelled or handed to another worker."""


class TaskTimeout(FlowError, TimeoutError):
    """Raised when a task runs longer than its step's timeout."""


class WorkflowFailed(FlowError):
    """Raised when a workflow that is waited for ends without success."""

    def __init__(
        self,
        workflow_id: str,
        reason: str,
        *,
        step: str | None = None,
        index: int | None = None,
        cause: str | None = None,
        last_lines: Sequence[str] = (),
    ) -> None:
        super().__init__("\n".join([reason, *(f"  | {line}" for line in last_lines)]))
        self.workflow_id = workflow_id
        self.reason = reason
        self.step = step
        self.index = index
        self.cause = cause
        self.last_lines = list(last_lines)


class WorkflowCancelled(WorkflowFailed):
    """Raised when a workflow that is waited for was cancelled."""


class AgentFailed(FlowError):
    """Raised by `agent.wait()` when the agent did not succeed."""

    def __init__(
        self,
        job: str,
        kind: str,
        reason: str,
        *,
        exit_code: int | None = None,
        last_lines: Sequence[str] = (),
    ) -> None:
        super().__init__(f"agent {job} {kind}: {reason}")
        self.job = job
        self.kind = kind
        self.reason = reason
        self.exit_code = exit_code
        self.last_lines = list(last_lines)


class AgentTimeout(FlowError, TimeoutError):
    """Raised when `agent.wait(timeout=…)` or `handle.result(timeout=…)` ran out of time."""


class RuntimeUnavailable(FlowError):
    """Raised when the daemon or program that runs jobs does not answer."""


class CannotLaunch(FlowError):
    """Raised by a runtime when a job cannot be started, with the kind of outcome to record."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class BundleDamaged(FlowError):
    """Raised when a file is no exported history, or not as it was exported."""

    def __init__(
        self, reason: str, *, line: int | None = None, version: int | None = None, file: str = ""
    ) -> None:
        place = f"line {line}" if line else ""
        place += f" (event {version})" if version else ""
        super().__init__(": ".join(part for part in (file, place, reason) if part))
        self.reason = reason
        self.line = line
        self.version = version


class ImportRefused(FlowError):
    """Raised when a history cannot become a workflow here."""


class ArchiveUnavailable(FlowError):
    """Raised when the archive cannot be written or read."""

    def __init__(self, archive: str, path: str, problem: str) -> None:
        super().__init__(
            f"archive {archive}: {path} cannot be used: {problem}. AGENTAINER_ARCHIVE says where "
            "the archive is now"
        )
        self.archive = archive
        self.path = path
