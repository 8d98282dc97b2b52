"""Look back into a log: a workflow as it was, what an event changed, and which one set a value.

Everything a view says is a *fact* under a path, such as `status`, `steps.load.tasks.3.attempt`,
`steps.load.tasks.3.result` or `state.total`. What users gave is JSON as in the log, or where it
lies beside the log. Pure: no code of the workflow runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ..core import events as e
from .histories import advance
from .state import Extended, StateValue
from .workflow import JobView, StepView, WorkflowView

Facts = dict[str, Any]


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one path; `UNSET`: it is not there."""

    path: str
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET


class Moment(msgspec.Struct, frozen=True):
    """The first events of a log: up to a version, or up to a time (ms since the epoch)."""

    version: int | None = None
    ms: int | None = None

    def has(self, recorded: e.Recorded) -> bool:
        if self.version is not None:
            return recorded.version <= self.version
        return self.ms is None or recorded.ts <= self.ms


def parse_moment(text: str) -> Moment:
    """A version, or a date and time by ISO 8601 (local unless it says its zone).

    Raises ValueError.
    """
    if text.isascii() and text.isdigit():
        return Moment(version=int(text))
    try:
        return Moment(ms=int(datetime.fromisoformat(text).timestamp() * 1000))
    except ValueError:
        raise ValueError(
            f"expected a version such as 12 or a time such as 2026-05-04T10:30:00, got {text!r}"
        ) from None


def look_back(workflow: str, events: Sequence[e.Recorded], moment: Moment) -> WorkflowView:
    """The view as it was. Raises ValueError when the workflow did not exist, or not so far."""
    last = events[-1].version if events else 0
    if moment.version is not None and not 1 <= moment.version <= last:
        raise ValueError(f"workflow {workflow} has events 1 to {last}, no {moment.version}")
    view = WorkflowView(workflow)
    for recorded in events:
        if not moment.has(recorded):
            break
        advance(view, recorded)
    if view.version == 0 and moment.version is None:
        raise ValueError(f"workflow {workflow} was created later than that")
    return view


def replay(
    workflow: str, events: Sequence[e.Recorded]
) -> Iterator[tuple[e.Recorded, list[Change]]]:
    """Each event with what it changed."""
    view = WorkflowView(workflow)
    for recorded in events:
        before = facts_near(view, recorded.event)
        advance(view, recorded)
        yield recorded, changes(before, facts_near(view, recorded.event))


def blame(
    workflow: str, events: Sequence[e.Recorded], path: str
) -> tuple[list[e.Recorded], Change | None]:
    """The event that last changed a path, or one below it, after the chain of its causes."""
    found: e.Recorded | None = None
    change: Change | None = None
    for recorded, changed in replay(workflow, events):
        for one in changed:
            if one.path == path or one.path.startswith(f"{path}."):
                found, change = recorded, one
    chain: list[e.Recorded] = []
    known = {recorded.version: recorded for recorded in events}
    while found is not None:
        chain.insert(0, found)
        cause = found.cause
        found = known.get(cause) if cause and cause < found.version else None
    return chain, change


def changes(before: Facts, after: Facts) -> list[Change]:
    """What differs, in the order of the facts."""
    paths = [*before, *(path for path in after if path not in before)]
    return [
        Change(path, before.get(path, msgspec.UNSET), after.get(path, msgspec.UNSET))
        for path in paths
        if path not in before or path not in after or before[path] != after[path]
    ]


def facts(view: WorkflowView) -> Facts:
    """All that a view says."""
    found = _of_workflow(view)
    for step in view.steps.values():
        found |= _of_step(step)
        for index in sorted(step.tasks):
            found |= _of_task(step, index)
    for job in view.jobs.values():
        found |= _of_job(job)
    return found | _of_state(view, view.state)


def state_facts(view: WorkflowView) -> Facts:
    """Its state, by key."""
    return {key: _still(value) for key, value in view.state.items()}


def facts_near(view: WorkflowView, event: e.Event) -> Facts:
    """The part of them that an event can change."""
    found = _of_workflow(view)
    step = view.steps.get(getattr(event, "step", None) or "")
    if step is not None:
        found |= _of_step(step)
        for index in _tasks_of(event):
            if index in step.tasks:
                found |= _of_task(step, index)
    if isinstance(event, e.JobEvent) and event.job in view.jobs:
        found |= _of_job(view.jobs[event.job])
    if isinstance(event, e.StateUpdated):
        found |= _of_state(view, [one.key for one in event.changes if one.key in view.state])
    return found


def _tasks_of(event: e.Event) -> list[int]:
    if isinstance(event, e.TasksReused):
        return [task.index for task in event.tasks]
    index: int | None = getattr(event, "index", None)
    return [] if index is None else [index]


def _of_state(view: WorkflowView, keys: Iterable[str]) -> Facts:
    return {f"state.{key}": _still(view.state[key]) for key in keys}


def _still(value: StateValue) -> StateValue:
    """As it is now: a list that lies beside the log in part grows in its place."""
    return Extended(value.base, [*value.appended]) if isinstance(value, Extended) else value


def _of_workflow(view: WorkflowView) -> Facts:
    if view.version == 0:
        return {}
    return _known(
        {
            "status": view.status,
            "reason": view.reason or None,
            "result": view.result,
            "error": _say(view.error.error) if view.error else None,
        }
    )


def _of_step(step: StepView) -> Facts:
    return _known(
        {
            f"steps.{step.id}.status": step.status,
            f"steps.{step.id}.total": step.total or None,
            f"steps.{step.id}.queued": step.queued or None,
            f"steps.{step.id}.reused": len(step.reused) or None,
            f"steps.{step.id}.completed": step.completed or None,
            f"steps.{step.id}.failed": len(step.failures) or None,
            f"steps.{step.id}.error": _say(step.error),
        }
    )


def _of_task(step: StepView, index: int) -> Facts:
    task, place = step.tasks[index], f"steps.{step.id}.tasks.{index}"
    return _known(
        {
            f"{place}.status": task.status,
            f"{place}.attempt": task.attempt,
            f"{place}.error": _say(task.error),
            f"{place}.result": step.results.get(index),
        }
    )


def _of_job(job: JobView) -> Facts:
    return _known(
        {
            f"agents.{job.id}.status": job.status,
            f"agents.{job.id}.container": job.container or None,
            f"agents.{job.id}.host": job.host or None,
            f"agents.{job.id}.error": _say(job.error),
        }
    )


def _say(error: e.Failure | None) -> str | None:
    return f"{error.type}: {error.message}" if error else None


def _known(found: Facts) -> Facts:
    return {path: value for path, value in found.items() if value is not None}
