"""Assertions about a run, whatever it was read from; what fails shows the run's story."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from difflib import ndiff
from itertools import pairwise
from pathlib import Path
from pprint import pformat
from typing import Any, NoReturn, Self

from ...core import events as e
from ...projections.workflow import TaskView
from .agents import AgentCall, is_like
from .engine import FlowEngine
from .record import NotSo, WorkflowRun, load_run

__tracebackhide__ = True  # for pytest: what a test did is in other frames


def assert_that(run: WorkflowRun | FlowEngine | str | Path) -> RunAssertions:
    """Begin a chain of assertions about a run, or about the exported history in a file.

    Of an engine it is the run that was started last. Raises TypeError, BundleDamaged, OSError.
    """
    match run:
        case WorkflowRun():
            return RunAssertions(run)
        case FlowEngine():
            return RunAssertions(run.last)
        case str() | Path():
            return RunAssertions(load_run(run))
        case _:
            raise TypeError(f"assert_that() takes a run or the file of a history, got {run!r}")


class RunAssertions:
    """Each method raises NotSo, an AssertionError with the story of the run, or returns itself."""

    def __init__(self, run: WorkflowRun) -> None:
        self._run = run

    # How it ended

    def completed(self) -> Self:
        return self._is("completed")

    def cancelled(self) -> Self:
        return self._is("cancelled")

    def failed(self, step: str | None = None, *, error: str | None = None, match: str = "") -> Self:
        """It failed: in this step, with an error of this class, whose text has `match` (a pattern).

        `error` is the name of the exception's class or of one of its bases.
        """
        self._is("failed")
        if step is not None:
            self._known(step)
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
            most = "" if at_most == float("inf") else f" to {at_most:g}"
            least = "at least " * (not most)
            self._fail(f"it to take {least}{at_least:g}{most} s", f"{self._run.took:g} s")
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
            wanted = f"{before.id!r} to end before {after.id!r} begins"
            for view, at in ((before, before.ended_ms), (after, after.started_ms)):
                if at is None:
                    self._fail(wanted, f"{view.id!r} is {view.status}")
            first, last = self._first(after.id), self._last(before.id)
            if first < last:
                self._fail(wanted, f"{after.id!r} began at event {first}, before event {last}")
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
        return self._tasks_were(e.TaskRetried, "be tried again", step, index, times)

    def lost(self, step: str, *, index: int | None = None, times: int | None = None) -> Self:
        """Tasks of a step, or one of them, were lost with their worker: at all, or so often."""
        return self._tasks_were(e.TaskLost, "be lost", step, index, times)

    def task_failed(
        self, step: str, *, index: int = 0, error: str | None = None, match: str = ""
    ) -> Self:
        """A task failed for good, with such an error; its run may have gone on without it."""
        task = self._task(step, index)
        if task.status != "failed" or task.error is None:
            self._fail(f"{step}[{index}] to fail", f"it is {task.status}")
        self._check_failure(task.error, error, match)
        return self

    def _tasks_were(
        self,
        kind: type[e.TaskRetried] | type[e.TaskLost],
        what: str,
        step: str,
        index: int | None,
        times: int | None,
    ) -> Self:
        place = self._known(step) if index is None else f"{self._known(step)}[{index}]"
        events = [one.event for one in self._run.events if isinstance(one.event, kind)]
        of_step = [one for one in events if one.step == step]
        found = len([one for one in of_step if index in (None, one.index)])
        return self._counted(f"{place} to {what}", found, times, f"{found} times")

    def _counted(self, what: str, found: int, times: int | None, got: str) -> Self:
        if not found if times is None else found != times:
            self._fail(what if times is None else f"{what} {times} times", got)
        return self

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
        input: Any = ...,
    ) -> Self:
        """Agents whose name or image is like `pattern` were deployed: at all, or so many times.

        Those count whose environment has these values, that ended so, and got this input.
        """
        calls = self._run.calls
        like = [call for call in calls if is_like(pattern, call.name, call.image)]
        found = [
            call
            for call in like
            if (env or {}).items() <= call.env.items()
            and outcome in (None, call.outcome)
            and input in (..., call.input)
        ]
        asked = {} if input is ... else {"input": input}
        asked |= {} if env is None else {"env": env}
        asked |= {} if outcome is None else {"outcome": outcome}
        wanted = "".join(f", {name}={value!r}" for name, value in asked.items())
        return self._counted(
            f"an agent like {pattern!r}{wanted} to be deployed",
            len(found),
            times,
            f"{len(found)} of the agents deployed: {_listed(like or calls, env, input)}",
        )

    # Anything

    def happened(self, type: str, *, times: int | None = None, **fields: Any) -> Self:
        """An event of this type, with these fields, is in the log: at all, or so many times."""
        if type not in e.EVENTS:
            self._fail(f"an event {type!r}", f"there are {', '.join(e.EVENTS)}")
        known = e.EVENTS[type].__struct_fields__
        if unknown := [name for name in fields if name not in known]:
            self._fail(f"{type} to have {unknown[0]!r}", f"it has {', '.join(known) or 'nothing'}")
        found = [
            one
            for one in self._run.events
            if one.type == type and all(getattr(one.event, k) == v for k, v in fields.items())
        ]
        what = "".join(f", {name}={value!r}" for name, value in fields.items())
        return self._counted(f"{type}{what}", len(found), times, f"{len(found)} of them")

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
            self._fail(f"{what} {expected!r}", _apart(expected, found))
        return self

    def _fail(self, expected: str, got: str) -> NoReturn:
        raise NotSo(f"expected {expected}\n     got {got}", self._run)


def _listed(calls: list[AgentCall], env: dict[str, str] | None, input: Any) -> str:
    """Agents and how they ended, with as much of what they got as was asked for."""
    counts = Counter(_told(call, env or {}, input) for call in calls)
    return ", ".join(f"{n} of {one}" if n > 1 else one for one, n in counts.items()) or "none"


def _told(call: AgentCall, env: dict[str, str], input: Any) -> str:
    given = {name: value for name, value in call.env.items() if name in env}
    told = [call.outcome, *([f"env={given!r}"] if env else [])]
    told += [] if input is ... else [f"input={call.input!r}"]
    return f"{call.name} ({', '.join(told)})"


def _apart(expected: Any, found: Any) -> str:
    """What was found, and when that is long, where it differs."""
    wanted, got = pformat(expected).splitlines(), pformat(found).splitlines()
    if len(wanted) == len(got) == 1:
        return repr(found)
    return "\n".join([repr(found), *(line for line in ndiff(wanted, got) if line[0] in "+-")])
