"""Engines of tests: start workflows, go on step by step, look at them at any moment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import msgspec

from ...core import events as e
from ...core.errors import DefinitionError, FlowError
from ...core.log import EventLog
from ...core.payloads import decode
from ...core.settings import Settings
from .. import client, forking
from ..creation import trace_of
from ..decorators import split_tags
from ..execution import Run
from ..fork_plan import Changes, wish_of
from ..registry import code_of, init_of
from ..task import Task
from .agents import AgentCall, MockAgent
from .faults import Fault, Staged
from .loop import Deadlock
from .props import all_of, placed
from .reader import Reader
from .record import Effect, Graph, event_line
from .roles import Roles
from .runs import LocalRun, NeverHeld, Until, recent, test_of
from .runtime import MockRuntime
from .stages import Stage

__tracebackhide__ = True  # for pytest: what a test did is in other frames

#: Virtual seconds that a run may take before a test gives it up: a year.
LONGEST = 366 * 86400.0


_debugs = False


def debug_all() -> None:
    """Print each event of all engines that are made from now on."""
    global _debugs  # an option of the process
    _debugs = True


class FlowEngine:
    """All roles in this process, for the workflows that a test starts."""

    stage: Stage

    def __init__(
        self,
        *,
        agents: Sequence[MockAgent] = (),
        faults: Sequence[Fault] = (),
        debug: bool = False,
        within: float = LONGEST,
    ) -> None:
        """`debug` prints each event as it happens; a run may take `within` seconds."""
        #: Those of this engine, after those in place around the test. May be changed.
        self.agents = all_of(MockAgent, agents)
        self.faults = all_of(Fault, faults)
        self.debug = debug or _debugs
        self.runs: list[LocalRun] = []
        self._instances: dict[str, object] = {}
        self._within = within
        self._placed_agents: list[MockAgent] = []
        self._placed_faults: list[Fault] = []
        self._runtime = MockRuntime(self._mocks, limit=Settings().payload_limit)

    # Start

    def start(self, workflow: Any, **inputs: Any) -> LocalRun:
        """Create a run of a workflow, given as an instance or a class. It moves when told to."""
        self._look_around()
        instance: object = _instance_of(workflow)
        code = code_of(type(instance))
        given, tags = split_tags(instance, inputs)

        async def create(log: EventLog, roles: Roles) -> str:
            prepared = client.prepare(code, init_of(instance), given, log.settings, tags=tags)
            trace = trace_of(prepared.workflow, prepared.traceparent, log.settings)
            roles.serve(code)
            known: dict[str, Any] = _decoded(prepared.inputs)
            self._keep(roles, prepared.workflow, Run(instance, known, trace=trace))
            return await client.create(log, prepared)

        return self._follow(self.stage.call(create))

    def _keep(self, roles: Roles, workflow: str, run: Run) -> None:
        """Have the steps of a workflow be methods of this instance, which meet with faults."""
        instance: object = run.instance
        self._instances[workflow] = instance
        staged = Staged(instance, code_of(type(instance)), self._find_fault, roles.lose_worker)
        roles.keep(workflow, Run(staged, run.inputs, trace=run.trace))

    def run(self, workflow: Any, **inputs: Any) -> LocalRun:
        """Start a run and go on until it has ended, well or not."""
        return self.start(workflow, **inputs).until()

    def fork(self, run: LocalRun, wish: Changes) -> LocalRun:
        """See `LocalRun.fork`."""
        wanted, source = wish_of(wish, self.stage.settings), run.id

        async def fork(log: EventLog, _: Roles) -> str:
            planned = await forking.plan(log, source, wanted)
            return await forking.fork(log, planned, wanted)

        forked = self._follow(self.stage.call(fork))
        known = Run(self._instances[source], forked.inputs, trace=forked.view.trace)

        async def keep(_: EventLog, roles: Roles) -> None:
            self._keep(roles, forked.id, known)

        self.stage.call(keep)
        return forked

    def _follow(self, workflow: str) -> LocalRun:
        run = LocalRun(self, Reader(self.stage, workflow))
        self.runs.append(run)
        recent.append(run)
        self.take([run])
        return run

    # Move

    def step(self) -> list[e.Recorded]:
        """Go on by one transition, of any run: its events, none when nothing more happens."""
        return self.move(self.runs, lambda _: True)

    def until(
        self,
        condition: Until | None = None,
        run: LocalRun | None = None,
        *,
        within: float | None = None,
    ) -> LocalRun:
        """Go on until it holds of a run, or of any, and return that one; see `LocalRun.until`.

        Without a condition until all runs have ended.
        """
        runs = self.runs if run is None else [run]
        if not runs:
            raise FlowError("start a workflow first")
        if condition is None:
            return self._to_the_end(runs, within)
        test = test_of(condition, runs)
        for one in runs:
            if test(one, None):
                return one
        found: list[LocalRun] = []

        def holds(at: tuple[LocalRun, e.Recorded]) -> bool:
            if test(*at):
                found.append(at[0])
            return bool(found) or all(one.has_ended for one in runs)

        self.move(runs, holds, within=within, what=f"until({condition!r})")
        if not found:
            raise NeverHeld(f"until({condition!r}) never held", *runs)
        return found[0]

    def _to_the_end(self, runs: Sequence[LocalRun], within: float | None) -> LocalRun:
        def holds(_: object) -> bool:
            return all(one.has_ended for one in runs)

        if not holds(None):
            self.move(runs, holds, within=within, what="the end")
        return runs[-1]

    def advance(self, seconds: float | timedelta) -> list[e.Recorded]:
        """Let so much time pass, with all that happens then: its events."""
        elapsed = _seconds(seconds)
        happened: list[e.Recorded] = []

        def look() -> bool:
            happened.extend(recorded for _, recorded in self._news(self.runs))
            return False

        self._run_to(look, elapsed, idle=True)
        look()
        return happened

    def move(
        self,
        runs: Sequence[LocalRun],
        holds: Callable[[tuple[LocalRun, e.Recorded]], bool],
        *,
        within: float | None = None,
        what: str = "",
    ) -> list[e.Recorded]:
        """Go on until it holds of an event and its run; the events up to there.

        Raises NeverHeld for what cannot be, unless it has no name.
        """
        happened: list[e.Recorded] = []

        def look() -> bool:
            is_one = False
            for at in self._news(runs):
                happened.append(at[1])
                if holds(at):
                    is_one = True
                    if what:
                        return True
            return is_one

        limit = self._within if within is None else within
        try:
            if not self._run_to(look, limit) and what:
                raise NeverHeld(f"{what} did not come within {limit:g} s", *runs)
        except Deadlock:
            if what:
                text = f"{what} can no longer come: nothing is left to happen"
                raise NeverHeld(text, *runs) from None
        finally:
            self.take(one for one in self.runs if one not in runs)
        return happened

    def _run_to(self, holds: Callable[[], bool], within: float, *, idle: bool = False) -> bool:
        self._look_around()

        held = self.stage.run_to(lambda: bool(self._runtime.errors) or holds(), within, idle=idle)
        if errors := self._runtime.errors:
            self._runtime.errors = []
            raise errors[0]
        return held

    def _news(self, runs: Iterable[LocalRun]) -> Iterator[tuple[LocalRun, e.Recorded]]:
        for run in runs:
            for recorded in run.read_on():
                self._say(run, recorded)
                yield run, recorded

    def take(self, runs: Iterable[LocalRun]) -> None:
        """Take in what has happened in these runs."""
        for _ in self._news(runs):
            pass

    def _say(self, run: LocalRun, recorded: e.Recorded) -> None:
        if self.debug:
            name = f"{run.name} " if len(self.runs) > 1 else ""
            print(f"{name}{event_line(recorded, run.events[0].ts)}", file=sys.stderr)

    def _look_around(self) -> None:
        """Take what the test has put in place, for those who ask on other threads."""
        all_of(MockAgent, self.agents)
        all_of(Fault, self.faults)
        self._placed_agents, self._placed_faults = placed(MockAgent), placed(Fault)

    def _mocks(self) -> list[MockAgent]:
        return [*self._placed_agents, *self.agents]

    def _find_fault(self, task: Task) -> Fault | None:
        faults = [*self._placed_faults, *self.faults]
        return next((fault for fault in faults if fault.take(task)), None)

    # Look

    @property
    def now(self) -> datetime:
        """The time of day that steps see, UTC."""
        return datetime.fromtimestamp(self.stage.now(), UTC)

    @property
    def last(self) -> LocalRun:
        """The run that was started last. Raises FlowError."""
        if not self.runs:
            raise FlowError("start a workflow first")
        return self.runs[-1]

    @property
    def events(self) -> list[e.Recorded]:
        """All events so far, of the run that was started last."""
        return self.last.events

    @property
    def state(self) -> dict[str, Any]:
        return self.last.state

    @property
    def graph(self) -> Graph:
        return self.last.graph

    @property
    def status(self) -> str:
        return self.last.status

    @property
    def calls(self) -> list[AgentCall]:
        return self.last.calls

    @property
    def effects(self) -> list[Effect]:
        return self.last.effects

    def story(self) -> str:
        """What happened, of all runs."""
        return "\n\n".join(f"{run!r}\n{run.story()}" for run in self.runs)

    def pause(self, *, freeze: bool = False) -> None:
        """Pause the run that was started last."""
        self.last.pause(freeze=freeze)

    def resume(self) -> None:
        self.last.resume()

    def cancel(self, reason: str = "") -> None:
        self.last.cancel(reason)

    def lose_worker(self) -> None:
        """Let the worker die with all that it runs; another one is there at once."""

        async def lose(_: EventLog, roles: Roles) -> None:
            roles.lose_worker()

        self.stage.call(lose)

    # End

    def close(self) -> None:
        """End all that still runs; what happened can still be looked at."""
        self.stage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _instance_of(workflow: Any) -> Any:
    if not isinstance(workflow, type):
        return workflow
    code = code_of(workflow)
    if code.required_arguments:
        needed = ", ".join(code.required_arguments)
        raise DefinitionError(
            code.name, f"is made with arguments ({needed}): give an instance, not the class"
        )
    return workflow()


def _seconds(given: object) -> float:
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if not isinstance(seconds, int | float) or not seconds >= 0:
        raise ValueError(f"advance() takes seconds or a timedelta, got {given!r}")
    return seconds


def _decoded(inputs: dict[str, msgspec.Raw]) -> dict[str, Any]:
    return {name: decode(value) for name, value in inputs.items()}
