"""Decisions of an engine as commits, and as the events that they are once they are in the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

import msgspec
import msgspec.structs

from ..core import clock
from ..core import events as e
from ..core.answers import Appended, Commit, CommitOutcome, Duplicate
from ..core.log import EventLog
from ..projections.fold import apply
from ..projections.workflow import WorkflowView
from .counting import count_decision
from .held import Held
from .lane import Lane
from .scheduler import Decision

#: Events and tasks that one call commits at the most.
COMMITTED = 2000


class Proposal(msgspec.Struct, frozen=True):
    """A decision on a workflow that is to be committed."""

    held: Held
    decision: Decision
    #: The steps that it looked at.
    touched: set[str]

    @property
    def weight(self) -> int:
        return len(self.decision.events) + sum(len(batch.tasks) for batch in self.decision.queue)


class Commits:
    """Commit decisions in the name of the lane's owner, and count them."""

    def __init__(self, event_log: EventLog, lane: Lane) -> None:
        self._log = event_log
        self._lane = lane
        self._numbers = count(1)

    async def send(self, proposals: list[Proposal]) -> list[CommitOutcome]:
        return await self._log.scripts.commit(
            self._lane.partition,
            lane=self._lane.name,
            token=self._lane.token,
            by="engine",
            decisions=[self.of(found.held, found.decision) for found in proposals],
        )

    def of(self, held: Held, decision: Decision) -> Commit:
        """A decision as the scripts take it.

        The end of a workflow counts only where we have seen all others; so does the first commit on
        a view that was folded from the feed: what a predecessor committed is not there.
        """
        is_exact = decision.status is not None or not held.is_proven
        return Commit(
            held.view.id,
            f"{self._lane.token}#{next(self._numbers)}",
            [(event.type, e.encode_event(event), cause) for event, cause in decision.events],
            decision.queue,
            decision.cancel,
            decision.phase,
            decision.status,
            held.view.version if is_exact else None,
            decision.is_whole,
            (held.view.version, held.view.digest),
        )

    def count(self, held: Held, decision: Decision, outcome: CommitOutcome) -> None:
        """Count what was decided, if it is in the log now and somebody asks for counts."""
        if self._log.instruments is None:
            return
        match outcome:
            case Appended(ts=ts):
                pass
            case Duplicate():  # the first answer was lost
                ts = clock.now_ms()
            case _:
                return
        count_decision(self._log.instruments, held.view, held.definition, decision, ts)


def recorded(decision: Decision, first: int, ts: int) -> list[e.Recorded]:
    """The events of a decision that was committed at version `first` and the following ones."""
    return [
        e.Recorded(
            first + position,
            ts,
            event,
            "engine",
            first - cause if cause is not None and cause <= 0 else cause,
        )
        for position, (event, cause) in enumerate(decision.events)
    ]


def apply_all(view: WorkflowView, events: list[e.Recorded], digest: str) -> None:
    """Advance a view by events that follow; the last one has this digest."""
    for one in events[:-1]:
        apply(view, one)
    if events:
        apply(view, msgspec.structs.replace(events[-1], digest=digest))


def portions(proposals: Iterable[Proposal]) -> Iterator[list[Proposal]]:
    """What may be committed together."""
    some: list[Proposal] = []
    weight = 0
    for found in proposals:
        if some and weight + found.weight > COMMITTED:
            yield some
            some, weight = [], 0
        some.append(found)
        weight += found.weight
    if some:
        yield some
