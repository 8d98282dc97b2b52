"""The trace of a workflow, folded from its log: spans with ids that are always the same.

    accept ─┬─ schedule STEP ─┬─ queue STEP       from ready until a worker claims it
            │                 ├─ backoff STEP     from a failure until it may be tried again
            │                 └─ task STEP ─┬─ launch AGENT   from asked for until it runs
            │                               ├─ agent AGENT    while it runs
            │                               └─ sleep NAME
            ├─ step STEP     the whole step, when it has ended
            ├─ pause         while nothing could start
            └─ run NAME      the whole run, when it has ended

`accept` and `schedule` are as short as they look: they are there at once, so that whatever comes
below them has its parent at any time. One attempt is one `task` span. Containment is parenthood;
dependencies, retries, callers and forks are links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ..core import events as e
from ..core.definition import Definition
from ..core.tracing import Trace, parse_traceparent, span_id_of, trace_id_of
from .span_attributes import (
    Attributes,
    Result,
    of_agent,
    of_exception,
    of_failure,
    of_step,
    of_task,
    result_of,
    says,
    usage_of,
)


class Link(msgspec.Struct, frozen=True):
    """Another span: `depends_on`, `retry_of`, `forked_from` or `caller`."""

    type: str
    trace_id: str
    span_id: str


class Moment(msgspec.Struct, frozen=True):
    """Something that happened at a time within a span."""

    name: str
    ms: int
    attributes: Attributes = {}


class Span(msgspec.Struct, frozen=True):
    """A span of a trace. Times are ms since the epoch by the clock of Redis, ids hex."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ms: int
    end_ms: int
    attributes: Attributes = {}
    links: tuple[Link, ...] = ()
    moments: tuple[Moment, ...] = ()
    #: None: neither; otherwise why it failed.
    error: str | None = None
    ok: bool = False


class _Task(msgspec.Struct):
    ready_ms: int
    #: When the attempt before failed, and until when it was not to be tried again.
    failed_ms: int | None = None
    started: e.TaskStarted | None = None
    started_ms: int = 0
    #: Name, begin and end (ms), and version of each.
    sleeps: list[tuple[str, int, int, int]] = []
    #: Spans of agents, which follow with the attempt that they belong to.
    agents: list[Span] = []


class _Job(msgspec.Struct):
    requested: e.JobRequested
    requested_ms: int
    launched: e.JobLaunched | None = None
    launched_ms: int | None = None
    adopted_ms: list[int] = []


class _Step(msgspec.Struct):
    scheduled_ms: int
    #: Of its `schedule`, the parent of what its tasks do.
    span_id: str
    tasks: dict[int, _Task] = {}


