"""Decide again along a log, and compare with what the engine wrote there. Pure.

What the engine commits, it decided on the log up to some event before it: workers and commands go
on appending between its look and its commit. So its events have to be those that are due just
before them, or, where they are not, those that were due at an earlier event since its last commit.
The log does not tell where one commit ends and the next begins; a run of events of the engine may
be several. The event that ends a workflow is due only where the engine has seen all others.

What a script adds to a commit, it adds by what it finds: tasks and agents of steps that were
cancelled or failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from ..core import events as e
from ..core.definition import Definition
from ..core.ids import digest
from ..core.payloads import decode
from ..projections.fold import apply
from ..projections.workflow import WorkflowView
from .binding import Cache, NeedsBlob, result_of
from .scheduler import JOINED, Decision, decide

ENGINE = "engine"
#: What follows from a decision by what the script found.
CONSEQUENCES = (e.TaskCancelled, e.JobCancelled, e.JobStopRequested)
#: Longest text of an event in a divergence.
LONGEST = 200

Judge = Callable[[WorkflowView, e.Recorded], str]


class Divergence(msgspec.Struct, frozen=True):
    """The first event that the engine would not write today."""

    version: int
    expected: str
    got: str


class Decisions:
    """Judge the engine's events of one log, whose versions are 1, 2, 3 … without gaps."""

    def __init__(
        self, workflow: str, definition: Definition, events: Sequence[e.Recorded], blobs: Cache
    ) -> None:
        self._definition = definition
        self._events = events
        self._cache = blobs
        self._due = _Due(Decision())
        #: Version of the last event of the engine, and of the last one before its present run.
        self._last = 0
        self._before = 0
        #: A view of an earlier event; it only moves when it is needed.
        self._behind = WorkflowView(workflow)
        self.checked = 0

    def check(self, view: WorkflowView, recorded: e.Recorded) -> Divergence | None:
        """`view` is that of all events before this one, which is the engine's."""
        if recorded.version != self._last + 1:
            self._before, self._due = self._last, _Due(Decision())
        self._last = recorded.version
        self.checked += 1
        try:
            expected = self._judge(recorded.event)(view, recorded)
        except NeedsBlob as needed:
            expected = f"what payload {needed.digest} says, which is missing"
        except Exception as error:  # the log is not one on which the engine could decide
            expected = f"nothing: deciding fails with {type(error).__name__}: {error}"
        if not expected:
            return None
        return Divergence(recorded.version, expected, describe(recorded.event, recorded.cause))

    def _judge(self, event: e.Event) -> Judge:
        """What tells whether an event is due: empty, or what was expected in its place."""
        if isinstance(event, CONSEQUENCES):
            return _judge_consequence
        match event:
            case e.WorkflowCompleted() | e.WorkflowFailed(step=None, error=e.Failure("TooLarge")):
                return self._judge_result
            case _:
                return self._judge_decision

    def _judge_decision(self, view: WorkflowView, recorded: e.Recorded) -> str:
        if self._due.take(recorded):
            return ""
        self._due = self._decide(view, recorded.version)
        if self._due.take(recorded):
            return ""
        found = self._find_earlier(recorded)
        if found is None:
            return self._due.describe()
        self._due = found
        return ""

    def _decide(self, view: WorkflowView, first: int) -> _Due:
        """What is due, looking at the steps of the engine's run from version `first` on."""
        known = self._definition.by_id
        steps = {name for name in self._steps_from(first) if name in known}
        return _Due(decide(view, self._definition, self._cache, steps))

    def _steps_from(self, first: int) -> Iterator[str]:
        for at in range(first - 1, len(self._events)):
            recorded = self._events[at]
            if recorded.by != ENGINE:
                return
            name: str | None = getattr(recorded.event, "step", None)
            if name is not None:
                yield name

    def _find_earlier(self, recorded: e.Recorded) -> _Due | None:
        """A decision that has the event, on a view since the last commit before this run."""
        first = self._first_of_run(recorded.version)
        view = self._behind
        while view.version < first - 1:
            if view.version >= self._before:
                due = self._decide(view, first)
                if self._takes(due, first, recorded.version):
                    return due
            apply(view, self._events[view.version])
        return None

    def _first_of_run(self, version: int) -> int:
        while version > 1 and self._events[version - 2].by == ENGINE:
            version -= 1
        return version

    def _takes(self, due: _Due, first: int, last: int) -> bool:
        """Whether the event is due in it, behind those of the run that are, too."""
        for recorded in self._events[first - 1 : last - 1]:
            due.take(recorded)
        return due.take(self._events[last - 1])

    def _judge_result(self, view: WorkflowView, recorded: e.Recorded) -> str:
        """The end of a workflow that went well, with its result."""
        if not decide(view, self._definition, self._cache, ()).finish:
            return self._decide(view, recorded.version).describe()
        result = result_of(self._definition, view, self._cache.blobs)
        event = recorded.event
        if not isinstance(event, e.WorkflowCompleted):
            return "" if len(result) > JOINED else "workflow.completed"
        cause = recorded.version - 1
        if recorded.cause == cause and _is_result(event, result):
            return ""
        return describe(e.WorkflowCompleted(result=msgspec.Raw(result)), cause)


