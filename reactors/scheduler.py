"""Decide what a workflow does next: a pure function of its view.

                       depends_on met            tasks claimed
    pending ──────────────────────────▶ scheduled ─────────────▶ running
                                            │                      │
                                            │   all tasks done     ├──▶ completed
                                            └──────────────────────┤
                                                 a task failed     ├──▶ failed (workflow: failing)
                                     workflow failing or cancelled └──▶ cancelled

A decision looks at what is, not at what happened last. So deciding twice gives nothing new, a
successor decides like its predecessor, and a lost commit is simply decided again. Only steps that
events touched are looked at, so the cost follows the events and not the size of the graph.

The last event of a workflow waits until nothing of it runs: no claimed task, no unsettled agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

import msgspec

from ..core import events as e
from ..core.answers import Batch
from ..core.definition import Definition, StepSpec
from ..projections.workflow import ALL, StepView, WorkflowView
from . import binding

#: Tasks queued by one commit; the rest of a fan-out follows in further commits.
CHUNK = 1000
#: Tasks of a fan-out that are queued before those that wait already were claimed.
AHEAD = 4000
#: Bytes that all arguments of a step may have together; Redis takes no value of 512 MiB.
JOINED = 256 * 1024 * 1024

_encode = msgspec.json.Encoder().encode


class Decision(msgspec.Struct):
    """What to commit, all at once. Causes as in `commit.lua`."""

    events: list[tuple[e.Event, int | None]] = []
    queue: list[Batch] = []
    #: Steps to cancel, and the position of the event that says so.
    cancel: list[tuple[str, int]] = []
    #: The workflow's status from now on.
    phase: str | None = None
    #: Set with the event that ends the workflow.
    status: str | None = None
    #: The run's result is to be recorded with the last event.
    finish: bool = False
    #: Nothing is left to do on what the view knows. The end of a workflow leaves its documents.
    is_whole: bool = True

    def __bool__(self) -> bool:
        return bool(self.events) or self.finish

    def add(self, event: e.Event, cause: int | None) -> int:
        """Append an event; returns the cause that names it for those that follow."""
        self.events.append((event, cause))
        return 1 - len(self.events)

    def complete(self, event: e.WorkflowCompleted, version: int) -> None:
        """End the workflow well, because of the last event there is."""
        self.add(event, 1 - len(self.events) if self.events else version)
        self.end("completed")

    def end(self, status: str) -> None:
        """The workflow ends with this decision."""
        self.status = status
        self.is_whole = False


def decide(
    view: WorkflowView, definition: Definition, cache: binding.Cache, touched: Iterable[str]
) -> Decision:
    """Return what is due now, looking at the `touched` steps and what depends on them.

    Raises binding.NeedsBlob when a payload that is not in the cache is needed first.
    """
    decision = Decision()
    if view.status == "running":
        _Progress(view, definition, cache, decision).run(touched)
    elif view.status in ("failing", "cancelling"):
        _wind_down(view, decision, definition.timeout_s)
    return decision


class _Progress:
    """One decision on a running workflow; `done` and `scheduled` are its steps."""

    def __init__(
        self,
        view: WorkflowView,
        definition: Definition,
        cache: binding.Cache,
        decision: Decision,
    ) -> None:
        self.view, self.definition, self.cache, self.decision = view, definition, cache, decision
        self.done: dict[str, int] = {}
        self.scheduled: set[str] = set()

    def run(self, touched: Iterable[str]) -> None:
        for step in self._in_order(set(touched)):
            self._advance(step)
            if self._failed:
                return
        self._end()

    def _in_order(self, names: set[str]) -> list[StepSpec]:
        """In the order of the definition: two engines with one view decide the same."""
        if ALL in names:
            return list(self.definition.steps)
        known = self.definition.by_id
        position = self.definition.position
        return sorted((known[name] for name in names), key=lambda spec: position[spec.id])

    @property
    def _failed(self) -> bool:
        return bool(self.decision.cancel)

    def _advance(self, spec: StepSpec) -> None:
        step = self.view.step(spec.id)
        match step.status:
            case "pending":
                if self._is_ready(spec):
                    self._schedule(spec)
            case "scheduled" | "running":
                self._look_after(spec, step)
            case "completed":
                self._advance_dependents(spec)
            case _:
                pass

    def _look_after(self, spec: StepSpec, step: StepView) -> None:
        given_up = [index for index in step.failures if not self._retry(spec, step, index)]
        if len(given_up) > _allowed(spec, step.total):
            self._fail_with(step, given_up[0])
        elif step.completed + len(given_up) == step.total:
            self.cache.items.pop(step.id, None)
            completed = e.StepCompleted(step.id, len(given_up))
            self.done[spec.id] = self.decision.add(completed, step.version or None)
            self._advance_dependents(spec)
        elif step.queued < step.total and step.waiting < AHEAD:
            self._queue_more(spec, step)

    def _retry(self, spec: StepSpec, step: StepView, index: int) -> bool:
        """Try a failed task again when its step's rules say so."""
        task = step.tasks[index]
        if not spec.retry or not spec.retry.takes(task.attempt, words_of(task.error)):
            return False
        attempt = task.attempt + 1
        spread = _spread(self.view.id, step.id, index, attempt)
        delay_ms = spec.retry.backoff.delay_ms(task.attempt, spread)
        event = e.TaskRetried(step.id, index, attempt, delay_ms)
        cause = self.decision.add(event, task.settled_version)
        item = binding.items(self.definition, spec, self.view, self.cache)[index]
        entry = (index, attempt, bytes(item).decode())
        self._put(spec, [entry], cause, None, delay_ms)
        return True

    def _fail_with(self, step: StepView, index: int) -> None:
        task = step.tasks[index]
        failure = task.error or e.Failure("Unknown", "the task failed without saying why")
        self._fail(step.id, index, failure, task.settled_version)

    def _advance_dependents(self, spec: StepSpec) -> None:
        for name in self.definition.dependents[spec.id]:
            dependent = self.definition.by_id[name]
            if (
                not self._failed
                and self.view.step(name).status == "pending"
                and self._is_ready(dependent)
            ):
                self._schedule(dependent)

    def _is_ready(self, spec: StepSpec) -> bool:
        return spec.id not in self.scheduled and all(
            name in self.done or self.view.step(name).status == "completed"
            for name in spec.depends_on
        )

    def _schedule(self, spec: StepSpec) -> None:
        cause = self._cause_of(spec)
        try:
            found = binding.items(self.definition, spec, self.view, self.cache)
        except binding.NotItems as problem:
            self._fail(spec.id, None, e.Failure("NotItems", str(problem)), cause)
            return
        if _allowed(spec, len(found)) < 0:
            text = f"more tasks are to succeed than there are items, which are {len(found):,}"
            self._fail(spec.id, None, e.Failure("TooFewItems", text), cause)
            return
        args = _encode(binding.bind(self.definition, spec, self.view)).decode()
        if len(args) > JOINED:
            text = f"the results it gets have {len(args):,} bytes together, the limit is {JOINED:,}"
            self._fail(spec.id, None, e.Failure("TooLarge", text), cause)
            return
        self.scheduled.add(spec.id)
        position = self.decision.add(
            e.StepScheduled(spec.id, tasks=len(found), queued=min(len(found), CHUNK)), cause
        )
        if self._is_open(spec, len(found)):
            self._queue(spec, found, 0, position, args)
        else:
            failed = len(self.view.step(spec.id).failures)
            self.done[spec.id] = self.decision.add(e.StepCompleted(spec.id, failed), position)
            self._advance_dependents(spec)

    def _is_open(self, spec: StepSpec, total: int) -> bool:
        """Whether any task of a step about to begin has yet to run."""
        return total > len(self.view.step(spec.id).reused)

    def _cause_of(self, spec: StepSpec) -> int | None:
        """The completion that the step waited for last."""
        within = [self.done[name] for name in spec.depends_on if name in self.done]
        if within:
            return within[-1]
        return max((self.view.step(name).version for name in spec.depends_on), default=0) or None

    def _queue_more(self, spec: StepSpec, step: StepView) -> None:
        found = binding.items(self.definition, spec, self.view, self.cache)
        count = min(CHUNK, step.total - step.queued)
        position = self.decision.add(e.TasksQueued(step.id, step.queued, count), None)
        self._queue(spec, found, step.queued, position, None)

    def _queue(
        self, spec: StepSpec, found: Sequence[msgspec.Raw], first: int, cause: int, args: str | None
    ) -> None:
        queued = first + CHUNK
        if queued < len(found) and self.view.step(spec.id).waiting + CHUNK < AHEAD:
            self.decision.is_whole = False
        last = min(queued, len(found))
        indexes = self.view.step(spec.id).to_run(first, last)
        tasks = [(index, 1, bytes(found[index]).decode()) for index in indexes]
        self._put(spec, tasks, cause, args, 0)

    def _put(
        self,
        spec: StepSpec,
        tasks: list[tuple[int, int, str]],
        cause: int,
        args: str | None,
        delay_ms: int,
    ) -> None:
        patience_ms = int(1000 * spec.queue_timeout_s) if spec.queue_timeout_s else 0
        batch = Batch(spec.id, spec.limits, cause, tasks, args, delay_ms, patience_ms)
        self.decision.queue.append(batch)

    def _fail(self, name: str, index: int | None, failure: e.Failure, cause: int | None) -> None:
        self.decision.cancel.append((name, len(self.decision.events)))
        self.decision.add(e.StepFailed(name, failure, index), cause)
        self.decision.phase = "failing"
        self.decision.is_whole = False

    def _end(self) -> None:
        done = self.view.completed_steps + len(self.done)
        settled = self.view.unsettled_jobs == 0
        self.decision.finish = settled and done == len(self.definition.steps)


