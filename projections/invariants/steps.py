"""The steps and tasks of one workflow: each delivery starts once, each task settles once.

        queued             started                 completed
(none) ────────▶ ready ───────────────▶ running ──────────────▶ completed
                   ▲                     │  │  │    failed
                   │        lost         │  │  └───────────────▶ failed ──▶ retried: ready
                   └─────────────────────┘  └──────────────────▶ cancelled
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec

from .entries import Entry
from .graph import Graph
from .violation import Notes

TaskStatus = Literal["ready", "running", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "scheduled", "completed", "failed", "cancelled"]


class TaskStory(msgspec.Struct):
    status: TaskStatus = "ready"
    attempt: int = 1
    #: Version of the `task.started` that it runs by.
    claim: int = 0
    #: When it was lost or may be tried again, ms.
    lost_ms: int | None = None
    not_before_ms: int = 0


class StepStory(msgspec.Struct):
    id: str
    status: StepStatus = "pending"
    total: int = 0
    queued: int = 0
    completed: int = 0
    running: int = 0
    #: Tasks that failed and were not tried again.
    failed: int = 0
    #: One of its tasks was started.
    begun: bool = False
    tasks: dict[int, TaskStory] = {}
    #: Decoded results by index, of steps whose results are the workflow's. Blobs are left out.
    results: dict[int, Any] = {}
    in_blobs: bool = False

    @property
    def is_open(self) -> bool:
        return self.status == "scheduled"


class Steps:
    """All steps of one workflow, told event by event."""

    def __init__(self, notes: Notes, graph: Graph) -> None:
        self._notes = notes
        self._graph = graph
        self._ends = set(graph.ends)
        self._limits = {step.id: step.parallel.max_workers for step in graph.steps if step.parallel}
        self.all: dict[str, StepStory] = {}
        self.running = 0
        #: Tasks that settled and did not run.
        self.duplicates = 0
        #: Milliseconds from each `task.lost` to the start that followed it.
        self.recovered_ms: list[int] = []
        #: How often each (step, index, attempt) was started.
        self.starts: Counter[tuple[str, int, int]] = Counter()
        #: (ms, +1 or -1, step) of each start and end of a delivery.
        self.moves: list[tuple[int, int, str]] = []

    def of(self, entry: Entry) -> StepStory:
        name = str(entry.data.get("step", ""))
        return self.all.setdefault(name, StepStory(name))

    def scheduled(self, entry: Entry) -> None:
        step = self.of(entry)
        if step.status != "pending":
            self._notes.say(entry.version, 4, f"step {step.id} is scheduled again")
            return
        for name in self._graph.step(step.id).depends_on:
            if self.all.get(name, StepStory(name)).status != "completed":
                text = f"step {step.id} is scheduled before step {name} completed"
                self._notes.say(entry.version, 4, text)
        step.status = "scheduled"
        step.total, step.queued = entry.data.get("tasks", 0), entry.data.get("queued", 0)

    def queued(self, entry: Entry) -> None:
        step = self.of(entry)
        first, count = entry.data.get("first", 0), entry.data.get("count", 0)
        if first != step.queued or first + count > step.total or not step.is_open:
            text = f"tasks {first} to {first + count - 1} of step {step.id} are queued"
            text += f", it is {step.status} with {step.queued} of {step.total} queued"
            self._notes.say(entry.version, 4, text)
        step.queued = max(step.queued, first + count)

    def tasks_reused(self, entry: Entry) -> None:
        """Tasks of another run take the place of ours, before the step begins."""
        step = self.of(entry)
        if step.status != "pending":
            text = f"tasks of step {step.id} are taken over, it is {step.status}"
            self._notes.say(entry.version, 4, text)
        for told in entry.data.get("tasks", []):
            if told["index"] in step.tasks:
                text = f"task {step.id}[{told['index']}] is taken over twice"
                self._notes.say(entry.version, 4, text)
            failed = told.get("error") is not None
            status: TaskStatus = "failed" if failed else "completed"
            step.tasks[told["index"]] = TaskStory(status, told.get("attempt", 1))
            step.failed += failed
            step.completed += not failed
            step.in_blobs = step.in_blobs or told.get("blob") is not None
            if step.id in self._ends:
                step.results[told["index"]] = told.get("result")

    def reused(self, entry: Entry) -> None:
        step = self.of(entry)
        step.total = step.queued = entry.data.get("tasks", 0)
        if step.status != "pending" or step.completed + step.failed != step.total:
            text = f"step {step.id} is taken over with {step.total} tasks, it is {step.status}"
            settled = step.completed + step.failed
            self._notes.say(entry.version, 4, f"{text} and {settled} of them are there")
        step.status = "completed"

    def completed(self, entry: Entry) -> None:
        step = self.of(entry)
        self._close(entry, step, "completed")
        open_tasks = step.total - step.completed - step.failed
        if open_tasks or step.running:
            text = f"step {step.id} completes with {open_tasks} of {step.total} tasks not settled"
            self._notes.say(entry.version, 4, text)
        if (told := entry.data.get("failed", 0)) != step.failed:
            text = f"step {step.id} completes with {told} failed tasks, the log has {step.failed}"
            self._notes.say(entry.version, 4, text)
        fan = self._graph.step(step.id).parallel
        if step.failed and (fan is None or fan.on_failure == "fail_fast"):
            text = f"step {step.id} completes although {step.failed} of its tasks failed"
            self._notes.say(entry.version, 4, text)

    def failed(self, entry: Entry) -> None:
        step = self.of(entry)
        if step.status not in ("pending", "scheduled"):
            self._notes.say(entry.version, 4, f"step {step.id} fails, it is {step.status}")
        index = entry.data.get("index")
        task = step.tasks.get(index) if index is not None else None
        if index is not None and (task is None or task.status != "failed"):
            status = task.status if task else "unheard of"
            text = f"step {step.id} fails because of task {index}, which is {status}"
            self._notes.say(entry.version, 4, text)
        step.status = "failed"

    def cancelled(self, entry: Entry) -> None:
        self._close(entry, self.of(entry), "cancelled")

    def _close(self, entry: Entry, step: StepStory, status: StepStatus) -> None:
        if not step.is_open:
            text = f"step {step.id} is {status}, it was {step.status} before"
            self._notes.say(entry.version, 4, text)
        step.status = status

    def task_started(self, entry: Entry) -> None:
        step, task = self.of(entry), self._task(entry)
        if not step.is_open or task.status != "ready":
            status = task.status if step.is_open else f"of a step that is {step.status}"
            self._notes.say(entry.version, 4, f"{_name(entry)} starts, it is {status}")
        if (attempt := entry.data.get("attempt")) != task.attempt:
            text = f"{_name(entry)} starts as attempt {attempt}, due is {task.attempt}"
            self._notes.say(entry.version, 4, text)
        if entry.ts < task.not_before_ms:
            early_ms = task.not_before_ms - entry.ts
            text = f"{_name(entry)} starts {early_ms} ms before its retry is due"
            self._notes.say(entry.version, 4, text)
        if task.lost_ms is not None:
            self.recovered_ms.append(entry.ts - task.lost_ms)
            task.lost_ms = None
        if task.status != "running":
            self._move(entry, step, +1)
        step.begun = True
        task.status, task.claim = "running", entry.version
        task.attempt = entry.data.get("attempt", task.attempt)
        self.starts[(step.id, int(entry.data.get("index", -1)), task.attempt)] += 1
        self._check_limits(entry, step)

    def _check_limits(self, entry: Entry, step: StepStory) -> None:
        most = self._limits.get(step.id)
        if most and step.running > most:
            text = f"{step.running} tasks of step {step.id} run, max_workers is {most}"
            self._notes.say(entry.version, 5, text)
        most = self._graph.max_parallel
        if most and self.running > most:
            text = f"{self.running} tasks of the workflow run, max_parallel is {most}"
            self._notes.say(entry.version, 5, text)

    def task_completed(self, entry: Entry) -> None:
        step, task = self._settle(entry, "completed")
        step.completed += 1
        task.status = "completed"
        if step.id not in self._ends:
            return
        if entry.data.get("blob") is not None:
            step.in_blobs = True
        step.results[int(entry.data.get("index", 0))] = entry.data.get("result")

    def task_failed(self, entry: Entry) -> None:
        task = self._task(entry)
        if task.status == "ready" and entry.by == "clock":  # it waited too long for a worker
            step = self.of(entry)
        else:
            step, task = self._settle(entry, "failed")
        step.failed += 1
        task.status = "failed"

    def task_retried(self, entry: Entry) -> None:
        step, task = self.of(entry), self._task(entry)
        attempt = entry.data.get("attempt")
        if task.status != "failed" or attempt != task.attempt + 1 or not step.is_open:
            text = f"{_name(entry)} is tried again as attempt {attempt}, it is {task.status}"
            self._notes.say(entry.version, 4, f"{text} in attempt {task.attempt}")
        else:
            step.failed -= 1
        task.status, task.attempt = "ready", attempt or task.attempt + 1
        task.not_before_ms = entry.ts + entry.data.get("delay_ms", 0)

    def task_lost(self, entry: Entry) -> None:
        _, task = self._settle(entry, "lost")
        task.status, task.lost_ms = "ready", entry.ts

    def task_cancelled(self, entry: Entry) -> None:
        step, task = self._settle(entry, "cancelled")
        if step.status not in ("failed", "cancelled"):
            text = f"{_name(entry)} is cancelled, its step is {step.status}"
            self._notes.say(entry.version, 4, text)
        task.status = "cancelled"

    def _settle(self, entry: Entry, word: str) -> tuple[StepStory, TaskStory]:
        """A delivery ends: it has to be under way, and the present one."""
        step, task = self.of(entry), self._task(entry)
        if task.status != "running":
            self.duplicates += 1
            text = f"{_name(entry)} is {word}, it is {task.status} and does not run"
            self._notes.say(entry.version, 4, text)
            return step, task
        # A cancelled task names the end of its step as its cause.
        claims = (None, task.claim) if word != "cancelled" else (None, task.claim, entry.cause)
        if entry.data.get("attempt") != task.attempt or entry.cause not in claims:
            text = f"{_name(entry)} is {word} by the claim of version {entry.cause}"
            text += f", held is attempt {task.attempt} by that of {task.claim}"
            self._notes.say(entry.version, 4, text)
        self._move(entry, step, -1)
        return step, task

    def _move(self, entry: Entry, step: StepStory, by: int) -> None:
        step.running += by
        self.running += by
        self.moves.append((entry.ts, by, step.id))

    def _task(self, entry: Entry) -> TaskStory:
        step = self.of(entry)
        index = entry.data.get("index", -1)
        if index not in step.tasks:
            if not 0 <= index < step.queued:
                text = f"{entry.type} of {_name(entry)}, {step.queued} tasks are queued"
                self._notes.say(entry.version, 4, text)
            step.tasks[index] = TaskStory()
        return step.tasks[index]

    def check_holder(self, entry: Entry) -> None:
        """What a task does to its workflow, it does while it runs."""
        step, task = self.of(entry), self._task(entry)
        if task.status != "running" or entry.cause not in (None, task.claim):
            text = f"{entry.type} by {_name(entry)}, which is {task.status}"
            self._notes.say(entry.version, 4, f"{text} (step {step.status})")

    def check_ended(self, entry: Entry) -> None:
        """With the workflow everything of it has ended."""
        for step in self.all.values():
            for index, task in step.tasks.items():
                if task.status == "running":
                    text = f"the workflow ends while task {step.id}[{index}] runs"
                    self._notes.say(entry.version, 4, f"{text}, started at {task.claim}")
            if step.is_open:
                self._notes.say(entry.version, 4, f"the workflow ends while step {step.id} is open")

    def check_completed(self, entry: Entry) -> None:
        """A workflow completes when all its steps have, with their results in item order."""
        for name in [step.id for step in self._graph.steps] or list(self.all):
            status = self.all.get(name, StepStory(name)).status
            if status != "completed":
                text = f"the workflow completes, its step {name} is {status}"
                self._notes.say(entry.version, 4, text)
        if entry.data.get("blob") is None and self._ends and not self._notes.found:
            self._check_result(entry)

    def _check_result(self, entry: Entry) -> None:
        ends = [self.all[name] for name in self._graph.ends]
        if any(step.in_blobs or step.failed for step in ends):
            return  # not in the log, or made of errors
        values = {step.id: self._result(step) for step in ends}
        expected = values if len(values) > 1 else next(iter(values.values()))
        if entry.data.get("result") != expected:
            text = "the result of the workflow is not made of its tasks' results in item order"
            self._notes.say(entry.version, 4, text)

    def _result(self, step: StepStory) -> Any:
        in_order = [step.results.get(index) for index in range(step.total)]
        return in_order if self._graph.step(step.id).parallel else in_order[0]


def _name(entry: Entry) -> str:
    return f"task {entry.data.get('step')}[{entry.data.get('index')}]"
