"""Assertions about a run, whatever it was read from; what fails shows the run's story."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, Self

from ...core import events as e
from ...projections.workflow import TaskView
from .record import NotSo, WorkflowRun, load_run


def assert_that(run: WorkflowRun | str | Path) -> RunAssertions:
    """Begin a chain of assertions about a run, or about the exported history in a file."""
    return RunAssertions(run if isinstance(run, WorkflowRun) else load_run(run))


class RunAssertions:
    """Each method raises NotSo, an AssertionError with the story of the run, or returns itself."""

    def __init__(self, run: WorkflowRun) -> None:
        self._run = run

    # How it ended

    def completed(self) -> Self:
        return self._is("completed")

    def cancelled(self) -> Self:
        return self._is("cancelled")

    def failed(self, *, step: str | None = None, error: str | None = None, match: str = "") -> Self:
        """It failed: in this step, with an error of this class, whose text has `match` (a pattern).

        `error` is the name of the exception's class or of one of its bases.
        """
        self._is("failed")
        ended = self._run.view.error
        if ended and step is not None and ended.step != step:
            self._fail(f"it to fail in step {step!r}", f"it failed in {ended.step!r}")
        if ended:
            self._check_failure(ended.error, error, match)
        return self

    def _is(self, status: str) -> Self:
        if self._run.status != status:
            self._fail(f"{self._run.name} {status}", self._run.status)
        return self

    def _check_failure(self, failure: e.Failure, error: str | None, match: str) -> None:
        if error is not None and error not in (failure.type, *failure.bases):
            self._fail(f"a {error}", f"{failure.type}: {failure.message}")
        if not re.search(match, failure.message):
            self._fail(f"an error like {match!r}", f"{failure.type}: {failure.message}")

    def result(self, expected: Any) -> Self:
        """Its result equals this."""
        self._is("completed")
        return self._equal("result", expected, self._run.result)

    def state(self, **expected: Any) -> Self:
        """These keys of the state have these values; others may be there."""
        found = self._run.state
        for key, value in expected.items():
            if key not in found:
                self._fail(f"state[{key!r}] = {value!r}", f"only {', '.join(found) or 'nothing'}")
            self._equal(f"state[{key!r}]", value, found[key])
        return self

    def took(self, *, at_least: float = 0.0, at_most: float = float("inf")) -> Self:
        """Seconds of its own time, from its creation to its end."""
        if not at_least <= self._run.took <= at_most:
            self._fail(f"it to take {at_least:g} to {at_most:g} s", f"{self._run.took:g} s")
        return self

    # What ran

    def ran(
        self, step: str, *, tasks: int | None = None, times: int | None = None, status: str = ""
    ) -> Self:
        """A step ran: with so many tasks, whose bodies began so many times in all."""
        view = self._run.view.step(self._known(step))
        began = len(self._starts(step))
        if not began and not view.reused:
            self._fail(f"step {step!r} to run", f"it is {view.status}")
        if tasks is not None and view.total != tasks:
            self._fail(f"step {step!r} to have {tasks} tasks", f"{view.total}")
        if times is not None and began != times:
            self._fail(f"step {step!r} to begin {times} times", f"{began} times")
        if status and view.status != status:
            self._fail(f"step {step!r} to be {status}", view.status)
        return self

    def never_ran(self, step: str) -> Self:
        if began := len(self._starts(self._known(step))):
            self._fail(f"step {step!r} never to run", f"it began {began} times")
        return self

    def in_order(self, *steps: str) -> Self:
        """Each of these steps began after the one before had ended."""
        views = [self._run.view.step(self._known(step)) for step in steps]
        for before, after in pairwise(views):
            ended, began = before.ended_ms, after.started_ms
            if began is None or ended is None or self._first(after.id) < self._last(before.id):
                self._fail(f"{before.id!r} to end before {after.id!r} begins", "it did not")
        return self

    def _first(self, step: str) -> int:
        return min((one.version for one in self._starts(step)), default=0)

    def _last(self, step: str) -> int:
        ends = ("step.completed", "step.failed", "step.cancelled")
        found = [one for one in self._run.events if one.type in ends]
        return max(one.version for one in found if getattr(one.event, "step", "") == step)

    def attempts(self, step: str, expected: int, *, index: int = 0) -> Self:
        """A task of a step took so many attempts."""
        return self._equal(
            f"attempts of {step}[{index}]", expected, self._task(step, index).attempt
        )

    def retried(self, step: str, *, index: int | None = None, times: int | None = None) -> Self:
        """Tasks of a step, or one of them, were tried again: at all, or so many times."""
        found = self._count(e.TaskRetried, step, index)
        place = self._known(step) if index is None else f"{step}[{index}]"
        if found == 0 if times is None else found != times:
            wanted = "" if times is None else f" {times} times"
            self._fail(f"{place} to be tried again{wanted}", f"{found} times")
        return self

    def lost(self, step: str, *, index: int | None = None, times: int = 1) -> Self:
        """Tasks of a step were lost with their worker so many times."""
        return self._equal(f"losses of {step!r}", times, self._count(e.TaskLost, step, index))

    def task_failed(
        self, step: str, *, index: int = 0, error: str | None = None, match: str = ""
    ) -> Self:
        """A task failed for good, with such an error; its run may have gone on without it."""
        task = self._task(step, index)
        if task.status != "failed" or task.error is None:
            self._fail(f"{step}[{index}] to fail", f"it is {task.status}")
        self._check_failure(task.error, error, match)
        return self

    def _count(
        self, kind: type[e.TaskRetried] | type[e.TaskLost], step: str, index: int | None
    ) -> int:
        found = [one.event for one in self._run.events if isinstance(one.event, kind)]
        of_step = [one for one in found if one.step == step]
        return len([one for one in of_step if index in (None, one.index)])

    def _task(self, step: str, index: int) -> TaskView:
        tasks = self._run.view.step(self._known(step)).tasks
        if index not in tasks:
            self._fail(f"{step}[{index}] to run", f"it never did; {len(tasks)} tasks of it did")
        return tasks[index]

    def _starts(self, step: str) -> list[e.Recorded]:
        started = [one for one in self._run.events if isinstance(one.event, e.TaskStarted)]
        return [one for one in started if getattr(one.event, "step", "") == step]

    def _known(self, step: str) -> str:
        if step not in self._run.graph:
            self._fail(f"a step {step!r}", f"steps are {', '.join(self._run.graph)}")
        return step

    # Agents

    def deployed(
        self,
        pattern: str,
        *,
        times: int | None = None,
        env: dict[str, str] | None = None,
        outcome: str | None = None,
    ) -> Self:
        """Agents whose name or image is like `pattern` were deployed: at all, or so many times.

        Those count whose environment has these values, and that ended so.
        """
        calls = self._run.calls
        found = [
            call
            for call in calls
            if any(fnmatchcase(name, pattern) for name in (call.name, call.image))
            and (env or {}).items() <= call.env.items()
            and outcome in (None, call.outcome)
        ]
        if not found if times is None else len(found) != times:
            wanted = "" if times is None else f" {times} times"
            like = ", ".join(f"{call.name} ({call.outcome})" for call in calls) or "none"
            self._fail(
                f"an agent like {pattern!r} to be deployed{wanted}",
                f"{len(found)} of the agents deployed: {like}",
            )
        return self

    # Anything

    def happened(self, type: str, *, times: int | None = None, **fields: Any) -> Self:
        """An event of this type, with these fields, is in the log: at all, or so many times."""
        if type not in e.EVENTS:
            self._fail(f"an event {type!r}", f"there are {', '.join(e.EVENTS)}")
        found = [
            one
            for one in self._run.events
            if one.type == type and all(getattr(one.event, k, None) == v for k, v in fields.items())
        ]
        if not found if times is None else len(found) != times:
            wanted = "" if times is None else f" {times} times"
            what = "".join(f", {name}={value!r}" for name, value in fields.items())
            self._fail(f"{type}{what}{wanted}", f"{len(found)} of them")
        return self

    def never(self, type: str, **fields: Any) -> Self:
        """No such event is in the log."""
        return self.happened(type, times=0, **fields)

    def satisfies(self, check: Callable[[WorkflowRun], object], what: str = "") -> Self:
        """A function of the run is true of it."""
        if not check(self._run):
            self._fail(what or getattr(check, "__name__", "a condition"), "it does not hold")
        return self

    def _equal(self, what: str, expected: Any, found: Any) -> Self:
        if expected != found:
            self._fail(f"{what} {expected!r}", repr(found))
        return self

    def _fail(self, expected: str, got: str) -> NoReturn:
        raise NotSo(f"expected {expected}\n     got {got}", self._run)
