"""What the scripts are given and what they answer: closed sets, taken apart with `match`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Appended(msgspec.Struct, frozen=True):
    """Applied. `digest` and `ts` (ms) are those of the entry with this version."""

    version: int
    digest: str = ""
    ts: int = 0


class Duplicate(msgspec.Struct, frozen=True):
    """The same call had been applied before."""

    version: int


class Conflict(msgspec.Struct, frozen=True):
    """Not applied: the workflow is elsewhere than the caller expected."""

    version: int
    status: str


class Mismatch(msgspec.Struct, frozen=True):
    """Not applied: the idempotency key was used for something else."""


class Missing(msgspec.Struct, frozen=True):
    """Not applied: there is no such workflow."""


class Undefined(msgspec.Struct, frozen=True):
    """Not applied: the definition is not stored yet."""


class Fenced(msgspec.Struct, frozen=True):
    """Not applied: the lane has another owner."""


class Lost(msgspec.Struct, frozen=True):
    """Not applied: the caller no longer holds the task or job."""


class Full(msgspec.Struct, frozen=True):
    """Not applied: a queue of the workflow has as many tasks waiting as it may."""

    queue: str
    waiting: int
    depth: int


CommandOutcome = Appended | Duplicate | Conflict | Mismatch | Missing | Full | Undefined
CommitOutcome = Appended | Duplicate | Conflict | Fenced


class Batch(msgspec.Struct, omit_defaults=True):
    """Tasks of one step to queue. `tasks` are (index, attempt, item as JSON)."""

    step: str
    #: As `StepSpec.limits`.
    limits: str
    #: Version of the event that queues them, or minus its position in the commit.
    cause: int
    tasks: list[tuple[int, int, str]]
    args: str | None = None
    #: Wait before the tasks are ready, and how long they may then wait to be claimed; 0: ever.
    delay_ms: int = 0
    patience_ms: int = 0


class Commit(msgspec.Struct, omit_defaults=True):
    """What an engine decided on one workflow; causes as in `Batch`."""

    id: str
    #: Name of this commit, which tells it from others when it is sent again.
    commit: str
    #: (type, data, cause)
    events: list[tuple[str, str, int | None]]
    queue: list[Batch] = []
    #: (step, position of the event that says so)
    cancel: list[tuple[str, int]] = []
    #: The workflow's status from now on.
    phase: str | None = None
    #: Status of a workflow that ends, and the version at which alone it may.
    status: str | None = None
    version: int | None = None
    #: Nothing is left to decide on what the engine knows: its commit is no news to it.
    is_whole: bool = False
    #: (version, digest) of the log that it was decided on, and in a turn the number of results that
    #: follow.
    seen: tuple[int, str] | None = None
    settled: int | None = None


class Claim(msgspec.Struct):
    """Ask for tasks: at most `want`, of these definitions and steps."""

    token: str
    want: int
    #: Their steps as `steps_text` writes them.
    definitions: dict[str, str]
    lease_ms: int
    #: Only tasks that the decisions of the same call queue, all of steps that the worker has; their
    #: texts need not be told then.
    is_own: bool = False


def steps_text(steps: Iterable[str]) -> str:
    """`|a|b|`: one text costs a script less than a table, which it would have to make anew."""
    return f"|{'|'.join(steps)}|"


class ReadyTask(msgspec.Struct, frozen=True, array_like=True):
    """A task as it lies in its queue. `cause` is the version of the event that put it there."""

    index: int
    attempt: int
    losses: int
    cause: int
    item: msgspec.Raw


decode_ready = msgspec.json.Decoder(ReadyTask).decode


class ClaimedTask(msgspec.Struct, array_like=True):
    #: JSON of a ReadyTask.
    entry: str
    #: Version of its `task.started`.
    version: int


class ClaimedStep(msgspec.Struct, array_like=True):
    workflow: str
    name: str
    step: str
    args: str
    tasks: list[ClaimedTask]
    #: The workflow's log: its digest before the call, its version and digest after it.
    previous: str
    version: int
    digest: str


#: Results of tasks of one step: (workflow, step, [(index, token, event type, data)]).
Group = tuple[str, str, list[tuple[int, str, str, str]]]


class Turned(msgspec.Struct, frozen=True):
    """What a worker's turn came to."""

    #: (workflow, step, index) of results that came too late.
    refused: list[tuple[str, str, int]]
    #: Of each decision of the engine, and (version, digest) where its workflow is now.
    outcomes: list[CommitOutcome]
    claimed: list[ClaimedStep]
    ends: list[tuple[int, str]]
    #: When, in ms.
    ts: int


class ClaimedJob(msgspec.Struct, array_like=True):
    workflow: str
    job: str
    #: Version of `job.requested`.
    requested: int
    memory_bytes: int


class AwaitedJob(msgspec.Struct, array_like=True):
    """A job that is the next to be launched, once there is memory for it."""

    workflow: str
    job: str
    memory_bytes: int


class ClaimedJobs(msgspec.Struct, array_like=True):
    jobs: list[ClaimedJob]
    awaited: AwaitedJob | None = None


class ClaimedDelivery(msgspec.Struct, array_like=True):
    id: str
    webhook: str
    #: The CloudEvent as JSON.
    message: str
    #: JSON of those made before, and how many of them belong to an earlier round.
    attempts: str
    round: int


class Found(msgspec.Struct, frozen=True):
    """The agent exists. `type` and `data` are its last event's when it has settled, else empty."""

    job: str
    type: str = ""
    data: str = ""


class StateRefused(msgspec.Struct, frozen=True):
    """Not applied: the change does not fit what is stored."""

    key: str
    problem: str


class Ended(msgspec.Struct, frozen=True):
    """Not applied: the workflow is over."""

    status: str
