"""Compare two runs: definition, inputs, each attempt of each task, state and result. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from ..core import events as e
from ..core.definition import Definition
from .histories import History
from .history import Change, Facts, changes, facts
from .workflow import Result, StepView, WorkflowView

Outcome = Literal["running", "completed", "failed", "lost", "cancelled", "reused"]
#: Step, index and number of an attempt.
Place = tuple[str, int, int]


class Attempt(msgspec.Struct):
    """One attempt of a task: how it ended, and how long it took."""

    outcome: Outcome
    started_ms: int
    ended_ms: int | None = None
    result: Result | None = None
    error: str | None = None

    @property
    def took_ms(self) -> int | None:
        return None if self.ended_ms is None else self.ended_ms - self.started_ms


class Run(msgspec.Struct):
    """One side of a comparison."""

    view: WorkflowView
    definition: Definition
    attempts: dict[Place, Attempt]


class StepPair(msgspec.Struct, frozen=True):
    """A step in both runs: its status and duration (ms) in each, and how many attempts differ."""

    id: str
    statuses: tuple[str | None, str | None]
    took_ms: tuple[int | None, int | None]
    attempts: int
    differing: int


class Comparison(msgspec.Struct, frozen=True):
    """What two runs differ in. Paths are those of `history`, with the attempts of tasks."""

    steps: list[StepPair]
    changes: list[Change]


def run_of(history: History) -> Run:
    view = history.fold()
    return Run(view, history.shown_definition(view), _attempts(history.events))


def compare(one: Run, other: Run) -> Comparison:
    names = [step.id for step in one.definition.steps]
    names += [step.id for step in other.definition.steps if step.id not in one.definition.by_id]
    found = changes(_facts(one), _facts(other))
    order = {name: position for position, name in enumerate(names)}
    found.sort(key=lambda change: _place_of(change.path, order))
    return Comparison([_pair(name, one, other) for name in names], found)


def _place_of(path: str, order: dict[str, int]) -> tuple[object, ...]:
    """Definition and inputs, the workflow, its steps and their tasks in order, the rest."""
    parts = path.split(".")
    groups = ("definition", "input", "status", "reason", "result", "error", "steps", "agents")
    group = groups.index(parts[0]) if parts[0] in groups else len(groups)
    step = order.get(parts[1], 0) if len(parts) > 1 else -1
    # Numbers count as such, and come before words.
    rest = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts[2:]]
    return (group, step, rest, path)


def _attempts(events: Sequence[e.Recorded]) -> dict[Place, Attempt]:
    found: dict[Place, Attempt] = {}
    for recorded in events:
        event, ts = recorded.event, recorded.ts
        match event:
            case e.TaskStarted(step=step, index=index, attempt=attempt):
                found[step, index, attempt] = Attempt("running", ts)
            case e.TaskCompleted():
                _end(found, event, ts, "completed").result = event.blob or event.result
            case e.TaskFailed():
                _end(found, event, ts, "failed").error = _say(event.error)
            case e.TaskLost():
                _end(found, event, ts, "lost")
            case e.TaskCancelled():
                _end(found, event, ts, "cancelled")
            case e.TasksReused(step=step, tasks=tasks):
                for task in tasks:
                    result = task.blob or task.result
                    error = _say(task.error) if task.error else None
                    found[step, task.index, task.attempt] = Attempt(
                        "reused", ts, ts, None if error else result, error
                    )
            case _:
                pass
    return found


def _end(
    found: dict[Place, Attempt],
    event: e.TaskCompleted | e.TaskFailed | e.TaskLost | e.TaskCancelled,
    ts: int,
    outcome: Outcome,
) -> Attempt:
    place = (event.step, event.index, event.attempt)
    attempt = found.setdefault(place, Attempt(outcome, ts))
    attempt.outcome, attempt.ended_ms = outcome, ts
    return attempt


def _say(error: e.Failure) -> str:
    return f"{error.type}: {error.message}"


def _pair(name: str, one: Run, other: Run) -> StepPair:
    places = {p for run in (one, other) for p in run.attempts if p[0] == name}
    differing = sum(_differ(one.attempts.get(p), other.attempts.get(p)) for p in places)
    steps = [run.view.steps.get(name) for run in (one, other)]
    return StepPair(
        name,
        (_status(name, one), _status(name, other)),
        (_took(steps[0]), _took(steps[1])),
        len(places),
        differing,
    )


def _differ(one: Attempt | None, other: Attempt | None) -> bool:
    if one is None or other is None:
        return True
    return (_ended(one), one.result, one.error) != (_ended(other), other.result, other.error)


def _ended(attempt: Attempt) -> str:
    """What was taken over ended as it did in the run that it is from."""
    if attempt.outcome != "reused":
        return attempt.outcome
    return "failed" if attempt.error else "completed"


def _status(name: str, run: Run) -> str | None:
    """None: the definition has no such step."""
    return run.view.step(name).status if name in run.definition.by_id else None


def _took(step: StepView | None) -> int | None:
    if step is None or step.started_ms is None or step.ended_ms is None:
        return None
    return step.ended_ms - step.started_ms


def _facts(run: Run) -> Facts:
    """What a view says, with attempts in place of tasks, and what the run began with."""
    found: Facts = {"definition": run.view.definition_digest}
    found |= {f"definition.{name}": value for name, value in _specs(run.definition)}
    found |= {f"input.{name}": value for name, value in run.view.input.items()}
    told = facts(run.view)
    found |= {path: value for path, value in told.items() if not _is_bookkeeping(path)}
    for (step, index, number), attempt in sorted(run.attempts.items()):
        place = f"steps.{step}.tasks.{index}.attempts.{number}"
        found[place] = _ended(attempt)
        if attempt.result is not None:
            found[f"{place}.result"] = attempt.result
        if attempt.error is not None:
            found[f"{place}.error"] = attempt.error
    return found


def _is_bookkeeping(path: str) -> bool:
    """Differs in every two runs, or is told by their attempts."""
    parts = path.split(".")
    return ".tasks." in path or parts[-1] in ("container", "host", "reused")


def _specs(definition: Definition) -> Iterator[tuple[str, Any]]:
    for step in definition.steps:
        yield step.id, msgspec.to_builtins(step)
