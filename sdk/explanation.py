"""Say why a workflow, and each of its steps, is where it is: one sentence each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ..core import events as e
from ..core.definition import Definition, StepSpec
from ..projections.documents import iso
from ..projections.workflow import JobView, StepView, TaskView, WorkflowView
from .diagnosis import say_unowned, say_waiting
from .facts import Facts

#: Tasks of a step that are told one by one.
TOLD = 5
UNDER_WAY = ("running", "retrying", "lost")


class Reason(msgspec.Struct, frozen=True):
    """One sentence about a step, or about the workflow when it names none."""

    text: str
    step: str = ""
    #: It is where the trouble began; the rest follows from it.
    root: bool = False


def explain(
    view: WorkflowView,
    definition: Definition,
    events: Sequence[e.Recorded],
    facts: Facts,
    now_ms: int,
) -> list[Reason]:
    """The workflow first, then its steps in the order of the definition.

    `facts` are those of the installation that it runs on, with no other lane than the workflow's;
    `now_ms` is the time of its Redis.
    """
    explainer = _Explainer(view, definition, events, facts, now_ms)
    unowned = [] if view.ended else [Reason(text, root=True) for text in say_unowned(facts)]
    return [explainer.workflow(), *unowned, *explainer.steps()]


class _Explainer:
    def __init__(
        self,
        view: WorkflowView,
        definition: Definition,
        events: Sequence[e.Recorded],
        facts: Facts,
        now_ms: int,
    ) -> None:
        self._view, self._definition, self._facts = view, definition, facts
        self._now_ms = now_ms
        #: The last events that paused the run and asked for its end.
        self._paused: e.Recorded | None = None
        self._cancelled: e.Recorded | None = None
        #: When a task that sleeps wakes up, by step and index.
        self._wakes_ms: dict[tuple[str, int], float] = {}
        #: When a task is tried again, by step and index.
        self._retry_ms: dict[tuple[str, int], int] = {}
        #: Version of the event that settled each step.
        self._ended: dict[str, int] = {}
        for recorded in events:
            self._note(recorded)

    def _note(self, recorded: e.Recorded) -> None:
        match recorded.event:
            case e.WorkflowPaused():
                self._paused = recorded
            case e.WorkflowCancelRequested():
                self._cancelled = recorded
            case e.EffectRecorded(step=step, index=index, kind="sleep", value=value):
                self._wakes_ms[step, index] = 1000 * float(msgspec.json.decode(value))
            case e.EffectRecorded(step=step, index=index):
                self._wakes_ms.pop((step, index), None)
            case e.TaskRetried(step=step, index=index, delay_ms=delay_ms):
                self._retry_ms[step, index] = recorded.ts + delay_ms
            case e.StepCompleted(step=step) | e.StepFailed(step=step) | e.StepCancelled(step=step):
                self._ended[step] = recorded.version
            case _:
                pass

    def workflow(self) -> Reason:
        view = self._view
        match view.status:
            case "completed":
                text = f"It completed: all {len(self._definition.steps)} steps are done."
            case "created":
                text = "It was created and never started."
            case "running":
                text = f"It runs: {_join(self._busy()) or 'its next step is about to begin'}."
            case "paused":
                text = (
                    f"It is paused{_by(self._paused)}; go on with "
                    f"`agentainer workflow resume {view.id}`."
                )
            case "failing":
                text = f"It is failing and lets what runs come to its end{self._left()}."
            case "cancelling":
                by = _by(self._cancelled)
                text = f"It is being cancelled{by}{_because(view.reason)}{self._left()}."
            case "cancelled":
                text = f"It was cancelled{_by(self._cancelled)}{_because(view.reason)}."
            case "failed":
                text = f"It failed: {self._failure()}."
        return Reason(text, root=view.status == "paused")

    def _busy(self) -> list[str]:
        return [f"step {step.id} is {step.status}" for step in self._view.active]

    def _left(self) -> str:
        running = sum(step.running for step in self._view.steps.values())
        parts = [
            _count(number, what)
            for number, what in ((running, "task"), (self._view.unsettled_jobs, "agent"))
            if number
        ]
        return f"; it waits for {_join(parts)}" if parts else ""

    def _failure(self) -> str:
        error = self._view.error
        if error is None or self._view.timed_out:
            limit = self._definition.timeout_s
            return f"it took longer than its time limit of {limit:g} s" if limit else "no reason"
        if error.step is None:
            return _say(error.error)
        return f"step {_place(error.step, error.index)} failed with {_say(error.error)}"

    def steps(self) -> Iterator[Reason]:
        for spec in self._definition.steps:
            step = self._view.step(spec.id)
            match step.status:
                case "pending":
                    yield Reason(self._pending(spec), spec.id)
                case "failed":
                    yield self._failed(spec, step)
                case "cancelled":
                    yield Reason(f"It was cancelled, because {self._why_stopped()}.", spec.id)
                case "scheduled" | "running":
                    yield from self._active(spec, step)
                case "completed":
                    ended = self._ended.get(spec.id)
                    lost = f"; {_count(len(step.failures), 'task')} failed" if step.failures else ""
                    yield Reason(f"It completed at event {ended}{lost}.", spec.id)

    def _pending(self, spec: StepSpec) -> str:
        unmet = [
            step for step in map(self._view.step, spec.depends_on) if step.status != "completed"
        ]
        if self._view.ended:
            if unmet:
                return f"It never began: {_join([_unmet(one) for one in unmet])}."
            return f"It never began, because {self._why_stopped()}."
        if self._view.status in ("failing", "cancelling"):
            return f"It does not begin any more, because {self._why_stopped()}."
        if unmet:
            return f"It waits for {_join([_progress(one) for one in unmet])}."
        if self._view.status == "paused":
            return "It could begin, but the workflow is paused."
        return "It is about to begin."

    def _why_stopped(self) -> str:
        view = self._view
        if view.status in ("cancelling", "cancelled"):
            return f"the workflow was cancelled{_because(view.reason)}"
        if view.timed_out:
            return self._failure()
        first = self._first_failed()
        return f"step {first} failed" if first else "the workflow failed"

    def _first_failed(self) -> str:
        failed = [step.id for step in self._view.steps.values() if step.status == "failed"]
        return min(failed, key=lambda name: self._ended.get(name, 0), default="")

    def _failed(self, spec: StepSpec, step: StepView) -> Reason:
        index = step.failed_index
        task = step.tasks.get(index) if index is not None else None
        attempt = _attempt(spec, task) if task else ""
        where = f" at event {self._ended[spec.id]}" if spec.id in self._ended else ""
        what = _say(step.error) if step.error else "no error"
        place = f"Task {index}" if spec.parallel and index is not None else "It"
        root = self._first_failed() == spec.id
        return Reason(f"{place} failed{where}{attempt} with {what}.", spec.id, root=root)

    def _active(self, spec: StepSpec, step: StepView) -> Iterator[Reason]:
        told = 0
        for index, task in sorted(step.tasks.items()):
            if told < TOLD and (text := self._task(spec, step, index, task)):
                yield Reason(text, spec.id)
                told += 1
        active = sum(task.status in UNDER_WAY for task in step.tasks.values())
        if active > told:
            yield Reason(f"And {_count(active - told, 'more task')} like these.", spec.id)
        for waiting in self._facts.waiting:
            if (waiting.workflow, waiting.step) == (self._view.id, spec.id):
                kind, text = say_waiting(self._facts, waiting)
                yield Reason(f"{text}.", spec.id, root=kind == "problem")
        if step.total > step.queued:
            kept = _count(step.total - step.queued, "task")
            yield Reason(f"{kept} will be queued when earlier ones have ended.", spec.id)

    def _task(self, spec: StepSpec, step: StepView, index: int, task: TaskView) -> str:
        place = f"Task {index}" if spec.parallel else "It"
        match task.status:
            case "running" if (left_ms := self._sleeps(spec.id, index)) > 0:
                wakes = iso(self._now_ms + int(left_ms))
                return f"{place} sleeps for another {left_ms / 1000:.1f} s, until {wakes}."
            case "running":
                since = f"since {self._since(task.started_ms)}{_attempt(spec, task)}"
                agents = [
                    self._agent(self._view.jobs[name])
                    for name in step.jobs
                    if self._view.jobs[name].index == index and not self._view.jobs[name].settled
                ]
                with_agents = f"; {_join(agents)}" if agents else ""
                return f"{place} runs on {task.worker} {since}{with_agents}."
            case "retrying":
                at_ms = self._retry_ms.get((spec.id, index), 0)
                why = f" after {_say(task.error)}" if task.error else ""
                if self._view.status == "paused":
                    return f"{place} is tried again{why} when the workflow is resumed."
                if at_ms > self._now_ms:
                    wait_s = (at_ms - self._now_ms) / 1000
                    return f"{place} is tried again in {wait_s:.1f} s, at {iso(at_ms)}{why}."
                return f"{place} is tried again as soon as it is claimed{why}."
            case "lost":
                return f"{place} was lost with {task.worker} and is given to another worker."
            case _:
                return ""

    def _sleeps(self, step: str, index: int) -> float:
        """How long a task will go on sleeping, ms."""
        return self._wakes_ms.get((step, index), 0) - self._now_ms

    def _agent(self, job: JobView) -> str:
        if job.status != "requested":
            return f"its agent {job.id} is {job.status} on {job.host}"
        launchers = [one for one in self._facts.members if one.lives and one.role == "launcher"]
        wanted = "a launcher to take it" if launchers else "a launcher; start `agentainer launcher`"
        return f"its agent {job.id} waits for {wanted}"

    def _since(self, ms: int) -> str:
        return f"{max(0, self._now_ms - ms) / 1000:.1f} s"


def _attempt(spec: StepSpec, task: TaskView) -> str:
    most = spec.retry.attempts if spec.retry else 1
    return f" (attempt {task.attempt} of {most})" if most > 1 else ""


def _unmet(step: StepView) -> str:
    became = {"pending": "never began", "failed": "failed"}.get(step.status, f"was {step.status}")
    return f"step {step.id}, which it depends on, {became}"


def _progress(step: StepView) -> str:
    of = f", {step.completed} of {step.total} tasks done" if step.total > 1 else ""
    return f"step {step.id} ({step.status}{of})"


def _by(recorded: e.Recorded | None) -> str:
    """When it was asked for, and by whom."""
    if recorded is None:
        return ""
    by = f", by {recorded.by}" if recorded.by else ""
    return f" ({iso(recorded.ts)}{by})"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _place(step: str, index: int | None) -> str:
    return step if index is None else f"{step}[{index}]"


def _say(error: e.Failure) -> str:
    return f"{error.type}: {error.message}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _join(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)
