"""What the scripts are given and what they answer: closed sets, taken apart with `match`."""

from __future__ import annotations

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


class Fenced(msgspec.Struct, frozen=True):
    """Not applied: the lane has another owner."""


class Lost(msgspec.Struct, frozen=True):
    """Not applied: the caller no longer holds the task or job."""


class Full(msgspec.Struct, frozen=True):
    """Not applied: a queue of the workflow has as many tasks waiting as it may."""

    queue: str
    waiting: int
    depth: int


CommandOutcome = Appended | Duplicate | Conflict | Mismatch | Missing | Full
CommitOutcome = Appended | Duplicate | Conflict | Fenced


class Batch(msgspec.Struct):
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


class ClaimedTask(msgspec.Struct, array_like=True):
    #: JSON `[index, attempt, losses, cause, item]`
    entry: str
    version: int


class ClaimedStep(msgspec.Struct, array_like=True):
    workflow: str
    name: str
    step: str
    args: str
    tasks: list[ClaimedTask]


class ClaimedJob(msgspec.Struct, array_like=True):
    workflow: str
    job: str
    requested: int


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
