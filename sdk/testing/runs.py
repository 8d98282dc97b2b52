"""Runs that a test has started, and what it can wait for in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

from ...core import events as e
from ...core.log import EventLog
from ...projections.conditions import Condition
from .. import client
from ..fork_plan import Changes
from .reader import Reader
from .record import NotSo, WorkflowRun

if TYPE_CHECKING:
    from .engine import FlowEngine

#: What `until` takes: the name of a step or of a type of event, a condition as in
#: `agentainer workflow replay --until`, or a function of the run.
Until = str | Callable[["LocalRun"], object]


class NeverHeld(NotSo):
    """Raised when what a test waits for can no longer happen."""


#: The runs that were started last, for who reports on a test.
recent: deque[LocalRun] = deque(maxlen=3)


class LocalRun(WorkflowRun):
    """A run that a test has started; what it says is as of the last move of its engine."""

    def __init__(self, engine: FlowEngine, reader: Reader) -> None:
        super().__init__(reader)
        self._engine = engine
        self._reader = reader

    def step(self) -> list[e.Recorded]:
        """Go on by one transition: the events of it, none when the run can go no further."""
        return self._engine.move([self], lambda _: True)

    def until(self, condition: Until | None = None, *, within: float | None = None) -> Self:
        """Go on until it holds; without a condition until the run has ended. Raises NeverHeld.

        A step's name holds as soon as it is scheduled, a type of event when there is one. `within`
        is how many seconds that may take.
        """
        self._engine.until(condition, self, within=within)
        return self

    def pause(self, *, freeze: bool = False) -> None:
        """Start nothing new; with `freeze` running agents stand still. Raises Refused."""
        self._give(lambda log, name: client.pause(log, name, freeze=freeze))

    def resume(self) -> None:
        """Go on after a pause. Raises Refused."""
        self._give(lambda log, name: client.resume(log, name))

    def cancel(self, reason: str = "") -> None:
        """Stop its agents and end it. Raises Refused."""
        self._give(lambda log, name: client.cancel(log, name, reason=reason))

    def fork(self, **wish: Unpack[Changes]) -> LocalRun:
        """Start a run that takes over what this one did and runs the rest, as `Handle.fork`."""
        return self._engine.fork(self, wish)

    def _give(self, command: Callable[[EventLog, str], Any]) -> None:
        workflow = self.id
        self._engine.stage.call(lambda log, _: command(log, workflow))
        self._engine.take([self])

    def read_on(self) -> Iterator[e.Recorded]:
        return self._reader.go_on()


def test_of(
    condition: Until, runs: Sequence[LocalRun]
) -> Callable[[LocalRun, e.Recorded | None], object]:
    """What is asked of a run after each event, and before the first. Raises ValueError."""
    if callable(condition):
        return lambda run, _: condition(run)
    if condition in e.EVENTS:
        return lambda _, recorded: recorded is not None and recorded.type == condition
    if any(condition in run.graph for run in runs):
        return lambda run, _: run.view.step(condition).status != "pending"
    try:
        read = Condition(condition)
    except ValueError as error:
        names = ", ".join(dict.fromkeys(name for run in runs for name in run.graph))
        raise ValueError(f"{error}; steps are {names}") from None
    return lambda run, recorded: read.holds(recorded or run.events[-1], run.view)