def words_of(failure: e.Failure | None) -> set[str]:
    """The words that retry rules may use for a failure."""
    if failure is None:
        return set()
    words = {failure.type, failure.kind, *failure.bases}
    return words | ({f"exit:{failure.exit_code}"} if failure.exit_code is not None else set())


def _allowed(spec: StepSpec, total: int) -> int:
    """How many of its tasks may fail; below 0 it cannot succeed."""
    return spec.parallel.failures_allowed(total) if spec.parallel else 0


def _spread(*place: object) -> float:
    """0 to 1, evenly over places and always the same for one: decisions stay pure."""
    return crc32(repr(place).encode()) / 2**32


def _wind_down(view: WorkflowView, decision: Decision, limit_s: float | None) -> None:
    """Cancel what is under way; once nothing runs, write the event that ends the workflow."""
    for step in view.active:
        decision.cancel.append((step.id, len(decision.events)))
        decision.add(e.StepCancelled(step.id), None)
        decision.is_whole = False
    if decision or view.unsettled_jobs or any(step.running for step in view.steps.values()):
        return
    if view.status == "cancelling":
        decision.add(e.WorkflowCancelled(view.reason), None)
        decision.end("cancelled")
        return
    if view.timed_out:
        failure = e.Failure("WorkflowTimeout", f"the run took longer than {limit_s} s")
        decision.add(e.WorkflowFailed(failure), None)
        decision.end("failed")
        return
    step = next(step for step in view.steps.values() if step.status == "failed")
    failure = step.error or e.Failure("Unknown", "the step failed without saying why")
    decision.add(e.WorkflowFailed(failure, step.id, step.failed_index), step.version or None)
    decision.end("failed")
