"""A log as a line to walk along: the view at any event, quickly, forwards and back.

Walking forwards applies one event. For the way back views are kept: some over the whole length, and
one a little behind where it is, so that the next steps back are short.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ..core import events as e
from .histories import advance
from .history import Change, changes, facts_near
from .state import Extended, StateValue
from .workflow import StepView, WorkflowView

#: Views kept over the whole length, events between two of them at the least, and steps back that
#: one more is good for.
KEPT, APART, BEHIND = 32, 256, 64

FAILURES = frozenset(
    {
        "task.failed",
        "task.lost",
        "step.failed",
        "job.failed",
        "workflow.failed",
        "workflow.timed_out",
    }
)
STEP_CHANGES = frozenset(
    {"step.scheduled", "step.reused", "step.completed", "step.failed", "step.cancelled"}
)


class Timeline:
    """The events of one workflow, and the view after each. Positions count events, from 1."""

    def __init__(self, workflow: str, events: Sequence[e.Recorded]) -> None:
        self.workflow, self.events = workflow, events
        self._view, self._position = WorkflowView(workflow), 0
        self._kept = {0: WorkflowView(workflow)}
        self._apart = max(APART, len(events) // KEPT)

    def __len__(self) -> int:
        return len(self.events)

    def view_at(self, position: int) -> WorkflowView:
        """The view after so many events; it is good until the next call."""
        if position < self._position:
            self._go_back(position)
        self._go_on(position)
        return self._view

    def changes_at(self, position: int) -> list[Change]:
        """What the event at a position changed."""
        event = self.events[position - 1].event
        before = facts_near(self.view_at(position - 1), event)
        return changes(before, facts_near(self.view_at(position), event))

    def find(
        self, wanted: Callable[[e.Recorded], bool], position: int, direction: int = 1
    ) -> int | None:
        """The next position with such an event, or the one before with -1."""
        found = position + direction
        while 1 <= found <= len(self.events):
            if wanted(self.events[found - 1]):
                return found
            found += direction
        return None

    def position_of(self, version: int | None, ms: int | None) -> int:
        """The last event up to a version or a time (ms); at least the first one."""
        if version is not None:
            after = bisect_right(self.events, version, key=lambda one: one.version)
        else:
            after = bisect_right(self.events, ms or 0, key=lambda one: one.ts)
        return max(1, after)

    def _go_on(self, position: int) -> None:
        while self._position < position:
            advance(self._view, self.events[self._position])
            self._position += 1
            if self._position % self._apart == 0 and self._position not in self._kept:
                self._kept[self._position] = copied(self._view)

    def _go_back(self, position: int) -> None:
        nearest = max(kept for kept in self._kept if kept <= position)
        self._view, self._position = copied(self._kept[nearest]), nearest
        if position - nearest > BEHIND:
            self._go_on(position - BEHIND)
            self._forget_behind()
            self._kept[self._position] = copied(self._view)

    def _forget_behind(self) -> None:
        """Keep one view of those that are only for the next steps back."""
        for kept in [kept for kept in self._kept if kept % self._apart]:
            del self._kept[kept]


def copied(view: WorkflowView) -> WorkflowView:
    """A view that may be advanced without the other."""
    return replace(
        view,
        steps={name: _copied_step(step) for name, step in view.steps.items()},
        jobs={name: replace(job) for name, job in view.jobs.items()},
        state={name: _copied_value(value) for name, value in view.state.items()},
        touched=set(view.touched),
        new_jobs=list(view.new_jobs),
    )


def _copied_step(step: StepView) -> StepView:
    return replace(
        step,
        tasks={index: replace(task) for index, task in step.tasks.items()},
        results=dict(step.results),
        failures=list(step.failures),
        jobs=list(step.jobs),
    )


def _copied_value(value: StateValue) -> StateValue:
    return Extended(value.base, list(value.appended)) if isinstance(value, Extended) else value