class _Due:
    """A decision of which the log shows one event after the other."""

    def __init__(self, decision: Decision) -> None:
        self._events = decision.events
        self._finish = decision.finish
        #: Versions of those that were shown, by position.
        self._versions: dict[int, int] = {}
        self._next = 0

    def take(self, recorded: e.Recorded) -> bool:
        size = len(self._events)
        for position in (*range(self._next, size), *range(min(self._next, size))):
            if position not in self._versions and self._is(position, recorded):
                self._versions[position] = recorded.version
                self._next = position + 1
                return True
        return False

    def _is(self, position: int, recorded: e.Recorded) -> bool:
        event, cause = self._events[position]
        return event == recorded.event and self._cause(cause) == recorded.cause

    def _cause(self, cause: int | None) -> int | None:
        return self._versions.get(-cause) if cause is not None and cause <= 0 else cause

    def describe(self) -> str:
        left = [
            describe(event, self._cause(cause))
            for position, (event, cause) in enumerate(self._events)
            if position not in self._versions
        ]
        left += ["workflow.completed"] if self._finish else []
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        return (", ".join(left[:3]) + more) if left else "nothing, for nothing is due"


def needed_payloads(definition: Definition, events: Sequence[e.Recorded]) -> set[str]:
    """Digests of what lies beside the log and decisions, or the state, are made of.

    Others, such as results that only the next step gets, may be many and large.
    """
    over = [step.parallel.over for step in definition.steps if step.parallel]
    steps = {*definition.ends, *(bind.step for bind in over if bind.step)}
    inputs = {bind.input for bind in over if bind.input}
    found: set[str] = set()
    for recorded in events:
        match recorded.event:
            case e.TaskCompleted(step=step, blob=e.Blob(digest=name)) if step in steps:
                found.add(name)
            case e.TasksReused(step=step, tasks=tasks) if step in steps:
                found |= {task.blob.digest for task in tasks if task.blob}
            case e.WorkflowCreated(blobs=blobs):
                found |= {blob.digest for name, blob in blobs.items() if name in inputs}
            case e.StateUpdated(changes=changes):
                found |= {change.blob.digest for change in changes if change.blob}
            case _:
                pass
    return found


def _judge_consequence(view: WorkflowView, recorded: e.Recorded) -> str:
    event = recorded.event
    name: str = getattr(event, "step", "")
    status = view.step(name).status
    if status in ("failed", "cancelled"):
        return ""
    return f"nothing, for step {name} is {status}"


def _is_result(event: e.WorkflowCompleted, result: bytes) -> bool:
    if event.blob:
        return event.blob == e.Blob(digest(result), len(result))
    return bytes(event.result) == result or decode(event.result) == decode(result)


def describe(event: e.Event, cause: int | None) -> str:
    """Type and data of an event, as far as they fit a line."""
    text = f"{e.type_of(event)} {e.encode_event(event)}"
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{text} because of event {cause}" if cause else text
