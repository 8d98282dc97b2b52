"""The runtime of tests: agents are played, and take the time that they are said to take."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import msgspec

from ...core import clock
from ...core.errors import CannotLaunch, PayloadError
from ...core.ids import origin
from ...core.payloads import encode
from ...reactors.runtimes.contract import Launch, LogLine, Outcome, Permit, Sink, Started, always
from .agents import (
    AgentCall,
    AgentFailure,
    MockAgent,
    UnknownAgent,
    failure_of,
    say_unknown,
)


class _Running:
    """An agent that was started, until it is removed."""

    def __init__(self, mock: MockAgent, call: AgentCall) -> None:
        self.mock = mock
        self.call = call
        self.is_stopped = False
        self.is_frozen = False
        self._changed = anyio.Event()

    def change(self, *, stop: bool = False, freeze: bool = False) -> None:
        self.is_stopped = self.is_stopped or stop
        self.is_frozen = freeze
        self._changed.set()

    async def spend(self, seconds: float) -> None:
        """Let time pass, not counting when it is frozen; less when it is stopped."""
        left = seconds
        while (left > 0 or self.is_frozen) and not self.is_stopped:
            self._changed = anyio.Event()
            began, was_frozen = anyio.current_time(), self.is_frozen
            with anyio.move_on_after(math.inf if was_frozen else left):
                await self._changed.wait()
            left -= 0 if was_frozen else anyio.current_time() - began


class MockRuntime:
    """Runs what a test plays; see `Runtime`."""

    name = "mock"

    def __init__(self, mocks: Callable[[], Sequence[MockAgent]], *, limit: int) -> None:
        """`mocks` gives those to look at, in this order; `limit` is that of results, bytes."""
        self._mocks = mocks
        self._limit = limit
        self._running: dict[tuple[str, str], _Running] = {}
        #: Why the test itself is wrong: agents that nobody plays, functions that do not hold.
        self.errors: list[Exception] = []

    async def open(self) -> str:
        return "agents played by the test"

    async def start(self, launch: Launch, may_begin: Permit = always) -> Started | None:
        place = (launch.workflow, launch.job)
        if place in self._running:
            return Started(launch.job, origin().host, adopted=True)
        if not await may_begin():
            return None
        known = self._mocks()
        mock = next((one for one in known if one.plays(launch)), None)
        if mock is None:
            unknown = UnknownAgent(say_unknown(launch, known))
            self.errors.append(unknown)
            raise CannotLaunch("image_missing", str(unknown))
        call = _call_of(launch)
        try:
            mock.begin(call)
        except AgentFailure as failure:
            _end(call, _failed(call, failure))
            raise CannotLaunch(failure.kind, failure.reason or failure.kind) from None
        self._running[place] = _Running(mock, call)
        return Started(launch.job, origin().host)

    async def follow(self, launch: Launch, sink: Sink) -> Outcome:
        running = self._running.get((launch.workflow, launch.job))
        if running is None:
            return Outcome(kind="lost", reason="it is not there")
        mock, call = running.mock, running.call
        if mock.prints:
            ts_ms = clock.now_ms()
            await sink([LogLine(ts_ms, "stdout", line) for line in mock.prints])
        try:
            seconds = mock.seconds(call)
        except Exception as error:  # whatever the function of the test raises
            outcome = self._blame(error)
        else:
            limit_s = launch.limits.timeout_s or math.inf
            outcome = await self._play(running, seconds, limit_s)
        _end(call, outcome)
        return outcome

    async def _play(self, running: _Running, seconds: float, limit_s: float) -> Outcome:
        mock, call = running.mock, running.call
        await running.spend(min(seconds, limit_s))
        if running.is_stopped:
            return Outcome(kind="cancelled")
        if seconds > limit_s:
            text = f"it ran longer than {limit_s:g} s"
            return Outcome(kind="timed_out", reason=text, last_lines=mock.prints)
        try:
            result = mock.play(call)
            result = await result if inspect.isawaitable(result) else result
            data = encode(result, what=f"the result of agent {call.name!r}", limit=self._limit)
        except AgentFailure as failure:
            return _failed(call, failure, mock.prints)
        except PayloadError as error:
            return Outcome(kind="bad_result", reason=str(error), exit_code=0)
        except AssertionError as error:
            return self._blame(error)
        except Exception as error:  # whatever else the test raises is how the agent fails
            return _failed(call, failure_of(error), mock.prints)
        return Outcome(kind="succeeded", exit_code=0, result=bytes(data).decode())

    def _blame(self, error: Exception) -> Outcome:
        """The test fails, whatever its workflow makes of the agent."""
        self.errors.append(error)
        return Outcome(kind="failed", reason=f"{type(error).__name__}: {error}", exit_code=1)

    async def stop(self, launch: Launch, may_stop: Permit = always) -> None:
        if await may_stop():
            self._change(launch, stop=True)

    async def freeze(self, launch: Launch) -> None:
        self._change(launch, freeze=True)

    async def thaw(self, launch: Launch) -> None:
        self._change(launch)

    def _change(self, launch: Launch, **how: bool) -> None:
        if running := self._running.get((launch.workflow, launch.job)):
            running.change(**how)

    async def remove(self, launch: Launch, may_remove: Permit = always) -> bool:
        if permitted := await may_remove():
            self._running.pop((launch.workflow, launch.job), None)
        return permitted

    async def leftovers(self) -> list[tuple[str, str]]:
        return list(self._running)

    async def close(self) -> None:
        """There is nothing to let go of."""


def _call_of(launch: Launch) -> AgentCall:
    given: Any = msgspec.json.decode(launch.input)
    return AgentCall(
        name=launch.name,
        image=launch.image,
        env=dict(launch.env),
        input=given,
        command=None if launch.command is None else list(launch.command),
        workflow=launch.workflow,
        step=launch.step,
        index=launch.index,
        attempt=launch.attempt,
        job=launch.job,
        started=clock.now(),
    )


def _failed(call: AgentCall, failure: AgentFailure, printed: Sequence[str] = ()) -> Outcome:
    return Outcome(
        kind=failure.kind,
        reason=failure.reason,
        exit_code=failure.exit_code,
        last_lines=[*printed, *failure.last_lines],
    )


def _end(call: AgentCall, outcome: Outcome) -> None:
    call.outcome, call.ended = outcome.kind, clock.now()
    call.error = outcome.reason
    if outcome.kind == "succeeded":
        call.result = msgspec.json.decode(outcome.result)