class Tracer:
    """Turn the events of one workflow, in order, into the spans that each of them completes."""

    def __init__(self, workflow: str, definition: Definition | None = None) -> None:
        self._workflow = workflow
        self._definition = definition
        self._created: e.WorkflowCreated | None = None
        self._created_ms = 0
        self._trace_id = trace_id_of(workflow)
        self._accepted = span_id_of(workflow, "accepted")
        self._about = _about(workflow, "")
        self._steps: dict[str, _Step] = {}
        self._jobs: dict[str, _Job] = {}
        self._paused_ms: int | None = None
        self.ended = False

    @property
    def trace(self) -> Trace | None:
        return self._created.trace if self._created else None

    @property
    def definition_digest(self) -> str:
        return self._created.definition if self._created else ""

    def know(self, definition: Definition) -> None:
        """With the definition, steps link to what they depend on."""
        self._definition = definition

    def take(self, recorded: e.Recorded) -> list[Span]:
        return list(self._take(recorded))

    def _take(self, at: e.Recorded) -> Iterator[Span]:
        event = at.event
        match event:
            case e.WorkflowCreated():
                yield self._accept(event, at.ts)
            case e.WorkflowPaused():
                self._paused_ms = at.ts
            case e.WorkflowResumed():
                yield from self._unpause(at.ts)
            case e.StepScheduled(step=name):
                self._schedule(name, at.ts)
                yield self._short(f"schedule {name}", "schedule", name, at, tasks=event.tasks)
            case e.StepReused(step=name):
                self._schedule(name, at.ts)
                yield self._step(name, at.ts, "skip", None)
            case e.TaskStarted():
                yield from self._start(event, at)
            case e.EffectRecorded(kind="sleep"):
                until_ms = int(1000 * float(msgspec.json.decode(event.value)))
                self._task(event.step, event.index, at.ts).sleeps.append(
                    (event.name, at.ts, until_ms, at.version)
                )
            case e.TaskCompleted():
                yield from self._end_attempt(event, at.ts, "success", None)
            case e.TaskFailed(error=error):
                yield from self._end_attempt(event, at.ts, result_of(error), error)
            case e.TaskLost(worker=worker):
                silent = e.Failure("WorkerLost", f"worker {worker} fell silent or stopped")
                # The attempt goes on elsewhere: what is told here is one delivery of it.
                yield from self._end_attempt(event, at.ts, "error", silent, ("lost", at.version))
                self._task(event.step, event.index, at.ts).ready_ms = at.ts
            case e.TaskCancelled():
                yield from self._end_attempt(event, at.ts, "cancellation", None)
            case e.TaskRetried():
                task = self._task(event.step, event.index, at.ts)
                task.failed_ms, task.ready_ms = at.ts, at.ts + event.delay_ms
            case e.JobRequested():
                self._jobs[event.job] = _Job(event, at.ts)
            case e.JobLaunched():
                self._launch(event, at.ts)
            case e.JobSucceeded() | e.JobFailed() | e.JobCancelled():
                self._end_agent(event, at.ts)
            case e.StepCompleted(step=name):
                yield self._step(name, at.ts, "success", None)
            case e.StepFailed(step=name, error=error):
                yield self._step(name, at.ts, result_of(error), error)
            case e.StepCancelled(step=name):
                yield self._step(name, at.ts, "cancellation", None)
            case e.WorkflowCompleted():
                yield from self._end(at, "success", None)
            case e.WorkflowFailed(error=error):
                yield from self._end(at, result_of(error), error)
            case e.WorkflowCancelled(reason=reason):
                yield from self._end(at, "cancellation", None, reason)
            case _:
                pass

    def _accept(self, event: e.WorkflowCreated, ms: int) -> Span:
        self._created, self._created_ms = event, ms
        self._trace_id = trace_id_of(self._workflow, event.trace)
        self._about = _about(self._workflow, event.name)
        caller = parse_traceparent(event.trace.caller) if event.trace else None
        joined = event.trace is not None and event.trace.joined
        links: list[Link] = []
        if caller and not joined:
            links.append(Link("caller", caller.trace_id, caller.span_id))
        if source := event.forked_from:
            run = span_id_of(source.workflow, "run")
            links.append(Link("forked_from", source.trace_id or trace_id_of(source.workflow), run))
        attributes: Attributes = {f"agentainer.tag.{key}": v for key, v in event.tags.items()}
        if event.forked_from:
            attributes["agentainer.forked_from.workflow.id"] = event.forked_from.workflow
        parent = caller.span_id if caller and joined else ""
        return self._span(
            f"accept {event.name}", ("accepted",), ms, ms, parent, attributes, links=links
        )

    def _short(self, name: str, kind: str, step: str, at: e.Recorded, **about: int) -> Span:
        attributes: Attributes = {f"agentainer.{key}": value for key, value in about.items()}
        attributes |= of_step(step)
        return self._span(
            name, (kind, step), at.ts, at.ts, attributes=attributes, links=self._depends_on(step)
        )

    def _schedule(self, step: str, ms: int) -> _Step:
        found = _Step(ms, span_id_of(self._workflow, "schedule", step))
        self._steps[step] = found
        return found

    def _start(self, event: e.TaskStarted, at: e.Recorded) -> Iterator[Span]:
        task = self._task(event.step, event.index, at.ts)
        place = (event.step, event.index, event.attempt)
        parent = self._steps[event.step].span_id
        about = of_task(*place)
        ready_ms = min(task.ready_ms, at.ts)
        if task.failed_ms is not None and ready_ms > task.failed_ms:
            waited = (task.failed_ms, ready_ms)
            yield self._span(f"backoff {event.step}", ("backoff", *place), *waited, parent, about)
        # The version tells deliveries of one attempt apart.
        yield self._span(
            f"queue {event.step}", ("queue", *place, at.version), ready_ms, at.ts, parent, about
        )
        task.started, task.started_ms, task.failed_ms, task.sleeps = event, at.ts, None, []

    def _end_attempt(
        self,
        event: e.TaskCompleted | e.TaskFailed | e.TaskLost | e.TaskCancelled,
        ms: int,
        result: Result,
        error: e.Failure | None,
        delivery: tuple[object, ...] = ("attempt",),
    ) -> Iterator[Span]:
        task = self._task(event.step, event.index, ms)
        started, task.started = task.started, None
        place = (event.step, event.index, event.attempt)
        start_ms = task.started_ms if started else task.ready_ms
        attributes = of_task(*place)
        attributes["cicd.pipeline.task.run.result"] = result
        if started:
            attributes["agentainer.worker"] = started.worker
        links: list[Link] = []
        if event.attempt > 1:
            before = span_id_of(self._workflow, "attempt", *place[:2], event.attempt - 1)
            links.append(Link("retry_of", self._trace_id, before))
        yield self._span(
            f"task {event.step}",
            (*delivery, *place),
            start_ms,
            ms,
            self._steps[event.step].span_id,
            attributes,
            links=links,
            failure=error,
            ok=result == "success",
        )
        own = span_id_of(self._workflow, *delivery, *place)
        sleeps, task.sleeps = task.sleeps, []
        for name, began_ms, until_ms, version in sleeps:
            awake_ms = min(until_ms, ms)
            yield self._span(f"sleep {name}", ("sleep", *place, version), began_ms, awake_ms, own)
        if not isinstance(event, e.TaskLost):  # its agents go on in the next delivery
            agents, task.agents = task.agents, []
            yield from agents

    def _launch(self, event: e.JobLaunched, ms: int) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        if event.adopted and job.launched_ms is not None:
            job.adopted_ms.append(ms)
        else:
            job.launched, job.launched_ms = event, ms

    def _end_agent(self, event: e.JobSucceeded | e.JobFailed | e.JobCancelled, ms: int) -> None:
        """The spans of an agent; they follow with the attempt that it belongs to."""
        job = self._jobs.pop(event.job, None)
        if job is None:
            return
        asked = job.requested
        place = (asked.step, asked.index, asked.attempt)
        parent = span_id_of(self._workflow, "attempt", *place)
        task = self._task(asked.step, asked.index, ms)
        about = of_task(*place) | of_agent(asked, job.launched)
        if job.launched_ms is not None:
            task.agents.append(
                self._span(
                    f"launch {asked.name}",
                    ("launch", event.job),
                    job.requested_ms,
                    job.launched_ms,
                    parent,
                    about,
                )
            )
        error = event.error if isinstance(event, e.JobFailed) else None
        result: Result = "cancellation" if isinstance(event, e.JobCancelled) else "success"
        about["cicd.pipeline.task.run.result"] = result_of(error) if error else result
        if isinstance(event, e.JobSucceeded):
            about |= usage_of(event.result)
        moments = [Moment("agentainer.agent.adopted", at_ms) for at_ms in job.adopted_ms]
        task.agents.append(
            self._span(
                f"agent {asked.name}",
                ("agent", event.job),
                job.launched_ms or job.requested_ms,
                ms,
                parent,
                about,
                failure=error,
                ok=isinstance(event, e.JobSucceeded),
                moments=moments,
            )
        )

    def _step(self, name: str, ms: int, result: Result, error: e.Failure | None) -> Span:
        step = self._steps.get(name)
        return self._span(
            f"step {name}",
            ("step", name),
            step.scheduled_ms if step else ms,
            ms,
            attributes=of_step(name) | {"cicd.pipeline.task.run.result": result},
            links=self._depends_on(name),
            failure=error,
            ok=result == "success",
        )

    def _unpause(self, ms: int) -> Iterator[Span]:
        if self._paused_ms is not None:
            began, self._paused_ms = self._paused_ms, None
            yield self._span("pause", ("pause", began), began, ms)

    def _end(
        self, at: e.Recorded, result: Result, error: e.Failure | None, reason: str = ""
    ) -> Iterator[Span]:
        yield from self._unpause(at.ts)
        for step in self._steps.values():
            for task in step.tasks.values():
                yield from task.agents
        self.ended = True
        about: Attributes = {
            "cicd.pipeline.result": result,
            "agentainer.workflow.events": at.version,
        }
        if reason:
            about["agentainer.workflow.reason"] = reason
        yield self._span(
            f"run {self._created.name if self._created else ''}".strip(),
            ("run",),
            self._created_ms,
            at.ts,
            attributes=about,
            failure=error,
            ok=result == "success",
        )

    def _task(self, step: str, index: int, ms: int) -> _Task:
        told = self._steps.get(step) or self._schedule(step, ms)
        if index not in told.tasks:
            told.tasks[index] = _Task(told.scheduled_ms)
        return told.tasks[index]

    def _depends_on(self, step: str) -> list[Link]:
        spec = self._definition.by_id.get(step) if self._definition else None
        return [
            Link("depends_on", self._trace_id, span_id_of(self._workflow, "step", name))
            for name in (spec.depends_on if spec else ())
        ]

    def _span(
        self,
        name: str,
        place: tuple[object, ...],
        start_ms: int,
        end_ms: int,
        parent: str | None = None,
        attributes: Attributes | None = None,
        *,
        links: Iterable[Link] = (),
        moments: Iterable[Moment] = (),
        failure: e.Failure | None = None,
        ok: bool = False,
    ) -> Span:
        """Without a parent it is below `accept`."""
        told: Attributes = {**self._about, **(attributes or {})}
        happened = [*moments]
        if failure:
            told |= of_failure(failure)
            happened.append(Moment("exception", end_ms, of_exception(failure)))
        return Span(
            name,
            self._trace_id,
            span_id_of(self._workflow, *place),
            self._accepted if parent is None else parent,
            start_ms,
            max(start_ms, end_ms),
            told,
            tuple(links),
            tuple(happened),
            f"{failure.type}: {says(failure.message)}" if failure else None,
            ok,
        )


def _about(workflow: str, name: str) -> Attributes:
    return {
        "agentainer.workflow.id": workflow,
        "agentainer.workflow.name": name,
        "cicd.pipeline.name": name,
        "cicd.pipeline.run.id": workflow,
        "gen_ai.conversation.id": workflow,
    }


def spans_of(
    workflow: str, events: Iterable[e.Recorded], definition: Definition | None
) -> list[Span]:
    """All spans that a log has completed so far, in that order."""
    tracer = Tracer(workflow, definition)
    return [span for recorded in events for span in tracer.take(recorded)]
