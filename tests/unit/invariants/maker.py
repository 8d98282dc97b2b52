"""Make logs of workflows as chance has it: valid ones, written without the code that they test.

    fan (n tasks, some tried again)  ──▶  sum (one task)

An event names its cause as the event itself, so that events can be taken out, doubled and moved.
"""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import Any

import msgspec

from agentainer_flow.projections.invariants import Graph, Raw, decode_graph

MAX_WORKERS, MAX_PARALLEL, ATTEMPTS = 3, 3, 3


def graph(max_workers: int = MAX_WORKERS, max_parallel: int = MAX_PARALLEL) -> Graph:
    fan = {"id": "fan", "parallel": {"max_workers": max_workers}, "queue": "q"}
    last = {"id": "sum", "depends_on": ["fan"], "concurrency": {"key": "k", "limit": 1}}
    whole = {"name": "made", "steps": [fan, last], "max_parallel": max_parallel}
    return decode_graph(json.dumps(whole))


class Told(msgspec.Struct, eq=False):
    """One event."""

    type: str
    data: dict[str, Any]
    ts: int
    by: str = "engine"
    cause: Told | None = None


class Task(msgspec.Struct, eq=False):
    step: str
    index: int
    attempt: int = 1
    claim: Told | None = None
    not_before: int = 0
    done: bool = False
    job: str = ""

    def place(self, **more: Any) -> dict[str, Any]:
        return {"step": self.step, "index": self.index, "attempt": self.attempt, **more}


