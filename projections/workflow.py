"""The workflow view: everything that status, scheduling and documents ask, folded from the log."""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal

import msgspec

from ..core import events as e
from ..core.definition import Definition
from ..core.payloads import NULL
from .state import StateValue

WorkflowStatus = Literal[
    "created", "running", "paused", "failing", "cancelling", "completed", "failed", "cancelled"
]
StepStatus = Literal["pending", "scheduled", "running", "completed", "failed", "cancelled"]
TaskStatus = Literal["running", "completed", "failed", "retrying", "lost", "cancelled"]
JobStatus = Literal["requested", "running", "stopping", "succeeded", "failed", "cancelled"]

#: In `touched`: every step of the definition.
ALL = "*"

#: A result: JSON in the event, or where it lies beside the log.
Result = msgspec.Raw | e.Blob


class TaskView(msgspec.Struct, gc=False, array_like=True):
    attempt: int
    status: TaskStatus
    worker: str
    started_ms: int
    ended_ms: int | None = None
    error: e.Failure | None = None
    #: Version of the event that settled it.
    settled_version: int | None = None


class StepView(msgspec.Struct):
    id: str
    status: StepStatus = "pending"
    total: int = 0
    queued: int = 0
    completed: int = 0
    running: int = 0
    tasks: dict[int, TaskView] = {}
    results: dict[int, Result] = {}
    #: Indexes of tasks that failed and were not tried again, in the order in which they failed.
    failures: list[int] = []
    jobs: list[str] = []
    #: Indexes of tasks that were taken over from another run, in order.
    reused: list[int] = []
    error: e.Failure | None = None
    failed_index: int | None = None
    scheduled_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    #: Version of the last event that concerns the step.
    version: int = 0

    @property
    def waiting(self) -> int:
        """Tasks that were queued and never claimed."""
        passed_later = len(self.reused) - bisect_left(self.reused, self.queued)
        return self.queued - len(self.tasks) + passed_later

    def to_run(self, first: int, last: int) -> list[int]:
        """Which of the tasks from `first` to below `last` were not taken over."""
        if not self.reused:
            return list(range(first, last))
        passed = set(self.reused[bisect_left(self.reused, first) : bisect_left(self.reused, last)])
        return [index for index in range(first, last) if index not in passed]


class JobView(msgspec.Struct):
    id: str
    step: str
    index: int
    attempt: int
    name: str
    image: str
    status: JobStatus
    requested_ms: int
    launched_ms: int | None = None
    ended_ms: int | None = None
    container: str = ""
    host: str = ""
    runtime: str = ""
    error: e.Failure | None = None

    @property
    def settled(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")


class WorkflowView(msgspec.Struct):
    """The state of one workflow at `version`. Changed only by `fold.apply`."""

    id: str
    version: int = 0
    digest: str = ""
    status: WorkflowStatus = "created"
    name: str = ""
    code: str = ""
    definition_digest: str = ""
    init: msgspec.Raw = NULL
    input: dict[str, Result] = {}
    items: dict[str, msgspec.Raw] = {}
    tags: dict[str, str] = {}
    forked_from: e.ForkedFrom | None = None
    trace: e.Trace | None = None
    steps: dict[str, StepView] = {}
    jobs: dict[str, JobView] = {}
    state: dict[str, StateValue] = {}
    result: Result | None = None
    error: e.WorkflowFailed | None = None
    reason: str = ""
    created_ms: int = 0
    started_ms: int | None = None
    updated_ms: int = 0
    ended_ms: int | None = None
    unsettled_jobs: int = 0
    completed_steps: int = 0
    timed_out: bool = False
    #: Steps whose next move is to be decided; whoever decides empties it.
    touched: set[str] = set()
    #: Jobs the documents do not show yet; the projector empties it.
    new_jobs: list[str] = []

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")

    @property
    def active(self) -> list[StepView]:
        """Steps that have begun and not ended."""
        return [step for step in self.steps.values() if step.status in ("scheduled", "running")]

    def step(self, name: str) -> StepView:
        if name not in self.steps:
            self.steps[name] = StepView(name)
        return self.steps[name]

    def in_order(self, definition: Definition) -> list[StepView]:
        return [self.step(spec.id) for spec in definition.steps]
