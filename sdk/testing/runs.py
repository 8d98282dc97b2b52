"""Runs that a test has started, and what it can wait for in them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

from ...core import events as e
from ...core.log import EventLog
from ...projections.conditions import KNOWN, Condition
from .. import client
from ..fork_plan import Changes
from .reader import Reader
from .record import NotSo, WorkflowRun

if TYPE_CHECKING:
    from .engine import FlowEngine

__tracebackhide__ = True  # for pytest: what a test did is in other frames

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
    """What is asked of a run after each event, and before the first.

    Raises ValueError for what names no step, no type of event and is no condition, TypeError.
    """
    if callable(condition):
        return lambda run, _: condition(run)
    if condition in e.EVENTS:
        return lambda _, recorded: recorded is not None and recorded.type == condition
    if any(condition in run.graph for run in runs):
        return lambda run, _: run.view.step(condition).status != "pending"
    steps = list(dict.fromkeys(name for run in runs for name in run.graph))
    _check_names(condition, steps)
    try:
        read = Condition(condition)
    except ValueError as error:
        raise ValueError(f"{error}; steps are {', '.join(steps)}") from None
    return lambda run, recorded: read.holds(recorded or run.events[-1], run.view)


def _check_names(condition: object, steps: Sequence[str]) -> None:
    """Raises ValueError for what can never hold, as there is nothing called so, TypeError."""
    if not isinstance(condition, str):
        raise TypeError(f"until() takes a text or a function of the run, got {condition!r}")
    noun = condition.partition(".")[0]
    kin = [name for name in e.EVENTS if name.startswith(f"{noun}.")]
    if kin and noun not in KNOWN and re.fullmatch(r"\w+\.\w+", condition):
        raise ValueError(f"no event is a {condition}; there are {', '.join(kin)}")
    asked = re.findall(r"(?<![\w.])steps\.(\w+)", condition)
    if re.fullmatch(r"\w+", condition):
        asked.append(condition)
    if unknown := [name for name in asked if name not in steps]:
        raise ValueError(f"there is no step {unknown[0]!r}; steps are {', '.join(steps)}")