class Maker:
    """Tell one workflow from its creation to its end."""

    def __init__(self, chance: Random, *, planned: str = "") -> None:
        self._chance = chance
        self.log: list[Told] = []
        self._now = 1000
        self._sum = 0
        self._jobs = 0
        self._paused = False
        #: How it ends: completed, failed or cancelled.
        self.end = planned or chance.choice(["completed", "completed", "failed", "cancelled"])

    def tell(self, kind: str, cause: Told | None = None, by: str = "engine", **data: Any) -> Told:
        self.log.append(Told(kind, data, self._now, by, cause))
        return self.log[-1]

    def _pass(self) -> None:
        self._now += self._chance.randint(1, 40)

    def make(self) -> list[Told]:
        """The whole log."""
        self.tell("workflow.created", by="client", name="made", definition="d")
        self.tell("workflow.started", by="client")
        size = self._chance.randint(2, 5)
        if self._step("fan", size, stop_after=self._stop_after(size)):
            self._step("sum", 1, stop_after=None)
            self.tell("workflow.completed", result=10)
        return self.log

    def _stop_after(self, size: int) -> int | None:
        """After how many completed tasks it fails or is cancelled, when it is to."""
        return None if self.end == "completed" else self._chance.randint(0, size - 1)

    def _step(self, name: str, size: int, stop_after: int | None) -> bool:
        """Tell a step; whether it completed."""
        self._pass()
        queued = self._chance.randint(1, size)
        self.tell("step.scheduled", step=name, tasks=size, queued=queued)
        if queued < size:
            self.tell("tasks.queued", step=name, first=queued, count=size - queued)
        tasks = [Task(name, index) for index in range(size)]
        while not all(task.done for task in tasks):
            stops = stop_after is not None and sum(task.done for task in tasks) >= stop_after
            if stops and self._stop(name, tasks):
                return False
            self._pass()
            self._act(tasks)
        self._wake()
        self.tell("step.completed", step=name)
        return True

    def _act(self, tasks: list[Task]) -> None:
        """Do one thing to one task."""
        task = self._chance.choice([task for task in tasks if not task.done])
        running = [one for one in tasks if one.claim]
        if task.claim is None:
            if len(running) < MAX_WORKERS and self._now >= task.not_before:
                self._wake()
                task.claim = self.tell("task.started", by="w", **task.place(worker="w@h:1:a"))
            return
        acts = [self._complete, self._lose, self._count, self._record, self._ask, self._pause]
        if task.attempt < ATTEMPTS:
            acts.append(self._fail)
        self._chance.choice(acts)(task)

    def _wake(self) -> None:
        if self._paused:
            self.tell("workflow.resumed", by="client")
            self._paused = False
            self._pass()

    def _pause(self, task: Task) -> None:
        if not self._paused:
            self.tell("workflow.paused", by="client")
            self._paused = True

    def _complete(self, task: Task) -> None:
        self._settle(task, "task.completed", result=10 if task.step == "sum" else task.index)
        task.done = True

    def _fail(self, task: Task) -> None:
        self._settle(task, "task.failed", error={"type": "ValueError", "message": "no"})
        self._pass()
        self._wake()
        delay_ms = self._chance.randint(0, 60)
        task.attempt += 1
        self.tell("task.retried", **task.place(delay_ms=delay_ms))
        task.not_before = self._now + delay_ms

    def _lose(self, task: Task) -> None:
        self.tell("task.lost", task.claim, "janitor", **task.place(worker="w@h:1:a"))
        task.claim = None

    def _count(self, task: Task) -> None:
        self._sum += 1
        change = {"op": "incr", "key": "n", "value": self._sum, "by": 1}
        self.tell("state.updated", task.claim, "w", changes=[change])

    def _record(self, task: Task) -> None:
        place: dict[str, Any] = {"step": task.step, "index": task.index, "name": "x", "value": 1}
        self.tell("effect.recorded", task.claim, "w", **place)

    def _ask(self, task: Task) -> None:
        """Ask for an agent, or let one get on."""
        if task.job:
            self._job(task, self._chance.choice(["job.succeeded", "job.launched"]))
            return
        self._jobs += 1
        task.job = f"j{self._jobs}"
        spec = {"image": "i", "grace_s": 1}
        self.tell("job.requested", task.claim, "w", **task.place(job=task.job, name="x", spec=spec))
        self._pass()
        self._wake()
        self._job(task, "job.launched")

    def _job(self, task: Task, kind: str) -> None:
        data: dict[str, Any] = {"step": task.step, "index": task.index, "job": task.job}
        if kind == "job.launched":
            known = any(one.type == kind and one.data["job"] == task.job for one in self.log)
            data |= {"container": f"c-{task.job}", "host": "h", "runtime": "docker"}
            data |= {"adopted": True} if known else {}
        self.tell(kind, by="launcher@h:2:b", **data)
        if kind in ("job.succeeded", "job.cancelled"):
            task.job = ""

    def _settle(self, task: Task, kind: str, **more: Any) -> None:
        self.tell(kind, task.claim, "w", **task.place(**more))
        task.claim = None
        if task.job:
            place: dict[str, Any] = {"step": task.step, "index": task.index, "job": task.job}
            self.tell("job.stop_requested", by="w", **place)
            self._pass()
            self._job(task, "job.cancelled")

    def _stop(self, name: str, tasks: list[Task]) -> bool:
        """Let the workflow fail or be cancelled; False when nothing can fail yet."""
        running = [task for task in tasks if task.claim]
        if self.end == "failed":
            if not running:
                return False
            self._wake()
            failed = running.pop()
            self._settle(failed, "task.failed", error={"type": "ValueError", "message": "no"})
            self._pass()
            cause = self.tell("step.failed", step=name, index=failed.index, error={"type": "E"})
        else:
            self.tell("workflow.cancel_requested", by="client")
            self._pass()
            cause = self.tell("step.cancelled", step=name)
        for task in running:
            claim, task.claim = task.claim, cause
            self._settle(task, "task.cancelled")
            assert claim
        for task in tasks:
            if task.job:  # of one that was lost and is not started again
                self._job(task, "job.cancelled")
        self._pass()
        self.tell(f"workflow.{self.end}", error={"type": "E"})
        return True


def render(log: list[Told]) -> list[Raw]:
    """As Redis would answer, with numbers and digests that are right."""
    numbers = {id(told): number for number, told in enumerate(log, 1)}
    entries: list[Raw] = []
    chain = ""
    for number, told in enumerate(log, 1):
        data = json.dumps(told.data, separators=(",", ":"))
        chain = digest(chain, told.type, data)
        fields = {"type": told.type, "data": data, "ts": str(told.ts), "by": told.by, "dg": chain}
        if told.cause is not None and id(told.cause) in numbers:
            fields["cause"] = str(numbers[id(told.cause)])
        raw = {name.encode(): text.encode() for name, text in fields.items()}
        entries.append((f"{number}-0".encode(), raw))
    return entries


def digest(before: str, kind: str, data: str) -> str:
    whole = (before + kind + data).encode()
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()[:16]
