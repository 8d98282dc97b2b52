"""Where somebody is who goes through a workflow event by event, and where they can go."""

from __future__ import annotations

import msgspec

from ..core.events import Recorded
from ..projections.conditions import Condition
from ..projections.histories import History
from ..projections.history import Change, Facts, parse_moment, state_facts
from ..projections.timeline import FAILURES, STEP_CHANGES, Timeline
from ..projections.workflow import WorkflowView
from .reading import event_line, public


class Navigator:
    """A position in a timeline. Every move returns what to tell whoever made it, or nothing."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.timeline = Timeline(history.workflow, history.events)
        self.position = 1
        self._searched = ""

    @property
    def recorded(self) -> Recorded:
        return self.timeline.events[self.position - 1]

    @property
    def view(self) -> WorkflowView:
        return self.timeline.view_at(self.position)

    def problems(self) -> list[str]:
        """What is wrong with the event, or between it and the one before."""
        version = self.recorded.version
        return [one.reason for one in self.history.problems if one.version == version]

    def changes(self) -> list[Change]:
        return self.timeline.changes_at(self.position)

    def state(self) -> Facts:
        return state_facts(self.view)

    def step(self, by: int) -> str:
        wanted = self.position + by
        self.position = min(max(wanted, 1), len(self.timeline))
        if wanted == self.position:
            return ""
        return "this is the last event" if by > 0 else "this is the first event"

    def first(self) -> str:
        return self.step(1 - self.position)

    def last(self) -> str:
        return self.step(len(self.timeline) - self.position)

    def failure(self, direction: int = 1) -> str:
        return self._find_type(FAILURES, "failure", direction)

    def step_change(self, direction: int = 1) -> str:
        return self._find_type(STEP_CHANGES, "step change", direction)

    def _find_type(self, types: frozenset[str], what: str, direction: int) -> str:
        found = self.timeline.find(lambda one: one.type in types, self.position, direction)
        return self._arrive(found, f"no {what} {_where(direction)}")

    def search(self, text: str, direction: int = 1) -> str:
        """The next event with this text in its line or its JSON; no text: as before."""
        self._searched = text or self._searched
        if not self._searched:
            return "nothing was searched yet"
        low = self._searched.lower()
        found = self.timeline.find(
            lambda one: low in text_of(self.timeline.workflow, one), self.position, direction
        )
        return self._arrive(found, f"no {self._searched!r} {_where(direction)}")

    def go_to(self, text: str) -> str:
        try:
            moment = parse_moment(text)
        except ValueError as error:
            return str(error)
        self.position = self.timeline.position_of(moment.version, moment.ms)
        return ""

    def until(self, text: str) -> str:
        """The next event behind this one after which a condition holds."""
        start = self.position
        try:
            condition = Condition(text)
            for position in range(start + 1, len(self.timeline) + 1):
                recorded = self.timeline.events[position - 1]
                if condition.holds(recorded, self.timeline.view_at(position)):
                    return self._arrive(position, "")
        except ValueError as error:
            return str(error)
        return f"{text!r} holds after no later event"

    def _arrive(self, found: int | None, otherwise: str) -> str:
        if found is None:
            return otherwise
        self.position = found
        return ""


def text_of(workflow: str, recorded: Recorded) -> str:
    """What a search looks at, in small letters."""
    data = msgspec.json.encode(public(workflow, recorded)).decode()
    return f"{event_line(recorded)} {data}".lower()


def _where(direction: int) -> str:
    return "after this event" if direction > 0 else "before this event"
