"""One workflow told by its log: a state machine of its own, which says where the log breaks it.

                 started            paused
    created ───────────────▶ running ◀─────▶ paused
                                │    resumed    │
                                ├───────────────┤
              step failed, timed out ▼     cancel requested ▼
                             failing            cancelling
                                │                   │
    completed ◀── running       ▼ failed            ▼ cancelled

It shares nothing with the fold that the engine goes by: a mistake made there is not made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from .entries import Entry
from .graph import Graph
from .jobs import Jobs
from .state import State
from .steps import Steps
from .violation import Notes

#: What may follow the event that ends a workflow begins like this.
AUDIT = "audit."

#: Statuses that each event of the workflow itself may find, and the one that it leaves.
_COURSE: dict[str, tuple[set[str], str]] = {
    "workflow.created": ({""}, "created"),
    "workflow.started": ({"created"}, "running"),
    "workflow.paused": ({"running"}, "paused"),
    "workflow.resumed": ({"paused"}, "running"),
    "workflow.timed_out": ({"created", "running", "failing"}, "failing"),
    "workflow.cancel_requested": ({"created", "running", "paused"}, "cancelling"),
    "workflow.completed": ({"running"}, "completed"),
    "workflow.failed": ({"running", "failing"}, "failed"),
    "workflow.cancelled": ({"cancelling"}, "cancelled"),
}
TERMINAL = {"workflow.completed", "workflow.failed", "workflow.cancelled"}


class Story:
    """What a log says, event by event. `notes.found` has what is wrong with it."""

    def __init__(self, notes: Notes, graph: Graph) -> None:
        self.notes = notes
        self.graph = graph
        self.status = ""
        self.version = 0
        self.digest = ""
        self.ended_version = 0
        self.cancelled_ms: int | None = None
        self.counts: Counter[str] = Counter()
        #: What its first event says of it.
        self.name = ""
        self.tags: dict[str, str] = {}
        self.steps = Steps(notes, graph)
        self.jobs = Jobs(notes)
        self.state = State(notes)
        steps, jobs = self.steps, self.jobs
        self._tell: dict[str, Callable[[Entry], None]] = {
            "step.scheduled": steps.scheduled,
            "tasks.queued": steps.queued,
            "tasks.reused": steps.tasks_reused,
            "step.reused": steps.reused,
            "step.completed": steps.completed,
            "step.failed": self._step_failed,
            "step.cancelled": steps.cancelled,
            "task.started": self._task_started,
            "task.completed": steps.task_completed,
            "task.failed": steps.task_failed,
            "task.retried": steps.task_retried,
            "task.lost": steps.task_lost,
            "task.cancelled": steps.task_cancelled,
            "effect.recorded": steps.check_holder,
            "state.updated": self._state_updated,
            "job.requested": self._job_requested,
            "job.launched": self._job_launched,
            "job.stop_requested": jobs.stop_requested,
            "job.succeeded": jobs.settled,
            "job.failed": jobs.settled,
            "job.cancelled": jobs.settled,
            **dict.fromkeys(_COURSE, self._course),
        }

    @property
    def ended(self) -> bool:
        return self.ended_version > 0

    def tell(self, entries: Iterable[Entry]) -> Story:
        for entry in entries:
            self._take(entry)
        return self

    def _take(self, entry: Entry) -> None:
        self.version, self.digest = entry.version, entry.digest
        self.counts[entry.type] += 1
        if not self.status and entry.type != "workflow.created":
            self.notes.say(entry.version, 3, f"{entry.type} comes before the workflow was created")
        if self.ended and not entry.type.startswith(AUDIT):
            text = f"{entry.type} comes after the workflow had ended at {self.ended_version}"
            self.notes.say(entry.version, 3, text)
        self.jobs.check_orphans(entry)
        tell = self._tell.get(entry.type)
        try:
            if tell is not None:  # an event of another release is none of our business
                tell(entry)
            if entry.type in ("task.completed", "task.failed", "task.cancelled"):
                self.jobs.task_settled(entry)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            text = f"{entry.type} has data that it cannot have: {type(error).__name__}: {error}"
            self.notes.say(entry.version, 1, text)

    def _course(self, entry: Entry) -> None:
        """An event of the workflow itself."""
        allowed, status = _COURSE[entry.type]
        if self.status not in allowed and not self.ended:
            text = f"{entry.type} while the workflow is {self.status or 'not there'}"
            self.notes.say(entry.version, 3, text)
        self.status = status
        if entry.type == "workflow.created":
            self.name, self.tags = entry.data.get("name", ""), entry.data.get("tags", {})
        if entry.type == "workflow.cancel_requested":
            self.cancelled_ms = entry.ts
        if entry.type in TERMINAL:
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        self.ended_version = self.ended_version or entry.version
        self.jobs.check_ended(entry)
        if entry.type == "workflow.completed":
            self.steps.check_completed(entry)
        self.steps.check_ended(entry)

    def _step_failed(self, entry: Entry) -> None:
        self.steps.failed(entry)
        if self.status in ("running", "paused"):
            self.status = "failing"

    def _task_started(self, entry: Entry) -> None:
        if self.status != "running" and not self.ended:
            place = f"task {entry.data.get('step')}[{entry.data.get('index')}]"
            self.notes.say(entry.version, 7, f"{place} starts while the workflow is {self.status}")
        self.steps.task_started(entry)

    def _job_requested(self, entry: Entry) -> None:
        self.steps.check_holder(entry)
        self.jobs.requested(entry, in_pause=self.status == "paused")

    def _job_launched(self, entry: Entry) -> None:
        self.jobs.launched(entry, paused=self.status == "paused")

    def _state_updated(self, entry: Entry) -> None:
        self.state.updated(entry)
